"""The blog's experiment from beginning to end: pretrain, map, three arms, pictures and numbers."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import Any

import keras

from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.files import check_output, make_folder, put_in_place
from rotnet_keras._base.locks import only_run
from rotnet_keras._base.values import Count, FilePath, Positive, Seed
from rotnet_keras.data.decoding import Ground, White
from rotnet_keras.data.load import Parts, Repeats
from rotnet_keras.data.pictures import Broken, Channels, Fit
from rotnet_keras.jobs.results import FILE, finished_results, is_of_same_data
from rotnet_keras.jobs.settings import (
    Data,
    RunSettings,
    check_same_run,
    only_names_are_read,
)
from rotnet_keras.jobs.stages import Run
from rotnet_keras.viewing.tensorboard import check_board, prepare_board

GONE = ".finished"  # what was `unfinished`, while it is removed


@public(only_names_are_read)
def run_experiment(
    dataset: Data | None = None,
    *,
    num_labels: Count | None = None,
    num_validation: Count | None = None,
    image_size: Count | None = None,
    fit: Fit = "crop",
    channels: Channels | None = None,
    ground: Ground = 255,
    white: White | None = None,
    broken: Broken = "raise",
    repeats: Repeats = "raise",
    parts: Parts = "any",
    follow_links: bool = False,
    backbone: str | os.PathLike[str] | keras.Model | None = None,
    weights: str | os.PathLike[str] | None = None,
    layer: str | None = None,
    seed: Seed = 0,
    output: FilePath = "results",
    skip_finished: bool = False,
    data_dir: FilePath | None = None,
    manual_dir: FilePath | None = None,
    quick: bool = False,
    minutes: Positive | None = None,
    explorer: bool = False,
    tensorboard: FilePath | None = None,
    verbose: int = 1,
) -> dict[str, Any]:
    """Run the whole experiment and write its numbers, models and pictures to a folder.

    Args:
        dataset: name or folder for `load_splits`, or `Splits`, as of `make_splits`. None takes
            Fashion-MNIST, or the drawn stand-in garments and a loud warning where Fashion-MNIST
            cannot be had.
        num_labels: as in `load_splits`, as are the next ten.
        num_validation: images in all that tell the long budget when to stop.
        image_size: height and width of images.
        fit: how oblong images become square.
        channels: of a folder's pictures.
        ground: what shows through their transparent parts.
        white: of their files of 16 bits.
        broken: what to do about files of a folder that cannot be read.
        repeats: what to do about the same picture in two classes, or in the test and in training.
        parts: whether folders of other names than `labelled` and so on may be parts.
        follow_links: whether links to folders outside are followed.
        backbone: as in `make_extractor`; it is pretrained from random weights. None takes the
            blog's, "two_conv", for Fashion-MNIST and the garments, and for others "conv_blocks".
        weights: as in `backbone_extractor`, such as "imagenet". With weights, or a backbone that is
            a model or a file and has its own, two more arms start from them: a new head on the
            frozen network, and fine-tuning.
        layer: name of the backbone's layer to cut at.
        seed: of the split, the initial weights, every order of images and the map.
        output: folder for the results; made if need be. Earlier results in it are replaced when the
            new ones are there. Until then what is finished lies in `unfinished` in it, from which
            the same call goes on.
        skip_finished: return what the folder holds if a run like this one, of the same data, is
            finished there.
        data_dir: as in `load_splits`.
        manual_dir: as in `load_splits`.
        quick: a short look, with too little data and training for its numbers to mean much.
        minutes: about how long it may take. The recipe's updates beyond a thousand, then
            pretraining, the long budget and the recipe alike, are shortened until they fit this
            machine; how much is kept in `unfinished`, so that a run that was stopped goes on as it
            began. None takes what they need.
        explorer: write `explorer.html`, too, by `save_explorer`: up to 5,000 test images in the
            random, the pretrained and the best fine-tuned network, at each depth. It takes one or
            two minutes more, and is not written for fewer than four test images.
        tensorboard: folder for what TensorBoard shows: curves while training runs, and at the end
            the test images by their features; None writes nothing. What an earlier run left there
            is removed.
        verbose: 0 for no progress bars.

    Returns:
        The dictionary that `results.json` holds; its `seconds` are those of this call alone.

    Raises:
        DatasetError: the data set that was asked for cannot be had, or weights that must be
            downloaded.
        InputError: an argument out of its range, or a folder that holds another unfinished run, or
            with `skip_finished` results of a newer version; or features that are not
            finite after pretraining.
        FileError: the output folder, or TensorBoard's, cannot be written, or another run has it.
        MissingPackageError: TensorBoard is asked for, and not installed.

    Example:
        >>> results = run_experiment("garments", quick=True)  # doctest: +SKIP
        >>> results["arms"]["fine_tuned"]["long"]  # doctest: +SKIP
        0.81
    """
    settings = RunSettings(**locals())  # whose fields are these arguments
    check_board(tensorboard)
    board, folder = prepare_board(tensorboard), make_folder(output)
    with only_run(folder):
        return _run_in(folder, board, settings)


def _run_in(folder, board, settings):
    """The results of a run that has the folder for itself."""
    unfinished = folder / "unfinished"
    finished = finished_results(folder / FILE, settings) if settings.skip_finished else None
    if finished is None:
        check_same_run(unfinished, settings)
    run = Run(settings, board, unfinished)
    run.load()
    if finished and is_of_same_data(finished, run.data, folder / FILE):
        with contextlib.suppress(InputError):  # what lies there is of another run, or not ours
            check_same_run(unfinished, settings, run.data)
            _remove(unfinished)
        return finished
    check_same_run(unfinished, settings, run.data)
    run.begin()
    run.pretrain()
    run.classify()
    run.weigh()
    run.fit_all()
    run.draw_map()
    results = run.write().as_dict()
    _put_in_place(unfinished / "files", folder)
    _remove(unfinished)
    return results


def _remove(unfinished):
    """Remove the folder, renamed first: what a kill leaves of it is no unfinished run."""
    gone = unfinished.with_name(GONE)
    shutil.rmtree(gone, ignore_errors=True)
    if unfinished.exists():
        os.replace(unfinished, gone)
    shutil.rmtree(gone, ignore_errors=True)


def _put_in_place(files, output):
    """Put new files in the place of old ones; a full disk cannot break off renaming."""
    numbers, pages = (FILE, "classifier.json", "classifier.npz"), ("report.html", "explorer.html")
    old = (*numbers, *pages, "model.png", "model.txt", "umap.png", "labels.png")
    new = sorted((file.name for file in files.iterdir()), key=FILE.__eq__)  # the numbers last
    places = {name: check_output(output / name) for name in (*old, *new)}
    for name in old:  # none beside new files, nor a picture that is not drawn any more
        places[name][0].unlink(missing_ok=True)
    for name in new:
        put_in_place(files / name, *places[name])
