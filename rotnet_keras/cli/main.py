"""The command line: which job is asked for, and what is said of its end."""

from __future__ import annotations

import os
import sys

from rotnet_keras.cli.jobs import experiment, predict, pretrain, study
from rotnet_keras.cli.options import (
    experiment_parser,
    predict_parser,
    pretrain_parser,
    study_parser,
)
from rotnet_keras.cli.processes import (
    ONE_HOST,
    WATCHED,
    be_watched,
    hosts_are_set,
    run_job,
    stop_when_told,
    typed_command,
    watch,
)

# TensorFlow's start-up notes about CPU instructions and missing GPUs say nothing to a user; this
# must be set before it is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main(arguments=None):
    """Run the job that the command line names; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["pretrain"]:
        options = pretrain_parser().parse_args(arguments[1:])
        if WATCHED in os.environ:
            return be_watched(pretrain, arguments, options)
        several = options.hosts is not None or hosts_are_set()
        return watch(arguments, options) if several else run_job(pretrain, arguments, options)
    if arguments[:1] == ["study"]:
        job, options = study, study_parser().parse_args(arguments[1:])
    elif arguments[:1] == ["predict"]:
        job, options = predict, predict_parser().parse_args(arguments[1:])
    else:
        job, options = experiment, experiment_parser().parse_args(arguments)
        options.command = typed_command(arguments)
    if hosts_are_set():
        print(ONE_HOST, file=sys.stderr)
        return 2
    return run_job(job, arguments, options)


def run():
    """The console script `rotnet-keras`, and `python -m rotnet_keras`."""
    stop_when_told(sys.argv[1:])
    sys.exit(main())
