import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from rotnet_keras import attach_head, fine_tune, fit_classifier, gentle_augmentation, pretrain

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


@pytest.mark.parametrize("all_rotations", [True, False])
@pytest.mark.parametrize("epochs", [0, 2, 3])
def test_a_broken_run_ends_like_an_unbroken_one(images, extractor, tmp_path, all_rotations, epochs):
    def run(**options):
        return pretrain(
            extractor,
            images,
            validation_images=images[:4],
            all_rotations=all_rotations,
            augment=gentle_augmentation(seed=1),
            **SETTINGS,
            **options,
        )

    whole, whole_history = run()
    path = tmp_path / "net.weights.h5"
    with pytest.raises(KeyboardInterrupt):
        run(checkpoint=path, callbacks=[StopAfter(epochs)])
    assert path.exists() == (epochs > 0)
    model, history = run(checkpoint=path)
    for a, b in zip(whole.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert history.epoch == [0, 1, 2, 3]
    for name, values in whole_history.history.items():
        assert history.history[name] == pytest.approx(values)
    assert [file.name for file in tmp_path.iterdir()] == ["net.weights.h5"]


def test_a_finished_run_is_only_read(images, extractor, tmp_path):
    path = tmp_path / "net.weights.h5"
    first, _ = pretrain(extractor, images, checkpoint=path, **SETTINGS)
    written = path.stat().st_mtime_ns
    again, history = pretrain(extractor, images, checkpoint=path, **SETTINGS)
    assert path.stat().st_mtime_ns == written
    assert len(history.history["loss"]) == 4
    for a, b in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_reduced_precision_goes_on_too(images, extractor, tmp_path):
    """The optimiser of float16 has a loss scale, which is part of what is kept."""
    options = {"checkpoint": tmp_path / "net.weights.h5", "precision": "mixed_float16", **SETTINGS}
    scales = []

    class Scale(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.model.optimizer.dynamic_scale.assign(64.0)
            if epoch == 2:
                scales.append(float(self.model.optimizer.dynamic_scale))

    with pytest.raises(KeyboardInterrupt):
        pretrain(extractor, images, callbacks=[Scale(), StopAfter(2)], **options)
    model, history = pretrain(extractor, images, callbacks=[Scale()], **options)
    assert scales == [64.0, 64.0]  # before the break and after it
    assert len(history.history["loss"]) == 4
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}


@pytest.mark.parametrize("other", [{"seed": 1}, {"batch_size": 4}, {"rotations": (0, 2)}])
def test_a_file_of_another_run_is_left_alone(images, extractor, tmp_path, other):
    path = tmp_path / "net.weights.h5"
    pretrain(extractor, images, checkpoint=path, **SETTINGS)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"is of another run, with .*: give another path"):
        pretrain(extractor, images, checkpoint=path, **(SETTINGS | other))
    assert path.read_bytes() == before


@pytest.mark.parametrize("streamed", [False, True])
def test_a_file_of_other_images_is_left_alone(images, extractor, tmp_path, streamed):
    path, others = tmp_path / "net.weights.h5", images.copy()
    others[0 if streamed else -1, 0, 0] ^= 1  # one bit of one pixel
    source = tf.data.Dataset.from_tensor_slices if streamed else np.asarray
    pretrain(extractor, source(images), checkpoint=path, **SETTINGS)
    with pytest.raises(ValueError, match=r"is of another run, with {'images': .*}: give"):
        pretrain(extractor, source(others), checkpoint=path, **SETTINGS)


def test_a_file_of_another_network_is_left_alone(images, extractor, tmp_path):
    from rotnet_keras import conv_blocks_extractor

    path = tmp_path / "net.weights.h5"
    pretrain(extractor, images, checkpoint=path, **SETTINGS)
    with pytest.raises(ValueError, match="is of another run"):
        pretrain(conv_blocks_extractor((12, 12, 1), (4, 8)), images, checkpoint=path, **SETTINGS)


@pytest.mark.parametrize("damage", [lambda good: b"", lambda good: good[: len(good) // 2]])
def test_a_torn_file_is_said_to_be_one(images, extractor, tmp_path, damage):
    path = tmp_path / "net.weights.h5"
    pretrain(extractor, images, checkpoint=path, **SETTINGS)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"net.weights.h5 cannot be read \(.*\): delete it"):
        pretrain(extractor, images, checkpoint=path, **SETTINGS)


def test_a_full_disk_leaves_the_last_good_file(images, extractor, tmp_path, monkeypatch):
    path, saved = tmp_path / "net.weights.h5", []
    save = keras.Model.save

    def fill(model, beside, **options):
        save(model, beside, **options)
        saved.append(beside)
        if len(saved) == 3:
            raise OSError("No space left on device")

    monkeypatch.setattr(keras.Model, "save", fill)
    with pytest.raises(OSError, match=r"net.weights.h5 cannot be written: No space left"):
        pretrain(extractor, images, checkpoint=path, **SETTINGS)
    assert [file.name for file in tmp_path.iterdir()] == ["net.weights.h5"]
    _, history = pretrain(extractor, images, checkpoint=path, **SETTINGS)
    assert len(saved) == 3 + 2  # epochs 3 and 4 were left
    assert len(history.history["loss"]) == 4


@pytest.mark.parametrize("path", ["net.keras", pathlib.Path("weights.h5")])
def test_the_name_must_say_what_the_file_is(images, extractor, path):
    with pytest.raises(ValueError, match=r"checkpoint must be a path ending in .weights.h5, got"):
        pretrain(extractor, images, checkpoint=path, **SETTINGS)
    with pytest.raises(ValueError, match=r"checkpoint must be a path ending in .weights.h5, got"):
        fine_tune(extractor, images, LABELS, checkpoint=path, **SETTINGS)


class StopAtEnd(keras.callbacks.Callback):
    """Breaks a run off when its epochs are over, before early stopping goes back to the best."""

    def on_train_end(self, logs=None):
        raise KeyboardInterrupt


def stopping_early(extractor, images, *, breaks=(), **options):
    """Fine-tuning that lowers its learning rate and stops, with a layer that draws at random."""
    dropout = keras.layers.Dropout(0.3, seed=1)(extractor.output)
    slower = keras.callbacks.ReduceLROnPlateau("val_accuracy", mode="max", factor=0.3, patience=1)
    return fine_tune(
        keras.Model(extractor.input, dropout),
        images,
        LABELS,
        validation=(images[::-1], LABELS),
        epochs=12,
        batch_size=3,
        optimizer=keras.optimizers.Adam(0.02),
        patience=3,
        augment=gentle_augmentation(seed=1),
        callbacks=[slower, *breaks],
        verbose=0,
        **options,
    )


@pytest.mark.parametrize("breaks", [[0], [1], [2, 1], ["end"]])
def test_broken_fine_tuning_ends_like_an_unbroken_one(images, extractor, tmp_path, breaks):
    whole, expected = stopping_early(extractor, images)
    path = tmp_path / "net.weights.h5"
    for epochs in breaks:
        stop = StopAtEnd() if epochs == "end" else StopAfter(epochs)
        with pytest.raises(KeyboardInterrupt):
            stopping_early(extractor, images, breaks=[stop], checkpoint=path)
    model, history = stopping_early(extractor, images, checkpoint=path)
    assert 4 <= len(history.epoch) < 12  # it stopped by itself
    rates = history.history["learning_rate"]
    assert rates[-1] < rates[0]  # and lowered its learning rate before that
    assert history.history == expected.history
    for a, b in zip(whole.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_finished_fine_tuning_is_only_read(images, extractor, tmp_path):
    path = tmp_path / "net.weights.h5"
    first, _ = stopping_early(extractor, images, checkpoint=path)
    written = path.stat().st_mtime_ns
    again, _ = stopping_early(extractor, images, checkpoint=path)
    assert path.stat().st_mtime_ns == written
    for a, b in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("labels", {"labels": LABELS[::-1]}),
        ("optimizer", {"optimizer": "sgd"}),
        ("patience", {"patience": 2, "validation": (np.zeros((3, 12, 12, 1)), LABELS[:3])}),
        ("trained_weights", {"frozen": True}),
        ("initial_weights", {"head": 1}),
        ("batch_size", {"batch_size": 4}),
    ],
)
def test_a_file_of_other_fine_tuning_is_left_alone(images, extractor, tmp_path, name, other):
    path = tmp_path / "net.weights.h5"

    def fit(*, labels=LABELS, frozen=False, head=0, **options):
        model = attach_head(extractor, 3, seed=head)
        model.get_layer("conv1").trainable = not frozen
        settings = SETTINGS | {"epochs": 1} | options
        return fit_classifier(model, images, labels, checkpoint=path, **settings)

    fit()
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"is of another run, with {{.*'{name}': .*: give"):
        fit(**other)
    assert path.read_bytes() == before


def test_a_folder_that_is_not_there_is_said_before_the_work(images, extractor, tmp_path):
    started = keras.callbacks.LambdaCallback(on_train_begin=lambda _: pytest.fail("has begun"))
    path = tmp_path / "nowhere" / "net.weights.h5"
    with pytest.raises(OSError, match=r"checkpoint must lie in a folder that can be written, got"):
        pretrain(extractor, images, checkpoint=path, callbacks=[started], **SETTINGS)
