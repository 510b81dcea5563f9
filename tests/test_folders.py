"""Folders of pictures: which files count, which links are followed, which names are classes."""

import os
import pathlib
import socket
import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_files import RED, in_one_colour, make_folder, save
from PIL import Image

from rotnet_keras import DatasetError, list_classes, list_pictures


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path)


def test_hidden_files_are_no_pictures(folder):
    for name in (".trash/a.png", "__MACOSX/labelled/red/._1.png", "labelled/red/._1.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"no picture")
    (folder / "labelled" / "notes.txt").write_text("not a class")
    with pytest.warns(UserWarning, match=r"passed over: 1 \.txt$"):
        assert len(list_pictures(folder)) == 66
    with pytest.warns(UserWarning, match=r"labelled: passed over: 1 \.txt$"):
        assert list(list_classes(folder / "labelled")) == ["green", "red"]


def test_what_a_system_leaves_is_not_worth_a_word(tmp_path):
    one = save(tmp_path / "a.png", in_one_colour(RED))
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store"):
        (tmp_path / name).write_bytes(b"\0")
    assert list_pictures(tmp_path) == [one]


FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "AVIF")


@pytest.mark.parametrize("ending", ["", ".jpg_large", ".ppm"])
@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind in Image.SAVE])
def test_pictures_are_known_by_how_they_begin(tmp_path, kind, ending):
    Image.init()
    file = tmp_path / f"one{ending}"
    Image.fromarray(in_one_colour(RED)).save(file, format=kind)
    assert list_pictures(tmp_path) == [file]


NO_PICTURES = (
    *(b"", b"BMW, Audi and other makes of cars", b"P5 of the list", b"GIF", b"\x89PN", b"PK\3\4"),
    *(b"RIFF\0\0\0\0WAVEfmt ", b"\0\0\0\x20ftypisom", b"MM0001", b"%PDF-1.4"),
)


@pytest.mark.parametrize("content", NO_PICTURES)
def test_what_only_resembles_a_picture_is_none(tmp_path, content):
    save(tmp_path / "a.png", in_one_colour(RED))
    (tmp_path / "other").write_bytes(content)
    with pytest.warns(UserWarning, match="passed over: 1 without an ending$"):
        assert [file.name for file in list_pictures(tmp_path)] == ["a.png"]


def test_what_is_passed_over_is_counted_by_ending(tmp_path):
    save(tmp_path / "in" / "a.png", in_one_colour(RED))
    for name in ("b.txt", "c.TXT", "in/d.txt", "e.mp4", "README"):
        (tmp_path / name).write_text("x")
    with pytest.warns(UserWarning, match=r"over: 3 \.txt, 1 \.mp4, 1 without an ending$") as told:
        list_pictures(tmp_path)
    assert len(told) == 1
    assert told[0].filename == __file__
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.csv").write_text("1")
    with pytest.raises(DatasetError, match=r"no pictures \(.*\); passed over: 1 \.csv$"):
        list_pictures(tmp_path / "empty")


def test_many_endings_are_still_one_line(tmp_path):
    save(tmp_path / "a.png", in_one_colour(RED))
    for number in range(20):
        (tmp_path / f"x.e{number:02}").write_text("x")
    with pytest.warns(UserWarning, match=r"1 \.e00, .*1 \.e07, 12 others$"):
        list_pictures(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="no such files there")
def test_only_regular_files_are_pictures(tmp_path):
    one = save(tmp_path / "a.png", in_one_colour(RED))
    os.mkfifo(tmp_path / "b.png")
    os.mkfifo(tmp_path / "c")
    os.symlink("/dev/zero", tmp_path / "d.png")
    with socket.socket(socket.AF_UNIX) as listener:
        place = os.open(tmp_path, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{place}/e.png")
        os.close(place)
        with pytest.warns(UserWarning, match="passed over: 4 that are no files$"):
            assert list_pictures(tmp_path) == [one]


def linked(tmp_path):
    """A folder with a picture, and one outside with another."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    save(root / "cat" / "a.png", in_one_colour(RED))
    save(outside / "b.png", in_one_colour(RED))
    return root, outside


def names(files, root):
    return [file.relative_to(root).as_posix() for file in files]


def test_links_within_the_folder_are_followed_once(tmp_path):
    root, _ = linked(tmp_path)
    save(root / ".pool" / "c.png", in_one_colour(RED))
    (root / "cat" / "more").symlink_to(root / ".pool")
    (root / "cat" / "same").symlink_to(root / ".pool")
    (root / "cat" / "loop").symlink_to(root)
    (root / "also").symlink_to(root / "cat")
    assert names(list_pictures(root), root) == ["cat/a.png", "cat/more/c.png"]


def test_links_out_of_the_folder_are_followed_on_request(tmp_path):
    root, outside = linked(tmp_path)
    (root / "cat" / "out").symlink_to(outside)
    (root / "cat" / "up").symlink_to(tmp_path)
    with pytest.warns(UserWarning, match=r"over: 2 links out of it \(follow_links=True takes"):
        assert names(list_pictures(root), root) == ["cat/a.png"]
    assert names(list_pictures(root, follow_links=True), root) == ["cat/a.png", "cat/out/b.png"]


def test_links_to_files_and_to_nothing(tmp_path):
    root, outside = linked(tmp_path)
    (root / "b.png").symlink_to(outside / "b.png")
    (root / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.warns(UserWarning, match="passed over: 1 links to nothing$"):
        assert names(list_pictures(root), root) == ["b.png", "cat/a.png"]


def test_links_of_classes(tmp_path):
    """A class's own folder is named by whoever made the link; those in it are as elsewhere."""
    root, outside = linked(tmp_path)
    (root / "dog").symlink_to(outside)
    (root / "dog" / "in").symlink_to(root / ".pool")
    save(root / ".pool" / "c.png", in_one_colour(RED))
    found = {name: names(files, root) for name, files in list_classes(root).items()}
    assert found == {"cat": ["cat/a.png"], "dog": ["dog/b.png", "dog/in/c.png"]}


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ("Cat", "cat", "got 'Cat' and 'cat', which differ by nothing but case"),
        ("cafe\u0301", "caf\xe9", r"got 'cafe\\u0301' and 'caf\\xe9', .* how accents are written"),
    ],
)
def test_classes_that_are_hard_to_tell_apart(tmp_path, one, other, said):
    for number, name in enumerate((one, other, "dog")):
        save(tmp_path / name / f"{number}.png", in_one_colour(RED))
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("this disk does not tell them apart")
    with pytest.raises(DatasetError, match=said):
        list_classes(tmp_path)


LETTERS = st.text("ab.é _-", min_size=1, max_size=4).filter(lambda name: name.strip(".") != "")
TREES = st.recursive(
    st.sampled_from(["png", "txt", "none"]),
    lambda below: st.dictionaries(LETTERS, below, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(LETTERS, TREES, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
@pytest.mark.filterwarnings("ignore:.*passed over")
def test_any_tree_is_listed_as_it_is(tree):
    with tempfile.TemporaryDirectory() as place:
        root = pathlib.Path(place)
        expected = sorted(grow(tree, root))
        if expected:
            assert list_pictures(root) == expected
        else:
            with pytest.raises(DatasetError, match="holds no pictures"):
                list_pictures(root)


def grow(tree, root, shown=True):
    """Make a tree of files below a folder; yield those that are pictures, and not hidden."""
    for name, below in tree.items():
        seen = shown and not name.startswith(".")
        if isinstance(below, dict):
            (root / name).mkdir()
            yield from grow(below, root / name, seen)
        else:
            file = root / f"{name}.{below}"
            file.write_bytes(b"anything")
            if seen and below == "png":
                yield file


def test_a_long_list_is_in_the_order_of_its_parts(tmp_path):
    for name in ("a/2.png", "a-b/1.png", "a.png", "a/10.png", "B/1.png"):
        save(tmp_path / name, np.zeros((2, 2, 3)))
    found = list_pictures(tmp_path)
    assert found == sorted(found)
    assert names(found, tmp_path) == ["B/1.png", "a/10.png", "a/2.png", "a-b/1.png", "a.png"]
