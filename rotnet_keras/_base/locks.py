"""One run at a time in a folder: the lock, and what a second run is told."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import pathlib
import platform

import filelock

from rotnet_keras._base.errors import FileError
from rotnet_keras._base.files import replace_text
from rotnet_keras._base.names import printable
from rotnet_keras._base.values import warn_caller

LOCK = ".lock"  # stays, since one that is removed may be taken twice
HOLDER = ".running.json"  # beside it: a second run's attempt empties the lock, or cannot read it


@contextlib.contextmanager
def only_run(folder, name="output"):
    """Within it, no other run has the folder; the system lets go of it when the process ends.

    A thread that has the folder may take it again, for a part of its job.

    Args:
        folder: path of a folder that is there and can be written.
        name: of the argument.

    Raises:
        FileError: another run has it; the message says which.
    """
    folder = pathlib.Path(os.path.realpath(folder))
    lock = filelock.FileLock(folder / LOCK, is_singleton=True)
    again = lock.is_locked
    with contextlib.ExitStack() as at_end:
        if _take(lock, folder, name):
            at_end.callback(lock.release)
            if not again:
                replace_text(folder / HOLDER, json.dumps(_this_process()) + "\n")
                at_end.callback((folder / HOLDER).unlink, missing_ok=True)
        yield


def _take(lock, folder, name):
    """Whether the lock is taken; a folder on a file system that has none is used without."""
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise FileError(
            f"{name} must be a folder that no other run is using, got {folder}, which "
            f"{_holder(folder)}: wait until that has ended, or give another {name}"
        ) from None
    except (OSError, NotImplementedError) as error:
        warn_caller(f"{folder} cannot be locked ({error}): start no second run in it")
        return False
    return True


def _this_process():
    since = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    return {"process": os.getpid(), "machine": platform.node() or "this machine", "since": since}


def _holder(folder):
    """Who has the folder, in words."""
    try:
        held = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
        said = [printable(held[name]) for name in ("process", "machine", "since")]
    except (OSError, ValueError, KeyError, TypeError):  # it has only just begun
        return "another process is using"
    return "process {} on {} has been using since {}".format(*said)
