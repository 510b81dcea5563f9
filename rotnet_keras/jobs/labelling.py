"""Which pictures of a folder to label next: a list, a sheet to look at, and the files apart."""

from __future__ import annotations

import collections
import csv
import pathlib
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd

from rotnet_keras._base.door import public
from rotnet_keras._base.errors import DatasetError, InputError
from rotnet_keras._base.files import check_output, make_folder, printable, read_json, replace_with
from rotnet_keras._base.model_files import load_model
from rotnet_keras._base.moving import check_free, move_file
from rotnet_keras._base.names import cell
from rotnet_keras._base.values import Count, FilePath, Seed
from rotnet_keras.data.decoding import Ground, White
from rotnet_keras.data.folders import existing_folder, gather, gather_classes, say_left
from rotnet_keras.data.pictures import Broken, Fit, read_pictures
from rotnet_keras.deployment.reading import names_within, square_input
from rotnet_keras.few_labels.selection import Method, selection
from rotnet_keras.prediction import load_classifier
from rotnet_keras.viewing.sheet import save_sheet

LIST, SHEET = "to_label.csv", "to_label.png"
MOST_SHOWN, SIDE = 200, 96  # pictures on the sheet, and pixels of their sides


class Network(NamedTuple):
    """A network, the names of its classes if it tells any, and how pictures are read for it.

    Attributes:
        model: that is in the file.
        class_names: one an output, or None of an extractor.
        reading: what `read_pictures` takes.
        temperature: that logits are divided by.
    """

    model: keras.Model
    class_names: list[str] | None
    reading: dict[str, Any]
    temperature: float = 1.0


class Pictures(NamedTuple):
    """Files of pictures, the class of each, -1 for none, and the names of the classes."""

    files: list[pathlib.Path]
    labels: np.ndarray
    class_names: list[str]

    def taken(self, some):
        """Those of them that an array of flags says."""
        kept = [file for file, taken in zip(self.files, some, strict=True) if taken]
        return Pictures(kept, self.labels[some], self.class_names)


@public()
def choose_pictures(
    model: FilePath,
    folder: FilePath,
    number: Count,
    *,
    labelled: FilePath | None = None,
    method: Method = "auto",
    fit: Fit | None = None,
    ground: Ground | None = None,
    white: White | None = None,
    broken: Broken = "raise",
    output: FilePath = "to_label",
    move: FilePath | None = None,
    seed: Seed = 0,
) -> tuple[pd.DataFrame, str]:
    """Write which pictures of a folder to label next; with `move`, move them there.

    Args:
        model: path of an extractor's file, or of a classifier's.
        folder: with pictures, also in folders in it. A folder `unlabelled` in it, and
            one `labelled`, hold what they say.
        number: of pictures to choose.
        labelled: folder of class folders, whose pictures have labels.
        method: as in `select_to_label`.
        fit: as in `read_pictures`; None for what the classifier says, or the usual.
        ground: likewise.
        white: likewise.
        broken: as in `read_pictures`.
        output: folder for the list and the sheet.
        move: folder to move the chosen ones to, or None.
        seed: of everything random.

    Returns:
        `(table, said)`: columns file, rank and why, and in words what they were chosen from.
    """
    folder = existing_folder(folder)
    paths = [make_folder(output) / name for name in (LIST, SHEET)]
    for path in paths:  # said before the work, not after it
        check_output(path)
    network = load_network(model, fit=fit, ground=ground, white=white)
    ours = _written(output, paths, folder)
    pictures = find_pictures(folder, labelled, [*ours, *([move] if move else [])])
    _check_number(number, pictures)
    images, read = read_pictures(pictures.files, broken=broken, **network.reading)
    pictures = pictures.taken(read)
    _check_number(number, pictures)
    how: dict[str, Any] = {"labels": pictures.labels, "method": method, "seed": seed}
    if network.class_names:
        how |= {"classifier": network.model, "temperature": network.temperature}
    chosen = selection(network.model, images, number=number, **how)
    files = [pictures.files[place] for place in chosen.places]
    table = _table(files, folder, reasons(chosen, network.class_names or pictures.class_names))
    targets = [pathlib.Path(move) / file.relative_to(folder) for file in files] if move else []
    check_free(targets)
    write_list(table, paths[0])
    _write_sheet(files, table, network.reading, paths[1])
    for file, target in zip(files, targets, strict=False):
        move_file(file, target)
    drawn = chosen.method == "random"
    return table, _in_words(pictures, method if drawn else chosen.method)


def _check_number(number, pictures):
    free = np.count_nonzero(pictures.labels < 0)
    if number > free:
        raise InputError(
            f"number must be at most {free:,}, the pictures to choose from, got {number:,}"
        )


def _table(files, folder, why):
    names = names_within(folder, files)
    return pd.DataFrame({"file": names, "rank": np.arange(len(files)) + 1, "why": why})


def load_network(path, *, fit=None, ground=None, white=None):
    """Load an extractor, or a classifier with what lies beside it."""
    path, facts = pathlib.Path(path), {}
    if _is_classifier(path):
        model, facts = load_classifier(path)
    else:
        model = load_model(path)
    size, channels = square_input(model)
    given = {"fit": fit, "ground": ground, "white": white}
    reading = {name: facts[name] for name in given if name in facts}
    reading |= {name: value for name, value in given.items() if value is not None}
    reading |= {"image_size": size, "channels": channels}
    return Network(model, facts.get("class_names"), reading, facts.get("temperature", 1.0))


def _is_classifier(path):
    """Whether the names of classes lie beside a network's file."""
    try:
        return "class_names" in read_json(path.with_suffix(".json"))
    except (OSError, ValueError, TypeError):
        return False


def find_pictures(folder, labelled, others):
    """The `Pictures` of a folder, but for those in other places, which may lie in it."""
    left: collections.Counter[str] = collections.Counter()
    pool, inside = _parts(folder)
    labelled = inside if labelled is None else pathlib.Path(labelled)
    classes = {} if labelled is None else gather_classes(labelled, left, least=1)
    apart = [
        pathlib.Path(place).resolve() for place in (*others, *([labelled] if labelled else []))
    ]
    files = [f for f in gather(pool, left) if not any(map(f.resolve().is_relative_to, apart))]
    say_left(folder, left)
    if not files:
        raise DatasetError(f"{printable(pool)} must hold pictures without labels, got none")
    labels = np.repeat(np.arange(-1, len(classes)), [len(files), *map(len, classes.values())])
    return Pictures([*files, *(f for some in classes.values() for f in some)], labels, [*classes])


def _written(output, paths, folder):
    """Where no pictures to choose from lie: the output, or, if they lie in it, its own files."""
    around = _parts(folder)[0].resolve().is_relative_to(pathlib.Path(output).resolve())
    return paths if around else [output]


def _parts(folder):
    """Where pictures without labels are, and the folder of those with, or None."""
    named = {place.name.casefold(): place for place in folder.iterdir() if place.is_dir()}
    return named.get("unlabelled", folder), named.get("labelled")


def reasons(chosen, class_names):
    """Why each picture was chosen, in a few words."""
    if chosen.groups is not None:
        return [f"typical of a group of {size:,}" for size in chosen.groups]
    if chosen.chances is not None:
        return [f"unsure: {_likeliest(chances, class_names)}" for chances in chosen.chances]
    return ["drawn at random"] * len(chosen.places)


def _likeliest(chances, class_names):
    two = np.argsort(-chances, kind="stable")[:2]
    return ", ".join(f"{printable(class_names[place])} {chances[place]:.0%}" for place in two)


def write_list(table, path):
    """Write a table as CSV, its texts in quotes, none of which a spreadsheet computes."""
    texts = {
        "file": table["file"].map(lambda name: cell(name, "./")),
        "why": table["why"].map(cell),
    }
    with replace_with(path) as beside:
        table.assign(**texts).to_csv(
            beside, index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n"
        )


def _write_sheet(files, table, reading, path):
    """The contact sheet: whole pictures, rank and name, and why."""
    shown = reading | {"image_size": SIDE, "fit": "pad"}
    images, _ = read_pictures(files[:MOST_SHOWN], **shown)
    apart = "\N{NO-BREAK SPACE}"  # a line breaks within a long name, not before it
    texts = [(f"{row.rank}{apart}{row.file}", row.why) for row in table[:MOST_SHOWN].itertuples()]
    title = f"{len(files):,} pictures to label"
    save_sheet(
        images,
        texts,
        path,
        title + (f", the first {MOST_SHOWN}" if len(files) > MOST_SHOWN else ""),
    )


def _in_words(pictures, method):
    known = np.count_nonzero(pictures.labels >= 0)
    found = f"{len(pictures.files) - known:,} pictures without labels"
    if known:
        found += f" and {known:,} with, of {len(pictures.class_names)} classes"
    ways = {
        "typical": "typical ones are chosen, of groups that differ",
        "unsure": "those are chosen that a classifier is unsure of and that differ",
        "random": "they are drawn at random",
        "auto": "they are drawn at random, since with such labels no choice was found to be better",
    }
    return f"{found}: {ways[method]}"
