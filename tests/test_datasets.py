import pathlib
import shutil
import time

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from hypothesis import given, settings
from hypothesis import strategies as st

from rotnet_keras import DatasetError, load_splits, make_splits, split_indices
from rotnet_keras.data.garments import CLASS_NAMES

COLOURS = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200)}


class TinyColours(tfds.core.GeneratorBasedBuilder):
    """Sixty oblong images of three colours; the border is white, and there is no test split."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = pathlib.Path(__file__).parent  # TFDS looks for a package, and tests are none
    fail_after = None

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=list(COLOURS)),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i in range(60):
            if i == TinyColours.fail_after:
                raise OSError("the disk went away")
            name = list(COLOURS)[i % 3]
            image = np.full((20, 30 + i, 3), 255, "uint8")
            image[:, 5 + i // 2 : 25 + i // 2] = COLOURS[name]
            yield i, {"image": image, "label": name}


class TinyNumbers(tfds.core.GeneratorBasedBuilder):
    """A data set without images."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = pathlib.Path(__file__).parent  # TFDS looks for a package, and tests are none

    def _info(self):
        features = tfds.features.FeaturesDict({"n": np.int64})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": iter([])}

    def _generate_examples(self):
        yield 0, {"n": 0}


@pytest.fixture(scope="session")
def prepared_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    tfds.builder("tiny_colours", data_dir=folder).download_and_prepare()
    return folder


@pytest.fixture
def prepared(prepared_once, tmp_path):
    """A copy of the prepared tiny data set, to damage at will."""
    shutil.copytree(prepared_once, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def offline(monkeypatch):
    """Send every request to a port of this machine where nobody listens."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def load_tiny(folder, **options):
    options = {"num_labels": 12, "num_validation": 6, **options}
    return load_splits("tiny_colours", data_dir=folder, **options)


def files_below(folder):
    return sorted(str(path) for path in pathlib.Path(folder).rglob("*") if path.is_file())


def test_splits_of_fashion_mnist(splits):
    assert splits.image_shape == (28, 28, 1)
    assert splits.class_names == CLASS_NAMES
    assert splits.num_classes == 10
    assert splits.unlabelled.shape == (49_000, 28, 28, 1)
    assert splits.labelled.images.shape == (1_000, 28, 28, 1)
    assert splits.validation.images.shape == (10_000, 28, 28, 1)
    assert splits.test.images.shape == (10_000, 28, 28, 1)
    for images in (splits.unlabelled, *(part.images for part in (splits.labelled, splits.test))):
        assert images.dtype == np.uint8
    assert np.bincount(splits.labelled.labels).tolist() == [100] * 10
    assert np.bincount(splits.validation.labels).tolist() == [1_000] * 10
    assert splits.test.labels.dtype == np.int32


def test_the_test_set_is_the_official_one(splits):
    if splits.stand_in:
        pytest.skip("Fashion-MNIST cannot be had here")
    # The first labels of the published t10k-labels-idx1-ubyte.gz; TFDS keeps another order, so
    # compare what does not depend on it.
    assert np.bincount(splits.test.labels).tolist() == [1_000] * 10
    assert int(splits.test.images.astype("int64").sum()) == 573_469_082


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


def test_stand_in_by_name_is_one_data_set_for_all_seeds():
    first, other = (load_splits("garments", num_labels=50, seed=seed) for seed in (0, 1))
    assert first.stand_in
    assert first.name == "garments"
    assert first.unlabelled.shape == (49_950, 28, 28, 1)
    np.testing.assert_array_equal(first.test.images, other.test.images)
    assert not np.array_equal(first.labelled.images, other.labelled.images)


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


def test_no_network(tmp_path, offline):
    start = time.monotonic()
    with pytest.raises(DatasetError) as error:
        load_splits("fashion_mnist", data_dir=tmp_path)
    assert time.monotonic() - start < 60
    for word in ("cannot be reached", "Connect", "data_dir", "TFDS_DATA_DIR", "manual_dir"):
        assert word in str(error.value)
    assert "train-images-idx3-ubyte.gz" in str(error.value)
    assert files_below(tmp_path) == []


def test_no_network_falls_back_when_allowed(tmp_path, offline):
    with pytest.warns(UserWarning, match="USING DRAWN STAND-IN GARMENTS, NO REAL DATA"):
        splits = load_splits("fashion_mnist", data_dir=tmp_path, fall_back=True)
    assert splits.stand_in
    assert splits.name == "garments"


def test_damaged_file_in_manual_dir(tmp_path, offline):
    manual_dir, data_dir = tmp_path / "manual", tmp_path / "data"
    manual_dir.mkdir()
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (manual_dir / f"{part}-ubyte.gz").write_bytes(b"not the published file")
    with pytest.raises(DatasetError, match="wrong checksum"):
        load_splits("fashion_mnist", data_dir=data_dir, manual_dir=manual_dir)
    assert files_below(data_dir) == []


def test_file_missing_from_manual_dir(tmp_path, offline):
    with pytest.raises(DatasetError, match="cannot be reached"):
        load_splits("fashion_mnist", data_dir=tmp_path / "data", manual_dir=tmp_path)
    with pytest.raises(DatasetError, match="manual_dir must be a folder"):
        load_splits("fashion_mnist", data_dir=tmp_path / "data", manual_dir=tmp_path / "none")


def test_preparation_that_breaks_off_leaves_nothing_and_can_be_repeated(tmp_path, monkeypatch):
    monkeypatch.setattr(TinyColours, "fail_after", 30)
    with pytest.raises(DatasetError, match=r"could not be prepared: .*the disk went away"):
        load_tiny(tmp_path)
    assert files_below(tmp_path) == []
    monkeypatch.setattr(TinyColours, "fail_after", None)
    assert len(load_tiny(tmp_path).unlabelled) == 32


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


def test_folder_without_finished_data(tmp_path):
    (tmp_path / "tiny_colours" / "1.0.0").mkdir(parents=True)
    with pytest.raises(DatasetError, match="holds no finished data: delete that folder"):
        load_tiny(tmp_path)


def test_version_and_configuration_that_do_not_exist(prepared):
    with pytest.raises(DatasetError, match=r"'tiny_colours:9\.9\.9' cannot be opened"):
        load_splits("tiny_colours:9.9.9", data_dir=prepared)
    with pytest.raises(ValueError, match=r"name must be a data set.*got 'mnist/foo'"):
        load_splits("mnist/foo", data_dir=prepared)


def test_rare_classes_are_named():
    truth = np.array([0] * 990 + [1] * 5 + [2] * 5)
    with pytest.raises(ValueError, match=r"rare classes \[1, 2\]"):
        split_indices(truth, num_labels=10, num_validation=50)
    with pytest.raises(ValueError, match="class 1 is too rare with 1 images"):
        split_indices(np.array([0] * 99 + [1]), num_labels=10, num_validation=50)
    parts = split_indices(truth, num_labels=200, num_validation=200)
    assert np.bincount(truth[parts[1]]).tolist() == [198, 1, 1]


def test_a_rare_class_keeps_a_labelled_image():
    labels = np.array([0] * 50 + [1] * 3)
    options = {"unlabelled": numbered(4), "test": (numbered(4), np.arange(4) % 2)}
    with pytest.raises(ValueError, match=r"num_validation must be small enough.*classes \[1\]"):
        make_splits(numbered(53), labels, num_validation=45, **options)


def test_damaged_description(prepared):
    (description,) = prepared.rglob("dataset_info.json")
    description.write_text("{ torn")
    with pytest.raises(DatasetError, match=r"'tiny_colours' cannot be opened.*delete its folder"):
        load_tiny(prepared)


def numbered(count):
    """Images that say which they are."""
    return np.tile(np.arange(count, dtype="uint8")[:, None, None, None], (1, 4, 4, 1))


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": np.arange(59) % 3}, r"labels must be whole numbers of shape \(60,\)"),
        (
            {"labels": np.arange(60) % 3 + 1},
            "labels must hold each of num_classes = 4 classes 0 to 3",
        ),
        ({"class_names": ["a", "b"]}, "labels must hold each of num_classes = 2 .* and no others"),
        ({"num_labels": None}, "num_labels must be given where no images are without labels"),
        (
            {"unlabelled": numbered(4)[:, :3]},
            r"unlabelled must have images like .* got \(3, 4, 1\)",
        ),
        (
            {"test": (numbered(4)[:, :3], np.arange(4) % 3)},
            r"test must have images like the others",
        ),
        (
            {"unlabelled": tf.data.Dataset.from_tensor_slices((numbered(4), np.arange(4)))},
            "unlabelled must be a dataset of single images",
        ),
        (
            {"images": tf.data.Dataset.from_tensor_slices(numbered(4)), "labels": None},
            r"images must be a dataset of pairs \(image, label\)",
        ),
    ],
)
def test_arrays_that_do_not_fit_together(options, message):
    given = {"images": numbered(60), "labels": np.arange(60) % 3, "num_labels": 9, **options}
    with pytest.raises(ValueError, match=message):
        make_splits(given.pop("images"), given.pop("labels"), **given)
