"""Making an extractor with its facts and card, on tiny images; going on after a stop."""

import importlib
import inspect
import json
import re

import keras
import numpy as np
import pytest

from rotnet_keras import DatasetError, make_splits, pretrain, run_pretraining
from rotnet_keras.study import publish
from rotnet_keras.study.arms import ARMS
from rotnet_keras.study.publish import LEARNING_RATE, RECIPES, SEED, Recipe
from rotnet_keras.training import pretrain_for_transfer
from rotnet_keras.zoo.pretrained import EXTRACTORS, sha256

NAME = "tiny"


def tiny_splits(name):
    images = np.random.default_rng(0).integers(0, 256, (60, 12, 12, 1), "uint8")
    counts = {"num_labels": 30, "num_validation": 10}
    return make_splits(images, np.arange(60) % 2, class_names=["Bag", "Coat"], name=name, **counts)


@pytest.fixture
def recipe(monkeypatch):
    """Two draws, one epoch, one update."""
    monkeypatch.setattr(publish, "DRAWS", 2)
    arms = dict(RECIPES["two_conv_fashion_mnist"].arms)
    for name in ("fine-tuned", "from scratch"):
        arms[name] = arms[name]._replace(settings=arms[name].settings | {"updates": 1})
    pretraining = {"epochs": 1, "batch_size": 8, "all_rotations": False, "precision": "float32"}
    return Recipe("two_conv", pretraining, augmented=True, arms=arms)


def make(recipe, output):
    parts = [tiny_splits(name) for name in ("clothes", "digits")]
    return publish.publish(NAME, recipe, *parts, output=output, budgets=(4,), other_budgets=(6,))


def test_files_facts_and_card(recipe, tmp_path, eagerly):
    facts = make(recipe, tmp_path)
    names = [f"{NAME}.{ending}" for ending in ("json", "keras", "md")]
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    path = tmp_path / f"{NAME}.keras"
    assert json.loads(path.with_suffix(".json").read_text()) == json.loads(json.dumps(facts))
    assert (facts["sha256"], facts["bytes"]) == (sha256(path), path.stat().st_size)
    assert (facts["num_images"], facts["pretraining"]["updates"]) == (40, 5)
    assert (facts["parameters"], facts["feature_dim"]) == (5328, 16)
    assert [row["num_labels"] for row in facts["few_labels"]] == [4, 4, 4]
    assert [len(row["accuracies"]) for row in facts["other"]["few_labels"]] == [2, 2, 2]
    assert facts["half_turn_errors"].keys() == {"Bag", "Coat"}
    model = keras.models.load_model(path)
    assert (model.output_shape, model.compiled) == ((None, 4), False)
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    assert card == publish.render_card(facts)
    assert "DIGITS's digits" in card
    named = re.findall(r"`rotnet_keras\.([\w.]+)\.([A-Z]+)`", card)
    assert named == [("models", "NETWORKS"), ("study.arms", "ARMS")]
    for module, name in named:
        assert hasattr(importlib.import_module(f"rotnet_keras.{module}"), name)
    assert "| pretraining | 1 epochs, 5 updates, 8 different images in a batch, each turned" in card


@pytest.mark.slow
def test_goes_on_with_what_is_unfinished(recipe, tmp_path, monkeypatch, eagerly):
    whole = make(recipe, tmp_path / "whole")

    def stop(*_, **__):
        raise KeyboardInterrupt

    # The second time it stops at the other images, not before.
    for names in (["from scratch"], ["linear probe", "fine-tuned"]):
        stopping = {name: recipe.arms[name]._replace(fit=stop) for name in names}
        with pytest.raises(KeyboardInterrupt):
            make(recipe._replace(arms=recipe.arms | stopping), tmp_path / "broken")
        assert [file.name for file in (tmp_path / "broken").iterdir()] == [f"unfinished_{NAME}"]
    facts = make(recipe, tmp_path / "broken")
    for name in ("few_labels", "rotation_accuracy", "half_turn_errors", "other"):
        assert facts[name] == whole[name]


def test_the_recipes_are_those_of_the_study_and_the_main_job(monkeypatch):
    asked = {}
    monkeypatch.setattr("rotnet_keras.training.pretrain", lambda *_, **some: asked.update(some))
    pretrain_for_transfer(None, None, epochs=40, seed=SEED, precision="mixed_bfloat16")
    assert asked.pop("augment") is not None
    assert {*RECIPES} == {*EXTRACTORS}
    recipe = RECIPES["conv_blocks_fashion_mnist"]
    assert recipe.augmented
    assert recipe.pretraining | {"seed": SEED} == asked
    assert recipe.arms["linear probe"] == ARMS["blocks 2 + 3 probe"]
    for name in ("fine-tuned", "from scratch"):
        assert all(recipe.arms[name] == ARMS[name] for recipe in RECIPES.values())
    job = {name: p.default for name, p in inspect.signature(run_pretraining).parameters.items()}
    defaults = inspect.signature(pretrain).parameters
    recipe = RECIPES["two_conv_fashion_mnist"]
    assert recipe.pretraining.items() <= job.items()
    assert job["network"] == recipe.network
    assert job["learning_rate"] == defaults["learning_rate"].default == LEARNING_RATE


def test_the_command_refuses_in_a_line(capsys, tmp_path):
    with pytest.raises(SystemExit) as refusal:
        publish.main(["nonsense"])
    assert refusal.value.code == 2
    assert "two_conv_fashion_mnist" in capsys.readouterr().err
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=r"publish: .*file"):
        publish.main([EXTRACTORS[0], "--data-dir", str(tmp_path / "file")])


def test_data_under_a_wrong_name_is_refused(monkeypatch, splits):
    monkeypatch.setattr(publish, "load_splits", lambda name, **_: tiny_splits(name))
    found = f"{tiny_splits('').test.images.sum(dtype=int):,}"
    with pytest.raises(DatasetError, match=rf"images of mnist must .* 264,923,200, got {found}:"):
        publish.load_published("mnist")
    monkeypatch.setattr(publish, "load_splits", lambda *_, **__: splits)
    if splits.stand_in:
        pytest.skip("Fashion-MNIST cannot be had here")
    assert publish.load_published("fashion_mnist") is splits


def test_a_setting_that_older_keras_lacks_must_be_as_by_default(tmp_path):
    images = keras.Input((4, 4, 1))
    layer = keras.layers.BatchNormalization(renorm=True, name="norm")
    features = keras.layers.Flatten()(layer(images))
    with pytest.raises(ValueError, match="renorm must be False in a file for all, got True"):
        publish.write_files({}, keras.Model(images, features), tmp_path / "a.keras")
