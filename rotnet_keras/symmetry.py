"""Does the pretext task suit these images? Class by class, and mistake by mistake."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pandas as pd
from scipy import special
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from rotnet_keras._base.angles import ANGLES
from rotnet_keras._base.arrays import (
    Images,
    Labels,
    check_array,
    check_finite,
    count_classes,
    images_are_square,
    one_label_an_image,
)
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.names import printable
from rotnet_keras._base.networks import (
    AnyModel,
    model_takes_images,
    model_tells_rotations,
)
from rotnet_keras._base.values import Count, Names
from rotnet_keras.evaluation import extract_features, most_likely
from rotnet_keras.rotation import ROTATIONS, Rotations, turned


def _probabilities(name, value):
    probabilities = check_array(name, value)
    check_finite(name, probabilities)
    return probabilities


def _each_turn_is_told(probabilities, rotations):
    size = len(rotations)
    if probabilities.ndim != 3 or probabilities.shape[1:] != (size, size) or not len(probabilities):
        raise InputError(
            f"probabilities must be (N, {size}, {size}) for {size} rotations, N at least 1, got "
            f"shape {probabilities.shape}"
        )
    lowest, sums = probabilities.min(), probabilities.sum(axis=2, dtype="float64")
    if lowest < 0 or np.abs(sums - 1).max() > 0.01:  # float16 and rounded tables are let through
        raise InputError(
            "probabilities must be at least 0 and sum to 1 over the last axis, got "
            f"{lowest} at least and sums of {sums.min():g} to {sums.max():g}"
        )


def _rotation_counts(name, value):
    counts = check_array(name, value)
    if not np.issubdtype(counts.dtype, np.integer) or (counts < 0).any():
        raise InputError(f"{name} must be whole numbers of at least 0, got {counts.dtype}")
    return counts


def counts_fit(counts, class_names, rotations):
    """A relation: a table of R x R counts for each class that has a name."""
    size = len(rotations)
    if counts.ndim != 3 or counts.shape[1:] != (size, size):
        raise InputError(
            f"counts must be (K, {size}, {size}) for {size} rotations, got shape {counts.shape}"
        )
    if len(counts) != len(class_names):
        raise InputError(
            f"class_names must be {len(counts)} names, one for each class of counts, got "
            f"{len(class_names)}"
        )


def _labels_below(labels, num_classes):
    num_classes = count_classes(labels) if num_classes is None else num_classes
    if labels.min() < 0 or labels.max() >= num_classes:
        raise InputError(
            f"labels must lie in 0..{num_classes - 1} for num_classes={num_classes}, "
            f"got {labels.min()}..{labels.max()}"
        )


def _border_can_be_turned(images):
    if images is not None:
        images_are_square(images)


Probabilities = Annotated[np.ndarray, _probabilities]  # (N, R, R), 0..1
RotationCounts = Annotated[np.ndarray, _rotation_counts]  # (K, R, R)


@public(
    one_label_an_image, images_are_square, model_takes_images, model_tells_rotations, _labels_below
)
def rotation_confusion(
    model: AnyModel,
    images: Images,
    labels: Labels,
    *,
    num_classes: Count | None = None,
    rotations: Rotations = ROTATIONS,
    batch_size: Count = 250,
) -> np.ndarray:
    """Count, class by class, how often images turned one way are predicted as turned another way.

    Args:
        model: `keras.Model` from images to R logits, as `pretrain` returns it.
        images: `(N, S, S, C)` array of upright images, pixels 0..255.
        labels: `(N,)` whole numbers from 0: the class of each image.
        num_classes: K, where `labels` may lack the last classes; None for the highest label plus 1.
        rotations: the R quarter turns that the model tells apart, in the order of its logits.
        batch_size: images computed at a time.

    Returns:
        integer array `(K, R, R)`: class, true rotation, predicted rotation. Each row of a class
        sums to the number of its images. `rotation_report` makes a table of it and
        `plot_rotation_confusion` a picture.

    Raises:
        InputError: images that are not square, labels that do not fit them or `num_classes`,
            `rotations` that are not quarter turns, or a model with another number of outputs.

    Example:
        >>> model = attach_head(two_conv_extractor((28, 28, 1)), 4)
        >>> images, labels = np.zeros((5, 28, 28, 1), "uint8"), np.array([0, 0, 0, 1, 1])
        >>> rotation_confusion(model, images, labels).sum(axis=2).tolist()
        [[3, 3, 3, 3], [2, 2, 2, 2]]
    """
    num_classes = count_classes(labels) if num_classes is None else num_classes
    counts = np.zeros((num_classes, len(rotations), len(rotations)), int)
    for row, logits in enumerate(_logits_turned(model, images, rotations, batch_size)):
        taken_for = most_likely(logits)
        np.add.at(counts[:, row], (labels, taken_for), 1)
    return counts


@public(images_are_square, model_takes_images, model_tells_rotations)
def predict_rotations(
    model: AnyModel, images: Images, *, rotations: Rotations = ROTATIONS, batch_size: Count = 250
) -> np.ndarray:
    """Say how probable a rotation model finds each rotation, for every image in all of them.

    Args:
        model: `keras.Model` from images to R logits, as `pretrain` returns it.
        images: `(N, S, S, C)` array of upright images, pixels 0..255.
        rotations: the R quarter turns that the model tells apart, in the order of its logits.
        batch_size: images computed at a time.

    Returns:
        float32 array `(N, R, R)`: image, rotation that it was turned by, probability 0..1 given to
        each rotation. The last axis sums to 1. `rotation_mistakes` lists the worst of it.

    Raises:
        InputError: images that are not square, `rotations` that are not quarter turns, or a model
            with another number of outputs.

    Example:
        >>> model = attach_head(two_conv_extractor((28, 28, 1)), 4)
        >>> predict_rotations(model, np.zeros((5, 28, 28, 1), "uint8"))[0, 0].tolist()
        [0.25, 0.25, 0.25, 0.25]
    """
    all_logits = _logits_turned(model, images, rotations, batch_size)
    chances = np.stack([special.softmax(logits, axis=1) for logits in all_logits], axis=1)
    most_likely(chances.reshape(len(chances), -1))
    return chances


@public(_each_turn_is_told)
def rotation_mistakes(
    probabilities: Probabilities, *, count: Count | None = None, rotations: Rotations = ROTATIONS
) -> pd.DataFrame:
    """List the turned images whose rotation a model got wrong, worst first.

    The worse a mistake, the less probable the model found the true rotation, which is what the
    loss goes by. An image counts once for each turn that was mistaken; the first places of
    `table.drop_duplicates("image")` are different images.

    Args:
        probabilities: `(N, R, R)`, as `predict_rotations` returns them.
        count: most rows wanted; None for all mistakes.
        rotations: the R quarter turns that were told apart.

    Returns:
        `pandas.DataFrame`, a row for each mistake, with the columns `image`, its place in 0..N-1;
        `turned_by` and `taken_for`, in degrees, counter-clockwise; `true_probability` and
        `taken_probability`, 0..1, of the two. It has no rows where nothing was mistaken.
        `plot_rotation_mistakes` shows them.

    Raises:
        InputError: `probabilities` that are not `(N, R, R)`, N at least 1, or do not sum to 1,
            `rotations` that are not quarter turns, or a `count` below 1.

    Example:
        >>> probabilities = np.array([[[0.75, 0.25], [0.25, 0.75]], [[0.125, 0.875], [0.5, 0.5]]])
        >>> rotation_mistakes(probabilities, rotations=(0, 2))
           image  turned_by  taken_for  true_probability  taken_probability
        0      1          0        180             0.125              0.875
        1      1        180          0             0.500              0.500
    """
    taken = probabilities.argmax(axis=2)
    image, true = np.nonzero(taken != np.arange(len(rotations)))
    taken = taken[image, true]
    degrees = np.take(ANGLES, rotations)
    table = {
        "image": image,
        "turned_by": degrees[true],
        "taken_for": degrees[taken],
        "true_probability": probabilities[image, true, true],
        "taken_probability": probabilities[image, true, taken],
    }
    table = pd.DataFrame(table).sort_values("true_probability", kind="stable", ignore_index=True)
    return table.head(count) if count else table


@public(counts_fit)
def rotation_report(
    counts: RotationCounts, class_names: Names, *, rotations: Rotations = ROTATIONS
) -> pd.DataFrame:
    """Tabulate how well the rotation is told for each class: is the pretext task good for my data?

    A class that looks the same upside down cannot be told from its half turn: its
    `half_turn_error` nears 0.5, and there the task teaches noise. Near 0, the network tells the two
    apart, if not by what: where an object lies in its frame can give the turn away, as notebook
    05 shows. For one answer over all classes, give their sum,
    `rotation_report(counts.sum(axis=0, keepdims=True), ["all"])`.

    Args:
        counts: `(K, R, R)` whole numbers, as `rotation_confusion` returns them.
        class_names: one a class.
        rotations: the R quarter turns that were told apart.

    Returns:
        `pandas.DataFrame`, one row a class, in the order given, with the columns `images`, their
        number; `accuracy`, 0..1, over all rotations; `half_turn_error`, of the images turned by 0
        and 180 degrees the share predicted as the other of the two; and `quarter_turn_error`, the
        same of 90 and 270. A share is NaN for a class without images, and an error where
        `rotations` lacks one of its two.

    Raises:
        InputError: `counts` of another shape or kind, or not one class name for each class.

    Example:
        >>> counts = np.array([[[6, 0, 4, 0], [0, 9, 0, 1], [2, 0, 8, 0], [0, 0, 0, 10]]])
        >>> rotation_report(counts, ["eight"])
               images  accuracy  half_turn_error  quarter_turn_error
        class
        eight      10     0.825              0.3                0.05
    """
    rows = counts.sum(axis=2)
    right = counts.trace(axis1=1, axis2=2)
    degrees = [ANGLES[rotation] for rotation in rotations]

    def swapped(*pair):
        if not {*pair} <= {*degrees}:
            return np.full(len(counts), np.nan)
        i, j = map(degrees.index, pair)
        return _shares(counts[:, i, j] + counts[:, j, i], rows[:, i] + rows[:, j])

    table = {
        "images": rows[:, 0],
        "accuracy": _shares(right, rows.sum(axis=1)),
        "half_turn_error": swapped(0, 180),
        "quarter_turn_error": swapped(90, 270),
    }
    return pd.DataFrame(table, index=pd.Index([*map(printable, class_names)], name="class"))


rotation_errors = rotation_report  # its name in version 0.1


@public(counts_fit, _border_can_be_turned)
def rotation_verdict(
    counts: RotationCounts,
    class_names: Names,
    images: Images | None = None,
    *,
    rotations: Rotations = ROTATIONS,
) -> str:
    """Say in one sentence where rotation suits these images badly as a pretext, or nothing.

    It is where a third or more of a class's half turns are mistaken (guessing gets half), where
    hardly any turn of a class is told, and where a logistic regression on the outermost two pixels
    alone tells 95% of the turns: then a frame, or what is in a corner, gives the turn away.

    Args:
        counts: as `rotation_confusion` returns them, of images that were not learnt from.
        class_names: one a class; classes of fewer than 20 images are passed over.
        images: `(N, S, S, C)` upright ones whose border is looked at, the first 600; None, or
            fewer than 20, tells nothing of it.
        rotations: the R quarter turns that were told apart.

    Returns:
        The sentence, with the classes, or "" where nothing speaks against rotation.

    Raises:
        InputError: as `rotation_report`, or images that are not square.

    Example:
        >>> zero = np.array([[20, 0, 20, 0], [0, 20, 0, 20]] * 2)
        >>> rotation_verdict(np.array([zero, 40 * np.eye(4, dtype=int)]), ["zero", "seven"])
        'rotation suits these images badly: half turns are confused in 1 of 2 classes, zero (50%)'
    """
    table = rotation_report(counts, class_names, rotations=rotations).query("images >= 20")
    hardly = table["accuracy"] < 1 / len(rotations) + (1 - 1 / len(rotations)) / 4
    halves = table[["half_turn_error", "quarter_turn_error"]].max(axis=1)
    reasons = [
        f"{what} {sum(which)} of {len(counts)} classes, "
        + ", ".join(f"{name} ({share:.0%})" for name, share in shares[which].items())
        for what, which, shares in (
            ("half turns are confused in", ~hardly & (halves >= 1 / 3), halves),
            ("few rotations are predicted right of", hardly, table["accuracy"]),
        )
        if any(which)
    ]
    border = 0.0 if images is None else _told_by_border(images[:600], rotations)
    if border >= 0.95:
        reasons.append(f"the outermost two pixels alone give {border:.0%} of the turns away")
    return f"rotation suits these images badly: {'; '.join(reasons)}" if reasons else ""


def _told_by_border(images, rotations):
    """The share of turns that the outermost pixels tell, of the half that was not learnt from."""
    if len(images) < 20:
        return 0.0
    ring = np.ones(images.shape[1:3], bool)
    ring[2:-2, 2:-2] = False
    borders = np.stack([turned(images, r)[:, ring] for r in rotations], 1) / 255
    learnt, asked = borders[::2], borders[1::2]  # (N / 2, R, pixels, C)
    (x, y), (x_asked, y_asked) = (
        (part.reshape(len(part) * len(rotations), -1), np.tile(rotations, len(part)))
        for part in (learnt, asked)
    )
    with threadpool_limits(1):  # so small that threads would wait for each other
        return LogisticRegression(C=0.1, max_iter=1_000).fit(x, y).score(x_asked, y_asked)


def _logits_turned(model, images, rotations, batch_size):
    """The logits `(N, R)` of all images in the first rotation, then in the next one, and so on."""
    for rotation in rotations:
        logits = extract_features(model, turned(images, rotation), batch_size=batch_size)
        yield logits.astype("float32")


def _shares(parts, wholes):
    """Quotients, NaN where there is nothing to divide by."""
    return np.divide(parts, wholes, out=np.full(len(parts), np.nan), where=wholes > 0)
