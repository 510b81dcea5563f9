"""The pretext task: turn images by 0, 90, 180 and 270 degrees and ask a network which it was.

Gidaris, Singh and Komodakis, "Unsupervised Representation Learning by Predicting Image
Rotations", ICLR 2018, section 3, https://arxiv.org/abs/1803.07728
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import numpy as np
import tensorflow as tf

from rotnet_keras._base.angles import ANGLES
from rotnet_keras._base.arrays import UprightImages, check_square, image_sides
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.values import (
    BatchFunction,
    Count,
    Seed,
    got,
    is_whole,
)
from rotnet_keras.running.batches import (
    augment_batch,
    augment_keeps_shape,
    drawn_indices,
    stream_batches,
)

NUM_ROTATIONS = len(ANGLES)
ROTATION_NAMES = tuple(f"{angle}°" for angle in ANGLES)
ROTATIONS = tuple(range(NUM_ROTATIONS))


def check_rotations(rotations):
    """Return rotations as a tuple, or raise unless they are two or more different quarter turns."""
    turns = tuple(rotations) if isinstance(rotations, Iterable) else ()
    whole = all(is_whole(turn) and turn in ROTATIONS for turn in turns)
    if not whole or len(turns) < 2 or len({*turns}) < len(turns):
        raise InputError(
            f"rotations must be two or more different ones of {ROTATIONS}, got {got(rotations)}"
        )
    return turns


def _rotations(_, value):
    return check_rotations(value)


def _tensor(name, values):
    try:
        return tf.convert_to_tensor(values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be an array or a tensor, got {got(values)}") from error


def _square_batch(name, images):
    images = _tensor(name, images)
    check_square(image_sides(images.shape), name)
    return images


def _one_turn_an_image(labels, images):
    if not labels.dtype.is_integer or not images.shape[:1].is_compatible_with(labels.shape):
        raise InputError(
            f"labels must be whole numbers ({images.shape[0]},), one for each of the images, got "
            f"{labels.dtype.name} of shape {labels.shape}"
        )


Rotations = Annotated[Sequence[int], _rotations]
SquareBatch = Annotated[Any, _square_batch]  # (B, S, S, C), an array or a tensor
Turns = Annotated[Any, _tensor]  # (B,) whole numbers


def turned(images, rotation):
    """A view of images `(N, S, S, C)` of NumPy, all turned by one rotation; nothing is copied."""
    return np.rot90(images, rotation, axes=(1, 2))


@public()
def rotate_batch(
    images: SquareBatch, *, rotations: Rotations = ROTATIONS
) -> tuple[tf.Tensor, tf.Tensor]:
    """Turn every image of a batch by 0, 90, 180 and 270 degrees, counter-clockwise.

    Right angles are made of transposes and reversals alone, so no pixel is interpolated and
    nothing in the image tells that it was turned. One operation moves the whole batch.

    Args:
        images: `(B, S, S, C)` tensor or array of any dtype. Pixels are moved, not looked at, so
            NaN may be among them; a batch without images gives one without images.
        rotations: the quarter turns wanted, two or more of 0, 1, 2 and 3.

    Returns:
        `(rotated, labels)`: the images `(4B, S, S, C)`, first all of them upright, then all
        turned by 90 degrees and so on, and the int32 labels `(4B,)`. An image with label `k`
        is `np.rot90(image, rotations[k])`.

    Raises:
        InputError: `images` are not an array or a tensor, not of rank 4, not square, or of unknown
            height and width, or `rotations` are not different quarter turns.

    Example:
        >>> rotated, labels = rotate_batch(np.zeros((2, 28, 28, 1), "uint8"))
        >>> rotated.shape, labels.numpy()
        (TensorShape([8, 28, 28, 1]), array([0, 0, 1, 1, 2, 2, 3, 3], dtype=int32))

    Reference: section 3.1 of the paper, https://arxiv.org/abs/1803.07728
    """
    transposed = tf.transpose(images, [0, 2, 1, 3])
    every = [
        images,
        tf.reverse(transposed, [1]),
        tf.reverse(images, [1, 2]),
        tf.reverse(transposed, [2]),
    ]
    wanted = [every[rotation] for rotation in rotations]
    labels = tf.repeat(tf.range(len(wanted), dtype=tf.int32), tf.shape(images)[0])
    return tf.concat(wanted, axis=0), labels  # (4B, S, S, C), (4B,)


@public(_one_turn_an_image)
def rotate_each(images: SquareBatch, labels: Turns) -> tf.Tensor:
    """Turn image `i` of a batch by `labels[i]` times 90 degrees, counter-clockwise.

    Args:
        images: as in `rotate_batch`.
        labels: `(B,)` whole numbers; 4 is a full turn.

    Returns:
        `(B, S, S, C)` tensor; row `i` is `np.rot90(images[i], labels[i])`.

    Raises:
        InputError: images that `rotate_batch` does not take, or `labels` that are not a whole
            number for each.

    Example:
        >>> image = np.array([[[[1], [2]], [[3], [4]]]])
        >>> rotate_each(image, [1])[0, :, :, 0].numpy().tolist()
        [[2, 4], [1, 3]]
    """
    labels = tf.reshape(tf.cast(labels, tf.int32) % NUM_ROTATIONS, [-1, 1, 1, 1])
    # A quarter turn is a transpose and an upside-down reversal; the other turns follow from it.
    images = tf.where(labels % 2 == 1, tf.transpose(images, [0, 2, 1, 3]), images)
    images = tf.where((labels == 1) | (labels == 2), tf.reverse(images, [1]), images)
    return tf.where(labels >= 2, tf.reverse(images, [2]), images)


@public(augment_keeps_shape)
def rotation_dataset(
    images: UprightImages,
    *,
    batch_size: Count = 64,
    all_rotations: bool = True,
    rotations: Rotations = ROTATIONS,
    shuffle: bool = True,
    shuffle_buffer: Count = 10_000,
    augment: BatchFunction | None = None,
    seed: Seed = 0,
) -> tf.data.Dataset:
    """Make the batches of the pretext task from images without labels.

    Args:
        images: `(N, S, S, C)` array, or a `tf.data.Dataset` of single `(S, S, C)` images.
        batch_size: number of different images in a batch.
        all_rotations: True puts all four rotations of each image in the batch, `4 * batch_size`
            rows, as the paper found best; False turns each image once, at random.
        rotations: the quarter turns to tell apart, two or more of 0, 1, 2 and 3; label k stands
            for `rotations[k]`.
        shuffle: new order in every epoch. An array is shuffled as a whole.
        shuffle_buffer: images held in memory to shuffle a `Dataset` that cannot be indexed.
        augment: function from a batch `(B, S, S, C)` to a batch of the same shape, a Keras
            preprocessing layer for example. It runs *before* the rotation: a horizontal flip
            after it would turn an image labelled 90 degrees into one that shows 270.
        seed: of the order and of the random rotations.

    Returns:
        `tf.data.Dataset` of `(rotated images, int32 rotation labels)`, prefetched. The images
        keep their dtype and their static height, width and channels.

    Raises:
        InputError: no images, or images that are not square, not finite, of no fixed size, or with
            labels; a `batch_size` or `shuffle_buffer` below 1; `rotations` that are not quarter
            turns; an `augment` that changes a batch's shape, or a `seed` out of its range.

    Example:
        >>> images = np.zeros((100, 28, 28, 1), "uint8")
        >>> batch, labels = next(iter(rotation_dataset(images, batch_size=32)))
        >>> batch.shape
        TensorShape([128, 28, 28, 1])

        Keras fits a model to it as it is:

        >>> import keras
        >>> model = attach_head(two_conv_extractor((28, 28, 1)), 4)
        >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        >>> model.compile("adam", loss, metrics=["accuracy"])
        >>> history = model.fit(rotation_dataset(images), epochs=1, shuffle=False, verbose=0)
        >>> sorted(history.history)
        ['accuracy', 'loss']

    Reference: section 4.1 of the paper, implementation details, on the four copies in one batch.
    """
    dataset = _batches(images, batch_size, shuffle_buffer if shuffle else None, seed)
    if augment is not None:
        # One batch at a time: parallel calls would draw from the augmentation's seed in any order.
        dataset = dataset.map(augment)
    if all_rotations:
        dataset = dataset.map(
            lambda x: rotate_batch(x, rotations=rotations), num_parallel_calls=tf.data.AUTOTUNE
        )
    else:
        draws = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
        dataset = tf.data.Dataset.zip(dataset, draws)
        dataset = dataset.map(
            lambda x, draw: _rotate_at_random(x, draw, rotations),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
    return dataset.prefetch(tf.data.AUTOTUNE)


def numbered_rotation_batches(
    images,
    *,
    batch_size,
    start=0,
    stop,
    share=(0, 1),
    all_rotations=True,
    rotations=ROTATIONS,
    augment=None,
    seed=0,
):
    """Batches `start` to `stop` of the pretext task, for training that is broken off or shared out.

    All are of one size, running on across the ends of passes, as several devices and TPUs want
    them. Order, rotations and augmentation of a batch depend on the seed and the batch's number
    alone: whoever starts at batch 1,000 gets what a run from the beginning gets there.

    Args:
        images: as in `rotation_dataset`; a `Dataset` must know its number of images and give the
            same ones in each iteration. It is shuffled within windows of up to 10,000 images, or
            as many as fit in 64 MB.
        batch_size: different images in a batch, on all hosts together.
        start: number of the first batch.
        stop: number of the batch behind the last.
        share: `(host, hosts)`: which rows of every batch this process takes. A `Dataset` must be
            this process's own part already.
        all_rotations: as in `rotation_dataset`.
        rotations: as in `rotation_dataset`.
        augment: as in `rotation_dataset`; an `Augmentation` changes a batch in the same way
            wherever a run starts, and the rows of each host in their own way.
        seed: of everything random.

    Returns:
        `tf.data.Dataset` as of `rotation_dataset`, of static batch size.
    """
    host, hosts = share
    rows = batch_size // hosts
    numbers = tf.data.Dataset.range(start, stop)
    if isinstance(images, tf.data.Dataset):
        batches = stream_batches(images, rows, start, stop, seed)
    else:
        firsts = numbers.map(lambda number: number * batch_size + host * rows)
        batches = _drawn_rows(images, firsts, rows, seed)
    dataset = tf.data.Dataset.zip(batches, numbers)

    def turn(x, number):
        key = tf.stack([tf.constant(seed, tf.int64), number])
        if augment is not None:
            own = tf.random.experimental.stateless_fold_in(key, host + 1)
            x = augment_batch(augment, x, own)
        if all_rotations:
            return rotate_batch(x, rotations=rotations)
        # Drawn for the whole batch, so that an image is turned alike among however many hosts.
        labels = tf.random.stateless_uniform(
            [batch_size], seed=key, maxval=len(rotations), dtype=tf.int32
        )[host * rows : (host + 1) * rows]
        return rotate_each(x, tf.gather(tf.constant(rotations), labels)), labels

    # Not side by side: an augmentation without a seed draws from a state, in the order of calls.
    calls = tf.data.AUTOTUNE if augment is None else None
    return dataset.map(turn, num_parallel_calls=calls).prefetch(tf.data.AUTOTUNE)


def _drawn_rows(images, firsts, count, seed):
    """Batches of an array's images in their drawn order, each from the place of its first on."""
    tensor = tf.convert_to_tensor(images)
    return firsts.map(
        lambda first: tf.gather(tensor, drawn_indices(first, count, len(images), seed)),
        num_parallel_calls=tf.data.AUTOTUNE,
    )


def _rotate_at_random(images, draw, rotations):
    labels = tf.random.stateless_uniform(
        [tf.shape(images)[0]], seed=draw, maxval=len(rotations), dtype=tf.int32
    )
    return rotate_each(images, tf.gather(tf.constant(rotations), labels)), labels


def _batches(images, batch_size, shuffle_buffer, seed):
    """Unrotated batches; an array's are gathered by index, which shuffles numbers, not images."""
    if isinstance(images, tf.data.Dataset):
        if shuffle_buffer:
            images = images.shuffle(shuffle_buffer, seed=seed)
        return images.batch(batch_size)
    images = tf.convert_to_tensor(images)
    indices = tf.data.Dataset.range(len(images))
    if shuffle_buffer:
        indices = indices.shuffle(len(images), seed=seed)
    batches = indices.batch(batch_size)
    return batches.map(lambda i: tf.gather(images, i), num_parallel_calls=tf.data.AUTOTUNE)
