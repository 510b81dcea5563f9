"""Networks in Keras's functional API: extractors, heads on and off, freezing.

Everything here is made of built-in Keras layers, so that a saved `.keras` file loads with plain
Keras. The convention that holds it together: an *extractor* is a functional model from raw
0..255 pixels to features, and a *head* is one layer named "head" on top of it.
"""

from __future__ import annotations

import keras
import numpy as np

from rotnet_keras._checks import check_count

HEAD = "head"


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
            for two convolutions, or `feature_dim` is below 1.

    Example:
        >>> extractor = two_conv_extractor((28, 28, 1))
        >>> extractor.output_shape, extractor.count_params()
        ((None, 16), 17616)
    """
    _check_image_shape(image_shape, smallest=10)
    check_count("feature_dim", feature_dim)
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
            already, or `num_classes` is below 1.

    Example:
        >>> model = attach_head(two_conv_extractor((28, 28, 1)), 10)
        >>> model.output_shape, model.layers[-1].name
        ((None, 10), 'head')
    """
    _check_extractor(extractor)
    check_count("num_classes", num_classes)
    if not share_weights:
        extractor = copy_model(extractor)
    initializer = keras.initializers.GlorotUniform(seed=seed)
    head = keras.layers.Dense(num_classes, kernel_initializer=initializer, name=HEAD)
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
    names = [layer.name for layer in getattr(model, "layers", [])]
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
        ValueError: the model has no layer named "head", or `num_classes` is below 1.

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

    Example:
        >>> model = freeze(attach_head(two_conv_extractor((28, 28, 1)), 10))
        >>> len(unfreeze(model).trainable_weights)
        8
    """
    return _set_trainable(model, lambda layer: True)


def copy_model(model):
    """Copy a functional model with its weights, names and frozen layers.

    Example:
        >>> extractor = two_conv_extractor((28, 28, 1))
        >>> copy_model(extractor) is extractor
        False
    """
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def reinitialise(model, *, seed):
    """Build the same network with fresh initial weights, all of them drawn from `seed`.

    Args:
        model: functional `keras.Model`; it stays as it is.
        seed: whole number; each initialiser, and each layer that is random in training, gets a
            seed of its own derived from it.

    Returns:
        A new, unfrozen `keras.Model` of the same architecture and layer names.

    Example:
        >>> first = two_conv_extractor((28, 28, 1), seed=1)
        >>> again = reinitialise(two_conv_extractor((28, 28, 1), seed=2), seed=1)
        >>> all((a == b).all() for a, b in zip(first.get_weights(), again.get_weights()))
        True
    """
    parts = len(model.layers) + len(model.weights)
    seeds = iter(np.random.SeedSequence(seed).generate_state(4 * parts))

    def fresh(layer):
        config = layer.get_config()
        initializers = [v["config"] for k, v in config.items() if k.endswith("_initializer") and v]
        for part in (config, *initializers):
            if "seed" in part:
                part["seed"] = int(next(seeds))
        return layer.__class__.from_config(config)

    return unfreeze(keras.models.clone_model(model, clone_function=fresh, recursive=True))


def _set_trainable(model, may_train):
    for layer in model.layers:
        layer.trainable = may_train(layer)
    if model.compiled:
        model.compile_from_config(model.get_compile_config())
    return model


def _check_extractor(extractor):
    shape = getattr(extractor, "output_shape", None)
    if not isinstance(extractor, keras.Model) or not isinstance(shape, tuple) or len(shape) != 2:
        raise ValueError(
            "extractor must be a functional keras.Model with one output (B, D), "
            f"got {extractor!r} with output {shape}"
        )
    if any(layer.name == HEAD for layer in extractor.layers):
        raise ValueError('extractor has a layer named "head" already; use swap_head to replace it')


def _check_image_shape(image_shape, *, smallest):
    shape = tuple(image_shape) if isinstance(image_shape, (tuple, list)) else (image_shape,)
    whole = all(isinstance(size, (int, np.integer)) and size > 0 for size in shape)
    if len(shape) != 3 or not whole or min(shape[:2]) < smallest:
        raise ValueError(
            f"image_shape must be (height, width, channels), height and width at least {smallest}, "
            f"got {image_shape!r}"
        )
