import collections
import functools
import subprocess
import sys
import weakref

import keras
import numpy as np
import pandas as pd
import pytest
from test_table import hand_made

from rotnet_keras import Examples, Splits, attach_head, plot_budgets, split_indices
from rotnet_keras.cli.main import main
from rotnet_keras.study import run as study_run
from rotnet_keras.study import table as study_table
from rotnet_keras.study.arms import Arm
from rotnet_keras.study.run import run_study
from rotnet_keras.study.table import COLUMNS, KEY, read_study
from rotnet_keras.viewing import charts as viewing_charts

POOL, HELD_OUT = 40, 20
FREE_MEMORY = study_run.free_memory


def marked_images(count, first):
    """Images whose first pixel is a number of their own."""
    images = np.random.default_rng(first).integers(0, 256, (count, 12, 12, 1), "uint8")
    images[:, 0, 0, 0] = first + np.arange(count)
    return images


def marks(images):
    return set(np.asarray(images)[:, 0, 0, 0].tolist())


def tiny_splits(name="garments", *, num_labels, num_validation, seed, data_dir=None):
    """Two classes, 40 images marked 0 to 39 to learn from and 20 marked 100 to 119 to test on."""
    images, labels = marked_images(POOL, 0), np.arange(POOL) % 2
    unlabelled, labelled, validation = split_indices(
        labels, num_labels=num_labels, num_validation=num_validation, seed=seed
    )
    return Splits(
        name=name,
        class_names=("even", "odd"),
        unlabelled=images[unlabelled],
        labelled=Examples(images[labelled], labels[labelled]),
        validation=Examples(images[validation], labels[validation]),
        test=Examples(marked_images(HELD_OUT, 100), np.arange(HELD_OUT) % 2),
        stand_in=True,
    )


class Answers:
    """A classifier that tells even marks from odd ones, or says "even" to everything."""

    output_shape = (None, 2)

    def __init__(self, knows):
        self.knows = knows

    def __call__(self, images, training=False):
        odd = np.asarray(images)[:, 0, 0, 0] % 2 * self.knows
        return np.eye(2)[odd.astype(int)]


class Fits(list):
    """A record of all fits, which breaks off before the one numbered `stop_at`, as Ctrl-C does."""

    stop_at = None

    def fit(self, extractor, images, labels, *, arm, knows, unlabelled, seed, **settings):
        if len(self) == self.stop_at:
            self.stop_at = None
            raise KeyboardInterrupt
        self.append(
            {"arm": arm, "num_labels": len(labels), "seed": seed, "settings": settings}
            | {"extractor": extractor, "images": images, "unlabelled": unlabelled}
        )
        return Answers(knows)

    def counts(self):
        return collections.Counter((f["arm"], f["num_labels"], f["seed"]) for f in self)


@pytest.fixture
def fits(monkeypatch):
    """Tiny images in place of any data set, and two quick arms that keep a record."""
    fits = Fits()
    arms = {
        "knowing, well": Arm(
            functools.partial(fits.fit, arm="knowing, well", knows=True), {"strength": 0.25}
        ),
        "guessing": Arm(
            functools.partial(fits.fit, arm="guessing", knows=False),
            {"blocks": (1, 2)},
            pretext=False,
        ),
    }
    monkeypatch.setattr(study_run, "ARMS", arms)
    monkeypatch.setattr(study_table, "ARMS", arms)
    monkeypatch.setattr(study_run, "load_splits", tiny_splits)
    return fits


@pytest.fixture
def pretrained(monkeypatch):
    """Skip pretraining itself, of a network that loads fast; a record of what it was asked for."""
    asked = []

    def network(shape, seed):
        images = keras.Input(shape)
        initial = keras.initializers.GlorotUniform(seed=seed)
        x = keras.layers.Flatten(name="block1")(images)
        x = keras.layers.Dense(3, kernel_initializer=initial, name="block2")(x)
        return keras.Model(images, keras.layers.ReLU(name="block3")(x))

    def pretrain(extractor, images, **settings):
        asked.append({"images": images, **settings})
        return attach_head(extractor, len(settings["rotations"])), None

    monkeypatch.setattr(study_run, "pretrain_for_transfer", pretrain)
    monkeypatch.setattr(study_run, "rotation_accuracy", lambda *_, **__: 0.75)
    monkeypatch.setitem(study_run.NETWORKS, "two_conv", network)
    # The search for garbage takes ten times as long as such a run.
    monkeypatch.setattr(study_run, "free_memory", lambda: None)
    return asked


def quick(output, arms=("knowing, well", "guessing"), budgets=(2, 6), seeds=(0, 1), **settings):
    settings = {"network": "two_conv", "pretrain_epochs": 1, "num_validation": 10} | settings
    return run_study(arms, budgets, seeds, dataset="garments", output=output, verbose=0, **settings)


def keys(table):
    return [tuple(key) for key in table[["arm", "num_labels", "seed"]].itertuples(index=False)]


def test_one_row_for_each_run(fits, pretrained, tmp_path):
    table = quick(tmp_path)
    assert list(table.columns) == COLUMNS
    assert keys(table) == [
        (arm, budget, seed)
        for seed in (0, 1)
        for budget in (2, 6)
        for arm in ("knowing, well", "guessing")
    ]
    knowing, guessing = (table[table["arm"] == arm] for arm in ("knowing, well", "guessing"))
    for name in ("test_accuracy", "validation_accuracy"):
        assert set(knowing[name]) == {1.0}
        assert set(guessing[name]) == {0.5}
    assert knowing["pretext"].all()
    assert not guessing["pretext"].any()
    assert set(knowing["strength"]) == {0.25}
    assert set(guessing["blocks"]) == {"1 2"}
    assert guessing["strength"].isna().all()
    assert set(table["dataset"]) == {"garments"}
    assert set(table["num_unlabelled"]) == {POOL - 10}
    assert set(table["rotations"]) == {"0 90 180 270"}
    assert set(table["rotation_accuracy"]) == {0.75}
    pd.testing.assert_frame_equal(table, read_study(tmp_path / "study.csv"))


def test_one_network_for_each_seed_and_all_arms_get_it(fits, pretrained, tmp_path):
    quick(tmp_path)
    assert [asked["seed"] for asked in pretrained] == [0, 1]
    of_seed = {
        seed: [f["extractor"].get_weights()[0] for f in fits if f["seed"] == seed]
        for seed in (0, 1)
    }
    for weights in of_seed.values():
        assert len(weights) == 4
        for other in weights:
            np.testing.assert_array_equal(weights[0], other)
    assert not np.array_equal(of_seed[0][0], of_seed[1][0])


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
    assert len(set(keys(table))) == len(table) == 8
    assert set(fits.counts().values()) == {1}
    assert len(fits) == 8
    assert [asked["seed"] for asked in pretrained] == [0, 1]


def test_a_finished_study_is_only_read(fits, pretrained, tmp_path):
    first = quick(tmp_path)
    written = (tmp_path / "study.csv").read_bytes()
    pd.testing.assert_frame_equal(quick(tmp_path), first)
    assert len(fits) == 8
    assert (tmp_path / "study.csv").read_bytes() == written


def test_only_what_is_asked_for_is_returned(fits, pretrained, tmp_path):
    quick(tmp_path)
    table = quick(tmp_path, arms=["guessing"], budgets=[6], seeds=[1])
    assert keys(table) == [("guessing", 6, 1)]
    table = quick(tmp_path, arms=["guessing"], budgets=[6], seeds=[2])
    assert keys(table) == [("guessing", 6, 2)]
    assert len(fits) == 9


def test_what_a_run_leaves_is_let_go_but_the_users_devices_and_policy():
    network = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    network.itself, gone = network, weakref.ref(network)
    devices = object()
    keras.config.set_dtype_policy("mixed_bfloat16")
    keras.distribution.set_distribution(devices)
    try:
        del network
        FREE_MEMORY()
        assert gone() is None
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        assert keras.distribution.distribution() is devices
    finally:
        keras.config.set_dtype_policy("float32")
        keras.distribution.set_distribution(None)


def test_a_study_leaves_the_users_policy_and_devices(fits, pretrained, monkeypatch, tmp_path):
    monkeypatch.setattr(study_run, "free_memory", FREE_MEMORY)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        quick(tmp_path, arms=["guessing"], budgets=[6], seeds=[0])
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")


def test_a_table_of_an_earlier_version_goes_on(fits, pretrained, tmp_path):
    """It has a column that was dropped since, and lacks what a new arm is set by."""
    first = quick(tmp_path, arms=["guessing"], seeds=[0])
    path = tmp_path / "study.csv"
    lines = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]
    head = lines[0]
    gone = [head.index("format"), head.index("strength")]
    cut = [[cell for i, cell in enumerate(line) if i not in gone] for line in lines]
    for line, cell in zip(cut, ["transductive", "False", "False"], strict=True):
        line.insert(len(KEY), cell)
    path.write_text("".join(",".join(line) + "\n" for line in cut), encoding="utf-8")
    table = quick(tmp_path, seeds=[0])
    assert len(fits) == 4  # what was there is not done again
    assert list(table.columns) == [*cut[0], "strength", "format"]
    assert table["strength"].dropna().tolist() == [0.25, 0.25]
    assert table["format"].dropna().tolist() == [1, 1]
    kept = table[table["arm"] == "guessing"].reset_index(drop=True)
    shared = [name for name in first.columns if name not in ("format", "strength")]
    pd.testing.assert_frame_equal(kept[shared], first[shared])


def test_another_pretraining_is_another_run(fits, pretrained, tmp_path):
    one = {"arms": ["guessing"], "budgets": [6], "seeds": [0]}
    quick(tmp_path, **one)
    two = quick(tmp_path, **one, rotations=(0, 2))
    assert set(two["rotations"]) == {"0 180"}
    quick(tmp_path, **one, pretrain_epochs=2)
    assert [asked["rotations"] for asked in pretrained] == [(0, 1, 2, 3), (0, 2), (0, 1, 2, 3)]
    assert [asked["epochs"] for asked in pretrained] == [1, 1, 2]
    assert len(read_study(tmp_path / "study.csv")) == 3


def test_pretraining_and_an_arm_for_real(monkeypatch, tmp_path):
    monkeypatch.setattr(study_run, "load_splits", tiny_splits)
    table = quick(tmp_path, ["raw pixels", "block 2 probe"], [6], [0], network="conv_blocks")
    assert keys(table) == [("raw pixels", 6, 0), ("block 2 probe", 6, 0)]
    assert table["pretext"].tolist() == [False, True]
    assert table["blocks"].tolist()[1] == "2"
    assert table["rotation_accuracy"].nunique() == 1
    assert table["rotation_accuracy"].between(0, 1).all()
    assert table["test_accuracy"].between(0, 1).all()


class StopInSecondEpoch(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


def test_a_network_in_progress_goes_on(fits, monkeypatch, tmp_path):
    once = {"arms": ["guessing"], "budgets": [6], "seeds": [0], "pretrain_epochs": 3}
    quick(tmp_path / "whole", **once)
    real = study_run.pretrain_for_transfer
    with monkeypatch.context() as patch:
        stopped = functools.partial(real, callbacks=[StopInSecondEpoch()])
        patch.setattr(study_run, "pretrain_for_transfer", stopped)
        with pytest.raises(KeyboardInterrupt):
            quick(tmp_path / "broken", **once)
    (checkpoint,) = (tmp_path / "broken").iterdir()
    assert checkpoint.name.endswith("_0.weights.h5")
    table = quick(tmp_path / "broken", **once)
    assert table["pretrain_seconds"].isna().all()  # it was not all of this call
    whole, broken = (fit["extractor"].get_weights() for fit in fits)
    for a, b in zip(whole, broken, strict=True):
        np.testing.assert_array_equal(a, b)
    endings = {path.name: path.suffix for path in (tmp_path / "broken").iterdir()}
    assert sorted(endings.values()) == [".csv", ".json", ".keras"]


@pytest.mark.parametrize("ending", [".keras", ".json"])
def test_torn_files_of_a_network_are_said_to_be(fits, pretrained, tmp_path, ending):
    quick(tmp_path, seeds=[0])
    (path,) = tmp_path.glob(f"*{ending}")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"cannot be read \(.*\): delete both to pretrain again"):
        quick(tmp_path, seeds=[0], budgets=[4])
    assert len(read_study(tmp_path / "study.csv")) == 4


def csv_text(fits, folder):
    quick(folder, seeds=[0])
    return (folder / "study.csv").read_text(encoding="utf-8")


def test_a_torn_last_line_is_cut_off_and_its_run_done_again(fits, pretrained, tmp_path):
    text = csv_text(fits, tmp_path)
    path = tmp_path / "study.csv"
    path.write_text(text[:-20], encoding="utf-8")
    with pytest.warns(UserWarning, match=r"study\.csv: cut off its torn last line"):
        table = quick(tmp_path, seeds=[0])
    assert len(table) == 4
    assert sorted(fits.counts().values()) == [1, 1, 1, 2]
    assert fits[-1]["arm"] == "guessing"
    again = path.read_text(encoding="utf-8")
    assert again.splitlines()[:-1] == text.splitlines()[:-1]
    assert again.endswith("\n")


@pytest.mark.filterwarnings("ignore:.*torn last line")
def test_wherever_a_table_is_torn_its_whole_lines_remain(fits, pretrained, tmp_path):
    text = csv_text(fits, tmp_path)
    path = tmp_path / "study.csv"
    whole = 1 + len(text.splitlines()[0])
    for length in (*range(whole + 3), *range(whole + 3, len(text) + 1, 7), len(text)):
        path.write_text(text[:length], encoding="utf-8")
        table = read_study(path)
        rows = text[:length].count("\n") - 1
        assert (0 if table is None else len(table)) == max(rows, 0), f"torn after {length}"
        if path.exists():
            assert path.read_text(encoding="utf-8") == text[: text[:length].rindex("\n") + 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "mixed_bfloat16"}, r"precision \['float32'\] instead of 'mixed_bfloat16'"),
        ({"num_validation": 12}, r"num_validation \[.*10.*\] instead of 12"),
    ],
)
@pytest.mark.parametrize("torn", [False, True])
def test_table_of_another_study_is_refused_and_left_alone(
    fits, pretrained, tmp_path, settings, message, torn
):
    text = csv_text(fits, tmp_path)
    before = text.encode()[: -20 if torn else None]
    (tmp_path / "study.csv").write_bytes(before)
    with pytest.raises(ValueError, match=message):
        quick(tmp_path, seeds=[0], **settings)
    assert (tmp_path / "study.csv").read_bytes() == before
    assert len(fits) == 4


@pytest.mark.parametrize(
    "content", [b"a,b\n1,2\n", b"a,b\n1,", b"arm\nplain\n", b"no table at all"]
)
def test_other_files_are_refused_and_left_alone(fits, pretrained, tmp_path, content):
    (tmp_path / "study.csv").write_bytes(content)
    with pytest.raises(ValueError, match="output must hold no table of another study"):
        quick(tmp_path)
    assert (tmp_path / "study.csv").read_bytes() == content
    assert fits == []


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


@pytest.fixture
def calls(monkeypatch):
    """Stand in for the study itself, and keep what the command line made of its options."""
    seen = []

    def record(**options):
        seen.append(options)
        return hand_made()

    monkeypatch.setattr(study_run, "run_study", record)
    return seen


def test_picture_of_the_study_tells_who_did_without_the_pretext(calls, monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(
        viewing_charts, "plot_budgets", lambda summary: drawn.append(plot_budgets(summary))
    )
    assert main(["study", "--output", str(tmp_path), "--dataset", "garments"]) == 0
    styles = {line.get_label(): line[0].get_linestyle() for line in drawn[0].containers}
    assert styles == {"plain": "--", "flashy": "--", "once": "--", "pretrained": "-"}
    assert drawn[0].figure.get_suptitle().startswith("drawn stand-in garments: test accuracy")


def test_options_reach_the_study(calls, capsys, tmp_path):
    options = "--budgets 10 50 --seed 3 --num-seeds 2 --dataset mnist --network nin4 --data-dir d"
    options += " --pretrain-epochs 7 --rotations 0 180 --validation 500 --precision mixed_bfloat16"
    arms = ["--arms", "raw pixels", "fine-tuned"]
    assert main(["study", *arms, *options.split(), "--output", str(tmp_path)]) == 0
    (call,) = calls
    assert call["arms"] == ["raw pixels", "fine-tuned"]
    assert call["budgets"] == [10, 50]
    assert list(call["seeds"]) == [3, 4]
    assert list(call["rotations"]) == [0, 2]
    assert (call["dataset"], call["network"], call["data_dir"]) == ("mnist", "nin4", "d")
    assert (call["pretrain_epochs"], call["num_validation"]) == (7, 500)
    assert call["precision"] == "mixed_bfloat16"
    printed = capsys.readouterr().out
    assert "10 pretrained 60.0 108.3 3 plain 20.0 0.0" in " ".join(printed.split())
    assert str(tmp_path / "study.csv") in printed
    assert (tmp_path / "accuracy.png").read_bytes().startswith(b"\x89PNG")


def test_defaults_are_those_of_the_function(calls, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study").mkdir()
    assert main(["study"]) == 0
    (call,) = calls
    assert "arms" not in call
    assert tuple(call["budgets"]) == study_run.BUDGETS
    assert list(call["seeds"]) == [0, 1, 2, 3, 4]
    assert tuple(call["rotations"]) == (0, 1, 2, 3)
    assert (call["dataset"], call["network"]) == ("fashion_mnist", "conv_blocks")
    assert (call["num_validation"], call["output"]) == (10_000, "study")


def test_the_whole_command_prints_its_table(fits, pretrained, capsys, tmp_path):
    options = "--budgets 2 6 --num-seeds 2 --network two_conv --validation 10 --dataset garments"
    arms = ["--arms", "knowing, well", "guessing"]
    for _ in range(2):  # the second time, everything is there already
        assert main(["study", *arms, *options.split(), "--output", str(tmp_path)]) == 0
        printed = " ".join(capsys.readouterr().out.split())
        for budget in (2, 6):
            assert f"{budget} knowing, well 100.0 0.0 2 guessing 50.0 0.0" in printed
            assert f"{budget} guessing 50.0 0.0 2 guessing 0.0 0.0" in printed
    assert len(fits) == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--arms", "praying"],
            "--arms must be one of ('knowing, well', 'guessing'), got 'praying'",
        ),
        (["--network", "resnet"], "--network must be one of ('conv_blocks'"),
        (["--budgets", "1"], "--budgets must be at least 2, one for each class, got 1"),
        (["--budgets", "500"], "--budgets + --num-validation must be at most 38"),
        (["--rotations", "90"], "--rotations must be two or more different ones"),
        (["--budgets", "6", "500"], "--budgets must be at most 28, so that some images stay"),
        (["--baseline", "praying"], "--baseline must be one of ('without pretext', 'guessing')"),
    ],
)
def test_errors_are_one_line(fits, capsys, tmp_path, options, message):
    base = "--budgets 6 --num-seeds 1 --network two_conv --validation 10 --dataset garments"
    base = ["study", *base.split(), "--arms", "guessing", "--output", str(tmp_path)]
    assert main([*base, *options]) == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("rotnet_keras:")]
    assert line.startswith(f"rotnet_keras: {message}")


@pytest.mark.parametrize(
    "options",
    [["--rotations", "0", "45"], ["--num-seeds", "0"], ["--budgets", "few"], ["--no-such-option"]],
)
def test_options_that_cannot_be_read(calls, capsys, options):
    with pytest.raises(SystemExit) as stop:
        main(["study", *options])
    assert stop.value.code == 2
    assert "usage: python -m rotnet_keras study" in capsys.readouterr().err
    assert calls == []


def test_interrupt_says_how_to_go_on(fits, pretrained, capsys, tmp_path):
    fits.stop_at = 1
    options = "--budgets 6 --num-seeds 2 --network two_conv --validation 10 --arms guessing"
    command = ["study", *options.split(), "--output", str(tmp_path)]
    assert main(command) == 130
    assert "start it again" in capsys.readouterr().err
    assert main(command) == 0
    assert len(fits) == 2


def test_help_explains_each_option():
    command = [sys.executable, "-m", "rotnet_keras", "study", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for option in ("--arms", "--budgets", "--num-seeds", "--rotations", "--baseline", "--output"):
        assert option in text
    assert "goes on where it was stopped" in " ".join(text.split())
