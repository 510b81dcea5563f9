"""Pretext tasks by their settings: python notebooks/tune_pretexts.py [FOLDER]

Of Fashion-MNIST and, if it is given, of a folder of pictures, brought to 32 pixels: what a probe of
blocks 2 and 3 gets right of the *validation* images, with a seed that the study does not have. The
test images are not looked at. A setting takes two to four minutes on one CPU core. Rows are kept
in results/pretext_tuning.csv, so a run that was stopped goes on; to make all anew, delete it first.
"""

import pathlib
import sys

import pandas as pd

import rotnet_keras as rk
from rotnet_keras.study.arms import ARMS
from rotnet_keras.study.pretexts import pretrain_on

OUTPUT = pathlib.Path(__file__).parent / "results" / "pretext_tuning.csv"
SEED, BUDGETS = 10, (100, 1000)
KEY = ["dataset", "pretext", "learning_rate", "temperature"]
# By task, its epochs, of which contrast's take twice as long, and its settings.
SETTINGS = {
    "rotation": (5, [(1.5e-3, None), (3e-3, None), (6e-3, None)]),
    "contrast": (4, [(1.5e-3, 0.2), (3e-3, 0.2), (6e-3, 0.2), (3e-3, 0.1), (3e-3, 0.5)]),
}


def load(dataset):
    """The splits of each number of labels, of a data set or a folder."""
    more = {"num_validation": 10_000}
    if isinstance(dataset, pathlib.Path):
        more = {"num_validation": 5000, "image_size": 32}
    return {n: rk.load_splits(dataset, num_labels=n, seed=SEED, **more) for n in BUDGETS}


def measure(splits, task, epochs, rate, temperature):
    """Validation accuracy of the probe by number of labels, after pretraining with a setting."""
    how = {"epochs": epochs, "learning_rate": rate, "precision": "mixed_bfloat16", "verbose": 0}
    how |= {} if temperature is None else {"temperature": temperature}
    most = splits[max(BUDGETS)]
    extractor = rk.conv_blocks_extractor(most.image_shape, seed=SEED)
    model, _ = pretrain_on(task, extractor, most.training_images, seed=SEED, **how)
    network, settings = rk.remove_head(model), ARMS["blocks 2 + 3 probe"].settings
    return {
        n: rk.accuracy(rk.linear_probe(network, *some.labelled, **settings), *some.validation)
        for n, some in splits.items()
    }


def add_missing(name, splits, path):
    """Measure the settings of a data set that a table lacks, and add their rows to it."""
    done = set()
    if path.exists():
        known = pd.read_csv(path)[KEY].astype(object)
        done = {*known.where(known.notna(), None).itertuples(index=False, name=None)}
    for task, (epochs, settings) in SETTINGS.items():
        for setting in settings:
            if (key := (name, task, *setting)) in done:
                continue
            rows = pd.DataFrame(
                dict(zip(KEY, key, strict=True))
                | {"pretrain_epochs": epochs, "num_labels": n, "validation_accuracy": round(x, 4)}
                for n, x in measure(splits, task, epochs, *setting).items()
            )
            rows.to_csv(path, mode="a", header=not path.exists(), index=False)
            print(rows.to_string(index=False, header=False), flush=True)


def main(folders):
    """Add to the table what it lacks of Fashion-MNIST and of the folders."""
    print(rk.prepare_runtime(seed=SEED))
    add_missing("fashion_mnist", load("fashion_mnist"), OUTPUT)
    for folder in map(pathlib.Path, folders):
        add_missing(folder.name, load(folder), OUTPUT)


if __name__ == "__main__":
    main(sys.argv[1:])
