"""Damage to a study's table, and odd names in it: one line, or the same rows."""

import io
import os
import pathlib
import warnings

import numpy as np
import pandas as pd
import pytest
import tiny_study
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_study import hand_made, quick_text

from rotnet_keras import run_study, summarise_study
from rotnet_keras._base.errors import InputError
from rotnet_keras.cli.main import main
from rotnet_keras.study.rows import CHECKED, NONE, PRETEXTS
from rotnet_keras.study.table import append_row, read_study

fits, pretrained = pytest.fixture(tiny_study.fits), pytest.fixture(tiny_study.pretrained)
EXAMPLES = 2000 if os.environ.get("ROTNET_KERAS_NIGHTLY") == "1" else 300


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The file of four runs, its bytes, and its rows."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        tiny_study.fits(patch)
        tiny_study.pretrained(patch)
        quick_text(folder)
    path = folder / "study.csv"
    return path, path.read_bytes(), read_study(path)


def read_damaged(table, damaged):
    """The error's one line, or None where the rows are the same, or those before a torn one."""
    path, _, rows = table
    path.write_bytes(damaged)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*cut off its torn last line")
        try:
            read = read_study(path)
        except InputError as error:
            said = str(error)
            assert "\n" not in said
            assert str(path) in said
            return said
    if read is not None and len(read):
        told = [name for name in CHECKED if name in read]
        pd.testing.assert_frame_equal(read[told], rows[told][: len(read)])
        assert len(read) == len(rows) or not damaged.endswith(b"\n")
    return None


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_a_changed_byte_is_refused_or_changes_no_row(table, data):
    damaged = bytearray(table[1])
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    read_damaged(table, bytes(damaged))


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_flipped_bits_of_rows_are_refused_or_change_no_row(table, data):
    """Without the header: where it is damaged, too, the column of the checks may have no name."""
    damaged = bytearray(table[1])
    for _ in range(data.draw(st.integers(2, 5))):
        place = data.draw(st.integers(damaged.index(b"\n"), len(damaged) - 1))
        damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    read_damaged(table, bytes(damaged))


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_parts_that_are_cut_out_or_put_in_are_refused_or_change_no_row(table, data):
    whole = table[1]
    start, end = sorted(data.draw(st.integers(0, len(whole))) for _ in range(2))
    put_in = data.draw(st.binary(max_size=20) | st.just(whole[start:end]))
    damaged = whole[:start] + put_in + whole[data.draw(st.sampled_from((start, end))) :]
    said = read_damaged(table, damaged)
    assert said or len(damaged) < len(whole) + 21


def fields(**changes):
    """The table's text with other fields in its second row, and without checks."""

    def change(text):
        frame = pd.read_csv(io.BytesIO(text), dtype=str, keep_default_na=False)
        for name, text in changes.items():
            frame.loc[1, name] = text
        return frame.drop(columns="check").to_csv(index=False).encode()

    return change


DAMAGE = {
    "test_accuracy must lie in 0..1, got '1.5'": fields(test_accuracy="1.5"),
    "test_accuracy must lie in 0..1, got 'nan'": fields(test_accuracy="nan"),
    "validation_accuracy must lie in 0..1, got '-0.1'": fields(validation_accuracy="-0.1"),
    "rotation_accuracy must lie in 0..1, got 'inf'": fields(rotation_accuracy="inf"),
    "test_accuracy must be given": fields(test_accuracy=""),
    "seed must be a whole number, got '0.5'": fields(seed="0.5"),
    "seed must be a whole number, got '-1'": fields(seed="-1"),
    "num_labels must be a whole number, got 'few'": fields(num_labels="few"),
    "num_labels must be a whole number, got '1e300'": fields(num_labels="1e300"),
    f"pretext must be one of {(*PRETEXTS, NONE)}, got 'maybe'": fields(pretext="maybe"),
    "seconds must be a number of seconds, got 'long'": fields(seconds="long"),
    "dataset must be given": fields(dataset=""),
    "it is of the same run as line 2": fields(arm="knowing, well", pretext="rotation"),
}


@pytest.mark.parametrize("said", DAMAGE)
def test_what_no_row_holds_is_named_with_its_line(table, said):
    damaged = DAMAGE[said](table[1])
    assert read_damaged(table, damaged) == f"{table[0]} cannot be read: line 3: {said}"


def test_earlier_rows_say_whether_there_was_a_pretext_task(table):
    path, whole, rows = table
    frame = pd.read_csv(io.BytesIO(whole), dtype=str, keep_default_na=False)
    frame["pretext"] = (frame["pretext"] == "rotation").astype(str)
    path.write_text(frame.drop(columns="check").to_csv(index=False))
    assert read_study(path)["pretext"].tolist() == rows["pretext"].tolist()


def test_a_changed_figure_is_told_from_its_check(table):
    path, whole, rows = table
    seconds = f",{rows['seconds'][2]},"
    lines = whole.decode().splitlines(keepends=True)
    lines[3] = lines[3].replace(seconds, ",123.4,", 1)
    said = read_damaged(table, "".join(lines).encode())
    assert said.startswith(f"{path} cannot be read: line 4: it was damaged or changed after it had")


@pytest.mark.parametrize(
    ("damaged", "said"),
    [
        (lambda text: text.replace(b"guess", b"gu\xe9ss", 1), "invalid continuation byte, in line"),
        (lambda text: text.replace(b"guess", b'"guess', 1), "cannot be read: line"),
        (lambda text: text.replace(b"\n", b",arm\n", 1), "different names, got two of ['arm']"),
        (lambda text: text.replace(b"guess", b"gu\x00ss", 1), "cannot be read: line"),
        (lambda text: text + text.split(b"\n", 1)[1], "it is of the same run as line 2"),
        (lambda text: text.replace(b"arm,", b"arn,"), "without the columns ['arm']"),
        (lambda text: b"mine," + text.split(b"\n")[0], "cannot be read: it has no whole line"),
    ],
)
def test_other_damage_is_one_line(table, damaged, said):
    assert said in read_damaged(table, damaged(table[1]))


def test_what_is_no_file_is_said(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(InputError, match=f"{name} cannot be read: it is no regular file"):
            read_study(tmp_path / name)


def test_a_spreadsheets_mark_and_line_ends_do_no_harm(table):
    path, whole, rows = table
    path.write_bytes(b"\xef\xbb\xbf" + whole.replace(b"\n", b"\r\n"))
    pd.testing.assert_frame_equal(read_study(path), rows)
    row = rows.iloc[0].to_dict() | {"seed": 7, "blocks": ""}
    append_row(path, row)
    pd.testing.assert_frame_equal(read_study(path)[: len(rows)], rows, check_dtype=False)
    assert read_study(path)["arm"].tolist()[-1] == "knowing, well"


NAMES = [
    "2024",
    "NA",
    "nan",
    "None",
    "True",
    "1e5",
    "007",
    "1_000",
    " ",
    "=cmd",
    'a,"b"',
    "caf\xe9",
]
NAMES += ["./x", "a/b", "a\nb", "\x1b[31m", b"caf\xe9".decode("utf-8", "surrogateescape")]


@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_data_set_is_called_its_table_is_read_again(fits, pretrained, tmp_path, name):
    settings = {"network": "two_conv", "pretrain_epochs": 1, "num_validation": 10, "verbose": 0}
    call = {"dataset": name, "output": tmp_path / "out"} | settings
    first = run_study(["guessing"], [6], [0], **call)
    pd.testing.assert_frame_equal(run_study(["guessing"], [6], [0], **call), first)
    assert len(fits) == 1
    assert isinstance(first["dataset"][0], str)
    shown = {path.name for path in (tmp_path / "out").glob("[!.]*")}
    assert len(shown) == 3  # table, network, and what is known of it: none is hidden or elsewhere
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_a_folder_called_2024_on_the_command_line(fits, pretrained, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("2024").mkdir()
    command = ["study", "--network", "two_conv", "--validation", "10", "--dataset", "2024"]
    command += ["--budgets", "6", "--num-seeds", "1", "--output", "out"]
    assert main(command) == 0
    assert main(command) == 0
    assert len(fits) == 2
    assert set(read_study(tmp_path / "out" / "study.csv")["dataset"]) == {"2024"}


def test_a_summary_takes_each_run_once_and_accuracies():
    table = hand_made()
    with pytest.raises(ValueError, match=r"table must hold each run once, got two of {'arm': 'pl"):
        summarise_study(pd.concat([table, table[:1]]))
    for wrong in (1.5, -0.1, np.nan, "high"):
        damaged = table.astype({"test_accuracy": object})
        damaged.loc[2, "test_accuracy"] = wrong
        with pytest.raises(ValueError, match=r"table must have test_accuracy in 0\.\.1, got"):
            summarise_study(damaged)
