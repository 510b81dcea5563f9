import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from rotnet_keras.data.augmentation import (
    contrast_augmentation,
    gentle_augmentation,
    strong_augmentation,
)
from rotnet_keras.rotation import rotation_dataset

pytestmark = pytest.mark.backend

KINDS = [gentle_augmentation, strong_augmentation]


def white(count=200, size=28):
    return np.full((count, size, size, 1), 255, "uint8")


def one_dot(count=200, size=29):
    """Black images with a white pixel in the middle."""
    images = np.zeros((count, size, size, 1), "uint8")
    images[:, size // 2, size // 2] = 255
    return images


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_become_floats_of_the_same_range(images, kind):
    changed = np.asarray(kind()(images))
    assert changed.shape == images.shape
    assert changed.dtype == np.float32
    assert not np.array_equal(changed, images)
    assert np.isin(changed, [0, *np.unique(images)]).all()  # nothing is interpolated


@pytest.mark.parametrize("kind", KINDS)
def test_seed_repeats_the_draws(images, kind):
    first, again, other = (np.asarray(kind(seed=seed)(images)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("kind", KINDS)
def test_each_batch_of_a_dataset_is_drawn_anew(images, kind):
    dataset = tf.data.Dataset.from_tensors(images).repeat(2).map(kind())
    assert dataset.element_spec.shape[1:] == images.shape[1:]
    first, second = dataset.as_numpy_iterator()
    assert first.dtype == np.float32
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(("kind", "most"), [(gentle_augmentation, 2), (strong_augmentation, 4)])
def test_dots_move_no_further_than_the_shift(kind, most):
    changed = np.asarray(kind(mirror=False)(one_dot(size=28 + 1)))
    _, rows, columns, _ = np.nonzero(changed)
    moves = np.concatenate([rows, columns]) - 14
    assert set(np.abs(moves).tolist()) >= {0, most}
    assert np.abs(moves).max() == most


@given(st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_without_shift_an_image_is_itself_or_its_mirror(seed):
    images = np.random.default_rng(seed).integers(0, 256, (40, 6, 6, 2), "uint8")
    changed = np.asarray(gentle_augmentation(shift=0, seed=seed)(images))
    mirrored = [not np.array_equal(a, b) for a, b in zip(changed, images, strict=True)]
    expected = np.where(np.reshape(mirrored, (-1, 1, 1, 1)), images[:, :, ::-1], images)
    np.testing.assert_array_equal(changed, expected)
    assert 0 < sum(mirrored) < len(images)
    same = gentle_augmentation(shift=0, mirror=False, seed=seed)(images)
    np.testing.assert_array_equal(same, images)


def test_edges_are_black_or_repeated():
    assert np.asarray(gentle_augmentation()(white())).min() == 0
    assert np.asarray(gentle_augmentation(fill_mode="nearest")(white())).min() == 255


def test_strong_augmentation_erases_a_rectangle_of_each_image():
    changed = np.asarray(strong_augmentation(fill_mode="nearest")(white()))[..., 0]
    assert set(np.unique(changed)) == {0, 255}
    for image in changed:
        black = image == 0
        assert black.any()
        rows, columns = black.any(axis=1), black.any(axis=0)
        np.testing.assert_array_equal(black, rows[:, None] & columns[None])


def test_strong_augmentation_erases_no_more_than_a_quarter():
    changed = np.asarray(strong_augmentation(fill_mode="nearest")(white()))
    assert np.mean(changed == 0, axis=(1, 2, 3)).max() <= 0.25


@pytest.mark.parametrize(("kind", "tilted"), [(gentle_augmentation, 0), (strong_augmentation, 1)])
def test_only_strong_augmentation_tilts(kind, tilted):
    lines = np.zeros((100, 29, 29, 1), "uint8")
    lines[:, 14] = 255
    heights = [len(set(np.nonzero(image)[0])) for image in np.asarray(kind()(lines))]
    assert np.median(np.array(heights) > 1) == tilted  # a level line lies in one row


def test_being_tried_does_not_move_on_what_is_drawn(images):
    tried, new = gentle_augmentation(seed=3), gentle_augmentation(seed=3)
    rotation_dataset(images, augment=tried)  # which looks at what becomes of two images
    np.testing.assert_array_equal(np.asarray(tried(images)), np.asarray(new(images)))


@pytest.mark.parametrize("kind", [*KINDS, contrast_augmentation])
def test_a_seed_of_its_own_makes_a_batch_a_function_of_it(images, kind):
    """Whatever was drawn before, in tf.data and outside of it; and two kinds differ."""
    images = np.concatenate([images, images // 2, images // 4], axis=-1)

    def change(seed, skipped=0, own=0):
        augment = kind(seed=own)
        for _ in range(skipped):
            augment(images)
        dataset = tf.data.Dataset.from_tensors(images).map(lambda x: augment(x, seed=[3, seed]))
        return next(dataset.as_numpy_iterator())

    np.testing.assert_array_equal(change(1), change(1, skipped=2))
    assert not np.array_equal(change(1), change(2))
    assert not np.array_equal(change(1), change(1, own=1))
    augment = kind()
    assert not np.array_equal(np.asarray(augment(images)), np.asarray(augment(images)))


def test_strong_augmentation_recolours_images_of_three_channels_alone(images):
    """The same draws move and erase; light and colours change besides, unless they shall not."""
    coloured = np.concatenate([images, images // 2, images // 4], axis=-1)
    plain, changed = (
        np.asarray(strong_augmentation(colours=colours)(coloured)) for colours in (False, True)
    )
    assert np.isin(plain, [0, *np.unique(coloured)]).all()
    assert not np.isin(changed, [0, *np.unique(coloured)]).all()
    assert (changed[..., 1] > changed[..., 0]).any()  # light alone keeps the first one ahead
    assert 0 <= changed.min() <= changed.max() <= 255
    for grey in (images, coloured[..., :2]):
        left_alone = (strong_augmentation(colours=colours)(grey) for colours in (False, True))
        np.testing.assert_array_equal(*map(np.asarray, left_alone))


def test_what_is_erased_stays_black():
    erased = np.repeat(white(), 3, axis=-1)
    changed = np.asarray(strong_augmentation(fill_mode="nearest")(erased))
    assert ((changed == 0).all(axis=-1).mean(axis=(1, 2)) > 0.01).all()


def test_contrast_shows_parts_in_another_light_within_the_range(images):
    """Greys stay grey where colours are changed, and the mean of bright images falls and rises."""
    grey = np.repeat(images, 3, axis=-1)
    for pixels in (images, grey):
        changed = np.asarray(contrast_augmentation(seed=3)(pixels))
        assert changed.shape == pixels.shape
        assert changed.dtype == np.float32
        assert 0 <= changed.min() <= changed.max() <= 255
        again, other = (np.asarray(contrast_augmentation(seed=seed)(pixels)) for seed in (3, 4))
        np.testing.assert_array_equal(changed, again)
        assert not np.array_equal(changed, other)
    np.testing.assert_allclose(changed, changed[..., :1].repeat(3, axis=-1), atol=0.01)


def test_contrast_shows_the_smallest_part_that_is_asked_for():
    """Of a left half that is black and a right one that is white, more of one is seen."""
    halves = np.zeros((200, 28, 28, 1), "uint8")
    halves[:, :, 14:] = 255
    whole, part = (
        np.asarray(contrast_augmentation(least=least, mirror=False)(halves)) > 127
        for least in (1.0, 0.5)
    )
    assert {*whole.mean(axis=(1, 2, 3)).round(2)} <= {0.0, 0.5, 1.0}
    assert part.mean(axis=(1, 2, 3)).std() > 0.1
