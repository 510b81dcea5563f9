import functools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import brightest_quarter, corners, subclassed

import rotnet_keras as rk
from rotnet_keras import InputError

pytestmark = pytest.mark.backend

CORNERS = corners()


@pytest.mark.parametrize(
    ("build", "rotations"),
    [
        (lambda _: brightest_quarter(), (0, 2)),
        (lambda _: brightest_quarter(), (0, 1, 2)),
        (lambda extractor: rk.attach_head(extractor, 3), (0, 1, 2, 3)),
        (lambda extractor: subclassed(rk.attach_head(extractor, 3)), (0, 1, 2, 3)),
    ],
)
def test_rotation_accuracy_refuses_what_rotation_confusion_refuses(extractor, build, rotations):
    """A model of other outputs, which is not answered by a number near chance."""
    model, refused = build(extractor), set()
    confusion = functools.partial(rk.rotation_confusion, labels=np.zeros(5, int))
    for measure in (rk.rotation_accuracy, confusion):
        message = f"a logit for each of the {len(rotations)} rotations"
        with pytest.raises(InputError, match=message) as refusal:
            measure(model, CORNERS, rotations=rotations)
        refused.add(refusal.value.said)
    assert len(refused) == 1


class AlwaysTakesFor:
    """Answers every image with the rotation that stands in its first pixel once it is upright.

    The upright images hold 1, 2, 3, 4 in their CORNERS, clockwise from the upper left, so that the
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


def test_rotation_confusion_by_hand():
    # Turned by 0, 90, 180 and 270 degrees, image 0 is taken for 0, 2, 3, 1, image 1 for 1, 0, 2, 3
    # and the dark image 4 for 0 every time.
    counts = rk.rotation_confusion(brightest_quarter(), CORNERS[[0, 4, 1]], np.array([0, 0, 2]))
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
    counts = rk.rotation_confusion(
        AlwaysTakesFor(answers), marked(len(labels)), np.array(labels), batch_size=batch_size
    )
    per_class = np.bincount(labels)
    assert counts.shape == (len(per_class), 4, 4)
    for k, images in enumerate(per_class):
        np.testing.assert_array_equal(counts[k], images * np.eye(4, dtype=int)[list(answers)])


def test_rotation_confusion_agrees_with_rotation_accuracy():
    labels = np.array([0, 1, 2, 2, 1])
    for rotations in [(0, 1, 2, 3), (3, 0, 2, 1)]:
        counts = rk.rotation_confusion(brightest_quarter(), CORNERS, labels, rotations=rotations)
        share = counts.trace(axis1=1, axis2=2).sum() / counts.sum()
        expected = rk.rotation_accuracy(brightest_quarter(), CORNERS, rotations=rotations)
        assert share == pytest.approx(expected)


def test_rotation_confusion_over_two_rotations():
    # At 180 degrees the first pixel says 3; a model of two outputs must be asked in its own order.
    class HalfTurns(AlwaysTakesFor):
        def __call__(self, batch, training):
            return super().__call__((np.asarray(batch) + 1) // 2, training)

    model = HalfTurns([0, 1])
    counts = rk.rotation_confusion(model, marked(3), np.array([1, 0, 1]), rotations=(0, 2))
    assert counts.tolist() == [[[1, 0], [0, 1]], [[2, 0], [0, 2]]]
    counts = rk.rotation_confusion(model, marked(1), np.array([0]), rotations=(2, 0))
    assert counts.tolist() == [[[0, 1], [1, 0]]]


def test_classes_that_the_labels_lack_can_be_counted():
    counts = rk.rotation_confusion(
        AlwaysTakesFor(range(4)), marked(2), np.array([0, 0]), num_classes=3
    )
    assert counts.sum(axis=(1, 2)).tolist() == [8, 0, 0]


def test_rotation_errors_by_hand():
    eight = [[6, 0, 4, 0], [0, 9, 0, 1], [2, 0, 8, 0], [0, 0, 0, 10]]
    seven = [[4, 1, 0, 0], [0, 5, 0, 0], [0, 0, 5, 0], [0, 2, 0, 3]]
    table = rk.rotation_errors([eight, seven, np.zeros((4, 4), int)], [8, "seven", "none"])
    assert table.index.name == "class"
    assert table.index.tolist() == ["8", "seven", "none"]
    assert table["images"].tolist() == [10, 5, 0]
    expected = [[33 / 40, 6 / 20, 1 / 20], [17 / 20, 0, 2 / 10], [np.nan] * 3]
    columns = ["accuracy", "half_turn_error", "quarter_turn_error"]
    np.testing.assert_allclose(table[columns], expected)
    assert table.columns.tolist() == ["images", *columns]


def test_rotation_errors_find_their_pair_in_any_order():
    counts = np.array([[[7, 3, 0], [1, 9, 0], [2, 0, 8]]])
    table = rk.rotation_errors(counts, ["a"], rotations=(2, 0, 1))
    assert table["half_turn_error"].tolist() == [4 / 20]
    assert table["quarter_turn_error"].isna().all()  # 270 degrees were not shown
    table = rk.rotation_errors(counts, ["a"], rotations=(3, 1, 2))
    assert table["quarter_turn_error"].tolist() == [4 / 20]
    assert table["half_turn_error"].isna().all()


@given(st.integers(1, 4), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_rotation_errors_are_shares_that_leave_room_for_one_another(classes, seed):
    counts = np.random.default_rng(seed).integers(0, 9, (classes, 4, 4))
    counts[:, :, 0] += 50 - counts.sum(axis=2)  # each rotation was shown 50 times
    table = rk.rotation_errors(counts, range(classes))
    assert table["images"].tolist() == [50] * classes
    together = table["accuracy"] + (table["half_turn_error"] + table["quarter_turn_error"]) / 2
    assert ((table.drop(columns="images") >= 0).all() & (together <= 1 + 1e-9).all()).all()
    whole = rk.rotation_errors(counts.sum(axis=0, keepdims=True), ["all"])
    np.testing.assert_allclose(whole["accuracy"], table["accuracy"].mean())


def test_probabilities_of_a_network_that_always_says_0_degrees():
    probabilities = rk.predict_rotations(AlwaysTakesFor([0, 0, 0, 0]), marked(3), batch_size=2)
    assert (probabilities.shape, probabilities.dtype) == ((3, 4, 4), np.float32)
    other = 1 / (np.e + 3)
    expected = np.broadcast_to([np.e * other, other, other, other], (3, 4, 4))
    np.testing.assert_allclose(probabilities, expected, rtol=1e-6)
    table = rk.rotation_mistakes(probabilities)
    assert table["image"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert table["turned_by"].tolist() == [90, 180, 270] * 3
    assert table["taken_for"].tolist() == [0] * 9


def test_probabilities_follow_the_rotations_shown_and_told():
    # Of 0, 90 and 180 degrees it says 0, 180 and 90, which are the places 1, 0 and 2 here.
    model = AlwaysTakesFor([1, 0, 2])
    probabilities = rk.predict_rotations(model, marked(1), rotations=(2, 0, 1))
    assert probabilities.argmax(axis=2).tolist() == [[2, 1, 0]]
    table = rk.rotation_mistakes(probabilities, rotations=(2, 0, 1))
    rows = table[["image", "turned_by", "taken_for"]].to_numpy().tolist()
    assert rows == [[0, 180, 90], [0, 90, 180]]


def test_probabilities_are_the_softmax_of_each_rotation():
    model = brightest_quarter()
    probabilities = rk.predict_rotations(model, CORNERS / 100, batch_size=3)
    for k in range(4):
        logits = rk.extract_features(model, np.rot90(CORNERS / 100, k, axes=(1, 2)))
        expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(probabilities[:, k], expected, rtol=1e-5)
    large = rk.predict_rotations(model, CORNERS)  # logits of 200 lose nothing
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
    expected = {"image": [1, 0, 1], "turned_by": [0, 90, 270], "taken_for": [90, 0, 0]}
    expected |= {"true_probability": [0, 0.25, 0.25], "taken_probability": [1, 0.5, 0.5]}
    expected = pd.DataFrame(expected)
    for count, shown in ((None, 3), (2, 2), (9, 3)):
        table = rk.rotation_mistakes(probabilities, count=count, rotations=(0, 1, 3))
        pd.testing.assert_frame_equal(table, expected[:shown])
    assert rk.rotation_mistakes(probabilities[2:], rotations=(0, 1, 3)).empty


def confuse(**change):
    arguments = {"images": CORNERS, "labels": np.zeros(5, int)} | change
    return rk.rotation_confusion(brightest_quarter(), **arguments)


WRONG_CONFUSION = [
    ({"labels": np.zeros(4, int)}, r"labels must be whole numbers of shape \(5,\)"),
    ({"labels": np.full(5, -1), "num_classes": 2}, r"labels must lie in 0\.\.1 .* got -1\.\.-1"),
    ({"labels": np.arange(5), "num_classes": 3}, r"labels must lie in 0\.\.2 .* got 0\.\.4"),
    ({"num_classes": 0}, "num_classes must be a whole number of at least 1, got 0"),
    ({"images": np.zeros((5, 12, 9, 1))}, r"images must be square, .* got shape \(5, 12, 9, 1\)"),
    ({"images": np.zeros((5, 12, 12))}, r"images must be \(N, H, W, C\)"),
    ({"rotations": (0, 2)}, r"model must give a logit for each of the 2 rotations, .*\(None, 4\)"),
    ({"rotations": (0, 4)}, "rotations must be two or more"),
    ({"batch_size": 0}, "batch_size must be a whole number"),
]
WRONG_COUNTS = [
    (np.ones((2, 4, 4), int), "class_names must be 2 names, .* got 1"),
    (np.ones((4, 4), int), r"counts must be \(K, 4, 4\) for 4 rotations, got .*\(4, 4\)"),
    (np.ones((1, 2, 2), int), r"counts must be \(K, 4, 4\)"),
    (np.ones((1, 4, 4)), "counts must be whole numbers of at least 0, got float64"),
    (np.full((1, 4, 4), -1), "counts must be whole numbers of at least 0"),
]
WRONG_PROBABILITIES = [
    (np.eye(4), r"probabilities must be \(N, 4, 4\) for 4 rotations, .* \(4, 4\)"),
    (np.ones((1, 2, 2)) / 2, r"probabilities must be \(N, 4, 4\) for 4 rotations"),
    (np.ones((1, 4, 4)), r"probabilities must .* sum to 1 .* sums of 4 to 4"),
    ([np.eye(4) * 2 - 0.25], "probabilities must be at least 0 and .* got -0.25 at least"),
]


@pytest.mark.parametrize(
    ("ask", "wrong", "message"),
    [
        *[(lambda change: confuse(**change), *row) for row in WRONG_CONFUSION],
        *[(lambda counts: rk.rotation_errors(counts, ["a"]), *row) for row in WRONG_COUNTS],
        *[(rk.rotation_mistakes, *row) for row in WRONG_PROBABILITIES],
    ],
)
def test_what_is_wrong_is_named(ask, wrong, message):
    with pytest.raises(ValueError, match=message):
        ask(wrong)


def test_mistakes_on_real_images_are_those_that_accuracy_counts(splits):
    if splits.stand_in:
        pytest.skip("drawn garments are learnt more slowly, and Fashion-MNIST cannot be had here")
    extractor = rk.two_conv_extractor((28, 28, 1))
    model, _ = rk.pretrain(extractor, splits.unlabelled[:1000], epochs=1, seed=0)
    images = splits.test.images[:200]
    table = rk.rotation_mistakes(rk.predict_rotations(model, images))
    assert 0 < len(table) < 400  # better than chance, which makes 600
    share = len(table) / 800
    assert rk.rotation_accuracy(model, images) == pytest.approx(1 - share)
    assert table["true_probability"].is_monotonic_increasing
    assert (table["true_probability"] <= table["taken_probability"]).all()
    worst = table.iloc[0]
    turned = np.rot90(images[int(worst["image"])], int(worst["turned_by"]) // 90)
    assert 90 * rk.predict_classes(model, turned[None])[0] == worst["taken_for"]


def test_the_name_of_version_0_1_is_the_same_function():
    assert rk.rotation_errors is rk.rotation_report


TOLD = 20 * np.eye(4, dtype=int)
ALIKE = np.array([[10, 0, 10, 0], [0, 10, 0, 10]] * 2)  # when upside down
ROUND = np.full((4, 4), 5)


def noise(count, size=8):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 1), "uint8")


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([TOLD, TOLD], ""),
        ([ALIKE, TOLD], "half turns are confused in 1 of 2 classes, a (50%)"),
        ([ALIKE, ALIKE], "half turns are confused in 2 of 2 classes, a (50%), b (50%)"),
        (
            [ALIKE, ROUND],
            "half turns are confused in 1 of 2 classes, a (50%); "
            "few rotations are predicted right of 1 of 2 classes, b (25%)",
        ),
        ([ALIKE - ALIKE // 10, TOLD], ""),  # of eighteen images there is no telling
        ([0 * ALIKE, TOLD], ""),
    ],
)
def test_classes_that_rotation_does_not_suit(counts, said):
    verdict = rk.rotation_verdict(np.array(counts), ["a", "b"], noise(40))
    assert verdict == (f"rotation suits these images badly: {said}" if said else "")


def test_quarter_turns_that_are_mistaken_for_each_other():
    counts = 3 * np.array([[[9, 0, 0, 0], [0, 6, 0, 3], [0, 0, 9, 0], [0, 3, 0, 6]]])
    assert "half turns are confused in 1 of 1 classes, a (33%)" in rk.rotation_verdict(
        counts, ["a"]
    )


def test_without_half_turns_none_is_mistaken():
    assert rk.rotation_verdict(np.array([[[29, 0], [0, 29]]]), ["a"], rotations=(0, 1)) == ""


def test_a_corner_that_gives_the_turn_away():
    images = noise(100)
    images[:, 0, 0] = 255
    images[:, -1, :] = images[:, :, -1] = 20
    said = rk.rotation_verdict(np.array([TOLD]), ["a"], images)
    assert said == (
        "rotation suits these images badly: the outermost two pixels alone give 100% of the turns "
        "away"
    )
    assert rk.rotation_verdict(np.array([TOLD]), ["a"], images[:19]) == ""
    inside = noise(100)
    inside[:, 2:4, 2:4] = 255  # what lies further in does not count
    assert rk.rotation_verdict(np.array([TOLD]), ["a"], inside) == ""


def test_names_that_are_no_text_for_a_table():
    stray = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert rk.rotation_report(np.array([TOLD]), [stray]).index.tolist() == [r"caf\udce9"]
