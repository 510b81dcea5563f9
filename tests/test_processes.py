"""How a job ends: errors, warnings and interrupts in a line each, faults with their trace."""

import warnings

import main_job
import pytest
from picture_files import make_folder

from rotnet_keras import DatasetError, InputError
from rotnet_keras._base.errors import FileError
from rotnet_keras.cli.main import main
from rotnet_keras.jobs import experiment

failing = pytest.fixture(main_job.failing)


@pytest.mark.parametrize("error", [DatasetError("no network"), FileError("disk full")])
def test_errors_are_one_line(failing, capsys, error):
    failing(error)
    assert main([]) == 2
    assert capsys.readouterr().err == f"rotnet_keras: {error}\n"


@pytest.mark.parametrize("fault", [ValueError, OSError, ImportError])
def test_faults_of_the_program_are_not_hidden(failing, fault):
    failing(fault("fault"))
    with pytest.raises(fault, match="fault"):
        main([])


def test_an_error_about_the_pictures_names_them(failing, capsys, tmp_path):
    failing(InputError("dataset must be another"))
    make_folder(tmp_path)
    for option in ("--dataset", "--images"):
        assert main([option, str(tmp_path)]) == 2
        assert capsys.readouterr().err == f"rotnet_keras: {option} must be another\n"


def test_a_trace_is_shown_to_those_who_ask(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    said = "rotnet_keras: --seed must be a whole number from 0 to 4,294,967,295, got -1\n"
    for job in ([], ["run"], ["pretrain"], ["study"]):
        assert main([*job, "--seed", "-1"]) == 2
        assert capsys.readouterr().err == said
        assert main([*job, "--seed", "-1", "--traceback"]) == 2
        trace = capsys.readouterr().err
        assert trace.startswith("Traceback (most recent call last):\n")
        assert trace.endswith(f"\n{said}")
        assert "in check_seed\n" in trace
    assert main(["predict", "here", "--model", "none", "--traceback"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_warnings_are_one_line_and_only_while_a_job_runs(failing, monkeypatch, capsys):
    before, lines = warnings.formatwarning, []

    def end(*_, **__):
        for said in ("mind this", 'say it with broken="skip" (--broken skip)'):
            lines.append(warnings.formatwarning(said, UserWarning, "file.py", 3))
        raise InputError("no")

    monkeypatch.setattr(experiment, "run_experiment", end)
    assert main([]) == 2
    assert lines == ["rotnet_keras: mind this\n", "rotnet_keras: say it with --broken skip\n"]
    assert warnings.formatwarning is before
    failing(ValueError("fault"))
    with pytest.raises(ValueError, match="fault"):
        main([])
    assert warnings.formatwarning is before


def test_interrupt(failing, capsys):
    failing(KeyboardInterrupt())
    assert main([]) == 130
    assert "start it again" in capsys.readouterr().err
