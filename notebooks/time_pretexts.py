"""Seconds of an epoch of each pretext task: python notebooks/time_pretexts.py [FOLDER]

Of Fashion-MNIST and, if it is given, of a folder of pictures, brought to 32 pixels. The tasks take
turns, so that whatever else the machine does slows all of them; the median is kept, in
results/pretext_seconds.csv. Times of different machines are not to be compared, their ratios are.
"""

import pathlib
import sys
import time

import keras
import numpy as np
import pandas as pd

import rotnet_keras as rk
from rotnet_keras._base.tasks import PRETEXTS
from rotnet_keras.study.pretexts import pretrain_on

OUTPUT = pathlib.Path(__file__).parent / "results" / "pretext_seconds.csv"
IMAGES, EPOCHS, TURNS = 6400, 4, 2  # the first epoch, which compiles, is not timed


def timed_epochs(images, task):
    """Seconds of each epoch but the first."""
    ends = []
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(time.perf_counter()))
    how = {"epochs": EPOCHS, "precision": "mixed_bfloat16", "callbacks": [clock], "verbose": 0}
    pretrain_on(task, rk.conv_blocks_extractor(images.shape[1:]), images, **how)
    return np.diff(ends)


def rows_of(dataset, splits):
    """A row for each task, of an epoch of all images without labels of the study."""
    images = splits.training_images
    some = images[:IMAGES]
    times: dict[str, list] = {task: [] for task in PRETEXTS}
    for task in [*PRETEXTS] * TURNS:
        times[task].extend(timed_epochs(some, task))
    seconds = {task: np.median(of) * len(images) / len(some) for task, of in times.items()}
    return [
        {"dataset": dataset, "pretext": task, "seconds": round(value, 2)}
        for task, value in seconds.items()
    ]


def main(folders):
    """Time all tasks on all data sets, and write the table."""
    print(rk.prepare_runtime(seed=0))
    rows = rows_of("fashion_mnist", rk.load_splits("fashion_mnist", num_validation=10_000))
    for folder in map(pathlib.Path, folders):
        rows += rows_of(folder.name, rk.load_splits(folder, num_validation=5000, image_size=32))
    pd.DataFrame(rows).to_csv(OUTPUT, index=False)
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main(sys.argv[1:])
