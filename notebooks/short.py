"""Notebooks with other values in their settings: what tests run, and tables of many seeds.

The cell tagged `parameters` holds what may be changed, as papermill has it; other values go into a
cell of their own behind it.
"""

import copy
import os

TAG, ADDED = "parameters", "other-values"
PREFIX = ".short."  # of copies, which git ignores
# By the beginning of a notebook's name: settings that take a minute instead of many.
SHORT = {
    "01": {"PRETRAIN_IMAGES": 5000, "PRETRAIN_EPOCHS": 1, "LONG_EPOCHS": 2, "MAP_IMAGES": 500},
    "02": {
        "LIVE_NETWORK": "two_conv",
        "LIVE_LABELS": 100,
        "LIVE_EPOCHS": 1,
        "LIVE_IMAGES": 2000,
        "LIVE_UPDATES": 3,
    },
    "03": {"IMAGES": 1000, "EPOCHS": 1},
    "04": {
        "UNLABELLED": 200,
        "LABELLED": 100,
        "PRETRAIN_EPOCHS": 1,
        "UPDATES": 3,
        "TRAIN_EPOCHS": 2,
    },
    "05": {"PRETRAIN_IMAGES": 2000, "PRETRAIN_EPOCHS": 1, "HEAD_EPOCHS": 1},
    "06": {"NUM_LABELS": 1000, "EPOCHS": 1, "MAP_IMAGES": 100},
    "07": {"LIVE_IMAGES": 1000, "LIVE_EPOCHS": 1, "MAP_IMAGES": 100},
}


def short_values(path):
    """The settings of a quick run; its photographs are those that a variable names, if any."""
    number = path.name[:2]
    archive = os.environ.get("ROTNET_PICTURES") if number == "04" else None
    return SHORT[number] | ({"ARCHIVE": archive} if archive else {})


def with_values(notebook, values):
    """A copy of a notebook, JSON or nbformat's, in which these settings have these values."""
    notebook = copy.deepcopy(notebook)
    cells = notebook["cells"]
    (place,) = (i for i, cell in enumerate(cells) if TAG in cell["metadata"].get("tags", ()))
    settings = "".join(cells[place]["source"])
    if unknown := [name for name in values if f"{name} = " not in settings]:
        raise ValueError(f"values must be of settings in the cell tagged {TAG!r}, got {unknown}")
    source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    added = {"cell_type": "code", "id": ADDED, "metadata": {}, "source": source}
    added |= {"execution_count": None, "outputs": []}
    cells.insert(place + 1, type(cells[place])(added))
    return notebook


def without_values(notebook):
    """The notebook again, its outputs kept and its runs counted without the added cell's."""
    notebook.cells = [cell for cell in notebook.cells if cell.id != ADDED]
    run = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.execution_count]
    for number, cell in enumerate(run, 1):
        cell.execution_count = number
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = number
    return notebook


def write_short(path):
    """Write a notebook's short copy beside it, where it finds its tables, and return its path."""
    import nbformat  # which only some who import this module have

    short = path.with_name(PREFIX + path.name)
    beside = path.with_name(f"{short.name}.{os.getpid()}")  # several processes write the same
    nbformat.write(with_values(nbformat.read(path, as_version=4), short_values(path)), beside)
    os.replace(beside, short)
    return short
