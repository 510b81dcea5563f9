"""Splits: what they say of themselves, and how they are drawn."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from valid_calls import IMAGES, LABELS, call

from rotnet_keras import Examples, make_splits, split_indices
from rotnet_keras.data.identity import identity_of


def numbered(count):
    """Images that say which they are."""
    return np.tile(np.arange(count, dtype="uint8")[:, None, None, None], (1, 4, 4, 1))


@given(
    st.integers(2, 6), st.integers(30, 200), st.integers(6, 12), st.integers(6, 12), st.integers()
)
@settings(max_examples=50, deadline=None)
def test_parts_are_disjoint_balanced_and_repeatable(classes, count, labels, validation, seed):
    truth, seed = np.arange(count) % classes, seed % 2**32
    options = {"num_labels": labels, "num_validation": validation, "seed": seed}
    parts = split_indices(truth, **options)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(count))
    assert [len(part) for part in parts[1:]] == [labels, validation]
    for part in parts[1:]:
        counts = np.bincount(truth[part], minlength=classes)
        assert counts.min() >= 1
        assert counts.max() - counts.min() <= 2
    for part, again in zip(parts, split_indices(truth, **options), strict=True):
        np.testing.assert_array_equal(part, again)


def test_seed_changes_the_draw():
    truth = np.arange(1000) % 10
    options = {"num_labels": 100, "num_validation": 100}
    first, other = (split_indices(truth, seed=seed, **options)[1] for seed in (0, 1))
    assert len(np.intersect1d(first, other)) < 30


def test_rare_classes_are_named():
    with pytest.raises(ValueError, match="class 1 is too rare with 1 images"):
        split_indices(np.array([0] * 99 + [1]), num_labels=10, num_validation=50)
    with pytest.raises(ValueError, match=r"labelled, validation and test images need one each"):
        make_splits(numbered(102), np.array([0] * 100 + [1] * 2), unlabelled=numbered(4))


def test_each_part_has_each_class_however_rare():
    truth = np.array([0] * 990 + [1] * 5 + [2] * 5)
    parts = split_indices(truth, num_labels=10, num_validation=50)
    assert [np.bincount(truth[part]).tolist() for part in parts] == [
        [934, 3, 3],
        [8, 1, 1],
        [48, 1, 1],
    ]
    parts = split_indices(truth, num_labels=200, num_validation=200)
    assert np.bincount(truth[parts[1]]).tolist() == [198, 1, 1]
    labels = np.array([0] * 100 + [1] * 3)
    splits = make_splits(numbered(103), labels, unlabelled=numbered(4))
    drawn = (splits.labelled, splits.validation, splits.test)
    assert [np.bincount(part.labels).tolist() for part in drawn] == [[71, 1], [13, 1], [16, 1]]
    images = np.concatenate([part.images[:, 0, 0, 0] for part in drawn])
    np.testing.assert_array_equal(np.sort(images), np.arange(103))


@given(st.integers(3, 6), st.integers(40, 100), st.integers(2, 9), st.integers(2, 9), st.integers())
@settings(max_examples=50, deadline=None)
def test_each_part_has_each_class(rare, common, labels, validation, seed):
    truth = np.array([0] * common + [1] * rare)
    options = {"num_labels": labels, "num_validation": validation, "seed": seed % 2**32}
    parts = split_indices(truth, **options)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(truth)))
    assert [len(part) for part in parts[1:]] == [labels, validation]
    assert all({*truth[part]} == {0, 1} for part in parts[1:])


def test_a_rare_class_keeps_a_labelled_image():
    labels = np.array([0] * 50 + [1] * 3)
    options = {"unlabelled": numbered(4), "test": (numbered(4), np.arange(4) % 2)}
    splits = make_splits(numbered(53), labels, num_validation=45, **options)
    drawn = (splits.labelled, splits.validation)
    assert [np.bincount(part.labels).tolist() for part in drawn] == [[7, 1], [43, 2]]


def test_arrays_and_datasets_divide_alike():
    images, labels, more = numbered(60), np.arange(60) % 3, numbered(40)
    arrays = make_splits(images, labels, unlabelled=more, num_labels=9)
    pairs = tf.data.Dataset.from_tensor_slices((images, labels))
    singles = tf.data.Dataset.from_tensor_slices(more)
    datasets = make_splits(pairs, unlabelled=singles, num_labels=9)
    for part in ("labelled", "validation", "test"):
        for one, other in zip(getattr(arrays, part), getattr(datasets, part), strict=True):
            np.testing.assert_array_equal(one, other)
        images, labels = getattr(arrays, part)
        np.testing.assert_array_equal(images[:, 0, 0, 0] % 3, labels)
    np.testing.assert_array_equal(arrays.unlabelled, datasets.unlabelled)
    assert len(arrays.unlabelled) == 40 + 60 - 10 - 8 - 9
    assert arrays.class_names == ("0", "1", "2")
    held_out = make_splits(pairs, test=pairs.take(6), num_labels=9).test
    assert held_out.labels.tolist() == [0, 1, 2, 0, 1, 2]


def test_without_a_number_all_labels_are_used():
    splits = make_splits(numbered(60), np.arange(60) % 3, num_validation=9)
    assert splits.unlabelled.shape == (0, 4, 4, 1)
    assert splits.unlabelled.dtype == np.uint8
    assert splits.image_shape == (4, 4, 1)
    drawn = (splits.labelled, splits.validation, splits.test)
    assert [len(part.labels) for part in drawn] == [41, 9, 10]
    for images, labels in drawn:
        np.testing.assert_array_equal(images[:, 0, 0, 0] % 3, labels)
    again = make_splits(numbered(60), np.arange(60) % 3, num_validation=9, num_labels=41)
    assert again == splits
    assert identity_of(again) == identity_of(splits)


def test_training_images_are_the_labelled_and_the_unlabelled_ones():
    options = {"test": (numbered(4), np.arange(4) % 2), "num_validation": 10}
    splits = make_splits(numbered(60), np.arange(60) % 2, unlabelled=numbered(7) + 100, **options)
    images = splits.training_images
    np.testing.assert_array_equal(images[:50], splits.labelled.images)
    np.testing.assert_array_equal(images[50:, 0, 0, 0], np.arange(100, 107))
    alone = make_splits(numbered(60), np.arange(60) % 2, **options)
    np.testing.assert_array_equal(alone.training_images, alone.labelled.images)


def test_splits_are_told_in_one_line(splits):
    assert repr(splits) == (
        f"Splits({splits.name!r}, 10 classes of (28, 28, 1): 49000 unlabelled, 1000 labelled, "
        "10000 validation, 10000 test)"
    )
    assert repr(splits.labelled) == (
        "Examples(uint8 of shape (1000, 28, 28, 1), int32 of shape (1000,))"
    )


def test_splits_are_equal_where_what_they_hold_is():
    options = {"unlabelled": numbered(4), "class_names": ["a", "b"], "num_labels": 20}
    one, same = (make_splits(numbered(60), np.arange(60) % 2, **options) for _ in range(2))
    assert one == same
    assert (one != same) is False
    assert one != make_splits(numbered(60), np.arange(60) % 2, **options, seed=1)
    assert one != dataclasses.replace(one, unlabelled=one.unlabelled + 1)
    assert one != dataclasses.replace(one, unlabelled=one.unlabelled[:-1])
    assert one != dataclasses.replace(one, labelled=Examples(one.labelled.images, [0] * 20))
    assert one != dataclasses.replace(one, name="others")
    assert one != "images"
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_examples_are_a_pair_that_can_be_compared():
    one, same = (Examples(numbered(4), np.arange(4)) for _ in range(2))
    assert one == same
    assert (one != same) is False
    assert one == (numbered(4), np.arange(4))
    assert (numbered(4), np.arange(4)) == one
    for other in (Examples(numbered(4), np.zeros(4)), (numbered(4),), (numbered(5), []), None):
        assert one != other
        assert other != one
    images, labels = one._replace(labels=np.ones(4))
    assert (len(images), labels.tolist()) == (4, [1] * 4)
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


@pytest.mark.parametrize("highest", [10**12, 2**32])
def test_labels_to_divide_do_not_wrap_around(highest, tmp_path):
    for names in (None, ["Bag", "Coat"]):
        with pytest.raises(ValueError, match=r"labels must hold each of num_classes"):
            call("make_splits", tmp_path, labels=LABELS * highest + LABELS, class_names=names)
    with pytest.raises(ValueError, match=r"test must have labels in 0\.\.1, got"):
        call("make_splits", tmp_path, test=(IMAGES, LABELS * highest))


def test_the_fewest_images_that_can_be_divided(tmp_path):
    few = {"num_labels": None, "num_validation": None, "class_names": None, "unlabelled": IMAGES}
    splits = call("make_splits", tmp_path, **few, images=IMAGES[:4], labels=LABELS[:4])
    assert [len(part.labels) for part in (splits.labelled, splits.validation)] == [2, 2]
    assert (splits.class_names, splits.test.labels.dtype) == (("0", "1"), "int32")
    with pytest.raises(ValueError, match=r"num_validation must lie in 2\.\.0, .* got 2"):
        call("make_splits", tmp_path, **few, images=IMAGES[:2], labels=LABELS[:2])
    with pytest.raises(ValueError, match="labels must hold each class several times"):
        make_splits(IMAGES[:2], LABELS[:2], unlabelled=IMAGES)
