"""A network as a picture: what an image becomes on its way through, and the heads at its end."""

from __future__ import annotations

import math
import os
import pathlib
from collections.abc import Mapping
from typing import Annotated, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.networks import AnyKerasModel
from rotnet_keras._base.values import Text, check_count, check_mapping, check_path
from rotnet_keras.viewing.axes import Axes, axes_or_new, picture, shown_text

MOST_STEPS = 14  # in one picture; of a deeper network those between are left out
GAP, WIDEST = 1.3, 1.0  # between boxes' middles, and of a box
ARROW = {"arrowstyle": "->", "color": "0.4", "shrinkA": 0, "shrinkB": 0}


class _Step(NamedTuple):
    """What the image is after a layer that changes its shape."""

    name: str
    shape: tuple


def _check_heads(name, heads):
    """Return heads of one output or more, or raise."""
    check_mapping(name, heads, "numbers of outputs by name")
    return {head: check_count(f"{name}: each", outputs) for head, outputs in heads.items()}


def _check_file(name, path):
    check_path(name, path)
    if pathlib.Path(path).name in ("", ".."):
        raise InputError(f"{name} must name a file, got {str(path)!r}")
    return path


def _gives_one_output(model):
    outputs = getattr(model, "outputs", None) or [None]
    if len(outputs) > 1:
        raise InputError(
            f"model must have one output, got {model.name} with {len(outputs)}; heads draws several"
        )


# What a signature says beside an argument.
Heads = Annotated[Mapping[str, int], _check_heads]
NewFile = Annotated[str | os.PathLike[str], _check_file]


@public(_gives_one_output)
def plot_network(
    model: AnyKerasModel, *, heads: Heads | None = None, ax: Axes | None = None
) -> Axes:
    """Draw what a network makes of an image, from left to right: a box for each change of shape.

    A box is as tall as the maps are, on a scale of square roots, and the wider the more channels
    they have; vectors are narrow. Of more than 14 changes, some between are left out, and it is
    said how many.

    Args:
        model: `keras.Model` with one image as its input, and one output.
        heads: `{name: outputs}` of heads that are put on it, drawn one below the other at its end.
        ax: axes to draw on; None makes a figure.

    Returns:
        The axes.

    Raises:
        InputError: `model` is not a `keras.Model` or has several outputs, a head has no outputs, or
            `ax` is not axes of matplotlib.

    Example:
        >>> heads = {"rotations": 4, "classes": 10}
        >>> ax = plot_network(two_conv_extractor((28, 28, 1)), heads=heads)
        >>> [text.get_text() for text in ax.texts if "×" in text.get_text()]
        ['28×28×1', '26×26×16', '13×13×16', '11×11×32', '5×5×32']
    """
    steps, heads = _fewer(_steps_of(model)), heads or {}
    ax = axes_or_new(ax, figsize=(1.15 * (len(steps) + 0.75 * bool(heads)) + 0.6, 3))
    scale = max(_size(step.shape)[1] for step in steps)
    for place, step in enumerate(steps):
        _draw_step(step, GAP * place, scale, ax)
        if place:
            _draw_arrow((GAP * (place - 1) + 0.55, 0), (GAP * place - 0.55, 0), ax)
    for place, (name, outputs) in zip(_spread(len(heads)), heads.items(), strict=True):
        end = GAP * len(steps) - 0.3, place
        _draw_arrow((GAP * (len(steps) - 1) + 0.3, 0), end, ax)
        ax.text(
            end[0] + 0.06, place, f"head of {outputs}:\n{shown_text(name)}", va="center", size=9
        )
    ax.set(xlim=(-0.7, GAP * (len(steps) + 0.75 * bool(heads)) - 0.5), ylim=(-0.95, 0.95))
    ax.set_axis_off()
    return ax


@public(_gives_one_output)
def draw_model(model: AnyKerasModel, path: NewFile, *, title: Text | None = None) -> pathlib.Path:
    """Write the picture of `plot_network`.

    Args:
        model: `keras.Model`.
        path: file to write; its ending becomes `.png`.
        title: line above the picture; None takes the model's name.

    Returns:
        `pathlib.Path` of the file written.

    Raises:
        InputError: `model` is none that `plot_network` takes, `path` does not name a file, or
            `title` is not a text.
        FileError: the file cannot be written.

    Example:
        >>> written = draw_model(two_conv_extractor((28, 28, 1)), "model.png")  # doctest: +SKIP
    """
    path = pathlib.Path(path).with_suffix(".png")
    with picture(path, title or model.name):
        plot_network(model)
    return path


def _steps_of(model):
    """The changes of shape on the way, each with the name of the layer that makes it."""
    steps: list[_Step] = []
    for layer in model.layers:
        shape = getattr(getattr(layer, "output", None), "shape", None)  # of one output alone
        if shape is not None and (not steps or steps[-1].shape != tuple(shape[1:])):
            steps.append(_Step(layer.name, tuple(shape[1:])))
    if not steps:
        raise InputError(f"model must be built, so that its layers have shapes, got {model.name}")
    return steps


def _fewer(steps):
    """At most so many of them, as many from the start as from the end."""
    if len(steps) <= MOST_STEPS:
        return steps
    half = MOST_STEPS // 2
    return [*steps[:half], _Step(f"{len(steps) - 2 * half} more", ()), *steps[-half:]]


def _size(shape):
    """Width and height of a box, in pixels' roots and channels' logarithms."""
    height = math.sqrt(shape[0] or 1) if len(shape) > 1 else 2.0
    channels = (shape[-1] or 1) if len(shape) > 1 else 1
    return 1 + math.log2(channels), height


def _draw_step(step, middle, scale, ax):
    """A box, the shape beneath it, and the layer's name above."""
    if step.shape:
        width, height = _size(step.shape)
        width, height = min(WIDEST, 0.09 * width), 1.2 * height / scale
        style = {"facecolor": plt.get_cmap("Blues")(0.35), "edgecolor": "0.25", "linewidth": 0.8}
        ax.add_patch(Rectangle((middle - width / 2, -height / 2), width, height, **style))
    text = "×".join("?" if side is None else str(side) for side in step.shape)
    ax.text(middle, -0.68, text, ha="center", va="top", size=9)
    ax.text(middle, 0.68, shown_text(step.name), ha="center", va="bottom", size=8, color="0.35")


def _draw_arrow(start, end, ax):
    ax.annotate("", end, start, arrowprops=ARROW)


def _spread(count):
    """Heights of so many heads, from top to bottom."""
    return [0.0] if count == 1 else np.linspace(0.45, -0.45, count).tolist()
