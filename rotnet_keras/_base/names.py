"""Names of files and classes on their way out, to terminals, pages, pictures and tables."""

from __future__ import annotations

import os
import re
import unicodedata

JOINERS = "\u200c\u200d"  # Persian words and some emoji are wrong without them
# What a spreadsheet computes, full-width signs too, behind blanks or an apostrophe.
FORMULA = re.compile(r"[\s']*[=+\-@＝＋－＠]")


def printable(name):
    """A name as any terminal and picture can show it: no control characters, no stray bytes.

    Marks that turn the direction of writing are escaped, too; blanks of any kind stay.
    """
    text = os.fsdecode(name) if isinstance(name, (bytes, os.PathLike)) else str(name)
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if text.isprintable() else "".join(map(_shown, text))


def printable_lines(text):
    """The same for a text of several lines, which may hold names."""
    return "\n".join(map(printable, str(text).split("\n")))


def cell(name, guard="'"):
    """A name as a table's text that a spreadsheet shows, and does not compute.

    Args:
        name: any text or path.
        guard: what stands before one that looks like a formula: an apostrophe, as OWASP advises,
            or "./", which leaves the path of a file one of the same file.
    """
    text = printable(name)
    return f"{guard}{text}" if FORMULA.match(text) else text


def _shown(character):
    kept = unicodedata.category(character) == "Zs" or character in JOINERS
    if kept or character.isprintable():
        return character
    return character.encode("unicode_escape").decode()
