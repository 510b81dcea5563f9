"""A contact sheet: many pictures with a few words beneath each, in one file to look at."""

from __future__ import annotations

import math
import textwrap

import numpy as np

from rotnet_keras._base.files import printable
from rotnet_keras.viewing.axes import axes_or_new, picture, shown_text

COLUMNS = 8
WIDTH = 25  # letters in a line of words; each text has room for two lines
GAP, BENEATH = 0.2, 0.5  # of a picture's side


def save_sheet(images, captions, path, title):
    """Write a contact sheet as PNG.

    Args:
        images: `(N, S, S, C)` with 1 or 3 channels, pixels 0..255.
        captions: two texts for each of them; a long one is shortened in its middle.
        path: file to write.
        title: above them all.
    """
    columns = min(COLUMNS, len(images))
    rows = math.ceil(len(images) / columns)
    with picture(path, title):
        draw_sheet(images, captions, axes_or_new(None, (1.6 * columns, 2.25 * rows)))


def draw_sheet(images, captions, ax):
    """Draw a contact sheet on axes; arguments as of `save_sheet`."""
    columns = min(COLUMNS, len(images))
    rows = math.ceil(len(images) / columns)
    right, down = 1 + GAP, 1 + GAP + BENEATH
    style = {"cmap": "gray", "vmin": 0, "vmax": 255, "interpolation": "nearest"}
    for number, (image, texts) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(number, columns)
        left, top = column * right, row * down
        shown = np.asarray(image, "uint8")
        shown = shown[..., 0] if shown.shape[-1] == 1 else shown
        ax.imshow(shown, extent=(left, left + 1, top + 1, top), **style)
        words = "\n".join(map(_fitted, texts))
        ax.text(left, top + 1.04, words, size=6.5, va="top", linespacing=1.15)
    ax.set(xlim=(-GAP, columns * right), ylim=(rows * down, -GAP))
    ax.set_axis_off()
    return ax


def _fitted(text):
    """A text in at most two lines, without its middle where it is longer."""
    text = printable(text)
    if len(text) > 2 * WIDTH:
        text = f"{text[: WIDTH - 1]}…{text[-WIDTH:]}"
    return "\n".join(map(shown_text, textwrap.wrap(text, WIDTH)))
