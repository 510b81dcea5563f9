"""The extractors that come with the package: what they put out, whether their cards are true."""

import json
import os
import re
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from rotnet_keras import (
    block_names,
    extract_features,
    load_extractor,
    rotation_accuracy,
    two_conv_extractor,
)
from rotnet_keras._base.model_files import NEWER
from rotnet_keras.evaluation import ci95
from rotnet_keras.study.publish import RECIPES, render_card
from rotnet_keras.zoo import pretrained
from rotnet_keras.zoo.pretrained import EXTRACTORS, FOLDER, read_facts, sha256

pytestmark = pytest.mark.backend

SHAPES = {"two_conv_fashion_mnist": (None, 16), "conv_blocks_fashion_mnist": (None, 128)}
BLOCKS = {
    "two_conv_fashion_mnist": ("pool1", "pool2"),
    "conv_blocks_fashion_mnist": ("block1", "block2", "block3"),
}
SECTIONS = ["Data", "Recipe", "Rotation accuracy", "Accuracy with few labels", "Limits", "File"]
each_extractor = pytest.mark.parametrize("name", EXTRACTORS)


def card_of(name):
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


def facts_of(name):
    return read_facts(FOLDER / f"{name}.keras")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of the test's own in place of the package's, with one extractor in it."""
    for file in FOLDER.glob("two_conv_fashion_mnist.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    return tmp_path


@each_extractor
def test_loads_with_exact_shapes(name):
    extractor, model = load_extractor(name), load_extractor(name, with_head=True)
    assert (extractor.input_shape, extractor.output_shape) == ((None, 28, 28, 1), SHAPES[name])
    assert model.output_shape == (None, 4)
    assert block_names(extractor) == BLOCKS[name]
    assert len(extractor.trainable_weights) == len(model.trainable_weights) - 2 > 0
    assert all(layer.trainable for layer in model.layers)
    assert {weight.dtype for weight in model.weights} == {"float32"}
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), "uint8")
    features = extract_features(extractor, images)
    assert (features.shape, features.dtype) == ((3, SHAPES[name][1]), "float32")
    kernel, bias = model.get_layer("head").get_weights()
    logits = extract_features(model, images)
    np.testing.assert_allclose(features @ kernel + bias, logits, rtol=1e-4, atol=1e-4)


OTHER_BACKEND = """
import sys
import numpy as np
import rotnet_keras as rk
images = np.load(sys.argv[1])["images"]
names = sys.argv[2:]
outputs = {name: rk.extract_features(rk.load_extractor(name), images) for name in names}
np.savez(sys.argv[1], **outputs)
"""


def test_another_backend_says_the_same(tmp_path):
    other = {"tensorflow": "jax", "jax": "tensorflow"}[keras.config.backend()]
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 1), "uint8")
    path = tmp_path / "exchange.npz"
    np.savez(path, images=images)
    command = [sys.executable, "-c", OTHER_BACKEND, str(path), *EXTRACTORS]
    environment = os.environ | {"KERAS_BACKEND": other}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(path) as outputs:
        for name in EXTRACTORS:
            ours = extract_features(load_extractor(name), images)
            np.testing.assert_allclose(outputs[name], ours, rtol=1e-5, atol=1e-5)


def test_each_call_gives_a_model_of_its_own():
    first, second = (load_extractor("two_conv_fashion_mnist") for _ in range(2))
    before = second.get_weights()
    first.set_weights([weight + 1 for weight in before])
    for weight, old in zip(second.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


@each_extractor
def test_plain_keras_loads_the_file_without_optimiser(name):
    model = keras.models.load_model(FOLDER / f"{name}.keras", compile=True)
    assert not model.compiled
    assert model.count_params() == facts_of(name)["parameters"] + 4 * (SHAPES[name][1] + 1)


@each_extractor
def test_the_card_states_the_file_as_it_is(name):
    path, facts = FOLDER / f"{name}.keras", facts_of(name)
    assert (facts["sha256"], facts["bytes"]) == (sha256(path), path.stat().st_size)
    assert f"`{sha256(path)}`" in card_of(name)
    assert f"{path.stat().st_size:,} bytes" in card_of(name)


def test_all_files_together_are_small():
    files = sorted(FOLDER.iterdir())
    endings = (".keras", ".json", ".md")
    assert {file.name for file in files} == {n + ending for n in EXTRACTORS for ending in endings}
    assert sum(file.stat().st_size for file in files) < 1.5e6


@each_extractor
def test_rotation_accuracy_is_the_cards(name, splits):
    if splits.stand_in:
        pytest.skip("the card is about Fashion-MNIST, which cannot be had here")
    told = rotation_accuracy(load_extractor(name, with_head=True), splits.test.images)
    stated = re.search(r"^([\d.]+)% on the 10,000 test images", card_of(name), re.MULTILINE)[1]
    assert 100 * told == pytest.approx(float(stated), abs=0.015)  # rounded, and another machine


@each_extractor
def test_the_card_is_the_facts_in_words(name):
    facts, card = facts_of(name), card_of(name)
    assert render_card(facts) == card
    assert re.findall(r"^## (.+)$", card, re.MULTILINE) == SECTIONS
    assert facts["name"] == name
    for part in (
        f"python -m rotnet_keras.study.publish {name}",
        "MIT",
        "github.com/zalandoresearch",
    ):
        assert part in card


@each_extractor
def test_few_label_figures_are_means_of_the_facts(name):
    rows = facts_of(name)["few_labels"]
    assert [(row["arm"], row["num_labels"]) for row in rows] == [
        (arm, number) for number in (10, 100, 1000) for arm in RECIPES[name].arms
    ]
    for number in (10, 100, 1000):
        cells = re.search(rf"^\| {number:,} \|(.+)\|$", card_of(name), re.MULTILINE)[1].split("|")
        for cell, row in zip(cells, [r for r in rows if r["num_labels"] == number], strict=True):
            values = 100 * np.array(row["accuracies"])
            assert len(values) == 5
            assert cell.strip() == f"{values.mean():.1f} ± {ci95(values):.1f}"


@each_extractor
def test_the_facts_are_of_todays_recipe(name):
    facts, recipe = facts_of(name), RECIPES[name]
    assert facts["network"] == recipe.network
    assert recipe.pretraining.items() <= facts["pretraining"].items()
    settings = {arm: arms.settings for arm, arms in recipe.arms.items()}
    assert facts["arms"] == json.loads(json.dumps(settings))
    assert (facts["num_images"], facts["num_validation"]) == (50_000, 10_000)
    steps = -(-50_000 // recipe.pretraining["batch_size"])
    assert facts["pretraining"]["updates"] == recipe.pretraining["epochs"] * steps


def test_unknown_name_is_answered_with_the_names():
    with pytest.raises(ValueError, match=r"two_conv_fashion_mnist.*conv_blocks_fashion_.*got 'no'"):
        load_extractor("no")


def test_a_damaged_file_is_refused_before_it_is_opened(folder, monkeypatch):
    path = folder / "two_conv_fashion_mnist.keras"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr(pretrained, "load_model", None)  # not called
    with pytest.raises(ValueError, match=r"must have the SHA-256 \w{64}, got \w{64}: .* damaged"):
        load_extractor("two_conv_fashion_mnist")
    path.unlink()
    with pytest.raises(ValueError, match=r"must have the SHA-256 \w{64}, got None: .* install"):
        load_extractor("two_conv_fashion_mnist")


def test_another_model_in_its_place_is_refused(folder):
    two_conv_extractor((28, 28, 1)).save(folder / "two_conv_fashion_mnist.keras")
    with pytest.raises(ValueError, match="must have the SHA-256"):
        load_extractor("two_conv_fashion_mnist")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"bytes": 1}'])
def test_facts_that_cannot_be_read_are_refused(content, folder):
    (folder / "two_conv_fashion_mnist.json").write_text(content)
    with pytest.raises(ValueError, match=r"\.json cannot be read, got .* install the package"):
        load_extractor("two_conv_fashion_mnist")
    (folder / "two_conv_fashion_mnist.json").unlink()
    with pytest.raises(ValueError, match=r"cannot be read, got FileNotFoundError"):
        load_extractor("two_conv_fashion_mnist")


@each_extractor
def test_files_load_on_the_oldest_keras(name):
    """Colab's Keras refuses what it does not know, even where it is as by default."""
    with zipfile.ZipFile(FOLDER / f"{name}.keras") as archive:
        config = archive.read("config.json").decode()
    assert '"GlorotUniform"' in config
    assert not [setting for setting in NEWER if f'"{setting}"' in config]
