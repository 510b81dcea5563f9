"""From an extractor and labelled images to a classifier: the loop, and its three arms.

Each works on tf.data and Keras's own `fit`, and repeats by its seed as `pretrain` does.
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from rotnet_keras._base.arrays import (
    Images,
    Labels,
    check_below,
    check_fits,
    count_classes,
    one_label_an_image,
)
from rotnet_keras._base.door import public
from rotnet_keras._base.networks import (
    Callbacks,
    FunctionalClassifier,
    extractor_takes_images,
    model_has_labels,
    model_takes_images,
)
from rotnet_keras._base.values import BatchFunction, Count, Positive, Seed, warn_caller
from rotnet_keras.heads import (
    Extractor,
    Precision,
    attach_head,
    cast_model,
    freeze,
    unfreeze,
    with_random_weights,
)
from rotnet_keras.running.batches import augment_keeps_shape, endless_batches
from rotnet_keras.running.checkpoint import Checkpoint, CheckpointPath
from rotnet_keras.running.devices import whole_batches
from rotnet_keras.running.fitting import (
    Optimizer,
    Validation,
    balanced_weights,
    compile_classifier,
    describe_fit,
    fit,
    fresh_optimizer,
    model_takes_validation,
    patience_needs_validation,
)


def _classes(labels, num_classes):
    return count_classes(labels) if num_classes is None else num_classes


def _all_classes_met(labels, num_classes):
    """A relation: a word where labels leave classes out, as those that count from 1 do."""
    there = np.unique(labels)
    if num_classes is None and len(there) <= there[-1]:
        warn_caller(
            f"labels hold {len(there)} classes, {there[0]} to {there[-1]}, and count from 0: the "
            f"classifier gets {there[-1] + 1} outputs, of which some are never right; give "
            "np.unique(labels, return_inverse=True)[1], or num_classes to say that it is meant"
        )


def _extractor_takes_validation(extractor, validation_data, labels, num_classes):
    if validation_data is not None:
        check_fits(validation_data[0].shape[1:], extractor, "validation_data images")
        check_below(validation_data[1], _classes(labels, num_classes), "validation_data labels")


def _classes_for_labels(labels, num_classes):
    check_below(labels, _classes(labels, num_classes))


ClassWeight = Literal["balanced"]
EARLIER = {"validation": "validation_data"}
Trained = tuple[keras.Model, keras.callbacks.History]
ALL_FIT = (  # what must hold between the arguments of an arm
    one_label_an_image,
    extractor_takes_images,
    _classes_for_labels,
    _all_classes_met,
    _extractor_takes_validation,
    patience_needs_validation,
    augment_keeps_shape,
)


@public(*ALL_FIT, earlier=EARLIER)
def train_head(
    extractor: Extractor,
    images: Images,
    labels: Labels,
    *,
    num_classes: Count | None = None,
    epochs: Count = 100,
    batch_size: Count = 32,
    optimizer: Optimizer = "adam",
    learning_rate: Positive | None = None,
    validation_data: Validation | None = None,
    patience: Count | None = None,
    augment: BatchFunction | None = None,
    checkpoint: CheckpointPath | None = None,
    class_weight: ClassWeight | None = None,
    precision: Precision = "float32",
    seed: Seed = 0,
    callbacks: Callbacks = (),
    verbose: str | int = "auto",
) -> Trained:
    """Train a new linear head on the frozen features of an extractor.

    Args:
        extractor: functional `keras.Model` from images to features `(B, D)`; it stays as it is.
        images: `(N, H, W, C)` array of pixels 0..255.
        labels: `(N,)` whole numbers from 0.
        num_classes: outputs of the head; None for one more than the highest label.
        epochs: passes over the images; this and all that follows is as in `fit_classifier`.
        batch_size: images in a batch.
        optimizer: name, dictionary or instance.
        learning_rate: of the optimizer; None leaves its own.
        validation_data: `(images, labels)`, held out; or `validation`, its earlier name.
        patience: epochs without a better validation accuracy after which to stop.
        augment: function from a batch of images to the same shape.
        checkpoint: path of a file to go on from, ending in `.weights.h5`.
        class_weight: "balanced" for classes of uneven size.
        precision: how layers compute while they learn, as in `cast_model`; the classifier returned
            computes in float32.
        seed: of the head's first weights and the order of the images.
        callbacks: Keras callbacks.
        verbose: as in `pretrain`.

    Returns:
        `(classifier, history)`: from images to logits `(B, num_classes)`, and Keras's `History`.

    Raises:
        InputError: as `fit_classifier`; an extractor that does not give vectors `(B, D)`.
        FileError: the checkpoint cannot be written.

    Example:
        >>> images = np.zeros((20, 12, 12, 1), "uint8")
        >>> extractor = two_conv_extractor((12, 12, 1))
        >>> model, _ = train_head(extractor, images, np.arange(20) % 2, epochs=1, verbose=0)
        >>> len(model.trainable_weights)
        2
    """
    settings = _of_the_fit(locals())
    classes = _classes(labels, num_classes)
    return _fit_with_head(freeze, extractor, images, labels, classes, precision, settings)


@public(*ALL_FIT, earlier=EARLIER)
def fine_tune(
    extractor: Extractor,
    images: Images,
    labels: Labels,
    *,
    num_classes: Count | None = None,
    epochs: Count = 100,
    batch_size: Count = 32,
    optimizer: Optimizer = "adam",
    learning_rate: Positive | None = None,
    validation_data: Validation | None = None,
    patience: Count | None = None,
    augment: BatchFunction | None = None,
    checkpoint: CheckpointPath | None = None,
    class_weight: ClassWeight | None = None,
    precision: Precision = "float32",
    seed: Seed = 0,
    callbacks: Callbacks = (),
    verbose: str | int = "auto",
) -> Trained:
    """Train a new head and, from their pretrained start, all layers below it.

    Arguments, result and errors are those of `train_head`.

    Example:
        >>> images = np.zeros((20, 12, 12, 1), "uint8")
        >>> extractor = two_conv_extractor((12, 12, 1))
        >>> model, _ = fine_tune(extractor, images, np.arange(20) % 2, epochs=1, verbose=0)
        >>> len(model.trainable_weights)
        8
    """
    settings = _of_the_fit(locals())
    classes = _classes(labels, num_classes)
    return _fit_with_head(unfreeze, extractor, images, labels, classes, precision, settings)


@public(*ALL_FIT, earlier=EARLIER)
def train_from_scratch(
    extractor: Extractor,
    images: Images,
    labels: Labels,
    *,
    num_classes: Count | None = None,
    epochs: Count = 100,
    batch_size: Count = 32,
    optimizer: Optimizer = "adam",
    learning_rate: Positive | None = None,
    validation_data: Validation | None = None,
    patience: Count | None = None,
    augment: BatchFunction | None = None,
    checkpoint: CheckpointPath | None = None,
    class_weight: ClassWeight | None = None,
    precision: Precision = "float32",
    seed: Seed = 0,
    callbacks: Callbacks = (),
    verbose: str | int = "auto",
) -> Trained:
    """Train the extractor's architecture and a head from fresh weights: the baseline.

    Arguments, result and errors are those of `train_head`; of the extractor only the architecture
    is used, its weights are drawn anew from `seed`.

    Example:
        >>> images = np.zeros((20, 12, 12, 1), "uint8")
        >>> pretrained = two_conv_extractor((12, 12, 1))
        >>> labels = np.arange(20) % 2
        >>> model, _ = train_from_scratch(pretrained, images, labels, epochs=1, verbose=0)
        >>> model.output_shape
        (None, 2)
    """
    settings = _of_the_fit(locals()) | {"num_classes": num_classes, "precision": precision}
    return fine_tune(with_random_weights(extractor, seed=seed), images, labels, **settings)


@public(
    one_label_an_image,
    model_takes_images,
    model_has_labels,
    model_takes_validation,
    patience_needs_validation,
    augment_keeps_shape,
    earlier=EARLIER,
)
def fit_classifier(
    model: FunctionalClassifier,
    images: Images,
    labels: Labels,
    *,
    epochs: Count = 100,
    batch_size: Count = 32,
    optimizer: Optimizer = "adam",
    learning_rate: Positive | None = None,
    validation_data: Validation | None = None,
    patience: Count | None = None,
    augment: BatchFunction | None = None,
    checkpoint: CheckpointPath | None = None,
    class_weight: ClassWeight | None = None,
    seed: Seed = 0,
    callbacks: Callbacks = (),
    verbose: str | int = "auto",
) -> Trained:
    """Fit a model to labelled images, in place: the one loop behind all three arms.

    Args:
        model: `keras.Model` from images to logits `(B, num_classes)`; what is frozen stays frozen.
        images: `(N, H, W, C)` array of pixels 0..255.
        labels: `(N,)` whole numbers from 0 to `num_classes - 1`.
        epochs: passes over the labelled images; the most there may be if `patience` is given.
        batch_size: images in a batch.
        optimizer: name, dictionary or instance, as `keras.optimizers.get` takes; it is copied.
        learning_rate: of the optimizer; None leaves its own.
        validation_data: `(images, labels)`, held out; adds `val_loss` and `val_accuracy`. Its
            earlier name `validation` is taken, too.
        patience: stop when the validation accuracy has not risen for so many epochs, and go back
            to the weights of the best epoch.
        augment: function from a batch of images to the same shape.
        checkpoint: path of a file ending in `.weights.h5`, written as in `pretrain`. If the file
            exists, the run goes on from it and ends as if it had never been stopped. (With an
            `augment` that is not one of this package's, what it draws after the break differs.) Of
            `callbacks`, `EarlyStopping` and `ReduceLROnPlateau` go on, too; others begin anew.
        class_weight: "balanced" gives each class the same share in the loss, rare or not.
        seed: of the order of the images.
        callbacks: Keras callbacks for `fit`.
        verbose: as in `pretrain`.

    Returns:
        `(model, history)`: the same model, and Keras's `History`.

    Raises:
        InputError: images, labels and model that do not fit together, a setting out of its range,
            `patience` without `validation_data`, a `checkpoint` that is of another run or cannot be
            read, or training that diverged: the first loss that is not finite ends it.
        FileError: the checkpoint cannot be written.

    Example:
        >>> model = attach_head(two_conv_extractor((12, 12, 1)), 2)
        >>> images = np.zeros((20, 12, 12, 1), "uint8")
        >>> model, history = fit_classifier(model, images, np.arange(20) % 2, epochs=3, verbose=0)
        >>> sorted(history.history)
        ['accuracy', 'loss']
    """
    labels = labels.astype("int32")
    if patience is not None:
        best = {"mode": "max", "restore_best_weights": True}
        stop = keras.callbacks.EarlyStopping("val_accuracy", patience=patience, **best)
        callbacks = [*callbacks, stop]
    held_out = None
    if validation_data is not None:
        validation_data = (validation_data[0], validation_data[1].astype("int32"))
        held_out = tf.data.Dataset.from_tensor_slices(validation_data).batch(1000)
    steps = -(-len(images) // batch_size)
    compile_classifier(model, fresh_optimizer(optimizer, learning_rate), steps, callbacks)
    saved = None
    if checkpoint is not None:
        settings: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "seed": seed}
        settings |= {"patience": patience, "class_weight": class_weight}
        settings |= describe_fit(model, images, labels, validation_data)
        saved = Checkpoint(checkpoint, settings, callbacks)
    batches = partial(_batches, (images, labels), batch_size, augment, seed)
    plan: dict[str, Any] = {"steps": steps, "epochs": epochs, "verbose": verbose}
    plan["class_weight"] = balanced_weights(labels) if class_weight else None
    with whole_batches():  # the last batch of a pass may be smaller
        return model, fit(model, batches, held_out, saved, callbacks, name="training", **plan)


def _batches(examples, batch_size, augment, seed, first):
    """Pass after pass, from the batch of number `first` on."""
    order = {"start": first, "whole_passes": True, "seed": seed}
    return endless_batches(examples, batch_size, augment=augment, **order).prefetch(2)


FIT = tuple(inspect.signature(fit_classifier).parameters)[3:]  # all but model, images and labels


def _of_the_fit(given):
    """Of an arm's arguments, those that are `fit_classifier`'s too."""
    return {name: given[name] for name in FIT}


def _fit_with_head(prepare, extractor, images, labels, classes, precision, settings):
    """Fit a new head and whatever `prepare` lets learn, in a precision, to answer in float32."""
    if precision != "float32":  # else it may compute in another one already
        extractor = cast_model(extractor, precision)
    model = prepare(attach_head(extractor, classes, seed=settings["seed"]))
    model, history = fit_classifier(model, images, labels, **settings)
    return (model if precision == "float32" else cast_model(model, "float32")), history
