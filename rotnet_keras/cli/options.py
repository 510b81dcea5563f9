"""The options of each job."""

from __future__ import annotations

import argparse


def experiment_parser():
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


def predict_parser():
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


def study_parser():
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


def pretrain_parser():
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


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value
