"""A stand-in for the main job behind the command line."""

import functools
import json
import subprocess
import sys

from rotnet_keras.jobs import experiment

RESULTS = {
    "rotation_accuracy": 0.975,
    "stand_in": False,
    "num_labels": 1000,
    "arms": {arm: {"short": 0.6, "long": 0.8} for arm in ("scratch", "frozen", "fine_tuned")},
}
OTHER_JOBS = ["pretrain", "study", "predict", "embed", "select"]


def calls(monkeypatch, results, tmp_path):
    """Stand in for the experiment itself, and keep what the command line made of its options."""
    monkeypatch.chdir(tmp_path)  # where "results" is the default
    seen = []

    @functools.wraps(experiment.run_experiment)  # whose options the report knows
    def record(dataset, **options):
        seen.append({"dataset": dataset, **options})
        seed = {"seed": options["seed"]}
        written = results | RESULTS | seed | {"asked": results["asked"] | seed}
        options["output"].mkdir(parents=True, exist_ok=True)
        (options["output"] / "results.json").write_text(json.dumps(written))
        return written

    monkeypatch.setattr(experiment, "run_experiment", record)
    return seen


def failing(monkeypatch):
    """Let the experiment end with an error."""

    def failing(error):
        def fail(*_, **__):
            raise error

        monkeypatch.setattr(experiment, "run_experiment", fail)

    return failing


def with_folder(job):
    """What to type for a job that needs a folder, or for one that does not."""
    return [job, *(["folder"] if job in ("predict", "embed", "select") else [])]


def shown(*arguments):
    """What the whole command prints."""
    command = [sys.executable, "-m", "rotnet_keras", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
