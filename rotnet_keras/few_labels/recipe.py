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
    another_seed,
    check_count,
)
from rotnet_keras.blocks import join_blocks, need_blocks
from rotnet_keras.few_labels.graph import need_graphlearning, pseudo_label
from rotnet_keras.few_labels.probes import linear_probe
from rotnet_keras.few_labels.semi_supervised import self_train
from rotnet_keras.heads import Precision, check_extractor, remove_head, with_random_weights
from rotnet_keras.models import conv_blocks_extractor
from rotnet_keras.running.batches import augment_keeps_shape
from rotnet_keras.running.runtime import suitable_precision
from rotnet_keras.training import pretrain_for_transfer

WIDTHS = (32, 64, 128)  # of the blocks that are pretrained; each halves the images
UPDATES, UPDATES_IN_COLOUR = 1000, 3000
APART = 1000  # between the seeds of two networks; what one draws has seeds that lie closer


def usual_updates(image_shape):
    """Of self-training: photographs go on getting better where garments and digits do not."""
    return UPDATES_IN_COLOUR if image_shape[-1] == 3 else UPDATES


def _networks_can_be_had(images, extractor, num_networks):
    if extractor is not None:
        check_fits(images.shape[1:], extractor)
        if num_networks > 1:
            check_upright(images)
            check_extractor("extractor", extractor)
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
    _networks_can_be_had,
    need_blocks,
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
    num_networks: Count = 1,
    precision: Precision | None = None,
    seed: Seed = 0,
    verbose: str | int = "auto",
) -> tuple[keras.Model, keras.callbacks.History]:
    """Make the best classifier that few labelled and many unlabelled images allow.

    Pretrain a network on rotations; where there are very few labels, spread them over a graph of
    its features, and take the surer half as labels, too; self-train the network, with a head that
    reads all blocks but the first; average what it says about an image and its mirror image with
    two other opinions, on its features before and after: where labels were spread, those of the
    nearest images in a graph, else those of linear probes. Several networks do all that, each by
    itself, and the average is of all their opinions.

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
            photographs of animals they take 2.5 times as long and make 2.1 ± 0.5 points more (five
            seeds), on Fashion-MNIST half a point (one run).
        augment: the strong change of images in self-training, as in `self_train`. Where classes
            hang on colour, `strong_augmentation(colours=False)`. An image and its mirror image
            get one answer, whatever it is.
        pretrain_epochs: passes over all the images, of each network that is not given. On
            Fashion-MNIST 40 take four times as long as 10 and are worth 0.6 ± 0.4 points to a
            probe with 100 labels, 0.3 ± 0.6 with 1,000.
        num_networks: that are trained and averaged, one after the other. Beside an `extractor`, the
            others are like it and start from random weights and rotations. Two made 1.2, 0.5 and
            -0.2 points more on photographs of animals (three runs), and nothing on Fashion-MNIST
            (one run).
        precision: how layers compute while they learn, as in `cast_model`. None asks the machine:
            what it computes fastest in, of what learns as well.
        seed: of everything random.
        verbose: as in `pretrain`.

    Returns:
        `(model, history)`: `keras.Model` from images to logarithms of class probabilities
        `(B, num_classes)`, made of Keras's own parts, so that it loads without this package; and
        Keras's `History` of self-training, of the last network.

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
    # The labelled ones first, where the graph looks for them.
    everything = images if unlabelled is None else np.concatenate([images, unlabelled])
    how: dict[str, Any] = {"precision": precision or suitable_precision(), "verbose": verbose}
    known: dict[str, Any] = {"labels": labels, "num_classes": num_classes}
    asked = {"updates": updates or usual_updates(images.shape[1:]), "augment": augment}
    spread = unlabelled is not None and len(labels) < guess_below * num_classes
    if spread:
        need_graphlearning()  # said before anything is trained
    fit = _fit_spread if spread else _fit_probed
    opinions = []
    for trunk, own in _trunks(extractor, num_networks, everything, pretrain_epochs, seed, **how):
        said, history = fit(trunk, images, everything, known=known, seed=own, **asked, **how)
        opinions += said
    return _averaged(opinions), history


def _trunks(given, number, images, epochs, seed, **how):
    """The networks to fit, each with a seed of its own: the one given, others pretrained here."""
    make = partial(conv_blocks_extractor, images.shape[1:], WIDTHS)
    if given is not None:
        make = partial(with_random_weights, given)
    for each in range(number):
        own = another_seed(seed, APART * each)
        if each == 0 and given is not None:
            yield given, own
            continue
        model, _ = pretrain_for_transfer(make(seed=own), images, epochs=epochs, seed=own, **how)
        yield remove_head(model), own


def _fit_spread(extractor, images, everything, *, known, seed, **how):
    """Three opinions of one network, where labels are few enough to be spread."""
    guesses, carried = pseudo_label(extractor, everything, seed=seed, **known)
    asked = {"unlabelled": everything, "guesses": guesses, "seed": seed} | known | how
    network, history = self_train(join_blocks(extractor), images, **asked)
    _, again = pseudo_label(remove_head(network), everything, seed=seed, **known)
    return [_with_mirror(network), carried, again], history


def _fit_probed(extractor, images, everything, *, known, seed, **how):
    """Three opinions of one network, two of them linear probes."""
    asked = {"unlabelled": everything, "seed": seed} | known | how
    network, history = self_train(join_blocks(extractor), images, **asked)
    probe: dict[str, Any] = {"unlabelled": everything, "shifted": True} | known
    probes = [linear_probe(x, images, **probe) for x in (extractor, remove_head(network))]
    return [_with_mirror(network), *probes], history


def _with_mirror(network):
    """Mean probabilities over an image and its mirror image."""
    pixels = keras.Input(network.input_shape[1:], name="images")
    answers = [ops.softmax(network(view)) for view in (pixels, ops.flip(pixels, axis=2))]
    answers = keras.layers.Average(dtype="float32")(answers)
    return keras.Model(pixels, ops.log(answers + 1e-6), name="with_mirror")


def _averaged(classifiers):
    """Logarithms of the mean probabilities of classifiers."""
    pixels = keras.Input(classifiers[0].input_shape[1:], name="images")
    named = [keras.Model(m.input, m.output, name=f"part{i}") for i, m in enumerate(classifiers)]
    mean = keras.layers.Average(dtype="float32")([ops.softmax(model(pixels)) for model in named])
    return keras.Model(pixels, ops.log(mean + 1e-6), name="few_labels")
