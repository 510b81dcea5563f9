"""What the colours of an explorer can mean, and the legend of each."""

from __future__ import annotations

import numpy as np
from bokeh.palettes import cividis

from rotnet_keras._base.files import printable

# The scheme "muted" of Paul Tol's technical note SRON/EPS/TN/09-002 and a grey: colours that
# people tell apart whatever kind of colour blindness they have.
COLOURS = (
    *("#332288", "#DDCC77", "#117733", "#CC6677", "#88CCEE"),
    *("#AA4499", "#44AA99", "#882255", "#999933", "#777777"),
)
SHAPES = ("circle", "square", "triangle", "diamond", "inverted_triangle", "hex", "star")
RIGHT, WRONG = ("#9DB4C8", "circle"), ("#B32D00", "triangle")
NO_LABEL = "#C8C8C8", "circle"
MOST_LEVELS = 11


def colourings_of(labels, class_names, chances, rotation_accuracies, parts):
    """What colours can mean: by name, the place of each image in a legend, and its entries."""
    names = [printable(name) for name in class_names]
    colourings = {"class": classes(labels, names)}
    if chances is not None:
        predicted = chances.argmax(axis=1)
        colourings["predicted class"] = classes(predicted, names)
        right_or_wrong = [_entry("right", *RIGHT), _entry("wrong", *WRONG)]
        places = np.where(labels < 0, -1, labels != predicted)
        colourings["error"] = _with_unknown(places, right_or_wrong)
    if rotation_accuracies is not None:
        colourings["rotation accuracy"] = levels(rotation_accuracies)
    if parts is not None:
        kinds = list(dict.fromkeys(map(printable, parts)))
        places = [kinds.index(printable(part)) for part in parts]
        colourings["part of the data"] = classes(np.array(places), kinds)
    return colourings


def classes(labels, names):
    """The place of each image among the entries of a legend, and these: one a class."""
    entries = [
        _entry(name, COLOURS[i % len(COLOURS)], SHAPES[i % len(SHAPES)])
        for i, name in enumerate(names)
    ]
    return _with_unknown(labels, entries)


def _with_unknown(places, entries):
    """Places in a legend, which has one more entry at its end where some are -1."""
    if places.min() >= 0:
        return places, entries
    unknown = _entry("no label", *NO_LABEL) | {"unknown": True}
    return np.where(places < 0, len(entries), places), [*entries, unknown]


def levels(accuracies):
    """An entry for each share that occurs, from dark to light; many shares in tenths."""
    accuracies = accuracies.round(2)  # as they are shown
    if len(np.unique(accuracies)) > MOST_LEVELS:
        accuracies = accuracies.round(1)
    shares, places = np.unique(accuracies, return_inverse=True)
    colours = cividis(len(shares)) if len(shares) > 1 else [COLOURS[0]]
    entries = [
        _entry(f"{100 * share:.0f}% of its rotations", colour, SHAPES[i % len(SHAPES)])
        for i, (share, colour) in enumerate(zip(shares, colours, strict=True))
    ]
    return places, entries


def _entry(name, colour, shape):
    return {"name": name, "colour": colour, "shape": shape}
