"""The best recipe found, in one call: few labelled and many unlabelled images in, a classifier out.

`python -m rotnet_keras study` is what it was compared with.
"""

from __future__ import annotations

import functools

import keras
import numpy as np
from keras import ops

from rotnet_keras._base.arrays import check_every_class, check_images, check_upright
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.networks import check_functional
from rotnet_keras._base.values import check_choice, check_count, check_counts, check_seed
from rotnet_keras.blocks import join_blocks
from rotnet_keras.few_labels.graph import guess_labels
from rotnet_keras.few_labels.probes import linear_probe
from rotnet_keras.few_labels.semi_supervised import self_train
from rotnet_keras.heads import PRECISIONS, remove_head
from rotnet_keras.models import conv_blocks_extractor
from rotnet_keras.training import pretrain_for_transfer

WIDTHS = (32, 64, 128)  # of the blocks that are pretrained; each halves the images


def fit_few_labels(
    images,
    labels,
    unlabelled=None,
    *,
    extractor=None,
    num_classes=None,
    guess_below=50,
    updates=1500,
    pretrain_epochs=10,
    precision="float32",
    seed=0,
    verbose=0,
):
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
        num_classes: default: the highest label and one.
        guess_below: labels are spread over a graph where there are fewer than this for each class;
            that needs the package graphlearning.
        updates: of self-training.
        pretrain_epochs: passes over all the images, where `extractor` is None. On Fashion-MNIST 40
            take four times as long as 10 and make half a point more.
        precision: Keras's name for how layers compute while they learn; "mixed_bfloat16" takes
            half the time where the machine has it.
        seed: of everything random.
        verbose: Keras's progress bars: 1 shows them, 0 does not.

    Returns:
        `keras.Model` from images to logarithms of class probabilities `(B, num_classes)`. It is
        made of Keras's own parts and loads without this package.

    Raises:
        ImportError: the labels must be spread and graphlearning is not installed.
        ValueError: images, labels and extractor that do not fit together, a class without an
            image, images that are not square, a setting out of its range.

    Example:
        >>> splits = load_splits("garments", num_labels=1000)  # doctest: +SKIP
        >>> classifier = fit_few_labels(*splits.labelled, splits.unlabelled)  # doctest: +SKIP
        >>> accuracy(classifier, *splits.test)  # doctest: +SKIP
        0.96
    """
    check_counts(updates=updates, pretrain_epochs=pretrain_epochs)
    check_count("guess_below", guess_below, least=0)
    check_choice("precision", precision, PRECISIONS)
    check_seed(seed)
    if extractor is not None:
        check_functional(extractor, "extractor")
    images, labels, num_classes = check_every_class(images, labels, num_classes, model=extractor)
    if extractor is None and min(check_upright(images).shape[1:3]) < 2 ** len(WIDTHS):
        raise InputError(
            f"images must be of {2 ** len(WIDTHS)} pixels or more a side for the network that is "
            f"pretrained without an extractor, got {images.shape}"
        )
    everything = images
    if unlabelled is not None:  # the labelled ones first, where the graph looks for them
        unlabelled = check_images(unlabelled, "unlabelled images", model=extractor)
        if unlabelled.shape[1:] != images.shape[1:]:
            raise InputError(
                f"unlabelled images must be {images.shape[1:]} as the labelled ones are, "
                f"got {unlabelled.shape[1:]}"
            )
        everything = np.concatenate([images, unlabelled])
    if extractor is None:
        fresh = conv_blocks_extractor(everything.shape[1:], WIDTHS, seed=seed)
        settings = {"precision": precision, "seed": seed, "verbose": verbose}
        model, _ = pretrain_for_transfer(fresh, everything, epochs=pretrain_epochs, **settings)
        extractor = remove_head(model)
    guesses = None
    guess = functools.partial(guess_labels, num_classes=num_classes, seed=seed)
    if len(labels) < guess_below * num_classes and unlabelled is not None:
        guesses, carried = guess(extractor, everything, labels)
    network = self_train(
        join_blocks(extractor),
        images,
        labels,
        unlabelled=everything,
        num_classes=num_classes,
        guesses=guesses,
        updates=updates,
        precision=precision,
        seed=seed,
        verbose=verbose,
    )
    trained = remove_head(network)
    if guesses is not None:
        opinions = [carried, guess(trained, everything, labels)[1]]
    else:
        probe = {"unlabelled": everything, "num_classes": num_classes, "shifted": True}
        opinions = [linear_probe(x, images, labels, **probe) for x in (extractor, trained)]
    return _averaged([_with_mirror(network), *opinions])


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
