"""The loops: pretrain on rotations, then train a head, fine-tune, or start from scratch.

Every function works on a copy of the extractor it is given, feeds Keras's own `fit` with tf.data,
and returns the trained model beside Keras's `History`. The same seed ends in the same weights on
the same CPU; on a GPU under TensorFlow, call `tf.config.experimental.enable_op_determinism()` too.
Layers of your own that are random in training, such as Dropout, need a seed of their own for that.
"""

from __future__ import annotations

from typing import Annotated

import keras
import numpy as np
import tensorflow as tf

from rotnet_keras._base.arrays import (
    UprightImages,
    check_array,
    check_fits,
    check_stream,
    check_upright,
)
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.networks import Callbacks
from rotnet_keras._base.values import (
    BatchFunction,
    CheckpointPath,
    Count,
    Positive,
    Seed,
)
from rotnet_keras.data.augmentation import gentle_augmentation
from rotnet_keras.heads import (
    Extractor,
    Precision,
    attach_head,
    cast_model,
    unfreeze,
)
from rotnet_keras.rotation import (
    ROTATIONS,
    Rotations,
    numbered_rotation_batches,
    rotation_dataset,
)
from rotnet_keras.running.checkpoint import Checkpoint
from rotnet_keras.running.devices import check_share, local_devices
from rotnet_keras.running.fitting import (
    checksum,
    compile_classifier,
    describe_images,
    fingerprint,
    fit,
)
from rotnet_keras.running.hosts import from_every_host, host_share


def _counted(name, images):
    """Images to be turned, of a number that is known, or raise."""
    number_of_images(name, images)
    return check_upright(images, name)


def _images_fit_extractor(extractor, images, validation_images):
    for name, some in {"images": images, "validation_images": validation_images}.items():
        if some is not None:
            streamed = isinstance(some, tf.data.Dataset)
            check_fits(some.element_spec.shape if streamed else some.shape[1:], extractor, name)


PretextImages = Annotated[np.ndarray | tf.data.Dataset, _counted]


@public(_images_fit_extractor)
def pretrain(
    extractor: Extractor,
    images: PretextImages,
    *,
    validation_images: UprightImages | None = None,
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
    of one size, running on across the ends of passes: each image is met equally often, and the
    steps of an epoch are the number of batches that a pass needs, rounded up. Over several devices,
    as `prepare_runtime` set them up, the result is the same within rounding; over several hosts
    too, for an array without `augment`.

    Args:
        extractor: functional `keras.Model` from square images to features `(B, D)`.
        images: `(N, S, S, C)` array of pixels 0..255, or a `tf.data.Dataset` of single images
            whose number is known (`assert_cardinality` states it); that is streamed, and may be
            larger than memory. Of several hosts, each gives the same array, or a part of a stream.
        validation_images: the same, held out; adds `val_loss` and `val_accuracy`, always over all
            rotations and without augmentation, to the history. The same on all hosts.
        epochs: passes over the images.
        batch_size: different images in a batch, on all devices and hosts together, and at most as
            many as there are; with all rotations the batch holds four times as many.
        learning_rate: of the first update.
        all_rotations: all rotations of an image in one batch, or one at random.
        rotations: the quarter turns to tell apart, two or more of 0, 1, 2 and 3.
        augment: function from a batch of images to the same shape, applied before the rotation: one
            of `augmentation`, a Keras preprocessing layer, or TensorFlow's operations, but on other
            backends no Keras model. Of several hosts, each draws for its own rows.
        precision: how layers compute, as in `cast_model`; "mixed" takes half the time or less where
            the machine has it. Logits and loss are float32 in any case, and the model returned is,
            unless the extractor was not.
        checkpoint: path of a file ending in `.weights.h5`, written after each epoch. Where it is
            there, the run goes on from it, on however many devices and hosts, and ends as if it had
            never been stopped, if `augment` is one of `augmentation`. (Others draw from a state.)
        seed: of the rotation head, the order of the images and the random rotations.
        callbacks: Keras callbacks for `fit`.
        verbose: Keras's progress bar: "auto" or 1 a bar, 2 a line an epoch, 0 nothing.

    Returns:
        `(model, history)`: the rotation model, image to a logit for each rotation, and Keras's
        `History`.
        `remove_head(model)` is the pretrained extractor.

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
    model = _rotation_model(
        extractor, len(rotations), epochs * steps, learning_rate, precision, seed
    )
    task = {"all_rotations": all_rotations, "rotations": rotations, "seed": seed}
    done = 0
    if checkpoint is not None:
        settings = {"epochs": epochs, "learning_rate": learning_rate} | task
        settings |= {"batch_size": batch_size, "num_images": num_images}
        checkpoint = Checkpoint(checkpoint, settings | _fingerprints(model, images), callbacks)
        done = checkpoint.first_epoch(epochs)
    dataset = numbered_rotation_batches(
        images,
        batch_size=batch_size,
        start=done * steps,
        stop=max(epochs, done + 1) * steps,  # Keras looks at a batch also where none is to be met
        share=host_share(),
        augment=augment,
        **task,
    )
    history = fit(
        model,
        dataset,
        None if validation_images is None else _held_out(validation_images, batch_size, rotations),
        checkpoint,
        callbacks,
        steps_per_epoch=steps,
        initial_epoch=done,
        epochs=epochs,
        verbose=verbose if host_share()[0] == 0 else 0,
    )
    return (model if precision == "float32" else cast_model(model, "float32")), history


def _rotation_model(extractor, num_rotations, updates, learning_rate, precision, seed):
    """The network to train, with a rate that falls to zero along a half cosine."""
    extractor = extractor if precision == "float32" else cast_model(extractor, precision)
    model = unfreeze(attach_head(extractor, num_rotations, seed=seed))
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, decay_steps=updates)
    compile_classifier(model, keras.optimizers.Adam(schedule))
    return model


def _fingerprints(model, images):
    """What must be the same for a run to go on, beside its settings."""
    return {
        "network": fingerprint(model),
        "images": describe_images(images),
        "initial_weights": checksum(*model.get_weights()),
    }


def _held_out(images, batch_size, rotations):
    """Validation batches of one size, and before or after them the smaller one that is left.

    Keras takes the layout of all batches from the first: one that cannot be shared out evenly
    among devices must come first, so that all are computed whole.
    """
    settings = {"rotations": rotations, "shuffle": False}
    number = number_of_images("images", images)
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
    number = number_of_images("images", images)
    return sum(from_every_host(number)) if isinstance(images, tf.data.Dataset) else number


def number_of_images(name, images):
    streamed = isinstance(images, tf.data.Dataset)
    if streamed and int(images.cardinality()):
        check_stream(images)
    number = int(images.cardinality()) if streamed else len(check_array("images", images))
    if number < 1:
        raise InputError(
            f"images must be of a known number of at least 1, got {number}; for a dataset "
            "without a length, state it with tf.data.experimental.assert_cardinality"
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
