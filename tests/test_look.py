"""What a folder of pictures holds, said before anything that takes time."""

import re
import subprocess
import sys

import numpy as np
import pytest
from picture_files import RED, break_files, in_one_colour, make_folder, save

from rotnet_keras import DatasetError, InputError, load_splits
from rotnet_keras.data.look import Found, look_at_folder, suitable_size


def touch(root, **numbers):
    """Empty pictures, so many in each folder; `__` in its name stands for `/`."""
    for name, number in numbers.items():
        place = root / name.replace("__", "/")
        place.mkdir(parents=True)
        for i in range(number):
            (place / f"{i}.jpg").touch()
    return root


def test_it_takes_no_tensorflow(tmp_path):
    touch(tmp_path, cat=3, dog=3)
    program = (
        "import sys; from rotnet_keras.data.look import look_at_folder, suitable_size; "
        f"found = look_at_folder({str(tmp_path)!r}); suitable_size(found.files); "
        "print({*sys.modules} & {'keras', 'tensorflow', 'sklearn', 'pandas'}, found.kind)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "set() labelled\n"


def test_class_folders_alone(tmp_path):
    found = look_at_folder(touch(tmp_path, cat=30, dog=30))
    assert found == Found({"cat": 30, "dog": 30}, {}, 0)
    assert found.kind == "labelled"
    assert len(found.files) == 60
    assert found.in_words == (
        "60 labelled pictures of 2 classes (30 each: cat, dog); 10 of those with labels are for "
        "the test. All but those for validation and test are pretrained on."
    )


def test_parts(tmp_path):
    touch(tmp_path, labelled__cat=7, labelled__dog=1_200, unlabelled__deep=40, test__dog=2)
    found = look_at_folder(tmp_path)
    assert found == Found({"cat": 7, "dog": 1_200}, {"dog": 2}, 40)
    assert [file.relative_to(tmp_path).parts[0] for file in found.files[-41:]] == [
        "labelled",
        *["unlabelled"] * 40,
    ]
    assert found.in_words == (
        "1,207 labelled pictures of 2 classes (7 to 1,200 each: cat, dog) and 40 without labels; "
        "2 of 1 class for the test. All but those for validation and test are pretrained on."
    )


def test_many_classes_are_not_all_named(tmp_path):
    touch(tmp_path, **{f"class_{number:02}": 3 for number in range(9)})
    said = "9 classes (3 each: class_00, class_01, class_02, class_03, class_04, class_05, 3 more)"
    assert said in look_at_folder(tmp_path).in_words


@pytest.mark.parametrize("place", [".", "unlabelled", "Unlabelled/deep"])
def test_pictures_without_labels_alone(tmp_path, place):
    folder = touch(tmp_path / "new", **{place.replace("/", "__"): 2})
    found = look_at_folder(folder)
    assert (found, found.kind) == (Found({}, {}, 2), "unlabelled")
    assert found.in_words.startswith("2 pictures without labels: they can be pretrained on, ")
    assert found.in_words.endswith("put some of them into a folder for each class.")


def test_what_it_counts_is_what_is_loaded(tmp_path):
    make_folder(tmp_path)
    rng = np.random.default_rng(1)
    for colour in ("red", "green"):
        save(tmp_path / "test" / colour / "a.png", rng.integers(0, 256, (9, 9, 3)))
    for folder in (tmp_path, tmp_path / "labelled"):
        found = look_at_folder(folder)
        splits = load_splits(folder, image_size=8)
        assert tuple(found.labelled) == splits.class_names
        assert found.unlabelled == len(splits.unlabelled)
        assert found.most_labels() == len(splits.labelled.labels)
        assert found.num_validation == len(splits.validation.labels)
        if found.test:
            assert sum(found.test.values()) == len(splits.test.labels)


def test_as_many_labels_as_there_are(tmp_path):
    found = look_at_folder(touch(tmp_path, cat=30, dog=30))
    assert found.most_labels() == 60 - 10 - 8
    assert found.most_labels(20) == 60 - 10 - 20
    for number in (None, 1, 42):
        found.check_num_labels(number)
    said = (
        "num_labels must be at most 42, which are left of 60 labelled pictures without 10 for the "
        "test and 8 for validation, got 43"
    )
    with pytest.raises(InputError, match=f"^{said}$"):
        found.check_num_labels(43)
    with pytest.raises(InputError, match=r"at most 30, .* without 10 for the test and 20 for val"):
        found.check_num_labels(31, 20)
    tested = Found({"cat": 30, "dog": 30}, {"cat": 5}, 9)
    with pytest.raises(InputError, match=r"at most 50, .* pictures without 10 for validation, got"):
        tested.check_num_labels(51)
    Found({}, {}, 9).check_num_labels(51)


def test_a_folder_that_is_not_there(tmp_path):
    touch(tmp_path, pictures=0)
    for name, hint in {"picturse": f"; did you mean {tmp_path}/pictures?", "here": ""}.items():
        said = f"folder must be an existing folder, got {tmp_path}/{name}{hint}"
        with pytest.raises(DatasetError, match=rf"^{re.escape(said)}$"):
            look_at_folder(tmp_path / name)
    with pytest.raises(DatasetError, match=r"must be an existing folder, got .*/nowhere/at/all$"):
        look_at_folder(tmp_path / "nowhere" / "at" / "all")


@pytest.mark.parametrize("made", [{}, {"cat": 0, "dog": 0}, {".hidden": 2}])
def test_an_empty_folder_is_answered_by_the_expected_tree(tmp_path, made):
    with pytest.raises(DatasetError, match=r"holds no pictures \(\.avif, ") as told:
        look_at_folder(touch(tmp_path, **made))
    first, *lines = told.value.said.split("\n")
    assert first.startswith(f"{tmp_path} holds no pictures")
    assert len(lines) == 5
    assert all(line.startswith("  ") for line in lines)
    for place in ("/cat/1.jpg", "/labelled/dog/1.jpg", "/unlabelled/2.jpg", "/test/cat/3.jpg"):
        assert f"{tmp_path}{place}" in told.value.said


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"cat": 3}, r"two or more classes, got \['cat'\]; if its pictures have no labels, give"),
        ({"cat": 3, "dog": 0}, r"dog holds no pictures"),
        ({"cat": 3, ".": 1}, r"must hold a folder for each class, it holds 1 pictures beside"),
        (
            {"cat": 9, "dog": 1, "frog": 2},
            r"at least 3 pictures of each class, one each to learn from and for validation and the "
            r"test, got 1 of dog, 2 of frog: add some, or leave such classes out$",
        ),
        (
            {"train__cat": 9, "train__dog": 1, "test__cat": 1, "test__dog": 1},
            r"train must hold at least 2 pictures of each class, one each to learn from and for "
            r"validation, got 1 of dog: add",
        ),
        ({f"c{number}": 1 + 9 * (number > 6) for number in range(9)}, r"1 of c4 and 2 classes mor"),
    ],
)
def test_folders_that_will_not_do(tmp_path, made, said):
    for place, number in made.items():
        folder = tmp_path / place.replace("__", "/")
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(number):
            (folder / f"{i}.jpg").touch()
    for look in (look_at_folder, load_splits):
        with pytest.raises(DatasetError, match=said):
            look(tmp_path)


@pytest.mark.parametrize(
    ("sides", "size"),
    [
        ([20], 32),
        ([32], 32),
        ([47, 48, 300], 48),
        ([63], 48),
        ([64, 64, 10], 64),
        ([100], 96),
        ([4000], 128),
        ([], 32),
    ],
)
def test_a_size_that_half_of_the_pictures_have(tmp_path, sides, size):
    files = [
        save(tmp_path / f"{number}.png", np.zeros((side, 2 * side, 3)))
        for number, side in enumerate(sides)
    ]
    assert suitable_size(files) == size
    assert suitable_size(iter(files), most=64) == min(size, 64)
    broken = break_files([save(tmp_path / f"b{i}.png", in_one_colour(RED)) for i in range(2)])
    assert suitable_size([*files, *broken, tmp_path / "nowhere.png"]) == size


def test_few_of_many_files_are_looked_at(tmp_path, monkeypatch):
    looked_at = []
    monkeypatch.setattr("rotnet_keras.data.look._short_side", looked_at.append)
    suitable_size([tmp_path / str(number) for number in range(1_001)])
    assert looked_at == [tmp_path / str(number) for number in range(0, 1_001, 6)]
