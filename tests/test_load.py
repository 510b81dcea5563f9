"""Data sets, folders and the stand-in, divided or streamed."""

import dataclasses
import shutil

import numpy as np
import pytest
from picture_files import GREEN, RED, break_files, in_one_colour, make_folder, save

from rotnet_keras import DatasetError, list_pictures, load_splits, stream_images
from rotnet_keras.data.garments import CLASS_NAMES


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path)


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


def test_stand_in_by_name_is_one_data_set_for_all_seeds():
    first, other = (load_splits("garments", num_labels=50, seed=seed) for seed in (0, 1))
    assert first.stand_in
    assert first.name == "garments"
    assert first.unlabelled.shape == (49_950, 28, 28, 1)
    np.testing.assert_array_equal(first.test.images, other.test.images)
    assert not np.array_equal(first.labelled.images, other.labelled.images)


def test_no_network_falls_back_when_allowed(tmp_path, offline):
    with pytest.warns(UserWarning, match="USING DRAWN STAND-IN GARMENTS, NO REAL DATA"):
        splits = load_splits("fashion_mnist", data_dir=tmp_path, fall_back=True)
    assert splits.stand_in
    assert splits.name == "garments"


def test_a_folder_with_and_without_labels(folder):
    splits = load_splits(folder, image_size=16)
    assert splits.class_names == ("green", "red")
    assert (splits.name, splits.image_shape, splits.skipped) == (folder.name, (16, 16, 3), ())
    sizes = [len(part.labels) for part in (splits.labelled, splits.validation, splits.test)]
    assert (len(splits.unlabelled), *sizes) == (30, 25, 5, 6)
    for part in (splits.labelled, splits.validation, splits.test):
        colours = np.array([GREEN, RED], "uint8")[part.labels]
        expected = np.broadcast_to(colours[:, None, None], part.images.shape)
        np.testing.assert_array_equal(part.images, expected)
    assert load_splits(str(folder)).image_shape == (64, 64, 3)


def test_fewer_labels_leave_the_others_without(folder):
    splits = load_splits(folder, image_size=16, num_labels=4, num_validation=6)
    assert np.bincount(splits.labelled.labels).tolist() == [2, 2]
    assert len(splits.unlabelled) == 30 + 36 - 6 - 6 - 4
    again = load_splits(folder, image_size=16, num_labels=4, num_validation=6, seed=1)
    np.testing.assert_array_equal(splits.test.images, again.test.images)


def test_a_folder_of_classes_and_a_number_of_labels(folder):
    splits = load_splits(folder / "labelled", image_size=16, num_labels=6)
    sizes = [len(part.labels) for part in (splits.labelled, splits.validation, splits.test)]
    assert (len(splits.unlabelled), *sizes) == (19, 6, 5, 6)
    with pytest.raises(ValueError, match=r"got 24 \+ 5: num_labels may be up to 23$"):
        load_splits(folder / "labelled", image_size=16, num_labels=24)


def test_a_folder_of_classes_alone_uses_all_labels(folder):
    whole = load_splits(folder / "labelled", image_size=16)
    assert whole.unlabelled.shape == (0, 16, 16, 3)
    sizes = [len(part.labels) for part in (whole.labelled, whole.validation, whole.test)]
    assert sizes == [25, 5, 6]
    assert whole == load_splits(folder / "labelled", image_size=16, num_labels=25)
    shutil.rmtree(folder / "unlabelled")
    same = {"name": whole.name, "files": whole.files}  # but for where they lie
    assert dataclasses.replace(load_splits(folder, image_size=16), **same) == whole
    save(folder / "test" / "red" / "a.png", in_one_colour(RED, (40, 40)))
    with pytest.warns(UserWarning, match=r"test/ has no pictures of green$"):
        splits = load_splits(folder, image_size=16)
    sizes = [len(part.labels) for part in (splits.labelled, splits.validation, splits.test)]
    assert (len(splits.unlabelled), *sizes) == (0, 30, 6, 1)


def test_a_test_folder_is_kept_for_the_end(folder):
    save(folder / "test" / "red" / "a.png", in_one_colour(RED))
    save(folder / "test" / "green" / "a.png", in_one_colour(GREEN))
    splits = load_splits(folder, image_size=16)
    assert splits.test.labels.tolist() == [0, 1]
    assert len(splits.labelled.labels) + len(splits.validation.labels) == 36
    save(folder / "test" / "blue" / "a.png", in_one_colour(RED))
    with pytest.raises(DatasetError, match=r"test must hold classes of \['green', 'red'\]"):
        load_splits(folder, image_size=16)


def test_accents_are_compared_however_they_are_written(tmp_path):
    """A Mac writes them in two characters, a zip archive from elsewhere in one."""
    make_folder(tmp_path)
    for name, colour in {"cafe\u0301": RED, "bar": GREEN}.items():
        save(tmp_path / "labelled" / name / "a.png", in_one_colour(colour, (40, 40)))
        save(tmp_path / "labelled" / name / "b.png", in_one_colour(colour, (41, 41)))
    save(tmp_path / "test" / "caf\xe9" / "c.png", in_one_colour(RED, (42, 42)))
    with pytest.warns(UserWarning, match=r"test/ has no pictures of bar, green, red$") as told:
        splits = load_splits(tmp_path, image_size=16, num_validation=4)
    assert len(told) == 1
    assert splits.class_names == ("bar", "cafe\u0301", "green", "red")
    assert splits.test.labels.tolist() == [1]


def test_one_line_says_what_a_folder_holds_besides(folder, tmp_path):
    """Of all its parts together."""
    save(folder / "Test" / "red" / "a.png", in_one_colour(RED))
    (folder / "masks").mkdir()
    for name in ("labelled/red/a.txt", "labelled/b.txt", "unlabelled/c.mp4", "Test/red/d.txt"):
        (folder / name).write_text("x")
    said = r"not used: masks/; Test/ has no pictures of green; passed over: 3 \.txt, 1 \.mp4$"
    with pytest.warns(UserWarning, match=f"{folder.name}: {said}") as told:
        splits = load_splits(folder, image_size=16)
    assert len(told) == 1
    assert told[0].filename == __file__
    assert splits.test.labels.tolist() == [1]


def test_links_out_of_a_folder_of_parts(folder, tmp_path_factory):
    """A part or a class may be a link to anywhere; what they hold, if it is asked for."""
    outside = tmp_path_factory.mktemp("outside")
    save(outside / "a.png", in_one_colour(RED))
    (folder / "unlabelled" / "more").symlink_to(outside)
    (folder / "labelled" / "red" / "pool").symlink_to(folder / "pool")
    save(folder / "pool" / "b.png", in_one_colour(RED, (50, 50)))
    with pytest.warns(
        UserWarning, match=r"not used: pool/; passed over: 1 links out of it"
    ) as told:
        splits = load_splits(folder, image_size=16)
    assert len(told) == 1
    assert len(splits.unlabelled) == 30
    assert sum(len(part.labels) for part in (splits.labelled, splits.validation, splits.test)) == 37
    with pytest.warns(UserWarning, match=r"not used: pool/$"):
        assert len(load_splits(folder, image_size=16, follow_links=True).unlabelled) == 31
    assert int(stream(folder, follow_links=True).cardinality()) == 68


def test_broken_files_are_listed_in_one_error(folder):
    broken = break_files(sorted((folder / "unlabelled" / "deep").iterdir())[:5])
    broken += break_files(sorted((folder / "labelled" / "red").iterdir())[:1])
    for read in (lambda: load_splits(folder, image_size=16), lambda: stream(folder)):
        with pytest.raises(DatasetError, match='leave them out with broken="skip"') as error:
            read()
        lines = error.value.said.splitlines()
        assert lines[0].startswith("6 of 66 pictures cannot be read")
        assert [line.split(": ")[0].strip() for line in lines[1:]] == sorted(map(str, broken))
        assert "Traceback" not in str(error.value)


def test_many_pictures_are_read_again_in_each_pass(folder, monkeypatch):
    """Few are kept in memory; both ways give the same images in the same order."""
    few = list(stream(folder).as_numpy_iterator())
    monkeypatch.setattr("rotnet_keras.data.load.WINDOW_BYTES", 1000)
    streamed = stream(folder)
    for _ in range(2):
        np.testing.assert_array_equal(few, list(streamed.as_numpy_iterator()))
    grey = list(stream(folder, channels=1).as_numpy_iterator())
    monkeypatch.undo()
    np.testing.assert_array_equal(grey, list(stream(folder, channels=1).as_numpy_iterator()))


def stream(folder, **options):
    return stream_images(folder, image_size=16, **options)


def test_broken_files_are_skipped_and_listed_on_request(folder):
    (broken,) = break_files(sorted((folder / "labelled" / "red").iterdir())[:1])
    with pytest.warns(UserWarning, match=rf"1 of 66 pictures cannot be read .*\n  {broken}: "):
        splits = load_splits(folder, image_size=16, broken="skip")
    assert splits.skipped == (str(broken),)
    assert sum(len(part.labels) for part in (splits.labelled, splits.validation, splits.test)) == 35
    with pytest.warns(UserWarning, match="1 of 66"):
        dataset = stream(folder, broken="skip")
    assert int(dataset.cardinality()) == 65 == len(list(dataset))


def test_nothing_but_broken_files_cannot_be_skipped(tmp_path):
    save(tmp_path / "a.png", in_one_colour(RED))
    break_files([tmp_path / "a.png"])
    with pytest.raises(DatasetError, match="1 of 1 pictures cannot be read, and there are no"):
        stream(tmp_path, broken="skip")


def test_formats_that_cannot_be_read_are_not_passed_over(tmp_path):
    save(tmp_path / "a.png", in_one_colour(RED))
    (tmp_path / "b.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 50)
    with pytest.raises(DatasetError, match=r"b\.HEIC: no picture, or in a format"):
        stream(tmp_path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        ("labelled/a.png", r"must hold a folder for each class, it holds 1 pictures .* a\.png"),
        ("labelled/blue/notes.txt", r"blue holds no pictures \(\.avif, "),
    ],
)
def test_folders_in_no_known_form(folder, make, message):
    save(folder / "a.png", in_one_colour(RED))
    (folder / make).parent.mkdir(exist_ok=True)
    (folder / "a.png").rename(folder / make)
    with pytest.raises(DatasetError, match=message):
        load_splits(folder, image_size=16)


def test_folders_that_lack_something(folder, tmp_path):
    with pytest.raises(DatasetError, match=r"two or more classes, got \['deep'\]"):
        load_splits(folder / "unlabelled", num_labels=5)
    with pytest.raises(DatasetError, match="nowhere is no folder"):
        load_splits(tmp_path / "nowhere")
    for file in list_pictures(folder / "unlabelled"):
        file.unlink()
    with pytest.raises(DatasetError, match="unlabelled holds no pictures"):
        load_splits(folder)


@pytest.mark.parametrize("names", [("labeled", "unlabeled"), ("train", "test"), ("Val", "cat")])
def test_parts_of_a_data_set_are_not_taken_for_classes(tmp_path, names):
    for name in names:
        save(tmp_path / name / "a.png", in_one_colour(RED))
    with pytest.raises(DatasetError, match="which are no names of classes"):
        load_splits(tmp_path, num_labels=2)


def test_a_name_that_is_known_is_no_folder(tmp_path, monkeypatch):
    """A folder beside the notebook must not hide a data set of that name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "garments").mkdir()
    assert load_splits("garments").stand_in
    with pytest.raises(DatasetError, match="two or more classes"):
        load_splits("./garments", num_labels=5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fit": "squeeze"}, r"fit must be one of \('crop', 'pad', 'resize'\), got 'squeeze'"),
        ({"channels": 4}, "channels must be 1, 3 or None, got 4"),
        ({"broken": "mend"}, r"broken must be one of \('raise', 'skip'\), got 'mend'"),
        ({"image_size": 0}, "image_size must be a whole number of at least 1, got 0"),
    ],
)
def test_settings_that_there_are_not(folder, options, message):
    for load in (load_splits, stream_images):
        with pytest.raises(ValueError, match=message):
            load(folder, **{"image_size": 16, **options})
