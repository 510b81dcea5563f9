"""Questions asked of a trained network: features, accuracies and confusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import keras
import numpy as np
from scipy import optimize, special, stats
from sklearn import metrics

from rotnet_keras._base.arrays import (
    Images,
    Labels,
    check_array,
    check_below,
    images_are_square,
    one_label_an_image,
)
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.networks import (
    AnyModel,
    Classifier,
    extractor_takes_images,
    model_has_labels,
    model_takes_images,
    model_tells_rotations,
)
from rotnet_keras._base.values import Count, got
from rotnet_keras.rotation import ROTATIONS, Rotations, rotation_dataset


def _numbers(name, value):
    values = check_array(name, value)
    if values.ndim != 1:
        raise InputError(f"{name} must be a list of numbers, got {got(values)}")
    return values


Numbers = Annotated[Sequence[float], _numbers]
LARGEST = np.log(10)  # logarithm of a temperature


def has_one_output(extractor):
    """A relation: a network that gives one output, where it says what it gives."""
    shape = getattr(extractor, "output_shape", ())
    if not isinstance(shape, tuple) or any(isinstance(part, tuple) for part in shape):
        raise InputError(
            f"extractor must have one output, got {got(extractor)} with outputs {shape}; "
            "keras.Model(extractor.input, extractor.outputs[0]) has the first of them"
        )


@public(has_one_output, extractor_takes_images)
def extract_features(
    extractor: AnyModel, images: Images, *, batch_size: Count = 1000
) -> np.ndarray:
    """Compute the features of images, or the logits if a whole model is given.

    Args:
        extractor: `keras.Model` from images to `(B, ...)`.
        images: `(N, H, W, C)` array of pixels 0..255.
        batch_size: images computed at a time.

    Returns:
        float32 array `(N, ...)`; float64 of a model that computes so.

    Raises:
        InputError: `images` is not of rank 4, empty, not finite or not what the extractor takes,
            `extractor` is not a model or has several outputs, or `batch_size` is below 1.

    Example:
        >>> extractor = two_conv_extractor((28, 28, 1))
        >>> extract_features(extractor, np.zeros((5, 28, 28, 1), "uint8")).shape
        (5, 16)
    """
    batches = (images[i : i + batch_size] for i in range(0, len(images), batch_size))
    return np.concatenate([_outputs(extractor, batch) for batch in batches])


@public(model_takes_images)
def predict_classes(model: Classifier, images: Images, *, batch_size: Count = 1000) -> np.ndarray:
    """Return the most likely class of each image, int64 `(N,)`; arguments as `extract_features`.

    Raises:
        InputError: as `extract_features`, or a `model` whose output is not `(B, num_classes)`, or
            not finite, as after a training that diverged.

    Example:
        >>> model = attach_head(two_conv_extractor((28, 28, 1)), 10)
        >>> predict_classes(model, np.zeros((5, 28, 28, 1), "uint8")).shape
        (5,)
    """
    return most_likely(_logits(model, images, batch_size))


def _logits(model, images, batch_size=1000):
    logits = extract_features(model, images, batch_size=batch_size)
    if logits.ndim != 2:  # of a subclass of Model, which does not say before
        raise InputError(f"model must give logits (B, num_classes), got {got(logits)}")
    return logits


def most_likely(logits):
    """The place of the largest logit of each row `(N, K)`, or raise where there is no telling."""
    _all_finite("model must give finite logits", logits)
    return logits.argmax(axis=1)


def finite_features(extractor, images):
    """What `extract_features` returns, or raise where scikit-learn could do nothing with it."""
    features = extract_features(extractor, images)
    _all_finite("extractor must give finite features", features)
    return features


def _all_finite(must, values):
    sound = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if not sound.all():
        raise InputError(
            f"{must}, got NaN or infinity for {np.count_nonzero(~sound)} of {len(values)} images: "
            "its training has diverged, or it computes in too low a precision"
        )


@public(one_label_an_image, model_takes_images, model_has_labels)
def accuracy(model: Classifier, images: Images, labels: Labels) -> float:
    """Measure the fraction of images that a classifier gets right.

    Args:
        model: `keras.Model` from images to logits `(B, num_classes)`.
        images: `(N, H, W, C)` array of pixels 0..255.
        labels: `(N,)` whole numbers below `num_classes`.

    Returns:
        float, 0 to 1.

    Raises:
        InputError: images, labels and model do not fit together.

    Example:
        >>> model = attach_head(two_conv_extractor((28, 28, 1)), 1)
        >>> accuracy(model, np.zeros((5, 28, 28, 1), "uint8"), np.zeros(5, int))
        1.0
    """
    return float(metrics.accuracy_score(labels, predict_classes(model, images)))


@public(images_are_square, model_takes_images, model_tells_rotations)
def rotation_accuracy(
    model: AnyModel, images: Images, *, rotations: Rotations = ROTATIONS, batch_size: Count = 250
) -> float:
    """Measure how often a rotation model names the rotation, over all of them for every image.

    Args:
        model: `keras.Model` from images to a logit for each rotation, as `pretrain` returns it.
        images: `(N, S, S, C)` array of upright images, pixels 0..255.
        rotations: the quarter turns that the model tells apart.
        batch_size: upright images computed at a time.

    Returns:
        float, 0 to 1; a quarter is chance.

    Raises:
        InputError: images that are not square or not what the model takes, a model without an
            output for each rotation or with one that is not finite, or a setting out of its range.

    Example:
        >>> model = attach_head(two_conv_extractor((28, 28, 1)), 4)
        >>> rotation_accuracy(model, np.zeros((5, 28, 28, 1), "uint8"))
        0.25
    """
    dataset = rotation_dataset(images, batch_size=batch_size, rotations=rotations, shuffle=False)
    right = [most_likely(_outputs(model, x)) == y for x, y in dataset.as_numpy_iterator()]
    return float(np.concatenate(right).mean())


@public(one_label_an_image, model_takes_images, model_has_labels)
def confusion_matrix(model: Classifier, images: Images, labels: Labels) -> np.ndarray:
    """Count how often images of each class (row) are predicted as each class (column).

    Args:
        model: `keras.Model` from images to logits `(B, num_classes)`.
        images: `(N, H, W, C)` array of pixels 0..255.
        labels: `(N,)` whole numbers below `num_classes`.

    Returns:
        integer array `(num_classes, num_classes)` that sums to N.

    Raises:
        InputError: images, labels and model do not fit together.

    Example:
        >>> model = attach_head(two_conv_extractor((28, 28, 1)), 3)
        >>> confusion_matrix(model, np.zeros((5, 28, 28, 1), "uint8"), np.zeros(5, int)).sum()
        np.int64(5)
    """
    if not hasattr(model, "output_shape"):
        raise InputError(
            f"model must have an output_shape, as functional ones do, got {got(model)}"
        )
    classes = np.arange(model.output_shape[-1])
    return metrics.confusion_matrix(labels, predict_classes(model, images), labels=classes)


confusion = confusion_matrix  # its name in version 0.1


@public(one_label_an_image, model_takes_images, model_has_labels)
def balanced_accuracy(model: Classifier, images: Images, labels: Labels) -> float:
    """Measure the accuracy on each class, and take the mean: a common class counts like a rare one.

    Args:
        model: `keras.Model` from images to logits `(B, num_classes)`.
        images: `(N, H, W, C)` array of pixels 0..255.
        labels: `(N,)` whole numbers below `num_classes`; classes without an image do not count.

    Returns:
        float, 0 to 1; a model that calls everything by the most common of two classes gets 0.5.

    Raises:
        InputError: as `accuracy`.

    Example:
        >>> model = attach_head(two_conv_extractor((28, 28, 1)), 1)
        >>> balanced_accuracy(model, np.zeros((5, 28, 28, 1), "uint8"), np.zeros(5, int))
        1.0
    """
    there = np.unique(labels)
    predicted = predict_classes(model, images)
    return float(metrics.recall_score(labels, predicted, labels=there, average="macro"))


@public(one_label_an_image, model_takes_images, model_has_labels)
def calibrate(model: Classifier, images: Images, labels: Labels) -> float:
    """Find the temperature that makes a classifier's probabilities mean what they say.

    Networks are surer than they should be. Divided by the temperature, their logits give the
    probabilities under which held-out labels are likeliest; which class is likeliest stays.

    Args:
        model: `keras.Model` from images to logits `(B, num_classes)`.
        images: `(N, H, W, C)` array of pixels 0..255, that it was not trained on.
        labels: `(N,)` whole numbers below `num_classes`.

    Returns:
        float, 0.1 to 10; of few images, one nearer to 1 than they alone would have it.

    Raises:
        InputError: images, labels and model do not fit together.

    Example:
        >>> model = attach_head(two_conv_extractor((28, 28, 1)), 1)
        >>> calibrate(model, np.zeros((5, 28, 28, 1), "uint8"), np.zeros(5, int))
        1.0

    Reference: Guo et al., 2017, https://arxiv.org/abs/1706.04599
    """
    logits = _logits(model, images)
    most_likely(logits)  # raises where they are not finite
    check_below(labels, logits.shape[1])  # of a subclass of Model, which does not say before
    right = np.arange(len(labels)), labels

    def loss(log_temperature):
        chances = special.log_softmax(logits / np.exp(log_temperature), axis=1)
        return -chances[right].sum() + log_temperature**2  # a prior worth about a few images

    found = optimize.minimize_scalar(loss, bounds=(-LARGEST, LARGEST), method="bounded")
    return float(np.round(np.exp(found.x), 4))


def are_uneven(labels):
    """Whether one class has more than twice the images of another."""
    counts = np.unique_counts(labels).counts
    return counts.max() > 2 * counts.min()


def test_figures(model, test):
    """The figures of a model on test images; the balanced one where their classes are uneven."""
    figures = {"test_accuracy": accuracy(model, *test)}
    if are_uneven(test.labels):
        figures["balanced_accuracy"] = balanced_accuracy(model, *test)
    return figures


@public()
def ci95(values: Numbers) -> float:
    """Return half the width of the 95% confidence interval of a mean, by Student's t.

    Args:
        values: a number for each run, such as its accuracy.

    Returns:
        float, in the unit of `values`; NaN for fewer than two values.

    Raises:
        InputError: `values` is not a list of real numbers.

    Example:
        >>> f"{ci95([0.5, 0.75, 1.0]):.3f}"
        '0.621'
    """
    if len(values) < 2:
        return np.nan
    return stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)


def _outputs(model, batch):
    """Inference on one batch; called directly, since `predict` would first compile a function."""
    outputs = model(batch, training=False)
    if isinstance(outputs, (list, tuple, dict)):  # of a subclass of Model, which does not say
        raise InputError(f"extractor or model must have one output, got {len(outputs)}")
    outputs = keras.ops.convert_to_numpy(outputs)
    # scikit-learn and others do not know the numbers of two bytes that a policy may have led to.
    return outputs.astype("float32") if outputs.dtype.itemsize < 4 else outputs
