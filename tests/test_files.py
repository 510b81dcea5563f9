"""Files that are whole at any moment, on a disk that others may share."""

import os
import subprocess
import sys

import pytest

from rotnet_keras import FileError
from rotnet_keras._base import files
from rotnet_keras._base.files import printable, replace_text, replace_with


@pytest.fixture
def ended():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_text_is_replaced_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def break_off():
        with replace_with(path) as beside:
            beside.write_text("ne")
            assert path.read_text() == "old"
            raise KeyError

    with pytest.raises(KeyError):
        break_off()
    assert path.read_text() == "old"
    replace_text(path, "new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_what_was_written_is_on_the_disk_before_its_name(tmp_path, monkeypatch):
    """First the file, then its new name, then the folder, which holds the name."""
    done, path = [], tmp_path / "a.txt"
    flush, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: done.append("flushed") or flush(number))
    monkeypatch.setattr(os, "replace", lambda *names: done.append("renamed") or rename(*names))
    replace_text(path, "new")
    assert done == ["flushed", "renamed", "flushed"]


def test_parts_of_ended_processes_of_this_machine_alone_are_swept(tmp_path, monkeypatch, ended):
    monkeypatch.setattr("platform.node", lambda: "node-1.cluster")
    own = tmp_path / f".part-node_1_cluster-{ended}.a.txt"
    others = {
        f".part-node_2_cluster-{ended}.a.txt",  # another machine, on a shared folder
        f".part-node_1_cluster-{os.getppid()}.a.txt",  # a process that runs
        f".part-node_1_cluster-{ended}.b.txt",  # another file
    }
    for path in (own, *(tmp_path / name for name in others)):
        path.write_text("part")
    replace_text(tmp_path / "a.txt", "new")
    assert {*os.listdir(tmp_path)} == {"a.txt"} | others


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileError, match="cannot be written"):
        replace_text(tmp_path / "none" / "a.txt", "new")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="output must be a folder that can be written"):
        files.make_folder(tmp_path / "file")


def test_names_that_a_terminal_can_show():
    assert printable("caf\u00e9") == "caf\u00e9"
    assert printable("a\nb\x1b") == "a\\nb\\x1b"
