"""The loops: pretrain on rotations, then train a head, fine-tune, or start from scratch.

Every function works on a copy of the extractor it is given, feeds Keras's own `fit` with tf.data,
and returns the trained model beside Keras's `History`. The same seed ends in the same weights on
the same CPU; on a GPU under TensorFlow, call `tf.config.experimental.enable_op_determinism()` too.
Layers of your own that are random in training, such as Dropout, need a seed of their own for that.
"""

from __future__ import annotations

import functools
import hashlib
import zlib

import keras
import numpy as np
import tensorflow as tf

from rotnet_keras._checks import (
    check_array,
    check_callbacks,
    check_choice,
    check_count,
    check_counts,
    check_examples,
    check_fits,
    check_function,
    check_functional,
    check_outputs,
    check_positive,
    check_seed,
    got,
)
from rotnet_keras.augmentation import augment_batch
from rotnet_keras.checkpoint import Checkpoint
from rotnet_keras.models import (
    PRECISIONS,
    attach_head,
    cast_model,
    check_extractor,
    freeze,
    reinitialise,
    unfreeze,
)
from rotnet_keras.rotation import (
    ROTATIONS,
    check_rotations,
    check_stream,
    check_upright,
    drawn_indices,
    numbered_rotation_batches,
    rotation_dataset,
)
from rotnet_keras.runtime import (
    check_share,
    from_every_host,
    host_share,
    local_devices,
    whole_batches,
)

MOST_CLASSES = 100_000  # ImageNet-21k has 21,841; a head for a label of 10**12 fits no memory


def pretrain(
    extractor,
    images,
    *,
    validation_images=None,
    epochs=10,
    batch_size=64,
    learning_rate=3e-3,
    all_rotations=True,
    rotations=ROTATIONS,
    augment=None,
    precision="float32",
    checkpoint=None,
    seed=0,
    callbacks=(),
    verbose="auto",
):
    """Teach a copy of an extractor to tell by how much an image was turned; no labels needed.

    Adam, with a learning rate that falls to zero along a half cosine over the run. All batches are
    of one size, running on across the ends of passes: each image is met equally often, and the
    steps of an epoch are the number of batches that a pass needs, rounded up. Over several devices,
    as `prepare_runtime` set them up, the result is the same within rounding; over several hosts
    too, for an array without `augment`.

    Args:
        extractor: functional `keras.Model` from square images to features `(B, D)`.
        images: `(N, S, S, C)` array of pixels 0..255, or a `tf.data.Dataset` of single images
            whose number is known (`assert_cardinality` states it); that is streamed, and may be
            larger than memory. Of several hosts, each gives the same array, or a part of a stream.
        validation_images: the same, held out; adds `val_loss` and `val_accuracy`, always over all
            rotations and without augmentation, to the history. The same on all hosts.
        epochs: passes over the images.
        batch_size: different images in a batch, on all devices and hosts together, and at most as
            many as there are; with all rotations the batch holds four times as many.
        learning_rate: of the first update.
        all_rotations: all rotations of an image in one batch, or one at random.
        rotations: the quarter turns to tell apart, two or more of 0, 1, 2 and 3.
        augment: function from a batch of images to the same shape, applied before the rotation: one
            of `augmentation`, a Keras preprocessing layer, or TensorFlow's operations, but on other
            backends no Keras model. Of several hosts, each draws for its own rows.
        precision: how layers compute, as in `cast_model`; "mixed" takes half the time or less where
            the machine has it. Logits and loss are float32 in any case, and the model returned is,
            unless the extractor was not.
        checkpoint: path of a file ending in `.weights.h5`, written after each epoch. Where it is
            there, the run goes on from it, on however many devices and hosts, and ends as if it had
            never been stopped, if `augment` is one of `augmentation`. (Others draw from a state.)
        seed: of the rotation head, the order of the images and the random rotations.
        callbacks: Keras callbacks for `fit`.
        verbose: Keras's progress bar: "auto" or 1 a bar, 2 a line an epoch, 0 nothing.

    Returns:
        `(model, history)`: the rotation model, image to a logit for each rotation, and Keras's
        `History`.
        `remove_head(model)` is the pretrained extractor.

    Raises:
        ValueError: a setting out of its range, images that `rotation_dataset` or the extractor
            does not take, or a `checkpoint` that is of another run or cannot be read.
        OSError: the checkpoint cannot be written.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (64, 12, 12, 1), "uint8")
        >>> extractor = two_conv_extractor((12, 12, 1))
        >>> model, history = pretrain(extractor, images, epochs=2, verbose=0)
        >>> model.output_shape, len(history.history["loss"])
        ((None, 4), 2)

    Reference: section 3 of https://arxiv.org/abs/1803.07728
    """
    check_extractor(extractor)
    check_counts(epochs=epochs, batch_size=batch_size)
    check_positive(learning_rate=learning_rate)
    check_choice("precision", precision, PRECISIONS)
    check_function("augment", augment)
    check_seed(seed)
    callbacks = check_callbacks(callbacks)
    rotations = check_rotations(rotations)
    num_images = count_images(images)
    images = _check_turnable(images, extractor)
    if validation_images is not None:
        validation_images = _check_turnable(validation_images, extractor, "validation_images")
    batch_size = min(batch_size, num_images)
    check_share(batch_size, len(rotations) if all_rotations else 1)
    steps = -(-num_images // batch_size)
    extractor = extractor if precision == "float32" else cast_model(extractor, precision)
    model = unfreeze(attach_head(extractor, len(rotations), seed=seed))
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, decay_steps=epochs * steps)
    _compile(model, keras.optimizers.Adam(schedule))
    task = {"all_rotations": all_rotations, "rotations": rotations, "seed": seed}
    settings = {"epochs": epochs, "num_images": num_images, "batch_size": batch_size, **task}
    settings |= {"learning_rate": learning_rate, "network": _fingerprint(model)}
    settings |= {"images": _describe(images), "initial_weights": _sum(*model.get_weights())}
    checkpoint = None if checkpoint is None else Checkpoint(checkpoint, settings, callbacks)
    done = checkpoint.first_epoch(epochs) if checkpoint else 0
    dataset = numbered_rotation_batches(
        images,
        batch_size=batch_size,
        start=done * steps,
        stop=max(epochs, done + 1) * steps,  # Keras looks at a batch also where none is to be met
        share=host_share(),
        augment=augment,
        **task,
    )
    held_out = None
    if validation_images is not None:
        held_out = _held_out(validation_images, batch_size, rotations)
    history = _fit(
        model,
        dataset,
        held_out,
        checkpoint,
        callbacks,
        steps_per_epoch=steps,
        initial_epoch=done,
        epochs=epochs,
        verbose=verbose if host_share()[0] == 0 else 0,
    )
    return (model if precision == "float32" else cast_model(model, "float32")), history


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
    _fresh_optimizer(optimizer)
    _check_pair(validation)
    callbacks = check_callbacks(callbacks)
    if patience is not None:
        check_count("patience", patience)
        if validation is None:
            raise ValueError("patience needs validation=(images, labels) to watch, got None")
        callbacks.append(_stop_at_best(patience))
    images, labels = _check_labelled(model, images, labels)
    held_out = None
    if validation is not None:
        validation = _check_labelled(model, *validation, whose="validation ")
        held_out = tf.data.Dataset.from_tensor_slices(validation).batch(1000)
    _compile(model, _fresh_optimizer(optimizer))
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
        history = _fit(
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


def endless_batches(arrays, batch_size, *, start=0, whole_passes=False, augment=None, seed=0):
    """Batches without end from arrays of one length, the first of them images, or from one array.

    Each pass has a new order. Batches go on across the ends of passes, all of one size, however few
    images there are; with `whole_passes` the last batch of each is what is left. A batch depends on
    the seed and its number alone, `start` being the first one's. (tf.data's own shuffle and repeat
    would go on where an earlier iterator got to, and `fit` throws one away.)
    """
    check_count("batch_size", batch_size)
    several = isinstance(arrays, tuple)
    tensors = [tf.constant(array) for array in (arrays if several else (arrays,))]
    length = len(tensors[0])
    steps = -(-length // batch_size)

    def places(number):
        if not whole_passes:
            return drawn_indices(number * batch_size, batch_size, length, seed)
        met = number % steps * batch_size
        rows = tf.minimum(tf.constant(batch_size, tf.int64), length - met)
        return drawn_indices(number // steps * length + met, rows, length, seed)

    def gather(number):
        images, *rest = (tf.gather(tensor, places(number)) for tensor in tensors)
        if augment is not None:
            images = augment_batch(augment, images, tf.stack([tf.constant(seed, tf.int64), number]))
        return (images, *rest) if several else images

    return tf.data.Dataset.counter(start).map(gather)


def optimise(model, dataset, *, updates, learning_rate, loss=None, verbose=0):
    """Train a model in place for a number of updates, for comparisons at equal effort.

    AdamW, with a learning rate that falls to zero along a half cosine; `fit` ends by putting the
    running average of the weights in their place.
    """
    check_count("updates", updates)
    optimizer = keras.optimizers.AdamW(
        keras.optimizers.schedules.CosineDecay(learning_rate, updates),
        weight_decay=1e-4,
        use_ema=True,
        ema_momentum=0.99,
    )
    model.compile(_scaled(optimizer, model), loss)
    dataset = dataset.prefetch(tf.data.AUTOTUNE)
    model.fit(dataset, steps_per_epoch=updates, epochs=1, shuffle=False, verbose=verbose)


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


def _fit(model, dataset, held_out, checkpoint, callbacks, **settings):
    """Keras's `fit` on batches that are shuffled already; return the history of all epochs."""
    history = model.fit(
        dataset,
        validation_data=held_out,
        callbacks=[*callbacks, *([checkpoint] if checkpoint else [])],
        shuffle=False,
        **settings,
    )
    return checkpoint.history() if checkpoint else history


def _compile(model, optimizer):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(_scaled(optimizer, model), loss, metrics=["accuracy"])


def _scaled(optimizer, model):
    """In float16, small gradients round to zero unless the loss is scaled up on their way."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) or not _has_float16(model):
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer)


def _has_float16(layer):
    below = getattr(layer, "layers", ())
    return layer.compute_dtype == "float16" or any(map(_has_float16, below))


def _held_out(images, batch_size, rotations):
    """Validation batches of one size, and before or after them the smaller one that is left.

    Keras takes the layout of all batches from the first: one that cannot be shared out evenly
    among devices must come first, so that all are computed whole.
    """
    settings = {"rotations": rotations, "shuffle": False}
    number = _num_images(images)
    if len(set(from_every_host(number))) > 1:
        raise ValueError(f"validation_images must be the same on all hosts, here they are {number}")
    odd = number % batch_size
    if odd == number:
        return rotation_dataset(images, batch_size=odd, **settings)
    whole = rotation_dataset(_rows(images, odd, None), batch_size=batch_size, **settings)
    if not odd:
        return whole
    rest = rotation_dataset(_rows(images, 0, odd), batch_size=odd, **settings)
    even = odd * len(rotations) % local_devices() == 0
    return whole.concatenate(rest) if even else rest.concatenate(whole)


def _rows(images, start, stop):
    if not isinstance(images, tf.data.Dataset):
        return images[start:stop]
    return images.skip(start) if stop is None else images.take(stop)


def _fingerprint(model):
    """A short text that differs between networks: kinds of layers, shapes of weights, precision."""
    layers = [
        (type(layer).__name__, layer.compute_dtype, [weight.shape for weight in layer.weights])
        for layer in model.layers
    ]
    return hashlib.sha256(repr(layers).encode()).hexdigest()[:16]


def _describe(images):
    """A short text that differs between sets of images: their size, and a sum over some of them.

    Of a stream it is the first image, the first host's where there are several.
    """
    if isinstance(images, tf.data.Dataset):
        some = next(images.take(1).as_numpy_iterator())[None]
    else:
        some = np.ascontiguousarray(images[:: -(-len(images) // 1000)])
    return f"{some.shape[1:]} {from_every_host(zlib.crc32(some) % 2**31)[0]}"


def _describe_fit(model, images, labels, validation):
    """What else must be the same for a run of `fit_classifier` to go on, in short."""
    watched = None if validation is None else (_describe(validation[0]), _sum(validation[1]))
    return {
        "num_images": len(images),
        "images": _describe(images),
        "labels": _sum(labels),
        "validation": watched,
        "network": _fingerprint(model),
        "initial_weights": _sum(*model.get_weights()),
        "trained_weights": len(model.trainable_weights),
        "optimizer": model.optimizer.get_config() | {"name": None},  # names count up
    }


def _sum(*arrays):
    """A checksum of what is in arrays."""
    return functools.reduce(lambda before, array: zlib.crc32(array.tobytes(), before), arrays, 0)


def _fresh_optimizer(optimizer):
    """An optimiser without state: one instance given to several arms must not link them."""
    try:
        known = keras.optimizers.get(optimizer)
        return known.__class__.from_config(known.get_config())
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"optimizer must be one of Keras's, got {got(optimizer)}") from error


def count_classes(labels):
    """Number of classes that labels from 0 tell, or raise where one is hardly that of a class."""
    if labels.max() >= MOST_CLASSES:
        raise ValueError(
            f"labels must lie in 0..{MOST_CLASSES - 1} where num_classes does not say how many "
            f"there are, got {labels.min()}..{labels.max()}"
        )
    return max(int(labels.max()) + 1, 1)


def count_images(images):
    """Number of images to pretrain on; of a stream, each host has a part of its own."""
    number = _num_images(images)
    return sum(from_every_host(number)) if isinstance(images, tf.data.Dataset) else number


def _num_images(images):
    streamed = isinstance(images, tf.data.Dataset)
    if streamed and int(images.cardinality()):
        check_stream(images)
    number = int(images.cardinality()) if streamed else len(check_array("images", images))
    if number < 1:
        raise ValueError(
            f"images must be of a known number of at least 1, got {number}; for a dataset "
            "without a length, state it with tf.data.experimental.assert_cardinality"
        )
    return number


def _check_turnable(images, extractor, name="images"):
    images = check_upright(images, name)
    streamed = isinstance(images, tf.data.Dataset)
    check_fits(images.element_spec.shape if streamed else images.shape[1:], extractor, name)
    return images


def _check_pair(validation):
    pair = validation is None or (isinstance(validation, (tuple, list)) and len(validation) == 2)
    if not pair:
        raise ValueError(f"validation must be (images, labels), or None, got {got(validation)}")


def _stop_at_best(patience):
    return keras.callbacks.EarlyStopping(
        monitor="val_accuracy", mode="max", patience=patience, restore_best_weights=True
    )
