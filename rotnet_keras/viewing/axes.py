"""Axes that plots draw into, and pictures that are written to files."""

from __future__ import annotations

import contextlib
import math
import pathlib
import textwrap

import keras
import matplotlib.axes
import matplotlib.pyplot as plt
import numpy as np

from rotnet_keras._base.arrays import check_images
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.files import printable, replace_text, replace_with
from rotnet_keras._base.values import check_path, got


def draw_model(model, path, *, title=None):
    """Write a diagram of a model's layers, or a text summary where Graphviz is not installed.

    Args:
        model: `keras.Model`.
        path: file to write; its ending becomes `.png` or `.txt`, whichever was written.
        title: line above the diagram; None takes the model's name.

    Returns:
        `pathlib.Path` of the file written.

    Raises:
        ValueError: `model` is no `keras.Model`, `path` none of a file, or `title` no text.
        OSError: the file cannot be written.

    Example:
        >>> written = draw_model(two_conv_extractor((28, 28, 1)), "model.png")  # doctest: +SKIP
    """
    if not isinstance(model, keras.Model):
        raise InputError(f"model must be a keras.Model, got {got(model)}")
    check_path("path", path)
    if title is not None and not isinstance(title, str):
        raise InputError(f"title must be a text, or None, got {got(title)}")
    path, title = pathlib.Path(path), title or model.name
    if not path.name:
        raise InputError(f"path must be that of a file, got {str(path)!r}")
    diagram, text = (path.with_suffix(ending) for ending in (".png", ".txt"))
    try:
        dot = keras.utils.model_to_dot(model, show_shapes=True, show_layer_names=True, dpi=80)
        dot.set("label", title)
        dot.set("labelloc", "t")
        with replace_with(diagram) as beside:
            dot.write(str(beside), format="png")
        written, other = diagram, text
    except (ImportError, OSError, AssertionError):  # no pydot, no Graphviz, or one that fails
        lines = [title, ""]
        model.summary(line_length=80, print_fn=lines.append)
        replace_text(text, "\n".join(lines) + "\n")
        written, other = text, diagram
    other.unlink(missing_ok=True)  # of an earlier run
    return written


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
    """The axes given, or those of a new figure; called when nothing is left to be refused."""
    if ax is None:
        return plt.subplots(figsize=figsize, layout="constrained")[1]
    if not is_axes(ax):
        raise InputError(f"ax must be axes of matplotlib, or None, got {got(ax)}")
    return ax


def grid_of_axes(axes, shape, figsize, **options):
    """The array of axes given, or those of a new figure; called when nothing is left to refuse."""
    if axes is None:
        options = {"figsize": figsize, "squeeze": False, "layout": "constrained"} | options
        return plt.subplots(*shape, **options)[1]
    _check_axes(axes, shape)
    return np.asarray(axes, object)


def row_of_axes(axes, count, figsize, *, columns=None):
    """The same for axes in one row, which a new figure may break into several."""
    if axes is not None:
        return grid_of_axes(axes, (count,), figsize)
    columns = columns or count
    grid = grid_of_axes(None, (math.ceil(count / columns), columns), figsize).ravel()
    for ax in grid[count:]:
        ax.remove()
    return grid[:count]


def _check_axes(axes, shape):
    try:
        array = np.asarray(axes, object)
    except ValueError:  # ragged
        array = np.empty(0, object)
    if array.shape != shape or not all(map(is_axes, array.flat)):
        wanted = f"{shape[0]} axes" if len(shape) == 1 else f"{shape} axes"
        raise InputError(f"axes must be an array of {wanted}, got {got(axes)}")


def is_axes(ax):
    return isinstance(ax, matplotlib.axes.Axes)


def shown_text(name):
    """A name as matplotlib shows it letter by letter: no formula between `$`, none left out.

    Legends leave out what begins with "_"; a space of no width in front keeps it.
    """
    name = printable(name).replace("$", r"\$")
    return f"\N{ZERO WIDTH SPACE}{name}" if name.startswith("_") else name


def wrapped_lines(name, width=14):
    """A name as `shown_text` shows it, in several lines where it is long."""
    return "\n".join(map(shown_text, textwrap.wrap(printable(name), width)))


def as_pictures(images):
    """Images as matplotlib takes them for 0..255: uint8, floats would be for 0..1."""
    images = check_images(images)
    if images.shape[-1] not in (1, 3):
        raise InputError(f"images must have 1 or 3 channels, got {images.shape}")
    return images.astype("uint8")


def show_image(image, ax, *, framed=False):
    """Draw an image without ticks, and without a frame unless it is asked for."""
    grey = {"cmap": "gray", "vmin": 0, "vmax": 255} if image.shape[-1] == 1 else {}
    shown = ax.imshow(image.squeeze(-1) if grey else image, **grey)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(visible=framed, linewidth=2, edgecolor="tab:blue")
    return shown
