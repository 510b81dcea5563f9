"""Heads on and off, freezing, copies of networks, and the precision they compute in."""

from __future__ import annotations

import contextlib
import random
from typing import Annotated, Literal

import keras
import numpy as np

from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.keras_private import all_layers, compile_again
from rotnet_keras._base.networks import AnyKerasModel, Model, check_functional
from rotnet_keras._base.values import Count, Seed
from rotnet_keras.running.fitting import fresh_optimizer
from rotnet_keras.running.runtime import mixed_precision

HEAD = "head"
Precision = Literal["float32", "mixed", "mixed_bfloat16", "mixed_float16"]


def check_extractor(name, extractor):
    """Return a network that a head can be attached to, or raise."""
    check_functional(extractor, name)
    shape = extractor.output_shape
    if not isinstance(shape, tuple) or len(shape) != 2 or not isinstance(shape[1], int):
        raise InputError(
            f"{name} must be a functional keras.Model with one output (B, D), "
            f"got {extractor!r} with output {shape}"
        )
    if any(layer.name == HEAD for layer in extractor.layers):
        raise InputError(
            f'{name} must be without a head, got {extractor.name} with a layer named "{HEAD}"; '
            "remove_head takes it off, or use swap_head to replace it"
        )
    return extractor


def _with_head(name, model):
    check_functional(model, name)
    names = [layer.name for layer in model.layers]
    if HEAD not in names:
        raise InputError(
            f'{name} must have a layer named "{HEAD}", got the layers {names}; for a network of '
            "your own, name the cut point yourself: "
            "keras.Model(model.input, model.get_layer(NAME).output)"
        )
    return model


Extractor = Annotated[keras.Model, check_extractor]
ModelWithHead = Annotated[keras.Model, _with_head]


@public()
def attach_head(
    extractor: Extractor, num_classes: Count, *, share_weights: bool = False, seed: Seed = 0
) -> keras.Model:
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
        InputError: the extractor is not a functional model with one `(B, D)` output or has a head
            already, `num_classes` is below 1, or `seed` is not a seed.

    Example:
        >>> model = attach_head(two_conv_extractor((28, 28, 1)), 10)
        >>> model.output_shape, model.layers[-1].name
        ((None, 10), 'head')
    """
    if not share_weights:
        extractor = copy_model(extractor)
    initializer = keras.initializers.GlorotUniform(seed=seed)
    head = keras.layers.Dense(
        num_classes, kernel_initializer=initializer, dtype="float32", name=HEAD
    )
    return keras.Model(
        extractor.inputs[0], head(extractor.outputs[0]), name=f"{extractor.name}_head"
    )


@public()
def remove_head(model: ModelWithHead, *, share_weights: bool = False) -> keras.Model:
    """Take the head off a model.

    Args:
        model: a model that `attach_head` or `swap_head` built.
        share_weights: False copies what remains; True goes on using the model's own layers.

    Returns:
        The extractor, `keras.Model` from the model's input to the features that the head reads.

    Raises:
        InputError: the model has no layer named "head".

    Example:
        >>> model = attach_head(two_conv_extractor((28, 28, 1)), 10)
        >>> remove_head(model).output_shape
        (None, 16)
    """
    name = model.name.removesuffix(f"_{HEAD}")
    extractor = keras.Model(model.inputs[0], model.get_layer(HEAD).input, name=name)
    return extractor if share_weights else copy_model(extractor)


@public()
def swap_head(
    model: ModelWithHead, num_classes: Count, *, share_weights: bool = False, seed: Seed = 0
) -> keras.Model:
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
        InputError: the model has no layer named "head", `num_classes` is below 1, or `seed` is
            not a seed.

    Example:
        >>> rotation_model = attach_head(two_conv_extractor((28, 28, 1)), 4)
        >>> swap_head(rotation_model, 10).output_shape
        (None, 10)
    """
    extractor = remove_head(model, share_weights=True)
    return attach_head(extractor, num_classes, share_weights=share_weights, seed=seed)


@public()
def freeze(model: AnyKerasModel) -> keras.Model:
    """Hold everything below the head still; without a head, the whole model.

    A frozen batch normalisation layer works in inference mode: its statistics stay as they are
    and are what it normalises with. A compiled model is compiled anew with a fresh optimiser,
    since Keras would otherwise go on training the old set of weights.

    Args:
        model: `keras.Model`, changed in place.

    Returns:
        The same model.

    Raises:
        InputError: `model` is not a `keras.Model`.

    Example:
        >>> model = freeze(attach_head(two_conv_extractor((28, 28, 1)), 10))
        >>> [weight.path for weight in model.trainable_weights]
        ['head/kernel', 'head/bias']
    """
    return _set_trainable(model, lambda layer: layer.name == HEAD)


@public()
def unfreeze(model: AnyKerasModel) -> keras.Model:
    """Let every layer of a model learn again; batch normalisation also updates its statistics.

    Args:
        model: `keras.Model`, changed in place; compiled anew if it was compiled.

    Returns:
        The same model.

    Raises:
        InputError: `model` is not a `keras.Model`.

    Example:
        >>> model = freeze(attach_head(two_conv_extractor((28, 28, 1)), 10))
        >>> len(unfreeze(model).trainable_weights)
        8
    """
    return _set_trainable(model, lambda layer: True)


@public()
def copy_model(model: Model) -> keras.Model:
    """Copy a functional model with its weights, names and frozen layers.

    Raises:
        InputError: `model` is not a functional model with one input.

    Example:
        >>> extractor = two_conv_extractor((28, 28, 1))
        >>> copy_model(extractor) is extractor
        False
    """
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return finalised(copy)


@public()
def cast_model(model: Model, precision: Precision) -> keras.Model:
    """Copy a model, weights and all, into another precision.

    Args:
        model: functional `keras.Model`.
        precision: name of a Keras dtype policy: "float32", "mixed_bfloat16" or "mixed_float16"; or
            "mixed", which is float16 on a GPU and bfloat16 on a TPU or CPU, and faster where the
            machine computes in it.

    Returns:
        A new `keras.Model` with the same layer names; its weights are float32 in any case, and a
        head computes its logits in float32.

    Raises:
        InputError: `precision` is not one of these names, or `model` is not a functional model with
            one input.

    Example:
        >>> model = cast_model(two_conv_extractor((28, 28, 1)), "mixed_bfloat16")
        >>> model.output.dtype, model.weights[0].dtype
        ('bfloat16', 'float32')
    """
    if precision == "mixed":
        precision = mixed_precision()

    def cast(layer):
        if not isinstance(layer, keras.layers.Layer):  # an operation, as in `x / 127.5`
            return layer.__class__.from_config(layer.get_config())
        dtype = "float32" if layer.name == HEAD else precision
        return layer.__class__.from_config(layer.get_config() | {"dtype": dtype})

    copy = keras.models.clone_model(model, clone_function=cast, recursive=True)
    copy.set_weights(model.get_weights())
    return finalised(copy)


@public()
def with_random_weights(model: Model, *, seed: Seed) -> keras.Model:
    """Build the same network with fresh initial weights, all of them drawn from `seed`.

    Args:
        model: functional `keras.Model`; it stays as it is.
        seed: whole number; each initialiser, and each layer that is random in training, gets a
            seed of its own derived from it.

    Returns:
        A new, unfrozen `keras.Model` of the same architecture and layer names. A `Normalization`
        layer keeps the statistics that it was adapted to: they were measured, not learnt.

    Raises:
        InputError: `model` is not a functional model with one input, or `seed` is not a seed.

    Example:
        >>> first = two_conv_extractor((28, 28, 1), seed=1)
        >>> again = with_random_weights(two_conv_extractor((28, 28, 1), seed=2), seed=1)
        >>> all((a == b).all() for a, b in zip(first.get_weights(), again.get_weights()))
        True
    """
    seeds = _endless_seeds(seed)

    def fresh(layer):
        config = layer.get_config()
        is_layer = isinstance(layer, keras.layers.Layer)  # not an operation, as in `x / 127.5`
        _reseed(config, seeds, shared=is_layer and len(all_layers(layer)) > 1)
        return layer.__class__.from_config(config)

    with _keras_seeds_from(seed):
        clone = keras.models.clone_model(model, clone_function=fresh, recursive=True)
    for old, new in zip(all_layers(model), all_layers(clone), strict=True):
        if isinstance(old, keras.layers.Normalization):
            new.set_weights(old.get_weights())
    return unfreeze(finalised(clone))


reinitialise = with_random_weights  # its name in version 0.1


def _reseed(config, seeds, *, shared):
    """Give what is random in a layer's settings, and in those of layers within it, own seeds.

    Where it is `shared`, as by the projections of `MultiHeadAttention`, an initialiser gets none:
    with one, all that it is copied for would begin with the same weights.
    """
    if "seed" in config:
        config["seed"] = next(seeds)
    for key, value in config.items():
        if key.endswith("_initializer") and value:
            if isinstance(value, str):  # by its name alone
                config[key] = value = keras.initializers.serialize(keras.initializers.get(value))
            settings = value["config"]  # of a plain function, its name
            if isinstance(settings, dict) and "seed" in settings:
                settings["seed"] = None if shared else next(seeds)
            continue
        for part in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(part, dict) and isinstance(part.get("config"), dict):
                _reseed(part["config"], seeds, shared=shared)


@contextlib.contextmanager
def _keras_seeds_from(seed):
    """Where an initialiser has no seed of its own, Keras draws one from Python's `random`."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def _endless_seeds(seed):
    """Whole numbers that follow from a seed, as many as are asked for."""
    given, number = 0, 64
    while True:
        state = np.random.SeedSequence(seed).generate_state(number)
        yield from map(int, state[given:])  # a longer state begins like a shorter one
        given, number = number, 2 * number


def finalised(model):
    """Return the model, its `Normalization` layers now using the weights that were set."""
    for layer in all_layers(model):
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
    return model


def _set_trainable(model, may_train):
    model.trainable = True  # else nothing in it would be, whatever its layers say
    for layer in model.layers:
        layer.trainable = may_train(layer)
    if model.compiled:
        compile_again(model, fresh_optimizer(model.optimizer))
    return model
