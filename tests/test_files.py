"""Files that are whole at any moment, on a disk that others may share."""

import os
import pathlib
import stat
import subprocess
import sys

import pytest

from rotnet_keras import FileError
from rotnet_keras._base import files
from rotnet_keras._base.files import printable, replace_text, replace_with
from rotnet_keras._base.names import cell
from rotnet_keras._base.values import warn_caller


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
    with pytest.raises(FileError, match=r"file/a\.txt cannot be written: \[Errno 20\] Not a dir"):
        replace_text(tmp_path / "file" / "a.txt", "new")
    with pytest.raises(FileError, match="output must be a folder that can be written"):
        files.make_folder(tmp_path / "file")


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "b.txt", tmp_path / "a.txt"
    link.symlink_to("elsewhere/b.txt")
    for text in ("new", "newer"):  # the first time, it leads to nothing
        replace_text(link, text)
        assert (link.readlink(), target.read_text()) == (pathlib.Path("elsewhere/b.txt"), text)
    assert os.listdir(tmp_path / "elsewhere") == ["b.txt"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o755])
def test_the_mode_of_a_file_is_kept(tmp_path, mode):
    """From its first byte on: nobody may look into a part who may not look into the file."""
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(mode)
    with replace_with(path) as beside:
        assert stat.S_IMODE(beside.stat().st_mode) in (mode, mode | stat.S_IWUSR)
        beside.write_text("new")
    assert (stat.S_IMODE(path.stat().st_mode), path.read_text()) == (mode, "new")


def test_a_finished_file_goes_behind_a_link_with_the_mode_that_is_there(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target, link, new = tmp_path / "elsewhere" / "b.txt", tmp_path / "a.txt", tmp_path / "new"
    link.symlink_to("elsewhere/b.txt")
    target.write_text("old")
    target.chmod(0o600)
    new.write_text("new")
    files.put_in_place(new, *files.check_output(link))
    assert link.readlink() == pathlib.Path("elsewhere/b.txt")
    assert (stat.S_IMODE(target.stat().st_mode), target.read_text()) == (0o600, "new")
    with pytest.raises(FileError, match=r"b\.txt cannot be written"):
        files.put_in_place(new, target, None)  # it is there no more


def test_what_is_no_file_is_not_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "link").symlink_to("pipe")
    found = {"folder": "folder", "pipe": "pipe", "link": "pipe", "circle": "link in a circle"}
    for name, kind in (found | {os.devnull: "device"}).items():
        with pytest.raises(FileError, match=f"cannot be written: it must be a file, got a {kind}"):
            replace_text(tmp_path / name, "new")
    assert {*os.listdir(tmp_path)} == {*found}
    assert not stat.S_ISREG(os.stat(os.devnull).st_mode)


def test_a_path_in_this_folder_leaves_no_hidden_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("./x", "x", tmp_path / "." / "x"):
        replace_text(path, "new")
    assert os.listdir() == ["x"]


def test_a_part_of_a_huge_number_stays(tmp_path):
    """No process has it, so that nobody can say whose part it is."""
    part = tmp_path / f".part-{files.machine()}-{10**30}.a.txt"
    part.write_text("part")
    replace_text(tmp_path / "a.txt", "new")
    assert {*os.listdir(tmp_path)} == {"a.txt", part.name}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("caf\u00e9", "caf\u00e9"),
        ("a\nb\x1b", r"a\nb\x1b"),
        ("a\rb\x9b31m", r"a\rb\x9b31m"),
        ("exe\u202egnp", r"exe\u202egnp"),
        (os.fsdecode(b"\xff.png"), r"\udcff.png"),
        (b"caf\xc3\xa9", "caf\u00e9"),
        ("3.04.05\u202fPM \u3000", "3.04.05\u202fPM \u3000"),  # blanks of macOS and of Japan
        ("\u0645\u06cc\u200c\u0634", "\u0645\u06cc\u200c\u0634"),
    ],
)
def test_names_that_a_terminal_can_show(name, shown):
    assert printable(name) == shown


@pytest.mark.parametrize(
    "name", ["=cmd", "+1", "@SUM(A1)", "-1", " =1", "'=1", "\uff1d1", "\u00a0-1"]
)
def test_names_that_look_like_formulas(name):
    assert cell(name) == f"'{name}"
    assert cell(name, "./") == f"./{name}"


def test_names_that_are_no_formulas():
    assert [cell(name) for name in ("a=1", "", "1-2", "'a'", "a\t=1")] == [
        *("a=1", "", "1-2", "'a'", r"a\t=1")
    ]


def test_errors_and_warnings_hold_no_codes_for_the_terminal(tmp_path):
    with pytest.raises(FileError) as refusal:
        replace_text(tmp_path / "\x1b[31m" / "a.txt", "new")
    assert "\x1b" not in str(refusal.value)
    assert r"\x1b[31m/a.txt cannot be written" in str(refusal.value)
    with pytest.warns(UserWarning, match=r"^a\\x1b\nb$"):
        warn_caller("a\x1b\nb")
