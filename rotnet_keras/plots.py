"""Pictures with matplotlib: axes in, axes out; nothing is shown, saved or computed here."""

from __future__ import annotations

import contextlib
import pathlib

import keras
import matplotlib.axes
import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import ConfusionMatrixDisplay

from rotnet_keras._checks import (
    check_array,
    check_finite,
    check_images,
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
    images = check_upright(check_images(images))
    count = len(images)
    if images.shape[-1] not in (1, 3):
        raise ValueError(f"images must have 1 or 3 channels, got {images.shape}")
    if axes is None:
        size = (1.5 * NUM_ROTATIONS, 1.5 * count + 0.4)
        _, axes = plt.subplots(
            count, NUM_ROTATIONS, figsize=size, squeeze=False, layout="constrained"
        )
    elif np.shape(axes) != (count, NUM_ROTATIONS) or not all(map(_is_axes, np.ravel(axes))):
        raise ValueError(f"axes must be an array of ({count}, 4) axes, got {got(axes)}")
    images = images.astype("uint8")  # matplotlib takes floats for 0..1
    rotated = rotate_batch(images)[0].numpy().reshape(NUM_ROTATIONS, count, *images.shape[1:])
    for row, turned in zip(axes, np.swapaxes(rotated, 0, 1), strict=True):
        for ax, image in zip(row, turned, strict=True):
            ax.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, **_grey(image))
            ax.set_axis_off()
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
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise ValueError(
            f"labels must lie in 0..{len(class_names) - 1}, one of the class_names each, "
            f"got {labels.min()}..{labels.max()}"
        )
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


def _is_axes(ax):
    return isinstance(ax, matplotlib.axes.Axes)


def _text(name):
    """A name as matplotlib shows it letter by letter: no formula between `$`, none left out.

    Legends leave out what begins with "_"; a space of no width in front keeps it.
    """
    name = printable(name).replace("$", r"\$")
    return f"\N{ZERO WIDTH SPACE}{name}" if name.startswith("_") else name


def _grey(image):
    return {"cmap": "gray", "vmin": 0, "vmax": 255} if image.shape[-1] == 1 else {}
