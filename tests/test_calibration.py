"""Probabilities that mean what they say: the temperature that held-out images ask for."""

import keras
import numpy as np
import pytest
from scipy import special
from small_networks import subclassed

from rotnet_keras import (
    InputError,
    calibrate,
    extract_features,
    fine_tune,
    predict_classes,
    two_conv_extractor,
)

pytestmark = pytest.mark.backend


@pytest.fixture(scope="module")
def model():
    """A classifier whose logits are the pixels of an image of 1×1 with two channels."""
    images = keras.Input((1, 1, 2))
    return keras.Model(images, keras.layers.Flatten()(images))


def asked(logit, right, wrong):
    """Images that the model calls class 1 by this logit, and labels of which some say 0."""
    images = np.zeros((right + wrong, 1, 1, 2), "uint8")
    images[..., 1] = logit
    return images, np.repeat([1, 0], [right, wrong])


# Of 10,000 images the share of right answers p asks for a logit of log(p / (1 - p)).
@pytest.mark.parametrize(
    ("logit", "right", "temperature"),
    [(4, 7311, 4), (1, 7311, 1), (1, 9820, 0.25), (100, 5000, 10), (1, 10_000, 0.1)],
)
def test_probabilities_become_the_share_that_is_right(model, logit, right, temperature):
    found = calibrate(model, *asked(logit, right, 10_000 - right))
    assert found == pytest.approx(temperature, rel=5e-3)


def test_a_few_images_are_not_taken_at_their_word(model):
    """All of three right, or none: neither is the model always right, nor ever wrong."""
    assert 0.3 < calibrate(model, *asked(1, 3, 0)) < 1
    assert 1 < calibrate(model, *asked(1, 0, 3)) < 3


def test_logits_that_are_not_finite_are_refused(model):
    broken = keras.Model(model.input, keras.ops.log(model.output - 300))
    with pytest.raises(InputError, match="calibrate: model must give finite logits"):
        calibrate(broken, *asked(1, 3, 0))


def test_labels_beyond_the_outputs_of_a_model_that_does_not_tell_them(model):
    images, labels = asked(1, 3, 0)
    with pytest.raises(InputError, match=r"calibrate: labels must lie in 0\.\.1, the model's 2"):
        calibrate(subclassed(model), images, labels + 1)


@pytest.mark.slow
def test_real_images_are_less_surprising(splits):
    """Test labels are likelier under calibrated probabilities, and no answer is another."""
    images, labels = splits.labelled
    extractor = two_conv_extractor(splits.image_shape)
    model, _ = fine_tune(extractor, images, labels, epochs=30, verbose=0)
    temperature = calibrate(model, splits.validation.images[:500], splits.validation.labels[:500])
    test, truth = splits.test.images[:5000], splits.test.labels[:5000]
    logits = extract_features(model, test)
    losses = [
        -special.log_softmax(logits / by, axis=1)[np.arange(5000), truth].mean()
        for by in (1, temperature)
    ]
    assert losses[1] < losses[0]
    assert (predict_classes(model, test) == (logits / temperature).argmax(axis=1)).all()
