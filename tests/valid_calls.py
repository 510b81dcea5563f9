"""How every public function is called with the least that it takes, and how it refuses.

`VALUES` says what an argument of a name is given, `EXCEPTIONS` what a function is given otherwise.
An argument in neither keeps its default.
"""

import inspect
import json
import pathlib
import re
import tempfile
import zipfile

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import KNeighborsClassifier

import rotnet_keras
from rotnet_keras import DatasetError, InputError, attach_head, conv_blocks_extractor

# These hold what they are given and look at nothing.
CONTAINERS = {"Examples", "Familiar", "Splits"} | {
    n for n in rotnet_keras.__all__ if n.endswith("Error")
}
CALLED = {n for n in rotnet_keras.__all__ if callable(getattr(rotnet_keras, n))}
# A name of version 0.1 that became another is the same function.
RENAMED = {n for n in CALLED if getattr(rotnet_keras, n).__name__ != n}
PUBLIC = sorted(CALLED - CONTAINERS - RENAMED)
WHOLE_DATA_SETS = {"load_splits", "stream_images", "run_study", "run_experiment"}

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 12, 12, 1), "uint8")
LABELS = np.arange(6) % 2
FEATURES = np.random.default_rng(0).normal(size=(6, 3))
EXTRACTOR = conv_blocks_extractor((12, 12, 1), (2, 4))
CLASSIFIER = attach_head(EXTRACTOR, 2)
TABLE = pd.DataFrame(
    {
        "arm": ["a", "b"],
        "network": "n",
        "num_labels": 10,
        "seed": 0,
        "pretrain_epochs": 1,
        "rotations": "0 90",
        "pretext": [False, True],
        "validation_accuracy": 0.5,
        "test_accuracy": [0.5, 0.75],
    }
)
SUMMARY = pd.DataFrame({"arm": ["a", "a"], "num_labels": [10, 100], "mean": [50, 60], "ci95": 2})
MISTAKEN = pd.DataFrame({"image": [5, 0], "turned_by": [0, 90], "taken_for": [180, 270]})
MISTAKEN = MISTAKEN.assign(true_probability=0.25, taken_probability=0.75)
GAIN = rotnet_keras.measure_gain(EXTRACTOR, IMAGES, LABELS, repeats=2)
FAMILIAR = rotnet_keras.familiar_from(CLASSIFIER, IMAGES, IMAGES)
SPREAD = np.ones((6, 3, 2))
FILTERS = np.ones((3, 3, 1, 2))
SHARED_OUT = np.full((6, 2, 2), 0.5)
RUN = {
    "rotation_accuracy": 0.5,
    "arms": {arm: {"short": 0.5, "long": 0.5} for arm in ("scratch", "frozen", "fine_tuned")},
}
REPORTED = {"asked": {"dataset": "mnist"}, "dataset": "mnist", "image_shape": [28, 28, 1]}
REPORTED |= dict.fromkeys(["num_unlabelled", "num_labels", "num_validation", "parameters"], 100)
REPORTED |= {"seed": 0, "feature_dim": 16, "stand_in": False, "quick": True, "backbone": "two_conv"}

# Pictures in a folder for each class, zipped, a classifier's file, a page and a run's results.
GIVEN = pathlib.Path(tempfile.mkdtemp())
for number, name in enumerate(["Bag", "Coat"]):
    (GIVEN / "pictures" / name).mkdir(parents=True)
    file = GIVEN / "pictures" / name / "one.png"
    keras.utils.save_img(file, np.full((12, 12, 3), 90 * number), scale=False)
with zipfile.ZipFile(GIVEN / "pictures.zip", "w") as archive:
    archive.write(file, "one.png")
rotnet_keras.save_classifier(CLASSIFIER, GIVEN / "net.keras", ["Bag", "Coat"])
(GIVEN / "page.html").write_text("<!DOCTYPE html>")
(GIVEN / "run").mkdir()
(GIVEN / "run" / "results.json").write_text(json.dumps(RUN | REPORTED))

OUTPUT = "a folder that is not there"  # in the folder of the test
ONE = ("epochs", "pretrain_epochs", "updates", "patience", "unlabelled_ratio", "block")
TWO = ("num_classes", "grid", "dimensions", "count")
A_TENTH = ("strength", "temperature", "shift")
VALUES = {
    **dict.fromkeys(ONE, 1),
    **dict.fromkeys(TWO, 2),
    **dict.fromkeys(("feature_dim", "num_images", "num_blocks"), 3),
    **dict.fromkeys(("batch_size", "shuffle_buffer"), 4),
    **dict.fromkeys(("most", "width"), 6),
    **dict.fromkeys(("num_labels", "num_validation"), 20),
    **dict.fromkeys(A_TENTH, 0.1),
    "projection": 3,
    "rotation_weight": 1.0,
    "least": 0.5,
    **dict.fromkeys(("seed", "verbose", "guess_below"), 0),
    "images": IMAGES,
    "unlabelled": IMAGES,
    "labels": LABELS,
    "predictions": LABELS,
    "predicted": LABELS,
    "heads": {"rotations": 4},
    "test": (IMAGES, LABELS),
    "validation_data": (IMAGES, LABELS),
    "class_names": ["Bag", "Coat"],
    "features": FEATURES,
    "features_by_name": {"a": FEATURES[:, :2]},
    "points": FEATURES[:, :2],
    "logits": FEATURES[:, :2],
    "rotation_accuracies": LABELS / 2,
    "extractor": EXTRACTOR,
    "model": CLASSIFIER,
    "networks": {"a": EXTRACTOR},
    "estimator": KNeighborsClassifier(1).fit(np.eye(4), [0, 1, 0, 1]),
    "backbone": "two_conv",
    "network": "two_conv",
    "image_shape": (12, 12, 1),
    "widths": (2, 4),
    "blocks": [1],
    "powers": [1, 2],
    "rotations": (0, 1),
    "learning_rate": 1e-3,
    "pretext": "rotation",
    "threshold": 0.5,
    "fill_mode": "nearest",
    "all_rotations": False,
    "cache": False,
    "values": [0.5, 0.75],
    "accuracies": {"a": {"x": 0.5}},
    "published": {"other": {100: 55.0}},
    "histories": {"a": {"accuracy": [0.5]}},
    "matrix": np.eye(2, dtype=int),
    "counts": np.ones((2, 2, 2), int),
    "probabilities": SHARED_OUT,
    "mistakes": MISTAKEN,
    "filters_by_name": {"a": FILTERS},
    "summary": SUMMARY,
    "table": TABLE,
    "baseline": "a",
    "results": [RUN],
    "queries": [5, 0],
    "arms": ["raw pixels"],
    "budgets": [20],
    "dataset": "garments",
    "source": "garments",
    "quick": True,
    "files": [GIVEN / "pictures" / "Bag" / "one.png"],
    "folder": GIVEN / "pictures",
    "output": OUTPUT,
    "tensorboard": f"{OUTPUT}, either",
    "command": "python",
    "height": 500,
    "gain": GAIN,
    "held_out": IMAGES,
    "familiar": FAMILIAR,
}
NAMED = {"names": [*"abcdef"], "parts": ["test"] * 6, "speaker": "it", "opens_on": "a"}
EXCEPTIONS = {
    "align_maps": {"maps": [np.eye(2), -np.eye(2)]},
    "attention_maps": {"blocks": [1, 2]},
    "backbone_extractor": {"backbone": EXTRACTOR},
    "cast_model": {"model": EXTRACTOR, "precision": "mixed_bfloat16"},
    "copy_model": {"model": EXTRACTOR},
    "cut_at_block": {"share_weights": True},
    "draw_model": {"model": EXTRACTOR, "path": OUTPUT},
    "load_classifier": {"path": GIVEN / "net.keras"},
    "load_extractor": {"name": "two_conv_fashion_mnist"},
    "load_splits": {"name": "garments"},
    "make_splits": {"name": "mine", "num_labels": 2, "num_validation": 2},
    "measure_gain": {"repeats": 2, "given": EXTRACTOR},
    "plot_attention_maps": {"maps": {"a": SPREAD}},
    "plot_neighbours": {"neighbours": [[0, 1], [2, 3]]},
    "plot_rotations": {"images": IMAGES[:2]},
    "read_pictures": {"image_size": 12, "channels": 1},
    "rotation_dataset": {"all_rotations": True},
    "rotation_mistakes": {"count": 3},
    "run_study": {"seeds": [0]},
    "save_classifier": {"path": f"{OUTPUT}.keras"},
    "save_features": {
        "path": f"{OUTPUT}.npz",
        "table": pd.DataFrame({"file": ["one.png"], "f0": [0.5]}),
    },
    "save_explorer": {"path": f"{OUTPUT}.html", "title": "a", **NAMED},
    "save_projector": {"folder": OUTPUT},
    "save_report": {"folder": GIVEN / "run"},
    "select_to_label": {"number": 4, "labels": np.array([0, 1, -1, -1, -1, -1])},
    "show_html": {"path": GIVEN / "page.html"},
    "split_indices": {"labels": np.arange(60) % 2, "num_labels": 10, "num_validation": 10},
    "spread_labels": {"labels": np.array([0, 1, -1, -1, -1, -1]), "neighbours": 2},
    "swap_head": {"num_classes": 3},
    "umap_points": {"n_neighbors": 3, "min_dist": 0.1},  # handed on
    "unpack_zip": {"path": GIVEN / "pictures.zip", "folder": OUTPUT},
    "with_random_weights": {"model": EXTRACTOR},
}


def arguments_of(function):
    """A valid value of each of a public function's arguments."""
    parameters = inspect.signature(getattr(rotnet_keras, function)).parameters.values()
    named = {p.name: p.default for p in parameters if p.kind is not p.VAR_KEYWORD}
    by_name = {name: VALUES.get(name, default) for name, default in named.items()}
    return by_name | EXCEPTIONS.get(function, {})


def call(function, folder, /, **changed):
    """Call a public function with valid values, but for the arguments that are named."""
    arguments = arguments_of(function) | changed
    for name, value in arguments.items():
        if isinstance(value, str) and value.startswith(OUTPUT):
            arguments[name] = folder / value
    return getattr(rotnet_keras, function)(**arguments)


def check_refusal(function, argument, bad, folder):
    """An error of ours, which names the argument; nothing is written and no figure left open."""
    with pytest.raises(InputError) as refusal:
        call(function, folder, **{argument: bad})
    assert refusal.type in (InputError, DatasetError)
    assert re.search(rf"\b{argument}\b.* got ", str(refusal.value), re.DOTALL), refusal.value
    assert len(str(refusal.value)) < 1000
    assert not list(folder.iterdir())
    assert not plt.get_fignums()
