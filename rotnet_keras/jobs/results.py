"""What a run found out, as numbers: its figures and its file."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
import platform
import typing
from typing import Any

from rotnet_keras._base.errors import InputError
from rotnet_keras._base.files import read_json
from rotnet_keras._base.values import got, installed_versions, warn_caller
from rotnet_keras.data.identity import what_changed
from rotnet_keras.evaluation import rotation_accuracy
from rotnet_keras.few_labels.verdict import Gain
from rotnet_keras.jobs.blog import BLOG_ARMS, BLOG_DATA, BUDGETS, arms_of
from rotnet_keras.jobs.choice import Choice
from rotnet_keras.jobs.plan import Plan
from rotnet_keras.jobs.settings import DECIDING, USUAL, RunSettings
from rotnet_keras.jobs.summary import check_runs

FILE = "results.json"
FORMAT = 1  # of the file; earlier ones have no number, and are read like it
PACKAGES = ("rotnet-keras", "tensorflow", "keras", "tensorflow-datasets", "umap-learn", "numpy")


# What its parts hold.
PARTS: dict[str, dict[str, Any]] = {
    "recipe": {"validation_accuracy": float, "test_accuracy": float},
    "chosen": {"row": str, **typing.get_type_hints(Choice)},
    "plan": typing.get_type_hints(Plan),
}


class NewerError(InputError):
    """Results that a newer version of the package wrote."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunResults:
    """What `results.json` says of a run, beside the settings it was asked for.

    Fields with a default are not in the files of earlier versions.
    """

    asked: dict[str, Any]
    skipped: list[str] = dataclasses.field(default_factory=list)
    in_memory: list[str] = dataclasses.field(default_factory=list)
    num_unlabelled: int
    dataset: str
    fit: str = "crop"
    backbone: str
    num_labels: int
    num_validation: int
    seed: int
    quick: bool
    image_shape: list[int]
    stand_in: bool
    num_test: int | None = None
    data: dict[str, str] = dataclasses.field(default_factory=dict)
    feature_dim: int
    parameters: int
    rotation_accuracy: float
    arms: dict[str, dict[str, float]]
    balanced: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    recipe: dict[str, float] = dataclasses.field(default_factory=dict)
    chosen: dict[str, Any] = dataclasses.field(default_factory=dict)
    verdict: dict[str, Any] = dataclasses.field(default_factory=dict)
    recipe_verdict: dict[str, Any] = dataclasses.field(default_factory=dict)
    pretext: str = ""
    plan: dict[str, int] = dataclasses.field(default_factory=dict)
    epochs: dict[str, int] = dataclasses.field(default_factory=dict)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)

    def as_dict(self):
        """What the file holds, and `run_experiment` returns: settings first, as far as known."""
        settings = {name: self.asked.get(name, USUAL[name]) for name in DECIDING}
        return {"format": FORMAT} | settings | dataclasses.asdict(self)

    @property
    def is_like_the_blogs(self):
        """Whether the blog's figures may stand beside: its data, or the stand-in, and its arms."""
        data = is_blogs_data(self.asked.get("dataset"), self.in_memory, self.dataset)
        return data and {*self.arms} == {*BLOG_ARMS}


def results_of(run):
    """Test the models of a run, and put together what it was and how well it did."""
    settings, splits, extractor = run.settings, run.splits, run.models["extractor"]
    epochs = {f"{arm}, {budget}": one["epochs"] for (arm, budget), one in run.arms.items()}
    return RunResults(
        asked=settings.asked,
        skipped=list(splits.skipped),
        in_memory=settings.in_memory,
        num_unlabelled=len(run.images),
        dataset=splits.name,
        fit=splits.fit,
        backbone=settings.asked["backbone"] or run.backbone,
        num_labels=len(splits.labelled.labels),
        num_validation=len(splits.validation.labels),
        seed=settings.asked["seed"],
        quick=settings.quick,
        image_shape=list(splits.image_shape),
        stand_in=splits.stand_in,
        num_test=len(splits.test.labels),
        data=run.data,
        feature_dim=extractor.output_shape[-1],
        parameters=extractor.count_params(),
        rotation_accuracy=rotation_accuracy(run.models["rotation_model"], splits.test.images),
        arms=_figures(run.arms, "test_accuracy"),
        balanced=_figures(run.arms, "balanced_accuracy"),
        recipe=_accuracies(run.recipe),
        chosen=dataclasses.asdict(run.chosen) | {"row": run.chosen.row},
        verdict=run.gain.as_dict() if run.gain else {},
        pretext=run.pretext,
        recipe_verdict=run.dear_gain.as_dict() if run.dear_gain else {},
        plan=run.plan.as_dict(),
        epochs=epochs | {"pretraining": len(run.rotation_history.epoch)},
        seconds=run.whole.seconds,
        versions=package_versions(),
    )


def _figures(runs, which):
    """A figure of each run by arm and budget; none where it was not measured."""
    if any(which not in run for run in runs.values()):
        return {}
    return {
        arm.name: {budget: runs[arm.name, budget][which] for budget in BUDGETS}
        for arm in arms_of(runs)
    }


def _accuracies(recipe):
    """The figures of the recipe, by name."""
    return {name: value for name, value in (recipe or {}).items() if name != "model"}


def package_versions():
    """Of Python, and of what is installed of the packages that figures depend on."""
    return {"python": platform.python_version()} | installed_versions(PACKAGES)


def read_results(path: pathlib.Path) -> RunResults:
    """Read a `results.json`, or raise one `InputError` about what is wrong with it."""
    return check_results(_read(path))


def _read(path):
    try:
        return read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"it cannot be read: {error}") from error


def check_results(written) -> RunResults:
    """What a `results.json` holds, or raise one `InputError` about what is wrong with it."""
    check_runs("it", [written])
    check_format(written)
    names = {field.name for field in dataclasses.fields(RunResults)}
    try:
        results = RunResults(**{name: written[name] for name in written if name in names})
    except TypeError as error:  # which names what is missing
        raise InputError(f"it does not say all of a run: {error}") from error
    _check_kinds(results)
    return results


def check_format(written):
    """Raise where a newer version of the package wrote the results."""
    if isinstance(written, dict) and written.get("format", FORMAT) != FORMAT:
        raise NewerError(
            f"it is of format {got(written['format'])}, which another version of rotnet_keras "
            f"wrote; this one reads format {FORMAT}"
        )


def _check_kinds(results):
    """Raise unless each part is of the kind that the class says."""
    for name, hint in typing.get_type_hints(RunResults).items():
        if not _is(getattr(results, name), hint):
            raise InputError(f"its {name} cannot be {got(getattr(results, name))}")
    for name, kinds in PARTS.items():
        part = getattr(results, name)
        if part and not all(field in part and _is(part[field], kinds[field]) for field in kinds):
            raise InputError(f"its {name} cannot be {got(part)}")
    for part in filter(None, (results.verdict, results.recipe_verdict)):
        _check_verdict(part)
    if len(results.image_shape) != 3:
        raise InputError(f"its image_shape must be three whole numbers, got {results.image_shape}")
    if unknown := {*results.asked} - {*USUAL} | {*results.in_memory} - {"dataset", "backbone"}:
        raise InputError(f"run_experiment has no settings {sorted(unknown)}")


def _check_verdict(part):
    try:
        Gain.from_dict(part).in_words  # noqa: B018  says all of it
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"its verdict cannot be {got(part)}") from error


def _is(value, hint):
    """Whether a value that was read from JSON, and all within it, is of a kind."""
    kind, inner = typing.get_origin(hint), typing.get_args(hint)
    if kind is dict:
        return isinstance(value, dict) and all(_is(part, inner[1]) for part in value.values())
    if kind is list:
        return isinstance(value, list) and all(_is(part, inner[0]) for part in value)
    if inner:  # one of several
        return any(_is(value, one) for one in inner)
    if hint is float:
        return _is(value, int) or (isinstance(value, float) and math.isfinite(value))
    return hint is Any or type(value) is hint


def finished_results(path: pathlib.Path, settings: RunSettings):
    """The results of a finished run like this one, or None; an explorer more does no harm.

    Damaged ones are done again, and said to be.
    """
    if not os.path.lexists(path):
        return None
    try:
        written = _read(path)
        check_format(written)
        theirs, ours = USUAL | check_results(written).asked, USUAL | settings.asked
    except NewerError as error:
        raise InputError(f"output must hold no newer results, got {path}: {error}") from error
    except InputError as error:
        warn_caller(f"{path}: {error}; the run is done again")
        return None
    same = theirs | {"explorer": True} == ours | {"explorer": True}
    return written if same and (theirs["explorer"] or not ours["explorer"]) else None


def is_of_same_data(written, data, path):
    """Whether finished results are of these data, as `identity_of` knows them; else say it."""
    theirs = written.get("data", {})
    if changed := what_changed(theirs, data):
        said = f"is of {changed}" if theirs else "does not tell which data it is of"
        warn_caller(f"{path} {said}; the run is done again")
    return not changed


def is_blogs_data(asked, in_memory, name):
    """Whether it is the blog's data or the stand-in; a folder or `Splits` may have the name."""
    by_name = asked in (None, *BLOG_DATA) and "dataset" not in in_memory
    return by_name and name in BLOG_DATA
