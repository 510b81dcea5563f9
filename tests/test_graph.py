import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from small_networks import block_of_pixels

from rotnet_keras import accuracy, conv_blocks_extractor, extract_features, predict_classes
from rotnet_keras.few_labels.graph import (
    _within_classes,
    balancing_offsets,
    guess_labels,
    soft_neighbours,
    spread_labels,
)
from rotnet_keras.few_labels.probes import block_features

pytestmark = pytest.mark.backend

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def extractor():
    return conv_blocks_extractor((12, 12, 1), (4, 8, 8), seed=1)


@given(
    seed=st.integers(0, 999),
    weights=st.lists(st.integers(1, 9), min_size=2, max_size=5),
    scale=st.sampled_from([0.01, 1, 100]),
)
@settings(max_examples=20, deadline=None)
def test_offsets_bring_classes_to_their_shares(seed, weights, scale):
    shares = np.array(weights) / sum(weights)
    scores = scale * np.random.default_rng(seed).normal(size=(300, len(shares)))
    scores += scale * np.arange(len(shares))  # the last class swallows the others
    classes = (scores + balancing_offsets(scores, shares)).argmax(axis=1)
    np.testing.assert_allclose(np.bincount(classes, minlength=len(shares)) / 300, shares, atol=0.02)


def test_offsets_by_hand():
    scores = np.array([[4.0, 0.0], [3.0, 0.0], [2.0, 0.0], [1.0, 0.0]])
    classes = (scores + balancing_offsets(scores, [0.5, 0.5])).argmax(axis=1)
    np.testing.assert_array_equal(classes, [0, 0, 1, 1])


@pytest.fixture(scope="module")
def groups():
    """Three clouds of 20, 30 and 50 points that touch; features and class numbers 0, 4 and 7."""
    pytest.importorskip("graphlearning")
    truth = np.repeat([0, 4, 7], [20, 30, 50])
    centres = {0: (1, 0, 0), 4: (0, 1, 0), 7: (0, 0, 1)}
    features = np.array([centres[k] for k in truth])
    features = features + 0.3 * np.random.default_rng(1).normal(size=features.shape)
    order = np.random.default_rng(2).permutation(100)
    return features[order], truth[order]


def known(truth, counts):
    """Labels of the first so many points of each class, -1 elsewhere."""
    labels = np.full(len(truth), -1)
    for k, count in counts.items():
        where = np.flatnonzero(truth == k)[:count]
        labels[where] = k
    return labels


@pytest.mark.parametrize("method", ["laplace", "poisson"])
def test_labels_spread_over_their_group(groups, method):
    features, truth = groups
    spread, _ = spread_labels(features, known(truth, {0: 2, 4: 3, 7: 5}), method=method)
    assert np.mean(spread == truth) >= 0.95


def test_known_labels_stay_and_shares_are_theirs(groups):
    features, truth = groups
    labels = known(truth, {0: 4, 4: 4, 7: 2})
    labels[np.flatnonzero(labels == 0)[0]] = 7  # wrong, but said by whoever labelled it
    spread, sure = spread_labels(features, labels, keep=0.1)
    assert sure[labels >= 0].all()
    np.testing.assert_array_equal(spread[labels >= 0], labels[labels >= 0])
    assert set(spread) == {0, 4, 7}
    shares = [np.mean(spread == k) for k in (0, 4, 7)]
    np.testing.assert_allclose(shares, [0.3, 0.4, 0.3], atol=0.06)


def test_the_surest_of_each_class_are_told(groups):
    features, truth = groups
    labels = known(truth, {0: 2, 4: 3, 7: 5})
    (everything, all_sure), (half, kept) = (
        spread_labels(features, labels, keep=keep) for keep in (1.0, 0.5)
    )
    assert (everything >= 0).all()
    assert all_sure.all()
    assert kept[labels >= 0].all()
    np.testing.assert_array_equal(half, everything)
    for k in (0, 4, 7):
        of_class = everything == k
        assert 0.4 <= kept[of_class].mean() <= 0.65


def test_spreading_repeats(groups):
    features, truth = groups
    labels = known(truth, {0: 1, 4: 1, 7: 1})
    first, again = (spread_labels(features, labels, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_one_class_and_fewer_points_than_neighbours(groups):
    spread, _ = spread_labels(groups[0][:6], [-1, -1, 5, -1, -1, -1], neighbours=10)
    assert spread.tolist() == [5] * 6


@pytest.mark.parametrize(
    ("features", "labels", "settings", "message"),
    [
        (np.zeros((3, 2)), [0, 1], {}, r"\(N, D\) and \(N,\), got shapes \(3, 2\) and \(2,\)"),
        (np.zeros(3), [0, 1, -1], {}, r"got shapes \(3,\) and \(3,\)"),
        (np.zeros((3, 2)), [-1, -1, -1], {}, "at least one known label, got none"),
        (np.zeros((2, 2)), [0, 1], {"method": "gossip"}, "method must be .* got 'gossip'"),
        (np.zeros((2, 2)), [0, 1], {"keep": 0}, "keep must lie above 0 and not above 1, got 0"),
        (np.zeros((2, 2)), [0, 1], {"keep": 1.5}, "keep must lie .* got 1.5"),
    ],
)
def test_nothing_to_spread(features, labels, settings, message):
    with pytest.raises(ValueError, match=message):
        spread_labels(features, labels, **settings)


def test_missing_graphlearning_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "graphlearning", None)
    with pytest.raises(ImportError, match="pip install graphlearning"):
        spread_labels(RNG.normal(size=(9, 3)), [0, 1, *[-1] * 7], neighbours=3)


def cosines(a, b):
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    return a @ b.T


@pytest.fixture
def seen(extractor):
    """Twenty images, six others, and how near the others' standardised features are to theirs."""
    images = RNG.integers(0, 256, (26, 12, 12, 1), "uint8")
    features = extract_features(block_features(extractor, [2]), images).astype("float64")
    spread = features[:20].std(axis=0)
    features = (features - features[:20].mean(axis=0)) / np.where(spread > 0, spread, 1)
    # Twenty images lie in a space of at most 19 dimensions: only what is seen there counts.
    basis = np.linalg.svd(features[:20], full_matrices=False)[2][:19]
    return images[:20], images[20:], cosines(features[20:] @ basis.T, features[:20] @ basis.T)


SEEN = {"blocks": [2], "dimensions": 19}


@pytest.mark.parametrize("temperature", [0.02, 0.5])
def test_soft_neighbours_weigh_all_images_by_nearness(extractor, seen, temperature):
    (images, others, nearness), labels = seen, np.arange(20) % 3
    classifier = soft_neighbours(extractor, images, labels, temperature=temperature, **SEEN)
    expected = np.log(softmax(nearness / temperature, axis=1) @ np.eye(3)[labels] + 1e-6)
    np.testing.assert_allclose(extract_features(classifier, others), expected, atol=0.02)


def test_cold_soft_neighbours_are_the_nearest(extractor, seen):
    (images, others, nearness), labels = seen, np.arange(20) % 2
    classifier = soft_neighbours(extractor, images, labels, temperature=1e-3, **SEEN)
    told = predict_classes(classifier, others)
    np.testing.assert_array_equal(told, labels[nearness.argmax(axis=1)])


def test_soft_neighbours_refuse_no_temperature(extractor, images):
    for temperature in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="temperature must lie above 0, got"):
            soft_neighbours(extractor, images, np.arange(8) % 2, temperature=temperature)


def test_guesses_are_what_the_classifier_says_of_the_surer_half(extractor):
    pytest.importorskip("graphlearning")
    images = RNG.integers(0, 256, (40, 12, 12, 1), "uint8")
    guesses, classifier = guess_labels(extractor, images, [0, 1, 2, 1], seed=4)
    sure = guesses >= 0
    assert guesses[:4].tolist() == [0, 1, 2, 1]
    assert 0.4 <= sure.mean() <= 0.65
    np.testing.assert_array_equal(predict_classes(classifier, images)[sure], guesses[sure])
    again, _ = guess_labels(extractor, images, [0, 1, 2, 1], seed=4)
    np.testing.assert_array_equal(guesses, again)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # nothing is left to spread to
def test_the_graph_holds_the_first_images_and_all_that_are_labelled(extractor):
    pytest.importorskip("graphlearning")
    images = RNG.integers(0, 256, (40, 12, 12, 1), "uint8")
    expected, _ = guess_labels(extractor, images[:25], [0, 1, 2, 1])
    spread, _ = guess_labels(extractor, images, [0, 1, 2, 1], most=25)
    np.testing.assert_array_equal(spread, expected)
    labels = np.arange(30) % 3
    np.testing.assert_array_equal(guess_labels(extractor, images, labels, most=25)[0], labels)


def one_telling_pixel(count=400, size=4):
    """Images of two classes that differ in one pixel; the others differ within the classes."""
    rng, classes = np.random.default_rng(0), np.arange(count) % 2
    images = rng.normal(100, 30, (count, size, size, 1))
    images[:, 0, 0, 0] = np.where(classes, 150, 50) + rng.normal(0, 10, count)
    return np.clip(images, 0, 255), classes


def test_evening_out_the_classes_brings_out_what_tells_them_apart():
    pytest.importorskip("graphlearning")
    images, classes = one_telling_pixel()
    plain = block_of_pixels(images.shape[1:])
    known = np.where(np.arange(len(images)) < 20, classes, -1)
    once, _ = spread_labels(extract_features(block_features(plain), images), known)
    _, classifier = guess_labels(plain, images, classes[:20])
    assert accuracy(classifier, images, classes) > np.mean(once == classes) + 0.05


def test_after_evening_out_a_class_has_the_same_spread_in_each_direction():
    rng, labels = np.random.default_rng(0), np.repeat([1, 3], 2_000)
    points = rng.normal(size=(4_000, 3)) @ [[2, 1, 0], [0, 1, 0], [0, 0, 0.5]]
    points[labels == 3] += (5, 5, 5)
    evened = points @ _within_classes(points, labels)
    for k in (1, 3):
        np.testing.assert_allclose(np.cov(evened[labels == k].T), np.eye(3), atol=0.1)


def test_classes_of_single_points_are_left_to_themselves():
    assert np.isfinite(_within_classes(np.eye(3), np.arange(3))).all()


@pytest.mark.parametrize(
    ("labels", "settings", "message"),
    [
        ([0, 2], {}, r"classes 0 to 2 and no others, got \[0, 2\]"),
        ([0, 1], {"num_classes": 3}, "classes 0 to 2"),
        ([0.0, 1.0], {}, "got float64"),
        ([0, 1], {"most": 0}, "most must be a whole number of at least 1, got 0"),
    ],
)
def test_labels_to_guess_from(extractor, images, labels, settings, message):
    with pytest.raises(ValueError, match=message):
        guess_labels(extractor, images, labels, **settings)
