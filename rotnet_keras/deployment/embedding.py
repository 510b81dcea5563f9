"""The features of a folder's pictures, as a table or a file, for other programs."""

from __future__ import annotations

import importlib.util
import os
import pathlib
from typing import Annotated

import numpy as np
import pandas as pd

from rotnet_keras._base.arrays import is_real
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError, MissingPackageError
from rotnet_keras._base.files import replace_with
from rotnet_keras._base.names import cell
from rotnet_keras._base.networks import AnyModel
from rotnet_keras._base.values import Count, FilePath, check_table
from rotnet_keras.data.decoding import Ground, White
from rotnet_keras.data.folders import list_pictures
from rotnet_keras.data.pictures import Broken, Fit
from rotnet_keras.deployment.familiar import features_of
from rotnet_keras.deployment.reading import batches_for, names_within
from rotnet_keras.evaluation import finite_features

ENDINGS = (".npz", ".csv", ".parquet")
FILE = "file"


def _features_table(name, table):
    check_table(name, table, [FILE], "picture")
    texts = [column for column in table if column != FILE and not is_real(table[column].dtype)]
    if texts:
        raise InputError(f"{name} must hold numbers beside {FILE!r}, got others in {texts}")
    return table


Features = Annotated[pd.DataFrame, _features_table]


@public()
def embed_pictures(
    model: AnyModel,
    folder: FilePath,
    *,
    fit: Fit = "crop",
    ground: Ground = 255,
    white: White | None = None,
    broken: Broken = "raise",
    batch_size: Count = 256,
) -> pd.DataFrame:
    """Compute a network's features of the pictures of a folder.

    Args:
        model: `keras.Model` from square images to features `(B, D)`; of a classifier, or a rotation
            model, what its head reads.
        folder: path; it may have folders in it, whose pictures are taken, too.
        fit: as in `read_pictures`, as are the next three.
        ground: what shows through transparency.
        white: the level of white in pictures of 16 bits.
        broken: what to do about files that cannot be read.
        batch_size: pictures in memory at a time.

    Returns:
        `pandas.DataFrame`, a row for each picture in the order of the files: `file` within the
        folder, and float32 columns `f0`, `f1` and so on.

    Raises:
        DatasetError: no pictures, or some that cannot be read.
        InputError: a model that does not take square images, or gives no finite features `(B, D)`.

    Example:
        >>> import keras, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> keras.utils.save_img(f"{folder}/one.png", np.zeros((20, 30, 3)), scale=False)
        >>> embed_pictures(two_conv_extractor((28, 28, 1)), folder).shape
        (1, 17)
    """
    network = features_of(model)
    files, features = [], []
    look = {"fit": fit, "ground": ground, "white": white}
    pictures = list_pictures(folder)
    for some, images in batches_for(
        network, pictures, broken=broken, batch_size=batch_size, **look
    ):
        files += some
        features.append(finite_features(network, images))
    return table_of_features(np.concatenate(features), names_within(folder, files))


def table_of_features(values, names):
    """Features `(N, D)` and what their pictures are called, as `embed_pictures` returns them."""
    if values.ndim != 2:
        raise InputError(f"model must give features (B, D), got {values.shape}: cut it, or pool")
    table = pd.DataFrame(values, columns=[f"f{number}" for number in range(values.shape[1])])
    table.insert(0, FILE, names)
    return table


def check_features_path(path: str | os.PathLike[str]) -> pathlib.Path:
    """Return the path, if features can be written to a file of its ending, or raise."""
    path = pathlib.Path(path)
    if path.suffix not in ENDINGS:
        raise InputError(f"output must end in one of {', '.join(ENDINGS)}, got {path}")
    if path.suffix == ".parquet" and not importlib.util.find_spec("pyarrow"):
        raise MissingPackageError(
            "output needs the package pyarrow for .parquet, which is not installed: "
            "pip install pyarrow; .npz and .csv do without"
        )
    return path


@public()
def save_features(table: Features, path: FilePath) -> None:
    """Write a table of `embed_pictures` to a file.

    Args:
        table: of `embed_pictures`.
        path: ending in `.npz`, with arrays `files` of text and `features` float32 `(N, D)`; `.csv`;
            or `.parquet`, which needs pyarrow.

    Raises:
        InputError: another ending, or another table.
        MissingPackageError: pyarrow is not installed.
        FileError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> table = pd.DataFrame({"file": ["one.png"], "f0": [0.5]})
        >>> save_features(table, f"{tempfile.mkdtemp()}/features.npz")
    """
    path = check_features_path(path)
    with replace_with(path) as beside:
        if path.suffix == ".npz":
            features = table.drop(columns=FILE).to_numpy("float32")
            with beside.open("wb") as file:
                np.savez(file, files=table[FILE].to_numpy("str"), features=features)
        elif path.suffix == ".csv":
            texts = [cell(name, "./") for name in table[FILE]]
            table.assign(**{FILE: texts}).to_csv(beside, index=False, float_format="%.6g")
        else:
            table.to_parquet(beside, index=False)
