"""Few labels spread over a graph of many images, and how what they reach is carried to new ones.

Images are joined to their nearest neighbours in feature space. graphlearning spreads the labels;
what is added here is that classes keep their shares, and a classifier for images outside the graph.
"""

from __future__ import annotations

from typing import Annotated, Literal

import keras
import numpy as np
from sklearn.covariance import ledoit_wolf
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler, normalize

from rotnet_keras._base.arrays import (
    Images,
    Labels,
    check_array,
    check_finite,
    classes_of,
    every_class_has_an_image,
    one_label_an_image,
)
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError, MissingPackageError
from rotnet_keras._base.networks import Model, extractor_takes_images
from rotnet_keras._base.values import (
    AtLeastTwo,
    Count,
    Positive,
    PositiveFraction,
    Seed,
)
from rotnet_keras.blocks import Blocks, block_names, need_blocks
from rotnet_keras.evaluation import finite_features
from rotnet_keras.few_labels.probes import block_features

Method = Literal["laplace", "poisson"]
NEIGHBOURS, DIMENSIONS, TEMPERATURE = 10, 128, 0.02


def _points(name, value):
    features = check_array(name, value)
    check_finite(name, features)
    return features


def _known_labels(name, value):
    labels = check_array(name, value)
    if not np.issubdtype(labels.dtype, np.integer) or labels.min(initial=0) < -1:
        raise InputError(
            f"{name} must be whole numbers, -1 where not known, got "
            f"{labels.dtype} from {labels.min(initial=0)}"
        )
    if not (labels >= 0).any():
        raise InputError(f"{name} must hold at least one known label, got none")
    return labels


def _a_label_a_point(features, labels):
    if features.ndim != 2 or labels.shape != (len(features),):
        raise InputError(
            "features and labels must be (N, D) and (N,), "
            f"got shapes {features.shape} and {labels.shape}"
        )
    if len(features) < 2 or not features.size:
        raise InputError(f"features must be (N, D) with N at least 2, got {features.shape}")


def _first_have_labels(images, labels, num_classes):
    one_label_an_image(images[: len(labels)], labels)
    every_class_has_an_image(labels, num_classes)


Points = Annotated[np.ndarray, _points]  # (N, D)
KnownLabels = Annotated[np.ndarray, _known_labels]  # (N,), -1 where not known


@public(_a_label_a_point)
def spread_labels(
    features: Points,
    labels: KnownLabels,
    *,
    method: Method = "laplace",
    neighbours: Count = NEIGHBOURS,
    dimensions: Count = DIMENSIONS,
    keep: PositiveFraction = 0.5,
    seed: Seed = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Spread a few labels over a graph of many images, neighbours in feature space being joined.

    Args:
        features: `(N, D)` array, N at least 2.
        labels: `(N,)` whole numbers, -1 where the label is not known.
        method: "laplace" or "poisson"; with the classes evened out, they do equally well.
        neighbours: of each image in the graph.
        dimensions: principal components in which the neighbours are sought, by angle.
        keep: the fraction of each class that counts as sure.
        seed: of the principal components.

    Returns:
        `(spread, sure)`: int array `(N,)`, a class for every image, and bool array `(N,)`, true for
        the surest of each class and for what was known. The classes get the shares that they
        have among the known labels: without that, a few classes swallow the others.

    Raises:
        MissingPackageError: the package graphlearning is not installed.
        InputError: features that are not finite, shapes that do not fit together, labels below -1,
            an unknown method, no known label, a setting out of its range.

    Example:
        >>> groups = np.repeat([0, 1], 20)
        >>> features = np.eye(2)[groups] + 0.1 * np.random.default_rng(0).normal(size=(40, 2))
        >>> labels = np.where(np.arange(40) % 20 == 0, groups, -1)
        >>> spread, sure = spread_labels(features, labels, neighbours=5)
        >>> (spread == groups).all().item(), sure[labels >= 0].all().item()
        (True, True)

    Reference: Calder et al., 2020, https://proceedings.mlr.press/v119/calder20a.html
    """
    projection, offset = _principal(features, dimensions, seed)
    return _spread(normalize(features @ projection + offset), labels, method, neighbours, keep)


@public(one_label_an_image, extractor_takes_images, every_class_has_an_image)
def soft_neighbours(
    extractor: Model,
    images: Images,
    labels: Labels,
    *,
    blocks: Blocks | None = None,
    num_classes: AtLeastTwo | None = None,
    dimensions: Count = DIMENSIONS,
    temperature: Positive = TEMPERATURE,
    seed: Seed = 0,
) -> keras.Model:
    """Classify by all labelled images at once, each weighed by how near it is in feature space.

    For many labels that came cheaply, from `spread_labels` for example: it carries to new images
    what a graph knows of those that were in it.

    Args:
        extractor: functional `keras.Model` with blocks.
        images: `(N, H, W, C)` array of pixels 0..255; the model holds a vector for each.
        labels: `(N,)` whole numbers, at least one of each class.
        blocks: as in `block_features`.
        num_classes: None takes the highest label + 1.
        dimensions: principal components in which nearness is measured, by angle.
        temperature: how much the cosine of the angle must fall for a weight to fall by e.
        seed: of the principal components.

    Returns:
        `keras.Model` from images to logarithms of class probabilities `(B, num_classes)`.

    Raises:
        InputError: images, labels and extractor that do not fit together, a class without an
            image, a setting out of its range, or `temperature` not above 0.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 1), "uint8")
        >>> extractor = conv_blocks_extractor((12, 12, 1), widths=(4, 8))
        >>> classifier = soft_neighbours(extractor, images, np.arange(20) % 2)
        >>> accuracy(classifier, images, np.arange(20) % 2)
        1.0
    """
    features = block_features(extractor, blocks)
    x = finite_features(features, images)
    projection, offset = _principal(x, dimensions, seed)
    points = normalize(x @ projection + offset)
    votes = np.eye(classes_of(labels, num_classes))[labels]
    return _soft_vote(features, projection, offset, points, votes, temperature)


@public(extractor_takes_images, need_blocks, _first_have_labels)
def pseudo_label(
    extractor: Model,
    images: Images,
    labels: Labels,
    *,
    num_classes: AtLeastTwo | None = None,
    most: Count = 20_000,
    seed: Seed = 0,
) -> tuple[np.ndarray, keras.Model]:
    """Guess the labels of many images from those of the first few, and learn to guess for others.

    `spread_labels`, twice, and `soft_neighbours`. What the first guesses say about how images of
    one class differ is evened out before the second: directions that tell images of a class apart
    do not help to tell classes apart. At 100 labels of Fashion-MNIST that is worth 0.7 points, and
    the last block's features alone are worth a point more than together with the block below.

    Args:
        extractor: functional `keras.Model` with blocks.
        images: `(N, H, W, C)` array of pixels 0..255, those with labels first.
        labels: `(K,)` whole numbers of the first K, at least one of each class.
        num_classes: None takes the highest label + 1.
        most: images in the graph, the first ones; the search for neighbours is quadratic.
        seed: of the principal components.

    Returns:
        `(guesses, classifier)`: int array for the first `most` images, -1 where unsure, and a
        `keras.Model` from any images to logarithms of class probabilities `(B, num_classes)`.

    Raises:
        MissingPackageError: the package graphlearning is not installed.
        InputError: images, labels and extractor that do not fit together, a class without an
            image, a setting out of its range.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 1), "uint8")
        >>> extractor = conv_blocks_extractor((12, 12, 1), widths=(4, 8))
        >>> guesses, classifier = pseudo_label(extractor, images, [0, 1])
        >>> guesses[:2].tolist(), classifier.output_shape
        ([0, 1], (None, 2))

    Reference: the evening out is relevant component analysis, Bar-Hillel et al., 2005,
    https://www.jmlr.org/papers/v6/bar-hillel05a.html, with guesses in the place of known pairs.
    """
    images = images[: max(most, len(labels))]
    features = block_features(extractor, block_names(extractor)[-1:])
    x = finite_features(features, images)
    known = np.concatenate([labels, np.full(len(images) - len(labels), -1)])
    projection, offset = _principal(x, DIMENSIONS, seed)
    spread, sure = _spread(normalize(x @ projection + offset), known)
    evening = _within_classes((x @ projection)[sure], spread[sure])
    projection, offset = projection @ evening, offset @ evening
    points = normalize(x @ projection + offset)
    spread, sure = _spread(points, known)
    votes = np.eye(classes_of(labels, num_classes))[spread]
    classifier = _soft_vote(features, projection, offset, points, votes, TEMPERATURE)
    return np.where(sure, spread, -1), classifier


guess_labels = pseudo_label  # its name in version 0.1


def balancing_offsets(scores, shares, *, steps=1_000):
    """Find what to add to the scores of each class so that classes come out in given shares.

    Args:
        scores: `(N, K)` array, larger for a likelier class.
        shares: `(K,)` fractions that sum to 1.
        steps: of the search, which moves by ever smaller amounts.

    Returns:
        `(K,)` array of offsets.
    """
    offsets, scale = np.zeros(len(shares)), scores.std()
    for step in range(steps):
        counts = np.bincount((scores + offsets).argmax(axis=1), minlength=len(shares))
        offsets += scale * (shares - counts / len(scores)) / (1 + step / 50)
    return offsets


def _spread(points, labels, method="laplace", neighbours=NEIGHBOURS, keep=0.5):
    """Labels and sureness of all points from the labels of some; the rest have -1."""
    known = np.flatnonzero(labels >= 0)
    classes, codes = np.unique(labels[known], return_inverse=True)
    model = getattr(need_graphlearning().ssl, method)(_neighbour_graph(points, neighbours))
    model.fit(known, codes)
    scores = (model.prob - model.prob.mean(axis=0)) / model.prob.std()
    scores += balancing_offsets(scores, np.bincount(codes) / len(codes))
    spread, sure = classes[scores.argmax(axis=1)], _sure(scores, keep)
    spread[known], sure[known] = labels[known], True
    return spread, sure


def _sure(scores, keep):
    """Where, within its class, a row's lead over the runner-up is among the largest."""
    winner, ordered = scores.argmax(axis=1), np.sort(scores, axis=1)
    lead = ordered[:, -1] - ordered[:, -2] if scores.shape[1] > 1 else np.zeros(len(scores))
    floors = [
        np.quantile(lead[winner == k], 1 - keep) if (winner == k).any() else 0
        for k in range(scores.shape[1])
    ]
    return lead >= np.array(floors)[winner]


def _neighbour_graph(points, neighbours):
    """Symmetric weights between nearest neighbours, as graphlearning makes them."""
    neighbours = min(neighbours, len(points) - 1)
    search = NearestNeighbors(n_neighbors=neighbours + 1, algorithm="brute").fit(points)
    distances, indices = search.kneighbors(points)
    return need_graphlearning().weightmatrix.knn(None, neighbours, knn_data=(indices, distances))


def _principal(features, dimensions, seed):
    """Projection and offset to the principal components of standardised features."""
    scaler = StandardScaler().fit(features)
    pca = PCA(min(dimensions, *features.shape), svd_solver="randomized", random_state=seed)
    pca.fit(scaler.transform(features))
    projection = pca.components_.T / scaler.scale_[:, None]
    return projection, -(scaler.mean_ @ projection + pca.mean_ @ pca.components_.T)


def _within_classes(points, labels):
    """A projection after which points of one class differ by as much in each direction."""
    means = {k: points[labels == k].mean(axis=0) for k in np.unique(labels)}
    apart = points - np.array([means[k] for k in labels])
    covariance, _ = ledoit_wolf(apart, assume_centered=True)
    variances, directions = np.linalg.eigh(covariance)
    return directions / np.sqrt(np.maximum(variances, 1e-6 * variances.max() + 1e-12))


def _soft_vote(features, projection, offset, points, votes, temperature):
    """The model behind `soft_neighbours`: each step is a layer, so that it saves like any other."""
    layers, full = keras.layers, {"dtype": "float32"}  # whatever the policy
    y = layers.Dense(len(offset), name="principal", **full)(features.output)
    y = layers.UnitNormalization(name="direction", **full)(y)
    near = {"use_bias": False, "activation": "softmax", "name": "nearness"}
    y = layers.Dense(len(points), **near, **full)(y)
    y = layers.Dense(votes.shape[1], use_bias=False, name="votes", **full)(y)
    model = keras.Model(features.input, keras.ops.log(y + 1e-6), name="soft_neighbours")
    model.get_layer("principal").set_weights([projection, offset])
    model.get_layer("nearness").set_weights([points.T / temperature])
    model.get_layer("votes").set_weights([votes])
    return model


def need_graphlearning():
    """The package, or an error that says how to get it."""
    try:
        import graphlearning  # needs a C compiler to install: only whoever spreads labels needs it
    except ImportError as error:
        raise MissingPackageError(
            "spreading labels needs graphlearning: pip install graphlearning"
        ) from error
    return graphlearning
