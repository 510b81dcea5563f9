"""Small networks, and what the tests ask of the weights of any."""

import keras
import numpy as np

from rotnet_keras import attach_head, two_conv_extractor


def chain(shape, *layers, name=None):
    """A functional model of layers one after the other."""
    images = x = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    return keras.Model(images, x, name=name)


def batch_norm_extractor():
    """An extractor with batch normalisation, whose statistics move fast."""
    normalise = keras.layers.BatchNormalization(momentum=0.5, name="norm")
    pool = keras.layers.GlobalAveragePooling2D(name="pool")
    return keras.Sequential(
        [keras.Input((12, 12, 1)), keras.layers.Conv2D(3, 3, name="conv"), normalise, pool]
    )


def classifier_of_three():
    """The blog's network with a head of three classes."""
    return attach_head(two_conv_extractor((12, 12, 1), seed=3), 3, seed=1)


def block_of_pixels(shape):
    """An extractor whose one block hands the pixels on."""
    block = keras.layers.Activation("linear", name="block1")
    return chain(shape, block, keras.layers.GlobalAveragePooling2D())


def brightest_quarter():
    """A model whose logits are the brightness of the upper left, upper right, ... quarter."""
    return chain((12, 12, 1), keras.layers.AveragePooling2D(6), keras.layers.Flatten())


def corners():
    """Four images, image i with a bright quarter i, and one dark one that counts as class 0."""
    images = np.zeros((5, 12, 12, 1), "uint8")
    for i, (row, column) in enumerate([(0, 0), (0, 6), (6, 0), (6, 6)]):
        images[i, row : row + 6, column : column + 6] = 200
    return images


def two_outputs(extractor, kind):
    """The extractor with two heads, whose outputs are a list, a tuple or a dictionary."""
    outputs = {name: keras.layers.Dense(3, name=name)(extractor.output) for name in ("one", "two")}
    return keras.Model(extractor.input, outputs if kind is dict else kind(outputs.values()))


def subclassed(network):
    """The same as a subclass of Model, which does not say what it puts out."""

    class Own(keras.Model):
        def call(self, images):
            return network(images)

    return Own()


def weights(model, part=""):
    """The values of the weights whose path has `part`, by path."""
    return {weight.path: weight.numpy().copy() for weight in model.weights if part in weight.path}


def moved(model, before):
    """The paths of the weights that are not what they were."""
    after = weights(model)
    return {path for path, value in before.items() if not np.array_equal(value, after[path])}


def _values(model):
    return model if isinstance(model, list) else model.get_weights()


def same_weights(one, other):
    """Of each weight of two models, or of two lists of arrays, whether it is the same."""
    return [np.array_equal(a, b) for a, b in zip(_values(one), _values(other), strict=True)]


def assert_same_weights(one, *others):
    for other in others:
        for a, b in zip(_values(one), _values(other), strict=True):
            np.testing.assert_array_equal(a, b)


def assert_seed_decides(build):
    """One seed gives the same model, or list of arrays, again, and another one another."""
    first, again, other = (build(seed) for seed in (1, 1, 2))
    assert_same_weights(first, again)
    assert not all(same_weights(first, other))
    return first, again, other
