"""Writing files so that a kill, or a full disk, leaves the last good one."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import pathlib
import platform
import re
import stat

from rotnet_keras._base.errors import FileError
from rotnet_keras._base.names import printable as printable  # which most import from here


@contextlib.contextmanager
def replace_with(path):
    """Give a path to write beside, and rename it at the end: a reader never meets half a file.

    What is there stays what it is: a link, which the file that it leads to is replaced behind, a
    file's mode; what is no file is refused.
    """
    target, mode = check_output(path)
    _sweep(target)
    # Keras goes by the endings; two processes that write one file must not write one part.
    beside = target.with_name(f".part-{machine()}-{os.getpid()}.{target.name}")
    try:
        if mode is not None:  # before there is anything in it that others must not read
            os.close(os.open(beside, os.O_CREAT | os.O_WRONLY, mode | stat.S_IWUSR))
        yield beside
        if mode is not None and stat.S_IMODE(beside.stat().st_mode) != mode:
            beside.chmod(mode)
        _flush(beside)  # else a machine that goes down may leave the new name on an empty file
        os.replace(beside, target)
        _flush(target.parent)
    except FileError:  # of another file, written meanwhile
        raise
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def check_output(path):
    """The file that a path leads to, and its mode or None; what is there and no file is refused."""
    target = pathlib.Path(os.path.realpath(path))
    try:
        mode = target.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return target, None
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error}") from error
    if stat.S_ISREG(mode):
        return target, stat.S_IMODE(mode)
    kinds = {stat.S_IFDIR: "folder", stat.S_IFLNK: "link in a circle", stat.S_IFIFO: "pipe"}
    found = kinds.get(stat.S_IFMT(mode), "device")
    raise FileError(f"{path} cannot be written: it must be a file, got a {found}")


def put_in_place(file, target, mode):
    """Rename a finished file to where `check_output` says, with the mode that it found there."""
    try:
        if mode is not None:
            file.chmod(mode)
        os.replace(file, target)
    except OSError as error:
        raise FileError(f"{target} cannot be written: {error}") from error


def replace_text(path, text):
    """Write a text file by way of `replace_with`."""
    with replace_with(path) as beside:
        beside.write_text(text, encoding="utf-8")


def read_json(path):
    """What a JSON file holds; what is there and no regular file is an `OSError`."""
    if path.exists() and not path.is_file():  # from a pipe, reading would never come back
        raise OSError("it is no regular file")
    return json.loads(path.read_text(encoding="utf-8"))


def make_folder(path, name="output"):
    """Return the path of a folder, made if need be, or raise unless files can be written in it."""
    path = pathlib.Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # a file of that name, a read-only folder above it
        raise FileError(
            f"{name} must be a folder that can be written, got {path}: {error}"
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise FileError(f"{name} must be a folder that can be written, got {path}: it is read-only")
    return path


def machine():
    """This machine's name, as a part of a file's name."""
    return re.sub(r"\W", "_", platform.node()) or "machine"


def runs(process):
    """Whether a process of this machine, by its number in digits, runs, as far as one can tell."""
    if not re.fullmatch("[0-9]{1,9}", process):  # the system's functions choke on larger ones
        return True
    if os.name != "posix":  # where asking would end it
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        pass
    return True


def _sweep(path):
    """Remove the parts of a file that killed processes of this machine left."""
    own = f".part-{machine()}-"  # on a shared folder, others may be writing theirs
    for left in path.parent.glob(f"{own}*.{glob.escape(path.name)}*"):
        process = left.name.removeprefix(own).split(".")[0]
        if process.isdigit() and not runs(process):
            left.unlink(missing_ok=True)


def _flush(path):
    """Have the disk hold what was written; for a folder, which names are in it."""
    if path.is_dir() and os.name != "posix":
        return
    number = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)
