"""The study's job on the command line."""

import subprocess
import sys

import pytest
import tiny_study
from picture_files import make_folder
from tiny_study import TINY, hand_made

from rotnet_keras import plot_budgets
from rotnet_keras.cli.main import main
from rotnet_keras.study import run as study_run
from rotnet_keras.viewing import budgets as viewing_budgets

fits, pretrained = pytest.fixture(tiny_study.fits), pytest.fixture(tiny_study.pretrained)


# How folders are read where no option says otherwise.
READ_AS_USUAL = {"image_size": None, "fit": "crop", "channels": None, "ground": 255, "white": None}
READ_AS_USUAL |= {"broken": "raise", "repeats": "raise", "parts": "any", "follow_links": False}


@pytest.fixture
def calls(monkeypatch):
    """Stand in for the study itself, and keep what the command line made of its options."""
    seen = []
    table = hand_made().assign(dataset="garments")
    monkeypatch.setattr(study_run, "run_study", lambda **given: seen.append(given) or table)
    return seen


def test_picture_of_the_study_tells_who_did_without_the_pretext(calls, monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(
        viewing_budgets, "plot_budgets", lambda summary: drawn.append(plot_budgets(summary))
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
    wanted = {"arms": ["raw pixels", "fine-tuned"], "budgets": [10, 50], "seeds": range(3, 5)}
    wanted |= {"rotations": [0, 2], "dataset": "mnist", "network": "nin4", "data_dir": "d"}
    wanted["pretext"] = "rotation"
    wanted |= {"pretrain_epochs": 7, "num_validation": 500, "precision": "mixed_bfloat16"}
    wanted |= {"output": str(tmp_path)} | READ_AS_USUAL
    assert calls == [wanted]
    printed = capsys.readouterr().out
    assert "10 rotation pretrained 60.0 108.3 3 plain 20.0 0.0" in " ".join(printed.split())
    assert str(tmp_path / "study.csv") in printed
    assert (tmp_path / "accuracy.png").read_bytes().startswith(b"\x89PNG")


def test_own_pictures_are_studied_with_the_labels_that_there_are(calls, capsys, tmp_path):
    pictures, output = make_folder(tmp_path / "pictures"), ["--output", str(tmp_path)]
    assert main(["study", "--images", str(pictures), *output]) == 0
    wanted = {"dataset": pictures, "image_size": 32, "budgets": [10], "num_validation": 5}
    assert wanted.items() <= calls[0].items()
    assert capsys.readouterr().out.splitlines()[1].startswith("36 labelled pictures of 2 classes (")
    own = ["--budgets", "2", "7", "--num-validation", "9", "--image-size", "12"]
    own += ["--repeats", "keep", "--broken", "skip", "--channels", "1", "--follow-links"]
    assert main(["study", "--images", str(pictures / "labelled"), *own, *output]) == 0
    wanted = {"image_size": 12, "budgets": [2, 7], "num_validation": 9, "repeats": "keep"}
    wanted |= {"broken": "skip", "channels": 1, "follow_links": True}
    assert (wanted | {"dataset": pictures / "labelled"}).items() <= calls[1].items()
    for file in pictures.glob("labelled/*/?.png"):  # ten of each
        file.unlink()
    assert main(["study", "--images", str(pictures), *output]) == 0
    assert calls[2]["budgets"] == [16 - 2 - 2 - 2]  # for the test, validation, and left over
    with pytest.raises(SystemExit):
        main(["study", "--images", str(pictures), "--dataset", "mnist"])


def test_pictures_that_are_too_few_for_a_study(calls, capsys, tmp_path):
    pictures = make_folder(tmp_path / "pictures")
    for file in pictures.glob("labelled/*/*"):
        if file.stem not in ("10", "11", "12"):
            file.unlink()
    assert main(["study", "--images", str(pictures), "--output", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "images must hold more labelled pictures for a study: 2 are for validation" in said
    assert calls == []


def test_defaults_are_those_of_the_function(calls, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study").mkdir()
    assert main(["study"]) == 0
    (call,) = calls
    assert call.get("arms") is None
    wanted = {"budgets": study_run.BUDGETS, "seeds": range(5), "rotations": [0, 1, 2, 3]}
    wanted |= {"dataset": "fashion_mnist", "network": "conv_blocks", "num_validation": 10_000}
    call["budgets"] = tuple(call["budgets"])
    assert (wanted | {"output": "study"}).items() <= call.items()


def test_the_whole_command_prints_its_table(fits, pretrained, capsys, tmp_path):
    options = ["--budgets", "2", "6", "--num-seeds", "2", "--arms", "knowing, well", "guessing"]
    for _ in range(2):  # the second time, everything is there already
        assert main([*TINY, str(tmp_path), *options]) == 0
        printed = " ".join(capsys.readouterr().out.split())
        for budget in (2, 6):
            assert f"{budget} rotation knowing, well 100.0 0.0 2 guessing 50.0 0.0" in printed
            assert f"{budget} none guessing 50.0 0.0 2 guessing 0.0 0.0" in printed
    assert len(fits) == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--arms praying", "--arms must be one of ('knowing, well', 'guessing'), got 'praying'"),
        ("--network resnet", "--network must be one of ('conv_blocks'"),
        ("--budgets 1", "--budgets must be at least 2, one for each class, got 1"),
        ("--budgets 500", "--budgets + --num-validation must be at most 38"),
        (
            "--rotations 0 180 --pretext contrast",
            "--rotations must be all of (0, 90, 180, 270) with pretext 'contrast'",
        ),
        ("--rotations 90", "--rotations must be two or more different ones of (0, 90,"),
        ("--budgets 6 500", "--budgets must be at most 28, so that some images stay"),
        ("--network resnet --baseline x", "--network must be one of ('conv_blocks'"),
        ("--baseline praying", "--baseline must be one of ('without pretext', 'guessing')"),
    ],
)
def test_errors_are_one_line(fits, capsys, tmp_path, options, message):
    base = ["--budgets", "6", "--num-seeds", "1", "--arms", "guessing"]
    assert main([*TINY, str(tmp_path), *base, *options.split()]) == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("rotnet_keras:")]
    assert line.startswith(f"rotnet_keras: {message}")


@pytest.mark.parametrize(
    "options", ["--rotations 0 45", "--num-seeds 0", "--budgets few", "--no-such-option"]
)
def test_options_that_cannot_be_read(calls, capsys, options):
    with pytest.raises(SystemExit) as stop:
        main(["study", *options.split()])
    assert stop.value.code == 2
    assert "usage: python -m rotnet_keras study" in capsys.readouterr().err
    assert calls == []


def test_interrupt_says_how_to_go_on(fits, pretrained, capsys, tmp_path):
    fits.stop_at = 1
    command = [*TINY, str(tmp_path), *["--budgets", "6", "--num-seeds", "2", "--arms", "guessing"]]
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
