import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import assert_same_weights, chain, same_weights, two_outputs

import rotnet_keras as rk
from rotnet_keras import InputError
from rotnet_keras.running.batches import endless_batches
from rotnet_keras.running.fitting import optimise

pytestmark = pytest.mark.backend

ARMS = [rk.train_head, rk.fine_tune, rk.train_from_scratch]
LABELS = np.arange(8) % 3


def train(arm, extractor, images, **options):
    """The model and the history of one epoch, unless `options` say otherwise."""
    return arm(extractor, images, LABELS, **({"epochs": 1, "verbose": 0} | options))


def test_the_same_arguments_for_every_arm():
    loop = inspect.signature(rk.fit_classifier).parameters
    for arm in ARMS:
        own = dict(inspect.signature(arm).parameters)
        own.pop("precision")  # a loop trains the model that it is given, as it computes
        assert own.pop("num_classes").default is None
        assert own.pop("extractor").kind is loop["model"].kind
        assert own == {name: loop[name] for name in own}
        assert {*loop} - {*own} == {"model"}


@pytest.mark.parametrize("kind", [list, tuple, dict])
def test_a_network_of_two_outputs_is_no_classifier(images, extractor, kind):
    model = two_outputs(extractor, kind)
    with pytest.raises(InputError, match=r"^fit_classifier: model must have one output .* got "):
        train(rk.fit_classifier, model, images)
    for arm in ARMS:
        with pytest.raises(InputError, match=rf"^{arm.__name__}: extractor must .* one output"):
            train(arm, model, images)


def test_a_network_that_gives_maps_is_no_classifier(images, extractor):
    maps = keras.Model(extractor.input, extractor.get_layer("conv1").output)
    with pytest.raises(InputError, match=r"^fit_classifier: model must have one output .* got "):
        train(rk.fit_classifier, maps, images)


OPTIONS = {"num_classes": 5, "epochs": 2, "batch_size": 3}


@pytest.fixture(scope="module", params=ARMS)
def trained(request):
    """An arm, what it made of an extractor that it was handed, and that extractor's twin."""
    images = np.random.default_rng(0).integers(0, 256, (8, 12, 12, 1), "uint8")
    handed, twin = (rk.two_conv_extractor((12, 12, 1), feature_dim=5, seed=3) for _ in range(2))
    model, history = train(request.param, handed, images, seed=1, **OPTIONS)
    assert_same_weights(twin, handed)
    return request.param, model, history, twin


def test_arms_leave_the_extractor_alone_and_repeat(images, trained):
    arm, first, history, extractor = trained
    before = extractor.get_weights()
    again, _ = train(arm, extractor, images, seed=1, **OPTIONS)
    other, _ = train(arm, extractor, images, seed=2, **OPTIONS)
    assert first.output_shape == (None, 5)
    assert isinstance(history, keras.callbacks.History)
    assert_same_weights(first, again)
    assert not all(same_weights(first, other))
    assert_same_weights(before, extractor)


def test_arms_learn_in_another_precision_and_answer_in_float32(images, trained):
    arm, exact, _, extractor = trained
    mixed, history = train(arm, extractor, images, seed=1, precision="mixed_bfloat16", **OPTIONS)
    assert {layer.compute_dtype for layer in mixed.layers} == {"float32"}
    assert [w.path for w in mixed.trainable_weights] == [w.path for w in exact.trainable_weights]
    assert not all(same_weights(exact, mixed))
    for one, other in zip(exact.get_weights(), mixed.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=0.05)
    assert len(history.epoch) == 2


def test_what_each_arm_starts_from_and_moves(images, extractor):
    def kept(arm, **options):
        return same_weights(rk.remove_head(train(arm, extractor, images, **options)[0]), extractor)

    starts = {arm: kept(arm, optimizer=keras.optimizers.SGD(0.0)) for arm in ARMS}
    assert all(starts[rk.train_head])
    assert all(starts[rk.fine_tune])
    assert not any(starts[rk.train_from_scratch][0::2])  # kernels; biases start at zero anywhere
    assert all(kept(rk.train_head, epochs=2))
    assert not any(kept(rk.fine_tune, epochs=2))


def test_one_optimizer_instance_serves_several_arms(images, extractor):
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    for arm in ARMS:
        train(arm, extractor, images, optimizer=optimizer)
    assert not optimizer.built


@pytest.mark.parametrize("arm", ARMS)
def test_the_learning_rate_is_that_of_the_optimizer(images, extractor, arm):
    falling = keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.5, 9))
    for optimizer in ("sgd", keras.optimizers.SGD(0.5), falling):
        model, _ = train(arm, extractor, images, optimizer=optimizer, learning_rate=1e-3)
        assert float(model.optimizer.learning_rate) == pytest.approx(1e-3)
        assert type(model.optimizer) is keras.optimizers.SGD


def test_validation_data_has_an_earlier_name(images, extractor):
    held_out = images[::-1], LABELS
    histories = [
        train(rk.fine_tune, extractor, images, **{name: held_out})[1].history
        for name in ("validation", "validation_data")
    ]
    assert histories[0] == histories[1]
    assert "val_accuracy" in histories[0]


def test_patience_goes_back_to_the_best_epoch(images, extractor):
    validation = (images[::-1], LABELS)
    options = {"validation_data": validation, "epochs": 40, "patience": 3}
    model, history = train(rk.fine_tune, extractor, images, **options)
    best = int(np.argmax(history.history["val_accuracy"]))
    assert len(history.epoch) == min(best + 4, 40)
    assert rk.accuracy(model, *validation) == pytest.approx(history.history["val_accuracy"][best])


def test_augmentation_reaches_the_images(images, extractor):
    black, plain = (
        train(rk.fit_classifier, rk.attach_head(extractor, 3), images, augment=augment)[0]
        for augment in (tf.zeros_like, None)
    )
    # Kernels of a network that sees only black cannot move; its biases can.
    kernel = extractor.get_layer("conv1").kernel.numpy()
    np.testing.assert_array_equal(black.get_layer("conv1").kernel.numpy(), kernel)
    assert not np.array_equal(plain.get_layer("conv1").kernel.numpy(), kernel)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"batch_size": -3}, "batch_size must be a whole number of at least 1, got -3"),
        ({"patience": 2}, r"patience needs validation_data=\(images, labels\)"),
        ({"num_classes": 2}, r"labels must lie in 0\.\.1, .* got 0\.\.2"),
    ],
)
def test_wrong_settings(images, extractor, options, message):
    with pytest.raises(ValueError, match=message):
        train(rk.train_head, extractor, images, **options)


@pytest.mark.parametrize(
    ("count", "labels", "message"),
    [
        (8, LABELS[:5], r"labels must be whole numbers of shape \(8,\).*got int64 of shape \(5,\)"),
        (8, LABELS / 2, "got float64"),
        (8, LABELS - 1, r"labels must lie in 0\.\.1, .* got -1\.\.1"),
        (0, LABELS[:0], "N at least 1"),
    ],
)
def test_wrong_labels_and_no_images(images, extractor, count, labels, message):
    with pytest.raises(ValueError, match=message):
        rk.fine_tune(extractor, images[:count], labels, verbose=0)


@pytest.mark.parametrize("batch_size", [0, -1, 1.5])
@pytest.mark.parametrize("loop", [rk.fit_classifier, rk.train_jointly])
def test_batches_of_no_size(images, extractor, loop, batch_size):
    model, options = rk.attach_head(extractor, 3), {}
    if loop is rk.train_jointly:
        model, options = extractor, {"unlabelled": images}
    with pytest.raises(ValueError, match=f"batch_size must be .* at least 1, got {batch_size}"):
        loop(model, images, LABELS, batch_size=batch_size, **options)


@pytest.mark.parametrize("updates", [0, -2, 1.5])
def test_no_updates(images, extractor, updates):
    with pytest.raises(ValueError, match=f"updates must be .* at least 1, got {updates}"):
        rk.train_jointly(extractor, images, LABELS, unlabelled=images, updates=updates)


@given(length=st.integers(1, 9), batch_size=st.integers(1, 12), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_endless_batches_are_full_and_pass_after_pass(length, batch_size, seed):
    numbers = np.arange(length)
    dataset = endless_batches((numbers, -numbers), batch_size, seed=seed)
    count = -(-3 * length // batch_size)
    firsts, seconds = zip(*dataset.take(count).as_numpy_iterator(), strict=True)
    assert {len(batch) for batch in firsts} == {batch_size}
    drawn = np.concatenate(firsts)
    np.testing.assert_array_equal(np.concatenate(seconds), -drawn)
    for start in range(0, 3 * length, length):
        assert sorted(drawn[start : start + length]) == numbers.tolist()


@given(length=st.integers(1, 9), batch_size=st.integers(1, 12), start=st.integers(0, 20))
@settings(max_examples=15, deadline=None)
def test_whole_passes_end_in_what_is_left_and_begin_anywhere(length, batch_size, start):
    options = {"whole_passes": True, "seed": 3}
    steps = -(-length // batch_size)
    dataset = endless_batches(np.arange(length), batch_size, **options)
    batches = list(dataset.take(start + 3 * steps).as_numpy_iterator())
    for i in range(0, 3 * steps, steps):
        assert {len(batch) for batch in batches[i : i + steps - 1]} <= {batch_size}
        assert sorted(np.concatenate(batches[i : i + steps])) == list(range(length))
    later = endless_batches(np.arange(length), batch_size, start=start, **options).take(3 * steps)
    for expected, batch in zip(batches[start:], later.as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(batch, expected)


def test_endless_batches_repeat_by_seed_and_reorder_each_pass():
    def two_passes(seed):
        return list(endless_batches(np.arange(50), 50, seed=seed).take(2).as_numpy_iterator())

    first, again, other = two_passes(1), two_passes(1), two_passes(2)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[0], first[1])


def test_endless_batches_begin_anew_with_each_iterator():
    """Keras's `fit` reads from a first one that it throws away."""
    dataset = endless_batches(np.arange(5), 4, seed=1).take(6)
    first, again = (list(dataset.as_numpy_iterator()) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_endless_batches_change_the_images_alone(images):
    dataset = endless_batches((images, LABELS), 4, augment=tf.zeros_like)
    batch, labels = next(dataset.as_numpy_iterator())
    assert batch.shape == (4, 12, 12, 1)
    assert not batch.any()
    assert labels.any()
    assert not next(endless_batches(images, 4, augment=tf.zeros_like).as_numpy_iterator()).any()


def test_optimising_follows_half_a_cosine_and_ends_in_the_running_average():
    """A slope of one makes Adam's step the learning rate: 0.1 times 1, 3/4 and 1/4."""
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = chain((1,), layer)
    dataset = endless_batches((np.ones((4, 1), "float32"), np.zeros(4)), 4)
    optimise(model, dataset, updates=3, learning_rate=0.1, loss=lambda _, y: keras.ops.mean(y))
    first, second, third = -0.1, -0.175, -0.2
    average = 0.99 * (0.99 * first + 0.01 * second) + 0.01 * third
    assert layer.kernel.numpy().item() == pytest.approx(average, rel=1e-4)
