import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from rotnet_keras import draw_garments
from rotnet_keras.data.garments import CLASS_NAMES


def test_form_of_fashion_mnist():
    images, labels = draw_garments(203, seed=4)
    assert images.shape == (203, 28, 28, 1)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int32
    assert np.bincount(labels).tolist() == [21, 21, 21] + [20] * 7
    assert len(CLASS_NAMES) == 10


def test_seed_repeats_and_no_two_images_are_equal():
    first, again, other = (draw_garments(200, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])
    assert len({image.tobytes() for image in first[0]}) == 200


@pytest.mark.slow
def test_a_thousand_labels_teach_something_but_do_not_solve_it():
    images, labels = draw_garments(3000, seed=0)
    pixels = images.reshape(len(images), -1) / 255
    probe = LogisticRegression(max_iter=200, C=0.1).fit(pixels[:1000], labels[:1000])
    assert 0.5 < probe.score(pixels[1000:], labels[1000:]) < 0.9


def test_upright_can_be_told_from_upside_down():
    images, _ = draw_garments(2000, seed=0)
    both = np.concatenate([images, images[:, ::-1, ::-1]]).reshape(4000, -1) / 255
    order = np.random.default_rng(0).permutation(4000)
    turned = (np.arange(4000) >= 2000)[order]
    probe = LogisticRegression(max_iter=200, C=0.1).fit(both[order][:3000], turned[:3000])
    assert probe.score(both[order][3000:], turned[3000:]) > 0.7  # chance is 0.5


@pytest.mark.parametrize("count", [0, -1, 2.5, "many"])
def test_wrong_number(count):
    with pytest.raises(ValueError, match="num_images must be a whole number of at least 1"):
        draw_garments(count)
