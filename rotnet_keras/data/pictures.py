"""Pictures on disk: which there are, which of them can be read, and how they become squares."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Annotated, Literal, get_args

import keras
import numpy as np
import PIL
import tensorflow as tf
from PIL import Image, ImageOps

from rotnet_keras._base.door import public
from rotnet_keras._base.errors import DatasetError, InputError
from rotnet_keras._base.files import printable
from rotnet_keras._base.values import Count, check_list, check_path, got, is_whole, warn_caller

Image.init()
# Of these, Pillow starts no other program; AVIF is not in all of its builds.
FORMATS = sorted({"AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP"} & Image.OPEN.keys())
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, as Pillow has it


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
) -> tuple[np.ndarray, np.ndarray]:
    """Read pictures into one array of squares.

    Args:
        files: list of paths to PNG, JPEG, WebP, BMP, GIF and TIFF files (the first image of
            several), and AVIF if Pillow reads it. A photograph is turned upright by what its camera
            noted (EXIF); transparency is dropped; 16 bits a pixel become 8.
        image_size: height and width of the squares.
        fit: "crop" cuts the centre out, "pad" puts black at two sides, "resize" stretches. The
            edges of a padded picture show whether it was turned by 90 degrees, which spoils the
            pretext task where most pictures are oblong.
        channels: 3, or 1 for grey; None takes 1 where all pictures are grey.
        broken: "raise" one error that lists all pictures that cannot be read, or "skip" them and
            list them in a warning.

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
    files = list(files)
    images = np.zeros((len(files), image_size, image_size, channels or 3), "uint8")
    reasons = []
    pictures = _fitted(files, image_size, fit, channels).prefetch(16)
    for number, (image, reason) in enumerate(pictures.as_numpy_iterator()):
        images[number] = image
        reasons.append(reason)
    read = _answer(files, reasons, broken)
    images = images if read.all() else images[read]
    all_grey = channels is None and (images == images[..., :1]).all()
    return (images[..., :1] if all_grey else images), read


def check_pictures(files, *, broken="raise"):
    """Find the pictures that cannot be read, by reading all; arguments as of `read_pictures`.

    Returns:
        list of the files that can be.

    Raises:
        DatasetError: as `read_pictures`.
    """
    reasons = [reason for _, reason in _decoded(files).as_numpy_iterator()]
    read = _answer(files, reasons, broken)
    return [file for file, sound in zip(files, read, strict=True) if sound]


def stream_pictures(files, *, image_size, fit="crop", channels=None):
    """Read pictures one by one, again in each iteration; arguments as of `read_pictures`.

    Args:
        files: list of paths that `check_pictures` could read.
        image_size: height and width of the squares.
        fit: as in `read_pictures`.
        channels: 1 for grey; 3 or None for colour.

    Returns:
        `tf.data.Dataset` of uint8 images `(image_size, image_size, channels)`, of known number.
    """

    def still_there(image, reason):  # it was, a moment ago
        with tf.control_dependencies([tf.debugging.assert_equal(reason, "", "lost a picture")]):
            return tf.identity(image)

    return _fitted(files, image_size, fit, channels).map(still_there)


def _fitted(files, image_size, fit, channels):
    """Dataset of `(image, reason)` as of `_decoded`, the image a square."""

    def fitted(image, reason):
        image = square(image, image_size, fit)
        image = _grey(image) if channels == 1 else image
        return tf.ensure_shape(image, (image_size, image_size, channels or 3)), reason

    return _decoded(files).map(fitted, num_parallel_calls=tf.data.AUTOTUNE)


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


def _decoded(files):
    """Dataset of `(image, reason)`: uint8 `(H, W, 3)`, and why it could not be read or ""."""
    names = tf.constant([os.fsencode(file) for file in files], tf.string)

    def decode(name):
        image, reason = tf.numpy_function(_decode, [name], [tf.uint8, tf.string])
        return tf.ensure_shape(image, (None, None, 3)), tf.ensure_shape(reason, ())

    dataset = tf.data.Dataset.from_tensor_slices(names)
    return dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE)


def _decode(name):
    file = os.fsdecode(name)
    try:
        return _read(file), b""
    except PIL.UnidentifiedImageError:
        reason = "no picture, or in a format that is not known"
    except (Image.DecompressionBombError, OSError) as error:
        reason = str(error)
    except Exception as error:  # a damaged file may raise anything from within Pillow
        reason = f"{type(error).__name__}: {error}"
    reason = reason.replace(file, "the file").splitlines()[0] if reason else "cannot be read"
    return np.zeros((1, 1, 3), "uint8"), reason.encode()


def _read(file):
    with Image.open(file, formats=FORMATS) as header:
        mode = header.mode
    if mode in ("I", "F"):
        raise OSError(f"32 bits a pixel (mode {mode}), whose value for white is not defined")
    deep = mode.startswith("I;16")
    picture = keras.utils.load_img(file, color_mode="grayscale" if deep else "rgb")
    image = np.asarray(ImageOps.exif_transpose(picture))
    return np.repeat((image // 257).astype("uint8")[..., None], 3, axis=-1) if deep else image


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
