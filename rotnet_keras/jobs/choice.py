"""The best classifier that the main job can make: the recipe, a choice, and all labels at last."""

from __future__ import annotations

import dataclasses
import importlib.util

import numpy as np

from rotnet_keras._base.model_files import load_model, save_model
from rotnet_keras.blocks import block_names
from rotnet_keras.data.splits import Examples
from rotnet_keras.evaluation import accuracy, test_figures
from rotnet_keras.few_labels.recipe import WIDTHS, fit_few_labels
from rotnet_keras.jobs.blog import ARMS, fit_again

RECIPE = "recipe"
TITLE = "self-trained"
ROW, SPEAKER = f"{TITLE} (fit_few_labels)", f"{TITLE} classifier"
SMALLEST = 2 ** len(WIDTHS)  # pixels a side


@dataclasses.dataclass(frozen=True)
class Choice:
    """The classifier that a run saves.

    Attributes:
        arm: "recipe", or an arm of the blog's.
        budget: of that arm, else "".
        validation_accuracy: what it was chosen by.
        test_accuracy: as measured, before it was fitted again.
        num_labels: that it was fitted to in the end.
        again: whether those are more than when it was measured.
    """

    arm: str
    budget: str
    validation_accuracy: float
    test_accuracy: float
    num_labels: int = 0
    again: bool = False

    @property
    def row(self):
        """What tables call it."""
        return ROW if self.arm == RECIPE else f"{ARMS[self.arm].row}, {self.budget} training"

    @property
    def speaker(self):
        """What pages call the classifier."""
        return SPEAKER if self.arm == RECIPE else ARMS[self.arm].speaker


def can_be_had(image_shape):
    """Whether images are large enough for the recipe's network."""
    return min(image_shape[:2]) >= SMALLEST


def fit_recipe(extractor, splits, *, plan, kept, seed, precision):
    """Fit the recipe to the labelled images, or take over what was; test it once.

    Args:
        extractor: pretrained; without blocks, the recipe pretrains a network of its own.
        splits: `Splits`.
        plan: `Plan`.
        kept: path of the `.keras` file that the classifier is kept in.
        seed: as of `fit_few_labels`.
        precision: likewise.

    Returns:
        What `run_arms` has of a run, without its history.
    """
    if not kept.exists():
        how = {"plan": plan, "seed": seed, "precision": precision}
        save_model(fit_to(extractor, splits, splits.labelled, **how), kept)
    model = load_model(kept)
    figures = {"validation_accuracy": accuracy(model, *splits.validation)}
    return {"model": model} | figures | test_figures(model, splits.test)


def fit_to(extractor, splits, labelled, *, plan, seed, precision):
    """The recipe's classifier from these labelled images and those without labels."""
    how = {"seed": seed, "precision": precision, "verbose": 0}  # the stage shows the time left
    if not importlib.util.find_spec("graphlearning"):
        how["guess_below"] = 0
    model, _ = fit_few_labels(
        *labelled,
        splits.unlabelled if len(splits.unlabelled) else None,
        extractor=extractor if len(block_names(extractor)) > 1 else None,
        num_classes=splits.num_classes,
        updates=plan.updates,
        pretrain_epochs=plan.pretrain_epochs,
        **how,
    )
    return model


def choose(arms, recipe, num_validation):
    """The `Choice` and its run, by the accuracy on validation images.

    The recipe is taken unless another is ahead by more than the standard error of that accuracy:
    the long budget stops at the epoch that is best on the same images, and looks better on them
    than it is.
    """
    (arm, budget), best = max(arms.items(), key=lambda item: item[1]["validation_accuracy"])
    if recipe is not None:
        share = recipe["validation_accuracy"]
        error = np.sqrt(share * (1 - share) / num_validation)
        if best["validation_accuracy"] <= share + error:
            arm, budget, best = RECIPE, "", recipe
    figures = {name: best[name] for name in ("validation_accuracy", "test_accuracy")}
    return Choice(arm, budget, **figures), best


def everything_labelled(splits):
    """All images with labels but those of a test set of its own."""
    parts = [splits.labelled, splits.validation, *([splits.test] if splits.test_drawn else [])]
    return Examples(*map(np.concatenate, zip(*parts, strict=True)))


def fit_to_all(choice, run, extractor, splits, *, examples, given, kept, **how):
    """Fit what was chosen again, to more labelled images, or take over what was.

    Returns:
        `(choice, model)`.
    """
    if not kept.exists():
        if choice.arm == RECIPE:
            model = fit_to(extractor, splits, examples, **how)
        else:
            start = given if ARMS[choice.arm].start == "given" else extractor
            model = fit_again(choice, run, start, examples, splits.num_classes, seed=how["seed"])
        save_model(model, kept)
    more = {"num_labels": len(examples.labels), "again": True}
    return dataclasses.replace(choice, **more), load_model(kept)
