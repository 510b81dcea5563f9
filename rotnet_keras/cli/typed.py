"""What was typed: to be typed again, and to speak of errors in its words."""

from __future__ import annotations

import pathlib
import re
import shlex
import sys

CONSOLE_SCRIPT = "rotnet-keras"
# The arguments that a message begins with: one, or several.
SUBJECT = re.compile(r"[a-z_]+(?:(?: \+ |, | and )[a-z_]+)*\b")


def program():
    """How the program was called, in words for the shell."""
    if pathlib.PurePath(sys.argv[0]).stem == CONSOLE_SCRIPT:
        return [CONSOLE_SCRIPT]
    return ["python", "-m", "rotnet_keras"]


def typed_command(arguments):
    """What was typed, for someone to type again."""
    return shlex.join([*program(), *arguments])


def in_options(said, spelt):
    """A message with options in place of the arguments that it begins with.

    Args:
        said: "num_labels must be ...", say.
        spelt: the job's options by argument, such as {"num_labels": "--num-labels"}.
    """
    subject = SUBJECT.match(said)
    if subject is None or re.split(r"[ ,]", subject[0])[0] not in spelt:
        return said
    options = re.sub(r"[a-z_]+", lambda word: spelt.get(word[0], word[0]), subject[0])
    return options + said[subject.end() :]
