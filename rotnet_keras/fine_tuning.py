"""From an extractor and labelled images to a classifier: the loop, and its three arms."""

from __future__ import annotations

import keras
import tensorflow as tf

from rotnet_keras._base.arrays import check_examples, check_outputs, count_classes
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.networks import check_callbacks, check_functional
from rotnet_keras._base.values import check_count, check_counts, check_function, check_seed, got
from rotnet_keras.heads import attach_head, check_extractor, freeze, reinitialise, unfreeze
from rotnet_keras.running.batches import endless_batches
from rotnet_keras.running.checkpoint import Checkpoint
from rotnet_keras.running.devices import whole_batches
from rotnet_keras.running.fitting import (
    checksum,
    compile_classifier,
    describe_images,
    fingerprint,
    fit,
    fresh_optimizer,
)


def train_head(extractor, images, labels, **settings):
    """Train a new linear head on the frozen features of an extractor.

    Args:
        extractor: functional `keras.Model` from images to features `(B, D)`; it stays as it is.
        images: `(N, H, W, C)` array of pixels 0..255.
        labels: `(N,)` whole numbers from 0.
        **settings: of `fit_classifier`; `num_classes` too, where `labels` lacks the last classes.

    Returns:
        `(classifier, history)`: image to logits `(B, num_classes)`, and Keras's `History`.

    Raises:
        ValueError: as `fit_classifier` and `attach_head`.

    Example:
        >>> images = np.zeros((20, 12, 12, 1), "uint8")
        >>> extractor = two_conv_extractor((12, 12, 1))
        >>> model, _ = train_head(extractor, images, np.arange(20) % 2, epochs=1, verbose=0)
        >>> len(model.trainable_weights)
        2
    """
    return _attach_and_fit(extractor, images, labels, prepare=freeze, **settings)


def fine_tune(extractor, images, labels, **settings):
    """Train a new head and, from their pretrained start, all layers below it.

    Arguments, result and errors are those of `train_head`.

    Example:
        >>> images = np.zeros((20, 12, 12, 1), "uint8")
        >>> extractor = two_conv_extractor((12, 12, 1))
        >>> model, _ = fine_tune(extractor, images, np.arange(20) % 2, epochs=1, verbose=0)
        >>> len(model.trainable_weights)
        8
    """
    return _attach_and_fit(extractor, images, labels, prepare=unfreeze, **settings)


def train_from_scratch(extractor, images, labels, *, seed=0, **settings):
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
    check_extractor(extractor)
    fresh = reinitialise(extractor, seed=seed)
    return fine_tune(fresh, images, labels, seed=seed, **settings)


def fit_classifier(
    model,
    images,
    labels,
    *,
    epochs=100,
    batch_size=32,
    optimizer="adam",
    validation=None,
    patience=None,
    augment=None,
    checkpoint=None,
    seed=0,
    callbacks=(),
    verbose="auto",
):
    """Fit a model to labelled images, in place: the one loop behind all three arms.

    Args:
        model: `keras.Model` from images to logits `(B, num_classes)`; what is frozen stays frozen.
        images: `(N, H, W, C)` array of pixels 0..255.
        labels: `(N,)` whole numbers from 0 to `num_classes - 1`.
        epochs: passes over the labelled images; the most there may be if `patience` is given.
        batch_size: images in a batch.
        optimizer: name, dict or instance, as in `keras.optimizers.get`; an instance is copied.
        validation: `(images, labels)`, held out; adds `val_loss` and `val_accuracy`.
        patience: stop when the validation accuracy has not risen for so many epochs, and go back
            to the weights of the best epoch.
        augment: function from a batch of images to the same shape.
        checkpoint: path of a file ending in `.weights.h5`, written after each epoch. Where it is
            there, the run goes on from it and ends as if it had never been stopped, if `augment` is
            one of `augmentation`: others draw from a state. Of `callbacks`, `EarlyStopping` and
            `ReduceLROnPlateau` go on, too; others begin anew.
        seed: of the order of the images.
        callbacks: Keras callbacks for `fit`.
        verbose: Keras's progress bar: "auto" or 1 a bar, 2 a line an epoch, 0 nothing.

    Returns:
        `(model, history)`: the same model, and Keras's `History`.

    Raises:
        ValueError: images, labels and model that do not fit together, labels that the model has
            no output for, a setting out of its range, `patience` without `validation`, or a
            `checkpoint` that is of another run or cannot be read.
        OSError: the checkpoint cannot be written.

    Example:
        >>> model = attach_head(two_conv_extractor((12, 12, 1)), 2)
        >>> images = np.zeros((20, 12, 12, 1), "uint8")
        >>> model, history = fit_classifier(model, images, np.arange(20) % 2, epochs=3, verbose=0)
        >>> sorted(history.history)
        ['accuracy', 'loss']
    """
    check_functional(model)
    check_counts(epochs=epochs, batch_size=batch_size)
    check_function("augment", augment)
    check_seed(seed)
    fresh_optimizer(optimizer)
    _check_pair(validation)
    callbacks = check_callbacks(callbacks)
    if patience is not None:
        check_count("patience", patience)
        if validation is None:
            raise InputError("patience needs validation=(images, labels) to watch, got None")
        callbacks.append(_stop_at_best(patience))
    images, labels = _check_labelled(model, images, labels)
    held_out = None
    if validation is not None:
        validation = _check_labelled(model, *validation, whose="validation ")
        held_out = tf.data.Dataset.from_tensor_slices(validation).batch(1000)
    compile_classifier(model, fresh_optimizer(optimizer))
    if checkpoint is not None:
        settings = {"epochs": epochs, "batch_size": batch_size, "seed": seed, "patience": patience}
        settings |= _describe_fit(model, images, labels, validation)
        checkpoint = Checkpoint(checkpoint, settings, callbacks)
    with whole_batches():  # the last batch of a pass may be smaller
        done = checkpoint.first_epoch(epochs) if checkpoint else 0
        steps = -(-len(images) // batch_size)
        dataset = endless_batches(
            (images, labels),
            batch_size,
            start=done * steps,
            whole_passes=True,
            augment=augment,
            seed=seed,
        )
        history = fit(
            model,
            dataset.prefetch(2),
            held_out,
            checkpoint,
            callbacks,
            steps_per_epoch=steps,
            initial_epoch=done,
            epochs=epochs,
            verbose=verbose,
        )
    return model, history


def _attach_and_fit(extractor, images, labels, *, prepare, num_classes=None, seed=0, **settings):
    check_extractor(extractor)
    images, labels = check_examples(images, labels, model=extractor)
    num_classes = count_classes(labels) if num_classes is None else num_classes
    model = prepare(attach_head(extractor, num_classes, seed=seed))
    return fit_classifier(model, images, labels, seed=seed, **settings)


def _check_labelled(model, images, labels, whose=""):
    """Return images and int32 labels, or raise unless the model takes them and has outputs."""
    images, labels = check_examples(images, labels, model=model, whose=whose)
    check_outputs(labels, model, f"{whose}labels")
    return images, labels.astype("int32")


def _describe_fit(model, images, labels, validation):
    """What else must be the same for a run of `fit_classifier` to go on, in short."""
    watched = (
        None if validation is None else (describe_images(validation[0]), checksum(validation[1]))
    )
    return {
        "num_images": len(images),
        "images": describe_images(images),
        "labels": checksum(labels),
        "validation": watched,
        "network": fingerprint(model),
        "initial_weights": checksum(*model.get_weights()),
        "trained_weights": len(model.trainable_weights),
        "optimizer": model.optimizer.get_config() | {"name": None},  # names count up
    }


def _check_pair(validation):
    pair = validation is None or (isinstance(validation, (tuple, list)) and len(validation) == 2)
    if not pair:
        raise InputError(f"validation must be (images, labels), or None, got {got(validation)}")


def _stop_at_best(patience):
    return keras.callbacks.EarlyStopping(
        monitor="val_accuracy", mode="max", patience=patience, restore_best_weights=True
    )
