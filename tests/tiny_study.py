"""A study that takes no time: tiny marked images, and two arms that keep a record."""

import collections
import functools

import keras
import numpy as np
import pandas as pd

from rotnet_keras import Examples, Splits, attach_head, split_indices
from rotnet_keras.study import pretexts as study_pretexts
from rotnet_keras.study import run as study_run
from rotnet_keras.study import table as study_table
from rotnet_keras.study.arms import Arm
from rotnet_keras.study.run import run_study

POOL, HELD_OUT = 40, 20
# Options of the command for such a study.
TINY = ["study", "--network", "two_conv", "--validation", "10", "--dataset", "garments", "--output"]


def marked_images(count, first):
    """Images whose first pixel is a number of their own."""
    images = np.random.default_rng(first).integers(0, 256, (count, 12, 12, 1), "uint8")
    images[:, 0, 0, 0] = first + np.arange(count)
    return images


def tiny_splits(name="garments", *, num_labels, num_validation, seed, **_):
    """Two classes, 40 images marked 0 to 39 to learn from and 20 marked 100 to 119 to test on."""
    images, labels = marked_images(POOL, 0), np.arange(POOL) % 2
    unlabelled, labelled, validation = split_indices(
        labels, num_labels=num_labels, num_validation=num_validation, seed=seed
    )
    return Splits(
        name=name,
        class_names=("even", "odd"),
        unlabelled=images[unlabelled],
        labelled=Examples(images[labelled], labels[labelled]),
        validation=Examples(images[validation], labels[validation]),
        test=Examples(marked_images(HELD_OUT, 100), np.arange(HELD_OUT) % 2),
        stand_in=True,
    )


class Answers:
    """A classifier that tells even marks from odd ones, or says "even" to everything."""

    output_shape = (None, 2)

    def __init__(self, knows):
        self.knows = knows

    def __call__(self, images, training=False):
        odd = np.asarray(images)[:, 0, 0, 0] % 2 * self.knows
        return np.eye(2)[odd.astype(int)]


class Fits(list):
    """A record of all fits, which breaks off before the one numbered `stop_at`, as Ctrl-C does."""

    stop_at = None

    def fit(self, extractor, images, labels, *, arm, knows, unlabelled, seed, **settings):
        if len(self) == self.stop_at:
            self.stop_at = None
            raise KeyboardInterrupt
        self.append(
            {"arm": arm, "num_labels": len(labels), "seed": seed, "settings": settings}
            | {"extractor": extractor, "images": images, "unlabelled": unlabelled}
        )
        return Answers(knows)

    def arm(self, name, settings, *, pretext):
        fit = functools.partial(self.fit, arm=name, knows=pretext)
        return {name: Arm(fit, settings, pretext=pretext)}

    def counts(self):
        return collections.Counter((f["arm"], f["num_labels"], f["seed"]) for f in self)


def fits(monkeypatch):
    """Tiny images in place of any data set, and two quick arms that keep a record."""
    fits = Fits()
    arms = fits.arm("knowing, well", {"strength": 0.25}, pretext=True)
    arms |= fits.arm("guessing", {"blocks": (1, 2)}, pretext=False)
    monkeypatch.setattr(study_run, "ARMS", arms)
    monkeypatch.setattr(study_table, "ARMS", arms)
    monkeypatch.setattr(study_run, "load_splits", tiny_splits)
    return fits


def pretrained(monkeypatch):
    """Skip pretraining itself, of a network that loads fast; a record of what it was asked for."""
    asked = []

    def network(shape, seed):
        images = keras.Input(shape)
        initial = keras.initializers.GlorotUniform(seed=seed)
        x = keras.layers.Flatten(name="block1")(images)
        x = keras.layers.Dense(3, kernel_initializer=initial, name="block2")(x)
        return keras.Model(images, keras.layers.ReLU(name="block3")(x))

    def pretrain(extractor, images, **settings):
        asked.append({"images": images, **settings})
        return attach_head(extractor, len(settings["rotations"])), None

    monkeypatch.setattr(study_pretexts, "pretrain_for_transfer", pretrain)
    monkeypatch.setattr(study_pretexts, "rotation_accuracy", lambda *_, **__: 0.75)
    monkeypatch.setitem(study_run.NETWORKS, "two_conv", network)
    # The search for garbage takes ten times as long as such a run.
    monkeypatch.setattr(study_run, "free_memory", lambda: None)
    return asked


def quick(output, arms=("knowing, well", "guessing"), budgets=(2, 6), seeds=(0, 1), **settings):
    settings = {"network": "two_conv", "pretrain_epochs": 1, "num_validation": 10} | settings
    settings = {"verbose": 0, "dataset": "garments"} | settings
    return run_study(arms, budgets, seeds, output=output, **settings)


def quick_text(folder):
    """The table of four quick runs, as text."""
    quick(folder, seeds=[0])
    return (folder / "study.csv").read_text(encoding="utf-8")


def keys(table):
    return [tuple(key) for key in table[["arm", "num_labels", "seed"]].itertuples(index=False)]


def rows(arm, budget, accuracies, *, validation, pretext=False, first_seed=0):
    """Rows of a table of runs with such accuracies."""
    return [
        {
            "arm": arm,
            "num_labels": budget,
            "seed": seed,
            "pretext": "rotation" if pretext else "none",
        }
        | {"network": "conv_blocks", "pretrain_epochs": 10, "rotations": "0 90 180 270"}
        | {"validation_accuracy": validation, "test_accuracy": accuracy}
        for seed, accuracy in enumerate(accuracies, start=first_seed)
    ]


def hand_made():
    return pd.DataFrame(
        [
            *rows("plain", 10, [0.5, 0.6, 0.7], validation=0.6),
            *rows("flashy", 10, [0.9, 0.9, 0.9], validation=0.5),
            *rows("once", 10, [0.8], validation=0.99),
            *rows("pretrained", 10, [0.8, 0.9, 0.1], validation=1, pretext=True, first_seed=1),
            *rows("plain", 50, [0.6, 0.8], validation=0.6),
            *rows("flashy", 50, [0.7, 0.7], validation=0.7),
        ]
    )
