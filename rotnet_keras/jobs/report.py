"""One page about a run, to read or to send: numbers, pictures, and what was given to whom."""

from __future__ import annotations

import base64
import inspect
import json
import math
import pathlib

from rotnet_keras._base.errors import InputError
from rotnet_keras._base.files import replace_text
from rotnet_keras._base.templates import render
from rotnet_keras._base.values import check_path, check_seed, got
from rotnet_keras.jobs.blog import ARMS, BLOG, BUDGETS
from rotnet_keras.jobs.experiment import run_experiment
from rotnet_keras.jobs.results import is_blogs_data, summarise

PAGE, NUMBERS = "report.html", "results.json"
PICTURES = ("rotations", "umap", "model", "accuracies", "training", "confusion")
MINUS = "\N{MINUS SIGN}"
NAMES = {
    "frozen": "frozen extractor, new head",
    "scratch": "from scratch",
    "fine_tuned": "fine-tuned",
    "given_frozen": "given weights, frozen, new head",
    "given_fine_tuned": "given weights, fine-tuned",
}
# Where each arm's weights come from, and which of them the labels change.
STARTS = {
    "frozen": ("pretraining on rotations", "a new head alone"),
    "scratch": ("random weights", "all layers"),
    "fine_tuned": ("pretraining on rotations", "all layers and a new head"),
    "given_frozen": ("the given weights", "a new head alone"),
    "given_fine_tuned": ("the given weights", "all layers and a new head"),
}
STAGES = {"files": "pictures and files"}
FEW_TESTS = 1000  # images, of which one is a tenth of a point
MOST_LISTED = 20  # files that could not be read
# Settings that say nothing where they are as usual.
USUAL = {"image_size": None, "fit": "crop", "channels": None, "broken": "raise"}
USUAL |= {"weights": None, "layer": None, "quick": False}


def save_report(folder, *, seeds=None, command=None):
    """Write `report.html`, one page about a run that stands alone, beside the run's results.

    What it shows is read from the folder, pictures are within the page, and what the run did not do
    is not in it. The page runs no code and asks nothing of the network.

    Args:
        folder: the `output` of `run_experiment`; or a folder of such folders, `seed_0` and so on,
            of runs that differ by their seed alone. The page of several runs has means and 95%
            intervals of Student's t, and the pictures of the first one.
        seeds: which of the `seed_` folders it is about; None takes the run in the folder itself,
            or, where there is none, all of them.
        command: what was typed to start the run, for the page to say; None for nothing.

    Returns:
        `pathlib.Path` of the page.

    Raises:
        ValueError: a folder without results, or with results of runs that differ in more than
            their seed; arguments of another kind.
        OSError: the page cannot be written.

    Example:
        >>> save_report("results")  # doctest: +SKIP
        PosixPath('results/report.html')
    """
    check_path("folder", folder)
    if command is not None and not isinstance(command, str):
        raise InputError(f"command must be a text, or None, got {got(command)}")
    folder = pathlib.Path(folder)
    runs = {place: _read(place) for place in _places(folder, seeds)}
    _check_alike(runs)
    first = next(iter(runs))
    try:
        shown = _of_all(list(runs.values())) | _of_one(first, runs[first])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(
            f"folder must hold {NUMBERS} as run_experiment writes it, got {folder}: {error!r}"
        ) from error
    explorer = first / "explorer.html"
    shown["explorer"] = explorer.relative_to(folder).as_posix() if explorer.exists() else ""
    shown |= {"command": command, "folders": [place.name for place in runs]}
    replace_text(folder / PAGE, render("jobs", PAGE, **shown))
    return folder / PAGE


def _places(folder, seeds):
    """The folders of the runs that the page is about."""
    if seeds is not None:
        try:
            seeds = list(seeds)
        except TypeError as error:
            raise InputError(f"seeds must be whole numbers, got {got(seeds)}") from error
        for seed in seeds:
            check_seed(seed, "seeds")
        if not seeds:
            raise InputError("seeds must be one or more, got none")
        return [folder / f"seed_{seed}" for seed in seeds]
    if (folder / NUMBERS).exists():
        return [folder]
    there = [path.parent for path in folder.glob(f"seed_*/{NUMBERS}")]
    there = [path for path in there if path.name.removeprefix("seed_").isdecimal()]
    if not there:
        raise InputError(
            f"folder must hold {NUMBERS} of run_experiment, or seed_ folders that do, got {folder}"
        )
    return sorted(there, key=lambda path: int(path.name.removeprefix("seed_")))


def _read(place):
    """The numbers of one run."""
    try:
        results = json.loads((place / NUMBERS).read_text(encoding="utf-8"))
        summarise([results])
        if not isinstance(results.get("asked"), dict):
            raise InputError("it does not say what was asked for")
        return results
    except (OSError, ValueError) as error:
        raise InputError(
            f"folder must hold {NUMBERS} of run_experiment, got {place}, where it cannot be read: "
            f"{error}"
        ) from error


def _check_alike(runs):
    """Raise unless runs differ by their seed alone."""
    first, *others = runs
    asked = [run["asked"] | {"seed": None} for run in runs.values()]
    for place, other in zip(others, asked[1:], strict=True):
        if other != asked[0]:
            both = asked[0] | other
            differ = [name for name in both if other.get(name) != asked[0].get(name)]
            raise InputError(
                f"folder must hold runs that differ by their seed alone, got {first.name} and "
                f"{place.name} with other {', '.join(differ)}"
            )


def _of_all(runs):
    """What is computed of all runs together: one, or several seeds."""
    table, several = summarise(runs), len(runs) > 1
    arms = [arm for arm in NAMES if arm in runs[0]["arms"]]
    blog = _is_like_the_blogs(runs[0])
    return {
        "several": several,
        "seeds": [run["seed"] for run in runs],
        "blog": {name: f"about {100 * value:.0f}" for name, value in BLOG.items()} if blog else {},
        "rotation": _percent(table.loc["rotation"], several),
        "rows": [
            {
                "arm": arm,
                "name": NAMES[arm],
                "blog": f"about {table.loc[f'{arm}, short', 'blog']:.0f}" if blog else "",
                "cells": [_percent(table.loc[f"{arm}, {budget}"], several) for budget in BUDGETS],
            }
            for arm in arms
        ],
        "gain": [_points(table.loc[f"gain, {budget}"], several) for budget in BUDGETS],
        "blog_gain": f"about {table.loc['gain, short', 'blog']:.0f}" if blog else "",
        "found": [_found(table, budget, several) for budget in BUDGETS],
        "given_found": _given_found(table) if "given_fine_tuned" in arms else "",
        "each": [
            [run["seed"], _number(100 * run["rotation_accuracy"])]
            + [_number(100 * run["arms"][arm][b]) for arm in arms for b in BUDGETS]
            for run in runs
        ],
        "columns": [f"{NAMES[arm]}, {budget}" for arm in arms for budget in BUDGETS],
    }


def _of_one(place, results):
    """What is shown of one run: the only one, or the first of several."""
    asked = results["asked"]
    shown = {name: f"{results[name]:,}" for name in ("num_unlabelled", "num_labels")}
    shown |= {name: f"{results[name]:,}" for name in ("num_validation", "parameters")}
    shown |= {name: results[name] for name in ("feature_dim", "stand_in", "quick")}
    height, width, channels = results["image_shape"]
    kinds = {1: "grey", 3: "colour"}
    few = 0 < results.get("num_test", 0) < FEW_TESTS
    class_names = _class_names(place)
    return shown | {
        "dataset": results["dataset"],
        "size": f"{height} × {width} pixels, {kinds.get(channels, f'{channels} channels')}",
        "num_test": f"{results['num_test']:,}" if "num_test" in results else "",
        "one_test_image": f"{100 / results['num_test']:.1f}" if few else "",
        "class_names": class_names,
        "skipped": [str(name) for name in results.get("skipped", ())][:MOST_LISTED],
        "num_skipped": len(results.get("skipped", ())),
        "pretraining_epochs": results.get("epochs", {}).get("pretraining", ""),
        "given": _given(results),
        "backbone": results["backbone"],
        "arms": _what_arms_got(results),
        "pictures": {name: _picture(place / f"{name}.png") for name in PICTURES},
        "model_text": _lines(place / "model.txt"),
        "classifier": (place / "classifier.keras").exists() and bool(class_names),
        "call": _call(asked, results.get("in_memory", ())),
        "settings": [
            (name.replace("_", " "), value)
            for name, value in asked.items()
            if name not in USUAL or value != USUAL[name]
            if value is not None
        ],
        "stages": [(STAGES.get(n, n), s) for n, s in results.get("seconds", {}).items()],
        "seconds": f"{sum(results.get('seconds', {}).values()):,.0f}",
        "versions": list(results.get("versions", {}).items()),
    }


def _is_like_the_blogs(results):
    """Whether the blog's figures may stand beside: its data, or the stand-in, and its arms."""
    in_memory = results.get("in_memory", ())
    data = is_blogs_data(results["asked"]["dataset"], in_memory, results["dataset"])
    return data and {*results["arms"]} == {*ARMS}


def _number(value):
    """A number with one decimal, and a minus that reads as one."""
    text = f"{value:.1f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", MINUS)


def _percent(row, several):
    return _number(row["mean"]) + (f" ± {row['ci95']:.1f}" if several else "")


def _points(row, several):
    """A difference: with its sign, and with an interval where there are several runs."""
    sign = "+" if float(f"{row['mean']:.1f}") > 0 else ""
    return sign + _percent(row, several)


def _found(table, budget, several):
    """What a budget says of pretraining, in a sentence."""
    tuned, scratch = (
        _number(table.loc[f"{arm}, {budget}", "mean"]) for arm in ("fine_tuned", "scratch")
    )
    gain = table.loc[f"gain, {budget}"]
    said = (
        f"After {budget} training, fine-tuning reaches {tuned}% of the test images and training "
        f"from scratch {scratch}%"
    )
    if not several:
        return f"{said}: {_ahead(gain['mean'])}."
    return f"{said}; paired by seed, {_interval(gain)}."


def _ahead(points):
    size = f"{abs(points):.1f}"
    if float(size) == 0:
        return "no difference"
    unit = "point" if size == "1.0" else "points"
    return f"pretraining is {size} {unit} {'ahead' if points > 0 else 'behind'}"


def _interval(gain):
    """A paired gain, and whether its interval leaves out zero."""
    said = f"the difference is {_points(gain, True)} points"
    if not math.isfinite(gain["ci95"]) or abs(gain["mean"]) <= gain["ci95"]:
        return f"{said}, an interval that holds zero: no clear difference"
    return f"{said}, an interval that leaves out zero"


def _given_found(table):
    """How fine-tuning from the given weights stands to fine-tuning after pretraining."""
    given, own = (table.loc[f"{arm}, long", "mean"] for arm in ("given_fine_tuned", "fine_tuned"))
    size = f"{abs(given - own):.1f}"
    how = (
        "as many as"
        if float(size) == 0
        else (f"{size} points {'more' if given > own else 'fewer'} than")
    )
    return (
        f"Fine-tuned from the given weights, with long training, it is {_number(given)}%, {how} "
        "after pretraining on rotations."
    )


def _class_names(place):
    """The names of the classes, as they lie beside the classifier; none where they do not."""
    try:
        names = json.loads((place / "classifier.json").read_text(encoding="utf-8"))["class_names"]
        return [str(name) for name in names]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _given(results):
    """Which weights the arms with given ones start from, in words; nothing without such arms."""
    if "given_fine_tuned" not in results["arms"]:
        return ""
    weights = results["asked"].get("weights")
    return f"{results['backbone']} with {weights}" if weights else f"those of {results['backbone']}"


def _what_arms_got(results):
    """A row for each arm: its start, what was trained, and the epochs of each budget."""
    epochs = results.get("epochs", {})
    return [
        (NAMES[arm], *STARTS[arm], *(epochs.get(f"{arm}, {budget}", "") for budget in BUDGETS))
        for arm in NAMES
        if arm in results["arms"]
    ]


def _picture(path):
    """A picture as text that a page can hold; nothing where there is none."""
    if not path.exists():
        return ""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _lines(path):
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _call(asked, in_memory):
    """The lines of Python that repeat a run; what was held in memory has a name in its place."""
    usual = inspect.signature(run_experiment).parameters
    places = {"dataset": "splits", "backbone": "network"}
    lines = [
        f"# {places[name]}: what was in memory then, by the name of {asked[name]!r}"
        for name in in_memory
    ]
    given = {name: places[name] if name in in_memory else repr(asked[name]) for name in asked}
    first = [given.pop("dataset")] if asked["dataset"] is not None else []
    given.pop("dataset", None)
    rest = [f"{n}={v}" for n, v in given.items() if asked[n] != usual[n].default]
    return [
        "import rotnet_keras as rk",
        "",
        *lines,
        f"rk.run_experiment({', '.join(first + rest)})",
    ]
