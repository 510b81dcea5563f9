"""Pictures with matplotlib: axes in, axes out; nothing is shown, saved or computed here."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Annotated, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter
from sklearn.metrics import ConfusionMatrixDisplay

from rotnet_keras._base.arrays import (
    Labels,
    check_array,
    check_features,
    check_finite,
    check_labels,
)
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.values import Names, check_list, check_mapping, got
from rotnet_keras.viewing.axes import (
    Axes,
    axes_or_new,
    named_or_without,
    shown_text,
    wrapped_lines,
)

SMALLEST_POINT, LARGEST_POINT = 4, 60  # of a map: from 10,000 images on, and up to 44 of them
NO_LABEL = "#C8C8C8"  # the colour of images without one
NAMES_WIDTH, NAMES_A_COLUMN = 24, 25  # of a map's legend
LARGEST_MATRIX, MOST_COUNTED, MOST_NAMED = 20, 16, 80  # inches; classes with counts, with names


def _recorded(history):
    """The numbers by metric of a Keras `History`, or of such a dictionary."""
    return getattr(history, "history", history)


def _check_histories(name, histories):
    """Histories by label; one that stands alone has none."""
    alone = _recorded(histories)
    if isinstance(alone, Mapping) and any(isinstance(v, (list, tuple)) for v in alone.values()):
        return {"": histories}
    check_mapping(name, histories, "Keras histories by label")
    for history in histories.values():
        check_mapping(f"{name}: each", _recorded(history), "recorded numbers by metric")
    return histories


def _all_have_metric(histories, metric):
    for values in map(_recorded, histories.values()):
        if not isinstance(metric, str) or metric not in values:
            raise InputError(f"metric must be one of {tuple(values)}, got {got(metric)}")
        there = [name for name in (metric, f"val_{metric}") if name in values]
        recorded = [check_list("histories", values[name], "number") for name in there]
        shapes = [check_array("histories", some).shape for some in recorded]
        if any(shape != (len(recorded[0]),) for shape in shapes):
            raise InputError(
                f"histories must hold one number an epoch for {' and '.join(there)}, got arrays of "
                f"{' and '.join(map(str, shapes))}"
            )


def _check_points(name, points):
    points = check_features(name, points)
    if points.shape[1] != 2:
        raise InputError(f"{name} must be (N, 2) with N at least 1, got {points.shape}")
    return points


def _one_label_a_point(points, labels):
    check_labels(labels, len(points), each="points")


def _check_accuracies(name, accuracies):
    """Accuracies by arm by series; where there is one series, it needs no name."""
    check_mapping(name, accuracies, "accuracies by arm by series")
    alone = [isinstance(x, numbers.Real) for x in accuracies.values() if x is not None]
    if alone and all(alone):
        accuracies = {"": accuracies}
    for by_arm in accuracies.values():
        check_mapping(f"{name}: each", by_arm, "numbers by arm")
    if len({frozenset(by_arm) for by_arm in accuracies.values()}) > 1:
        raise InputError(f"{name} must be of the same arms in all series, got {accuracies}")
    measured = [x for by_arm in accuracies.values() for x in by_arm.values() if x is not None]
    values = check_array(name, measured)
    check_finite(name, values)
    if not measured or values.min() < 0 or values.max() > 1:
        raise InputError(f"{name} must hold numbers in 0..1, one or more, got {got(accuracies)}")
    return accuracies


def _check_matrix(name, matrix):
    matrix = check_array(name, matrix)
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] > 0
    if not square or not np.issubdtype(matrix.dtype, np.integer) or matrix.min() < 0:
        raise InputError(f"{name} must be (K, K) counts, K at least 1, got {got(matrix)}")
    return matrix


def _one_name_a_row(matrix, class_names):
    if len(class_names) != len(matrix):
        raise InputError(
            f"class_names must be {len(matrix)}, one for each row, got {got(class_names)}"
        )


# What a signature says beside an argument.
Histories = Annotated[Mapping[str, Any], _check_histories]
Points = Annotated[np.ndarray, _check_points]
Accuracies = Annotated[
    Mapping[str, Mapping[str, float | None]] | Mapping[str, float | None], _check_accuracies
]
Matrix = Annotated[np.ndarray, _check_matrix]


@public(_all_have_metric)
def plot_history(histories: Histories, metric: str = "accuracy", *, ax: Axes | None = None) -> Axes:
    """Draw training curves, and the validation curves dashed in the same colour.

    Args:
        histories: a Keras `History`, or `{label: history}` of several; or their dictionaries.
        metric: which of the recorded numbers; `val_` is added for the dashed lines.
        ax: axes to draw on; None makes a figure.

    Returns:
        The axes.

    Raises:
        InputError: there is no history, one of them lacks `metric`, or `ax` is not axes
            of matplotlib.

    Example:
        >>> ax = plot_history({"rotation": {"accuracy": [0.8, 0.9], "val_accuracy": [0.7, 0.8]}})
        >>> len(ax.lines)
        2
    """
    ax = axes_or_new(ax)
    for label, history in histories.items():
        values = _recorded(history)
        epochs = np.arange(1, len(values[metric]) + 1)
        marker = "o" if len(epochs) == 1 else None
        of = f"{shown_text(label)}, " if label else ""
        (line,) = ax.plot(epochs, values[metric], marker=marker, label=f"{of}training")
        if f"val_{metric}" in values:
            style: dict[str, Any] = {"ls": "--", "marker": marker, "color": line.get_color()}
            ax.plot(epochs, values[f"val_{metric}"], label=f"{of}validation", **style)
    ax.set(xlabel="epoch", ylabel=metric)
    ax.locator_params(axis="x", integer=True)
    if "accuracy" in metric:  # a share
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.grid(alpha=0.3)
    # Below the axes, in which lines are everywhere; the distance in letters, however high they are.
    below: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "borderaxespad": 5}
    ax.legend(ncols=2, fontsize=8, **below)
    return ax


@public(_one_label_a_point, named_or_without)
def plot_map(
    points: Points, labels: Labels, class_names: Names | None = None, *, ax: Axes | None = None
) -> Axes:
    """Scatter a two-dimensional map of images, coloured by class, with a legend of the names.

    The fewer points there are, the larger they are drawn; in an order drawn at random, so that no
    class covers the others.

    Args:
        points: `(N, 2)`, as `umap_points` returns them.
        labels: `(N,)` whole numbers; -1 for an image without a label, grey and beneath the others.
        class_names: one a class; None takes the labels themselves.
        ax: axes to draw on; None makes a figure.

    Returns:
        The axes.

    Raises:
        InputError: the points are not finite and `(N, 2)` with N at least 1, there is not one
            label for each, a label has no name, or `ax` is not axes of matplotlib.

    Example:
        >>> ax = plot_map(np.zeros((4, 2)), np.array([0, 0, 1, -1]), ["Bag", "Coat"])
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['Bag', 'Coat', 'no label']
    """
    if class_names is None:
        class_names = [str(label) for label in range(int(labels.max()) + 1)]
    columns = math.ceil(len(class_names) / NAMES_A_COLUMN)
    ax = axes_or_new(ax, figsize=(6.5 + 2 * columns, 6.5))
    colours = _colours_of_classes(len(class_names))
    without, known = points[labels < 0], labels >= 0
    size = 0.6 * _point_size(len(points))
    ax.scatter(without[:, 0], without[:, 1], s=size, color=NO_LABEL, linewidths=0)
    _scatter_mixed(points[known], colours[labels[known]], ax)
    entries = [*zip(class_names, colours, strict=True), *[("no label", NO_LABEL)][: len(without)]]
    ax.legend(
        [Line2D([], [], marker="o", ls="", color=colour) for _, colour in entries],
        [wrapped_lines(name, NAMES_WIDTH) for name, _ in entries],
        frameon=False,
        ncols=columns,
        loc="center left",
        bbox_to_anchor=(1, 0.5),
    )
    ax.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
    return ax


@public()
def plot_accuracies(accuracies: Accuracies, *, ax: Axes | None = None) -> Axes:
    """Draw accuracies as grouped bars, each with its number.

    Args:
        accuracies: `{series: {arm: accuracy 0..1}}`, all series with the same arms; one colour a
            series, one group an arm. Of a single series `{arm: accuracy}`. None where an arm was
            not measured leaves its bar out.
        ax: axes to draw on; None makes a figure.

    Returns:
        The axes.

    Raises:
        InputError: there are no accuracies, the series have different arms, or `ax` is not axes
            of matplotlib.

    Example:
        >>> ax = plot_accuracies({"blog": {"scratch": 0.6}, "this run": {"scratch": 0.8}})
        >>> [text.get_text() for text in ax.texts]
        ['60.0', '80.0']
    """
    ax = axes_or_new(ax, figsize=(7.5, 4.5))
    series_by_name: Any = accuracies  # each by arm, as they are once they are checked
    arms = list(next(iter(series_by_name.values())))
    percent = 100 * pd.DataFrame(series_by_name, arms, dtype=float)  # a row an arm
    width = 0.85 / percent.notna().sum(axis="columns").max()
    places = percent.notna().cumsum(axis="columns").sub(percent.notna().sum(axis="columns") / 2, 0)
    for series, values in percent.items():
        at = np.arange(len(values)) + (places[series] - 0.5) * width
        bars = ax.bar(at[values.notna()], values.dropna(), width, label=shown_text(series))
        ax.bar_label(bars, fmt="%.1f", padding=2, fontsize=9)
    ax.set_xticks(range(len(arms)), [*map(shown_text, arms)])
    ax.set(ylabel="test accuracy (%)", ylim=(0, 110))
    if list(percent) != [""]:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


@public(_one_name_a_row)
def plot_confusion(matrix: Matrix, class_names: Names, *, ax: Axes | None = None) -> Axes:
    """Draw a confusion matrix, true classes in rows, with its counts if there are few classes.

    Args:
        matrix: `(K, K)` counts, as `confusion_matrix` returns them.
        class_names: one a class.
        ax: axes to draw on; None makes a figure.

    Returns:
        The axes.

    Raises:
        InputError: `matrix` is not square or not whole numbers, there is not one name for each of
            its rows, or `ax` is not axes of matplotlib.

    Example:
        >>> plot_confusion(np.eye(2, dtype=int), ["Bag", "Coat"]).get_xlabel()
        'predicted class'
    """
    count = len(matrix)
    side = min(max(7.5, 0.4 * count), LARGEST_MATRIX)
    ax = axes_or_new(ax, figsize=(side, side - 0.5))
    style = {"cmap": "Blues", "colorbar": False, "values_format": "d"}
    ConfusionMatrixDisplay(matrix).plot(ax=ax, include_values=count <= MOST_COUNTED, **style)
    named = range(0, count, math.ceil(count / MOST_NAMED))
    names = [shown_text(class_names[place]) for place in named]
    ax.set_yticks(named, names)
    ax.set_xticks(named, names, rotation=45, ha="right", rotation_mode="anchor")
    ax.set(xlabel="predicted class", ylabel="true class")
    return ax


def _point_size(count):
    """Area of a point in square points, so that few are seen and many do not cover each other."""
    return float(np.clip(400 / math.sqrt(max(count, 1)), SMALLEST_POINT, LARGEST_POINT))


def _colours_of_classes(count):
    """`(count, 4)` colours, ten that differ well, or as many as it takes around the rainbow."""
    if count <= 10:
        return plt.get_cmap("tab10")(range(count))
    return plt.get_cmap("gist_rainbow")(np.arange(count) / count)


def _scatter_mixed(points, colours, ax):
    """Draw points in an order drawn at random, and where they are large, with an edge."""
    order, size = np.random.default_rng(0).permutation(len(points)), _point_size(len(points))
    small = size == SMALLEST_POINT
    style = {"alpha": 0.6, "linewidths": 0} if small else {"alpha": 0.85, "linewidths": 0.4}
    ax.scatter(*points[order].T, s=size, c=colours[order], edgecolors="white", **style)
