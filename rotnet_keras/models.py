"""Extractors: networks in Keras's functional API, from pixels to features.

Everything here is made of built-in Keras layers, so that a saved `.keras` file loads with plain
Keras. The convention that holds it together: an *extractor* is a functional model from raw
0..255 pixels to features, and a *head* is one layer named "head" on top of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import keras

from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.values import Count, Seed, check_count, got, is_whole
from rotnet_keras.heads import with_random_weights

# Images are (B, H, W, C) here, whatever a `keras.json` has as the usual layout.
LAST = {"data_format": "channels_last"}


def image_shape_of(name, image_shape, *, smallest=1):
    """Return `(height, width, channels)`, or raise unless it is three numbers large enough."""
    shape = tuple(image_shape) if isinstance(image_shape, (tuple, list)) else (image_shape,)
    whole = all(is_whole(size) and size > 0 for size in shape)
    if len(shape) != 3 or not whole or min(shape[:2]) < smallest:
        raise InputError(
            f"{name} must be (height, width, channels), height and width at least {smallest}, "
            f"got {got(image_shape)}"
        )
    return tuple(map(int, shape))


def _widths(name, widths):
    listed = tuple(widths) if isinstance(widths, (tuple, list)) else (widths,)
    if not listed:
        raise InputError(f"{name} must be one or more whole numbers of at least 1, got none")
    return tuple(int(check_count(name, width)) for width in listed)


def _number_of_blocks(name, value):
    if not is_whole(value) or value not in (3, 4, 5):
        raise InputError(f"{name} must be 3, 4 or 5, got {got(value)}")
    return int(value)


def _large_enough_for_widths(image_shape, widths):
    image_shape_of("image_shape", image_shape, smallest=2 ** len(widths))


ImageShape = Annotated[Sequence[int], image_shape_of]  # (height, width, channels)
AtLeast4 = Annotated[Sequence[int], partial(image_shape_of, smallest=4)]
AtLeast10 = Annotated[Sequence[int], partial(image_shape_of, smallest=10)]
Widths = Annotated[Sequence[int], _widths]


@public()
def two_conv_extractor(
    image_shape: AtLeast10, feature_dim: Count = 16, *, seed: Seed = 0
) -> keras.Model:
    """Build the blog's small extractor: two convolutions, then a dense layer of features.

    The cut points are the layers `conv1`, `pool1`, `conv2`, `pool2` and `features`;
    `keras.Model(extractor.input, extractor.get_layer("pool2").output)` stops at one of them.

    Args:
        image_shape: `(height, width, channels)`, height and width at least 10.
        feature_dim: number of features.
        seed: of the initial weights.

    Returns:
        `keras.Model` from `(B, height, width, channels)` pixels in 0..255, of any real dtype, to
        float32 `(B, feature_dim)`; 17,616 parameters for `(28, 28, 1)` and 16.

    Raises:
        InputError: `image_shape` is not three positive whole numbers, the images are too small
            for two convolutions, `feature_dim` is below 1, or `seed` is not a seed.

    Example:
        >>> extractor = two_conv_extractor((28, 28, 1))
        >>> extractor.output_shape, extractor.count_params()
        ((None, 16), 17616)
    """
    layers = keras.layers
    images = keras.Input(image_shape, name="images")
    x = layers.Rescaling(1 / 255, name="rescale")(images)
    x = layers.Conv2D(16, 3, activation="relu", name="conv1", **LAST)(x)
    x = layers.MaxPooling2D(2, name="pool1", **LAST)(x)
    x = layers.Conv2D(32, 3, activation="relu", name="conv2", **LAST)(x)
    x = layers.MaxPooling2D(2, name="pool2", **LAST)(x)
    x = layers.Flatten(name="flatten", **LAST)(x)
    # No activation: features cut off at zero transfer worse, and half of them die in pretraining.
    features = layers.Dense(feature_dim, name="features")(x)
    return with_random_weights(keras.Model(images, features, name="two_conv"), seed=seed)


@public(_large_enough_for_widths)
def conv_blocks_extractor(
    image_shape: ImageShape, widths: Widths = (32, 64, 128), *, seed: Seed = 0
) -> keras.Model:
    """Build a plain convolutional extractor: a block for each width, then global averages.

    A block is a 3 x 3 convolution, 2 x 2 pooling, batch normalisation and ReLU. Its cut points are
    the layers `block1`, `block2` and so on; the last blocks know most about rotation, the middle
    ones transfer best.

    Args:
        image_shape: `(height, width, channels)`; each block halves height and width, and at least
            one pixel must remain.
        widths: number of channels of each block; `make_extractor("conv_blocks_wide", ...)` has
            (64, 128, 256).
        seed: of the initial weights.

    Returns:
        `keras.Model` from `(B, height, width, channels)` pixels in 0..255 to float32
        `(B, widths[-1])`, the averages over the last block's maps.

    Raises:
        InputError: `image_shape` is not three positive whole numbers or too small for so many
            blocks, `widths` are not one or more whole numbers of at least 1, or `seed` is not a
            seed.

    Example:
        >>> extractor = conv_blocks_extractor((28, 28, 1))
        >>> extractor.output_shape, extractor.count_params()
        ((None, 128), 93344)
    """
    layers = keras.layers
    images = keras.Input(image_shape, name="images")
    x = layers.Rescaling(1 / 255, name="rescale")(images)
    for number, width in enumerate(widths, start=1):
        x = _conv(x, width, 3, name=f"block{number}_conv")
        # The maximum of four is normalised and cut off, not the four: a quarter of the work.
        x = layers.MaxPooling2D(2, name=f"block{number}_pool", **LAST)(x)
        x = _normalise(x, name=f"block{number}_norm", output=f"block{number}")
    features = layers.GlobalAveragePooling2D(name="features", **LAST)(x)
    return with_random_weights(keras.Model(images, features, name="conv_blocks"), seed=seed)


@public()
def nin_extractor(
    image_shape: AtLeast4,
    num_blocks: Annotated[int, _number_of_blocks] = 4,
    *,
    width: Count = 48,
    seed: Seed = 0,
) -> keras.Model:
    """Build the paper's Network-in-Network extractor with 3, 4 or 5 blocks.

    A block is a convolution (5 x 5 in the first two blocks, 3 x 3 after) followed by two of 1 x 1,
    each with batch normalisation and ReLU; the first two blocks end in 3 x 3 pooling by maximum
    and by average. The cut points are the layers `block1`, `block2` and so on.

    Args:
        image_shape: `(height, width, channels)`, height and width at least 4.
        num_blocks: 3, 4 or 5.
        width: channels of a block; the paper has 192. The first block narrows to half of it.
        seed: of the initial weights.

    Returns:
        `keras.Model` from `(B, height, width, channels)` pixels in 0..255 to float32
        `(B, width)`, the averages over the last block's maps.

    Raises:
        InputError: an argument out of its range.

    Example:
        >>> extractor = nin_extractor((32, 32, 3), width=24)
        >>> extractor.output_shape, [layer.name for layer in extractor.layers[-3:-1]]
        ((None, 24), ['block4_norm3', 'block4'])

    Reference: section 4.1 of https://arxiv.org/abs/1803.07728; the layers are those of Lin, Chen
    and Yan, 2014, https://arxiv.org/abs/1312.4400
    """
    layers = keras.layers
    images = keras.Input(image_shape, name="images")
    x = layers.Rescaling(1 / 255, name="rescale")(images)
    pools = {1: layers.MaxPooling2D, 2: layers.AveragePooling2D}
    for number in range(1, num_blocks + 1):
        # 192, 160 and 96 channels in the paper's first block, 192 throughout the others
        inner = (width, -(-width * 5 // 6), -(-width // 2)) if number == 1 else (width,) * 3
        sizes = (5 if number <= 2 else 3, 1, 1)
        for part, (channels, size) in enumerate(zip(inner, sizes, strict=True), start=1):
            x = _conv(x, channels, size, name=f"block{number}_conv{part}")
            last = part == 3 and number not in pools
            output = f"block{number}" if last else f"block{number}_relu{part}"
            x = _normalise(x, name=f"block{number}_norm{part}", output=output)
        if number in pools:
            x = pools[number](3, strides=2, padding="same", name=f"block{number}", **LAST)(x)
    features = layers.GlobalAveragePooling2D(name="features", **LAST)(x)
    return with_random_weights(keras.Model(images, features, name=f"nin{num_blocks}"), seed=seed)


def _named(build, *, smallest, **settings):
    """A network that goes by a name; its images come from data, so their size is looked at here."""

    def network(image_shape, seed):
        shape = image_shape_of("image_shape", image_shape, smallest=smallest)
        return build(shape, seed=seed, **settings)

    return network


# What `make_extractor`, the study and the jobs know by name: `NETWORKS[name](image_shape, seed)`.
# A name builds what the function of that name does when it is left to its defaults.
NETWORKS = {
    "conv_blocks": _named(conv_blocks_extractor, smallest=8),
    "conv_blocks_wide": _named(conv_blocks_extractor, smallest=8, widths=(64, 128, 256)),
    "nin3": _named(nin_extractor, smallest=4, num_blocks=3),
    "nin4": _named(nin_extractor, smallest=4),
    "nin5": _named(nin_extractor, smallest=4, num_blocks=5),
    "two_conv": _named(two_conv_extractor, smallest=10),
}


def normalised_convolution(x, channels, size, *, name):
    """Convolution, batch normalisation and ReLU; the last layer has the name that is given."""
    x = _conv(x, channels, size, name=f"{name}_conv")
    return _normalise(x, name=f"{name}_norm", output=name)


def _conv(x, channels, size, *, name):
    """A convolution without bias: the normalisation after it has one."""
    layer = keras.layers.Conv2D(
        channels,
        size,
        padding="same",
        use_bias=False,
        kernel_initializer=keras.initializers.HeNormal(seed=0),  # `with_random_weights` draws anew
        name=name,
        **LAST,
    )
    return layer(x)


def _normalise(x, *, name, output):
    x = keras.layers.BatchNormalization(name=name)(x)
    return keras.layers.ReLU(name=output)(x)
