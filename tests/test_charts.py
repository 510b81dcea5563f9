import itertools

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from rotnet_keras import InputError, plot_accuracies, plot_confusion, plot_history, plot_map


@pytest.mark.parametrize("height", [3, 5])
def test_curves_legend_lies_below_the_name_of_the_axis(height):
    _, axes = plt.subplots(1, 2, figsize=(12, height), layout="constrained")
    ax = plot_history({"a": {"accuracy": [0.8, 0.9]}}, ax=axes[0])
    ax.figure.canvas.draw()
    legend, name = ax.get_legend().get_window_extent(), ax.xaxis.label.get_window_extent()
    assert legend.y1 <= name.y0


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


def drawn_points(drawn):
    """What a scatter holds, as rows of places and colours, in the order of the places."""
    rows = np.column_stack([drawn.get_offsets(), drawn.get_facecolor()])
    return rows[np.lexsort(rows.T[:2])]


@pytest.mark.parametrize("num_classes", [3, 12])
def test_map_has_a_colour_and_a_name_for_each_class(num_classes):
    names = [f"class {k}" for k in range(num_classes)]
    labels = np.arange(4 * num_classes) % num_classes
    points = np.random.default_rng(0).normal(size=(len(labels), 2))
    ax = plot_map(points, labels, names)
    legend = ax.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == names
    colours = [to_rgba(handle.get_color()) for handle in legend.legend_handles]
    assert len({*colours}) == num_classes
    _, drawn = ax.collections
    rows = np.column_stack([points, np.array(colours)[labels]])
    rows[:, -1] = drawn.get_alpha()
    np.testing.assert_allclose(drawn_points(drawn), rows[np.lexsort(rows.T[:2])])


def test_no_class_covers_the_others():
    labels = np.repeat([0, 1], 50)
    points = np.column_stack([np.arange(100), labels]).astype(float)
    one, other = (plot_map(points, labels, ["Bag", "Coat"]).collections[1] for _ in range(2))
    order = one.get_offsets()[:, 0]
    np.testing.assert_array_equal(order, other.get_offsets()[:, 0])
    np.testing.assert_array_equal(np.sort(order), np.arange(100))
    assert 15 < (order[:50] < 50).sum() < 35  # of each class, about half is drawn first


def test_images_without_a_label_lie_grey_beneath():
    points, labels = np.arange(8.0).reshape(4, 2), np.array([1, -1, 0, -1])
    ax = plot_map(points, labels, ["Bag", "Coat"])
    beneath, above = ax.collections
    np.testing.assert_array_equal(beneath.get_offsets(), points[[1, 3]])
    assert {tuple(colour) for colour in beneath.get_facecolor()} == {to_rgba("#C8C8C8")}
    assert {tuple(place) for place in above.get_offsets()} == {(0, 1), (4, 5)}
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["Bag", "Coat", "no label"]
    only = plot_map(points, labels * 0 - 1, ["Bag", "Coat"])
    assert [len(drawn.get_offsets()) for drawn in only.collections] == [4, 0]


@pytest.mark.parametrize(
    ("count", "area"), [(1, 60), (50, 400 / 50**0.5), (400, 20), (10_000, 4), (70_000, 4)]
)
def test_the_fewer_points_the_larger(count, area):
    ax = plot_map(np.zeros((count, 2)), np.zeros(count, int), ["Bag"])
    assert ax.collections[1].get_sizes() == pytest.approx([area])


def test_the_legend_of_many_classes_stays_on_the_picture():
    names = ["a name that is longer than one line has room for", *map(str, range(1, 60))]
    ax = plot_map(np.zeros((60, 2)), np.arange(60), names)
    ax.figure.canvas.draw()
    legend, whole = ax.get_legend().get_window_extent(), ax.figure.bbox
    assert whole.x0 <= legend.x0
    assert legend.x1 <= whole.x1
    assert whole.y0 <= legend.y0
    assert legend.y1 <= whole.y1
    assert ax.get_window_extent().width > 0.3 * whole.width  # what is left to the map
    first = ax.get_legend().get_texts()[0].get_text()
    assert first == "a name that is longer\nthan one line has room\nfor"


def test_accuracies_are_labelled_bars():
    series = {"blog": {"scratch": 0.6, "frozen": 0.4}, "here": {"scratch": 0.8, "frozen": 0.55}}
    ax = plot_accuracies(series)
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([60, 40, 80, 55])
    assert [text.get_text() for text in ax.texts] == ["60.0", "40.0", "80.0", "55.0"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["scratch", "frozen"]


def test_what_was_not_measured_has_no_bar_and_leaves_no_gap():
    ax = plot_accuracies({"short": {"a": 0.5, "b": None}, "long": {"a": 0.6, "b": 0.7}})
    a, more, b = ax.patches
    assert [bar.get_height() for bar in (a, more, b)] == pytest.approx([50, 60, 70])
    assert a.get_center()[0] == pytest.approx(-a.get_width() / 2)
    assert b.get_center()[0] == pytest.approx(1)
    assert more.get_facecolor() == b.get_facecolor()
    ax = plot_accuracies({"long": {"a": 0.6, "b": None}, "alone": {"a": None, "b": 0.7}})
    assert [bar.get_center()[0] for bar in ax.patches] == pytest.approx([0, 1])


def test_confusion_shows_counts_and_names():
    ax = plot_confusion([[5, 1], [2, 1234]], ["Bag", "Coat"])
    assert [text.get_text() for text in ax.texts] == ["5", "1", "2", "1234"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Bag", "Coat"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")


def test_one_history_and_one_series_need_no_name():
    recorded = {"accuracy": [0.5, 0.75], "val_accuracy": [0.5, 0.625]}
    history = keras.callbacks.History()
    history.history = recorded
    for given in (history, recorded):
        ax = plot_history(given)
        names = [text.get_text() for text in ax.get_legend().get_texts()]
        assert names == ["training", "validation"]
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), [0.5, 0.75])
    ax = plot_accuracies({"frozen": 0.5, "fine-tuned": None, "scratch": 0.25})
    assert ax.get_legend() is None
    assert [bar.get_height() for bar in ax.patches] == [50, 25]


def test_a_map_names_classes_by_their_labels_where_they_have_no_names():
    ax = plot_map(np.zeros((4, 2)), np.array([0, 2, 2, -1]))
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["0", "1", "2", "no label"]


def test_shares_are_read_in_percent():
    ax = plot_history({"accuracy": [0.5, 0.75], "loss": [2.0, 1.0]})
    assert ax.yaxis.get_major_formatter()(0.75) == "75.0%"
    assert "%" not in plot_history({"loss": [2.0, 1.0]}, "loss").yaxis.get_major_formatter()(1.5)


WRONG_HISTORIES = [
    ({"accuracy": [0.1, 0.2, 0.3], "val_accuracy": [0.2]}, r"\(3,\) and \(1,\)"),
    ({"accuracy": [[0.1, 0.2], [0.3, 0.4]]}, r"\(2, 2\)"),
]


@pytest.mark.parametrize(("history", "message"), WRONG_HISTORIES)
def test_a_history_has_one_number_an_epoch(history, message):
    with pytest.raises(InputError, match="one number an epoch for accuracy.* got.*" + message):
        plot_history(history)
    with pytest.raises(InputError, match="histories must be an array of real numbers"):
        plot_history({"accuracy": [0.1], "val_accuracy": ["high"]})


def test_accuracies_of_arms_in_any_order():
    accuracies = {"short": {"b": 0.5, "a": 0.25}, "long": {"a": 0.75, "b": 1.0}}
    ax = plot_accuracies(accuracies)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["b", "a"]
    assert [text.get_text() for text in ax.texts] == ["50.0", "25.0", "100.0", "75.0"]


@pytest.mark.parametrize("accuracies", [{"a": 60.0}, {"a": -0.1}, {"s": {"a": None}}])
def test_accuracies_are_shares(accuracies):
    with pytest.raises(
        InputError, match=r"accuracies must hold numbers in 0\.\.1, one or more, got"
    ):
        plot_accuracies(accuracies)


def test_names_are_no_formulas_and_none_is_left_out_of_a_legend():
    history = {"accuracy": [0.1, 0.2]}
    ax = plot_history({"_a": history, "$b$": history})
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["\N{ZERO WIDTH SPACE}_a, training", r"\$b\$, training"]
    ax = plot_accuracies({"_s": {"_x": 0.5}, "t": {"_x": 0.5}})
    assert len(ax.get_legend().get_texts()) == 2


def test_the_largest_label_of_bytes_has_a_name():
    ax = plot_map(np.zeros((1, 2)), np.array([255], "uint8"))
    assert ax.get_legend().get_texts()[-1].get_text() == "255"


@pytest.mark.parametrize(("count", "counted", "named"), [(16, 256, 16), (17, 0, 17), (100, 0, 50)])
def test_a_large_confusion_has_no_counts_and_names_that_can_be_read(count, counted, named):
    ax = plot_confusion(np.eye(count, dtype=int), [f"class {k}" for k in range(count)])
    assert len(ax.texts) == counted
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.get_yticklabels()]
    assert len(boxes) == named
    assert all(upper.y0 >= lower.y1 for upper, lower in itertools.pairwise(boxes))
