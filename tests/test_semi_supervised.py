import keras
import numpy as np
import pytest
from small_networks import assert_same_weights

from rotnet_keras import (
    accuracy,
    conv_blocks_extractor,
    strong_augmentation,
    two_conv_extractor,
)
from rotnet_keras._base.values import another_seed
from rotnet_keras.few_labels import semi_supervised
from rotnet_keras.few_labels.semi_supervised import self_train, train_jointly

pytestmark = pytest.mark.backend

WAYS = [train_jointly, self_train]


def stripes(count, seed=0):
    """Horizontal and vertical stripes, in turn, at random brightness: images and labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    lying = np.repeat(np.arange(12) % 4 < 2, 12).reshape(12, 12)
    brightness = rng.integers(80, 200, (count, 1, 1))
    images = np.where(labels[:, None, None] == 0, lying, lying.T) * brightness
    return (images + rng.integers(0, 56, images.shape)).astype("uint8")[..., None], labels


@pytest.fixture(scope="module")
def extractor():
    return conv_blocks_extractor((12, 12, 1), (4, 8), seed=1)


@pytest.fixture(scope="module")
def without_statistics():
    """An extractor without batch normalisation: only a loss can teach it anything."""
    return two_conv_extractor((12, 12, 1), feature_dim=5, seed=3)


def same(a, b):
    pairs = zip(a.get_weights(), b.get_weights(), strict=True)
    return all(np.allclose(x, y, atol=1e-6) for x, y in pairs)


@pytest.mark.parametrize("way", WAYS)
def test_few_labels_are_learnt_and_the_extractor_is_left_alone(extractor, way):
    before = extractor.get_weights()
    options = {"updates": 80, "batch_size": 8, "learning_rate": 2e-2}
    model, _ = way(extractor, *stripes(4), unlabelled=stripes(40, seed=1)[0], **options)
    assert model.output_shape == (None, 2)
    assert model.layers[-1].name == "head"
    assert accuracy(model, *stripes(60, seed=2)) >= 0.9  # chance is 0.5
    assert_same_weights(before, extractor)


@pytest.mark.parametrize("way", WAYS)
def test_same_seed_same_weights(extractor, way, eagerly):
    images, labels = stripes(6)
    settings = {"unlabelled": images, "num_classes": 2, "updates": 2, "batch_size": 4}
    first, again, other = (
        way(extractor, images, labels, seed=seed, **settings)[0] for seed in (1, 1, 2)
    )
    assert_same_weights(first, again)
    assert not same(first, other)


@pytest.mark.parametrize("way", WAYS)
def test_reduced_precision_ends_in_a_float32_model(extractor, way, eagerly):
    images, labels = stripes(4)
    options = {"updates": 1, "batch_size": 4, "precision": "mixed_bfloat16"}
    model, _ = way(extractor, images, labels, unlabelled=images, **options)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert np.isfinite(model(images)).all()


@pytest.mark.parametrize(
    ("way", "deaf", "listening"),
    [(train_jointly, {"weight": 0.0}, {}), (self_train, {"threshold": 1.0}, {"threshold": 0.0})],
)
def test_what_unlabelled_images_teach_can_be_turned_off(
    without_statistics, way, deaf, listening, eagerly
):
    images, labels = stripes(4)
    here, there = stripes(8, seed=1)[0], 255 - stripes(8, seed=2)[0]

    def fit(unlabelled, settings):
        options = {"updates": 2, "batch_size": 4, "learning_rate": 0.01} | settings
        return way(without_statistics, images, labels, unlabelled=unlabelled, **options)[0]

    reference = fit(here, deaf)
    assert same(reference, fit(there, deaf))
    assert not same(reference, fit(here, listening))


def guess(extractor, guesses, *, unlabelled, labels=None, **settings):
    images, truth = stripes(4)
    labels = truth.astype("int32") if labels is None else labels
    options = {"updates": 2, "batch_size": 8, "threshold": 1.0} | settings
    options |= {"unlabelled": unlabelled, "guesses": guesses}
    return self_train(extractor, images, labels, **options)[0]


def test_images_are_learnt_from_where_a_class_is_guessed(without_statistics, eagerly):
    unlabelled = stripes(6, seed=1)[0]
    left_out, guessed = unlabelled.copy(), unlabelled.copy()
    left_out[[1, 3, 5]] = 0
    guessed[0] = 0
    guesses = [0, -1, 1]
    reference, unmoved, moved = (
        guess(without_statistics, guesses, unlabelled=images, learning_rate=0.01)
        for images in (unlabelled, left_out, guessed)
    )
    assert same(reference, unmoved)
    assert not same(reference, moved)


def test_same_seed_same_weights_with_guesses(extractor, eagerly):
    images, _ = stripes(24, seed=1)
    guesses = np.where(np.arange(24) % 3 == 0, np.arange(24) % 2, -1)
    options = {"unlabelled": images, "batch_size": 32, "learning_rate": 0.01}
    first, *others = (guess(extractor, guesses, **options) for _ in range(4))
    assert all(same(first, other) for other in others)


def test_guesses_outnumber_labels(extractor):
    """Guesses that say the opposite of the labels win: they are three quarters of a batch."""
    unlabelled, truth = stripes(40, seed=1)
    options = {"updates": 200, "batch_size": 16, "learning_rate": 2e-2}
    model = guess(extractor, 1 - truth, unlabelled=unlabelled, **options)
    test, wanted = stripes(60, seed=2)
    assert accuracy(model, test, 1 - wanted) >= 0.9


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_guesses_beside_labels_of_any_whole_type(extractor, dtype, eagerly):
    images, labels = stripes(4)
    model = guess(extractor, [0, -1, 1], unlabelled=images, labels=labels.astype(dtype), updates=1)
    assert model.output_shape == (None, 2)


@pytest.mark.parametrize(
    "guesses", [[-1, -1], [0, 1, 0, 1, 0], np.zeros((2, 2), int), [0, 7, 1], []]
)
def test_wrong_guesses(extractor, guesses):
    with pytest.raises(ValueError, match="guesses must"):
        guess(extractor, guesses, unlabelled=stripes(4)[0])


def test_strong_change_is_that_which_is_asked_for(without_statistics, eagerly):
    """Of images that it blanks nothing but the blank is learnt: another network than usual."""
    images, labels = stripes(6)
    how = {"unlabelled": images, "updates": 2, "batch_size": 4, "threshold": 0.0}
    usual, named, blank = (
        self_train(without_statistics, images, labels, augment=augment, **how)[0]
        for augment in (None, strong_augmentation(seed=another_seed(0, 30)), lambda x: 0 * x)
    )
    assert_same_weights(usual, named)
    assert not same(usual, blank)


WRONG = [
    ({"num_classes": 3}, r"classes 0 to 2 and no others, got \[0, 1\]"),
    ({"labels": np.arange(3)}, r"labels must be whole numbers of shape \(4,\)"),
    ({"unlabelled": np.zeros((4, 12, 12))}, "images must be .* got \\(4, 12, 12\\)"),
    ({"unlabelled": np.zeros((0, 12, 12, 1))}, "images must be .* N at least 1"),
    ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
    ({"updates": 0}, "updates must be a whole number of at least 1, got 0"),
    ({"precision": "float8"}, "precision must be one of .* got 'float8'"),
]
ALONE = [
    ({"threshold": value}, rf"threshold must lie in 0\.\.1, got {value}") for value in (-0.1, 1.1)
] + [
    ({"augment": lambda x: x[:, 1:]}, r"augment must keep the shape \(2, 12, 12, 1\) .*, got"),
    ({"augment": lambda x: x.no_such_thing}, "augment must take a batch"),
    ({"augment": "strong"}, "augment must be a function, or None, got 'strong'"),
]


@pytest.mark.parametrize(
    ("way", "settings", "message"),
    [(way, *row) for way in WAYS for row in WRONG] + [(self_train, *row) for row in ALONE],
)
def test_wrong_settings(extractor, way, settings, message):
    images, labels = stripes(4)
    with pytest.raises(ValueError, match=message):
        way(extractor, images, **({"labels": labels, "unlabelled": images} | settings))


def test_of_sure_images_the_first_are_learnt_from_and_stand_for_all():
    """The loss by hand, of known answers: sure of 0, 2 and 3, of which two are learnt from."""
    classifier = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    model = semi_supervised._SelfTraining(classifier, np.array([0.5, 0.5]), 0.8, most=2)
    gentle = np.array([[9, 0], [0, 0], [0, 9], [9, 0], [0, 0]], "float32")
    strong = np.array([[1, 0], [5, 0], [2, 0], [7, 0], [0, 0]], "float32")
    named = np.array([[0, 3]], "float32")
    answers = np.exp(gentle) / np.exp(gentle).sum(axis=1, keepdims=True)
    outputs = model([named, gentle, strong], training=True)
    assert [np.shape(part) for part in outputs] == [(1, 2), (2, 2), (2,), (2,)]
    np.testing.assert_array_equal(outputs[1], strong[[0, 2]])
    np.testing.assert_array_equal(outputs[2], [0, 1])
    np.testing.assert_allclose(outputs[3], [0.3, 0.3], rtol=1e-6)  # 3 of 5 were sure
    np.testing.assert_allclose(model.answered, 0.495 + 0.01 * answers.mean(axis=0), rtol=1e-6)
    loss = model.compute_loss(y=np.array([1]), y_pred=outputs)
    wanted = np.log1p(np.exp(-3)) + 0.3 * (np.log1p(np.exp(-1)) + np.log1p(np.exp(2)))
    assert float(loss) == pytest.approx(wanted, rel=1e-5)


def test_one_label_in_a_batch_beside_guesses(extractor):
    images, labels = stripes(8)
    options = {"unlabelled": images, "guesses": labels, "updates": 2, "batch_size": 1}
    model, _ = self_train(extractor, images, labels, verbose=0, **options)
    assert np.isfinite(model(images)).all()
