"""What frozen features know: linear probes of one or several blocks, and nearest neighbours.

A probe trains nothing but a shallow classifier on top; scikit-learn fits it. Linear probes come
back as plain Keras models from images to logits, to be saved or trained further.
"""

from __future__ import annotations

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from rotnet_keras._base.arrays import check_every_class, check_images
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.networks import check_functional, check_model
from rotnet_keras._base.values import check_count, check_counts, check_positive, got
from rotnet_keras.blocks import join_blocks
from rotnet_keras.evaluation import extract_features
from rotnet_keras.heads import HEAD, attach_head, check_extractor, copy_model

NUM_REFERENCE = 5_000  # unlabelled images are plenty to know each feature's mean and spread


def block_features(extractor, blocks=None, *, grid=4, mirror=True):
    """Turn the maps of one or several blocks into features for a probe: `join_blocks` and a root.

    The square root evens out the few very strong responses; on Fashion-MNIST it is worth a third
    of a percent to a linear probe.

    Args:
        extractor: functional `keras.Model` from images; its weights are copied.
        blocks: as in `join_blocks`.
        grid: as in `join_blocks`.
        mirror: average the features of the image and of its mirror image.

    Returns:
        `keras.Model` from `(B, H, W, C)` pixels in 0..255 to float32 `(B, D)`.

    Raises:
        ValueError: as `join_blocks`.

    Example:
        >>> extractor = conv_blocks_extractor((28, 28, 1), widths=(8, 16, 32))
        >>> block_features(extractor, [2, 3]).output_shape
        (None, 544)

    Reference: a linear reading of each block is table 1 of https://arxiv.org/abs/1803.07728
    """
    trunk = join_blocks(extractor, blocks, grid=grid)
    images = keras.Input(trunk.input_shape[1:], name="images")
    features = trunk(images)
    if mirror:
        mirrored = trunk(keras.ops.flip(images, axis=2))
        features = keras.layers.Average(name="mirror_mean")([features, mirrored])
    roots = keras.ops.sign(features) * keras.ops.sqrt(keras.ops.abs(features))
    return keras.Model(images, roots, name=f"{extractor.name}_features")


def linear_probe(
    extractor,
    images,
    labels,
    *,
    blocks=None,
    unlabelled=None,
    num_classes=None,
    strength=0.03,
    shifted=False,
    grid=4,
    mirror=True,
):
    """Fit logistic regression to the frozen features of one or several blocks.

    Args:
        extractor: functional `keras.Model` with blocks, or one whose output is `(B, D)` already,
            which is then read as it is if `blocks` is "output".
        images: `(N, H, W, C)` array of pixels 0..255.
        labels: `(N,)` whole numbers, at least one of each class.
        blocks: as in `block_features`.
        unlabelled: more images, which tell how much each feature varies.
        num_classes: default: the highest label and one.
        strength: inverse weight of the L2 penalty, scikit-learn's `C`, on standardised features.
        shifted: learn from each image also moved by a pixel to each of four sides.
        grid: as in `block_features`.
        mirror: as in `block_features`.

    Returns:
        `keras.Model` from images to logits `(B, num_classes)`, its last layer named "head".

    Raises:
        ValueError: images, labels and extractor that do not fit together, fewer than two classes,
            a class without an image, `strength` not above 0, or what `block_features` refuses.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 1), "uint8")
        >>> extractor = conv_blocks_extractor((12, 12, 1), widths=(4, 8))
        >>> linear_probe(extractor, images, np.arange(20) % 2).output_shape
        (None, 2)
    """
    check_functional(extractor, "extractor")
    check_counts(grid=grid)
    check_positive(strength=strength)
    images, labels, num_classes = check_every_class(images, labels, num_classes, model=extractor)
    if unlabelled is not None:
        unlabelled = check_images(unlabelled, "unlabelled images", model=extractor)
    if isinstance(blocks, str) and blocks == "output":
        check_extractor(extractor)
        features = copy_model(extractor)
    else:
        features = block_features(extractor, blocks, grid=grid, mirror=mirror)
    if shifted:
        images, labels = _with_shifts(images), np.tile(labels, 5)
        strength = strength / 5
    x = extract_features(features, images)
    reference = x
    if unlabelled is not None:
        reference = extract_features(features, unlabelled[:NUM_REFERENCE])
    return _with_linear_head(features, _fit_linear(x, labels, reference, strength), num_classes)


def pixel_probe(images, labels, *, num_classes=None, strength=0.01):
    """Fit logistic regression to raw pixels, the baseline that needs no network at all.

    Arguments, result and errors are those of `linear_probe`.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 1), "uint8")
        >>> pixel_probe(images, np.arange(20) % 2).output_shape
        (None, 2)
    """
    check_positive(strength=strength)
    images, labels, num_classes = check_every_class(images, labels, num_classes)
    pixels = keras.Input(images.shape[1:], name="images")
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(pixels))
    return linear_probe(
        keras.Model(pixels, flat, name="pixels"),
        images,
        labels,
        blocks="output",
        num_classes=num_classes,
        strength=strength,
    )


def nearest_neighbours(extractor, images, labels, *, neighbours=1, num_classes=None, **settings):
    """Classify by the labelled images whose features point most nearly the same way.

    Args:
        extractor: functional `keras.Model` with blocks.
        images: `(N, H, W, C)` array of pixels 0..255.
        labels: `(N,)` whole numbers, at least one of each class.
        neighbours: number of neighbours that vote, by closeness; at most N are asked.
        num_classes: default: the highest label and one.
        **settings: of `block_features`.

    Returns:
        `FeatureClassifier`, called like a Keras model.

    Raises:
        ValueError: as `linear_probe`, or `neighbours` below 1.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 1), "uint8")
        >>> extractor = conv_blocks_extractor((12, 12, 1), widths=(4, 8))
        >>> classifier = nearest_neighbours(extractor, images, np.arange(20) % 2, neighbours=1)
        >>> accuracy(classifier, images, np.arange(20) % 2)
        1.0
    """
    check_count("neighbours", neighbours)
    check_functional(extractor, "extractor")
    images, labels, num_classes = check_every_class(images, labels, num_classes, model=extractor)
    features = block_features(extractor, **settings)
    voters = min(neighbours, len(images))
    knn = KNeighborsClassifier(voters, weights="distance", metric="cosine")
    return FeatureClassifier(features, knn.fit(extract_features(features, images), labels))


class FeatureClassifier:
    """An extractor under a fitted scikit-learn classifier, called like a Keras model.

    Args:
        extractor: `keras.Model` from images to `(B, D)`.
        estimator: fitted, with `predict_proba`; its classes are 0 to `num_classes - 1`.

    Raises:
        ValueError: `extractor` is no model, or `estimator` no fitted classifier.
    """

    def __init__(self, extractor, estimator):
        check_model(extractor, "extractor")
        if not hasattr(estimator, "predict_proba") or not hasattr(estimator, "classes_"):
            raise InputError(
                "estimator must be a fitted classifier of scikit-learn with predict_proba, "
                f"got {got(estimator)}"
            )
        self.extractor = extractor
        self.estimator = estimator
        self.input_shape = getattr(extractor, "input_shape", None)
        self.output_shape = (None, len(estimator.classes_))

    def __call__(self, images, training=False):
        """Return the probability of each class, `(B, num_classes)`."""
        return self.estimator.predict_proba(extract_features(self.extractor, images))


def _fit_linear(features, labels, reference, strength):
    """Weights and biases, one column a class, of logistic regression on standardised features."""
    scaler = StandardScaler().fit(reference)
    spread = np.maximum(scaler.scale_, 1e-2 * scaler.scale_.mean())  # a rare feature stays small
    regression = LogisticRegression(C=strength, max_iter=1_000)
    regression.fit((features - scaler.mean_) / spread, labels)
    weights, biases = regression.coef_.T / spread[:, None], regression.intercept_
    biases = biases - scaler.mean_ @ weights
    if weights.shape[1] == 1:  # two classes: scikit-learn keeps only the logit of the second
        weights, biases = np.hstack([0 * weights, weights]), np.append(0 * biases, biases)
    return weights, biases


def _with_shifts(images):
    """The images, then all of them a pixel up, down, left and right, their edges repeated."""
    height, width = images.shape[1:3]
    wide = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    offsets = [(1, 1), (2, 1), (0, 1), (1, 2), (1, 0)]
    return np.concatenate([wide[:, y : y + height, x : x + width] for y, x in offsets])


def _with_linear_head(features, head, num_classes):
    model = attach_head(features, num_classes, share_weights=True)
    model.get_layer(HEAD).set_weights([part.astype("float32") for part in head])
    return model
