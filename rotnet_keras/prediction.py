"""A classifier that travels: its file, its classes' names, and what it says of new pictures."""

from __future__ import annotations

import json
import pathlib
from functools import partial
from typing import Annotated, Any

import keras
import numpy as np
import pandas as pd
from scipy import special

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
    Positive,
    check_choice,
    check_number,
    got,
    warn_caller,
)
from rotnet_keras.data.decoding import Ground, White, check_ground, check_white
from rotnet_keras.data.folders import list_pictures
from rotnet_keras.data.pictures import FITS, Broken, Fit
from rotnet_keras.deployment.familiar import (
    Familiar,
    look_of,
    read_familiar,
    write_familiar,
)
from rotnet_keras.deployment.reading import batches_for, names_within
from rotnet_keras.evaluation import extract_features, most_likely

# How pictures look and what answers mean, unless a classifier says otherwise.
USUAL = {"ground": 255, "white": None, "temperature": 1.0, "familiar": None}


_above_0 = partial(check_number, lies="above 0", inside=lambda x: x > 0)
CHECKS = {"ground": check_ground, "white": check_white, "temperature": _above_0}
TEXTS = ("file", "class", "runner_up")


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


def _familiar(name, value):
    if not isinstance(value, Familiar):
        raise InputError(f"{name} must be a Familiar, of familiar_from, got {got(value)}")
    return value


def _of_these_features(model, familiar):
    """A relation: what is familiar is so to this model."""
    if familiar is not None and look_of(model).output_shape[1:] != familiar.mean.shape:
        raise InputError(
            f"familiar must be of this model, {model.name}, got that of one with other features"
        )


Known = Annotated[Familiar, _familiar]


@public(_a_name_an_output, _of_these_features)
def save_classifier(
    model: FunctionalClassifier,
    path: KerasPath,
    class_names: Names,
    *,
    fit: Fit = "crop",
    ground: Ground = 255,
    white: White | None = None,
    temperature: Positive = 1.0,
    familiar: Known | None = None,
) -> None:
    """Write a classifier and, beside it, what its outputs mean: `classifier.json` for `.keras`.

    For other programs, Keras exports the model, here `model = keras.models.load_model(path)`:

    - ONNX: `model.export("classifier.onnx", format="onnx")`, after `pip install tf2onnx`;
    - LiteRT, once TensorFlow Lite: `model.export("classifier.tflite", format="litert")`, from Keras
      3.13 on, with TensorFlow as its backend;
    - TensorFlow Serving: `model.export("classifier", format="tf_saved_model")`.

    What is exported takes float32 pixels 0..255, `(1, S, S, C)` or a batch of them, and gives
    logits: softmax of these, divided by the `temperature` in the `.json` if there is one, are the
    probabilities that `predict_pictures` tells.

    Args:
        model: `keras.Model` from images to logits `(B, num_classes)`.
        path: of the `.keras` file, which plain Keras loads.
        class_names: one an output.
        fit: how oblong pictures became squares in training, as in `read_pictures`.
        ground: what showed through transparency in training.
        white: levels of 16 bits in training, as `Splits.white` says them; None for none.
        temperature: that logits are divided by, as `calibrate` finds it.
        familiar: what pictures in training look like, as `familiar_from` finds it; it is written
            to `classifier.npz`.

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
    look = {"ground": ground, "white": white, "temperature": temperature}
    facts |= {name: value for name, value in look.items() if value != USUAL[name]}
    if familiar is not None:
        write_familiar(familiar, path.with_suffix(".npz"))
        facts["familiar"] = digest_of_file(path.with_suffix(".npz"))
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
        `(model, facts)`, the facts a dictionary of `class_names` and `fit`, and of `ground`,
        `white`, `temperature` and `familiar` where they are not as usual: what `predict_pictures`
        takes.

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
    for name, check in CHECKS.items():
        if name in facts:
            facts[name] = check(f"{name} in {beside}", facts[name])
    if facts.get("model", found := digest_of_file(path)) != found:
        raise InputError(
            f"{beside} is of another model than {path}, as where saving was broken off: save both "
            "again"
        )
    if "familiar" in facts:
        facts["familiar"] = _familiar_beside(path.with_suffix(".npz"), facts["familiar"])
    return facts


def _familiar_beside(path, digest):
    """What lies beside a classifier's file, or None and a word of it where it is of another."""
    if path.is_file() and digest_of_file(path) == digest:
        return read_familiar(path)
    warn_caller(
        f"{path} is missing, or of another classifier: pictures unlike those in training are not "
        "marked"
    )
    return None


@public(_a_name_an_output, _of_these_features)
def predict_pictures(
    model: Classifier,
    folder: FilePath,
    class_names: Names,
    *,
    fit: Fit = "crop",
    ground: Ground = 255,
    white: White | None = None,
    temperature: Positive = 1.0,
    familiar: Known | None = None,
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
        temperature: that logits are divided by, as `calibrate` finds it.
        familiar: what pictures in training look like, as `familiar_from` finds it.
        broken: as in `read_pictures`.
        batch_size: pictures in memory at a time.

    Returns:
        `pandas.DataFrame`, one row for each picture in the order of the files: `file` within the
        folder; the most likely `class` and its `probability`, 0 to 1; where there is another class,
        `runner_up` and `runner_up_probability`; and with `familiar` the column `unlike`, True for a
        picture that looks like none of those in training, whose class means little. Control
        characters, and bytes that are not UTF-8, are escaped in all names.

    Raises:
        DatasetError: no pictures, or some that cannot be read.
        InputError: a model that does not take square images or whose logits are not finite, or not
            one name for each output, all different.

    Example:
        >>> import keras, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> keras.utils.save_img(f"{folder}/one.png", np.zeros((20, 30, 3)), scale=False)
        >>> model = attach_head(two_conv_extractor((28, 28, 1)), 2)
        >>> predict_pictures(model, folder, ["cat", "dog"])["file"].tolist()
        ['one.png']
    """
    look = {"fit": fit, "ground": ground, "white": white}
    files, logits, unlike = [], [], []
    pictures, eyes = list_pictures(folder), None if familiar is None else look_of(model)
    for some, images in batches_for(model, pictures, broken=broken, batch_size=batch_size, **look):
        files += some
        logits.append(extract_features(model, images))
        most_likely(logits[-1])  # raises where they are not finite
        if familiar is not None:
            unlike.append(familiar.unlike(extract_features(eyes, images)))
    table = pd.DataFrame({"file": names_within(folder, files)})
    table = table.assign(**_said(np.concatenate(logits) / temperature, class_names))
    return table if familiar is None else table.assign(unlike=np.concatenate(unlike))


def _said(logits, class_names):
    """The columns that tell the most likely classes."""
    chances, names = special.softmax(logits, axis=1), np.array([*map(printable, class_names)])
    order = np.argsort(-chances, axis=1, kind="stable")[:, :2]
    columns = {}
    for place, prefix in zip(order.T, ("", "runner_up_"), strict=False):
        kind = "class" if not prefix else "runner_up"
        columns[kind] = names[place]
        columns[f"{prefix}probability"] = chances[np.arange(len(chances)), place]
    return columns


def write_predictions(table, path):
    """Write a table of `predict_pictures` as CSV, one line a picture, none of which is a formula.

    Texts are in quotes, since a spreadsheet may take a semicolon in them for the next cell.
    """
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(",".join(table.columns) + "\n")
        for row in table.to_dict("records"):
            file.write(",".join(_in_csv(name, value) for name, value in row.items()) + "\n")


def _in_csv(name, value):
    if name in TEXTS:
        text = cell(value, "./" if name == "file" else "'")
        return '"' + text.replace('"', '""') + '"'
    return str(value) if isinstance(value, bool) else f"{value:.6f}"
