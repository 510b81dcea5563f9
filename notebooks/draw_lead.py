"""Draw README's first picture from the study's table: python notebooks/draw_lead.py

A boot in four rotations, the question that a network is asked, and what the answer is worth when
labels are few.
"""

import pathlib

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

import rotnet_keras as rk

HERE = pathlib.Path(__file__).parent
ARMS = {
    "self-trained": "fit_few_labels",
    "fine-tuned": "fine-tuned",
    "from scratch": "from scratch",
}


def draw_question(figure, boot):
    """The boot, turned four ways, and the network that says how."""
    figure.suptitle("1. Which way up?", fontsize=12, fontweight="bold")
    rotated, turns = rk.rotate_batch(boot[None])
    axes = figure.subplots(2, 2)
    for ax, image, turn in zip(axes.flat, rotated, turns, strict=True):
        ax.imshow(image[..., 0], cmap="gray_r")
        ax.set_title(f"{90 * int(turn)}°", fontsize=11)
        ax.set(xticks=[], yticks=[])


def draw_network(figure):
    """What is pretrained, kept and put on anew, as boxes."""
    ax = figure.subplots()
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.axis("off")
    figure.suptitle("2. Swap the head", fontsize=12, fontweight="bold")
    boxes = [
        (0.60, "extractor:\nlearns to see", "tab:blue"),
        (0.30, "head off: 0, 90, 180, 270°", "tab:gray"),
        (0.02, "head on: boot, bag, coat …", "tab:orange"),
    ]
    for bottom, text, colour in boxes:
        shape = {"boxstyle": "round,pad=0.02", "facecolor": "white", "edgecolor": colour, "lw": 2}
        ax.add_patch(FancyBboxPatch((0.06, bottom + 0.03), 0.88, 0.17, **shape))
        ax.text(0.5, bottom + 0.115, text, ha="center", va="center", fontsize=10)
    arrow = {"arrowstyle": "-|>", "mutation_scale": 14, "color": "black"}
    ax.add_patch(FancyArrowPatch((0.5, 0.98), (0.5, 0.84), **arrow))
    ax.add_patch(FancyArrowPatch((0.5, 0.60), (0.5, 0.53), **arrow))


def draw_accuracy(figure, table):
    """Accuracy against labels, each line named at its right end."""
    figure.suptitle("3. With few labels: test accuracy", fontsize=12, fontweight="bold")
    summary = rk.summarise_study(table)
    shown = summary[summary["arm"].isin(ARMS)].replace({"arm": ARMS})
    ax = rk.plot_budgets(shown, names_at_ends=True, ax=figure.subplots())
    ax.set(xlabel="labelled images, of all ten classes", ylabel="% of 10,000 test images")


def main():
    table = pd.read_csv(HERE / "results" / "label_budgets.csv")
    usual = (
        "dataset == 'fashion_mnist' and pretext in ['rotation', 'none'] and pretrain_epochs == 10"
    )
    usual += " and network == 'conv_blocks' and rotations == '0 90 180 270'"
    splits = rk.load_splits("fashion_mnist")
    boots = splits.test.labels == splits.class_names.index("Ankle boot")
    boot = splits.test.images[boots][0]
    whole = plt.figure(figsize=(12, 3.9), layout="constrained")
    question, network, accuracy = whole.subfigures(1, 3, width_ratios=[2.6, 2.6, 5.2])
    draw_question(question, boot)
    draw_network(network)
    draw_accuracy(accuracy, table.query(usual))
    whole.savefig(HERE / "figures" / "lead.png", dpi=110, facecolor="white")


if __name__ == "__main__":
    main()
