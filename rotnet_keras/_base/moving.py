"""Moving files to where none is yet."""

from __future__ import annotations

import os
import pathlib
import shutil

from rotnet_keras._base.errors import FileError
from rotnet_keras._base.names import printable


def check_free(targets):
    """Raise where something is already there, with the first of these."""
    there = [target for target in targets if os.path.lexists(target)]
    if there:
        named = "".join(f"\n  {printable(target)}" for target in there[:10])
        raise FileError(
            f"move must lead to names that are free, {len(there):,} of {len(targets):,} are taken, "
            f"and nothing was moved:{named}"
        )


def move_file(source, target):
    """Move a file, or a link to one, to where nothing is; what is there meanwhile is an error."""
    source, target = pathlib.Path(source), pathlib.Path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():  # one that is relative would lead elsewhere
            os.symlink(os.path.realpath(source), target)
        else:
            _link_or_copy(source, target)
        source.unlink()
    except OSError as error:
        raise FileError(f"{printable(source)} cannot be moved: {error}") from error


def _link_or_copy(source, target):
    """Give a file another name, on any disk; unlike a new name, a link replaces nothing."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # on another disk, or one without links
        with open(source, "rb") as opened, open(target, "xb") as copy:
            shutil.copyfileobj(opened, copy, 2**20)
        shutil.copystat(source, target)
