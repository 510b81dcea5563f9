"""The study's table: its file, and the summary."""

import pathlib

import numpy as np
import pandas as pd
import pytest

from rotnet_keras.study.table import (
    COLUMNS,
    KEY,
    SAME,
    append_row,
    read_study,
    row_keys,
    summarise_study,
)

PUBLISHED = pathlib.Path(__file__).parents[1] / "notebooks" / "results" / "label_budgets.csv"


def test_no_table_yet(tmp_path):
    assert read_study(tmp_path / "study.csv") is None


def rows(arm, budget, accuracies, *, validation, pretext=False, first_seed=0):
    return [
        {"arm": arm, "num_labels": budget, "seed": seed, "pretext": pretext}
        | {"network": "conv_blocks", "pretrain_epochs": 10, "rotations": "0 90 180 270"}
        | {"validation_accuracy": validation, "test_accuracy": accuracy}
        for seed, accuracy in enumerate(accuracies, start=first_seed)
    ]


def hand_made():
    return pd.DataFrame(
        [
            *rows("plain", 10, [0.5, 0.6, 0.7], validation=0.6),
            *rows("flashy", 10, [0.9, 0.9, 0.9], validation=0.5),
            *rows("once", 10, [0.8], validation=0.99),
            *rows("pretrained", 10, [0.8, 0.9, 0.1], validation=1, pretext=True, first_seed=1),
            *rows("plain", 50, [0.6, 0.8], validation=0.6),
            *rows("flashy", 50, [0.7, 0.7], validation=0.7),
        ]
    )


def summary(table, **settings):
    return summarise_study(table, **settings).set_index(["num_labels", "arm"])


def test_means_and_intervals_by_hand():
    table = summary(hand_made())
    assert table.loc[(10, "plain"), "mean"] == pytest.approx(60)
    # Standard deviation 10, three runs, Student's t of 4.303 for two degrees of freedom.
    assert table.loc[(10, "plain"), "ci95"] == pytest.approx(4.3027 * 10 / 3**0.5, rel=1e-4)
    assert table.loc[(10, "pretrained"), "mean"] == pytest.approx(60)
    assert table.loc[(10, "pretrained"), "runs"] == 3
    assert table.loc[(10, "flashy"), "ci95"] == pytest.approx(0, abs=1e-9)
    # Two runs 20 apart: standard deviation 20 / √2, t of 12.706 for one degree of freedom.
    assert table.loc[(50, "plain"), "ci95"] == pytest.approx(12.7062 * 10, rel=1e-4)


def test_one_run_has_no_interval():
    once = summary(hand_made()).loc[(10, "once")]
    assert once["mean"] == pytest.approx(80)
    assert once["runs"] == 1
    assert np.isnan(once["ci95"])


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
    assert pretext.to_dict() == {"flashy": False, "once": False, "plain": False, "pretrained": True}


def test_gain_is_paired_over_the_seeds_that_both_ran():
    table = summary(hand_made())
    # Seeds 1 and 2: 0.8 and 0.9 against 0.6 and 0.7.
    assert table.loc[(10, "pretrained"), "gain"] == pytest.approx(20)
    assert table.loc[(10, "pretrained"), "gain_ci95"] == pytest.approx(0, abs=1e-9)
    assert table.loc[(10, "plain"), "gain"] == pytest.approx(0)
    assert table.loc[(10, "flashy"), "gain"] == pytest.approx(30)
    assert table.loc[(10, "flashy"), "gain_ci95"] == pytest.approx(4.3027 * 10 / 3**0.5, rel=1e-4)
    assert table.loc[(50, "plain"), "gain"] == pytest.approx(0)
    assert table.loc[(50, "plain"), "gain_ci95"] == pytest.approx(127.062, rel=1e-4)


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
    summary = summarise_study(hand_made()[lambda table: table["pretext"]])
    assert summary[["baseline", "gain", "gain_ci95"]].isna().all(axis=None)
    assert summary["mean"].notna().all()


def test_key_columns_tell_runs_apart():
    assert set(KEY) <= set(COLUMNS)
    assert len(set(COLUMNS)) == len(COLUMNS)


def row(**changes):
    row = dict.fromkeys(COLUMNS, "") | {"arm": "a, b", "network": "n", "num_labels": 10, "seed": 0}
    row |= {"pretrain_epochs": 1, "rotations": "0 180", "pretext": True, "precision": "float32"}
    row |= {"dataset": "mnist", "num_validation": 10, "test_accuracy": 0.5}
    return row | {"validation_accuracy": 0.5} | changes


def test_the_published_table_is_read_and_goes_on(tmp_path):
    """It was written by an earlier version, and has a column that is not written any more."""
    path = tmp_path / "study.csv"
    path.write_bytes(PUBLISHED.read_bytes())
    before = read_study(path, dataset="fashion_mnist", num_validation=10_000)
    assert "transductive" in before
    assert summarise_study(before)["mean"].notna().all()
    append_row(path, row(**{name: before[name][0] for name in SAME}, newest="setting"))
    after = read_study(path, dataset="fashion_mnist", num_validation=10_000)
    assert list(after.columns) == [*before.columns, "format", "newest"]
    assert (len(after), after["newest"].tolist()[-1]) == (len(before) + 1, "setting")
    assert row_keys(after) == [*row_keys(before), ("a, b", "n", 10, 0, 1, "0 180")]
    pd.testing.assert_frame_equal(after[before.columns][:-1], before, check_dtype=False)


def test_columns_of_the_users_stay(tmp_path):
    path = tmp_path / "study.csv"
    append_row(path, row())
    table = pd.read_csv(path).assign(note="mine, all mine")
    table.to_csv(path, index=False)
    append_row(path, row(seed=1))
    assert list(read_study(path)) == [*COLUMNS, "note"]
    assert read_study(path)["note"].tolist()[0] == "mine, all mine"
    assert read_study(path)["seed"].tolist() == [0, 1]


def test_rows_of_a_newer_version_are_refused_and_stay(tmp_path):
    path = tmp_path / "study.csv"
    append_row(path, row())
    table = pd.read_csv(path).assign(format=2)
    table.to_csv(path, index=False)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"of a newer version .* rows of format \[2\]; this"):
        read_study(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "message"), [(b"\xff\n", "study.csv: 'utf-8'"), (b"arm\n", "without the columns")]
)
def test_what_is_no_table_is_refused(tmp_path, content, message):
    (tmp_path / "study.csv").write_bytes(content)
    with pytest.raises(ValueError, match=rf"output must hold no .*{message}"):
        read_study(tmp_path / "study.csv")


def test_lines_that_are_too_long_are_refused(tmp_path):
    path = tmp_path / "study.csv"
    append_row(path, row())
    with open(path, "a", encoding="utf-8") as file:
        file.write("a" + "," * 99 + "\n")
    with pytest.raises(ValueError, match=r"study\.csv cannot be read: .*Expected"):
        read_study(path)
