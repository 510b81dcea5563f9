"""Pretraining: a network learns by how much images were turned.

It works on a copy of the extractor it is given, feeds Keras's own `fit` with tf.data, and returns
the trained model beside Keras's `History`. The same seed ends in the same weights on the same CPU;
on a GPU under TensorFlow, call `tf.config.experimental.enable_op_determinism()` too. Layers of your
own that are random in training, such as Dropout, need a seed of their own for that.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import keras
import numpy as np
import tensorflow as tf

from rotnet_keras._base.arrays import check_fits, check_upright
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.networks import Callbacks
from rotnet_keras._base.values import BatchFunction, Count, Positive, Seed
from rotnet_keras.data.augmentation import gentle_augmentation
from rotnet_keras.heads import Extractor, Precision, attach_head, cast_model, unfreeze
from rotnet_keras.rotation import (
    ROTATIONS,
    Rotations,
    numbered_rotation_batches,
    rotation_dataset,
)
from rotnet_keras.running.batches import augment_keeps_shape
from rotnet_keras.running.checkpoint import Checkpoint, CheckpointPath
from rotnet_keras.running.devices import check_share, local_devices
from rotnet_keras.running.fitting import compile_classifier, describe_start, fit
from rotnet_keras.running.hosts import from_every_host, host_share


def _counted(name, images):
    """Return images to be turned, of a number that is known, or raise."""
    images = check_upright(images, name)
    _count(images, name)
    return images


def _images_fit_extractor(extractor, images, validation_images):
    for name, some in {"images": images, "validation_images": validation_images}.items():
        if some is not None:
            streamed = isinstance(some, tf.data.Dataset)
            check_fits(some.element_spec.shape if streamed else some.shape[1:], extractor, name)


UNKNOWN_LENGTH = "one of unknown length: state it with tf.data.experimental.assert_cardinality"
PretextImages = Annotated[np.ndarray | tf.data.Dataset, _counted]


@public(_images_fit_extractor, augment_keeps_shape)
def pretrain(
    extractor: Extractor,
    images: PretextImages,
    *,
    validation_images: PretextImages | None = None,
    epochs: Count = 10,
    batch_size: Count = 64,
    learning_rate: Positive = 3e-3,
    all_rotations: bool = True,
    rotations: Rotations = ROTATIONS,
    augment: BatchFunction | None = None,
    precision: Precision = "float32",
    checkpoint: CheckpointPath | None = None,
    seed: Seed = 0,
    callbacks: Callbacks = (),
    verbose: str | int = "auto",
) -> tuple[keras.Model, keras.callbacks.History]:
    """Teach a copy of an extractor to tell by how much an image was turned; no labels needed.

    Adam, with a learning rate that falls to zero along a half cosine over the run. All batches are
    of one size and run on across the ends of passes: each image is met equally often, and an epoch
    has as many steps as a pass needs batches, rounded up. Over several devices, as
    `prepare_runtime` set them up, the result is the same within rounding; over several hosts too,
    for an array without `augment`.

    Args:
        extractor: functional `keras.Model` from square images to features `(B, D)`.
        images: `(N, S, S, C)` array of pixels 0..255, or a `tf.data.Dataset` of single images
            of known number (state it with `tf.data.experimental.assert_cardinality`), which is
            streamed and may be larger than memory. Of several hosts, each gives the same array, or
            its own part of a stream.
        validation_images: such images, held out, the same on all hosts; adds `val_loss` and
            `val_accuracy` to the history, always over all rotations and without augmentation.
        epochs: passes over the images.
        batch_size: different images in a batch, on all devices and hosts together, and at most as
            many as there are; with all rotations the batch holds four times as many.
        learning_rate: of the first update.
        all_rotations: all rotations of an image in one batch, or one at random.
        rotations: the quarter turns to tell apart, two or more of 0, 1, 2 and 3.
        augment: function from a batch of images to the same shape, applied before the rotation:
            `gentle_augmentation()` or `strong_augmentation()`, a Keras preprocessing layer, or
            TensorFlow's operations; on other backends it cannot be a Keras model. Of several hosts,
            each draws for its own rows.
        precision: how layers compute, as in `cast_model`; "mixed" takes less time where the machine
            has it. Logits and loss are float32 in any case, and so is the model that is
            returned, unless the extractor was not.
        checkpoint: path of a file ending in `.weights.h5`, written after the last epoch,
            and after others where it is ten seconds old (or what the environment variable
            `ROTNET_KERAS_CHECKPOINT_SECONDS` says). If the file exists, the run goes on from it, on
            any number of devices and hosts, and ends as if it had never been stopped. (With an
            `augment` that is not one of this package's, what it draws after the break differs.)
        seed: of the rotation head, the order of the images and the random rotations.
        callbacks: Keras callbacks for `fit`. One that overrides `on_train_batch_end` or its like
            has it called after each update, unless it is `async_safe`, and training then takes a
            little longer: TensorFlow does up to 32 of them at once otherwise.
        verbose: progress: 1 Keras's bar, 2 a line an epoch, 0 nothing; "auto" a bar in a terminal
            or a notebook, and a line a minute elsewhere.

    Returns:
        `(model, history)`: the rotation model, from images to a logit for each rotation, and
        Keras's `History`. `remove_head(model)` is the pretrained extractor.

    Raises:
        InputError: a setting out of its range, images that `rotation_dataset` or the extractor
            does not take, or a `checkpoint` that is of another run or cannot be read.
        FileError: the checkpoint cannot be written.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (64, 12, 12, 1), "uint8")
        >>> extractor = two_conv_extractor((12, 12, 1))
        >>> model, history = pretrain(extractor, images, epochs=2, verbose=0)
        >>> model.output_shape, len(history.history["loss"])
        ((None, 4), 2)

    Reference: section 3 of https://arxiv.org/abs/1803.07728
    """
    num_images = count_images(images)
    batch_size = min(batch_size, num_images)
    check_share(batch_size, len(rotations) if all_rotations else 1)
    steps = -(-num_images // batch_size)
    model = _rotation_model(extractor, rotations, precision, seed)
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, decay_steps=epochs * steps)
    compile_classifier(model, keras.optimizers.Adam(schedule), steps, callbacks)
    task = {"all_rotations": all_rotations, "rotations": rotations, "seed": seed}
    settings = {"epochs": epochs, "num_images": num_images, "batch_size": batch_size, **task}
    settings["learning_rate"] = learning_rate
    saved = None
    if checkpoint is not None:
        saved = Checkpoint(checkpoint, settings | describe_start(model, images), callbacks)
    held_out = None
    if validation_images is not None:
        held_out = _held_out(validation_images, batch_size, rotations)
    batches = partial(_batches, images, batch_size, augment, task, epochs * steps)
    plan = {"steps": steps, "epochs": epochs, "name": "pretraining"}
    plan["verbose"] = verbose if host_share()[0] == 0 else 0
    history = fit(model, batches, held_out, saved, callbacks, **plan)
    return (model if precision == "float32" else cast_model(model, "float32")), history


def _rotation_model(extractor, rotations, precision, seed):
    """A copy of the extractor that computes in a precision, with a head that tells rotations."""
    extractor = extractor if precision == "float32" else cast_model(extractor, precision)
    return unfreeze(attach_head(extractor, len(rotations), seed=seed))


def _batches(images, batch_size, augment, task, end, first):
    """This host's part of the batches from number `first` to the end of the run."""
    return numbered_rotation_batches(
        images,
        batch_size=batch_size,
        start=first,
        stop=max(end, first + 1),  # Keras looks at a batch also where none is left to learn from
        share=host_share(),
        augment=augment,
        **task,
    )


def _held_out(images, batch_size, rotations):
    """Validation batches of one size, and before or after them the smaller one that is left.

    Keras takes the layout of all batches from the first: one that cannot be shared out evenly
    among devices must come first, so that all are computed whole.
    """
    settings = {"rotations": rotations, "shuffle": False}
    number = _count(images)
    if len(set(from_every_host(number))) > 1:
        raise InputError(f"validation_images must be the same on all hosts, here they are {number}")
    odd = number % batch_size
    if odd == number:
        return rotation_dataset(images, batch_size=odd, **settings)
    whole = rotation_dataset(_rows(images, odd, None), batch_size=batch_size, **settings)
    if not odd:
        return whole
    rest = rotation_dataset(_rows(images, 0, odd), batch_size=odd, **settings)
    even = odd * len(rotations) % local_devices() == 0
    return whole.concatenate(rest) if even else rest.concatenate(whole)


def _rows(images, start, stop):
    if not isinstance(images, tf.data.Dataset):
        return images[start:stop]
    return images.skip(start) if stop is None else images.take(stop)


def count_images(images):
    """Number of images to pretrain on; of a stream, each host has a part of its own."""
    number = _count(images)
    return sum(from_every_host(number)) if isinstance(images, tf.data.Dataset) else number


def _count(images, name="images"):
    """Number of images that an array or a dataset holds, or raise where a dataset does not tell."""
    number = int(images.cardinality()) if isinstance(images, tf.data.Dataset) else len(images)
    if number < 0:
        endless = number == tf.data.INFINITE_CARDINALITY
        raise InputError(
            f"{name} must be a dataset of known length, got "
            + ("one without an end: end it with take" if endless else UNKNOWN_LENGTH)
        )
    return number


def pretrain_for_transfer(extractor, images, *, epochs, seed=0, **settings):
    """`pretrain` in the way whose middle blocks transfer best for the time it takes."""
    return pretrain(
        extractor,
        images,
        epochs=epochs,
        batch_size=128,
        all_rotations=False,  # a pass then takes a quarter of the time
        augment=gentle_augmentation(seed=seed),
        seed=seed,
        **settings,
    )
