"""Data sets by name: images, splits, and what is wrong with them."""

import numpy as np
import pytest
from tfds_tiny import COLOURS

from rotnet_keras import DatasetError, InputError, load_splits, stream_images


def load_tiny(folder, **options):
    options = {"num_labels": 12, "num_validation": 6, **options}
    return load_splits("tiny_colours", data_dir=folder, **options)


def test_any_data_set_by_name(prepared):
    splits = load_tiny(prepared, image_size=10)
    assert splits.class_names == tuple(COLOURS)
    assert splits.image_shape == (10, 10, 3)
    sizes = [len(splits.unlabelled), *(len(p.labels) for p in (splits.labelled, splits.validation))]
    assert sizes == [50 - 12 - 6, 12, 6]
    assert len(splits.test.labels) == 10  # a sixth of all, since there is no test split
    for image, label in zip(*splits.test, strict=True):
        # The centre is the colour: white borders left and right went with the crop.
        expected = list(COLOURS.values())[label]
        np.testing.assert_array_equal(image, np.broadcast_to(expected, (10, 10, 3)))
    for part in (splits.labelled, splits.validation):
        brightest = part.images.mean(axis=(1, 2)).argmax(axis=1)
        np.testing.assert_array_equal(brightest, part.labels)  # red, green, blue in this order


def test_images_of_many_sizes_are_brought_to_64(prepared):
    assert load_tiny(prepared).image_shape == (64, 64, 3)


def test_test_split_without_name_does_not_depend_on_the_seed(prepared):
    first, other = (load_tiny(prepared, seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(first.test.images, other.test.images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_labels": 60}, r"num_labels \+ num_validation must be at most 47 of 50 .* 60 \+ 6"),
        ({"num_validation": 50}, r"at most 47 of 50 training images.* 12 \+ 50"),
        ({"num_labels": 2}, "num_labels must be at least 3, one for each class, got 2"),
        ({"num_labels": 0}, "num_labels must be a whole number of at least 1, got 0"),
        ({"num_validation": -5}, "num_validation must be a whole number of at least 1, got -5"),
        ({"image_size": 0}, "image_size must be a whole number of at least 1, got 0"),
    ],
)
def test_numbers_that_cannot_be(prepared, options, message):
    with pytest.raises(ValueError, match=message):
        load_tiny(prepared, **options)


def test_unknown_name():
    with pytest.raises(ValueError, match=r"did you mean fashion_mnist.*catalog/overview"):
        load_splits("fashion_mist")
    with pytest.raises(ValueError, match="name must be a data set of TensorFlow Datasets, got ''"):
        load_splits("")


def test_no_images_to_classify(tmp_path):
    with pytest.raises(ValueError, match="must be an image classification data set, 'tiny_numbers"):
        load_splits("tiny_numbers", data_dir=tmp_path)


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_byte,
        lambda path: path.write_bytes(path.read_bytes()[:-7]),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
    ],
    ids=["byte", "cut", "empty", "missing"],
)
def test_damaged_records(prepared, damage):
    (records,) = prepared.rglob("*.tfrecord*")
    damage(records)
    with pytest.raises(DatasetError, match="damaged or missing: delete that folder") as error:
        load_tiny(prepared)
    assert str(records.parent) in str(error.value)


def test_version_and_configuration_that_do_not_exist(prepared):
    with pytest.raises(DatasetError, match=r"'tiny_colours:9\.9\.9' cannot be opened"):
        load_splits("tiny_colours:9.9.9", data_dir=prepared)
    with pytest.raises(ValueError, match=r"name must be a data set.*got 'mnist/foo'"):
        load_splits("mnist/foo", data_dir=prepared)


def test_damaged_description(prepared):
    (description,) = prepared.rglob("dataset_info.json")
    description.write_text("{ torn")
    with pytest.raises(DatasetError, match=r"'tiny_colours' cannot be opened.*delete its folder"):
        load_tiny(prepared)


@pytest.mark.parametrize("name", ["tiny_unlabelled", "tiny_unlabeled"])
def test_a_split_without_labels_joins_the_unlabelled_images(tmp_path, name):
    options = {"data_dir": tmp_path, "image_size": 4}
    splits = load_splits(name, num_labels=12, num_validation=6, **options)
    assert len(splits.test.labels) == 60
    assert len(splits.unlabelled) == 40 + 60 - 12 - 6
    firsts = np.sort(splits.unlabelled[:40, 0, 0, 0])
    np.testing.assert_array_equal(firsts, np.arange(40))
    for part in (splits.labelled, splits.validation, splits.test):
        brightest = part.images.mean(axis=(1, 2)).argmax(axis=1)
        np.testing.assert_array_equal(brightest, part.labels)  # none of the grey ones
    streams = {
        split: list(stream_images(name, split=split, **options).as_numpy_iterator())
        for split in ("train", "train[:100%]", name.removeprefix("tiny_"))
    }
    assert [len(images) for images in streams.values()] == [100, 60, 40]
    both = {image.tobytes() for image in streams["train"]}
    assert both == {image.tobytes() for part in [*streams.values()][1:] for image in part}
    halves = [stream_images(name, share=(host, 2), **options) for host in (0, 1)]
    assert [int(half.cardinality()) for half in halves] == [50, 50]
    shared = [image.tobytes() for half in halves for image in half.as_numpy_iterator()]
    assert sorted(shared) == sorted(image.tobytes() for image in streams["train"])


def test_the_test_is_not_one_whose_labels_are_kept_secret(tmp_path):
    options = {"num_labels": 12, "num_validation": 6, "data_dir": tmp_path, "image_size": 4}
    splits = load_splits("tiny_secret", **options)
    assert np.bincount(splits.test.labels).tolist() == [20, 20, 20]  # of the validation
    assert len(splits.unlabelled) == 60 - 12 - 6
    with pytest.raises(
        InputError, match=r"data set whose test has labels, 'tiny_secrets' has none"
    ):
        load_splits("tiny_secrets", **options)


def test_images_of_16_bits_are_refused(tmp_path):
    for load in (load_splits, stream_images):
        with pytest.raises(InputError, match="images of 8 bits, 'tiny_deep' has uint16: bring its"):
            load("tiny_deep", data_dir=tmp_path, image_size=4)


def test_streams_of_a_named_data_set(prepared):
    options = {"data_dir": prepared, "image_size": 4}
    assert int(stream_images("tiny_colours", **options).cardinality()) == 60
    assert int(stream_images("tiny_colours", split="train[:50%]", **options).cardinality()) == 30
    for split in ("nonsense", "train[:x]", "", "train[:50%"):
        with pytest.raises(InputError, match=r"split must be one .* \['train'\], .* got '"):
            stream_images("tiny_colours", split=split, **options)


def test_a_data_set_that_cannot_be_had_is_not_taken_for_a_folder(prepared):
    (description,) = prepared.rglob("dataset_info.json")
    description.write_text("{ torn")
    with pytest.raises(DatasetError, match=r"stream_images: 'tiny_colours' cannot be opened"):
        stream_images("tiny_colours", data_dir=prepared)
