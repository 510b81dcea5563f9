"""Checks of arrays: images, labels, places, probabilities."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import tensorflow as tf

from rotnet_keras._base.errors import InputError
from rotnet_keras._base.values import check_count, got

LOOKED_AT = 32  # images at the beginning of a stream
ROUNDING = 0.5  # that resizing or arithmetic may lead out of 0..255
MOST_CLASSES = 100_000  # ImageNet-21k has 21,841; a head for a label of 10**12 fits no memory


def count_classes(labels):
    """Number of classes that labels from 0 tell, or raise where one is hardly that of a class."""
    if labels.max() >= MOST_CLASSES:
        raise InputError(
            f"labels must lie in 0..{MOST_CLASSES - 1} where num_classes does not say how many "
            f"there are, got {labels.min()}..{labels.max()}"
        )
    return max(int(labels.max()) + 1, 1)


def check_array(name, values):
    """Return real numbers as an array of one axis or more, or raise."""
    try:
        array = np.asarray(values)
    except Exception as error:  # ragged lists; a tensor of another library that refuses
        raise InputError(
            f"{name} must be an array of numbers, got {got(values)}: {error}"
        ) from error
    if not is_real(array.dtype) or array.ndim == 0:
        raise InputError(f"{name} must be an array of real numbers, got {got(values)}")
    return array


def check_finite(name, array):
    """Raise if an array of `check_array` holds NaN or infinity."""
    # Whole numbers need no look; the smallest and largest tell, and no array of flags is made.
    if array.size and not np.issubdtype(array.dtype, np.integer):
        extremes = np.array([array.min(), array.max()], "float64")
        if not np.isfinite(extremes).all():
            raise InputError(f"{name} must be finite, got {extremes.min()} to {extremes.max()}")


def check_pixels(name, array):
    """Raise unless an array of `check_array` holds pixels 0..255, as everything here takes them.

    Images scaled to 0..1, as many a network of others wants them, would be all black here.
    """
    if not array.size or array.dtype == np.uint8:
        return
    check_finite(name, array)
    low, high = float(array.min()), float(array.max())
    mend = _mend(name, low, high)
    if mend:
        raise InputError(
            f"{name} must be pixels 0..255, got {array.dtype} from {low:g} to {high:g}; {mend}"
        )


def _mend(name, low, high):
    """What brings numbers of this range to 0..255; "" where nothing needs to."""
    if (low, high) == (0, 0) or (high > 1 and low >= -ROUNDING and high <= 255 + ROUNDING):
        return ""
    name = name if name.isidentifier() else "images"
    if low >= 0 and high <= 1:
        return f"if they were scaled to 0..1, give {name} * 255 (if they are so dark, as uint8)"
    if low >= -1 and high <= 1:
        return f"if they were scaled to -1..1, give ({name} + 1) * 127.5"
    if low >= -ROUNDING and high <= 65_535:
        return f"if they have 16 bits, give {name} / white * 255, white such as 65535 or 4095"
    return "bring them to this range"


def check_images(images, name="images", *, model=None):
    """Return images `(N, H, W, C)` as an array, or raise, also where `model` takes others."""
    images = check_array(name, images)
    if images.ndim != 4 or 0 in images.shape:
        raise InputError(
            f"{name} must be (N, H, W, C) with N at least 1 and no side of 0, got {images.shape}"
        )
    check_pixels(name, images)
    if model is not None:
        check_fits(images.shape[1:], model, name)
    return images


def check_fits(shape, model, name="images"):
    """Raise unless images of a shape `(H, W, C)` fit the input of a model, where it says what."""
    takes = getattr(model, "input_shape", None)
    if not isinstance(takes, tuple):
        return
    same = len(shape) == len(takes) - 1 and all(
        size is None or size == own for own, size in zip(shape, takes[1:], strict=True)
    )
    if not same:
        raise InputError(f"{name} must fit the model's input {takes[1:]}, got {tuple(shape)}")


def check_examples(images, labels, *, model=None, whose=""):
    """Return labelled images as arrays, or raise unless each image has one whole-number label."""
    images = check_images(images, f"{whose}images", model=model)
    return images, check_labels(labels, len(images), f"{whose}labels")


def check_labels(labels, count=None, name="labels", *, each="images"):
    """Return labels as an array, or raise unless they are so many whole numbers, one or more."""
    try:
        labels = np.asarray(labels)
    except Exception as error:  # as in `check_array`
        raise InputError(f"{name} must be whole numbers, got {got(labels)}: {error}") from error
    count = count or max(labels.size, 1)
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"{name} must be whole numbers of shape ({count},), one for each of the {each}, "
            f"got {labels.dtype} of shape {labels.shape}"
        )
    return labels


def check_indices(name, values, length, *, ndim=1, of="images"):
    """Return places in 0..length - 1 as an array of `ndim` axes, one place or more, or raise."""
    indices = check_array(name, values)
    if indices.ndim != ndim or not indices.size or not np.issubdtype(indices.dtype, np.integer):
        axes = "(Q,)" if ndim == 1 else "(Q, K)"
        raise InputError(f"{name} must be whole numbers {axes}, one or more, got {got(indices)}")
    if indices.min() < 0 or indices.max() >= length:
        raise InputError(
            f"{name} must lie in 0..{length - 1}, the places of the {length} {of}, "
            f"got {indices.min()}..{indices.max()}"
        )
    return indices


def check_have_names(labels, class_names, name="labels"):
    """Raise unless each label has a name."""
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise InputError(
            f"{name} must lie in 0..{len(class_names) - 1}, one of the class_names each, "
            f"got {labels.min()}..{labels.max()}"
        )


def check_below(labels, number, name="labels"):
    """Raise unless labels are those of so many outputs."""
    if labels.min() < 0 or labels.max() >= number:
        raise InputError(
            f"{name} must lie in 0..{number - 1}, the model's {number} outputs, "
            f"got {labels.min()}..{labels.max()}"
        )


def check_outputs(labels, model, name="labels"):
    """Raise unless the model, where it says how many outputs it has, has one for each label."""
    check_below(labels, getattr(model, "output_shape", (None, np.inf))[-1], name)


def check_every_class(images, labels, num_classes=None, *, model=None):
    """Return arrays and the number of classes, or raise unless each class has an image."""
    images, labels = check_examples(images, labels, model=model)
    num_classes = check_count("num_classes", classes_of(labels, num_classes), least=2)
    every_class_has_an_image(labels, num_classes)
    return images, labels, num_classes


def is_real(dtype):
    """Say whether a NumPy dtype is of real numbers or flags; bfloat16 is none of NumPy's own."""
    return dtype.kind in "biuf" or dtype.name == "bfloat16"


def check_upright(images, name="images"):
    """Return images to be turned, an array or a dataset of single ones, or raise."""
    if isinstance(images, tf.data.Dataset):
        return check_stream(images, name)
    images = check_array(name, images)
    check_square(images.shape, name)
    if not images.size:
        raise InputError(f"{name} must be at least one, with no side of 0, got {images.shape}")
    check_pixels(name, images)
    return images


def check_stream(images, name="images"):
    """Return a dataset of single square images, or raise, where they come with labels too."""
    spec = images.element_spec
    if not isinstance(spec, tf.TensorSpec):
        raise InputError(
            f"{name} must be a dataset of images alone, got elements {spec}; "
            "drop the labels with dataset.map(lambda image, label: image)"
        )
    if not is_real(np.dtype(spec.dtype.as_numpy_dtype)):
        raise InputError(f"{name} must be real numbers, got {spec.dtype.name}")
    check_square(image_sides(tf.TensorShape([None]).concatenate(spec.shape)), name)
    none = f"{name} must be a dataset of at least one image, got none"
    if int(images.cardinality()) == 0:
        raise InputError(none)
    if spec.dtype != tf.uint8:
        first = list(images.take(LOOKED_AT).as_numpy_iterator())
        if not first:  # of a dataset that does not say how many it holds
            raise InputError(none)
        check_pixels(name, np.stack(first))
    return images


def image_sides(shape):
    return tuple(shape) if shape.rank is not None else None


def check_square(shape, name):
    """Raise unless a shape, as far as it is known, is one of images that can be turned."""
    if shape is None or len(shape) != 4 or shape[1] is None or shape[1] != shape[2]:
        raise InputError(
            f"{name} must be a batch of square images, (B, S, S, C) with a fixed S; "
            f"got shape {'unknown' if shape is None else shape}"
        )


def _images(name, value):
    return check_images(value, name)


def _upright_images(name, value):
    return check_upright(value, name)


def _unlabelled_images(name, value):
    return check_images(value, f"{name} images")


def _labels(name, value):
    return check_labels(value, name=name)


# What a signature says beside an argument, and what must hold between arguments.
Images = Annotated[np.ndarray, _images]  # (N, H, W, C), pixels 0..255
UnlabelledImages = Annotated[np.ndarray, _unlabelled_images]  # the same
Labels = Annotated[np.ndarray, _labels]  # (N,) whole numbers
UprightImages = Annotated[np.ndarray | tf.data.Dataset, _upright_images]


def one_label_an_image(images, labels):
    """A relation: as many labels as images."""
    check_labels(labels, len(images))


def images_are_square(images):
    """A relation: images that can be turned."""
    if images.shape[1] != images.shape[2]:
        raise InputError(f"images must be square, (N, S, S, C), got shape {images.shape}")


CHANNELS = (1, 3)  # of a picture: grey, or red, green and blue


def check_pictures(name, value):
    """Return images that can be shown, grey or in colour, as an array, or raise."""
    images = check_images(value, name)
    if images.shape[-1] not in CHANNELS:
        raise InputError(f"{name} must have 1 or 3 channels, got {images.shape}")
    return images


def check_features(name, value, *, least=1):
    """Return finite features `(N, D)` of at least `least` images as an array, or raise."""
    features = check_array(name, value)
    if features.ndim != 2 or len(features) < least or not features.size:
        raise InputError(f"{name} must be (N, D) with N at least {least}, got {got(features)}")
    check_finite(name, features)
    return features


Pictures = Annotated[np.ndarray, check_pictures]  # (N, H, W, 1 or 3), pixels 0..255
Features = Annotated[np.ndarray, check_features]  # (N, D)


def classes_of(labels, num_classes=None):
    """Number of classes, at least two, where it is not given that which the labels tell."""
    return max(int(labels.max()) + 1, 2) if num_classes is None else num_classes


def every_class_has_an_image(labels, num_classes):
    """A relation: each class occurs among the labels, and no other number."""
    num_classes, present = classes_of(labels, num_classes), np.unique(labels).tolist()
    if len(present) != num_classes or present[0] != 0 or present[-1] != num_classes - 1:
        raise InputError(
            f"labels must hold each of num_classes = {num_classes} classes 0 to {num_classes - 1} "
            f"and no others, got {present}"
        )
