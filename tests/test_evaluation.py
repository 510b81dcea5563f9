import keras
import numpy as np
import pytest

from rotnet_keras import (
    accuracy,
    confusion,
    extract_features,
    predict_classes,
    rotation_accuracy,
    umap_map,
)


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


def test_map_keeps_groups_apart_and_repeats():
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1], 60)
    features = rng.normal(size=(120, 6)) + 30 * groups[:, None]
    points = umap_map(features, seed=2)
    assert points.shape == (120, 2)
    np.testing.assert_array_equal(points, umap_map(features, seed=2))
    centres = [points[groups == group].mean(axis=0) for group in (0, 1)]
    spread = max(points[groups == group].std(axis=0).max() for group in (0, 1))
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * spread


def test_map_of_the_fewest():
    assert umap_map(np.random.default_rng(0).normal(size=(4, 3))).shape == (4, 2)


@pytest.mark.parametrize("features", [np.zeros((3, 5)), np.zeros(9), np.full((9, 2), np.nan)])
def test_map_of_nothing(features):
    with pytest.raises(ValueError, match=r"features must be finite, \(N, D\) with N at least 4"):
        umap_map(features)


@pytest.mark.parametrize(
    ("image", "rotations", "expected"),
    [(0, (0, 2), 0.5), (1, (0, 1), 0.0), (1, (1, 0), 1.0), (1, (1, 0, 2), 1.0)],
)
def test_rotation_accuracy_over_chosen_rotations(corners, image, rotations, expected):
    # Turned by 0, 90 and 180 degrees, image 0 is taken for 0, 2, 3 and image 1 for 1, 0, 2.
    chosen = corners[image : image + 1]
    assert rotation_accuracy(brightest_quarter(), chosen, rotations=rotations) == expected


def test_rotation_accuracy_over_no_rotations(corners):
    with pytest.raises(ValueError, match=r"rotations must be two or more .* got \(3,\)"):
        rotation_accuracy(brightest_quarter(), corners, rotations=(3,))
