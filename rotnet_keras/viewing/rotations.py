"""Pictures of the pretext task: turned images, its confusion, its mistakes."""

from __future__ import annotations

import math
from typing import Annotated

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.layout_engine import ConstrainedLayoutEngine
from sklearn.metrics import ConfusionMatrixDisplay

from rotnet_keras._base.angles import ANGLES
from rotnet_keras._base.arrays import Pictures, check_array, check_indices, images_are_square
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.values import Names, check_table
from rotnet_keras.rotation import (
    NUM_ROTATIONS,
    ROTATION_NAMES,
    ROTATIONS,
    Rotations,
    rotate_batch,
    turned,
)
from rotnet_keras.symmetry import RotationCounts, counts_fit, rotation_report
from rotnet_keras.viewing.axes import (
    AxesArray,
    check_axes_shape,
    grid_of_axes,
    row_of_axes,
    show_image,
    shown_text,
)


def _check_mistakes(name, mistakes):
    """Return a table of rotations and probabilities, or raise."""
    columns = ("image", "turned_by", "taken_for", "taken_probability")
    check_table(name, mistakes, columns, "mistake")
    for column in ("turned_by", "taken_for"):
        degrees = check_array(name, mistakes[column])
        if not np.isin(degrees, ANGLES).all():
            raise InputError(f"{name} must have {column} in {ANGLES}, got {degrees[:9]}")
    shares = check_array(name, mistakes["taken_probability"])
    if not ((shares >= 0) & (shares <= 1)).all():
        raise InputError(f"{name} must have probabilities in 0..1, got {shares[:9]}")
    return mistakes


def _mistakes_are_of_images(images, mistakes):
    check_indices("mistakes", mistakes["image"], len(images))


def _four_axes_an_image(images, axes):
    check_axes_shape(axes, (len(images), NUM_ROTATIONS))


def _two_axes(axes):
    check_axes_shape(axes, (2,))


def _axes_for_mistakes(mistakes, axes):
    check_axes_shape(axes, (len(mistakes),))


Mistakes = Annotated[pd.DataFrame, _check_mistakes]


@public(images_are_square, _four_axes_an_image)
def plot_rotations(images: Pictures, *, axes: AxesArray | None = None) -> np.ndarray:
    """Show each image in its four rotations, one image a row (the blog's Fig. 3).

    Args:
        images: `(N, S, S, C)` with 1 or 3 channels, pixels 0..255.
        axes: `(N, 4)` array of axes; None makes a figure.

    Returns:
        The `(N, 4)` array of axes.

    Raises:
        InputError: `images` or `axes` are not of that form.

    Example:
        >>> plot_rotations(np.zeros((2, 28, 28, 1), "uint8")).shape
        (2, 4)
    """
    count = len(images)
    axes = grid_of_axes(axes, (count, NUM_ROTATIONS), (1.5 * NUM_ROTATIONS, 1.5 * count + 0.4))
    rotated = rotate_batch(images)[0].numpy().reshape(NUM_ROTATIONS, count, *images.shape[1:])
    for row, in_turn in zip(axes, np.swapaxes(rotated, 0, 1), strict=True):
        for ax, image in zip(row, in_turn, strict=True):
            show_image(image, ax)
    for ax, name in zip(axes[0], ROTATION_NAMES, strict=True):
        ax.set_title(name)
    return axes


@public(counts_fit, _two_axes)
def plot_rotation_confusion(
    counts: RotationCounts,
    class_names: Names,
    *,
    rotations: Rotations = ROTATIONS,
    axes: AxesArray | None = None,
) -> np.ndarray:
    """Draw which rotations are predicted as which, and how well each class tells its own.

    On the left the confusion of all classes together, in percent of the images turned by each
    rotation. On the right, for every class, its accuracy over all rotations and its half-turn
    error: of the images at 0 and 180 degrees, the share predicted as the other of the two. A class
    near 50 there looks the same upside down.

    Args:
        counts: `(K, R, R)`, as `rotation_confusion` returns them.
        class_names: one a class, in the order of the bars from above.
        rotations: the R quarter turns that were told apart.
        axes: two axes to draw on; None makes a figure.

    Returns:
        The array of the two axes, of the confusion and of the bars.

    Raises:
        InputError: as `rotation_report`, or `axes` are not two axes of matplotlib.

    Example:
        >>> counts = np.array([[[6, 0, 4, 0], [0, 9, 0, 1], [2, 0, 8, 0], [0, 0, 0, 10]]])
        >>> _, bars = plot_rotation_confusion(counts, ["eight"])
        >>> [text.get_text() for text in bars.texts]
        ['82.5', '30.0']
    """
    errors = rotation_report(counts, class_names, rotations=rotations)
    if axes is None:
        size = (11, max(4.8, 1.5 + 0.42 * len(errors)))
        layout = ConstrainedLayoutEngine(wspace=0.08)
        axes = plt.subplots(1, 2, figsize=size, layout=layout)[1]
    together = np.sum(counts, axis=0)
    share = 100 * together / np.maximum(together.sum(axis=1, keepdims=True), 1)
    display = ConfusionMatrixDisplay(share, display_labels=[ROTATION_NAMES[k] for k in rotations])
    display.plot(ax=axes[0], cmap="Blues", colorbar=False, values_format=".1f")
    axes[0].set_anchor("N")
    axes[0].set(xlabel="predicted as", ylabel="turned by", title="All classes together (%)")
    _bars_of_classes(errors, axes[1])
    return axes


@public(images_are_square, _mistakes_are_of_images, _axes_for_mistakes)
def plot_rotation_mistakes(
    images: Pictures, mistakes: Mistakes, *, axes: AxesArray | None = None
) -> np.ndarray:
    """Show the images whose rotation was mistaken, turned as the network saw them.

    Args:
        images: `(N, S, S, C)` upright images with 1 or 3 channels, pixels 0..255.
        mistakes: table of `rotation_mistakes`, or the first rows of it: each is a picture.
        axes: array of one axes for each row; None makes a figure.

    Returns:
        The array of axes, `(number of mistakes,)`.

    Raises:
        InputError: `images` or `axes` are not of that form, or `mistakes` lacks rows or columns,
            or is not about these images.

    Example:
        >>> mistakes = rotation_mistakes([[[0.25, 0.75], [0, 1]]], rotations=(0, 2))
        >>> (ax,) = plot_rotation_mistakes(np.zeros((1, 28, 28, 1), "uint8"), mistakes)
        >>> print(ax.get_title())
        turned by 0°,
        predicted as 180° (75%)
    """
    count = len(mistakes)
    columns = min(count, 5)
    size = (1.9 * columns, 2.1 * math.ceil(count / columns))
    axes = row_of_axes(axes, count, size, columns=columns)
    for ax, mistake in zip(axes, mistakes.itertuples(), strict=True):
        _show_mistake(images, mistake, ax)
    return axes


def _bars_of_classes(errors, ax):
    """Two horizontal bars a class, its accuracy above its half-turn error, each with its number."""
    places = np.arange(len(errors))
    names = {"accuracy": "accuracy", "half_turn_error": "half-turn error (0° against 180°)"}
    bars = {"accuracy": "tab:blue"}
    if errors["half_turn_error"].notna().any():
        bars["half_turn_error"] = "tab:orange"
    height = 0.8 / len(bars)
    for i, (column, colour) in enumerate(bars.items()):
        drawn = ax.barh(
            places + (i - (len(bars) - 1) / 2) * height,
            100 * errors[column],
            height,
            color=colour,
            label=names[column],
        )
        ax.bar_label(drawn, fmt="%.1f", padding=2, fontsize=8)
    ax.set_yticks(places, [shown_text(name) for name in errors.index])
    ax.set(xlim=(0, 112), xlabel="%", title="Class by class", ylim=(len(errors) - 0.5, -0.5))
    ax.set_xticks(range(0, 101, 25))
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "borderaxespad": 3.5}
    ax.legend(ncols=2, frameon=False, **below)  # the distance in letters, however high the axes
    ax.spines[["top", "right"]].set_visible(False)


def _show_mistake(images, mistake, ax):
    """Draw the image of a row of the table, turned, and what it was predicted as."""
    show_image(turned(images[[mistake.image]], ANGLES.index(mistake.turned_by))[0], ax)
    taken = f"predicted as {mistake.taken_for:.0f}° ({mistake.taken_probability:.0%})"
    ax.set_title(f"turned by {mistake.turned_by:.0f}°,\n{taken}", size=9)
