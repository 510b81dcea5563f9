import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest

from rotnet_keras import plot_attention_maps, plot_filters, plot_neighbours, plot_predictions


def shown(ax, number=0):
    """The numbers of an image on a picture, those of colours included."""
    return np.asarray(ax.images[number].get_array())


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


def test_answers_stand_under_their_images_and_wrong_ones_in_red():
    images = np.random.default_rng(0).integers(0, 256, (10, 4, 6, 3), "uint8")
    labels, answers = np.arange(10) % 3, np.arange(10) % 2
    axes = plot_predictions(images, labels, answers)
    assert axes.shape == (10,)
    for ax, image, label, answer in zip(axes, images, labels, answers, strict=True):
        assert np.array_equal(shown(ax), image)
        wrong = label != answer
        assert ax.get_xlabel() == (f"{label}\n≠ {answer}" if wrong else str(label))
        assert ax.xaxis.label.get_color() == ("tab:red" if wrong else "black")
    axes[0].figure.canvas.draw()
    tops = [ax.get_position().y1 for ax in axes]
    assert len({round(top, 3) for top in tops}) == 2  # eight in the first row


def test_answers_must_be_one_an_image_and_named():
    images = np.zeros((2, 4, 4, 1), "uint8")
    with pytest.raises(ValueError, match=r"predicted must be whole numbers of shape \(2,\)"):
        plot_predictions(images, [0, 1], [0, 1, 0])
    with pytest.raises(ValueError, match=r"predicted must lie in 0\.\.1, one of the class_names"):
        plot_predictions(images, [0, 1], [0, 2], ["Bag", "Coat"])


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
