"""The pretraining job: many images in, an extractor in a folder out; also from several hosts."""

from __future__ import annotations

import contextlib
import json
import os
import time
from functools import partial
from typing import Annotated, Any

import keras
import numpy as np
import tensorflow as tf

from rotnet_keras._base.arrays import check_upright
from rotnet_keras._base.door import public
from rotnet_keras._base.files import make_folder, replace_text
from rotnet_keras._base.locks import only_run
from rotnet_keras._base.model_files import save_model
from rotnet_keras._base.values import Count, FilePath, Positive, Seed, Source, check_choice
from rotnet_keras.data.decoding import Ground, White
from rotnet_keras.data.load import READING, Parts, Repeats, load_splits, stream_images
from rotnet_keras.data.pictures import Broken, Fit
from rotnet_keras.heads import Precision, remove_head
from rotnet_keras.models import NETWORKS
from rotnet_keras.running.hosts import alone, host_share
from rotnet_keras.training import count_images, pretrain
from rotnet_keras.viewing.tensorboard import Curves, check_board, prepare_board

CHECKPOINT = "pretraining.weights.h5"
RUN = "pretraining"  # TensorBoard's
OF_PARTS = ("repeats", "parts")  # of a data set; a stream has none


def check_many_images(name, value):
    """Return the name or folder of images to be streamed, or images to be turned, or raise."""
    return value if isinstance(value, (str, os.PathLike)) else check_upright(value, name)


ManyImages = Annotated[str | os.PathLike[str] | np.ndarray | tf.data.Dataset, check_many_images]
Network = Annotated[str, partial(check_choice, known=NETWORKS)]


@public()
def run_pretraining(
    dataset: Source = "fashion_mnist",
    *,
    images: ManyImages | None = None,
    image_size: Count | None = None,
    fit: Fit = "crop",
    ground: Ground = 255,
    white: White | None = None,
    broken: Broken = "raise",
    repeats: Repeats = "raise",
    parts: Parts = "any",
    follow_links: bool = False,
    network: Network = "two_conv",
    epochs: Count = 10,
    batch_size: Count = 64,
    learning_rate: Positive = 3e-3,
    all_rotations: bool = True,
    precision: Precision = "float32",
    seed: Seed = 0,
    output: FilePath = "pretraining",
    data_dir: FilePath | None = None,
    tensorboard: FilePath | None = None,
    verbose: str | int = "auto",
) -> dict[str, Any]:
    """Pretrain a network on rotations, into a folder that the same call goes on from.

    Args:
        dataset: name for `load_splits`, whose unlabelled images are learnt from and whose
            validation images are watched: the pretraining of `run_experiment`.
        images: in its place, what `pretrain` takes, or what `stream_images` reads: a folder of
            pictures, or the name of a data set that does not fit in memory.
        image_size: height and width to bring images to; for a folder it must be given.
        fit: how oblong pictures of a folder become square, as in `read_pictures`.
        ground: what shows through their transparent parts, as in `read_pictures`.
        white: of their files of 16 bits, as in `read_pictures`.
        broken: what to do about files of a folder that cannot be read, as in `read_pictures`.
        repeats: about the same picture in several places, as in `load_splits`; for `dataset` alone.
        parts: which folders are parts of the data, as in `load_splits`; for `dataset` alone.
        follow_links: whether links to folders outside are followed.
        network: a name from `NETWORKS`.
        epochs: passes over the images.
        batch_size: different images in a batch, on all devices and hosts together.
        learning_rate: of the first update.
        all_rotations: as in `pretrain`.
        precision: as in `pretrain`.
        seed: of everything random.
        output: folder for the checkpoint, `extractor.keras`, `rotation_model.keras` and
            `pretraining.json`. Of several hosts all read it, and the first one writes.
        data_dir: as in `load_splits`.
        tensorboard: folder for TensorBoard's curves, in `pretraining` within it; None writes none.
        verbose: Keras's progress bar.

    Returns:
        What `pretraining.json` holds: settings, history, and images per second after the first
        epoch of this call, each turned image counted.

    Raises:
        DatasetError: the data cannot be had.
        InputError: a setting out of its range, or a folder of another run.
        FileError: the output folder, or TensorBoard's, cannot be written, or another run has it.
        MissingPackageError: TensorBoard is asked for, and not installed.

    Example:
        >>> results = run_pretraining("garments", epochs=1)  # doctest: +SKIP
        >>> results["history"]["accuracy"]  # doctest: +SKIP
        [0.93]
    """
    unread = OF_PARTS if images is not None else ()
    reading = {name: value for name, value in locals().items() if name in {*READING} - {*unread}}
    settings: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "seed": seed}
    settings |= {"all_rotations": all_rotations, "precision": precision}
    check_board(tensorboard)
    board, folder = prepare_board(tensorboard), make_folder(output)
    with contextlib.nullcontext() if host_share()[0] else only_run(folder):  # others do not write
        some, held_out = _images(images, dataset, seed=seed, data_dir=data_dir, **reading)
        how = {"learning_rate": learning_rate, "verbose": verbose}
        return _pretrain_in(folder, board, some, held_out, network, settings, **how)


def _pretrain_in(folder, board, some, held_out, network, settings, **how):
    """The results of a run that has the folder for itself."""
    clock = _Clock()
    curves = [] if board is None or host_share()[0] else [Curves(board / RUN)]
    one = some.element_spec if isinstance(some, tf.data.Dataset) else some[0]
    model, history = pretrain(
        NETWORKS[network](tuple(one.shape), settings["seed"]),
        some,
        validation_images=held_out,
        checkpoint=folder / CHECKPOINT,
        callbacks=[clock, *curves],
        **settings,
        **how,
    )
    turns = 4 if settings["all_rotations"] else 1
    rows = min(settings["batch_size"], count_images(some)) * turns
    results = {"network": network} | settings | {"history": history.history}
    results["images_per_second"] = clock.images_per_second(rows)
    _write(folder, model, results)
    return results


def _images(images, dataset, *, seed, data_dir, **reading):
    """The images to learn from, and those to watch, or None."""
    if images is None:
        splits = load_splits(dataset, seed=seed, data_dir=data_dir, **reading)
        return splits.unlabelled, splits.validation.images
    if isinstance(images, (str, os.PathLike)):
        share = host_share()
        return stream_images(images, share=share, seed=seed, data_dir=data_dir, **reading), None
    return images, None


def _write(output, model, results):
    """Models and numbers into the folder, from the first host."""
    if host_share()[0] > 0:
        return
    with alone():
        for name, part in {"rotation_model": model, "extractor": remove_head(model)}.items():
            save_model(part, output / f"{name}.keras")
    replace_text(output / "pretraining.json", json.dumps(results, indent=2) + "\n")


class _Clock(keras.callbacks.Callback):
    """Times every epoch but the first, which also compiles, up to its validation.

    Looked at by epochs: a callback for each batch would have Keras wait for the device every time.
    """

    def __init__(self):
        super().__init__()
        self.epochs, self.seconds = -1, 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.start, self.end = time.perf_counter(), None

    def on_test_begin(self, logs=None):
        int(self.model.optimizer.iterations)  # waits until the device has done all of them
        self.end = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        if self.end is None:
            self.on_test_begin()
        self.epochs += 1
        if self.epochs:
            self.seconds += self.end - self.start

    def images_per_second(self, batch):
        """Speed with so many images in a batch; None where no second epoch was run."""
        if self.epochs < 1:
            return None
        return round(self.epochs * self.params["steps"] * batch / self.seconds)
