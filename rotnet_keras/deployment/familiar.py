"""Which pictures look like none of those that a classifier was trained on."""

from __future__ import annotations

import dataclasses
import pathlib
import zipfile
import zlib
from collections.abc import Sequence

import keras
import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from rotnet_keras._base.arrays import Images, check_fits
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.files import replace_with
from rotnet_keras._base.networks import FunctionalClassifier, model_takes_images
from rotnet_keras._base.values import Seed
from rotnet_keras.blocks import block_names, join_blocks
from rotnet_keras.evaluation import finite_features
from rotnet_keras.heads import HEAD

MOST = 1_000  # training pictures that are remembered
DIMENSIONS = 64  # principal components of their features
NEIGHBOURS = 5  # the distance to the last of these tells
LEAST = 1e-6  # variance, as a share of the largest, where features hardly vary
SHARE = 0.99  # of held-out pictures that are familiar


@dataclasses.dataclass(frozen=True, eq=False)
class Familiar:
    """What pictures that a classifier was trained on look like to it; of `familiar_from`.

    Attributes:
        mean: `(D,)` of their features.
        axes: `(K, D)` principal components, as long as features vary little along them.
        rest: how much features vary along any other direction.
        points: `(N, K)` the features along the axes, of some of them.
        threshold: distance above which a picture is like none of them.
    """

    mean: np.ndarray
    axes: np.ndarray
    points: np.ndarray
    rest: float
    threshold: float

    def distances(self, features: np.ndarray) -> np.ndarray:
        """How far each row `(N, D)` is from the nearest of the remembered pictures.

        What lies across the components counts, too: strange pictures differ in other ways than
        familiar ones do among each other.
        """
        points = self.points.astype("float64")
        near = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(points))).fit(points)
        centred = features - self.mean.astype("float64")
        axes = self.axes.astype("float64")
        along = centred @ axes.T
        shares = along / np.linalg.norm(axes, axis=1)
        across = np.maximum(np.square(centred).sum(axis=1) - np.square(shares).sum(axis=1), 0)
        nearest = near.kneighbors(along)[0][:, -1]
        return np.sqrt(np.square(nearest) + across / self.rest**2)

    def unlike(self, features: np.ndarray) -> np.ndarray:
        """Which rows `(N, D)` look like none of them, `(N,)` bool."""
        return self.distances(features) > self.threshold


def _model_takes_held_out(model, held_out):
    """A relation: the held-out images have the shape that the model takes."""
    check_fits(held_out.shape[1:], model, "held_out")


@public(model_takes_images, _model_takes_held_out)
def familiar_from(
    model: FunctionalClassifier, images: Images, held_out: Images, *, seed: Seed = 0
) -> Familiar:
    """Learn what familiar pictures look like, for `save_classifier`.

    A picture's distance is the one to its fifth nearest training picture, in what the blocks of the
    network say of it, whose last layer alone forgets what no class needs. Pictures farther away
    than 99% of held-out ones are like none of those in training. (A classifier of Fashion-MNIST
    marks about 1% of test images, and nearly all negatives.) Fewer than 100 held-out pictures mark
    more of those like them.

    Args:
        model: `keras.Model` from images to logits `(B, num_classes)`.
        images: `(N, H, W, C)` array of training pictures, 0..255; of many, 1,000 are drawn.
        held_out: `(M, H, W, C)` others of the same kind.
        seed: of the draw.

    Returns:
        `Familiar`.

    Raises:
        InputError: images that the model does not take, or of which it makes what is not finite.

    Example:
        >>> model = attach_head(two_conv_extractor((12, 12, 1)), 2)
        >>> images = np.random.default_rng(0).integers(0, 256, (40, 12, 12, 1), "uint8")
        >>> familiar_from(model, images[:30], images[30:]).points.shape
        (30, 15)

    Reference: distance to the k-th nearest neighbour, Sun et al. 2022,
    https://arxiv.org/abs/2204.06507
    """
    network = look_of(model)
    if len(images) > MOST:
        images = images[np.random.default_rng(seed).choice(len(images), MOST, replace=False)]
    features = finite_features(network, images).astype("float64")
    known = _spread_of(features, seed)
    distances = known.distances(finite_features(network, held_out))
    return dataclasses.replace(known, threshold=float(np.quantile(distances, SHARE)))


def _spread_of(features, seed):
    """Features along their principal components, in units of how much they vary along each."""
    number, width = features.shape
    # Of few pictures, half the components must tell how much the others vary.
    pca = PCA(min(DIMENSIONS, (number + 1) // 2, width), random_state=seed)
    with np.errstate(invalid="ignore"):  # a single picture does not vary
        variances = np.nan_to_num(pca.fit(features).explained_variance_)
    least = max(LEAST * variances.max(), np.finfo("float32").tiny)
    spread = np.sqrt(np.maximum(variances, least))
    parts = {"mean": pca.mean_, "axes": pca.components_ / spread[:, None]}
    parts["points"] = pca.transform(features) / spread
    # Rounded as they are kept, so that the threshold is of the same distances.
    rounded = {name: part.astype("float32") for name, part in parts.items()}
    # Where nothing is left, what rounding leaves must not count.
    rest = spread.max() if len(spread) == width else np.sqrt(max(pca.noise_variance_, least))
    return Familiar(**rounded, rest=float(rest), threshold=0.0)


def look_of(model) -> keras.Model:
    """The part of a classifier that says what an image looks like: all blocks side by side."""
    network = features_of(model)
    blocks = block_names(network)
    return join_blocks(network, blocks) if blocks else network


def features_of(model) -> keras.Model:
    """The part of a classifier up to what its head reads, or all of it where there is no head.

    Of several classifiers side by side, as `fit_few_labels` has them, the first that has a head of
    its own.
    """
    found = _below_head(model) if isinstance(model, keras.Model) else None
    return found or model


def _below_head(model):
    layers = [layer.name for layer in model.layers]
    if HEAD in layers:
        return keras.Model(model.inputs[0], model.get_layer(HEAD).input)
    nested = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    direct = [layer for layer in nested if HEAD in [inner.name for inner in layer.layers]]
    for part in (*direct, *nested):
        if (found := _below_head(part)) is not None:
            return found
    return None


def write_familiar(familiar: Familiar, path):
    """Write a `Familiar` to an `.npz` file."""
    with replace_with(path) as beside, beside.open("wb") as file:
        np.savez_compressed(file, **dataclasses.asdict(familiar))


def read_familiar(path: pathlib.Path) -> Familiar:
    """Read what `write_familiar` wrote; no code that a file may bring along is run."""
    names: Sequence[str] = [field.name for field in dataclasses.fields(Familiar)]
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            mean, axes, points, rest, threshold = (held[name] for name in names)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}; save the classifier again") from error
    parts = (mean, axes, points, rest, threshold)
    fits = all(part.dtype.kind == "f" and np.isfinite(part).all() for part in parts)
    fits = fits and [part.ndim for part in parts] == [1, 2, 2, 0, 0] and rest > 0
    if not fits or axes.shape != (points.shape[1], len(mean)) or not points.size:
        raise InputError(f"{path} does not hold what familiar_from returns: save it again")
    return Familiar(mean, axes, points, float(rest), float(threshold))
