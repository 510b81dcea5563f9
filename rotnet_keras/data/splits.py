"""Splits: labelled, unlabelled, validation and test images, and how they are drawn."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from sklearn.model_selection import train_test_split

from rotnet_keras._base.arrays import (
    check_every_class,
    check_examples,
    check_images,
    check_labels,
    check_upright,
)
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.values import (
    check_counts,
    check_counts_or_none,
    check_list,
    check_seed,
    check_source,
    got,
)


class Examples(NamedTuple):
    """Images `(N, H, W, C)` uint8, 0..255, and their labels `(N,)` int32."""

    images: np.ndarray
    labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Splits:
    """One data set, divided for an experiment with few labels.

    Attributes:
        name: of the data set.
        class_names: one a class, in the order of the labels.
        unlabelled: `(N, H, W, C)` uint8 images; their labels are not kept.
        labelled: the few `Examples` to learn the classes from, stratified.
        validation: `Examples` to choose with.
        test: `Examples` to report on, the official test set where there is one.
        stand_in: True for the drawn garments, which are no real data.
        fit: how oblong pictures became squares, as in `read_pictures`.
        skipped: files of a folder that could not be read.
    """

    name: str
    class_names: tuple[str, ...]
    unlabelled: np.ndarray
    labelled: Examples
    validation: Examples
    test: Examples
    stand_in: bool = False
    fit: str = "crop"
    skipped: tuple[str, ...] = ()

    @property
    def image_shape(self):
        """`(height, width, channels)` of every image."""
        return self.unlabelled.shape[1:]

    @property
    def num_classes(self):
        """Number of classes."""
        return len(self.class_names)


def make_splits(
    images,
    labels=None,
    *,
    unlabelled=None,
    test=None,
    class_names=None,
    name="images",
    num_labels=None,
    num_validation=None,
    seed=0,
):
    """Divide images of your own, arrays or datasets, as `load_splits` divides a named data set.

    Args:
        images: `(N, S, S, C)` array of pixels 0..255, or a `tf.data.Dataset` of single
            `(image, label)` pairs.
        labels: `(N,)` whole numbers from 0, each class several times; None for a dataset.
        unlabelled: more images without labels, an array or a dataset of single images.
        test: `(images, labels)`, or a dataset of pairs; None takes a sixth of the labelled images
            away, the same ones for every seed.
        class_names: one a class; None names them by their numbers.
        name: of the data, for titles.
        num_labels: labelled images in all; the others join the unlabelled ones. None for all there
            are, where there are unlabelled ones.
        num_validation: validation images in all; None for a sixth of the labelled ones.
        seed: of the draw.

    Returns:
        `Splits`, in memory.

    Raises:
        ValueError: arguments that do not fit together, or more images asked for than there are.

    Example:
        >>> images = np.zeros((60, 12, 12, 1), "uint8")
        >>> splits = make_splits(images, np.arange(60) % 2, unlabelled=images)
        >>> [len(part.labels) for part in (splits.labelled, splits.validation, splits.test)]
        [42, 8, 10]
    """
    check_counts_or_none(num_labels=num_labels, num_validation=num_validation)
    check_seed(seed)
    check_source("name", name)
    if class_names is not None:
        class_names = check_list("class_names", class_names, "name")
        if len(class_names) < 2:
            raise InputError(f"class_names must be two or more, got {got(class_names)}")
    images, labels = _examples("images", images, labels)
    check_upright(images)
    images, labels, num_classes = check_every_class(
        images, labels, None if class_names is None else len(class_names)
    )
    train = Examples(images, labels.astype("int32"))
    unlabelled = None if unlabelled is None else _stacked("unlabelled", unlabelled)
    names = [str(name) for name in class_names or range(num_classes)]
    if test is None:
        train, test = _take(train, max(len(train.labels) // 6, num_classes), seed=0)
    else:
        pair = (test, None) if isinstance(test, tf.data.Dataset) else test
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise InputError(
                f"test must be (images, labels), or a dataset of such pairs, got {got(test)}"
            )
        test = _examples("test", *pair)
    _check_alike(train, unlabelled, test, num_classes)
    if num_validation is None:
        num_validation = max(len(train.labels) // 6, num_classes)
    parts = _divide(train, unlabelled, num_labels, num_validation, num_classes, seed)
    test = Examples(test.images, test.labels.astype("int32"))
    return Splits(str(name), tuple(names), *parts, test)


def _divide(train, unlabelled, num_labels, num_validation, num_classes, seed):
    """Unlabelled images, labelled and validation examples."""
    left = len(train.labels) - num_validation
    if unlabelled is not None and num_labels in (None, left):
        if not num_classes <= num_validation <= len(train.labels) - num_classes:
            raise InputError(
                f"num_validation must lie in {num_classes}..{len(train.labels) - num_classes}, so "
                f"that each class can be learnt and watched, got {num_validation}"
            )
        labelled, validation = _take(train, num_validation, seed=seed)
        _check_classes_left(train.labels, labelled.labels, "num_validation", num_validation)
        return unlabelled, labelled, validation
    if num_labels is None:
        raise InputError(
            "num_labels must be given where no images are without labels, got None; it may be up "
            f"to {left - num_classes}"
        )
    counts = {"num_labels": num_labels, "num_validation": num_validation}
    rest, *drawn = split_indices(train.labels, **counts, seed=seed)
    rest = train.images[rest]
    unlabelled = rest if unlabelled is None else np.concatenate([unlabelled, rest])
    return unlabelled, *(Examples(train.images[i], train.labels[i]) for i in drawn)


def _check_alike(train, unlabelled, test, num_classes):
    """Raise unless all images are of one shape and the test's labels are known classes."""
    wanted = train.images.shape[1:]
    for argument, images in (("unlabelled", unlabelled), ("test", test.images)):
        if images is not None and images.shape[1:] != wanted:
            raise InputError(
                f"{argument} must have images like the others, {wanted}, got {images.shape[1:]}"
            )
    lowest, highest = test.labels.min(), test.labels.max()
    if lowest < 0 or highest >= num_classes:
        raise InputError(f"test must have labels in 0..{num_classes - 1}, got {lowest}..{highest}")


def _examples(argument, images, labels):
    """Check labelled images of whatever form, and bring them into arrays."""
    whose = "test " if argument == "test" else ""
    if isinstance(images, tf.data.Dataset):
        if labels is not None:
            raise InputError(
                f"{whose}labels must be None for a dataset, which holds them, got {got(labels)}"
            )
        if not isinstance(images.element_spec, tuple) or len(images.element_spec) != 2:
            raise InputError(
                f"{argument} must be a dataset of pairs (image, label), got {images.element_spec}"
            )
        pairs = _listed(argument, images)
        if not pairs:
            raise InputError(f"{argument} must hold at least one image, got none")
        images, labels = map(list, zip(*pairs, strict=True))
    return Examples(*check_examples(images, labels, whose=whose))


def _stacked(argument, images):
    if isinstance(images, tf.data.Dataset):
        if not isinstance(images.element_spec, tf.TensorSpec):
            raise InputError(
                f"{argument} must be a dataset of single images, got {images.element_spec}"
            )
        images = _listed(argument, images)
    return check_images(images, argument)


def _listed(argument, dataset):
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise InputError(f"{argument} must be a dataset that ends, got one that goes on for ever")
    return list(dataset.as_numpy_iterator())


def _take(examples, count, *, seed):
    """Divide examples into the others and `count` drawn ones."""
    labels = examples.labels
    parts = _stratified(np.arange(len(labels)), labels, count, seed)
    return [Examples(examples.images[part], labels[part]) for part in parts]


def split_indices(labels, *, num_labels, num_validation, seed=0):
    """Draw disjoint unlabelled, labelled and validation indices, the last two stratified.

    Args:
        labels: `(N,)` whole numbers.
        num_labels: labelled indices wanted.
        num_validation: validation indices wanted.
        seed: of the draw.

    Returns:
        `(unlabelled, labelled, validation)`, integer arrays that together hold 0 to N - 1 once.

    Raises:
        ValueError: more asked for than there is, fewer than one for each class, or labels that are
            not whole numbers from 0.

    Example:
        >>> parts = split_indices(np.arange(100) % 2, num_labels=10, num_validation=20)
        >>> [len(part) for part in parts]
        [70, 10, 20]
    """
    labels = check_labels(labels)
    if labels.min() < 0:
        raise InputError(f"labels must be whole numbers from 0, got {labels.min()}")
    check_counts(num_labels=num_labels, num_validation=num_validation)
    check_seed(seed, largest=2**32 - 1)
    num_classes = len(np.unique(labels))
    for argument, value in (("num_labels", num_labels), ("num_validation", num_validation)):
        if value < num_classes:
            raise InputError(
                f"{argument} must be at least {num_classes}, one for each class, got {value}"
            )
    most = len(labels) - num_classes
    if num_labels + num_validation > most:
        raise InputError(
            f"num_labels + num_validation must be at most {most} of {len(labels)} training images, "
            f"so that some stay unlabelled; got {num_labels} + {num_validation}"
        )
    rest, validation = _stratified(np.arange(len(labels)), labels, num_validation, seed)
    unlabelled, labelled = _stratified(rest, labels, num_labels, seed)
    _check_classes_left(labels, labels[labelled], "num_labels", num_labels)
    return unlabelled, labelled, validation


def _check_classes_left(labels, labelled, argument, value):
    """Raise where a rare class has no labelled image to learn from."""
    missing = np.setdiff1d(labels, labelled)
    if len(missing):
        size = "small" if argument == "num_validation" else "large"
        raise InputError(
            f"{argument} must be {size} enough to leave each class labelled images, got {value}, "
            f"which leaves out the rare classes {missing.tolist()}"
        )


def _stratified(indices, labels, count, seed):
    """Divide indices into the others and `count` drawn ones, classes in proportion."""
    try:
        return train_test_split(
            indices, test_size=count, stratify=labels[indices], random_state=seed
        )
    except ValueError as error:
        classes, counts = np.unique(labels, return_counts=True)
        raise InputError(
            "labels must hold each class several times to be divided, class "
            f"{classes[counts.argmin()]} is too rare with {counts.min()} images: {error}"
        ) from error
