"""The same file in several places of a folder."""

import itertools
import shutil
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_files import GREEN, RED, in_one_colour, make_folder, save

from rotnet_keras import DatasetError, load_splits
from rotnet_keras.data.repeats import same_files


@pytest.fixture
def folder(tmp_path):
    """With a test set of one picture a class."""
    save(tmp_path / "test" / "red" / "a.png", in_one_colour(RED))
    save(tmp_path / "test" / "green" / "a.png", in_one_colour(GREEN))
    return make_folder(tmp_path)


def copy(folder, one, other):
    (folder / other).parent.mkdir(exist_ok=True)
    return shutil.copy(folder / one, folder / other)


SPOILT = [
    ("labelled/red/0.png", "labelled/green/x.png", "in two classes"),
    ("test/red/a.png", "labelled/green/x.png", "in two classes"),
    ("labelled/red/0.png", "test/red/x.png", "in the test set and among the training pictures"),
    ("unlabelled/deep/0.png", "test/red/x.png", "in the test set and among the training"),
]
SAID = [
    ("labelled/red/0.png", "unlabelled/x.png", "with a label, and among the unlabelled ones"),
    ("labelled/red/0.png", "labelled/red/x.png", "more than once in their class"),
    ("test/red/a.png", "test/red/x.png", "more than once in their class"),
]


@pytest.mark.parametrize(("one", "other", "said"), SPOILT)
def test_repeats_that_spoil_a_result(folder, one, other, said):
    copy(folder, one, other)
    with pytest.raises(DatasetError, match=rf"1 picture is {said}.*repeats=\"keep\"") as told:
        load_splits(folder, image_size=8)
    for file in (folder / one, folder / other):
        assert str(file) in str(told.value)
    with pytest.warns(UserWarning, match=rf"1 picture is {said}.*, such as"):
        splits = load_splits(folder, image_size=8, repeats="keep")
    sizes = [len(part.labels) for part in (splits.labelled, splits.validation, splits.test)]
    assert len(splits.unlabelled) + sum(sizes) == 30 + 36 + 2 + 1


@pytest.mark.parametrize(("one", "other", "said"), SAID)
def test_repeats_that_are_said(folder, one, other, said):
    copy(folder, one, other)
    with pytest.warns(UserWarning, match=rf"^1 picture is {said}, such as .* = ") as told:
        splits = load_splits(folder, image_size=8)
    assert len(told) == 1
    of_test = one.startswith("test")
    assert str(told[0].message).endswith("; each is taken once") == (not of_test)
    sizes = [len(part.labels) for part in (splits.labelled, splits.validation, splits.test)]
    assert len(splits.unlabelled) + sum(sizes) == 30 + 36 + 2 + of_test
    with pytest.warns(UserWarning, match=rf"^1 picture is {said}, such as .* = [^;]*$"):
        kept = load_splits(folder, image_size=8, repeats="keep")
    sizes = [len(part.labels) for part in (kept.labelled, kept.validation, kept.test)]
    assert len(kept.unlabelled) + sum(sizes) == 30 + 36 + 2 + 1


@pytest.mark.parametrize("seed", range(3))
def test_no_copy_of_a_picture_that_is_drawn_for_the_test_is_learnt_from(tmp_path, seed):
    rng = np.random.default_rng(0)
    for number, name in itertools.product(range(8), ("red", "green")):
        save(tmp_path / name / f"{number}.png", rng.integers(0, 256, (8, 8, 3), "uint8"))
        shutil.copy(tmp_path / name / f"{number}.png", tmp_path / name / f"{number} copy.png")
    with pytest.warns(UserWarning, match="16 pictures are more than once .* each is taken once$"):
        splits = load_splits(tmp_path, image_size=8, seed=seed)
    parts = (splits.labelled.images, splits.validation.images, splits.test.images)
    assert sum(map(len, parts)) == 16
    assert len(np.unique(np.concatenate(parts), axis=0)) == 16


def test_repeats_without_labels_are_worth_no_word(folder):
    copy(folder, "unlabelled/deep/0.png", "unlabelled/x.png")
    load_splits(folder, image_size=8)


def test_many_repeats_are_counted_and_the_first_named(folder):
    for number in range(5):
        copy(folder, f"labelled/red/{number}.png", f"labelled/green/x{number}.png")
    with pytest.raises(DatasetError, match="5 pictures are in two classes, such as") as told:
        load_splits(folder, image_size=8)
    assert str(told.value).count(" = ") == 3


def test_repeats_in_a_folder_of_classes(folder):
    copy(folder, "labelled/red/0.png", "labelled/green/x.png")
    with pytest.raises(DatasetError, match="1 picture is in two classes"):
        load_splits(folder / "labelled", image_size=8, num_labels=4)


def test_broken_pictures_are_not_compared(folder):
    for part in ("labelled/red", "test/red"):
        (folder / part / "x.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="2 of 70 pictures cannot be read"):
        load_splits(folder, image_size=8, broken="skip")


@given(st.lists(st.sampled_from([b"", b"a", b"b", b"ab", b"ba"]), min_size=1, max_size=9))
@settings(max_examples=50, deadline=None)
def test_files_are_the_same_if_their_bytes_are(tmp_path_factory, contents):
    place = tmp_path_factory.mktemp("same")
    files = [place / str(number) for number in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    images = np.zeros((len(files), 8, 8, 1), "uint8")  # to look at, all are alike
    expected = [[n for n, c in enumerate(contents) if c == one] for one in dict.fromkeys(contents)]
    assert sorted(same_files(files, images)) == sorted(some for some in expected if len(some) > 1)


def test_images_that_differ_are_not_opened_again(tmp_path):
    """Forty thousand files, which are not even there."""
    images = np.random.default_rng(0).integers(0, 256, (40_000, 28, 28, 1), "uint8")
    files = [tmp_path / str(number) for number in range(len(images))]
    start = time.process_time()
    assert same_files(files, images) == []
    assert time.process_time() - start < 2
