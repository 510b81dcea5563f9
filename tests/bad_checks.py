"""What each check beside an argument must refuse."""

from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
from bad_values import (
    AXES,
    BLOCKS,
    FRAME,
    FUNCTIONAL,
    LISTED,
    MAPPING,
    MAPS,
    MODEL,
    NAME,
    NAN,
    NESTED,
    NO_ARRAY,
    OBLONG,
    OF_WRONG_RANK,
    PAIR,
    PATH,
    PICTURES,
    POINTS,
    RAGGED,
    SOURCE,
    SQUARE,
    SUMMARIES,
    WHOLE,
    WITH_MAPS,
    Kind,
    arrays,
    astype,
    count,
    features,
    image_shape,
    not_finite,
    number,
    raised,
    shapes,
    spoilt,
    whole_counts,
)
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier
from valid_calls import (
    CLASSIFIER,
    EXTRACTOR,
    FEATURES,
    FILTERS,
    IMAGES,
    LABELS,
    MISTAKEN,
    RUN,
    SHARED_OUT,
    SPREAD,
)

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
SEED = Kind(
    {**count().rows, "zero or negative": [-1], "out of range": [2**32, 10**30]},
    st.one_of(st.integers(max_value=-1), st.integers(min_value=2**32), st.floats(), st.text()),
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
PROBABILITIES = Kind(
    {
        **NO_ARRAY,
        "wrong rank": [SHARED_OUT[0], SHARED_OUT[None]],
        "wrong size": [SHARED_OUT[:, :1]],
        "wrong dtype": astype(SHARED_OUT),
        "NaN": not_finite(SHARED_OUT),
        "out of range": [SHARED_OUT * 2, SHARED_OUT * 0, [[[-1, 2], [0, 1]]]],
        "empty": [SHARED_OUT[:0], []],
    },
    shapes.filter(lambda shape: shape[1:] != (2, 2)).map(np.zeros),
)
told = [name for name in MISTAKEN if name != "true_probability"]
unlikely = {"image": (6, -1), "turned_by": (1,), "taken_for": (360,), "taken_probability": (75,)}
MISTAKES = FRAME | {
    "empty": [MISTAKEN[:0]],
    "wrong size": [
        MISTAKEN.drop(columns="image"),
        MISTAKEN.drop(columns="taken_probability"),
        pd.DataFrame({"arm": ["a"]}),
    ],
    "wrong dtype": [MISTAKEN.assign(**{name: "a"}) for name in told]
    + [MISTAKEN.assign(image=[0.0, 1.0])],
    "NaN": [MISTAKEN.assign(**{name: np.nan}) for name in told],
    "out of range": [MISTAKEN.assign(**{n: v}) for n, values in unlikely.items() for v in values],
}
LISTED_BY_NAME = {
    "wrong rank": [{"a": FEATURES[0]}, {"a": FEATURES[None]}],
    "wrong size": [{"a": FEATURES[:, :0]}],
    "wrong dtype": [{"a": FEATURES.astype(str)}, {"a": {"b": FEATURES.astype(complex)}}],
    "NaN": [{"a": spoilt(FEATURES, np.nan)}, {"a": {"b": spoilt(FEATURES, np.inf)}}],
    "ragged": [{"a": {"x": FEATURES}, "b": {"y": FEATURES}}],
}
OF_NETWORKS = arrays(FILTERS) | {
    "wrong size": [{"a": np.ones((3, 3, 2, 4))}, {"a": FILTERS, "b": np.ones((3, 3, 16, 32))}],
    "empty": [{"a": FILTERS[..., :0]}],
}
TO_ALIGN = Kind(
    {
        "empty": [[], [np.zeros((0, 2))]],
        "wrong kind": [None, 3, "maps", object(), {"a": 1}],
        "wrong rank": [[np.zeros(4)], [np.zeros((3, 3))], [np.zeros((2, 3, 2))]],
        "wrong size": [[np.zeros((3, 2)), np.zeros((4, 2))]],
        "wrong dtype": [[np.zeros((3, 2)).astype(str)]],
        "NaN": [[np.full((3, 2), np.nan)]],
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
NUMBERS = Kind(
    {
        "wrong kind": [None, 3, "0.5", object(), {}],
        "wrong dtype": [["a", "b"], [1j, 2], [None, 1]],
        "wrong rank": [np.float64(1), np.eye(2)],
        "ragged": [RAGGED[0]],
    }
)
LOGITS = Kind(
    {
        **NO_ARRAY,
        "wrong rank": [FEATURES[0], FEATURES[None]],
        "wrong dtype": astype(FEATURES[:, :2]),
        "NaN": not_finite(FEATURES[:, :2]),
    }
)
SHARES = Kind(
    {
        **NO_ARRAY,
        "wrong rank": [FEATURES, np.float64(1)],
        "wrong dtype": astype(np.zeros(6)),
        "NaN": [np.full(6, np.nan), np.full(6, np.inf)],
        "out of range": [np.full(6, 1.1), np.full(6, -0.1)],
    }
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
ARMS = Kind(
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
KNOWN = WHOLE | Kind(
    {"out of range": [LABELS * 0 - 1, LABELS - 2]},
    st.lists(st.integers(-9, -1), min_size=6, max_size=6),
)
VECTORS = FUNCTIONAL | WITH_MAPS | {"wrong kind": [CLASSIFIER]}
NO_NETWORKS = {"wrong kind": [{"a": CLASSIFIER, "b": None}, {"a": MAPS}]}
GREY_OR_COLOUR = image_shape() | {"wrong size": [(12, 12, 2), (12, 12, 4)]}
NAMES = Kind({"empty": [[], ()], "wrong kind": [None, 3, "Bag", object()]})
FILES = Kind({"empty": [[], ()], "wrong kind": [None, 3, object(), [3], [None]]})
TEXT = Kind({"wrong kind": [None, 3, True, object(), ["a"], b"a", IMAGES], **NAN})
CALLBACKS = Kind({"wrong kind": [None, 3, "log", [1], [print], keras.callbacks.Callback]})
ESTIMATOR = Kind({"wrong kind": [None, "knn", object(), 3, KNeighborsClassifier()]})
OPTIMIZER = Kind({"unknown name": ["nonsense", ""], "wrong kind": [None, 3, object(), {}, []]})
ONE_SERIES = {"a": 1}  # no series by name, but one without
MORE_KINDS = [kind for kind in NESTED.rows["wrong kind"] if kind != ONE_SERIES]
ACCURACIES = Kind(NESTED.rows | {"wrong kind": [*MORE_KINDS, {"a": "high"}, {"a": [1]}]}) | {
    "NaN": [{"a": {"x": float("nan")}}],
    "wrong size": [{"a": {"x": 0.5}, "b": {"y": 0.5}}],
}
HISTORIES = MAPPING | {
    "empty": [{"a": {}}, {"a": {"accuracy": []}}],
    "wrong dtype": [{"a": {"accuracy": ["high"]}}],
}
# By the check's name; a function makes the kind of what a check was told, such as `least`.
CHECKS = {
    # of _base
    "check_count": count,
    "check_seed": SEED,
    "check_seeds": LISTED | {"zero or negative": [[-1]], "out of range": [[2**32]]},
    "check_counts_listed": LISTED | {"zero or negative": [[0], [10, -1]]},
    "check_number": number,
    "check_choice": lambda known: NAME,
    "check_text": TEXT,
    "check_list": lambda one: NAMES,
    "check_function": Kind({"wrong kind": ["flip", 3, [len], object(), IMAGES]}),
    "check_path": PATH,
    "check_keras_path": PATH | {"unknown name": ["net", "net.h5"]},
    "check_source": SOURCE,
    "images": PICTURES,
    "unlabelled_images": PICTURES,
    "upright_images": SQUARE,
    "check_pictures": PICTURES | {"wrong size": [raised((4, 4, 2))]},
    "labels": WHOLE,
    "check_features": features,
    "any_model": MODEL,
    "keras_model": MODEL,
    "functional_model": FUNCTIONAL,
    "classifier": MODEL | WITH_MAPS,
    "functional_classifier": FUNCTIONAL | WITH_MAPS,
    "callbacks": CALLBACKS,
    # of a wing
    "familiar": Kind({"wrong kind": ["a.npz", 3, {}, [], FEATURES, object()]}),
    "features_table": FRAME | {"wrong size": [pd.DataFrame({"f0": [0.5]})]},
    "check_blocks": BLOCKS,
    "output_or_blocks": BLOCKS,
    "check_extractor": VECTORS,
    "with_head": FUNCTIONAL | {"wrong kind": [EXTRACTOR]},
    "image_shape_of": image_shape,
    "grey_or_colour": GREY_OR_COLOUR,
    "number_of_blocks": count() | {"out of range": [2, 6]},
    "widths": WIDTHS,
    "rotations": ROTATIONS,
    "square_batch": Kind({**NO_ARRAY, "wrong rank": OF_WRONG_RANK}) | OBLONG,
    "tensor": WHOLE,
    "counted": SQUARE,
    "probabilities": PROBABILITIES,
    "rotation_counts": whole_counts(
        np.ones((2, 2, 2), int), [np.ones((2, 2), int)], np.ones((2, 2, 3), int)
    ),
    "numbers": NUMBERS,
    "check_class_names": NAMES | {"wrong size": [["Bag"]]},
    "check_images_or_pairs": PICTURES,
    "check_unlabelled": PICTURES,
    "check_pair": PAIR,
    "check_encoding": TEXT | {"unknown name": ["klingon", ""]},
    "check_ground": Kind(
        {"wrong kind": ["white", object(), 0.5, (1, 2)], "range": [-1, 256, (0, 0, 256)]}
    ),
    "check_white": Kind(
        {"wrong kind": ["white", object(), 0.5, (1, 2, 3)], "range": [0, (9, 9), 2**16]}
    ),
    "check_channels": count() | {"out of range": [2, 4]},
    "check_files": FILES,
    "share": SHARE,
    "known_labels": KNOWN,
    "labels_of_some": WHOLE | {"out of range": [LABELS - 2]},
    "points": POINTS | {"wrong size": [FEATURES[:1], FEATURES[:, :0]]},
    "fitted": ESTIMATOR,
    "check_many_images": Kind({**SQUARE.rows, "wrong kind": [3, object()]}, SQUARE.drawn),
    "check_runs": RUNS,
    "check_data": SOURCE,
    "check_checkpoint": PATH | {"unknown name": ["weights", "weights.h5"]},
    "labelled_pair": PAIR,
    "check_optimizer": OPTIMIZER,
    "check_devices": count() | {"unknown name": ["some"]},
    "check_arms": ARMS,
    "check_summarised": SUMMARIES,
    "check_file": PATH,
    "check_axes": AXES,
    "check_axes_array": AXES,
    "check_gain": Kind(
        {
            "wrong kind": [
                None,
                3,
                "gain",
                object(),
                {"arms": 1, "twice": 2},
                SimpleNamespace(),
                SimpleNamespace(arms=1, twice=1),
            ],
            "wrong size": [
                SimpleNamespace(arms=pd.DataFrame({"arm": ["a"]}), twice=None, baseline="a"),
                SimpleNamespace(arms=pd.DataFrame(), twice=None, baseline="a"),
            ],
        }
    ),
    "check_accuracies": ACCURACIES,
    "check_histories": HISTORIES,
    "check_matrix": whole_counts(
        np.eye(2, dtype=int), [np.ones(2, int), np.ones((2, 2, 2), int)], np.ones((2, 3), int)
    ),
    "check_points": POINTS | {"wrong size": [FEATURES]},
    "check_published": NESTED,
    "check_summary": SUMMARIES,
    "check_features_by_name": MAPPING | LISTED_BY_NAME,
    "check_logits": LOGITS,
    "check_networks": MAPPING | NO_NETWORKS,
    "check_shares": SHARES,
    "check_filters": OF_NETWORKS,
    "check_heads": Kind(
        {
            "empty": [{}],
            "wrong kind": [3, "a", object(), [1], {"a": None}, {"a": "4"}],
            "wrong dtype": [{"a": 4.0}, {"a": True}],
            "zero or negative": [{"a": 0}, {"a": -4}, {"a": 4, "b": 0}],
        }
    ),
    "check_attention_maps": arrays(SPREAD) | {"zero or negative": [{"a": SPREAD, "b": -SPREAD}]},
    "check_powers": POWERS,
    "check_cache": PATH.optional(),
    "check_maps": TO_ALIGN,
    "check_html": PATH | {"unknown name": ["page.txt", "page"]},
    "check_mistakes": MISTAKES,
}
