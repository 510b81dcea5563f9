"""Data sets by name, from TensorFlow Datasets."""

from __future__ import annotations

import difflib

import numpy as np
import tensorflow as tf

from rotnet_keras._base.errors import DatasetError, InputError, cause
from rotnet_keras.data.pictures import square
from rotnet_keras.data.preparation import import_tfds, prepare
from rotnet_keras.data.splits import Examples

SIZE = 64  # that images of many sizes are brought to, unless another is asked for
UNLABELLED = ("unlabelled", "unlabeled")  # what TFDS calls a split without labels


def stream_named(builder, split, image_size, fit, share):
    """Dataset of a named data set's images without labels, as `stream_images` says."""
    tfds = import_tfds()
    host, hosts = share
    key, _ = builder.info.supervised_keys
    prepare(builder, None)
    image_size = _size_to_bring_to(builder, key, image_size)
    more = _first_there(builder, UNLABELLED)
    part = f"train+{more}" if split == "train" and more else split
    # Without TFDS's own cache, which would hold a small data set in memory.
    config = tfds.ReadConfig(try_autocache=False)
    try:
        dataset = builder.as_dataset(
            split=tfds.even_splits(part, hosts)[host], read_config=config
        ).map(lambda row: row[key])
    except (ValueError, AssertionError) as error:
        raise InputError(
            f"split must be one that {builder.name!r} has, {list(builder.info.splits)}, or a part "
            f"of one, got {split!r}: {cause(error)}"
        ) from error
    if image_size is None:
        return dataset
    return dataset.map(
        lambda image: square(image, image_size, fit), num_parallel_calls=tf.data.AUTOTUNE
    )


def load_named(name, data_dir, manual_dir, image_size, fit):
    """The parts of a named data set, by the names of `make_splits`; `train` is to be divided."""
    builder = find_builder(name, data_dir)
    keys = builder.info.supervised_keys
    prepare(builder, manual_dir)
    if "train" not in builder.info.splits:
        raise InputError(
            f"name must be a data set with a train split, {name!r} has {list(builder.info.splits)}"
        )

    def read(part):
        return None if part is None else _read(builder, part, keys, image_size, fit)

    unlabelled = read(_first_there(builder, UNLABELLED))
    return {
        "train": read("train"),
        "unlabelled": None if unlabelled is None else unlabelled.images,
        "test": _read_test(builder, read),
        "class_names": builder.info.features[keys[1]].names,
    }


def _read_test(builder, read):
    """The split to test on: not one whose labels are kept secret, which are then below 0."""
    parts = [name for name in ("test", "validation") if name in builder.info.splits]
    for part in parts:
        examples = read(part)
        if examples.labels.min() >= 0:
            return examples
    if parts:
        raise InputError(
            f"name must be a data set whose test has labels, {builder.name!r} has none in {parts}"
        )
    return None


def _first_there(builder, names):
    """The first of these splits that a data set has, or None."""
    return next((name for name in names if name in builder.info.splits), None)


def find_builder(name, data_dir):
    """The builder of the image classification data set that TFDS knows by this name."""
    tfds = import_tfds()
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except (tfds.core.DatasetNotFoundError, TypeError, ValueError) as error:
        near = difflib.get_close_matches(str(name), set(tfds.list_builders()) - {name}, n=3)
        hint = f"did you mean {', '.join(near)}? " if near else ""
        raise InputError(
            f"name must be a data set of TensorFlow Datasets, got {name!r}; {hint}"
            f"The names: https://www.tensorflow.org/datasets/catalog/overview "
            f"({cause(error)})"
        ) from error
    except Exception as error:  # a torn dataset_info.json, a version there is not, ...
        raise DatasetError(
            f"{name!r} cannot be opened: {cause(error)}. If its prepared data is damaged, "
            "delete its folder below data_dir and prepare it again, or give another data_dir"
        ) from error
    features, keys = builder.info.features, builder.info.supervised_keys
    wanted = [tfds.features.Image, tfds.features.ClassLabel]
    if keys is None or [type(features[key]) for key in keys] != wanted:
        raise InputError(
            f"name must be an image classification data set, {builder.name!r} holds {features}"
        )
    kind = np.dtype(features[keys[0]].np_dtype)
    if kind != "uint8":
        raise InputError(
            f"name must be a data set of images of 8 bits, {builder.name!r} has {kind.name}: bring "
            "its arrays to 0..255 yourself, for make_splits"
        )
    return builder


def _read(builder, part, keys, image_size, fit):
    image_size = _size_to_bring_to(builder, keys[0], image_size)
    try:
        dataset = builder.as_dataset(split=part, shuffle_files=False)
        dataset = dataset.map(lambda row: (row[keys[0]], row[keys[1]]))
        if image_size is not None:
            dataset = dataset.map(
                lambda image, label: (square(image, image_size, fit), label),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
        rows = dataset.batch(1024).prefetch(tf.data.AUTOTUNE)
        images, labels = zip(*rows.as_numpy_iterator(), strict=True)
    except (tf.errors.OpError, OSError, ValueError) as error:
        raise DatasetError(
            f"the {part} images of {builder.name!r} in {builder.data_path} cannot be read: "
            f"{cause(error)}. A file is damaged or missing: delete that folder and prepare "
            "the data again (connected, or with manual_dir), or give another data_dir"
        ) from error
    return Examples(np.concatenate(images), np.concatenate(labels).astype("int32"))


def _size_to_bring_to(builder, image_key, image_size):
    """The size asked for; else None where all images are square and of one size, else `SIZE`."""
    shape = builder.info.features[image_key].shape
    if image_size is None and (None in shape or shape[0] != shape[1]):
        return SIZE
    return image_size
