"""Extractors by name, or from any functional Keras model, such as those of keras.applications."""

from __future__ import annotations

import difflib
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import keras

from rotnet_keras._base.door import public
from rotnet_keras._base.errors import DatasetError, InputError, blaming
from rotnet_keras._base.keras_private import all_layers, is_functional, run_on
from rotnet_keras._base.model_files import check_weights, load_model
from rotnet_keras._base.values import (
    BatchFunction,
    Count,
    Seed,
    got,
)
from rotnet_keras.heads import HEAD, copy_model, finalised, with_random_weights
from rotnet_keras.models import NETWORKS, ImageShape, image_shape_of

SMALLEST = 75  # pixels; no network of keras.applications wants more
APPLICATIONS = tuple(sorted(n for n in vars(keras.applications) if n[0].isupper()))


def _grey_or_colour(name, image_shape):
    shape = image_shape_of(name, image_shape)
    if shape[2] not in (1, 3):
        raise InputError(
            f"{name} must be (height, width, channels) with 1 or 3 channels, got {got(image_shape)}"
        )
    return shape


GreyOrColour = Annotated[Sequence[int], _grey_or_colour]


@public()
def make_extractor(
    backbone: Any,
    image_shape: ImageShape,
    *,
    weights: Any = None,
    layer: str | None = None,
    seed: Seed = 0,
) -> keras.Model:
    """Build an extractor by the name of its network, or from a network that you have.

    Args:
        backbone: a name from `NETWORKS` ("two_conv", "conv_blocks", ...), or what
            `backbone_extractor` takes.
        image_shape: `(height, width, channels)`.
        weights: as in `backbone_extractor`; networks of this package have none.
        layer: name of the layer to cut at; None for the network's own features.
        seed: of the initial weights.

    Returns:
        `keras.Model` from `(B, height, width, channels)` pixels in 0..255 to features `(B, D)`.

    Raises:
        DatasetError: weights that cannot be downloaded.
        InputError: as `backbone_extractor`.

    Example:
        >>> make_extractor("two_conv", (28, 28, 1)).output_shape
        (None, 16)
    """
    if not isinstance(backbone, str) or backbone not in NETWORKS:
        shape = _grey_or_colour("image_shape", image_shape)
        return backbone_extractor(backbone, shape, weights=weights, layer=layer, seed=seed)
    if weights is not None:
        raise InputError(f"weights must be None for the network {backbone!r}, got {got(weights)}")
    extractor = NETWORKS[backbone](image_shape, seed)
    if layer is None:
        return extractor
    return backbone_extractor(extractor, _grey_or_colour("image_shape", image_shape), layer=layer)


@public()
def backbone_extractor(
    backbone: Any,
    image_shape: GreyOrColour,
    *,
    weights: Any = None,
    layer: str | None = None,
    preprocess: BatchFunction | None = None,
    input_size: Count | None = None,
    seed: Seed = 0,
) -> keras.Model:
    """Make an extractor of any functional Keras model, from unchanged images to a vector each.

    Images are brought to the size, the channels and the range of pixels that the network wants by
    layers of the extractor itself; the network's own layers keep their names and can be cut at
    (`cut_at_block`, `join_blocks`, `linear_probe`). The running averages of batch normalisation
    move at least as fast as Keras's default: MobileNet's own need thousands of updates, more than
    few labels allow.

    Args:
        backbone: name of a network of `keras.applications`, such as "MobileNetV2"; a `.keras` file;
            or a functional `keras.Model` with one image input, which stays as it is.
        image_shape: `(height, width, channels)`, one or three channels.
        weights: None for random ones from `seed` (a model or file keeps its own); "imagenet", which
            are downloaded once, for a name; or an `.h5` file of the network's weights, for a name
            those without the top.
        layer: name of the layer to cut at; None for the last one.
        preprocess: function from pixels 0..255 to what the network wants, made of Keras's layers
            and operations; None for that of the application, and for nothing otherwise.
        input_size: height and width that the network works at; None for those that it was built
            for. An application is built for the size of the images, but at least 75.
        seed: of random weights.

    Returns:
        `keras.Model` from `(B, height, width, channels)` pixels in 0..255 to float32 `(B, D)`; maps
        are averaged by a last layer named "features".

    Raises:
        DatasetError: weights that cannot be downloaded.
        InputError: an unknown name or layer, a model that is not functional or does not take
            images, or weights that do not fit it.

    Example:
        >>> extractor = backbone_extractor("MobileNetV2", (28, 28, 1), layer="block_3_expand_relu")
        >>> extractor.output_shape, extractor.layers[0].output.shape
        ((None, 144), (None, 28, 28, 1))

    Reference: https://keras.io/api/applications
    """
    if isinstance(backbone, str) and backbone in APPLICATIONS:
        network, own = _application(
            backbone, input_size or max(*image_shape[:2], SMALLEST), weights
        )
        preprocess = own if preprocess is None else preprocess
    else:
        network = _own_network(backbone)
        if weights is not None:
            _load_weights(network, weights)
    images = keras.Input(image_shape, name="images")
    x = _as_wanted(images, network.input_shape, input_size)
    x = x if preprocess is None else _preprocessed(x, preprocess)
    extractor = _cut_flat(network, images, x, layer)
    fresh = with_random_weights(extractor, seed=seed)  # Dropout and the like get a seed, too
    if isinstance(backbone, str) and backbone in APPLICATIONS and weights is None:
        return fresh
    fresh.set_weights(extractor.get_weights())
    return finalised(fresh)


def _application(name, size, weights):
    """A network of keras.applications without its top, and its own preprocessing."""
    if keras.config.image_data_format() != "channels_last":
        raise InputError(
            f"backbone {name} must be built for images (H, W, C), got the layout 'channels_first' "
            'of keras.json; call keras.config.set_image_data_format("channels_last")'
        )
    build = getattr(keras.applications, name)
    downloaded = "imagenet" if weights == "imagenet" else None
    building = blaming(f"backbone {name} cannot be built for {size} pixels: ")
    if downloaded:
        mend = "Connect to the network and try again, or give the .h5 file of the network's weights"
        said = f"weights 'imagenet' of {name} cannot be had: "
        building = blaming(said, mend=f". {mend} without its top", kind=DatasetError)
    with building:  # Keras raises a bare Exception where a download fails
        network = build(weights=downloaded, include_top=False, input_shape=(size, size, 3))
    if weights not in (None, "imagenet"):
        _load_weights(network, weights)
    return network, sys.modules[build.__module__].preprocess_input


def _own_network(backbone):
    if isinstance(backbone, (str, os.PathLike)) and str(backbone).endswith(".keras"):
        backbone = load_model(backbone, "backbone")
    functional = isinstance(backbone, keras.Model) and is_functional(backbone)
    if not functional or len(backbone.inputs) != 1 or len(backbone.inputs[0].shape) != 4:
        raise InputError(
            "backbone must be a functional keras.Model with one input of images, a .keras file of "
            f"one, one of {', '.join(NETWORKS)}, or of the {len(APPLICATIONS)} networks of "
            f"keras.applications, such as {_near(backbone, APPLICATIONS)}; got {got(backbone)}"
        )
    if len(backbone.outputs) != 1:
        raise InputError(f"backbone must have one output, got {len(backbone.outputs)}")
    # Not layers without a configuration, or with code, which is not run.
    with blaming("backbone must be a model that Keras can copy: "):
        return copy_model(backbone)


def _load_weights(network, weights):
    path = pathlib.Path(weights) if isinstance(weights, (str, os.PathLike)) else None
    if path is None or not path.is_file() or path.suffix != ".h5":
        raise InputError(
            "weights must be None, 'imagenet' or an .h5 file of weights, for a model or file of "
            f"one not 'imagenet', got {got(weights)}"
        )
    with blaming(f"weights {path} do not fit {network.name}: ", (ValueError, OSError, KeyError)):
        check_weights(path)
        network.load_weights(path)


def _as_wanted(images, wanted, input_size):
    """Bring images to the height, width and channels that a network wants."""
    height, width, channels = (input_size or wanted[1], input_size or wanted[2], wanted[3])
    x = images
    if (height, width) != (None, None) and (height, width) != tuple(images.shape[1:3]):
        x = keras.layers.Resizing(height, width, antialias=True, name="to_size")(x)
    given = images.shape[-1]
    if channels == 3 and given == 1:
        x = keras.layers.Concatenate(name="to_channels")([x, x, x])
    elif channels == 1 and given == 3:
        x = keras.ops.image.rgb_to_grayscale(x)
    elif channels not in (None, given):
        raise InputError(f"backbone must take 1 or 3 channels, or {given}, got {channels}")
    return x


def _preprocessed(x, preprocess):
    said = f"preprocess must be made of Keras's layers and operations, got {preprocess!r}, which "
    with blaming(f"{said}raises "):
        y = preprocess(x)
    if not keras.backend.is_keras_tensor(y):
        raise InputError(f"preprocess must give images again, one output, got {got(y)}")
    return y


def _cut_flat(network, images, x, layer):
    """The network's layers up to one of them, on `x` made from images, and not nested in it."""
    names = [part.name for part in network.layers]
    if layer is not None and (not isinstance(layer, str) or layer not in names):
        raise InputError(
            f"layer must be the name of one of the layers of {network.name}, {len(names)} in all, "
            f"such as {_near(layer, names)}; got {got(layer)}"
        )
    for part in all_layers(network):
        if isinstance(part, keras.layers.BatchNormalization):
            part.momentum = min(part.momentum, 0.99)
    end = network.outputs[0] if layer is None else network.get_layer(layer).output
    if layer is None and HEAD in names:  # a classifier of this package
        end = network.get_layer(HEAD).input
    if len(end.shape) not in (2, 4):
        raise InputError(f"layer must give maps or vectors, got {layer or 'the last'}: {end.shape}")
    lower = keras.Model(network.inputs[0], end)
    # What clone_model does, too; called on x, a model would become one nested layer without names.
    wanted = "image_shape, input_size and preprocess must lead to what"
    with blaming(f"{wanted} {network.name} can be built for, got {x.shape[1:]}: ", ValueError):
        features = run_on(lower, x)
    if len(features.shape) > 2:
        features = keras.layers.GlobalAveragePooling2D(
            name="features", data_format="channels_last"
        )(features)
    return keras.Model(images, features, name=network.name)


def _near(name, known):
    """Three of the names: the most alike, else the last ones."""
    near = difflib.get_close_matches(name, known, n=3) if isinstance(name, str) else []
    return ", ".join(near or known[-3:])
