"""The jobs with all that takes time left out: what remains is what they do with files.

`python stubbed_jobs.py JOB FOLDER` kills a job at each moment at which it makes, renames or removes
a file, and lets the same command go on. It prints, as JSON, what came of it.
"""

import csv
import functools
import itertools
import json
import os
import pathlib
import shutil
import signal
import sys
import types
import warnings

import numpy as np
import pytest
import tiny_study

from rotnet_keras import make_splits
from rotnet_keras._base.files import replace_text
from rotnet_keras.cli import jobs as cli_jobs
from rotnet_keras.cli.main import main
from rotnet_keras.jobs import pretraining, report, results, stages
from rotnet_keras.running import runtime
from rotnet_keras.study import pretexts as study_pretexts
from rotnet_keras.study import run as study_run

EVENTS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir"}  # that Python tells before it does them
TIMELESS = dict.fromkeys(("seconds", "pretrain_seconds", "check"))
JOBS = {
    "run": ["--dataset", "garments", "--seed", "1"],
    "study": [*tiny_study.TINY[:-1], "--budgets", "6", "--num-seeds", "1"],
    "pretrain": ["pretrain", "--dataset", "garments", "--epochs", "1"],
}


class Network:
    """What stands for every network: results ask it for this much."""

    output_shape = (None, 5)

    def count_params(self):
        return 7


def tiny_splits(name="garments", *, num_labels=None, seed=0, **_):
    """The same images for every seed, and a draw of its own for each."""
    images = tiny_study.marked_images(60, 0)
    return make_splits(images, np.arange(60) % 2, num_labels=12, seed=seed, name=name)


def trains(trained, stage, result):
    """A stage that notes that it trains, unless its checkpoint is there, which it leaves."""

    def train(*_, checkpoint=None, checkpoints=None, kept=None, **__):
        path = pathlib.Path(checkpoint or kept or checkpoints / "arms.weights.h5")
        if not path.exists():
            trained.append(stage)
            replace_text(path, "weights")
        return result

    return train


def write(_, path, *__, **___):
    """In the place of what writes a model."""
    replace_text(path, "model")


def stub_experiment(patch, splits=tiny_splits):
    """Patch the main job; return the list of what is trained from now on."""
    trained, history = [], types.SimpleNamespace(epoch=[0, 1], history={"accuracy": [0.5]})
    one = {"model": Network(), "history": history, "epochs": 2, "validation_accuracy": 0.5}
    arms = itertools.product(("frozen", "scratch", "fine_tuned"), ("short", "long"))
    runs = dict.fromkeys(arms, one | {"test_accuracy": 0.5})
    stubs = {"load_splits": splits, "save_model": write, "save_classifier": write}
    stubs["pretrain"] = trains(trained, "pretraining", (Network(), history))
    stubs["run_arms"] = trains(trained, "arms", runs)
    stubs |= {"remove_head": lambda model: model, "_extractors": lambda *_, **__: [None, None]}
    stubs["extract_features"] = lambda _, images: np.zeros((len(images), 2))
    stubs["umap_points"] = lambda points, **_: points
    recipe = one | {"test_accuracy": 0.5}
    stubs["fit_recipe"] = trains(
        trained, "recipe", {k: v for k, v in recipe.items() if k != "history"}
    )
    stubs["seconds_an_image"] = lambda *_: 1e-3
    stubs |= {"calibrate": lambda *_: 1.0, "familiar_from": lambda *_: None}
    stubs["draw_pictures"] = lambda folder, _: replace_text(folder / "model.txt", "drawn")
    for name, stub in stubs.items():
        patch.setattr(stages, name, stub)
    patch.setattr(results, "rotation_accuracy", lambda *_: 0.5)
    return trained


def stub_all(patch):
    """Patch all jobs, and the command line's; return the list of what is trained from now on."""
    trained = stub_experiment(patch)
    patch.setattr(runtime, "prepare_runtime", lambda **_: types.SimpleNamespace(host=0))
    history = types.SimpleNamespace(history={"accuracy": [0.5]})
    for owner, name in ((pretraining, "pretrain"), (study_pretexts, "pretrain_for_transfer")):
        patch.setattr(owner, name, trains(trained, name, (Network(), history)))
    for owner in (pretraining, study_pretexts):
        patch.setattr(owner, "save_model", write)
        patch.setattr(owner, "remove_head", lambda model: model)
        patch.setitem(owner.NETWORKS, "two_conv", lambda *_: Network())
    patch.setattr(pretraining, "load_splits", tiny_splits)
    fits = tiny_study.fits(patch)
    patch.setattr(study_run, "fitting_arms", lambda _: [*study_run.ARMS])
    patch.setattr(study_pretexts, "load_model", lambda _: None)
    patch.setattr(study_pretexts, "rotation_accuracy", lambda *_, **__: 0.5)
    patch.setattr(cli_jobs, "_draw_study", lambda _, __, path: replace_text(path, "drawn"))
    patch.setattr(study_run, "free_memory", lambda: None)
    return types.SimpleNamespace(all=lambda: [*trained, *(fit["arm"] for fit in fits)])


def kill_at(moment, folder):
    """From now on, end this process just before it does the so many-th thing to files."""
    count = itertools.count()

    def hook(event, arguments):
        opened = event == "open" and str(arguments[0]).startswith(str(folder))
        writes = opened and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        if (event in EVENTS or writes) and next(count) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def in_child(options, folder, log, moment=None):
    """Run a job in a process of its own; return its exit status and what it trained."""
    child = os.fork()
    if not child:
        status = 1
        try:
            with open(log.with_suffix(".txt"), "w") as said:
                os.dup2(said.fileno(), 1), os.dup2(said.fileno(), 2)
            warnings.simplefilter("error")
            trained = stub_all(pytest.MonkeyPatch())
            if moment is not None:
                kill_at(moment, folder)
            status = main([*options, "--output", str(folder)])
            log.write_text(json.dumps(trained.all()))
        finally:
            sys.stdout.flush(), os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def shown(folder):
    """What a user sees in a folder: names, and results and rows without how long they took."""
    held = {str(path.relative_to(folder)) for path in folder.rglob("[!.]*")}
    seen = {"names": sorted(name for name in held if not name.startswith("."))}
    if (folder / "results.json").exists():
        seen["results"] = json.loads((folder / "results.json").read_text()) | {"seconds": 0}
    if (folder / "study.csv").exists():
        with open(folder / "study.csv", newline="") as file:
            seen["rows"] = [row | TIMELESS for row in csv.DictReader(file)]
    return seen


def kill_everywhere(options, folder, earlier):
    """Kill a job at its first moment, its second, and so on; let each go on."""
    log, whole, cases = folder / "log", folder / "whole", []
    if earlier:
        assert in_child([*options, "--seed", "9"], folder / "earlier", log) == 0
    start = functools.partial(shutil.copytree, folder / "earlier") if earlier else os.mkdir
    start(whole)
    assert in_child(options, whole, log) == 0, log.with_suffix(".txt").read_text()
    for moment in itertools.count():
        broken = folder / str(moment)
        start(broken)
        if in_child(options, broken, log, moment) != -signal.SIGKILL:
            return cases
        at_kill = shown(broken)
        status = in_child(options, broken, log)
        case = {"moment": moment, "at_kill": at_kill, "status": status, "after": shown(broken)}
        case |= {"said": log.with_suffix(".txt").read_text(), "whole": shown(whole)}
        cases.append(case | {"trained": json.loads(log.read_text()) if status == 0 else None})
        shutil.rmtree(broken)


if __name__ == "__main__":
    assert report  # is imported before anything forks
    job, place, *more = sys.argv[1:]
    print(json.dumps(kill_everywhere(JOBS[job], pathlib.Path(place), bool(more))))
