"""Random changes to a batch of images that leave its classes as they are."""

from __future__ import annotations

from typing import Literal

import keras
import tensorflow as tf

from rotnet_keras._base.door import public
from rotnet_keras._base.keras_private import take_seeds_from
from rotnet_keras._base.values import Fraction, PositiveFraction, Seed, another_seed

LAST = {"data_format": "channels_last"}  # as images are here, whatever `keras.json` says
SPAN = {"value_range": (0, 255)}
FillMode = Literal["constant", "nearest", "reflect", "wrap"]


class Augmentation:
    """Keras's preprocessing layers one after the other, with a seed for each batch if wanted.

    Called on `(B, H, W, C)` pixels, it gives float32 of the same shape. With `seed`, two whole
    numbers, in tf.data, the change depends on the images and the seed alone, so that a run that was
    broken off goes on with the changes that it would have met. Without one, the layers draw from a
    state of their own, which moves on with every call; tf.data calls ahead of what is used.
    """

    takes_seed = True  # `running.batches` gives each batch its own

    def __init__(self, layers, seed, *, of_colours=()):
        self.layers, self.of_colours = layers, of_colours  # the latter are left out on grey images
        self.seed, self._draws = seed, _Draws()
        for layer in layers:
            take_seeds_from(layer, self._choose_source)

    def __call__(self, images, seed=None):
        if seed is not None:  # so that two augmentations change images differently
            seed = tf.random.experimental.stateless_fold_in(seed, self.seed)
        self._draws.begin(seed)
        try:
            for layer in self.layers:
                if images.shape[-1] == 3 or layer not in self.of_colours:
                    images = layer(images, training=True)
        finally:
            self._draws.begin(None)
        return images

    def _choose_source(self, own):
        return own() if self._draws.seed is None else self._draws


class _Draws(keras.random.SeedGenerator):
    """Keras's source of seeds, here a function of one seed and of how many were drawn."""

    def __init__(self):
        super().__init__(0)
        self.seed, self.count = None, 0

    def begin(self, seed):
        self.seed, self.count = seed, 0

    def next(self, ordered=True):
        self.count += 1
        return tf.random.experimental.stateless_fold_in(self.seed, self.count)


@public()
def gentle_augmentation(
    *,
    shift: Fraction = 2 / 28,
    mirror: bool = True,
    fill_mode: FillMode = "constant",
    seed: Seed = 0,
) -> Augmentation:
    """Shift images a little and mirror them, for pretraining and for few labels.

    Args:
        shift: largest shift, as a fraction of height and width.
        mirror: also mirror left and right, half of the time; not for digits or letters.
        fill_mode: what appears at the edges: "constant" is black, "nearest" repeats the edge;
            "reflect" and "wrap" as in Keras's layers.
        seed: of the draws.

    Returns:
        `Augmentation`, a function from `(B, H, W, C)` pixels to float32 of the same shape, for
        `tf.data.Dataset.map`; it takes a `seed` for the batch, too.

    Raises:
        InputError: a `shift` outside 0..1, an unknown `fill_mode`, or a `seed` out of its range.

    Example:
        >>> tuple(gentle_augmentation()(np.zeros((5, 28, 28, 1), "uint8")).shape)
        (5, 28, 28, 1)
    """
    layers = keras.layers
    moved = layers.RandomTranslation(
        shift, shift, fill_mode=fill_mode, interpolation="nearest", seed=seed, **LAST
    )
    flip = layers.RandomFlip("horizontal", seed=another_seed(seed, 1), **LAST)
    flips = [flip] if mirror else []
    return Augmentation([*flips, moved], seed)


@public()
def strong_augmentation(
    *, mirror: bool = True, colours: bool = True, fill_mode: FillMode = "constant", seed: Seed = 0
) -> Augmentation:
    """Shift twice as far, tilt, stretch, recolour and erase a part of images, for self-training.

    Args:
        mirror: as in `gentle_augmentation`.
        colours: also change the brightness, contrast, saturation and hue of images with three
            channels.
        fill_mode: as in `gentle_augmentation`.
        seed: as in `gentle_augmentation`.

    Returns:
        As `gentle_augmentation`. Images are tilted by up to 15 degrees and stretched or shrunk by
        up to 12 percent, which leaves black edges. Of three channels, brightness then changes by
        up to 0.4 of 255, contrast by up to a half, hue by up to 0.1 of its circle, and saturation.
        At last a rectangle of 2 to 25 percent of each becomes black. Pixels stay within 0..255.

    Raises:
        InputError: as `gentle_augmentation`.

    Example:
        >>> tuple(strong_augmentation()(np.zeros((5, 28, 28, 1), "uint8")).shape)
        (5, 28, 28, 1)

    Reference: strong augmentation is section 2.3 of FixMatch, https://arxiv.org/abs/2001.07685
    """
    gentle = gentle_augmentation(shift=4 / 28, mirror=mirror, fill_mode=fill_mode, seed=seed)
    layers = keras.layers
    edges = {"fill_mode": fill_mode, "interpolation": "nearest", **LAST}
    bent = [
        layers.RandomRotation(15 / 360, seed=another_seed(seed, 2), **edges),
        layers.RandomZoom((-0.12, 0.12), (-0.12, 0.12), seed=another_seed(seed, 3), **edges),
    ]
    recoloured = [*_light(0.4, 0.5, seed), *_colours(0.3, seed)] if colours else []
    erased = layers.RandomErasing(
        factor=(1.0, 1.0),
        scale=(0.02, 0.25),
        fill_value=0,
        value_range=(0, 255),
        seed=another_seed(seed, 4),
        **LAST,
    )
    everything = [*bent, *gentle.layers, *recoloured, erased]
    return Augmentation(everything, seed, of_colours=recoloured)


@public()
def contrast_augmentation(
    *, least: PositiveFraction = 0.5, mirror: bool = True, seed: Seed = 0
) -> Augmentation:
    """Show a part of each image in another light and colour, for pretraining by contrast.

    Args:
        least: the smallest part that is shown, as a fraction of height and width.
        mirror: as in `gentle_augmentation`.
        seed: as in `gentle_augmentation`.

    Returns:
        As `gentle_augmentation`; pixels stay within 0..255. Brightness and contrast change and, of
        images with three channels, saturation and hue.

    Raises:
        InputError: as `gentle_augmentation`, or `least` is not above 0, or above 1.

    Example:
        >>> tuple(contrast_augmentation()(np.zeros((5, 28, 28, 1), "uint8")).shape)
        (5, 28, 28, 1)

    Reference: section 3 of SimCLR, https://arxiv.org/abs/2002.05709; without its blur and its loss
    of colour, which images of so few pixels do not bear.
    """
    larger = keras.layers.RandomZoom(
        (least - 1, 0), (least - 1, 0), fill_mode="reflect", seed=another_seed(seed, 2), **LAST
    )
    margin = (1 - least) / 2
    gentle = gentle_augmentation(shift=margin, mirror=mirror, fill_mode="reflect", seed=seed)
    light, colours = _light(0.3, 0.4, seed), _colours(0.2, seed)
    return Augmentation([*gentle.layers, larger, *light, *colours], seed, of_colours=colours)


def _light(brightness, contrast, seed):
    """Layers that change how light images are, and how far light and dark lie apart."""
    return [
        keras.layers.RandomBrightness(brightness, seed=another_seed(seed, 5), **SPAN),
        keras.layers.RandomContrast(contrast, seed=another_seed(seed, 6), **SPAN),
    ]


def _colours(saturation, seed):
    """Layers that change the colours of images with three channels."""
    least, most = 0.5 - saturation, 0.5 + saturation
    return [
        keras.layers.RandomSaturation((least, most), seed=another_seed(seed, 7), **SPAN, **LAST),
        keras.layers.RandomHue(0.1, seed=another_seed(seed, 8), **SPAN, **LAST),
    ]
