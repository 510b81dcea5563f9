"""Zip archives, as Windows, Macs, Linux and attackers make them."""

import os
import stat
import struct
import subprocess
import sys
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rotnet_keras import DatasetError, FileError, InputError, unpack_zip
from rotnet_keras._base.files import machine


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


class Unmarked(zipfile.ZipInfo):
    """An entry whose name is bytes of which nobody says the encoding."""

    def __init__(self, raw, extra=b""):
        super().__init__(f"{id(self)}")
        self.raw, self.extra = raw, extra

    def _encodeFilenameFlags(self):
        return self.raw, self.flag_bits & ~0x800


def pack_raw(path, *names, extra=b""):
    """An archive of files whose names are bytes."""
    entries = [Unmarked(name, extra) for name in names]
    with zipfile.ZipFile(path, "w") as archive:
        for number, entry in enumerate(entries):
            archive.writestr(entry, str(number))
    return path


def written(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("cp932", "\u732b"), ("gbk", "\u732b"), ("cp866", "\u043a\u043e\u0442"), ("utf-8", "\u732b")],
)
def test_names_in_an_encoding(tmp_path, encoding, name):
    raw = f"{name}/1.png".encode(encoding)
    archive = pack_raw(tmp_path / "a.zip", raw, b"dog/1.png")
    folder = unpack_zip(archive, tmp_path / "out", encoding=encoding)
    assert written(folder) == sorted([f"{name}/1.png", "dog/1.png"])


def test_names_in_an_encoding_that_nobody_says(tmp_path):
    archive = pack_raw(tmp_path / "a.zip", "\u732b/1.png".encode())
    with pytest.warns(UserWarning, match="read as utf-8, such as \u732b/1.png; .* encoding="):
        assert unpack_zip(archive, tmp_path / "a").name == "\u732b"
    archive = pack_raw(tmp_path / "b.zip", "\u732b/1.png".encode("cp932"))
    with pytest.warns(UserWarning, match="read as cp437, such as") as told:
        unpack_zip(archive, tmp_path / "b")
    assert len(told) == 1


def test_names_that_are_marked_need_no_encoding(tmp_path):
    name = "\u732b/1.png"
    marked = pack(tmp_path / "a.zip", {name: b"1", "dog/1.png": b"2"})
    assert written(unpack_zip(marked, tmp_path / "a", encoding="cp932"))[1] == name
    raw = name.encode("cp932")
    field = struct.pack("<BL", 1, zlib.crc32(raw)) + name.encode()
    extra = struct.pack("<HH", 0x9999, 2) + b"xx" + struct.pack("<HH", 0x7075, len(field)) + field
    besides = pack_raw(tmp_path / "b.zip", raw, extra=extra)
    assert unpack_zip(besides, tmp_path / "b").name == "\u732b"


def test_an_encoding_that_it_is_not(tmp_path):
    archive = pack_raw(tmp_path / "a.zip", b"\xff\xff/1.png")
    with pytest.raises(DatasetError, match=r"encoding must be that of the names .* got 'utf-8'"):
        unpack_zip(archive, tmp_path / "out", encoding="utf-8")
    for bad in ("klingon", "rot13", "base64", "", 3):
        with pytest.raises(InputError, match=f"encoding must be a text encoding, .* got {bad!r}"):
            unpack_zip(archive, tmp_path / "out", encoding=bad)
    assert not (tmp_path / "out").exists()


def test_backslashes_of_windows_divide_folders(tmp_path):
    names = [rb"pets\cat\1.png", rb"pets\dog\1.png", b"pets\\"]
    archive = pack_raw(tmp_path / "a.zip", *names)
    folder = unpack_zip(archive, tmp_path / "out")
    assert folder == tmp_path / "out" / "pets"
    assert written(folder) == ["cat/1.png", "dog/1.png"]


@pytest.mark.parametrize("other", [b"cat/1.png", b"cat\\1.png", b"./cat//1.png"])
def test_no_file_takes_the_place_of_another(tmp_path, other):
    pack_raw(tmp_path / "a.zip", b"cat/1.png", other)
    with pytest.raises(DatasetError, match=r"several files of one name: \['cat/1.png'\]"):
        unpack_zip(tmp_path / "a.zip", tmp_path / "out")


def test_links_and_devices_are_not_made(tmp_path):
    archive = zipfile.ZipFile(tmp_path / "a.zip", "w")
    kinds = {"cat/1.png": stat.S_IFREG, "cat/2.png": stat.S_IFLNK, "up": stat.S_IFLNK}
    kinds |= {"cat/3.png": stat.S_IFIFO, "cat/4.png": stat.S_IFBLK, "cat/5.png": stat.S_IFSOCK}
    for name, kind in kinds.items():
        info = zipfile.ZipInfo(name)
        info.external_attr = (kind | 0o644) << 16
        archive.writestr(info, "/etc/passwd")
    archive.close()
    with pytest.warns(UserWarning, match="not unpacked: 2 links, 3 devices$"):
        folder = unpack_zip(tmp_path / "a.zip", tmp_path / "out")
    assert [path.name for path in folder.iterdir()] == ["1.png"]


@pytest.mark.parametrize("members", [{}, {"cat/": b"", "dog/": b""}])
def test_an_empty_archive(tmp_path, members):
    with pytest.raises(
        DatasetError, match=r"a\.zip must hold pictures, it is an empty zip archive"
    ):
        unpack_zip(pack(tmp_path / "a.zip", members), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.skipif(os.name == "nt", reason="no such files there")
def test_an_archive_that_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "a.zip")
    for path in (tmp_path / "a.zip", tmp_path, tmp_path / "nowhere.zip"):
        with pytest.raises(DatasetError, match=r"path must be a zip archive, got .* is no file"):
            unpack_zip(path, tmp_path / "new" / "out")
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(os.name == "nt", reason="processes cannot be asked for there")
def test_what_killed_unpackings_left_is_swept(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    own = f".unpacked-{machine()}-"
    left = tmp_path / f"{own}{ended.pid}.x"
    others = [f"{own}{os.getpid()}.x", f".unpacked-elsewhere-{ended.pid}.x", f"{own}{10**30}.x"]
    for folder in (left, *(tmp_path / name for name in others)):
        (folder / "pictures").mkdir(parents=True)
    unpack_zip(pack(tmp_path / "a.zip", {"a.png": b"1"}), tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {*others, "a.zip", "out"}


PIECES = st.sampled_from(["..", ".", "", "a", "b.png", "C:", "\u732b", "/", "\\", "...", " "])


@given(st.lists(PIECES, min_size=1, max_size=6), st.sampled_from(["/", "\\"]))
@settings(max_examples=80, deadline=None)
def test_whatever_the_names_nothing_lands_elsewhere(tmp_path_factory, pieces, between):
    place = tmp_path_factory.mktemp("zip")
    (place / "in").mkdir()
    archive = pack_raw(place / "a.zip", between.join(pieces).encode(), b"good.png")
    try:
        unpack_zip(archive, place / "in" / "out", encoding="utf-8")
    except DatasetError:
        assert list((place / "in").iterdir()) == []
    else:
        assert [path.name for path in (place / "in").iterdir()] == ["out"]
    assert {path.name for path in place.iterdir()} == {"a.zip", "in"}


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("a file, no folder")
    pack(tmp_path / "a.zip", {"cat/1.png": b"a"})
    with pytest.raises(FileError, match="folder must be a folder that can be written, got"):
        unpack_zip(tmp_path / "a.zip", tmp_path / "file" / "out")
