"""What several runs found out, side by side."""

import math

import pytest

from rotnet_keras import summarise
from rotnet_keras._base.errors import InputError
from rotnet_keras.jobs.summary import table_of_runs

ARMS = ("scratch", "frozen", "fine_tuned")


def run(rotation, value):
    arms = {arm: {"short": value, "long": 0.8} for arm in ARMS}
    return {"rotation_accuracy": rotation, "arms": arms}


def test_summary_of_several_runs():
    table = summarise([run(0.96, 0.5), run(0.98, 0.6), run(0.97, 0.7)])
    assert table.loc["rotation", "mean"] == pytest.approx(97)
    assert table.loc["scratch, short", "mean"] == pytest.approx(60)
    # Standard deviation 0.1, three runs, Student's t of 4.303 for two degrees of freedom.
    ci95 = 100 * 4.3027 * 0.1 / 3**0.5
    assert table.loc["scratch, short", "ci95"] == pytest.approx(ci95, rel=1e-4)
    assert table.loc["frozen, long", "ci95"] == pytest.approx(0, abs=1e-9)
    assert table["blog"].tolist() == pytest.approx([97, 40, 60, 75, 15, 40, 60, 75, 15])
    assert set(table["runs"]) == {3}


def test_figures_of_uneven_classes():
    runs = [run(0.97, 0.5), run(0.97, 0.9)]
    assert not any(name.startswith("balanced") for name in summarise(runs).index)
    for one, balanced in zip(runs, (0.3, 0.5), strict=True):
        one["balanced"] = {arm: {"short": balanced, "long": 0.8} for arm in one["arms"]}
    table = summarise(runs)
    assert table.loc["balanced scratch, short", "mean"] == pytest.approx(40)
    assert table.loc["balanced fine_tuned, long", "mean"] == pytest.approx(80)
    assert math.isnan(table.loc["balanced scratch, short", "blog"])
    runs[1]["balanced"]["scratch"]["short"] = 1.2
    with pytest.raises(InputError, match=r"results must lie in 0\.\.1, all their accuracies"):
        summarise(runs)


def test_gain_is_paired_by_run():
    runs = [run(0.97, 0.5), run(0.97, 0.9)]
    for one in runs:
        one["arms"]["fine_tuned"] = {"short": one["arms"]["scratch"]["short"] + 0.05, "long": 0.82}
    table = summarise(runs)
    assert table.loc["gain, short", "mean"] == pytest.approx(5)
    assert table.loc["gain, short", "ci95"] == pytest.approx(0, abs=1e-9)
    assert table.loc["gain, long", "mean"] == pytest.approx(2)


def test_summary_of_one_run_has_no_interval_and_of_none_is_an_error():
    assert summarise([run(0.97, 0.5)])["ci95"].isna().all()
    with pytest.raises(ValueError, match="results must hold at least one run"):
        summarise([])


def test_one_row_a_run():
    runs = [run(0.97, 0.5) | {"seed": 4}, run(0.98, 0.9) | {"seed": 7}]
    runs[1]["arms"]["fine_tuned"] = {"short": 0.6, "long": 0.82}
    table = table_of_runs(runs)
    assert table["seed"].tolist() == [4, 7]
    assert table["rotation"].tolist() == [0.97, 0.98]
    assert table["gain, short"].round(9).tolist() == [0, -0.3]
    assert {*table} == {"seed", *summarise(runs).index}
    for one, share in zip(runs, (0.84, 0.86), strict=True):
        one["recipe"] = {"test_accuracy": share}
    assert table_of_runs(runs)["recipe"].tolist() == [0.84, 0.86]
