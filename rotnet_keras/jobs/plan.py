"""How long each part of the main job is trained, and about how long that takes."""

from __future__ import annotations

import dataclasses
import math
import time

import numpy as np

from rotnet_keras.data.look import suitable_size
from rotnet_keras.evaluation import extract_features
from rotnet_keras.few_labels.recipe import UPDATES, usual_updates
from rotnet_keras.running.runtime import running_accelerator

PASSES = 300_000  # images that pretraining is shown in all, however many different ones there are
FEWEST, MOST = 10, 200  # times that it is shown each
TIMED = 512  # images
# An update of weights takes about three times as long as the answers alone, as for training; the
# recipe's also asks for answers that nothing is learnt from, and changes each image three times.
LEARNT, RECIPE_IMAGES = 3.2, 1_000
# Seconds that stages take whatever the plan (probes, tests, building networks); and what is left
# for training, at the least.
FIXED = {"pretraining": 5.0, "classifiers": 20.0, "recipe": 20.0, "verdict": 12.0}
FIXED |= {"all labels": 20.0, "map": 5.0, "files": 12.0}
LEAST_SECONDS = 30.0
OF_UPDATES = ("recipe", "all labels")  # stages that take as long as there are updates
STOPPED = 85  # epochs, by which an arm's long budget has mostly stopped by itself


@dataclasses.dataclass(frozen=True)
class Plan:
    """Lengths of training.

    Attributes:
        pretrain_epochs: passes over all images.
        long_epochs: the most there may be of the long budget.
        updates: of the recipe's self-training.
        pairs: of recipes, with and without pretraining, that the verdict compares.
    """

    pretrain_epochs: int
    long_epochs: int
    updates: int
    pairs: int = 0

    def as_dict(self):
        return dataclasses.asdict(self)

    def in_words(self, num_images):
        """What will be done, in one line."""
        passes = f"{self.pretrain_epochs} pass{'es' if self.pretrain_epochs > 1 else ''}"
        return (
            f"{passes} over {num_images:,} images to pretrain on, then classifiers in two budgets, "
            f"and {self.updates:,} updates of self-training"
        )


QUICK = Plan(2, 10, 60)
# The blog's network learns in three passes, at a higher rate, what takes ten at the usual one.
BLOG_PLAN, BLOG_RATE, RATE = Plan(3, 300, UPDATES), 5e-3, 3e-3


def make_plan(shape, *, quick=False, blog=False):
    """The lengths worth their time for images `(N, H, W, C)`; of few, each is shown more often."""
    if quick or blog:
        return QUICK if quick else BLOG_PLAN
    epochs = int(np.clip(round(PASSES / shape[0]), FEWEST, MOST))
    return Plan(epochs, 300, usual_updates(shape[1:]))


def fitting(plan, seconds, available):
    """The plan for the time there is: parts are shortened, or recipes are compared.

    Updates beyond the first thousand go first, then every part is shortened alike. One pair of
    recipes costs one more, several cost two each.
    """
    needed = sum(seconds.values())
    if needed <= available:
        recipe = seconds.get("recipe", math.inf) + FIXED["recipe"]
        more = int((available - needed) // recipe)
        return dataclasses.replace(plan, pairs=more // 2 if more >= 4 else min(more, 1))
    an_update = sum(seconds.get(name, 0.0) for name in OF_UPDATES) / plan.updates
    spare = max(plan.updates - UPDATES, 0)
    if needed - available <= spare * an_update:
        given_up = math.ceil((needed - available) / an_update)
        return dataclasses.replace(plan, updates=_in_tens(plan.updates - given_up), pairs=0)
    share = available / (needed - spare * an_update)
    return Plan(
        max(1, int(share * plan.pretrain_epochs)),
        max(10, int(share * min(plan.long_epochs, STOPPED))),
        max(50, _in_tens(share * (plan.updates - spare))),
    )


def _in_tens(updates):
    """Updates are made ten at once or more."""
    return 10 * int(updates / 10)


def seconds_of(plan, each, num_images, num_labelled, *, again):
    """About how many seconds each stage takes here, beside those in `FIXED`.

    Args:
        plan: `Plan`.
        each: seconds that the network's answer to an image takes, of `seconds_an_image`.
        num_images: to pretrain on.
        num_labelled: images with labels.
        again: whether the classifier is fitted a second time.
    """
    recipe = each * RECIPE_IMAGES * plan.updates
    passes = 3 * (3 + min(plan.long_epochs, STOPPED))  # of three arms in two budgets
    return {
        "pretraining": each * LEARNT * num_images * plan.pretrain_epochs,
        "classifiers": each * LEARNT * num_labelled * passes,
        "recipe": recipe,
        "all labels": recipe if again else 0.0,
        "verdict": (recipe + FIXED["recipe"]) * (2 * plan.pairs if plan.pairs > 1 else plan.pairs),
    }


@dataclasses.dataclass
class Schedule:
    """A plan, and what its stages take here.

    Attributes:
        plan: `Plan`.
        fixed: seconds by stage of those that are run, whatever the plan.
        here: `each`, `num_images` and `num_labelled` as of `seconds_of`.
    """

    plan: Plan
    fixed: dict[str, float]
    here: tuple[float, int, int]

    def __post_init__(self):
        self._whole = self.plan

    def _trained(self):
        """Seconds of training by stage, of those that are run."""
        seconds = seconds_of(self.plan, *self.here, again="all labels" in self.fixed)
        return {name: value for name, value in seconds.items() if name in self.fixed}

    @property
    def seconds(self):
        """By stage, all in all."""
        return self.fixed | {name: self.fixed[name] + s for name, s in self._trained().items()}

    def fit(self, available, *, slowness=1.0, done=()):
        """Have the training of all stages but those that are done take no longer than there is.

        Args:
            available: seconds.
            slowness: how many each of those above takes.
            done: names of stages.
        """
        lengths = ("pretraining", "pretrain_epochs"), ("classifiers", "long_epochs")
        kept = {name: getattr(self.plan, name) for stage, name in lengths if stage in done}
        # Anew, from the whole: what was faster than foreseen leaves time to what comes after it.
        self.plan = dataclasses.replace(self._whole, **kept)
        trained = {name: slowness * s for name, s in self._trained().items() if name not in done}
        rest = available - slowness * sum(s for name, s in self.fixed.items() if name not in done)
        plan = fitting(self.plan, trained, max(rest, LEAST_SECONDS))
        self.plan = dataclasses.replace(plan, **kept)


def seconds_an_image(network, images):
    """How long the network's answer takes, the fastest of a few times."""
    images, taken = images[:TIMED], []
    for _ in range(4):
        start = time.perf_counter()
        extract_features(network, images)
        taken.append(time.perf_counter() - start)
    return min(taken) / len(images)


def size_for(files):
    """Pixels a side that suit pictures and this machine, where no size is asked for."""
    return suitable_size(files, most=64 if running_accelerator() == "CPU" else 128)
