"""Images of your own, in whatever form they are given: arrays, lists, datasets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import numpy as np
import tensorflow as tf

from rotnet_keras._base.arrays import check_examples, check_images, check_labels, check_upright
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.values import check_list, got


def check_class_names(name, value):
    """Return two or more names as a list of texts, or raise."""
    names = check_list(name, value, "name")
    if len(names) < 2:
        raise InputError(f"{name} must be two or more, got {got(names)}")
    return [str(one) for one in names]


def check_images_or_pairs(name, value):
    """Return images as an array, or a dataset of pairs as it is, or raise."""
    return value if _is_pairs(name, value) else check_images(value, name)


def check_unlabelled(name, value):
    """Return images, an array or a dataset of single ones, as an array, or raise."""
    if isinstance(value, tf.data.Dataset):
        if not isinstance(value.element_spec, tf.TensorSpec):
            raise InputError(f"{name} must be a dataset of single images, got {value.element_spec}")
        value = _listed(name, value)
    return check_images(value, name)


def check_pair(name, value):
    """Return `(images, labels)`, or a dataset of such pairs, as two arrays, or raise."""
    pair = (value, None) if isinstance(value, tf.data.Dataset) else value
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise InputError(
            f"{name} must be (images, labels), or a dataset of such pairs, got {got(value)}"
        )
    images, labels = pair
    whose = f"{name} "
    if _is_pairs(name, images):
        images, labels = _read_pairs(name, images, labels, whose)
    return check_examples(images, labels, whose=whose)


# What a signature says beside an argument, and what must hold between arguments.
ClassNames = Annotated[Iterable[str], check_class_names]
ImagesOrPairs = Annotated[np.ndarray | tf.data.Dataset, check_images_or_pairs]
Unlabelled = Annotated[np.ndarray | tf.data.Dataset, check_unlabelled]
Pair = Annotated[tuple[np.ndarray, np.ndarray] | tf.data.Dataset, check_pair]


def images_with_labels(images, labels):
    """A relation: square images with a label each, beside the array or within the dataset."""
    if isinstance(images, tf.data.Dataset):
        images, labels = check_examples(*_read_pairs("images", images, labels))
    elif labels is None:
        raise InputError("labels must be given with an array of images, got None")
    else:
        labels = check_labels(labels, len(images))
    return {"images": check_upright(images), "labels": labels}


def _is_pairs(name, value):
    """Whether this is a dataset of pairs, or else no dataset; others are refused."""
    if not isinstance(value, tf.data.Dataset):
        return False
    if not isinstance(value.element_spec, tuple) or len(value.element_spec) != 2:
        raise InputError(
            f"{name} must be a dataset of pairs (image, label), got {value.element_spec}"
        )
    return True


def _read_pairs(name, dataset, labels, whose=""):
    """A list of images and one of labels from a dataset of pairs."""
    if labels is not None:
        raise InputError(
            f"{whose}labels must be None for a dataset, which holds them, got {got(labels)}"
        )
    pairs = _listed(name, dataset)
    if not pairs:
        raise InputError(f"{name} must hold at least one image, got none")
    return map(list, zip(*pairs, strict=True))


def _listed(name, dataset):
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise InputError(f"{name} must be a dataset that ends, got one that repeats without end")
    return list(dataset.as_numpy_iterator())
