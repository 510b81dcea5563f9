"""What a folder of pictures is taken for: its parts, by their shape, or its classes."""

import contextlib
import pathlib
import tempfile
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_files import RED, in_one_colour, save

from rotnet_keras import DatasetError, load_splits
from rotnet_keras.data.layout import find_parts

CLASSES = ("cats", "dogs")


def make(root, *places, classes=CLASSES):
    """Empty pictures: `part/*` stands for one in each class, `part/` for one in the part."""
    for place in places:
        for name in classes if "*" in place else ("",):
            file = root / place.replace("*", name) / "1.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    return root


def found(root, **options):
    """The train, test and unlabelled folders, as text, and the notes."""
    layout = find_parts(root, **options)
    places = (layout.train, layout.test, layout.unlabelled)
    return [place and place.relative_to(root).as_posix() for place in places], layout.notes


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set", "test_set"),
        ("train", "test"),
        ("Train", "Testing"),
        ("asl_alphabet_train", "asl_alphabet_test"),
        ("TrainImages", "TestImages"),
        ("labelled", "test"),
        ("labeled-pictures", "test-pictures"),
        ("trainval", "test"),
    ],
)
def test_parts_are_known_by_their_shape(tmp_path, train, test):
    if train == "labelled":
        make(tmp_path, "unlabelled/")
    make(tmp_path, f"{train}/*", f"{test}/*")
    (train_found, test_found, _), notes = found(tmp_path)
    assert (train_found, test_found, notes) == (train, test, [])


def test_a_folder_in_a_folder_of_that_name(tmp_path):
    """As some archives have it."""
    make(tmp_path, "seg_train/seg_train/*", "seg_test/seg_test/*", "seg_pred/seg_pred/")
    expected = ["seg_train/seg_train", "seg_test/seg_test", None]
    assert found(tmp_path) == (expected, ["not used: seg_pred/"])


def test_parts_beside_pictures_without_labels(tmp_path):
    make(tmp_path, "train/*", "test/*", "Unlabelled/")
    assert found(tmp_path) == (["train", "test", "Unlabelled"], [])


@pytest.mark.parametrize("name", ["val", "Validation", "valid", "dev"])
def test_what_becomes_of_validation_pictures(tmp_path, name):
    make(tmp_path, "train/*", f"{name}/*")
    said = f"{name}/ is used as the test set, since there is none"
    assert found(tmp_path) == (["train", name, None], [said])
    make(tmp_path, "test/*")
    said = f"{name}/ is not used, since validation pictures are drawn from train/"
    assert found(tmp_path) == (["train", "test", None], [said])


def test_validation_pictures_beside_labelled_ones(tmp_path):
    make(tmp_path, "labelled/*", "unlabelled/", "val/*")
    said = "val/ is used as the test set, since there is none"
    assert found(tmp_path) == (["labelled", "val", "unlabelled"], [said])


def test_labelled_pictures_that_are_divided(tmp_path):
    make(tmp_path, "labelled/train/*", "labelled/test/*", "unlabelled/")
    assert found(tmp_path) == (["labelled/train", "labelled/test", "unlabelled"], [])
    make(tmp_path, "labelled/sketches/")
    assert found(tmp_path)[1] == ["not used: labelled/sketches/"]
    make(tmp_path, "test/*")
    with pytest.raises(DatasetError, match="must hold one test set, got test/ and labelled/test/"):
        find_parts(tmp_path)


@pytest.mark.parametrize("parts", ["Labelled UNLABELLED Test", "labelled unlabelled TEST"])
def test_case_does_not_matter(tmp_path, parts):
    labelled, unlabelled, test = parts.split()
    make(tmp_path, f"{labelled}/*", f"{unlabelled}/", f"{test}/*")
    assert found(tmp_path) == ([labelled, test, unlabelled], [])


def test_one_part_by_two_names(tmp_path):
    make(tmp_path, "labelled/*", "unlabelled/", "test/*", "Test/*")
    if len(list(tmp_path.iterdir())) < 4:
        pytest.skip("this disk does not tell them apart")
    with pytest.raises(DatasetError, match="must hold one folder test, got Test/ and test/"):
        find_parts(tmp_path)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *((name, "test") for name in ("tests", "Tests", "tset", "tst", "test_set", "testing")),
        *((name, "test") for name in ("holdout-test", "MyTest", "Test pictures")),
        *((name, "unlabelled") for name in ("unlabeled", "unlabled", "Unlabelled2", "no_labels")),
        *((name, "unlabelled") for name in ("train", "training")),
    ],
)
def test_a_part_that_is_misspelt_is_asked_about(tmp_path, name, part):
    there = {"test": "test/*", "unlabelled": "unlabelled/"}
    del there[part]
    make(tmp_path, "labelled/*", *there.values(), f"{name}/")
    with pytest.raises(DatasetError, match=rf"did you mean {part}/ by {name}/\?"):
        find_parts(tmp_path)
    make(tmp_path, f"{part}/*")  # where it is there, too, there is nothing to be asked
    assert found(tmp_path)[1] == [f"not used: {name}/"]


def test_a_misspelt_test_set_beside_training_pictures(tmp_path):
    make(tmp_path, "train/*", "val/*", "tests/")
    with pytest.raises(DatasetError, match=r"did you mean test/ by tests/\?"):
        find_parts(tmp_path)


def test_what_is_not_used_is_named(tmp_path):
    make(tmp_path, "labelled/*", "unlabelled/", "test/*", "masks/", "rest/", "")
    (tmp_path / ".git").mkdir()
    notes = ["not used: masks/, rest/", "not used: 1 pictures beside the parts"]
    assert found(tmp_path)[1] == notes


def test_labelled_pictures_alone(tmp_path):
    make(tmp_path, "labelled/*")
    assert found(tmp_path) == (["labelled", None, None], [])
    make(tmp_path, "masks/")
    assert found(tmp_path) == (["labelled", None, None], ["not used: masks/"])
    make(tmp_path, "test/*")
    assert found(tmp_path) == (["labelled", "test", None], ["not used: masks/"])


@pytest.mark.parametrize("place", ["tests/", "unlabeled/"])
def test_labelled_pictures_beside_a_misspelt_part(tmp_path, place):
    make(tmp_path, "labelled/*", place)
    with pytest.raises(DatasetError, match=rf"did you mean \w+/ by {place}\?"):
        find_parts(tmp_path)


@pytest.mark.parametrize(
    "places",
    [
        ["photo/*", "sketch/*"],
        ["train/*", "sketch/*"],
        ["fold_test_1/*", "fold_test_2/*"],
        ["val/*", "test_set/*"],
        ["train/*", "test_set/*", "extra/*"],
        ["one/train/", "one/test/", "two/train/", "two/test/"],
    ],
)
def test_what_can_be_understood_in_two_ways_is_refused(tmp_path, places):
    make(tmp_path, *places)
    names = sorted({place.split("/")[0] for place in places})
    with pytest.raises(DatasetError, match="look like parts of a data set") as told:
        find_parts(tmp_path)
    for name in (*names, *(() if "one" in names else CLASSES)):
        assert name in str(told.value)
    assert found(tmp_path, parts="named") == ([".", None, None], [])
    # Below `labelled/`, the same.
    make(tmp_path / "all", "unlabelled/", *(f"labelled/{place}" for place in places))
    with pytest.raises(DatasetError, match="look like parts of a data set"):
        find_parts(tmp_path / "all")
    assert found(tmp_path / "all", parts="named")[0] == ["labelled", None, "unlabelled"]


@pytest.mark.parametrize(
    "places",
    [
        ["cats/", "dogs/"],
        ["cats/siamese/", "cats/persian/", "dogs/poodle/", "dogs/beagle/"],
        ["cats/in/", "cats/out/", "dogs/in/", "dogs/out/", "birds/"],
        ["cats/images/", "dogs/images/"],
        ["bullet_train/", "car/", "bus/"],
        ["cats/in/", "cats/out/", "cats/", "dogs/in/", "dogs/out/", "dogs/"],
        ["vest/", "nest/", "contest/"],
    ],
)
def test_classes_are_classes(tmp_path, places):
    assert found(make(tmp_path, *places)) == ([".", None, None], [])


@pytest.mark.parametrize(
    ("names", "asked"),
    [
        (
            ("training_set", "test_set"),
            r"did you mean test/ by test_set/\? if these are the classes",
        ),
        (
            ("unlabelled", "cats", "dogs"),
            "put the folders of the classes into a folder labelled/, be",
        ),
        (
            ("labeled", "unlabeled"),
            r"did you mean labelled/ by labeled/\? did .* by unlabeled/\? if these are the classes",
        ),
        (("train",), "give train/ itself"),
    ],
)
def test_names_of_parts_are_no_classes(tmp_path, names, asked):
    make(tmp_path, *(f"{name}/" for name in names))
    with pytest.raises(DatasetError, match=f"no names of classes; {asked}"):
        find_parts(tmp_path)


def test_what_is_beside_unlabelled_pictures_is_in_labelled_however_parts_are_known(tmp_path):
    make(tmp_path, "unlabelled/", "cats/", "dogs/")
    with pytest.raises(
        DatasetError, match="put the folders of the classes into a folder labelled/"
    ):
        find_parts(tmp_path, parts="named")


def test_a_test_set_without_classes_beside_divided_pictures(tmp_path):
    make(tmp_path, "train/*", "val/*", "test/")
    with pytest.raises(DatasetError, match=r"test must hold the folders of classes that train/"):
        find_parts(tmp_path)


def test_a_class_that_is_called_like_a_part(tmp_path):
    make(tmp_path, "train/", "bus/", "car/")
    with pytest.raises(DatasetError, match=r"got \['train'\], which are no names of classes"):
        find_parts(tmp_path)
    assert found(tmp_path, parts="named")[0] == [".", None, None]
    make(tmp_path, "test/")
    with pytest.raises(DatasetError, match=r"got \['test'\], which are no names of classes"):
        find_parts(tmp_path, parts="named")


NAMES = st.text("abcdeéü", min_size=1, max_size=3)
ROLES = st.sampled_from(["train", "Train", "training_set", "images_train", "TRAIN"])
TESTS = st.sampled_from(["test", "Test", "testing_set", "images_test", "TESTS"])
FORMS = st.sampled_from(["NFC", "NFD"])


@given(st.sets(NAMES, min_size=2, max_size=5), ROLES, TESTS, FORMS, FORMS)
@settings(max_examples=60, deadline=None)
def test_any_classes_in_any_two_parts(classes, train, test, one, other):
    with tempfile.TemporaryDirectory() as place:
        root = pathlib.Path(place)
        for part, form in ((train, one), (test, other)):
            make(root, f"{part}/*", classes=[unicodedata.normalize(form, c) for c in classes])
        assert found(root) == ([train, test, None], [])


@given(
    st.dictionaries(NAMES, st.sets(NAMES, max_size=3), min_size=2, max_size=4),
    st.sampled_from(["any", "named"]),
)
@settings(max_examples=100, deadline=None)
def test_other_shapes_are_classes_or_refused(shape, parts):
    """Names that say nothing are never parts, and nothing is left out without a word."""
    with tempfile.TemporaryDirectory() as place:
        root = pathlib.Path(place)
        for name, below in shape.items():
            make(root, f"{name}/", *(f"{name}/{inner}/" for inner in below))
            if len(below) > 1:
                (root / name / "1.png").unlink()
        held = [below for below in shape.values() if len(below) > 1]
        alike = any(len(a & b) > 1 for n, a in enumerate(held) for b in held[:n])
        if alike and parts == "any":
            with contextlib.suppress(DatasetError):  # as where others are classes by their looks
                assert found(root) == ([".", None, None], [])
        else:
            assert found(root, parts=parts) == ([".", None, None], [])


def test_divided_folders_are_loaded(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("training_set", 9), ("test_set", 2)):
        for name in CLASSES:
            for number in range(count):
                save(tmp_path / part / name / f"{number}.png", rng.integers(0, 256, (9, 9, 3)))
    splits = load_splits(tmp_path, image_size=8, num_labels=4, num_validation=2)
    assert splits.class_names == CLASSES
    assert splits.test.labels.tolist() == [0, 0, 1, 1]
    assert [len(part) for part in (splits.unlabelled, splits.labelled.labels)] == [12, 4]
    save(tmp_path / "sketches" / "a.png", in_one_colour(RED))
    with pytest.warns(UserWarning, match=r": not used: sketches/$"):
        load_splits(tmp_path, image_size=8, num_labels=4, num_validation=2)
