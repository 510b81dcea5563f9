"""Random changes to a batch of images that leave its classes as they are."""

from __future__ import annotations

import keras


def gentle_augmentation(*, shift=2 / 28, mirror=True, fill_mode="constant", seed=0):
    """Shift images a little and mirror them, for pretraining and for few labels.

    Args:
        shift: largest shift, as a fraction of height and width.
        mirror: also mirror left and right, half of the time; not for digits or letters.
        fill_mode: what appears at the edges: "constant" is black, "nearest" repeats the edge.
        seed: of the draws.

    Returns:
        `keras.layers.Pipeline` from `(B, H, W, C)` pixels to float32 of the same shape, for
        `tf.data.Dataset.map`.

    Example:
        >>> gentle_augmentation()(np.zeros((5, 28, 28, 1), "uint8")).shape
        TensorShape([5, 28, 28, 1])
    """
    layers = keras.layers
    moved = layers.RandomTranslation(
        shift, shift, fill_mode=fill_mode, interpolation="nearest", seed=seed
    )
    flips = [layers.RandomFlip("horizontal", seed=seed + 1)] if mirror else []
    return layers.Pipeline([*flips, moved])


def strong_augmentation(*, mirror=True, fill_mode="constant", seed=0):
    """Shift twice as far, tilt, stretch and erase a rectangle of each image, for self-training.

    Args:
        mirror: as in `gentle_augmentation`.
        fill_mode: as in `gentle_augmentation`.
        seed: of the draws.

    Returns:
        As `gentle_augmentation`. Images are tilted by up to 15 degrees and stretched or shrunk by
        up to 12 percent; a rectangle of 2 to 25 percent of each is black, beside what these moves
        made black.

    Example:
        >>> strong_augmentation()(np.zeros((5, 28, 28, 1), "uint8")).shape
        TensorShape([5, 28, 28, 1])

    Reference: strong augmentation is section 2.3 of FixMatch, https://arxiv.org/abs/2001.07685;
    without its list of colour changes, which grey images do not have.
    """
    layers = keras.layers
    gentle = gentle_augmentation(shift=4 / 28, mirror=mirror, fill_mode=fill_mode, seed=seed)
    edges = {"fill_mode": fill_mode, "interpolation": "nearest"}
    bent = [
        layers.RandomRotation(15 / 360, seed=seed + 2, **edges),
        layers.RandomZoom((-0.12, 0.12), (-0.12, 0.12), seed=seed + 3, **edges),
    ]
    erased = layers.RandomErasing(
        factor=(1.0, 1.0), scale=(0.02, 0.25), fill_value=0, value_range=(0, 255), seed=seed + 4
    )
    return layers.Pipeline([*bent, *gentle.layers, erased])
