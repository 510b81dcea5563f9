"""Checks of Keras models and callbacks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from rotnet_keras._base.arrays import check_fits, check_outputs
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.values import got


def check_classifier(model, name="model", *, least=1):
    """Raise unless a model puts out `(B, num_classes)`, where it says what."""
    check_model(model, name)
    shape = getattr(model, "output_shape", (None, least))  # a subclass of Model does not say
    if not isinstance(shape, tuple) or len(shape) != 2 or (shape[1] or 0) < least:
        raise InputError(
            f"{name} must have one output (B, num_classes), num_classes at least {least}, "
            f"got {got(model)} with output {shape}"
        )


def check_model(model, name="model"):
    """Raise unless `model` is a Keras model, or can be called and has an `output_shape`."""
    import keras  # not before somebody has a model: `prepare_runtime` comes before Keras

    shape = getattr(model, "output_shape", None)
    whole = not isinstance(model, type) and callable(model)
    if not isinstance(model, keras.Model) and not (whole and isinstance(shape, tuple)):
        raise InputError(f"{name} must be a keras.Model from images, got {got(model)}")


def check_functional(model, name="model"):
    """Raise unless `model` is a functional Keras model of one input."""
    import keras

    inputs = getattr(model, "inputs", None) or ()
    if not isinstance(model, keras.Model) or len(inputs) != 1:
        raise InputError(
            f"{name} must be a functional keras.Model with one input, got {got(model)}"
        )


def check_callbacks(callbacks):
    """Return Keras callbacks as a list, or raise."""
    import keras

    listed = list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]
    if not all(isinstance(callback, keras.callbacks.Callback) for callback in listed):
        raise InputError(f"callbacks must be a list of Keras callbacks, got {got(callbacks)}")
    return listed


def _functional_classifier(name, model):
    check_functional(model, name)
    check_classifier(model, name)
    return model


def _keras_model(name, model):
    import keras

    if not isinstance(model, keras.Model):
        raise InputError(f"{name} must be a keras.Model, got {got(model)}")
    return model


def _callbacks(_, value):
    return check_callbacks(value)


def _any_model(name, model):
    check_model(model, name)
    return model


def _functional_model(name, model):
    check_functional(model, name)
    return model


def _classifier(name, model):
    check_classifier(model, name)
    return model


Callbacks = Annotated[Any, _callbacks]

# What a signature says beside an argument, and what must hold between arguments.
if TYPE_CHECKING:
    import keras

    AnyKerasModel = AnyModel = Model = Classifier = keras.Model
    FunctionalClassifier = keras.Model
else:  # Keras chooses its backend at its import, which `prepare_runtime` comes before
    AnyKerasModel = Annotated[Any, _keras_model]
    AnyModel = Annotated[Any, _any_model]
    Model = Annotated[Any, _functional_model]
    Classifier = Annotated[Any, _classifier]

    FunctionalClassifier = Annotated[Any, _functional_classifier]


def model_takes_images(model, images):
    """A relation: the images have the shape that the model takes."""
    check_fits(images.shape[1:], model)


def extractor_takes_images(extractor, images):
    """A relation: the images have the shape that the extractor takes."""
    check_fits(images.shape[1:], extractor)


def model_has_labels(model, labels):
    """A relation: the model has an output for each label."""
    check_outputs(labels, model)


def model_tells_rotations(model, rotations):
    """A relation: the model has an output for each rotation, and no other."""
    outputs = getattr(model, "output_shape", None)  # a subclass of Model does not say
    if outputs != (None, len(rotations)):
        raise InputError(
            f"model must give a logit for each of the {len(rotations)} rotations, "
            f"got outputs of shape {outputs}"
        )


def extractor_takes_unlabelled(extractor, unlabelled):
    """A relation: the images without labels have the shape that the extractor takes."""
    if extractor is not None and unlabelled is not None:
        check_fits(unlabelled.shape[1:], extractor, "unlabelled images")
