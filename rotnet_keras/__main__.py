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
    """Run the experiment, or the study, as the command line says; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["study"]:
        return _run(_study, _study_parser().parse_args(arguments[1:]))
    return _run(_experiment, _parser().parse_args(arguments))


def _run(job, options):
    """Do a job; what the user can mend becomes one line, not a trace."""
    from rotnet_keras.datasets import DatasetError

    try:
        job(options)
    except (DatasetError, ValueError, OSError, ImportError) as error:
        if isinstance(error, ValueError) and not _is_our_check(error):
            raise  # a fault in the program, not in what was asked of it
        print(f"rotnet_keras: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nrotnet_keras: stopped; start it again with the same options", file=sys.stderr)
        return 130
    return 0


def _experiment(options):
    from rotnet_keras.experiment import summarise

    runs = _run_seeds(options)
    print(f"\nAccuracy on test images in percent, {runs[0]['num_labels']} labels:\n")
    print(summarise(runs).to_string(float_format="{:.1f}".format, na_rep="-"))
    print(f"\nWritten to {options.output}")
    if runs[0]["stand_in"]:
        print("\n*** STAND-IN GARMENTS: these figures are of drawn images, not of real data. ***")
    if options.quick:
        print("\nA --quick run: too little training for these figures to mean much.")


def _study(options):
    from rotnet_keras.arms import ARMS
    from rotnet_keras.study import WITHOUT_PRETEXT, run_study, summarise_study

    baselines = (WITHOUT_PRETEXT, *(options.arms or ARMS))
    if options.baseline not in baselines:  # said before the work, not after it
        raise ValueError(f"--baseline must be one of {baselines}, got {options.baseline!r}")
    table = run_study(
        **{"arms": options.arms} if options.arms else {},
        budgets=options.budgets,
        seeds=range(options.seed, options.seed + options.num_seeds),
        dataset=options.dataset,
        network=options.network,
        pretrain_epochs=options.pretrain_epochs,
        rotations=[angle // 90 for angle in options.rotations],
        num_validation=options.validation,
        precision=options.precision,
        output=options.output,
        data_dir=options.data_dir,
    )
    print("\nAccuracy on test images in percent; gain is paired by seed:\n")
    columns = ["num_labels", "arm", "mean", "ci95", "runs", "baseline", "gain", "gain_ci95"]
    summary = summarise_study(table, baseline=options.baseline)
    print(summary[columns].to_string(index=False, float_format="{:.1f}".format, na_rep="-"))
    output = pathlib.Path(options.output)
    _draw_study(summary, options.dataset, output / "accuracy.png")
    print(f"\nWritten to {output / 'study.csv'} and {output / 'accuracy.png'}")


def _draw_study(summary, dataset, path):
    from rotnet_keras.plots import picture, plot_budgets

    name = "drawn stand-in garments" if dataset == "garments" else dataset
    with picture(path, f"{name}: test accuracy, mean and 95% interval"):
        plot_budgets(summary)


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
        epilog="Another job: python -m rotnet_keras study --help",
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


def _study_parser():
    parser = argparse.ArgumentParser(
        prog="python -m rotnet_keras study",
        description="Compare many ways to a classifier under several numbers of labels, with "
        "several seeds. Each finished run adds a row to study.csv in the output folder; the same "
        "command goes on where it was stopped. At the end, accuracy.png shows accuracy against "
        "labels.",
    )
    add = parser.add_argument
    add(
        "--arms",
        nargs="+",
        metavar="ARM",
        help="ways to a classifier, for example 'raw pixels' 'fine-tuned' 'self-trained' (default: "
        "all; an unknown one is answered by the list)",
    )
    add(
        "--budgets",
        nargs="+",
        type=int,
        default=[10, 50, 100, 500, 1000, 5000],
        metavar="N",
        help="labelled images in all (default: %(default)s)",
    )
    add("--seed", type=int, default=0, help="the first one (default: 0)")
    add("--num-seeds", type=_positive, default=5, metavar="N", help="default: 5")
    add("--dataset", default="fashion_mnist", metavar="NAME", help="default: fashion_mnist")
    add(
        "--network",
        default="conv_blocks",
        metavar="NAME",
        help="conv_blocks, conv_blocks_wide, two_conv, nin3, nin4, nin5 (default: conv_blocks)",
    )
    add("--pretrain-epochs", type=int, default=10, metavar="N", help="default: 10")
    add(
        "--rotations",
        nargs="+",
        type=int,
        default=[0, 90, 180, 270],
        metavar="DEGREES",
        choices=(0, 90, 180, 270),
        help="of the pretext task (default: 0 90 180 270)",
    )
    add("--validation", type=int, default=10_000, metavar="N", help="images (default: 10000)")
    add(
        "--precision",
        default="float32",
        metavar="NAME",
        help="mixed_bfloat16 halves the time where the processor has it (default: float32)",
    )
    add(
        "--baseline",
        default="without pretext",
        metavar="ARM",
        help="arm to compare with (default: the best of those without the pretext task)",
    )
    add("--output", default="study", metavar="DIR", help="default: study")
    add("--data-dir", metavar="DIR", help="where TFDS has, or shall put, prepared data")
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
