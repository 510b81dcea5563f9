"""Argument checks that several modules share; each error names what it got and what it takes.

They look at arguments and copy nothing, so that they cost little before any work.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import reprlib
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import numpy as np

from rotnet_keras._base.errors import InputError
from rotnet_keras._base.names import printable_lines

LARGEST_SEED = 2**32 - 1  # what scikit-learn and Keras take


def check_count(name, value, *, least=1):
    """Return a whole number of at least `least`, or raise."""
    if not is_whole(value) or value < least:
        raise InputError(f"{name} must be a whole number of at least {least}, got {got(value)}")
    return int(value)  # JSON takes none of NumPy's


def check_seed(name, value):
    """Return a whole number that every random generator in use takes, or raise."""
    if not is_whole(value) or not 0 <= value <= LARGEST_SEED:
        raise InputError(
            f"{name} must be a whole number from 0 to {LARGEST_SEED:,}, got {got(value)}"
        )
    return int(value)  # Keras takes none of NumPy's


def another_seed(seed, number):
    """A seed for something else that is random, a fixed step apart and within the same range."""
    return (seed + number) % (LARGEST_SEED + 1)


def check_number(name, value, lies, inside):
    """Return a finite number that lies where the function `inside` says, or raise."""
    number = isinstance(value, (int, float, np.integer, np.floating))
    if not number or isinstance(value, bool) or not (abs(value) < np.inf and inside(value)):
        raise InputError(f"{name} must lie {lies}, got {got(value)}")
    return value


def check_choice(name, value, known):
    """Return one of the known names, or raise."""
    if not isinstance(value, str) or value not in known:
        raise InputError(f"{name} must be one of {tuple(known)}, got {got(value)}")
    return value


def check_function(name, value):
    """Return what can be called, or None, or raise."""
    if value is not None and not callable(value):
        raise InputError(f"{name} must be a function, or None, got {got(value)}")
    return value


def check_path(name, value):
    """Return a path, or raise."""
    if not isinstance(value, (str, os.PathLike)) or not str(value):
        raise InputError(f"{name} must be a path, got {got(value)}")
    return value


def check_source(name, value):
    """Return text or a path, which may name data, or raise; nothing is looked up."""
    if not isinstance(value, (str, os.PathLike)):
        raise InputError(f"{name} must be a name, got {got(value)}")
    return value


def check_share(share):
    """Raise unless `share` is `(host, hosts)`."""
    pair = isinstance(share, (tuple, list)) and len(share) == 2 and all(map(is_whole, share))
    if not pair or not 0 <= share[0] < share[1]:
        raise InputError(f"share must be (host, hosts), 0 <= host < hosts, got {got(share)}")


def check_list(name, values, one="value"):
    """Return the items of a list or the like, at least one, or raise."""
    whole = getattr(values, "shape", None) == ()
    if whole or isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise InputError(f"{name} must be a list of at least one {one}, got {got(values)}")
    items = list(values)
    if not items:
        raise InputError(f"{name} must hold at least one {one}, got none")
    return items


def check_mapping(name, value, of):
    """Raise unless `value` is a dictionary, or the like, with something in it."""
    if not isinstance(value, Mapping) or not value:
        raise InputError(f"{name} must be a dictionary of {of}, one or more, got {got(value)}")


def check_table(name, table, columns, one="run"):
    """Raise unless `table` is a pandas table of at least one row that has the columns."""
    if table is None or (hasattr(table, "columns") and not len(table)):
        raise InputError(f"{name} must hold at least one {one}, got none")
    there = list(getattr(table, "columns", ()))
    missing = [column for column in columns if column not in there]
    if missing:
        raise InputError(
            f"{name} must be a pandas.DataFrame with the columns {missing}, too, got {got(table)}"
        )


def is_whole(value):
    """Say whether a value is a whole number, which True and False are not."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def got(value):
    """A value in a few words: its dtype and shape, or what it looks like."""
    if hasattr(value, "dtype") and getattr(value, "shape", ()):
        return f"{getattr(value.dtype, 'name', value.dtype)} of shape {tuple(value.shape)}"
    return reprlib.repr(value)


# What a signature says beside an argument; `door.public` calls the check.
Count = Annotated[int, check_count]
Seed = Annotated[int, check_seed]
Positive = Annotated[float, partial(check_number, lies="above 0", inside=lambda x: x > 0)]
Fraction = Annotated[float, partial(check_number, lies="in 0..1", inside=lambda x: 0 <= x <= 1)]
PositiveFraction = Annotated[
    float, partial(check_number, lies="above 0 and not above 1", inside=lambda x: 0 < x <= 1)
]
FilePath = Annotated[str | os.PathLike[str], check_path]
Source = Annotated[str | os.PathLike[str], check_source]
BatchFunction = Annotated[Callable[[Any], Any], check_function]


TENSORFLOWS = (
    "tensorflow",
    "tensorflow-cpu",
    "tensorflow-macos",
    "tensorflow-intel",
    "tensorflow-rocm",
    "tf-nightly",
    "tf-nightly-cpu",
)


def installed_versions(packages):
    """The versions of those packages that are installed; TensorFlow's by the name that it has."""
    versions = {}
    for package in packages:
        for name in TENSORFLOWS if package == "tensorflow" else (package,):
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                versions[name] = importlib.metadata.version(name)
                break
    return versions


def check_seeds(name, values):
    """Return a list of seeds, at least one, or raise."""
    return [check_seed(name, seed) for seed in check_list(name, values, "seed")]


def check_counts_listed(name, values):
    """Return a list of whole numbers of at least 1, at least one of them, or raise."""
    return [check_count(name, value) for value in check_list(name, values, "whole number")]


def check_text(name, value):
    """Return a text, or raise."""
    if not isinstance(value, str):
        raise InputError(f"{name} must be a text, got {got(value)}")
    return value


Seeds = Annotated[Iterable[int], check_seeds]
Counts = Annotated[Iterable[int], check_counts_listed]
Text = Annotated[str, check_text]
Names = Annotated[Sequence[str], partial(check_list, one="name")]
AtLeastTwo = Annotated[int, partial(check_count, least=2)]
NotNegative = Annotated[float, partial(check_number, lies="at 0 or above", inside=lambda x: x >= 0)]


def warn_caller(message):
    """Warn at the line outside the package that called it, however many calls lie between."""
    frame, level = sys._getframe(1), 2
    package = __name__.partition(".")[0]
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    warnings.warn(printable_lines(message), stacklevel=level)


def check_keras_path(name, value):
    """Return the path of a `.keras` file, or raise; nothing is looked up."""
    if os.path.splitext(check_path(name, value))[1] != ".keras":
        raise InputError(f"{name} must end in .keras, got {str(value)!r}")
    return value


KerasPath = Annotated[str | os.PathLike[str], check_keras_path]
