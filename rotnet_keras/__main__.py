"""Command line of the main job: `python -m rotnet_keras --help`."""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
import traceback

# TensorFlow's start-up notes about CPU instructions and missing GPUs say nothing to a user; this
# must be set before it is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main(arguments=None):
    """Run the experiment as the command line says; return the exit status."""
    options = _parser().parse_args(arguments)
    from rotnet_keras.datasets import DatasetError
    from rotnet_keras.experiment import summarise

    try:
        runs = _run_seeds(options)
    except (DatasetError, ValueError, OSError) as error:
        if isinstance(error, ValueError) and not _is_our_check(error):
            raise  # a fault in the program, not in what was asked of it
        print(f"rotnet_keras: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nrotnet_keras: stopped; start it again with the same options", file=sys.stderr)
        return 130
    print(f"\nAccuracy on test images in percent, {runs[0]['num_labels']} labels:\n")
    print(summarise(runs).to_string(float_format="{:.1f}".format, na_rep="-"))
    print(f"\nWritten to {options.output}")
    if runs[0]["stand_in"]:
        print("\n*** STAND-IN GARMENTS: these figures are of drawn images, not of real data. ***")
    if options.quick:
        print("\nA --quick run: too little training for these figures to mean much.")
    return 0


def _run_seeds(options):
    from rotnet_keras.experiment import run_experiment

    output = pathlib.Path(options.output)
    several = options.num_seeds > 1
    return [
        run_experiment(
            options.dataset,
            num_labels=options.labels,
            num_validation=options.validation,
            seed=seed,
            output=output / f"seed_{seed}" if several else output,
            data_dir=options.data_dir,
            manual_dir=options.manual_dir,
            quick=options.quick,
        )
        for seed in range(options.seed, options.seed + options.num_seeds)
    ]


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m rotnet_keras",
        description="Pretrain an extractor by rotation prediction, map its features, and compare "
        "three classifiers from few labels: from scratch, on the frozen extractor, fine-tuned.",
    )
    add = parser.add_argument
    add(
        "--dataset",
        metavar="NAME",
        help="image classification data set of TensorFlow Datasets, or 'garments' for the drawn "
        "stand-in (default: fashion_mnist, and the stand-in where that cannot be had)",
    )
    add("--labels", type=int, default=1000, help="labelled images in all (default: 1000)")
    add(
        "--validation",
        type=int,
        default=10_000,
        metavar="N",
        help="validation images in all, which say when to stop; lower it for a small data set "
        "(default: 10000)",
    )
    add("--seed", type=int, default=0, help="of everything random (default: 0)")
    add(
        "--num-seeds",
        type=_positive,
        default=1,
        metavar="N",
        help="repeat with N seeds from --seed on, each in a folder of its own, and give mean and "
        "95%% interval (default: 1)",
    )
    add("--output", default="results", help="folder for the results (default: results)")
    add("--data-dir", metavar="DIR", help="where TFDS has, or shall put, prepared data")
    add("--manual-dir", metavar="DIR", help="folder with the data set's original files")
    add("--quick", action="store_true", help="a look at how it works, in about a minute")
    return parser


def _is_our_check(error):
    """Whether this package itself raised the error, as it does about arguments."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return pathlib.Path(last.filename).parent == pathlib.Path(__file__).parent


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


if __name__ == "__main__":
    sys.exit(main())
