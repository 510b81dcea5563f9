"""The main job and the recipe against an earlier version: python -m pytest -n 0 tests/benchmarks

The earlier commit is installed beside this one, with the same versions of all other packages, and
both run in turns, in processes of their own. `ROTNET_KERAS_BEFORE` names another commit.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest

BEFORE = "4b4e56e"  # the last one before the main job had a plan
ROOT = pathlib.Path(__file__).parents[2]
MAIN_JOB = """
import json, resource, sys, tempfile, time
start = time.perf_counter()
import rotnet_keras as rk
rk.prepare_runtime(seed=0)
found = rk.run_experiment("fashion_mnist", output=tempfile.mkdtemp(), verbose=0)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps({
    "seconds": time.perf_counter() - start,
    "GiB": peak,
    "rotations": found["rotation_accuracy"],
    "fine-tuned": found["arms"]["fine_tuned"]["long"],
}))
"""
RECIPE = """
import json, resource, time
import rotnet_keras as rk
rk.prepare_runtime(seed=0)
splits = rk.load_splits("fashion_mnist")
start = time.perf_counter()
model, _ = rk.fit_few_labels(*splits.labelled, splits.unlabelled, pretrain_epochs=1, verbose=0)
print(json.dumps({
    "seconds": time.perf_counter() - start,
    "GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    "accuracy": rk.accuracy(model, *splits.test),
}))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The folders to import both versions from."""
    commit = os.environ.get("ROTNET_KERAS_BEFORE", BEFORE)
    known = ["git", "-C", str(ROOT), "cat-file", "-e", f"{commit}^{{commit}}"]
    if subprocess.run(known, capture_output=True, check=False).returncode:
        pytest.skip(f"this is no clone that has the commit {commit}")
    before = tmp_path_factory.mktemp("before")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(before)]
    subprocess.run([*pip, f"git+{ROOT.as_uri()}@{commit}"], check=True)
    return {"before": before, "now": ROOT}


@pytest.mark.parametrize("program", [MAIN_JOB, RECIPE], ids=["main job", "recipe"])
def test_against_an_earlier_version(put, folders, program, request, tmp_path):
    found = {}
    for name, folder in folders.items():
        environment = os.environ | {
            "PYTHONPATH": str(folder),
            "ROTNET_KERAS_CACHE": str(tmp_path / name),
        }
        command = [sys.executable, "-c", program]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path
        )
        found[name] = json.loads(done.stdout.splitlines()[-1])
    what = request.node.callspec.id
    for name, figures in found.items():
        for unit, value in figures.items():
            put(f"{what}, {name}", value, unit)
    ratio = found["now"]["seconds"] / found["before"]["seconds"]
    put(f"{what}, now to before", ratio, "times", most=0.5)
