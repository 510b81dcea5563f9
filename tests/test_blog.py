"""The blog's arms and budgets."""

import numpy as np
import pytest

from rotnet_keras import make_splits, two_conv_extractor
from rotnet_keras.jobs import blog as jobs_blog


@pytest.mark.slow
def test_given_arms_start_from_the_given_weights(images):
    splits = make_splits(np.tile(images, (6, 1, 1, 1)), np.arange(48) % 2, num_labels=8)
    given, pretrained = (two_conv_extractor((12, 12, 1), 5, seed=seed) for seed in (1, 2))
    runs = jobs_blog.run_arms(pretrained, splits, given=given, quick=True, verbose=0)
    for arm, start in {"given_frozen": given, "frozen": pretrained}.items():
        model = runs[arm, "short"]["model"]
        np.testing.assert_array_equal(
            model.get_layer("conv1").kernel, start.get_layer("conv1").kernel
        )


def test_classifier_is_the_fine_tuned_one_that_validates_best():
    runs = {
        ("fine_tuned", "short"): {
            "model": "short",
            "validation_accuracy": 0.8,
            "test_accuracy": 0.7,
        },
        ("fine_tuned", "long"): {"model": "long", "validation_accuracy": 0.7, "test_accuracy": 0.9},
        ("scratch", "long"): {"model": "scratch", "validation_accuracy": 0.9, "test_accuracy": 0.9},
    }
    assert jobs_blog.best_fine_tuned(runs) == "short"
