"""The options of each job, by the names of the arguments that they are."""

from __future__ import annotations

import argparse

from rotnet_keras.cli.parsing import (
    Parser,
    add_broken,
    add_data_dir,
    add_dataset,
    add_network,
    add_output,
    add_precision,
    add_reading,
    add_seed,
    add_tensorboard,
    add_traceback,
    positive,
)
from rotnet_keras.cli.typed import program

ANGLES = (0, 90, 180, 270)
EACH_JOB = {  # one line each, for --help
    "pretrain": "pretrain a network alone: many images, several devices or hosts",
    "study": "compare many ways to a classifier, under several numbers of labels",
    "predict": "classify the pictures of a folder",
}


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
    parser = Parser(
        prog=name,
        usage=f"{name} [options]\n       {name} JOB [options]",
        description="Pretrain an extractor by rotation prediction, map its features, and compare "
        "three classifiers from few labels: from scratch, on the frozen extractor, fine-tuned.",
    )
    _add_run(parser)
    jobs = parser.add_subparsers(
        dest="job",
        metavar="JOB",
        prog=name,
        title="other jobs",
        description=f"`{name} JOB --help` explains the options of each.",
    )
    _add_run(jobs.add_parser("run", description=parser.description))  # hidden: the main job's name
    for job, add in {
        "pretrain": _add_pretrain,
        "study": _add_study,
        "predict": _add_predict,
    }.items():
        add(jobs.add_parser(job, help=EACH_JOB[job]))
    return parser


def _add_run(parser):
    data = parser.add_mutually_exclusive_group()
    parser.option(
        "dataset",
        group=data,
        metavar="NAME",
        help="image classification data set of TensorFlow Datasets, or 'garments' for the drawn "
        "stand-in (default: fashion_mnist, and the stand-in where that cannot be had)",
    )
    parser.option(
        "images",
        group=data,
        metavar="FOLDER",
        help="your own pictures: FOLDER/unlabelled with pictures and FOLDER/labelled with a folder "
        "for each class, and FOLDER/test like it if you have one; or a folder for each class in "
        "FOLDER, with --num-labels",
    )
    parser.spelt["name"] = "--dataset"  # what `load_splits` calls it
    add_reading(parser)
    parser.option(
        "channels",
        type=int,
        choices=(1, 3),
        help="1 reads the pictures of a folder as grey, 3 as colour (default: as they are)",
    )
    hidden = {"default": argparse.SUPPRESS, "help": argparse.SUPPRESS}
    parser.add_argument("--grey", dest="channels", action="store_const", const=1, **hidden)
    _add_division(parser)
    _add_backbone(parser)
    add_seed(parser, "of everything random")
    parser.option(
        "num_seeds",
        type=positive,
        default=1,
        metavar="N",
        help="repeat with N seeds from --seed on, each in a folder of its own, and give mean and "
        "95%% interval; seeds that are finished there are not repeated (default: 1)",
    )
    _add_run_files(parser)
    add_traceback(parser)


def _add_division(parser):
    """The options that say how many images are labelled, and for validation."""
    parser.option(
        "num_labels",
        old=["--labels"],
        type=int,
        metavar="N",
        help="labelled images in all (default: 1000; all there are with --images)",
    )
    parser.option(
        "num_validation",
        old=["--validation"],
        type=int,
        metavar="N",
        help="validation images in all, which say when to stop (default: a sixth of the training "
        "images, with --images of those with labels)",
    )


def _add_backbone(parser):
    parser.option(
        "backbone",
        old=["--network"],  # as the other jobs call it
        default="two_conv",
        metavar="NAME",
        help="two_conv, conv_blocks, ..., a network of keras.applications such as MobileNetV2, or "
        "a .keras file (default: two_conv)",
    )
    parser.option(
        "weights",
        metavar="NAME",
        help="'imagenet', or an .h5 file of the backbone's weights: adds arms that start from "
        "them; so does a .keras file as backbone, which has its own",
    )
    parser.option(
        "layer",
        old=["--cut"],
        metavar="NAME",
        help="the backbone's layer to cut at (default: the last)",
    )


def _add_run_files(parser):
    """Where the main job reads and writes, and how much."""
    add_output(parser, "results")
    add_data_dir(parser)
    parser.option("manual_dir", metavar="DIR", help="folder with the data set's original files")
    parser.option("quick", action="store_true", help="a look at how it works, in about a minute")
    parser.option(
        "explorer",
        action="store_true",
        help="write explorer.html, too: test images as points to move over, network by network; "
        "takes one or two minutes more",
    )
    add_tensorboard(parser, "curves, and the test images by their features")


def _add_pretrain(parser):
    parser.description = (
        "Pretrain a network on rotations: on one device, several, or as one of several processes "
        "on as many hosts. A checkpoint is written after each epoch; the same command goes on from "
        "it, with however many devices and processes."
    )
    add_dataset(parser)
    parser.option(
        "images",
        metavar="DIR",
        help="in its place, a folder of pictures, or a data set's name again, streamed from disk",
    )
    parser.spelt |= {
        "name": "--dataset",
        "source": "--images",
    }  # as the functions that read them do
    add_reading(parser)
    add_network(parser, "two_conv")
    parser.option("epochs", type=positive, default=10, metavar="N", help="default: 10")
    parser.option(
        "batch_size",
        type=positive,
        default=64,
        metavar="N",
        help="different images in a batch, on all devices and hosts together (default: 64)",
    )
    parser.option(
        "all_rotations",
        spelt="--one-rotation",
        action="store_false",
        help="turn each image once a pass, not four times",
    )
    add_precision(parser, "'mixed' for float16 on a GPU, bfloat16 elsewhere")
    _add_hosts(parser)
    add_seed(parser, "of everything random")
    add_output(parser, "pretraining")
    add_data_dir(parser)
    add_tensorboard(parser, "curves")
    add_traceback(parser)


def _add_hosts(parser):
    """Over what the job is spread."""
    parser.option(
        "devices",
        type=lambda text: text if text == "all" else positive(text),
        default=1,
        metavar="N",
        help="to spread training over, on each host, or 'all' (default: 1)",
    )
    parser.option(
        "hosts",
        nargs="+",
        metavar="ADDRESS",
        help="host:port of every process, in one order everywhere, or 'auto' on a cluster that JAX "
        "knows; default: JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, if set",
    )
    # Not --host: a letter less than --hosts, and what that may be shortened to.
    parser.option(
        "host",
        spelt="--process",
        type=int,
        metavar="N",
        help="this one's place among the hosts, from 0",
    )


def _add_study(parser):
    parser.description = (
        "Compare many ways to a classifier under several numbers of labels, with several seeds. "
        "Each finished run adds a row to study.csv in the output folder; the same command goes on "
        "where it was stopped. At the end, accuracy.png shows accuracy against labels."
    )
    _add_comparison(parser)
    add_seed(parser, "the first one")
    parser.option("num_seeds", type=positive, default=5, metavar="N", help="default: 5")
    # What `run_study` calls them, and `load_splits`.
    parser.spelt |= {"seeds": "--seed", "num_labels": "--budgets", "name": "--dataset"}
    add_dataset(parser)
    add_network(parser, "conv_blocks")
    parser.option("pretrain_epochs", type=int, default=10, metavar="N", help="default: 10")
    parser.option(
        "rotations",
        nargs="+",
        type=int,
        default=list(ANGLES),
        metavar="DEGREES",
        choices=ANGLES,
        help="of the pretext task (default: 0 90 180 270)",
    )
    parser.option(
        "num_validation",
        old=["--validation"],
        type=int,
        default=10_000,
        metavar="N",
        help="images (default: 10000)",
    )
    add_precision(parser, "mixed_bfloat16 halves the time where the processor has it")
    add_output(parser, "study")
    add_data_dir(parser)
    add_traceback(parser)


def _add_comparison(parser):
    """What the study compares."""
    parser.option(
        "arms",
        nargs="+",
        metavar="ARM",
        help="ways to a classifier, for example 'raw pixels' 'fine-tuned' 'self-trained' (default: "
        "all; an unknown one is answered by the list)",
    )
    parser.option(
        "budgets",
        nargs="+",
        type=int,
        default=[10, 50, 100, 500, 1000, 5000],
        metavar="N",
        help="labelled images in all (default: 10 50 100 500 1000 5000)",
    )
    parser.option(
        "baseline",
        default="without pretext",
        metavar="ARM",
        help="arm to compare with (default: the best of those without the pretext task)",
    )


def _add_predict(parser):
    parser.description = (
        "Write a CSV of file, class and probability for each picture of a folder and of the "
        "folders in it."
    )
    parser.add_argument("folder", metavar="FOLDER", help="the pictures")
    parser.spelt["folder"] = "FOLDER"
    parser.option(
        "model",
        default="results/classifier.keras",
        metavar="FILE",
        help="the classifier, the names of its classes beside it (default: "
        "results/classifier.keras)",
    )
    parser.spelt["path"] = "--model"  # what `load_classifier` calls it
    add_broken(parser)
    parser.option(
        "output",
        default="predictions.csv",
        metavar="FILE",
        help="CSV to write (default: predictions.csv)",
    )
    add_traceback(parser)
