"""Pictures on disk: which there are, which of them can be read, and how they become squares."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from multiprocessing.pool import ThreadPool
from typing import Annotated, Literal, get_args

import numpy as np
import tensorflow as tf
from PIL import Image

from rotnet_keras._base.door import public
from rotnet_keras._base.errors import DatasetError, InputError
from rotnet_keras._base.files import printable
from rotnet_keras._base.values import Count, check_list, check_path, got, is_whole, warn_caller
from rotnet_keras.data.decoding import FULL, Ground, White, decode_picture

DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras, CT and microscopes keep in 16
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, as Pillow has it
AT_ONCE = 64  # files that a thread takes together


def check_files(name, value):
    """Return a list of paths, at least one, or raise."""
    return [check_path(name, file) for file in check_list(name, value, "path")]


def check_channels(name, value):
    """Return 1 or 3, or raise."""
    if not is_whole(value) or value not in (1, 3):
        raise InputError(f"{name} must be 1, 3 or None, got {got(value)}")
    return int(value)


# What a signature says beside an argument.
Fit = Literal["crop", "pad", "resize"]
FITS = get_args(Fit)
Broken = Literal["raise", "skip"]
Channels = Annotated[int, check_channels]
Files = Annotated[Iterable[str | os.PathLike[str]], check_files]


@public()
def read_pictures(
    files: Files,
    *,
    image_size: Count,
    fit: Fit = "crop",
    channels: Channels | None = None,
    broken: Broken = "raise",
    ground: Ground = 255,
    white: White | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Read pictures into one array of squares.

    Args:
        files: list of paths to PNG, JPEG, WebP, BMP, GIF, PPM and TIFF files (the first image of
            several), and AVIF if Pillow reads it, whatever their names end in. A photograph is
            turned upright by what its camera noted (EXIF). Very large ones are made smaller while
            they are decoded.
        image_size: height and width of the squares.
        fit: "crop" cuts the centre out, "pad" puts black at two sides, "resize" stretches. The
            edges of a padded picture show whether it was turned by 90 degrees, which spoils the
            pretext task where most pictures are oblong.
        channels: 3, or 1 for grey; None takes 1 where all pictures are grey.
        broken: "raise" one error that lists all pictures that cannot be read, or "skip" them and
            list them in a warning.
        ground: what shows through transparency: a grey level 0..255, or `(r, g, b)`.
        white: the level of white in pictures of 16 bits a value, or `(black, white)`; what lies
            beyond becomes 255, or 0. None takes the largest number of 8, 10, 12, 14 or 16 bits,
            whichever holds the levels of them all, and for black 0, or where there are negative
            levels the lowest; a warning says so, unless that is the whole range. A file that says
            its own white, as PPM may, goes by that. Of colours in TIFF and PPM, Pillow gives the
            upper 8 bits alone: they are refused where white is not 65535.

    Returns:
        `(images, read)`: uint8 `(N, image_size, image_size, channels)`, 0..255, and a bool array
        that says which of the files were read.

    Raises:
        DatasetError: pictures that cannot be read; with `broken="skip"`, only if none can.
        InputError: an argument out of its range.

    Example:
        >>> import keras, pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "one.png"
        >>> keras.utils.save_img(file, np.full((20, 30, 3), 9), scale=False)
        >>> images, read = read_pictures([file], image_size=16)
        >>> images.shape, read.tolist()
        ((1, 16, 16, 1), [True])
    """
    images, read, _ = read_with_levels(
        files, (image_size, fit, channels), broken=broken, ground=ground, white=white
    )
    return images, read


def read_with_levels(files, form, *, broken="raise", ground=255, white=None, folder=()):
    """What `read_pictures` returns, and the levels of black and white in pictures of 16 bits.

    Args:
        files: as in `read_pictures`, as are the other ones.
        form: `(image_size, fit, channels)`.
        broken: "raise" or "skip".
        ground: of transparency.
        white: `(black, white)`, or None.
        folder: list of all files that levels are found in, if they are more than these.

    Returns:
        `(images, read, levels)`, the levels as given, else None where no picture has 16 bits.
    """
    files, (image_size, _, channels) = list(files), form
    images = np.zeros((len(files), image_size, image_size, channels or 3), "uint8")

    def look(places, levels):
        some = _squares([files[place] for place in places], form, ground, levels)
        for place, (image, *found) in zip(places, some, strict=True):
            images[place] = image
            yield found

    reasons, levels = _look_through(files, look, image_size, white, folder)
    read = _answer(files, reasons, broken)
    images = images if read.all() else images[read]
    all_grey = channels is None and (images == images[..., :1]).all()
    return (images[..., :1] if all_grey else images), read, levels


def check_pictures(files, image_size, *, broken="raise", white=None, folder=()):
    """Find the pictures that cannot be read, by reading all; arguments as of `read_with_levels`.

    Returns:
        `(files, levels)`: those that can be, and levels as of `read_with_levels`.

    Raises:
        DatasetError: as `read_pictures`.
    """

    def look(places, levels):
        return _found_in([files[place] for place in places], image_size, levels)

    reasons, levels = _look_through(files, look, image_size, white, folder)
    read = _answer(files, reasons, broken)
    return [file for file, whole in zip(files, read, strict=True) if whole], levels


def _squares(files, form, ground, levels):
    """`(image, reason, extremes)` of each file as of `decode_picture`, the image a square.

    Not in tf.data, which takes longer to call Python than Python to decode a small picture.
    """
    image_size, _, channels = form
    kind = tf.TensorSpec((None, None, 3), tf.uint8)
    fit = tf.function(lambda image: _in_form(image, form), input_signature=[kind])

    def one(file):
        image, *found = decode_picture(os.fsencode(file), image_size, ground, levels)
        if image.shape[:2] != (image_size, image_size) or channels == 1:
            image = fit(image).numpy()
        return image, *found

    return _by_threads(one, files)


def _found_in(files, image_size, levels=FULL):
    """What `_squares` says beside the images."""
    return _by_threads(
        lambda file: decode_picture(os.fsencode(file), image_size, 255, levels)[1:], files
    )


def _by_threads(function, files):
    """What a function returns of each file; what Pillow warns of, too many pixels, we refuse."""
    with warnings.catch_warnings(), ThreadPool(os.cpu_count()) as pool:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield from pool.imap(function, files, chunksize=AT_ONCE)


def _look_through(files, look, image_size, white, folder):
    """Why each file cannot be read, and levels; those that depend on them are looked at again."""
    found = list(look(range(len(files)), white or FULL))
    reasons, extremes = [reason for reason, _ in found], np.array([some for _, some in found])
    (deep,) = np.nonzero(extremes.any(axis=1))
    if white is not None or not len(deep):
        return reasons, white
    if len(folder) > len(files):
        extremes = np.array([some for _, some in _found_in(folder, image_size)])
    levels = _find_levels(extremes[extremes.any(axis=1)])
    if levels != FULL:
        for place, (reason, _) in zip(deep, look(deep, levels), strict=True):
            reasons[place] = reason
    return reasons, levels


def stream_pictures(files, *, image_size, fit="crop", channels=None, ground=255, white=None):
    """Read pictures one by one, again in each iteration; arguments as of `read_pictures`.

    Args:
        files: list of paths that `check_pictures` could read.
        image_size: height and width of the squares.
        fit: as in `read_pictures`.
        channels: 1 for grey; 3 or None for colour.
        ground: of transparency.
        white: `(black, white)` of pictures of 16 bits, as `check_pictures` found them. With None,
            one of these cannot be read.

    Returns:
        `tf.data.Dataset` of uint8 images `(image_size, image_size, channels)`, of known number.
    """
    names = tf.constant([os.fsencode(file) for file in files], tf.string)

    def read(name):
        kinds = [tf.uint8, tf.string]
        image, reason = tf.numpy_function(
            lambda name: decode_picture(name, image_size, ground, white)[:2], [name], kinds
        )
        # It could be read, a moment ago.
        with tf.control_dependencies([tf.debugging.assert_equal(reason, b"", "lost a picture")]):
            return _in_form(tf.ensure_shape(image, (None, None, 3)), (image_size, fit, channels))

    dataset = tf.data.Dataset.from_tensor_slices(names)
    return dataset.map(read, num_parallel_calls=tf.data.AUTOTUNE)


def _find_levels(extremes):
    """Black and white of pictures `(N, 2)`, whose lowest and highest levels these are."""
    low, high = int(extremes[:, 0].min()), int(extremes[:, 1].max())
    bits = next(bits for bits in DEPTHS if high < 2**bits)
    levels = min(0, low), 2**bits - 1
    if levels != FULL:
        warn_caller(
            f"{len(extremes):,} pictures of 16 bits hold levels from {low:,} to {high:,}: "
            f"{levels[0]:,} is taken for black and {levels[1]:,} for white; say otherwise with "
            "white=65535 or white=(black, white) (--white)"
        )
    return levels


def _in_form(image, form):
    """A picture as a square, grey where that was asked for."""
    image_size, fit, channels = form
    image = square(image, image_size, fit)
    image = _grey(image) if channels == 1 else image
    return tf.ensure_shape(image, (image_size, image_size, channels or 3))


def square(image, size, fit="crop"):
    """Bring one image `(H, W, C)` to uint8 `(size, size, C)`, as `read_pictures` says."""
    shape = tf.shape(image)[:2]
    if fit == "crop":
        side = tf.reduce_min(shape)
        image = tf.image.resize_with_crop_or_pad(image, side, side)
    inner = (size, size)
    if fit == "pad":
        inner = tf.maximum(1, shape * size // tf.reduce_max(shape))
    image = tf.image.resize(image, inner, antialias=True)
    image = tf.image.resize_with_crop_or_pad(image, size, size)
    return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)


def _answer(files, reasons, broken):
    """Which files could be read; an error or a warning lists the others with their reasons."""
    read = np.array([not reason for reason in reasons])
    if read.all():
        return read
    number = f"{np.sum(~read):,} of {len(files):,} pictures cannot be read"
    pairs = zip(files, reasons, strict=True)
    named = sorted((printable(file), why.decode()) for file, why in pairs if why)
    lines = "".join(f"\n  {file}: {why}" for file, why in named)
    if not read.any():
        raise DatasetError(f"{number}, and there are no others:{lines}")
    if broken == "raise":
        raise DatasetError(
            f'{number}; repair or remove them, or leave them out with broken="skip" '
            f"(--broken skip):{lines}"
        )
    warn_caller(f"{number} and are left out:{lines}")
    return read


def _grey(images):
    sums = tf.reduce_sum(tf.cast(images, tf.float32) * LUMA, axis=-1, keepdims=True)
    return tf.cast(tf.round(sums), tf.uint8)
