"""Keras's `fit` as all loops here call it, and what tells one run from another."""

from __future__ import annotations

import functools
import hashlib
import zlib

import keras
import numpy as np
import tensorflow as tf

from rotnet_keras._base.errors import InputError
from rotnet_keras._base.values import check_count, got
from rotnet_keras.running.hosts import from_every_host


def optimise(model, dataset, *, updates, learning_rate, loss=None, verbose=0):
    """Train a model in place for a number of updates, for comparisons at equal effort.

    AdamW, with a learning rate that falls to zero along a half cosine; `fit` ends by putting the
    running average of the weights in their place.
    """
    check_count("updates", updates)
    optimizer = keras.optimizers.AdamW(
        keras.optimizers.schedules.CosineDecay(learning_rate, updates),
        weight_decay=1e-4,
        use_ema=True,
        ema_momentum=0.99,
    )
    model.compile(_scaled(optimizer, model), loss)
    dataset = dataset.prefetch(tf.data.AUTOTUNE)
    model.fit(dataset, steps_per_epoch=updates, epochs=1, shuffle=False, verbose=verbose)


def fit(model, dataset, held_out, checkpoint, callbacks, **settings):
    """Keras's `fit` on batches that are shuffled already; return the history of all epochs."""
    history = model.fit(
        dataset,
        validation_data=held_out,
        callbacks=[*callbacks, *([checkpoint] if checkpoint else [])],
        shuffle=False,
        **settings,
    )
    return checkpoint.history() if checkpoint else history


def compile_classifier(model, optimizer):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(_scaled(optimizer, model), loss, metrics=["accuracy"])


def _scaled(optimizer, model):
    """In float16, small gradients round to zero unless the loss is scaled up on their way."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) or not _has_float16(model):
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer)


def _has_float16(layer):
    below = getattr(layer, "layers", ())
    return layer.compute_dtype == "float16" or any(map(_has_float16, below))


def fingerprint(model):
    """A short text that differs between networks: kinds of layers, shapes of weights, precision."""
    layers = [
        (type(layer).__name__, layer.compute_dtype, [weight.shape for weight in layer.weights])
        for layer in model.layers
    ]
    return hashlib.sha256(repr(layers).encode()).hexdigest()[:16]


def describe_images(images):
    """A short text that differs between sets of images: their size, and a sum over some of them.

    Of a stream it is the first image, the first host's where there are several.
    """
    if isinstance(images, tf.data.Dataset):
        some = next(images.take(1).as_numpy_iterator())[None]
    else:
        some = np.ascontiguousarray(images[:: -(-len(images) // 1000)])
    return f"{some.shape[1:]} {from_every_host(zlib.crc32(some) % 2**31)[0]}"


def checksum(*arrays):
    """A checksum of what is in arrays."""
    return functools.reduce(lambda before, array: zlib.crc32(array.tobytes(), before), arrays, 0)


def fresh_optimizer(name, optimizer):
    """An optimiser without state: one instance given to several arms must not link them."""
    try:
        known = keras.optimizers.get(optimizer)
        return known.__class__.from_config(known.get_config())
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{name} must be one of Keras's, got {got(optimizer)}") from error
