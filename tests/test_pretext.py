"""What speaks against rotation, for the images of a run."""

import types

import numpy as np
import pytest

from rotnet_keras import Examples, attach_head, two_conv_extractor
from rotnet_keras.jobs import pretext


@pytest.fixture
def splits():
    labels = np.repeat([0, 1, 2], [20, 20, 1])
    test = Examples(np.zeros((41, 12, 12, 1), "uint8"), labels)
    return types.SimpleNamespace(class_names=["a", "b", "c"], num_classes=3, test=test)


@pytest.fixture
def model():
    return attach_head(two_conv_extractor((12, 12, 1)), 4)


def test_a_large_test_is_seen_of_every_class(monkeypatch, splits, model):
    """A folder's test images are in the order of their classes."""
    seen, confusion = [], pretext.rotation_confusion
    monkeypatch.setattr(pretext, "MOST_TURNED", 10)
    monkeypatch.setattr(
        pretext,
        "rotation_confusion",
        lambda model, images, labels, **how: (
            seen.append(labels) or confusion(model, images, labels, **how)
        ),
    )
    for seed in range(5):  # in most of them the last class is not drawn
        assert pretext.against_rotation(model, splits, passes=1, usual=1, seed=seed) == ""
    assert all(len(drawn) == 10 and {0, 1} <= {*drawn.tolist()} for drawn in seen)


@pytest.mark.parametrize(
    ("passes", "added"),
    [(5, ""), (4, ". That may be for want of training, 4 passes in place of 10")],
)
def test_a_shortened_training_may_be_why(splits, model, passes, added):
    """Black images look alike however they are turned."""
    said = pretext.against_rotation(model, splits, passes=passes, usual=10, seed=0)
    assert said == (
        "rotation suits these images badly: few rotations are predicted right of 2 of 3 classes, "
        f"a (25%), b (25%){added}"
    )
