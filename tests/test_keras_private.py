"""What the package uses of Keras beyond its documented interface: what each use must do.

Where one of these fails with a new version of Keras, `_base/keras_private.py` is the file to mend.
"""

import pathlib
import re

import keras
import numpy as np
import pytest

import rotnet_keras
from rotnet_keras import conv_blocks_extractor
from rotnet_keras._base.keras_private import all_layers, is_functional, run_on, take_seeds_from

pytestmark = pytest.mark.backend


class Subclassed(keras.Model):
    def call(self, x):
        return x


@pytest.fixture
def nested():
    """A model in a model in a model."""
    innermost = keras.Sequential([keras.Input((12, 12, 1)), keras.layers.ReLU(name="deep")])
    inner = keras.Sequential([keras.Input((12, 12, 1)), innermost], name="inner")
    pixels = keras.Input((12, 12, 1), name="pixels")
    return keras.Model(pixels, keras.layers.Flatten(name="flat")(inner(pixels)), name="outer")


def test_all_layers_are_those_of_nested_models_too(nested):
    layers = all_layers(nested)
    assert {"outer", "pixels", "inner", "deep", "flat"} <= {layer.name for layer in layers}
    assert len({id(layer) for layer in layers}) == len(layers)


def test_all_layers_of_a_copy_come_in_the_same_order(nested):
    """`with_random_weights` pairs the layers of a model and of its copy."""
    names, copied = (
        [(type(layer), layer.name) for layer in all_layers(model)]
        for model in (nested, keras.models.clone_model(nested))
    )
    assert names == copied


def test_functional_models_are_told_from_others(nested):
    assert is_functional(nested)
    for other in (Subclassed(), nested.get_layer("inner")):  # a Sequential keeps its graph inside
        assert not is_functional(other)


def test_a_model_runs_on_another_tensor_with_its_own_layers(images):
    network = conv_blocks_extractor((12, 12, 1), (2, 4), seed=1)
    pixels = keras.Input((12, 12, 1))
    model = keras.Model(pixels, run_on(network, keras.layers.Identity()(pixels)))
    assert [layer.name for layer in model.layers[2:]] == [
        layer.name for layer in network.layers[1:]
    ]
    assert model.get_layer("block2") is network.get_layer("block2")
    np.testing.assert_array_equal(model(images), network(images))


@pytest.mark.parametrize(
    "layer", [keras.layers.RandomFlip, keras.layers.RandomTranslation, keras.layers.RandomRotation]
)
def test_random_layers_ask_for_their_source_of_seeds(layer, images):
    """Two layers that draw from sources of one seed do the same, whatever their own seeds are."""
    options = {} if layer is keras.layers.RandomFlip else {"factor": 0.2}
    if layer is keras.layers.RandomTranslation:
        options = {"height_factor": 0.2, "width_factor": 0.2}
    asked, changed = [], []
    for own_seed in (1, 2):
        one, source = layer(**options, seed=own_seed), keras.random.SeedGenerator(5)
        take_seeds_from(one, lambda own, source=source: asked.append(own) or source)
        changed.append(keras.ops.convert_to_numpy(one(images, training=True)))
    assert asked
    np.testing.assert_array_equal(*changed)
    assert not np.array_equal(changed[0], images)


def test_a_layers_own_source_of_seeds_stays_at_hand(images):
    """Keras gives a random layer one for each backend, and it may go on drawing from its own."""
    plain, asking = (keras.layers.RandomFlip(seed=3) for _ in range(2))
    take_seeds_from(asking, lambda own: own())
    for _ in range(2):
        one, other = (layer(images, training=True) for layer in (plain, asking))
        np.testing.assert_array_equal(one, other)


def test_private_names_of_keras_stand_in_one_file():
    folder = pathlib.Path(rotnet_keras.__file__).parent
    private = re.compile(r"\b(?:model|layer|network|extractor|copy|clone|optimizer|part)\._[a-z]")
    using = {
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*.py")
        if private.search(file.read_text(encoding="utf-8"))
    }
    assert using == {"_base/keras_private.py"}
