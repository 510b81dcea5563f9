import functools
import math

import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rotnet_keras import (
    InputError,
    accuracy,
    attach_head,
    ci95,
    confusion,
    confusion_matrix,
    extract_features,
    predict_classes,
    predict_rotations,
    rotation_accuracy,
    rotation_confusion,
    rotation_errors,
    rotation_mistakes,
    rotation_report,
    two_conv_extractor,
)

pytestmark = pytest.mark.backend


def brightest_quarter():
    """A model whose logits are the brightness of the upper left, upper right, ... quarter."""
    images = keras.Input((12, 12, 1))
    pooled = keras.layers.AveragePooling2D(6)(images)
    return keras.Model(images, keras.layers.Flatten()(pooled))


@pytest.fixture
def corners():
    """Four images, image i with a bright quarter i, and one dark one that counts as class 0."""
    images = np.zeros((5, 12, 12, 1), "uint8")
    for i, (row, column) in enumerate([(0, 0), (0, 6), (6, 0), (6, 6)]):
        images[i, row : row + 6, column : column + 6] = 200
    return images


def test_features_keep_order_over_batches(corners):
    features = extract_features(brightest_quarter(), corners, batch_size=2)
    expected = np.concatenate([200 * np.eye(4), np.zeros((1, 4))])
    np.testing.assert_allclose(features, expected)
    assert features.dtype == np.float32
    assert predict_classes(brightest_quarter(), corners).tolist() == [0, 1, 2, 3, 0]


def test_accuracy_and_confusion_by_hand(corners):
    labels = np.array([0, 1, 2, 2, 1])
    assert accuracy(brightest_quarter(), corners, labels) == pytest.approx(0.6)
    expected = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]]
    assert confusion(brightest_quarter(), corners, labels).tolist() == expected


def test_rotation_accuracy_counts_all_four(corners):
    # A quarter turn moves the bright quarter 0 -> 2 -> 3 -> 1; as logits 0..3 the model says
    # 0, 2, 3, 1 where 0, 1, 2, 3 is right: one of four for image 0.
    assert rotation_accuracy(brightest_quarter(), corners[:1]) == pytest.approx(0.25)
    # Image 1 goes 1 -> 0 -> 2 -> 3: right at the third and the fourth turn.
    assert rotation_accuracy(brightest_quarter(), corners[1:2], batch_size=1) == pytest.approx(0.5)
    assert rotation_accuracy(brightest_quarter(), corners[:2]) == pytest.approx(0.375)


def test_labels_that_do_not_fit(corners):
    with pytest.raises(ValueError, match=r"labels must be whole numbers of shape \(5,\)"):
        accuracy(brightest_quarter(), corners, np.zeros(4, int))
    with pytest.raises(ValueError, match="got float64"):
        confusion(brightest_quarter(), corners, np.zeros(5))
    with pytest.raises(ValueError, match="images must be"):
        accuracy(brightest_quarter(), corners[:0], np.zeros(0, int))


@pytest.mark.parametrize(
    ("image", "rotations", "expected"),
    [(0, (0, 2), 0.5), (1, (0, 1), 0.0), (1, (1, 0), 1.0), (1, (1, 0, 2), 1.0)],
)
def test_rotation_accuracy_over_chosen_rotations(corners, image, rotations, expected):
    # Turned by 0, 90 and 180 degrees, image 0 is taken for 0, 2, 3 and image 1 for 1, 0, 2.
    chosen, whole = corners[image : image + 1], brightest_quarter()
    model = keras.Model(whole.input, whole.output[:, : len(rotations)])
    assert rotation_accuracy(model, chosen, rotations=rotations) == expected


@pytest.mark.parametrize("rotations", [(0, 2), (0, 1, 2)])
def test_rotation_accuracy_of_a_model_of_other_outputs(corners, rotations):
    """It is refused like by `rotation_confusion`, and not answered by a number near chance."""
    for measure in (
        rotation_accuracy,
        functools.partial(rotation_confusion, labels=np.zeros(5, int)),
    ):
        with pytest.raises(InputError, match=f"a logit for each of the {len(rotations)} rotations"):
            measure(brightest_quarter(), corners, rotations=rotations)


def test_rotation_accuracy_over_no_rotations(corners):
    with pytest.raises(ValueError, match=r"rotations must be two or more .* got \(3,\)"):
        rotation_accuracy(brightest_quarter(), corners, rotations=(3,))


class AlwaysTakesFor:
    """Answers every image with the rotation that stands in its first pixel once it is upright.

    The upright images hold 1, 2, 3, 4 in their corners, clockwise from the upper left, so that the
    first pixel tells the true rotation; `answers[true]` is what the model says.
    """

    def __init__(self, answers):
        self.answers = np.asarray(answers)
        self.output_shape = (None, len(answers))

    def __call__(self, batch, training):
        assert not training
        true = np.asarray(batch)[:, 0, 0, 0].astype(int) - 1
        return np.eye(len(self.answers), dtype="float32")[self.answers[true]]


def marked(count):
    """Images whose upper left pixel becomes 1, 2, 3, 4 when they are turned by 0 to 270 degrees."""
    return np.repeat(np.array([[1, 2], [4, 3]], "uint8")[None, :, :, None], count, axis=0)


def test_rotation_confusion_by_hand(corners):
    # Turned by 0, 90, 180 and 270 degrees, image 0 is taken for 0, 2, 3, 1, image 1 for 1, 0, 2, 3
    # and the dark image 4 for 0 every time.
    counts = rotation_confusion(brightest_quarter(), corners[[0, 4, 1]], np.array([0, 0, 2]))
    assert np.issubdtype(counts.dtype, np.integer)
    assert counts.tolist() == [
        [[2, 0, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1], [1, 1, 0, 0]],
        [[0, 0, 0, 0]] * 4,
        [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
    ]


@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=12),
    answers=st.tuples(*[st.integers(0, 3)] * 4),
    batch_size=st.integers(1, 5),
)
@settings(max_examples=50, deadline=None)
def test_rotation_confusion_of_known_answers(labels, answers, batch_size):
    counts = rotation_confusion(
        AlwaysTakesFor(answers), marked(len(labels)), np.array(labels), batch_size=batch_size
    )
    per_class = np.bincount(labels)
    assert counts.shape == (len(per_class), 4, 4)
    for k, images in enumerate(per_class):
        np.testing.assert_array_equal(counts[k], images * np.eye(4, dtype=int)[list(answers)])


def test_rotation_confusion_agrees_with_rotation_accuracy(corners):
    labels = np.array([0, 1, 2, 2, 1])
    for rotations in [(0, 1, 2, 3), (3, 0, 2, 1)]:
        counts = rotation_confusion(brightest_quarter(), corners, labels, rotations=rotations)
        share = counts.trace(axis1=1, axis2=2).sum() / counts.sum()
        expected = rotation_accuracy(brightest_quarter(), corners, rotations=rotations)
        assert share == pytest.approx(expected)


def test_rotation_confusion_over_two_rotations():
    # At 180 degrees the first pixel says 3; a model of two outputs must be asked in its own order.
    class HalfTurns(AlwaysTakesFor):
        def __call__(self, batch, training):
            return super().__call__((np.asarray(batch) + 1) // 2, training)

    counts = rotation_confusion(HalfTurns([0, 1]), marked(3), np.array([1, 0, 1]), rotations=(0, 2))
    assert counts.tolist() == [[[1, 0], [0, 1]], [[2, 0], [0, 2]]]
    counts = rotation_confusion(HalfTurns([0, 1]), marked(1), np.array([0]), rotations=(2, 0))
    assert counts.tolist() == [[[0, 1], [1, 0]]]


def test_classes_that_the_labels_lack_can_be_counted():
    counts = rotation_confusion(
        AlwaysTakesFor(range(4)), marked(2), np.array([0, 0]), num_classes=3
    )
    assert counts.sum(axis=(1, 2)).tolist() == [8, 0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.zeros(4, int)}, r"labels must be whole numbers of shape \(5,\)"),
        (
            {"labels": np.full(5, -1), "num_classes": 2},
            r"labels must lie in 0\.\.1 .* got -1\.\.-1",
        ),
        ({"labels": np.arange(5), "num_classes": 3}, r"labels must lie in 0\.\.2 .* got 0\.\.4"),
        ({"num_classes": 0}, "num_classes must be a whole number of at least 1, got 0"),
        (
            {"images": np.zeros((5, 12, 9, 1))},
            r"images must be square, .* got shape \(5, 12, 9, 1\)",
        ),
        ({"images": np.zeros((5, 12, 12))}, r"images must be \(N, H, W, C\)"),
        (
            {"rotations": (0, 2)},
            r"model must give a logit for each of the 2 rotations, .*\(None, 4\)",
        ),
        ({"rotations": (0, 4)}, "rotations must be two or more"),
        ({"batch_size": 0}, "batch_size must be a whole number"),
    ],
)
def test_rotation_confusion_names_what_is_wrong(corners, change, message):
    arguments = {"images": corners, "labels": np.zeros(5, int)} | change
    with pytest.raises(ValueError, match=message):
        rotation_confusion(brightest_quarter(), **arguments)


def test_rotation_errors_by_hand():
    eight = [[6, 0, 4, 0], [0, 9, 0, 1], [2, 0, 8, 0], [0, 0, 0, 10]]
    seven = [[4, 1, 0, 0], [0, 5, 0, 0], [0, 0, 5, 0], [0, 2, 0, 3]]
    table = rotation_errors([eight, seven, np.zeros((4, 4), int)], [8, "seven", "none"])
    assert table.index.name == "class"
    assert table.index.tolist() == ["8", "seven", "none"]
    assert table["images"].tolist() == [10, 5, 0]
    expected = [[33 / 40, 6 / 20, 1 / 20], [17 / 20, 0, 2 / 10], [np.nan] * 3]
    columns = ["accuracy", "half_turn_error", "quarter_turn_error"]
    np.testing.assert_allclose(table[columns], expected)
    assert table.columns.tolist() == ["images", *columns]


def test_rotation_errors_find_their_pair_in_any_order():
    counts = np.array([[[7, 3, 0], [1, 9, 0], [2, 0, 8]]])
    table = rotation_errors(counts, ["a"], rotations=(2, 0, 1))
    assert table["half_turn_error"].tolist() == [4 / 20]
    assert table["quarter_turn_error"].isna().all()  # 270 degrees were not shown
    table = rotation_errors(counts, ["a"], rotations=(3, 1, 2))
    assert table["quarter_turn_error"].tolist() == [4 / 20]
    assert table["half_turn_error"].isna().all()


@given(st.integers(1, 4), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_rotation_errors_are_shares_that_leave_room_for_one_another(classes, seed):
    counts = np.random.default_rng(seed).integers(0, 9, (classes, 4, 4))
    counts[:, :, 0] += 50 - counts.sum(axis=2)  # each rotation was shown 50 times
    table = rotation_errors(counts, range(classes))
    assert table["images"].tolist() == [50] * classes
    together = table["accuracy"] + (table["half_turn_error"] + table["quarter_turn_error"]) / 2
    assert ((table.drop(columns="images") >= 0).all() & (together <= 1 + 1e-9).all()).all()
    whole = rotation_errors(counts.sum(axis=0, keepdims=True), ["all"])
    np.testing.assert_allclose(whole["accuracy"], table["accuracy"].mean())


@pytest.mark.parametrize(
    ("counts", "names", "message"),
    [
        (np.ones((2, 4, 4), int), ["a"], "class_names must be 2 names, .* got 1"),
        (
            np.ones((4, 4), int),
            ["a"],
            r"counts must be \(K, 4, 4\) for 4 rotations, got .*\(4, 4\)",
        ),
        (np.ones((1, 2, 2), int), ["a"], r"counts must be \(K, 4, 4\)"),
        (np.ones((1, 4, 4)), ["a"], "counts must be whole numbers of at least 0, got float64"),
        (np.full((1, 4, 4), -1), ["a"], "counts must be whole numbers of at least 0"),
    ],
)
def test_rotation_errors_name_what_is_wrong(counts, names, message):
    with pytest.raises(ValueError, match=message):
        rotation_errors(counts, names)


def test_probabilities_of_a_network_that_always_says_0_degrees():
    probabilities = predict_rotations(AlwaysTakesFor([0, 0, 0, 0]), marked(3), batch_size=2)
    assert (probabilities.shape, probabilities.dtype) == ((3, 4, 4), np.float32)
    other = 1 / (np.e + 3)
    expected = np.broadcast_to([np.e * other, other, other, other], (3, 4, 4))
    np.testing.assert_allclose(probabilities, expected, rtol=1e-6)
    table = rotation_mistakes(probabilities)
    assert table["image"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert table["turned_by"].tolist() == [90, 180, 270] * 3
    assert table["taken_for"].tolist() == [0] * 9


def test_probabilities_follow_the_rotations_shown_and_told():
    # Of 0, 90 and 180 degrees it says 0, 180 and 90, which are the places 1, 0 and 2 here.
    model = AlwaysTakesFor([1, 0, 2])
    probabilities = predict_rotations(model, marked(1), rotations=(2, 0, 1))
    assert probabilities.argmax(axis=2).tolist() == [[2, 1, 0]]
    table = rotation_mistakes(probabilities, rotations=(2, 0, 1))
    assert table[["image", "turned_by", "taken_for"]].values.tolist() == [
        [0, 180, 90],
        [0, 90, 180],
    ]


def test_probabilities_are_the_softmax_of_each_rotation(corners):
    model = brightest_quarter()
    probabilities = predict_rotations(model, corners / 100, batch_size=3)
    for k in range(4):
        logits = extract_features(model, np.rot90(corners / 100, k, axes=(1, 2)))
        expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(probabilities[:, k], expected, rtol=1e-5)
    large = predict_rotations(model, corners)  # logits of 200 lose nothing
    assert np.isfinite(large).all()
    np.testing.assert_allclose(large.sum(axis=2), 1, rtol=1e-6)
    assert large[0, 0].tolist() == [1, 0, 0, 0]


def test_rotation_mistakes_come_worst_first_and_alike_ones_in_order():
    probabilities = np.array(
        [
            [[0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.125, 0.125, 0.75]],  # one mistake
            [[0, 1, 0], [0, 1, 0], [0.5, 0.25, 0.25]],  # two
            [[1, 0, 0], [0, 1, 0], [0, 0, 1]],  # none
        ]
    )
    expected = pd.DataFrame(
        {
            "image": [1, 0, 1],
            "turned_by": [0, 90, 270],
            "taken_for": [90, 0, 0],
            "true_probability": [0, 0.25, 0.25],
            "taken_probability": [1, 0.5, 0.5],
        }
    )
    table = rotation_mistakes(probabilities, rotations=(0, 1, 3))
    pd.testing.assert_frame_equal(table, expected)
    pd.testing.assert_frame_equal(
        rotation_mistakes(probabilities, count=2, rotations=(0, 1, 3)), expected[:2]
    )
    pd.testing.assert_frame_equal(
        rotation_mistakes(probabilities, count=9, rotations=(0, 1, 3)), expected
    )
    assert rotation_mistakes(probabilities[2:], rotations=(0, 1, 3)).empty


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        (np.eye(4), r"probabilities must be \(N, 4, 4\) for 4 rotations, .* \(4, 4\)"),
        (np.ones((1, 2, 2)) / 2, r"probabilities must be \(N, 4, 4\) for 4 rotations"),
        (np.ones((1, 4, 4)), r"probabilities must .* sum to 1 .* sums of 4 to 4"),
        ([np.eye(4) * 2 - 0.25], "probabilities must be at least 0 and .* got -0.25 at least"),
    ],
)
def test_rotation_mistakes_need_probabilities(probabilities, message):
    with pytest.raises(ValueError, match=message):
        rotation_mistakes(probabilities)


def test_mistakes_on_real_images_are_those_that_accuracy_counts(splits):
    from rotnet_keras import pretrain, two_conv_extractor

    if splits.stand_in:
        pytest.skip("drawn garments are learnt more slowly, and Fashion-MNIST cannot be had here")
    model, _ = pretrain(two_conv_extractor((28, 28, 1)), splits.unlabelled[:1000], epochs=1, seed=0)
    images = splits.test.images[:200]
    table = rotation_mistakes(predict_rotations(model, images))
    assert 0 < len(table) < 400  # better than chance, which makes 600
    share = len(table) / 800
    assert rotation_accuracy(model, images) == pytest.approx(1 - share)
    assert table["true_probability"].is_monotonic_increasing
    assert (table["true_probability"] <= table["taken_probability"]).all()
    worst = table.iloc[0]
    turned = np.rot90(images[int(worst["image"])], int(worst["turned_by"]) // 90)
    assert 90 * predict_classes(model, turned[None])[0] == worst["taken_for"]


def test_names_of_version_0_1_are_the_same_functions():
    assert confusion is confusion_matrix
    assert rotation_errors is rotation_report


@pytest.fixture
def extractor_of_12():
    return two_conv_extractor((12, 12, 1), seed=1)


def subclassed(network):
    """The same as a subclass of Model, which does not say what it puts out."""

    class Own(keras.Model):
        def call(self, images):
            return network(images)

    return Own()


@pytest.mark.parametrize("kind", [list, tuple, dict])
def test_a_network_of_two_outputs(corners, extractor_of_12, kind):
    heads = [keras.layers.Dense(3, name=name)(extractor_of_12.output) for name in ("one", "two")]
    outputs = dict(zip(("one", "two"), heads, strict=True)) if kind is dict else kind(heads)
    two = keras.Model(extractor_of_12.input, outputs)
    with pytest.raises(InputError, match=r"^extract_features: extractor must have one output, got"):
        extract_features(two, corners)
    with pytest.raises(InputError, match=r"^accuracy: model must have one output .* got"):
        accuracy(two, corners, np.zeros(5, int))
    with pytest.raises(InputError, match=r"^predict_rotations: model must give a logit for each"):
        predict_rotations(two, corners)
    for ask in (extract_features, predict_classes):
        with pytest.raises(InputError, match="model must have one output, got 2"):
            ask(subclassed(two), corners)


def test_a_network_that_gives_maps(corners, extractor_of_12):
    maps = keras.Model(extractor_of_12.input, extractor_of_12.get_layer("pool1").output)
    assert extract_features(maps, corners).shape == (5, 5, 5, 16)
    assert extract_features(subclassed(maps), corners).shape == (5, 5, 5, 16)
    with pytest.raises(InputError, match=r"^accuracy: model must have one output \(B, num_classes"):
        accuracy(maps, corners, np.zeros(5, int))
    with pytest.raises(InputError, match=r"^accuracy: model must give logits \(B, num_classes\)"):
        accuracy(subclassed(maps), corners, np.zeros(5, int))


@pytest.mark.parametrize("build", [subclassed, lambda network: network])
def test_rotation_accuracy_refuses_what_rotation_confusion_refuses(extractor_of_12, corners, build):
    model = build(attach_head(extractor_of_12, 3))
    refused = []
    for measure in (
        rotation_accuracy,
        functools.partial(rotation_confusion, labels=np.zeros(5, int)),
    ):
        with pytest.raises(InputError, match="a logit for each of the 4 rotations") as refusal:
            measure(model, corners)
        refused.append(refusal.value.said)
    assert refused[0] == refused[1]


def test_half_an_interval_by_hand():
    # Of 1, 2, 3 the standard error is 1 / sqrt(3); Student's t of two degrees of freedom 4.3027.
    assert ci95([1, 2, 3]) == pytest.approx(4.302653 / math.sqrt(3))
    assert math.isnan(ci95([1]))
    assert math.isnan(ci95(pd.Series([], dtype=float)))
    for wrong in ("0.5", 0.5, None, [[1, 2], [3, 4]], ["a", "b"]):
        with pytest.raises(InputError, match=r"^ci95: values must be "):
            ci95(wrong)
