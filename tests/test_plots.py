import shutil

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.cbook import is_math_text

from rotnet_keras import (
    draw_model,
    plot_accuracies,
    plot_budgets,
    plot_confusion,
    plot_history,
    plot_map,
    plot_rotation_confusion,
    plot_rotations,
)


@pytest.mark.parametrize("channels", [1, 3])
def test_rotations_are_drawn_turned(channels):
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 6, channels), "uint8")
    axes = plot_rotations(images)
    assert axes.shape == (2, 4)
    for row, image in zip(axes, images, strict=True):
        for k, ax in enumerate(row):
            shown = np.asarray(ax.images[0].get_array()).reshape(6, 6, channels)
            np.testing.assert_array_equal(shown, np.rot90(image, k))
    assert [ax.get_title() for ax in axes[0]] == ["0°", "90°", "180°", "270°"]


def test_given_axes_are_used_and_returned():
    _, axes = plt.subplots(1, 4, squeeze=False)
    assert plot_rotations(np.zeros((1, 4, 4, 1), "uint8"), axes=axes) is axes
    _, ax = plt.subplots()
    assert plot_history({"a": {"accuracy": [0.5]}}, ax=ax) is ax
    assert plot_map(np.zeros((2, 2)), np.zeros(2, int), ["Bag"], ax=ax) is ax
    assert plot_accuracies({"a": {"b": 0.5}}, ax=ax) is ax
    assert plot_confusion(np.eye(2, dtype=int), ["Bag", "Coat"], ax=ax) is ax


def test_history_draws_validation_dashed_in_the_same_colour():
    history = keras.callbacks.History()
    history.history = {"loss": [3.0, 2.0, 1.0], "val_loss": [3.5, 2.5, 1.5]}
    ax = plot_history({"long": history}, "loss")
    solid, dashed = ax.lines
    np.testing.assert_allclose(solid.get_xydata(), [[1, 3], [2, 2], [3, 1]])
    np.testing.assert_allclose(dashed.get_ydata(), [3.5, 2.5, 1.5])
    assert dashed.get_linestyle() == "--"
    assert dashed.get_color() == solid.get_color()
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        "long, training",
        "long, validation",
    ]


@pytest.mark.parametrize("num_classes", [3, 12])
def test_map_has_a_colour_and_a_name_for_each_class(num_classes):
    names = [f"class {k}" for k in range(num_classes)]
    labels = np.arange(4 * num_classes) % num_classes
    points = np.random.default_rng(0).normal(size=(len(labels), 2))
    ax = plot_map(points, labels, names)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == names
    for label, drawn in enumerate(ax.collections):
        np.testing.assert_allclose(drawn.get_offsets(), points[labels == label])
    assert len({tuple(drawn.get_facecolor()[0]) for drawn in ax.collections}) == num_classes


def test_accuracies_are_labelled_bars():
    series = {"blog": {"scratch": 0.6, "frozen": 0.4}, "here": {"scratch": 0.8, "frozen": 0.55}}
    ax = plot_accuracies(series)
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([60, 40, 80, 55])
    assert [text.get_text() for text in ax.texts] == ["60.0", "40.0", "80.0", "55.0"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["scratch", "frozen"]


def test_confusion_shows_counts_and_names():
    ax = plot_confusion([[5, 1], [2, 1234]], ["Bag", "Coat"])
    assert [text.get_text() for text in ax.texts] == ["5", "1", "2", "1234"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Bag", "Coat"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_model_diagram_is_a_picture(extractor, tmp_path):
    written = draw_model(extractor, tmp_path / "model.png", title="Fig. 1")
    assert written == tmp_path / "model.png"
    assert plt.imread(written).shape[0] > 300


def test_without_graphviz_the_model_becomes_text(extractor, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    written = draw_model(extractor, tmp_path / "model.png", title="Fig. 1")
    assert written == tmp_path / "model.txt"
    text = written.read_text(encoding="utf-8")
    assert text.startswith("Fig. 1")
    for layer in extractor.layers:
        assert layer.name in text
    assert not (tmp_path / "model.png").exists()


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
    summary = {"arm": ["with", "without"], "pretext": [True, False], "num_labels": 10}
    ax = plot_budgets(pd.DataFrame(summary | {"mean": [80.0, 60.0], "ci95": 1.0}))
    assert [container[0].get_linestyle() for container in ax.containers] == ["-", "--"]
    assert "dashed" in ax.get_legend().get_title().get_text()


# Of two classes, one that is often taken for its half turn and one that never is.
TURNED = np.array(
    [
        [[6, 0, 4, 0], [0, 9, 0, 1], [2, 0, 8, 0], [0, 0, 0, 10]],
        [[9, 1, 0, 0], [0, 10, 0, 0], [0, 0, 10, 0], [0, 2, 0, 8]],
    ]
)


def test_rotation_confusion_shows_all_classes_and_each():
    _, axes = plt.subplots(1, 2)
    left, right = plot_rotation_confusion(TURNED, ["eight", "seven"], axes=axes)
    assert (left, right) == (axes[0], axes[1])
    assert [text.get_text() for text in left.texts][:4] == ["75.0", "5.0", "20.0", "0.0"]
    assert [tick.get_text() for tick in left.get_yticklabels()] == ["0°", "90°", "180°", "270°"]
    assert (left.get_xlabel(), left.get_ylabel()) == ("taken for", "turned by")
    accuracy, half_turn = right.containers
    assert [bar.get_width() for bar in accuracy] == pytest.approx([82.5, 92.5])
    assert [bar.get_width() for bar in half_turn] == pytest.approx([30, 0])
    assert [text.get_text() for text in right.texts] == ["82.5", "92.5", "30.0", "0.0"]
    assert [tick.get_text() for tick in right.get_yticklabels()] == ["eight", "seven"]
    assert right.yaxis_inverted()  # the first class is the uppermost


def test_rotation_confusion_without_half_turns_shows_accuracy_alone():
    counts = np.array([[[3, 1], [0, 4]], [[0, 0], [0, 0]]])
    left, right = plot_rotation_confusion(counts, ["a", "nothing"], rotations=(1, 3))
    assert [text.get_text() for text in left.texts] == ["75.0", "25.0", "0.0", "100.0"]
    assert [tick.get_text() for tick in left.get_xticklabels()] == ["90°", "270°"]
    (accuracy,) = right.containers
    assert accuracy[0].get_width() == pytest.approx(87.5)
    assert [text.get_text() for text in right.texts] == ["87.5", ""]


def test_rotation_confusion_names_what_does_not_fit():
    with pytest.raises(ValueError, match="class_names must be 2 names"):
        plot_rotation_confusion(TURNED, ["eight"])


def names_shown(ax):
    """The class names on a picture as they are read, without what keeps matplotlib from them."""
    ax.figure.canvas.draw()  # a letter that the font lacks would be warned of here
    texts = ax.get_legend().get_texts() if ax.collections else ax.get_yticklabels()
    texts = [text.get_text() for text in texts]
    assert not any(map(is_math_text, texts))
    return [text.replace(r"\$", "$").replace("\N{ZERO WIDTH SPACE}", "") for text in texts]


@pytest.mark.filterwarnings("error:Glyph")  # a letter that the font lacks
@pytest.mark.parametrize(
    "draw",
    [
        lambda names: plot_map(np.zeros((3, 2)), np.arange(3), names),
        lambda names: plot_confusion(np.eye(3, dtype=int), names),
        lambda names: plot_rotation_confusion(TURNED[[0, 1, 1]], names)[1],
    ],
    ids=["map", "confusion", "rotation confusion"],
)
def test_names_of_folders_are_shown_as_they_are(draw):
    names = ["$x^2$ and $y_1$", "_hidden", "5$"]
    assert names_shown(draw(names)) == names
