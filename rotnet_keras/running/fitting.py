"""Keras's `fit` as all loops here call it, and what tells one run from another."""

from __future__ import annotations

from typing import Annotated, Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight

from rotnet_keras._base.arrays import check_examples, check_fits, check_outputs
from rotnet_keras._base.digests import digest
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.retracing import no_word_of_retracing
from rotnet_keras._base.values import got
from rotnet_keras.running.checkpoint import SHARED
from rotnet_keras.running.hosts import from_every_host, host_share
from rotnet_keras.running.lines import progress_of_fit, say_going_on

STREAMED = 1000  # images of a stream that tell it from another
MOST_TOGETHER = 32  # updates that Keras is asked for at once
BATCH_HOOKS = [
    f"on_{what}_{when}" for what in ("train_batch", "batch") for when in ("begin", "end")
]


def optimise(model, dataset, *, updates, learning_rate, loss=None, name="training", verbose=0):
    """Train a model in place for a number of updates, for comparisons at equal effort.

    AdamW, with a learning rate that falls to zero along a half cosine; `fit` ends by putting the
    running average of the weights in their place. Returns Keras's `History`, of one epoch.
    """
    optimizer = keras.optimizers.AdamW(
        keras.optimizers.schedules.CosineDecay(learning_rate, updates),
        weight_decay=1e-4,
        use_ema=True,
        ema_momentum=0.99,
    )
    model.compile(_scaled(optimizer, model), loss, steps_per_execution=together(updates))
    dataset = dataset.prefetch(tf.data.AUTOTUNE)
    verbose, shown = progress_of_fit(name, verbose)
    plan = {"steps_per_epoch": updates, "epochs": 1, "shuffle": False, "verbose": verbose}
    with no_word_of_retracing():
        return model.fit(dataset, callbacks=[StopWhereDiverged(), *shown], **plan)


def fit(
    model, batches, held_out, checkpoint, callbacks, *, steps, epochs, name, verbose, **settings
):
    """Keras's `fit`, from where a checkpoint has got to; return the history of all epochs.

    `batches(first)` are the shuffled batches of the run, from the one of number `first` on; `name`
    is what lines about it begin with.
    """
    done = checkpoint.first_epoch(epochs) if checkpoint else 0
    if verbose != 0:
        say_going_on(name, done, epochs)
    verbose, shown = progress_of_fit(name, verbose)
    last = [*shown, *([checkpoint] if checkpoint else [])]
    try:
        with no_word_of_retracing():
            history = model.fit(
                batches(done * steps),
                validation_data=held_out,
                # First, so that no other callback keeps or writes what is not finite.
                callbacks=[StopWhereDiverged(), *callbacks, *last],
                shuffle=False,
                steps_per_epoch=steps,
                initial_epoch=done,
                epochs=epochs,
                verbose=verbose,
                **settings,
            )
    except tf.errors.FailedPreconditionError as error:
        if "was expected to contain" not in str(error):
            raise
        raise InputError(
            "images must be a dataset that holds as many as it says (its cardinality, as "
            "assert_cardinality has stated it), got more or fewer"
        ) from error
    return checkpoint.history() if checkpoint else history


class StopWhereDiverged(keras.callbacks.Callback):
    """Ends training with an error after the first epoch whose loss is not finite.

    Keras's `TerminateOnNaN` stops too, but hands on the spoilt model, after `EarlyStopping` and
    checkpoints may have kept it.
    """

    def on_epoch_end(self, epoch, logs=None):
        losses = {name: value for name, value in (logs or {}).items() if name.endswith("loss")}
        for name, value in losses.items():
            if not np.isfinite(value):
                self._raise(f"{name} of epoch {epoch + 1} is {float(value)}")

    def on_train_end(self, logs=None):
        if not all(np.isfinite(weight).all() for weight in self.model.get_weights()):
            self._raise("the last update led to weights that are not finite")

    def _raise(self, what):
        raise InputError(
            f"training has diverged: {what}. Try a lower learning_rate or a gentler optimizer, and "
            'precision="float32" or "mixed_bfloat16" instead of "mixed_float16"'
        )


def together(steps, callbacks=()):
    """How many updates of an epoch TensorFlow is to do at once, without a word of Python between.

    They divide the epoch: Keras would do more than it was asked for in the last of them. A callback
    that wants a word after each update has it.
    """
    if keras.config.backend() != "tensorflow" or any(map(_wants_each_update, callbacks)):
        return 1
    return max(n for n in range(1, MOST_TOGETHER + 1) if steps % n == 0)


def _wants_each_update(callback):
    """Whether its class, or, as of `LambdaCallback`, it itself has something to do then."""
    usual = keras.callbacks.Callback
    has = {hook: getattr(getattr(callback, hook), "__func__", None) for hook in BATCH_HOOKS}
    overridden = any(does is not getattr(usual, hook) for hook, does in has.items())
    return overridden and not getattr(callback, "async_safe", False)


def balanced_weights(labels):
    """For Keras's `class_weight`: what gives each class the same share in the loss."""
    classes = np.unique(labels)
    weights = compute_class_weight("balanced", classes=classes, y=labels)
    return dict(zip(classes.tolist(), weights.tolist(), strict=True))


def compile_classifier(model, optimizer, steps, callbacks):
    """Compile it for a `fit` whose epochs have so many updates, with the user's callbacks."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    compile_for_fit(model, optimizer, steps, callbacks, loss=loss, metrics=["accuracy"])


def compile_for_fit(model, optimizer, steps, callbacks, **losses):
    """The same with losses and metrics of one's own, as Keras's `compile` takes them."""
    _rate_can_be_set(optimizer, callbacks)
    how = {"steps_per_execution": together(steps, callbacks)}
    model.compile(_scaled(optimizer, model), **losses, **how)


def _rate_can_be_set(optimizer, callbacks):
    """Keras says so only when a callback first sets it, perhaps after hours."""
    rate = getattr(optimizer, "inner_optimizer", optimizer).get_config().get("learning_rate")
    setting = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler)
    names = [type(callback).__name__ for callback in callbacks if isinstance(callback, setting)]
    if names and isinstance(rate, dict):  # a schedule
        raise InputError(
            "callbacks must not set the learning rate, which has a schedule of its own, "
            f"got {', '.join(names)}"
        )


def _scaled(optimizer, model):
    """In float16, small gradients round to zero unless the loss is scaled up on their way."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) or not _has_float16(model):
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer)


def _has_float16(layer):
    below = getattr(layer, "layers", ())
    return layer.compute_dtype == "float16" or any(map(_has_float16, below))


def describe_start(model, images):
    """What a run starts from, in short: a checkpoint of another start is not gone on from."""
    known = {"network": fingerprint(model)}
    if isinstance(images, tf.data.Dataset):
        # Hosts share a stream out: its first image alone is the same for any number of them.
        images = np.stack(list(images.take(STREAMED).as_numpy_iterator()))
        known[f"{SHARED} {host_share()[1]}"] = describe_images(images)
        images = images[:1]
    known["images"] = describe_images(images)
    return known | {"initial_weights": digest(*model.get_weights())}


def describe_fit(model, images, labels, validation):
    """What else must be the same for a run of `fit_classifier` to go on, in short."""
    watched = validation and (describe_images(validation[0]), digest(validation[1]))
    return describe_start(model, images) | {
        "num_images": len(images),
        "labels": digest(labels),
        "validation": watched,
        "trained_weights": len(model.trainable_weights),
        "optimizer": model.optimizer.get_config() | {"name": None},  # names count up
    }


def fingerprint(model):
    """A short text that differs between networks: kinds of layers, shapes of weights, precision."""
    layers = [
        (type(layer).__name__, layer.compute_dtype, [weight.shape for weight in layer.weights])
        for layer in model.layers
    ]
    return digest(repr(layers))


def describe_images(images):
    """A short text that differs between arrays of images; of several hosts, the first one's."""
    return f"{images.shape[1:]} {from_every_host(int(digest(images), 16) % 2**31)[0]}"


def fresh_optimizer(optimizer, learning_rate=None):
    """An optimiser without state: one instance given to several arms must not link them."""
    known = keras.optimizers.get(optimizer)
    changed: dict[str, Any] = {}
    if learning_rate is not None and isinstance(known, keras.optimizers.LossScaleOptimizer):
        inner = fresh_optimizer(known.inner_optimizer, learning_rate)
        changed["inner_optimizer"] = keras.optimizers.serialize(inner)
    elif learning_rate is not None:
        changed["learning_rate"] = learning_rate
    return known.__class__.from_config(known.get_config() | changed)


def check_optimizer(name, value):
    """Return an optimiser without state made of one of Keras's, or of its name, or raise."""
    try:
        return fresh_optimizer(value)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{name} must be one of Keras's, got {got(value)}") from error


Optimizer = Annotated[Any, check_optimizer]  # a name, a dictionary or an instance


def _labelled_pair(name, validation):
    if not isinstance(validation, (tuple, list)) or len(validation) != 2:
        raise InputError(f"{name} must be (images, labels), or None, got {got(validation)}")
    return check_examples(*validation, whose=f"{name} ")


Validation = Annotated[tuple[np.ndarray, np.ndarray], _labelled_pair]


def patience_needs_validation(patience, validation_data):
    """A relation: there are images to watch."""
    if patience is not None and validation_data is None:
        raise InputError("patience needs validation_data=(images, labels) to watch, got None")


def model_takes_validation(model, validation_data):
    """A relation: the held out images and labels are such as the model takes."""
    if validation_data is not None:
        check_fits(validation_data[0].shape[1:], model, "validation_data images")
        check_outputs(validation_data[1], model, "validation_data labels")
