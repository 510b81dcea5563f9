"""Maps: features laid out in two dimensions, to look at."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import warnings

import joblib
import numpy as np
from scipy.linalg import orthogonal_procrustes
from sklearn.neighbors import NearestNeighbors

from rotnet_keras._base.arrays import check_array, check_finite
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.files import make_folder
from rotnet_keras._base.values import check_list, check_path, check_seed

CACHE = "ROTNET_KERAS_CACHE"  # environment variable: the folder that keeps maps, if not the user's
MOST_EXACT = 30_000  # rows whose nearest neighbours are found by looking at all: seconds
LARGEST_CACHE = "100M"  # over a thousand maps of 10,000 images


def umap_map(features, *, seed=0, cache=None, **settings):
    """Lay features out in two dimensions so that neighbours stay neighbours (UMAP).

    10,000 images take about ten seconds, and some more in the first call, which compiles; what was
    laid out before is read from a folder.

    Args:
        features: `(N, D)` array, N at least 4.
        seed: makes the picture repeatable, at the price of running on one core.
        cache: folder that keeps maps, up to 100 MB of them. None takes the one that the environment
            variable ROTNET_KERAS_CACHE names, or `~/.cache/rotnet_keras`; False keeps nothing.
        **settings: of `umap.UMAP`, for example `n_neighbors` or `min_dist`.

    Returns:
        float32 array `(N, 2)`.

    Raises:
        ValueError: the features are not `(N, D)` with N at least 4, or not finite; `seed` is none,
            or UMAP does not take the settings.
        OSError: `cache` is a folder that cannot be written.

    Example:
        >>> umap_map(np.random.default_rng(0).normal(size=(50, 16))).shape
        (50, 2)

    Reference: McInnes, Healy and Melville, 2018, https://arxiv.org/abs/1802.03426
    """
    features = check_array("features", features)
    if features.ndim != 2 or len(features) < 4 or not np.isfinite(features).all():
        raise InputError(f"features must be finite, (N, D) with N at least 4, got {features.shape}")
    check_seed(seed)
    check_cache(cache)
    settings = {"n_neighbors": min(15, len(features) - 1), "n_jobs": 1} | settings
    lay_out = _lay_out
    # Functions and the like, which `metric` may be, have no contents to know them by.
    if all(isinstance(value, (str, int, float, type(None))) for value in settings.values()):
        lay_out = _remembered(cache)
    try:
        return lay_out(features, int(seed), settings, importlib.metadata.version("umap-learn"))
    except (TypeError, ValueError) as error:
        message = f"settings must be what umap.UMAP takes ({error}), got {settings}"
        raise InputError(message) from error


def align_maps(maps):
    """Turn, mirror, scale and move maps of the same images so that each lies like the first.

    What UMAP says is in the distances alone; which way a map lies is chance. Aligned, an image
    moves between two maps only as far as its neighbours changed.

    Args:
        maps: list of `(N, 2)` arrays, row i of each the same image.

    Returns:
        list of float32 arrays `(N, 2)`, centred, of mean distance 1 to the centre.

    Raises:
        ValueError: no maps, or maps that are not finite, `(N, 2)` and of one length.

    Example:
        >>> corners = np.array([[0, 0], [2, 0], [2, 2], [0, 2]])
        >>> first, second = align_maps([corners, 5 - 3 * corners])
        >>> bool(np.allclose(first, second, atol=1e-6))
        True

    Reference: Schönemann, 1966, https://doi.org/10.1007/BF02289451
    """
    maps = [check_array("maps", points) for points in check_list("maps", maps, "map")]
    shape = maps[0].shape
    for points in maps:
        check_finite("maps", points)
        if points.ndim != 2 or points.shape[1] != 2 or not len(points) or points.shape != shape:
            raise InputError(
                f"maps must be (N, 2), N at least 1 and the same, got {shape}, {points.shape}"
            )
    first, *others = [_centred(points) for points in maps]
    turned = [points @ orthogonal_procrustes(points, first)[0] for points in others]
    return [points.astype("float32") for points in (first, *turned)]


def check_cache(cache):
    """Raise unless `cache` is a path, None, or False."""
    if cache is not None and cache is not False:
        check_path("cache", cache)


def _lay_out(features, seed, settings, version):
    """What is remembered, by all of its arguments; `version` is only for that."""
    import umap  # takes seconds: only whoever draws a new map waits for it

    settings = settings | _exact_neighbours(features, settings)
    with warnings.catch_warnings():  # new points are not mapped here
        warnings.filterwarnings("ignore", ".*not an NNDescent object.*")
        return umap.UMAP(random_state=seed, **settings).fit_transform(features)


def _exact_neighbours(features, settings):
    """Neighbours by looking at all, where UMAP would compile a search for more than half a minute.

    A few rows UMAP looks at one by one itself; other metrics and settings are its business.
    """
    count = settings["n_neighbors"]
    usual = settings.keys() <= {"n_neighbors", "n_jobs", "min_dist", "spread", "n_epochs"}
    if not usual or not 4096 <= len(features) <= MOST_EXACT or not 1 < count < len(features):
        return {}
    found = NearestNeighbors(n_neighbors=count).fit(features).kneighbors(features)
    return {"precomputed_knn": found[::-1]}


def _remembered(cache):
    """`_lay_out` that remembers in a folder, or the plain one where there is none to write to."""
    if cache is False:
        return _lay_out
    usual = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "rotnet_keras")
    try:
        # In a folder of its own, since old entries are deleted.
        chosen = pathlib.Path(cache or os.environ.get(CACHE) or usual).expanduser() / "maps"
        folder = make_folder(chosen, "cache")
    except (OSError, RuntimeError):  # a user without a home is the latter
        if cache is not None:
            raise
        return _lay_out
    memory = joblib.Memory(folder, verbose=0)
    memory.reduce_size(LARGEST_CACHE)
    return memory.cache(_lay_out)


def _centred(points):
    """Points about their centre, at a mean distance of 1."""
    points = points.astype("float64")
    points = points / (np.abs(points).max() or 1)  # whose squares could be too large
    points = points - points.mean(axis=0)
    return points / (np.linalg.norm(points, axis=1).mean() or 1)
