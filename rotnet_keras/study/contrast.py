"""Another pretext task: tell two views of one image from views of others, alone or with rotations.

Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations" (SimCLR), ICML
2020, https://arxiv.org/abs/2002.05709
"""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from rotnet_keras._base.arrays import UnlabelledImages, check_fits, check_upright
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.networks import Callbacks
from rotnet_keras._base.values import (
    AtLeastTwo,
    BatchFunction,
    Count,
    NotNegative,
    Positive,
    Seed,
    another_seed,
)
from rotnet_keras.data.augmentation import contrast_augmentation
from rotnet_keras.heads import (
    HEAD,
    Extractor,
    Precision,
    attach_head,
    cast_model,
    unfreeze,
)
from rotnet_keras.rotation import NUM_ROTATIONS, rotate_each
from rotnet_keras.running.batches import augment_batch, augment_keeps_shape, endless_batches
from rotnet_keras.running.checkpoint import Checkpoint, CheckpointPath
from rotnet_keras.running.fitting import compile_for_fit, describe_start, fit

PROJECTION, ROTATIONS = "projection", "rotations"  # the heads, by the names in the history


def _can_be_contrasted(extractor, images):
    check_upright(images)
    check_fits(images.shape[1:], extractor)
    if len(images) < 2:
        raise InputError("images must be two or more, to tell one from the other, got 1")


@public(_can_be_contrasted, augment_keeps_shape)
def pretrain_contrast(
    extractor: Extractor,
    images: UnlabelledImages,
    *,
    epochs: Count = 10,
    batch_size: AtLeastTwo = 128,
    learning_rate: Positive = 3e-3,
    temperature: Positive = 0.2,
    projection: Count = 64,
    rotation_weight: NotNegative = 0.0,
    augment: BatchFunction | None = None,
    precision: Precision = "float32",
    checkpoint: CheckpointPath | None = None,
    seed: Seed = 0,
    callbacks: Callbacks = (),
    verbose: str | int = "auto",
) -> tuple[keras.Model, keras.callbacks.History]:
    """Teach a copy of an extractor to know an image again in another crop and light (SimCLR).

    With a `rotation_weight`, both views of an image are turned by one angle drawn at random, and a
    second head on the same trunk tells it: what contrast ignores, rotation asks for.

    Args:
        extractor: functional `keras.Model` from square images to features `(B, D)`.
        images: `(N, S, S, C)` array of pixels 0..255, two or more.
        epochs: passes over the images.
        batch_size: different images in a batch, which holds two views of each; at most as many as
            there are.
        learning_rate: of Adam's first update; it falls to zero along a half cosine.
        temperature: what similarities are divided by; the lower, the more the nearest others count.
        projection: outputs of the head that is compared, and half of its hidden units.
        rotation_weight: of the rotation loss; that of contrast is 1. With 0 nothing is turned.
        augment: function from a batch of images to the same shape, called once for each view. None
            is `contrast_augmentation`.
        precision: as in `pretrain`.
        checkpoint: as in `pretrain`.
        seed: of heads, order, views and turns.
        callbacks: as in `pretrain`.
        verbose: as in `pretrain`.

    Returns:
        `(model, history)`: `keras.Model` from images to projections `(B, projection)`, with a
        `rotation_weight` to logits for the four rotations, as of `pretrain`; and Keras's
        `History`. `remove_head(model)` is the pretrained extractor either way.

    Raises:
        InputError: a setting out of its range, images that the extractor does not take, fewer than
            two, an `augment` that changes their shape, or a `checkpoint` that is of another run or
            cannot be read.
        FileError: the checkpoint cannot be written.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (64, 12, 12, 1), "uint8")
        >>> extractor = two_conv_extractor((12, 12, 1))
        >>> model, history = pretrain_contrast(extractor, images, epochs=2, verbose=0)
        >>> model.output_shape, len(history.history["loss"])
        ((None, 64), 2)

    Reference: algorithm 1 of SimCLR; rotations beside it, as a second loss of one trunk, are
    section 3 of Zhai et al., 2019, https://arxiv.org/abs/1905.03670
    """
    batch_size = min(batch_size, len(images))
    steps = -(-len(images) // batch_size)
    augment = augment or contrast_augmentation(seed=seed)
    turn = rotation_weight > 0
    model = _with_heads(cast_model(extractor, precision), projection, turn, seed)
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, decay_steps=epochs * steps)
    losses = _losses(temperature, rotation_weight)
    compile_for_fit(model, keras.optimizers.Adam(schedule), steps, callbacks, **losses)
    saved = None
    if checkpoint is not None:
        settings: dict[str, Any] = {
            "epochs": epochs,
            "num_images": len(images),
            "batch_size": batch_size,
        }
        settings |= {"temperature": temperature, "rotation_weight": rotation_weight, "seed": seed}
        settings["learning_rate"] = learning_rate
        saved = Checkpoint(checkpoint, settings | describe_start(model, images), callbacks)
    batches = partial(_batches, images, batch_size, augment, turn, seed)
    plan = {"steps": steps, "epochs": epochs, "name": "pretraining", "verbose": verbose}
    history = fit(model, batches, None, saved, callbacks, **plan)
    return cast_model(_one_head(model, turn), "float32"), history


def _with_heads(extractor, projection, turn, seed):
    """The extractor with the head that is compared and, where views are turned, one beside it."""
    first = attach_head(extractor, 2 * projection, seed=seed)
    hidden = keras.layers.ReLU(dtype="float32")(first.outputs[0])
    draw = keras.initializers.GlorotUniform(seed=another_seed(seed, 1))
    layer = keras.layers.Dense(
        projection, kernel_initializer=draw, dtype="float32", name=PROJECTION
    )
    outputs = [layer(hidden)]
    if turn:
        draw = keras.initializers.GlorotUniform(seed=another_seed(seed, 2))
        told = keras.layers.Dense(
            NUM_ROTATIONS, kernel_initializer=draw, dtype="float32", name=ROTATIONS
        )
        outputs.append(told(first.get_layer(HEAD).input))
    return unfreeze(keras.Model(first.inputs[0], outputs, name=f"{extractor.name}_{HEAD}"))


def _one_head(model, turn):
    """What was trained, with one output and not compiled; of two, that of rotations."""
    if not turn:  # copies of what is compiled with a loss of ours would ask Keras for it
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    trunk = keras.Model(model.inputs[0], model.get_layer(HEAD).input, name=model.name)
    told = attach_head(trunk, NUM_ROTATIONS)
    told.get_layer(HEAD).set_weights(model.get_layer(ROTATIONS).get_weights())
    return told


def _losses(temperature, rotation_weight):
    """What Keras's `compile` is told of one head or of both."""
    if not rotation_weight:
        return {"loss": NTXent(temperature)}
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return {
        "loss": {PROJECTION: NTXent(temperature), ROTATIONS: entropy},
        "loss_weights": {PROJECTION: 1.0, ROTATIONS: rotation_weight},
        "metrics": {ROTATIONS: ["accuracy"]},
    }


class NTXent(keras.losses.Loss):
    """Cross-entropy of finding, among all views of a batch, the other one of the same image.

    Called with the place of each view's partner, `(2B,)`, and projections `(2B, P)`, which are
    compared by the cosine of the angle between them. The normalised temperature-scaled
    cross-entropy of SimCLR, equation 1.
    """

    def __init__(self, temperature, name="nt_xent"):
        super().__init__(name=name, reduction="sum_over_batch_size")
        self.temperature = temperature

    def call(self, y_true, y_pred):
        unit = ops.normalize(y_pred, axis=-1)
        alike = ops.matmul(unit, ops.transpose(unit)) / self.temperature
        alike = alike - 1e9 * ops.eye(ops.shape(alike)[0])  # a view is not its own partner
        partners = ops.reshape(y_true, [-1])
        return keras.losses.sparse_categorical_crossentropy(partners, alike, from_logits=True)


def _batches(images, batch_size, augment, turn, seed, first):
    """Batches of two views of each image, from number `first` on, with what is asked about them."""
    drawn = endless_batches(images, batch_size, start=first, seed=seed)

    def views(number, x):
        key = tf.stack([tf.constant(seed, tf.int64), number])
        pair = [augment_batch(augment, x, _folded(key, view)) for view in (1, 2)]
        rows = tf.range(batch_size, dtype=tf.int32)
        partners = tf.concat([rows + batch_size, rows], 0)
        if not turn:
            return tf.concat(pair, 0), partners
        turns = tf.random.stateless_uniform(
            [batch_size], seed=_folded(key, 3), maxval=NUM_ROTATIONS, dtype=tf.int32
        )
        turns = tf.concat([turns, turns], 0)
        labels = {PROJECTION: partners, ROTATIONS: turns}
        return rotate_each(tf.concat(pair, 0), turns), labels

    # One after the other: an augmentation without a seed draws from a state, in order of calls.
    return drawn.enumerate(first).map(views).prefetch(tf.data.AUTOTUNE)


def _folded(key, number):
    return tf.random.experimental.stateless_fold_in(key, number)
