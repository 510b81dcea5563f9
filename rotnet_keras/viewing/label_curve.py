"""How accuracy grows with the number of labels, and what more of them may bring."""

from __future__ import annotations

from typing import Annotated, Any

from matplotlib.ticker import PercentFormatter

from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.values import check_table, got
from rotnet_keras.viewing.axes import Axes, axes_or_new


def _check_gain(name, gain):
    if not all(hasattr(gain, part) for part in ("arms", "twice", "baseline")):
        raise InputError(f"{name} must be what measure_gain returns, got {got(gain)}")
    check_table(name, gain.arms, ("arm", "num_labels", "mean", "ci95"))
    return gain


AnyGain = Annotated[Any, _check_gain]


@public()
def plot_label_curve(gain: AnyGain, *, ax: Axes | None = None) -> Axes:
    """Draw accuracy by number of labels, with and without pretraining, and a guess at more.

    Args:
        gain: what `measure_gain` returned.
        ax: axes to draw on; None makes a figure.

    Returns:
        The axes: a line for the pretrained network and one for the best without it, with 95%
        intervals, and the guess dashed.

    Raises:
        InputError: `gain` is something else, or `ax` is not axes of matplotlib.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 1), "uint8")
        >>> extractor = conv_blocks_extractor((12, 12, 1), widths=(4, 8))
        >>> gain = measure_gain(extractor, images, np.arange(20) % 2, repeats=2)
        >>> plot_label_curve(gain).get_xlabel()
        'labels that a linear probe learnt from'
    """
    ax = axes_or_new(ax, figsize=(7, 4.5))
    colours = {"pretrained": "tab:blue", gain.baseline: "tab:orange"}
    for arm, colour in colours.items():
        rows = gain.arms[gain.arms["arm"] == arm].sort_values("num_labels")
        label = "pretrained on your pictures" if arm == "pretrained" else f"without: {arm}"
        style: dict[str, Any] = {
            "color": colour,
            "marker": "o",
            "markersize": 5,
            "capsize": 3,
            "label": label,
        }
        ax.errorbar(rows["num_labels"], rows["mean"], rows["ci95"], **style)
        if arm == "pretrained":
            last = rows.iloc[-1]
    ticks = sorted(gain.arms["num_labels"].unique())
    if gain.twice:
        _draw_guess(gain.twice, last, ax)
        ticks.append(gain.twice["num_labels"])
    ax.set(xscale="log", xlabel=f"labels that {gain.classifier} learnt from")
    ax.set(ylabel=f"{gain.measure} on held-out pictures")
    ax.yaxis.set_major_formatter(PercentFormatter(decimals=0))
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.minorticks_off()
    ax.grid(axis="y", alpha=0.3)
    ax.set_title(_title(gain), fontsize=10, loc="left")
    ax.legend(loc="upper left", frameon=False, fontsize=9)
    ax.margins(y=0.15)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _draw_guess(twice, last, ax):
    """From the last point that was measured on, dashed, with the range that the guess leaves."""
    x, y = [last["num_labels"], twice["num_labels"]], [last["mean"], twice["mean"]]
    ax.plot(x, y, "--", color="tab:blue", alpha=0.6)
    around = [[twice["mean"] - twice["low"]], [twice["high"] - twice["mean"]]]
    style: dict[str, Any] = {
        "color": "tab:blue",
        "alpha": 0.6,
        "marker": "o",
        "markerfacecolor": "white",
    }
    ax.errorbar(x[1:], y[1:], around, capsize=3, linestyle="none", label="a guess", **style)


def _title(gain):
    """How it was measured: intervals of few splits, and of few pictures in each, are wide."""
    splits = f"in each of {gain.repeats} splits" if gain.repeats > 1 else "in one split"
    return (
        f"{gain.num_labels:,} labelled pictures, {gain.num_held_out:,} of them held out {splits}; "
        "95% intervals"
    )
