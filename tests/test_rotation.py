import re

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from rotnet_keras import (
    InputError,
    gentle_augmentation,
    rotate_batch,
    rotate_each,
    rotation_dataset,
)
from rotnet_keras.rotation import ROTATIONS, numbered_rotation_batches
from rotnet_keras.running import batches as running_batches

pytestmark = pytest.mark.backend

DTYPES = ["bool", "uint8", "int8", "uint16", "int16", "int32", "int64", "float16", "float32"]
DTYPES += ["float64", "complex64", "bfloat16"]


@st.composite
def batches(draw):
    shape = (draw(st.integers(0, 4)), *[draw(st.integers(1, 9))] * 2, draw(st.integers(0, 4)))
    values = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 200, shape)
    return values.astype(tf.as_dtype(draw(st.sampled_from(DTYPES))).as_numpy_dtype)


@st.composite
def some_rotations(draw):
    """Two or more different quarter turns in any order."""
    return tuple(draw(st.lists(st.integers(0, 3), min_size=2, max_size=4, unique=True)))


@given(batches(), st.none() | some_rotations())
@settings(max_examples=90, deadline=None)
def test_every_rotation_is_rot90_in_the_order_of_those_chosen(images, chosen):
    rotated, labels = rotate_batch(images, **({"rotations": chosen} if chosen else {}))
    turns = chosen or range(4)
    expected = np.concatenate([np.rot90(images, k, axes=(1, 2)) for k in turns])
    assert rotated.dtype == images.dtype
    assert labels.dtype == tf.int32
    np.testing.assert_array_equal(rotated.numpy(), expected)
    np.testing.assert_array_equal(labels.numpy(), np.repeat(range(len(turns)), len(images)))


@given(batches(), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_each_image_gets_its_own_rotation(images, seed):
    labels = np.random.default_rng(seed).integers(-4, 8, len(images))
    rotated = rotate_each(images, labels)
    assert rotated.shape == images.shape
    for turned, image, k in zip(rotated.numpy(), images, labels, strict=True):
        np.testing.assert_array_equal(turned, np.rot90(image, k))


def test_static_shape_is_kept_in_a_dataset_of_unknown_batch_size():
    dataset = tf.data.Dataset.from_tensor_slices(np.zeros((5, 7, 7, 2), "uint8")).batch(3)
    rotated, labels = dataset.map(rotate_batch).element_spec
    assert rotated.shape.as_list() == [None, 7, 7, 2]
    assert labels.shape.as_list() == [None]
    assert rotate_batch(np.zeros((5, 7, 7, 2)))[0].shape.as_list() == [20, 7, 7, 2]


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 1), (2, 4, 5, 1), (1, 2, 4, 4, 1)])
@pytest.mark.parametrize("rotate", [rotate_batch, lambda x: rotate_each(x, [0])])
def test_wrong_shapes_are_named(rotate, shape):
    with pytest.raises(ValueError, match="images must be a batch of square images") as error:
        rotate(np.zeros(shape))
    assert str(shape) in str(error.value)


def test_unknown_size_is_an_error():
    unknown = tf.TensorSpec([None, None, None, 1], tf.uint8)
    with pytest.raises(ValueError, match="with a fixed S"):
        tf.function(rotate_batch).get_concrete_function(unknown)


def test_all_four_rotations_share_a_batch(images):
    dataset = rotation_dataset(images, batch_size=3, shuffle=False)
    sizes = []
    for start, (batch, labels) in zip((0, 3, 6), dataset, strict=True):
        expected, expected_labels = rotate_batch(images[start : start + 3])
        np.testing.assert_array_equal(batch, expected)
        np.testing.assert_array_equal(labels, expected_labels)
        sizes.append(len(batch))
    assert sizes == [12, 12, 8]
    assert dataset.cardinality() == 3


@pytest.fixture(params=[np.asarray, tf.data.Dataset.from_tensor_slices])
def source(request):
    """What hands the images over: as an array, or as a dataset."""
    return request.param


def test_random_rotation_turns_each_image_once_and_anew_every_epoch(images, source):
    many = np.tile(images, (20, 1, 1, 1))
    options = {"batch_size": 50, "all_rotations": False, "shuffle": False}
    dataset = rotation_dataset(source(many), **options)
    epochs = []
    for _ in range(2):
        batch, labels = map(np.concatenate, zip(*dataset.as_numpy_iterator(), strict=True))
        np.testing.assert_array_equal(batch, rotate_each(many, labels))
        assert np.bincount(labels, minlength=4).min() > 20
        epochs.append(labels)
    assert (epochs[0] != epochs[1]).any()


@pytest.mark.parametrize("all_rotations", [True, False])
def test_seed_repeats_the_order(images, all_rotations, source):
    def two_epochs(seed):
        options = {"batch_size": 4, "all_rotations": all_rotations, "seed": seed}
        dataset = rotation_dataset(source(images), **options)
        return [[x for x, _ in dataset.as_numpy_iterator()] for _ in range(2)]

    first, again, other = two_epochs(1), two_epochs(1), two_epochs(2)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[0], first[1])  # a new order in the second epoch


def test_shuffling_keeps_every_image(images):
    dataset = rotation_dataset(images, batch_size=3, seed=5)
    upright = np.concatenate([x[y == 0] for x, y in dataset.as_numpy_iterator()])
    assert sorted(map(bytes, upright)) == sorted(map(bytes, images))


def test_augmentation_comes_before_the_rotation(images):
    flip = tf.image.flip_left_right
    dataset = rotation_dataset(images, batch_size=8, shuffle=False, augment=flip)
    batch, labels = next(iter(dataset))
    for k in range(4):
        expected = np.rot90(images[:, :, ::-1], k, axes=(1, 2))
        np.testing.assert_array_equal(batch[labels == k], expected)


def test_labelled_and_odd_input_is_refused(images):
    pairs = tf.data.Dataset.from_tensor_slices((images, np.zeros(8)))
    with pytest.raises(InputError, match="images must be a dataset of images alone"):
        rotation_dataset(pairs)
    oblong = tf.data.Dataset.from_tensor_slices(images[:, :5])
    with pytest.raises(ValueError, match=r"\(None, 5, 12, 1\)"):
        rotation_dataset(oblong)
    for name in ("batch_size", "shuffle_buffer"):
        with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1, got 0"):
            rotation_dataset(images, **{name: 0})


@given(some_rotations())
@settings(max_examples=10, deadline=None)
def test_random_choice_among_rotations(rotations):
    images = np.random.default_rng(0).integers(0, 256, (60, 5, 5, 1), "uint8")
    options = {"batch_size": 60, "all_rotations": False, "shuffle": False}
    dataset = rotation_dataset(images, rotations=rotations, **options)
    ((batch, labels),) = dataset.as_numpy_iterator()
    assert set(labels) == set(range(len(rotations)))
    assert labels.dtype == np.int32
    for turned, image, label in zip(batch, images, labels, strict=True):
        np.testing.assert_array_equal(turned, np.rot90(image, rotations[label]))


def test_chosen_rotations_share_a_batch(images):
    dataset = rotation_dataset(images, batch_size=8, rotations=[0, 2], shuffle=False)
    ((batch, labels),) = dataset.as_numpy_iterator()
    np.testing.assert_array_equal(batch, np.concatenate([images, images[:, ::-1, ::-1]]))
    assert labels.tolist() == [0] * 8 + [1] * 8


@pytest.mark.parametrize("rotations", [(), (0,), (1, 1), (0, 4), (0, -1), (0, 90), (0, 1, 2, 3, 0)])
@pytest.mark.parametrize("rotate", [rotate_batch, rotation_dataset])
def test_wrong_rotations(images, rotate, rotations):
    message = re.escape(f"rotations must be two or more different ones of {ROTATIONS}, got")
    with pytest.raises(ValueError, match=message):
        rotate(images, rotations=rotations)


def numbered(images, **options):
    options = {"batch_size": 4, "stop": 6, "seed": 3} | options
    return list(numbered_rotation_batches(images, **options).as_numpy_iterator())


@pytest.mark.parametrize("all_rotations", [True, False])
def test_a_numbered_batch_is_the_same_wherever_one_starts(images, all_rotations, source):
    options = {"all_rotations": all_rotations, "augment": gentle_augmentation(seed=1)}
    seven = source(images[:7])
    whole = numbered(seven, **options)
    assert {x.shape for x, _ in whole} == {(16 if all_rotations else 4, 12, 12, 1)}
    for start in (0, 2, 5):
        later = numbered(seven, start=start, **options)
        for expected, got in zip(whole[start:], later, strict=True):
            np.testing.assert_array_equal(expected[0], got[0])
            np.testing.assert_array_equal(expected[1], got[1])
    assert not np.array_equal(whole[0][0], numbered(seven, **options | {"seed": 4})[0][0])


def test_numbered_batches_do_not_ask_for_the_global_seed(images, source):
    drawn = []
    for global_seed in (1, 2):
        tf.random.set_seed(global_seed)
        drawn.append(numbered(source(images), all_rotations=False, seed=2**40))
    for (one, turns), (other, other_turns) in zip(*drawn, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(turns, other_turns)


def test_a_stream_is_shuffled_in_windows_that_memory_holds(images, monkeypatch):
    """Two images of 144 bytes: no image leaves its pair, and each pass draws anew."""
    monkeypatch.setattr(running_batches, "WINDOW_BYTES", 300)
    stream = tf.data.Dataset.from_tensor_slices(images)
    upright = np.concatenate([x[y == 0] for x, y in numbered(stream, stop=20)])
    pairs = upright.reshape(10, 4, 2, -1)
    places = (pairs[:, :, :, None] == images.reshape(1, 4, 1, 2, -1)).all(-1)  # is which of a pair
    orders = {tuple(order) for order in places.argmax(-1).reshape(40, 2).tolist()}
    assert places.any(-1).all()
    assert orders == {(0, 1), (1, 0)}


def test_numbered_batches_take_what_is_no_augmentation_of_ours(images):
    for x, _ in numbered(images, augment=tf.image.random_flip_left_right):  # its seed is its own
        assert x.shape == (16, 12, 12, 1)


def test_numbered_batches_run_through_pass_after_pass(images, source):
    """Seven images, batches of four: seven batches hold each image four times, in new orders."""
    upright = np.concatenate([x[y == 0] for x, y in numbered(source(images[:7]), stop=7)])
    passes = [list(map(bytes, upright[i : i + 7])) for i in range(0, 28, 7)]
    for one in passes:
        assert sorted(one) == sorted(map(bytes, images[:7]))
    assert passes[0] != passes[1]


@pytest.mark.parametrize("all_rotations", [True, False])
def test_hosts_share_the_rows_of_numbered_batches(images, all_rotations):
    whole = numbered(images, all_rotations=all_rotations)
    parts = [numbered(images, all_rotations=all_rotations, share=(h, 2)) for h in (0, 1)]
    for number, (x, y) in enumerate(whole):
        both = [np.concatenate([part[number][i] for part in parts]) for i in (0, 1)]
        together = sorted(zip(map(bytes, both[0]), both[1].tolist(), strict=True))
        assert together == sorted(zip(map(bytes, x), y.tolist(), strict=True))


def test_a_stream_is_not_made_smaller_by_an_augmentation(images):
    stream = tf.data.Dataset.from_tensor_slices(images)
    with pytest.raises(
        InputError, match=r"augment must keep the shape \(2, 12, 12, 1\) of a batch"
    ):
        rotation_dataset(stream, augment=lambda x: x[:, 1:, 1:])
    assert len(list(rotation_dataset(stream, batch_size=4, augment=lambda x: x + 1))) == 2


def test_a_stream_without_an_image_that_does_not_say_so(images):
    floats = images.astype("float32")
    stream = tf.data.Dataset.from_tensor_slices(floats).filter(lambda image: False)
    with pytest.raises(
        InputError, match="images must be a dataset of at least one image, got none"
    ):
        rotation_dataset(stream)
