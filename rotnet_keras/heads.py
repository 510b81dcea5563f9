"""Heads on and off, freezing, copies of networks, and the precision they compute in."""

from __future__ import annotations

import keras
import numpy as np

from rotnet_keras._base.errors import InputError
from rotnet_keras._base.networks import check_functional
from rotnet_keras._base.values import check_choice, check_count, check_seed, got
from rotnet_keras.running.runtime import running_accelerator

HEAD = "head"
PRECISIONS = ("float32", "mixed", "mixed_bfloat16", "mixed_float16")


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
        raise InputError(
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


def _set_trainable(model, may_train):
    if not isinstance(model, keras.Model):
        raise InputError(f"model must be a keras.Model, got {got(model)}")
    for layer in model.layers:
        layer.trainable = may_train(layer)
    if model.compiled:
        model.compile_from_config(model.get_compile_config())
    return model


def check_extractor(extractor, name="extractor"):
    """Raise unless a head can be attached to `extractor`."""
    check_functional(extractor, name)
    shape = extractor.output_shape
    if not isinstance(shape, tuple) or len(shape) != 2:
        raise InputError(
            f"{name} must be a functional keras.Model with one output (B, D), "
            f"got {extractor!r} with output {shape}"
        )
    if any(layer.name == HEAD for layer in extractor.layers):
        raise InputError(
            f'{name} must have no layer named "{HEAD}", got one; use swap_head to replace it'
        )
