"""Maps: features laid out in two dimensions, to look at."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import warnings
from collections.abc import Iterable
from functools import partial
from typing import Annotated, Any, Literal

import joblib
import numpy as np
from scipy.linalg import orthogonal_procrustes
from sklearn.neighbors import NearestNeighbors

from rotnet_keras._base.arrays import check_array, check_features, check_finite
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.files import make_folder
from rotnet_keras._base.values import Seed, check_list, check_path

CACHE = "ROTNET_KERAS_CACHE"  # environment variable: the folder that keeps maps, if not the user's
MOST_EXACT = 30_000  # rows up to which comparing every pair takes only seconds
LARGEST_CACHE = "100M"  # over a thousand maps of 10,000 images


def _check_maps(name, maps):
    """Return maps of the same images as a list of arrays, or raise."""
    maps = [check_array(name, points) for points in check_list(name, maps, "map")]
    shape = maps[0].shape
    for points in maps:
        check_finite(name, points)
        if points.ndim != 2 or points.shape[1] != 2 or not len(points) or points.shape != shape:
            raise InputError(
                f"{name} must be (N, 2), N at least 1 and the same, got {shape}, {points.shape}"
            )
    return maps


def _check_cache(name, cache):
    """Return a path, None, or False, or raise."""
    if cache is not None and cache is not False:
        check_path(name, cache)
    return cache


# What a signature says beside an argument.
FeaturesToMap = Annotated[np.ndarray, partial(check_features, least=4)]
Maps = Annotated[Iterable[np.ndarray], _check_maps]
Cache = Annotated[str | os.PathLike[str] | Literal[False] | None, _check_cache]


@public()
def umap_points(
    features: FeaturesToMap, *, seed: Seed = 0, cache: Cache = None, **settings: Any
) -> np.ndarray:
    """Lay features out in two dimensions so that neighbours stay neighbours (UMAP).

    10,000 images take about ten seconds, and longer in the first call, which compiles. A map that
    was laid out before is read from a folder.

    Args:
        features: `(N, D)` array, N at least 4.
        seed: makes the picture repeatable, at the price of running on one core.
        cache: folder that keeps maps, up to 100 MB of them. None takes the one that the environment
            variable ROTNET_KERAS_CACHE names, or `~/.cache/rotnet_keras`; False keeps nothing.
        **settings: of `umap.UMAP`, for example `n_neighbors` or `min_dist`.

    Returns:
        float32 array `(N, 2)`.

    Raises:
        InputError: the features are not `(N, D)` with N at least 4, or not finite; `seed` is not a
            whole number from 0 to 2³² - 1; or UMAP does not take the settings.
        FileError: `cache` is a folder that cannot be written.

    Example:
        >>> umap_points(np.random.default_rng(0).normal(size=(50, 16))).shape
        (50, 2)

    Reference: McInnes, Healy and Melville, 2018, https://arxiv.org/abs/1802.03426
    """
    settings = {"n_neighbors": min(15, len(features) - 1), "n_jobs": 1} | settings
    lay_out = _lay_out
    # A function, which `metric` may be, has no contents that a later run could know it by.
    if all(isinstance(value, (str, int, float, type(None))) for value in settings.values()):
        lay_out = _remembered(cache)
    try:
        return lay_out(features, seed, settings, importlib.metadata.version("umap-learn"))
    except (TypeError, ValueError) as error:
        message = f"settings must be what umap.UMAP takes ({error}), got {settings}"
        raise InputError(message) from error


umap_map = umap_points  # its name in version 0.1


@public()
def align_maps(maps: Maps) -> list[np.ndarray]:
    """Turn, mirror, scale and move maps of the same images so that each lies like the first.

    Only the distances in a map of UMAP mean something; which way it lies is chance. Between aligned
    maps, an image moves only as far as its neighbours changed.

    Args:
        maps: list of `(N, 2)` arrays, row i of each the same image.

    Returns:
        list of float32 arrays `(N, 2)`, centred, of mean distance 1 to the centre.

    Raises:
        InputError: there are no maps, or they are not finite, `(N, 2)` and of one length.

    Example:
        >>> corners = np.array([[0, 0], [2, 0], [2, 2], [0, 2]])
        >>> first, second = align_maps([corners, 5 - 3 * corners])
        >>> bool(np.allclose(first, second, atol=1e-6))
        True

    Reference: Schönemann, 1966, https://doi.org/10.1007/BF02289451
    """
    first, *others = [_centred(points) for points in maps]
    turned = [points @ orthogonal_procrustes(points, first)[0] for points in others]
    return [points.astype("float32") for points in (first, *turned)]


def _lay_out(features, seed, settings, version):
    """What is remembered, by all of its arguments; `version` is only for that."""
    import umap  # takes seconds: only whoever draws a new map waits for it

    settings = settings | _exact_neighbours(features, settings)
    with warnings.catch_warnings():  # new points are not mapped here
        warnings.filterwarnings("ignore", ".*not an NNDescent object.*")
        return umap.UMAP(random_state=seed, **settings).fit_transform(features)


def _exact_neighbours(features, settings):
    """Neighbours from all distances, where UMAP would compile a search for over half a minute.

    UMAP itself compares all rows where there are few, and takes care of other metrics and settings.
    """
    count = settings["n_neighbors"]
    usual = settings.keys() <= {"n_neighbors", "n_jobs", "min_dist", "spread", "n_epochs"}
    if not usual or not 4096 <= len(features) <= MOST_EXACT or not 1 < count < len(features):
        return {}
    found = NearestNeighbors(n_neighbors=count).fit(features).kneighbors(features)
    return {"precomputed_knn": found[::-1]}


def _remembered(cache):
    """`_lay_out` with a memory in a folder, or without one where no folder can be written."""
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
