"""Make notebook 05's tables: python notebooks/make_symmetry.py --seeds 5

For digits as they come, centred digits and clothes, and for each seed: how often a pretrained
network tells each class's rotations (results/rotation_symmetry.csv), and what three classifiers
trained on 100 labels get right of the test images (results/rotation_transfer.csv). Five seeds take
about twenty minutes on two CPU cores. What the tables hold is kept, so a run that was stopped goes
on; to make all anew, delete both files first.
"""

import argparse
import functools
import pathlib

import numpy as np
import pandas as pd

import rotnet_keras as rk

RESULTS = pathlib.Path(__file__).parent / "results"
CLASSES, ARMS = RESULTS / "rotation_symmetry.csv", RESULTS / "rotation_transfer.csv"
# A data set's name, and the black rows below and columns on the right that are added to it.
SOURCES = {"digits": ("mnist", 0), "centred digits": ("mnist", 1), "clothes": ("fashion_mnist", 0)}
MNIST_PIXELS = 264_923_200  # sum over its 10,000 test images
NUM_LABELS, PRETRAIN_EPOCHS, HEAD_EPOCHS = 100, 3, 100  # 4 updates for each epoch of a head
# Adam's learning rates, chosen on the validation images of seed 0 after one epoch of pretraining,
# but for frozen on digits as they come, which has that of the other two data sets.
RATES = {
    "digits": {"from scratch": 0.01, "frozen": 0.03, "fine-tuned": 0.003},
    "centred digits": {"from scratch": 0.01, "frozen": 0.03, "fine-tuned": 0.01},
    "clothes": {"from scratch": 0.01, "frozen": 0.03, "fine-tuned": 0.003},
}


@functools.lru_cache(maxsize=2)
def load(source, seed):
    """A data set's splits, with 100 labelled images of this seed's draw; MNIST must be MNIST."""
    splits = rk.load_splits(source, num_labels=NUM_LABELS, seed=seed)
    pixels = int(splits.test.images.sum(dtype="int64"))
    if source == "mnist" and pixels != MNIST_PIXELS:
        raise SystemExit(
            f"these are not the digits of MNIST: the pixels of its test images add up to "
            f"{MNIST_PIXELS:,}, of these to {pixels:,}. Set TFDS_DATA_DIR to a folder with MNIST."
        )
    return splits


def draw(name, seed):
    """Unlabelled images, labelled and test ones, as `SOURCES` says, and the classes' names."""
    source, margin = SOURCES[name]
    splits, edges = load(source, seed), [(0, 0), (0, margin), (0, margin), (0, 0)]
    labelled, test = (
        part._replace(images=np.pad(part.images, edges)) for part in (splits.labelled, splits.test)
    )
    return np.pad(splits.unlabelled, edges), labelled, test, splits.class_names


def train_arms(name, seed, extractor, labelled):
    """The three classifiers, each after the same number of updates."""
    arms = {"from scratch": rk.train_from_scratch, "frozen": rk.train_head}
    classifiers = {}
    for arm, train in (arms | {"fine-tuned": rk.fine_tune}).items():
        classifiers[arm], _ = train(
            extractor,
            *labelled,
            epochs=HEAD_EPOCHS,
            batch_size=25,
            optimizer="adam",
            learning_rate=RATES[name][arm],
            seed=seed,
            verbose=0,
        )
    return classifiers


def measure(name, seed):
    """Pretrain and train one seed's networks; a row for each class, and one for the arms."""
    unlabelled, labelled, test, class_names = draw(name, seed)
    extractor = rk.two_conv_extractor(unlabelled.shape[1:], feature_dim=16, seed=seed)
    model, _ = rk.pretrain(extractor, unlabelled, epochs=PRETRAIN_EPOCHS, seed=seed, verbose=0)
    report = rk.rotation_report(rk.rotation_confusion(model, *test), class_names)
    classifiers = train_arms(name, seed, rk.remove_head(model), labelled)
    run = pd.DataFrame([{"data": name, "seed": seed}])
    accuracies = {arm: rk.accuracy(classifier, *test) for arm, classifier in classifiers.items()}
    return run.merge(report.reset_index(), how="cross"), run.assign(**accuracies)


def holds(table, name, seed):
    """Whether a table holds this data set's run with this seed."""
    if not table.exists():
        return False
    return (name, seed) in pd.read_csv(table).set_index(["data", "seed"]).index


def add_run(name, seed):
    """Measure a run and add its rows to the tables that do not hold it."""
    for table, rows in zip((CLASSES, ARMS), measure(name, seed), strict=True):
        if not holds(table, name, seed):  # it holds it where a run was stopped between the two
            table.parent.mkdir(exist_ok=True)
            rows.round(6).to_csv(table, mode="a", header=not table.exists(), index=False)
    shares = [f"{arm} {share:.1%}" for arm, share in rows.iloc[0, 2:].items()]
    print(f"{name}, seed {seed}:", ", ".join(shares), flush=True)


def main():
    """Add to both tables the runs that they lack."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds, from 0 (default: 5)")
    seeds = parser.parse_args().seeds
    print(rk.prepare_runtime(seed=0))
    load("mnist", 0)  # refused before anything is computed
    for seed in range(seeds):
        for name in SOURCES:
            if not all(holds(table, name, seed) for table in (CLASSES, ARMS)):
                add_run(name, seed)


if __name__ == "__main__":
    main()
