"""The best recipe found, in one call: few labelled and many unlabelled images in, a classifier out.

`python -m rotnet_keras study` is what it was compared with.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import keras
import numpy as np
from keras import ops

from rotnet_keras._base.arrays import (
    Images,
    Labels,
    UnlabelledImages,
    check_fits,
    check_upright,
    classes_of,
    every_class_has_an_image,
    one_label_an_image,
)
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.networks import Model, extractor_takes_unlabelled
from rotnet_keras._base.values import (
    AtLeastTwo,
    BatchFunction,
    Count,
    Seed,
    check_count,
)
from rotnet_keras.blocks import join_blocks
from rotnet_keras.few_labels.graph import pseudo_label
from rotnet_keras.few_labels.probes import linear_probe
from rotnet_keras.few_labels.semi_supervised import self_train
from rotnet_keras.heads import Precision, remove_head
from rotnet_keras.models import conv_blocks_extractor
from rotnet_keras.running.batches import augment_keeps_shape
from rotnet_keras.running.runtime import suitable_precision
from rotnet_keras.training import pretrain_for_transfer

WIDTHS = (32, 64, 128)  # of the blocks that are pretrained; each halves the images
UPDATES, UPDATES_IN_COLOUR = 1000, 3000


def usual_updates(image_shape):
    """Of self-training: photographs go on getting better where garments and digits do not."""
    return UPDATES if image_shape[-1] == 1 else UPDATES_IN_COLOUR


def _network_can_be_had(images, extractor):
    if extractor is not None:
        check_fits(images.shape[1:], extractor)
    elif min(check_upright(images).shape[1:3]) < 2 ** len(WIDTHS):
        raise InputError(
            f"images must be of {2 ** len(WIDTHS)} pixels or more a side for the network that is "
            f"pretrained without an extractor, got {images.shape}"
        )


def _unlabelled_are_alike(images, unlabelled):
    if unlabelled is not None and unlabelled.shape[1:] != images.shape[1:]:
        raise InputError(
            f"unlabelled images must be {images.shape[1:]} as the labelled ones are, "
            f"got {unlabelled.shape[1:]}"
        )


@public(
    one_label_an_image,
    every_class_has_an_image,
    _network_can_be_had,
    _unlabelled_are_alike,
    extractor_takes_unlabelled,
    augment_keeps_shape,
)
def fit_few_labels(
    images: Images,
    labels: Labels,
    unlabelled: UnlabelledImages | None = None,
    *,
    extractor: Model | None = None,
    num_classes: AtLeastTwo | None = None,
    guess_below: Annotated[int, partial(check_count, least=0)] = 50,
    updates: Count | None = None,
    augment: BatchFunction | None = None,
    pretrain_epochs: Count = 10,
    precision: Precision | None = None,
    seed: Seed = 0,
    verbose: str | int = "auto",
) -> tuple[keras.Model, keras.callbacks.History]:
    """Make the best classifier that few labelled and many unlabelled images allow.

    Pretrain a network on rotations; where there are very few labels, spread them over a graph of
    its features, and take the surer half as labels, too; self-train the network, with a head that
    reads all blocks but the first; average what it says about an image and its mirror image with
    two other opinions, on its features before and after: where labels were spread, those of the
    nearest images in a graph, else those of linear probes.

    Args:
        images: `(N, S, S, C)` array of pixels 0..255.
        labels: `(N,)` whole numbers, at least one of each class.
        unlabelled: `(M, S, S, C)` array of many more images. None leaves only the labelled ones to
            learn from, which is seldom worth it.
        extractor: a pretrained one with blocks; None pretrains `conv_blocks_extractor` first.
        num_classes: None takes the highest label + 1.
        guess_below: labels are spread over a graph where there are fewer than this for each class;
            that needs the package graphlearning.
        updates: of self-training. None makes 1,000, and 3,000 of images in colour: on
            photographs of animals they take 2.5 times as long and make two to three points more, on
            Fashion-MNIST half a point.
        augment: the strong change of images in self-training, as in `self_train`. Where classes
            hang on colour or on left and right, `strong_augmentation(colours=False)` or
            `(mirror=False)`.
        pretrain_epochs: passes over all the images, where `extractor` is None. On Fashion-MNIST 40
            take four times as long as 10 and make half a point more.
        precision: how layers compute while they learn, as in `cast_model`. None asks the machine:
            what it computes fastest in, of what learns as well.
        seed: of everything random.
        verbose: as in `pretrain`.

    Returns:
        `(model, history)`: `keras.Model` from images to logarithms of class probabilities
        `(B, num_classes)`, made of Keras's own parts, so that it loads without this package; and
        Keras's `History` of self-training.

    Raises:
        MissingPackageError: the labels must be spread and graphlearning is not installed.
        InputError: images, labels and extractor that do not fit together, a class without an
            image, images that are not square, a setting out of its range.

    Example:
        >>> splits = load_splits("garments", num_labels=1000)  # doctest: +SKIP
        >>> classifier, _ = fit_few_labels(*splits.labelled, splits.unlabelled)  # doctest: +SKIP
        >>> accuracy(classifier, *splits.test)  # doctest: +SKIP
        0.96
    """
    num_classes = classes_of(labels, num_classes)
    updates = updates or usual_updates(images.shape[1:])
    # The labelled ones first, where the graph looks for them.
    everything = images if unlabelled is None else np.concatenate([images, unlabelled])
    how: dict[str, Any] = {"precision": precision or suitable_precision(), "seed": seed}
    how["verbose"] = verbose
    if extractor is None:
        extractor = _pretrained(everything, pretrain_epochs, **how)
    known: dict[str, Any] = {"labels": labels, "num_classes": num_classes}
    spread = unlabelled is not None and len(labels) < guess_below * num_classes
    guesses = carried = None
    if spread:
        guesses, carried = pseudo_label(extractor, everything, seed=seed, **known)
    asked: dict[str, Any] = {"guesses": guesses, "updates": updates, "augment": augment}
    network, history = self_train(
        join_blocks(extractor), images, unlabelled=everything, **asked, **known, **how
    )
    trained = remove_head(network)
    if spread:
        opinions = [carried, pseudo_label(trained, everything, seed=seed, **known)[1]]
    else:
        probe: dict[str, Any] = {"unlabelled": everything, "shifted": True} | known
        opinions = [linear_probe(x, images, **probe) for x in (extractor, trained)]
    return _averaged([_with_mirror(network), *opinions]), history


def _pretrained(images, epochs, *, seed, **how):
    fresh = conv_blocks_extractor(images.shape[1:], WIDTHS, seed=seed)
    model, _ = pretrain_for_transfer(fresh, images, epochs=epochs, seed=seed, **how)
    return remove_head(model)


def _with_mirror(network):
    """Mean probabilities over an image and its mirror image."""
    pixels = keras.Input(network.input_shape[1:], name="images")
    answers = [ops.softmax(network(view)) for view in (pixels, ops.flip(pixels, axis=2))]
    answers = keras.layers.Average()(answers)
    return keras.Model(pixels, ops.log(answers + 1e-6), name="with_mirror")


def _averaged(classifiers):
    """Logarithms of the mean probabilities of classifiers."""
    pixels = keras.Input(classifiers[0].input_shape[1:], name="images")
    named = [keras.Model(m.input, m.output, name=f"part{i}") for i, m in enumerate(classifiers)]
    mean = keras.layers.Average()([ops.softmax(model(pixels)) for model in named])
    return keras.Model(pixels, ops.log(mean + 1e-6), name="few_labels")
