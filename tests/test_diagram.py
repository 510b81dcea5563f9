"""A network as a picture: its boxes, its heads, and the file of it."""

import keras
import matplotlib.pyplot as plt
import pytest
from matplotlib.patches import Rectangle

from rotnet_keras import (
    InputError,
    attach_head,
    conv_blocks_extractor,
    draw_model,
    plot_network,
    two_conv_extractor,
)


def words(ax):
    return [text.get_text() for text in ax.texts if text.get_text()]


def boxes(ax):
    return [patch for patch in ax.patches if isinstance(patch, Rectangle)]


def test_a_box_for_each_change_of_shape():
    ax = plot_network(attach_head(two_conv_extractor((28, 28, 1)), 4))
    shapes = ["28×28×1", "26×26×16", "13×13×16", "11×11×32", "5×5×32", "800", "16", "4"]
    names = ["images", "conv1", "pool1", "conv2", "pool2", "flatten", "features", "head"]
    assert words(ax) == [text for both in zip(shapes, names, strict=True) for text in both]
    heights = [box.get_height() for box in boxes(ax)]
    assert len(heights) == len(shapes)
    assert heights[0] > heights[1] > heights[2] > heights[3] > heights[4]
    assert boxes(ax)[0].get_width() < boxes(ax)[1].get_width()
    lefts = [box.get_x() for box in boxes(ax)]
    assert lefts == sorted(lefts)


def test_heads_stand_at_the_end_one_below_the_other():
    ax = plot_network(two_conv_extractor((12, 12, 1)), heads={"rotations": 4, "$classes$": 10})
    assert words(ax)[-2:] == ["head of 4:\nrotations", "head of 10:\n\\$classes\\$"]
    first, second = (text for text in ax.texts if text.get_text().startswith("head"))
    assert first.get_position()[1] > second.get_position()[1]
    assert first.get_position()[0] > boxes(ax)[-1].get_x()
    (text,) = [text for text in plot_network(two_conv_extractor((12, 12, 1)), heads={"a": 1}).texts
               if text.get_text().startswith("head")]  # fmt: skip
    assert text.get_position()[1] == 0


def test_of_deep_networks_some_steps_are_left_out():
    ax = plot_network(conv_blocks_extractor((256, 256, 3), widths=[*range(4, 12)]))
    left_out = [text for text in words(ax) if text.endswith(" more")]
    assert len(left_out) == 1
    assert len(boxes(ax)) == 14  # and the one left out has none
    assert words(ax)[0] == "256×256×3"
    assert words(ax)[-2] == "11"


def test_sides_that_are_not_known_are_said():
    images = keras.Input((None, None, 3), name="images")
    ax = plot_network(keras.Model(images, keras.layers.GlobalAveragePooling2D(name="mean")(images)))
    assert words(ax) == ["?×?×3", "images", "3", "mean"]


def test_the_picture_needs_no_graphviz(extractor, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    before = plt.get_fignums()
    written = draw_model(extractor, tmp_path / "model.any", title="Fig. 1")
    assert written == tmp_path / "model.png"
    height, width, _ = plt.imread(written).shape
    assert width > 2 * height > 400
    assert plt.get_fignums() == before
    assert [path.name for path in tmp_path.iterdir()] == ["model.png"]


def test_models_without_shapes_and_heads_without_outputs():
    with pytest.raises(InputError, match="model must be built, so that its layers have shapes"):
        plot_network(keras.Sequential([keras.layers.Dense(2)]))
    with pytest.raises(InputError, match="heads: each must be a whole number of at least 1, got 0"):
        plot_network(two_conv_extractor((12, 12, 1)), heads={"a": 0})


def test_networks_of_several_outputs_and_files_without_a_name(extractor, tmp_path):
    both = keras.Model(extractor.input, [extractor.output, extractor.get_layer("pool1").output])
    for draw in (plot_network, lambda model: draw_model(model, tmp_path / "model.png")):
        with pytest.raises(
            InputError, match=r"model must have one output, got .* with 2; heads dra"
        ):
            draw(both)
    with pytest.raises(InputError, match=r"path must name a file, got '\.\.'"):
        draw_model(extractor, "..")
