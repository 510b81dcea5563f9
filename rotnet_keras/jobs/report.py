"""One page about a run: numbers, pictures, and what was given to whom.

Sentences and tables stand in the template, `report.html`; here is what they are filled in with.
"""

from __future__ import annotations

import base64
import json
import pathlib
import shlex

from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.files import replace_text
from rotnet_keras._base.templates import render
from rotnet_keras._base.values import FilePath, Seeds, Text
from rotnet_keras.jobs.blog import ARMS, BLOG, BUDGETS, rows_watched
from rotnet_keras.jobs.results import FILE, read_results
from rotnet_keras.jobs.settings import USUAL
from rotnet_keras.jobs.summary import check_runs, summarise
from rotnet_keras.jobs.words import chance_between, chance_of, choice_of, verdict_of

PAGE = "report.html"
PICTURES = (
    *("rotations", "umap", "model", "accuracies", "training", "confusion"),
    *("mistakes", "labels"),
)
MINUS = "\N{MINUS SIGN}"
MOST_LISTED = 20  # files that could not be read
ALWAYS_SAID = ("backbone", "seed")  # also where they are as usual


@public()
def save_report(
    folder: FilePath, *, seeds: Seeds | None = None, command: Text | None = None
) -> pathlib.Path:
    """Write `report.html`, one page about a run that stands alone, beside the run's results.

    What it shows is read from the folder, pictures are within the page, and what the run did not do
    is not in it. The page runs no code and asks nothing of the network.

    Args:
        folder: the `output` of `run_experiment`; or a folder of such folders, `seed_0` and so on,
            of runs that differ by their seed alone. The page of several runs has means and 95%
            intervals of Student's t, and of the first one the sentences at the top and pictures.
        seeds: which of the `seed_` folders it is about; None takes the run in the folder itself,
            or, where there is none, all of them.
        command: what was typed to start the run, for the page to say; None for nothing.

    Returns:
        `pathlib.Path` of the page.

    Raises:
        InputError: a folder without results, with torn ones or a newer version's, or with those of
            runs that differ in more than their seed; arguments of another kind.
        FileError: the page cannot be written.

    Example:
        >>> save_report("results")  # doctest: +SKIP
        PosixPath('results/report.html')
    """
    folder = pathlib.Path(folder)
    runs = {place: _read(place) for place in _places(folder, seeds)}
    _check_alike(runs)
    first = next(iter(runs))
    explorer = first / "explorer.html"
    shown = _of_all(list(runs.values())) | _of_one(first, runs[first])
    shown["explorer"] = explorer.relative_to(folder).as_posix() if explorer.exists() else ""
    model = (first / "classifier.keras").as_posix()
    shown |= {"command": command, "folders": [place.name for place in runs]}
    shown |= {"model": shlex.quote(model), "file": repr(model)}
    filters = {"number": _number, "count": "{:,.0f}".format}
    replace_text(folder / PAGE, render("jobs", PAGE, filters=filters, **shown))
    return folder / PAGE


def _places(folder, seeds):
    """The folders of the runs that the page is about."""
    if seeds is not None:
        return [folder / f"seed_{seed}" for seed in seeds]
    if (folder / FILE).exists():
        return [folder]
    there = [path.parent for path in folder.glob(f"seed_*/{FILE}")]
    there = [path for path in there if path.name.removeprefix("seed_").isdecimal()]
    if not there:
        raise InputError(
            f"folder must hold {FILE} of run_experiment, or seed_ folders that do, got {folder}"
        )
    return sorted(there, key=lambda path: int(path.name.removeprefix("seed_")))


def _read(place):
    """The results of one run."""
    try:
        return read_results(place / FILE)
    except InputError as error:
        raise InputError(
            f"folder must hold {FILE} of run_experiment, got {place}, where {error}"
        ) from error


def _check_alike(runs):
    """Raise unless runs differ by their seed alone, and by whether one has an explorer, too."""
    first, *others = runs
    asked = [USUAL | run.asked | {"seed": None, "explorer": None} for run in runs.values()]
    for place, other in zip(others, asked[1:], strict=True):
        if differ := [name for name in asked[0] if other[name] != asked[0][name]]:
            raise InputError(
                f"folder must hold runs that differ by their seed alone, got {first.name} and "
                f"{place.name} with other {', '.join(differ)}"
            )
    check_runs("folder", [run.as_dict() for run in runs.values()])


def _of_all(runs):
    """What is computed of all runs together: one, or several seeds."""
    return {
        "runs": runs,
        "several": len(runs) > 1,
        "table": summarise([run.as_dict() for run in runs]).to_dict("index"),
        "budgets": BUDGETS,
        "arms": [arm for arm in ARMS.values() if arm.name in runs[0].arms],
        "blog": BLOG if runs[0].is_like_the_blogs else {},
    }


def _of_one(place, run):
    """What is shown of one run: the only one, or the first of several."""
    class_names = _class_names(place)
    return {
        "run": run,
        "sentences": [said for said in (verdict_of(run), choice_of(run), chance_of(run)) if said],
        "watched": len(rows_watched(run.num_validation)),
        "chance": {budget: chance_between(run, budget) for budget in BUDGETS},
        "class_names": class_names,
        "skipped": [str(name) for name in run.skipped][:MOST_LISTED],
        "pictures": {name: _picture(place / f"{name}.png") for name in PICTURES},
        "model_text": _lines(place / "model.txt"),  # of an earlier version, without Graphviz
        "classifier": (place / "classifier.keras").exists() and bool(class_names),
        "call": _call(run.asked, run.in_memory),
        "settings": {
            name.replace("_", " "): value
            for name, value in (run.asked | {"backbone": run.backbone}).items()
            if value is not None and (name in ALWAYS_SAID or value != USUAL[name])
        },
    }


def _number(value):
    """A number with one decimal, and a minus that reads as one."""
    text = f"{value:.1f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", MINUS)


def _class_names(place):
    """The names of the classes, as they lie beside the classifier; none where they do not."""
    try:
        names = json.loads((place / "classifier.json").read_text(encoding="utf-8"))["class_names"]
        return [str(name) for name in names]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _picture(path):
    """A picture as text that a page can hold; nothing where there is none."""
    if not path.exists():
        return ""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _lines(path):
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _call(asked, in_memory):
    """The lines of Python that repeat a run; what was held in memory has a name in its place."""
    places = {"dataset": "splits", "backbone": "network"}
    lines = [
        f"# {places[name]}: what was in memory then, by the name of {asked[name]!r}"
        for name in in_memory
    ]
    given = {name: places[name] if name in in_memory else repr(asked[name]) for name in asked}
    first = [given.pop("dataset")] if asked.get("dataset") is not None else []
    given.pop("dataset", None)
    rest = [f"{n}={v}" for n, v in given.items() if asked[n] != USUAL[n]]
    return [
        "import rotnet_keras as rk",
        "",
        *lines,
        f"rk.run_experiment({', '.join(first + rest)})",
    ]
