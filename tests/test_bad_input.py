"""Bad input to every public function, argument by argument.

`FUNCTIONS` says how each is called, with the least that it takes, and of what kind each argument
is. A kind holds what such an argument must not be, by the rows of the list: wrong rank, wrong
dtype, NaN, empty, ragged, wrong size, out of range, classes, zero or negative, unknown name, wrong
kind. Every row is a test; hypothesis draws more of the same, 200 cases or more, and 2,000 or more
where the environment variable ROTNET_KERAS_NIGHTLY is 1.

A refusal is an error that a line of this package raises, which names the argument and says what it
got. Nothing is written by then.
"""

import inspect
import json
import os
import pathlib
import re
import tempfile
import traceback
import zipfile

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from sklearn.neighbors import KNeighborsClassifier

import rotnet_keras
from rotnet_keras import DatasetError, InputError, attach_head, conv_blocks_extractor

# These hold what they are given and look at nothing.
CONTAINERS = {"Examples", "Splits"} | {n for n in rotnet_keras.__all__ if n.endswith("Error")}
FUNCTIONS = {n for n in rotnet_keras.__all__ if callable(getattr(rotnet_keras, n))}
# A name of version 0.1 that became another is the same function.
RENAMED = {n for n in FUNCTIONS if getattr(rotnet_keras, n).__name__ != n}
PUBLIC = sorted(FUNCTIONS - CONTAINERS - RENAMED)
NIGHTLY = os.environ.get("ROTNET_KERAS_NIGHTLY") == "1"
CASES = 50 if NIGHTLY else 5  # of each function

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 12, 12, 1), "uint8")
LABELS = np.arange(6) % 2
FEATURES = np.random.default_rng(0).normal(size=(6, 3))
EXTRACTOR = conv_blocks_extractor((12, 12, 1), (2, 4))
CLASSIFIER = attach_head(EXTRACTOR, 2)
MAPS = keras.Model(EXTRACTOR.input, EXTRACTOR.get_layer("block2").output)
TURNS = attach_head(EXTRACTOR, 4)
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
RUN = {
    "rotation_accuracy": 0.5,
    "arms": {arm: {"short": 0.5, "long": 0.5} for arm in ("scratch", "frozen", "fine_tuned")},
}


class Kind:
    """What arguments of one kind must not be: rows of the list, and a strategy for more."""

    def __init__(self, rows, drawn=None, **more):
        self.rows = {row: [*rows.get(row, ()), *more.get(row, ())] for row in {*rows, *more}}
        values = [value for some in self.rows.values() for value in some]
        listed = st.sampled_from(range(len(values))).map(values.__getitem__) if values else None
        self.bad = st.one_of([s for s in (listed, drawn) if s is not None]) if values else None

    def __or__(self, rows):
        both = {row: [*self.rows.get(row, ()), *rows.get(row, ())] for row in {*self.rows, *rows}}
        return Kind(both, self.bad)

    def without(self, *rows):
        return Kind({row: values for row, values in self.rows.items() if row not in rows})


def two_inputs():
    first, second = keras.Input((12, 12, 1)), keras.Input((12, 12, 1))
    both = keras.layers.Concatenate()([first, second])
    return keras.Model([first, second], keras.layers.GlobalAveragePooling2D()(both))


def spoilt(array, value):
    """A copy as floats in which one number is replaced."""
    array = np.array(array, "float64")
    array.flat[array.size // 2] = value
    return array


def raised(image_shape, count=6):
    return np.zeros((count, *image_shape), "uint8")


@st.composite
def spoilt_images(draw):
    """Float images of any kind in which one pixel is not finite."""
    images = IMAGES.astype(draw(st.sampled_from(["float16", "float32", "float64"])))
    images.flat[draw(st.integers(0, images.size - 1))] = draw(st.sampled_from([np.nan, np.inf]))
    return images


NO_ARRAY = {
    "wrong kind": [None, "photos", 3, object(), {}, lambda: IMAGES],
    "ragged": [[[1], [1, 2]], [IMAGES[0], IMAGES[0, :5]]],
}
OF_NO_NUMBERS = {"wrong dtype": [IMAGES.astype(t) for t in (str, complex, object, "datetime64[s]")]}
OF_WRONG_RANK = {"wrong rank": [IMAGES[0], IMAGES[..., 0], IMAGES[None], IMAGES[0, 0, 0, 0]]}
shapes = st.one_of(array_shapes(min_dims=1, max_dims=3), array_shapes(min_dims=5, max_dims=6))
PICTURES = Kind(
    {
        **NO_ARRAY,
        **OF_NO_NUMBERS,
        **OF_WRONG_RANK,
        "NaN": [spoilt(IMAGES, np.nan), spoilt(IMAGES, np.inf), spoilt(IMAGES, -np.inf)],
        "empty": [IMAGES[:0], IMAGES[:, :0, :0], IMAGES[..., :0], []],
    },
    st.one_of(shapes.map(np.zeros), spoilt_images()),
)
OTHER_SIZES = st.tuples(st.integers(1, 14), st.integers(1, 14), st.integers(1, 3))
OTHER_SIZES = OTHER_SIZES.filter(lambda shape: shape != (12, 12, 1)).map(raised)
FITTING = Kind(PICTURES.rows, st.one_of(PICTURES.bad, OTHER_SIZES)) | {
    "wrong size": [raised((12, 12, 3)), raised((8, 8, 1)), raised((12, 11, 1))]
}
OBLONG = {"wrong size": [IMAGES[:, :8], IMAGES[:, :, 1:]]}
PAIRS_STREAM = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))
STREAMS = {
    "wrong kind": [PAIRS_STREAM],
    "wrong rank": [tf.data.Dataset.from_tensor_slices(IMAGES[..., 0])],
    "wrong dtype": [tf.data.Dataset.from_tensor_slices(IMAGES.astype(str))],
    "wrong size": [tf.data.Dataset.from_tensor_slices(IMAGES[:, :8])],
    "empty": [tf.data.Dataset.from_tensor_slices(IMAGES[:0])],
}
SQUARE = PICTURES | OBLONG | STREAMS
SQUARE_ARRAYS = PICTURES | OBLONG
TURNED = FITTING | OBLONG | STREAMS
# Pixels of any dtype are moved, NaN too, and none of them where there is none.
MOVED = (PICTURES.without("NaN", "empty", "wrong dtype") | OBLONG).without("ragged") | {
    "ragged": NO_ARRAY["ragged"]
}


def optional(kind):
    """The same, where None is a value like others."""
    rows = {
        row: [value for value in values if value is not None] for row, values in kind.rows.items()
    }
    return Kind(rows, kind.bad.filter(lambda value: value is not None))


NAMED = Kind(
    {
        "wrong kind": [None, "labels", 3, object(), {}],
        "ragged": [[[0], [1, 0]]],
        "wrong rank": [LABELS[:, None], np.int64(1), LABELS[None]],
        "wrong dtype": [LABELS.astype(t) for t in (float, str, complex, object, bool)],
        "NaN": [spoilt(LABELS, np.nan)],
        "empty": [[], LABELS[:0]],
        "wrong size": [LABELS[:-1], np.append(LABELS, 0)],
    },
    st.lists(st.integers(0, 1), max_size=12).filter(lambda labels: len(labels) != 6),
)
BELOW = {"out of range": [LABELS - 1, LABELS - 10**12]}
out_of_range = st.lists(st.integers(-5, 5), min_size=6, max_size=6)
WITHIN = Kind(NAMED.rows, st.one_of(NAMED.bad, out_of_range.filter(lambda x: {*x} - {0, 1})))
WITHIN = WITHIN | BELOW | {"out of range": [LABELS + 1, LABELS + 10**12]}
EVERY_CLASS = Kind(NAMED.rows, NAMED.bad) | BELOW
EVERY_CLASS = EVERY_CLASS | {
    "classes": [LABELS * 0, LABELS * 0 + 1, LABELS * 2],
    "out of range": [LABELS * 10**12],
}
ANY_TURNS = NAMED.without("empty")
numbers = st.floats(allow_nan=True).filter(lambda x: not 0 <= x <= 1)
COUNT = Kind(
    {
        "zero or negative": [0, -1, -(10**12)],
        "wrong dtype": [1.5, 2.0, np.float64(2), True, 1 + 0j],
        "NaN": [float("nan"), float("inf")],
        "wrong rank": [[2], np.array([2, 3]), np.array([2])],
        "wrong kind": ["3", object(), {}],
    },
    st.one_of(st.integers(max_value=0), st.floats(), st.text(max_size=5), st.binary(max_size=5)),
)
NEEDED_COUNT = COUNT | {"wrong kind": [None]}
SEED = Kind(
    {row: values for row, values in COUNT.rows.items() if row != "zero or negative"},
    st.one_of(st.integers(max_value=-1), st.integers(min_value=2**32), st.floats(), st.text()),
) | {"zero or negative": [-1], "out of range": [2**32, 10**30], "wrong kind": [None]}
POSITIVE = Kind(
    {
        "zero or negative": [0, -1, -0.5],
        "wrong dtype": [True, 1j],
        "NaN": [float("nan"), float("inf")],
        "wrong rank": [[0.1], np.array([0.1, 0.2])],
        "wrong kind": ["0.1", object(), {}, None],
    },
    st.one_of(st.floats(max_value=0, allow_nan=False), st.text(max_size=5)),
)
FRACTION = Kind(POSITIVE.without("zero or negative").rows, st.one_of(numbers, st.text())) | {
    "out of range": [-0.1, 1.1, 10**400]
}
ABOVE_0_FRACTION = FRACTION | {"zero or negative": [0, -1]}
NOT_NEGATIVE = POSITIVE.without("zero or negative") | {"zero or negative": [-1, -0.5]}
NAME = Kind(
    {
        "unknown name": ["nonsense", "", "FLOAT32"],
        "wrong kind": [3, object(), True, ["float32"], np.array(["a", "b"])],
        "NaN": [float("nan")],
    },
    st.text().map(lambda text: f"no {text}"),
)
NEEDED_NAME = NAME | {"wrong kind": [None]}
# What data sets there are, only TensorFlow Datasets knows: no name is looked up here.
DATA_NAME = Kind({"wrong kind": [3, object(), True, ["mnist"]], "NaN": [float("nan")]})
ROTATIONS = Kind(
    {
        "empty": [(), []],
        "wrong size": [(0,), [3]],
        "out of range": [(0, 4), (0, -1), (0, 90), (0, 0), (0, 1, 2, 3, 0)],
        "wrong dtype": [(0, 1.0), (False, True), ("0", "1")],
        "NaN": [(0, float("nan"))],
        "wrong rank": [[[0], [1]], np.eye(2)],
        "wrong kind": [None, 3, "01", object()],
    },
    st.lists(st.integers(), max_size=5).filter(
        lambda x: len(x) < 2 or len({*x}) < len(x) or not {*x} <= {0, 1, 2, 3}
    ),
)
NO_MODEL = {
    "wrong kind": [None, "two_conv", 3, object(), keras.Model, lambda images: images, IMAGES]
}
MODEL = Kind(NO_MODEL)
FUNCTIONAL = MODEL | {"wrong kind": [keras.Sequential(), two_inputs()]}
VECTORS = FUNCTIONAL | {"wrong rank": [MAPS], "wrong kind": [CLASSIFIER]}
WITH_HEAD = FUNCTIONAL | {"wrong kind": [EXTRACTOR]}
WITH_LOGITS = MODEL | {"wrong rank": [MAPS]}
ONE_CLASS = attach_head(EXTRACTOR, 1)
FUNCTION = Kind({"wrong kind": ["flip", 3, [len], object(), IMAGES]})
PATH = Kind(
    {"wrong kind": [3, object(), ["a"], True, IMAGES], "NaN": [float("nan")], "empty": [""]}
)
NEEDED_PATH = PATH | {"wrong kind": [None]}
BLOCK = Kind(
    {
        "unknown name": ["nonsense", ""],
        "zero or negative": [0, -1],
        "out of range": [3, 10**12],
        "wrong dtype": [1.0, True],
        "NaN": [float("nan")],
        "wrong kind": [None, object(), [1], IMAGES],
    },
    st.one_of(st.integers().filter(lambda x: x not in (1, 2)), st.floats(), NAME.bad),
)
BLOCKS = Kind(
    {
        "unknown name": ["block1", ["nonsense"]],
        "zero or negative": [[0], [1, -1]],
        "out of range": [[3]],
        "wrong dtype": [[1.0], [True]],
        "NaN": [[float("nan")]],
        "wrong rank": [[[1]], np.eye(2), ["features"]],
        "empty": [[], ()],
        "wrong kind": [3, object(), {}, [None]],
    },
    st.lists(BLOCK.bad, min_size=1, max_size=3),
)
SHAPE = Kind(
    {
        "wrong size": [(12, 12), (12, 12, 1, 1), (3, 12, 1), ()],
        "zero or negative": [(12, 12, 0), (-12, 12, 1)],
        "wrong dtype": [(12.0, 12, 1), ("12", 12, 1), (12, 12, True)],
        "NaN": [(12, float("nan"), 1)],
        "wrong kind": [None, 12, "12", object(), IMAGES],
    },
    st.lists(st.integers(-20, 3), min_size=3, max_size=3).map(tuple),
)
WIDTHS = Kind(
    {
        "empty": [(), []],
        "zero or negative": [(4, 0), (4, -1), 0],
        "wrong dtype": [(4.0,), (True,)],
        "NaN": [(float("nan"),)],
        "wrong kind": [None, "4", object()],
    }
)
POINTS = Kind(
    {
        **NO_ARRAY,
        "wrong rank": [FEATURES[0], FEATURES[None]],
        "wrong dtype": [FEATURES.astype(t) for t in (str, complex, object)],
        "NaN": [spoilt(FEATURES, np.nan), spoilt(FEATURES, np.inf)],
        "empty": [FEATURES[:0], []],
    },
    shapes.filter(lambda shape: len(shape) != 2).map(np.zeros),
)
CLASS_NAMES = Kind(
    {
        "wrong size": [["Bag"]],
        "empty": [[], ()],
        "wrong kind": [None, 3, "Bag", object()],
    }
)
MATRIX = Kind(
    {
        **NO_ARRAY,
        "wrong rank": [np.ones(2, int), np.ones((2, 2, 2), int)],
        "wrong size": [np.ones((2, 3), int)],
        "wrong dtype": [np.eye(2), np.eye(2).astype(str), np.eye(2, dtype=complex)],
        "zero or negative": [-np.eye(2, dtype=int)],
        "NaN": [np.full((2, 2), np.nan)],
        "empty": [np.ones((0, 0), int)],
    }
)
LOGITS = Kind(
    {
        **NO_ARRAY,
        "wrong rank": [FEATURES[0], FEATURES[None]],
        "wrong size": [FEATURES, FEATURES[:3, :2]],
        "wrong dtype": [FEATURES[:, :2].astype(t) for t in (str, complex, object)],
        "NaN": [spoilt(FEATURES[:, :2], np.nan), spoilt(FEATURES[:, :2], np.inf)],
    }
).without("wrong kind") | {"wrong kind": ["photos", 3, object(), {}]}
SHARES = Kind(
    {
        "ragged": NO_ARRAY["ragged"],
        "wrong rank": [FEATURES, np.float64(1)],
        "wrong size": [np.zeros(5), []],
        "wrong dtype": [np.zeros(6, t) for t in (str, complex, object)],
        "NaN": [np.full(6, np.nan), np.full(6, np.inf)],
        "out of range": [np.full(6, 1.1), np.full(6, -0.1)],
        "wrong kind": ["photos", 3, object(), {}],
    }
)
AXES = Kind({"wrong kind": ["axes", 3, object(), IMAGES, [1]]})
MAPPING = Kind({"empty": [{}], "wrong kind": [None, 3, "a", object(), [1], {"a": 1}, {"a": None}]})
NESTED = MAPPING | {
    "empty": [{"a": {}}],
    "wrong dtype": [{"a": {"x": "0.5"}}, {"a": {"x": 1j}}],
    "ragged": [{"a": {"x": [1, 2], "y": 1}}],
}
ACCURACIES = NESTED | {
    "NaN": [{"a": {"x": float("nan")}}],
    "wrong size": [{"a": {"x": 0.5}, "b": {"y": 0.5}}],
}
HISTORIES = MAPPING | {
    "empty": [{"a": {}}, {"a": {"accuracy": []}}],
    "wrong dtype": [{"a": {"accuracy": ["high"]}}],
}
FRAME = Kind(
    {
        "empty": [SUMMARY[:0], TABLE[:0], pd.DataFrame()],
        "wrong size": [pd.DataFrame({"arm": ["a"]})],
        "wrong kind": [None, 3, "table", {}, object(), [1], IMAGES],
    }
)
RUNS = Kind(
    {
        "empty": [[]],
        "wrong kind": [None, 3, "runs", object(), RUN, [1], [{}], [{"a": 1}]],
        "wrong dtype": [[RUN | {"rotation_accuracy": "high"}]],
        "NaN": [[RUN | {"rotation_accuracy": float("nan")}]],
        "out of range": [[RUN | {"rotation_accuracy": 50}]],
    }
)
PAIR = Kind(
    {
        "wrong kind": [3, "validation", object(), IMAGES[:1]],
        "wrong size": [(IMAGES,), (IMAGES, LABELS, LABELS), (IMAGES, LABELS[:2])],
        "wrong rank": [(IMAGES[0], LABELS), (IMAGES, LABELS[:, None])],
        "wrong dtype": [(IMAGES.astype(str), LABELS), (IMAGES, LABELS / 1)],
        "NaN": [(spoilt(IMAGES, np.nan), LABELS)],
        "empty": [(IMAGES[:0], LABELS[:0]), ()],
        "out of range": [(IMAGES, LABELS - 1), (IMAGES, LABELS + 7)],
    }
)
KNOWN_SOME = Kind(
    {row: v for row, v in NAMED.rows.items() if row not in ("empty",)},
    st.lists(st.integers(-9, -1), min_size=6, max_size=6),
) | {"empty": [LABELS[:0]], "out of range": [LABELS * 0 - 1, LABELS - 2]}
GUESSES = NAMED.without("wrong size", "wrong kind") | {
    "wrong kind": ["labels", 3, object()],
    "wrong size": [np.zeros(7, int)],
    "out of range": [LABELS * 0 - 1, LABELS + 1, LABELS - 2],
}
FIRST_LABELS = EVERY_CLASS.without("wrong size") | {"wrong size": [np.append(LABELS, 0)]}
LISTED_COUNTS = Kind(
    {
        "empty": [[], ()],
        "zero or negative": [[0], [10, -1]],
        "wrong dtype": [[1.5], ["10"], [True]],
        "NaN": [[float("nan")]],
        "wrong rank": [[[10]], 10],
        "wrong kind": [None, "10", object(), {}],
    }
)
LISTED_SEEDS = LISTED_COUNTS.without("zero or negative") | {"zero or negative": [[-1]]}
LISTED_NAMES = Kind(
    {
        "empty": [[]],
        "unknown name": [["nonsense"], "nonsense", ["raw pixels", ""]],
        "wrong kind": [3, object(), [3], [None]],
    }
)
SHARE = Kind(
    {
        "wrong size": [(0,), (0, 1, 2), ()],
        "out of range": [(1, 1), (-1, 2), (0, 0)],
        "wrong dtype": [(0.0, 1), ("0", 1)],
        "wrong kind": [None, 1, "01"],
    }
)
OPTIMIZER = Kind({"unknown name": ["nonsense", ""], "wrong kind": [None, 3, object(), {}, []]})
CALLBACKS = Kind({"wrong kind": [None, 3, "log", [1], [print], keras.callbacks.Callback]})
ESTIMATOR = Kind({"wrong kind": [None, "knn", object(), 3, KNeighborsClassifier()]})
HOSTS = Kind(
    {
        "empty": [[], ""],
        "wrong kind": [3, object(), [3], [None], {}],
        "unknown name": ["nohost", ["a:1", "b"]],
        "NaN": [float("nan")],
    }
)
HOST = Kind({"out of range": [0, 1, -1], "wrong kind": ["0", object()], "NaN": [float("nan")]})
# Anything is true or false, or a matter of Keras's progress bar.
FLAG = Kind({})


def of(kind, value):
    return value, kind


HEADED = {
    "epochs": of(NEEDED_COUNT, 1),
    "batch_size": of(NEEDED_COUNT, 4),
    "optimizer": of(OPTIMIZER, "adam"),
    "validation": of(PAIR, (IMAGES, LABELS)),
    "patience": of(COUNT, 1),
    "augment": of(FUNCTION, None),
    "seed": of(SEED, 0),
    "callbacks": of(CALLBACKS, ()),
    "verbose": of(FLAG, 0),
}
TRAINED = {
    "extractor": of(VECTORS, EXTRACTOR),
    "images": of(FITTING, IMAGES),
    "labels": of(NAMED | BELOW, LABELS),
    "num_classes": of(COUNT, 2),
    **HEADED,
}
PROBED = {
    "images": of(FITTING, IMAGES),
    "labels": of(EVERY_CLASS, LABELS),
    "num_classes": of(COUNT | {"classes": [1, 3]}, 2),
}
BLOCK_FEATURES = {
    "extractor": of(FUNCTIONAL, EXTRACTOR),
    "blocks": of(BLOCKS, [1]),
    "grid": of(NEEDED_COUNT, 2),
    "mirror": of(FLAG, True),
}
SEMI = {
    "extractor": of(VECTORS, EXTRACTOR),
    **PROBED,
    "unlabelled": of(FITTING, IMAGES),
    "updates": of(NEEDED_COUNT, 1),
    "batch_size": of(NEEDED_COUNT, 4),
    "learning_rate": of(POSITIVE, 1e-3),
    "precision": of(NEEDED_NAME, "float32"),
    "seed": of(SEED, 0),
    "verbose": of(FLAG, 0),
}
TO_LOAD = {
    "num_validation": of(NEEDED_COUNT, 20),
    "seed": of(SEED, 0),
    "data_dir": of(PATH, None),
}
OUTPUT = "a folder that is not there"
NUMBERS = Kind(
    {
        "wrong kind": [None, 3, "0.5", object(), {}],
        "wrong dtype": [["a", "b"], [1j, 2], [None, 1]],
        "wrong rank": [np.float64(1), np.eye(2)],
        "ragged": [[[1], [1, 2]]],
    }
)
FUNCTIONS = {
    "ci95": {"values": of(NUMBERS, [0.5, 0.75])},
    "rotate_batch": {"images": of(MOVED, IMAGES), "rotations": of(ROTATIONS, (0, 1))},
    "rotate_each": {"images": of(MOVED, IMAGES), "labels": of(ANY_TURNS, LABELS)},
    "rotation_dataset": {
        "images": of(SQUARE, IMAGES),
        "batch_size": of(NEEDED_COUNT, 4),
        "all_rotations": of(FLAG, True),
        "rotations": of(ROTATIONS, (0, 1)),
        "shuffle": of(FLAG, True),
        "shuffle_buffer": of(NEEDED_COUNT, 4),
        "augment": of(FUNCTION, None),
        "seed": of(SEED, 0),
    },
    "load_splits": {
        "name": of(DATA_NAME | {"wrong kind": [None]}, "garments"),
        "num_labels": of(COUNT, 20),
        **TO_LOAD,
        "num_validation": of(COUNT, 20),
        "manual_dir": of(PATH, None),
        "image_size": of(COUNT, None),
        "fall_back": of(FLAG, False),
    },
    "split_indices": {
        "labels": of(NAMED.without("wrong size") | BELOW, np.arange(60) % 2),
        "num_labels": of(NEEDED_COUNT | {"out of range": [1, 60]}, 10),
        "num_validation": of(NEEDED_COUNT | {"out of range": [1, 60]}, 10),
        "seed": of(SEED, 0),
    },
    "stream_images": {
        "source": of(DATA_NAME | {"wrong kind": [None]}, "garments"),
        "image_size": of(COUNT, None),
        "split": of(DATA_NAME | {"wrong kind": [None]}, "train"),
        "share": of(SHARE, (0, 1)),
        "seed": of(SEED, 0),
        "data_dir": of(PATH, None),
    },
    "draw_garments": {"num_images": of(NEEDED_COUNT, 3), "seed": of(SEED, 0)},
    "attach_head": {
        "extractor": of(VECTORS, EXTRACTOR),
        "num_classes": of(NEEDED_COUNT, 2),
        "share_weights": of(FLAG, False),
        "seed": of(SEED, 0),
    },
    "block_names": {"extractor": of(FUNCTIONAL, EXTRACTOR)},
    "cast_model": {
        "model": of(FUNCTIONAL, EXTRACTOR),
        "precision": of(NEEDED_NAME, "mixed_bfloat16"),
    },
    "conv_blocks_extractor": {
        "image_shape": of(SHAPE, (12, 12, 1)),
        "widths": of(WIDTHS, (2, 4)),
        "seed": of(SEED, 0),
    },
    "copy_model": {"model": of(FUNCTIONAL, EXTRACTOR)},
    "cut_at_block": {
        "extractor": of(FUNCTIONAL, EXTRACTOR),
        "block": of(BLOCK, 1),
        "share_weights": of(FLAG, True),
    },
    "freeze": {"model": of(MODEL, CLASSIFIER)},
    "join_blocks": {name: BLOCK_FEATURES[name] for name in ("extractor", "blocks", "grid")},
    "nin_extractor": {
        "image_shape": of(SHAPE, (12, 12, 1)),
        "num_blocks": of(NEEDED_COUNT | {"out of range": [2, 6]}, 3),
        "width": of(NEEDED_COUNT, 6),
        "seed": of(SEED, 0),
    },
    "with_random_weights": {"model": of(FUNCTIONAL, EXTRACTOR), "seed": of(SEED, 0)},
    "remove_head": {"model": of(WITH_HEAD, CLASSIFIER), "share_weights": of(FLAG, False)},
    "swap_head": {
        "model": of(WITH_HEAD, CLASSIFIER),
        "num_classes": of(NEEDED_COUNT, 3),
        "share_weights": of(FLAG, False),
        "seed": of(SEED, 0),
    },
    "two_conv_extractor": {
        "image_shape": of(SHAPE, (12, 12, 1)),
        "feature_dim": of(NEEDED_COUNT, 3),
        "seed": of(SEED, 0),
    },
    "unfreeze": {"model": of(MODEL, CLASSIFIER)},
    "prepare_runtime": {
        "devices": of(NEEDED_COUNT | {"unknown name": ["some"]}, 1),
        "hosts": of(HOSTS, None),
        "host": of(HOST, None),
        "seed": of(SEED, 0),
    },
    "gentle_augmentation": {
        "shift": of(FRACTION, 0.1),
        "mirror": of(FLAG, True),
        "fill_mode": of(NEEDED_NAME, "nearest"),
        "seed": of(SEED, 0),
    },
    "strong_augmentation": {
        "mirror": of(FLAG, True),
        "fill_mode": of(NEEDED_NAME, "nearest"),
        "seed": of(SEED, 0),
    },
    "fine_tune": TRAINED,
    "train_head": TRAINED,
    "train_from_scratch": TRAINED,
    "fit_classifier": {
        "model": of(FUNCTIONAL, CLASSIFIER),
        "images": of(FITTING, IMAGES),
        "labels": of(WITHIN, LABELS),
        **HEADED,
    },
    "pretrain": {
        "extractor": of(VECTORS, EXTRACTOR),
        "images": of(TURNED, IMAGES),
        "validation_images": of(optional(TURNED), None),
        "epochs": of(NEEDED_COUNT, 1),
        "batch_size": of(NEEDED_COUNT, 4),
        "learning_rate": of(POSITIVE, 1e-3),
        "all_rotations": of(FLAG, False),
        "rotations": of(ROTATIONS, (0, 1)),
        "augment": of(FUNCTION, None),
        "precision": of(NEEDED_NAME, "float32"),
        "checkpoint": of(PATH | {"unknown name": ["weights", "weights.h5"]}, None),
        "seed": of(SEED, 0),
        "callbacks": of(CALLBACKS, ()),
        "verbose": of(FLAG, 0),
    },
    "accuracy": {
        "model": of(WITH_LOGITS, CLASSIFIER),
        "images": of(FITTING, IMAGES),
        "labels": of(WITHIN, LABELS),
    },
    "confusion_matrix": {
        "model": of(WITH_LOGITS, CLASSIFIER),
        "images": of(FITTING, IMAGES),
        "labels": of(WITHIN, LABELS),
    },
    "extract_features": {
        "extractor": of(MODEL, EXTRACTOR),
        "images": of(FITTING, IMAGES),
        "batch_size": of(NEEDED_COUNT, 4),
    },
    "predict_classes": {
        "model": of(WITH_LOGITS, CLASSIFIER),
        "images": of(FITTING, IMAGES),
        "batch_size": of(NEEDED_COUNT, 4),
    },
    "rotation_accuracy": {
        "model": of(WITH_LOGITS | {"classes": [ONE_CLASS]}, CLASSIFIER),
        "images": of(FITTING | OBLONG, IMAGES),
        "rotations": of(ROTATIONS | {"wrong size": [(0, 1, 2)]}, (0, 1)),
        "batch_size": of(NEEDED_COUNT, 4),
    },
    "save_explorer": {
        "path": of(NEEDED_PATH | {"unknown name": ["page.txt", "page"]}, f"{OUTPUT}.html"),
        "features_by_name": of(
            MAPPING
            | {
                "wrong rank": [{"a": FEATURES[0]}, {"a": FEATURES[None]}],
                "wrong size": [{"a": FEATURES[:5]}, {"a": FEATURES[:, :0]}],
                "wrong dtype": [
                    {"a": FEATURES.astype(str)},
                    {"a": {"b": FEATURES.astype(complex)}},
                ],
                "NaN": [{"a": spoilt(FEATURES, np.nan)}, {"a": {"b": spoilt(FEATURES, np.inf)}}],
                "ragged": [{"a": {"x": FEATURES}, "b": {"y": FEATURES}}],
            },
            {"a": FEATURES[:, :2]},
        ),
        "images": of(SQUARE_ARRAYS, IMAGES),
        "labels": of(WITHIN, LABELS),
        "class_names": of(CLASS_NAMES, ["Bag", "Coat"]),
        "logits": of(LOGITS, FEATURES[:, :2]),
        "rotation_accuracies": of(SHARES, LABELS / 2),
        "title": of(Kind({"wrong kind": [None, 3, object(), ["a"]]}), "a"),
        "seed": of(SEED, 0),
        "cache": of(PATH, False),
    },
    "save_projector": {
        "folder": of(NEEDED_PATH, OUTPUT),
        "features": of(POINTS | {"wrong size": [FEATURES[:5], FEATURES[:, :0]]}, FEATURES),
        "images": of(SQUARE_ARRAYS | {"wrong size": [raised((12, 12, 2))]}, IMAGES),
        "labels": of(WITHIN, LABELS),
        "class_names": of(CLASS_NAMES, ["Bag", "Coat"]),
        "predictions": of(optional(WITHIN), LABELS),
    },
    "features_by_depth": {
        "networks": of(
            MAPPING | {"wrong kind": [{"a": CLASSIFIER, "b": None}, {"a": MAPS}]}, {"a": EXTRACTOR}
        ),
        "images": of(FITTING, IMAGES),
    },
    "align_maps": {
        "maps": of(
            Kind(
                {
                    "empty": [[], [np.zeros((0, 2))]],
                    "wrong kind": [None, 3, "maps", object(), {"a": 1}],
                    "wrong rank": [[np.zeros(4)], [np.zeros((3, 3))], [np.zeros((2, 3, 2))]],
                    "wrong size": [[np.zeros((3, 2)), np.zeros((4, 2))]],
                    "wrong dtype": [[np.zeros((3, 2)).astype(str)]],
                    "NaN": [[np.full((3, 2), np.nan)]],
                }
            ),
            [np.eye(2), -np.eye(2)],
        )
    },
    "umap_points": {
        "features": of(POINTS | {"wrong size": [FEATURES[:3], FEATURES[:1]]}, FEATURES),
        "seed": of(SEED, 0),
        "cache": of(PATH, False),
        "n_neighbors": of(Kind({"zero or negative": [0, -1]}), 3),
        "min_dist": of(Kind({"zero or negative": [-1]}), 0.1),
    },
    "pseudo_label": {
        "extractor": of(FUNCTIONAL, EXTRACTOR),
        "images": of(FITTING, IMAGES),
        "labels": of(FIRST_LABELS, LABELS),
        "num_classes": PROBED["num_classes"],
        "most": of(NEEDED_COUNT, 6),
        "seed": of(SEED, 0),
    },
    "soft_neighbours": {
        "extractor": of(FUNCTIONAL, EXTRACTOR),
        **PROBED,
        "blocks": of(BLOCKS, [1]),
        "dimensions": of(NEEDED_COUNT, 2),
        "temperature": of(POSITIVE, 0.1),
        "seed": of(SEED, 0),
    },
    "spread_labels": {
        "features": of(POINTS | {"wrong size": [FEATURES[:1], FEATURES[:, :0]]}, FEATURES),
        "labels": of(KNOWN_SOME, np.array([0, 1, -1, -1, -1, -1])),
        "method": of(NEEDED_NAME, "laplace"),
        "neighbours": of(NEEDED_COUNT, 2),
        "dimensions": of(NEEDED_COUNT, 2),
        "keep": of(ABOVE_0_FRACTION, 0.5),
        "seed": of(SEED, 0),
    },
    "FeatureClassifier": {
        "extractor": of(MODEL, EXTRACTOR),
        "estimator": of(ESTIMATOR, KNeighborsClassifier(1).fit(np.eye(4), [0, 1, 0, 1])),
    },
    "block_features": BLOCK_FEATURES,
    "linear_probe": {
        **BLOCK_FEATURES,
        **PROBED,
        "unlabelled": of(optional(FITTING), IMAGES),
        "strength": of(POSITIVE, 0.1),
        "shifted": of(FLAG, False),
    },
    "nearest_neighbours": {**BLOCK_FEATURES, **PROBED, "neighbours": of(NEEDED_COUNT, 1)},
    "pixel_probe": {
        **PROBED,
        "images": of(PICTURES, IMAGES),
        "strength": of(POSITIVE, 0.1),
    },
    "self_train": {
        **SEMI,
        "guesses": of(GUESSES, None),
        "unlabelled_ratio": of(NEEDED_COUNT, 1),
        "threshold": of(FRACTION, 0.5),
    },
    "train_jointly": {**SEMI, "weight": of(NOT_NEGATIVE, 1.0)},
    "fit_few_labels": {
        **PROBED,
        "unlabelled": of(optional(FITTING), IMAGES),
        "extractor": of(optional(FUNCTIONAL), EXTRACTOR),
        "guess_below": of(NEEDED_COUNT.without("zero or negative") | {"zero or negative": [-1]}, 0),
        "updates": of(NEEDED_COUNT, 1),
        "pretrain_epochs": of(NEEDED_COUNT, 1),
        "precision": of(NEEDED_NAME, "float32"),
        "seed": of(SEED, 0),
        "verbose": of(FLAG, 0),
    },
    "run_study": {
        "arms": of(LISTED_NAMES, ["raw pixels"]),
        "budgets": of(LISTED_COUNTS, [20]),
        "seeds": of(LISTED_SEEDS, [0]),
        "dataset": of(DATA_NAME | {"wrong kind": [None]}, "garments"),
        "network": of(NEEDED_NAME, "two_conv"),
        "pretrain_epochs": of(NEEDED_COUNT, 1),
        "rotations": of(ROTATIONS, (0, 1)),
        "num_validation": of(NEEDED_COUNT, 20),
        "precision": of(NEEDED_NAME, "float32"),
        "output": of(NEEDED_PATH, OUTPUT),
        "data_dir": of(PATH, None),
        "verbose": of(FLAG, 0),
    },
    "summarise_study": {"table": of(FRAME, TABLE), "baseline": of(NEEDED_NAME, "a")},
    "draw_model": {
        "model": of(MODEL, EXTRACTOR),
        "path": of(NEEDED_PATH, OUTPUT),
        "title": of(Kind({"wrong kind": [3, object(), ["a"]]}), None),
    },
    "plot_accuracies": {"accuracies": of(ACCURACIES, {"a": {"x": 0.5}}), "ax": of(AXES, None)},
    "plot_budgets": {
        "summary": of(FRAME, SUMMARY),
        "published": of(optional(NESTED), {"other": {100: 55.0}}),
        "ax": of(AXES, None),
    },
    "plot_confusion": {
        "matrix": of(MATRIX, np.eye(2, dtype=int)),
        "class_names": of(CLASS_NAMES | {"wrong size": [["a", "b", "c"]]}, ["Bag", "Coat"]),
        "ax": of(AXES, None),
    },
    "plot_history": {
        "histories": of(HISTORIES, {"a": {"accuracy": [0.5]}}),
        "metric": of(NEEDED_NAME, "accuracy"),
        "ax": of(AXES, None),
    },
    "plot_map": {
        "points": of(POINTS | {"wrong size": [FEATURES]}, FEATURES[:, :2]),
        "labels": of(WITHIN.without("out of range") | BELOW, LABELS),
        "class_names": of(CLASS_NAMES, ["Bag", "Coat"]),
        "ax": of(AXES, None),
    },
    "plot_rotations": {
        "images": of(SQUARE_ARRAYS | {"wrong size": [raised((4, 4, 2))]}, IMAGES[:2]),
        "axes": of(AXES | {"wrong size": [[[None] * 4] * 2]}, None),
    },
    "run_pretraining": {
        "dataset": of(DATA_NAME | {"wrong kind": [None]}, "garments"),
        "images": of(
            optional(SQUARE).without("wrong kind") | {"wrong kind": [3, object()]}, IMAGES
        ),
        "image_size": of(COUNT, None),
        "network": of(NEEDED_NAME, "two_conv"),
        "epochs": of(NEEDED_COUNT, 1),
        "batch_size": of(NEEDED_COUNT, 4),
        "learning_rate": of(POSITIVE, 1e-3),
        "all_rotations": of(FLAG, False),
        "precision": of(NEEDED_NAME, "float32"),
        "seed": of(SEED, 0),
        "output": of(NEEDED_PATH, OUTPUT),
        "data_dir": of(PATH, None),
        "tensorboard": of(PATH, f"{OUTPUT}, either"),
        "verbose": of(FLAG, 0),
    },
    "run_experiment": {
        "dataset": of(DATA_NAME, "garments"),
        "num_labels": of(COUNT, 20),
        **TO_LOAD,
        "num_validation": of(COUNT, 20),
        "output": of(NEEDED_PATH, OUTPUT),
        "manual_dir": of(PATH, None),
        "quick": of(FLAG, True),
        "explorer": of(FLAG, False),
        "tensorboard": of(PATH, f"{OUTPUT}, either"),
        "skip_finished": of(FLAG, False),
        "verbose": of(FLAG, 0),
    },
    "summarise": {"results": of(RUNS, [RUN])},
}
GIVEN = pathlib.Path(tempfile.mkdtemp())  # pictures in a folder for each class, and zipped
for number, name in enumerate(["Bag", "Coat"]):
    (GIVEN / "pictures" / name).mkdir(parents=True)
    file = GIVEN / "pictures" / name / "one.png"
    keras.utils.save_img(file, np.full((12, 12, 3), 90 * number), scale=False)
with zipfile.ZipFile(GIVEN / "pictures.zip", "w") as archive:
    archive.write(file, "one.png")
rotnet_keras.save_classifier(CLASSIFIER, GIVEN / "net.keras", ["Bag", "Coat"])
NO_FILES = Kind({"empty": [[], ()], "wrong kind": [None, 3, object(), [3], [None]]})
NO_ARCHIVE = {"unknown name": [GIVEN / "none.zip", GIVEN / "pictures"]}
CHANNELS = Kind(COUNT.rows) | {"out of range": [2, 4]}
COUNTS = Kind(
    {
        **NO_ARRAY,
        "wrong rank": [np.ones((2, 2), int)],
        "wrong size": [np.ones((2, 2, 3), int)],
        "wrong dtype": [np.ones((2, 2, 2)), np.ones((2, 2, 2), complex), np.ones((2, 2, 2), str)],
        "zero or negative": [-np.ones((2, 2, 2), int)],
        "NaN": [np.full((2, 2, 2), np.nan)],
        "empty": [np.ones((0, 2, 2), int)],
    }
)
READING = {"fit": of(NEEDED_NAME, "crop"), "broken": of(NEEDED_NAME, "raise")}
COUNTED = {
    "counts": of(COUNTS, np.ones((2, 2, 2), int)),
    "class_names": of(CLASS_NAMES, ["Bag", "Coat"]),
    "rotations": of(ROTATIONS | {"wrong size": [(0, 1, 2)]}, (0, 1)),
}
OF_OTHER_CHANNELS = {"wrong size": [(12, 12), (12, 12, 1, 1), (12, 12, 2), (12, 12, 4), ()]}
BUILT = {
    "image_shape": of(SHAPE, (12, 12, 1)),
    "weights": of(optional(NAME) | {"unknown name": ["imagenet", "none.weights.h5"]}, None),
    "layer": of(optional(NAME), None),
    "seed": of(SEED, 0),
}
FUNCTIONS |= {
    "list_classes": {"folder": of(NEEDED_PATH, GIVEN / "pictures")},
    "list_pictures": {"folder": of(NEEDED_PATH, GIVEN / "pictures")},
    "load_classifier": {"path": of(NEEDED_PATH, GIVEN / "net.keras")},
    "save_classifier": {
        "model": of(WITH_LOGITS, CLASSIFIER),
        "path": of(NEEDED_PATH, OUTPUT + ".keras"),
        "class_names": of(CLASS_NAMES, ["Bag", "Coat"]),
        "fit": of(NEEDED_NAME, "crop"),
    },
    "predict_pictures": {
        "model": of(WITH_LOGITS, CLASSIFIER),
        "folder": of(NEEDED_PATH, GIVEN / "pictures"),
        "class_names": of(CLASS_NAMES, ["Bag", "Coat"]),
        **READING,
        "batch_size": of(NEEDED_COUNT, 4),
    },
    "read_pictures": {
        "files": of(NO_FILES, [GIVEN / "pictures" / "Bag" / "one.png"]),
        "image_size": of(NEEDED_COUNT, 12),
        "channels": of(CHANNELS, 1),
        **READING,
    },
    "unpack_zip": {
        "path": of(NEEDED_PATH | NO_ARCHIVE, GIVEN / "pictures.zip"),
        "folder": of(NEEDED_PATH, OUTPUT),
    },
    "make_splits": {
        "images": of(SQUARE_ARRAYS, IMAGES),
        "labels": of(EVERY_CLASS, LABELS),
        "unlabelled": of(optional(FITTING), IMAGES),
        "test": of(optional(PAIR) | {"wrong size": [(IMAGES[:, :8], LABELS)]}, (IMAGES, LABELS)),
        "class_names": of(optional(CLASS_NAMES), ["Bag", "Coat"]),
        "name": of(DATA_NAME | {"wrong kind": [None]}, "mine"),
        "num_labels": of(COUNT | {"out of range": [1, 5, 60]}, 2),
        "num_validation": of(COUNT | {"out of range": [1, 5, 60]}, 2),
        "seed": of(SEED, 0),
    },
    "rotation_confusion": {
        "model": of(WITH_LOGITS | {"classes": [ONE_CLASS]}, CLASSIFIER),
        "images": of(FITTING | OBLONG, IMAGES),
        "labels": of(WITHIN, LABELS),
        "num_classes": of(COUNT | {"classes": [1]}, 2),
        "rotations": of(ROTATIONS | {"wrong size": [(0, 1, 2)]}, (0, 1)),
        "batch_size": of(NEEDED_COUNT, 4),
    },
    "rotation_report": COUNTED,
    "plot_rotation_confusion": {
        **COUNTED,
        "axes": of(AXES | {"wrong size": [[], [None], [None] * 3, [[None] * 2]]}, None),
    },
    "load_extractor": {
        "name": of(NEEDED_NAME, "two_conv_fashion_mnist"),
        "with_head": of(FLAG, False),
    },
    "make_extractor": {"backbone": of(NEEDED_NAME, "two_conv"), **BUILT},
    "backbone_extractor": {
        "backbone": of(FUNCTIONAL | NAME.rows, EXTRACTOR),
        **BUILT,
        "image_shape": of(SHAPE.without("wrong size") | OF_OTHER_CHANNELS, (12, 12, 1)),
        "preprocess": of(FUNCTION, None),
        "input_size": of(COUNT, None),
    },
}
SHARED_OUT = np.full((6, 2, 2), 0.5)
PROBABILITIES = Kind(
    {
        **NO_ARRAY,
        "wrong rank": [SHARED_OUT[0], SHARED_OUT[None]],
        "wrong size": [SHARED_OUT[:, :1], np.full((6, 3, 3), 1 / 3)],
        "wrong dtype": [SHARED_OUT.astype(t) for t in (str, complex, object)],
        "NaN": [spoilt(SHARED_OUT, np.nan), spoilt(SHARED_OUT, np.inf)],
        "out of range": [SHARED_OUT * 2, SHARED_OUT * 0, [[[-1, 2], [0, 1]]]],
        "empty": [SHARED_OUT[:0], []],
    },
    shapes.filter(lambda shape: shape[1:] != (2, 2)).map(np.zeros),
)
POWERS = Kind(
    {
        "wrong size": [[1], [1, 2, 3]],
        "zero or negative": [[1, 0], [-1, 1]],
        "out of range": [[1, 10**400], [1, 1e39]],
        "wrong dtype": [[True, 1], [1j, 1], ["1", "2"]],
        "NaN": [[1, float("nan")], [float("inf"), 1]],
        "wrong rank": [2, [[1, 2]], np.eye(2), np.float64(1)],
        "empty": [[], ()],
        "wrong kind": ["12", object(), {}, {1: 2}, lambda: 1],
    },
    st.lists(st.one_of(st.floats(max_value=0), st.text(max_size=3)), min_size=1, max_size=3),
)
PLACES = Kind(
    {
        **NO_ARRAY,
        "wrong rank": [0, np.int64(0), [[0], [1]], [[[0]]]],
        "wrong dtype": [[0.0, 1.0], ["0", "1"], [True, False], [1j, 2], [None, 1]],
        "NaN": [[0, float("nan")]],
        "out of range": [[-1, 0], [0, 6], [0, 10**12]],
        "empty": [[], np.zeros(0, int)],
    },
    st.lists(st.integers().filter(lambda place: not 0 <= place < 6), min_size=1, max_size=4),
)
NEIGHBOURS = PLACES.without("wrong rank", "out of range", "wrong dtype") | {
    "wrong rank": [0, [0, 1], [[[0], [1]]]],
    "wrong size": [[[0, 1]], [[0], [1], [2]]],
    "wrong dtype": [[[0.0], [1.0]], [["0"], ["1"]], [[True], [False]]],
    "out of range": [[[-1], [0]], [[0], [6]]],
    "empty": [[[], []], np.zeros((0, 2), int)],
}
SPREAD = np.ones((6, 3, 2))
SPREADS = MAPPING | {
    "ragged": [{"a": [[1], [1, 2]]}],
    "wrong rank": [{"a": SPREAD[0]}, {"a": SPREAD[None]}],
    "wrong size": [{"a": SPREAD[:5]}, {"a": SPREAD, "b": SPREAD[:, :0]}],
    "wrong dtype": [{"a": SPREAD.astype(t)} for t in (str, complex, object)],
    "NaN": [{"a": spoilt(SPREAD, np.nan)}, {"a": spoilt(SPREAD, np.inf)}],
    "zero or negative": [{"a": SPREAD, "b": -SPREAD}],
    "empty": [{"a": []}],
}
FILTERS = np.ones((3, 3, 1, 2))
OF_NETWORKS = MAPPING | {
    "ragged": [{"a": [[1], [1, 2]]}],
    "wrong rank": [{"a": FILTERS[0]}, {"a": FILTERS[None]}],
    "wrong size": [{"a": np.ones((3, 3, 2, 4))}, {"a": FILTERS, "b": np.ones((3, 3, 16, 32))}],
    "wrong dtype": [{"a": FILTERS.astype(t)} for t in (str, complex, object)],
    "NaN": [{"a": spoilt(FILTERS, np.nan)}, {"a": spoilt(FILTERS, np.inf)}],
    "empty": [{"a": FILTERS[..., :0]}, {"a": []}],
}
MISTAKEN = pd.DataFrame({"image": [5, 0], "turned_by": [0, 90], "taken_for": [180, 270]})
MISTAKEN = MISTAKEN.assign(true_probability=0.25, taken_probability=0.75)
MISTAKES = FRAME.without("wrong size") | {
    "empty": [MISTAKEN[:0]],
    "wrong size": [MISTAKEN.drop(columns=name) for name in ("image", "taken_probability")],
    "wrong dtype": [MISTAKEN.assign(**{name: "a"}) for name in MISTAKEN if name[:4] != "true"]
    + [MISTAKEN.assign(image=[0.0, 1.0])],
    "NaN": [MISTAKEN.assign(**{name: np.nan}) for name in MISTAKEN if name[:4] != "true"],
    "out of range": [
        MISTAKEN.assign(**{name: value})
        for name, value in [
            ("image", 6),
            ("image", -1),
            ("turned_by", 1),
            ("taken_for", 360),
            ("taken_probability", 75),
        ]
    ],
}
FLAT = keras.Model(EXTRACTOR.input, keras.layers.Flatten()(EXTRACTOR.input))
OTHER_ROWS = {"wrong size": [[], [None], [None] * 3, [[None] * 2]], "ragged": [[[1], [1, 2]]]}
FUNCTIONS |= {
    "predict_rotations": {
        name: FUNCTIONS["rotation_confusion"][name]
        for name in ("model", "images", "rotations", "batch_size")
    },
    "rotation_mistakes": {
        "probabilities": of(PROBABILITIES, SHARED_OUT),
        "count": of(COUNT, 3),
        "rotations": COUNTED["rotations"],
    },
    "attention_maps": {
        "extractor": of(FUNCTIONAL, EXTRACTOR),
        "images": of(FITTING, IMAGES),
        "blocks": of(optional(BLOCKS) | {"classes": [[1, 1], [2, "block2"]]}, [1, 2]),
        "powers": of(POWERS, [1, 2]),
        "batch_size": of(NEEDED_COUNT, 4),
    },
    "first_filters": {"extractor": of(FUNCTIONAL | {"empty": [FLAT]}, EXTRACTOR)},
    "similar_images": {
        "features": of(POINTS | {"wrong size": [FEATURES[:1], FEATURES[:, :0]]}, FEATURES),
        "queries": of(PLACES, [5, 0]),
        "count": of(NEEDED_COUNT | {"out of range": [6, 10**12]}, 2),
    },
    "plot_attention_maps": {
        "images": of(PICTURES | {"wrong size": [raised((4, 4, 2)), IMAGES[:5]]}, IMAGES),
        "maps": of(SPREADS, {"a": SPREAD}),
        "axes": of(AXES | OTHER_ROWS, None),
    },
    "plot_filters": {
        "filters_by_name": of(OF_NETWORKS, {"a": FILTERS}),
        "axes": of(AXES | OTHER_ROWS, None),
    },
    "plot_neighbours": {
        "images": of(PICTURES | {"wrong size": [raised((4, 4, 2))]}, IMAGES),
        "queries": of(PLACES | {"wrong size": [[0]]}, [5, 0]),
        "neighbours": of(NEIGHBOURS, [[0, 1], [2, 3]]),
        "labels": of(WITHIN, LABELS),
        "class_names": of(optional(CLASS_NAMES), ["Bag", "Coat"]),
        "axes": of(AXES | OTHER_ROWS, None),
    },
    "plot_rotation_mistakes": {
        "images": of(SQUARE_ARRAYS | {"wrong size": [raised((4, 4, 2))]}, IMAGES),
        "mistakes": of(MISTAKES, MISTAKEN),
        "axes": of(AXES | OTHER_ROWS, None),
    },
}
(GIVEN / "page.html").write_text("<!DOCTYPE html>")
FUNCTIONS["show_html"] = {
    "path": of(NEEDED_PATH | {"unknown name": ["page.txt", "missing.html"]}, GIVEN / "page.html"),
    "height": of(NEEDED_COUNT, 500),
}
REPORTED = {"asked": {"dataset": "mnist"}, "dataset": "mnist", "image_shape": [28, 28, 1]}
REPORTED |= dict.fromkeys(["num_unlabelled", "num_labels", "num_validation", "parameters"], 100)
REPORTED |= {"seed": 0, "feature_dim": 16, "stand_in": False, "quick": True, "backbone": "two_conv"}
(GIVEN / "run").mkdir()
(GIVEN / "run" / "results.json").write_text(json.dumps(RUN | REPORTED))
FUNCTIONS["save_report"] = {
    "folder": of(
        NEEDED_PATH | {"unknown name": [GIVEN / "missing", GIVEN / "pictures"]}, GIVEN / "run"
    ),
    "seeds": of(
        Kind({row: values for row, values in LISTED_SEEDS.rows.items() if row != "wrong kind"})
        | {"wrong kind": ["10", object(), {}], "out of range": [[2**32]]},
        None,
    ),
    "command": of(Kind({"wrong kind": [3, object(), ["a"], b"a"]}), "python"),
}
for name in ("load_splits", "stream_images"):
    FUNCTIONS[name] |= READING | {"channels": of(CHANNELS, None)}
ARMS = ("train_head", "fine_tune", "train_from_scratch")
for name in ("fit_classifier", *ARMS):
    FUNCTIONS[name] |= {"checkpoint": FUNCTIONS["pretrain"]["checkpoint"]}
for name in ARMS:
    FUNCTIONS[name] |= {"precision": of(NEEDED_NAME, "float32")}
FUNCTIONS["run_pretraining"] |= READING
FUNCTIONS["run_experiment"] |= READING | {
    "image_size": of(COUNT, None),
    "channels": of(CHANNELS, None),
}
# Built when the data is there: `make_extractor` looks at these.
HANDED_ON = Kind({})
FUNCTIONS["run_experiment"] |= {name: of(HANDED_ON, None) for name in ("weights", "layer")}
FUNCTIONS["run_experiment"]["backbone"] = of(HANDED_ON, "two_conv")
WHOLE_DATA_SETS = {"load_splits", "stream_images", "run_study", "run_experiment"}


def call(function, folder, /, **changed):
    """Call a public function with what the table says, but for the arguments that are named."""
    arguments = {name: value for name, (value, _) in FUNCTIONS[function].items()} | changed
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("refused")


def test_every_public_function_and_argument_is_in_the_table():
    assert sorted(FUNCTIONS) == PUBLIC
    for name, arguments in FUNCTIONS.items():
        parameters = inspect.signature(getattr(rotnet_keras, name)).parameters.values()
        named = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
        assert named <= {*arguments}, name
        assert named == {*arguments} or len(named) < len(parameters), name


@pytest.mark.backend
@pytest.mark.parametrize("function", sorted({*FUNCTIONS} - WHOLE_DATA_SETS))
def test_what_the_table_calls_valid_is_taken(function, tmp_path, eagerly):
    if function in ("spread_labels", "pseudo_label"):
        pytest.importorskip("graphlearning")
    call(function, tmp_path)


ROWS = [
    pytest.param(name, row, id=f"{name}-{row.replace(' ', '_')}")
    for name, arguments in FUNCTIONS.items()
    for row in sorted({row for _, kind in arguments.values() for row in kind.rows})
]


@pytest.mark.parametrize(("function", "row"), ROWS)
def test_every_row_is_refused(function, row, folder):
    for argument, (_, kind) in FUNCTIONS[function].items():
        for bad in kind.rows.get(row, ()):
            check_refusal(function, argument, bad, folder)


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
@given(data=st.data())
@settings(max_examples=CASES, suppress_health_check=list(HealthCheck))
def test_drawn_input_is_refused(function, data, folder, count_case):
    kinds = {name: kind for name, (_, kind) in FUNCTIONS[function].items() if kind.bad is not None}
    argument = data.draw(st.sampled_from(sorted(kinds)), label="argument")
    bad = data.draw(kinds[argument].bad, label="value")
    count_case()
    check_refusal(function, argument, bad, folder)


def as_numbers(result):
    """What a function returned as arrays; that of a model is what it says about the images."""
    if isinstance(result, rotnet_keras.Splits):
        result = (result.unlabelled, *result.labelled, *result.validation, *result.test)
    if isinstance(result, dict):  # maps by block, or features by depth by network
        result = tuple(keras.tree.flatten(result))
    parts = result if isinstance(result, tuple) else (result,)
    told = [
        rotnet_keras.extract_features(part, IMAGES) if hasattr(part, "output_shape") else part
        for part in parts
    ]
    return [np.asarray(part, "float64") for part in told]


FORMS = {
    "a list": IMAGES.tolist(),
    "float16": IMAGES.astype("float16"),
    "float32": IMAGES.astype("float32"),
    "float64": IMAGES.astype("float64"),
    "int64": IMAGES.astype("int64"),
    "a tensor": tf.constant(IMAGES),
    "another order in memory": np.asfortranarray(IMAGES),
    "read only": np.frombuffer(IMAGES.tobytes(), "uint8").reshape(IMAGES.shape),
}
TAKE_IMAGES = [name for name in FUNCTIONS if "images" in FUNCTIONS[name]]
TRAIN = {"fine_tune", "train_head", "train_from_scratch", "fit_classifier", "pretrain"}
TRAIN |= {"self_train", "train_jointly", "fit_few_labels", "run_pretraining"}
WITHOUT_NUMBERS = {"plot_rotations", "rotation_dataset", "save_explorer", "save_projector"}
WITHOUT_NUMBERS |= {"plot_attention_maps", "plot_neighbours", "plot_rotation_mistakes"}
COMPUTE = sorted({*TAKE_IMAGES} - TRAIN - WITHOUT_NUMBERS)


@pytest.mark.backend
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("function", COMPUTE)
def test_images_of_any_form_are_the_same_images(function, form, folder):
    if function == "pseudo_label":
        pytest.importorskip("graphlearning")
    for given_form, expected in zip(
        as_numbers(call(function, folder, images=FORMS[form])),
        as_numbers(call(function, folder)),
        strict=True,
    ):
        np.testing.assert_allclose(given_form, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.backend
@pytest.mark.parametrize("form", ["a list", "float64"])
@pytest.mark.parametrize("function", sorted(TRAIN | WITHOUT_NUMBERS))
def test_images_of_any_form_are_learnt_from(function, form, tmp_path, eagerly):
    images = FORMS[form][:2] if function == "plot_rotations" else FORMS[form]
    assert call(function, tmp_path, images=images) is not None


ONE = {"images": IMAGES[:1]}
ONE_LABELLED = ONE | {"labels": [0]}


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("rotate_batch", ONE),
        ("rotate_each", ONE | {"labels": [3]}),
        ("rotation_dataset", ONE),
        ("plot_rotations", ONE),
        ("extract_features", ONE),
        ("predict_classes", ONE),
        ("rotation_accuracy", ONE),
        ("accuracy", ONE_LABELLED),
        ("confusion_matrix", ONE_LABELLED),
        ("predict_rotations", ONE),
        ("attention_maps", ONE),
        ("plot_attention_maps", ONE | {"maps": {"a": SPREAD[:1]}}),
        ("plot_neighbours", ONE_LABELLED | {"queries": [0], "neighbours": [[0]]}),
        ("plot_rotation_mistakes", ONE | {"mistakes": MISTAKEN.assign(image=0)}),
        ("rotation_confusion", ONE_LABELLED),
        ("rotation_confusion", ONE_LABELLED | {"num_classes": None}),
        ("predict_pictures", {"folder": GIVEN / "pictures" / "Bag"}),
        ("pretrain", ONE | {"validation_images": IMAGES[:1]}),
        ("pretrain", {"validation_images": IMAGES[:1]}),
        ("run_pretraining", ONE),
        ("fit_classifier", ONE_LABELLED | {"validation": (IMAGES[:1], [1])}),
        ("train_head", ONE_LABELLED),
        ("fine_tune", ONE_LABELLED),
        ("train_from_scratch", ONE_LABELLED),
        ("self_train", {"unlabelled": IMAGES[:1]}),
        ("train_jointly", {"unlabelled": IMAGES[:1]}),
        ("linear_probe", {"unlabelled": IMAGES[:1]}),
        ("draw_garments", {"num_images": 1}),
    ],
)
def test_one_image_is_enough(function, arguments, tmp_path, eagerly):
    assert call(function, tmp_path, **arguments) is not None


@pytest.mark.parametrize("function", ["linear_probe", "pixel_probe", "nearest_neighbours"])
def test_one_image_of_each_class_is_enough(function, folder):
    classifier = call(function, folder, images=IMAGES[:2], labels=LABELS[:2])
    assert rotnet_keras.accuracy(classifier, IMAGES[:2], LABELS[:2]) == 1


@pytest.mark.parametrize("function", ["train_head", "fine_tune", "train_from_scratch"])
def test_one_class_can_be_trained(function, tmp_path, eagerly):
    arguments = {"labels": LABELS * 0, "num_classes": None, "validation": (IMAGES, LABELS * 0)}
    model, _ = call(function, tmp_path, **arguments)
    assert model.output_shape == (None, 1)
    assert rotnet_keras.accuracy(model, IMAGES, LABELS * 0) == 1
    assert rotnet_keras.confusion(model, IMAGES, LABELS * 0).tolist() == [[6]]


TAKE_BATCHES = [name for name in FUNCTIONS if "batch_size" in FUNCTIONS[name]]


@pytest.mark.parametrize("function", TAKE_BATCHES)
def test_a_batch_may_be_larger_than_the_data(function, tmp_path, eagerly):
    assert call(function, tmp_path, batch_size=1000) is not None


COUNT_IN_BATCHES = ["extract_features", "predict_classes", "rotation_accuracy"]
COUNT_IN_BATCHES += ["rotation_confusion", "predict_rotations"]


@pytest.mark.parametrize("function", COUNT_IN_BATCHES)
def test_the_size_of_batches_changes_nothing(function, folder):
    large, small = (call(function, folder, batch_size=size) for size in (1000, 1))
    np.testing.assert_allclose(large, small, rtol=1e-5)


TAKE_SEEDS = sorted(name for name in {*FUNCTIONS} - WHOLE_DATA_SETS if "seed" in FUNCTIONS[name])


@pytest.mark.parametrize("function", TAKE_SEEDS)
def test_the_largest_seed_is_taken(function, tmp_path, eagerly):
    if function in ("spread_labels", "pseudo_label"):
        pytest.importorskip("graphlearning")
    result = call(function, tmp_path, seed=2**32 - 1)
    if function.endswith("augmentation"):
        assert result(IMAGES).shape == IMAGES.shape
    if function == "rotation_dataset":
        assert len(list(result)) == 2


class OwnModel(keras.Model):
    """A model that does not say what it takes and puts out, as functional ones do."""

    def call(self, images, training=False):
        light = keras.ops.mean(keras.ops.cast(images, "float32"), axis=(1, 2))
        return keras.ops.multiply(light, np.array([[0, 1]], "float32"))


def test_models_that_do_not_say_what_they_put_out(folder):
    assert call("predict_classes", folder, model=OwnModel()).tolist() == [1] * 6
    assert call("accuracy", folder, model=OwnModel()) == 0.5
    check_refusal("confusion_matrix", "model", OwnModel(), folder)
    for function in ("copy_model", "rotation_confusion", "save_classifier", "predict_pictures"):
        check_refusal(function, "model", OwnModel(), folder)
    check_refusal("predict_rotations", "model", OwnModel(), folder)
    for function in ("attention_maps", "first_filters"):
        check_refusal(function, "extractor", OwnModel(), folder)


@pytest.mark.parametrize("function", ["train_head", "fine_tune", "train_from_scratch"])
def test_labels_below_0_where_the_classes_are_not_told(function, folder):
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.0, .* got -9\.\.-9"):
        call(function, folder, labels=LABELS * 0 - 9, num_classes=None)


@pytest.mark.parametrize("function", ["train_head", "fine_tune", "train_from_scratch"])
def test_labels_that_are_no_classes_ask_for_no_huge_head(function, folder):
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.99999 .* got 0\.\.10{12}"):
        call(function, folder, labels=LABELS * 10**12, num_classes=None)


def test_labels_that_are_no_classes_ask_for_no_huge_table(folder):
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.99999 .* got 0\.\.10{12}"):
        call("rotation_confusion", folder, labels=LABELS * 10**12, num_classes=None)


@pytest.mark.parametrize("highest", [10**12, 2**32])
def test_labels_to_divide_do_not_wrap_around(highest, folder):
    for names in (None, ["Bag", "Coat"]):
        with pytest.raises(ValueError, match=r"labels must hold each of num_classes"):
            call("make_splits", folder, labels=LABELS * highest + LABELS, class_names=names)
    with pytest.raises(ValueError, match=r"test must have labels in 0\.\.1, got"):
        call("make_splits", folder, test=(IMAGES, LABELS * highest))


def test_images_too_small_to_pretrain_on(folder):
    small = {"images": IMAGES[:, :7, :7], "unlabelled": IMAGES[:, :7, :7], "extractor": None}
    with pytest.raises(ValueError, match=r"images must be of 8 pixels or more .*\(6, 7, 7, 1\)"):
        call("fit_few_labels", folder, **small)


def uneven():
    """One image of 12 x 12 pixels, and one of 10 x 10."""
    yield from ((image, 0) for image in (IMAGES[0], IMAGES[1, :10, :10]))


UNEVEN = tf.data.Dataset.from_generator(
    uneven, output_signature=(tf.TensorSpec((None, None, 1), "uint8"), tf.TensorSpec((), "int64"))
)


@pytest.mark.parametrize(
    ("argument", "bad", "message"),
    [
        ("images", tf.data.Dataset.from_tensor_slices(IMAGES), "images must be a dataset of pairs"),
        ("images", PAIRS_STREAM.take(0), "images must hold at least one image, got none"),
        ("images", PAIRS_STREAM.repeat(), "images must be a dataset that ends, got"),
        ("images", UNEVEN, "images must be an array of numbers, got"),
        ("unlabelled", PAIRS_STREAM, "unlabelled must be a dataset of single images, got"),
        ("unlabelled", UNEVEN.map(lambda image, label: image), "unlabelled must be an array of"),
        ("unlabelled", UNEVEN.take(0).map(lambda image, label: image), "unlabelled must be .* got"),
        ("test", tf.data.Dataset.from_tensor_slices(IMAGES), "test must be a dataset of pairs"),
        ("test", PAIRS_STREAM.repeat(), "test must be a dataset that ends, got"),
        ("test", UNEVEN, "test images must be an array of numbers, got"),
    ],
)
def test_datasets_that_cannot_be_divided(argument, bad, message, folder):
    with pytest.raises(ValueError, match=message) as refusal:
        call("make_splits", folder, **{"images": PAIRS_STREAM, "labels": None, argument: bad})
    assert traceback.extract_tb(refusal.tb)[-1].line.startswith("raise")
    assert len(str(refusal.value)) < 1000


def test_labels_beside_a_dataset_that_holds_them(folder):
    with pytest.raises(ValueError, match=r"labels must be None for a dataset, .* got int64"):
        call("make_splits", folder, images=PAIRS_STREAM)


def test_the_fewest_images_that_can_be_divided(folder):
    few = {"num_labels": None, "num_validation": None, "class_names": None, "unlabelled": IMAGES}
    splits = call("make_splits", folder, **few, images=IMAGES[:4], labels=LABELS[:4])
    assert [len(part.labels) for part in (splits.labelled, splits.validation)] == [2, 2]
    assert (splits.class_names, splits.test.labels.dtype) == (("0", "1"), "int32")
    with pytest.raises(ValueError, match=r"num_validation must lie in 2\.\.0, .* got 2"):
        call("make_splits", folder, **few, images=IMAGES[:2], labels=LABELS[:2])
    with pytest.raises(ValueError, match="labels must hold each class several times"):
        rotnet_keras.make_splits(IMAGES[:2], LABELS[:2], unlabelled=IMAGES)


def test_what_is_iterated_over_once_is_taken(folder):
    frame = call("rotation_report", folder, class_names=(name for name in ["Bag", "Coat"]))
    assert frame.index.tolist() == ["Bag", "Coat"]
    files = iter(rotnet_keras.list_pictures(GIVEN / "pictures"))
    assert call("read_pictures", folder, files=files)[0].shape == (2, 12, 12, 1)


def test_a_classifier_of_one_class(tmp_path):
    rotnet_keras.save_classifier(ONE_CLASS, tmp_path / "one.keras", ["Bag"])
    model, facts = rotnet_keras.load_classifier(tmp_path / "one.keras")
    table = rotnet_keras.predict_pictures(model, GIVEN / "pictures", **facts)
    assert table["class"].tolist() == ["Bag", "Bag"]
    assert table["probability"].tolist() == [1, 1]


@pytest.mark.parametrize(
    "preprocess", [np.linalg.inv, lambda images: None, lambda images: [images], lambda: 1]
)
def test_functions_that_are_no_preprocessing(preprocess, folder):
    check_refusal("backbone_extractor", "preprocess", preprocess, folder)


def test_a_network_that_cannot_work_at_another_size(folder):
    images = keras.Input((12, 12, 1))
    flat = keras.Model(images, keras.layers.Dense(3)(keras.layers.Flatten()(images)))
    assert call("backbone_extractor", folder, backbone=flat).output_shape == (None, 3)
    with pytest.raises(ValueError, match=r"input_size .* got \(9, 9, 1\)") as refusal:
        call("backbone_extractor", folder, backbone=flat, input_size=9)
    assert len(str(refusal.value)) < 1000


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_messages_about_a_large_network_stay_short(tmp_path, folder):
    EXTRACTOR.save_weights(tmp_path / "own.weights.h5")
    large = {"backbone": "DenseNet201", "image_shape": (32, 32, 3)}
    for argument, bad in (("layer", "conv5_block32_con"), ("weights", tmp_path / "own.weights.h5")):
        with pytest.raises(ValueError, match=rf"{argument} .*") as refusal:
            call("backbone_extractor", folder, **large, **{argument: bad})
        assert len(str(refusal.value)) < 1000
    with pytest.raises(ValueError, match=r"such as MobileNetV2, .* got 'MobilNetV2'"):
        call("make_extractor", folder, backbone="MobilNetV2")
