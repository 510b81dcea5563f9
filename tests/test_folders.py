"""Folders of pictures and archives."""

import zipfile

import pytest
from picture_files import make_folder

from rotnet_keras import DatasetError, list_classes, list_pictures, unpack_zip


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path)


def test_hidden_files_are_no_pictures(folder):
    for name in (".trash/a.png", "__MACOSX/labelled/red/._1.png", "labelled/red/._1.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"no picture")
    (folder / "labelled" / "notes.txt").write_text("not a class")
    assert len(list_pictures(folder)) == 66
    assert list(list_classes(folder / "labelled")) == ["green", "red"]


def pack(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_unpacking(tmp_path):
    archive = pack(tmp_path / "a.zip", {"pets/cat/1.png": b"1", "__MACOSX/pets/._1.png": b"2"})
    assert unpack_zip(archive, tmp_path / "out") == tmp_path / "out" / "pets"
    assert (tmp_path / "out" / "pets" / "cat" / "1.png").read_bytes() == b"1"
    with pytest.raises(DatasetError, match="out is there already"):
        unpack_zip(archive, tmp_path / "out")
    several = pack(tmp_path / "b.zip", {"cat/1.png": b"1", "dog/1.png": b"2"})
    assert unpack_zip(several, tmp_path / "b") == tmp_path / "b"


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/evil.png", "..\\evil.png"])
def test_no_archive_writes_outside_its_folder(tmp_path, name):
    inside = tmp_path / "inside"
    inside.mkdir()
    archive = pack(tmp_path / "a.zip", {"good.png": b"1", name: b"2"})
    with pytest.raises(DatasetError, match="would land elsewhere"):
        unpack_zip(archive, inside / "out")
    assert list(inside.iterdir()) == []
    assert not list(tmp_path.glob("evil*"))


def test_damaged_archives(tmp_path):
    whole = pack(tmp_path / "a.zip", {"a.png": b"1234567890" * 100}).read_bytes()
    flipped = bytearray(whole)
    flipped[60] ^= 0xFF
    for content in (b"", b"no archive", whole[:-30], bytes(flipped)):
        (tmp_path / "b.zip").write_bytes(content)
        with pytest.raises(DatasetError, match=r"b\.zip is no sound zip archive"):
            unpack_zip(tmp_path / "b.zip", tmp_path / "out")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "b.zip"]
