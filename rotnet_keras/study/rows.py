"""Rows of the study's table: what each column holds, as text, and whether a row is as written.

pandas would guess: a data set called 2024 is a number to it, NA is missing, and a torn file may be
a table, too.
"""

from __future__ import annotations

import csv
import io

import numpy as np
import pandas as pd

from rotnet_keras._base.digests import digest
from rotnet_keras._base.tasks import NONE, PRETEXTS

RUN = ["arm", "network", "num_labels", "seed", "pretrain_epochs", "rotations", "pretext"]
KEY = [*RUN, "dataset"]
SAME = ["num_validation", "precision"]  # in every row of one data set
SUMMARISED = [*RUN, "validation_accuracy", "test_accuracy"]
NEEDED = [*SUMMARISED, "dataset", *SAME]  # whatever version wrote it
DATA = "data"  # that a row is of, as `identity_of` knows them; earlier rows do not say it
BALANCED = "balanced_accuracy"  # where classes of the test are uneven; else the column is not there
CHECK = "check"  # of a row's other columns that all versions have; earlier rows have none
FORMAT = 1  # of a row; earlier rows have no number, and are read like it

TEXTS = {"arm", "network", "rotations", "dataset", "precision", "blocks", DATA, CHECK}
WHOLE = {"num_labels", "seed", "pretrain_epochs", "num_validation", "num_unlabelled", "format"}
SHARES = {"validation_accuracy", "test_accuracy", BALANCED, "rotation_accuracy"}
SECONDS = {"seconds", "pretrain_seconds"}
EARLIER = {True: "rotation", False: NONE}  # what earlier rows say of the pretext
FLAGS = {"pretext": {"True": True, "False": False} | {name: name for name in (*PRETEXTS, NONE)}}
CHECKED = [*NEEDED, "rotation_accuracy", "num_unlabelled", *sorted(SECONDS), DATA]
LARGEST = 2**53  # whole number that a float holds


def line(values):
    """A row as a line of CSV."""
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow(values)
    return written.getvalue()


def texts_of(row):
    """A new row's columns as text, with the check of what they say."""
    texts = {name: "" if value is None else str(value) for name, value in row.items()}
    return texts | {CHECK: _check_of({name: _parsed(name, texts[name]) for name in texts})}


def table_of(text):
    """`pandas.DataFrame` of a whole CSV file; `ValueError` names the line that is damaged."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: dict[tuple, dict] = {}
    lines, columns = {}, None
    try:
        for fields in reader:
            if columns is None:
                columns = _checked_header(fields)
            elif fields:
                row = _checked_row(columns, fields)
                row["pretext"] = EARLIER.get(row["pretext"], row["pretext"])
                key = tuple(row[name] for name in KEY)
                if key in rows:
                    raise ValueError(f"it is of the same run as line {lines[key]}")
                rows[key], lines[key] = row, reader.line_num
    except (ValueError, csv.Error) as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error
    if columns is None:
        raise ValueError("it has no whole line")
    return pd.DataFrame(
        {name: _column(name, [row[name] for row in rows.values()]) for name in columns}
    )


def _checked_header(columns):
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise ValueError(f"columns must have different names, got two of {twice}")
    return columns


def _checked_row(columns, fields):
    """`{column: value}` of a row, if it is whole."""
    if len(fields) != len(columns):
        raise ValueError(f"it has {len(fields)} fields instead of {len(columns)}")
    row = {name: _parsed(name, text) for name, text in zip(columns, fields, strict=True)}
    if empty := [name for name in NEEDED if row.get(name) is None]:
        raise ValueError(f"{empty[0]} must be given")
    ours = row.get("format") in (None, FORMAT)
    if ours and row.get(CHECK) not in (None, _check_of(row)):
        raise ValueError(
            "it was damaged or changed after it had been written, since its check does not agree; "
            "without the line its run is done again, without what stands under check it is kept"
        )
    return row


def _parsed(name, text):
    """What a field holds, None for an empty one; text in columns that this version does not know.

    Raises:
        ValueError: it holds something else.
    """
    if text == "" or name in TEXTS:
        return text or None
    if name in FLAGS:
        return _must_be(FLAGS[name].get(text), name, f"be one of {(*PRETEXTS, NONE)}", text)
    if name not in WHOLE | SHARES | SECONDS:
        return text
    number = _number(text)
    if name in WHOLE:
        whole = number.is_integer() and 0 <= number < LARGEST
        return _must_be(int(number) if whole else None, name, "be a whole number", text)
    lies = 0 <= number <= (1 if name in SHARES else LARGEST)
    said = "lie in 0..1" if name in SHARES else "be a number of seconds"
    return _must_be(number if lies else None, name, said, text)


def _must_be(value, name, what, text):
    if value is None:
        raise ValueError(f"{name} must {what}, got {text[:40]!r}")
    return value


def _number(text):
    try:
        return float(text)
    except ValueError:
        return np.nan


def _check_of(row):
    return digest(*(f"{name} {row.get(name)!r}" for name in CHECKED))[:8]


def _column(name, values):
    """A column as pandas has it: NaN for what is empty, numbers where all of it are some."""
    known = name in TEXTS | WHOLE | SHARES | SECONDS | {*FLAGS}
    if not known and all(np.isfinite(_number(value)) for value in values if value is not None):
        values = [value if value is None else float(value) for value in values]
    return [np.nan if value is None else value for value in values]
