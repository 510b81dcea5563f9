"""The parser: how options are read, and what they were called before."""

from __future__ import annotations

import argparse
from typing import Any

from rotnet_keras.cli.described import DESCRIBED
from rotnet_keras.cli.typed import program

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


def read_options(arguments):
    """Read what was typed after the program's name; without a job's name it is the main job."""
    parser = _whole_parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:  # said by the job's parser, which knows the job's options
        options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if options.job is not None and arguments[0] != options.job:
        parser.error(f"{options.job} must come first, before its options")
    options.job = options.job or "run"
    return options


def _whole_parser():
    """The parser of the main job, with the other jobs in it."""
    name = " ".join(program())
    parser = Parser(prog=name, usage=f"{name} [options]\n       {name} JOB [options]")
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
    return parser


def _fill(parser, job):
    """Have a parser read the options of a job."""
    parser.description = DESCRIBED[job].about
    group = None
    if job == "run":
        group = parser.add_mutually_exclusive_group()
        parser.add_argument("--grey", dest="channels", action="store_const", const=1, **HIDDEN)
    if job == "predict":
        parser.add_argument("folder", metavar="FOLDER", help="the pictures")
    for name, how in DESCRIBED[job].options.items():
        parser.option(name, group=group if name in ("dataset", "images") else None, **how)
    parser.spelt |= DESCRIBED[job].others
    parser.add_argument(
        "--traceback",
        action="store_true",
        help="show where in the program an error was raised, to report a fault",
    )
