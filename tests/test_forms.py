"""Images in whatever form they are given."""

import traceback

import numpy as np
import pytest
import tensorflow as tf
from valid_calls import IMAGES, LABELS, call

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
        (
            {"num_labels": 50},
            r"num_labels \+ num_validation must be at most 47 of 50 training images, so that some "
            r"stay unlabelled; got 50 \+ 8: num_labels may be up to 39",
        ),
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


PAIRS_STREAM = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))


def uneven():
    """One image of 12 x 12 pixels, and one of 10 x 10."""
    yield from ((image, 0) for image in (IMAGES[0], IMAGES[1, :10, :10]))


UNEVEN = tf.data.Dataset.from_generator(
    uneven, output_signature=(tf.TensorSpec((None, None, 1), "uint8"), tf.TensorSpec((), "int64"))
)


@pytest.mark.parametrize(
    ("argument", "bad", "message"),
    [
        ("images", tf.data.Dataset.from_tensor_slices(IMAGES), "images must be a dataset of pairs"),
        ("images", PAIRS_STREAM.take(0), "images must hold at least one image, got none"),
        ("images", PAIRS_STREAM.repeat(), "images must be a dataset that ends, got"),
        ("images", UNEVEN, "images must be an array of numbers, got"),
        ("unlabelled", PAIRS_STREAM, "unlabelled must be a dataset of single images, got"),
        ("unlabelled", UNEVEN.map(lambda image, label: image), "unlabelled must be an array of"),
        ("unlabelled", UNEVEN.take(0).map(lambda image, label: image), "unlabelled must be .* got"),
        ("test", tf.data.Dataset.from_tensor_slices(IMAGES), "test must be a dataset of pairs"),
        ("test", PAIRS_STREAM.repeat(), "test must be a dataset that ends, got"),
        ("test", UNEVEN, "test images must be an array of numbers, got"),
    ],
)
def test_datasets_that_cannot_be_divided(argument, bad, message, tmp_path):
    with pytest.raises(ValueError, match=message) as refusal:
        call("make_splits", tmp_path, **{"images": PAIRS_STREAM, "labels": None, argument: bad})
    assert traceback.extract_tb(refusal.tb)[-1].line.startswith("raise")
    assert len(str(refusal.value)) < 1000


def test_labels_beside_a_dataset_that_holds_them(tmp_path):
    with pytest.raises(ValueError, match=r"labels must be None for a dataset, .* got int64"):
        call("make_splits", tmp_path, images=PAIRS_STREAM)
