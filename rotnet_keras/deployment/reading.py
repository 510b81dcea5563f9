"""The pictures of a folder, batch by batch, as a network takes them."""

from __future__ import annotations

import tensorflow as tf

from rotnet_keras._base.errors import InputError
from rotnet_keras._base.names import printable
from rotnet_keras.data.pictures import check_pictures, stream_pictures


def batches_for(model, files, *, broken, batch_size, **form):
    """Yield `(files, images)` of pictures in the model's size.

    Args:
        model: that takes square images.
        files: list of paths.
        broken: as in `read_pictures`, as are the others.
        batch_size: pictures in memory at a time.
        **form: `fit`, `ground` and `white`.
    """
    size, channels = square_input(model)
    return _batches(files, broken, batch_size, {"image_size": size, "channels": channels} | form)


def _batches(files, broken, batch_size, form):
    """Each picture is decoded once unless one of them is broken."""
    read = []
    try:
        for some, images in _read(files, batch_size, form):
            read += some
            yield some, images
    except tf.errors.InvalidArgumentError:  # which ones, and why, is told of all at once
        done, size, white = set(read), form["image_size"], form["white"]
        sound, form["white"] = check_pictures(files, size, broken=broken, white=white)
        yield from _read([file for file in sound if file not in done], batch_size, form)


def _read(files, batch_size, form):
    images = stream_pictures(files, **form).batch(batch_size).prefetch(1)
    for number, batch in enumerate(images.as_numpy_iterator()):
        yield files[number * batch_size : (number + 1) * batch_size], batch


def names_within(folder, files):
    """What tables call the files of a folder."""
    return [printable(file.relative_to(folder)) for file in files]


def square_input(model):
    """Size and channels of the pictures that a model takes."""
    shape = getattr(model, "input_shape", None)
    square = isinstance(shape, tuple) and len(shape) == 4 and shape[1] == shape[2]
    if not square or shape[1] is None or shape[3] not in (1, 3):
        raise InputError(
            f"model must take square images of a fixed size, grey or colour, got input {shape}"
        )
    return shape[1], shape[3]
