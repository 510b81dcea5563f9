"""What frozen features know: linear probes of one or several blocks, and nearest neighbours.

A probe trains only a shallow classifier on top, which scikit-learn fits. Linear probes come back
as plain Keras models from images to logits, to be saved or trained further.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler, normalize

from rotnet_keras._base.arrays import (
    Images,
    Labels,
    UnlabelledImages,
    classes_of,
    every_class_has_an_image,
    one_label_an_image,
)
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.model_files import save_model
from rotnet_keras._base.networks import (
    AnyModel,
    Model,
    check_functional,
    extractor_takes_images,
    extractor_takes_unlabelled,
)
from rotnet_keras._base.values import (
    AtLeastTwo,
    Count,
    KerasPath,
    Positive,
    got,
)
from rotnet_keras.blocks import Blocks, check_blocks, join_blocks
from rotnet_keras.evaluation import extract_features, finite_features
from rotnet_keras.heads import HEAD, attach_head, check_extractor, copy_model

STRENGTH, PIXEL_STRENGTH = 0.03, 0.01  # of the penalty on features, and on raw pixels
NUM_REFERENCE = 2_000  # unlabelled images are plenty to know each feature's mean and spread


def _output_or_blocks(name, value):
    return value if isinstance(value, str) and value == "output" else check_blocks(name, value)


def _fitted(name, value):
    if not hasattr(value, "predict_proba") or not hasattr(value, "classes_"):
        raise InputError(
            f"{name} must be a fitted classifier of scikit-learn with predict_proba, "
            f"got {got(value)}"
        )
    return value


OutputOrBlocks = Annotated[str | Sequence[int | str], _output_or_blocks]
Estimator = Annotated[Any, _fitted]


@public()
def block_features(
    extractor: Model, blocks: Blocks | None = None, *, grid: Count = 4, mirror: bool = True
) -> keras.Model:
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
        InputError: as `join_blocks`.

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
        features = keras.layers.Average(name="mirror_mean", dtype="float32")([features, mirrored])
    roots = keras.ops.sign(features) * keras.ops.sqrt(keras.ops.abs(features))
    return keras.Model(images, roots, name=f"{extractor.name}_features")


@public(
    one_label_an_image, extractor_takes_images, every_class_has_an_image, extractor_takes_unlabelled
)
def linear_probe(
    extractor: Model,
    images: Images,
    labels: Labels,
    *,
    blocks: OutputOrBlocks | None = None,
    unlabelled: UnlabelledImages | None = None,
    num_classes: AtLeastTwo | None = None,
    strength: Positive = STRENGTH,
    shifted: bool = False,
    grid: Count = 4,
    mirror: bool = True,
) -> keras.Model:
    """Fit logistic regression to the frozen features of one or several blocks.

    Args:
        extractor: functional `keras.Model` with blocks, or one whose output is `(B, D)` already,
            which is then read as it is if `blocks` is "output".
        images: `(N, H, W, C)` array of pixels 0..255.
        labels: `(N,)` whole numbers, at least one of each class.
        blocks: as in `block_features`.
        unlabelled: more images, which tell how much each feature varies.
        num_classes: None takes the highest label + 1.
        strength: inverse weight of the L2 penalty, scikit-learn's `C`, on standardised features.
        shifted: learn from each image also moved by a pixel to each of four sides.
        grid: as in `block_features`.
        mirror: as in `block_features`.

    Returns:
        `keras.Model` from images to logits `(B, num_classes)`, its last layer named "head".

    Raises:
        InputError: images, labels and extractor that do not fit together, fewer than two classes,
            a class without an image, `strength` not above 0, or what `block_features` refuses.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 1), "uint8")
        >>> extractor = conv_blocks_extractor((12, 12, 1), widths=(4, 8))
        >>> linear_probe(extractor, images, np.arange(20) % 2).output_shape
        (None, 2)
    """
    if isinstance(blocks, str) and blocks == "output":
        features = copy_model(check_extractor("extractor", extractor))
    else:
        features = block_features(extractor, blocks, grid=grid, mirror=mirror)
    if shifted:
        images, labels = _with_shifts(images), np.tile(labels, 5)
        strength = strength / 5
    x = finite_features(features, images)
    reference = x
    if unlabelled is not None:
        every = -(-len(unlabelled) // NUM_REFERENCE)  # a folder's may come in an order of theirs
        reference = finite_features(features, unlabelled[::every])
    head = _fit_linear(x, labels, reference, strength)
    return _with_linear_head(features, head, classes_of(labels, num_classes))


@public(one_label_an_image, every_class_has_an_image)
def pixel_probe(
    images: Images,
    labels: Labels,
    *,
    num_classes: AtLeastTwo | None = None,
    strength: Positive = PIXEL_STRENGTH,
) -> keras.Model:
    """Fit logistic regression to raw pixels, the baseline that needs no network at all.

    Arguments, result and errors are those of `linear_probe`.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 1), "uint8")
        >>> pixel_probe(images, np.arange(20) % 2).output_shape
        (None, 2)
    """
    pixels = keras.Input(images.shape[1:], name="images")
    flat = keras.layers.Flatten("channels_last")(keras.layers.Rescaling(1 / 255)(pixels))
    return linear_probe(
        keras.Model(pixels, flat, name="pixels"),
        images,
        labels,
        blocks="output",
        num_classes=num_classes,
        strength=strength,
    )


@public(one_label_an_image, extractor_takes_images, every_class_has_an_image)
def nearest_neighbours(
    extractor: Model,
    images: Images,
    labels: Labels,
    *,
    neighbours: Count = 1,
    num_classes: AtLeastTwo | None = None,
    blocks: Blocks | None = None,
    grid: Count = 4,
    mirror: bool = True,
) -> FeatureClassifier:
    """Classify by the labelled images whose features point most nearly the same way.

    Args:
        extractor: functional `keras.Model` with blocks.
        images: `(N, H, W, C)` array of pixels 0..255.
        labels: `(N,)` whole numbers, at least one of each class.
        neighbours: number of neighbours that vote, by closeness; at most N are asked.
        num_classes: None takes the highest label + 1.
        blocks: as in `block_features`, as are the next two.
        grid: most cells along height and width.
        mirror: average over the image and its mirror image.

    Returns:
        `FeatureClassifier`, called like a Keras model; its `save` writes one.

    Raises:
        InputError: as `linear_probe`, or `neighbours` below 1.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 1), "uint8")
        >>> extractor = conv_blocks_extractor((12, 12, 1), widths=(4, 8))
        >>> classifier = nearest_neighbours(extractor, images, np.arange(20) % 2, neighbours=1)
        >>> accuracy(classifier, images, np.arange(20) % 2)
        1.0
    """
    features = block_features(extractor, blocks, grid=grid, mirror=mirror)
    voters = min(neighbours, len(images))
    knn = KNeighborsClassifier(voters, weights="distance", metric="cosine")
    return FeatureClassifier(features, knn.fit(finite_features(features, images), labels))


class FeatureClassifier:
    """An extractor under a fitted scikit-learn classifier, called like a Keras model.

    Args:
        extractor: `keras.Model` from images to `(B, D)`.
        estimator: fitted, with `predict_proba`; its classes are 0 to `num_classes - 1`.

    Raises:
        InputError: `extractor` is no model, or `estimator` no fitted classifier.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 1), "uint8")
        >>> extractor = conv_blocks_extractor((12, 12, 1), widths=(4, 8))
        >>> classifier = nearest_neighbours(extractor, images, np.arange(20) % 2)
        >>> classifier.to_keras().output_shape
        (None, 2)
    """

    @public()
    def __init__(self, extractor: AnyModel, estimator: Estimator) -> None:
        self.extractor = extractor
        self.estimator = estimator
        self.input_shape = getattr(extractor, "input_shape", None)
        self.output_shape = (None, len(estimator.classes_))

    def __call__(self, images, training=False):
        """Return the logarithm of each class's probability, `(B, num_classes)`."""
        chances = self.estimator.predict_proba(extract_features(self.extractor, images))
        return np.log(chances + 1e-6)  # as the classifiers of `graph` and `recipe` do

    def to_keras(self) -> keras.Model:
        """Build the same classifier of Keras's own parts, for `save_classifier` among others.

        Returns:
            functional `keras.Model`; its answers are equal within rounding.

        Raises:
            InputError: a classifier that `nearest_neighbours` did not make.
        """
        check_functional(self.extractor, "extractor")
        knn = self.estimator
        ours = ("cosine", "distance")
        if not isinstance(knn, KNeighborsClassifier) or (knn.metric, knn.weights) != ours:
            raise InputError(
                "estimator must be one of nearest_neighbours to become a Keras model, "
                f"got {got(knn)}; save extractor and estimator each on their own"
            )
        # scikit-learn has no public names for what it was fitted to.
        return _neighbours_vote(self.extractor, knn._fit_X, np.eye(len(knn.classes_))[knn._y], knn)

    @public()
    def save(self, path: KerasPath) -> None:
        """Write `to_keras` to a `.keras` file, which Keras loads without this package.

        Raises:
            InputError: as `to_keras`, or another ending than `.keras`.
            FileError: the file cannot be written.
        """
        save_model(self.to_keras(), path)


def _neighbours_vote(features, points, votes, knn):
    """The model behind `FeatureClassifier.to_keras`: each step is a layer or an operation."""
    layers, ops, whole = keras.layers, keras.ops, {"dtype": "float32"}  # whatever the policy
    y = layers.UnitNormalization(name="direction", **whole)(features.output)
    y = layers.Dense(len(points), use_bias=False, name="nearness", **whole)(y)
    nearness, places = ops.top_k(y, knn.n_neighbors)
    weights = 1 / ops.maximum(1 - nearness, 1e-7)  # of the same image again there is no distance
    weights = weights / ops.sum(weights, axis=1, keepdims=True)
    voters = layers.Embedding(*votes.shape, name="votes", **whole)(places)
    chances = ops.sum(ops.expand_dims(weights, 2) * voters, axis=1)
    model = keras.Model(features.input, ops.log(chances + 1e-6), name="nearest_neighbours")
    model.get_layer("nearness").set_weights([normalize(points).T])
    model.get_layer("votes").set_weights([votes])
    return model


def mean_and_spread(reference):
    """The mean of each feature, and what it is divided by so that all vary alike."""
    scaler = StandardScaler().fit(reference)
    spread = np.maximum(scaler.scale_, 1e-2 * scaler.scale_.mean())  # a rare feature stays small
    return scaler.mean_, spread


def regression(points, labels, strength):
    """Logistic regression on standardised features, as all probes here fit it."""
    solver = "newton-cg"  # which takes a third to a tenth of the time of the usual one here
    return LogisticRegression(C=strength, max_iter=1_000, solver=solver).fit(points, labels)


def _fit_linear(features, labels, reference, strength):
    """Weights and biases, one column a class, of logistic regression on standardised features."""
    mean, spread = mean_and_spread(reference)
    fitted = regression((features - mean) / spread, labels, strength)
    weights, biases = fitted.coef_.T / spread[:, None], fitted.intercept_
    biases = biases - mean @ weights
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
