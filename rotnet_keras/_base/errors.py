"""Errors that the caller can mend; whatever else is raised is a fault of the program."""

from __future__ import annotations

import contextlib
import re
import textwrap

from rotnet_keras._base.names import printable_lines


class InputError(ValueError):
    """What the caller can mend; the message names the argument, what it got and what it takes.

    Attributes:
        function: the public function that was called, which the message begins with; None where
            none was.
        said: the message without it, names in it as any terminal can show them.
    """

    function: str | None = None
    # TensorFlow raises an error from inside a traced function again, as what it is, only if it can
    # see that one text makes it.
    __init__ = Exception.__init__

    @property
    def said(self) -> str:
        return printable_lines(super().__str__())

    def __str__(self) -> str:
        return f"{self.function}: {self.said}" if self.function else self.said


class DatasetError(InputError, RuntimeError):
    """Data that cannot be had or read; the message says what to do about it."""


class FileError(InputError, OSError):
    """A file or folder that cannot be written."""


class MissingPackageError(InputError, ImportError):
    """A package that what was asked for needs, and that is not installed."""


class SetupError(InputError, RuntimeError):
    """A process that has gone too far for what was asked of it, such as for another backend."""


@contextlib.contextmanager
def blaming(said, errors=Exception, *, kind=InputError, mend=""):
    """Turn what Keras, or somebody else's code, raises into an error about an argument."""
    try:
        yield
    except errors as error:
        raise kind(f"{said}{cause(error)}{mend}") from error


def cause(error):
    """What went wrong, in a few lines; Keras wraps it up, and lists all of a network's layers."""
    if isinstance(error, InputError):
        return error.said
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))  # Keras prints some in bold
    text = text.rpartition("Exception encountered:")[2]
    text = re.split(r"\s*(?:Full object )?config\s*[:=]\s*\{", text, maxsplit=1)[0]
    return textwrap.shorten(f"{type(error).__name__}: {text}".rstrip(": "), 400)
