import numpy as np
import pandas as pd
import pytest

from rotnet_keras import plot_budgets
from rotnet_keras._base.errors import InputError


def test_budgets_are_drawn_with_intervals_and_best_arm_first():
    summary = pd.DataFrame(
        {
            "arm": ["low", "high", "low", "high"],
            "num_labels": [100, 100, 10, 10],
            "mean": [60.0, 80.0, 50.0, 45.0],
            "ci95": [1.0, 2.0, 3.0, 4.0],
        }
    )
    ax = plot_budgets(summary, published={"elsewhere": {100: 70.0}})
    assert ax.get_legend_handles_labels()[1] == ["elsewhere", "high", "low"]
    high, low = ax.containers
    np.testing.assert_array_equal(high[0].get_xydata(), [[10, 45], [100, 80]])
    np.testing.assert_array_equal(low[0].get_xydata(), [[10, 50], [100, 60]])
    (segments,) = high[2]
    tops = [segment[1, 1] for segment in segments.get_segments()]
    np.testing.assert_array_equal(tops, [49, 82])
    assert ax.get_xscale() == "log"
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["10", "100"]


def test_arms_without_the_pretext_task_are_dashed():
    summary = {"arm": ["with", "without"], "pretext": ["rotation", "none"], "num_labels": 10}
    ax = plot_budgets(pd.DataFrame(summary | {"mean": [80.0, 60.0], "ci95": 1.0}))
    assert [container[0].get_linestyle() for container in ax.containers] == ["-", "--"]
    assert "dashed" in ax.get_legend().get_title().get_text()


def test_data_sets_have_plots_of_their_own():
    summary = {"arm": "probe", "dataset": ["mnist", "clothes"], "num_labels": 10, "ci95": 1.0}
    with pytest.raises(InputError, match=r"one data set, got rows of \['clothes', 'mnist'\]"):
        plot_budgets(pd.DataFrame(summary | {"mean": [80.0, 70.0]}))


def test_pretext_tasks_have_lines_of_their_own():
    summary = {"arm": ["probe", "probe", "pixels"], "num_labels": 10, "ci95": 1.0}
    summary["pretext"] = ["rotation", "contrast", "none"]
    ax = plot_budgets(pd.DataFrame(summary | {"mean": [80.0, 70.0, 60.0]}))
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["probe, after rotation", "probe, after contrast", "pixels"]


def test_names_stand_at_the_ends_of_lines_and_apart():
    summary = {"arm": ["a", "b", "c"] * 2, "num_labels": [10] * 3 + [100] * 3, "ci95": 1.0}
    summary = pd.DataFrame(summary | {"mean": [50.0, 51.0, 20.0, 80.0, 80.1, 60.0]})
    ax = plot_budgets(summary, published={"other": {100: 55.0}}, names_at_ends=True)
    assert [text.get_text() for text in ax.texts] == ["b", "a", "c"]
    heights = [text.xyann[1] for text in ax.texts]
    assert heights[0] == 80.1
    assert heights[2] == 60
    assert heights[0] - heights[1] > 2
    colours = {line.get_label(): line[0].get_color() for line in ax.containers}
    assert {text.get_text(): text.get_color() for text in ax.texts} == colours
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["other"]


ONE = {"arm": ["a"], "num_labels": [10], "mean": [50.0], "ci95": [1.0]}
WRONG = [
    (ONE | {"ci95": [-1.0]}, r"summary: ci95 must be at least 0, got -1"),
    (ONE | {"num_labels": [0]}, r"summary: num_labels must be at least 1, got 0"),
    (ONE | {"mean": ["high"]}, r"summary: mean must be an array of real numbers"),
    ({k: v * 2 for k, v in ONE.items()}, r"got several of 'a' with 10 labels"),
]


@pytest.mark.parametrize(("summary", "message"), WRONG)
def test_summaries_that_cannot_be_drawn(summary, message):
    with pytest.raises(InputError, match=message):
        plot_budgets(pd.DataFrame(summary))


def test_a_single_run_has_no_interval_and_labels_are_whole():
    ax = plot_budgets(pd.DataFrame(ONE | {"num_labels": [1000.0], "ci95": [np.nan]}))
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1,000"]
