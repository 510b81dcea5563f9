"""The study's table: its columns, reading and adding rows, and the summary."""

from __future__ import annotations

import csv
import os
import pathlib
import warnings
from typing import Annotated

import numpy as np
import pandas as pd

from rotnet_keras._base.door import public
from rotnet_keras._base.errors import FileError, InputError
from rotnet_keras._base.files import replace_text
from rotnet_keras._base.tasks import NONE
from rotnet_keras._base.values import Text, check_table, got
from rotnet_keras.data.identity import what_changed
from rotnet_keras.evaluation import ci95
from rotnet_keras.study.arms import ARMS
from rotnet_keras.study.rows import (
    BALANCED,
    CHECK,
    DATA,
    EARLIER,
    FORMAT,
    KEY,
    NEEDED,
    SAME,
    SUMMARISED,
    line,
    table_of,
    texts_of,
)

WITHOUT_PRETEXT = "without pretext"
ENCODING = "utf-8-sig"  # a spreadsheet may have put a mark before the first column
DATA_PARTS = ("images", "test", "labels", "classes")
# Of a new file. An older file keeps its own, and those that it lacks are added behind them.
COLUMNS = [
    *KEY,
    "test_accuracy",
    "validation_accuracy",
    "rotation_accuracy",
    "seconds",
    "pretrain_seconds",
    "num_unlabelled",
    *SAME,
    DATA,
    *sorted({name for arm in ARMS.values() for name in arm.settings}),
    "format",
    CHECK,
]


def _check_summarised(name, table):
    check_table(name, table, SUMMARISED)
    table = table.assign(pretext=[EARLIER.get(task, task) for task in table["pretext"]])
    key = [column for column in KEY if column in table]
    if table.duplicated(key).any():
        twice = table[table.duplicated(key)].iloc[0][key].to_dict()
        raise InputError(f"{name} must hold each run once, got two of {twice}")
    for column in ("validation_accuracy", "test_accuracy"):
        numbers = pd.to_numeric(table[column], errors="coerce")
        if not numbers.between(0, 1).all():
            wrong = table[column][~numbers.between(0, 1)].iloc[0]
            raise InputError(f"{name} must have {column} in 0..1, got {got(wrong)}")
    return table


Table = Annotated[pd.DataFrame, _check_summarised]


SAME_LABELS = ("dataset", "num_labels", "network")  # of arms that are compared


def arm_or_best_without(table, baseline):  # a relation
    """A baseline is an arm of the table, or looked for in it."""
    if baseline not in {WITHOUT_PRETEXT, *table["arm"]}:
        raise InputError(f"baseline must be an arm of the table, got {got(baseline)}")


def baseline_is_one(table, baseline):  # a relation
    """A baseline that is pretrained is so in one way, to compare all others with."""
    rows = table[(table["arm"] == baseline) & (table["pretext"] != NONE)]
    same = [name for name in SAME_LABELS if name in table]
    ways = rows[[*same, "pretrain_epochs", "rotations", "pretext"]].drop_duplicates()
    if ways.duplicated(same).any():
        raise InputError(
            f"baseline must be an arm that is pretrained in one way, got {baseline!r} in "
            "several: give the rows of one pretext task, length and choice of rotations"
        )


@public(arm_or_best_without, baseline_is_one)
def summarise_study(table: Table, *, baseline: Text = WITHOUT_PRETEXT) -> pd.DataFrame:
    """Mean, 95% interval and paired gain of each arm at each budget, in percent.

    Args:
        table: of `run_study`, of one data set, network and pretraining, or of several; in those
            of earlier versions, `pretext` is True or False.
        baseline: arm to compare with, of the same data set, network and budget; "without pretext"
            takes the arm without the pretext task that is best on validation images, among those
            with at least half as many seeds as any.

    Returns:
        `pandas.DataFrame`, one row for each `dataset` (if the table has it), `num_labels`,
        `network`, `pretrain_epochs`, `rotations`, `pretext` ("none" of an arm that does without)
        and `arm`: `mean`, `ci95` (half
        the width of Student's 95% interval; NaN for one run), `runs`, `baseline`, and, over the
        seeds that both ran, the paired difference to the baseline, `gain` and `gain_ci95`; NaN
        where there is no baseline. Of a table with `balanced_accuracy`, which it has where classes
        are uneven, its mean `balanced`.

    Raises:
        InputError: the table is empty, lacks a column that `run_study` fills, has no such
            baseline, or has one that was pretrained in several ways.

    Example:
        >>> table = pd.DataFrame({"arm": ["a", "a", "b", "b"], "seed": [0, 1, 0, 1],
        ...     "num_labels": 10, "network": "n", "pretrain_epochs": 1, "rotations": "0 90",
        ...     "pretext": ["none", "none", "rotation", "rotation"], "validation_accuracy": 0.5,
        ...     "test_accuracy": [0.5, 0.6, 0.7, 0.8]})
        >>> summarise_study(table).set_index("arm").loc["b", ["mean", "gain"]].round(1).tolist()
        [75.0, 20.0]
    """
    same = [name for name in SAME_LABELS if name in table]
    group = [*same, "pretrain_epochs", "rotations", "pretext", "arm"]
    rows = []
    for _, runs in table.groupby(same):
        name = _best_without_pretext(runs) if baseline == WITHOUT_PRETEXT else baseline
        reference = runs[runs["arm"] == name].groupby("seed")["test_accuracy"].mean()
        for key, some in runs.groupby(group):
            values = 100 * some.set_index("seed")["test_accuracy"]
            gains = (values - 100 * reference).dropna()
            rows.append(
                dict(zip(group, key, strict=True))
                | {"mean": values.mean(), "ci95": ci95(values), "runs": len(values)}
                | {"baseline": name, "gain": gains.mean(), "gain_ci95": ci95(gains)}
                | ({"balanced": 100 * some[BALANCED].mean()} if BALANCED in some else {})
            )
    return pd.DataFrame(rows)


def read_study(path, *, dataset=None, data=None, **same):
    """Read a table that `run_study` writes; a last line that a kill tore is cut off, and said.

    Args:
        path: of the CSV file. One of another version of the package may have other columns beside
            those that every study has.
        dataset: whose rows must be as the next two say; None for those of all.
        data: what the column of that name must hold, from `data_column`; None does not look.
        **same: columns and the one value that each must hold, for instance `precision`.

    Returns:
        `pandas.DataFrame` in the columns of the file, or None where there is no file.

    Raises:
        InputError: the columns or those values are of another study, or a newer version wrote rows
            that this one cannot tell the meaning of, or a row is damaged; nothing is changed then.
    """
    path = pathlib.Path(path)
    text = _text_of(path) if os.path.lexists(path) else None
    if text is None:
        return None
    start = ",".join(KEY)
    if "\n" not in text and (start.startswith(text) or text.startswith(f"{start},")):
        path.unlink()  # torn in its first line: no row yet
        return None
    _check_columns(path, text.split("\n", 1)[0])
    whole = text[: text.rfind("\n") + 1]
    try:
        table = table_of(whole)
    except ValueError as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    ours = table if dataset is None else table[table["dataset"] == dataset]
    _check_same(path, ours, same)
    if data is not None:
        _check_data(path, ours, data)
    if whole != text:
        warnings.warn(f"{path}: cut off its torn last line; that run is done again", stacklevel=2)
        replace_text(path, whole)
    return table


def _text_of(path):
    try:
        if not path.is_file():  # from a pipe, reading would never come back
            raise OSError("it is no regular file")
        held = path.read_bytes()
        return held.decode(ENCODING).replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        number = held.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"output must hold no other study.csv, got {path}: {error}, in line {number}"
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def _check_columns(path, header):
    missing = {*NEEDED} - {*header.replace('"', "").split(",")}
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


def data_column(identity):
    """What a row says of its data: the beginnings of the digests that `identity_of` gives."""
    return "-".join(identity[part][:8] for part in DATA_PARTS)


def _check_data(path, table, data):
    """Raise unless all rows are of these data."""
    told = table[DATA] if DATA in table else pd.Series(np.nan, table.index)
    if told.isna().any():
        raise InputError(
            f"output must hold no table of other data, got {path} with rows of an earlier version, "
            "which do not tell what data they are of: give another output, or, if they are of the "
            f"same, write {data} into their column {DATA!r}"
        )
    parts = dict(zip(DATA_PARTS, data.split("-"), strict=True))
    for other in {*told} - {data}:
        theirs = dict(zip(DATA_PARTS, other.split("-"), strict=False))
        raise InputError(
            f"output must hold no table of other data, got {path} with rows of "
            f"{what_changed(theirs, parts) or 'others'} under the same name: give another output"
        )


def row_key(run):
    return tuple(run[name] for name in KEY)


def row_keys(table):
    return [] if table is None else list(table[KEY].itertuples(index=False, name=None))


def _best_without_pretext(runs):
    without = runs[runs["pretext"] == NONE].groupby("arm")["validation_accuracy"]
    if not len(without):
        return None
    scores = without.agg(["mean", "size"])
    return scores[2 * scores["size"] >= scores["size"].max()]["mean"].idxmax()


def append_row(path, row):
    """Add one line in one write, so that a kill tears at most the last."""
    row = texts_of(row | {"format": FORMAT})
    if path.exists():
        columns, start = _with_columns(path, row), ""
    else:
        columns = [*COLUMNS, *(name for name in row if name not in COLUMNS)]
        start = line(columns)
    try:
        with open(path, "a", encoding="utf-8", newline="") as file:
            file.write(start + line([row.get(name, "") for name in columns]))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error}") from error


def _with_columns(path, row):
    """The file's columns; those of the row that it lacks are added, all rows before kept."""
    with open(path, encoding=ENCODING, newline="") as file:
        columns = next(csv.reader(file))
        added = [name for name in row if name not in columns]
        rows = list(csv.reader(file)) if added else []
    if added:
        columns += added
        longer = [[*earlier, *[""] * len(added)] for earlier in rows if earlier]
        replace_text(path, "".join(map(line, [columns, *longer])))
    return columns
