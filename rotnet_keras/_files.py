"""Writing files so that a kill leaves the last good one."""

from __future__ import annotations

import os


def replace_text(path, text):
    """Write beside and rename: a reader never meets half a file."""
    beside = path.with_suffix(".tmp")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)
