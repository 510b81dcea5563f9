"""The study's table: its file, and the summary."""

import pathlib

import numpy as np
import pandas as pd
import pytest
import tiny_study
from tiny_study import hand_made, quick, quick_text, rows

from rotnet_keras.study.table import (
    COLUMNS,
    KEY,
    SAME,
    append_row,
    read_study,
    row_keys,
    summarise_study,
)

fits, pretrained = pytest.fixture(tiny_study.fits), pytest.fixture(tiny_study.pretrained)
PUBLISHED = pathlib.Path(__file__).parents[1] / "notebooks" / "results" / "label_budgets.csv"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study.csv"


def test_no_table_yet(path):
    assert read_study(path) is None


def summary(table, **settings):
    return summarise_study(table, **settings).set_index(["num_labels", "arm"])


# Standard deviation 10, three runs, Student's t of 4.303 for two degrees of freedom.
OF_THREE = 4.3027 * 10 / 3**0.5
# Two runs 20 apart: standard deviation 20 / √2, t of 12.706 for one degree of freedom.
OF_TWO = 12.7062 * 10


@pytest.mark.parametrize(
    ("budget", "arm", "figures"),
    [
        (10, "plain", {"mean": 60, "ci95": OF_THREE, "gain": 0}),
        (10, "flashy", {"ci95": 0, "gain": 30, "gain_ci95": OF_THREE}),
        (10, "once", {"mean": 80, "runs": 1, "ci95": np.nan}),  # one run has no interval
        # Gains are paired: seeds 1 and 2, 0.8 and 0.9 against 0.6 and 0.7.
        (10, "pretrained", {"mean": 60, "runs": 3, "gain": 20, "gain_ci95": 0}),
        (50, "plain", {"ci95": OF_TWO, "gain": 0, "gain_ci95": OF_TWO}),
    ],
)
def test_figures_by_hand(budget, arm, figures):
    row = summary(hand_made()).loc[(budget, arm)]
    found = {name: row[name] for name in figures}
    assert found == pytest.approx(figures, rel=1e-4, abs=1e-9, nan_ok=True)


def test_the_mean_of_balanced_accuracies_where_there_are_some():
    table = hand_made()
    assert "balanced" not in summary(table)
    table.loc[table["arm"] == "plain", "balanced_accuracy"] = [0.2, 0.4, 0.6, 0.1, 0.3]
    balanced = summary(table)["balanced"]
    assert balanced[(10, "plain")] == pytest.approx(40)
    assert balanced[(50, "plain")] == pytest.approx(20)
    assert balanced.drop([(10, "plain"), (50, "plain")]).isna().all()


def test_baseline_is_chosen_on_validation_images_at_each_budget():
    """Not by test accuracy, and not from an arm that ran few of the seeds."""
    table = summary(hand_made())
    assert set(table.loc[10, "baseline"]) == {"plain"}
    assert set(table.loc[50, "baseline"]) == {"flashy"}


def test_cheap_arms_with_more_seeds_do_not_shut_out_a_better_baseline():
    some = [
        *rows("cheap", 10, [0.5, 0.5, 0.5, 0.5], validation=0.5),
        *rows("dear", 10, [0.6, 0.6], validation=0.6),
        *rows("rare", 10, [0.9], validation=0.9),
    ]
    assert set(summary(pd.DataFrame(some))["baseline"]) == {"dear"}


def test_summary_tells_who_used_the_pretext_task():
    pretext = summary(hand_made()).loc[10, "pretext"]
    without = dict.fromkeys(("flashy", "once", "plain"), "none")
    assert pretext.to_dict() == without | {"pretrained": "rotation"}


def test_order_of_rows_is_without_meaning():
    shuffled = hand_made().sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(summary(shuffled), summary(hand_made()))


def test_baseline_by_name():
    table = summary(hand_made(), baseline="flashy")
    assert set(table["baseline"]) == {"flashy"}
    assert table.loc[(10, "plain"), "gain"] == pytest.approx(-30)


def test_no_common_seed_no_gain():
    some = [
        *rows("a", 10, [0.5], validation=0.5),
        *rows("b", 10, [0.6], validation=0, first_seed=1),
    ]
    table = summary(pd.DataFrame(some), baseline="a")
    assert np.isnan(table.loc[(10, "b"), "gain"])
    assert table.loc[(10, "b"), "mean"] == pytest.approx(60)


def test_nothing_to_summarise():
    for nothing in (None, hand_made()[:0]):
        with pytest.raises(ValueError, match="table must hold at least one run, got none"):
            summarise_study(nothing)
    with pytest.raises(ValueError, match="baseline must be an arm of the table, got 'x'"):
        summarise_study(hand_made(), baseline="x")


def test_no_gain_where_no_arm_did_without_the_pretext():
    summary = summarise_study(hand_made()[lambda table: table["pretext"] == "rotation"])
    assert summary[["baseline", "gain", "gain_ci95"]].isna().all(axis=None)
    assert summary["mean"].notna().all()


def test_key_columns_tell_runs_apart():
    assert set(KEY) <= set(COLUMNS)
    assert len(set(COLUMNS)) == len(COLUMNS)


def row(**changes):
    row = dict.fromkeys(COLUMNS, "") | {"arm": "a, b", "network": "n", "num_labels": 10, "seed": 0}
    row |= {
        "pretrain_epochs": 1,
        "rotations": "0 180",
        "pretext": "rotation",
        "precision": "float32",
    }
    row |= {"dataset": "mnist", "num_validation": 10, "test_accuracy": 0.5}
    return row | {"validation_accuracy": 0.5} | changes


def test_the_published_table_is_read_and_goes_on(path):
    """It was written by an earlier version, and has a column that is not written any more."""
    path.write_bytes(PUBLISHED.read_bytes())
    same = {"dataset": "fashion_mnist", "num_validation": 10_000}
    before = read_study(path, **same)
    assert "transductive" in before
    assert summarise_study(before)["mean"].notna().all()
    same_row = {name: before[name][0] for name in ("dataset", *SAME)}
    append_row(path, row(**same_row, newest="setting"))
    after = read_study(path, **same)
    assert list(after.columns) == [*before.columns, "newest"]
    added = ["a, b", "n", 10, 0, 1, "0 180", "rotation", "fashion_mnist"]
    assert (len(after), after["newest"].tolist()[-1]) == (len(before) + 1, "setting")
    assert row_keys(after) == [*row_keys(before), tuple(added)]
    pd.testing.assert_frame_equal(after[before.columns][:-1], before, check_dtype=False)


def test_each_data_set_of_a_table_is_checked_by_itself(path):
    append_row(path, row())
    append_row(path, row(dataset="clothes", num_validation=20))
    assert set(read_study(path, dataset="mnist", num_validation=10)["dataset"]) == {
        "mnist",
        "clothes",
    }
    with pytest.raises(ValueError, match=r"with num_validation \[20\] instead of 10"):
        read_study(path, dataset="clothes", num_validation=10)
    with pytest.raises(ValueError, match=r"with num_validation \[20\] instead of 10"):
        read_study(path, num_validation=10)


def test_columns_of_the_users_stay(path):
    append_row(path, row())
    pd.read_csv(path).assign(note="mine, all mine").to_csv(path, index=False)
    append_row(path, row(seed=1))
    table = read_study(path)
    assert list(table) == [*COLUMNS, "note"]
    assert table["note"].tolist()[0] == "mine, all mine"
    assert table["seed"].tolist() == [0, 1]


def test_rows_of_a_newer_version_are_refused_and_stay(path):
    append_row(path, row())
    pd.read_csv(path).assign(format=2).to_csv(path, index=False)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"of a newer version .* rows of format \[2\]; this"):
        read_study(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "message"), [(b"\xff\n", "study.csv: 'utf-8'"), (b"arm\n", "without the columns")]
)
def test_what_is_no_table_is_refused(path, content, message):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"output must hold no .*{message}"):
        read_study(path)


def test_lines_that_are_too_long_are_refused(path):
    append_row(path, row())
    path.write_text(path.read_text(encoding="utf-8") + "a" + "," * 99 + "\n", encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"study\.csv cannot be read: line 3: it has 100 fields instead of"
    ):
        read_study(path)


def test_a_table_of_an_earlier_version_goes_on(fits, pretrained, path):
    """It has a column that was dropped since, and lacks what a new arm is set by."""
    first = quick(path.parent, arms=["guessing"], seeds=[0])
    cut = pd.read_csv(path, dtype=str).drop(columns=["format", "strength"])
    cut.insert(len(KEY), "transductive", "False")
    cut.to_csv(path, index=False)
    table = quick(path.parent, seeds=[0])
    assert len(fits) == 4  # what was there is not done again
    assert list(table.columns) == [*cut, "strength", "format"]
    assert table["strength"].dropna().tolist() == [0.25, 0.25]
    assert table["format"].dropna().tolist() == [1, 1]
    kept = table[table["arm"] == "guessing"].reset_index(drop=True)
    shared = [name for name in first.columns if name not in ("format", "strength")]
    pd.testing.assert_frame_equal(kept[shared], first[shared])


def test_a_torn_last_line_is_cut_off_and_its_run_done_again(fits, pretrained, path):
    text = quick_text(path.parent)
    path.write_text(text[:-20], encoding="utf-8")
    with pytest.warns(UserWarning, match=r"study\.csv: cut off its torn last line"):
        table = quick(path.parent, seeds=[0])
    assert len(table) == 4
    assert sorted(fits.counts().values()) == [1, 1, 1, 2]
    assert fits[-1]["arm"] == "guessing"
    again = path.read_text(encoding="utf-8")
    assert again.splitlines()[:-1] == text.splitlines()[:-1]
    assert again.endswith("\n")


@pytest.mark.filterwarnings("ignore:.*torn last line")
def test_wherever_a_table_is_torn_its_whole_lines_remain(fits, pretrained, path):
    text = quick_text(path.parent)
    whole = 1 + len(text.splitlines()[0])
    for length in (*range(whole + 3), *range(whole + 3, len(text) + 1, 7), len(text)):
        path.write_text(text[:length], encoding="utf-8")
        table = read_study(path)
        rows = text[:length].count("\n") - 1
        assert (0 if table is None else len(table)) == max(rows, 0), f"torn after {length}"
        if path.exists():
            assert path.read_text(encoding="utf-8") == text[: text[:length].rindex("\n") + 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "mixed_bfloat16"}, r"precision \['float32'\] instead of 'mixed_bfloat16'"),
        ({"num_validation": 12}, r"num_validation \[.*10.*\] instead of 12"),
    ],
)
@pytest.mark.parametrize("torn", [False, True])
def test_table_of_another_study_is_refused_and_left_alone(
    fits, pretrained, path, settings, message, torn
):
    text = quick_text(path.parent)
    before = text.encode()[: -20 if torn else None]
    path.write_bytes(before)
    with pytest.raises(ValueError, match=message):
        quick(path.parent, seeds=[0], **settings)
    assert path.read_bytes() == before
    assert len(fits) == 4


@pytest.mark.parametrize(
    "content", [b"a,b\n1,2\n", b"a,b\n1,", b"arm\nplain\n", b"no table at all"]
)
def test_other_files_are_refused_and_left_alone(fits, pretrained, path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match="output must hold no table of another study"):
        quick(path.parent)
    assert path.read_bytes() == content
    assert fits == []


def test_a_baseline_that_was_pretrained_in_several_ways_is_refused():
    table = hand_made()
    longer = table[table["arm"] == "pretrained"].assign(pretrain_epochs=99)
    both = pd.concat([table, longer])
    with pytest.raises(ValueError, match="pretrained in one way, got 'pretrained' in several"):
        summarise_study(both, baseline="pretrained")
    other = longer.assign(num_labels=1 + longer["num_labels"])
    assert len(summarise_study(pd.concat([table, other]), baseline="pretrained"))
    assert len(summarise_study(both, baseline="plain"))
