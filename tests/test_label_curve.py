from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from rotnet_keras import plot_label_curve

ARMS = pd.DataFrame(
    [
        ("pretrained", 10, 40.0, 5.0),
        ("pretrained", 20, 50.0, 4.0),
        ("raw pixels", 10, 20.0, 2.0),
        ("raw pixels", 20, 25.0, 2.0),
        ("a random network", 10, 30.0, 3.0),
        ("a random network", 20, 35.0, 3.0),
    ],
    columns=["arm", "num_labels", "mean", "ci95"],
)
GAIN = {
    "arms": ARMS,
    "baseline": "a random network",
    "twice": {"num_labels": 50, "mean": 62.0, "low": 52.0, "high": 70.0},
    "classifier": "a linear probe",
    "measure": "accuracy",
    "num_labels": 25,
    "num_held_out": 5,
    "repeats": 20,
}


@pytest.fixture
def draw():
    yield lambda **changed: plot_label_curve(SimpleNamespace(**GAIN | changed))
    plt.close("all")


def texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_two_lines_with_intervals_and_a_guess(draw):
    ax = draw()
    assert texts(ax) == ["pretrained on your pictures", "without: a random network", "a guess"]
    with_pretext, without, guess = ax.containers
    np.testing.assert_array_equal(with_pretext[0].get_xydata(), [[10, 40], [20, 50]])
    np.testing.assert_array_equal(without[0].get_xydata(), [[10, 30], [20, 35]])
    np.testing.assert_array_equal(guess[0].get_xydata(), [[50, 62]])
    bars = [container[2][0].get_segments()[-1][:, 1].tolist() for container in ax.containers]
    assert bars == [[46, 54], [32, 38], [52, 70]]
    (dashed,) = [line for line in ax.lines if line.get_linestyle() == "--"]
    np.testing.assert_array_equal(dashed.get_xydata(), [[20, 50], [50, 62]])
    assert dashed.get_color() == with_pretext[0].get_color()


def test_axes_and_title_say_what_was_measured(draw):
    ax = draw(measure="balanced accuracy", num_labels=1250)
    assert ax.get_xlabel() == "labels that a linear probe learnt from"
    assert ax.get_ylabel() == "balanced accuracy on held-out pictures"
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["10", "20", "50"]
    expected = "1,250 labelled pictures, 5 of them held out in each of 20 splits; 95% intervals"
    assert ax.get_title(loc="left") == expected


def test_without_a_guess(draw):
    ax = draw(twice=None, repeats=1)
    assert texts(ax) == ["pretrained on your pictures", "without: a random network"]
    assert ax.get_title(loc="left").endswith("held out in one split; 95% intervals")
