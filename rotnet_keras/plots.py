"""Pictures with matplotlib: axes in, axes out; nothing is shown, saved or computed here."""

from __future__ import annotations

import contextlib
import pathlib

import keras
import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import ConfusionMatrixDisplay

from rotnet_keras._files import replace_text, replace_with
from rotnet_keras.rotation import NUM_ROTATIONS, ROTATION_NAMES, rotate_batch


def plot_rotations(images, *, axes=None):
    """Show each image in its four rotations, one image a row (the blog's Fig. 3).

    Args:
        images: `(N, S, S, C)` with 1 or 3 channels, pixels 0..255.
        axes: `(N, 4)` array of axes; None makes a figure.

    Returns:
        The `(N, 4)` array of axes.

    Example:
        >>> plot_rotations(np.zeros((2, 28, 28, 1), "uint8")).shape
        (2, 4)
    """
    count = len(images)
    if axes is None:
        size = (1.5 * NUM_ROTATIONS, 1.5 * count + 0.4)
        _, axes = plt.subplots(
            count, NUM_ROTATIONS, figsize=size, squeeze=False, layout="constrained"
        )
    images = np.asarray(images).astype("uint8")  # matplotlib takes floats for 0..1
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

    Example:
        >>> ax = plot_history({"rotation": {"accuracy": [0.8, 0.9], "val_accuracy": [0.7, 0.8]}})
        >>> len(ax.lines)
        2
    """
    ax = ax or _new_axes()
    for label, history in histories.items():
        values = getattr(history, "history", history)
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

    Example:
        >>> ax = plot_map(np.zeros((4, 2)), np.array([0, 0, 1, 1]), ["Bag", "Coat"])
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['Bag', 'Coat']
    """
    ax = ax or _new_axes(figsize=(8.5, 6.5))
    colours = plt.get_cmap("tab10" if len(class_names) <= 10 else "gist_rainbow")
    for label, name in enumerate(class_names):
        colour = colours(label if len(class_names) <= 10 else label / len(class_names))
        chosen = points[labels == label]
        ax.scatter(*chosen.T, s=4, color=colour, alpha=0.6, linewidths=0, label=str(name))
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

    Example:
        >>> ax = plot_accuracies({"blog": {"scratch": 0.6}, "this run": {"scratch": 0.8}})
        >>> [text.get_text() for text in ax.texts]
        ['60.0', '80.0']
    """
    ax = ax or _new_axes(figsize=(7.5, 4.5))
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

    Example:
        >>> summary = {"arm": ["a", "a"], "num_labels": [10, 100], "mean": [50, 60], "ci95": [2, 1]}
        >>> ax = plot_budgets(pd.DataFrame(summary), published={"other": {100: 55.0}})
        >>> ax.get_xscale(), ax.get_legend_handles_labels()[1]
        ('log', ['other', 'a'])
    """
    ax = ax or _new_axes(figsize=(9, 6))
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

    Example:
        >>> plot_confusion(np.eye(2, dtype=int), ["Bag", "Coat"]).get_xlabel()
        'predicted class'
    """
    ax = ax or _new_axes(figsize=(7.5, 7))
    display = ConfusionMatrixDisplay(np.asarray(matrix), display_labels=list(class_names))
    display.plot(ax=ax, cmap="Blues", xticks_rotation=45, colorbar=False, values_format="d")
    plt.setp(ax.get_xticklabels(), ha="right", rotation_mode="anchor")
    ax.set(xlabel="predicted class", ylabel="true class")
    return ax


def draw_model(model, path, *, title=None):
    """Write a diagram of a model's layers, or a text summary where Graphviz is not installed.

    Args:
        model: `keras.Model`.
        path: file to write; its ending becomes `.png` or `.txt`, whichever was written.
        title: line above the diagram; None takes the model's name.

    Returns:
        `pathlib.Path` of the file written.

    Example:
        >>> written = draw_model(two_conv_extractor((28, 28, 1)), "model.png")  # doctest: +SKIP
    """
    title = title or model.name
    diagram, text = (pathlib.Path(path).with_suffix(ending) for ending in (".png", ".txt"))
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
        figure.suptitle(title)
        with replace_with(path) as beside:
            figure.savefig(beside, dpi=120, bbox_inches="tight")
    finally:
        for number in set(plt.get_fignums()) - set(before):
            plt.close(number)


def _new_axes(figsize=(6.5, 4.5)):
    return plt.subplots(figsize=figsize, layout="constrained")[1]


def _grey(image):
    return {"cmap": "gray", "vmin": 0, "vmax": 255} if image.shape[-1] == 1 else {}
