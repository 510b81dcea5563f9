"""What the door must refuse: bad values by check, in the rows of the list.

The rows: wrong rank, wrong dtype, NaN, empty, ragged, wrong size, out of range, classes, zero or
negative, unknown name, wrong kind. Hypothesis draws more of the same.
"""

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from valid_calls import EXTRACTOR, FEATURES, IMAGES, LABELS, SUMMARY, TABLE

from rotnet_keras import attach_head


class Kind:
    """What arguments of one kind must not be: rows of the list, and a strategy for more."""

    def __init__(self, rows, drawn=None):
        self.rows, self.drawn = rows, drawn
        values = [value for some in rows.values() for value in some]
        listed = st.sampled_from(range(len(values))).map(values.__getitem__) if values else None
        both = [strategy for strategy in (listed, drawn) if strategy is not None]
        self.bad = st.one_of(both) if both else None

    def __or__(self, other):
        other = other if isinstance(other, Kind) else Kind(other)
        rows = {
            row: [*self.rows.get(row, ()), *other.rows.get(row, ())]
            for row in {**self.rows, **other.rows}
        }
        drawn = [kind.drawn for kind in (self, other) if kind.drawn is not None]
        return Kind(rows, st.one_of(drawn) if drawn else None)

    def optional(self):
        """The same, where None is a value like others."""
        rows = {row: [v for v in values if v is not None] for row, values in self.rows.items()}
        return Kind(rows, self.drawn)


def spoilt(array, value):
    """A copy as floats in which one number is replaced."""
    array = np.array(array, "float64")
    array.flat[array.size // 2] = value
    return array


def raised(image_shape, count=6):
    return np.zeros((count, *image_shape), "uint8")


def astype(array, *dtypes):
    return [array.astype(dtype) for dtype in dtypes or (str, complex, object)]


def not_finite(array):
    return [spoilt(array, np.nan), spoilt(array, np.inf)]


@st.composite
def spoilt_images(draw):
    """Float images of any kind in which one pixel is not finite."""
    images = IMAGES.astype(draw(st.sampled_from(["float16", "float32", "float64"])))
    images.flat[draw(st.integers(0, images.size - 1))] = draw(st.sampled_from([np.nan, np.inf]))
    return images


def two_inputs():
    first, second = keras.Input((12, 12, 1)), keras.Input((12, 12, 1))
    both = keras.layers.Concatenate()([first, second])
    return keras.Model([first, second], keras.layers.GlobalAveragePooling2D()(both))


MAPS = keras.Model(EXTRACTOR.input, EXTRACTOR.get_layer("block2").output)
ONE_CLASS = attach_head(EXTRACTOR, 1)
NAN = {"NaN": [float("nan")]}
RAGGED = [[[1], [1, 2]], [IMAGES[0], IMAGES[0, :5]]]
NO_ARRAY = {
    "wrong kind": [None, "photos", 3, object(), {}, lambda: IMAGES],
    "ragged": RAGGED,
}
# As others scale pixels: to 0..1, to -1..1, and as 16 bits have them.
SCALED = [IMAGES / 255, (IMAGES / 255).astype("float32"), IMAGES / 127.5 - 1]
SCALED += [IMAGES.astype("uint16") * 257, IMAGES.astype("int16") - 128]


@st.composite
def scaled_images(draw):
    """Images whose pixels are of any range but 0..255."""
    low, high = draw(
        st.sampled_from([(0, 1), (-1, 1), (-0.5, 0.5), (0, 4095), (0, 65_535), (-128, 127)])
    )
    kind = draw(st.sampled_from(["float32", "float64"]))
    spread = np.linspace(low, high, IMAGES.size).reshape(IMAGES.shape).astype(kind)
    return np.random.default_rng(draw(st.integers(0, 99))).permuted(spread)


OF_WRONG_RANK = [IMAGES[0], IMAGES[..., 0], IMAGES[None], IMAGES[0, 0, 0, 0]]
shapes = st.one_of(array_shapes(min_dims=1, max_dims=3), array_shapes(min_dims=5, max_dims=6))
PICTURES = Kind(
    {
        **NO_ARRAY,
        "wrong dtype": astype(IMAGES, str, complex, object, "datetime64[s]"),
        "wrong rank": OF_WRONG_RANK,
        "NaN": [*not_finite(IMAGES), spoilt(IMAGES, -np.inf)],
        "empty": [IMAGES[:0], IMAGES[:, :0, :0], IMAGES[..., :0], []],
        "range": SCALED,
    },
    st.one_of(shapes.map(np.zeros), spoilt_images(), scaled_images()),
)
OBLONG = Kind({"wrong size": [IMAGES[:, :8], IMAGES[:, :, 1:]]})
any_size = st.tuples(st.integers(1, 14), st.integers(1, 14), st.integers(1, 3))
OTHER_SIZES = Kind(
    {"wrong size": [raised((12, 12, 3)), raised((8, 8, 1)), raised((12, 11, 1))]},
    any_size.filter(lambda shape: shape != (12, 12, 1)).map(raised),
)
slices = tf.data.Dataset.from_tensor_slices
PAIRS_STREAM = slices((IMAGES, LABELS))
STREAMS = {
    "wrong kind": [PAIRS_STREAM],
    "wrong rank": [slices(IMAGES[..., 0])],
    "wrong dtype": [slices(IMAGES.astype(str))],
    "wrong size": [slices(IMAGES[:, :8])],
    "empty": [slices(IMAGES[:0])],
    "range": [slices(scaled) for scaled in SCALED],
}
SQUARE = PICTURES | OBLONG | STREAMS
WHOLE = Kind(
    {
        "wrong kind": [None, "labels", 3, object(), {}],
        "ragged": [[[0], [1, 0]]],
        "wrong rank": [LABELS[:, None], np.int64(1), LABELS[None]],
        "wrong dtype": astype(LABELS, float, str, complex, object, bool),
        "NaN": [spoilt(LABELS, np.nan)],
        "empty": [[], LABELS[:0]],
    }
)
NAME = Kind(
    {
        "unknown name": ["nonsense", "", "FLOAT32"],
        "wrong kind": [3, object(), True, ["float32"], np.array(["a", "b"]), None],
        **NAN,
    },
    st.text().map(lambda text: f"no {text}"),
)
NO_MODEL = [None, "two_conv", 3, object(), keras.Model, lambda images: images, IMAGES]
MODEL = Kind({"wrong kind": NO_MODEL})
WITH_MAPS = {"wrong rank": [MAPS]}
FUNCTIONAL = MODEL | {"wrong kind": [keras.Sequential(), two_inputs()]}
PATH = Kind({"wrong kind": [3, object(), ["a"], True, IMAGES, None], "empty": [""], **NAN})
# What data sets there are, only TensorFlow Datasets knows: no name is looked up here.
SOURCE = Kind({"wrong kind": [3, object(), True, ["mnist"], None], **NAN})
BLOCK = Kind(
    {
        "unknown name": ["nonsense", ""],
        "zero or negative": [0, -1],
        "out of range": [3, 10**12],
        "wrong dtype": [1.0, True],
        "wrong kind": [None, object(), [1], IMAGES],
        **NAN,
    },
    st.one_of(st.integers().filter(lambda x: x not in (1, 2)), st.floats(), NAME.drawn),
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
POINTS = Kind(
    {
        **NO_ARRAY,
        "wrong rank": [FEATURES[0], FEATURES[None]],
        "wrong dtype": astype(FEATURES),
        "NaN": not_finite(FEATURES),
        "empty": [FEATURES[:0], []],
    },
    shapes.filter(lambda shape: len(shape) != 2).map(np.zeros),
)
PAIR = Kind(
    {
        "wrong kind": [3, "validation", object(), IMAGES[:1]],
        "wrong size": [(IMAGES,), (IMAGES, LABELS, LABELS), (IMAGES, LABELS[:2])],
        "wrong rank": [(IMAGES[0], LABELS), (IMAGES, LABELS[:, None])],
        "wrong dtype": [(IMAGES.astype(str), LABELS), (IMAGES, LABELS / 1)],
        "NaN": [(spoilt(IMAGES, np.nan), LABELS)],
        "empty": [(IMAGES[:0], LABELS[:0]), ()],
    }
)
LISTED = Kind(
    {
        "empty": [[], ()],
        "wrong dtype": [[1.5], ["10"], [True]],
        "NaN": [[float("nan")]],
        "wrong rank": [[[10]], 10],
        "wrong kind": [None, "10", object(), {}],
    }
)
AXES = Kind({"wrong kind": ["axes", 3, object(), IMAGES, [1]]})
MAPPING = Kind({"empty": [{}], "wrong kind": [None, 3, "a", object(), [1], {"a": 1}, {"a": None}]})
NESTED = MAPPING | {
    "empty": [{"a": {}}],
    "wrong dtype": [{"a": {"x": "0.5"}}, {"a": {"x": 1j}}],
    "ragged": [{"a": {"x": [1, 2], "y": 1}}],
}
FRAME = Kind(
    {
        "empty": [SUMMARY[:0], TABLE[:0], pd.DataFrame()],
        "wrong kind": [None, 3, "table", {}, object(), [1], IMAGES],
    }
)
SUMMARIES = FRAME | {"wrong size": [pd.DataFrame({"arm": ["a"]})]}


def arrays(good):
    """Rows for arrays in a dictionary by name."""
    wrong = {
        "ragged": [RAGGED[0]],
        "wrong rank": [good[0], good[None]],
        "wrong dtype": astype(good),
        "NaN": not_finite(good),
        "empty": [[]],
    }
    return MAPPING | {row: [{"a": value} for value in values] for row, values in wrong.items()}


def whole_counts(good, wrong_rank, wrong_size):
    """Rows for tables of counts."""
    return Kind(
        {
            **NO_ARRAY,
            "wrong rank": wrong_rank,
            "wrong size": [wrong_size],
            "wrong dtype": astype(good, float, str, complex),
            "zero or negative": [-good],
            "NaN": [good * np.nan],
            "empty": [good[:0]],
        }
    )


def count(least=1):
    small = st.one_of(st.integers(max_value=least - 1), st.floats(), st.text(max_size=5))
    rows = {
        "zero or negative": [n for n in (1, 0, -1, -(10**12)) if n < least],
        "wrong dtype": [1.5, 2.0, np.float64(2), True, 1 + 0j],
        "NaN": [float("nan"), float("inf")],
        "wrong rank": [[2], np.array([2, 3]), np.array([2])],
        "wrong kind": ["3", object(), {}, None],
    }
    return Kind(rows, st.one_of(small, st.binary(max_size=5)))


def number(lies, inside):
    rows = {
        "zero or negative": [x for x in (0, -1, -0.5) if not inside(x)],
        "out of range": [x for x in (-0.1, 1.1, 10**400) if not inside(x)],
        "wrong dtype": [True, 1j],
        "NaN": [float("nan"), float("inf")],
        "wrong rank": [[0.1], np.array([0.1, 0.2])],
        "wrong kind": ["0.1", object(), {}, None],
    }
    drawn = st.floats().filter(lambda x: not inside(x))
    return Kind(rows, st.one_of(drawn, st.text(max_size=5)))


def image_shape(smallest=1):
    rows = {
        "wrong size": [(12, 12), (12, 12, 1, 1), (), (smallest - 1, 12, 1)],
        "zero or negative": [(12, 12, 0), (-12, 12, 1)],
        "wrong dtype": [(12.0, 12, 1), ("12", 12, 1), (12, 12, True)],
        "NaN": [(12, float("nan"), 1)],
        "wrong kind": [None, 12, "12", object(), IMAGES],
    }
    return Kind(rows, st.tuples(*[st.integers(-20, smallest - 1)] * 3))


def features(least=1):
    return POINTS | {"wrong size": [FEATURES[:, :0], *(FEATURES[:n] for n in range(1, least))]}
