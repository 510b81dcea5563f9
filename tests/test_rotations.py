import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from rotnet_keras import plot_rotation_confusion, plot_rotation_mistakes, plot_rotations

MISTAKES = pd.DataFrame(
    {
        "image": [1, 0],
        "turned_by": [90, 180],
        "taken_for": [270, 0],
        "true_probability": [0.01, 0.3],
        "taken_probability": [0.984, 0.5],
    }
)


# Of two classes, one that is often predicted as its half turn and one that never is.
TURNED = np.array(
    [
        [[6, 0, 4, 0], [0, 9, 0, 1], [2, 0, 8, 0], [0, 0, 0, 10]],
        [[9, 1, 0, 0], [0, 10, 0, 0], [0, 0, 10, 0], [0, 2, 0, 8]],
    ]
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


def test_rotation_confusion_shows_all_classes_and_each():
    _, axes = plt.subplots(1, 2)
    left, right = plot_rotation_confusion(TURNED, ["eight", "seven"], axes=axes)
    assert (left, right) == (axes[0], axes[1])
    assert [text.get_text() for text in left.texts][:4] == ["75.0", "5.0", "20.0", "0.0"]
    assert [tick.get_text() for tick in left.get_yticklabels()] == ["0°", "90°", "180°", "270°"]
    assert (left.get_xlabel(), left.get_ylabel()) == ("predicted as", "turned by")
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


@pytest.mark.parametrize("channels", [1, 3])
def test_rotation_mistakes_are_shown_as_the_network_saw_them(channels):
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 6, channels), "uint8")
    axes = plot_rotation_mistakes(images, MISTAKES)
    assert [ax.get_title() for ax in axes] == [
        "turned by 90°,\npredicted as 270° (98%)",
        "turned by 180°,\npredicted as 0° (50%)",
    ]
    for ax, image in zip(axes, [np.rot90(images[1]), np.rot90(images[0], 2)], strict=True):
        assert np.array_equal(np.asarray(ax.images[0].get_array()).reshape(image.shape), image)


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
        ({"turned_by": [45, 0]}, r"mistakes must have turned_by in \(0, 90, 180, 270\), got \[45"),
        ({"taken_for": [1, 2]}, r"mistakes must have taken_for in \(0, 90, 180, 270\), got"),
        ({"taken_probability": [98.4, 50]}, r"mistakes must have probabilities in 0\.\.1, got"),
    ],
)
def test_rotation_mistakes_of_other_images(changed, message):
    with pytest.raises(ValueError, match=message):
        plot_rotation_mistakes(np.zeros((2, 4, 4, 1)), MISTAKES.assign(**changed))
    with pytest.raises(ValueError, match="mistakes must hold at least one mistake, got none"):
        plot_rotation_mistakes(np.zeros((2, 4, 4, 1)), MISTAKES[:0])
    assert not plt.get_fignums()
