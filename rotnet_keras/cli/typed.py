"""What was typed: to be typed again, and to speak of errors in its words."""

from __future__ import annotations

import argparse
import difflib
import pathlib
import re
import shlex
import sys

CONSOLE_SCRIPT = "rotnet-keras"
# The arguments that a message begins with: one, or several.
SUBJECT = re.compile(r"[a-z_]+(?:(?: \+ |, | and )[a-z_]+)*\b")
# Others further on, if they are no words, or what something must be; not in paths, nor in quotes.
NO_WORD = re.compile(r"(?<![\w./\\'\"-])[a-z]+(?:_[a-z]+)+(?![\w/\\'\"=(-]|\.\w)")
ANOTHER = re.compile(r"(?<=[;:,] )[a-z]+(?= must | needs )")
ASSIGNED = re.compile(r"(?<![\w.?&/\\'\"-])([a-z_]+)=(\"[^\"]*\"|\([^)]*\)|\w+)")
BRACKETED = re.compile(r" \((--[a-z-]+)[^()]*\)")
CHOICE = re.compile(r"must be one of \((.*?)\), got '([^']*)'")


def _whole(text, what="a whole number"):
    try:
        return int(text)
    except ValueError as error:  # argparse would name a function of ours
        raise argparse.ArgumentTypeError(f"must be {what}, got {text!r}") from error


def positive(text):
    value = _whole(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def levels(text):
    """A number, or several with commas between."""
    numbers = tuple(_whole(part, "whole numbers with commas between") for part in text.split(","))
    return numbers if len(numbers) > 1 else numbers[0]


def devices(text):
    return text if text == "all" else positive(text)


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
        said: "num_labels must be ...", say; also further on, if it is plain that one is meant.
        spelt: the job's options by argument, such as {"num_labels": "--num-labels"}.
    """

    def option(word):
        return spelt.get(word[0], word[0])

    subject = SUBJECT.match(said)
    begin = ""
    if subject is not None and re.split(r"[ ,]", subject[0])[0] in spelt:
        begin, said = re.sub("[a-z_]+", option, subject[0]), said[subject.end() :]
    said = _assigned_in_options(said, spelt)
    return begin + ANOTHER.sub(option, NO_WORD.sub(option, said))


def _assigned_in_options(said, spelt):
    """A message with `--broken skip` in place of `broken="skip"`, which is not said twice."""
    options = {spelt[name] for name, _ in ASSIGNED.findall(said) if name in spelt}
    said = BRACKETED.sub(lambda match: "" if match[1] in options else match[0], said)

    def assigned(match):
        name, value = match.groups()
        if name not in spelt:
            return match[0]
        value = value.strip("()\"'").replace(", ", ",")
        return spelt[name] if value == "True" else f"{spelt[name]} {value}"

    return ASSIGNED.sub(assigned, said)


def suggesting(said):
    """A message with the name that was meant, where one of several must be given."""
    choice = CHOICE.search(said)
    if choice is None or "did you mean" in said:
        return said
    near = nearest(choice[2], re.findall("'([^']*)'", choice[1]))
    return f"{said}; did you mean {near!r}?" if near else said


def nearest(word, known):
    """The one of these names that a misspelt word is likely to mean, or None."""
    names = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word.casefold(), names, 1, 0.7)
    return names[near[0]] if near else None
