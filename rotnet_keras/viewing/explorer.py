"""A map of images to explore in a browser: one file that needs no network."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping

import numpy as np
from bokeh.embed import json_item
from bokeh.models import ColumnDataSource, Range1d
from bokeh.palettes import cividis
from bokeh.plotting import figure
from bokeh.resources import Resources
from PIL import Image
from scipy.special import softmax

from rotnet_keras._base.arrays import (
    check_array,
    check_finite,
    check_have_names,
    check_images,
    check_labels,
)
from rotnet_keras._base.errors import FileError, InputError
from rotnet_keras._base.files import printable, replace_text
from rotnet_keras._base.templates import render
from rotnet_keras._base.values import check_list, check_mapping, check_seed, got
from rotnet_keras.blocks import block_names, join_blocks
from rotnet_keras.evaluation import extract_features
from rotnet_keras.heads import check_extractor
from rotnet_keras.viewing.maps import align_maps, check_cache, umap_map
from rotnet_keras.viewing.pages import check_html, image_grid

LARGEST_SHOWN = 48  # pixels of a side: of larger images the page holds smaller copies
# The scheme "muted" of Paul Tol's technical note SRON/EPS/TN/09-002 and a grey: colours that
# people tell apart whatever kind of colour blindness they have.
COLOURS = (
    *("#332288", "#DDCC77", "#117733", "#CC6677", "#88CCEE"),
    *("#AA4499", "#44AA99", "#882255", "#999933", "#777777"),
)
SHAPES = ("circle", "square", "triangle", "diamond", "inverted_triangle", "hex", "star")
RIGHT, WRONG = ("#9DB4C8", "circle"), ("#B32D00", "triangle")
MOST_LEVELS = 11


def save_explorer(
    path,
    features_by_name,
    images,
    labels,
    class_names,
    *,
    logits=None,
    rotation_accuracies=None,
    title="What the network makes of the images",
    seed=0,
    cache=None,
):
    """Write a page that shows images as points, close where their features are alike.

    Hovering, tapping or the arrow keys show a point's image, its class and what a model says of
    it. Menus choose what colours mean, and of which network and depth the features are: then the
    same points move. The legend hides classes. Forms help where colours are hard to tell; from 71
    classes on, looks repeat. One file, which needs no network and can be sent.

    Args:
        path: of the `.html` file.
        features_by_name: `{network: features (N, D)}`, laid out by `umap_map`, or taken as they
            are where D is 2. Of several depths of each network,
            `{network: {depth: features (N, D)}}`, the same depths in each.
        images: `(N, S, S, C)` array, grey or colour, pixels 0..255. 5,000 stay fluid;
            larger ones than 48 pixels are shown smaller.
        labels: `(N,)` whole numbers, the class of each image.
        class_names: one a class.
        logits: `(N, K)`, what a classifier says of each image, as `extract_features` of a whole
            model returns it; None does without predictions and errors.
        rotation_accuracies: `(N,)`, 0..1, the share of its rotations that were told right for each
            image; None does without.
        title: of the page.
        seed: of the maps.
        cache: as in `umap_map`.

    Returns:
        `pathlib.Path` of the file; `show_page` shows it in a notebook.

    Raises:
        ValueError: another ending than `.html`, or arguments that do not fit together.
        OSError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> rng = np.random.default_rng(0)
        >>> images = rng.integers(0, 256, (20, 12, 12, 1), "uint8")
        >>> points = {"random": rng.normal(size=(20, 2)), "pretrained": rng.normal(size=(20, 2))}
        >>> path = tempfile.mkdtemp() + "/explorer.html"
        >>> save_explorer(path, points, images, np.arange(20) % 2, ["Bag", "Coat"]).name
        'explorer.html'
    """
    path = check_html(path)
    if path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise FileError(f"path must lie in a folder that can be written, got {path}")
    images = _check_shown(images)
    names = [printable(name) for name in check_list("class_names", class_names, "name")]
    labels = check_labels(labels, len(images))
    check_have_names(labels, names)
    features = _check_features(features_by_name, len(images))
    colourings = {"class": _classes(labels, names)}
    chances = None
    if logits is not None:
        chances = softmax(_check_logits(logits, len(images), names), axis=1)
        colourings["predicted class"] = _classes(chances.argmax(axis=1), names)
        colourings["error"] = _errors(labels, chances.argmax(axis=1))
    if rotation_accuracies is not None:
        colourings["rotation accuracy"] = _levels(rotation_accuracies, len(images))
    if not isinstance(title, str):
        raise InputError(f"title must be a text, got {got(title)}")
    check_seed(seed)
    check_cache(cache)
    maps = align_maps([_laid_out(one, seed, cache) for one in features.values()])
    facts = {
        "maps": [{"network": printable(n), "depth": printable(d)} for n, d in features],
        "colourings": [{"name": n, "entries": entries} for n, (_, entries) in colourings.items()],
        "side": _shown_side(images),
    }
    plot = _plot(maps, [places for places, _ in colourings.values()], chances)
    page = render(
        "viewing",
        "explorer.html",
        title=title,
        facts=facts,
        plot=json_item(plot),
        atlas=_atlas(images),
        library=Resources(mode="inline", components=["bokeh"]).js_raw,
    )
    replace_text(path, page)
    return path


def features_by_depth(networks, images):
    """Compute what several networks of one architecture make of images, block by block.

    Args:
        networks: `{name: extractor}`, functional `keras.Model`s from images to `(B, D)`, which have
            the same blocks.
        images: `(N, H, W, C)` array of pixels 0..255.

    Returns:
        `{name: {depth: float32 features (N, D)}}` for `save_explorer`: the averages of each block
        on a small grid, by `join_blocks`, and at the end, as "features", what the extractor puts
        out.

    Raises:
        ValueError: no networks, or networks and images that do not fit together.

    Example:
        >>> networks = {"random": conv_blocks_extractor((12, 12, 1), widths=(4, 8))}
        >>> features = features_by_depth(networks, np.zeros((5, 12, 12, 1), "uint8"))
        >>> {depth: array.shape for depth, array in features["random"].items()}
        {'block1': (5, 36), 'block2': (5, 72), 'features': (5, 8)}
    """
    check_mapping("networks", networks, "extractors by name")
    for network in networks.values():
        check_extractor(network, "networks: each extractor")
    blocks = {name: block_names(network) for name, network in networks.items()}
    if len(set(blocks.values())) > 1:
        raise InputError(f"networks must have the same blocks, got {blocks}")
    features = {}
    for name, extractor in networks.items():
        cuts = {block: join_blocks(extractor, [block]) for block in blocks[name]}
        cuts["features"] = extractor
        features[name] = {depth: extract_features(cut, images) for depth, cut in cuts.items()}
    return features


def _laid_out(features, seed, cache):
    """A map `(N, 2)` of features; what has two already is one."""
    if features.shape[1] == 2:
        return features
    return umap_map(features, seed=seed, cache=cache)


def _classes(labels, names):
    """The place of each image among the entries of a legend, and these: one a class."""
    entries = [
        _entry(name, COLOURS[i % len(COLOURS)], SHAPES[i % len(SHAPES)])
        for i, name in enumerate(names)
    ]
    return labels, entries


def _errors(labels, predicted):
    return (labels != predicted).astype(int), [_entry("right", *RIGHT), _entry("wrong", *WRONG)]


def _levels(accuracies, count):
    """An entry for each share that occurs, from dark to light; many shares in tenths."""
    accuracies = check_array("rotation_accuracies", accuracies)
    within = accuracies.size and accuracies.min() >= 0 and accuracies.max() <= 1
    if accuracies.shape != (count,) or not within:
        raise InputError(
            f"rotation_accuracies must lie in 0..1, one for each of the {count} images, "
            f"got {got(accuracies)}"
        )
    accuracies = accuracies.round(2)  # as they are shown
    if len(np.unique(accuracies)) > MOST_LEVELS:
        accuracies = accuracies.round(1)
    levels, places = np.unique(accuracies, return_inverse=True)
    colours = cividis(len(levels)) if len(levels) > 1 else [COLOURS[0]]
    entries = [
        _entry(f"{100 * level:.0f}% of its rotations", colour, SHAPES[i % len(SHAPES)])
        for i, (level, colour) in enumerate(zip(levels, colours, strict=True))
    ]
    return places, entries


def _entry(name, colour, shape):
    return {"name": name, "colour": colour, "shape": shape}


def _plot(maps, colourings, chances):
    """The points, with all that the page's menus choose from in columns of their own."""
    columns = {f"x{i}": points[:, 0] for i, points in enumerate(maps)}
    columns |= {f"y{i}": points[:, 1] for i, points in enumerate(maps)}
    columns |= {f"entry{i}": np.int32(places) for i, places in enumerate(colourings)}
    if chances is not None:
        columns["chance"] = np.float32(chances.max(axis=1))
    count = len(maps[0])
    columns |= {"x": maps[0][:, 0], "y": maps[0][:, 1], "colour": ["#777777"] * count}
    columns["shape"] = ["circle"] * count
    options = {"toolbar_location": None, "sizing_mode": "stretch_both", "min_border": 0}
    options |= {"x_range": Range1d(-3, 3), "y_range": Range1d(-3, 3), "lod_threshold": None}
    plot = figure(name="plot", tools="pan,wheel_zoom", active_scroll="wheel_zoom", **options)
    plot.axis.visible, plot.grid.visible, plot.outline_line_color = False, False, None
    style = {"fill_color": "colour", "marker": "shape", "fill_alpha": 0.85}
    style |= {"line_color": "black", "line_width": 0.5, "line_alpha": 0.4}
    plot.scatter("x", "y", source=ColumnDataSource(columns, name="points"), size=7, **style)
    return plot


def _atlas(images):
    """All images in one picture, as a data URI."""
    grid = image_grid(images, _shown_side(images), resample=Image.Resampling.LANCZOS)
    coloured = {"quality": 90, "subsampling": 0}  # colours stay within their image
    kind, options = ("png", {"optimize": True}) if grid.mode == "L" else ("jpeg", coloured)
    file = io.BytesIO()
    grid.save(file, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def _shown_side(images):
    return min(images.shape[1], LARGEST_SHOWN)


def _check_shown(images):
    images = check_images(images)
    if images.shape[1] != images.shape[2] or images.shape[3] not in (1, 3):
        raise InputError(
            f"images must be square, grey or colour, (N, S, S, 1 or 3), got {images.shape}"
        )
    return images


def _check_logits(logits, count, names):
    logits = check_array("logits", logits)
    if logits.shape != (count, len(names)):
        raise InputError(
            f"logits must be ({count}, {len(names)}), for each image one a class, got {got(logits)}"
        )
    check_finite("logits", logits)
    return logits.astype("float64")


def _check_features(features_by_name, count):
    """`{(network, depth): features}`, all of them checked; one depth has the name ""."""
    check_mapping("features_by_name", features_by_name, "features by the network's name")
    nested = {
        network: depths if isinstance(depths, Mapping) else {"": depths}
        for network, depths in features_by_name.items()
    }
    depths = list(next(iter(nested.values())))
    flat = {}
    for network, by_depth in nested.items():
        if not depths or list(by_depth) != depths:
            raise InputError(
                "features_by_name must hold the same depths of every network, one or more, "
                f"got {depths} and {list(by_depth)}"
            )
        for depth, features in by_depth.items():
            flat[network, depth] = _check_one(features, count)
    return flat


def _check_one(features, count):
    features = check_array("features_by_name", features)
    if features.ndim != 2 or len(features) != count or not features.shape[1]:
        raise InputError(
            f"features_by_name must hold arrays ({count}, D), D at least 1, got {got(features)}"
        )
    check_finite("features_by_name", features)
    if features.shape[1] != 2 and count < 4:
        raise InputError(
            f"features_by_name must be of 4 images or more to be laid out, got {got(features)}"
        )
    return features
