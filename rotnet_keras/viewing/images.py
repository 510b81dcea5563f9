"""Pictures of images: filters, attention, neighbours, answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np

from rotnet_keras._base.arrays import (
    CHANNELS,
    Labels,
    Pictures,
    check_array,
    check_finite,
    check_have_names,
    check_indices,
    check_labels,
)
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.files import printable
from rotnet_keras._base.values import Names, check_mapping, got
from rotnet_keras.viewing.axes import (
    AxesArray,
    check_axes_shape,
    grid_of_axes,
    row_of_axes,
    show_image,
    shown_text,
    wrapped_lines,
)

ANSWERS_A_ROW = 8


def _check_filters(name, filters_by_name):
    """Return the filters of each network as floats, or raise."""
    check_mapping(name, filters_by_name, "filters by name of the network")
    checked = {network: check_array(name, one) for network, one in filters_by_name.items()}
    for filters in checked.values():
        if filters.ndim != 4 or 0 in filters.shape or filters.shape[2] not in CHANNELS:
            raise InputError(
                f"{name} must be (h, w, C, F) each, with 1 or 3 channels, got {got(filters)}"
            )
        check_finite(name, filters)
    return {network: filters.astype("float64") for network, filters in checked.items()}


def _axes_for_filters(filters_by_name, axes):
    check_axes_shape(axes, (len(filters_by_name),))


def _check_attention_maps(name, maps):
    """Return maps as arrays, or raise."""
    check_mapping(name, maps, "maps by name of the block")
    checked = {block: check_array(name, values) for block, values in maps.items()}
    for values in checked.values():
        if values.ndim != 3 or 0 in values.shape:
            raise InputError(f"{name} must be (N, h, w) each, got {got(values)}")
        check_finite(name, values)
        if values.min() < 0:
            raise InputError(f"{name} must be at least 0, got {values.min()}")
    return checked


def _a_map_an_image(images, maps, axes):
    for values in maps.values():
        if len(values) != len(images):
            raise InputError(
                f"maps must be ({len(images)}, h, w) each, a map for each of the images, "
                f"got {got(values)}"
            )
    check_axes_shape(axes, (len(images), 1 + len(maps)))


def _neighbours_of_queries(images, queries, neighbours, axes):
    queries = check_indices("queries", queries, len(images))
    neighbours = check_indices("neighbours", neighbours, len(images), ndim=2)
    if len(neighbours) != len(queries):
        raise InputError(
            f"neighbours must be ({len(queries)}, K), a row for each of the queries, "
            f"got {got(neighbours)}"
        )
    check_axes_shape(axes, (len(queries), 1 + neighbours.shape[1]))
    return {"queries": queries, "neighbours": neighbours}


def _names_are_of_labels(images, labels, class_names):
    if labels is not None:
        check_labels(labels, len(images))
    elif class_names is not None:
        raise InputError("labels must be whole numbers where there are class_names, got None")
    if class_names is not None:
        check_have_names(labels, class_names)


def _answers_of_images(images, labels, predicted, class_names, axes):
    for name, values in {"labels": labels, "predicted": predicted}.items():
        check_labels(values, len(images), name)
        if class_names is not None:
            check_have_names(values, class_names, name)
    check_axes_shape(axes, (len(images),))


# What a signature says beside an argument.
Filters = Annotated[Mapping[str, np.ndarray], _check_filters]
AttentionMaps = Annotated[Mapping[str, np.ndarray], _check_attention_maps]


@public(_axes_for_filters)
def plot_filters(filters_by_name: Filters, *, axes: AxesArray | None = None) -> np.ndarray:
    """Draw the first filters of networks side by side, as the paper does with and without labels.

    Each filter has its own scale, on which 0 is mid-grey and the largest weight, up or down, is
    white or black; three channels are shown as colours.

    Args:
        filters_by_name: `{name: array (h, w, C, F)}` with 1 or 3 channels, as `first_filters`
            returns them.
        axes: array of one axes for each network; None makes a figure.

    Returns:
        The array of axes, `(number of networks,)`.

    Raises:
        InputError: there are no filters, some are not finite or not of that form, or `axes` is
            not an array of one axes for each network.

    Example:
        >>> rotation, other = (two_conv_extractor((28, 28, 1), seed=seed) for seed in (0, 1))
        >>> filters = {"rotation": first_filters(rotation), "other": first_filters(other)}
        >>> [len(ax.images) for ax in plot_filters(filters)]
        [16, 16]

    Reference: the first-layer filters of https://arxiv.org/abs/1803.07728
    """
    count = len(filters_by_name)
    axes = row_of_axes(axes, count, (3.2 * count, 3.5))
    for ax, (name, filters) in zip(axes, filters_by_name.items(), strict=True):
        _show_filters(filters, ax)
        ax.set_title(shown_text(name))
    return axes


@public(_a_map_an_image)
def plot_attention_maps(
    images: Pictures, maps: AttentionMaps, *, axes: AxesArray | None = None
) -> np.ndarray:
    """Draw images, one a row, and beside each where the blocks of a network respond to it.

    Each map has its own scale, from 0 in black to its largest value, and covers its image. For an
    image in its four rotations, take `rotated = rotate_batch(image[None])[0]` and draw
    `attention_maps(extractor, rotated)`.

    Args:
        images: `(N, H, W, C)` with 1 or 3 channels, pixels 0..255.
        maps: `{name: array (N, h, w)}`, at least 0, as `attention_maps` returns them.
        axes: `(N, 1 + number of maps)` array of axes; None makes a figure.

    Returns:
        The array of axes.

    Raises:
        InputError: `images`, `maps` or `axes` are not of that form.

    Example:
        >>> extractor = conv_blocks_extractor((28, 28, 1), widths=(8, 16))
        >>> rotated = rotate_batch(np.zeros((1, 28, 28, 1), "uint8"))[0]
        >>> axes = plot_attention_maps(rotated, attention_maps(extractor, rotated))
        >>> [ax.get_title() for ax in axes[0]]
        ['image', 'block1', 'block2']

    Reference: the attention maps of https://arxiv.org/abs/1803.07728
    """
    count, columns = len(images), 1 + len(maps)
    axes = grid_of_axes(axes, (count, columns), (1.5 * columns, 1.5 * count + 0.4))
    for row, (ax, *others) in enumerate(axes):
        shown = show_image(images[row], ax)
        for other, values in zip(others, maps.values(), strict=True):
            style = {"cmap": "inferno", "vmin": 0, "vmax": values[row].max() or 1}
            other.imshow(values[row], extent=shown.get_extent(), **style)
            other.set_axis_off()
    for ax, name in zip(axes[0], ["image", *map(shown_text, maps)], strict=True):
        ax.set_title(name)
    return axes


@public(_neighbours_of_queries, _names_are_of_labels)
def plot_neighbours(
    images: Pictures,
    queries: Sequence[int] | np.ndarray,
    neighbours: Sequence[Sequence[int]] | np.ndarray,
    *,
    labels: Labels | None = None,
    class_names: Names | None = None,
    axes: AxesArray | None = None,
) -> np.ndarray:
    """Show images, one a row, and beside each those that a network finds most like it.

    The images asked about stand first, in a frame. With labels, the class stands beneath each
    image, in red and after the sign ≠ where it is not that of the image asked about.

    Args:
        images: `(N, H, W, C)` with 1 or 3 channels, pixels 0..255.
        queries: `(Q,)` whole numbers, places in `images`.
        neighbours: `(Q, K)` whole numbers, places in `images`, as `similar_images` returns them.
        labels: `(N,)` whole numbers; None shows no classes.
        class_names: one a class; None shows the labels themselves.
        axes: `(Q, 1 + K)` array of axes; None makes a figure.

    Returns:
        The array of axes.

    Raises:
        InputError: `images`, `queries`, `neighbours`, `labels` or `axes` are not of that form, a
            label has no name, or there are names without labels.

    Example:
        >>> images, features = np.zeros((3, 28, 28, 1), "uint8"), [[1, 0], [0, 2], [3, 0]]
        >>> neighbours, _ = similar_images(features, [0], count=2)
        >>> axes = plot_neighbours(images, [0], neighbours, labels=[4, 5, 4])
        >>> [ax.get_xlabel() for ax in axes[0]]
        ['4', '4', '≠ 5']
    """
    names = None if class_names is None else list(class_names)
    shown = np.column_stack([queries, neighbours])
    axes = _axes_of_neighbours(axes, shown.shape, 1.1 if labels is None else 1.4)
    for row, places in zip(axes, shown, strict=True):
        for ax, place in zip(row, places, strict=True):
            show_image(images[place], ax, framed=ax is row[0])
            if labels is not None:
                label = labels[place]
                name = names[label] if names else label
                _name_class(name, ax, same=label == labels[places[0]])
    for ax, name in zip(axes[0], ["query", *range(1, shown.shape[1])], strict=True):
        ax.set_title(name)
    return axes


@public(_answers_of_images)
def plot_predictions(
    images: Pictures,
    labels: Labels,
    predicted: Labels,
    class_names: Names | None = None,
    *,
    axes: AxesArray | None = None,
) -> np.ndarray:
    """Show images and what each is, in red where it was predicted as something else, and as what.

    Args:
        images: `(N, H, W, C)` with 1 or 3 channels, pixels 0..255.
        labels: `(N,)` whole numbers, the true classes.
        predicted: `(N,)` whole numbers, as `predict_classes` returns them.
        class_names: one a class; None shows the numbers themselves.
        axes: `(N,)` array of axes; None makes a figure, eight images a row.

    Returns:
        The array of axes, `(N,)`.

    Raises:
        InputError: there is not one label and one prediction for each image, one of them has no
            name, or `axes` is not an array of one axes for each image.

    Example:
        >>> images = np.zeros((2, 28, 28, 1), "uint8")
        >>> axes = plot_predictions(images, [0, 1], [0, 0], ["Bag", "Coat"])
        >>> [ax.get_xlabel().split() for ax in axes]
        [['Bag'], ['Coat', '≠', 'Bag']]
    """
    columns = min(len(images), ANSWERS_A_ROW)
    size = 1.3 * columns, 1.75 * math.ceil(len(images) / columns)
    axes = row_of_axes(axes, len(images), size, columns=columns)
    for ax, image, label, answer in zip(axes, images, labels, predicted, strict=True):
        show_image(image, ax)
        pair = label, answer
        name, other = pair if class_names is None else (class_names[one] for one in pair)
        _name_class(other, ax, same=answer == label)
        if answer != label:
            ax.set_xlabel(f"{wrapped_lines(name)}\n{ax.get_xlabel()}")
    return axes


def _axes_of_neighbours(axes, shape, height):
    """`grid_of_axes` with a gap after the first column: an empty one, which is taken out again."""
    rows, columns = shape
    if axes is not None:
        return grid_of_axes(axes, shape, None)
    size = (1.1 * columns + 0.5, height * rows + 0.4)
    widths = [1, 0.15, *[1] * (columns - 1)]
    grid = grid_of_axes(None, (rows, columns + 1), size, width_ratios=widths)
    for ax in grid[:, 1]:
        ax.remove()
    return np.delete(grid, 1, axis=1)


def _name_class(name, ax, *, same):
    """Write a class beneath an image; one that is not the same has a sign and a colour."""
    text, colour = (name, "black") if same else (f"≠ {printable(name)}", "tab:red")
    ax.set_xlabel(wrapped_lines(text), size=8, color=colour)


def _show_filters(filters, ax):
    """Draw filters `(h, w, C, F)` as a square of small images on a ground that is not grey."""
    height, width, channels, count = filters.shape
    columns = math.ceil(math.sqrt(count))
    tall, gap = height / width, 0.12
    for number, weights in enumerate(np.moveaxis(filters, -1, 0)):
        row, column = divmod(number, columns)
        left, top = column * (1 + gap), row * (tall + gap)
        shades = 0.5 + 0.5 * weights / (np.abs(weights).max() or 1)
        grey = {"cmap": "gray", "vmin": 0, "vmax": 1} if channels == 1 else {}
        extent = (left, left + 1, top + tall, top)
        ax.imshow(shades.squeeze(-1) if grey else shades, extent=extent, **grey)
    ax.set(xlim=(-gap, columns * (1 + gap)))
    ax.set(ylim=(math.ceil(count / columns) * (tall + gap), -gap))
    ax.set(xticks=[], yticks=[], facecolor="lightsteelblue")
    ax.spines[:].set_visible(False)
