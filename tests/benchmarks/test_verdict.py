"""Do the verdict's intervals hold? python -m pytest -n 0 tests/benchmarks/test_verdict.py

Twenty draws of 20 labels a class. Of each, `measure_gain` says what pretraining is worth to a
linear probe; then the same probes learn from all labels of the draw and are measured on thousands
of test pictures, which tells what it really was. In 18 draws or more it must lie in the interval.

Fashion-MNIST with the extractor that comes with the package, unless ROTNET_KERAS_PICTURES names a
folder of `train/CLASS` and `test/CLASS`: then a network is pretrained on its training pictures.
"""

import os
import pathlib

import numpy as np
import pytest

import rotnet_keras as rk
from rotnet_keras.few_labels.verdict import GIVEN, PIXELS
from rotnet_keras.training import pretrain_for_transfer

DRAWS, EACH = 20, 20


def read_part(folder):
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
    listed = [rk.list_pictures(folder / name) for name in classes]
    files = [path for paths in listed for path in paths]
    labels = np.repeat(np.arange(len(classes)), [len(paths) for paths in listed])
    return rk.read_pictures(files, image_size=32, channels=3), labels


@pytest.fixture(scope="module")
def data():
    """Training and test pictures with labels, and a network pretrained on the former."""
    if "ROTNET_KERAS_PICTURES" not in os.environ:
        splits = rk.load_splits("fashion_mnist")
        extractor = rk.load_extractor("conv_blocks_fashion_mnist")
        return splits.validation, splits.test, extractor
    folder = pathlib.Path(os.environ["ROTNET_KERAS_PICTURES"])
    train, test = (read_part(folder / part) for part in ("train", "test"))
    fresh = rk.conv_blocks_extractor(train[0].shape[1:])
    model, _ = pretrain_for_transfer(fresh, train[0], epochs=5, verbose=0)
    return train, test, rk.remove_head(model)


def without_pretext(extractor, baseline, images, labels, seed):
    assert baseline != GIVEN
    if baseline == PIXELS:
        return rk.pixel_probe(images, labels)
    return rk.linear_probe(rk.with_random_weights(extractor, seed=seed), images, labels)


def test_intervals_cover_the_true_difference(put, data):
    (images, labels), test, extractor = data
    covered = 0
    for seed in range(DRAWS):
        rng = np.random.default_rng(seed)
        of_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        drawn = np.concatenate([rng.choice(places, EACH, replace=False) for places in of_class])
        few = images[drawn], labels[drawn]
        gain = rk.measure_gain(extractor, *few, seed=seed)
        probe = rk.linear_probe(extractor, *few)
        other = without_pretext(extractor, gain.baseline, *few, seed)
        true = 100 * (rk.accuracy(probe, *test) - rk.accuracy(other, *test))
        covered += abs(true - gain.gain) <= gain.ci95
    put(f"true gains within the verdict's interval, of {DRAWS}", covered, "draws", least=18)
