"""Two runs in one folder: the second one is told who has it, and touches nothing."""

import concurrent.futures
import json
import os
import platform
import subprocess
import sys

import filelock
import pytest
import stubbed_jobs

from rotnet_keras import run_experiment, run_pretraining, run_study
from rotnet_keras._base.errors import FileError
from rotnet_keras._base.locks import HOLDER, only_run
from rotnet_keras.cli.main import main
from rotnet_keras.jobs import pretraining

HOLD = """
import sys
from rotnet_keras._base.locks import only_run
with only_run(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""
JOBS = {"run": run_experiment, "pretrain": run_pretraining, "study": run_study}


@pytest.fixture
def other(tmp_path):
    """A process that has the folder."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def elsewhere(function, *arguments, **options):
    """Call in another thread; return what it raises, or None."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *arguments, **options).exception()


def take(folder):
    with only_run(folder):
        pass


@pytest.mark.parametrize("job", JOBS)
def test_a_second_run_is_told_who_has_the_folder_and_looks_at_nothing(job, tmp_path, other):
    (tmp_path / "study.csv").write_text("damaged")
    (tmp_path / "results.json").write_text("damaged")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(FileError) as refused:
        JOBS[job](output=tmp_path)
    since = json.loads((tmp_path / HOLDER).read_text())["since"]
    assert str(refused.value) == (
        f"{JOBS[job].__name__}: output must be a folder that no other run is using, got {tmp_path},"
        f" which process {other.pid} on {platform.node()} has been using since {since}: wait until "
        "that has ended, or give another output"
    )
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("job", JOBS)
def test_the_command_line_says_it_in_one_line(job, tmp_path, other, capsys):
    assert main([job, "--dataset", "garments", "--output", str(tmp_path)]) == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("rotnet_keras:")]
    assert f"--output must be a folder that no other run is using, got {tmp_path}, which" in line
    assert f"process {other.pid} on" in line


def test_a_killed_run_leaves_the_folder_to_the_next(tmp_path, other):
    other.kill()
    other.wait()
    assert (tmp_path / HOLDER).exists()
    with only_run(tmp_path):
        assert json.loads((tmp_path / HOLDER).read_text())["process"] == os.getpid()
    assert os.listdir(tmp_path) == [".lock"]


def test_a_job_takes_its_folder_again_for_a_part_and_another_thread_does_not(tmp_path):
    (tmp_path / "linked").symlink_to(tmp_path)
    with only_run(tmp_path):
        with only_run(tmp_path / "linked"):
            assert "no other run" in str(elsewhere(take, tmp_path))
        assert f"process {os.getpid()} on" in str(elsewhere(take, tmp_path))
    assert elsewhere(take, tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"process": 1}', "\udcff"])
def test_who_has_it_may_be_unknown(tmp_path, other, text):
    (tmp_path / HOLDER).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(FileError, match="which another process is using: wait until"):
        take(tmp_path)


def test_a_file_system_without_locks_is_said_and_used(tmp_path, monkeypatch):
    def acquire(*_, **__):
        raise NotImplementedError("no flock here")

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with pytest.warns(UserWarning, match=r"cannot be locked \(no flock here\): start no second"):
        take(tmp_path)
    assert os.listdir(tmp_path) == []


def test_of_several_hosts_the_first_takes_the_folder(tmp_path, other, monkeypatch):
    stubbed_jobs.stub_all(monkeypatch)
    monkeypatch.setattr(pretraining, "host_share", lambda: (1, 2))
    assert run_pretraining("garments", output=tmp_path)["history"] == {"accuracy": [0.5]}
    monkeypatch.setattr(pretraining, "host_share", lambda: (0, 2))
    with pytest.raises(FileError, match=f"process {other.pid}"):
        run_pretraining("garments", output=tmp_path)


def test_the_job_of_all_seeds_has_the_folder_until_its_page_is_written(tmp_path, monkeypatch):
    stubbed_jobs.stub_all(monkeypatch)
    met = []
    write = stubbed_jobs.cli_jobs._write_reports

    def look(options):
        met.append(elsewhere(take, tmp_path))
        return write(options)

    monkeypatch.setattr(stubbed_jobs.cli_jobs, "_write_reports", look)
    command = ["--dataset", "garments", "--num-seeds", "2", "--output", str(tmp_path)]
    assert main(command) == 0
    assert "no other run" in str(met[0])
    assert elsewhere(take, tmp_path) is None
