"""Writing files so that a kill, or a full disk, leaves the last good one."""

from __future__ import annotations

import contextlib
import os


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
