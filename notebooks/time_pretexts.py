"""Seconds of an epoch of each pretext task: python notebooks/time_pretexts.py [FOLDER]

Of Fashion-MNIST and, if it is given, of a folder of pictures, brought to 32 pixels. The tasks take
turns, three times, so that whatever else the machine does slows all of them; the median is kept, in
results/pretext_seconds.csv. Times of different machines are not to be compared, their ratios are.
"""

import pathlib
import sys
import time

import pandas as pd

import rotnet_keras as rk
from rotnet_keras.training import pretrain_for_transfer

OUTPUT = pathlib.Path(__file__).parent / "results" / "pretext_seconds.csv"
IMAGES, TURNS = 12_800, 3  # of which an epoch is timed, and how often
TASKS = {
    "rotation": (pretrain_for_transfer, {}),
    "contrast": (rk.pretrain_contrast, {}),
    "rotation + contrast": (rk.pretrain_contrast, {"rotation_weight": 1.0}),
}


def timed_epoch(images, task):
    """Seconds that an epoch takes: those of two, less those of one, with whatever comes before."""
    pretrain, settings = TASKS[task]
    seconds = []
    for epochs in (1, 2):
        extractor = rk.conv_blocks_extractor(images.shape[1:])
        start = time.perf_counter()
        pretrain(
            extractor, images, epochs=epochs, precision="mixed_bfloat16", verbose=0, **settings
        )
        seconds.append(time.perf_counter() - start)
    return seconds[1] - seconds[0]


def rows_of(dataset, splits):
    """A row for each task, of an epoch of all images without labels of the study."""
    images = splits.training_images
    some = images[:IMAGES]
    times = pd.DataFrame([{task: timed_epoch(some, task) for task in TASKS} for _ in range(TURNS)])
    seconds = times.median() * len(images) / len(some)
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
