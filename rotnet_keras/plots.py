"""Pictures with matplotlib: axes in, axes out; nothing is shown, saved or computed here."""

from __future__ import annotations

import contextlib
import math
import pathlib
import textwrap

import keras
import matplotlib.axes
import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import ConfusionMatrixDisplay

from rotnet_keras._checks import (
    check_array,
    check_finite,
    check_have_names,
    check_images,
    check_indices,
    check_labels,
    check_list,
    check_mapping,
    check_path,
    check_table,
    got,
)
from rotnet_keras._files import printable, replace_text, replace_with
from rotnet_keras.evaluation import rotation_errors
from rotnet_keras.rotation import (
    NUM_ROTATIONS,
    ROTATION_NAMES,
    ROTATIONS,
    check_upright,
    rotate_batch,
)


def plot_rotations(images, *, axes=None):
    """Show each image in its four rotations, one image a row (the blog's Fig. 3).

    Args:
        images: `(N, S, S, C)` with 1 or 3 channels, pixels 0..255.
        axes: `(N, 4)` array of axes; None makes a figure.

    Returns:
        The `(N, 4)` array of axes.

    Raises:
        ValueError: `images` or `axes` are not of that form.

    Example:
        >>> plot_rotations(np.zeros((2, 28, 28, 1), "uint8")).shape
        (2, 4)
    """
    images = check_upright(_pictures(images))
    count = len(images)
    axes = _grid_of_axes(axes, (count, NUM_ROTATIONS), (1.5 * NUM_ROTATIONS, 1.5 * count + 0.4))
    rotated = rotate_batch(images)[0].numpy().reshape(NUM_ROTATIONS, count, *images.shape[1:])
    for row, turned in zip(axes, np.swapaxes(rotated, 0, 1), strict=True):
        for ax, image in zip(row, turned, strict=True):
            _show(image, ax)
    for ax, name in zip(axes[0], ROTATION_NAMES, strict=True):
        ax.set_title(name)
    return axes


def plot_history(histories, metric="accuracy", *, ax=None):
    """Draw training curves, and the validation curves dashed in the same colour.

    Args:
        histories: `{label: history}`, Keras `History` objects or their dictionaries.
        metric: which of the recorded numbers; `val_` is added for the dashed lines.
        ax: axes to draw on; None makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: no history, a `metric` that one of them did not record, or `ax` that is none.

    Example:
        >>> ax = plot_history({"rotation": {"accuracy": [0.8, 0.9], "val_accuracy": [0.7, 0.8]}})
        >>> len(ax.lines)
        2
    """
    check_mapping("histories", histories, "Keras histories by label")
    recorded = {label: getattr(one, "history", one) for label, one in histories.items()}
    for values in recorded.values():
        check_mapping("histories", values, "recorded numbers by metric, within that by label")
        if not isinstance(metric, str) or metric not in values:
            raise ValueError(f"metric must be one of {tuple(values)}, got {got(metric)}")
        check_array("histories", check_list("histories", values[metric], "number"))
    ax = _axes(ax)
    for label, values in recorded.items():
        epochs = np.arange(1, len(values[metric]) + 1)
        marker = "o" if len(epochs) == 1 else None
        (line,) = ax.plot(epochs, values[metric], marker=marker, label=f"{label}, training")
        if f"val_{metric}" in values:
            style = {"ls": "--", "marker": marker, "color": line.get_color()}
            ax.plot(epochs, values[f"val_{metric}"], label=f"{label}, validation", **style)
    ax.set(xlabel="epoch", ylabel=metric)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(alpha=0.3)
    ax.legend()
    return ax


def plot_map(points, labels, class_names, *, ax=None):
    """Scatter a two-dimensional map of images, coloured by class, with a legend of the names.

    Args:
        points: `(N, 2)`, as `umap_map` returns them.
        labels: `(N,)` whole numbers.
        class_names: one a class.
        ax: axes to draw on; None makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: points that are not finite, `(N, 2)`, one or more; not a label for each, or a
            label without a name; `ax` that is none.

    Example:
        >>> ax = plot_map(np.zeros((4, 2)), np.array([0, 0, 1, 1]), ["Bag", "Coat"])
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['Bag', 'Coat']
    """
    points = check_array("points", points)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(f"points must be (N, 2) with N at least 1, got {points.shape}")
    check_finite("points", points)
    labels = check_labels(labels, len(points), each="points")
    class_names = check_list("class_names", class_names, "name, one for each class")
    check_have_names(labels, class_names)
    ax = _axes(ax, figsize=(8.5, 6.5))
    colours = plt.get_cmap("tab10" if len(class_names) <= 10 else "gist_rainbow")
    for label, name in enumerate(class_names):
        colour = colours(label if len(class_names) <= 10 else label / len(class_names))
        chosen = points[labels == label]
        ax.scatter(*chosen.T, s=4, color=colour, alpha=0.6, linewidths=0, label=_text(name))
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=4, frameon=False)
    ax.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
    return ax


def plot_accuracies(accuracies, *, ax=None):
    """Draw accuracies as grouped bars, each with its number.

    Args:
        accuracies: `{series: {arm: accuracy 0..1}}`, all series with the same arms; one colour a
            series, one group an arm.
        ax: axes to draw on; None makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: no accuracies, series with different arms, or `ax` that is none.

    Example:
        >>> ax = plot_accuracies({"blog": {"scratch": 0.6}, "this run": {"scratch": 0.8}})
        >>> [text.get_text() for text in ax.texts]
        ['60.0', '80.0']
    """
    check_mapping("accuracies", accuracies, "accuracies by arm by series")
    for by_arm in accuracies.values():
        check_mapping("accuracies", by_arm, "numbers by arm, within that by series")
        check_finite("accuracies", check_array("accuracies", list(by_arm.values())))
    if len({tuple(by_arm) for by_arm in accuracies.values()}) > 1:
        raise ValueError(f"accuracies must be of the same arms in all series, got {accuracies}")
    ax = _axes(ax, figsize=(7.5, 4.5))
    width = 0.85 / len(accuracies)
    for i, (series, by_arm) in enumerate(accuracies.items()):
        places = np.arange(len(by_arm)) + (i - (len(accuracies) - 1) / 2) * width
        bars = ax.bar(places, [100 * value for value in by_arm.values()], width, label=series)
        ax.bar_label(bars, fmt="%.1f", padding=2, fontsize=9)
    ax.set_xticks(range(len(by_arm)), list(by_arm))
    ax.set(ylabel="test accuracy (%)", ylim=(0, 110))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_budgets(summary, *, published=None, ax=None):
    """Draw accuracy against the number of labels, one line an arm, with 95% intervals.

    Args:
        summary: table of `summarise_study`, of one network and pretraining. Arms that do without
            the pretext task, if it says which, get dashed lines.
        published: `{name: {num_labels: percent}}` of figures from elsewhere, drawn in black.
        ax: axes to draw on; None makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: a `summary` without rows or without those columns, `published` that is no such
            dictionary, or `ax` that is none.

    Example:
        >>> summary = {"arm": ["a", "a"], "num_labels": [10, 100], "mean": [50, 60], "ci95": [2, 1]}
        >>> ax = plot_budgets(pd.DataFrame(summary), published={"other": {100: 55.0}})
        >>> ax.get_xscale(), ax.get_legend_handles_labels()[1]
        ('log', ['other', 'a'])
    """
    check_table("summary", summary, ("arm", "num_labels", "mean", "ci95"))
    if published is not None:
        check_mapping("published", published, "figures by name")
        for figures in published.values():
            check_mapping("published", figures, "percent by number of labels, within that by name")
            numbers = check_array("published", [*figures, *figures.values()])
            check_finite("published", numbers)
    ax = _axes(ax, figsize=(9, 6))
    last = summary.sort_values("num_labels").groupby("arm")["mean"].last()
    colours = plt.get_cmap("tab20")
    for number, arm in enumerate(last.sort_values(ascending=False).index):
        runs = summary[summary["arm"] == arm].sort_values("num_labels")
        style = {"color": colours(number % 20), "marker": "os^Dv"[number % 5], "markersize": 4}
        without = "pretext" in runs and not runs["pretext"].any()
        style["linestyle"] = "--" if without else "-"
        ax.errorbar(runs["num_labels"], runs["mean"], runs["ci95"], label=arm, capsize=2, **style)
    for number, (name, points) in enumerate((published or {}).items()):
        style = {"color": "black", "markerfacecolor": "white", "markersize": 7, "zorder": 5}
        style |= {"marker": "x+*sDP"[number % 6], "linestyle": "none"}
        ax.plot(list(points), list(points.values()), label=name, **style)
    ticks = sorted(summary["num_labels"].unique())
    ax.set(xscale="log", xlabel="labels in all", ylabel="test accuracy (%)")
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.minorticks_off()
    ax.grid(axis="y", alpha=0.3)
    title = "dashed: without the pretext task" if "pretext" in summary else None
    where = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5)}
    ax.legend(title=title, frameon=False, fontsize=9, alignment="left", **where)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_confusion(matrix, class_names, *, ax=None):
    """Draw a confusion matrix, true classes in rows, with its counts.

    Args:
        matrix: `(K, K)` counts, as `confusion` returns them.
        class_names: one a class.
        ax: axes to draw on; None makes a figure.

    Returns:
        The axes.

    Raises:
        ValueError: a `matrix` that is not square or of no whole numbers, not a name for each of
            its rows, or `ax` that is none.

    Example:
        >>> plot_confusion(np.eye(2, dtype=int), ["Bag", "Coat"]).get_xlabel()
        'predicted class'
    """
    matrix = check_array("matrix", matrix)
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] > 0
    if not square or not np.issubdtype(matrix.dtype, np.integer) or matrix.min() < 0:
        raise ValueError(f"matrix must be (K, K) counts, K at least 1, got {got(matrix)}")
    class_names = check_list("class_names", class_names, "name, one for each class")
    if len(class_names) != len(matrix):
        raise ValueError(
            f"class_names must be {len(matrix)}, one for each row, got {got(class_names)}"
        )
    ax = _axes(ax, figsize=(7.5, 7))
    names = [_text(name) for name in class_names]
    display = ConfusionMatrixDisplay(matrix, display_labels=names)
    display.plot(ax=ax, cmap="Blues", xticks_rotation=45, colorbar=False, values_format="d")
    plt.setp(ax.get_xticklabels(), ha="right", rotation_mode="anchor")
    ax.set(xlabel="predicted class", ylabel="true class")
    return ax


def plot_rotation_confusion(counts, class_names, *, rotations=ROTATIONS, axes=None):
    """Draw which rotations are taken for which, and how well each class tells its own.

    On the left the confusion of all classes together, in percent of the images turned by each
    rotation. On the right, for every class, its accuracy over all rotations and its half-turn
    error: of the images at 0 and 180 degrees, the share taken for the other of the two. A class
    near 50 there looks the same upside down.

    Args:
        counts: `(K, R, R)`, as `rotation_confusion` returns them.
        class_names: one a class, in the order of the bars from above.
        rotations: the R quarter turns that were told apart.
        axes: two axes to draw on; None makes a figure.

    Returns:
        The two axes, of the confusion and of the bars.

    Raises:
        ValueError: as `rotation_errors`, or `axes` that are none.

    Example:
        >>> counts = np.array([[[6, 0, 4, 0], [0, 9, 0, 1], [2, 0, 8, 0], [0, 0, 0, 10]]])
        >>> _, bars = plot_rotation_confusion(counts, ["eight"])
        >>> [text.get_text() for text in bars.texts]
        ['82.5', '30.0']
    """
    errors = rotation_errors(counts, class_names, rotations=rotations)
    if axes is None:
        size = (11, max(4.8, 1.5 + 0.42 * len(errors)))
        figure, axes = plt.subplots(1, 2, figsize=size, layout="constrained")
        figure.get_layout_engine().set(wspace=0.08)
    elif np.shape(axes) != (2,) or not all(map(_is_axes, axes)):
        raise ValueError(f"axes must be two axes of matplotlib, or None, got {got(axes)}")
    together = np.sum(counts, axis=0)
    share = 100 * together / np.maximum(together.sum(axis=1, keepdims=True), 1)
    display = ConfusionMatrixDisplay(share, display_labels=[ROTATION_NAMES[k] for k in rotations])
    display.plot(ax=axes[0], cmap="Blues", colorbar=False, values_format=".1f")
    axes[0].set_anchor("N")
    axes[0].set(xlabel="taken for", ylabel="turned by", title="All classes together (%)")
    _bars_of_classes(errors, axes[1])
    return axes


def _bars_of_classes(errors, ax):
    """Two horizontal bars a class, its accuracy above its half-turn error, each with its number."""
    places = np.arange(len(errors))
    names = {"accuracy": "accuracy", "half_turn_error": "half-turn error (0° against 180°)"}
    bars = {"accuracy": "tab:blue"}
    if errors["half_turn_error"].notna().any():
        bars["half_turn_error"] = "tab:orange"
    height = 0.8 / len(bars)
    for i, (column, colour) in enumerate(bars.items()):
        drawn = ax.barh(
            places + (i - (len(bars) - 1) / 2) * height,
            100 * errors[column],
            height,
            color=colour,
            label=names[column],
        )
        ax.bar_label(drawn, fmt="%.1f", padding=2, fontsize=8)
    ax.set_yticks(places, [_text(name) for name in errors.index])
    ax.set(xlim=(0, 112), xlabel="%", title="Class by class", ylim=(len(errors) - 0.5, -0.5))
    ax.set_xticks(range(0, 101, 25))
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "borderaxespad": 3.5}
    ax.legend(ncols=2, frameon=False, **below)  # the distance in letters, however high the axes
    ax.spines[["top", "right"]].set_visible(False)


def plot_filters(filters_by_name, *, axes=None):
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
        ValueError: no filters, some that are not finite or not of that form, or `axes` that are
            none.

    Example:
        >>> rotation, other = (two_conv_extractor((28, 28, 1), seed=seed) for seed in (0, 1))
        >>> filters = {"rotation": first_filters(rotation), "other": first_filters(other)}
        >>> [len(ax.images) for ax in plot_filters(filters)]
        [16, 16]

    Reference: the first-layer filters of https://arxiv.org/abs/1803.07728
    """
    check_mapping("filters_by_name", filters_by_name, "filters by name of the network")
    filters_by_name = {name: _check_filters(one) for name, one in filters_by_name.items()}
    count = len(filters_by_name)
    axes = _row_of_axes(axes, count, (3.2 * count, 3.5))
    for ax, (name, filters) in zip(axes, filters_by_name.items(), strict=True):
        _show_filters(filters, ax)
        ax.set_title(_text(name))
    return axes


def plot_attention_maps(images, maps, *, axes=None):
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
        ValueError: `images`, `maps` or `axes` that are not of that form.

    Example:
        >>> extractor = conv_blocks_extractor((28, 28, 1), widths=(8, 16))
        >>> rotated = rotate_batch(np.zeros((1, 28, 28, 1), "uint8"))[0]
        >>> axes = plot_attention_maps(rotated, attention_maps(extractor, rotated))
        >>> [ax.get_title() for ax in axes[0]]
        ['image', 'block1', 'block2']

    Reference: the attention maps of https://arxiv.org/abs/1803.07728
    """
    images = _pictures(images)
    check_mapping("maps", maps, "maps by name of the block")
    maps = {name: _check_maps(values, len(images)) for name, values in maps.items()}
    count, columns = len(images), 1 + len(maps)
    axes = _grid_of_axes(axes, (count, columns), (1.5 * columns, 1.5 * count + 0.4))
    for row, (ax, *others) in enumerate(axes):
        shown = _show(images[row], ax)
        for other, values in zip(others, maps.values(), strict=True):
            style = {"cmap": "inferno", "vmin": 0, "vmax": values[row].max() or 1}
            other.imshow(values[row], extent=shown.get_extent(), **style)
            other.set_axis_off()
    for ax, name in zip(axes[0], ["image", *map(_text, maps)], strict=True):
        ax.set_title(name)
    return axes


def plot_neighbours(images, queries, neighbours, *, labels=None, class_names=None, axes=None):
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
        ValueError: `images`, `queries`, `neighbours`, `labels` or `axes` that are not of that
            form, a label without a name, or names without labels.

    Example:
        >>> images, features = np.zeros((3, 28, 28, 1), "uint8"), [[1, 0], [0, 2], [3, 0]]
        >>> neighbours, _ = similar_images(features, [0], count=2)
        >>> axes = plot_neighbours(images, [0], neighbours, labels=[4, 5, 4])
        >>> [ax.get_xlabel() for ax in axes[0]]
        ['4', '4', '≠ 5']
    """
    images = _pictures(images)
    queries = check_indices("queries", queries, len(images))
    neighbours = check_indices("neighbours", neighbours, len(images), ndim=2)
    if len(neighbours) != len(queries):
        raise ValueError(
            f"neighbours must be ({len(queries)}, K), a row for each of the queries, "
            f"got {got(neighbours)}"
        )
    if labels is not None or class_names is not None:
        labels, class_names = _check_named(labels, class_names, len(images))
    shown = np.column_stack([queries, neighbours])
    axes = _axes_of_neighbours(axes, shown.shape, 1.1 if labels is None else 1.4)
    for row, places in zip(axes, shown, strict=True):
        for ax, place in zip(row, places, strict=True):
            _show(images[place], ax, framed=ax is row[0])
            if labels is not None:
                label = labels[place]
                name = class_names[label] if class_names else label
                _name_class(name, ax, same=label == labels[places[0]])
    for ax, name in zip(axes[0], ["query", *range(1, shown.shape[1])], strict=True):
        ax.set_title(name)
    return axes


def plot_rotation_mistakes(images, mistakes, *, axes=None):
    """Show the images whose rotation was mistaken, turned as the network saw them.

    Args:
        images: `(N, S, S, C)` upright images with 1 or 3 channels, pixels 0..255.
        mistakes: table of `rotation_mistakes`, or the first rows of it: each is a picture.
        axes: array of one axes for each row; None makes a figure.

    Returns:
        The array of axes, `(number of mistakes,)`.

    Raises:
        ValueError: `images` or `axes` that are not of that form; `mistakes` without rows or
            columns, or that are not of these images.

    Example:
        >>> mistakes = rotation_mistakes([[[0.25, 0.75], [0, 1]]], rotations=(0, 2))
        >>> (ax,) = plot_rotation_mistakes(np.zeros((1, 28, 28, 1), "uint8"), mistakes)
        >>> print(ax.get_title())
        turned by 0°,
        taken for 180° (75%)
    """
    images = check_upright(_pictures(images))
    _check_mistakes(mistakes, len(images))
    count = len(mistakes)
    columns = min(count, 5)
    size = (1.9 * columns, 2.1 * math.ceil(count / columns))
    axes = _row_of_axes(axes, count, size, columns=columns)
    for ax, mistake in zip(axes, mistakes.itertuples(), strict=True):
        _show(np.rot90(images[mistake.image], int(mistake.turned_by) // 90), ax)
        taken = f"taken for {mistake.taken_for:.0f}° ({mistake.taken_probability:.0%})"
        ax.set_title(f"turned by {mistake.turned_by:.0f}°,\n{taken}", size=9)
    return axes


def draw_model(model, path, *, title=None):
    """Write a diagram of a model's layers, or a text summary where Graphviz is not installed.

    Args:
        model: `keras.Model`.
        path: file to write; its ending becomes `.png` or `.txt`, whichever was written.
        title: line above the diagram; None takes the model's name.

    Returns:
        `pathlib.Path` of the file written.

    Raises:
        ValueError: `model` is no `keras.Model`, `path` none of a file, or `title` no text.
        OSError: the file cannot be written.

    Example:
        >>> written = draw_model(two_conv_extractor((28, 28, 1)), "model.png")  # doctest: +SKIP
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"model must be a keras.Model, got {got(model)}")
    check_path("path", path)
    if title is not None and not isinstance(title, str):
        raise ValueError(f"title must be a text, or None, got {got(title)}")
    path, title = pathlib.Path(path), title or model.name
    if not path.name:
        raise ValueError(f"path must be that of a file, got {str(path)!r}")
    diagram, text = (path.with_suffix(ending) for ending in (".png", ".txt"))
    try:
        dot = keras.utils.model_to_dot(model, show_shapes=True, show_layer_names=True, dpi=80)
        dot.set("label", title)
        dot.set("labelloc", "t")
        with replace_with(diagram) as beside:
            dot.write(str(beside), format="png")
        written, other = diagram, text
    except (ImportError, OSError, AssertionError):  # no pydot, no Graphviz, or one that fails
        lines = [title, ""]
        model.summary(line_length=80, print_fn=lines.append)
        replace_text(text, "\n".join(lines) + "\n")
        written, other = text, diagram
    other.unlink(missing_ok=True)  # of an earlier run
    return written


@contextlib.contextmanager
def picture(path, title):
    """Give the figure that is drawn inside its title, save it and close it."""
    before = plt.get_fignums()
    try:
        yield
        figure = plt.gcf()
        figure.suptitle(title, parse_math=False)  # a folder may have "$" in its name
        with replace_with(path) as beside:
            figure.savefig(beside, dpi=120, bbox_inches="tight")
    finally:
        for number in set(plt.get_fignums()) - set(before):
            plt.close(number)


def _axes(ax, figsize=(6.5, 4.5)):
    """The axes given, or those of a new figure; called when nothing is left to be refused."""
    if ax is None:
        return plt.subplots(figsize=figsize, layout="constrained")[1]
    if not _is_axes(ax):
        raise ValueError(f"ax must be axes of matplotlib, or None, got {got(ax)}")
    return ax


def _grid_of_axes(axes, shape, figsize, **options):
    """The array of axes given, or those of a new figure; called when nothing is left to refuse."""
    if axes is None:
        options = {"figsize": figsize, "squeeze": False, "layout": "constrained"} | options
        return plt.subplots(*shape, **options)[1]
    _check_axes(axes, shape)
    return np.asarray(axes, object)


def _row_of_axes(axes, count, figsize, *, columns=None):
    """The same for axes in one row, which a new figure may break into several."""
    if axes is not None:
        return _grid_of_axes(axes, (count,), figsize)
    columns = columns or count
    grid = _grid_of_axes(None, (math.ceil(count / columns), columns), figsize).ravel()
    for ax in grid[count:]:
        ax.remove()
    return grid[:count]


def _axes_of_neighbours(axes, shape, height):
    """The same with a gap behind the first column: an empty one, which is taken out again."""
    rows, columns = shape
    if axes is not None:
        return _grid_of_axes(axes, shape, None)
    size = (1.1 * columns + 0.5, height * rows + 0.4)
    widths = [1, 0.15, *[1] * (columns - 1)]
    grid = _grid_of_axes(None, (rows, columns + 1), size, width_ratios=widths)
    for ax in grid[:, 1]:
        ax.remove()
    return np.delete(grid, 1, axis=1)


def _check_axes(axes, shape):
    try:
        array = np.asarray(axes, object)
    except ValueError:  # ragged
        array = np.empty(0, object)
    if array.shape != shape or not all(map(_is_axes, array.flat)):
        wanted = f"{shape[0]} axes" if len(shape) == 1 else f"{shape} axes"
        raise ValueError(f"axes must be an array of {wanted}, got {got(axes)}")


def _is_axes(ax):
    return isinstance(ax, matplotlib.axes.Axes)


def _text(name):
    """A name as matplotlib shows it letter by letter: no formula between `$`, none left out.

    Legends leave out what begins with "_"; a space of no width in front keeps it.
    """
    name = printable(name).replace("$", r"\$")
    return f"\N{ZERO WIDTH SPACE}{name}" if name.startswith("_") else name


def _lines(name, width=14):
    """A name as `_text` shows it, in several lines where it is long."""
    return "\n".join(map(_text, textwrap.wrap(printable(name), width)))


def _pictures(images):
    """Images as matplotlib takes them for 0..255: uint8, floats would be for 0..1."""
    images = check_images(images)
    if images.shape[-1] not in (1, 3):
        raise ValueError(f"images must have 1 or 3 channels, got {images.shape}")
    return images.astype("uint8")


def _show(image, ax, *, framed=False):
    """Draw an image without ticks, and without a frame unless it is asked for."""
    grey = {"cmap": "gray", "vmin": 0, "vmax": 255} if image.shape[-1] == 1 else {}
    shown = ax.imshow(image.squeeze(-1) if grey else image, **grey)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(visible=framed, linewidth=2, edgecolor="tab:blue")
    return shown


def _name_class(name, ax, *, same):
    """Write a class beneath an image; another one is told by its sign as well as its colour."""
    text, colour = (name, "black") if same else (f"≠ {printable(name)}", "tab:red")
    ax.set_xlabel(_lines(text), size=8, color=colour)


def _show_filters(filters, ax):
    """Draw filters `(h, w, C, F)` as a square of small images; between them no shade of grey."""
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


def _check_filters(filters):
    filters = check_array("filters_by_name", filters)
    if filters.ndim != 4 or 0 in filters.shape or filters.shape[2] not in (1, 3):
        raise ValueError(
            f"filters_by_name must be (h, w, C, F) each, with 1 or 3 channels, got {got(filters)}"
        )
    check_finite("filters_by_name", filters)
    return filters.astype("float64")


def _check_maps(values, count):
    values = check_array("maps", values)
    if values.ndim != 3 or len(values) != count or 0 in values.shape:
        raise ValueError(
            f"maps must be ({count}, h, w) each, a map for each of the images, got {got(values)}"
        )
    check_finite("maps", values)
    if values.min() < 0:
        raise ValueError(f"maps must be at least 0, got {values.min()}")
    return values


def _check_named(labels, class_names, count):
    """Return labels as an array and names as a list or None, or raise where they do not fit."""
    labels = check_labels(labels, count)
    if class_names is not None:
        class_names = check_list("class_names", class_names, "name, one for each class")
        check_have_names(labels, class_names)
    return labels, class_names


def _check_mistakes(mistakes, count):
    """Raise unless each row is of one of so many images, with rotations and a probability."""
    check_table(
        "mistakes", mistakes, ("image", "turned_by", "taken_for", "taken_probability"), "mistake"
    )
    check_indices("mistakes", mistakes["image"], count)
    for column in ("turned_by", "taken_for"):
        degrees = check_array("mistakes", mistakes[column])
        if not np.isin(degrees, [90 * k for k in ROTATIONS]).all():
            raise ValueError(f"mistakes must be {column} 0, 90, 180 or 270, got {degrees[:9]}")
    shares = check_array("mistakes", mistakes["taken_probability"])
    if not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError(f"mistakes must have probabilities in 0..1, got {shares[:9]}")
