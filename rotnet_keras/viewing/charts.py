"""Pictures with matplotlib: axes in, axes out; nothing is shown, saved or computed here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
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
from rotnet_keras._base.values import Names, check_list, check_mapping, check_table, got
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


def _recorded(history):
    """The numbers by metric of a Keras `History`, or of such a dictionary."""
    return getattr(history, "history", history)


def _check_histories(name, histories):
    check_mapping(name, histories, "Keras histories by label")
    for history in histories.values():
        check_mapping(f"{name}: each", _recorded(history), "recorded numbers by metric")
    return histories


def _all_have_metric(histories, metric):
    for values in map(_recorded, histories.values()):
        if not isinstance(metric, str) or metric not in values:
            raise InputError(f"metric must be one of {tuple(values)}, got {got(metric)}")
        check_array("histories", check_list("histories", values[metric], "number"))


def _check_points(name, points):
    points = check_features(name, points)
    if points.shape[1] != 2:
        raise InputError(f"{name} must be (N, 2) with N at least 1, got {points.shape}")
    return points


def _one_label_a_point(points, labels):
    check_labels(labels, len(points), each="points")


def _check_accuracies(name, accuracies):
    check_mapping(name, accuracies, "accuracies by arm by series")
    for by_arm in accuracies.values():
        check_mapping(f"{name}: each", by_arm, "numbers by arm")
        measured = [value for value in by_arm.values() if value is not None]
        check_finite(name, check_array(name, measured))
    if len({tuple(by_arm) for by_arm in accuracies.values()}) > 1:
        raise InputError(f"{name} must be of the same arms in all series, got {accuracies}")
    return accuracies


def _check_summary(name, summary):
    check_table(name, summary, ("arm", "num_labels", "mean", "ci95"))
    return summary


def _check_published(name, published):
    check_mapping(name, published, "figures by name")
    for figures in published.values():
        check_mapping(f"{name}: each", figures, "percent by number of labels")
        check_finite(name, check_array(name, [*figures, *figures.values()]))
    return published


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
Accuracies = Annotated[Mapping[str, Mapping[str, float | None]], _check_accuracies]
Summary = Annotated[pd.DataFrame, _check_summary]
Published = Annotated[Mapping[str, Mapping[int, float]], _check_published]
Matrix = Annotated[np.ndarray, _check_matrix]


@public(_all_have_metric)
def plot_history(histories: Histories, metric: str = "accuracy", *, ax: Axes | None = None) -> Axes:
    """Draw training curves, and the validation curves dashed in the same colour.

    Args:
        histories: `{label: history}`, Keras `History` objects or their dictionaries.
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
        (line,) = ax.plot(epochs, values[metric], marker=marker, label=f"{label}, training")
        if f"val_{metric}" in values:
            style: dict[str, Any] = {"ls": "--", "marker": marker, "color": line.get_color()}
            ax.plot(epochs, values[f"val_{metric}"], label=f"{label}, validation", **style)
    ax.set(xlabel="epoch", ylabel=metric)
    ax.locator_params(axis="x", integer=True)
    ax.grid(alpha=0.3)
    # Below the axes, in which lines are everywhere.
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, fontsize=8)
    return ax


@public(_one_label_a_point, named_or_without)
def plot_map(points: Points, labels: Labels, class_names: Names, *, ax: Axes | None = None) -> Axes:
    """Scatter a two-dimensional map of images, coloured by class, with a legend of the names.

    The fewer points there are, the larger they are drawn; in an order drawn at random, so that no
    class covers the others.

    Args:
        points: `(N, 2)`, as `umap_points` returns them.
        labels: `(N,)` whole numbers; -1 for an image without a label, grey and beneath the others.
        class_names: one a class.
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
            series, one group an arm. None where an arm was not measured leaves its bar out.
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
    percent = 100 * pd.DataFrame(accuracies, dtype=float)  # a row an arm
    width = 0.85 / percent.notna().sum(axis="columns").max()
    places = percent.notna().cumsum(axis="columns").sub(percent.notna().sum(axis="columns") / 2, 0)
    for series, values in percent.items():
        at = np.arange(len(values)) + (places[series] - 0.5) * width
        bars = ax.bar(at[values.notna()], values.dropna(), width, label=series)
        ax.bar_label(bars, fmt="%.1f", padding=2, fontsize=9)
    ax.set_xticks(range(len(percent)), list(percent.index))
    ax.set(ylabel="test accuracy (%)", ylim=(0, 110))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


@public()
def plot_budgets(
    summary: Summary,
    *,
    published: Published | None = None,
    names_at_ends: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw accuracy against the number of labels, one line an arm, with 95% intervals.

    Args:
        summary: table of `summarise_study`, of one network and pretraining. Arms without the
            pretext task get dashed lines, if there is a column `pretext` that says which they are.
        published: `{name: {num_labels: percent}}` of figures from elsewhere, drawn in black.
        names_at_ends: write the names of few arms at the right ends of their lines, in their
            colours, and leave the legend to what was published.
        ax: axes to draw on; None makes a figure.

    Returns:
        The axes.

    Raises:
        InputError: `summary` lacks rows or columns, `published` is not such a dictionary, or
            `ax` is not axes of matplotlib.

    Example:
        >>> summary = {"arm": ["a", "a"], "num_labels": [10, 100], "mean": [50, 60], "ci95": [2, 1]}
        >>> ax = plot_budgets(pd.DataFrame(summary), published={"other": {100: 55.0}})
        >>> ax.get_xscale(), ax.get_legend_handles_labels()[1]
        ('log', ['other', 'a'])
    """
    ax = axes_or_new(ax, figsize=(9, 6))
    _draw_arms(summary, ax)
    _draw_published(published or {}, ax)
    ticks = sorted(summary["num_labels"].unique())
    ax.set(xscale="log", xlabel="labels in all", ylabel="test accuracy (%)")
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.minorticks_off()
    ax.grid(axis="y", alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    style: dict[str, Any] = {"frameon": False, "fontsize": 9, "alignment": "left"}
    if names_at_ends:
        _name_at_ends(ax)
        if published:
            ax.legend(handles=ax.get_lines()[-len(published) :], loc="lower right", **style)
        return ax
    title = "dashed: without the pretext task" if "pretext" in summary else None
    ax.legend(title=title, loc="center left", bbox_to_anchor=(1.01, 0.5), **style)
    return ax


@public(_one_name_a_row)
def plot_confusion(matrix: Matrix, class_names: Names, *, ax: Axes | None = None) -> Axes:
    """Draw a confusion matrix, true classes in rows, with its counts.

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
    ax = axes_or_new(ax, figsize=(7.5, 7))
    names = [shown_text(name) for name in class_names]
    display = ConfusionMatrixDisplay(matrix, display_labels=names)
    display.plot(ax=ax, cmap="Blues", xticks_rotation=45, colorbar=False, values_format="d")
    plt.setp(ax.get_xticklabels(), ha="right", rotation_mode="anchor")
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


def _draw_arms(summary, ax):
    """A line for each arm and pretext task, the one that ends highest first."""
    lines = summary.assign(line=_lines_of(summary)).sort_values("num_labels")
    last = lines.groupby("line")["mean"].last()
    colours = plt.get_cmap("tab10" if len(last) <= 10 else "tab20")
    for number, arm in enumerate(last.sort_values(ascending=False).index):
        runs = lines[lines["line"] == arm]
        style = {"color": colours(number % 20), "marker": "os^Dv"[number % 5], "markersize": 4}
        without = "pretext" in runs and (runs["pretext"] == "none").all()
        style["linestyle"] = "--" if without else "-"
        ax.errorbar(runs["num_labels"], runs["mean"], runs["ci95"], label=arm, capsize=2, **style)


def _name_at_ends(ax):
    """Write the name of each line with an interval beside its right end, none over another."""
    lines = [container for container in ax.containers if len(container[0].get_xdata())]
    low, high = ax.get_ylim()
    free = np.inf
    for line in sorted(lines, key=lambda line: -line[0].get_ydata()[-1]):
        end = line[0].get_xdata()[-1], line[0].get_ydata()[-1]
        free = min(end[1], free - 0.045 * (high - low))
        said = ax.annotate(
            line.get_label(),
            end,
            (1.02, free),
            textcoords=ax.get_yaxis_transform(),
            color=line[0].get_color(),
        )
        said.set(va="center", fontsize=9)


def _lines_of(summary):
    """What the line of each row is called: its arm and, where there are several, its pretext."""
    tasks = {*summary.get("pretext", ())} - {"none"}
    if len(tasks) < 2:
        return summary["arm"]
    given = ", after " + summary["pretext"]
    return summary["arm"] + given.where(summary["pretext"] != "none", "")


def _draw_published(published, ax):
    for number, (name, points) in enumerate(published.items()):
        style = {"color": "black", "markerfacecolor": "white", "markersize": 7, "zorder": 5}
        style |= {"marker": "x+*sDP"[number % 6], "linestyle": "none"}
        ax.plot(list(points), list(points.values()), label=name, **style)
