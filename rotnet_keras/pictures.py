"""Pictures on disk: which there are, which of them can be read, and how they become squares."""

from __future__ import annotations

import lzma
import math
import os
import pathlib
import shutil
import tempfile
import warnings
import zipfile
import zlib

import keras
import numpy as np
import PIL
import tensorflow as tf
from PIL import Image, ImageOps

from rotnet_keras._checks import (
    check_choice,
    check_count,
    check_counts_or_none,
    check_list,
    check_path,
    is_whole,
)
from rotnet_keras._files import printable

# HEIC and HEIF cannot be read, but must not be passed over in silence either.
PICTURES = (".avif", ".bmp", ".gif", ".heic", ".heif", ".jpeg", ".jpg", ".png", ".tif", ".tiff")
PICTURES += (".jfif", ".jpe", ".webp")
Image.init()
# Of these, Pillow starts no other program; AVIF is not in all of its builds.
FORMATS = sorted({"AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP"} & Image.OPEN.keys())
FITS = ("crop", "pad", "resize")
BROKEN = ("raise", "skip")
UNSOUND = (zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error, lzma.LZMAError)
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, as Pillow has it


class DatasetError(RuntimeError):
    """Data that cannot be had or read; the message says what to do about it."""


def list_pictures(folder):
    """List the picture files in a folder and in those below it.

    Hidden files and folders are left out, and `__MACOSX`, which Macs put into zip archives: what
    they hold is named like pictures and is none.

    Args:
        folder: path.

    Returns:
        sorted list of `pathlib.Path`.

    Raises:
        DatasetError: there is no such folder, or no picture in it.
    """
    folder = _check_folder(folder)
    files = [file for file in folder.rglob("*") if file.suffix.lower() in PICTURES]
    files = [
        file for file in files if _is_shown(*file.relative_to(folder).parts) and not file.is_dir()
    ]
    if not files:
        raise DatasetError(f"{folder} holds no pictures ({', '.join(PICTURES)})")
    return sorted(files)


def list_classes(folder):
    """List the pictures of a folder that has one folder for each class.

    Returns:
        `{class name: list of files}`, in the order of the names.

    Raises:
        DatasetError: fewer than two classes, a class without pictures, or pictures beside them.
    """
    folder = _check_folder(folder)
    below = [entry for entry in sorted(folder.iterdir()) if _is_shown(entry.name)]
    loose = [file.name for file in below if file.suffix.lower() in PICTURES and file.is_file()]
    if loose:
        raise DatasetError(
            f"{folder} must hold a folder for each class, it holds {len(loose)} pictures beside "
            f"them, {printable(loose[0])} for one; put them into the folders of their classes"
        )
    classes = {entry.name: list_pictures(entry) for entry in below if entry.is_dir()}
    if len(classes) < 2:
        raise DatasetError(
            f"{folder} must hold a folder for each of two or more classes, got "
            f"{[printable(name) for name in classes]}"
        )
    return classes


def read_pictures(files, *, image_size, fit="crop", channels=None, broken="raise"):
    """Read pictures into one array of squares.

    Args:
        files: list of paths. What Pillow reads is read: PNG, JPEG, WebP, GIF and TIFF (the first
            image of several), BMP, AVIF where Pillow has it. A photograph is turned upright by what
            its camera noted (EXIF); transparency is dropped; 16 bits a pixel become 8.
        image_size: height and width of the squares.
        fit: "crop" cuts the centre out, "pad" puts black at two sides, "resize" stretches. What is
            padded shows by its edges whether it was turned by 90 degrees, which spoils the pretext
            task where most pictures are oblong.
        channels: 3, or 1 for grey; None takes 1 where all pictures are grey.
        broken: "raise" one error that lists all pictures that cannot be read, or "skip" them and
            list them in a warning.

    Returns:
        `(images, read)`: uint8 `(N, image_size, image_size, channels)`, 0..255, and a bool array,
        which of the files they are.

    Raises:
        DatasetError: pictures that cannot be read, all of them if they are to be skipped.
        ValueError: an argument out of its range.

    Example:
        >>> import keras, pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "one.png"
        >>> keras.utils.save_img(file, np.full((20, 30, 3), 9), scale=False)
        >>> images, read = read_pictures([file], image_size=16)
        >>> images.shape, read.tolist()
        ((1, 16, 16, 1), [True])
    """
    check_count("image_size", image_size)
    check_reading(image_size, fit, channels, broken)
    files = check_list("files", files, "path")
    for file in files:
        check_path("files", file)
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
    check_choice("broken", broken, BROKEN)
    reasons = [reason for _, reason in _decoded(files).as_numpy_iterator()]
    read = _answer(files, reasons, broken)
    return [file for file, sound in zip(files, read, strict=True) if sound]


def stream_pictures(files, *, image_size, fit="crop", channels=None):
    """Read pictures one by one, again in each iteration; arguments as of `read_pictures`.

    Args:
        files: list of paths, which `check_pictures` found to be whole.
        image_size: height and width of the squares.
        fit: as in `read_pictures`.
        channels: 1 for grey; 3 or None for colour.

    Returns:
        `tf.data.Dataset` of uint8 images `(image_size, image_size, channels)`, of known number.
    """
    check_count("image_size", image_size)
    check_reading(image_size, fit, channels)

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


def unpack_zip(path, folder):
    """Unpack a zip archive of pictures into a new folder.

    Args:
        path: of the archive.
        folder: to make; what is there already is left alone.

    Returns:
        `pathlib.Path` of the folder, or of the one folder in it if that is all there is.

    Raises:
        DatasetError: no zip archive, a damaged one, one with a file that would land elsewhere, or
            a folder that is there already.

    Example:
        >>> unpack_zip("pictures.zip", "pictures")  # doctest: +SKIP
        PosixPath('pictures')
    """
    check_path("path", path)
    check_path("folder", folder)
    folder = pathlib.Path(os.path.abspath(folder))
    if folder.exists():
        raise DatasetError(f"folder must be a new one, {folder} is there already")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacked", dir=folder.parent) as beside:
        _unpack(path, pathlib.Path(beside) / "pictures")
        shutil.move(pathlib.Path(beside) / "pictures", folder)
    inside = [entry for entry in folder.iterdir() if _is_shown(entry.name)]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _unpack(path, folder):
    try:
        with zipfile.ZipFile(path) as archive:
            outside = [name for name in archive.namelist() if _leaves(name, folder)]
            if outside:
                raise DatasetError(f"path {path} holds files that would land elsewhere: {outside}")
            size = sum(info.file_size for info in archive.infolist())
            if size > shutil.disk_usage(folder.parent).free:
                raise DatasetError(f"{path} holds {size / 1e9:.1f} GB, which the disk has not left")
            archive.extractall(folder)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise DatasetError(f"path must be a zip archive, got {path}, which is no file") from error
    except (*UNSOUND, RuntimeError, OSError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"path {path} is no sound zip archive: {error}") from error


def _leaves(name, folder):
    target = pathlib.Path(os.path.normpath(folder / name.replace("\\", "/")))
    return not target.is_relative_to(folder)


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
        raise ValueError(f"32 bits a pixel (mode {mode}), of which no one knows what is white")
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
            f'{number}; mend or remove them, or leave them out with broken="skip" '
            f"(--broken skip):{lines}"
        )
    warnings.warn(f"{number} and are left out:{lines}", stacklevel=3)
    return read


def _check_folder(folder):
    check_path("folder", folder)
    if not pathlib.Path(folder).is_dir():
        raise DatasetError(f"folder must be one, {printable(folder)} is no folder")
    return pathlib.Path(folder)


def check_reading(image_size, fit, channels, broken="raise"):
    """Raise unless these are arguments of `read_pictures`; `image_size` may be None."""
    check_counts_or_none(image_size=image_size)
    check_choice("fit", fit, FITS)
    if channels is not None and not (is_whole(channels) and channels in (1, 3)):
        raise ValueError(f"channels must be 1, 3 or None, got {channels!r}")
    check_choice("broken", broken, BROKEN)


def _is_shown(*names):
    return not any(name.startswith(".") or name == "__MACOSX" for name in names)


def _grey(images):
    sums = tf.reduce_sum(tf.cast(images, tf.float32) * LUMA, axis=-1, keepdims=True)
    return tf.cast(tf.round(sums), tf.uint8)


def image_grid(images, side, *, resample=Image.Resampling.BICUBIC):
    """All images `(N, S, S, 1 or 3)` in one square PIL picture, row by row, each `side` wide."""
    columns = math.ceil(math.sqrt(len(images)))
    grey = images.shape[-1] == 1
    grid = Image.new("L" if grey else "RGB", (columns * side, columns * side))
    for place, image in enumerate(images):  # one by one: copies of all would take much memory
        pixels = np.clip(np.rint(image), 0, 255).astype("uint8")
        picture = Image.fromarray(pixels[..., 0] if grey else pixels)
        if picture.size != (side, side):
            picture = picture.resize((side, side), resample)
        grid.paste(picture, (place % columns * side, place // columns * side))
    return grid
