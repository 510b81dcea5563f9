"""The pretraining job: many images in, an extractor in a folder out; also from several hosts."""

from __future__ import annotations

import json
import os
import time

import keras
import tensorflow as tf

from rotnet_keras._base.arrays import check_upright
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.files import make_folder, replace_text, save_model
from rotnet_keras._base.values import (
    check_choice,
    check_counts,
    check_path,
    check_paths,
    check_positive,
    check_seed,
    check_source,
    got,
)
from rotnet_keras.data.load import load_splits, stream_images
from rotnet_keras.data.pictures import check_reading
from rotnet_keras.heads import PRECISIONS, remove_head
from rotnet_keras.models import NETWORKS
from rotnet_keras.running.hosts import alone, host_share
from rotnet_keras.training import count_images, pretrain
from rotnet_keras.viewing.tensorboard import Curves, check_board, prepare_board

CHECKPOINT = "pretraining.weights.h5"
RUN = "pretraining"  # TensorBoard's


def run_pretraining(
    dataset="fashion_mnist",
    *,
    images=None,
    image_size=None,
    fit="crop",
    broken="raise",
    network="two_conv",
    epochs=10,
    batch_size=64,
    learning_rate=3e-3,
    all_rotations=True,
    precision="float32",
    seed=0,
    output="pretraining",
    data_dir=None,
    tensorboard=None,
    verbose="auto",
):
    """Pretrain a network on rotations, into a folder that the same call goes on from.

    Args:
        dataset: name for `load_splits`, whose unlabelled images are learnt from and whose
            validation images are watched: the pretraining of `run_experiment`.
        images: in its place, what `pretrain` takes, or what `stream_images` reads: a folder of
            pictures, or the name of a data set that does not fit in memory.
        image_size: height and width to bring images to; for a folder it must be given.
        fit: how oblong pictures of a folder become square, as in `read_pictures`.
        broken: what to do about files of a folder that cannot be read, as in `read_pictures`.
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
        tensorboard: folder for TensorBoard's curves, in `pretraining` within it; None for none.
        verbose: Keras's progress bar.

    Returns:
        What `pretraining.json` holds: settings, history, and images per second after the first
        epoch of this call, each turned image counted.

    Raises:
        DatasetError: the data cannot be had.
        ValueError: a setting out of its range, or a folder of another run.
        OSError: the output folder, or TensorBoard's, cannot be written.
        ImportError: TensorBoard is asked for, and not installed.

    Example:
        >>> results = run_pretraining("garments", epochs=1)  # doctest: +SKIP
        >>> results["history"]["accuracy"]  # doctest: +SKIP
        [0.93]
    """
    check_source("dataset", dataset)
    if not isinstance(network, str) or network not in NETWORKS:
        raise InputError(f"network must be one of {', '.join(NETWORKS)}, got {got(network)}")
    check_counts(epochs=epochs, batch_size=batch_size)
    check_reading(image_size, fit, None, broken)
    check_positive(learning_rate=learning_rate)
    check_choice("precision", precision, PRECISIONS)
    check_seed(seed)
    check_path("output", output)
    check_paths(data_dir=data_dir)
    check_board(tensorboard)
    held_out = None
    if images is None:
        reading = {"image_size": image_size, "fit": fit, "broken": broken}
        splits = load_splits(dataset, seed=seed, data_dir=data_dir, **reading)
        images, held_out = splits.unlabelled, splits.validation.images
    elif isinstance(images, (str, os.PathLike)):
        images = stream_images(
            images,
            image_size=image_size,
            fit=fit,
            broken=broken,
            share=host_share(),
            seed=seed,
            data_dir=data_dir,
        )
    else:
        images = check_upright(images)
    shape = images.element_spec.shape if isinstance(images, tf.data.Dataset) else images.shape[1:]
    board, output, clock = prepare_board(tensorboard), make_folder(output), _Clock()
    settings = {"network": network, "epochs": epochs, "batch_size": batch_size, "seed": seed}
    settings |= {"all_rotations": all_rotations, "precision": precision}
    model, history = pretrain(
        NETWORKS[network](tuple(shape), seed),
        images,
        validation_images=held_out,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        all_rotations=all_rotations,
        precision=precision,
        checkpoint=output / CHECKPOINT,
        seed=seed,
        callbacks=[clock] if board is None or host_share()[0] else [clock, Curves(board / RUN)],
        verbose=verbose,
    )
    results = settings | {"history": history.history}
    rows = min(batch_size, count_images(images)) * (4 if all_rotations else 1)
    results["images_per_second"] = clock.images_per_second(rows)
    if host_share()[0] == 0:
        with alone():
            for name, part in {"rotation_model": model, "extractor": remove_head(model)}.items():
                save_model(part, output / f"{name}.keras")
        replace_text(output / "pretraining.json", json.dumps(results, indent=2) + "\n")
    return results


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
