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

from rotnet_keras._base.arrays import (
    Images,
    Labels,
    UnlabelledImages,
    check_array,
    check_upright,
    classes_of,
    every_class_has_an_image,
    one_label_an_image,
)
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.networks import extractor_takes_images, extractor_takes_unlabelled
from rotnet_keras._base.values import (
    AtLeastTwo,
    BatchFunction,
    Count,
    Fraction,
    NotNegative,
    Positive,
    Seed,
    another_seed,
)
from rotnet_keras.data.augmentation import gentle_augmentation, strong_augmentation
from rotnet_keras.heads import Extractor, Precision, attach_head, cast_model, unfreeze
from rotnet_keras.rotation import NUM_ROTATIONS, numbered_rotation_batches
from rotnet_keras.running.batches import augment_batch, augment_keeps_shape, endless_batches
from rotnet_keras.running.fitting import optimise


def _unlabelled_can_be_turned(unlabelled):
    check_upright(unlabelled, "unlabelled images")


def _guesses_fit(guesses, unlabelled, labels, num_classes):
    """A relation: classes or -1, for the first of the images without labels."""
    if guesses is None:
        return None
    guesses, num_classes = check_array("guesses", guesses), classes_of(labels, num_classes)
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
    return {"guesses": guesses}


@public(
    one_label_an_image,
    extractor_takes_images,
    every_class_has_an_image,
    extractor_takes_unlabelled,
    _unlabelled_can_be_turned,
)
def train_jointly(
    extractor: Extractor,
    images: Images,
    labels: Labels,
    *,
    unlabelled: UnlabelledImages,
    num_classes: AtLeastTwo | None = None,
    weight: NotNegative = 1.0,
    updates: Count = 1000,
    batch_size: Count = 32,
    learning_rate: Positive = 2e-3,
    precision: Precision = "float32",
    seed: Seed = 0,
    verbose: str | int = "auto",
) -> tuple[keras.Model, keras.callbacks.History]:
    """Fine-tune on few labels while the same network goes on telling rotations (S4L).

    Args:
        extractor: functional `keras.Model` from images to `(B, D)`; it stays as it is.
        images: `(N, S, S, C)` array of pixels 0..255.
        labels: `(N,)` whole numbers, at least one of each class.
        unlabelled: `(M, S, S, C)` array; the labelled images may be among them.
        num_classes: None takes the highest label + 1.
        weight: of the rotation loss; that of the labels is 1.
        updates: of the weights; in each, `batch_size` labelled images and twice as many turned
            unlabelled ones.
        batch_size: labelled images in an update.
        learning_rate: of Adam's first update; it falls to zero along a half cosine.
        precision: how layers compute, as in `cast_model`.
        seed: of heads, order and augmentation.
        verbose: as in `pretrain`.

    Returns:
        `(model, history)`: `keras.Model` from images to logits `(B, num_classes)`, and Keras's
        `History`, of one epoch of all the updates.

    Raises:
        InputError: images, labels and extractor that do not fit together, a class without an
            image, a setting out of its range.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 1), "uint8")
        >>> extractor = conv_blocks_extractor((12, 12, 1), widths=(4, 8))
        >>> labels = np.arange(20) % 2
        >>> how = {"unlabelled": images, "updates": 2, "verbose": 0}
        >>> model, _ = train_jointly(extractor, images, labels, **how)
        >>> model.output_shape
        (None, 2)

    Reference: Zhai et al., 2019, https://arxiv.org/abs/1905.03670
    """
    named = endless_batches(
        (images, labels), batch_size, augment=gentle_augmentation(seed=seed), seed=seed
    )
    turned = _turned_batches(unlabelled, 2 * batch_size, updates, seed)
    dataset = tf.data.Dataset.zip(named, turned).map(lambda a, b: ((a[0], b[0]), (a[1], b[1])))
    num_classes = classes_of(labels, num_classes)
    classifier = _trainable_copy(extractor, num_classes, precision, seed)
    model = _Joint(_with_rotation_head(classifier, seed), weight)
    settings = {"updates": updates, "learning_rate": learning_rate, "verbose": verbose}
    history = optimise(model, dataset, name="joint training", **settings)
    return cast_model(classifier, "float32"), history


@public(
    one_label_an_image,
    extractor_takes_images,
    every_class_has_an_image,
    extractor_takes_unlabelled,
    _guesses_fit,
    augment_keeps_shape,
)
def self_train(
    extractor: Extractor,
    images: Images,
    labels: Labels,
    *,
    unlabelled: UnlabelledImages,
    num_classes: AtLeastTwo | None = None,
    guesses: np.ndarray | None = None,
    updates: Count = 1000,
    batch_size: Count = 64,
    unlabelled_ratio: Count = 3,
    learnt_ratio: Positive = 1.5,
    threshold: Fraction = 0.8,
    augment: BatchFunction | None = None,
    learning_rate: Positive = 5e-3,
    precision: Precision = "float32",
    seed: Seed = 0,
    verbose: str | int = "auto",
) -> tuple[keras.Model, keras.callbacks.History]:
    """Fine-tune on few labels and on the network's own confident answers (FixMatch).

    What the network says about a gently changed image, where it is sure, becomes the label of the
    same image changed strongly. The answers are weighed so that classes come out as often as they
    do among the labels. The weights returned are a running average over the updates.

    Args:
        extractor: functional `keras.Model` from images to `(B, D)`; it stays as it is.
        images: `(N, H, W, C)` array of pixels 0..255.
        labels: `(N,)` whole numbers, at least one of each class.
        unlabelled: `(M, H, W, C)` array; the labelled images may be among them.
        num_classes: None takes the highest label + 1.
        guesses: `(K,)` classes guessed for the first K unlabelled images, by `spread_labels` for
            example, and -1 for those left out. They make up three quarters of the labelled batch:
            for very few labels.
        updates: of the weights; in each, `batch_size` labelled and `unlabelled_ratio` times as
            many unlabelled images.
        batch_size: labelled images in an update.
        unlabelled_ratio: unlabelled images for each labelled one, which the network is asked about.
        learnt_ratio: sure images for each labelled one that it learns from, at most. Half of those
            that it is asked about take 0.7 of the time of all.
        threshold: probability above which an answer counts as sure.
        augment: the strong change, a function from a batch of images to the same shape. None is
            `strong_augmentation`.
        learning_rate: of Adam's first update; it falls to zero along a half cosine.
        precision: how layers compute, as in `cast_model`.
        seed: of the head, order and augmentation.
        verbose: as in `pretrain`.

    Returns:
        `(model, history)`: `keras.Model` from images to logits `(B, num_classes)`, and Keras's
        `History`, of one epoch of all the updates.

    Raises:
        InputError: images, labels and extractor that do not fit together, a class without an
            image, more guesses than unlabelled images, a setting out of its range.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 1), "uint8")
        >>> extractor = conv_blocks_extractor((12, 12, 1), widths=(4, 8))
        >>> labels = np.arange(20) % 2
        >>> how = {"unlabelled": images, "updates": 2, "verbose": 0}
        >>> model, _ = self_train(extractor, images, labels, **how)
        >>> model.output_shape
        (None, 2)

    Reference: Sohn et al., 2020, https://arxiv.org/abs/2001.07685; the alignment of classes is
    section 3.1 of Berthelot et al., 2019, https://arxiv.org/abs/1911.09785
    """
    num_classes = classes_of(labels, num_classes)
    guessed = None
    if guesses is not None:
        (known,) = np.nonzero(guesses >= 0)
        guessed = unlabelled[known], guesses[known].astype("int32")
    named = _named_batches((images, labels.astype("int32")), guessed, batch_size, seed)
    strong = augment or strong_augmentation(seed=another_seed(seed, 30))
    pairs = _changed_pairs(unlabelled, batch_size * unlabelled_ratio, strong, seed)
    dataset = tf.data.Dataset.zip(named, pairs).map(lambda x, pair: ((x[0], *pair), x[1]))
    classifier = _trainable_copy(extractor, num_classes, precision, seed)
    shares = np.bincount(labels, minlength=num_classes) / len(labels)
    most = max(1, round(batch_size * min(learnt_ratio, unlabelled_ratio)))
    model = _SelfTraining(classifier, shares, threshold, most)
    settings = {"updates": updates, "learning_rate": learning_rate, "verbose": verbose}
    history = optimise(model, dataset, name="self-training", **settings)
    return cast_model(classifier, "float32"), history


def _turned_batches(images, batch_size, updates, seed):
    """Batches of images, each turned at random, and the turns."""
    return numbered_rotation_batches(
        images,
        batch_size=batch_size,
        stop=updates,
        all_rotations=False,
        augment=gentle_augmentation(seed=another_seed(seed, 10)),
        seed=seed,
    )


def _with_rotation_head(classifier, seed):
    """The same network with a second head, for rotations, on what the first one reads."""
    rotations = keras.layers.Dense(
        NUM_ROTATIONS,
        kernel_initializer=keras.initializers.GlorotUniform(seed=another_seed(seed, 1)),
        dtype="float32",
    )
    trunk = classifier.layers[-1].input
    return keras.Model(classifier.inputs, [classifier.outputs[0], rotations(trunk)])


def _named_batches(labelled, guessed, batch_size, seed):
    """Batches of gently changed images and their labels, three quarters guessed if any are."""
    own = batch_size if guessed is None else max(batch_size // 4, 1)
    # An augmentation for each stream: streams that draw from one seed do so in any order.
    augment = gentle_augmentation(seed=seed)
    batches = endless_batches(labelled, own, augment=augment, seed=seed)
    if guessed is None:
        return batches
    augment = gentle_augmentation(seed=another_seed(seed, 10))
    more = endless_batches(guessed, max(batch_size - own, 1), augment=augment, seed=seed)
    return tf.data.Dataset.zip(batches, more).map(
        lambda a, b: (tf.concat([a[0], b[0]], 0), tf.concat([a[1], b[1]], 0))
    )


def _changed_pairs(images, batch_size, strong, seed):
    """Batches of images, each once changed gently and once strongly."""
    gentle = gentle_augmentation(seed=another_seed(seed, 20))

    def both(number, x):
        key = tf.stack([tf.constant(seed, tf.int64), number])
        return gentle(x, seed=key), augment_batch(strong, x, key)

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
    """Cross-entropy of the labels and of sure answers, which a stronger change must not alter.

    Of the sure ones the first `most` stand for all: images come in random order.
    """

    def __init__(self, classifier, shares, threshold, most):
        super().__init__(name="self_training")
        self.classifier, self.threshold, self.most = classifier, threshold, most
        self.shares = ops.convert_to_tensor(shares, "float32")
        self.answered = self.add_weight(
            shape=shares.shape, initializer=lambda *_, **__: self.shares, trainable=False
        )

    def call(self, inputs, training=None):
        named, gentle, strong = inputs
        answers = self._answers(gentle, training)
        sure = ops.cast(ops.max(answers, axis=-1) > self.threshold, "float32")
        chosen, rows = ops.top_k(sure, self.most)  # of equals, the first
        weights = chosen * ops.mean(sure) / ops.maximum(ops.sum(chosen), 1.0)
        wanted = ops.argmax(ops.take(answers, rows, axis=0), axis=-1)
        learnt = ops.concatenate([_floats(named), _floats(ops.take(strong, rows, axis=0))])
        logits = self.classifier(learnt, training=training)
        number = ops.shape(named)[0]
        return logits[:number], logits[number:], wanted, weights

    def _answers(self, gentle, training):
        """Probabilities by which classes come out as often as among the labels."""
        # A call of its own: nothing is learnt from these, so no gradient has to be computed.
        answers = ops.softmax(self.classifier(_floats(gentle), training=training))
        answers = ops.stop_gradient(answers)
        self.answered.assign(0.99 * self.answered + 0.01 * ops.mean(answers, axis=0))
        answers = answers * (self.shares / self.answered)
        return answers / ops.sum(answers, axis=-1, keepdims=True)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        named, strong, wanted, weights = y_pred
        entropy = keras.losses.sparse_categorical_crossentropy
        own = weights * entropy(wanted, strong, from_logits=True)
        return ops.mean(entropy(y, named, from_logits=True)) + ops.sum(own)


def _trainable_copy(extractor, num_classes, precision, seed):
    return unfreeze(attach_head(cast_model(extractor, precision), num_classes, seed=seed))


def _floats(pixels):
    return ops.cast(pixels, "float32")
