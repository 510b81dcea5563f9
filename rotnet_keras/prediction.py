"""A classifier that travels: its file, its classes' names, and what it says of new pictures."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from rotnet_keras._base.digests import digest_of_file
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.files import printable, read_json, replace_text, replace_with
from rotnet_keras._base.model_files import load_model, warn_of_newer, write_model
from rotnet_keras._base.names import cell
from rotnet_keras._base.networks import Classifier, FunctionalClassifier
from rotnet_keras._base.values import (
    Count,
    FilePath,
    KerasPath,
    Names,
    check_choice,
    got,
)
from rotnet_keras.data.decoding import Ground, White, check_ground, check_white
from rotnet_keras.data.folders import list_pictures
from rotnet_keras.data.pictures import FITS, Broken, Fit, check_pictures, stream_pictures
from rotnet_keras.evaluation import extract_features

USUAL = {"ground": 255, "white": None}  # how pictures look, unless a classifier says otherwise


def _a_name_an_output(class_names, model):
    shape = getattr(model, "output_shape", None)
    if shape is None:
        raise InputError(
            f"model must have an output_shape, as functional ones do, got {got(model)}"
        )
    if len(class_names) != shape[-1]:
        raise InputError(f"class_names must be {shape[-1]}, one an output, got {len(class_names)}")
    _distinct("class_names", class_names)


def _distinct(name, class_names):
    texts = [str(text) for text in class_names]
    if len({*texts}) < len(texts) or not all(text.strip() for text in texts):
        raise InputError(f"{name} must be different names, none empty, got {texts}")


@public(_a_name_an_output)
def save_classifier(
    model: FunctionalClassifier,
    path: KerasPath,
    class_names: Names,
    *,
    fit: Fit = "crop",
    ground: Ground = 255,
    white: White | None = None,
) -> None:
    """Write a classifier and, beside it, what its outputs mean: `classifier.json` for `.keras`.

    Args:
        model: `keras.Model` from images to logits `(B, num_classes)`.
        path: of the `.keras` file, which plain Keras loads.
        class_names: one an output.
        fit: how oblong pictures became squares in training, as in `read_pictures`.
        ground: what showed through transparency in training.
        white: levels of 16 bits in training, as `Splits.white` says them; None for none.

    Raises:
        InputError: a `path` that does not end in `.keras`, a model that is not functional or does
            not have one output `(B, num_classes)`, or not one name for each class, all different.
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
    path = pathlib.Path(path)
    facts: dict[str, Any] = {"class_names": [str(name) for name in class_names], "fit": fit}
    look = {"ground": ground, "white": white}
    facts |= {name: value for name, value in look.items() if value != USUAL[name]}
    with replace_with(path) as beside:
        needed = write_model(model, beside)
        # A kill between the two new names leaves a model and facts that say that they are not one.
        text = json.dumps(facts | {"model": digest_of_file(beside)})
        replace_text(path.with_suffix(".json"), f"{text}\n")
    warn_of_newer(path, needed)


@public()
def load_classifier(path: FilePath) -> tuple[keras.Model, dict[str, Any]]:
    """Load what `save_classifier` wrote; code that a file may bring along is not run.

    Args:
        path: of the `.keras` file; its `.json` must lie beside it.

    Returns:
        `(model, facts)`, the facts a dictionary of `class_names` and `fit`, and of `ground` and
        `white` where they are not as usual: what `predict_pictures` takes.

    Raises:
        InputError: files that are missing or damaged, do not belong together, or hold a model that
            is not a classifier.
    """
    path = pathlib.Path(path)
    if path.suffix == ".keras" and not path.exists():
        raise InputError(
            f"model must be the file of a classifier, got {path}, and there is no such file; "
            "`python -m rotnet_keras run` makes one, and save_classifier"
        )
    model, beside = load_model(path), path.with_suffix(".json")
    shape = model.output_shape
    if not isinstance(shape, tuple) or len(shape) != 2 or not isinstance(shape[1], int):
        raise InputError(f"{path} must hold a model of one output (B, num_classes), got {shape}")
    facts = _read_facts(path, beside, shape[1])
    return model, {name: facts[name] for name in ("class_names", "fit", *USUAL) if name in facts}


def _read_facts(path, beside, num_classes):
    """What lies beside a classifier's file, if it has the form that it must and is of that file."""
    try:
        facts = read_json(beside)
        facts["class_names"], facts["fit"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"model needs the names of its classes in {beside}, which cannot be read ({error!r}); "
            'a list in {"class_names": [...], "fit": "crop"} will do'
        ) from error
    names = facts["class_names"]
    texts = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not texts or len(names) != num_classes:
        raise InputError(
            f"{beside} must name each of the model's {num_classes} classes, got {got(names)}"
        )
    _distinct(f"class_names in {beside}", names)
    check_choice("fit", facts["fit"], FITS)
    for name, check in (("ground", check_ground), ("white", check_white)):
        if name in facts:
            facts[name] = check(f"{name} in {beside}", facts[name])
    if facts.get("model", found := digest_of_file(path)) != found:
        raise InputError(
            f"{beside} is of another model than {path}, as where saving was broken off: save both "
            "again"
        )
    return facts


@public(_a_name_an_output)
def predict_pictures(
    model: Classifier,
    folder: FilePath,
    class_names: Names,
    *,
    fit: Fit = "crop",
    ground: Ground = 255,
    white: White | None = None,
    broken: Broken = "raise",
    batch_size: Count = 256,
) -> pd.DataFrame:
    """Classify the pictures of a folder.

    Args:
        model: `keras.Model` from square images to logits `(B, num_classes)`.
        folder: path; it may have folders in it, whose pictures are taken, too.
        class_names: one an output.
        fit: as in `read_pictures`, and in training, as are the next two.
        ground: what shows through transparency.
        white: the level of white in pictures of 16 bits; None finds it in this folder.
        broken: as in `read_pictures`.
        batch_size: pictures in memory at a time.

    Returns:
        `pandas.DataFrame`, one row for each picture in the order of the files: `file` within the
        folder, the most likely `class`, and its `probability`, 0 to 1. Control characters, and
        bytes that are not UTF-8, are escaped in both names.

    Raises:
        DatasetError: no pictures, or some that cannot be read.
        InputError: a model that does not take square images, or not one name for each output,
            all different.

    Example:
        >>> import keras, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> keras.utils.save_img(f"{folder}/one.png", np.zeros((20, 30, 3)), scale=False)
        >>> model = attach_head(two_conv_extractor((28, 28, 1)), 2)
        >>> predict_pictures(model, folder, ["cat", "dog"])["file"].tolist()
        ['one.png']
    """
    size, channels = _square_input(model)
    form = {"image_size": size, "fit": fit, "channels": channels, "ground": ground, "white": white}
    files, logits = [], []
    for some, images in _batches(list_pictures(folder), broken, batch_size, form):
        files += some
        logits.append(extract_features(model, images))
    chances = keras.ops.convert_to_numpy(keras.ops.softmax(np.concatenate(logits)))
    return pd.DataFrame(
        {
            "file": [printable(file.relative_to(folder)) for file in files],
            "class": [printable(class_names[place]) for place in chances.argmax(axis=1)],
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
        done, size, white = set(read), form["image_size"], form["white"]
        sound, form["white"] = check_pictures(files, size, broken=broken, white=white)
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


def write_predictions(table, path):
    """Write a table of `predict_pictures` as CSV, one line a picture, none of which is a formula.

    Texts are in quotes, since a spreadsheet may take a semicolon in them for the next cell.
    """
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write("file,class,probability\n")
        for name, kind, chance in table.itertuples(index=False):
            texts = (cell(name, "./"), cell(kind))
            quoted = ",".join('"' + text.replace('"', '""') + '"' for text in texts)
            file.write(f"{quoted},{chance:.6f}\n")
