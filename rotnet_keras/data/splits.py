"""Splits: labelled, unlabelled, validation and test images, and how they are drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

from rotnet_keras._base.arrays import Labels, check_every_class
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.values import Count, Seed, Source, got
from rotnet_keras.data.forms import (
    ClassNames,
    ImagesOrPairs,
    Pair,
    Unlabelled,
    images_with_labels,
)
from rotnet_keras.data.look import sixth


class Examples(NamedTuple):
    """Images `(N, H, W, C)`, 0..255, and their labels `(N,)` int32; those of files are uint8."""

    images: np.ndarray
    labels: np.ndarray

    def __repr__(self) -> str:
        return f"Examples({got(self.images)}, {got(self.labels)})"

    def __eq__(self, other: object) -> bool:
        """Whether the same images have the same labels; a pair of arrays will do."""
        return (
            isinstance(other, tuple)
            and len(other) == len(self)
            and all(map(np.array_equal, self, other))
        )

    def __ne__(self, other: object) -> bool:  # or that of a tuple would be found
        return not self == other


Examples.__hash__ = None  # type: ignore  # arrays can change, and have none either


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Splits:
    """One data set, divided for an experiment with few labels; `==` compares what it holds.

    Attributes:
        name: of the data set.
        class_names: one a class, in the order of the labels.
        unlabelled: `(N, H, W, C)` images, N 0 where all have labels; theirs are not kept.
        labelled: the few `Examples` to learn the classes from, stratified.
        validation: `Examples` to choose with.
        test: `Examples` to report on, the official test set where there is one.
        stand_in: True for the drawn garments, which are no real data.
        fit: how oblong pictures became squares, as in `read_pictures`.
        ground: what showed through pictures' transparency, as in `read_pictures`.
        white: levels of black and white in pictures of 16 bits; None where there were none.
        skipped: files of a folder that could not be read.
        test_drawn: whether the test was drawn from the images with labels, having none of its own.
        files: of a folder, the path of each picture within it, by a digest of its pixels.
    """

    name: str
    class_names: tuple[str, ...]
    unlabelled: np.ndarray
    labelled: Examples
    validation: Examples
    test: Examples
    stand_in: bool = False
    fit: str = "crop"
    ground: int | tuple[int, int, int] = 255
    white: tuple[int, int] | None = None
    skipped: tuple[str, ...] = ()
    test_drawn: bool = False
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """`(height, width, channels)` of every image."""
        return self.unlabelled.shape[1:]

    @property
    def training_images(self) -> np.ndarray:
        """What may be pretrained on: the labelled images, then the unlabelled ones."""
        if not len(self.unlabelled):
            return self.labelled.images
        return np.concatenate([self.labelled.images, self.unlabelled])

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def __repr__(self) -> str:
        labelled, validation, test = (
            len(part.labels) for part in (self.labelled, self.validation, self.test)
        )
        return (
            f"Splits({self.name!r}, {self.num_classes} classes of {self.image_shape}: "
            f"{len(self.unlabelled)} unlabelled, {labelled} labelled, {validation} validation, "
            f"{test} test)"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Splits):
            return NotImplemented
        fields = (field.name for field in dataclasses.fields(self))
        return all(_same(getattr(self, name), getattr(other, name)) for name in fields)

    __hash__ = None  # type: ignore[assignment]


def _same(one, other):
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


@public(images_with_labels)
def make_splits(
    images: ImagesOrPairs,
    labels: Labels | None = None,
    *,
    unlabelled: Unlabelled | None = None,
    test: Pair | None = None,
    class_names: ClassNames | None = None,
    name: Source = "images",
    num_labels: Count | None = None,
    num_validation: Count | None = None,
    seed: Seed = 0,
) -> Splits:
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
            are, and if all have labels, none are unlabelled.
        num_validation: validation images in all; None for a sixth of the labelled ones.
        seed: of the draw.

    Returns:
        `Splits`, in memory.

    Raises:
        InputError: arguments that do not fit together, or more images asked for than there are.

    Example:
        >>> images = np.zeros((60, 12, 12, 1), "uint8")
        >>> make_splits(images, np.arange(60) % 2, unlabelled=images[:9])
        Splits('images', 2 classes of (12, 12, 1): 9 unlabelled, 42 labelled, 8 validation, 10 test)
    """
    # What the arrays hold is looked at here, since data sets that were loaded come here, too.
    names = None if class_names is None else tuple(class_names)
    images, labels, num_classes = check_every_class(images, labels, names and len(names))
    names = names or tuple(map(str, range(num_classes)))
    train = Examples(images, labels.astype("int32"))
    drawn = test is None
    if test is None:
        train, test = _take(train, sixth(len(train.labels), num_classes), seed=0)
    test = Examples(*test)
    _check_alike(train, unlabelled, test, num_classes)
    if num_validation is None:
        num_validation = sixth(len(train.labels), num_classes)
    rest, labelled, validation = _divide(
        train, unlabelled, num_labels, num_validation, num_classes, seed
    )
    test = Examples(test.images, test.labels.astype("int32"))
    return Splits(str(name), names, rest, labelled, validation, test, test_drawn=drawn)


def _divide(train, unlabelled, num_labels, num_validation, num_classes, seed):
    """Unlabelled images, labelled and validation examples."""
    left = len(train.labels) - num_validation
    if num_labels in (None, left):
        if not num_classes <= num_validation <= len(train.labels) - num_classes:
            raise InputError(
                f"num_validation must lie in {num_classes}..{len(train.labels) - num_classes}, so "
                f"that each class can be learnt and watched, got {num_validation}"
            )
        labelled, validation = _take(train, num_validation, seed=seed)
        _check_classes_left(train.labels, labelled.labels, "num_validation", num_validation)
        return train.images[:0] if unlabelled is None else unlabelled, labelled, validation
    some_stay_unlabelled(train.labels, num_labels, num_validation)
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


def _take(examples, count, *, seed):
    """Divide examples into the others and `count` drawn ones."""
    labels = examples.labels
    parts = _stratified(np.arange(len(labels)), labels, count, seed)
    return [Examples(examples.images[part], labels[part]) for part in parts]


def labels_from_0(labels):
    """A relation: no label below 0."""
    if labels.min() < 0:
        raise InputError(f"labels must be whole numbers from 0, got {labels.min()}")


def some_stay_unlabelled(labels, num_labels, num_validation):
    """A relation: each class can be drawn from, and some images are left over."""
    num_classes = len(np.unique(labels))
    for argument, value in (("num_labels", num_labels), ("num_validation", num_validation)):
        if value < num_classes:
            raise InputError(
                f"{argument} must be at least {num_classes}, one for each class, got {value}"
            )
    most = len(labels) - num_classes
    if num_labels + num_validation > most:
        rest = most - num_validation
        raise InputError(
            f"num_labels + num_validation must be at most {most} of {len(labels)} training images, "
            f"so that some stay unlabelled; got {num_labels} + {num_validation}"
            + (f": num_labels may be up to {rest}" if rest >= num_classes else "")
        )


@public(labels_from_0, some_stay_unlabelled)
def split_indices(
    labels: Labels, *, num_labels: Count, num_validation: Count, seed: Seed = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw disjoint unlabelled, labelled and validation indices, the last two stratified.

    Args:
        labels: `(N,)` whole numbers.
        num_labels: labelled indices wanted.
        num_validation: validation indices wanted.
        seed: of the draw.

    Returns:
        `(unlabelled, labelled, validation)`, integer arrays that together hold 0 to N - 1 once.

    Raises:
        InputError: more asked for than there is, fewer than one for each class, or labels that are
            not whole numbers from 0.

    Example:
        >>> parts = split_indices(np.arange(100) % 2, num_labels=10, num_validation=20)
        >>> [len(part) for part in parts]
        [70, 10, 20]
    """
    rest, validation = _stratified(np.arange(len(labels)), labels, num_validation, seed)
    unlabelled, labelled = _stratified(rest, labels, num_labels, seed)
    _check_classes_left(labels, labels[labelled], "num_labels", num_labels)
    return unlabelled, labelled, validation


def _check_classes_left(labels, labelled, argument, value):
    """Raise where a rare class has no labelled image to learn from."""
    missing = np.setdiff1d(labels, labelled)
    if len(missing):
        size = "small" if argument == "num_validation" else "large"
        counts = {int(one): int(np.sum(labels == one)) for one in missing}
        raise InputError(
            f"{argument} must be {size} enough to leave each class labelled images, got {value}, "
            f"which leaves out the rare classes {missing.tolist()}; without test and validation "
            f"they have {counts} images: label more of them, or leave those classes out"
        )


def _stratified(indices, labels, count, seed):
    """Divide indices into the others and `count` drawn ones, classes in proportion.

    A class that is too rare for its share has an image in both all the same.
    """
    try:
        rest, drawn = train_test_split(
            indices, test_size=count, stratify=labels[indices], random_state=seed
        )
        _lend_rare(rest, drawn, labels)
        _lend_rare(drawn, rest, labels)
        return rest, drawn
    except ValueError as error:
        classes, counts = np.unique(labels, return_counts=True)
        raise InputError(
            "labels must hold each class several times to be divided, class "
            f"{classes[counts.argmin()]} is too rare with {counts.min()} images here: labelled, "
            f"validation and test images need one each; label more, or leave it out ({error})"
        ) from error


def _lend_rare(lender, taker, labels):
    """Exchange an image of each class that one part lacks for one of its most common class."""
    for rare in np.setdiff1d(labels[lender], labels[taker]):
        there, common = np.flatnonzero(labels[lender] == rare), np.bincount(labels[taker]).argmax()
        place = np.flatnonzero(labels[taker] == common)[0]
        if len(there) > 1 or len(taker) < len(lender):  # a last image goes to the smaller part
            lender[there[0]], taker[place] = taker[place], lender[there[0]]
