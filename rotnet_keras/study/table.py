"""The study's table: its columns, reading and adding rows, and the summary."""

from __future__ import annotations

import csv
import io
import os
import pathlib
import warnings
from typing import Annotated

import pandas as pd

from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.files import replace_text
from rotnet_keras._base.values import Text, check_table, got
from rotnet_keras.evaluation import ci95
from rotnet_keras.study.arms import ARMS

WITHOUT_PRETEXT = "without pretext"
KEY = ["arm", "network", "num_labels", "seed", "pretrain_epochs", "rotations"]
SAME = ["dataset", "num_validation", "precision"]  # in every row of one table
SUMMARISED = [*KEY, "pretext", "validation_accuracy", "test_accuracy"]
NEEDED = [*SUMMARISED, *SAME]  # whatever version wrote it
FORMAT = 1  # of a row; earlier rows have no number, and are read like it
# Of a new file. An older file keeps its own, and those that it lacks are added behind them.
COLUMNS = [
    *KEY,
    "pretext",
    "test_accuracy",
    "validation_accuracy",
    "rotation_accuracy",
    "seconds",
    "pretrain_seconds",
    "num_unlabelled",
    *SAME,
    *sorted({name for arm in ARMS.values() for name in arm.settings}),
    "format",
]


def _check_summarised(name, table):
    check_table(name, table, SUMMARISED)
    return table


Table = Annotated[pd.DataFrame, _check_summarised]


def arm_or_best_without(table, baseline):  # a relation
    """A baseline is an arm of the table, or looked for in it."""
    if baseline not in {WITHOUT_PRETEXT, *table["arm"]}:
        raise InputError(f"baseline must be an arm of the table, got {got(baseline)}")


@public(arm_or_best_without)
def summarise_study(table: Table, *, baseline: Text = WITHOUT_PRETEXT) -> pd.DataFrame:
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
        InputError: the table is empty, lacks a column that `run_study` fills, or has no such
            baseline.

    Example:
        >>> table = pd.DataFrame({"arm": ["a", "a", "b", "b"], "seed": [0, 1, 0, 1],
        ...     "num_labels": 10, "network": "n", "pretrain_epochs": 1, "rotations": "0 90",
        ...     "pretext": [False, False, True, True], "validation_accuracy": 0.5,
        ...     "test_accuracy": [0.5, 0.6, 0.7, 0.8]})
        >>> summarise_study(table).set_index("arm").loc["b", ["mean", "gain"]].round(1).tolist()
        [75.0, 20.0]
    """
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
        path: of the CSV file. One of another version of the package may have other columns beside
            those that every study has.
        **same: columns and the one value that each must hold, for instance `dataset`.

    Returns:
        `pandas.DataFrame` in the columns of the file, or None where there is no file.

    Raises:
        InputError: the columns or those values are of another study, or a newer version wrote rows
            that this one cannot tell the meaning of; nothing is changed then.
    """
    path = pathlib.Path(path)
    if not path.exists():
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except ValueError as error:
        raise InputError(f"output must hold no other study.csv, got {path}: {error}") from error
    start = ",".join(KEY)
    if "\n" not in text and (start.startswith(text) or text.startswith(f"{start},")):
        path.unlink()  # torn in its first line: no row yet
        return None
    _check_columns(path, text.split("\n", 1)[0])
    whole = text[: text.rindex("\n") + 1]
    try:
        table = pd.read_csv(io.StringIO(whole), dtype={"blocks": str})
    except ValueError as error:  # lines that are longer than the first
        raise InputError(f"{path} cannot be read: {error}") from error
    _check_same(path, table, same)
    if whole != text:
        warnings.warn(f"{path}: cut off its torn last line; that run is done again", stacklevel=2)
        replace_text(path, whole)
    return table


def _check_columns(path, header):
    missing = {*NEEDED} - {*next(csv.reader([header]), ())}
    if missing:
        raise InputError(
            f"output must hold no table of another study, got {path} without the columns "
            f"{sorted(missing)}: {header[:100]!r}"
        )


def _check_same(path, table, same):
    for name, value in same.items():
        others = set(table[name]) - {value}
        if others:
            raise InputError(
                f"output must hold no table of another study, got {path} with {name} "
                f"{sorted(others)} instead of {value!r}"
            )
    formats = {int(number) for number in table.get("format", pd.Series(dtype=float)).dropna()}
    if formats - {FORMAT}:
        raise InputError(
            f"output must hold no table of a newer version of rotnet_keras, got {path} with rows "
            f"of format {sorted(formats)}; this version reads format {FORMAT}"
        )


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
    row = row | {"format": FORMAT}
    if path.exists():
        columns, start = _with_columns(path, row), ""
    else:
        columns, start = COLUMNS, _line(COLUMNS)
    with open(path, "a", encoding="utf-8", newline="") as file:
        file.write(start + _line([row.get(name, "") for name in columns]))
        file.flush()
        os.fsync(file.fileno())


def _with_columns(path, row):
    """The file's columns; those of the row that it lacks are added, all rows before kept."""
    with open(path, encoding="utf-8", newline="") as file:
        columns = next(csv.reader(file))
        added = [name for name in row if name not in columns]
        rows = list(csv.reader(file)) if added else []
    if added:
        columns += added
        longer = [[*earlier, *[""] * len(added)] for earlier in rows]
        replace_text(path, "".join(map(_line, [columns, *longer])))
    return columns


def _line(values):
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()
