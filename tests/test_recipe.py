import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import valid_calls
from small_networks import batch_norm_extractor

from rotnet_keras import (
    InputError,
    attach_head,
    conv_blocks_extractor,
    extract_features,
    guess_labels,
    linear_probe,
)
from rotnet_keras.few_labels import recipe as few_labels_recipe
from rotnet_keras.few_labels.recipe import fit_few_labels

pytestmark = pytest.mark.backend

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 12, 12, 1), "uint8")
LABELS = np.repeat([0, 1, 2], [2, 4, 6])
UNLABELLED = RNG.integers(0, 256, (48, 12, 12, 1), "uint8")
QUICK = {"updates": 2, "guess_below": 0, "precision": "float32", "verbose": 0}


@pytest.fixture(scope="module")
def extractor():
    return conv_blocks_extractor((12, 12, 1), (4, 8, 8), seed=1)


@pytest.fixture(scope="module")
def classifier(extractor):
    before = extractor.get_weights()
    classifier, _ = fit_few_labels(IMAGES, LABELS, UNLABELLED, extractor=extractor, seed=5, **QUICK)
    for old, new in zip(before, extractor.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)  # the extractor given stays as it is
    return classifier


@pytest.fixture
def without_graphlearning(monkeypatch):
    monkeypatch.setitem(sys.modules, "graphlearning", None)


@pytest.fixture
def undecided(monkeypatch):
    """Self-training that learns nothing: the network finds all classes equally likely."""

    def train(extractor, *_, num_classes, **__):
        model = attach_head(extractor, num_classes)
        head = model.get_layer("head")
        head.set_weights([np.zeros_like(part) for part in head.get_weights()])
        return model, None

    monkeypatch.setattr(few_labels_recipe, "self_train", train)


def test_where_labels_were_guessed_two_graphs_have_a_third_each(extractor, undecided):
    pytest.importorskip("graphlearning")
    options = QUICK | {"guess_below": 5, "seed": 5}
    classifier, _ = fit_few_labels(IMAGES, LABELS, UNLABELLED, extractor=extractor, **options)
    everything = np.concatenate([IMAGES, UNLABELLED])
    guesses, carried = guess_labels(extractor, everything, LABELS, seed=5)
    np.testing.assert_array_equal(guesses[:12], LABELS)
    assert -1 in guesses
    said = np.exp(extract_features(carried, UNLABELLED))
    expected = np.log((1 / 3 + 2 * said) / 3)
    np.testing.assert_allclose(extract_features(classifier, UNLABELLED), expected, atol=1e-4)


def test_where_none_were_guessed_two_probes_have_a_third_each(extractor, undecided):
    classifier, _ = fit_few_labels(IMAGES, LABELS, UNLABELLED, extractor=extractor, **QUICK)
    settings = {"unlabelled": np.concatenate([IMAGES, UNLABELLED]), "shifted": True}
    probe = linear_probe(extractor, IMAGES, LABELS, **settings)
    said = keras.ops.softmax(extract_features(probe, UNLABELLED))
    expected = np.log((1 / 3 + 2 * np.asarray(said)) / 3)
    np.testing.assert_allclose(extract_features(classifier, UNLABELLED), expected, atol=1e-4)


def test_mirror_image_gets_the_same_answer_from_the_network_and_the_probe(classifier):
    here, mirrored = (extract_features(classifier, x) for x in (IMAGES, IMAGES[:, :, ::-1]))
    np.testing.assert_allclose(here, mirrored, atol=1e-4)


def test_same_seed_same_answers(classifier, extractor):
    again, _ = fit_few_labels(IMAGES, LABELS, UNLABELLED, extractor=extractor, seed=5, **QUICK)
    expected = extract_features(classifier, IMAGES)
    np.testing.assert_allclose(extract_features(again, IMAGES), expected, atol=1e-5)


def test_several_networks_answer_as_the_mean_of_their_opinions(extractor, monkeypatch):
    """The first is the one given, the second is like it, pretrained with another seed."""
    pretrained = []

    def pretrain(fresh, images, *, epochs, seed, **_):
        assert (images.shape, epochs) == ((60, 12, 12, 1), 3)
        pretrained.append((seed, fresh))
        return attach_head(fresh, 4), None

    monkeypatch.setattr(few_labels_recipe, "pretrain_for_transfer", pretrain)
    given = IMAGES, LABELS, UNLABELLED
    options = QUICK | {"seed": 5}
    both, _ = fit_few_labels(
        *given, extractor=extractor, num_networks=2, pretrain_epochs=3, **options
    )
    ((seed, fresh),) = pretrained
    assert seed != 5
    assert [layer.name for layer in fresh.layers] == [layer.name for layer in extractor.layers]
    assert not np.allclose(fresh.get_weights()[0], extractor.get_weights()[0])
    each = [(extractor, 5), (fresh, seed)]
    alone = [fit_few_labels(*given, extractor=x, **options | {"seed": s})[0] for x, s in each]
    mean = np.mean([np.exp(extract_features(model, IMAGES)) for model in alone], axis=0)
    np.testing.assert_allclose(np.exp(extract_features(both, IMAGES)), mean, atol=1e-4)


def test_several_networks_are_pretrained_on_square_images(extractor):
    oblong = np.zeros((12, 12, 10, 1), "uint8")
    network = conv_blocks_extractor((12, 10, 1), (4, 8))
    with pytest.raises(ValueError, match=r"images must be .* square .*12, 10"):
        fit_few_labels(oblong, LABELS, oblong, extractor=network, num_networks=2, **QUICK)


def test_several_networks_are_all_pretrained_where_none_is_given(asked, monkeypatch):
    """Each from weights of its own."""
    fresh = []

    def pretrain(network, *_, seed, **__):
        fresh.append((seed, network.get_weights()[0]))
        return attach_head(network, 4), None

    monkeypatch.setattr(few_labels_recipe, "pretrain_for_transfer", pretrain)
    fit_few_labels(IMAGES, LABELS, UNLABELLED, num_networks=2, **QUICK | {"seed": 5})
    (first, one), (second, other) = fresh
    assert first == 5 != second
    assert not np.allclose(one, other)


def test_several_networks_are_refused_where_the_given_one_has_a_head(extractor):
    """Before the first is trained."""
    options = QUICK | {"num_networks": 2}
    with pytest.raises(ValueError, match="extractor must be without a head"):
        fit_few_labels(IMAGES, LABELS, UNLABELLED, extractor=attach_head(extractor, 4), **options)


@pytest.fixture
def asked(monkeypatch):
    """What self-training is asked for, without any."""
    settings = {}

    def train(extractor, *_, num_classes, **how):
        settings.update(how)
        return attach_head(extractor, num_classes), None

    monkeypatch.setattr(few_labels_recipe, "self_train", train)
    return settings


@pytest.mark.parametrize(("channels", "updates"), [(1, 1000), (3, 3000)])
def test_photographs_get_more_updates_where_none_are_asked_for(asked, channels, updates):
    images, unlabelled = (np.repeat(x, channels, axis=-1) for x in (IMAGES, UNLABELLED))
    extractor = conv_blocks_extractor((12, 12, channels), (4, 8, 8), seed=1)
    fit_few_labels(images, LABELS, unlabelled, extractor=extractor, guess_below=0)
    assert asked["updates"] == updates


@pytest.mark.parametrize(("precision", "used"), [(None, "mixed_float16"), ("float32", "float32")])
def test_the_machine_is_asked_for_the_precision(asked, extractor, monkeypatch, precision, used):
    monkeypatch.setattr(few_labels_recipe, "suitable_precision", lambda: "mixed_float16")
    options = {"extractor": extractor, "guess_below": 0, "precision": precision}
    fit_few_labels(IMAGES, LABELS, UNLABELLED, **options)
    assert asked["precision"] == used


@pytest.mark.slow
def test_saved_classifier_loads_without_this_package(classifier, tmp_path):
    classifier.save(tmp_path / "classifier.keras")
    np.save(tmp_path / "images.npy", UNLABELLED)
    np.save(tmp_path / "scores.npy", extract_features(classifier, UNLABELLED))
    program = """
        import sys
        sys.modules["rotnet_keras"] = None  # any import of it now fails
        import keras, numpy as np
        model = keras.models.load_model("classifier.keras")
        scores = model.predict(np.load("images.npy"), verbose=0)
        np.testing.assert_allclose(scores, np.load("scores.npy"), atol=1e-4)
        print(scores.shape)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(48, 3)"


def test_a_network_is_pretrained_where_none_is_given(without_graphlearning):
    options = QUICK | {"precision": "mixed_bfloat16"}
    classifier, _ = fit_few_labels(IMAGES, LABELS, UNLABELLED, pretrain_epochs=1, **options)
    assert classifier.output_shape == (None, 3)
    assert classifier.output.dtype == "float32"
    assert np.isfinite(extract_features(classifier, IMAGES)).all()


def test_labels_alone_are_enough_and_none_are_guessed(extractor, without_graphlearning, eagerly):
    options = QUICK | {"guess_below": 50, "updates": 1}
    classifier, _ = fit_few_labels(IMAGES, LABELS, extractor=extractor, **options)
    assert classifier.output_shape == (None, 3)


def test_guessing_needs_graphlearning_and_says_so_before_training(
    without_graphlearning, monkeypatch
):
    monkeypatch.setattr(few_labels_recipe, "pretrain_for_transfer", None)
    with pytest.raises(ImportError, match="pip install graphlearning"):
        fit_few_labels(IMAGES, LABELS, UNLABELLED, **QUICK | {"guess_below": 5})


def test_no_labels_are_guessed_from_the_threshold_on(extractor, without_graphlearning, eagerly):
    """Twelve labels of three classes are four a class: not fewer than four."""
    options = QUICK | {"guess_below": 4, "updates": 1}
    classifier, _ = fit_few_labels(IMAGES, LABELS, UNLABELLED, extractor=extractor, **options)
    assert classifier.output_shape == (None, 3)


@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_guesses_join_labels_of_any_whole_type(extractor, dtype, eagerly):
    pytest.importorskip("graphlearning")
    options = QUICK | {"guess_below": 5, "updates": 1}
    labels = LABELS.astype(dtype)
    classifier, _ = fit_few_labels(IMAGES, labels, UNLABELLED, extractor=extractor, **options)
    assert classifier.output_shape == (None, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((IMAGES, LABELS[:5], UNLABELLED), r"labels must be whole numbers of shape \(12,\)"),
        ((IMAGES, 2 * LABELS, UNLABELLED), r"classes 0 to 4 and no others, got \[0, 2, 4\]"),
        ((IMAGES[..., 0], LABELS, UNLABELLED), r"images must be .* got \(12, 12, 12\)"),
        ((IMAGES, LABELS, UNLABELLED[:0]), "images must be .* N at least 1"),
    ],
)
def test_wrong_arguments(extractor, arguments, message):
    with pytest.raises(ValueError, match=message):
        fit_few_labels(*arguments, extractor=extractor, **QUICK)


def test_a_wrong_strong_change_is_said_before_anything_is_trained(monkeypatch):
    monkeypatch.setattr(few_labels_recipe, "_trunks", None)
    with pytest.raises(ValueError, match=r"augment must keep the shape .* got \(2, 11, 12, 1\)"):
        fit_few_labels(IMAGES, LABELS, UNLABELLED, augment=lambda x: x[:, 1:], **QUICK)


def test_images_too_small_to_pretrain_on(tmp_path):
    images = valid_calls.IMAGES[:, :7, :7]
    small = {"images": images, "unlabelled": images, "extractor": None}
    with pytest.raises(ValueError, match=r"images must be of 8 pixels or more .*\(6, 7, 7, 1\)"):
        valid_calls.call("fit_few_labels", tmp_path, **small)


def test_a_network_without_blocks_is_refused_before_anything_is_trained():
    images, labels = np.zeros((4, 12, 12, 1), "uint8"), np.arange(4) % 2
    with pytest.raises(InputError, match=r"^fit_few_labels: extractor must have blocks"):
        fit_few_labels(images, labels, images, extractor=batch_norm_extractor(), updates=1)
