"""Pretrained extractors that come with the package: for each a file, its facts and a card to read.

`python -m rotnet_keras.study.publish NAME` makes them.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
from typing import Literal, get_args

import keras

from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.model_files import load_model
from rotnet_keras.heads import remove_head

ExtractorName = Literal["two_conv_fashion_mnist", "conv_blocks_fashion_mnist"]
EXTRACTORS = get_args(ExtractorName)
FOLDER = pathlib.Path(__file__).parent / "extractors"


@public()
def load_extractor(name: ExtractorName, *, with_head: bool = False) -> keras.Model:
    """Load an extractor that was pretrained on the rotations of Fashion-MNIST; nothing is fetched.

    The card beside it, in `rotnet_keras/zoo/extractors`, says what it was made of and how, what
    it is worth with few labels, and what it is not for. The file's SHA-256 is compared with the one
    that the card states before the file is opened.

    Args:
        name: "two_conv_fashion_mnist", the blog's small network, or "conv_blocks_fashion_mnist",
            three blocks of 32, 64 and 128 channels, better from 100 labels on.
        with_head: True gives the whole rotation model, as `rotation_accuracy` takes it.

    Returns:
        A new functional `keras.Model`, nothing in it frozen, from `(B, 28, 28, 1)` grey pixels in
        0..255, light clothes on black, to float32 features: `(B, 16)` of "two_conv_fashion_mnist",
        `(B, 128)` of "conv_blocks_fashion_mnist". With its head, to `(B, 4)` logits for 0, 90, 180
        and 270 degrees.

    Raises:
        InputError: an unknown name, or files that are missing or damaged.

    Example:
        >>> extractor = load_extractor("conv_blocks_fashion_mnist")
        >>> extract_features(extractor, np.zeros((5, 28, 28, 1), "uint8")).shape
        (5, 128)
    """
    path = FOLDER / f"{name}.keras"
    wanted, found = read_facts(path)["sha256"], sha256(path)
    if found != wanted:
        raise InputError(
            f"{path} must have the SHA-256 {wanted}, got {found}: it is damaged, install the "
            "package again"
        )
    model = load_model(path)
    return model if with_head else remove_head(model, share_weights=True)


def read_facts(path):
    """The facts that lie beside an extractor's file: a dictionary with at least `sha256`."""
    beside = path.with_suffix(".json")
    try:
        facts = json.loads(beside.read_text(encoding="utf-8"))
        facts["sha256"]
        return facts
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{beside} cannot be read, got {type(error).__name__}: {error}; it is missing or "
            "damaged, install the package again"
        ) from error


def sha256(path):
    """The SHA-256 of a file, 64 hexadecimal digits, or None where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
