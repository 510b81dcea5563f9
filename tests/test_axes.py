import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.cbook import is_math_text

from rotnet_keras import (
    plot_accuracies,
    plot_attention_maps,
    plot_confusion,
    plot_filters,
    plot_history,
    plot_map,
    plot_neighbours,
    plot_predictions,
    plot_rotation_confusion,
    plot_rotation_mistakes,
    plot_rotations,
    plot_umap,
    rotation_mistakes,
    two_conv_extractor,
)

MISTAKES = rotation_mistakes([[[0.25, 0.75], [0.9, 0.1]]], rotations=(0, 2))


def test_given_axes_are_used_and_returned():
    _, axes = plt.subplots(1, 4, squeeze=False)
    assert plot_rotations(np.zeros((1, 4, 4, 1), "uint8"), axes=axes) is axes
    _, ax = plt.subplots()
    assert plot_history({"a": {"accuracy": [0.5]}}, ax=ax) is ax
    assert plot_map(np.zeros((2, 2)), np.zeros(2, int), ["Bag"], ax=ax) is ax
    assert plot_accuracies({"a": {"b": 0.5}}, ax=ax) is ax
    extractor = two_conv_extractor((12, 12, 1))
    rows = 255 * np.eye(12)[:5, :, None, None] * np.ones((12, 1))
    assert plot_umap(extractor, rows, np.arange(5), ax=ax, cache=False) is ax
    assert plot_confusion(np.eye(2, dtype=int), ["Bag", "Coat"], ax=ax) is ax
    images = np.zeros((1, 4, 4, 1), "uint8")
    maps = {"a": np.ones((1, 2, 2)), "b": np.ones((1, 1, 1))}
    for draw, arguments, shape in [
        (plot_filters, [{"a": np.ones((2, 2, 1, 3)), "b": np.ones((1, 1, 3, 2))}], (2,)),
        (plot_attention_maps, [images, maps], (1, 3)),
        (plot_neighbours, [images, [0], [[0, 0]]], (1, 3)),
        (plot_predictions, [images[[0, 0, 0]], [0, 1, 2], [0, 0, 2]], (3,)),
        (plot_rotation_mistakes, [images, MISTAKES], (2,)),
    ]:
        _, axes = plt.subplots(1, 3, squeeze=False)
        axes = axes if len(shape) == 2 else axes[0, : shape[0]]
        returned = draw(*arguments, axes=axes)
        assert returned.shape == shape
        assert [*returned.flat] == [*axes.flat]
        assert all(ax.images for ax in axes.flat)
        with pytest.raises(ValueError, match=r"axes must be an array of .* got"):
            draw(*arguments, axes=[*axes.flat, axes.flat[0]])


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
        lambda names: plot_rotation_confusion(np.ones((3, 4, 4), int), names)[1],
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
    axes = plot_predictions(images, [0, 1, 2], [0, 1, 0], names)
    axes[0].figure.canvas.draw()
    written = as_read([ax.get_xlabel() for ax in axes])
    assert written == [names[0], names[1], f"{names[2]} ≠ {names[0]}"]
