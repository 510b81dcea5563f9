"""Digests: whether data, files and weights are the ones that an earlier run had."""

from __future__ import annotations

import hashlib
import math
import pathlib

import numpy as np

SIZE = 8  # bytes, so that what is written down stays short; nobody forges one here


def digest(*parts):
    """A short text that differs wherever bytes, text or arrays do, their shapes included."""
    state = hashlib.blake2b(digest_size=SIZE)
    for part in parts:
        if isinstance(part, np.ndarray):
            state.update(f"{part.dtype} {part.shape} ".encode())
            part = np.ascontiguousarray(part)
            state.update(part.view("uint8").data if part.size else b"")
        else:
            part = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogateescape")
            state.update(f"{len(part)} ".encode() + part)
    return state.hexdigest()


def digest_of_set(*arrays):
    """The same for images `(N, ...)` in any order and divided in any way among arrays."""
    total, number = 0, 0
    for array in arrays:
        size = math.prod(array.shape[1:])  # which -1 does not find of no rows
        rows = np.ascontiguousarray(array).reshape(len(array), size).view("uint8")
        for row in rows:
            total += int.from_bytes(hashlib.blake2b(row.data, digest_size=SIZE).digest(), "big")
        number += len(array)
    return digest(f"{total % 2 ** (8 * SIZE):x} {number}")


def digest_of_file(path):
    """The digest of what a file holds."""
    state = hashlib.blake2b(digest_size=SIZE)
    with pathlib.Path(path).open("rb") as file:
        while block := file.read(2**20):
            state.update(block)
    return state.hexdigest()
