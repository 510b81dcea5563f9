"""The arms of the label-budget study: every way from a pretrained extractor to a classifier.

Each has the form `fit(extractor, images, labels, *, unlabelled, num_classes, seed, precision,
**settings)` and returns a classifier, called like a Keras model. `ARMS` names them, with the
settings that the study uses; all of those were chosen on validation images.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from rotnet_keras._base.arrays import every_class_has_an_image
from rotnet_keras.blocks import cut_at_block
from rotnet_keras.data.augmentation import gentle_augmentation
from rotnet_keras.few_labels.graph import pseudo_label
from rotnet_keras.few_labels.probes import linear_probe, nearest_neighbours, pixel_probe
from rotnet_keras.few_labels.recipe import fit_few_labels, usual_updates
from rotnet_keras.few_labels.semi_supervised import train_jointly
from rotnet_keras.heads import attach_head, cast_model, freeze, unfreeze, with_random_weights
from rotnet_keras.models import normalised_convolution
from rotnet_keras.running.batches import endless_batches
from rotnet_keras.running.fitting import optimise


class Arm(NamedTuple):
    """A way to a classifier: the function, its settings, and whether it uses the pretext task.

    A setting may hang on the images: then it is a function of their shape.
    """

    fit: Callable
    settings: dict[str, Any]
    pretext: bool = True

    def settings_for(self, image_shape):
        """The settings for images of a shape, `(H, W, C)`."""
        return {
            name: value(image_shape) if callable(value) else value
            for name, value in self.settings.items()
        }


def raw_pixels(extractor, images, labels, *, num_classes=None, strength, **_):
    """Logistic regression on raw pixels; the extractor is not looked at."""
    return pixel_probe(images, labels, num_classes=num_classes, strength=strength)


def block_probe(extractor, images, labels, *, seed=0, precision="float32", **settings):
    """Logistic regression on frozen features of one or several blocks, in float32."""
    return linear_probe(extractor, images, labels, **settings)


def random_probe(extractor, images, labels, *, seed=0, **settings):
    """`block_probe` of the same network with random weights."""
    return block_probe(
        with_random_weights(extractor, seed=seed), images, labels, seed=seed, **settings
    )


def neighbours_probe(extractor, images, labels, *, num_classes=None, neighbours, **_):
    """The vote of the nearest labelled images in feature space."""
    return nearest_neighbours(
        extractor, images, labels, neighbours=neighbours, num_classes=num_classes
    )


def frozen_head(extractor, images, labels, *, num_classes=None, **settings):
    """A new head on the frozen features of the last layer."""
    return _train(extractor, images, labels, num_classes, freeze, **settings)


def tuned(extractor, images, labels, *, num_classes=None, **settings):
    """A new head, and every layer below it trained on."""
    return _train(extractor, images, labels, num_classes, unfreeze, **settings)


def scratch(extractor, images, labels, *, num_classes=None, seed=0, **settings):
    """The same network trained on the labels alone, from random weights."""
    fresh = with_random_weights(extractor, seed=seed)
    return tuned(fresh, images, labels, num_classes=num_classes, seed=seed, **settings)


def conv_head(extractor, images, labels, *, block, num_classes=None, seed=0, **settings):
    """The paper's head for few labels: a block of its own on the frozen maps of a middle block."""
    trunk = cut_at_block(extractor, block)
    maps = normalised_convolution(trunk.output, 128, 3, name="head_block")
    pooled = keras.layers.GlobalAveragePooling2D("channels_last", name="head_features")(maps)
    whole = with_random_weights(keras.Model(trunk.input, pooled), seed=seed)
    for layer in trunk.layers:
        whole.get_layer(layer.name).set_weights(layer.get_weights())

    def below_block(model):
        below = {layer.name for layer in trunk.layers}
        for layer in model.layers:
            layer.trainable = layer.name not in below
        return model

    return _train(whole, images, labels, num_classes, below_block, seed=seed, **settings)


def joint(extractor, images, labels, *, unlabelled, **settings):
    """Fine-tuning while the rotation loss on all images goes on (S4L)."""
    how = {"unlabelled": unlabelled, "verbose": 0}
    return train_jointly(extractor, images, labels, **how, **settings)[0]


def spread_probe(extractor, images, labels, *, unlabelled, num_classes=None, seed=0, **_):
    """Labels spread over a graph of unlabelled images; nearness carries them to new ones."""
    everything = np.concatenate([images, unlabelled])
    _, carried = pseudo_label(extractor, everything, labels, num_classes=num_classes, seed=seed)
    return carried


def self_trained(extractor, images, labels, *, unlabelled, **settings):
    """The best recipe, `fit_few_labels`: labels spread where few, self-training, average."""
    how = {"extractor": extractor, "verbose": 0}
    return fit_few_labels(images, labels, unlabelled, **how, **settings)[0]


def self_trained_scratch(extractor, images, labels, *, unlabelled, seed=0, **settings):
    """The same recipe from random weights: what it owes to the pretext task."""
    fresh = with_random_weights(extractor, seed=seed)
    return self_trained(fresh, images, labels, unlabelled=unlabelled, seed=seed, **settings)


UPDATES = {"updates": 1000, "batch_size": 32, "learning_rate": 5e-3}
PROBE: dict[str, Any] = {"strength": 0.03}
FASTER = UPDATES | {"learning_rate": 1e-2}


def _arm(function, settings, *, pretext=True):
    """An arm that refuses labels which leave a class out: it could never name that class."""

    @functools.wraps(function)
    def fit(extractor, images, labels, *, num_classes, **others):
        every_class_has_an_image(labels, num_classes)
        return function(extractor, images, labels, num_classes=num_classes, **others)

    return Arm(fit, settings, pretext)


ARMS = {
    "raw pixels": _arm(raw_pixels, {"strength": 0.01}, pretext=False),
    "random probe": _arm(random_probe, PROBE, pretext=False),
    "from scratch": _arm(scratch, FASTER, pretext=False),
    "self-trained from scratch": _arm(
        self_trained_scratch, {"updates": usual_updates}, pretext=False
    ),
    "frozen, new head": _arm(frozen_head, FASTER),
    "fine-tuned": _arm(tuned, UPDATES),
    **{f"block {k} probe": _arm(block_probe, PROBE | {"blocks": (k,)}) for k in range(1, 6)},
    "blocks 2 + 3 probe": _arm(block_probe, PROBE | {"blocks": (2, 3)}),
    "nearest neighbours": _arm(neighbours_probe, {"neighbours": 1}),
    "conv head": _arm(conv_head, {**FASTER, "block": 2}),
    "joint (S4L)": _arm(joint, {**UPDATES, "weight": 1.0}),
    "labels spread": _arm(spread_probe, {}),
    "self-trained": _arm(self_trained, {"updates": usual_updates}),
}


def _train(
    extractor,
    images,
    labels,
    num_classes,
    prepare,
    *,
    updates,
    batch_size,
    learning_rate,
    unlabelled=None,
    precision="float32",
    seed=0,
):
    """Fit a head, and what `prepare` leaves trainable, for a number of updates."""
    model = prepare(attach_head(cast_model(extractor, precision), num_classes, seed=seed))
    batches = endless_batches(
        (images, labels.astype("int32")),
        batch_size,
        augment=gentle_augmentation(seed=seed),
        seed=seed,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimise(model, batches, updates=updates, learning_rate=learning_rate, loss=loss)
    return cast_model(model, "float32")
