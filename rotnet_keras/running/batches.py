"""Order of images: batches that depend on a seed and their number alone."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from rotnet_keras._base.errors import InputError
from rotnet_keras._base.values import got

WINDOW_BYTES = 2**26  # of a stream's images, held to be shuffled


def augment_batch(augment, images, seed):
    """Call a function that changes images, with a seed for this batch if it is one of ours."""
    if getattr(augment, "takes_seed", False):
        return augment(images, seed=tf.cast(seed, tf.int32))
    return augment(images)


def augment_keeps_shape(augment, images):  # a relation
    """What a function makes of a few images in `tf.data.Dataset.map` has the same shape."""
    if augment is None:
        return
    some = _two_like(images) if isinstance(images, tf.data.Dataset) else images[:2]
    if some is None:
        return
    try:
        # With a seed, as in training: else it would move on what an augmentation of ours draws.
        tried = tf.data.Dataset.from_tensors(some).map(lambda x: augment_batch(augment, x, [0, 0]))
        changed = next(iter(tried))
    except Exception as error:  # whatever the user's function raises
        reason = str(error).strip().splitlines()[-1].strip()
        raise InputError(
            f"augment must take a batch {some.shape} as tf.data.Dataset.map gives it: {reason}"
        ) from error
    shape = tuple(changed.shape) if hasattr(changed, "shape") else changed
    if shape != some.shape:
        raise InputError(f"augment must keep the shape {some.shape} of a batch, got {got(shape)}")


def _two_like(stream):
    """Two black images as a stream has them, none of which is taken from it for that."""
    spec = stream.element_spec
    known = spec.shape.is_fully_defined()
    return np.zeros((2, *spec.shape), spec.dtype.as_numpy_dtype) if known else None


def endless_batches(arrays, batch_size, *, start=0, whole_passes=False, augment=None, seed=0):
    """Batches without end from arrays of one length, the first of them images, or from one array.

    Each pass has a new order. Batches run on across the ends of passes, all of one size, however
    few images there are; with `whole_passes` the last batch of a pass holds what is left of it. A
    batch depends on the seed and its number alone, and `start` is the number of the first. (After
    tf.data's own shuffle and repeat, a second iterator goes on where the first one stopped, and
    `fit` throws its first one away.)
    """
    several = isinstance(arrays, tuple)
    tensors = [tf.constant(array) for array in (arrays if several else (arrays,))]
    length = len(tensors[0])
    steps = -(-length // batch_size)

    def places(number):
        if not whole_passes:
            return drawn_indices(number * batch_size, batch_size, length, seed)
        met = number % steps * batch_size
        rows = tf.minimum(tf.constant(batch_size, tf.int64), length - met)
        return drawn_indices(number // steps * length + met, rows, length, seed)

    def gather(number):
        images, *rest = (tf.gather(tensor, places(number)) for tensor in tensors)
        if augment is not None:
            images = augment_batch(augment, images, tf.stack([tf.constant(seed, tf.int64), number]))
        return (images, *rest) if several else images

    return tf.data.Dataset.counter(start).map(gather)


def drawn_indices(first, count, length, seed):
    """Indices at `count` places, from `first` on, of passes over `range(length)` in new orders."""
    places = first + tf.range(count, dtype=tf.int64)
    passes = places // length
    keys = tf.stack([tf.fill([count], tf.constant(seed, tf.int64)), passes, 0 * passes], axis=1)
    return _permuted(places % length, keys, length)


def _permuted(places, keys, length):
    """What stands at some places of permutations of `range(length)`, one permutation a key."""
    # Not tf.random.experimental.index_shuffle: TensorFlow 2.21 casts a matrix of keys to a vector.
    length = tf.cast(length, tf.int64)
    return tf.raw_ops.RandomIndexShuffle(index=places, seed=keys, max_index=length - 1)


def stream_batches(images, rows, start, stop, seed):
    """Batches of a stream, pass after pass; whole passes before the first batch are not read.

    Each pass is shuffled within windows, by the seed alone. tf.data's own shuffle would take
    TensorFlow's global seed as well, and no seed that has to be computed.
    """
    length, spec = int(images.cardinality()), images.element_spec
    window = WINDOW_BYTES // (spec.dtype.size * (spec.shape.num_elements() or 1))
    window = min(max(window, 1), 10_000)

    def one_pass(number):
        windows = tf.data.Dataset.range(-(-length // window))
        mixed = tf.data.Dataset.zip(images.batch(window), windows).map(
            lambda batch, place: _mixed(batch, tf.stack([seed, number, place]))
        )
        return mixed.unbatch()

    passes = tf.data.Dataset.range(start * rows // length, (stop * rows - 1) // length + 1)
    dataset = passes.flat_map(one_pass).skip(start * rows % length)
    return dataset.batch(rows, drop_remainder=True)


def _mixed(images, key):
    places = tf.range(tf.shape(images, tf.int64)[0])
    return tf.gather(images, _permuted(places, key, tf.shape(images)[0]))
