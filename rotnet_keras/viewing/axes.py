"""Axes that plots draw into, and pictures that are written to files."""

from __future__ import annotations

import contextlib
import math
import textwrap
from typing import Annotated

import matplotlib.axes
import matplotlib.pyplot as plt
import numpy as np

from rotnet_keras._base.errors import InputError
from rotnet_keras._base.files import printable, replace_with
from rotnet_keras._base.values import got


def _is_axes(ax):
    return isinstance(ax, matplotlib.axes.Axes)


def check_axes(name, ax):
    """Return axes to draw on, or raise."""
    if not _is_axes(ax):
        raise InputError(f"{name} must be axes of matplotlib, or None, got {got(ax)}")
    return ax


def check_axes_array(name, axes):
    """Return axes as an array, or raise; how many there must be, each plot says."""
    try:
        array = np.asarray(axes, object)
    except ValueError:  # ragged
        array = np.empty(0, object)
    if not array.size or not all(map(_is_axes, array.flat)):
        raise InputError(f"{name} must be an array of matplotlib's axes, or None, got {got(axes)}")
    return array


def check_axes_shape(axes, shape):
    """For relations: raise unless the array of axes, where there is one, has a shape."""
    if axes is not None and axes.shape != shape:
        wanted = f"{shape[0]} axes" if len(shape) == 1 else f"{shape} axes"
        raise InputError(f"axes must be an array of {wanted}, got {got(axes)}")


def named_or_without(labels, class_names):
    """A relation: each label has a name, or is -1, which says that an image has none."""
    if class_names is None:
        if labels.min() < -1:
            raise InputError(f"labels must be -1 for no label, or more, got {labels.min()}")
        return
    if labels.min() < -1 or labels.max() >= len(class_names):
        raise InputError(
            f"labels must lie in 0..{len(class_names) - 1}, one of the class_names each, or be -1 "
            f"for no label, got {labels.min()}..{labels.max()}"
        )


# What a signature says beside an argument.
Axes = Annotated[matplotlib.axes.Axes, check_axes]
AxesArray = Annotated[np.ndarray, check_axes_array]


@contextlib.contextmanager
def picture(path, title):
    """Give the figure that is drawn inside its title, save it and close it."""
    before = plt.get_fignums()
    try:
        yield
        figure = plt.gcf()
        figure.suptitle(title, parse_math=False)  # a folder may have "$" in its name
        with replace_with(path) as beside:
            figure.savefig(beside, dpi=120, bbox_inches="tight")
    finally:
        for number in set(plt.get_fignums()) - set(before):
            plt.close(number)


def axes_or_new(ax, figsize=(6.5, 4.5)):
    """The axes given, or those of a new figure."""
    return plt.subplots(figsize=figsize, layout="constrained")[1] if ax is None else ax


def grid_of_axes(axes, shape, figsize, **options):
    """The array of axes given, or those of a new figure."""
    if axes is not None:
        return axes
    options = {"figsize": figsize, "squeeze": False, "layout": "constrained"} | options
    return plt.subplots(*shape, **options)[1]


def row_of_axes(axes, count, figsize, *, columns=None):
    """`grid_of_axes` for axes in one row, which a new figure may break into several."""
    if axes is not None:
        return axes
    columns = columns or count
    grid = grid_of_axes(None, (math.ceil(count / columns), columns), figsize).ravel()
    for ax in grid[count:]:
        ax.remove()
    return grid[:count]


def shown_text(name):
    """A name as matplotlib shows it letter by letter: no formula between `$`, none left out.

    Legends leave out what begins with "_"; a space of no width in front keeps it.
    """
    name = printable(name).replace("$", r"\$")
    return f"\N{ZERO WIDTH SPACE}{name}" if name.startswith("_") else name


def wrapped_lines(name, width=14):
    """A name as `shown_text` shows it, in several lines where it is long."""
    return "\n".join(map(shown_text, textwrap.wrap(printable(name), width)))


def show_image(image, ax, *, framed=False):
    """Draw an image without ticks, and without a frame unless it is asked for."""
    image = image.astype("uint8")  # matplotlib takes floats for 0..1
    grey = {"cmap": "gray", "vmin": 0, "vmax": 255} if image.shape[-1] == 1 else {}
    shown = ax.imshow(image.squeeze(-1) if grey else image, **grey)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(visible=framed, linewidth=2, edgecolor="tab:blue")
    return shown
