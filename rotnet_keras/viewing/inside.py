"""What a trained network looks at: where it responds, its first filters, which images are alike."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import keras
import numpy as np
from sklearn.neighbors import NearestNeighbors

from rotnet_keras._base.arrays import Images, check_features, check_indices
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.networks import Model, extractor_takes_images
from rotnet_keras._base.values import Count, check_list, check_number, got
from rotnet_keras.blocks import Blocks, block_names, check_blocks, layers_of_blocks
from rotnet_keras.heads import copy_model

LARGEST = float(np.finfo("float32").max)


def _check_powers(name, powers):
    """Return powers as a list, or raise."""
    powers = check_list(name, powers, "number above 0, one for each block")
    for power in powers:
        check_number(name, power, "above 0, within float32", lambda x: 0 < x <= LARGEST)
    return powers


def _queries_are_places(features, queries):
    return {"queries": check_indices("queries", queries, len(features), of="features")}


def _others_are_enough(features, count):
    if count >= len(features):
        raise InputError(
            f"count must be at most {len(features) - 1}, the other features, got {count}"
        )


# What a signature says beside an argument.
Powers = Annotated[Sequence[float], _check_powers]
SeveralFeatures = Annotated[np.ndarray, partial(check_features, least=2)]


@public(extractor_takes_images)
def attention_maps(
    extractor: Model,
    images: Images,
    *,
    blocks: Blocks | None = None,
    powers: Powers | None = None,
    batch_size: Count = 250,
) -> dict[str, np.ndarray]:
    """Compute where in each image the blocks of a network respond most.

    The sizes of a block's activations are raised to a power and summed over its channels; a higher
    power leaves only the places of the strongest few. For the four rotations of an image, as the
    paper shows them, give `rotate_batch(images)[0]`.

    Args:
        extractor: functional `keras.Model` from images.
        images: `(N, H, W, C)` array of pixels 0..255.
        blocks: numbers or layer names as `cut_at_block` takes them; None for all of `block_names`.
        powers: one number above 0 for each block; None for 1, 2, 4 and so on, doubled from block
            to block, as in the paper.
        batch_size: images computed at a time.

    Returns:
        `{name: float32 (N, h, w)}`, at least 0, in the order of `blocks`, with h and w of the
        block's maps. `plot_attention_maps` draws them.

    Raises:
        InputError: the extractor does not have one of the blocks, one is listed twice or gives no
            maps; there is not one power above 0 for each block, or one is so high that float32
            does not hold the sums; the extractor does not take the images; or `batch_size` is
            below 1.

    Example:
        >>> extractor = conv_blocks_extractor((28, 28, 1), widths=(8, 16))
        >>> maps = attention_maps(extractor, np.zeros((5, 28, 28, 1), "uint8"))
        >>> {name: values.shape for name, values in maps.items()}
        {'block1': (5, 14, 14), 'block2': (5, 7, 7)}

    Reference: the attention maps of https://arxiv.org/abs/1803.07728; the sum of powers is from
    Zagoruyko and Komodakis, 2017, https://arxiv.org/abs/1612.03928
    """
    all_blocks = check_blocks("blocks", block_names(extractor)) if blocks is None else blocks
    names = layers_of_blocks(extractor, all_blocks)
    if len({*names}) < len(names):
        raise InputError(f"blocks must be different ones, got {names}")
    powers = [2**k for k in range(len(names))] if powers is None else powers
    if len(powers) != len(names):
        raise InputError(f"powers must be {len(names)}, one for each of {names}, got {got(powers)}")
    powers = [float(power) for power in powers]  # Keras takes none of NumPy's
    extractor = copy_model(extractor)  # in which models within the model are of one graph with it
    outputs = [extractor.get_layer(name).output for name in names]
    network = keras.Model(extractor.inputs[0], outputs)  # one pass for all blocks
    batches = []
    for start in range(0, len(images), batch_size):
        activations = network(images[start : start + batch_size], training=False)
        activations = keras.tree.flatten(activations)  # of one block, Keras gives no list
        batches.append([_summed(x, power) for x, power in zip(activations, powers, strict=True)])
    maps = dict(zip(names, map(np.concatenate, zip(*batches, strict=True)), strict=True))
    for name, power in zip(names, powers, strict=True):
        if not np.isfinite(maps[name]).all():
            raise InputError(f"powers must keep sums within float32, got {power} for {name}")
    return maps


@public()
def first_filters(extractor: Model) -> np.ndarray:
    """Return the filters of a network's first convolution.

    Args:
        extractor: functional `keras.Model` with a `Conv2D` layer, in itself or in a model within.

    Returns:
        float32 array `(h, w, C, F)`: F filters of h x w pixels on C channels. `plot_filters` draws
        those of several networks side by side.

    Raises:
        InputError: `extractor` is not a functional model with one input, or has no `Conv2D` layer.

    Example:
        >>> first_filters(two_conv_extractor((28, 28, 1))).shape
        (3, 3, 1, 16)

    Reference: the first-layer filters of https://arxiv.org/abs/1803.07728
    """
    convolution = next(_convolutions(extractor), None)
    if convolution is None:
        names = [layer.name for layer in extractor.layers]
        raise InputError(f"extractor must have a Conv2D layer, got {extractor.name}: {got(names)}")
    return keras.ops.convert_to_numpy(convolution.kernel).astype("float32")  # a copy


@public(_queries_are_places, _others_are_enough)
def similar_images(
    features: SeveralFeatures, queries: Sequence[int] | np.ndarray, *, count: Count = 8
) -> tuple[np.ndarray, np.ndarray]:
    """Find the images whose features point most nearly the same way as those of some images.

    Args:
        features: `(N, D)` array, as `extract_features` returns it.
        queries: `(Q,)` whole numbers, places in `features` of the images to compare with.
        count: K, how many to find for each, at most N - 1; an image itself is never among them.

    Returns:
        `(neighbours, similarities)`: integers `(Q, K)`, places in `features`, the most similar one
        first, and float32 `(Q, K)` cosine similarities, -1 to 1. Features that are all 0 have a
        similarity of 0 to any. `plot_neighbours` shows the images.

    Raises:
        InputError: `features` is not finite and `(N, D)` with N at least 2, `queries` are not
            places in it, or `count` is below 1 or above N - 1.

    Example:
        >>> neighbours, similarities = similar_images([[1, 0], [0, 2], [3, 0]], [0], count=2)
        >>> neighbours.tolist(), similarities.tolist()
        ([[2, 1]], [[1.0, 0.0]])
    """
    features = features.astype("float64")
    # By a power of two, which rounds nothing: squares could be too large, or 0.
    features = np.ldexp(features, -np.frexp(np.abs(features).max())[1])
    search = NearestNeighbors(n_neighbors=count + 1, metric="cosine").fit(features)
    distances, neighbours = search.kneighbors(features[queries])
    others = neighbours != np.expand_dims(queries, 1)
    # Among many images with the same features, the image itself may not be one of those found.
    others[others.all(axis=1), -1] = False
    shape = (len(queries), count)
    return neighbours[others].reshape(shape), (1 - distances[others].reshape(shape)).astype("f4")


def _summed(activations, power):
    strengths = keras.ops.abs(keras.ops.cast(activations, "float32"))
    return keras.ops.convert_to_numpy(keras.ops.sum(strengths**power, axis=-1))


def _convolutions(model):
    """The convolutions of a model and of those within it, from its input on."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            yield layer
        elif isinstance(layer, keras.Model):
            yield from _convolutions(layer)
