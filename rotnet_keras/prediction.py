"""A classifier that travels: its file, its classes' names, and what it says of new pictures."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Annotated, Any

import keras
import numpy as np
import pandas as pd

from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.files import load_model, replace_text, save_model
from rotnet_keras._base.networks import (
    Classifier,
    FunctionalClassifier,
)
from rotnet_keras._base.values import (
    Count,
    FilePath,
    Names,
    check_choice,
    check_path,
)
from rotnet_keras.data.folders import list_pictures
from rotnet_keras.data.pictures import FITS, Broken, Fit, check_pictures, stream_pictures
from rotnet_keras.evaluation import extract_features


def _a_name_an_output(class_names, model):
    if len(class_names) != model.output_shape[-1]:
        raise InputError(
            f"class_names must be {model.output_shape[-1]}, one an output, got {len(class_names)}"
        )


def _keras_file(name, path):
    path = pathlib.Path(check_path(name, path))
    if path.suffix != ".keras":
        raise InputError(f"{name} must end in .keras, got {str(path)!r}")
    return path


@public(_a_name_an_output)
def save_classifier(
    model: FunctionalClassifier,
    path: Annotated[str | os.PathLike[str], _keras_file],
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
        InputError: another ending, or not one name for each output.
        FileError: the files cannot be written; what `load_classifier` still loads belongs together.

    Example:
        >>> import tempfile
        >>> model = attach_head(two_conv_extractor((28, 28, 1)), 2)
        >>> folder = tempfile.mkdtemp()
        >>> save_classifier(model, f"{folder}/classifier.keras", ["cat", "dog"])
        >>> load_classifier(f"{folder}/classifier.keras")[1]
        {'class_names': ['cat', 'dog'], 'fit': 'crop'}
    """
    path, names = pathlib.Path(path), [str(name) for name in class_names]
    # Old names beside a new model would be wrong ones; none beside it are refused.
    path.with_suffix(".json").unlink(missing_ok=True)
    save_model(model, path)
    replace_text(path.with_suffix(".json"), json.dumps({"class_names": names, "fit": fit}) + "\n")


@public()
def load_classifier(path: FilePath) -> tuple[keras.Model, dict[str, Any]]:
    """Load what `save_classifier` wrote; code that a file may bring along is not run.

    Args:
        path: of the `.keras` file; its `.json` lies beside it.

    Returns:
        `(model, facts)`, the facts a dictionary of `class_names` and `fit`.

    Raises:
        InputError: files that are not there, damaged, or do not belong together.
    """
    model, beside = load_model(path), pathlib.Path(path).with_suffix(".json")
    try:
        facts = json.loads(beside.read_text(encoding="utf-8"))
        names, fit = facts["class_names"], facts["fit"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"model needs the names of its classes in {beside}, which cannot be read ({error!r}); "
            'a list in {"class_names": [...], "fit": "crop"} will do'
        ) from error
    if not isinstance(names, list) or len(names) != model.output_shape[-1]:
        raise InputError(
            f"{beside} must name each of the model's {model.output_shape[-1]} classes, got {names}"
        )
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
        folder: path; pictures in folders below it are taken, too.
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
    files = check_pictures(list_pictures(folder), broken=broken)
    images = stream_pictures(files, image_size=size, fit=fit, channels=channels)
    batches = images.batch(batch_size).prefetch(1).as_numpy_iterator()
    logits = np.concatenate([extract_features(model, batch) for batch in batches])
    chances = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    return pd.DataFrame(
        {
            "file": [str(file.relative_to(folder)) for file in files],
            "class": [class_names[place] for place in chances.argmax(axis=1)],
            "probability": chances.max(axis=1),
        }
    )


def _square_input(model):
    """Size and channels of the pictures that a model takes."""
    shape = getattr(model, "input_shape", None)
    square = isinstance(shape, tuple) and len(shape) == 4 and shape[1] == shape[2]
    if not square or shape[1] is None or shape[3] not in (1, 3):
        raise InputError(
            f"model must take square images of a fixed size, grey or colour, got one of {shape}"
        )
    return shape[1], shape[3]
