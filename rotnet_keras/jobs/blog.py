"""The blog's part of the main job: its arms, its budgets, and the figures that it reports."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Literal, NamedTuple

import keras

from rotnet_keras.data.augmentation import gentle_augmentation
from rotnet_keras.evaluation import accuracy, are_uneven, test_figures
from rotnet_keras.fine_tuning import fine_tune, train_from_scratch, train_head
from rotnet_keras.running.lines import GoingOn
from rotnet_keras.viewing.tensorboard import Curves

# What the blog post of 2020 reports, on Fashion-MNIST with about 50,000 unlabelled images and
# 1,000 labelled ones. It does not say how long each classifier was trained.
BLOG = {"rotation": 0.97, "frozen": 0.40, "scratch": 0.60, "fine_tuned": 0.75}
BLOG_DATA = ("fashion_mnist", "garments")  # the blog's, and the stand-in for it
BUDGETS = ("short", "long")
MOST_WATCHED = 3_000  # validation images; to look at more takes longer than to train between


class Arm(NamedTuple):
    """A way to a classifier.

    Attributes:
        name: in results.
        title: below a bar of a plot.
        row: at the head of a table's row.
        speaker: what a page calls its classifier.
        start: where its weights come from: pretraining, random numbers, or somebody else, who
            trained them on ImageNet for instance: the usual alternative.
        fit: the function that trains it.
        trains: what the labels change, in words.
    """

    name: str
    title: str
    row: str
    speaker: str
    start: Literal["pretrained", "random", "given"]
    fit: Callable
    trains: str


# A function, and what it trains.
HEAD = train_head, "a new head alone"
SCRATCH = train_from_scratch, "all layers"
TUNED = fine_tune, "all layers and a new head"
IN_ORDER = (
    Arm(
        "frozen",
        "frozen extractor,\nnew head",
        "frozen extractor, new head",
        "classifier on the frozen extractor",
        "pretrained",
        *HEAD,
    ),
    Arm("scratch", "from scratch", "from scratch", "classifier from scratch", "random", *SCRATCH),
    Arm(
        "fine_tuned",
        "fine-tuned\nextractor",
        "fine-tuned",
        "fine-tuned classifier",
        "pretrained",
        *TUNED,
    ),
    Arm(
        "given_frozen",
        "given weights,\nfrozen",
        "given weights, frozen, new head",
        "classifier on the frozen given weights",
        "given",
        *HEAD,
    ),
    Arm(
        "given_fine_tuned",
        "given weights,\nfine-tuned",
        "given weights, fine-tuned",
        "classifier fine-tuned from given weights",
        "given",
        *TUNED,
    ),
)
ARMS = {arm.name: arm for arm in IN_ORDER}
BLOG_ARMS = tuple(name for name in ARMS if name in BLOG)


def curve_callbacks(board, run):
    """The callbacks that write a run's curves for TensorBoard: one, or none without a folder."""
    return [] if board is None else [Curves(pathlib.Path(board) / run)]


def budget_settings(budget, *, seed=0, most=300):
    """Return the settings of a training budget for `fit_classifier`, the same for every arm.

    Args:
        budget: "short", 24 updates on 1,000 labels, chosen on validation images so that the
            blog's picture shows; or "long", until the validation accuracy stops rising, with
            images shifted at random by up to 2 of 28 pixels.
        seed: of the shifts.
        most: epochs of the long budget.

    Returns:
        A new dictionary of keyword arguments.

    Example:
        >>> budget_settings("short")["epochs"]
        3
    """
    if budget == "short":
        sgd = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, clipnorm=1.0)
        return {"epochs": 3, "batch_size": 125, "optimizer": sgd}
    slower = keras.callbacks.ReduceLROnPlateau("val_accuracy", mode="max", factor=0.3, patience=10)
    return {
        "epochs": most,
        "batch_size": 32,
        "optimizer": keras.optimizers.Adam(2e-3),
        "patience": 30,
        "callbacks": [slower],
        "augment": gentle_augmentation(mirror=False, seed=seed),
    }


def run_arms(
    extractor,
    splits,
    *,
    given=None,
    checkpoints=None,
    seed=0,
    most=300,
    tensorboard=None,
    reached=lambda share, note: None,
    verbose=1,
):
    """Train every arm under every budget on the labelled images, and test each one once.

    Args:
        extractor: the pretrained extractor.
        splits: `Splits`; up to 3,000 of the validation images, of 10,000 every fourth, serve to
            stop the long budget.
        given: the extractor with weights from elsewhere; None leaves those arms out.
        checkpoints: folder for a `checkpoint` of each run, as in `fit_classifier`.
        seed: of new weights and the order of images.
        most: epochs of the long budget.
        tensorboard: folder for TensorBoard's curves, one below it for each run, or None.
        reached: told before each run which share of them is done, and what is next.
        verbose: 0 does not say which run goes on from an earlier one.

    Returns:
        `{(arm, budget): run}`; a run holds `model`, `history`, `epochs` that were trained,
        `validation_accuracy` and `test_accuracy`, both 0..1, and where classes are uneven in the
        test, `balanced_accuracy`. Where labels are, each class has the same share in the loss.
    """
    arms = [arm for arm in ARMS.values() if arm.start != "given" or given is not None]
    pairs, runs = [(arm, budget) for budget in BUDGETS for arm in arms], {}
    lengths = {"short": 3, "long": most / 4}  # about, in epochs
    whole, done = len(arms) * sum(lengths.values()), 0.0
    for arm, budget in pairs:
        what, name = f"{arm.row}, {budget} training", f"{arm.name}_{budget}"
        reached(done / whole, what)
        done += lengths[budget]
        settings = budget_settings(budget, seed=seed, most=most)
        # After the others, so that it sees what they add to the logs.
        curves = curve_callbacks(tensorboard, name)
        settings["callbacks"] = [*settings.get("callbacks", ()), *curves]
        settings["callbacks"] += [GoingOn(what)] if verbose else []
        settings["checkpoint"] = checkpoints and pathlib.Path(checkpoints) / f"{name}.weights.h5"
        start = given if arm.start == "given" else extractor
        runs[arm.name, budget] = _fit_and_test(arm, start, splits, seed=seed, **settings)
    return runs


def _fit_and_test(arm, start, splits, **settings):
    """One run of `run_arms`."""
    settings |= _weights(splits.labelled.labels)
    held_out = {"num_classes": splits.num_classes, "validation_data": watched(splits.validation)}
    model, history = arm.fit(start, *splits.labelled, **held_out, verbose=0, **settings)
    return {
        "model": model,
        "history": history,
        "epochs": len(history.epoch),
        "validation_accuracy": accuracy(model, *splits.validation),
        **test_figures(model, splits.test),
    }


def watched(examples):
    """Every second of the validation images, or third and so on: a folder's come by classes."""
    rows = rows_watched(len(examples.labels))
    return examples.images[rows], examples.labels[rows]


def rows_watched(number):
    """Which of so many validation images serve to stop the long budget."""
    return range(0, number, -(-number // MOST_WATCHED))


def _weights(labels):
    """Each class gets the same share in the loss where labels are uneven."""
    return {"class_weight": "balanced"} if are_uneven(labels) else {}


def fit_again(choice, run, start, examples, num_classes, *, seed):
    """Fit an arm to more images, for as many epochs as were best; there is nothing to watch.

    Args:
        choice: what has the `arm` and its `budget`.
        run: of `run_arms`.
        start: extractor.
        examples: `Examples`.
        num_classes: of the whole.
        seed: as of `run_arms`.
    """
    settings = budget_settings(choice.budget, seed=seed, most=run["epochs"])
    if choice.budget == "long":
        watched = run["history"].history["val_accuracy"]
        settings |= {"epochs": watched.index(max(watched)) + 1, "patience": None, "callbacks": ()}
    settings |= _weights(examples.labels)
    fit = ARMS[choice.arm].fit
    return fit(start, *examples, num_classes=num_classes, seed=seed, verbose=0, **settings)[0]


def arms_of(runs):
    """The arms that were run."""
    return [ARMS[arm] for arm, budget in runs if budget == BUDGETS[0]]


def best_fine_tuned(runs):
    """The fine-tuned model of the budget that does best on validation images."""
    fine_tuned = [runs["fine_tuned", budget] for budget in BUDGETS]
    return max(fine_tuned, key=lambda run: run["validation_accuracy"])["model"]
