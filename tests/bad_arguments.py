"""Which bad values each argument of each public function must refuse.

They come from the constraints: those of the check beside the argument, and more for the arguments
that a relation looks at. `BODIES` has those that only the work itself finds.
"""

import functools
import inspect

import keras
import numpy as np
from bad_checks import CHECKS
from bad_values import (
    BLOCK,
    NAME,
    NAN,
    NO_ARRAY,
    OBLONG,
    ONE_CLASS,
    OTHER_SIZES,
    WHOLE,
    WITH_MAPS,
    Kind,
)
from hypothesis import strategies as st
from small_networks import batch_norm_extractor
from valid_calls import EXTRACTOR, FEATURES, GIVEN, IMAGES, LABELS, PUBLIC, SPREAD, arguments_of

import rotnet_keras
from rotnet_keras._base.door import constraints


def size(*values):
    return Kind({"wrong size": [*values]})


other_counts = st.lists(st.integers(0, 1), max_size=12).filter(lambda labels: len(labels) != 6)
beyond = st.lists(st.integers(-5, 5), min_size=6, max_size=6).filter(lambda x: {*x} - {0, 1})
ONE_EACH = Kind({"wrong size": [LABELS[:-1], np.append(LABELS, 0)]}, other_counts)
BELOW = Kind({"out of range": [LABELS - 1, LABELS - 10**12]})
WITHIN = BELOW | Kind({"out of range": [LABELS + 1, LABELS + 10**12]}, beyond)
WITHIN_OR_NONE = Kind(
    {"out of range": [LABELS - 2, LABELS - 10**12, LABELS + 1, LABELS + 10**12]},
    beyond.filter(lambda labels: {*labels} - {-1, 0, 1}),
)
EVERY_CLASS = BELOW | {
    "classes": [LABELS * 0, LABELS * 0 + 1, LABELS * 2],
    "out of range": [LABELS * 10**12],
}
GIVEN_TOO = {"wrong kind": [None]}
EVERY = {"labels": EVERY_CLASS, "num_classes": Kind({"classes": [1, 3]})}
BAG = {"class_names": size(["Bag"])}
TWO_TURNS = {"rotations": size((0, 1, 2))}
ROWS_OF_AXES = Kind(
    {"wrong size": [[], [None], [None] * 3, [[None] * 2]], "ragged": [[[1], [1, 2]]]}
)
OTHER_LABELS = Kind({"out of range": [(IMAGES, LABELS - 1), (IMAGES, LABELS + 7)]})
TOO_MANY = Kind({"out of range": [1, 60]})
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
NEIGHBOURS = Kind(
    {
        **NO_ARRAY,
        "wrong rank": [0, [0, 1], [[[0], [1]]]],
        "wrong size": [[[0, 1]], [[0], [1], [2]]],
        "wrong dtype": [[[0.0], [1.0]], [["0"], ["1"]], [[True], [False]]],
        "NaN": [[0, float("nan")]],
        "out of range": [[[-1], [0]], [[0], [6]]],
        "empty": [[], np.zeros(0, int), [[], []], np.zeros((0, 2), int)],
    }
)
GUESSES = WHOLE.optional() | {
    "wrong size": [np.zeros(7, int)],
    "out of range": [LABELS * 0 - 1, LABELS + 1, LABELS - 2],
}
NO_BLOCKS = Kind({"wrong kind": [batch_norm_extractor()]})
OF_OTHERS = rotnet_keras.Familiar(*(np.ones(sides) for sides in (3, (2, 3), (6, 2), (), ())))
# By the relation's name; to those with nothing here, two arguments are good, only not together.
RELATIONS = {
    "one_label_an_image": {"labels": ONE_EACH},
    "one_turn_an_image": {"labels": ONE_EACH},
    "one_label_a_point": {"labels": ONE_EACH},
    "a_label_a_point": {"labels": ONE_EACH},
    "every_class_has_an_image": EVERY,
    "first_have_labels": EVERY | {"labels": EVERY_CLASS | size(np.append(LABELS, 0))},
    "images_with_labels": {"images": OBLONG, "labels": EVERY_CLASS | ONE_EACH | GIVEN_TOO},
    "labels_from_0": {"labels": BELOW},
    "classes_for_labels": {"labels": BELOW},
    "labels_below": {"labels": WITHIN, "num_classes": Kind({"classes": [1]})},
    "model_has_labels": {"labels": WITHIN},
    "named_or_without": {"labels": WITHIN_OR_NONE} | BAG,
    "classes_have_names": {"labels": WITHIN, "predictions": WITHIN | ONE_EACH} | BAG,
    "names_are_of_labels": {"labels": WITHIN | ONE_EACH | GIVEN_TOO} | BAG,
    "one_name_a_row": {"class_names": size(["Bag"], ["a", "b", "c"])},
    "a_name_an_output": BAG,
    "counts_fit": BAG | TWO_TURNS,
    "each_turn_is_told": TWO_TURNS | {"probabilities": size(np.full((6, 3, 3), 1 / 3))},
    "model_tells_rotations": TWO_TURNS | {"model": Kind({"classes": [ONE_CLASS]}) | WITH_MAPS},
    "model_takes_images": {"images": OTHER_SIZES},
    "extractor_takes_images": {"images": OTHER_SIZES},
    "networks_take_images": {"images": OTHER_SIZES},
    "extractor_takes_unlabelled": {"unlabelled": OTHER_SIZES},
    "unlabelled_are_alike": {"images": OTHER_SIZES},
    "images_fit_extractor": {"images": OTHER_SIZES, "validation_images": OTHER_SIZES},
    "images_are_square": {"images": OBLONG},
    "can_be_contrasted": {"images": OBLONG | OTHER_SIZES | size(IMAGES[:1])},
    "augment_keeps_shape": {"augment": size(lambda images: images[:, 1:])},
    "rotations_are_told": {},  # which are refused beside another task than the table's
    "model_takes_validation": {"validation_data": OTHER_LABELS},
    "extractor_takes_validation": {"validation_data": OTHER_LABELS},
    "some_stay_unlabelled": {"num_labels": TOO_MANY, "num_validation": TOO_MANY},
    "large_enough_for_widths": {"image_shape": size((3, 12, 1))},
    "told_of_each_image": {
        "logits": size(FEATURES, FEATURES[:3, :2]),
        "rotation_accuracies": size(np.zeros(5), []),
    },
    "named_each_image": {"names": size(["a.png"]), "parts": size(["test"] * 7)},
    "opens_on_a_network": {"opens_on": Kind({"unknown name": ["", "another"]})},
    "a_row_an_image": {
        "features": size(FEATURES[:5]),
        "features_by_name": size({"a": FEATURES[:5]}),
    },
    "guesses_fit": {"guesses": GUESSES},
    "queries_are_places": {"queries": PLACES},
    "others_are_enough": {"count": Kind({"out of range": [6, 10**12]})},
    "neighbours_of_queries": {
        "queries": PLACES | size([0]),
        "neighbours": NEIGHBOURS,
        "axes": ROWS_OF_AXES,
    },
    "a_map_an_image": {
        "images": size(IMAGES[:5]),
        "maps": size({"a": SPREAD[:5]}, {"a": SPREAD, "b": SPREAD[:, :0]}),
        "axes": ROWS_OF_AXES,
    },
    "answers_of_images": {
        "labels": WITHIN | ONE_EACH,
        "predicted": WITHIN | ONE_EACH,
        "axes": ROWS_OF_AXES,
    }
    | BAG,
    "can_be_mapped": {"images": size(IMAGES[:3], IMAGES[:1]), "model": WITH_MAPS},
    "axes_for_filters": {"axes": ROWS_OF_AXES},
    "axes_for_mistakes": {"axes": ROWS_OF_AXES},
    "four_axes_an_image": {"axes": size([[None] * 4] * 2)},
    "two_axes": {"axes": size([], [None], [None] * 3, [[None] * 2])},
    "all_have_metric": {"metric": NAME},
    "arm_or_best_without": {
        "baseline": Kind({"unknown name": NAME.rows["unknown name"]}, NAME.drawn)
    },
    "one_label_or_none_an_image": {"labels": ONE_EACH},
    "so_many_without_labels": {"number": Kind({"out of range": [5, 10**12]})},
    "classifier_tells_classes": {"classifier": Kind({"classes": [ONE_CLASS]})},
    "unsure_of_something": {},
    "classes_can_be_split": {
        "labels": Kind({"classes": [LABELS * 0, np.arange(6), [0, 0, 1, 1, 1, 2]]})
    },
    "given_takes_images": {
        "given": Kind({"wrong size": [rotnet_keras.conv_blocks_extractor((8, 8, 1), (2,))]})
    },
    "border_can_be_turned": {"images": OBLONG},
    "model_takes_held_out": {"held_out": OTHER_SIZES},
    "of_these_features": {"familiar": Kind({"wrong size": [OF_OTHERS]})},
    "all_classes_met": {},
    "has_one_output": {},
    "gives_one_output": {},
    "settings_lay_out_flat": {},  # which UMAP's own would be, handed on as they are
    "networks_can_be_had": {},
    "need_blocks": {"extractor": NO_BLOCKS},
    "baseline_is_one": {},
    "unlabelled_can_be_turned": {},
    "patience_needs_validation": {},
    "only_names_are_read": {},
    "arms_fit_network": {},
    "mistakes_are_of_images": {},
}
LAYER = NAME.optional()
BUILT = {"weights": LAYER | {"unknown name": ["imagenet", "none.weights.h5"]}, "layer": LAYER}
SMALL = Kind({"wrong size": [(3, 12, 1)]}, st.tuples(*[st.integers(1, 3)] * 3))
TO_DIVIDE = Kind({"out of range": [1, 5, 60]})
FLAT = keras.Model(EXTRACTOR.input, keras.layers.Flatten()(EXTRACTOR.input))
HOSTS = Kind(
    {
        "empty": [[], ""],
        "wrong kind": [3, object(), [3], [None], {}],
        "unknown name": ["nohost", ["a:1", "b"]],
        **NAN,
    }
)
# By function: what only the work itself can find.
BODIES = {
    "attention_maps": {"blocks": Kind({"classes": [[1, 1], [2, "block2"]]})},
    "backbone_extractor": {"backbone": CHECKS["functional_model"] | LAYER.rows, **BUILT},
    "cut_at_block": {"block": BLOCK},
    "first_filters": {"extractor": Kind({"empty": [FLAT]})},
    "make_extractor": {"backbone": NAME, "image_shape": SMALL, **BUILT},
    "make_splits": {
        "unlabelled": OTHER_SIZES,
        "test": OTHER_LABELS | size((IMAGES[:, :8], LABELS)),
        "num_labels": TO_DIVIDE,
        "num_validation": TO_DIVIDE,
    },
    "prepare_runtime": {
        "hosts": HOSTS,
        "host": Kind({"out of range": [0, 1, -1], "wrong kind": ["0", object()], **NAN}),
    },
    "save_report": {"folder": Kind({"unknown name": [GIVEN / "missing", GIVEN / "pictures"]})},
    "show_html": {"path": Kind({"unknown name": ["missing.html"]})},
    "umap_points": {
        "n_neighbors": Kind({"zero or negative": [0, -1]}),
        "min_dist": Kind({"zero or negative": [-1]}),
    },
    "unpack_zip": {"path": Kind({"unknown name": [GIVEN / "none.zip", GIVEN / "pictures"]})},
}
# Anything is true or false, or a matter of Keras's progress bar.
FLAGS = {
    "all_rotations",
    "colours",
    "explorer",
    "fall_back",
    "mirror",
    "quick",
    "share_weights",
    "shifted",
}
FLAGS |= {"follow_links", "shuffle", "skip_finished", "verbose", "with_head", "names_at_ends"}
# Built when the data is there: `make_extractor` looks at these.
HANDED_ON = {("run_experiment", name) for name in ("backbone", "weights", "layer")}


def function_of(check):
    """The function behind a check of `door.constraints`; None may pass it by."""
    whole = check.args[0] if getattr(check, "args", ()) else check
    return getattr(whole, "func", whole)


def name_of(check):
    return function_of(check).__name__.removeprefix("_")


def of_check(check):
    """What an argument with a check must not be."""
    if getattr(check, "args", ()):
        return of_check(*check.args).optional()
    kind = CHECKS[name_of(check)]
    return kind if isinstance(kind, Kind) else kind(**getattr(check, "keywords", {}))


def relations_of(function):
    return [relation.__name__.removeprefix("_") for relation in door(function).relations]


def door(function):
    """What has the door: a function, or how a class is made."""
    found = getattr(rotnet_keras, function)
    return found.__init__ if inspect.isclass(found) else found


def kinds_of(function):
    """What each argument of a public function must not be."""
    checks = constraints(door(function))
    more = [*(RELATIONS[name] for name in relations_of(function)), BODIES.get(function, {})]
    return {
        name: functools.reduce(
            Kind.__or__,
            [kinds[name] for kinds in more if name in kinds],
            of_check(checks[name]) if name in checks else Kind({}),
        )
        for name in arguments_of(function)
    }


FUNCTIONS = {function: kinds_of(function) for function in PUBLIC}
