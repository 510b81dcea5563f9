"""Cut points of a network: its blocks by number or name, cut off there, or put side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

import keras

from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.networks import Model
from rotnet_keras._base.values import Count, check_list, got, is_whole
from rotnet_keras.heads import copy_model


def check_blocks(name, blocks):
    """Return numbers or names of blocks as a list, or raise; whether they exist is not checked."""
    if isinstance(blocks, (tuple, list)) and not blocks:
        raise InputError(f"{name} must name at least one block, got none")
    return check_list(name, blocks, "number or name of a layer")


Blocks = Annotated[Sequence[int | str], check_blocks]


@public()
def block_names(extractor: Model) -> tuple[str, ...]:
    """Return the names of an extractor's cut points, from the lowest block to the highest.

    Args:
        extractor: functional `keras.Model` whose cut points are named as in this package.

    Returns:
        tuple of layer names: `block1`, `block2` ..., or `pool1`, `pool2` of the blog's network.

    Raises:
        InputError: `extractor` is not a functional model with one input.

    Example:
        >>> block_names(conv_blocks_extractor((28, 28, 1)))
        ('block1', 'block2', 'block3')
    """
    names = [layer.name for layer in extractor.layers]
    return tuple(name for name in names if re.fullmatch(r"(block|pool)\d+", name))


@public()
def cut_at_block(extractor: Model, block: int | str, *, share_weights: bool = False) -> keras.Model:
    """Take the network up to one of its blocks.

    Args:
        extractor: functional `keras.Model`.
        block: the number of the block, from 1, or the name of any layer.
        share_weights: False copies what remains; True goes on using the extractor's own layers.

    Returns:
        `keras.Model` from the extractor's input to the maps of the block, `(B, H, W, C)`.

    Raises:
        InputError: there is no such block, or `extractor` is not a functional model with one input.

    Example:
        >>> cut_at_block(conv_blocks_extractor((28, 28, 1)), 2).output_shape
        (None, 7, 7, 64)

    Reference: the probes of each block are table 1 of https://arxiv.org/abs/1803.07728
    """
    # The output of a model within the model belongs to a graph of its own, and cannot be cut at.
    name = _layer_of_block(extractor, block, nested=False)
    lower = keras.Model(extractor.inputs[0], extractor.get_layer(name).output, name=extractor.name)
    return lower if share_weights else copy_model(lower)


cut = cut_at_block  # its name in version 0.1


@public()
def join_blocks(extractor: Model, blocks: Blocks | None = None, *, grid: Count = 4) -> keras.Model:
    """Put the maps of one or several blocks side by side, as one vector of features an image.

    Each map is averaged over the cells of a small grid, so that the vector keeps roughly where
    something is: averages over whole maps, which `conv_blocks_extractor` ends in, have lost that.

    Args:
        extractor: functional `keras.Model` from images; its weights are copied.
        blocks: numbers or layer names as `cut_at_block` takes them; None for all but the first.
        grid: most cells along height and width.

    Returns:
        `keras.Model` from the extractor's input to `(B, D)`, with the extractor's layers up to the
        highest of the blocks.

    Raises:
        InputError: a block that the extractor does not have or whose output is not maps, no block
            at all, an extractor that is not a functional model with one input, or `grid` below 1.

    Example:
        >>> extractor = conv_blocks_extractor((28, 28, 1), widths=(8, 16, 32))
        >>> join_blocks(extractor, [2, 3]).output_shape
        (None, 544)
    """
    if blocks is None:
        need_blocks(extractor)
        names = block_names(extractor)
        blocks = names[1:] or names
    layers = layers_of_blocks(extractor, blocks)
    extractor = copy_model(extractor)
    vectors = [_on_grid(extractor.get_layer(layer).output, grid) for layer in layers]
    joined = keras.layers.Concatenate(name="joined")(vectors) if len(vectors) > 1 else vectors[0]
    return keras.Model(extractor.inputs[0], joined, name=extractor.name)


def _on_grid(maps, grid):
    """Averages over at most `grid` by `grid` cells, as vectors."""
    height, width = maps.shape[1:3]
    if height is None or width is None:
        raise InputError(f"extractor must be for images of one size, got maps {maps.shape}")
    cell = (-(-height // grid), -(-width // grid))
    maps = keras.layers.AveragePooling2D(cell, padding="same", data_format="channels_last")(maps)
    return keras.layers.Flatten("channels_last")(maps)


def need_blocks(extractor):
    """A relation: the network has cut points."""
    if extractor is not None and not block_names(extractor):
        raise InputError(
            "extractor must have blocks, layers named block1, block2 and so on, got "
            f"{extractor.name!r} without any"
        )


def layers_of_blocks(extractor, blocks):
    """Return the names of the layers that numbers or names mean, or raise if one gives no maps."""
    names = [_layer_of_block(extractor, block, "blocks: each block") for block in blocks]
    maps = [extractor.get_layer(name).output for name in names]
    if not all(isinstance(x, keras.KerasTensor) and len(x.shape) == 4 for x in maps):
        raise InputError(f"blocks must give maps (B, H, W, C), got {blocks}")
    return names


def _layer_of_block(extractor, block, argument="block", *, nested=True):
    """The layer that a number or a name means, a model within the model too, if it may be one."""
    blocks = block_names(extractor)
    if is_whole(block) and 1 <= block <= len(blocks):
        return blocks[block - 1]
    single = (layer for layer in extractor.layers if nested or not isinstance(layer, keras.Model))
    layers = [layer.name for layer in single]
    if not isinstance(block, str) or block not in layers:
        raise InputError(
            f"{argument} must be a number from 1 to {len(blocks)} or the name of a layer, such as "
            f"one of {blocks}, got {got(block)}"
        )
    return block
