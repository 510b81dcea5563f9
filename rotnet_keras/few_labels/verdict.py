"""What pretraining is worth for these pictures, with an interval, and what more labels may bring.

With few labelled pictures one split into training and test says little, so the labelled ones are
split again and again, alike in each class, and every arm learns and is measured on the same splits.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from sklearn import metrics
from sklearn.model_selection import StratifiedShuffleSplit
from threadpoolctl import threadpool_limits

from rotnet_keras._base.arrays import Images, Labels, check_fits, one_label_an_image
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.networks import Model, extractor_takes_images
from rotnet_keras._base.values import AtLeastTwo, Seed
from rotnet_keras.blocks import block_names
from rotnet_keras.evaluation import are_uneven, finite_features
from rotnet_keras.few_labels.probes import (
    PIXEL_STRENGTH,
    STRENGTH,
    block_features,
    mean_and_spread,
    regression,
)
from rotnet_keras.heads import check_extractor, with_random_weights

Z = 1.959964  # of a 95% interval
HELD_OUT = 5  # one picture in five is held out of a split
SHARES = (1 / 4, 1 / 2, 1)  # of the labels in training, to see what more of them bring
PRETRAINED, PIXELS, RANDOM, GIVEN = "pretrained", "raw pixels", "a random network", "given weights"
FRESH = "the same from random weights"


@dataclasses.dataclass(frozen=True, eq=False)
class Gain:
    """What pretraining is worth, as `measure_gain` finds it; accuracies are in percent."""

    gain: float  # points of accuracy ahead of the best without pretraining on these pictures
    ci95: float  # half the width of the 95% interval of `gain`
    with_pretext: float
    without: float
    baseline: str  # which was the best without
    arms: pd.DataFrame  # arm, num_labels, mean, ci95
    twice: dict[str, float] | None = None  # num_labels, mean, low, high: a guess
    classifier: str = "a linear probe"  # that reads all networks
    measure: str = "accuracy"  # or "balanced accuracy"
    num_labels: int = 0  # labelled pictures in all
    num_held_out: int = 0  # of them in a split
    repeats: int = 1  # splits

    @property
    def word(self) -> str:
        """The verdict: "a clear gain", "harmful" or, with 0 in the interval, "no clear gain"."""
        if abs(self.gain) <= self.ci95:
            return "no clear gain"
        return "a clear gain" if self.gain > 0 else "harmful"

    @property
    def in_words(self) -> str:
        """The verdict in one sentence, without a capital and a full stop."""
        points = f"{abs(self.gain):.1f} ± {self.ci95:.1f} points"
        best = "the best without it, " if self.arms["arm"].nunique() > 2 else ""
        unit = "% balanced" if self.measure != "accuracy" else "%"
        told = (
            f"({self.with_pretext:.1f}{unit} against {self.without:.1f}{unit} for "
            f"{best}{self.baseline}): {self.word}"
        )
        if self.word == "harmful":
            return f"pretraining on your pictures costs {self.classifier} {points} {told}"
        sign = "-" if self.gain < 0 else "+"
        return f"pretraining on your pictures is worth {sign}{points} to {self.classifier} {told}"

    def as_dict(self) -> dict[str, Any]:
        """All of it in plain numbers, texts and lists, as JSON takes them."""
        facts = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        facts["arms"] = [
            {name: value.item() if hasattr(value, "item") else value for name, value in row.items()}
            for row in self.arms.to_dict("records")
        ]
        return facts | {"word": self.word, "in_words": self.in_words}

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> Gain:
        """Make of `as_dict`, as it came out of a file, what it was."""
        known = {field.name: facts[field.name] for field in dataclasses.fields(cls)}
        return cls(**known | {"arms": pd.DataFrame(facts["arms"])})


def _classes_can_be_split(labels):
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2 or counts.min() < 2:
        found = dict(zip(classes.tolist(), counts.tolist(), strict=True))
        raise InputError(
            "labels must be of at least two classes with two images each, one to learn from and "
            f"one to be measured on, got images by class {found}"
        )


def _given_takes_images(given, images):
    try:
        check_fits(images.shape[1:], given)
    except InputError as error:
        raise InputError(f"given must take the images, got a network with {error.said}") from error


@public(one_label_an_image, extractor_takes_images, _classes_can_be_split, _given_takes_images)
def measure_gain(
    extractor: Model,
    images: Images,
    labels: Labels,
    *,
    given: Model | None = None,
    repeats: AtLeastTwo = 20,
    seed: Seed = 0,
) -> Gain:
    """Measure what pretraining is worth for these pictures, against the best that needs none.

    A linear probe reads the pretrained network, and others raw pixels, the same network with random
    weights and, where there are some, given weights. All learn from four fifths of the pictures and
    are measured on the rest, in the same splits; which of the others is the best is found there,
    too. Each class is shared out alike, with at least one picture to learn from; of two or three
    pictures of a class, some splits hold out none. Where one class has more than twice the pictures
    of another, accuracies are balanced.

    Splits share pictures, so their differences say less than as many independent ones would: the
    interval is the corrected one of Nadeau and Bengio.

    Args:
        extractor: functional `keras.Model` that was pretrained without these labels. Its blocks are
            read as in `block_features`, without blocks its output `(B, D)`.
        images: `(N, H, W, C)` array of pixels 0..255, all that have labels.
        labels: `(N,)` whole numbers, two classes or more of two images or more.
        given: a network with weights from elsewhere, such as ImageNet's, that was not trained on
            these pictures.
        repeats: splits.
        seed: of the splits and of the random network.

    Returns:
        `Gain`: `gain` and `ci95` in points; `word`, which is "a clear gain", "no clear gain" or
        "harmful"; `baseline`, the best without; `arms`, a table of the columns `arm`, `num_labels`,
        `mean` and `ci95`, for a quarter, half and all of the labels that are there to learn from in
        a split; `twice`, a guess at what twice as many labels as there are would bring; and
        `in_words`, a sentence. `as_dict()` is for JSON.

    Raises:
        InputError: images, labels and networks that do not fit together, fewer than two classes, a
            class of one image, or `repeats` below 2.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 1), "uint8")
        >>> extractor = conv_blocks_extractor((12, 12, 1), widths=(4, 8))
        >>> measure_gain(extractor, images, np.arange(20) % 2, repeats=5).word
        'no clear gain'

    Reference: Nadeau and Bengio, 2003, https://doi.org/10.1023/A:1024068626366
    """
    splits = repeated_splits(labels, repeats, seed)
    spaces = _spaces(extractor, images, given, seed)
    sizes = _sizes(len(splits[0][0]), len(np.unique(labels)))
    measure = "balanced accuracy" if are_uneven(labels) else "accuracy"
    with threadpool_limits(1):  # these fits are so small that threads wait for each other
        scores = {
            arm: np.array([_scores(space, split, labels, sizes, measure) for split in splits])
            for arm, space in spaces.items()
        }  # (repeats, sizes)
    baseline = max(
        [arm for arm in scores if arm != PRETRAINED], key=lambda a: scores[a][:, -1].mean()
    )
    counts = {"num_labels": len(labels), "num_held_out": len(splits[0][1])}
    arms = [
        {"arm": arm, "num_labels": size, **_mean_and_ci95(values, **counts)}
        for arm, by_size in scores.items()
        for size, values in zip(sizes, by_size.T, strict=True)
    ]
    found = _gain(scores[PRETRAINED][:, -1], scores[baseline][:, -1], baseline, **counts)
    return dataclasses.replace(
        found,
        arms=pd.DataFrame(arms),
        twice=_guess(sizes, scores[PRETRAINED], **counts),
        measure=measure,
    )


def compare_splits(
    with_pretext, without, *, num_labels, num_held_out, classifier="the recipe", baseline=FRESH
):
    """The gain of arms that take long: paired accuracies 0..1 of two or more random splits."""
    percent = [100 * np.asarray(values, float) for values in (with_pretext, without)]
    counts = {"num_labels": num_labels, "num_held_out": num_held_out}
    return dataclasses.replace(_gain(*percent, baseline, **counts), classifier=classifier)


def compare_answers(with_pretext, without, *, num_labels, classifier="the recipe", baseline=FRESH):
    """The gain of arms that were run once: which of the same held-out pictures each got right.

    The interval says what other pictures might have shown, not what another run might; it is the
    one of Bonett and Price, 2012, https://doi.org/10.3102/1076998611411915, around what was found.
    """
    right = {PRETRAINED: np.asarray(with_pretext, bool), baseline: np.asarray(without, bool)}
    (one, other), number = right.values(), len(without)
    won, lost = (np.count_nonzero(a & ~b) + 1 for a, b in ((one, other), (other, one)))
    error = math.sqrt(won + lost - (won - lost) ** 2 / (number + 2)) / (number + 2)
    rows = [
        {"arm": arm, "num_labels": num_labels, "mean": 100 * float(answers.mean())}
        | {"ci95": 100 * Z * float(answers.std()) / math.sqrt(number)}
        for arm, answers in right.items()
    ]
    return Gain(
        gain=rows[0]["mean"] - rows[1]["mean"],
        ci95=100 * Z * error,
        with_pretext=rows[0]["mean"],
        without=rows[1]["mean"],
        baseline=baseline,
        arms=pd.DataFrame(rows),
        classifier=classifier,
        num_labels=num_labels,
        num_held_out=number,
    )


def _gain(with_pretext, without, baseline, **counts):
    """The gain of paired percentages, one of each split."""
    learnt_from = counts["num_labels"] - counts["num_held_out"]
    arms = {PRETRAINED: with_pretext, baseline: without}
    rows = [
        {"arm": arm, "num_labels": learnt_from} | _mean_and_ci95(x, **counts)
        for arm, x in arms.items()
    ]
    return Gain(
        *_mean_and_ci95(with_pretext - without, **counts).values(),
        with_pretext=float(with_pretext.mean()),
        without=float(without.mean()),
        baseline=baseline,
        arms=pd.DataFrame(rows),
        repeats=len(without),
        **counts,
    )


def _mean_and_ci95(values, num_labels, num_held_out):
    """Mean and half the width of its interval over splits that share pictures, in percent.

    An interval is never narrower than what one labelled picture is worth: where all splits agree,
    there are too few of them to tell, or the pictures are too easy.
    """
    shared = num_held_out / (num_labels - num_held_out)
    error = math.sqrt((1 / len(values) + shared) * values.var(ddof=1))
    half = stats.t.ppf(0.975, len(values) - 1) * error
    return {"mean": float(values.mean()), "ci95": float(max(half, 100 / num_labels))}


def repeated_splits(labels, repeats, seed):
    """Places to learn from and to be measured on, of each split; both have every class if many."""
    held_out = max(math.ceil(len(labels) / HELD_OUT), len(np.unique(labels)))
    shuffle = StratifiedShuffleSplit(repeats, test_size=held_out, random_state=seed)
    splits = shuffle.split(labels, labels)
    return [(train[_spread_out(labels[train])], test) for train, test in splits]


def _spread_out(labels):
    """An order in which the first few, however many, have each class in its share."""
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    place = np.empty(len(labels))
    for code, count in enumerate(counts):
        place[codes == code] = np.arange(count) / count
    return np.argsort(place, kind="stable")


def _sizes(number, num_classes):
    """Numbers of labels to learn from, from fewest to most; each class has one among the fewest."""
    return sorted({max(round(share * number), num_classes) for share in SHARES})


def _spaces(extractor, images, given, seed):
    """By arm, the points `(N, D)` that a probe reads and the strength of its penalty."""
    flat = images.reshape(len(images), -1).astype("float32") / 255
    spaces = {
        PRETRAINED: (_points(_features(extractor, images)), STRENGTH),
        PIXELS: (_points(flat), PIXEL_STRENGTH),
        RANDOM: (_points(_features(with_random_weights(extractor, seed=seed), images)), STRENGTH),
    }
    if given is not None:
        spaces[GIVEN] = (_points(_features(given, images)), STRENGTH)
    return spaces


def _features(network, images):
    """What a linear probe reads by default; of a network without blocks, its output."""
    whole = (
        block_features(network)
        if block_names(network)
        else check_extractor("extractor or given", network)
    )
    return finite_features(whole, images)


def _points(features):
    """Standardised features, turned so that no more axes are left than there are pictures.

    To a ridge penalty all directions are alike, so a probe of what is left is the same probe; of
    600 pictures with 3,072 features it is fitted in a fifth of the time.
    """
    mean, spread = mean_and_spread(features)
    points = (features - mean) / spread
    few = len(points) < points.shape[1]
    return np.linalg.qr(points.T, mode="r").T if few else points


def _scores(space, split, labels, sizes, measure):
    """The percentage right of what was held out, learnt from the first few of those in training."""
    (points, strength), (train, test) = space, split
    there = np.unique(labels[test])
    percent = []
    for size in sizes:
        some = train[:size]
        answers = regression(points[some], labels[some], strength).predict(points[test])
        if measure == "accuracy":
            percent.append(100 * metrics.accuracy_score(labels[test], answers))
        else:
            by_class = {"labels": there, "average": "macro"}
            percent.append(100 * metrics.recall_score(labels[test], answers, **by_class))
    return percent


def _guess(sizes, scores, num_labels, num_held_out):
    """What a probe of twice as many labels may reach, if a straight line in their log goes on."""
    if len(sizes) < 2:
        return None
    slopes, starts = np.polyfit(np.log2(sizes), scores.T, 1)  # (repeats,) each
    ends = starts + slopes * np.log2(2 * num_labels)
    mean, half = _mean_and_ci95(ends, num_labels, num_held_out).values()
    low, middle, high = np.clip([mean - half, mean, mean + half], 0, 100).tolist()
    return {"num_labels": 2 * num_labels, "mean": middle, "low": low, "high": high}
