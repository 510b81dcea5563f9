"""Keras's `fit` as all loops call it: where it must not go on, and how classes weigh."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import rotnet_keras as rk
from rotnet_keras._base.errors import InputError
from rotnet_keras.running import fitting
from rotnet_keras.running.fitting import balanced_weights

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 12, 12, 1), "uint8")
LABELS = np.arange(8) % 2
TOO_HOT = {"optimizer": keras.optimizers.SGD(1e30), "epochs": 9, "verbose": 0}


@pytest.mark.backend
@pytest.mark.parametrize("train", [rk.fine_tune, rk.train_from_scratch])
def test_training_that_diverges_is_an_error(train, extractor, tmp_path):
    with pytest.raises(InputError, match=r"diverged: loss of epoch \d is (nan|inf).*learning_rate"):
        train(extractor, IMAGES, LABELS, checkpoint=tmp_path / "a.weights.h5", **TOO_HOT)
    if (tmp_path / "a.weights.h5").exists():  # from an epoch before, whose loss was finite
        with pytest.raises(InputError, match="diverged"):
            train(extractor, IMAGES, LABELS, checkpoint=tmp_path / "a.weights.h5", **TOO_HOT)


def test_early_stopping_keeps_no_weights_that_are_not_finite(extractor):
    watched = {"validation_data": (IMAGES, LABELS), "patience": 2}
    with pytest.raises(InputError, match="training has diverged"):
        rk.fine_tune(extractor, IMAGES, LABELS, **watched, **TOO_HOT)


def test_pretraining_that_diverges_is_an_error(extractor):
    with pytest.raises(InputError, match=r"^pretrain: training has diverged.*learning_rate"):
        rk.pretrain(extractor, IMAGES, learning_rate=1e30, epochs=3, verbose=0)


def test_a_last_update_that_spoils_the_weights_is_an_error(extractor):
    model = rk.attach_head(extractor, 2)
    model.layers[-1].set_weights([np.tile([9.0, -9.0], (5, 1)), np.zeros(2)])
    once = {"epochs": 1, "batch_size": 8, "optimizer": keras.optimizers.SGD(3e38), "verbose": 0}
    with pytest.raises(InputError, match="the last update led to weights that are not finite"):
        rk.fit_classifier(model, IMAGES, LABELS, **once)


def test_a_stream_that_holds_fewer_images_than_it_says(extractor):
    stream = tf.data.Dataset.from_tensor_slices(IMAGES)
    lies = stream.apply(tf.data.experimental.assert_cardinality(20))
    with pytest.raises(InputError, match=r"images must be a dataset that holds as many as it says"):
        rk.pretrain(extractor, lies, epochs=1, batch_size=4, verbose=0)


def test_a_learning_rate_reaches_an_optimizer_within_another():
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5, momentum=0.9))
    fresh = fitting.fresh_optimizer(scaled, 0.25)
    assert float(fresh.inner_optimizer.learning_rate) == 0.25
    assert fresh.inner_optimizer.momentum == 0.9
    assert float(scaled.inner_optimizer.learning_rate) == 0.5


def test_each_class_weighs_the_same():
    assert balanced_weights(np.array([0, 0, 0, 1])) == {0: 4 / 6, 1: 4 / 2}
    assert balanced_weights(np.array([2, 1])) == {1: 1.0, 2: 1.0}


@pytest.mark.parametrize(("class_weight", "share"), [(None, 7 / 8), ("balanced", 1 / 2)])
def test_a_common_class_takes_over_unless_classes_are_balanced(class_weight, share, extractor):
    """Alike pictures: what a head learns of them is how common each class is."""
    images, labels = np.zeros((8, 12, 12, 1), "uint8"), np.array([0] * 7 + [1])
    settings = {"epochs": 200, "optimizer": keras.optimizers.Adam(0.05), "verbose": 0}
    model, _ = rk.train_head(extractor, images, labels, class_weight=class_weight, **settings)
    chances = keras.ops.convert_to_numpy(keras.ops.softmax(model(images[:1])))
    assert chances[0, 0] == pytest.approx(share, abs=0.02)


@pytest.mark.backend
def test_updates_done_at_once_divide_an_epoch_and_pass_no_callback_over():
    class Counting(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            """Wants each."""

    class Unhurried(Counting):
        async_safe = True

    by_epoch = keras.callbacks.LambdaCallback(on_epoch_end=print)
    of_each_kind = [keras.callbacks.History(), Unhurried(), by_epoch]
    if keras.config.backend() == "tensorflow":
        assert [fitting.together(n) for n in (1, 7, 24, 64, 782, 37)] == [1, 7, 24, 32, 23, 1]
        assert fitting.together(24, of_each_kind) == 24
    assert fitting.together(24, [*of_each_kind, Counting()]) == 1
    assert fitting.together(24, [keras.callbacks.LambdaCallback(on_train_batch_end=print)]) == 1


SETTING = [
    lambda: keras.callbacks.ReduceLROnPlateau("loss"),
    lambda: keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate),
]


@pytest.mark.parametrize("callback", SETTING)
def test_a_learning_rate_with_a_schedule_is_set_by_nobody_else(callback, extractor):
    """Keras would say so after the epoch in which it is first set."""
    message = "callbacks must not set the learning rate, which has a schedule of its own, got "
    once = {"epochs": 1, "batch_size": 4, "verbose": 0, "callbacks": [callback()]}
    for pretrain in (rk.pretrain, rk.pretrain_contrast):
        with pytest.raises(InputError, match=message + type(once["callbacks"][0]).__name__):
            pretrain(extractor, IMAGES, **once)
    model = rk.attach_head(extractor, 2)
    rk.fit_classifier(model, IMAGES, LABELS, **once)
    falling = keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 9))
    for optimizer in (falling, keras.optimizers.LossScaleOptimizer(falling)):
        with pytest.raises(InputError, match=message):
            rk.fit_classifier(model, IMAGES, LABELS, optimizer=optimizer, **once)
