"""Jobs that are killed at each moment at which they make, rename or remove a file."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

PROGRAM = pathlib.Path(__file__).with_name("stubbed_jobs.py")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def kill_everywhere(*arguments):
    """What came of a job that was killed at each of its moments, and started again."""
    command = [sys.executable, PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "moments"), [(["run"], 50), (["run", "earlier"], 50), (["study"], 20)]
)
def test_the_same_command_takes_what_any_kill_leaves(tmp_path, arguments, moments):
    job, *earlier = arguments
    cases = kill_everywhere(job, tmp_path, *earlier)
    assert len(cases) >= moments
    for case in cases:
        assert case["status"] == 0, case
        assert case["after"] == case["whole"], case
    left_results = [case for case in cases if _is_of(case["at_kill"], case["whole"])]
    lacking = [case for case in left_results if "report.html" not in case["at_kill"]["names"]]
    assert len(lacking) >= (3 if job == "run" else 0)
    assert all(case["trained"] == [] for case in lacking)
    if job == "run":  # with checkpoints of all that is trained, nothing is trained again
        trained = [case["trained"] for case in cases]
        assert trained.index(["arms", "recipe"]) < trained.index(["recipe"]) < trained.index([])
        assert [] not in trained[: trained.index(["recipe"])]


def _is_of(seen, whole):
    """Whether a folder holds the results of this command, and not of an earlier one."""
    return "results" in seen and seen["results"] == whole["results"]


def test_pretraining_takes_what_any_kill_leaves(tmp_path):
    cases = kill_everywhere("pretrain", tmp_path)
    assert len(cases) >= 15
    for case in cases:
        assert case["status"] == 0, case
        assert case["after"] == case["whole"], case
        if "pretraining.weights.h5" in case["at_kill"]["names"]:
            assert case["trained"] == [], case
