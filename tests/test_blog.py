"""The blog's arms and budgets."""

import keras
import numpy as np
import pytest

from rotnet_keras import make_splits, two_conv_extractor
from rotnet_keras.data.splits import Examples
from rotnet_keras.jobs import blog as jobs_blog


@pytest.mark.slow
def test_given_arms_start_from_the_given_weights(images):
    splits = make_splits(np.tile(images, (6, 1, 1, 1)), np.arange(48) % 2, num_labels=8)
    given, pretrained = (two_conv_extractor((12, 12, 1), 5, seed=seed) for seed in (1, 2))
    runs = jobs_blog.run_arms(pretrained, splits, given=given, most=10)
    for arm, start in {"given_frozen": given, "frozen": pretrained}.items():
        model = runs[arm, "short"]["model"]
        np.testing.assert_array_equal(
            model.get_layer("conv1").kernel, start.get_layer("conv1").kernel
        )


def test_uneven_classes_count_alike_in_training_and_in_the_test(monkeypatch):
    images = np.zeros((48, 12, 12, 1), "uint8")
    given, told = [], []

    def fit(extractor, *labelled, num_classes, **settings):
        given.append(settings.get("class_weight"))
        only_first = keras.Sequential([keras.Input((12, 12, 1)), keras.layers.Flatten()])
        only_first.add(keras.layers.Dense(2, bias_initializer=lambda *_, **__: [1.0, 0.0]))
        return only_first, keras.callbacks.History()

    monkeypatch.setattr(keras.callbacks.History, "epoch", [], raising=False)
    arm = jobs_blog.ARMS["scratch"]._replace(fit=fit)
    monkeypatch.setattr(jobs_blog, "ARMS", {"scratch": arm})
    extractor = two_conv_extractor((12, 12, 1))
    for labels in (np.arange(48) % 2, np.arange(48) % 6 // 5):
        splits = make_splits(images, labels, num_labels=12, num_validation=6)
        told.clear()
        runs = jobs_blog.run_arms(extractor, splits, reached=lambda *now: told.append(now))
        names = [f"from scratch, {budget} training" for budget in ("short", "long")]
        assert told == [*zip((0, 3 / 78), names, strict=True)]
        run = runs["scratch", "short"]
        accuracies = run["test_accuracy"], run.get("balanced_accuracy")
        share = (splits.test.labels == 0).mean()
        assert accuracies == (share, None if share == 0.5 else 0.5)
    assert given == [None, None, "balanced", "balanced"]


def test_classifier_is_the_fine_tuned_one_that_validates_best():
    accuracies = {  # on validation images, and on test images
        ("fine_tuned", "short"): (0.8, 0.7),
        ("fine_tuned", "long"): (0.7, 0.9),
        ("scratch", "long"): (0.9, 0.9),
    }
    names = ("model", "validation_accuracy", "test_accuracy")
    runs = {run: dict(zip(names, (run, *told), strict=True)) for run, told in accuracies.items()}
    assert jobs_blog.best_fine_tuned(runs) == ("fine_tuned", "short")


def test_few_of_many_validation_images_are_watched():
    """Spread over all of them, since a folder's come in the order of their classes."""
    images = np.arange(10_000).reshape(-1, 1, 1, 1)
    some, labels = jobs_blog.watched(Examples(images, np.arange(10_000)))
    assert some[:, 0, 0, 0].tolist() == labels.tolist() == [*range(0, 10_000, 4)]
    lengths = [len(jobs_blog.rows_watched(number)) for number in (1, 3_000, 3_001, 6_001)]
    assert lengths == [1, 3_000, 1_501, 2_001]
