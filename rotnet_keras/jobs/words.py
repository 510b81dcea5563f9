"""What a run says of itself in sentences: on the terminal and at the top of its page."""

from __future__ import annotations

import math
import shlex
from typing import Any

from rotnet_keras.few_labels.verdict import Gain
from rotnet_keras.jobs.blog import ARMS
from rotnet_keras.jobs.choice import TITLE

FEW_PICTURES = 1_000  # below which more pictures without labels are the first thing to look for
FEW_TESTED = 1_000  # below which one test picture is worth telling of


def verdict_of(run) -> str:
    """What pretraining is worth for these images, or nothing where it was not measured."""
    measured = [part for part in (run.verdict, run.recipe_verdict) if part]
    said = [Gain.from_dict(part).in_words for part in measured]
    return " ".join(map(_sentence, [*said, *([run.pretext] if run.pretext else [])]))


def figures_of(run) -> str:
    """The test accuracies that count, in one sentence."""
    told = {ARMS[arm].row: run.arms[arm]["long"] for arm in ("scratch", "fine_tuned")}
    if run.recipe:
        told[TITLE] = run.recipe["test_accuracy"]
    parts = [f"{name} {value:.1%}" for name, value in told.items()]
    of = f"{run.num_test:,} test images" if run.num_test else "the test images"
    return f"Accuracy on {of}, from {run.num_labels:,} labels: {', '.join(parts)}."


def chance_between(run, budget) -> float:
    """Points between fine-tuning and training from scratch that may be chance, or 0 if unknown.

    The 95% interval of a difference between two shares of as many test images.
    """
    if not run.num_test:
        return 0.0
    shares = [run.arms[arm][budget] for arm in ("scratch", "fine_tuned")]
    return 196 * math.sqrt(sum(share * (1 - share) for share in shares) / run.num_test)


def chance_of(run) -> str:
    """What one test image is worth where there are few, and how much may be chance."""
    if not run.num_test or run.num_test >= FEW_TESTED:
        return ""
    return (
        f"One test image is worth {100 / run.num_test:.1f} points: between two arms, up to "
        f"{chance_between(run, 'long'):.0f} points may be chance."
    )


def choice_of(run) -> str:
    """Which classifier was saved, and what it was fitted to."""
    if not run.chosen:
        return ""
    chosen: dict[str, Any] = run.chosen
    saved = (
        f"Use classifier.keras, which is {chosen['row']}: it was best on the "
        f"{run.num_validation:,} validation images, or as good within chance, and right for "
        f"{chosen['test_accuracy']:.1%} of the test images"
    )
    if not chosen["again"]:
        return f"{saved}."
    return (
        f"{saved}; then it was fitted again to all {chosen['num_labels']:,} labelled images, which "
        "should make it a little better than that."
    )


def next_of(run, folder) -> list[tuple[str, str]]:
    """What to do next: `(why, command)`, the command without the program's name, or without it."""
    model = f"--model {shlex.quote(f'{folder}classifier.keras')}"
    steps = [
        ("Classify new pictures:", f"predict {model} NEW_PICTURES"),
        ("Find those worth labelling next:", f"select {model} --number 50 UNLABELLED_PICTURES"),
    ]
    if run.num_unlabelled < FEW_PICTURES:
        few = f"Only {run.num_unlabelled:,} images were there to pretrain on"
        steps.append((f"{few}: more of them, without labels, may help most.", ""))
    return steps


def _sentence(text):
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
