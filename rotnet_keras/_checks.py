"""Argument checks that several modules share; each error names what it got and what it takes."""

from __future__ import annotations

import numpy as np


def check_count(name, value):
    """Raise unless `value` is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")


def check_images(images):
    """Return images as an array, or raise unless it is `(N, H, W, C)` with N at least 1."""
    images = np.asarray(images)
    if images.ndim != 4 or len(images) == 0:
        raise ValueError(f"images must be (N, H, W, C) with N at least 1, got {images.shape}")
    return images


def check_examples(images, labels):
    """Return labelled images as arrays, or raise unless each image has one whole-number label."""
    images, labels = check_images(images), np.asarray(labels)
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels must be whole numbers of shape ({len(images)},), one for each of the images, "
            f"got {labels.dtype} of shape {labels.shape}"
        )
    return images, labels


def check_every_class(images, labels, num_classes=None):
    """Return arrays and the number of classes, or raise unless each class has an image."""
    images, labels = check_examples(images, labels)
    if num_classes is None:
        num_classes = max(int(labels.max()) + 1, 2)
    check_count("num_classes", num_classes)
    missing = np.setdiff1d(np.arange(num_classes), labels)
    if len(missing) or labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"labels must hold each of the classes 0 to {num_classes - 1} and no others, "
            f"got {np.unique(labels).tolist()}"
        )
    return images, labels, num_classes
