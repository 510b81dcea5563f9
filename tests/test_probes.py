import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from small_networks import assert_same_weights, block_of_pixels, chain

import rotnet_keras as rk
from rotnet_keras import InputError, accuracy, extract_features, predict_classes
from rotnet_keras.few_labels.probes import (
    FeatureClassifier,
    block_features,
    linear_probe,
    nearest_neighbours,
    pixel_probe,
)

pytestmark = pytest.mark.backend

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (24, 12, 12, 1), "uint8")
LABELS = np.arange(24) % 3


@pytest.fixture(scope="module")
def extractor():
    return rk.conv_blocks_extractor((12, 12, 1), (4, 8, 8), seed=1)


def averaging():
    return block_of_pixels((4, 4, 1))


def test_features_of_a_block_by_hand():
    image = np.arange(16, dtype="float32").reshape(1, 4, 4, 1)
    cells = np.array([[2.5, 4.5, 10.5, 12.5]])
    features = block_features(averaging(), [1], grid=2, mirror=False)
    np.testing.assert_allclose(features(image), np.sqrt(cells), rtol=1e-6)
    mirrored = block_features(averaging(), [1], grid=2)
    np.testing.assert_allclose(mirrored(image), np.sqrt([[3.5, 3.5, 11.5, 11.5]]), rtol=1e-6)
    np.testing.assert_allclose(features(-image), -np.sqrt(cells), rtol=1e-6)
    whole = block_features(averaging(), [1], grid=1)
    np.testing.assert_allclose(whole(image), np.sqrt([[7.5]]), rtol=1e-6)


def test_blocks_are_numbers_or_names_and_all_but_the_first_by_default(extractor):
    by_number, by_name, default = (
        extract_features(block_features(extractor, blocks), IMAGES)
        for blocks in ([2, 3], ["block2", "block3"], None)
    )
    np.testing.assert_array_equal(by_number, by_name)
    np.testing.assert_array_equal(by_number, default)
    alone = [extract_features(block_features(extractor, [block]), IMAGES) for block in (2, 3)]
    np.testing.assert_allclose(by_number, np.hstack(alone), rtol=1e-5)
    assert by_number.dtype == np.float32


def test_only_block_is_the_default_of_a_network_with_one():
    assert block_features(averaging()).output_shape == (None, 16)


@given(height=st.integers(1, 15), width=st.integers(1, 15), grid=st.integers(1, 6))
@settings(max_examples=15, deadline=None)
def test_grid_holds_at_most_so_many_cells(height, width, grid):
    extractor = block_of_pixels((height, width, 1))
    values = np.full((1, height, width, 1), 9.0, "float32")
    features = np.asarray(block_features(extractor, [1], grid=grid)(values))
    assert 1 <= features.size <= grid**2
    np.testing.assert_allclose(features, 3, rtol=1e-6)  # no cell counts its padding


def test_mirror_images_have_the_same_features(extractor):
    def distance(mirror):
        features = block_features(extractor, mirror=mirror)
        there, back = (extract_features(features, x) for x in (IMAGES, IMAGES[:, :, ::-1]))
        return np.abs(there - back).max()

    assert distance(mirror=True) < 1e-4
    assert distance(mirror=False) > 0.01


def test_extractor_is_copied(extractor):
    other = keras.models.clone_model(extractor)
    other.set_weights(extractor.get_weights())
    features = block_features(other)
    before = extract_features(features, IMAGES)
    other.set_weights([0 * weight for weight in other.get_weights()])
    np.testing.assert_array_equal(extract_features(features, IMAGES), before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"blocks": [4]}, "block must be a number from 1 to 3 .* got 4"),
        ({"blocks": [2, "top"]}, "block must be .* got 'top'"),
        ({"blocks": []}, "blocks must name at least one block"),
        ({"grid": 0}, "grid must be a whole number of at least 1, got 0"),
    ],
)
def test_wrong_blocks(extractor, arguments, message):
    with pytest.raises(ValueError, match=message):
        block_features(extractor, **arguments)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_probe_is_the_logistic_regression_of_standardised_features(num_classes):
    """In two classes, too, where scikit-learn has one logit only."""
    labels = LABELS % num_classes
    probe = pixel_probe(IMAGES, labels, strength=0.1)
    pixels = IMAGES.reshape(24, -1) / 255
    scaler = StandardScaler().fit(pixels)
    expected = LogisticRegression(C=0.1, max_iter=1000).fit(scaler.transform(pixels), labels)
    chances = expected.predict_proba(scaler.transform(pixels))
    np.testing.assert_allclose(softmax(extract_features(probe, IMAGES), axis=1), chances, atol=1e-3)
    assert probe.output_shape == (None, num_classes)
    assert probe.layers[-1].name == "head"


def test_unlabelled_images_tell_how_much_a_feature_varies():
    """Features that vary more among them are weighed less."""
    extractor = chain((1, 1, 2), keras.layers.Flatten())
    labelled = np.array([[0, 0], [1, 1], [0, 0], [1, 1]], "uint8").reshape(4, 1, 1, 2)
    many = np.array([[0, 0], [1, 10], [0, 0], [1, 10]], "uint8").reshape(4, 1, 1, 2)

    def weights(unlabelled):
        options = {"blocks": "output", "unlabelled": unlabelled}
        probe = linear_probe(extractor, labelled, [0, 1, 0, 1], **options)
        first, second = probe.get_layer("head").kernel.numpy()[:, 1]
        return second / first

    assert weights(None) == pytest.approx(1, rel=1e-3)
    assert weights(many) == pytest.approx(1 / 100, rel=1e-3)


def test_a_shifted_probe_also_learns_from_the_image_beside_its_place():
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1), "uint8")
    labels = np.array([0, 1, 0, 1, 0, 1])
    moved = [images]
    for axis, index in ((1, 0), (1, -1), (2, 0), (2, -1)):  # towards each side, the edge repeated
        edge = np.take(images, [index], axis=axis)
        rest = np.delete(images, -1 if index == 0 else 0, axis=axis)
        parts = (edge, rest) if index == 0 else (rest, edge)
        moved.append(np.concatenate(parts, axis=axis))
    flat = chain((4, 4, 1), keras.layers.Flatten())
    same = {"blocks": "output", "unlabelled": images}
    five = linear_probe(flat, np.concatenate(moved), np.tile(labels, 5), strength=0.2, **same)
    one = linear_probe(flat, images, labels, strength=1.0, shifted=True, **same)
    np.testing.assert_allclose(*(extract_features(x, images) for x in (one, five)), atol=1e-3)


def test_constant_features_do_no_harm():
    black = np.zeros((6, 12, 12, 1), "uint8")
    probe = pixel_probe(black, np.arange(6) % 3)
    np.testing.assert_allclose(softmax(extract_features(probe, black), axis=1), 1 / 3, atol=1e-3)


def test_linear_probe_separates_what_it_saw_and_leaves_the_extractor(extractor):
    before = extractor.get_weights()
    probe = linear_probe(extractor, IMAGES, LABELS, strength=100, num_classes=3)
    assert accuracy(probe, IMAGES, LABELS) == 1
    assert_same_weights(before, extractor)


def test_probe_is_a_plain_model_that_can_be_saved(extractor, tmp_path):
    probe = linear_probe(extractor, IMAGES, LABELS)
    probe.save(tmp_path / "probe.keras")
    loaded = keras.models.load_model(tmp_path / "probe.keras")
    expected = extract_features(probe, IMAGES)
    np.testing.assert_allclose(extract_features(loaded, IMAGES), expected, atol=1e-5)


def test_nearest_neighbour_by_hand():
    """Of each image the direction of its pixels counts, not their brightness."""
    images = np.zeros((3, 4, 4, 1), "uint8")
    for i in range(3):
        images[i, i] = 100
    classifier = nearest_neighbours(averaging(), images, [0, 1, 2], neighbours=1, mirror=False)
    assert isinstance(classifier, FeatureClassifier)
    assert classifier.output_shape == (None, 3)
    expected = np.log(np.eye(3)[::-1] + 1e-6)  # logarithms, as other classifiers give
    np.testing.assert_array_equal(classifier(images[::-1] // 20), expected)
    assert predict_classes(classifier, images[[2, 0]]).tolist() == [2, 0]


def test_more_neighbours_than_images(extractor):
    classifier = nearest_neighbours(extractor, IMAGES[:3], LABELS[:3], neighbours=50)
    assert accuracy(classifier, IMAGES[:3], LABELS[:3]) == 1


def test_neighbours_are_saved_as_a_keras_model_that_answers_alike(extractor, tmp_path):
    classifier = nearest_neighbours(extractor, IMAGES[:15], LABELS[:15], neighbours=4)
    classifier.save(tmp_path / "neighbours.keras")
    loaded = keras.models.load_model(tmp_path / "neighbours.keras", safe_mode=True)
    others = IMAGES[15:]
    ours, theirs = (extract_features(model, others) for model in (classifier, loaded))
    np.testing.assert_allclose(theirs, ours, atol=1e-3)
    assert (ours < -10).any()  # a class without a neighbour
    again = predict_classes(loaded, IMAGES[:15])  # of the images themselves, too
    np.testing.assert_array_equal(again, predict_classes(classifier, IMAGES[:15]))
    with pytest.raises(ValueError, match=r"save: path must end in \.keras, got"):
        classifier.save(tmp_path / "neighbours.npz")


def test_neighbours_travel_with_their_names(extractor, tmp_path):
    classifier = nearest_neighbours(extractor, IMAGES, LABELS)
    rk.save_classifier(classifier.to_keras(), tmp_path / "classifier.keras", ["a", "b", "c"])
    model, facts = rk.load_classifier(tmp_path / "classifier.keras")
    assert facts["class_names"] == ["a", "b", "c"]
    assert accuracy(model, IMAGES, LABELS) == 1


def test_other_estimators_are_no_keras_models(extractor):
    features = block_features(extractor)
    x = extract_features(features, IMAGES)
    classifier = FeatureClassifier(features, LogisticRegression(max_iter=5000).fit(x, LABELS))
    chances = np.exp(extract_features(classifier, IMAGES))
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-5)
    with pytest.raises(InputError, match=r"estimator must be one of nearest_neighbours .* got Log"):
        classifier.to_keras()
    with pytest.raises(InputError, match="FeatureClassifier: estimator must be a fitted"):
        FeatureClassifier(features, LogisticRegression())


def probe_of_pixels(extractor, images, labels, **settings):
    return pixel_probe(images, labels, **settings)


@pytest.mark.parametrize("probe", [linear_probe, probe_of_pixels, nearest_neighbours])
@pytest.mark.parametrize(
    ("labels", "settings", "message"),
    [
        (LABELS[:5], {}, r"labels must be whole numbers of shape \(24,\)"),
        (LABELS / 1, {}, "got float64"),
        (LABELS * 2, {}, r"classes 0 to 4 and no others, got \[0, 2, 4\]"),
        (LABELS - 1, {}, r"classes 0 to 1 and no others, got \[-1, 0, 1\]"),
        (LABELS, {"num_classes": 4}, "classes 0 to 3"),
        (LABELS, {"num_classes": 2}, "classes 0 to 1"),
        (LABELS * 0, {}, "classes 0 to 1"),
    ],
)
def test_labels_that_do_not_fit(extractor, probe, labels, settings, message):
    with pytest.raises(ValueError, match=message):
        probe(extractor, IMAGES, labels, **settings)


def test_wrong_number_of_neighbours(extractor):
    with pytest.raises(ValueError, match="neighbours must be a whole number of at least 1, got 0"):
        nearest_neighbours(extractor, IMAGES, LABELS, neighbours=0)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16", "mixed_float16"])
def test_probes_of_networks_that_compute_in_reduced_precision(images, policy):
    """A policy of the user's for all networks leads to features that scikit-learn must know."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        extractor = rk.conv_blocks_extractor((12, 12, 1), widths=(4, 8))
        assert rk.extract_features(extractor, images).dtype == np.float32
        classifier = rk.nearest_neighbours(extractor, images, np.arange(8) % 2, neighbours=1)
        assert rk.accuracy(classifier, images, np.arange(8) % 2) == 1
        assert np.isfinite(classifier.to_keras()(images)).all()
    finally:
        keras.config.set_dtype_policy(before)


NEED_NUMBERS = {
    "linear_probe": rk.linear_probe,
    "nearest_neighbours": rk.nearest_neighbours,
    "soft_neighbours": rk.soft_neighbours,
    "measure_gain": rk.measure_gain,
    "select_to_label": lambda extractor, images, _: rk.select_to_label(extractor, images, number=2),
}


@pytest.mark.parametrize("name", NEED_NUMBERS)
def test_features_that_are_not_finite_are_refused(extractor, name):
    diverged = rk.copy_model(extractor)
    diverged.set_weights([np.full_like(w, np.nan) for w in diverged.get_weights()])
    with pytest.raises(InputError, match="must give finite features, got NaN or infinity for 24"):
        NEED_NUMBERS[name](diverged, IMAGES, LABELS)


def test_what_is_averaged_is_float32_whatever_the_policy(extractor):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert block_features(extractor).output.dtype == "float32"
        assert rk.soft_neighbours(extractor, IMAGES, LABELS).output.dtype == "float32"
    finally:
        keras.config.set_dtype_policy(before)
