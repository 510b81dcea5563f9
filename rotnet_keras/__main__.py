"""Command line of the main job: `python -m rotnet_keras --help`."""

from __future__ import annotations

import argparse
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import threading
import traceback
import warnings

# TensorFlow's start-up notes about CPU instructions and missing GPUs say nothing to a user; this
# must be set before it is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

WATCHED = "ROTNET_KERAS_WATCHED"
ONE_HOST = (
    "rotnet_keras: only `pretrain` runs on several hosts: unset the variables that name them, such "
    "as JAX_COORDINATOR_ADDRESS, for this job"
)
LOST = 75  # "try again later", of sysexits.h: another process of the run is gone


def main(arguments=None):
    """Run the job that the command line names; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["pretrain"]:
        options = _pretrain_parser().parse_args(arguments[1:])
        if WATCHED in os.environ:
            return _watched(arguments, options)
        several = options.hosts is not None or _hosts_are_set()
        return _watch(arguments, options) if several else _run(_pretrain, arguments, options)
    if arguments[:1] == ["study"]:
        job, options = _study, _study_parser().parse_args(arguments[1:])
    elif arguments[:1] == ["predict"]:
        job, options = _predict, _predict_parser().parse_args(arguments[1:])
    else:
        job, options = _experiment, _parser().parse_args(arguments)
        options.command = _command(arguments)
    if _hosts_are_set():
        print(ONE_HOST, file=sys.stderr)
        return 2
    return _run(job, arguments, options)


def _run(job, arguments, options):
    """Do a job; what the user can mend becomes one line, not a trace."""
    warnings.formatwarning = lambda message, *_, **__: f"rotnet_keras: {message}\n"
    try:
        job(options)
    except Exception as error:
        if not _is_our_check(error):
            raise  # a fault in the program, not in what was asked of it
        print(f"rotnet_keras: {_in_short(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(_how_to_go_on(arguments), file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


def _in_short(error):
    """One line, and, of files that cannot be read, a line for each."""
    first, *files = str(error).split("\n  ")
    return "\n  ".join([" ".join(part.split()) for part in (first, *files)])


def _stop_when_told(arguments):
    """From now on, end at once at Ctrl-C or SIGTERM, with one line that says how to go on.

    Python raises KeyboardInterrupt only between two of its own steps, which may be a minute apart
    while TensorFlow or JAX compile, and libraries may catch it. Whatever is finished is in whole
    files at any moment, so nothing has to be tidied up.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)  # written to at once, whatever the main thread is at
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)

    def stop():
        number = os.read(reader, 1)[0]
        if WATCHED not in os.environ:  # else the watching process says it
            os.write(2, f"{_how_to_go_on(arguments)}\n".encode())
        os._exit(128 + number)

    threading.Thread(target=stop, daemon=True).start()


def _how_to_go_on(arguments):
    return f"\nrotnet_keras: stopped; to go on, start it again: {_command(arguments)}"


def _command(arguments):
    """What was typed, for someone to type again."""
    return shlex.join(["python", "-m", "rotnet_keras", *arguments])


def _experiment(options):
    from rotnet_keras.runtime import prepare_runtime

    print(prepare_runtime(seed=options.seed))
    from rotnet_keras.experiment import summarise

    runs = _run_seeds(options)
    print(f"\nAccuracy on test images in percent, {runs[0]['num_labels']} labels:\n")
    table = summarise(runs)
    if options.images is not None:
        table = table.drop(columns="blog")  # which had other images
    print(table.to_string(float_format="{:.1f}".format, na_rep="-"))
    print(f"\nWritten to {options.output}; to read or to send: {_write_reports(options)}")
    if runs[0]["stand_in"]:
        print("\n*** STAND-IN GARMENTS: these figures are of drawn images, not of real data. ***")
    if options.quick:
        print("\nA --quick run: too little training for these figures to mean much.")


def _predict(options):
    from rotnet_keras.runtime import prepare_runtime

    prepare_runtime()
    from rotnet_keras._files import make_folder, replace_with
    from rotnet_keras.prediction import load_classifier, predict_pictures

    make_folder(pathlib.Path(options.output).parent)  # said before the work, not after it
    model, facts = load_classifier(options.model)
    table = predict_pictures(model, options.folder, broken=options.broken, **facts)
    with replace_with(options.output) as beside:
        table.to_csv(beside, index=False, float_format="%.6f", errors="surrogateescape")
    print(f"{len(table):,} pictures, written to {options.output}")


def _pretrain(options):
    from rotnet_keras.runtime import prepare_runtime

    runtime = prepare_runtime(
        devices=options.devices, hosts=options.hosts, host=options.process, seed=options.seed
    )
    print(runtime, flush=True)
    from rotnet_keras.pretraining import run_pretraining

    results = run_pretraining(
        options.dataset,
        images=_folder_or_name(options.images),
        image_size=options.size,
        fit=options.fit,
        broken=options.broken,
        network=options.network,
        epochs=options.epochs,
        batch_size=options.batch_size,
        all_rotations=not options.one_rotation,
        precision=options.precision,
        seed=options.seed,
        output=options.output,
        data_dir=options.data_dir,
        tensorboard=options.tensorboard,
        verbose=2,
    )
    if runtime.host == 0:
        accuracy, speed = results["history"]["accuracy"][-1], results["images_per_second"]
        print(f"Rotation accuracy {accuracy:.3f} in the last epoch", end="")
        print(f", {speed:,} images per second" if speed else "")
        print(f"Written to {options.output}")


def _folder_or_name(source):
    """A path, where the folder is there: a data set of that name is not asked for then."""
    return pathlib.Path(source) if source is not None and os.path.isdir(source) else source


def _watch(arguments, options):
    """Run this process of several in a child: JAX aborts, without a word that a user would
    understand, where another one is lost, and that can only be said from outside.
    """
    command = [sys.executable, "-m", "rotnet_keras", *arguments]
    child = subprocess.Popen(command, env=os.environ | {WATCHED: "1"}, stdin=subprocess.PIPE)
    status = child.wait()
    if status in (LOST, -signal.SIGABRT):
        print(
            "rotnet_keras: another process of this run stopped or cannot be reached, as far as JAX "
            "can tell; what it says is above. Start all of them again with the same options: they "
            f"go on from the last epoch in {options.output}",
            file=sys.stderr,
        )
        return LOST
    return 128 - status if status < 0 else status


def _watched(arguments, options):
    """Be the child of `_watch`; after an error leave at once, since JAX would wait for minutes for
    the other processes, which wait for this one.
    """
    threading.Thread(target=_stop_with_watcher, daemon=True).start()
    try:
        status = _run(_pretrain, arguments, options)
    except Exception as error:
        traceback.print_exc()
        status = LOST if _lost_another(error) else 1
    if status:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _stop_with_watcher():
    """End when the watching process does, which closes the pipe that is this one's input."""
    while os.read(0, 1):  # not sys.stdin, whose lock would spoil an ordinary end
        pass
    os._exit(LOST)


def _hosts_are_set():
    from rotnet_keras.runtime import HOST_VARIABLES

    return any(name in os.environ for name in HOST_VARIABLES[0])


def _lost_another(error):
    """Whether JAX could not go on since another process is gone."""
    said = f"{type(error).__name__}: {error}".lower()
    signs = ("gloo", "coordination", "heartbeat", "unavailable:", "aborted:")
    return any(sign in said for sign in signs)


def _study(options):
    from rotnet_keras.runtime import prepare_runtime

    print(prepare_runtime(seed=options.seed))
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


def _seeds(options):
    return range(options.seed, options.seed + options.num_seeds)


def _write_reports(options):
    """One report for each seed, and one of all seeds where there are several: return its path."""
    from rotnet_keras.report import save_report

    output, command = pathlib.Path(options.output), options.command
    if options.num_seeds == 1:
        return save_report(output, command=command)
    for seed in _seeds(options):
        save_report(output / f"seed_{seed}", command=command)
    return save_report(output, seeds=_seeds(options), command=command)


def _run_seeds(options):
    from rotnet_keras.experiment import run_experiment

    output, several, runs = pathlib.Path(options.output), options.num_seeds > 1, []
    board = None if options.tensorboard is None else pathlib.Path(options.tensorboard)
    for seed in _seeds(options):
        run = run_experiment(
            options.dataset if options.images is None else pathlib.Path(options.images),
            num_labels=1000 if options.labels is options.images is None else options.labels,
            num_validation=options.validation,
            image_size=options.size,
            fit=options.fit,
            channels=1 if options.grey else None,
            broken=options.broken,
            backbone=options.backbone,
            weights=options.weights,
            layer=options.cut,
            seed=seed,
            output=output / f"seed_{seed}" if several else output,
            skip_finished=several,
            data_dir=options.data_dir,
            manual_dir=options.manual_dir,
            quick=options.quick,
            explorer=options.explorer,
            tensorboard=board / f"seed_{seed}" if board and several else board,
        )
        runs.append(run)
        if several:  # the report of all seeds is not of this one's new results
            (output / "report.html").unlink(missing_ok=True)
    return runs


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m rotnet_keras",
        epilog="Other jobs: python -m rotnet_keras predict --help, pretrain --help, study --help",
        description="Pretrain an extractor by rotation prediction, map its features, and compare "
        "three classifiers from few labels: from scratch, on the frozen extractor, fine-tuned.",
    )
    add = parser.add_argument
    data = parser.add_mutually_exclusive_group()
    data.add_argument(
        "--dataset",
        metavar="NAME",
        help="image classification data set of TensorFlow Datasets, or 'garments' for the drawn "
        "stand-in (default: fashion_mnist, and the stand-in where that cannot be had)",
    )
    data.add_argument(
        "--images",
        metavar="FOLDER",
        help="your own pictures: FOLDER/unlabelled with pictures and FOLDER/labelled with a folder "
        "for each class, and FOLDER/test like it if you have one; or a folder for each class in "
        "FOLDER, with --labels",
    )
    _add_reading(parser)
    add("--size", type=_positive, metavar="N", help="height and width to bring images to")
    add("--grey", action="store_true", help="read the pictures of a folder as grey")
    add(
        "--labels",
        type=int,
        help="labelled images in all (default: 1000; all there are with --images)",
    )
    add(
        "--validation",
        type=int,
        metavar="N",
        help="validation images in all, which say when to stop (default: a sixth of the training "
        "images, with --images of those with labels)",
    )
    add(
        "--backbone",
        default="two_conv",
        metavar="NAME",
        help="two_conv, conv_blocks, ..., a network of keras.applications such as MobileNetV2, or "
        "a .keras file (default: two_conv)",
    )
    add(
        "--weights",
        metavar="NAME",
        help="'imagenet', or an .h5 file of the backbone's weights: adds arms that start from "
        "them; so does a .keras file as backbone, which has its own",
    )
    add("--cut", metavar="LAYER", help="the backbone's layer to cut at (default: the last)")
    add("--seed", type=int, default=0, help="of everything random (default: 0)")
    add(
        "--num-seeds",
        type=_positive,
        default=1,
        metavar="N",
        help="repeat with N seeds from --seed on, each in a folder of its own, and give mean and "
        "95%% interval; seeds that are finished there are not repeated (default: 1)",
    )
    add("--output", default="results", help="folder for the results (default: results)")
    add("--data-dir", metavar="DIR", help="where TFDS has, or shall put, prepared data")
    add("--manual-dir", metavar="DIR", help="folder with the data set's original files")
    add("--quick", action="store_true", help="a look at how it works, in about a minute")
    add(
        "--explorer",
        action="store_true",
        help="write explorer.html, too: test images as points to move over, network by network; "
        "takes one or two minutes more",
    )
    _add_tensorboard(parser, "curves, and the test images by their features")
    return parser


def _add_tensorboard(parser, what):
    parser.add_argument(
        "--tensorboard",
        metavar="DIR",
        help=f"write {what} for `tensorboard --logdir DIR`; needs the package tensorboard",
    )


def _add_reading(parser):
    """The options that say how pictures are read."""
    parser.add_argument(
        "--fit",
        choices=("crop", "pad", "resize"),
        default="crop",
        help="how oblong pictures become square: their centre, black at two sides, or stretched "
        "(default: crop)",
    )
    _add_broken(parser)


def _add_broken(parser):
    parser.add_argument(
        "--broken",
        choices=("raise", "skip"),
        default="raise",
        help="files that cannot be read: end and list them, or list them and do without (default: "
        "raise)",
    )


def _predict_parser():
    parser = argparse.ArgumentParser(
        prog="python -m rotnet_keras predict",
        description="Write a CSV of file, class and probability for each picture of a folder and "
        "those below it.",
    )
    add = parser.add_argument
    add("folder", metavar="FOLDER", help="the pictures")
    add(
        "--model",
        default="results/classifier.keras",
        metavar="FILE",
        help="the classifier, the names of its classes beside it (default: "
        "results/classifier.keras)",
    )
    add(
        "--output",
        default="predictions.csv",
        metavar="FILE",
        help="CSV to write (default: predictions.csv)",
    )
    _add_broken(parser)
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


def _pretrain_parser():
    parser = argparse.ArgumentParser(
        prog="python -m rotnet_keras pretrain",
        description="Pretrain a network on rotations: on one device, several, or as one of several "
        "processes on as many hosts. A checkpoint is written after each epoch; the same command "
        "goes on from it, with however many devices and processes.",
    )
    add = parser.add_argument
    add("--dataset", default="fashion_mnist", metavar="NAME", help="default: fashion_mnist")
    add(
        "--images",
        metavar="DIR",
        help="in its place, a folder of pictures, or a data set's name again, streamed from disk",
    )
    add("--size", type=_positive, metavar="N", help="height and width to bring images to")
    _add_reading(parser)
    add("--network", default="two_conv", metavar="NAME", help="as in study (default: two_conv)")
    add("--epochs", type=_positive, default=10, metavar="N", help="default: 10")
    add(
        "--batch-size",
        type=_positive,
        default=64,
        metavar="N",
        help="different images in a batch, on all devices and hosts together (default: 64)",
    )
    add("--one-rotation", action="store_true", help="turn each image once a pass, not four times")
    add(
        "--precision",
        default="float32",
        metavar="NAME",
        help="'mixed' for float16 on a GPU, bfloat16 elsewhere (default: float32)",
    )
    add(
        "--devices",
        type=lambda text: text if text == "all" else _positive(text),
        default=1,
        metavar="N",
        help="to spread training over, on each host, or 'all' (default: 1)",
    )
    add(
        "--hosts",
        nargs="+",
        metavar="ADDRESS",
        help="host:port of every process, in one order everywhere, or 'auto' on a cluster that JAX "
        "knows; default: JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, if set",
    )
    add("--process", type=int, metavar="N", help="this one's place among the hosts, from 0")
    add("--seed", type=int, default=0, help="of everything random (default: 0)")
    add("--output", default="pretraining", metavar="DIR", help="default: pretraining")
    add("--data-dir", metavar="DIR", help="where TFDS has, or shall put, prepared data")
    _add_tensorboard(parser, "curves")
    return parser


def _is_our_check(error):
    """Whether this package itself raised the error, as it does about arguments."""
    from rotnet_keras.datasets import DatasetError

    if isinstance(error, (DatasetError, OSError, ImportError)):
        return True
    if not isinstance(error, (ValueError, RuntimeError)):
        return False
    *_, last = traceback.extract_tb(error.__traceback__)
    return pathlib.Path(last.filename).parent == pathlib.Path(__file__).parent


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


if __name__ == "__main__":
    _stop_when_told(sys.argv[1:])
    sys.exit(main())
