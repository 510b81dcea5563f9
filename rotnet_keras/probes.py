"""What frozen features know: linear probes, nearest neighbours, labels that spread over a graph.

A probe trains nothing but a shallow classifier on top; scikit-learn fits it. Linear probes come
back as plain Keras models from images to logits, to be saved or trained further.
"""

from __future__ import annotations

import keras
import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, normalize

from rotnet_keras._checks import check_count, check_every_class, check_images
from rotnet_keras.evaluation import extract_features
from rotnet_keras.models import HEAD, attach_head, block_names, copy_model, cut

NUM_REFERENCE = 5_000  # unlabelled images are plenty to know each feature's mean and spread


def block_features(extractor, blocks=None, *, grid=4, mirror=True):
    """Turn the maps of one or several blocks into one vector of features an image.

    Each map is averaged over the cells of a small grid, so that the vector keeps roughly where
    something is. The square root evens out the few very strong responses; on Fashion-MNIST it is
    worth a third of a percent to a linear probe.

    Args:
        extractor: functional `keras.Model` from images; its weights are copied.
        blocks: numbers or layer names as `cut` takes them; None for all blocks but the first.
        grid: most cells along height and width.
        mirror: average the features of the image and of its mirror image.

    Returns:
        `keras.Model` from `(B, H, W, C)` pixels in 0..255 to float32 `(B, D)`.

    Raises:
        ValueError: a block that the extractor does not have, none at all, or `grid` below 1.

    Example:
        >>> extractor = conv_blocks_extractor((28, 28, 1), widths=(8, 16, 32))
        >>> block_features(extractor, [2, 3]).output_shape
        (None, 544)

    Reference: a linear reading of each block is table 1 of https://arxiv.org/abs/1803.07728
    """
    check_count("grid", grid)
    names = block_names(extractor)
    blocks = (names[1:] or names) if blocks is None else tuple(blocks)
    if not blocks:
        raise ValueError("blocks must name at least one block, got none")
    extractor = copy_model(extractor)
    maps = [cut(extractor, block, share_weights=True).output for block in blocks]
    trunk = keras.Model(extractor.inputs[0], [_on_grid(x, grid) for x in maps])
    images = keras.Input(extractor.input_shape[1:], name="images")
    features = _joined(trunk(images))
    if mirror:
        mirrored = _joined(trunk(keras.ops.flip(images, axis=2)))
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
        ValueError: images and labels that do not fit together, a class without an image.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 1), "uint8")
        >>> extractor = conv_blocks_extractor((12, 12, 1), widths=(4, 8))
        >>> linear_probe(extractor, images, np.arange(20) % 2).output_shape
        (None, 2)
    """
    images, labels, num_classes = check_every_class(images, labels, num_classes)
    if blocks == "output":
        features = copy_model(extractor)
    else:
        features = block_features(extractor, blocks, grid=grid, mirror=mirror)
    if shifted:
        images, labels = _with_shifts(images), np.tile(labels, 5)
        strength = strength / 5
    x = extract_features(features, images)
    reference = x
    if unlabelled is not None:
        reference = extract_features(features, check_images(unlabelled)[:NUM_REFERENCE])
    return _with_linear_head(features, _fit_linear(x, labels, reference, strength), num_classes)


def pixel_probe(images, labels, *, num_classes=None, strength=0.01):
    """Fit logistic regression to raw pixels, the baseline that needs no network at all.

    Arguments, result and errors are those of `linear_probe`.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 1), "uint8")
        >>> pixel_probe(images, np.arange(20) % 2).output_shape
        (None, 2)
    """
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
    images, labels, num_classes = check_every_class(images, labels, num_classes)
    features = block_features(extractor, **settings)
    voters = min(neighbours, len(images))
    knn = KNeighborsClassifier(voters, weights="distance", metric="cosine")
    return FeatureClassifier(features, knn.fit(extract_features(features, images), labels))


def soft_neighbours(
    extractor,
    images,
    labels,
    *,
    blocks=None,
    num_classes=None,
    dimensions=128,
    temperature=0.02,
    seed=0,
):
    """Classify by all labelled images at once, each weighed by how near it is in feature space.

    For many labels that came cheaply, from `spread_labels` for example: it carries to new images
    what a graph knows of those that were in it.

    Args:
        extractor: functional `keras.Model` with blocks.
        images: `(N, H, W, C)` array of pixels 0..255; the model holds a vector for each.
        labels: `(N,)` whole numbers, at least one of each class.
        blocks: as in `block_features`.
        num_classes: default: the highest label and one.
        dimensions: principal components in which nearness is measured, by angle.
        temperature: how much the cosine of the angle must fall for a weight to fall by e.
        seed: of the principal components.

    Returns:
        `keras.Model` from images to logarithms of class probabilities `(B, num_classes)`.

    Raises:
        ValueError: images and labels that do not fit together, a class without an image, or
            `temperature` not above 0.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 1), "uint8")
        >>> extractor = conv_blocks_extractor((12, 12, 1), widths=(4, 8))
        >>> classifier = soft_neighbours(extractor, images, np.arange(20) % 2)
        >>> accuracy(classifier, images, np.arange(20) % 2)
        1.0
    """
    images, labels, num_classes = check_every_class(images, labels, num_classes)
    check_count("dimensions", dimensions)
    if not temperature > 0:
        raise ValueError(f"temperature must lie above 0, got {temperature!r}")
    features = block_features(extractor, blocks)
    x = extract_features(features, images)
    scaler, pca = _principal(x, dimensions, seed)
    points = normalize(pca.transform(scaler.transform(x)))
    projection = pca.components_.T / scaler.scale_[:, None]
    layers = keras.layers
    y = layers.Dense(len(pca.components_), name="principal")(features.output)
    y = layers.UnitNormalization(name="direction")(y)
    y = layers.Dense(len(points), use_bias=False, activation="softmax", name="nearness")(y)
    y = layers.Dense(num_classes, use_bias=False, name="votes")(y)
    model = keras.Model(features.input, keras.ops.log(y + 1e-6), name="soft_neighbours")
    offset = -(scaler.mean_ @ projection + pca.mean_ @ pca.components_.T)
    model.get_layer("principal").set_weights([projection, offset])
    model.get_layer("nearness").set_weights([points.T / temperature])
    model.get_layer("votes").set_weights([np.eye(num_classes)[labels]])
    return model


class FeatureClassifier:
    """An extractor under a fitted scikit-learn classifier, called like a Keras model.

    Args:
        extractor: `keras.Model` from images to `(B, D)`.
        estimator: fitted, with `predict_proba`; its classes are 0 to `num_classes - 1`.
    """

    def __init__(self, extractor, estimator):
        self.extractor = extractor
        self.estimator = estimator
        self.output_shape = (None, len(estimator.classes_))

    def __call__(self, images, training=False):
        """Return the probability of each class, `(B, num_classes)`."""
        return self.estimator.predict_proba(extract_features(self.extractor, images))


def spread_labels(
    features, labels, *, method="laplace", neighbours=10, dimensions=128, keep=0.5, seed=0
):
    """Spread a few labels over a graph of many images, neighbours in feature space being joined.

    Args:
        features: `(N, D)` array.
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
        ImportError: the package graphlearning is not installed.
        ValueError: shapes that do not fit together, an unknown method, no known label.

    Example:
        >>> groups = np.repeat([0, 1], 20)
        >>> features = np.eye(2)[groups] + 0.1 * np.random.default_rng(0).normal(size=(40, 2))
        >>> labels = np.where(np.arange(40) % 20 == 0, groups, -1)
        >>> spread, sure = spread_labels(features, labels, neighbours=5)
        >>> (spread == groups).all().item(), sure[labels >= 0].all().item()
        (True, True)

    Reference: Calder et al., 2020, https://proceedings.mlr.press/v119/calder20a.html
    """
    features, labels = np.asarray(features), np.asarray(labels)
    if features.ndim != 2 or labels.shape != (len(features),):
        raise ValueError(
            "features and labels must be (N, D) and (N,), "
            f"got shapes {features.shape} and {labels.shape}"
        )
    if method not in ("poisson", "laplace"):
        raise ValueError(f'method must be "poisson" or "laplace", got {method!r}')
    check_count("neighbours", neighbours)
    check_count("dimensions", dimensions)
    if not 0 < keep <= 1:
        raise ValueError(f"keep must lie above 0 and not above 1, got {keep!r}")
    known = np.flatnonzero(labels >= 0)
    if not len(known):
        raise ValueError("labels must hold at least one known label, got none")
    graph = _neighbour_graph(features, neighbours, dimensions, seed)
    classes, codes = np.unique(labels[known], return_inverse=True)
    model = getattr(_graphlearning().ssl, method)(graph)
    model.fit(known, codes)
    scores = (model.prob - model.prob.mean(axis=0)) / model.prob.std()
    scores += balancing_offsets(scores, np.bincount(codes) / len(codes))
    spread, sure = classes[scores.argmax(axis=1)], _sure(scores, keep)
    spread[known], sure[known] = labels[known], True
    return spread, sure


def balancing_offsets(scores, shares, *, steps=1_000):
    """Find what to add to the scores of each class so that classes come out in given shares.

    Args:
        scores: `(N, K)` array, larger for a likelier class.
        shares: `(K,)` fractions that sum to 1.
        steps: of the search, which moves by ever smaller amounts.

    Returns:
        `(K,)` array of offsets.

    Example:
        >>> scores = np.array([[4.0, 0.0], [3.0, 0.0], [2.0, 0.0], [1.0, 0.0]])
        >>> (scores + balancing_offsets(scores, [0.5, 0.5])).argmax(axis=1)
        array([0, 0, 1, 1])
    """
    offsets, scale = np.zeros(len(shares)), scores.std()
    for step in range(steps):
        counts = np.bincount((scores + offsets).argmax(axis=1), minlength=len(shares))
        offsets += scale * (shares - counts / len(scores)) / (1 + step / 50)
    return offsets


def _sure(scores, keep):
    """Where, within its class, a row's lead over the runner-up is among the largest."""
    winner, ordered = scores.argmax(axis=1), np.sort(scores, axis=1)
    lead = ordered[:, -1] - ordered[:, -2] if scores.shape[1] > 1 else np.zeros(len(scores))
    floors = [
        np.quantile(lead[winner == k], 1 - keep) if (winner == k).any() else 0
        for k in range(scores.shape[1])
    ]
    return lead >= np.array(floors)[winner]


def _neighbour_graph(features, neighbours, dimensions, seed):
    """Symmetric weights between nearest neighbours, as graphlearning makes them."""
    points = normalize(_principal(features, dimensions, seed).transform(features))
    neighbours = min(neighbours, len(points) - 1)
    search = NearestNeighbors(n_neighbors=neighbours + 1, algorithm="brute").fit(points)
    distances, indices = search.kneighbors(points)
    return _graphlearning().weightmatrix.knn(None, neighbours, knn_data=(indices, distances))


def _principal(features, dimensions, seed):
    """The principal components of standardised features, fitted."""
    pca = PCA(min(dimensions, *features.shape), svd_solver="randomized", random_state=seed)
    return make_pipeline(StandardScaler(), pca).fit(features)


def _graphlearning():
    try:
        import graphlearning  # needs a C compiler to install: only whoever spreads labels needs it
    except ImportError as error:
        raise ImportError(
            "spreading labels needs graphlearning: pip install graphlearning"
        ) from error
    return graphlearning


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


def _on_grid(maps, grid):
    """Averages over at most `grid` by `grid` cells, as vectors."""
    height, width = maps.shape[1:3]
    cell = (-(-height // grid), -(-width // grid))
    maps = keras.layers.AveragePooling2D(cell, padding="same")(maps)
    return keras.layers.Flatten()(maps)


def _joined(vectors):
    vectors = vectors if isinstance(vectors, (list, tuple)) else [vectors]
    return keras.layers.Concatenate()(vectors) if len(vectors) > 1 else vectors[0]
