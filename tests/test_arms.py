import functools

import numpy as np
import pytest

from rotnet_keras import accuracy, extract_features, nin_extractor, reinitialise
from rotnet_keras.study.arms import ARMS, Arm

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 12, 12, 1), "uint8")
LABELS = np.arange(12, dtype="int32") % 3
UNLABELLED = RNG.integers(0, 256, (40, 12, 12, 1), "uint8")
TEST = RNG.integers(0, 256, (30, 12, 12, 1), "uint8")
GRAPH_ARMS = ("labels spread", "self-trained", "self-trained from scratch")
# A trained arm here makes two updates; the loop itself is traced and tested elsewhere.
pytestmark = pytest.mark.usefixtures("eagerly")
TRAINED = [name for name, arm in ARMS.items() if "updates" in arm.settings]


@pytest.fixture(scope="module")
def extractor():
    return nin_extractor((12, 12, 1), 5, width=8, seed=1)


def fit_arm(name, network, *, num_classes=3, seed=5, **settings):
    how = {"unlabelled": UNLABELLED, "num_classes": num_classes, "seed": seed}
    settings = ARMS[name].settings_for((12, 12, 1)) | settings
    return ARMS[name].fit(network, IMAGES, LABELS, precision="float32", **how, **settings)


@pytest.fixture(scope="module")
def fit(extractor):
    """Fit an arm by name with two updates; each different call is made once."""

    @functools.cache
    def fit_once(name, *, of="extractor", repeat=0, seed=5):
        if name in GRAPH_ARMS:
            pytest.importorskip("graphlearning")
        network = extractor if of == "extractor" else reinitialise(extractor, seed=77)
        before = network.get_weights()
        few = {"updates": 2} if name in TRAINED else {}
        made = fit_arm(name, network, seed=seed, **few)
        for old, new in zip(before, network.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)  # the extractor given stays as it is
        assert all(layer.trainable for layer in network.layers)
        return made

    return fit_once


def answers(classifier):
    return extract_features(classifier, TEST)


def trunk_moved(classifier, extractor):
    """Names of the extractor's layers with weights that the classifier has otherwise."""
    layers = {layer.name: layer for layer in classifier.layers}
    return {
        layer.name
        for layer in extractor.layers
        if layer.name in layers and layer.weights
        for a, b in zip(layer.get_weights(), layers[layer.name].get_weights(), strict=True)
        if not np.array_equal(a, b)
    }


@pytest.mark.parametrize("name", ARMS)
def test_each_arm_gives_a_classifier(fit, name):
    scores = answers(fit(name))
    assert scores.shape == (30, 3)
    assert np.isfinite(scores).all()
    assert fit(name).output_shape == (None, 3)
    assert 0 <= accuracy(fit(name), IMAGES, LABELS) <= 1


@pytest.mark.parametrize("name", ARMS)
def test_same_seed_same_answers_and_pretext_tells_whose_weights_matter(fit, name):
    """Arms without the pretext task answer alike whatever the extractor had learnt."""
    of = "extractor" if ARMS[name].pretext else "other weights"
    np.testing.assert_allclose(answers(fit(name)), answers(fit(name, of=of, repeat=1)), atol=1e-5)


@pytest.mark.parametrize("name", [name for name, arm in ARMS.items() if arm.pretext])
def test_arms_with_the_pretext_task_use_what_the_extractor_learnt(fit, name):
    assert not np.allclose(answers(fit(name)), answers(fit(name, of="other weights")), atol=1e-3)


@pytest.mark.parametrize("name", ["random probe", "frozen, new head"])
def test_another_seed_answers_otherwise(fit, name):
    assert not np.allclose(answers(fit(name)), answers(fit(name, seed=6)), atol=1e-3)


def test_frozen_head_moves_nothing_below(fit, extractor):
    assert trunk_moved(fit("frozen, new head"), extractor) == set()


def test_conv_head_stands_on_frozen_blocks(fit, extractor):
    classifier = fit("conv head")
    names = [layer.name for layer in classifier.layers]
    assert "block2" in names
    assert "block3" not in names
    assert trunk_moved(classifier, extractor) == set()
    assert classifier.get_layer("head").kernel.shape == (128, 3)


@pytest.mark.parametrize("name", ["fine-tuned", "from scratch", "joint (S4L)"])
def test_trained_arms_move_every_layer(fit, extractor, name):
    weighty = {layer.name for layer in extractor.layers if layer.weights}
    assert trunk_moved(fit(name), extractor) == weighty


def test_fine_tuning_starts_from_the_extractor_and_scratch_does_not(fit, extractor):
    """Two updates at a rate of 0.002 move no weight far."""

    def farthest(name):
        kernel = fit(name).get_layer("block1_conv1").kernel.numpy()
        return np.abs(kernel - extractor.get_layer("block1_conv1").kernel.numpy()).max()

    assert farthest("fine-tuned") < 0.01
    assert farthest("from scratch") > 0.1


def test_pretext_free_arms_are_those_named():
    without = {name for name, arm in ARMS.items() if not arm.pretext}
    assert without == {"raw pixels", "random probe", "from scratch", "self-trained from scratch"}
    assert all(isinstance(arm, Arm) for arm in ARMS.values())


@pytest.mark.parametrize(("channels", "updates"), [(1, 1000), (3, 3000)])
@pytest.mark.parametrize("name", ["self-trained", "self-trained from scratch"])
def test_photographs_are_self_trained_for_longer(name, channels, updates):
    assert ARMS[name].settings_for((32, 32, channels)) == {"updates": updates}


@pytest.mark.parametrize("name", ARMS)
def test_a_class_without_an_image_is_refused(extractor, name):
    with pytest.raises(ValueError, match=r"classes 0 to 3 and no others, got \[0, 1, 2\]"):
        fit_arm(name, extractor, num_classes=4, seed=0)
