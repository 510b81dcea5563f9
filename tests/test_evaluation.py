import math

import keras
import numpy as np
import pandas as pd
import pytest
from small_networks import brightest_quarter, corners, subclassed, two_outputs

import rotnet_keras as rk
from rotnet_keras import InputError

pytestmark = pytest.mark.backend

CORNERS = corners()


def test_features_keep_order_over_batches():
    features = rk.extract_features(brightest_quarter(), CORNERS, batch_size=2)
    expected = np.concatenate([200 * np.eye(4), np.zeros((1, 4))])
    np.testing.assert_allclose(features, expected)
    assert features.dtype == np.float32
    assert rk.predict_classes(brightest_quarter(), CORNERS).tolist() == [0, 1, 2, 3, 0]


def test_accuracy_and_confusion_by_hand():
    labels = np.array([0, 1, 2, 2, 1])
    assert rk.accuracy(brightest_quarter(), CORNERS, labels) == pytest.approx(0.6)
    expected = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]]
    assert rk.confusion(brightest_quarter(), CORNERS, labels).tolist() == expected


def test_rotation_accuracy_counts_all_four():
    # A quarter turn moves the bright quarter 0 -> 2 -> 3 -> 1; as logits 0..3 the model says
    # 0, 2, 3, 1 where 0, 1, 2, 3 is right: one of four for image 0.
    model = brightest_quarter()
    assert rk.rotation_accuracy(model, CORNERS[:1]) == pytest.approx(0.25)
    # Image 1 goes 1 -> 0 -> 2 -> 3: right at the third and the fourth turn.
    assert rk.rotation_accuracy(model, CORNERS[1:2], batch_size=1) == pytest.approx(0.5)
    assert rk.rotation_accuracy(model, CORNERS[:2]) == pytest.approx(0.375)


def test_labels_that_do_not_fit():
    with pytest.raises(ValueError, match=r"labels must be whole numbers of shape \(5,\)"):
        rk.accuracy(brightest_quarter(), CORNERS, np.zeros(4, int))
    with pytest.raises(ValueError, match="got float64"):
        rk.confusion(brightest_quarter(), CORNERS, np.zeros(5))
    with pytest.raises(ValueError, match="images must be"):
        rk.accuracy(brightest_quarter(), CORNERS[:0], np.zeros(0, int))


@pytest.mark.parametrize(
    ("image", "rotations", "expected"),
    [(0, (0, 2), 0.5), (1, (0, 1), 0.0), (1, (1, 0), 1.0), (1, (1, 0, 2), 1.0)],
)
def test_rotation_accuracy_over_chosen_rotations(image, rotations, expected):
    # Turned by 0, 90 and 180 degrees, image 0 is taken for 0, 2, 3 and image 1 for 1, 0, 2.
    chosen, whole = CORNERS[image : image + 1], brightest_quarter()
    model = keras.Model(whole.input, whole.output[:, : len(rotations)])
    assert rk.rotation_accuracy(model, chosen, rotations=rotations) == expected


def test_rotation_accuracy_over_no_rotations():
    with pytest.raises(ValueError, match=r"rotations must be two or more .* got \(3,\)"):
        rk.rotation_accuracy(brightest_quarter(), CORNERS, rotations=(3,))


@pytest.mark.parametrize("kind", [list, tuple, dict])
def test_a_network_of_two_outputs(extractor, kind):
    two = two_outputs(extractor, kind)
    with pytest.raises(InputError, match=r"^extract_features: extractor must have one output, got"):
        rk.extract_features(two, CORNERS)
    with pytest.raises(InputError, match=r"^accuracy: model must have one output .* got"):
        rk.accuracy(two, CORNERS, np.zeros(5, int))
    with pytest.raises(InputError, match=r"^predict_rotations: model must give a logit for each"):
        rk.predict_rotations(two, CORNERS)
    for ask in (rk.extract_features, rk.predict_classes):
        with pytest.raises(InputError, match="model must have one output, got 2"):
            ask(subclassed(two), CORNERS)


def test_a_network_that_gives_maps(extractor):
    maps = keras.Model(extractor.input, extractor.get_layer("pool1").output)
    assert rk.extract_features(maps, CORNERS).shape == (5, 5, 5, 16)
    assert rk.extract_features(subclassed(maps), CORNERS).shape == (5, 5, 5, 16)
    with pytest.raises(InputError, match=r"^accuracy: model must have one output \(B, num_classes"):
        rk.accuracy(maps, CORNERS, np.zeros(5, int))
    with pytest.raises(InputError, match=r"^accuracy: model must give logits \(B, num_classes\)"):
        rk.accuracy(subclassed(maps), CORNERS, np.zeros(5, int))


def test_balanced_accuracy_counts_a_rare_class_like_a_common_one():
    always = brightest_quarter()
    images = np.concatenate([CORNERS[:1]] * 8 + [CORNERS[1:2]] * 2)
    labels = np.array([0] * 8 + [1, 0])
    assert rk.accuracy(always, images, labels) == 0.9
    assert rk.balanced_accuracy(always, images, labels) == (8 / 9 + 1) / 2
    assert rk.balanced_accuracy(always, images[:1], labels[:1]) == 1


def test_half_an_interval_by_hand():
    # Of 1, 2, 3 the standard error is 1 / sqrt(3); Student's t of two degrees of freedom 4.3027.
    assert rk.ci95([1, 2, 3]) == pytest.approx(4.302653 / math.sqrt(3))
    assert math.isnan(rk.ci95([1]))
    assert math.isnan(rk.ci95(pd.Series([], dtype=float)))
    for wrong in ("0.5", 0.5, None, [[1, 2], [3, 4]], ["a", "b"]):
        with pytest.raises(InputError, match=r"^ci95: values must be "):
            rk.ci95(wrong)


def test_the_name_of_version_0_1_is_the_same_function():
    assert rk.confusion is rk.confusion_matrix
