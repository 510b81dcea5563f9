"""A map of images to explore in a browser: one file that needs no network."""

from __future__ import annotations

import base64
import io
import os
import pathlib
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import keras
import numpy as np
from bokeh.embed import json_item
from bokeh.models import ColumnDataSource, Range1d
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
from rotnet_keras.viewing.axes import named_or_without
from rotnet_keras.viewing.legends import colourings_of
from rotnet_keras.viewing.maps import Cache, align_maps, umap_points
from rotnet_keras.viewing.pages import HtmlPath, image_grid

LARGEST_SHOWN = 48  # pixels of a side: of larger images the page holds smaller copies
MOST_AS_PICTURES = 300  # images, of which fewer have room to be seen as such
LARGEST_OF_FEW = 112  # pixels of a side of those: as large as the card shows them


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


def _named_each_image(images, names, parts):
    for argument, values in (("names", names), ("parts", parts)):
        if values is not None and len(values) != len(images):
            raise InputError(
                f"{argument} must be {len(images)}, one for each of the images, got {got(values)}"
            )


def _opens_on_a_network(features_by_name, opens_on):
    if opens_on is not None and opens_on not in features_by_name:
        networks = tuple(features_by_name)
        raise InputError(f"opens_on must be one of the networks {networks}, got {opens_on!r}")


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
    images_are_square,
    one_label_an_image,
    named_or_without,
    _a_row_an_image,
    _told_of_each_image,
    _named_each_image,
    _opens_on_a_network,
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
    names: Names | None = None,
    parts: Names | None = None,
    speaker: Text = "the model",
    opens_on: Text | None = None,
    title: Text = "What the network makes of the images",
    seed: Seed = 0,
    cache: Cache = None,
) -> pathlib.Path:
    """Write a page that shows images as points, close where their features are alike.

    Fewer than 300 are shown as small pictures, each in a frame of its colour. Hovering, tapping or
    the arrow keys show a point's image, its class and what a model says of it. Menus choose what
    colours mean, and the network and depth of the features: the same points move to their new
    places. The legend hides classes. Shapes help where colours are hard to tell apart; with more
    than 70 classes, looks repeat. The page is one file, which can be sent and needs no network.

    Args:
        path: of the `.html` file.
        features_by_name: `{network: features (N, D)}`, laid out by `umap_points`, or taken as they
            are where D is 2. Of several depths of each network,
            `{network: {depth: features (N, D)}}`, the same depths in each.
        images: `(N, S, S, C)` array, grey or colour, pixels 0..255. Up to 5,000 move
            smoothly; those larger than 48 pixels, or 112 of fewer than 300, are shown smaller.
        labels: `(N,)` whole numbers, the class of each image; -1 where none is known. Later images
            are drawn above earlier ones; fewer than 300 in an order drawn at random.
        class_names: one a class.
        logits: `(N, K)`, what a classifier says of each image, as `extract_features` returns it for
            a whole model; None leaves out predictions and errors.
        rotation_accuracies: `(N,)`, 0..1, for each image the share of its rotations that were told
            right; None leaves them out.
        names: one an image, of its file for example; None counts them.
        parts: one an image, of the part of the data that it belongs to, such as "test"; None leaves
            them out.
        speaker: what the page calls the classifier of `logits`.
        opens_on: the network that is shown first, at its last depth; None for the first one.
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
    colourings = colourings_of(labels, class_names, chances, rotation_accuracies, parts)
    # Features of two columns are a map already.
    laid_out = partial(umap_points, seed=seed, cache=cache)
    maps = align_maps(x if x.shape[1] == 2 else laid_out(x) for x in features.values())
    start = _last_of(next(iter(features_by_name)) if opens_on is None else opens_on, features)
    facts = _facts(features, colourings, names, speaker) | {"start": start}
    facts |= {"side": _shown_side(images), "pictures": len(images) < MOST_AS_PICTURES}
    page = render(
        "viewing",
        "explorer.html",
        title=title,
        facts=facts,
        plot=json_item(_plot(maps, start, [places for places, _ in colourings.values()], chances)),
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


def _last_of(network, features):
    """The place of a network's last depth among all."""
    return max(i for i, (name, _) in enumerate(features) if name == network)


def _facts(features, colourings, names, speaker):
    """What menus, legends and cards say."""
    return {
        "maps": [{"network": printable(n), "depth": printable(d)} for n, d in features],
        "colourings": [{"name": n, "entries": entries} for n, (_, entries) in colourings.items()],
        "names": None if names is None else [printable(name) for name in names],
        "speaker": printable(speaker),
    }


def _plot(maps, start, colourings, chances):
    """The points; what the page's menus choose from lies in columns of their data."""
    columns = {f"x{i}": points[:, 0] for i, points in enumerate(maps)}
    columns |= {f"y{i}": points[:, 1] for i, points in enumerate(maps)}
    columns |= {f"entry{i}": np.int32(places) for i, places in enumerate(colourings)}
    if chances is not None:
        columns["chance"] = np.float32(chances.max(axis=1))
    count = len(maps[0])
    columns |= {"x": maps[start][:, 0], "y": maps[start][:, 1], "colour": ["#777777"] * count}
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
    few = len(images) < MOST_AS_PICTURES
    return min(images.shape[1], LARGEST_OF_FEW if few else LARGEST_SHOWN)
