"""The parser: how options are read, and what they were called before."""

from __future__ import annotations

import argparse
import itertools
import os
import re
from typing import Any

from rotnet_keras import __version__
from rotnet_keras.cli.described import DESCRIBED
from rotnet_keras.cli.typed import nearest, program

CHOICE = re.compile(r"invalid choice: '?([^\s']*)'? \(choose from (.*)\)")
HIDDEN: dict[str, Any] = {"default": argparse.SUPPRESS, "help": argparse.SUPPRESS}
# What options were called before this release.
OLD = {
    "image_size": "--size",
    "num_labels": "--labels",
    "num_validation": "--validation",
    "layer": "--cut",
    "backbone": "--network",  # as the other jobs call it
    "network": "--backbone",  # as the main job calls it
}


class Parser(argparse.ArgumentParser):
    """Calls an option by its argument's name, so that an error fits both."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.spelt = {}  # options by argument, for errors
        self.set_defaults(parser=self)

    def option(self, name, *, spelt=None, group=None, **how):
        """Add the option of an argument, and, hidden, what it was called before this release."""
        self.spelt[name] = spelt or f"--{name.replace('_', '-')}"
        (group or self).add_argument(self.spelt[name], dest=name, **how)
        if name in OLD:
            self.add_argument(OLD[name], dest=name, **how | HIDDEN)

    def error(self, message):
        """End with the usage and a message, which says what may be meant by a misspelt choice."""
        choice = CHOICE.search(message)
        if choice is not None:
            message += _asking(nearest(choice[1], re.findall(r"[^\s',]+", choice[2])))
        super().error(message)


def read_options(arguments):
    """Read what was typed after the program's name; without a job's name it is the main job."""
    parser, parsers = _whole_parser()
    _check_words(parser, parsers, arguments)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:  # said by the job's parser, which knows the job's options
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if options.job is not None and arguments[0] != options.job:
        parser.error(f"{options.job} must come first, before its options")
    options.job = options.job or "run"
    return options


def _check_words(parser, parsers, arguments):
    """End at a job or an option that there is not, before its value is taken for something else."""
    first = arguments[0] if arguments else "--"
    if not first.startswith("-") and first not in parsers:
        folder = f"--images {first}" if os.path.isdir(first) else None
        parser.error(
            f"argument JOB: there is no job {first!r}, only {', '.join(parsers)}"
            + _asking(nearest(first, parsers) or folder)
        )
    parser = parsers.get(first, parser)
    taken = {name: action for action in parser._actions for name in action.option_strings}
    unknown, words = None, []
    for word in itertools.takewhile("--".__ne__, arguments):
        if word.startswith("-") and not _is_number(word):
            name = word.split("=")[0]
            is_known = any(option.startswith(name) for option in taken) or name[:2] in taken
            unknown = None if is_known else name
        if unknown is not None:
            words.append((word, unknown))
    if words:
        shown = [name for name, action in taken.items() if action.help != argparse.SUPPRESS]
        parser.error(
            f"unrecognized arguments: {' '.join(word for word, _ in words)}"
            + _asking(nearest(words[0][1], shown))
        )


def _is_number(word):
    return re.match(r"-\.?\d", word) is not None


def _asking(meant):
    return f"; did you mean {meant}?" if meant else ""


def _whole_parser():
    """The parser of the main job, with the other jobs in it, and all of them by name."""
    name = " ".join(program())
    parser = Parser(prog=name, usage=f"{name} [options]\n       {name} JOB [options]")
    said = {"version": f"rotnet_keras {__version__}", "help": "say which one this is, and end"}
    parser.add_argument("--version", action="version", **said)
    _fill(parser, "run")
    jobs = parser.add_subparsers(
        dest="job",
        metavar="JOB",
        prog=name,
        title="other jobs",
        description=f"`{name} JOB --help` explains the options of each.",
    )
    for job, known in DESCRIBED.items():  # the main job's name is not in the help
        _fill(jobs.add_parser(job, **{"help": known.in_short} if known.in_short else {}), job)
    return parser, jobs.choices


def _fill(parser, job):
    """Have a parser read the options of a job."""
    parser.description = DESCRIBED[job].about
    group = None
    if job in ("run", "study"):
        group = parser.add_mutually_exclusive_group()
    if job == "run":
        parser.add_argument("--grey", dest="channels", action="store_const", const=1, **HIDDEN)
    if job in ("predict", "embed", "select"):
        parser.add_argument("folder", metavar="FOLDER", help="the pictures")
    for name, how in DESCRIBED[job].options.items():
        parser.option(name, group=group if name in ("dataset", "images") else None, **how)
    parser.spelt |= DESCRIBED[job].others
    parser.add_argument(
        "--traceback",
        action="store_true",
        help="show where in the program an error was raised, to report a fault",
    )
