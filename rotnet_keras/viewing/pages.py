"""Pages of HTML in a notebook, and images as a grid."""

from __future__ import annotations

import dataclasses
import html
import math
import os
import pathlib
from typing import Annotated

import numpy as np
from PIL import Image

from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.values import Count, check_path


def image_grid(images, side, *, resample=Image.Resampling.BICUBIC):
    """All images `(N, S, S, 1 or 3)` in one square PIL picture, row by row, each `side` wide."""
    columns = math.ceil(math.sqrt(len(images)))
    grey = images.shape[-1] == 1
    grid = Image.new("L" if grey else "RGB", (columns * side, columns * side))
    for place, image in enumerate(images):  # one by one: copies of all would take much memory
        pixels = np.clip(np.rint(image), 0, 255).astype("uint8")
        picture = Image.fromarray(pixels[..., 0] if grey else pixels)
        if picture.size != (side, side):
            picture = picture.resize((side, side), resample)
        grid.paste(picture, (place % columns * side, place // columns * side))
    return grid


def check_html(name, path):
    """Return the path of a page, or raise unless its name ends in `.html`."""
    check_path(name, path)
    if pathlib.Path(path).suffix != ".html":
        raise InputError(f"{name} must end in .html, got {str(path)!r}")
    return path


HtmlPath = Annotated[str | os.PathLike[str], check_html]


@dataclasses.dataclass(frozen=True, repr=False)
class Page:
    """A page in a file, which a notebook shows where it is the last value of a cell."""

    path: pathlib.Path
    height: int

    def __repr__(self):
        return f"<{self.path.name}, shown in notebooks>"  # no folder of the machine in outputs

    def _repr_html_(self):
        text = html.escape(self.path.read_text(encoding="utf-8"))
        style = f"width: 100%; height: {self.height}px; border: 0"
        name = html.escape(self.path.name)
        return f'<iframe srcdoc="{text}" style="{style}" title="{name}"></iframe>'


@public()
def show_html(path: HtmlPath, *, height: Count = 760) -> Page:
    """Show a page, as `save_explorer` and `save_report` write them, inside a notebook's cell.

    Args:
        path: of the `.html` file. The notebook holds a copy of it.
        height: in pixels.

    Returns:
        An object that notebooks show as the page.

    Raises:
        InputError: there is no such file, or `height` is below 1.

    Example:
        >>> show_html(save_explorer("explorer.html", points, *test))  # doctest: +SKIP
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(f"path must be an .html file that exists, got {str(path)!r}")
    return Page(path, int(height))


show_page = show_html  # its name in version 0.1
