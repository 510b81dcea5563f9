"""A parser whose options are called like arguments, and the options that several jobs have."""

from __future__ import annotations

import argparse


class Parser(argparse.ArgumentParser):
    """Calls an option by its argument's name, so that an error fits both."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.spelt = {}  # options by argument, for errors
        self.set_defaults(parser=self)

    def option(self, name, *, spelt=None, old=(), group=None, **how):
        """Add the option of an argument, and, hidden, what it was called before this release."""
        self.spelt[name] = spelt or f"--{name.replace('_', '-')}"
        (group or self).add_argument(self.spelt[name], dest=name, **how)
        hidden = {"default": argparse.SUPPRESS, "help": argparse.SUPPRESS}
        for other in old:
            self.add_argument(other, dest=name, **how | hidden)


def add_dataset(parser):
    default = "fashion_mnist"
    parser.option("dataset", default=default, metavar="NAME", help=f"default: {default}")


def add_network(parser, default):
    parser.option(
        "network",
        old=["--backbone"],  # as the main job calls it
        default=default,
        metavar="NAME",
        help=f"conv_blocks, conv_blocks_wide, two_conv, nin3, nin4, nin5 (default: {default})",
    )


def add_precision(parser, advice):
    default = "float32"
    parser.option(
        "precision", default=default, metavar="NAME", help=f"{advice} (default: {default})"
    )


def add_reading(parser):
    """How pictures are read."""
    parser.option(
        "image_size",
        old=["--size"],
        type=positive,
        metavar="N",
        help="height and width to bring images to",
    )
    parser.option(
        "fit",
        choices=("crop", "pad", "resize"),
        default="crop",
        help="how oblong pictures become square: their centre, black at two sides, or stretched "
        "(default: crop)",
    )
    add_broken(parser)


def add_broken(parser):
    parser.option(
        "broken",
        choices=("raise", "skip"),
        default="raise",
        help="files that cannot be read: end and list them, or list them and do without (default: "
        "raise)",
    )


def add_seed(parser, of_what):
    parser.option("seed", type=int, default=0, metavar="N", help=f"{of_what} (default: 0)")


def add_output(parser, default):
    what = f"folder for the results (default: {default})"
    parser.option("output", default=default, metavar="DIR", help=what)


def add_data_dir(parser):
    parser.option("data_dir", metavar="DIR", help="where TFDS has, or shall put, prepared data")


def add_tensorboard(parser, what):
    parser.option(
        "tensorboard",
        metavar="DIR",
        help=f"write {what} for `tensorboard --logdir DIR`; needs the package tensorboard",
    )


def add_traceback(parser):
    parser.add_argument(
        "--traceback",
        action="store_true",
        help="show where in the program an error was raised, to report a fault",
    )


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value
