"""The same picture in several places: in two classes, or in the test and in the training."""

from __future__ import annotations

import collections
import hashlib
import os

import numpy as np

from rotnet_keras._base.errors import DatasetError
from rotnet_keras._base.files import printable
from rotnet_keras._base.values import warn_caller

LABELLED, TEST, UNLABELLED = range(3)  # parts of a folder
GRID = 8  # pixels each way by which images are told apart before any file is opened again
# What repeats are called, and which of them spoil a result.
IN_CLASSES = "in two classes"
IN_TEST = "in the test set and among the training pictures"
UNUSED = "with a label, and among the unlabelled ones"
TWICE = "more than once in their class"
SPOIL = (IN_CLASSES, IN_TEST)
TAKEN = "; each is taken once"


def check_repeats(files, images, parts, labels, repeats):
    """Raise, or warn, where files hold the same bytes; return which to take, bool `(N,)`.

    Of a picture with a label that is not of the test, the first file is taken: another one might be
    drawn for the test or validation while it is learnt from.

    Args:
        files: list of N paths.
        images: `(N, S, S, C)`, what was read from them.
        parts: `(N,)`, `LABELLED`, `TEST` or `UNLABELLED`.
        labels: `(N,)`, -1 for no label.
        repeats: "raise", or "keep" to warn only and take all.
    """
    found, once = collections.defaultdict(list), np.ones(len(files), bool)
    for same in map(np.array, same_files(files, images)):
        if repeats == "raise":
            once[_copies(same, parts[same])] = False
        for kind in _kinds(parts[same], labels[same]):
            found[kind].append([files[place] for place in same])
    spoilt = {kind: found.pop(kind) for kind in SPOIL if kind in found and repeats == "raise"}
    if spoilt:
        raise DatasetError(
            f"{_in_words(spoilt)}; remove them from one place, or allow it with "
            'repeats="keep" (--repeats keep)'
        )
    if found:
        warn_caller(_in_words(found) + ("" if once.all() else TAKEN))
    return once


def _copies(same, parts):
    """Those places of the same file that are left out."""
    labelled = same[parts == LABELLED]
    return np.setdiff1d(same[parts != TEST], labelled[:1]) if len(labelled) else labelled


def same_files(files, images):
    """Lists of places in `files` that hold the same bytes.

    Same bytes give the same image, so that only files whose images are alike are looked at again:
    thousands of small pictures have one size in bytes, and few are alike.
    """
    step = -(-images.shape[1] // GRID)
    grid = np.ascontiguousarray(images[:, ::step, ::step]).reshape(len(images), -1)
    rows = grid.view(np.dtype((np.void, grid.shape[1]))).ravel()
    alike = _groups(range(len(files)), np.unique(rows, return_inverse=True)[1].tolist())
    sized = [same for some in alike for same in _groups(some, [_size(files[i]) for i in some])]
    return [same for some in sized for same in _groups(some, [_digest(files[i]) for i in some])]


def _groups(places, keys):
    """Those places that share a key with others, in lists; None is like nothing."""
    groups = collections.defaultdict(list)
    for place, key in zip(places, keys, strict=True):
        groups[key].append(place)
    return [some for key, some in groups.items() if len(some) > 1 and key is not None]


def _size(file):
    try:
        return os.stat(file).st_size
    except OSError:  # it was there a moment ago
        return None


def _digest(file):
    try:
        with open(file, "rb") as opened:
            return hashlib.blake2b(opened.read()).digest()
    except OSError:
        return None


def _kinds(parts, labels):
    """What is to be said of files that are the same, by their parts and labels."""
    there, classes = set(parts.tolist()), set(labels.tolist()) - {-1}
    if len(classes) > 1:
        yield IN_CLASSES
    if TEST in there and len(there) > 1:
        yield IN_TEST
    if {LABELLED, UNLABELLED} <= there:
        yield UNUSED
    if (parts == LABELLED).sum() > len(classes) or (parts == TEST).sum() > len(classes):
        yield TWICE


def _in_words(found):
    return "; ".join(
        f"{len(groups):,} {'pictures are' if len(groups) > 1 else 'picture is'} {kind}, such as "
        + ", ".join(" = ".join(printable(file) for file in same[:3]) for same in groups[:3])
        for kind, groups in found.items()
    )
