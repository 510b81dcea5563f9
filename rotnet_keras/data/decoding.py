"""How the file of one picture becomes an array: its ground, its levels, and what is too large."""

from __future__ import annotations

import contextlib
import math
import os
import stat
import threading
from typing import Annotated

import numpy as np
import PIL
import tensorflow as tf
from PIL import ExifTags, Image

from rotnet_keras._base.errors import InputError
from rotnet_keras._base.files import printable
from rotnet_keras._base.values import got, is_whole

Image.init()
# Of these, Pillow starts no other program; AVIF is not in all of its builds.
FORMATS = sorted({"AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"} & Image.OPEN.keys())
MOST_PIXELS = 80_000_000  # of a picture, as large ones cannot all be held at once
LARGE = 16_000_000  # pixels from which a picture is made smaller before it becomes an array
ONE_LARGE = threading.Lock()  # is decoded at a time
FULL = (0, 65_535)  # black and white of 16 bits
BITS_A_SAMPLE, PHOTOMETRIC = 258, 262  # tags of TIFF
ROWS = 2**20  # numbers to be computed with at a time


def check_ground(name, value):
    """Return a grey level, or red, green and blue, or raise."""
    levels = value if isinstance(value, (tuple, list)) else (value,)
    if len(levels) not in (1, 3) or not all(is_whole(x) and 0 <= x <= 255 for x in levels):
        raise InputError(f"{name} must be 0..255, or three of them, (r, g, b), got {got(value)}")
    return tuple(int(level) for level in levels) if len(levels) == 3 else int(levels[0])


def check_white(name, value):
    """Return levels of black and white, or raise."""
    levels = tuple(value) if isinstance(value, (tuple, list)) else (0, value)
    whole = len(levels) == 2 and all(is_whole(x) and -(2**15) <= x < 2**16 for x in levels)
    if not whole or levels[0] >= levels[1]:
        raise InputError(
            f"{name} must be a level of 16 bits such as 4095, or (black, white), got {got(value)}"
        )
    return int(levels[0]), int(levels[1])


# What a signature says beside an argument.
Ground = Annotated[int | tuple[int, int, int], check_ground]
White = Annotated[int | tuple[int, int], check_white]


def decode_picture(name, image_size, ground, levels):
    """Decode a file as `read_pictures` says.

    Args:
        name: path, as bytes.
        image_size: of the squares to be; a large picture is made smaller, but not below that.
        ground: under what is transparent.
        levels: of black and white in files of 16 bits that do not say their own. Where they are
            None, not known, such a file cannot be read.

    Returns:
        `(image, reason, extremes)`: uint8 `(H, W, 3)`; why it could not be read, or b""; and the
        lowest and the highest value where `levels` decide what they mean, else 0.
    """
    file = os.fsdecode(name)
    try:
        image, extremes = _read(file, image_size, ground, levels or FULL)
        if levels is None and any(extremes):
            raise OSError("16 bits a value, and it is not known which one is white")
        return np.ascontiguousarray(image), b"", np.array(extremes, "int32")
    except PIL.UnidentifiedImageError:
        reason = "no picture, or in a format that is not known"
    except OSError as error:
        reason = error.strerror or str(error)
    except Image.DecompressionBombError as error:
        reason = str(error)
    except Exception as error:  # a damaged file may raise anything from within Pillow
        reason = f"{type(error).__name__}: {error}"
    reason = printable(reason.replace(file, "the file").strip().split("\n")[0] or "cannot be read")
    return np.zeros((1, 1, 3), "uint8"), reason.encode(), np.zeros(2, "int32")


def _read(file, image_size, ground, levels):
    """A picture as uint8 `(H, W, 3)`, and the extremes of its values, as of `decode_picture`."""
    if not stat.S_ISREG(os.stat(file).st_mode):  # a pipe would never answer
        raise OSError("no regular file")
    with Image.open(file, formats=FORMATS) as picture:
        large = picture.width * picture.height > LARGE
        with ONE_LARGE if large else contextlib.nullcontext():
            if large:
                _check_size(picture, image_size)
            shown, extremes = _with_8_bits(picture, ground, levels)
            image = _on_ground(shown, image_size, ground)
            return _upright(image, picture.getexif().get(ExifTags.Base.Orientation, 1)), extremes


def _check_size(picture, image_size):
    """Have a JPEG give fewer pixels at once, and raise where they are too many all the same."""
    times = _times_too_large(picture, image_size)
    picture.draft(None, (picture.width // times, picture.height // times))
    if picture.width * picture.height > MOST_PIXELS:
        raise OSError(
            f"{picture.width:,} x {picture.height:,} pixels, more than {MOST_PIXELS:,}: make it "
            "smaller"
        )


def _times_too_large(picture, image_size):
    """How many times a picture must be made smaller each way; 1 for ordinary sizes."""
    times = math.ceil(math.sqrt(picture.width * picture.height / LARGE))
    return max(1, min(times, min(picture.size) // (2 * image_size)))


def _with_8_bits(picture, ground, levels):
    """The picture, or one in its place where Pillow would cut or misread it; its extremes."""
    if picture.format not in ("PNG", "PPM", "TIFF"):
        return picture, (0, 0)
    how = picture.tile[0][3]
    deep = ";16" in (how if isinstance(how, str) else how[0])
    grey = picture.mode.startswith(("I", "F"))
    keyed = "transparency" in picture.info and picture.mode != "P"
    if picture.format == "PNG" and (keyed or (deep and not grey)):
        return _by_tensorflow(picture.filename, deep, ground, levels)
    if grey:
        return _grey(picture, levels)
    if not deep and how[1:] != FULL[1:]:  # where a PPM file has its white
        return picture, (0, 0)
    if levels != FULL:
        raise OSError(
            f"colours of 16 bits, of which the upper 8 are read, too few where white is {levels[1]}"
            "; save it as PNG, or with 8 bits"
        )
    upper = max(high for _, high in picture.getextrema()[:3])
    return picture, (0, max(1, 256 * upper - 128))  # the least that it may have been


def _by_tensorflow(file, deep, ground, levels):
    """A PNG file of 16 bits, or of one transparent colour: Pillow is exact about neither."""
    with open(file, "rb") as opened:
        values = tf.io.decode_png(opened.read(), 4, tf.uint16 if deep else tf.uint8).numpy()
    if not deep:
        return Image.fromarray(_by_rows(_blend, values, ground)), (0, 0)
    extremes = values[..., :3].min(), values[..., :3].max()
    return Image.fromarray(_by_rows(_blend, values, ground, levels)), extremes


def _grey(picture, levels):
    """A grey picture of 16 bits in 8, and its extremes; 0 where the file says what is white."""
    tags = getattr(picture, "tag_v2", {})
    bits = tags.get(BITS_A_SAMPLE, (16,))
    if picture.mode == "F" or (picture.mode == "I" and bits != (16,)):
        raise OSError(
            f"32 bits a pixel (mode {picture.mode}), whose value for white is not defined"
        )
    codec, _, _, how = picture.tile[0]
    said = None
    if bits == (12,):
        said = (0, 2**12 - 1)
    elif codec.startswith("ppm") and how[1:] != FULL[1:]:
        said = FULL  # to which Pillow brings the white that the file says
    values = np.asarray(picture)
    if codec == "libtiff" and how[0] == "I;16BS":  # swapped, though in our order
        values = values.astype(">i2").view("=i2")
    image = _by_rows(_scaled, values, said or levels)
    image = 255 - image if tags.get(PHOTOMETRIC) == 0 else image  # 0 is white
    return Image.fromarray(image), (0, 0) if said else (values.min(), values.max())


def _scaled(values, levels):
    """Values with black and white at 0 and 255."""
    black, white = levels
    grey = (np.clip(values, black, white) - np.float64(black)) * (255 / (white - black))
    return np.rint(grey).astype("uint8")


def _on_ground(picture, image_size, ground):
    """A picture of 8 bits as an array `(H, W, 3)`, a large one made smaller."""
    clear = picture.has_transparency_data
    mode = "RGBA" if clear else "RGB"
    picture = picture if picture.mode == mode else picture.convert(mode)
    if (times := _times_too_large(picture, image_size)) > 1:
        picture = picture.reduce(times)
    values = np.asarray(picture)
    if not clear:
        return values
    return values[..., :3] if values[..., 3].min() == 255 else _by_rows(_blend, values, ground)


def _blend(values, ground, levels=(0, 255)):
    """Lay `(H, W, 4)` over the ground; `levels` are of the colours, not of what is opaque."""
    black, white = levels
    opaque = values[..., 3:] / np.iinfo(values.dtype).max
    colours = (np.clip(values[..., :3], black, white) - np.float64(black)) * (255 / (white - black))
    return np.rint(colours * opaque + np.float64(ground) * (1 - opaque)).astype("uint8")


def _by_rows(function, values, *others):
    """What a function makes of an image, computed from some rows at a time, which saves memory."""
    parts = np.array_split(values, math.ceil(values.size / ROWS))
    return np.concatenate([function(part, *others) for part in parts if len(part)])


def _upright(image, orientation):
    """Turn an image as the camera noted that it was held, by EXIF's number for it."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image[::-1] if orientation in (3, 4, 7, 8) else image
