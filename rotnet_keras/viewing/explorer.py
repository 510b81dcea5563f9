"""A map of images to explore in a browser: one file that needs no network."""

from __future__ import annotations

import base64
import io
import os
import pathlib
from collections.abc import Mapping
from typing import Annotated, Any

import keras
import numpy as np
from bokeh.embed import json_item
from bokeh.models import ColumnDataSource, Range1d
from bokeh.palettes import cividis
from bokeh.plotting import figure
from bokeh.resources import Resources
from PIL import Image
from scipy.special import softmax

from rotnet_keras._base.arrays import (
    Images,
    Labels,
    Pictures,
    check_array,
    check_finite,
    check_fits,
    check_have_names,
    images_are_square,
    one_label_an_image,
)
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import FileError, InputError
from rotnet_keras._base.files import printable, replace_text
from rotnet_keras._base.templates import render
from rotnet_keras._base.values import Names, Seed, Text, check_mapping, got
from rotnet_keras.blocks import block_names, join_blocks
from rotnet_keras.evaluation import extract_features
from rotnet_keras.heads import check_extractor
from rotnet_keras.viewing.maps import Cache, align_maps, umap_points
from rotnet_keras.viewing.pages import HtmlPath, image_grid

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


def _depths(features):
    """The features of a network by depth; where there is only one, its name is ""."""
    return features if isinstance(features, Mapping) else {"": features}


def _flat(features_by_name):
    """`{(network, depth): features}`."""
    networks = features_by_name.items()
    return {(name, depth): one for name, given in networks for depth, one in _depths(given).items()}


def _check_features_by_name(name, features_by_name):
    """Return arrays by depth by network, the same depths in each, or raise."""
    check_mapping(name, features_by_name, "features by the network's name")
    networks = {network: _depths(given) for network, given in features_by_name.items()}
    depths, *others = map(list, networks.values())
    if not depths or any(other != depths for other in others):
        raise InputError(
            f"{name} must hold the same depths of every network, one or more, "
            f"got {got([depths, *others])}"
        )
    return {
        network: {depth: _check_one(name, features) for depth, features in by_depth.items()}
        for network, by_depth in networks.items()
    }


def _check_one(name, features):
    features = check_array(name, features)
    if features.ndim != 2 or not features.shape[1]:
        raise InputError(f"{name} must hold arrays (N, D), D at least 1, got {got(features)}")
    check_finite(name, features)
    return features


def _a_row_an_image(features_by_name, images):
    count = len(images)
    for features in _flat(features_by_name).values():
        if len(features) != count:
            raise InputError(
                f"features_by_name must hold arrays ({count}, D), a row for each of the images, "
                f"got {got(features)}"
            )
        if features.shape[1] != 2 and count < 4:
            raise InputError(
                f"features_by_name must be of 4 images or more to be laid out, got {got(features)}"
            )


def _check_logits(name, logits):
    logits = check_array(name, logits)
    check_finite(name, logits)
    return logits


def _check_shares(name, shares):
    shares = check_array(name, shares)
    if not shares.size or not (shares.min() >= 0 and shares.max() <= 1):
        raise InputError(f"{name} must lie in 0..1, got {got(shares)}")
    return shares


def _told_of_each_image(images, class_names, logits, rotation_accuracies):
    wanted = (len(images), len(class_names))
    if logits is not None and logits.shape != wanted:
        raise InputError(
            f"logits must be {wanted}, for each image one number a class, got {got(logits)}"
        )
    if rotation_accuracies is not None and rotation_accuracies.shape != (len(images),):
        raise InputError(
            f"rotation_accuracies must be ({len(images)},), one for each of the images, "
            f"got {got(rotation_accuracies)}"
        )


def _check_networks(name, networks):
    """Return extractors by name, or raise unless they have the same blocks."""
    check_mapping(name, networks, "extractors by name")
    for network in networks.values():
        check_extractor(f"{name}: each extractor", network)
    blocks = {label: block_names(network) for label, network in networks.items()}
    if len(set(blocks.values())) > 1:
        raise InputError(f"{name} must have the same blocks, got {blocks}")
    return networks


def _networks_take_images(networks, images):
    for network in networks.values():
        check_fits(images.shape[1:], network)


# What a signature says beside an argument.
FeaturesByName = Annotated[Mapping[str, Any], _check_features_by_name]
Logits = Annotated[np.ndarray, _check_logits]
Shares = Annotated[np.ndarray, _check_shares]
Networks = Annotated[Mapping[str, keras.Model], _check_networks]


@public(
    images_are_square, one_label_an_image, check_have_names, _a_row_an_image, _told_of_each_image
)
def save_explorer(
    path: HtmlPath,
    features_by_name: FeaturesByName,
    images: Pictures,
    labels: Labels,
    class_names: Names,
    *,
    logits: Logits | None = None,
    rotation_accuracies: Shares | None = None,
    title: Text = "What the network makes of the images",
    seed: Seed = 0,
    cache: Cache = None,
) -> pathlib.Path:
    """Write a page that shows images as points, close where their features are alike.

    Hovering, tapping or the arrow keys show a point's image, its class and what a model says of
    it. Menus choose what colours mean, and the network and depth of the features: the same points
    move to their new places. The legend hides classes. Shapes help where colours are hard to tell
    apart; with more than 70 classes, looks repeat. The page is one file, which can be sent and
    needs no network.

    Args:
        path: of the `.html` file.
        features_by_name: `{network: features (N, D)}`, laid out by `umap_points`, or taken as they
            are where D is 2. Of several depths of each network,
            `{network: {depth: features (N, D)}}`, the same depths in each.
        images: `(N, S, S, C)` array, grey or colour, pixels 0..255. Up to 5,000 move
            smoothly; those larger than 48 pixels are shown smaller.
        labels: `(N,)` whole numbers, the class of each image.
        class_names: one a class.
        logits: `(N, K)`, what a classifier says of each image, as `extract_features` returns it for
            a whole model; None leaves out predictions and errors.
        rotation_accuracies: `(N,)`, 0..1, for each image the share of its rotations that were told
            right; None leaves them out.
        title: of the page.
        seed: of the maps.
        cache: as in `umap_points`.

    Returns:
        `pathlib.Path` of the file; `show_html` shows it in a notebook.

    Raises:
        InputError: `path` does not end in `.html`, or the arguments do not fit together.
        FileError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> rng = np.random.default_rng(0)
        >>> images = rng.integers(0, 256, (20, 12, 12, 1), "uint8")
        >>> points = {"random": rng.normal(size=(20, 2)), "pretrained": rng.normal(size=(20, 2))}
        >>> path = tempfile.mkdtemp() + "/explorer.html"
        >>> save_explorer(path, points, images, np.arange(20) % 2, ["Bag", "Coat"]).name
        'explorer.html'
    """
    path = pathlib.Path(path)
    if path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise FileError(f"path must lie in a folder that can be written, got {path}")
    features = _flat(features_by_name)
    chances = None if logits is None else softmax(logits.astype("float64"), axis=1)
    colourings = _colourings(labels, class_names, chances, rotation_accuracies)
    # Features of two columns are a map already.
    maps = align_maps(
        one if one.shape[1] == 2 else umap_points(one, seed=seed, cache=cache)
        for one in features.values()
    )
    facts = {
        "maps": [{"network": printable(n), "depth": printable(d)} for n, d in features],
        "colourings": [{"name": n, "entries": entries} for n, (_, entries) in colourings.items()],
        "side": _shown_side(images),
    }
    page = render(
        "viewing",
        "explorer.html",
        title=title,
        facts=facts,
        plot=json_item(_plot(maps, [places for places, _ in colourings.values()], chances)),
        atlas=_atlas(images),
        library=Resources(mode="inline", components=["bokeh"]).js_raw,
    )
    replace_text(path, page)
    return path


@public(_networks_take_images)
def features_by_depth(networks: Networks, images: Images) -> dict[str, dict[str, np.ndarray]]:
    """Compute the features that several networks of one architecture see, block by block.

    Args:
        networks: `{name: extractor}`, functional `keras.Model`s from images to `(B, D)`, which have
            the same blocks.
        images: `(N, H, W, C)` array of pixels 0..255.

    Returns:
        `{name: {depth: float32 features (N, D)}}` for `save_explorer`: the averages of each block
        on a small grid, by `join_blocks`, and at the end, as "features", what the extractor puts
        out.

    Raises:
        InputError: there are no networks, or networks and images do not fit together.

    Example:
        >>> networks = {"random": conv_blocks_extractor((12, 12, 1), widths=(4, 8))}
        >>> features = features_by_depth(networks, np.zeros((5, 12, 12, 1), "uint8"))
        >>> {depth: array.shape for depth, array in features["random"].items()}
        {'block1': (5, 36), 'block2': (5, 72), 'features': (5, 8)}
    """
    features = {}
    for name, extractor in networks.items():
        cuts = {block: join_blocks(extractor, [block]) for block in block_names(extractor)}
        cuts["features"] = extractor
        features[name] = {depth: extract_features(cut, images) for depth, cut in cuts.items()}
    return features


def _colourings(labels, class_names, chances, rotation_accuracies):
    """What colours can mean: by name, the place of each image in a legend, and its entries."""
    names = [printable(name) for name in class_names]
    colourings = {"class": _classes(labels, names)}
    if chances is not None:
        predicted = chances.argmax(axis=1)
        colourings["predicted class"] = _classes(predicted, names)
        right_or_wrong = [_entry("right", *RIGHT), _entry("wrong", *WRONG)]
        colourings["error"] = (labels != predicted).astype(int), right_or_wrong
    if rotation_accuracies is not None:
        colourings["rotation accuracy"] = _levels(rotation_accuracies)
    return colourings


def _classes(labels, names):
    """The place of each image among the entries of a legend, and these: one a class."""
    entries = [
        _entry(name, COLOURS[i % len(COLOURS)], SHAPES[i % len(SHAPES)])
        for i, name in enumerate(names)
    ]
    return labels, entries


def _levels(accuracies):
    """An entry for each share that occurs, from dark to light; many shares in tenths."""
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
    """The points; what the page's menus choose from lies in columns of their data."""
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
