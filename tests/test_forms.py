"""Images in whatever form they are given."""

import numpy as np
import pytest
import tensorflow as tf

from rotnet_keras import make_splits


def numbered(count):
    """Images that say which they are."""
    return np.tile(np.arange(count, dtype="uint8")[:, None, None, None], (1, 4, 4, 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": np.arange(59) % 3}, r"labels must be whole numbers of shape \(60,\)"),
        (
            {"labels": np.arange(60) % 3 + 1},
            "labels must hold each of num_classes = 4 classes 0 to 3",
        ),
        ({"class_names": ["a", "b"]}, "labels must hold each of num_classes = 2 .* and no others"),
        ({"num_labels": None}, "num_labels must be given where no images are without labels"),
        (
            {"unlabelled": numbered(4)[:, :3]},
            r"unlabelled must have images like .* got \(3, 4, 1\)",
        ),
        (
            {"test": (numbered(4)[:, :3], np.arange(4) % 3)},
            r"test must have images like the others",
        ),
        (
            {"unlabelled": tf.data.Dataset.from_tensor_slices((numbered(4), np.arange(4)))},
            "unlabelled must be a dataset of single images",
        ),
        (
            {"images": tf.data.Dataset.from_tensor_slices(numbered(4)), "labels": None},
            r"images must be a dataset of pairs \(image, label\)",
        ),
    ],
)
def test_arrays_that_do_not_fit_together(options, message):
    given = {"images": numbered(60), "labels": np.arange(60) % 3, "num_labels": 9, **options}
    with pytest.raises(ValueError, match=message):
        make_splits(given.pop("images"), given.pop("labels"), **given)


def test_an_array_needs_labels():
    with pytest.raises(ValueError, match="labels must be given with an array of images, got None"):
        make_splits(numbered(60), num_labels=9)
    with pytest.raises(ValueError, match="test labels must be whole numbers"):
        make_splits(numbered(60), np.arange(60) % 3, test=(numbered(4), None), num_labels=9)
