"""The study's runs: what each arm gets, what is repeated, and what goes on."""

import dataclasses
import functools
import weakref
from typing import get_args

import keras
import numpy as np
import pandas as pd
import pytest
import tiny_study
from tiny_study import POOL, keys, quick, tiny_splits

from rotnet_keras import Examples, InputError, attach_head
from rotnet_keras.cli.described import PRETEXTS as COMMAND_LINES
from rotnet_keras.study import pretexts as study_pretexts
from rotnet_keras.study import run as study_run
from rotnet_keras.study.rows import PRETEXTS
from rotnet_keras.study.table import COLUMNS, read_study, summarise_study

FREE_MEMORY = study_run.free_memory
ONE_RUN = {"arms": ["guessing"], "budgets": [6], "seeds": [0]}
fits, pretrained = pytest.fixture(tiny_study.fits), pytest.fixture(tiny_study.pretrained)


def marks(images):
    return set(np.asarray(images)[:, 0, 0, 0].tolist())


def test_one_row_for_each_run(fits, pretrained, tmp_path):
    table = quick(tmp_path)
    assert list(table.columns) == COLUMNS
    arms = ("knowing, well", "guessing")
    assert keys(table) == [
        (arm, budget, seed) for seed in (0, 1) for budget in (2, 6) for arm in arms
    ]
    knowing, guessing = (table[table["arm"] == arm] for arm in arms)
    for name in ("test_accuracy", "validation_accuracy"):
        assert set(knowing[name]) == {1.0}
        assert set(guessing[name]) == {0.5}
    assert set(knowing["pretext"]) == {"rotation"}
    assert set(guessing["pretext"]) == {"none"}
    assert set(knowing["strength"]) == {0.25}
    assert set(guessing["blocks"]) == {"1 2"}
    assert guessing["strength"].isna().all()
    of_all = {"dataset": "garments", "num_unlabelled": POOL - 10, "rotations": "0 90 180 270"}
    for name, value in (of_all | {"rotation_accuracy": 0.75}).items():
        assert set(table[name]) == {value}, name
    pd.testing.assert_frame_equal(table, read_study(tmp_path / "study.csv"))


def test_one_network_for_each_seed_and_all_arms_get_it(fits, pretrained, tmp_path):
    quick(tmp_path)
    assert [asked["seed"] for asked in pretrained] == [0, 1]
    zero, one = (
        [fit["extractor"].get_weights()[0] for fit in fits if fit["seed"] == seed]
        for seed in (0, 1)
    )
    for weights in (zero, one):
        assert len(weights) == 4
        for other in weights:
            np.testing.assert_array_equal(weights[0], other)
    assert not np.array_equal(zero[0], one[0])


def test_no_test_or_validation_image_is_learnt_from(fits, pretrained, tmp_path):
    quick(tmp_path, budgets=[6])
    drawn = {seed: tiny_splits(num_labels=6, num_validation=10, seed=seed) for seed in (0, 1)}
    for asked in pretrained:
        held_out = marks(drawn[asked["seed"]].validation.images)
        assert marks(asked["images"]) == set(range(POOL)) - held_out
    for fit in fits:
        splits = drawn[fit["seed"]]
        assert marks(fit["images"]) == marks(splits.labelled.images)
        assert marks(fit["unlabelled"]) == marks(splits.unlabelled)
        assert fit["settings"]["num_classes"] == 2
    assert marks(drawn[0].labelled.images) != marks(drawn[1].labelled.images)


@pytest.mark.parametrize("stop_at", [0, 3, 4, 7])
def test_a_stopped_study_goes_on_and_repeats_or_loses_nothing(fits, pretrained, tmp_path, stop_at):
    fits.stop_at = stop_at
    with pytest.raises(KeyboardInterrupt):
        quick(tmp_path)
    table = quick(tmp_path)
    assert len(set(keys(table))) == len(table) == len(fits) == 8
    assert set(fits.counts().values()) == {1}
    assert [asked["seed"] for asked in pretrained] == [0, 1]


def test_a_finished_study_is_only_read(fits, pretrained, tmp_path):
    first = quick(tmp_path)
    written = (tmp_path / "study.csv").read_bytes()
    pd.testing.assert_frame_equal(quick(tmp_path), first)
    assert len(fits) == 8
    assert (tmp_path / "study.csv").read_bytes() == written


def test_data_sets_stand_in_one_table(fits, pretrained, tmp_path):
    first = quick(tmp_path, seeds=[0])
    other = quick(tmp_path, seeds=[0], dataset="others")
    assert set(other["dataset"]) == {"others"}
    assert len(fits) == 8
    pd.testing.assert_frame_equal(quick(tmp_path, seeds=[0]), first)
    assert len(fits) == 8
    whole = read_study(tmp_path / "study.csv")
    assert whole["dataset"].tolist() == ["garments"] * 4 + ["others"] * 4
    summary = summarise_study(whole)
    assert summary["dataset"].tolist() == ["garments"] * 4 + ["others"] * 4
    assert set(summary["gain"]) == {0.0, 50.0}  # each against the arm of its own data set


def test_what_is_there_already_is_said(fits, pretrained, tmp_path, capsys):
    loud = functools.partial(quick, tmp_path, verbose=1)
    loud(seeds=[0])
    assert capsys.readouterr().out == ""
    loud()
    assert capsys.readouterr().out == "study: 4 of 8 runs are there already\n"
    quick(tmp_path)
    assert capsys.readouterr().out == ""


def test_only_what_is_asked_for_is_returned(fits, pretrained, tmp_path):
    quick(tmp_path)
    for seed, done in ((1, 8), (2, 9)):
        assert keys(quick(tmp_path, **ONE_RUN | {"seeds": [seed]})) == [("guessing", 6, seed)]
        assert len(fits) == done


@pytest.fixture
def half_precision():
    """The user's dtype policy."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def test_what_a_run_leaves_is_let_go_but_the_users_devices_and_policy(half_precision):
    network = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    network.itself, gone = network, weakref.ref(network)
    devices = object()
    keras.distribution.set_distribution(devices)
    try:
        del network
        FREE_MEMORY()
        assert gone() is None
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        assert keras.distribution.distribution() is devices
    finally:
        keras.distribution.set_distribution(None)


def test_a_study_leaves_the_users_policy_and_devices(
    half_precision, fits, pretrained, monkeypatch, tmp_path
):
    monkeypatch.setattr(study_run, "free_memory", FREE_MEMORY)
    quick(tmp_path, **ONE_RUN)
    assert keras.config.dtype_policy().name == "mixed_bfloat16"


def test_another_pretraining_is_another_run(fits, pretrained, tmp_path):
    quick(tmp_path, **ONE_RUN)
    two = quick(tmp_path, **ONE_RUN, rotations=(0, 2))
    assert set(two["rotations"]) == {"0 180"}
    quick(tmp_path, **ONE_RUN, pretrain_epochs=2)
    assert [asked["rotations"] for asked in pretrained] == [(0, 1, 2, 3), (0, 2), (0, 1, 2, 3)]
    assert [asked["epochs"] for asked in pretrained] == [1, 1, 2]
    assert len(read_study(tmp_path / "study.csv")) == 3


def test_pretraining_and_an_arm_for_real(monkeypatch, tmp_path):
    monkeypatch.setattr(study_run, "load_splits", tiny_splits)
    table = quick(tmp_path, ["raw pixels", "block 2 probe"], [6], [0], network="conv_blocks")
    assert keys(table) == [("raw pixels", 6, 0), ("block 2 probe", 6, 0)]
    assert table["pretext"].tolist() == ["none", "rotation"]
    assert table["blocks"].tolist()[1] == "2"
    assert table["rotation_accuracy"].nunique() == 1
    assert table[["rotation_accuracy", "test_accuracy"]].stack().between(0, 1).all()


class StopInSecondEpoch(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


def test_a_network_in_progress_goes_on(fits, monkeypatch, tmp_path, capsys):
    once = ONE_RUN | {"pretrain_epochs": 3}
    quick(tmp_path / "whole", **once)
    real = study_pretexts.pretrain_for_transfer
    with monkeypatch.context() as patch:
        stopped = functools.partial(real, callbacks=[StopInSecondEpoch()])
        patch.setattr(study_pretexts, "pretrain_for_transfer", stopped)
        with pytest.raises(KeyboardInterrupt):
            quick(tmp_path / "broken", **once)
    (checkpoint,) = (tmp_path / "broken").glob("[!.]*")
    assert checkpoint.name.endswith("_0.weights.h5")
    table = quick(tmp_path / "broken", **once, verbose=1)
    assert capsys.readouterr().out == (
        "pretraining of seed 0: going on after epoch 1 of an earlier run\n"
    )
    assert table["pretrain_seconds"].isna().all()  # it was not all of this call
    for a, b in zip(*(fit["extractor"].get_weights() for fit in fits), strict=True):
        np.testing.assert_array_equal(a, b)
    endings = [path.suffix for path in (tmp_path / "broken").glob("[!.]*")]
    assert sorted(endings) == [".csv", ".json", ".keras"]


@pytest.mark.parametrize("ending", [".keras", ".json"])
def test_torn_files_of_a_network_are_said_to_be(fits, pretrained, tmp_path, ending):
    quick(tmp_path, seeds=[0])
    (path,) = tmp_path.glob(f"*{ending}")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"cannot be read \(.*\): delete both to pretrain again"):
        quick(tmp_path, seeds=[0], budgets=[4])
    assert len(read_study(tmp_path / "study.csv")) == 4


def test_a_network_pretrained_on_other_data_is_not_taken_over(fits, pretrained, tmp_path):
    """Stopped after pretraining and before the first row, then asked for other images."""
    fits.stop_at = 0
    with pytest.raises(KeyboardInterrupt):
        quick(tmp_path, budgets=[6], seeds=[0])
    table = quick(tmp_path, budgets=[6], seeds=[0], num_validation=20)
    assert set(table["num_unlabelled"]) == {POOL - 20}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"arms": ["guessing", "praying"]}, r"arms must be one of \('knowing.*\), got 'praying'"),
        ({"arms": []}, "arms must hold at least one arm, got none"),
        ({"network": "resnet"}, r"network must be one of \('conv_blocks', .*got 'resnet'"),
        ({"pretrain_epochs": 0}, "pretrain_epochs must be a whole number of at least 1, got 0"),
        ({"budgets": [1]}, "num_labels must be at least 2, one for each class, got 1"),
        ({"budgets": [31]}, r"num_labels \+ num_validation must be at most 38 .* got 31 \+ 10"),
        ({"rotations": (0, 7)}, r"rotations must be two or more .* got \(0, 7\)"),
        ({"seeds": []}, "seeds must"),
        ({"budgets": []}, "budgets must"),
    ],
)
def test_wrong_settings(fits, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        quick(tmp_path, **settings)
    assert fits == []


def test_uneven_classes_get_a_balanced_accuracy(fits, pretrained, monkeypatch, tmp_path):
    def uneven(*arguments, **settings):
        splits = tiny_splits(*arguments, **settings)
        images = splits.test.images[[0, 1, 2, 4, 6, 8]]  # one of them odd
        test = Examples(images, images[:, 0, 0, 0] % 2)
        return dataclasses.replace(splits, test=test)

    monkeypatch.setattr(study_run, "load_splits", uneven)
    table = quick(tmp_path, budgets=[2], seeds=[0]).set_index("arm")
    assert table["balanced_accuracy"].to_dict() == {"knowing, well": 1.0, "guessing": 0.5}
    assert table.loc["guessing", "test_accuracy"] == pytest.approx(5 / 6, abs=1e-5)


def test_folders_are_read_as_is_asked(fits, pretrained, monkeypatch, tmp_path):
    asked, reading = [], {"repeats": "keep", "parts": "named", "fit": "pad", "channels": 1}
    monkeypatch.setattr(
        study_run, "load_splits", lambda name, **how: asked.append(how) or tiny_splits(**how)
    )
    quick(tmp_path, budgets=[6], seeds=[0], **reading)
    assert len(asked) == 2
    assert all(reading.items() <= how.items() for how in asked)


def test_pretext_tasks_stand_side_by_side_in_one_table(fits, pretrained, monkeypatch, tmp_path):
    """Arms without a pretext task are run once for all; each task has a network of its own."""
    asked = []

    def contrast(extractor, images, **settings):
        asked.append(settings)
        return attach_head(extractor, 4), None

    monkeypatch.setattr(study_pretexts, "pretrain_contrast", contrast)
    for pretext in ("rotation", "contrast", "rotation + contrast"):
        table = quick(tmp_path, budgets=[6], seeds=[0], pretext=pretext)
        assert {*table["pretext"]} == {pretext, "none"}
    whole = read_study(tmp_path / "study.csv")
    tasks = [*zip(whole["arm"], whole["pretext"], strict=True)]
    assert tasks == [
        ("knowing, well", "rotation"),
        ("guessing", "none"),
        ("knowing, well", "contrast"),
        ("knowing, well", "rotation + contrast"),
    ]
    assert [settings["rotation_weight"] for settings in asked] == [0, 1]
    assert len(pretrained) == 1
    assert len([*tmp_path.glob("*.keras")]) == 3
    told = whole.set_index("pretext")["rotation_accuracy"]
    assert told.isna().to_dict() == {
        name: name == "contrast" for name in ("rotation", "none", "contrast", "rotation + contrast")
    }


def test_turns_are_chosen_for_rotation_alone(fits, pretrained, tmp_path):
    with pytest.raises(InputError, match="rotations must be all four with pretext 'contrast'"):
        quick(tmp_path, pretext="contrast", rotations=(0, 2))


def test_one_list_of_tasks():
    """The command line, the table and the signature have the same."""
    assert get_args(study_run.Pretext) == PRETEXTS == COMMAND_LINES


def test_what_is_named_twice_is_run_once(fits, pretrained, tmp_path):
    twice = {"arms": ["guessing"] * 2, "budgets": [6, 6], "seeds": [0, 0]}
    table = quick(tmp_path, **twice)
    assert keys(table) == [("guessing", 6, 0)]
    assert len(fits) == 1
    pd.testing.assert_frame_equal(quick(tmp_path, **ONE_RUN), table)
