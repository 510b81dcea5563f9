"""Which data a run was of: digests that its results keep, and what differs between two of them."""

from __future__ import annotations

import os

import keras

from rotnet_keras._base.digests import digest, digest_of_file, digest_of_set
from rotnet_keras.data.folders import same_name

# What the parts of a digest are of, in words. All but the draw are the same for every seed.
PARTS = {
    "images": "images",
    "test": "test images or their labels",
    "labels": "labels, or which images have one",
    "classes": "names of classes",
    "network": "given network or weights",
}
OF_EVERY_SEED = tuple(part for part in PARTS if part != "labels")


def identity_of(splits):
    """`{part: digest}` of `Splits`; images are taken together, however they are divided."""
    drawn = (splits.labelled, splits.validation)
    together = (splits.unlabelled, splits.test.images, *(part.images for part in drawn))
    return {
        "images": digest_of_set(*together),
        "test": digest(*splits.test),
        "labels": digest(*(array for part in drawn for array in part)),
        "classes": digest(*map(same_name, splits.class_names)),
    }


def identity_of_network(backbone, weights):
    """`{"network": digest}` of a model, or of files, that are given; else empty."""
    in_memory = isinstance(backbone, keras.Model)
    files = [given for given in (backbone, weights) if _is_file(given)]
    if not in_memory and not files:
        return {}
    arrays = backbone.get_weights() if in_memory else []
    return {"network": digest(*arrays, *map(digest_of_file, files))}


def what_changed(theirs, ours, parts=tuple(PARTS)):
    """The parts that differ, in words, for instance "other images"; empty where none do."""
    differ = [PARTS[part] for part in parts if theirs.get(part) != ours.get(part)]
    return f"other {' and other '.join(differ)}" if differ else ""


def _is_file(given):
    return isinstance(given, (str, os.PathLike)) and os.path.isfile(given)
