"""Maps: features laid out in two dimensions, to look at."""

from __future__ import annotations

import contextlib
import importlib.metadata
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from scipy.linalg import orthogonal_procrustes
from sklearn.neighbors import NearestNeighbors

from rotnet_keras._base.arrays import (
    Images,
    Labels,
    check_array,
    check_features,
    check_finite,
    one_label_an_image,
)
from rotnet_keras._base.digests import digest
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import FileError, InputError
from rotnet_keras._base.files import make_folder, replace_with
from rotnet_keras._base.networks import AnyModel, model_takes_images
from rotnet_keras._base.values import Names, Seed, check_list, check_path, got, is_whole
from rotnet_keras.evaluation import extract_features
from rotnet_keras.heads import HEAD, remove_head
from rotnet_keras.viewing.axes import Axes, named_or_without
from rotnet_keras.viewing.charts import plot_map

CACHE = "ROTNET_KERAS_CACHE"  # environment variable: the folder that keeps maps, if not the user's
VERSION = 2  # of how maps are laid out here
LEAST = 4  # images of a map
MOST_EXACT = 30_000  # rows up to which comparing every pair takes only seconds
LARGEST_CACHE = 100_000_000  # bytes; over a thousand maps of 10,000 images
AHEAD = """
import io, os, sys
import numpy as np
from rotnet_keras.viewing.maps import umap_points
if hasattr(os, "nice"):
    os.nice(5)
umap_points(np.load(io.BytesIO(sys.stdin.buffer.read())), seed=int(sys.argv[1]))
"""  # the program of the process that draws a map beside another


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


def _can_be_mapped(model, images):
    shape = getattr(model, "output_shape", (None, None))
    if not isinstance(shape, tuple) or len(shape) != 2 or isinstance(shape[-1], tuple):
        raise InputError(f"model must give vectors (B, D), got {got(model)} with output {shape}")
    if len(images) < LEAST:
        raise InputError(f"images must be {LEAST} or more to be mapped, got {len(images)}")


def _settings_lay_out_flat(settings):
    """A relation: what UMAP or, from within it, numba would say in words of their own."""
    neighbours, dimensions = settings.get("n_neighbors", 2), settings.get("n_components", 2)
    if not is_whole(neighbours) or neighbours < 2 or dimensions != 2:
        raise InputError(
            "settings must have a whole number of at least 2 as n_neighbors, and 2 as n_components "
            f"if any, got {settings}"
        )


# What a signature says beside an argument.
FeaturesToMap = Annotated[np.ndarray, partial(check_features, least=LEAST)]
Maps = Annotated[Iterable[np.ndarray], _check_maps]
Cache = Annotated[str | os.PathLike[str] | Literal[False] | None, _check_cache]


@public(_settings_lay_out_flat)
def umap_points(
    features: FeaturesToMap, *, seed: Seed = 0, cache: Cache = None, **settings: Any
) -> np.ndarray:
    """Lay features out in two dimensions so that neighbours stay neighbours (UMAP).

    10,000 images take about ten seconds, and longer in the first call, which compiles. The same
    features, seed and settings give the same map; one that was laid out before is read from a
    folder.

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
    kept = None
    # A function, which `metric` may be, has no contents that a later run could know it by.
    if all(isinstance(value, (str, int, float, type(None))) for value in settings.values()):
        version = importlib.metadata.version("umap-learn")
        kept = _place(cache, digest(features, seed, sorted(settings.items()), version, VERSION))
    points = None if kept is None else _read(kept, len(features))
    if points is None:
        try:
            points = _lay_out(features, seed, settings)
        except (TypeError, ValueError, IndexError) as error:
            message = f"settings must be what umap.UMAP takes ({error}), got {settings}"
            raise InputError(message) from error
        if kept is not None:
            _keep(points, kept)
    return points


@public(_can_be_mapped, one_label_an_image, model_takes_images, named_or_without)
def plot_umap(
    model: AnyModel,
    images: Images,
    labels: Labels,
    class_names: Names | None = None,
    *,
    seed: Seed = 0,
    cache: Cache = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the map of what a network makes of images: features, `umap_points` and `plot_map`.

    Args:
        model: `keras.Model` from images to `(B, D)`. Of one with a head of this package, what the
            head reads.
        images: `(N, H, W, C)` array of pixels 0..255, N at least 4.
        labels: `(N,)` whole numbers, for the colours; -1 for an image without a label.
        class_names: one a class; None takes the labels themselves.
        seed: as in `umap_points`.
        cache: as in `umap_points`.
        ax: axes to draw on; None makes a figure.

    Returns:
        The axes.

    Raises:
        InputError: images, labels and model that do not fit together, fewer than four images, a
            label without a name, or features that are no vectors.
        FileError: `cache` is a folder that cannot be written.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 1), "uint8")
        >>> ax = plot_umap(two_conv_extractor((12, 12, 1)), images, np.arange(20) % 2)
        >>> ax.get_xlabel()
        'UMAP 1'
    """
    if HEAD in [layer.name for layer in getattr(model, "layers", [])]:
        model = remove_head(model, share_weights=True)
    points = umap_points(extract_features(model, images), seed=seed, cache=cache)
    return plot_map(points, labels, class_names, ax=ax)


umap_map = umap_points  # its name in version 0.1


def begin_map(features, *, seed):
    """Have another process lay features out beside what goes on here, on a core that is free.

    `umap_points` then finds the map in its folder. Returns the process, to be waited for, or None
    where no folder keeps maps. Whatever befalls it, `umap_points` does without.
    """
    if _place(None, "") is None:
        return None
    with tempfile.TemporaryFile() as file:
        np.save(file, features)
        file.seek(0)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen([sys.executable, "-c", AHEAD, str(seed)], stdin=file, **quiet)


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


def _lay_out(features, seed, settings):
    """UMAP's map, the same one each time."""
    import umap  # takes seconds: only whoever draws a new map waits for it

    if "metric" not in settings:  # of distances, whose squares could be too large, or 0
        features = features / _power_of_two(features)
    settings = _start(features) | settings | _exact_neighbours(features, settings)
    with warnings.catch_warnings():
        # New points are not mapped here.
        warnings.filterwarnings("ignore", ".*not an NNDescent object.*")
        warnings.filterwarnings("error", "Spectral initialisation failed")
        try:
            return umap.UMAP(random_state=seed, **settings).fit_transform(features)
        except UserWarning:
            return umap.UMAP(random_state=seed, **settings | {"init": "pca"}).fit_transform(
                features
            )


def _power_of_two(features):
    """What brings features of unheard-of size near 1, without rounding; 1 for all others."""
    largest = float(np.abs(features).max())
    return 1.0 if 1e-9 < largest < 1e9 or not largest else 2.0 ** math.frexp(largest)[1]


def _start(features):
    """Where points begin, if rows repeat: UMAP's eigenvectors would differ from call to call."""
    distinct = {row.tobytes() for row in features + 0.0}  # -0.0 is 0.0
    if len(distinct) == len(features):
        return {}
    return {"init": "pca" if min(len(distinct), features.shape[1]) > 1 else "random"}


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


def _place(cache, name):
    """The file that a map of this name is kept in, or None where no folder can be written."""
    if cache is False:
        return None
    usual = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "rotnet_keras")
    try:
        # In a folder of its own, since old maps are deleted.
        chosen = pathlib.Path(cache or os.environ.get(CACHE) or usual).expanduser() / "maps"
        return make_folder(chosen, "cache") / f"{name}.npy"
    except (OSError, RuntimeError) as error:  # a user without a home is the latter
        if cache is None:
            return None
        if isinstance(error, OSError):
            raise
        raise FileError(
            f"cache must be a folder that can be written, got {cache}: {error}"
        ) from error


def _read(file, count):
    """A map that was kept, or None if there is none, or another's or a damaged one."""
    try:
        points = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    sound = points.shape == (count, 2) and points.dtype == np.float32 and np.isfinite(points).all()
    return points if sound else None


def _keep(points, file):
    """Write a map, and delete those that were written first where all of them take too much."""
    shutil.rmtree(file.parent / "joblib", ignore_errors=True)  # as version 0.1 kept them
    with contextlib.suppress(OSError):  # a full disk, which the map need not wait for
        with replace_with(file) as beside:
            np.save(beside, points)
        total = 0
        for old in sorted(file.parent.glob("*.npy"), key=os.path.getmtime, reverse=True):
            total += old.stat().st_size
            if total > LARGEST_CACHE:
                old.unlink(missing_ok=True)


def _centred(points):
    """Points about their centre, at a mean distance of 1."""
    points = points.astype("float64")
    points = points / (np.abs(points).max() or 1)  # whose squares could be too large
    points = points - points.mean(axis=0)
    return points / (np.linalg.norm(points, axis=1).mean() or 1)
