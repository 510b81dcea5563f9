"""Argument checks that several modules share; each error names what it got and what it takes.

They look at arguments and copy nothing, so that they cost little before any work.
"""

from __future__ import annotations

import os
import reprlib
from collections.abc import Iterable, Mapping

import numpy as np

LARGEST_SEED = 2**32 - 1  # what scikit-learn and Keras take


def check_count(name, value, *, least=1):
    """Raise unless `value` is a whole number of at least `least`."""
    if not is_whole(value) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {got(value)}")


def check_counts(**values):
    """`check_count` of several arguments by name."""
    for name, value in values.items():
        check_count(name, value)


def check_counts_or_none(**values):
    """`check_counts` of arguments that may be None."""
    check_counts(**{name: value for name, value in values.items() if value is not None})


def check_seed(seed, name="seed", *, largest=LARGEST_SEED):
    """Raise unless `seed` is a whole number that every random generator in use takes."""
    if not is_whole(seed) or not 0 <= seed <= largest:
        raise ValueError(f"{name} must be a whole number from 0 to {largest:,}, got {got(seed)}")


def another_seed(seed, number):
    """A seed for something else that is random, a fixed step apart and within the same range."""
    return (seed + number) % (LARGEST_SEED + 1)


def check_number(name, value, lies, inside):
    """Raise unless `value` is a finite number that lies where the function `inside` says."""
    number = isinstance(value, (int, float, np.integer, np.floating))
    if not number or isinstance(value, bool) or not (abs(value) < np.inf and inside(value)):
        raise ValueError(f"{name} must lie {lies}, got {got(value)}")


def check_positive(**values):
    """`check_number` of several arguments that must lie above 0."""
    for name, value in values.items():
        check_number(name, value, "above 0", lambda x: x > 0)


def check_choice(name, value, known):
    """Raise unless `value` is one of the known names."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} must be one of {tuple(known)}, got {got(value)}")


def check_function(name, value):
    """Raise unless `value` can be called, or is None."""
    if value is not None and not callable(value):
        raise ValueError(f"{name} must be a function, or None, got {got(value)}")


def check_path(name, value):
    """Raise unless `value` is a path."""
    if not isinstance(value, (str, os.PathLike)) or not str(value):
        raise ValueError(f"{name} must be a path, got {got(value)}")


def check_paths(**values):
    """`check_path` of several arguments that may be None."""
    for name, value in values.items():
        if value is not None:
            check_path(name, value)


def check_source(name, value):
    """Raise unless `value` is text or a path, which may name data; nothing is looked up."""
    if not isinstance(value, (str, os.PathLike)):
        raise ValueError(f"{name} must be a name, got {got(value)}")


def check_share(share):
    """Raise unless `share` is `(host, hosts)`."""
    pair = isinstance(share, (tuple, list)) and len(share) == 2 and all(map(is_whole, share))
    if not pair or not 0 <= share[0] < share[1]:
        raise ValueError(f"share must be (host, hosts), 0 <= host < hosts, got {got(share)}")


def check_list(name, values, one="value"):
    """Return the items of a list or the like, at least one, or raise."""
    whole = getattr(values, "shape", None) == ()
    if whole or isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise ValueError(f"{name} must be a list of at least one {one}, got {got(values)}")
    items = list(values)
    if not items:
        raise ValueError(f"{name} must hold at least one {one}, got none")
    return items


def check_mapping(name, value, of):
    """Raise unless `value` is a dictionary, or the like, with something in it."""
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"{name} must be a dictionary of {of}, one or more, got {got(value)}")


def check_table(name, table, columns, one="run"):
    """Raise unless `table` is a pandas table of at least one row that has the columns."""
    if table is None or (hasattr(table, "columns") and not len(table)):
        raise ValueError(f"{name} must hold at least one {one}, got none")
    there = list(getattr(table, "columns", ()))
    missing = [column for column in columns if column not in there]
    if missing:
        raise ValueError(
            f"{name} must be a pandas.DataFrame with the columns {missing}, too, got {got(table)}"
        )


def check_array(name, values):
    """Return real numbers as an array of one axis or more, or raise."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:  # ragged lists, for example
        raise ValueError(
            f"{name} must be an array of numbers, got {got(values)}: {error}"
        ) from error
    if not is_real(array.dtype) or array.ndim == 0:
        raise ValueError(f"{name} must be an array of real numbers, got {got(values)}")
    return array


def check_finite(name, array):
    """Raise if an array of `check_array` holds NaN or infinity."""
    # Whole numbers need no look; the smallest and largest tell, and no array of flags is made.
    if array.size and not np.issubdtype(array.dtype, np.integer):
        extremes = np.array([array.min(), array.max()], "float64")
        if not np.isfinite(extremes).all():
            raise ValueError(f"{name} must be finite, got {extremes.min()} to {extremes.max()}")


def check_images(images, name="images", *, model=None):
    """Return images `(N, H, W, C)` as an array, or raise, also where `model` takes others."""
    images = check_array(name, images)
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            f"{name} must be (N, H, W, C) with N at least 1 and no side of 0, got {images.shape}"
        )
    check_finite(name, images)
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
        raise ValueError(f"{name} must fit the model's input {takes[1:]}, got {tuple(shape)}")


def check_examples(images, labels, *, model=None, whose=""):
    """Return labelled images as arrays, or raise unless each image has one whole-number label."""
    images = check_images(images, f"{whose}images", model=model)
    return images, check_labels(labels, len(images), f"{whose}labels")


def check_labels(labels, count=None, name="labels", *, each="images"):
    """Return labels as an array, or raise unless they are so many whole numbers, one or more."""
    try:
        labels = np.asarray(labels)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be whole numbers, got {got(labels)}: {error}") from error
    count = count or max(labels.size, 1)
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"{name} must be whole numbers of shape ({count},), one for each of the {each}, "
            f"got {labels.dtype} of shape {labels.shape}"
        )
    return labels


def check_indices(name, values, length, *, ndim=1, of="images"):
    """Return places in 0..length - 1 as an array of `ndim` axes, one place or more, or raise."""
    indices = check_array(name, values)
    if indices.ndim != ndim or not indices.size or not np.issubdtype(indices.dtype, np.integer):
        axes = "(Q,)" if ndim == 1 else "(Q, K)"
        raise ValueError(f"{name} must be whole numbers {axes}, one or more, got {got(indices)}")
    if indices.min() < 0 or indices.max() >= length:
        raise ValueError(
            f"{name} must lie in 0..{length - 1}, the places of the {length} {of}, "
            f"got {indices.min()}..{indices.max()}"
        )
    return indices


def check_have_names(labels, class_names):
    """Raise unless each label has a name."""
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise ValueError(
            f"labels must lie in 0..{len(class_names) - 1}, one of the class_names each, "
            f"got {labels.min()}..{labels.max()}"
        )


def check_outputs(labels, model, name="labels"):
    """Raise unless the model, where it says how many outputs it has, has one for each label."""
    num_classes = getattr(model, "output_shape", (None, np.inf))[-1]
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"{name} must lie in 0..{num_classes - 1}, the model's {num_classes} outputs, "
            f"got {labels.min()}..{labels.max()}"
        )


def check_every_class(images, labels, num_classes=None, *, model=None):
    """Return arrays and the number of classes, or raise unless each class has an image."""
    images, labels = check_examples(images, labels, model=model)
    if num_classes is None:
        num_classes = max(int(labels.max()) + 1, 2)
    check_count("num_classes", num_classes, least=2)
    present = np.unique(labels).tolist()
    if len(present) != num_classes or present[0] != 0 or present[-1] != num_classes - 1:
        raise ValueError(
            f"labels must hold each of num_classes = {num_classes} classes 0 to {num_classes - 1} "
            "and no others, "
            f"got {present}"
        )
    return images, labels, num_classes


def check_model(model, name="model"):
    """Raise unless `model` is a Keras model, or says of itself what it puts out, as one does."""
    import keras  # not before somebody has a model: `prepare_runtime` comes before Keras

    shape = getattr(model, "output_shape", None)
    whole = not isinstance(model, type) and callable(model)
    if not isinstance(model, keras.Model) and not (whole and isinstance(shape, tuple)):
        raise ValueError(f"{name} must be a keras.Model from images, got {got(model)}")


def check_functional(model, name="model"):
    """Raise unless `model` is a functional Keras model of one input."""
    import keras

    inputs = getattr(model, "inputs", None) or ()
    if not isinstance(model, keras.Model) or len(inputs) != 1:
        raise ValueError(
            f"{name} must be a functional keras.Model with one input, got {got(model)}"
        )


def check_callbacks(callbacks):
    """Return Keras callbacks as a list, or raise."""
    import keras

    listed = list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]
    if not all(isinstance(callback, keras.callbacks.Callback) for callback in listed):
        raise ValueError(f"callbacks must be a list of Keras callbacks, got {got(callbacks)}")
    return listed


def is_whole(value):
    """Say whether a value is a whole number, which True and False are not."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_real(dtype):
    """Say whether a NumPy dtype is of real numbers or flags; bfloat16 is none of NumPy's own."""
    return dtype.kind in "biuf" or dtype.name == "bfloat16"


def got(value):
    """A value in a few words: its dtype and shape, or what it looks like."""
    if hasattr(value, "dtype") and getattr(value, "shape", ()):
        return f"{getattr(value.dtype, 'name', value.dtype)} of shape {tuple(value.shape)}"
    return reprlib.repr(value)
