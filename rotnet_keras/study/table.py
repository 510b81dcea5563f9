"""The study's table: its columns, reading and adding rows, and the summary."""

from __future__ import annotations

import csv
import io
import os
import pathlib
import warnings

import pandas as pd

from rotnet_keras._base.errors import InputError
from rotnet_keras._base.files import replace_text
from rotnet_keras._base.values import check_table, got
from rotnet_keras.evaluation import ci95
from rotnet_keras.study.arms import ARMS

WITHOUT_PRETEXT = "without pretext"
KEY = ["arm", "network", "num_labels", "seed", "pretrain_epochs", "rotations"]
SAME = ["dataset", "num_validation", "precision"]  # in every row of one table
SUMMARISED = [*KEY, "pretext", "validation_accuracy", "test_accuracy"]
ARM_SETTINGS = sorted({name for arm in ARMS.values() for name in arm.settings})
COLUMNS = [
    *KEY,
    "transductive",
    "pretext",
    "test_accuracy",
    "validation_accuracy",
    "rotation_accuracy",
    "seconds",
    "pretrain_seconds",
    "num_unlabelled",
    *SAME,
    *ARM_SETTINGS,
]


def summarise_study(table, *, baseline=WITHOUT_PRETEXT):
    """Mean, 95% interval and paired gain of each arm at each budget, in percent.

    Args:
        table: of `run_study`, of one network and pretraining, or of several.
        baseline: arm to compare with, of the same network and budget; "without pretext" takes the
            arm without the pretext task that is best on validation images, among those with at
            least half as many seeds as any.

    Returns:
        `pandas.DataFrame`, one row for each `num_labels`, `network`, `pretrain_epochs`,
        `rotations` and `arm`: `pretext`, `mean`, `ci95` (half the width of Student's 95% interval;
        NaN for one run), `runs`, `baseline`, and, over the seeds that both ran, the paired
        difference to the baseline, `gain` and `gain_ci95`; NaN where there is no baseline.

    Raises:
        ValueError: the table is empty, lacks a column that `run_study` fills, or has no such
            baseline.

    Example:
        >>> table = pd.DataFrame({"arm": ["a", "a", "b", "b"], "seed": [0, 1, 0, 1],
        ...     "num_labels": 10, "network": "n", "pretrain_epochs": 1, "rotations": "0 90",
        ...     "pretext": [False, False, True, True], "validation_accuracy": 0.5,
        ...     "test_accuracy": [0.5, 0.6, 0.7, 0.8]})
        >>> summarise_study(table).set_index("arm").loc["b", ["mean", "gain"]].round(1).tolist()
        [75.0, 20.0]
    """
    check_table("table", table, SUMMARISED)
    if not isinstance(baseline, str) or baseline not in {WITHOUT_PRETEXT, *table["arm"]}:
        raise InputError(f"baseline must be an arm of the table, got {got(baseline)}")
    group = ["num_labels", "network", "pretrain_epochs", "rotations", "arm"]
    rows = []
    for _, runs in table.groupby(group[:2]):
        name = _best_without_pretext(runs) if baseline == WITHOUT_PRETEXT else baseline
        reference = runs[runs["arm"] == name].groupby("seed")["test_accuracy"].first()
        for key, some in runs.groupby(group):
            values = 100 * some.set_index("seed")["test_accuracy"]
            gains = (values - 100 * reference).dropna()
            rows.append(
                dict(zip(group, key, strict=True))
                | {"pretext": some["pretext"].all()}
                | {"mean": values.mean(), "ci95": ci95(values), "runs": len(values)}
                | {"baseline": name, "gain": gains.mean(), "gain_ci95": ci95(gains)}
            )
    return pd.DataFrame(rows)


def read_study(path, **same):
    """Read a table that `run_study` writes; a last line that a kill tore is cut off, and said.

    Args:
        path: of the CSV file.
        **same: columns and the one value that each must hold, for instance `dataset`.

    Returns:
        `pandas.DataFrame` in the columns `COLUMNS`, or None where there is no file.

    Raises:
        ValueError: the columns or those values are of another study; nothing is changed then.
    """
    path = pathlib.Path(path)
    if not path.exists():
        return None
    text = path.read_text(encoding="utf-8")
    header = _line(COLUMNS)
    if len(text) < len(header) and header.startswith(text):  # torn in its first line: no row yet
        path.unlink()
        return None
    if not text.startswith(header):
        first = text.split("\n", 1)[0]
        raise InputError(f"output must hold no table of another study, got {path} with {first!r}")
    whole = text[: text.rindex("\n") + 1]
    table = pd.read_csv(io.StringIO(whole), dtype={"blocks": str})
    for name, value in same.items():
        others = set(table[name]) - {value}
        if others:
            raise InputError(
                f"output must hold no table of another study, got {path} with {name} "
                f"{sorted(others)} instead of {value!r}"
            )
    if whole != text:
        warnings.warn(f"{path}: cut off its torn last line; that run is done again", stacklevel=2)
        replace_text(path, whole)
    return table


def row_key(run):
    return tuple(run[name] for name in KEY)


def row_keys(table):
    return [] if table is None else list(table[KEY].itertuples(index=False, name=None))


def _best_without_pretext(runs):
    without = runs[~runs["pretext"].astype(bool)].groupby("arm")["validation_accuracy"]
    if not len(without):
        return None
    scores = without.agg(["mean", "size"])
    return scores[2 * scores["size"] >= scores["size"].max()]["mean"].idxmax()


def append_row(path, row):
    """Add one line in one write, so that a kill tears at most the last."""
    start = "" if path.exists() else _line(COLUMNS)
    with open(path, "a", encoding="utf-8", newline="") as file:
        file.write(start + _line([row.get(name, "") for name in COLUMNS]))
        file.flush()
        os.fsync(file.fileno())


def _line(values):
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()
