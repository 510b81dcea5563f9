"""Accuracy against the number of labels, of many ways to a classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from rotnet_keras._base.arrays import check_array, check_finite
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.tasks import NONE
from rotnet_keras._base.values import check_mapping, check_table
from rotnet_keras.viewing.axes import Axes, axes_or_new, shown_text


def _check_summary(name, summary):
    check_table(name, summary, ("arm", "num_labels", "mean", "ci95"))
    if len(sets := sorted({*map(str, summary.get("dataset", ()))})) > 1:
        raise InputError(f"{name} must be of one data set, got rows of {sets}")
    for column, least in {"num_labels": 1, "mean": 0, "ci95": 0}.items():
        values = check_array(f"{name}: {column}", summary[column])
        if values[~np.isnan(values)].min(initial=least) < least:
            raise InputError(f"{name}: {column} must be at least {least}, got {values.min()}")
    drawn = pd.DataFrame({"line": _lines_of(summary), "num_labels": summary["num_labels"]})
    again = drawn[drawn.duplicated()]
    if len(again):
        line, number = again.iloc[0]
        raise InputError(
            f"{name} must have one row for each arm and number of labels, those of one network and "
            f"one pretraining, got several of {line!r} with {number:,} labels"
        )
    return summary


def _check_published(name, published):
    check_mapping(name, published, "figures by name")
    for figures in published.values():
        check_mapping(f"{name}: each", figures, "percent by number of labels")
        check_finite(name, check_array(name, [*figures, *figures.values()]))
    return published


Summary = Annotated[pd.DataFrame, _check_summary]
Published = Annotated[Mapping[str, Mapping[int, float]], _check_published]


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
        summary: table of `summarise_study`, of one data set, network and pretraining. Arms without
            the pretext task get dashed lines, if a column `pretext` says which they are.
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
    ax.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
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


def _draw_arms(summary, ax):
    """A line for each arm and pretext task, the one that ends highest first."""
    lines = summary.assign(line=_lines_of(summary)).sort_values("num_labels")
    last = lines.groupby("line")["mean"].last()
    colours = plt.get_cmap("tab10" if len(last) <= 10 else "tab20")
    for number, arm in enumerate(last.sort_values(ascending=False).index):
        runs = lines[lines["line"] == arm]
        style = {"color": colours(number % 20), "marker": "os^Dv"[number % 5], "markersize": 4}
        without = "pretext" in runs and (runs["pretext"] == NONE).all()
        style["linestyle"] = "--" if without else "-"
        ax.errorbar(
            runs["num_labels"],
            runs["mean"],
            runs["ci95"],
            label=shown_text(arm),
            capsize=2,
            **style,
        )


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
            arrowprops={"arrowstyle": "-", "color": line[0].get_color(), "relpos": (0, 0.5)},
        )
        said.set(va="center", fontsize=9)


def _lines_of(summary):
    """What the line of each row is called: its arm and, where there are several, its pretext."""
    tasks = {*summary.get("pretext", ())} - {NONE}
    if len(tasks) < 2:
        return summary["arm"]
    given = ", after " + summary["pretext"]
    return summary["arm"] + given.where(summary["pretext"] != NONE, "")


def _draw_published(published, ax):
    for number, (name, points) in enumerate(published.items()):
        style = {"color": "black", "markerfacecolor": "white", "markersize": 7, "zorder": 5}
        style |= {"marker": "x+*sDP"[number % 6], "linestyle": "none"}
        ax.plot(list(points), list(points.values()), label=shown_text(name), **style)
