"""Networks in Keras's functional API: extractors, heads on and off, freezing.

Everything here is made of built-in Keras layers, so that a saved `.keras` file loads with plain
Keras. The convention that holds it together: an *extractor* is a functional model from raw
0..255 pixels to features, and a *head* is one layer named "head" on top of it.
"""

from __future__ import annotations

import re

import keras
import numpy as np

from rotnet_keras._checks import (
    check_choice,
    check_count,
    check_functional,
    check_list,
    check_seed,
    got,
    is_whole,
)
from rotnet_keras.runtime import running_accelerator

HEAD = "head"
PRECISIONS = ("float32", "mixed", "mixed_bfloat16", "mixed_float16")


def two_conv_extractor(image_shape, feature_dim=16, *, seed=0):
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
        ValueError: `image_shape` is not three positive whole numbers, the images are too small
            for two convolutions, `feature_dim` is below 1, or `seed` is none.

    Example:
        >>> extractor = two_conv_extractor((28, 28, 1))
        >>> extractor.output_shape, extractor.count_params()
        ((None, 16), 17616)
    """
    check_image_shape(image_shape, smallest=10)
    check_count("feature_dim", feature_dim)
    check_seed(seed)
    layers = keras.layers
    images = keras.Input(image_shape, name="images")
    x = layers.Rescaling(1 / 255, name="rescale")(images)
    x = layers.Conv2D(16, 3, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(2, name="pool1")(x)
    x = layers.Conv2D(32, 3, activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(2, name="pool2")(x)
    x = layers.Flatten(name="flatten")(x)
    # No activation: features cut off at zero transfer worse, and half of them die in pretraining.
    features = layers.Dense(feature_dim, name="features")(x)
    return reinitialise(keras.Model(images, features, name="two_conv"), seed=seed)


def conv_blocks_extractor(image_shape, widths=(64, 128, 256), *, seed=0):
    """Build a plain convolutional extractor: a block for each width, then global averages.

    A block is a 3 x 3 convolution, 2 x 2 pooling, batch normalisation and ReLU. Its cut points are
    the layers `block1`, `block2` and so on; the last blocks know most about rotation, the middle
    ones transfer best.

    Args:
        image_shape: `(height, width, channels)`; each block halves height and width, and at least
            one pixel must remain.
        widths: number of channels of each block.
        seed: of the initial weights.

    Returns:
        `keras.Model` from `(B, height, width, channels)` pixels in 0..255 to float32
        `(B, widths[-1])`, the averages over the last block's maps.

    Raises:
        ValueError: `image_shape` is not three positive whole numbers or too small for so many
            blocks, `widths` are not one or more whole numbers of at least 1, or `seed` is none.

    Example:
        >>> extractor = conv_blocks_extractor((28, 28, 1), widths=(32, 64, 128))
        >>> extractor.output_shape, extractor.count_params()
        ((None, 128), 93344)
    """
    widths = _check_widths(widths)
    check_image_shape(image_shape, smallest=2 ** len(widths))
    check_seed(seed)
    layers = keras.layers
    images = keras.Input(image_shape, name="images")
    x = layers.Rescaling(1 / 255, name="rescale")(images)
    for number, width in enumerate(widths, start=1):
        x = _conv(x, width, 3, name=f"block{number}_conv")
        # The maximum of four is normalised and cut off, not the four: a quarter of the work.
        x = layers.MaxPooling2D(2, name=f"block{number}_pool")(x)
        x = _normalise(x, name=f"block{number}_norm", output=f"block{number}")
    features = layers.GlobalAveragePooling2D(name="features")(x)
    return reinitialise(keras.Model(images, features, name="conv_blocks"), seed=seed)


def nin_extractor(image_shape, num_blocks=4, *, width=192, seed=0):
    """Build the paper's Network-in-Network extractor with 3, 4 or 5 blocks.

    A block is a convolution (5 x 5 in the first two blocks, 3 x 3 after) followed by two of 1 x 1,
    each with batch normalisation and ReLU; the first two blocks end in 3 x 3 pooling by maximum
    and by average. The cut points are the layers `block1`, `block2` and so on.

    Args:
        image_shape: `(height, width, channels)`, height and width at least 4.
        num_blocks: 3, 4 or 5.
        width: channels of a block, the paper's 192; the first block narrows to half of it.
        seed: of the initial weights.

    Returns:
        `keras.Model` from `(B, height, width, channels)` pixels in 0..255 to float32
        `(B, width)`, the averages over the last block's maps.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> extractor = nin_extractor((32, 32, 3), width=24)
        >>> extractor.output_shape, [layer.name for layer in extractor.layers[-3:-1]]
        ((None, 24), ['block4_norm3', 'block4'])

    Reference: section 4.1 of https://arxiv.org/abs/1803.07728; the layers are those of Lin, Chen
    and Yan, 2014, https://arxiv.org/abs/1312.4400
    """
    if not is_whole(num_blocks) or num_blocks not in (3, 4, 5):
        raise ValueError(f"num_blocks must be 3, 4 or 5, got {got(num_blocks)}")
    check_count("width", width)
    check_image_shape(image_shape, smallest=4)
    check_seed(seed)
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
            x = pools[number](3, strides=2, padding="same", name=f"block{number}")(x)
    features = layers.GlobalAveragePooling2D(name="features")(x)
    return reinitialise(keras.Model(images, features, name=f"nin{num_blocks}"), seed=seed)


# What the study and the pretraining job know by name: `NETWORKS[name](image_shape, seed)`.
NETWORKS = {
    "conv_blocks": lambda shape, seed: conv_blocks_extractor(shape, (32, 64, 128), seed=seed),
    "conv_blocks_wide": lambda shape, seed: conv_blocks_extractor(shape, seed=seed),
    "nin3": lambda shape, seed: nin_extractor(shape, 3, width=48, seed=seed),
    "nin4": lambda shape, seed: nin_extractor(shape, 4, width=48, seed=seed),
    "nin5": lambda shape, seed: nin_extractor(shape, 5, width=48, seed=seed),
    "two_conv": lambda shape, seed: two_conv_extractor(shape, seed=seed),
}


def block_names(extractor):
    """Return the names of an extractor's cut points, from the lowest block to the highest.

    Args:
        extractor: `keras.Model` of this package, or any whose cut points are named alike.

    Returns:
        tuple of layer names: `block1`, `block2` ..., or `pool1`, `pool2` of the blog's network.

    Raises:
        ValueError: `extractor` is no functional model with one input.

    Example:
        >>> block_names(conv_blocks_extractor((28, 28, 1)))
        ('block1', 'block2', 'block3')
    """
    check_functional(extractor, "extractor")
    names = [layer.name for layer in extractor.layers]
    return tuple(name for name in names if re.fullmatch(r"(block|pool)\d+", name))


def cut(extractor, block, *, share_weights=False):
    """Take the network up to one of its blocks.

    Args:
        extractor: functional `keras.Model`.
        block: the number of the block, from 1, or the name of any layer.
        share_weights: False copies what remains; True goes on using the extractor's own layers.

    Returns:
        `keras.Model` from the extractor's input to the maps of the block, `(B, H, W, C)`.

    Raises:
        ValueError: no such block, or `extractor` is no functional model with one input.

    Example:
        >>> cut(conv_blocks_extractor((28, 28, 1)), 2).output_shape
        (None, 7, 7, 128)

    Reference: the probes of each block are table 1 of https://arxiv.org/abs/1803.07728
    """
    # What a model within the model puts out belongs to its own graph.
    name = _layer_of_block(extractor, block, nested=False)
    lower = keras.Model(extractor.inputs[0], extractor.get_layer(name).output, name=extractor.name)
    return lower if share_weights else copy_model(lower)


def join_blocks(extractor, blocks=None, *, grid=4):
    """Put the maps of one or several blocks side by side, as one vector of features an image.

    Each map is averaged over the cells of a small grid, so that the vector keeps roughly where
    something is: averages over whole maps, which `conv_blocks_extractor` ends in, have lost that.

    Args:
        extractor: functional `keras.Model` from images; its weights are copied.
        blocks: numbers or layer names as `cut` takes them; None for all blocks but the first.
        grid: most cells along height and width.

    Returns:
        `keras.Model` from the extractor's input to `(B, D)`, with the extractor's layers up to the
        highest of the blocks.

    Raises:
        ValueError: a block that the extractor does not have or whose output are no maps, none at
            all, an extractor that is no functional model with one input, or `grid` below 1.

    Example:
        >>> extractor = conv_blocks_extractor((28, 28, 1), widths=(8, 16, 32))
        >>> join_blocks(extractor, [2, 3]).output_shape
        (None, 544)
    """
    check_count("grid", grid)
    names = block_names(extractor)
    layers = layers_of_blocks(extractor, (names[1:] or names) if blocks is None else blocks)
    extractor = copy_model(extractor)
    vectors = [_on_grid(extractor.get_layer(layer).output, grid) for layer in layers]
    joined = keras.layers.Concatenate(name="joined")(vectors) if len(vectors) > 1 else vectors[0]
    return keras.Model(extractor.inputs[0], joined, name=extractor.name)


def attach_head(extractor, num_classes, *, share_weights=False, seed=0):
    """Put a linear classification head on an extractor.

    Args:
        extractor: functional `keras.Model` whose output is a batch of vectors, `(B, D)`.
        num_classes: number of outputs of the head.
        share_weights: False copies the extractor, so that training the new model never changes
            the old one; True builds on its very layers.
        seed: of the head's initial weights.

    Returns:
        `keras.Model` from the extractor's input to logits `(B, num_classes)`; the new last layer
        is named "head". The extractor's layers are frozen where they were frozen before.

    Raises:
        ValueError: the extractor is no functional model with one `(B, D)` output or has a head
            already, `num_classes` is below 1, or `seed` is none.

    Example:
        >>> model = attach_head(two_conv_extractor((28, 28, 1)), 10)
        >>> model.output_shape, model.layers[-1].name
        ((None, 10), 'head')
    """
    check_extractor(extractor)
    check_count("num_classes", num_classes)
    check_seed(seed)
    if not share_weights:
        extractor = copy_model(extractor)
    initializer = keras.initializers.GlorotUniform(seed=int(seed))  # Keras takes none of NumPy's
    head = keras.layers.Dense(
        num_classes, kernel_initializer=initializer, dtype="float32", name=HEAD
    )
    return keras.Model(
        extractor.inputs[0], head(extractor.outputs[0]), name=f"{extractor.name}_head"
    )


def remove_head(model, *, share_weights=False):
    """Take the head off a model.

    Args:
        model: a model that `attach_head` or `swap_head` built.
        share_weights: False copies what remains; True goes on using the model's own layers.

    Returns:
        The extractor, `keras.Model` from the model's input to the features that the head reads.

    Raises:
        ValueError: the model has no layer named "head".

    Example:
        >>> model = attach_head(two_conv_extractor((28, 28, 1)), 10)
        >>> remove_head(model).output_shape
        (None, 16)
    """
    names = [layer.name for layer in model.layers] if isinstance(model, keras.Model) else ()
    if HEAD not in names:
        raise ValueError(
            f'model must have a layer named "{HEAD}", got the layers {names}; for a network of '
            "your own, name the cut point yourself: "
            "keras.Model(model.input, model.get_layer(NAME).output)"
        )
    name = model.name.removesuffix(f"_{HEAD}")
    extractor = keras.Model(model.inputs[0], model.get_layer(HEAD).input, name=name)
    return extractor if share_weights else copy_model(extractor)


def swap_head(model, num_classes, *, share_weights=False, seed=0):
    """Replace a model's head with a new one, for example rotations with classes of clothing.

    Args:
        model: a model that `attach_head` or `swap_head` built.
        num_classes: number of outputs of the new head.
        share_weights: False copies the extractor's weights; True builds on its very layers, so
            that training the new model also changes the old one.
        seed: of the new head's initial weights.

    Returns:
        `keras.Model` from the same input to logits `(B, num_classes)`.

    Raises:
        ValueError: the model has no layer named "head", `num_classes` is below 1, or `seed` is
            none.

    Example:
        >>> rotation_model = attach_head(two_conv_extractor((28, 28, 1)), 4)
        >>> swap_head(rotation_model, 10).output_shape
        (None, 10)
    """
    extractor = remove_head(model, share_weights=True)
    return attach_head(extractor, num_classes, share_weights=share_weights, seed=seed)


def freeze(model):
    """Hold everything below the head still; without a head, the whole model.

    A frozen batch normalisation layer works in inference mode: its statistics stay as they are
    and are what it normalises with. A compiled model is compiled anew with a fresh optimiser,
    since Keras would otherwise go on training the old set of weights.

    Args:
        model: `keras.Model`, changed in place.

    Returns:
        The same model.

    Raises:
        ValueError: `model` is no `keras.Model`.

    Example:
        >>> model = freeze(attach_head(two_conv_extractor((28, 28, 1)), 10))
        >>> [weight.path for weight in model.trainable_weights]
        ['head/kernel', 'head/bias']
    """
    return _set_trainable(model, lambda layer: layer.name == HEAD)


def unfreeze(model):
    """Let every layer of a model learn again; batch normalisation also updates its statistics.

    Args:
        model: `keras.Model`, changed in place; compiled anew if it was compiled.

    Returns:
        The same model.

    Raises:
        ValueError: `model` is no `keras.Model`.

    Example:
        >>> model = freeze(attach_head(two_conv_extractor((28, 28, 1)), 10))
        >>> len(unfreeze(model).trainable_weights)
        8
    """
    return _set_trainable(model, lambda layer: True)


def copy_model(model):
    """Copy a functional model with its weights, names and frozen layers.

    Raises:
        ValueError: `model` is no functional model with one input.

    Example:
        >>> extractor = two_conv_extractor((28, 28, 1))
        >>> copy_model(extractor) is extractor
        False
    """
    check_functional(model)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return finalised(copy)


def cast_model(model, precision):
    """Copy a model, weights and all, into another precision.

    Args:
        model: functional `keras.Model`.
        precision: name of a Keras dtype policy: "float32", "mixed_bfloat16" or "mixed_float16"; or
            "mixed", which is float16 on a GPU and bfloat16 on a TPU or CPU, about twice as fast
            where the machine computes in it.

    Returns:
        A new `keras.Model` with the same layer names; its weights are float32 in any case, and a
        head computes its logits in float32.

    Raises:
        ValueError: `precision` is no such name, or `model` no functional model with one input.

    Example:
        >>> model = cast_model(two_conv_extractor((28, 28, 1)), "mixed_bfloat16")
        >>> model.output.dtype, model.weights[0].dtype
        ('bfloat16', 'float32')
    """
    check_choice("precision", precision, PRECISIONS)
    check_functional(model)
    if precision == "mixed":
        precision = "mixed_float16" if running_accelerator() == "GPU" else "mixed_bfloat16"

    def cast(layer):
        if not isinstance(layer, keras.layers.Layer):  # an operation, as in `x / 127.5`
            return layer.__class__.from_config(layer.get_config())
        dtype = "float32" if layer.name == HEAD else precision
        return layer.__class__.from_config(layer.get_config() | {"dtype": dtype})

    copy = keras.models.clone_model(model, clone_function=cast, recursive=True)
    copy.set_weights(model.get_weights())
    return finalised(copy)


def reinitialise(model, *, seed):
    """Build the same network with fresh initial weights, all of them drawn from `seed`.

    Args:
        model: functional `keras.Model`; it stays as it is.
        seed: whole number; each initialiser, and each layer that is random in training, gets a
            seed of its own derived from it.

    Returns:
        A new, unfrozen `keras.Model` of the same architecture and layer names. What a
        `Normalization` layer was adapted to is data and not learnt: it stays.

    Raises:
        ValueError: `model` is no functional model with one input, or `seed` is none.

    Example:
        >>> first = two_conv_extractor((28, 28, 1), seed=1)
        >>> again = reinitialise(two_conv_extractor((28, 28, 1), seed=2), seed=1)
        >>> all((a == b).all() for a, b in zip(first.get_weights(), again.get_weights()))
        True
    """
    check_functional(model)
    check_seed(seed)
    parts = len(model.layers) + len(model.weights)
    seeds = iter(np.random.SeedSequence(seed).generate_state(4 * parts))

    def fresh(layer):
        config = layer.get_config()
        initializers = [v["config"] for k, v in config.items() if k.endswith("_initializer") and v]
        for part in (config, *initializers):
            if "seed" in part:
                part["seed"] = int(next(seeds))
        return layer.__class__.from_config(config)

    clone = keras.models.clone_model(model, clone_function=fresh, recursive=True)
    for old, new in zip(model._flatten_layers(), clone._flatten_layers(), strict=True):
        if isinstance(old, keras.layers.Normalization):
            new.set_weights(old.get_weights())
    return unfreeze(finalised(clone))


def finalised(model):
    """The model, in which adapted layers take note of their weights, as loading a file does."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
    return model


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
        kernel_initializer=keras.initializers.HeNormal(seed=0),  # `reinitialise` draws anew
        name=name,
    )
    return layer(x)


def _normalise(x, *, name, output):
    x = keras.layers.BatchNormalization(name=name)(x)
    return keras.layers.ReLU(name=output)(x)


def _on_grid(maps, grid):
    """Averages over at most `grid` by `grid` cells, as vectors; a vector stays as it is."""
    if len(maps.shape) == 2:
        return maps
    height, width = maps.shape[1:3]
    cell = (-(-height // grid), -(-width // grid))
    maps = keras.layers.AveragePooling2D(cell, padding="same")(maps)
    return keras.layers.Flatten()(maps)


def _set_trainable(model, may_train):
    if not isinstance(model, keras.Model):
        raise ValueError(f"model must be a keras.Model, got {got(model)}")
    for layer in model.layers:
        layer.trainable = may_train(layer)
    if model.compiled:
        model.compile_from_config(model.get_compile_config())
    return model


def layers_of_blocks(extractor, blocks):
    """Return the names of the layers that numbers or names mean, or raise if one gives no maps."""
    if isinstance(blocks, (tuple, list)) and not blocks:
        raise ValueError("blocks must name at least one block, got none")
    blocks = check_list("blocks", blocks, "number or name of a layer")
    names = [_layer_of_block(extractor, block, "blocks: each block") for block in blocks]
    maps = [extractor.get_layer(name).output for name in names]
    if not all(isinstance(x, keras.KerasTensor) and len(x.shape) == 4 for x in maps):
        raise ValueError(f"blocks must put out maps (B, H, W, C), got {blocks}")
    return names


def _layer_of_block(extractor, block, argument="block", *, nested=True):
    """The layer that a number or a name means, a model within the model too, if it may be one."""
    blocks = block_names(extractor)
    if is_whole(block) and 1 <= block <= len(blocks):
        return blocks[block - 1]
    single = (layer for layer in extractor.layers if nested or not isinstance(layer, keras.Model))
    layers = [layer.name for layer in single]
    if not isinstance(block, str) or block not in layers:
        raise ValueError(
            f"{argument} must be a number from 1 to {len(blocks)} or the name of a layer, such as "
            f"one of {blocks}, got {got(block)}"
        )
    return block


def check_extractor(extractor, name="extractor"):
    """Raise unless a head can be attached to `extractor`."""
    check_functional(extractor, name)
    shape = extractor.output_shape
    if not isinstance(shape, tuple) or len(shape) != 2:
        raise ValueError(
            f"{name} must be a functional keras.Model with one output (B, D), "
            f"got {extractor!r} with output {shape}"
        )
    if any(layer.name == HEAD for layer in extractor.layers):
        raise ValueError(
            f'{name} must have no layer named "{HEAD}", got one; use swap_head to replace it'
        )


def _check_widths(widths):
    widths = tuple(widths) if isinstance(widths, (tuple, list)) else (widths,)
    for width in widths:
        check_count("widths", width)
    if not widths:
        raise ValueError("widths must be one or more whole numbers of at least 1, got none")
    return widths


def check_image_shape(image_shape, *, smallest=1):
    """Return `(height, width, channels)`, or raise unless it is three numbers large enough."""
    shape = tuple(image_shape) if isinstance(image_shape, (tuple, list)) else (image_shape,)
    whole = all(is_whole(size) and size > 0 for size in shape)
    if len(shape) != 3 or not whole or min(shape[:2]) < smallest:
        raise ValueError(
            f"image_shape must be (height, width, channels), height and width at least {smallest}, "
            f"got {got(image_shape)}"
        )
    return shape
