"""The options of each job, by the names of the arguments that they are."""

from __future__ import annotations

from typing import Any, NamedTuple

from rotnet_keras._base.angles import ANGLES
from rotnet_keras._base.tasks import PRETEXTS
from rotnet_keras.cli.typed import devices, levels, positive


class Job(NamedTuple):
    """What the parser knows of a job.

    Attributes:
        about: at the head of its help.
        options: what `Parser.option` takes, by argument, in the order of the help.
        others: options of what functions further down call otherwise.
        in_short: its line among the other jobs.
    """

    about: str
    options: dict[str, dict[str, Any]]
    others: dict[str, str]
    in_short: str = ""


def _named(said, default=None, metavar="NAME", **how):
    """An option of one value, or of several; its help ends with the default, if it has none yet."""
    if default is not None and "default:" not in said:
        shown = " ".join(map(str, default)) if isinstance(default, list) else default
        said = f"{said} (default: {shown})" if said else f"default: {shown}"
    return {"help": said, "default": default, "metavar": metavar, **how}


def _number(said, default=None, kind=int, **how):
    return _named(said, default, "N", type=kind, **how)


def _switch(said, action="store_true", **how):
    return {"help": said, "action": action, **how}


def _tensorboard(what):
    said = f"write {what} for `tensorboard --logdir DIR`; needs the package tensorboard"
    return {"tensorboard": _named(said, metavar="DIR")}


def _output(default):
    return {"output": _named("folder for the results", default, "DIR")}


def _network(default):
    said = "conv_blocks, conv_blocks_wide, two_conv, nin3, nin4, nin5"
    return {"network": _named(said, default)}


DATASET = {"dataset": _named("", "fashion_mnist")}
DATA_DIR = {"data_dir": _named("where TFDS has, or shall put, prepared data", metavar="DIR")}
BROKEN = {
    "broken": _named(
        "files that cannot be read: end and list them, or list them and do without",
        "raise",
        None,
        choices=("raise", "skip"),
    )
}
LEVELS = {
    "ground": _named(
        "what shows through transparent parts of a folder's pictures: 0 (black) to 255 (white), or "
        "red, green and blue as R,G,B",
        255,
        "GREY",
        type=levels,
    ),
    "white": _named(
        "the value of white in files of 16 bits, such as 4095, or BLACK,WHITE, for instance "
        "--white=-1024,3071 (default: found by their values)",
        metavar="VALUE",
        type=levels,
    ),
}
READING = {  # how pictures are read
    "image_size": _number("height and width to bring images to", kind=positive),
    "fit": _named(
        "how oblong pictures become square: their centre, black at two sides, or stretched",
        "crop",
        None,
        choices=("crop", "pad", "resize"),
    ),
    **LEVELS,
    **BROKEN,
}
CHANNELS = {
    "channels": _number(
        "1 reads the pictures of a folder as grey, 3 as colour (default: as they are)",
        choices=(1, 3),
    )
    | {"metavar": None},
}
FOLDER = {  # what is made of a folder
    "repeats": _named(
        "the same picture in two classes, or in the test and in training: end, or say so and go on",
        "raise",
        None,
        choices=("raise", "keep"),
    ),
    "parts": _named(
        "folders that are parts of the data: those of any name that have the shape, or those named "
        "labelled, unlabelled and test alone",
        "any",
        None,
        choices=("any", "named"),
    ),
    "follow_links": _switch("follow links to folders outside FOLDER"),
}
RUN = {
    "dataset": _named(
        "image classification data set of TensorFlow Datasets, or 'garments' for the drawn "
        "stand-in (default: fashion_mnist, and the stand-in where that cannot be had)"
    ),
    "images": _named(
        "your own pictures: FOLDER/unlabelled with pictures and FOLDER/labelled with a folder "
        "for each class, and FOLDER/test like it if you have one; or a folder for each class in "
        "FOLDER and nothing else",
        metavar="FOLDER",
    ),
    **READING,
    **CHANNELS,
    **FOLDER,
    "num_labels": _number("labelled images in all (default: 1000; all there are with --images)"),
    "num_validation": _number(
        "validation images in all, which say when to stop (default: a sixth of the training "
        "images, with --images of those with labels)"
    ),
    "backbone": _named(
        "two_conv, conv_blocks, ..., a network of keras.applications such as MobileNetV2, or "
        "a .keras file (default: two_conv for Fashion-MNIST, conv_blocks for other images)",
    ),
    "weights": _named(
        "'imagenet', or an .h5 file of the backbone's weights: adds arms that start from "
        "them; so does a .keras file as backbone, which has its own"
    ),
    "layer": _named("the backbone's layer to cut at (default: the last)"),
    "seed": _number("of everything random", 0),
    "num_seeds": _number(
        "repeat with N seeds from --seed on, each in a folder of its own, and give mean and "
        "95%% interval; seeds that are finished there are not repeated",
        1,
        positive,
    ),
    **_output("results"),
    **DATA_DIR,
    "manual_dir": _named("folder with the data set's original files", metavar="DIR"),
    "quick": _switch("a look at how it works, in about a minute"),
    "minutes": _named(
        "about how long it may take: training is shortened to fit (default: as long as it needs, "
        "which is said beforehand)",
        metavar="MINUTES",
        type=float,
    ),
    "explorer": _switch(
        "write explorer.html, too: test images as points to move over, network by network; "
        "takes one or two minutes more"
    ),
    **_tensorboard("curves, and the test images by their features"),
}
PRETRAIN = {
    **DATASET,
    "images": _named(
        "in its place, a folder of pictures, or a data set's name again, streamed from disk",
        metavar="DIR",
    ),
    **READING,
    **FOLDER,
    **_network("two_conv"),
    "epochs": _number("", 10, positive),
    "batch_size": _number(
        "different images in a batch, on all devices and hosts together", 64, positive
    ),
    "all_rotations": _switch(
        "turn each image once a pass, not four times", "store_false", spelt="--one-rotation"
    ),
    "precision": _named("'mixed' for float16 on a GPU, bfloat16 elsewhere", "float32"),
    "devices": _number("to spread training over, on each host, or 'all'", 1, devices),
    "hosts": _named(
        "host:port of every process, in one order everywhere, or 'auto' on a cluster that JAX "
        "knows; default: JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, if set",
        metavar="ADDRESS",
        nargs="+",
    ),
    # Not --host: a letter less than --hosts, and what that may be shortened to.
    "host": _number("this one's place among the hosts, from 0", spelt="--process"),
    "seed": _number("of everything random", 0),
    **_output("pretraining"),
    **DATA_DIR,
    **_tensorboard("curves"),
}
STUDY = {
    "arms": _named(
        "ways to a classifier, for example 'raw pixels' 'fine-tuned' 'self-trained' (default: "
        "all; an unknown one is answered by the list)",
        metavar="ARM",
        nargs="+",
    ),
    "budgets": _number(
        "labelled images in all (default: 10 50 100 500 1000 5000; with --images those of them "
        "that there are labels for)",
        nargs="+",
    ),
    "baseline": _named(
        "arm to compare with (default: the best without a pretext task)", "without pretext", "ARM"
    ),
    "seed": _number("the first one", 0),
    "num_seeds": _number("", 5, positive),
    **DATASET,
    "images": _named(
        "in its place, your own pictures: a folder as the main job takes it", metavar="FOLDER"
    ),
    **READING,
    **CHANNELS,
    **FOLDER,
    **_network("conv_blocks"),
    "pretext": _named("what networks learn before", "rotation", None, choices=PRETEXTS),
    "pretrain_epochs": _number("", 10),
    "rotations": _number("of the pretext task", [*ANGLES], nargs="+", choices=ANGLES)
    | {"metavar": "DEGREES"},
    "num_validation": _number("images (default: 10000; with --images a sixth of the labels)"),
    "precision": _named("mixed_bfloat16 halves the time where the processor has it", "float32"),
    **_output("study"),
    **DATA_DIR,
}
PREDICT = {
    "model": _named(
        "the classifier, the names of its classes beside it", "results/classifier.keras", "FILE"
    ),
    "ground": LEVELS["ground"] | {"default": None, "help": "instead of that in training"},
    "white": LEVELS["white"] | {"help": "instead of that in training"},
    **BROKEN,
    "output": _named("CSV to write", "predictions.csv", "FILE"),
}
EMBED = {
    "model": _named(
        "the network; a head that it has is left out", "results/extractor.keras", "FILE"
    ),
    "fit": READING["fit"],
    **LEVELS,
    **BROKEN,
    "output": _named("file to write: .npz, .csv or .parquet", "features.npz", "FILE"),
}
SELECT = {
    "model": _named(
        "the pretrained extractor; a classifier, the names of its classes beside it, looks for "
        "pictures that it is unsure of",
        "results/extractor.keras",
        "FILE",
    ),
    "number": _number("pictures to choose", 50, positive),
    "labelled": _named(
        "folder with a folder for each class, whose pictures have labels (default: that of this "
        "name in FOLDER)",
        metavar="DIR",
    ),
    "method": _named(
        "typical ones of groups, those that a classifier is unsure of, or a draw; auto: what was "
        "found best for so many labels",
        "auto",
        None,
        choices=("auto", "typical", "unsure", "random"),
    ),
    "fit": READING["fit"] | {"default": None},
    "ground": LEVELS["ground"] | {"default": None},
    "white": LEVELS["white"],
    **BROKEN,
    "seed": _number("of everything random", 0),
    "output": _named("folder for the list and the sheet", "to_label", "DIR"),
    "move": _named(
        "move the chosen pictures there, to be sorted by hand; nothing is overwritten",
        metavar="DIR",
    ),
}
DESCRIBED = {
    "run": Job(
        "Pretrain an extractor by rotation prediction, map its features, and compare "
        "three classifiers from few labels: from scratch, on the frozen extractor, fine-tuned.",
        RUN,
        {"name": "--dataset"},
    ),
    "pretrain": Job(
        "Pretrain a network on rotations: on one device, several, or as one of several processes "
        "on as many hosts. A checkpoint is written every ten seconds, after an epoch; the same "
        "command goes on from it, with however many devices and processes.",
        PRETRAIN,
        {"name": "--dataset", "source": "--images"},
        "pretrain a network alone: many images, several devices or hosts",
    ),
    "study": Job(
        "Compare many ways to a classifier under several numbers of labels, with several seeds. "
        "Each finished run adds a row to study.csv in the output folder; the same command goes on "
        "where it was stopped. At the end, accuracy.png shows accuracy against labels.",
        STUDY,
        {"seeds": "--seed", "num_labels": "--budgets", "name": "--dataset"},
        "compare many ways to a classifier, under several numbers of labels",
    ),
    "predict": Job(
        "Write a CSV of file, class and probability for each picture of a folder and of the "
        "folders in it.",
        PREDICT,
        {"folder": "FOLDER", "path": "--model"},
        "classify the pictures of a folder",
    ),
    "embed": Job(
        "Write a network's features of each picture of a folder, and of the folders in it.",
        EMBED,
        {"folder": "FOLDER", "path": "--model"},
        "write a network's features of the pictures of a folder",
    ),
    "select": Job(
        "Choose the pictures of a folder that are worth a label next: a list with reasons, and a "
        "sheet to look at.",
        SELECT,
        {"folder": "FOLDER", "path": "--model", "labels": "--labelled"},
        "choose which pictures of a folder to label next",
    ),
}


def typed(options, *but):
    """What was typed for a job's arguments, which its options are called like, but for some."""
    names = [name for name in DESCRIBED[options.job].options if name not in but]
    return {name: getattr(options, name) for name in names}
