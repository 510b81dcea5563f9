"""Which classifier the main job saves, and how it is fitted to all labels."""

import dataclasses
import types

import keras
import numpy as np
import pytest

from rotnet_keras import Examples, attach_head, conv_blocks_extractor, make_splits
from rotnet_keras.jobs import blog, choice
from rotnet_keras.jobs.choice import Choice, can_be_had, choose, everything_labelled
from rotnet_keras.jobs.plan import Plan


def run(validation, test=0.5):
    return {"model": object(), "validation_accuracy": validation, "test_accuracy": test}


ARMS = {
    ("scratch", "short"): run(0.3),
    ("scratch", "long"): run(0.6, test=0.55),
    ("fine_tuned", "long"): run(0.58),
}


@pytest.mark.parametrize(
    ("recipe", "num_validation", "arm"),
    [
        (0.7, 100, "recipe"),
        (0.6, 100, "recipe"),
        (0.56, 100, "recipe"),  # within the standard error of 100 images, 0.0496
        (0.55, 100, "scratch"),
        (0.56, 1_000, "scratch"),
        (0.4, 5, "recipe"),
        (None, 100, "scratch"),
    ],
)
def test_the_recipe_unless_another_is_clearly_ahead(recipe, num_validation, arm):
    fitted = None if recipe is None else run(recipe, test=0.65)
    chosen, model_run = choose(ARMS, fitted, num_validation)
    assert (chosen.arm, chosen.budget) == (arm, "" if arm == "recipe" else "long")
    assert model_run is (fitted if arm == "recipe" else ARMS["scratch", "long"])
    assert chosen.test_accuracy == (0.65 if arm == "recipe" else 0.55)
    assert chosen.validation_accuracy == (recipe if arm == "recipe" else 0.6)


def test_what_tables_call_it():
    assert Choice("recipe", "", 0.5, 0.5).row == "self-trained (fit_few_labels)"
    assert Choice("fine_tuned", "long", 0.5, 0.5).row == "fine-tuned, long training"


def test_the_recipes_network_needs_eight_pixels():
    assert [can_be_had((side, 12, 1)) for side in (7, 8)] == [False, True]


def marked_splits(**parts):
    """Images with a number of their own, all of which are labelled."""
    images = np.zeros((60, 8, 8, 1), "uint8")
    images[:, 0, 0, 0] = np.arange(60)
    return make_splits(images[:48], np.arange(48) % 2, unlabelled=images[48:], **parts)


def marks(images):
    return {*images[:, 0, 0, 0].tolist()}


def test_all_labels_are_all_but_those_of_a_test_set_of_its_own():
    drawn = marked_splits()
    assert marks(everything_labelled(drawn).images) == {*range(48)}
    images = np.full((2, 8, 8, 1), 255, "uint8")
    own = marked_splits(test=(images, np.array([0, 1])))
    assert marks(everything_labelled(own).images) == {*range(48)}
    assert len(everything_labelled(own).labels) == 48


@pytest.mark.parametrize("budget", ["short", "long"])
def test_an_arm_is_fitted_again_for_as_many_epochs_as_were_best(monkeypatch, budget):
    asked = {}

    def fit(start, images, labels, **settings):
        asked.update(settings, start=start, count=len(labels))
        return "model", None

    arm = blog.ARMS["fine_tuned"]._replace(fit=fit)
    monkeypatch.setitem(blog.ARMS, "fine_tuned", arm)
    history = types.SimpleNamespace(history={"val_accuracy": [0.2, 0.6, 0.6, 0.4]})
    examples = Examples(np.zeros((9, 8, 8, 1), "uint8"), np.repeat([0, 1], [7, 2]))
    done = {"epochs": 4, "history": history}
    chosen = Choice("fine_tuned", budget, 0.6, 0.5)
    assert blog.fit_again(chosen, done, "extractor", examples, 2, seed=3) == "model"
    assert (asked["start"], asked["count"], asked["seed"]) == ("extractor", 9, 3)
    assert asked["epochs"] == (2 if budget == "long" else 3)
    assert asked.get("patience") is None
    assert not asked.get("callbacks")
    assert "validation_data" not in asked  # there is nothing to watch
    assert asked["class_weight"] == "balanced"


@pytest.mark.parametrize("seed", [5])
def test_the_recipe_is_fitted_once_and_then_taken_over(monkeypatch, tmp_path, seed):
    """Also where a network has no blocks: then the recipe pretrains one of its own."""
    splits, asked = marked_splits(seed=seed), []
    extractor = conv_blocks_extractor((8, 8, 1), widths=(2, 2))
    plain = keras.Model(extractor.input, keras.layers.Flatten()(extractor.input))

    def fit(images, labels, unlabelled, **settings):
        asked.append({"count": len(labels), "unlabelled": unlabelled, **settings})
        return attach_head(extractor, 2), None

    monkeypatch.setattr(choice, "fit_few_labels", fit)
    how = {"plan": Plan(4, 30, 70), "seed": seed, "precision": "float32"}
    kept = tmp_path / "recipe.keras"
    first, second = (choice.fit_recipe(extractor, splits, kept=kept, **how) for _ in range(2))
    assert len(asked) == 1
    assert asked[0]["extractor"] is extractor
    assert (asked[0]["updates"], asked[0]["pretrain_epochs"]) == (70, 4)
    assert asked[0]["count"] == len(splits.labelled.labels)
    assert first.keys() == second.keys() == {"model", "validation_accuracy", "test_accuracy"}
    for a, b in zip(first["model"].weights, second["model"].weights, strict=True):
        np.testing.assert_array_equal(a, b)
    choice.fit_recipe(plain, splits, kept=tmp_path / "other.keras", **how)
    assert asked[1]["extractor"] is None
    chosen = Choice("recipe", "", 0.6, 0.5)
    more = {"examples": everything_labelled(splits), "given": None, "kept": tmp_path / "all.keras"}
    chosen, _ = choice.fit_to_all(chosen, None, extractor, splits, **more, **how)
    assert asked[2]["count"] == chosen.num_labels == 48
    assert chosen.again
    none_left = dataclasses.replace(splits, unlabelled=splits.unlabelled[:0])
    choice.fit_recipe(extractor, none_left, kept=tmp_path / "third.keras", **how)
    assert asked[3]["unlabelled"] is None
