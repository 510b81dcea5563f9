"""What a run was asked for, as text that a file keeps."""

from __future__ import annotations

import json
import os

import keras
import numpy as np

from rotnet_keras._base.errors import InputError
from rotnet_keras.data.splits import Splits


def as_text(**settings):
    """Settings as JSON keeps them: models and splits by their names, paths as text."""

    def plain(value):
        if isinstance(value, os.PathLike) and not os.path.isabs(value):
            # Told from a data set of that name, as `load_splits` tells them.
            return os.path.join(os.curdir, os.fsdecode(value))
        if isinstance(value, np.integer):
            return int(value)
        if isinstance(value, (Splits, keras.Model)):
            return value.name
        return value if isinstance(value, (str, int, type(None))) else str(value)

    return {name: plain(value) for name, value in settings.items()}


def check_not_given(options):
    """Raise where somebody asks for what ready `Splits` cannot follow any more."""
    given = {n: v for n, v in options.items() if v not in (None, "crop", "raise")}
    if given:
        raise InputError(f"dataset must be a name or a folder for {given}, got Splits")


def finished_results(path, settings):
    """The results of a finished run like this one, or None; an explorer more does no harm."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        theirs = results["asked"]
        same = theirs | {"explorer": True} == settings | {"explorer": True}
        enough = theirs.get("explorer") or not settings.get("explorer")
        return results if same and enough else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def check_same_run(unfinished, settings):
    """Raise unless what lies unfinished in the folder, if anything, is of a run like this one."""
    path = unfinished / "settings.json"
    if not path.exists():
        if unfinished.exists() and any(unfinished.iterdir()):
            raise InputError(
                f"output must not hold {unfinished}, a folder with other things in it, since what "
                "is not finished is kept, and deleted, there"
            )
        return
    try:
        theirs = json.loads(path.read_text(encoding="utf-8"))
        other = {name: theirs[name] for name in settings if theirs[name] != settings[name]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read ({error}): delete {unfinished} to start anew"
        ) from error
    if other:
        raise InputError(
            f"output must hold no other run unfinished, got {unfinished} of one with {other}: give "
            "another output, or delete that folder to start anew"
        )
