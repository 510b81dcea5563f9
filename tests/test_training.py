import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from rotnet_keras import (
    InputError,
    accuracy,
    attach_head,
    draw_garments,
    fine_tune,
    fit_classifier,
    pretrain,
    remove_head,
    rotation_accuracy,
    train_from_scratch,
    train_head,
    train_jointly,
    two_conv_extractor,
)
from rotnet_keras.running import fitting
from rotnet_keras.running.batches import endless_batches
from rotnet_keras.running.fitting import optimise

pytestmark = pytest.mark.backend

ARMS = [train_head, fine_tune, train_from_scratch]
LABELS = np.arange(8) % 3


def same_weights(a, b):
    pairs = zip(a.get_weights(), b.get_weights(), strict=True)
    return [np.array_equal(x, y) for x, y in pairs]


def test_pretraining_learns_the_rotations_of_garments():
    images, labels = draw_garments(4000, seed=3)
    extractor = two_conv_extractor((28, 28, 1))
    before = extractor.get_weights()
    model, history = pretrain(
        extractor, images[:3000], validation_images=images[3000:], epochs=2, verbose=0
    )
    assert rotation_accuracy(model, images[3000:]) > 0.7  # chance is 0.25
    assert history.history["val_accuracy"][-1] == pytest.approx(
        rotation_accuracy(model, images[3000:]), abs=1e-4
    )
    for old, new in zip(before, extractor.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)  # the extractor handed in is left alone
    tuned, _ = fine_tune(remove_head(model), images[:500], labels[:500], epochs=15, verbose=0)
    assert accuracy(tuned, images[3000:], labels[3000:]) > 0.5  # chance is 0.1


@pytest.mark.parametrize("all_rotations", [True, False])
def test_pretraining_repeats_for_the_same_seed(images, extractor, all_rotations):
    options = {"epochs": 2, "batch_size": 3, "all_rotations": all_rotations, "verbose": 0}

    def run(seed):
        augment = keras.layers.RandomFlip("horizontal", seed=1)
        return pretrain(extractor, images, seed=seed, augment=augment, **options)[0]

    first, again, other = run(1), run(1), run(2)
    assert all(same_weights(first, again))
    assert not all(same_weights(first, other))


def test_pretraining_from_a_dataset(images, extractor):
    dataset = tf.data.Dataset.from_tensor_slices(images)
    model, history = pretrain(extractor, dataset, epochs=1, batch_size=4, verbose=0)
    assert model.output_shape == (None, 4)
    assert len(history.epoch) == 1


@pytest.mark.parametrize("argument", ["images", "validation_images"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            tf.data.experimental.assert_cardinality(tf.data.UNKNOWN_CARDINALITY),
            "of unknown length: .*assert_cardinality",
        ),
        (tf.data.Dataset.repeat, "without an end: end it with take"),
    ],
)
def test_streams_of_no_known_length(images, extractor, argument, change, said):
    stream = change(tf.data.Dataset.from_tensor_slices(images))
    with pytest.raises(InputError, match=f"^pretrain: {argument} must .* got one {said}"):
        pretrain(**{"extractor": extractor, "images": images, argument: stream}, verbose=0)


def test_only_a_checkpoint_describes_its_run(images, extractor, tmp_path, monkeypatch):
    """The first image of a stream may take long to come, and weights may be many to sum up."""
    stream, called = tf.data.Dataset.from_tensor_slices(images), []
    for name in ("describe_images", "checksum"):
        monkeypatch.setattr(fitting, name, lambda *_, name=name: called.append(name))
    pretrain(extractor, stream, epochs=1, verbose=0)
    assert called == []
    pretrain(extractor, stream, epochs=1, verbose=0, checkpoint=tmp_path / "net.weights.h5")
    assert called == ["describe_images", "checksum"]


def test_the_same_arguments_for_every_arm():
    loop = inspect.signature(fit_classifier).parameters
    for arm in ARMS:
        own = dict(inspect.signature(arm).parameters)
        own.pop("precision")  # a loop trains the model that it is given, as it computes
        assert own.pop("num_classes").default is None
        assert own.pop("extractor").kind is loop["model"].kind
        assert own == {name: loop[name] for name in own}
        assert {*loop} - {*own} == {"model"}


def two_outputs(extractor, kind):
    one, two = (keras.layers.Dense(3, name=name)(extractor.output) for name in ("one", "two"))
    both = {"one": one, "two": two} if kind is dict else kind([one, two])
    return keras.Model(extractor.input, both)


@pytest.mark.parametrize("kind", [list, tuple, dict])
def test_a_network_of_two_outputs_is_no_classifier(images, extractor, kind):
    model = two_outputs(extractor, kind)
    with pytest.raises(InputError, match=r"^fit_classifier: model must have one output .* got "):
        fit_classifier(model, images, LABELS, verbose=0)
    for train in (*ARMS, pretrain):
        arguments = (images,) if train is pretrain else (images, LABELS)
        with pytest.raises(InputError, match=rf"^{train.__name__}: extractor must .* one output"):
            train(model, *arguments, verbose=0)


def test_a_network_that_gives_maps_is_no_classifier(images, extractor):
    maps = keras.Model(extractor.input, extractor.get_layer("conv1").output)
    with pytest.raises(InputError, match=r"^fit_classifier: model must have one output .* got "):
        fit_classifier(maps, images, LABELS, verbose=0)


def test_pretraining_is_validated_on_all_four_rotations(images, extractor):
    options = {"validation_images": images, "all_rotations": False, "learning_rate": 1e-12}
    model, history = pretrain(extractor, images, epochs=3, verbose=0, **options)
    assert len(set(np.round(history.history["val_loss"], 5))) == 1
    expected = rotation_accuracy(model, images)
    assert history.history["val_accuracy"] == pytest.approx([expected] * 3)


def test_pretraining_learning_rate_ends_at_zero(images, extractor):
    model, _ = pretrain(extractor, images, epochs=3, batch_size=4, learning_rate=0.01, verbose=0)
    schedule = model.optimizer.get_config()["learning_rate"]["config"]
    assert schedule["initial_learning_rate"] == 0.01
    assert schedule["decay_steps"] == 3 * 2
    assert float(model.optimizer.learning_rate) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("arm", ARMS)
def test_arms_leave_the_extractor_alone_and_repeat(images, extractor, arm):
    before = extractor.get_weights()
    options = {"num_classes": 5, "epochs": 2, "batch_size": 3, "verbose": 0}
    first, history = arm(extractor, images, LABELS, seed=1, **options)
    again, _ = arm(extractor, images, LABELS, seed=1, **options)
    other, _ = arm(extractor, images, LABELS, seed=2, **options)
    assert first.output_shape == (None, 5)
    assert isinstance(history, keras.callbacks.History)
    assert all(same_weights(first, again))
    assert not all(same_weights(first, other))
    for old, new in zip(before, extractor.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_what_each_arm_starts_from_and_moves(images, extractor):
    arms = {
        arm: arm(
            extractor, images, LABELS, epochs=1, optimizer=keras.optimizers.SGD(0.0), verbose=0
        )
        for arm in ARMS
    }
    starts = {arm: same_weights(remove_head(model), extractor) for arm, (model, _) in arms.items()}
    assert all(starts[train_head])
    assert all(starts[fine_tune])
    assert not any(starts[train_from_scratch][0::2])  # kernels; biases start at zero anywhere
    model, _ = train_head(extractor, images, LABELS, epochs=2, verbose=0)
    assert all(same_weights(remove_head(model), extractor))
    model, _ = fine_tune(extractor, images, LABELS, epochs=2, verbose=0)
    assert not any(same_weights(remove_head(model), extractor))


def test_one_optimizer_instance_serves_several_arms(images, extractor):
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    for arm in ARMS:
        arm(extractor, images, LABELS, epochs=1, optimizer=optimizer, verbose=0)
    assert not optimizer.built


def test_patience_goes_back_to_the_best_epoch(images, extractor):
    validation = (images[::-1], LABELS)
    model, history = fine_tune(
        extractor, images, LABELS, validation=validation, epochs=40, patience=3, verbose=0
    )
    best = int(np.argmax(history.history["val_accuracy"]))
    assert len(history.epoch) == min(best + 4, 40)
    assert accuracy(model, *validation) == pytest.approx(history.history["val_accuracy"][best])


def test_augmentation_reaches_the_images(images, extractor):
    black = fit_classifier(
        attach_head(extractor, 3), images, LABELS, epochs=1, augment=tf.zeros_like, verbose=0
    )[0]
    plain = fit_classifier(attach_head(extractor, 3), images, LABELS, epochs=1, verbose=0)[0]
    # Kernels of a network that sees only black cannot move; its biases can.
    kernel = extractor.get_layer("conv1").kernel.numpy()
    np.testing.assert_array_equal(black.get_layer("conv1").kernel.numpy(), kernel)
    assert not np.array_equal(plain.get_layer("conv1").kernel.numpy(), kernel)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"batch_size": -3}, "batch_size must be a whole number of at least 1, got -3"),
        ({"patience": 2}, r"patience needs validation=\(images, labels\)"),
        ({"num_classes": 2}, r"labels must lie in 0\.\.1, .* got 0\.\.2"),
    ],
)
def test_wrong_settings(images, extractor, options, message):
    with pytest.raises(ValueError, match=message):
        train_head(extractor, images, LABELS, verbose=0, **options)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[:5], r"labels must be whole numbers of shape \(8,\).*got int64 of shape \(5,\)"),
        (LABELS / 2, "got float64"),
        (LABELS - 1, r"labels must lie in 0\.\.1, .* got -1\.\.1"),
    ],
)
def test_wrong_labels(images, extractor, labels, message):
    with pytest.raises(ValueError, match=message):
        fine_tune(extractor, images, labels, verbose=0)


def test_no_images(images, extractor):
    with pytest.raises(ValueError, match="N at least 1"):
        fine_tune(extractor, images[:0], LABELS[:0], verbose=0)
    with pytest.raises(InputError, match=r"images must be at least one, .* got \(0, 12, 12, 1\)"):
        pretrain(extractor, images[:0], verbose=0)
    none = tf.data.Dataset.from_tensor_slices(images).take(0)
    with pytest.raises(InputError, match="images must be a dataset of at least one image"):
        pretrain(extractor, none, verbose=0)


def test_pretraining_on_two_rotations_in_reduced_precision(images, extractor):
    model, history = pretrain(
        extractor,
        images,
        validation_images=images,
        rotations=(0, 2),
        precision="mixed_bfloat16",
        epochs=1,
        verbose=0,
    )
    assert model.output_shape == (None, 2)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert np.isfinite(history.history["loss"]).all()
    assert not any(same_weights(remove_head(model), extractor))
    # Validation knows of the two rotations; one of sixteen answers may tip over by rounding.
    expected = rotation_accuracy(model, images, rotations=(0, 2))
    assert history.history["val_accuracy"][0] == pytest.approx(expected, abs=0.07)


def test_pretraining_settings_out_of_range(images, extractor):
    with pytest.raises(ValueError, match=r"rotations must be two or more .* got \(0, 5\)"):
        pretrain(extractor, images, rotations=(0, 5), verbose=0)
    with pytest.raises(ValueError, match=r"precision must be one of .* got 'float8'"):
        pretrain(extractor, images, precision="float8", verbose=0)


@given(
    length=st.integers(1, 9),
    batch_size=st.integers(1, 12),
    seed=st.integers(0, 99),
)
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


@pytest.mark.parametrize("batch_size", [0, -1, 1.5])
@pytest.mark.parametrize("train", [fit_classifier, train_jointly])
def test_batches_of_no_size(images, extractor, train, batch_size):
    model, options = attach_head(extractor, 3), {}
    if train is train_jointly:
        model, options = extractor, {"unlabelled": images}
    with pytest.raises(ValueError, match=f"batch_size must be .* at least 1, got {batch_size}"):
        train(model, images, LABELS, batch_size=batch_size, **options)


def test_optimising_follows_half_a_cosine_and_ends_in_the_running_average():
    """A slope of one makes Adam's step the learning rate: 0.1 times 1, 3/4 and 1/4."""
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((1,)), layer])
    dataset = endless_batches((np.ones((4, 1), "float32"), np.zeros(4)), 4)
    optimise(model, dataset, updates=3, learning_rate=0.1, loss=lambda _, y: keras.ops.mean(y))
    first, second, third = -0.1, -0.175, -0.2
    average = 0.99 * (0.99 * first + 0.01 * second) + 0.01 * third
    assert layer.kernel.numpy().item() == pytest.approx(average, rel=1e-4)


@pytest.mark.parametrize("updates", [0, -2, 1.5])
def test_no_updates(images, extractor, updates):
    with pytest.raises(ValueError, match=f"updates must be .* at least 1, got {updates}"):
        train_jointly(extractor, images, LABELS, unlabelled=images, updates=updates)


@pytest.mark.parametrize("arm", [train_head, fine_tune, train_from_scratch])
def test_arms_learn_in_another_precision_and_answer_in_float32(arm, extractor, images):
    labels, settings = np.arange(8) % 2, {"epochs": 2, "seed": 1, "verbose": 0}
    exact, _ = arm(extractor, images, labels, **settings)
    mixed, history = arm(extractor, images, labels, precision="mixed_bfloat16", **settings)
    assert {layer.compute_dtype for layer in mixed.layers} == {"float32"}
    assert [w.path for w in mixed.trainable_weights] == [w.path for w in exact.trainable_weights]
    pairs = list(zip(exact.get_weights(), mixed.get_weights(), strict=True))
    assert any((one != other).any() for one, other in pairs)
    for one, other in pairs:
        np.testing.assert_allclose(one, other, atol=0.05)
    assert len(history.epoch) == 2
