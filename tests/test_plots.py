import itertools
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
    plot_attention_maps,
    plot_budgets,
    plot_confusion,
    plot_filters,
    plot_history,
    plot_map,
    plot_neighbours,
    plot_rotation_confusion,
    plot_rotation_mistakes,
    plot_rotations,
)

MISTAKES = pd.DataFrame(
    {
        "image": [1, 0],
        "turned_by": [90, 180],
        "taken_for": [270, 0],
        "true_probability": [0.01, 0.3],
        "taken_probability": [0.984, 0.5],
    }
)


def shown(ax, number=0):
    """The numbers of an image on a picture, those of colours included."""
    return np.asarray(ax.images[number].get_array())


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
    images = np.zeros((1, 4, 4, 1), "uint8")
    maps = {"a": np.ones((1, 2, 2)), "b": np.ones((1, 1, 1))}
    for draw, arguments, shape in [
        (plot_filters, [{"a": np.ones((2, 2, 1, 3)), "b": np.ones((1, 1, 3, 2))}], (2,)),
        (plot_attention_maps, [images, maps], (1, 3)),
        (plot_neighbours, [images, [0], [[0, 0]]], (1, 3)),
        (plot_rotation_mistakes, [images, MISTAKES.assign(image=0)], (2,)),
    ]:
        _, axes = plt.subplots(1, 3, squeeze=False)
        axes = axes if len(shape) == 2 else axes[0, : shape[0]]
        returned = draw(*arguments, axes=axes)
        assert returned.shape == shape
        assert [*returned.flat] == [*axes.flat]
        assert all(ax.images for ax in axes.flat)
        with pytest.raises(ValueError, match=r"axes must be an array of .* got"):
            draw(*arguments, axes=[*axes.flat, axes.flat[0]])


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


def test_filters_are_drawn_each_on_its_own_scale_around_mid_grey():
    filters = np.zeros((1, 3, 1, 5))
    filters[0, :, 0, 0] = [-2, 0, 1]
    filters[0, :, 0, 1] = [0.1, 0, 0.05]
    few, other = plot_filters({"few": filters, "other": np.ones((2, 2, 1, 1), "float32")})
    assert (few.get_title(), other.get_title()) == ("few", "other")
    drawn = [shown(few, number) for number in range(len(few.images))]
    expected = [[0, 0.5, 0.75], [1, 0.5, 0.75], *[[0.5] * 3] * 3]
    np.testing.assert_allclose(drawn, np.array(expected)[:, None])
    assert all(image.get_clim() == (0, 1) for image in few.images)
    np.testing.assert_allclose(shown(other), np.ones((2, 2)))


def test_filters_of_colours_lie_in_rows_and_do_not_overlap():
    filters = np.random.default_rng(0).normal(size=(5, 3, 3, 7))
    (ax,) = plot_filters({"colours": filters})
    largest = np.abs(filters).max(axis=(0, 1, 2))
    for number, image in enumerate(ax.images):
        expected = 0.5 + filters[..., number] / largest[number] / 2
        np.testing.assert_allclose(image.get_array(), expected)
    left, right, bottom, top = np.transpose([image.get_extent() for image in ax.images])
    np.testing.assert_allclose((bottom - top) / (right - left), 5 / 3)
    np.testing.assert_allclose(top[[0, 1, 2]], 0)
    np.testing.assert_allclose(left[[0, 3, 6]], 0)
    assert right[0] < left[1] < right[1] < left[2]
    assert bottom[0] < top[3] < bottom[3] < top[6]


@pytest.mark.parametrize("filters", [np.ones((3, 3, 2, 4)), np.ones((3, 3, 1)), []])
def test_filters_of_other_channels_cannot_be_drawn(filters):
    with pytest.raises(ValueError, match=r"filters_by_name must be \(h, w, C, F\) .* got"):
        plot_filters({"good": np.ones((3, 3, 1, 4)), "bad": filters})


@pytest.mark.parametrize("channels", [1, 3])
def test_attention_maps_cover_their_images(channels):
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 4, channels), "uint8")
    maps = {"block1": np.arange(12.0).reshape(2, 3, 2), "dark": np.zeros((2, 1, 1), "float32")}
    axes = plot_attention_maps(images, maps)
    assert axes.shape == (2, 3)
    assert [ax.get_title() for ax in axes[0]] == ["image", "block1", "dark"]
    for row, image, values in zip(axes, images, maps["block1"], strict=True):
        assert np.array_equal(shown(row[0]).reshape(image.shape), image)
        assert np.array_equal(shown(row[1]), values)
        assert row[1].images[0].get_clim() == (0, values.max())
        assert row[2].images[0].get_clim() == (0, 1)
        assert {tuple(ax.images[0].get_extent()) for ax in row} == {(-0.5, 3.5, 5.5, -0.5)}


@pytest.mark.parametrize("channels", [1, 3])
def test_neighbours_stand_beside_their_query(channels):
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 6, channels), "uint8")
    axes = plot_neighbours(images, [3, 1], [[0, 4, 1], [2, 3, 0]])
    assert axes.shape == (2, 4)
    for row, places in zip(axes, [[3, 0, 4, 1], [1, 2, 3, 0]], strict=True):
        for ax, place in zip(row, places, strict=True):
            assert np.array_equal(shown(ax).reshape(4, 6, channels), images[place])
        framed = [ax.spines["left"].get_visible() for ax in row]
        assert framed == [True, False, False, False]
    assert [ax.get_title() for ax in axes[0]] == ["query", "1", "2", "3"]
    assert not any(ax.get_xlabel() for ax in axes.flat)
    axes[0, 0].figure.canvas.draw()
    sides = [ax.get_position() for ax in axes[0]]
    gaps = [after.x0 - before.x1 for before, after in itertools.pairwise(sides)]
    assert gaps[0] > 1.5 * max(gaps[1:])  # the query is set apart


def test_neighbours_of_another_class_are_told_by_sign_and_colour():
    labels = np.array([0, 1, 0, 2])
    names = ["Bag", "Coat", "Shirt"]
    images = np.zeros((4, 4, 4, 1))
    axes = plot_neighbours(images, [0, 3], [[1, 2], [2, 1]], labels=labels, class_names=names)
    written = [[ax.get_xlabel() for ax in row] for row in axes]
    assert written == [["Bag", "≠ Coat", "Bag"], ["Shirt", "≠ Bag", "≠ Coat"]]
    colours = [[ax.xaxis.label.get_color() for ax in row] for row in axes]
    assert colours == [["black", "tab:red", "black"], ["black", "tab:red", "tab:red"]]
    axes = plot_neighbours(images, [0], [[1, 2]], labels=labels)
    assert [ax.get_xlabel() for ax in axes[0]] == ["0", "≠ 1", "0"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"neighbours": [[1], [0]]}, r"neighbours must be \(1, K\), a row for each of the queries"),
        ({"neighbours": [[2]]}, r"neighbours must lie in 0\.\.1, .* got 2\.\.2"),
        ({"queries": [-1]}, r"queries must lie in 0\.\.1, .* got -1\.\.-1"),
        ({"class_names": ["Bag"]}, "labels must be whole numbers"),
        (
            {"labels": [0, 1], "class_names": ["Bag"]},
            "labels must lie in .* got 0..1",
        ),
    ],
)
def test_neighbours_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_neighbours(
            **{"images": np.zeros((2, 4, 4, 1)), "queries": [0], "neighbours": [[1]]} | arguments
        )
    assert not plt.get_fignums()


@pytest.mark.parametrize("channels", [1, 3])
def test_rotation_mistakes_are_shown_as_the_network_saw_them(channels):
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 6, channels), "uint8")
    axes = plot_rotation_mistakes(images, MISTAKES)
    assert [ax.get_title() for ax in axes] == [
        "turned by 90°,\ntaken for 270° (98%)",
        "turned by 180°,\ntaken for 0° (50%)",
    ]
    for ax, image in zip(axes, [np.rot90(images[1]), np.rot90(images[0], 2)], strict=True):
        assert np.array_equal(shown(ax).reshape(image.shape), image)


def test_many_rotation_mistakes_are_broken_into_rows():
    table = MISTAKES.sample(7, replace=True, random_state=0)
    axes = plot_rotation_mistakes(np.zeros((2, 4, 4, 1)), table)
    assert axes.shape == (7,)
    assert axes[0].figure.axes == [*axes]  # no empty ones
    assert [ax.get_subplotspec().rowspan.start for ax in axes] == [0] * 5 + [1] * 2


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image": [2, 0]}, r"mistakes must lie in 0\.\.1, .* got 0\.\.2"),
        ({"image": [0.0, 1.0]}, "mistakes must be whole numbers"),
        ({"turned_by": [45, 0]}, r"mistakes must be turned_by 0, 90, 180 or 270, got \[45"),
        ({"taken_for": [1, 2]}, "mistakes must be taken_for 0, 90, 180 or 270, got"),
        ({"taken_probability": [98.4, 50]}, r"mistakes must have probabilities in 0\.\.1, got"),
    ],
)
def test_rotation_mistakes_of_other_images(changed, message):
    with pytest.raises(ValueError, match=message):
        plot_rotation_mistakes(np.zeros((2, 4, 4, 1)), MISTAKES.assign(**changed))
    with pytest.raises(ValueError, match="mistakes must hold at least one mistake, got none"):
        plot_rotation_mistakes(np.zeros((2, 4, 4, 1)), MISTAKES[:0])
    assert not plt.get_fignums()


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


def as_read(texts):
    """Texts of a picture as they are read, once it is drawn; lines are put together again."""
    assert not any(map(is_math_text, texts))
    texts = [text.replace(r"\$", "$").replace("\N{ZERO WIDTH SPACE}", "") for text in texts]
    return [text.replace("\n", " ") for text in texts]


@pytest.mark.filterwarnings("error:Glyph")
def test_names_of_networks_blocks_and_classes_are_shown_as_they_are():
    names = ["$x^2$ and $y_1$", "_hidden", "5$"]
    axes = plot_filters(dict.fromkeys(names, np.ones((2, 2, 1, 1))))
    axes[0].figure.canvas.draw()
    assert as_read([ax.get_title() for ax in axes]) == names
    images = np.zeros((3, 4, 4, 1))
    axes = plot_attention_maps(images, dict.fromkeys(names, np.ones((3, 2, 2))))
    axes[0, 0].figure.canvas.draw()
    assert as_read([ax.get_title() for ax in axes[0]]) == ["image", *names]
    shown_here = plot_neighbours(images, [0], [[1, 2]], labels=[0, 1, 2], class_names=names)
    shown_here[0, 0].figure.canvas.draw()
    written = as_read([ax.get_xlabel() for ax in shown_here[0]])
    assert written == [names[0], f"≠ {names[1]}", f"≠ {names[2]}"]
