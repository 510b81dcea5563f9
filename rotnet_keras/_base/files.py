"""Writing files so that a kill, or a full disk, leaves the last good one."""

from __future__ import annotations

import contextlib
import glob
import os
import pathlib
import platform
import re

from rotnet_keras._base.errors import FileError, InputError


@contextlib.contextmanager
def replace_with(path):
    """Give a path to write beside, and rename it at the end: a reader never meets half a file."""
    path = pathlib.Path(path)
    _sweep(path)
    # Keras goes by the endings; two processes that write one file must not write one part.
    beside = path.with_name(f".part-{_machine()}-{os.getpid()}.{path.name}")
    try:
        yield beside
        _flush(beside)  # else a machine that goes down may leave the new name on an empty file
        os.replace(beside, path)
        _flush(path.parent)
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error}") from error
    finally:
        beside.unlink(missing_ok=True)


def replace_text(path, text):
    """Write a text file by way of `replace_with`."""
    with replace_with(path) as beside:
        beside.write_text(text, encoding="utf-8")


def load_model(path):
    """Load a `.keras` file in Keras's safe mode, which runs no code that the file brings along."""
    import keras

    path = pathlib.Path(path)
    if path.suffix != ".keras" or not path.is_file():
        raise InputError(f"model must be a .keras file, got {str(path)!r}")
    try:
        return keras.models.load_model(path, safe_mode=True, compile=False)
    except Exception as error:  # a torn archive, layers of other packages, code that is refused
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"model {path} cannot be loaded: {first}") from error


def save_model(model, path):
    """Write a `.keras` file by way of `replace_with`."""
    with replace_with(path) as beside:
        model.save(beside)


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


def printable(name):
    """A name as any terminal and picture can show it: no control characters, no stray bytes."""
    text = os.fspath(name) if isinstance(name, os.PathLike) else str(name)
    text = text.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _sweep(path):
    """Remove the parts of a file that killed processes of this machine left."""
    own = f".part-{_machine()}-"  # on a shared folder, others may be writing theirs
    for left in path.parent.glob(f"{own}*.{glob.escape(path.name)}*"):
        process = left.name.removeprefix(own).split(".")[0]
        if process.isdigit() and not _runs(int(process)):
            left.unlink(missing_ok=True)


def _machine():
    """This machine's name, as a part of a file's name."""
    return re.sub(r"\W", "_", platform.node()) or "machine"


def _flush(path):
    """Have the disk hold what was written; for a folder, which names are in it."""
    if path.is_dir() and os.name != "posix":
        return
    number = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _runs(process):
    if os.name != "posix":  # where asking would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        pass
    return True
