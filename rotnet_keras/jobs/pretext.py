"""What speaks against rotation as the pretext task for the images of a run."""

from __future__ import annotations

import numpy as np

from rotnet_keras.symmetry import rotation_confusion, rotation_verdict

MOST_TURNED = 2_000  # test images


def against_rotation(model, splits, *, passes, usual, seed) -> str:
    """What `rotation_verdict` says of test images, or nothing.

    Args:
        model: the rotation model.
        splits: `Splits`.
        passes: that it was trained for.
        usual: that it would have been trained for, had there been time.
        seed: of the draw of images.
    """
    # A folder's are in the order of their classes.
    rows = np.random.default_rng(seed).permutation(len(splits.test.labels))[:MOST_TURNED]
    images, labels = (part[rows] for part in splits.test)
    counts = rotation_confusion(model, images, labels, num_classes=splits.num_classes)
    told = rotation_verdict(counts, splits.class_names, images)
    if told and 2 * passes < usual:
        return f"{told}. That may be for want of training, {passes} passes in place of {usual}"
    return told
