"""Which file an image was read from, told by its pixels, however images are divided."""

from __future__ import annotations

import os

from rotnet_keras._base.digests import digest
from rotnet_keras._base.files import printable


def files_by_pixels(images, files, folder):
    """`{digest of an image: path of its file within the folder}`; of same images, the first."""
    names = {}
    for image, file in zip(images, files, strict=True):
        names.setdefault(digest(image), printable(os.path.relpath(file, folder)))
    return names


def names_of(images, files):
    """The name of each image among `files_by_pixels`, None where it is not there."""
    return [files.get(digest(image)) for image in images] if files else [None] * len(images)
