"""Right and wrong answers of a run's classifier, as a picture."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import softmax

from rotnet_keras._base.files import printable
from rotnet_keras.viewing.axes import show_image, shown_text

COLUMNS, MOST_OF_A_KIND = 4, 8
LONGEST = 22  # letters of a line at a picture


def draw_answers(logits, images, labels, class_names, names):
    """Draw some images that were predicted wrong, and some predicted right, drawn at random.

    Args:
        logits: `(N, K)`, so that their softmax may be believed.
        images: `(N, S, S, C)`.
        labels: `(N,)`.
        class_names: K texts.
        names: N texts, of files for example.
    """
    chances = softmax(logits.astype("float64"), axis=1)
    said = chances.argmax(axis=1)
    kinds = {"wrong": np.flatnonzero(said != labels), "right": np.flatnonzero(said == labels)}
    kinds = {kind: places for kind, places in kinds.items() if len(places)}
    rng, most = np.random.default_rng(0), MOST_OF_A_KIND
    drawn = [rng.permutation(places)[:most] for places in kinds.values()]
    for part, kind, places in zip(_parts(drawn), kinds, drawn, strict=True):
        part.suptitle(_head(kind, places, kinds[kind], len(labels)), size=11)
        shape = math.ceil(len(places) / COLUMNS), COLUMNS
        axes = part.subplots(*shape, squeeze=False).ravel()
        for ax in axes:
            ax.set_axis_off()
        for ax, i in zip(axes, places, strict=False):
            answer = class_names[said[i]], chances[i].max()
            lines = f"is {_shortened(class_names[labels[i]], 3)}\n{_answer(*answer)}"
            ax.set_axis_on()
            show_image(images[i], ax)
            ax.set_title(_shortened(names[i], end=True), size=9)
            ax.set_xlabel(lines, size=9, color="tab:red" if kind == "wrong" else "black")


def _parts(drawn):
    """A part of a new figure for each kind of answers, one below the other."""
    rows = [math.ceil(len(places) / COLUMNS) for places in drawn]
    size = 1.65 * COLUMNS, 0.6 + sum(2.2 * count + 0.35 for count in rows)
    figure = plt.figure(figsize=size, layout="constrained")
    return figure.subfigures(len(drawn), 1, height_ratios=rows, squeeze=False)[:, 0]


def _head(kind, places, there, total):
    some = "" if len(places) == len(there) else f"; {len(places)} of them, drawn at random"
    return f"predicted {kind}: {len(there):,} of {total:,}{some}"


def _answer(name, chance):
    percent = "> 99%" if 0.995 <= chance < 1 else f"{100 * chance:.0f}%"
    return f"said {_shortened(name, 11)}, {percent}"


def _shortened(text, taken=0, *, end=False):
    """A text as it fits beside a picture; of a file's name, the end tells most."""
    text, room = printable(text), LONGEST - taken
    if len(text) > room:
        text = f"…{text[1 - room :]}" if end else f"{text[: room - 1]}…"
    return shown_text(text)
