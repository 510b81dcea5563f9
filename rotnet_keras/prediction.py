"""A classifier that travels: its file, its classes' names, and what it says of new pictures."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.files import load_model, replace_text, save_model
from rotnet_keras._base.networks import Classifier, FunctionalClassifier
from rotnet_keras._base.values import (
    Count,
    FilePath,
    KerasPath,
    Names,
    check_choice,
    got,
)
from rotnet_keras.data.folders import list_pictures
from rotnet_keras.data.pictures import FITS, Broken, Fit, check_pictures, stream_pictures
from rotnet_keras.evaluation import extract_features


def _a_name_an_output(class_names, model):
    shape = getattr(model, "output_shape", None)
    if shape is None:
        raise InputError(
            f"model must have an output_shape, as functional ones do, got {got(model)}"
        )
    if len(class_names) != shape[-1]:
        raise InputError(f"class_names must be {shape[-1]}, one an output, got {len(class_names)}")


@public(_a_name_an_output)
def save_classifier(
    model: FunctionalClassifier,
    path: KerasPath,
    class_names: Names,
    *,
    fit: Fit = "crop",
) -> None:
    """Write a classifier and, beside it, what its outputs mean: `classifier.json` for `.keras`.

    Args:
        model: `keras.Model` from images to logits `(B, num_classes)`.
        path: of the `.keras` file, which plain Keras loads.
        class_names: one an output.
        fit: how oblong pictures became squares in training, as in `read_pictures`.

    Raises:
        InputError: a `path` that does not end in `.keras`, a model that is not functional or does
            not have one output `(B, num_classes)`, or not one name for each class.
        FileError: the files cannot be written. `load_classifier` then refuses what is there, or
            loads a model and names that belong together.

    Example:
        >>> import tempfile
        >>> model = attach_head(two_conv_extractor((28, 28, 1)), 2)
        >>> folder = tempfile.mkdtemp()
        >>> save_classifier(model, f"{folder}/classifier.keras", ["cat", "dog"])
        >>> load_classifier(f"{folder}/classifier.keras")[1]
        {'class_names': ['cat', 'dog'], 'fit': 'crop'}
    """
    path, names = pathlib.Path(path), [str(name) for name in class_names]
    # Old names beside a new model would be wrong; a model without names is refused.
    path.with_suffix(".json").unlink(missing_ok=True)
    save_model(model, path)
    replace_text(path.with_suffix(".json"), json.dumps({"class_names": names, "fit": fit}) + "\n")


@public()
def load_classifier(path: FilePath) -> tuple[keras.Model, dict[str, Any]]:
    """Load what `save_classifier` wrote; code that a file may bring along is not run.

    Args:
        path: of the `.keras` file; its `.json` must lie beside it.

    Returns:
        `(model, facts)`, the facts a dictionary of `class_names` and `fit`.

    Raises:
        InputError: files that are missing or damaged, do not belong together, or hold a model that
            is not a classifier.
    """
    model, beside = load_model(path), pathlib.Path(path).with_suffix(".json")
    shape = model.output_shape
    if not isinstance(shape, tuple) or len(shape) != 2 or not isinstance(shape[1], int):
        raise InputError(f"{path} must hold a model of one output (B, num_classes), got {shape}")
    try:
        facts = json.loads(beside.read_text(encoding="utf-8"))
        names, fit = facts["class_names"], facts["fit"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"model needs the names of its classes in {beside}, which cannot be read ({error!r}); "
            'a list in {"class_names": [...], "fit": "crop"} will do'
        ) from error
    if not isinstance(names, list) or len(names) != shape[1]:
        raise InputError(f"{beside} must name each of the model's {shape[1]} classes, got {names}")
    check_choice("fit", fit, FITS)
    return model, {"class_names": names, "fit": fit}


@public(_a_name_an_output)
def predict_pictures(
    model: Classifier,
    folder: FilePath,
    class_names: Names,
    *,
    fit: Fit = "crop",
    broken: Broken = "raise",
    batch_size: Count = 256,
) -> pd.DataFrame:
    """Classify the pictures of a folder.

    Args:
        model: `keras.Model` from square images to logits `(B, num_classes)`.
        folder: path; it may have folders in it, whose pictures are taken, too.
        class_names: one an output.
        fit: as in `read_pictures`; as in training.
        broken: as in `read_pictures`.
        batch_size: pictures in memory at a time.

    Returns:
        `pandas.DataFrame`, one row for each picture in the order of the files: `file` within the
        folder, the most likely `class`, and its `probability`, 0 to 1.

    Raises:
        DatasetError: no pictures, or some that cannot be read.
        InputError: a model that does not take square images, or not one name for each output.

    Example:
        >>> import keras, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> keras.utils.save_img(f"{folder}/one.png", np.zeros((20, 30, 3)), scale=False)
        >>> model = attach_head(two_conv_extractor((28, 28, 1)), 2)
        >>> predict_pictures(model, folder, ["cat", "dog"])["file"].tolist()
        ['one.png']
    """
    size, channels = _square_input(model)
    form = {"image_size": size, "fit": fit, "channels": channels}
    files, logits = [], []
    for some, images in _batches(list_pictures(folder), broken, batch_size, form):
        files += some
        logits.append(extract_features(model, images))
    chances = keras.ops.convert_to_numpy(keras.ops.softmax(np.concatenate(logits)))
    return pd.DataFrame(
        {
            "file": [str(file.relative_to(folder)) for file in files],
            "class": [class_names[place] for place in chances.argmax(axis=1)],
            "probability": chances.max(axis=1),
        }
    )


def _batches(files, broken, batch_size, form):
    """Batches `(files, images)` of pictures, each decoded once unless one of them is broken."""
    read = []
    try:
        for some, images in _read(files, batch_size, form):
            read += some
            yield some, images
    except tf.errors.InvalidArgumentError:  # which ones, and why, is told of all at once
        done, sound = set(read), check_pictures(files, broken=broken)
        yield from _read([file for file in sound if file not in done], batch_size, form)


def _read(files, batch_size, form):
    images = stream_pictures(files, **form).batch(batch_size).prefetch(1)
    for number, batch in enumerate(images.as_numpy_iterator()):
        yield files[number * batch_size : (number + 1) * batch_size], batch


def _square_input(model):
    """Size and channels of the pictures that a model takes."""
    shape = getattr(model, "input_shape", None)
    square = isinstance(shape, tuple) and len(shape) == 4 and shape[1] == shape[2]
    if not square or shape[1] is None or shape[3] not in (1, 3):
        raise InputError(
            f"model must take square images of a fixed size, grey or colour, got input {shape}"
        )
    return shape[1], shape[3]
