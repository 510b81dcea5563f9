"""Bad input to every public function, argument by argument, and the least that each takes.

`bad_arguments.FUNCTIONS` has, of each argument, what it must not be, by the rows of the list: wrong
rank, wrong dtype, NaN, empty, ragged, wrong size, out of range, classes, zero or negative, unknown
name, wrong kind. Every row is a test; hypothesis draws more of the same, 200 cases or more, and
2,000 or more where the environment variable ROTNET_KERAS_NIGHTLY is 1.

A refusal is an error that a line of this package raises, which names the argument and says what it
got. Nothing is written by then.
"""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from bad_arguments import (
    BODIES,
    FLAGS,
    FUNCTIONS,
    HANDED_ON,
    RELATIONS,
    door,
    function_of,
    name_of,
    relations_of,
)
from bad_checks import CHECKS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from valid_calls import (
    EXCEPTIONS,
    GIVEN,
    IMAGES,
    LABELS,
    MISTAKEN,
    PUBLIC,
    SPREAD,
    VALUES,
    WHOLE_DATA_SETS,
    call,
    check_refusal,
)

import rotnet_keras
from rotnet_keras._base.door import constraints
from rotnet_keras.few_labels.verdict import Gain

NIGHTLY = os.environ.get("ROTNET_KERAS_NIGHTLY") == "1"
CASES = 50 if NIGHTLY else 5  # of each function


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("refused")


def test_every_constraint_is_in_a_table_and_nothing_else():
    checks = [check for name in PUBLIC for check in constraints(door(name)).values()]
    relations = [name for function in PUBLIC for name in relations_of(function)]
    assert {name_of(check) for check in checks} == {*CHECKS}
    assert {*relations} == {*RELATIONS}
    assert len({function_of(check) for check in checks}) == len(CHECKS)  # no two of one name


def test_every_argument_has_bad_values_or_takes_anything():
    free = {(f, a) for f, kinds in FUNCTIONS.items() for a, kind in kinds.items() if not kind.rows}
    assert {pair for pair in free if pair[1] not in FLAGS} == HANDED_ON
    assert {argument for _, argument in free - HANDED_ON} == FLAGS
    for tables in (BODIES, EXCEPTIONS):
        assert all({*more} <= {*FUNCTIONS[name]} for name, more in tables.items())
    for name in VALUES:
        assert any(name in kinds for kinds in FUNCTIONS.values()), name


@pytest.mark.backend
@pytest.mark.parametrize("function", sorted({*FUNCTIONS} - WHOLE_DATA_SETS))
def test_what_the_table_calls_valid_is_taken(function, tmp_path, eagerly):
    if function in ("spread_labels", "pseudo_label"):
        pytest.importorskip("graphlearning")
    call(function, tmp_path)


ROWS = [
    pytest.param(name, row, id=f"{name}-{row.replace(' ', '_')}")
    for name, arguments in FUNCTIONS.items()
    for row in sorted({row for kind in arguments.values() for row in kind.rows})
]


@pytest.mark.parametrize(("function", "row"), ROWS)
def test_every_row_is_refused(function, row, folder):
    for argument, kind in FUNCTIONS[function].items():
        for bad in kind.rows.get(row, ()):
            check_refusal(function, argument, bad, folder)


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
@given(data=st.data())
@settings(max_examples=CASES, suppress_health_check=list(HealthCheck))
def test_drawn_input_is_refused(function, data, folder, count_case):
    kinds = {name: kind for name, kind in FUNCTIONS[function].items() if kind.rows}
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
    if isinstance(result, Gain):
        result = (result.gain, result.ci95, result.arms["mean"])
    if isinstance(result, rotnet_keras.Familiar):
        result = (result.mean, result.rest, result.threshold)
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
TRAIN |= {"self_train", "train_jointly", "fit_few_labels", "run_pretraining", "pretrain_contrast"}
WITHOUT_NUMBERS = {"plot_rotations", "rotation_dataset", "save_explorer", "save_projector"}
WITHOUT_NUMBERS |= {"plot_attention_maps", "plot_neighbours", "plot_rotation_mistakes"}
WITHOUT_NUMBERS |= {"rotation_verdict", "plot_predictions", "plot_umap"}
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


ONE_IMAGE = {"images": IMAGES[:1]}
ONE_LABELLED = ONE_IMAGE | {"labels": [0]}


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("rotate_batch", ONE_IMAGE),
        ("rotate_each", ONE_IMAGE | {"labels": [3]}),
        ("rotation_dataset", ONE_IMAGE),
        ("plot_rotations", ONE_IMAGE),
        ("extract_features", ONE_IMAGE),
        ("predict_classes", ONE_IMAGE),
        ("rotation_accuracy", ONE_IMAGE),
        ("accuracy", ONE_LABELLED),
        ("balanced_accuracy", ONE_LABELLED),
        ("confusion_matrix", ONE_LABELLED),
        ("predict_rotations", ONE_IMAGE),
        ("attention_maps", ONE_IMAGE),
        ("plot_attention_maps", ONE_IMAGE | {"maps": {"a": SPREAD[:1]}}),
        ("plot_neighbours", ONE_LABELLED | {"queries": [0], "neighbours": [[0]]}),
        ("plot_rotation_mistakes", ONE_IMAGE | {"mistakes": MISTAKEN.assign(image=0)}),
        ("rotation_confusion", ONE_LABELLED),
        ("rotation_confusion", ONE_LABELLED | {"num_classes": None}),
        ("predict_pictures", {"folder": GIVEN / "pictures" / "Bag"}),
        ("pretrain", ONE_IMAGE | {"validation_images": IMAGES[:1]}),
        ("pretrain", {"validation_images": IMAGES[:1]}),
        ("run_pretraining", ONE_IMAGE),
        ("fit_classifier", ONE_LABELLED | {"validation_data": (IMAGES[:1], [1])}),
        ("train_head", ONE_LABELLED),
        ("fine_tune", ONE_LABELLED),
        ("train_from_scratch", ONE_LABELLED),
        ("self_train", {"unlabelled": IMAGES[:1]}),
        ("train_jointly", {"unlabelled": IMAGES[:1]}),
        ("linear_probe", {"unlabelled": IMAGES[:1]}),
        ("select_to_label", ONE_IMAGE | {"labels": None, "number": 1}),
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
    arguments = {"labels": LABELS * 0, "num_classes": None, "validation_data": (IMAGES, LABELS * 0)}
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


def test_what_is_iterated_over_once_is_taken(folder):
    frame = call("rotation_report", folder, class_names=(name for name in ["Bag", "Coat"]))
    assert frame.index.tolist() == ["Bag", "Coat"]
    files = iter(rotnet_keras.list_pictures(GIVEN / "pictures"))
    assert call("read_pictures", folder, files=files)[0].shape == (2, 12, 12, 1)
