import keras
import numpy as np
import pytest

from rotnet_keras import (
    InputError,
    conv_blocks_extractor,
    gentle_augmentation,
    pretrain,
    pretrain_contrast,
    remove_head,
)
from rotnet_keras.study.contrast import PROJECTION, ROTATIONS, NTXent, _batches


@pytest.fixture(scope="module")
def few():
    return np.random.default_rng(0).integers(0, 256, (40, 12, 12, 1), "uint8")


@pytest.fixture(scope="module")
def fresh():
    return conv_blocks_extractor((12, 12, 1), (4, 8))


def same(first, second):
    pairs = zip(first.get_weights(), second.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.backend
def test_loss_is_the_papers_equation():
    projections = np.random.default_rng(1).normal(size=(6, 3)).astype("float32")
    partners = np.array([3, 4, 5, 0, 1, 2])
    unit = projections / np.linalg.norm(projections, axis=1, keepdims=True)
    alike = np.exp(unit @ unit.T / 0.2)
    others = alike.sum(axis=1) - np.diag(alike)
    wanted = np.mean(np.log(others) - np.log(alike[np.arange(6), partners]))
    found = float(NTXent(0.2)(partners, projections))
    assert found == pytest.approx(wanted, rel=1e-5)


@pytest.mark.backend
@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_a_seed_repeats_it_and_the_given_extractor_stays(fresh, few, weight):
    before = [weights.copy() for weights in fresh.get_weights()]
    how = {"epochs": 2, "batch_size": 16, "rotation_weight": weight, "verbose": 0}
    model, history = pretrain_contrast(fresh, few, seed=3, **how)
    again, _ = pretrain_contrast(fresh, few, seed=3, **how)
    other, _ = pretrain_contrast(fresh, few, seed=4, **how)
    assert same(model, again)
    assert not same(model, other)
    assert all(np.array_equal(a, b) for a, b in zip(fresh.get_weights(), before, strict=True))
    assert model.output_shape == (None, 4 if weight else 64)
    assert remove_head(model).output_shape == fresh.output_shape
    assert [layer.name for layer in remove_head(model).layers] == [x.name for x in fresh.layers]
    assert len(history.history["loss"]) == 2


def test_both_losses_make_up_the_whole_and_are_learnt(splits):
    images = splits.unlabelled[:1000]
    extractor = conv_blocks_extractor(images.shape[1:], (8, 16))
    how = {"epochs": 4, "batch_size": 32, "learning_rate": 1e-2}
    _, history = pretrain_contrast(extractor, images, rotation_weight=3.0, verbose=0, **how)
    told = history.history
    for whole, contrast, turns in zip(
        told["loss"], told["projection_loss"], told["rotations_loss"], strict=True
    ):
        assert whole == pytest.approx(contrast + 3 * turns, rel=1e-3)
    assert told["projection_loss"][-1] < 0.9 * told["projection_loss"][0]
    first, *_, last = told["rotations_accuracy"]
    assert last > max(first, 0.3)  # chance is 0.25, and its noise 0.01


def test_batches_hold_two_views_turned_alike():
    """A view that is not changed is the image itself, so that both show the same turn of it."""
    images = np.arange(3 * 2 * 2, dtype="uint8").reshape(3, 2, 2, 1)
    dataset = _batches(images, 3, lambda x: x, True, 0, 0)
    seen = set()
    for rows, labels in dataset.take(20).as_numpy_iterator():
        turns, places = labels[ROTATIONS], labels[PROJECTION]
        np.testing.assert_array_equal(places, [3, 4, 5, 0, 1, 2])
        np.testing.assert_array_equal(rows, rows[places])
        upright = [np.rot90(row, -turn) for row, turn in zip(rows[:3], turns, strict=False)]
        assert {image.tobytes() for image in upright} == {image.tobytes() for image in images}
        seen |= {*turns.tolist()}
    assert seen == {0, 1, 2, 3}


def test_contrast_alone_turns_nothing_and_draws_two_views():
    images = np.random.default_rng(0).integers(0, 256, (4, 9, 9, 1), "uint8")
    rows, partners = next(
        _batches(images, 4, gentle_augmentation(mirror=False), False, 0, 0).as_numpy_iterator()
    )
    assert rows.shape == (8, 9, 9, 1)
    np.testing.assert_array_equal(partners, [4, 5, 6, 7, 0, 1, 2, 3])
    assert not np.array_equal(rows[:4], rows[4:])


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_stopped_run_goes_on_as_if_it_had_never_been(fresh, few, weight, tmp_path):
    how = {"epochs": 3, "batch_size": 16, "rotation_weight": weight, "verbose": 0}
    whole, told = pretrain_contrast(fresh, few, **how)

    class Killed(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    path = tmp_path / "run.weights.h5"
    with pytest.raises(KeyboardInterrupt):
        pretrain_contrast(fresh, few, checkpoint=path, callbacks=[Killed()], **how)
    resumed, history = pretrain_contrast(fresh, few, checkpoint=path, **how)
    assert same(whole, resumed)
    assert history.history["loss"] == pytest.approx(told.history["loss"])
    with pytest.raises(InputError, match="temperature"):
        pretrain_contrast(fresh, few, checkpoint=path, temperature=0.5, **how)


def test_what_cannot_be_contrasted_is_said(fresh, few):
    with pytest.raises(InputError, match="images must be two or more"):
        pretrain_contrast(fresh, few[:1])
    with pytest.raises(InputError, match=r"temperature must lie above 0.* got 0"):
        pretrain_contrast(fresh, few, temperature=0)
    with pytest.raises(InputError, match=r"augment must keep the shape .* got"):
        pretrain_contrast(fresh, few, augment=lambda x: x[:, 1:])
    with pytest.raises(InputError, match="augment must take a batch"):
        pretrain_contrast(fresh, few, augment=lambda x: x.no_such_thing)
    with pytest.raises(InputError, match="images"):
        pretrain_contrast(fresh, np.repeat(few, 3, axis=-1))
    with pytest.raises(InputError, match="batch_size"):
        pretrain_contrast(fresh, few, batch_size=1)


def test_small_batches_and_colour_are_taken():
    images = np.random.default_rng(0).integers(0, 256, (2, 12, 12, 3), "uint8")
    extractor = conv_blocks_extractor((12, 12, 3), (4, 8))
    model, _ = pretrain_contrast(extractor, images, epochs=1, projection=5, verbose=0)
    assert model.output_shape == (None, 5)
    assert np.isfinite(model.predict(images, verbose=0)).all()


def test_it_is_called_as_pretrain_is():
    """The same names for the same things, with the same defaults but for the batch."""
    from inspect import signature

    ours, theirs = signature(pretrain_contrast).parameters, signature(pretrain).parameters
    shared = {"epochs", "learning_rate", "augment", "precision", "checkpoint", "seed", "verbose"}
    assert shared <= {*ours} & {*theirs}
    assert {name: ours[name].default for name in shared} == {
        name: theirs[name].default for name in shared
    }
