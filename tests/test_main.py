"""The command line as a whole: which job it is, and how it ends."""

import os
import pathlib
import shutil
import subprocess
import sys

import main_job
import pytest
from picture_files import make_folder

from rotnet_keras.cli.main import main

calls = pytest.fixture(main_job.calls)


def test_help_is_quick():
    """Nothing that takes seconds is imported before a job begins."""
    program = "import sys, rotnet_keras.cli.main; print({*sys.modules} & {'keras', 'tensorflow'})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("called", "name"),
    [
        ("/usr/lib/rotnet_keras/__main__.py", "python -m rotnet_keras"),
        ("/usr/bin/rotnet-keras", "rotnet-keras"),
        ("rotnet-keras.exe", "rotnet-keras"),
    ],
)
def test_it_is_called_what_was_typed(calls, monkeypatch, capsys, called, name):
    monkeypatch.setattr(sys, "argv", [called])
    for job in ([], *([job] for job in main_job.OTHER_JOBS)):
        with pytest.raises(SystemExit):
            main([*job, "--help"])
        assert capsys.readouterr().out.startswith(f"usage: {' '.join([name, *job])} [")
    assert main(["--seed", "3"]) == 0
    with open("results/report.html", encoding="utf-8") as report:
        assert f"<pre>{name} --seed 3</pre>" in report.read()


def test_the_main_job_has_a_name_and_needs_none(calls):
    assert main(["--seed", "3", "--num-labels", "50"]) == 0
    assert main(["run", "--seed", "3", "--num-labels", "50"]) == 0
    assert calls[0] == calls[1]
    make_folder(pathlib.Path("study"))
    assert main(["--images", "study"]) == 0  # a value, not a job
    assert calls[2]["dataset"].name == "study"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--num-labels 0", "--num-labels must be a whole number of at least 1, got 0"),
        ("--labels 0", "--num-labels must be a whole number of at least 1, got 0"),
        ("--num-validation -1", "--num-validation must be a whole number of at least 1, got -1"),
        ("--seed -1", "--seed must be a whole number from 0 to 4,294,967,295, got -1"),
        ("--dataset no_such_data", "--dataset must be "),
        ("pretrain --network resnet", "--network must be one of "),
        ("pretrain --precision half", "--precision must be "),
        ("pretrain --process 3", "--process needs hosts, the addresses of all processes, got 3"),
        ("pretrain --images no_such_folder", "--images: there is no folder no_such_folder, and"),
        ("study --network two_conv --arms conv\tblock\t3", "--arms must be one of "),
        ("study --budgets 0", "--budgets must be a whole number of at least 1, got 0"),
        ("study --pretrain-epochs 0", "--pretrain-epochs must be a whole number of at least 1"),
        ("study --rotations 90 0 90", "--rotations must be two or more different ones of (0, 90,"),
        ("predict nowhere --model here", "--model must be a .keras file, got 'here'"),
        ("predict nowhere", "--model must be a file that is there, got results/classifier.keras,"),
        ("--images nowhere", "--images must be an existing folder, got nowhere"),
        (
            "--images picturse",
            "--images must be an existing folder, got picturse; did you mean pic",
        ),
        ("--images pictures --labels 31", "--num-labels must be at most 25, which are left of 36"),
        ("study --images nowhere", "--images must be an existing folder, got nowhere"),
        ("study --images pictures/unlabelled/deep", "--images must hold a folder for each class, "),
        ("study --images pictures --budgets 4 31", "--budgets must be at most 25, which are left"),
        ("study --images pictures --arms praying", "--arms must be one of ("),
        ("pretrain --images pictures/empty --image-size 8", "pictures/empty holds no pictures ("),
        ("predict pictures/empty --model a.keras", "pictures/empty holds no pictures (.avif, .bm"),
        ("predict nowhere --model a.keras", "FOLDER must be an existing folder, got nowhere"),
    ],
)
def test_an_error_names_the_option(monkeypatch, capsys, tmp_path, options, said):
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path / "pictures")
    (tmp_path / "pictures" / "empty").mkdir()
    (tmp_path / "a.keras").touch()
    assert main(options.split(" ")) == 2
    assert capsys.readouterr().err.startswith(f"rotnet_keras: {said}")


NO_TENSORFLOW = """
import sys
from rotnet_keras.cli.main import main
status = main(sys.argv[1:])
print({*sys.modules} & {"keras", "tensorflow", "sklearn"}, status)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        "--images nowhere",
        "--images pictures/empty",
        "--images pictures/one --seed 3",
        "run --images pictures --num-labels 99",
        "study --images nowhere",
        "predict nowhere --model a.keras",
        "predict pictures",
        "pretrain --images pictures/empty",
    ],
)
def test_a_wrong_folder_is_said_before_tensorflow_is_imported(tmp_path, arguments):
    make_folder(tmp_path / "pictures")
    (tmp_path / "pictures" / "empty").mkdir()
    (tmp_path / "a.keras").touch()
    shutil.copytree(tmp_path / "pictures/labelled/red", tmp_path / "pictures/one/red")
    command = [sys.executable, "-c", NO_TENSORFLOW, *arguments.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "set() 2\n"
    assert done.stderr.startswith("rotnet_keras: ")


def test_a_named_data_set_that_cannot_be_had_ends_the_job(offline, tmp_path):
    """The whole command, offline: the clear error, no trace, no stand-in."""
    command = [sys.executable, "-m", "rotnet_keras", "--dataset", "fashion_mnist"]
    command += ["--data-dir", str(tmp_path), "--output", str(tmp_path / "out")]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cannot be reached (ProxyError" in done.stderr
    assert "Connect to the network" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").glob("[!.]*"))
