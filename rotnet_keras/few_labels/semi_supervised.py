"""Learning from few labelled and many unlabelled images at once, in the same updates.

Two ways: the rotation loss beside that of the labels (S4L), and self-training, in which the
network's own confident answers become labels. Each is a `keras.Model` around the network that is
trained, with a loss of its own; Keras's `fit` does the rest.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from rotnet_keras._base.arrays import check_array, check_every_class, check_images, check_upright
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.values import (
    another_seed,
    check_choice,
    check_counts,
    check_number,
    check_positive,
    check_seed,
)
from rotnet_keras.data.augmentation import gentle_augmentation, strong_augmentation
from rotnet_keras.heads import PRECISIONS, attach_head, cast_model, check_extractor, unfreeze
from rotnet_keras.rotation import NUM_ROTATIONS, numbered_rotation_batches
from rotnet_keras.running.batches import endless_batches
from rotnet_keras.running.fitting import optimise


def train_jointly(
    extractor,
    images,
    labels,
    *,
    unlabelled,
    num_classes=None,
    weight=1.0,
    updates=1000,
    batch_size=32,
    learning_rate=2e-3,
    precision="float32",
    seed=0,
    verbose=0,
):
    """Fine-tune on few labels while the same network goes on telling rotations (S4L).

    Args:
        extractor: functional `keras.Model` from images to `(B, D)`; it stays as it is.
        images: `(N, S, S, C)` array of pixels 0..255.
        labels: `(N,)` whole numbers, at least one of each class.
        unlabelled: `(M, S, S, C)` array; the labelled images may be among them.
        num_classes: default: the highest label and one.
        weight: of the rotation loss; that of the labels is 1.
        updates: of the weights; in each, `batch_size` labelled images and twice as many turned
            unlabelled ones.
        batch_size: labelled images in an update.
        learning_rate: of Adam's first update; it falls to zero along a half cosine.
        precision: Keras's name for how layers compute, "mixed_bfloat16" for example.
        seed: of heads, order and augmentation.
        verbose: as in `keras.Model.fit`.

    Returns:
        `keras.Model` from images to logits `(B, num_classes)`.

    Raises:
        ValueError: images, labels and extractor that do not fit together, a class without an
            image, a setting out of its range.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 1), "uint8")
        >>> extractor = conv_blocks_extractor((12, 12, 1), widths=(4, 8))
        >>> labels = np.arange(20) % 2
        >>> train_jointly(extractor, images, labels, unlabelled=images, updates=2).output_shape
        (None, 2)

    Reference: Zhai et al., 2019, https://arxiv.org/abs/1905.03670
    """
    check_extractor(extractor)
    check_counts(updates=updates, batch_size=batch_size)
    _check_settings(learning_rate, precision, seed)
    check_number("weight", weight, "at 0 or above", lambda x: x >= 0)
    images, labels, num_classes = check_every_class(images, labels, num_classes, model=extractor)
    unlabelled = check_images(unlabelled, "unlabelled images", model=extractor)
    check_upright(unlabelled, "unlabelled images")
    gentle = gentle_augmentation(seed=seed)
    labelled = endless_batches((images, labels), batch_size, augment=gentle, seed=seed)
    turned = numbered_rotation_batches(
        unlabelled,
        batch_size=2 * batch_size,
        stop=updates,
        all_rotations=False,
        augment=gentle_augmentation(seed=another_seed(seed, 10)),
        seed=seed,
    )
    dataset = tf.data.Dataset.zip(labelled, turned).map(
        lambda named, rotated: ((named[0], rotated[0]), (named[1], rotated[1]))
    )
    classifier = _trainable_copy(extractor, num_classes, precision, seed)
    trunk = classifier.layers[-1].input
    rotations = keras.layers.Dense(
        NUM_ROTATIONS,
        kernel_initializer=keras.initializers.GlorotUniform(seed=another_seed(seed, 1)),
        dtype="float32",
    )
    both = keras.Model(classifier.inputs, [classifier.outputs[0], rotations(trunk)])
    model = _Joint(both, weight)
    optimise(model, dataset, updates=updates, learning_rate=learning_rate, verbose=verbose)
    return cast_model(classifier, "float32")


def self_train(
    extractor,
    images,
    labels,
    *,
    unlabelled,
    num_classes=None,
    guesses=None,
    updates=1500,
    batch_size=64,
    unlabelled_ratio=3,
    threshold=0.9,
    learning_rate=5e-3,
    precision="float32",
    seed=0,
    verbose=0,
):
    """Fine-tune on few labels and on the network's own confident answers (FixMatch).

    What the network says about a gently changed image, where it is sure, becomes the label of the
    same image changed strongly. The answers are weighed so that classes come out as often as they
    do among the labels. The weights returned are a running average over the updates.

    Args:
        extractor: functional `keras.Model` from images to `(B, D)`; it stays as it is.
        images: `(N, H, W, C)` array of pixels 0..255.
        labels: `(N,)` whole numbers, at least one of each class.
        unlabelled: `(M, H, W, C)` array; the labelled images may be among them.
        num_classes: default: the highest label and one.
        guesses: `(K,)` classes guessed for the first K unlabelled images, by `spread_labels` for
            example, and -1 for those left out. They make up three quarters of the labelled batch:
            for very few labels.
        updates: of the weights; in each, `batch_size` labelled and `unlabelled_ratio` times as
            many unlabelled images.
        batch_size: labelled images in an update.
        unlabelled_ratio: unlabelled images for each labelled one.
        threshold: probability above which an answer counts as sure.
        learning_rate: of Adam's first update; it falls to zero along a half cosine.
        precision: Keras's name for how layers compute, "mixed_bfloat16" for example.
        seed: of the head, order and augmentation.
        verbose: as in `keras.Model.fit`.

    Returns:
        `keras.Model` from images to logits `(B, num_classes)`.

    Raises:
        ValueError: images, labels and extractor that do not fit together, a class without an
            image, more guesses than unlabelled images, a setting out of its range.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 1), "uint8")
        >>> extractor = conv_blocks_extractor((12, 12, 1), widths=(4, 8))
        >>> labels = np.arange(20) % 2
        >>> self_train(extractor, images, labels, unlabelled=images, updates=2).output_shape
        (None, 2)

    Reference: Sohn et al., 2020, https://arxiv.org/abs/2001.07685; the alignment of classes is
    section 3.1 of Berthelot et al., 2019, https://arxiv.org/abs/1911.09785
    """
    check_extractor(extractor)
    check_counts(updates=updates, batch_size=batch_size, unlabelled_ratio=unlabelled_ratio)
    _check_settings(learning_rate, precision, seed)
    check_number("threshold", threshold, "in 0..1", lambda x: 0 <= x <= 1)
    images, labels, num_classes = check_every_class(images, labels, num_classes, model=extractor)
    unlabelled = check_images(unlabelled, "unlabelled images", model=extractor)
    guessed = None if guesses is None else _check_guesses(guesses, unlabelled, num_classes)
    named = _named_batches((images, labels.astype("int32")), guessed, batch_size, seed)
    pairs = _changed_pairs(unlabelled, batch_size * unlabelled_ratio, seed)
    dataset = tf.data.Dataset.zip(named, pairs).map(lambda x, pair: ((x[0], *pair), x[1]))
    classifier = _trainable_copy(extractor, num_classes, precision, seed)
    shares = np.bincount(labels, minlength=num_classes) / len(labels)
    model = _SelfTraining(classifier, shares, threshold)
    optimise(model, dataset, updates=updates, learning_rate=learning_rate, verbose=verbose)
    return cast_model(classifier, "float32")


def _named_batches(labelled, guessed, batch_size, seed):
    """Batches of gently changed images and their labels, three quarters guessed if any are."""
    own = batch_size if guessed is None else max(batch_size // 4, 1)
    # An augmentation for each stream: streams that draw from one seed do so in any order.
    augment = gentle_augmentation(seed=seed)
    batches = endless_batches(labelled, own, augment=augment, seed=seed)
    if guessed is None:
        return batches
    augment = gentle_augmentation(seed=another_seed(seed, 10))
    more = endless_batches(guessed, batch_size - own, augment=augment, seed=seed)
    return tf.data.Dataset.zip(batches, more).map(
        lambda a, b: (tf.concat([a[0], b[0]], 0), tf.concat([a[1], b[1]], 0))
    )


def _changed_pairs(images, batch_size, seed):
    """Batches of images, each once changed gently and once strongly."""
    gentle, strong = (
        gentle_augmentation(seed=another_seed(seed, 20)),
        strong_augmentation(seed=another_seed(seed, 30)),
    )

    def both(number, x):
        key = tf.stack([tf.constant(seed, tf.int64), number])
        return gentle(x, seed=key), strong(x, seed=key)

    return endless_batches(images, batch_size, seed=seed).enumerate().map(both)


class _Joint(keras.Model):
    """Cross-entropy of the classes and, times `weight`, of the rotations."""

    def __init__(self, both, weight):
        super().__init__(name="joint")
        self.both, self.weight = both, weight

    def call(self, inputs, training=None):
        named, turned = inputs
        pixels = ops.concatenate([_floats(named), _floats(turned)])
        classes, rotations = self.both(pixels, training=training)
        return classes[: ops.shape(named)[0]], rotations[ops.shape(named)[0] :]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        classes, rotations = (
            ops.mean(keras.losses.sparse_categorical_crossentropy(wanted, got, from_logits=True))
            for wanted, got in zip(y, y_pred, strict=True)
        )
        return classes + self.weight * rotations


class _SelfTraining(keras.Model):
    """Cross-entropy of the labels and of sure answers, which a stronger change must not alter."""

    def __init__(self, classifier, shares, threshold):
        super().__init__(name="self_training")
        self.classifier, self.threshold = classifier, threshold
        self.shares = ops.convert_to_tensor(shares, "float32")
        self.answered = self.add_weight(
            shape=shares.shape, initializer=lambda *_, **__: self.shares, trainable=False
        )

    def call(self, inputs, training=None):
        named, gentle, strong = inputs
        # A call of its own: nothing is learnt from these, so no gradient has to be computed.
        answers = ops.stop_gradient(self.classifier(_floats(gentle), training=training))
        learnt = ops.concatenate([_floats(named), _floats(strong)])
        logits = self.classifier(learnt, training=training)
        return logits[: ops.shape(named)[0]], ops.softmax(answers), logits[ops.shape(named)[0] :]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        named, answers, strong = y_pred
        self.answered.assign(0.99 * self.answered + 0.01 * ops.mean(answers, axis=0))
        answers = answers * (self.shares / self.answered)
        answers = answers / ops.sum(answers, axis=-1, keepdims=True)
        sure = ops.cast(ops.max(answers, axis=-1) > self.threshold, "float32")
        entropy = keras.losses.sparse_categorical_crossentropy
        own = entropy(ops.argmax(answers, axis=-1), strong, from_logits=True)
        return ops.mean(entropy(y, named, from_logits=True)) + ops.mean(sure * own)


def _trainable_copy(extractor, num_classes, precision, seed):
    return unfreeze(attach_head(cast_model(extractor, precision), num_classes, seed=seed))


def _check_settings(learning_rate, precision, seed):
    check_positive(learning_rate=learning_rate)
    check_choice("precision", precision, PRECISIONS)
    check_seed(seed)


def _check_guesses(guesses, unlabelled, num_classes):
    guesses = check_array("guesses", guesses)
    fits = guesses.ndim == 1 and len(guesses) <= len(unlabelled) and (guesses >= 0).any()
    if not fits or not np.issubdtype(guesses.dtype, np.integer):
        raise InputError(
            f"guesses must be classes or -1, for the first of {len(unlabelled)} unlabelled images "
            f"and at least one of them known, got {guesses.dtype} of shape {guesses.shape}"
        )
    if guesses.min() < -1 or guesses.max() >= num_classes:
        raise InputError(
            f"guesses must be -1 or lie below the {num_classes} classes, "
            f"got {guesses.min()}..{guesses.max()}"
        )
    sure = np.flatnonzero(guesses >= 0)
    return unlabelled[sure], guesses[sure].astype("int32")


def _floats(pixels):
    return ops.cast(pixels, "float32")
