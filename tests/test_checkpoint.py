import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_networks import assert_same_weights

import rotnet_keras as rk
from rotnet_keras.running import checkpoint

pytestmark = pytest.mark.backend

SETTINGS = {"epochs": 4, "batch_size": 3, "verbose": 0}
LABELS = np.arange(8) % 3


class StopAfter(keras.callbacks.Callback):
    """Breaks a run off in the middle of the epoch after `epochs` whole ones."""

    def __init__(self, epochs):
        super().__init__()
        self.left = 3 * epochs + 2

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.weights.h5"


@pytest.fixture
def pretrain(extractor, path):
    """Pretraining with a checkpoint, by the settings above unless others are given."""

    def pretrain(images, *, extractor=extractor, **options):
        return rk.pretrain(extractor, images, **({"checkpoint": path} | SETTINGS | options))

    return pretrain


@pytest.mark.parametrize("all_rotations", [True, False])
@pytest.mark.parametrize("epochs", [0, 2, 3])
def test_a_broken_run_ends_like_an_unbroken_one(images, pretrain, path, all_rotations, epochs):
    def run(**options):
        options |= {"validation_images": images[:4], "all_rotations": all_rotations}
        return pretrain(images, augment=rk.gentle_augmentation(seed=1), **options)

    whole, whole_history = run(checkpoint=None)
    with pytest.raises(KeyboardInterrupt):
        run(callbacks=[StopAfter(epochs)])
    assert path.exists() == (epochs > 0)
    model, history = run()
    assert_same_weights(whole, model)
    assert history.epoch == [0, 1, 2, 3]
    for name, values in whole_history.history.items():
        assert history.history[name] == pytest.approx(values)
    assert [file.name for file in path.parent.iterdir()] == ["net.weights.h5"]


class Clock(keras.callbacks.Callback):
    """Lets each epoch take four seconds, and sees after which of them the file is new."""

    def __init__(self, path):
        super().__init__()
        self.path, self.now, self.seen, self.written = path, 0.0, None, []

    def monotonic(self):
        return self.now

    def on_epoch_begin(self, epoch, logs=None):
        self._look(epoch)
        self.now += 4

    def on_train_end(self, logs=None):
        self._look(self.params["epochs"])

    def _look(self, epochs):
        seen = self.path.stat().st_mtime_ns if self.path.exists() else None
        if seen != self.seen:
            self.written.append(epochs)
        self.seen = seen


def test_the_file_is_written_every_ten_seconds_and_at_the_end(images, pretrain, path, monkeypatch):
    clock = Clock(path)
    monkeypatch.setenv(checkpoint.EVERY, "10")
    monkeypatch.setattr(checkpoint, "time", clock)
    pretrain(images, epochs=7, callbacks=[clock])
    assert clock.written == [3, 6, 7]


@pytest.mark.parametrize("seconds", ["soon", "", "-1", "nan"])
def test_seconds_that_are_none(seconds, path, monkeypatch):
    monkeypatch.setenv(checkpoint.EVERY, seconds)
    with pytest.raises(ValueError, match=f"CHECKPOINT_SECONDS must be .* got '{seconds}'"):
        checkpoint.Checkpoint(path, {})


def test_a_finished_run_is_only_read(images, pretrain, path):
    first, _ = pretrain(images)
    written = path.stat().st_mtime_ns
    again, history = pretrain(images)
    assert path.stat().st_mtime_ns == written
    assert len(history.history["loss"]) == 4
    assert_same_weights(first, again)


def test_reduced_precision_goes_on_too(images, pretrain):
    """The optimiser of float16 has a loss scale, which is part of what is kept."""
    scales = []

    class Scale(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.model.optimizer.dynamic_scale.assign(64.0)
            if epoch == 2:
                scales.append(float(self.model.optimizer.dynamic_scale))

    with pytest.raises(KeyboardInterrupt):
        pretrain(images, callbacks=[Scale(), StopAfter(2)], precision="mixed_float16")
    model, history = pretrain(images, callbacks=[Scale()], precision="mixed_float16")
    assert scales == [64.0, 64.0]  # before the break and after it
    assert len(history.history["loss"]) == 4
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}


@pytest.mark.parametrize("other", [{"seed": 1}, {"batch_size": 4}, {"rotations": (0, 2)}])
def test_a_file_of_another_run_is_left_alone(images, pretrain, path, other):
    pretrain(images)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"is of another run, with .*: give another path"):
        pretrain(images, **other)
    assert path.read_bytes() == before


@pytest.mark.parametrize("streamed", [False, True])
def test_a_file_of_other_images_is_left_alone(images, pretrain, streamed):
    others = images.copy()
    others[0 if streamed else -1, 0, 0] ^= 1  # one bit of one pixel
    source = tf.data.Dataset.from_tensor_slices if streamed else np.asarray
    pretrain(source(images))
    with pytest.raises(ValueError, match=r"is of another run, with {'images': .*}: give"):
        pretrain(source(others))


def test_a_file_of_another_network_is_left_alone(images, pretrain):
    pretrain(images)
    with pytest.raises(ValueError, match="is of another run"):
        pretrain(images, extractor=rk.conv_blocks_extractor((12, 12, 1), (4, 8)))


@pytest.mark.parametrize("damage", [lambda good: b"", lambda good: good[: len(good) // 2]])
def test_a_torn_file_is_said_to_be_one(images, pretrain, path, damage):
    pretrain(images)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"net.weights.h5 cannot be read \(.*\): delete it"):
        pretrain(images)


def test_damage_anywhere_is_said_or_harmless(images, pretrain, path):
    """Cut or with a bit flipped, a file is refused in one line and stays, or is as it was."""
    model, _ = pretrain(images, epochs=1)
    whole, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for number, place in enumerate(rng.integers(0, len(whole), 40)):
        damaged = bytearray(whole[:place] if number < 8 else whole)
        if number >= 8:
            damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            again, _ = pretrain(images, epochs=1)
        except rk.InputError as error:
            refused += 1
            assert f"checkpoint {path} cannot be read" in error.said  # noqa: PT017
            assert path.read_bytes() == damaged
        else:
            assert_same_weights(model, again)
    assert refused > 20


def test_a_full_disk_leaves_the_last_good_file(images, pretrain, path, monkeypatch):
    saved, save = [], keras.Model.save

    def fill(model, beside, **options):
        save(model, beside, **options)
        saved.append(beside)
        if len(saved) == 3:
            raise OSError("No space left on device")

    monkeypatch.setattr(keras.Model, "save", fill)
    with pytest.raises(OSError, match=r"net.weights.h5 cannot be written: No space left"):
        pretrain(images)
    assert [file.name for file in path.parent.iterdir()] == ["net.weights.h5"]
    _, history = pretrain(images)
    assert len(saved) == 3 + 2  # epochs 3 and 4 were left
    assert len(history.history["loss"]) == 4


@pytest.mark.parametrize("path", ["net.keras", pathlib.Path("weights.h5")])
def test_the_name_must_say_what_the_file_is(images, extractor, path):
    for train, labels in ((rk.pretrain, ()), (rk.fine_tune, (LABELS,))):
        with pytest.raises(
            ValueError, match=r"checkpoint must be a path ending in .weights.h5, got"
        ):
            train(extractor, images, *labels, checkpoint=path, **SETTINGS)


class StopAtEnd(keras.callbacks.Callback):
    """Breaks a run off when its epochs are over, before early stopping goes back to the best."""

    def on_train_end(self, logs=None):
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def unbroken():
    """What `stopping_early` gives unbroken, of such images and such a network as the fixtures'."""
    images = np.random.default_rng(0).integers(0, 256, (8, 12, 12, 1), "uint8")
    return stopping_early(rk.two_conv_extractor((12, 12, 1), feature_dim=5, seed=3), images)


def stopping_early(extractor, images, *, breaks=(), **options):
    """Fine-tuning that lowers its learning rate and stops, with a layer that draws at random."""
    dropout = keras.layers.Dropout(0.3, seed=1)(extractor.output)
    slower = keras.callbacks.ReduceLROnPlateau("val_accuracy", mode="max", factor=0.3, patience=1)
    return rk.fine_tune(
        keras.Model(extractor.input, dropout),
        images,
        LABELS,
        validation_data=(images[::-1], LABELS),
        optimizer=keras.optimizers.Adam(0.02),
        patience=3,
        augment=rk.gentle_augmentation(seed=1),
        callbacks=[slower, *breaks],
        **(SETTINGS | {"epochs": 12} | options),
    )


@pytest.mark.parametrize("breaks", [[0], [1], [2, 1], ["end"]])
def test_broken_fine_tuning_ends_like_an_unbroken_one(images, extractor, path, unbroken, breaks):
    whole, expected = unbroken
    for epochs in breaks:
        stop = StopAtEnd() if epochs == "end" else StopAfter(epochs)
        with pytest.raises(KeyboardInterrupt):
            stopping_early(extractor, images, breaks=[stop], checkpoint=path)
    model, history = stopping_early(extractor, images, checkpoint=path)
    assert 4 <= len(history.epoch) < 12  # it stopped by itself
    rates = history.history["learning_rate"]
    assert rates[-1] < rates[0]  # and lowered its learning rate before that
    assert history.history == expected.history
    assert_same_weights(whole, model)


def test_finished_fine_tuning_is_only_read(images, extractor, path):
    first, _ = stopping_early(extractor, images, checkpoint=path)
    written = path.stat().st_mtime_ns
    again, _ = stopping_early(extractor, images, checkpoint=path)
    assert path.stat().st_mtime_ns == written
    assert_same_weights(first, again)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("labels", {"labels": LABELS[::-1]}),
        ("optimizer", {"optimizer": "sgd"}),
        ("patience", {"patience": 2, "validation_data": (np.zeros((3, 12, 12, 1)), LABELS[:3])}),
        ("trained_weights", {"frozen": True}),
        ("initial_weights", {"head": 1}),
        ("batch_size", {"batch_size": 4}),
    ],
)
def test_a_file_of_other_fine_tuning_is_left_alone(images, extractor, path, name, other):
    def fit(*, labels=LABELS, frozen=False, head=0, **options):
        model = rk.attach_head(extractor, 3, seed=head)
        model.get_layer("conv1").trainable = not frozen
        settings = SETTINGS | {"epochs": 1} | options
        return rk.fit_classifier(model, images, labels, checkpoint=path, **settings)

    fit()
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"is of another run, with {{.*'{name}': .*: give"):
        fit(**other)
    assert path.read_bytes() == before


def test_a_folder_that_is_not_there_is_said_before_the_work(images, pretrain, tmp_path):
    started = keras.callbacks.LambdaCallback(on_train_begin=lambda _: pytest.fail("has begun"))
    path = tmp_path / "nowhere" / "net.weights.h5"
    with pytest.raises(OSError, match=r"checkpoint must lie in a folder that can be written, got"):
        pretrain(images, checkpoint=path, callbacks=[started])


def test_epochs_with_and_without_validation_images_are_one_history(images, pretrain):
    """What the first call has watched, a second one need not."""
    with pytest.raises(KeyboardInterrupt):
        pretrain(images, validation_images=images[:4], callbacks=[StopAfter(2)])
    for _ in range(2):
        _, history = pretrain(images)
        told = history.history
        assert sorted(told) == ["accuracy", "loss", "val_accuracy", "val_loss"]
        assert np.isnan(told["val_loss"]).tolist() == [False, False, True, True]
        assert np.isfinite(told["loss"]).all()
