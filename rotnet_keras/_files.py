"""Writing files so that a kill, or a full disk, leaves the last good one."""

from __future__ import annotations

import contextlib
import os
import pathlib


@contextlib.contextmanager
def replace_with(path):
    """Give a path to write beside, and rename it at the end: a reader never meets half a file."""
    # Keras goes by the endings; two processes that write one file must not write one part.
    beside = path.with_name(f".part{os.getpid()}.{path.name}")
    try:
        yield beside
        os.replace(beside, path)
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
