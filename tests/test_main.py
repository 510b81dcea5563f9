import subprocess
import sys

import pytest

from rotnet_keras import DatasetError, experiment, two_conv_extractor
from rotnet_keras.__main__ import main

RESULTS = {
    "rotation_accuracy": 0.975,
    "stand_in": False,
    "num_labels": 1000,
    "arms": {arm: {"short": 0.6, "long": 0.8} for arm in ("scratch", "frozen", "fine_tuned")},
}


@pytest.fixture
def calls(monkeypatch):
    """Stand in for the experiment itself, and keep what the command line made of its options."""
    seen = []

    def record(dataset, **options):
        seen.append({"dataset": dataset, **options})
        return RESULTS

    monkeypatch.setattr(experiment, "run_experiment", record)
    return seen


def test_help_explains_each_option():
    command = [sys.executable, "-m", "rotnet_keras", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for option in ("--dataset", "--labels", "--seed", "--output", "--data-dir", "--quick"):
        assert option in text
    for word in ("stand-in", "default: 1000", "default: results", "95% interval"):
        assert word in text


def test_options_reach_the_experiment(calls, capsys, tmp_path):
    options = [
        "--dataset",
        "mnist",
        "--labels",
        "50",
        "--validation",
        "700",
        "--seed",
        "4",
        "--quick",
    ]
    assert main([*options, "--output", str(tmp_path), "--data-dir", "d", "--manual-dir", "m"]) == 0
    assert calls == [
        {
            "dataset": "mnist",
            "num_labels": 50,
            "num_validation": 700,
            "seed": 4,
            "output": tmp_path,
            "data_dir": "d",
            "manual_dir": "m",
            "quick": True,
        }
    ]
    printed = capsys.readouterr().out
    assert "fine_tuned, long   75.0  80.0" in printed
    assert "--quick run" in printed
    assert "STAND-IN" not in printed


def test_defaults(calls):
    assert main([]) == 0
    assert calls[0]["dataset"] is None
    assert (calls[0]["num_labels"], calls[0]["seed"], calls[0]["quick"]) == (1000, 0, False)
    assert str(calls[0]["output"]) == "results"


def test_several_seeds_get_folders_of_their_own(calls, tmp_path):
    assert main(["--num-seeds", "3", "--seed", "5", "--output", str(tmp_path)]) == 0
    assert [call["seed"] for call in calls] == [5, 6, 7]
    assert [call["output"].name for call in calls] == ["seed_5", "seed_6", "seed_7"]


def test_stand_in_is_said_loudly(calls, capsys, monkeypatch):
    monkeypatch.setitem(RESULTS, "stand_in", True)
    assert main([]) == 0
    assert "*** STAND-IN GARMENTS" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "status"), [(DatasetError("no network"), 2), (OSError("disk full"), 2)]
)
def test_errors_are_one_line(monkeypatch, capsys, error, status):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(experiment, "run_experiment", fail)
    assert main([]) == status
    assert capsys.readouterr().err == f"rotnet_keras: {error}\n"


def test_bad_numbers_are_one_line_and_faults_of_the_program_are_not_hidden(monkeypatch, capsys):
    monkeypatch.setattr(
        experiment, "run_experiment", lambda *_, **__: two_conv_extractor((3, 3, 1))
    )
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("rotnet_keras: image_shape must be")
    monkeypatch.setattr(experiment, "run_experiment", lambda *_, **__: int("fault"))
    with pytest.raises(ValueError, match="invalid literal"):
        main([])


def test_interrupt(monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "run_experiment", stop)
    assert main([]) == 130
    assert "start it again" in capsys.readouterr().err


def test_a_named_data_set_that_cannot_be_had_ends_the_job(tmp_path):
    """The whole command, offline: the clear error, no trace, no stand-in."""
    command = [sys.executable, "-m", "rotnet_keras", "--dataset", "fashion_mnist"]
    command += ["--data-dir", str(tmp_path), "--output", str(tmp_path / "out")]
    nowhere = "http://127.0.0.1:9"
    environment = {"http_proxy": nowhere, "https_proxy": nowhere, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cannot be reached (ProxyError" in done.stderr
    assert "Connect to the network" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").iterdir())
