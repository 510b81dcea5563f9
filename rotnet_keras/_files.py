"""Writing files so that a kill, or a full disk, leaves the last good one."""

from __future__ import annotations

import contextlib
import glob
import os
import pathlib


@contextlib.contextmanager
def replace_with(path):
    """Give a path to write beside, and rename it at the end: a reader never meets half a file."""
    path = pathlib.Path(path)
    _sweep(path)
    # Keras goes by the endings; two processes that write one file must not write one part.
    beside = path.with_name(f".part{os.getpid()}.{path.name}")
    try:
        yield beside
        os.replace(beside, path)
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error}") from error
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
        raise ValueError(f"model must be a .keras file, got {str(path)!r}")
    try:
        return keras.models.load_model(path, safe_mode=True, compile=False)
    except Exception as error:  # a torn archive, layers of other packages, code that is refused
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"model {path} cannot be loaded: {first}") from error


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
        raise OSError(
            f"{name} must be a folder that can be written, got {path}: {error}"
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise OSError(f"{name} must be a folder that can be written, got {path}: it is read-only")
    return path


def printable(name):
    """A name as any terminal and picture can show it: no control characters, no stray bytes."""
    text = os.fspath(name) if isinstance(name, os.PathLike) else str(name)
    text = text.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _sweep(path):
    """Remove the parts of a file that killed processes of this machine left."""
    for left in path.parent.glob(f".part*.{glob.escape(path.name)}*"):
        process = left.name.removeprefix(".part").split(".")[0]
        if process.isdigit() and not _runs(int(process)):
            left.unlink(missing_ok=True)


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
