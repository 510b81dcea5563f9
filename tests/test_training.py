import keras
import numpy as np
import pytest
import tensorflow as tf
from small_networks import assert_same_weights, assert_seed_decides, same_weights, two_outputs

import rotnet_keras as rk
from rotnet_keras import InputError
from rotnet_keras.running import fitting

pytestmark = pytest.mark.backend


def test_pretraining_learns_the_rotations_of_garments():
    images, labels = rk.draw_garments(4000, seed=3)
    extractor = rk.two_conv_extractor((28, 28, 1))
    before = extractor.get_weights()
    model, history = rk.pretrain(
        extractor, images[:3000], validation_images=images[3000:], epochs=2, verbose=0
    )
    assert rk.rotation_accuracy(model, images[3000:]) > 0.7  # chance is 0.25
    assert history.history["val_accuracy"][-1] == pytest.approx(
        rk.rotation_accuracy(model, images[3000:]), abs=1e-4
    )
    assert_same_weights(before, extractor)  # what was handed in is left alone
    tuned, _ = rk.fine_tune(rk.remove_head(model), images[:500], labels[:500], epochs=15, verbose=0)
    assert rk.accuracy(tuned, images[3000:], labels[3000:]) > 0.5  # chance is 0.1


@pytest.mark.parametrize("all_rotations", [True, False])
def test_pretraining_repeats_for_the_same_seed(images, extractor, all_rotations):
    options = {"epochs": 2, "batch_size": 3, "all_rotations": all_rotations, "verbose": 0}

    def run(seed):
        augment = keras.layers.RandomFlip("horizontal", seed=1)
        return rk.pretrain(extractor, images, seed=seed, augment=augment, **options)[0]

    assert_seed_decides(run)


def test_pretraining_from_a_dataset(images, extractor):
    dataset = tf.data.Dataset.from_tensor_slices(images)
    model, history = rk.pretrain(extractor, dataset, epochs=1, batch_size=4, verbose=0)
    assert model.output_shape == (None, 4)
    assert len(history.epoch) == 1


UNKNOWN = tf.data.experimental.assert_cardinality(tf.data.UNKNOWN_CARDINALITY)


@pytest.mark.parametrize("argument", ["images", "validation_images"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (UNKNOWN, "of unknown length: .*assert_cardinality"),
        (tf.data.Dataset.repeat, "without an end: end it with take"),
    ],
)
def test_streams_of_no_known_length(images, extractor, argument, change, said):
    stream = change(tf.data.Dataset.from_tensor_slices(images))
    with pytest.raises(InputError, match=f"^pretrain: {argument} must .* got one {said}"):
        rk.pretrain(**{"extractor": extractor, "images": images, argument: stream}, verbose=0)


def test_only_a_checkpoint_describes_its_run(images, extractor, tmp_path, monkeypatch):
    """The first image of a stream may take long to come, and weights may be many to sum up."""
    stream, called = tf.data.Dataset.from_tensor_slices(images), []
    for name in ("describe_images", "digest"):
        monkeypatch.setattr(fitting, name, lambda *_, name=name: called.append(name))
    rk.pretrain(extractor, stream, epochs=1, verbose=0)
    assert called == []
    rk.pretrain(extractor, stream, epochs=1, verbose=0, checkpoint=tmp_path / "net.weights.h5")
    # Of the network, of the first images and of the very first, and of weights.
    assert called == ["digest", "describe_images", "describe_images", "digest"]


def test_pretraining_is_validated_on_all_four_rotations(images, extractor):
    options = {"validation_images": images, "all_rotations": False, "learning_rate": 1e-12}
    model, history = rk.pretrain(extractor, images, epochs=3, verbose=0, **options)
    assert len(set(np.round(history.history["val_loss"], 5))) == 1
    expected = rk.rotation_accuracy(model, images)
    assert history.history["val_accuracy"] == pytest.approx([expected] * 3)


def test_pretraining_learning_rate_ends_at_zero(images, extractor):
    model, _ = rk.pretrain(extractor, images, epochs=3, batch_size=4, learning_rate=0.01, verbose=0)
    schedule = model.optimizer.get_config()["learning_rate"]["config"]
    assert schedule["initial_learning_rate"] == 0.01
    assert schedule["decay_steps"] == 3 * 2
    assert float(model.optimizer.learning_rate) == pytest.approx(0, abs=1e-9)


def test_pretraining_on_two_rotations_in_reduced_precision(images, extractor):
    options = {"rotations": (0, 2), "precision": "mixed_bfloat16", "epochs": 1, "verbose": 0}
    model, history = rk.pretrain(extractor, images, validation_images=images, **options)
    assert model.output_shape == (None, 2)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert np.isfinite(history.history["loss"]).all()
    assert not any(same_weights(rk.remove_head(model), extractor))
    # Validation knows of the two rotations; one of sixteen answers may tip over by rounding.
    expected = rk.rotation_accuracy(model, images, rotations=(0, 2))
    assert history.history["val_accuracy"][0] == pytest.approx(expected, abs=0.07)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rotations": (0, 5)}, r"rotations must be two or more .* got \(0, 5\)"),
        ({"precision": "float8"}, r"precision must be one of .* got 'float8'"),
    ],
)
def test_pretraining_settings_out_of_range(images, extractor, change, message):
    with pytest.raises(ValueError, match=message):
        rk.pretrain(extractor, images, verbose=0, **change)


def test_no_images(images, extractor):
    with pytest.raises(InputError, match=r"images must be at least one, .* got \(0, 12, 12, 1\)"):
        rk.pretrain(extractor, images[:0], verbose=0)
    none = tf.data.Dataset.from_tensor_slices(images).take(0)
    with pytest.raises(InputError, match="images must be a dataset of at least one image"):
        rk.pretrain(extractor, none, verbose=0)


@pytest.mark.parametrize("kind", [list, tuple, dict])
def test_a_network_of_two_outputs_is_no_extractor(images, extractor, kind):
    with pytest.raises(InputError, match=r"^pretrain: extractor must .* one output"):
        rk.pretrain(two_outputs(extractor, kind), images, verbose=0)
