"""The command line: which job is asked for, and what is said of its end."""

from __future__ import annotations

import io
import os
import sys

from rotnet_keras._base.retracing import no_word_of_retracing
from rotnet_keras.cli.jobs import experiment, pretrain, study
from rotnet_keras.cli.options import read_options
from rotnet_keras.cli.picture_jobs import embed, predict, select
from rotnet_keras.cli.processes import (
    ONE_HOST,
    WATCHED,
    be_watched,
    hosts_are_set,
    run_job,
    stop_when_told,
    watch,
)
from rotnet_keras.cli.typed import typed_command

JOBS = {
    "run": experiment,
    "pretrain": pretrain,
    "study": study,
    "predict": predict,
    "embed": embed,
    "select": select,
}


def _say_what_can_be_said():
    """Have names outside of a terminal's letters escaped, rather than a finished job fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a notebook has another
            stream.reconfigure(errors="backslashreplace")


def main(arguments=None):
    """Run the job that the command line names; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    _say_what_can_be_said()
    options = read_options(arguments)
    options.command = typed_command(arguments)
    # Notes of TensorFlow's as it works say nothing to a user; `prepare_runtime` of `quiet` keeps
    # back those of its start. This must be set before it is imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if options.job == "pretrain" and WATCHED in os.environ:
        with no_word_of_retracing():
            return be_watched(pretrain, arguments, options)
    if options.job == "pretrain" and (options.hosts is not None or hosts_are_set()):
        return watch(arguments, options)
    if options.job != "pretrain" and hosts_are_set():
        print(ONE_HOST, file=sys.stderr)
        return 2
    with no_word_of_retracing():
        return run_job(JOBS[options.job], arguments, options)


def run():
    """The console script `rotnet-keras`, and `python -m rotnet_keras`."""
    stop_when_told(sys.argv[1:])
    sys.exit(main())
