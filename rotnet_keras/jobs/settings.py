"""What a run is asked for: as arguments, and as text that a file keeps."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from typing import Annotated, Any

import keras
import numpy as np

from rotnet_keras._base.arrays import check_examples, check_have_names, check_images, check_square
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.files import replace_text
from rotnet_keras._base.values import check_source
from rotnet_keras.data.identity import what_changed
from rotnet_keras.data.load import READING
from rotnet_keras.data.splits import Examples, Splits
from rotnet_keras.jobs.plan import Plan

NETWORK = ("backbone", "weights", "layer")
SETTINGS, DATA, PLAN = "settings.json", "data", "plan"  # of an unfinished run: file and parts
DIVISION = ("num_labels", "num_validation")
# What decides the figures, in the order of the file. Where a run lies and what it shows do not.
DECIDING = ("dataset", *READING, *NETWORK, *DIVISION, "seed", "quick", "minutes")


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """The arguments of `run_experiment`, by their names and with their defaults."""

    dataset: Any = None
    num_labels: int | None = None
    num_validation: int | None = None
    image_size: int | None = None
    fit: str = "crop"
    channels: int | None = None
    ground: int | tuple[int, int, int] = 255
    white: tuple[int, int] | None = None
    broken: str = "raise"
    repeats: str = "raise"
    parts: str = "any"
    follow_links: bool = False
    backbone: Any = None
    weights: Any = None
    layer: str | None = None
    seed: int = 0
    output: str | os.PathLike[str] = "results"
    skip_finished: bool = False
    data_dir: str | os.PathLike[str] | None = None
    manual_dir: str | os.PathLike[str] | None = None
    quick: bool = False
    minutes: float | None = None
    explorer: bool = False
    tensorboard: str | os.PathLike[str] | None = None
    verbose: int = 1

    def some(self, names):
        """A dictionary of the settings of these names."""
        return {name: getattr(self, name) for name in names}

    @property
    def deciding(self):
        """What decides the figures, as JSON keeps it: models and splits by name, paths as text."""
        return {name: _as_text(value) for name, value in self.some(DECIDING).items()}

    @property
    def asked(self):
        """What results say was asked for."""
        return self.deciding | ({"explorer": True} if self.explorer else {})

    @property
    def in_memory(self):
        """The settings whose name, in a file, stands for something that was in memory."""
        held = self.some(("dataset", "backbone"))
        return [name for name, value in held.items() if isinstance(value, (Splits, keras.Model))]


USUAL = RunSettings().some(DECIDING) | {"explorer": False}


def _as_text(value):
    if isinstance(value, os.PathLike) and not os.path.isabs(value):
        # Told from a data set of that name, as `load_splits` tells them.
        return os.path.join(os.curdir, os.fsdecode(value))
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (Splits, keras.Model)):
        return value.name
    if isinstance(value, tuple):  # as JSON gives it back
        return list(value)
    return value if isinstance(value, (str, int, float, type(None))) else str(value)


def check_data(name, value):
    """Return a name, a folder, or `Splits` of arrays that belong together, or raise."""
    if not isinstance(value, Splits):
        return check_source(name, value)
    parts = {}
    for part in ("labelled", "validation", "test"):
        parts[part] = Examples(*check_examples(*getattr(value, part), whose=f"{name}.{part} "))
        check_have_names(parts[part].labels, value.class_names)
    unlabelled = value.unlabelled
    if len(unlabelled):  # there need not be any
        unlabelled = check_images(unlabelled, f"{name}.unlabelled")
    check_square(unlabelled.shape, f"{name}.unlabelled")
    shapes = {unlabelled.shape[1:], *(part.images.shape[1:] for part in parts.values())}
    if len(shapes) > 1:
        raise InputError(f"{name} must hold images of one shape, got {sorted(shapes)}")
    return dataclasses.replace(value, unlabelled=unlabelled, **parts)


Data = Annotated[str | os.PathLike[str] | Splits, check_data]


def only_names_are_read(
    dataset, num_labels, num_validation, image_size, fit, channels, ground, white, broken,
    repeats, parts, follow_links,
):  # fmt: skip
    """A relation: ready `Splits` have been read; settings of how to do that come too late."""
    given = {name: value for name, value in locals().items() if name != "dataset"}
    late = {name: value for name, value in given.items() if value != USUAL[name]}
    if isinstance(dataset, Splits) and late:
        raise InputError(
            f"dataset must be a name or a folder for {late} to apply, got Splits, which have been "
            "read and divided already"
        )


def check_same_run(unfinished: pathlib.Path, settings: RunSettings, data=None):
    """Raise unless what lies unfinished in the folder, if anything, is of a run like this one.

    Args:
        unfinished: folder.
        settings: of this run.
        data: what `identity_of` says of its data; None where they are not read yet.
    """
    path, ours = unfinished / SETTINGS, settings.deciding
    if not path.exists():
        if unfinished.exists() and _holds_more_than_parts(unfinished):
            raise InputError(
                f"output must not hold {unfinished}, a folder with other things in it: unfinished "
                "runs are kept, and deleted, there"
            )
        return
    theirs, their_data = _read_settings(path)
    other = {name: theirs[name] for name in ours if theirs[name] != ours[name]}
    if other:
        raise InputError(
            f"output must hold no other unfinished run, got {unfinished} of one with {other}: give "
            "another output, or delete that folder to start anew"
        )
    if data is not None and (changed := what_changed(their_data, data)):
        raise InputError(
            f"output must hold no unfinished run of other data, got {unfinished} of one with "
            f"{changed if their_data else 'data that it does not tell'}: give another output, or "
            "delete that folder to start anew"
        )


def write_settings(
    unfinished: pathlib.Path, settings: RunSettings, data: dict[str, str], plan: Plan
):
    """Leave in the folder what `check_same_run` looks at, and how long it trains."""
    also = {DATA: data, PLAN: plan.as_dict()}
    replace_text(unfinished / SETTINGS, json.dumps(settings.deciding | also))


def kept_plan(unfinished: pathlib.Path):
    """The lengths of training of an unfinished run, or None: they may depend on the machine."""
    path = unfinished / SETTINGS
    try:
        return Plan(**json.loads(path.read_text(encoding="utf-8"))[PLAN])
    except (OSError, KeyError, TypeError, ValueError):
        return None


def _holds_more_than_parts(unfinished):
    """Whether there is more than a run leaves that was killed at its first write."""
    return any(not path.name.startswith(".part-") for path in unfinished.iterdir())


def _read_settings(path):
    """An unfinished run's settings, and what its data are known by."""
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        return USUAL | written, dict(written.get(DATA, {}))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} cannot be read ({error}): delete {path.parent} to start anew"
        ) from error
