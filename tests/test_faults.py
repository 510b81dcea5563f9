"""Jobs in processes of their own that are killed, meet a full disk, or lie in unfit folders.

One process has imported what takes long, and forks for each run. `ROTNET_KERAS_NIGHTLY=1` kills
each job fifty times; `-s` shows what the kills hit.
"""

import collections
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile

import h5py
import keras
import numpy as np
import pandas as pd
import pytest

from rotnet_keras import draw_garments
from rotnet_keras.cli.main import main

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
NIGHTLY = os.environ.get("ROTNET_KERAS_NIGHTLY") == "1"

PROGRAM = """
import os, pathlib, resource, sys
import keras, numpy as np
from rotnet_keras import Examples, Splits, fine_tune, gentle_augmentation, two_conv_extractor
from rotnet_keras.cli.main import main
from rotnet_keras._base.files import replace_text
from rotnet_keras._base.model_files import save_model
from rotnet_keras.study import run as study_run

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 12, 12, 1), "uint8")
LABELS = np.arange(40) % 2

def pretrain(folder, pictures, epochs):
    options = ["--images", pictures, "--size", "16", "--batch-size", "10", "--epochs", epochs]
    return main(["pretrain", *options, "--output", folder])

def tune(folder, pictures, epochs):
    os.makedirs(folder, exist_ok=True)
    folder = pathlib.Path(folder)
    model, history = fine_tune(
        two_conv_extractor((12, 12, 1), feature_dim=5, seed=3), IMAGES, LABELS, epochs=int(epochs),
        batch_size=15, validation_data=(IMAGES[::-1], LABELS), patience=int(epochs), verbose=0,
        augment=gentle_augmentation(seed=1), checkpoint=folder / "net.weights.h5",
        callbacks=[keras.callbacks.ReduceLROnPlateau("val_accuracy", mode="max", patience=1)],
    )
    save_model(model, folder / "classifier.keras")
    replace_text(folder / "history.json", str(history.history).replace("'", '"'))
    return 0

def tiny_splits(name, *, num_labels, num_validation, seed, **_):
    some = Examples(IMAGES[:num_labels], LABELS[:num_labels])
    return Splits(name, ("even", "odd"), IMAGES[20:], some, some, some, True)

def compare(folder, pictures, epochs):
    study_run.load_splits = tiny_splits
    options = ["--arms", "raw pixels", "block 2 probe", "--budgets", "6", "--num-seeds", "2"]
    options += ["--pretrain-epochs", epochs, "--dataset", "garments"]
    return main(["study", *options, "--output", folder])

print("ready", flush=True)
for line in sys.stdin:
    word, *rest = line.rstrip("\\n").split("\\t")
    if word == "start":
        job, log, limit, *rest = rest
        child = os.fork()
        if not child:
            file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, 1), os.dup2(file, 2)
            if int(limit):  # a full disk, as far as this process can tell
                resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
            status = 1
            try:
                status = globals()[job](*rest)
                sys.stdout.flush()
            finally:
                os._exit(status)
        print(child, flush=True)
    else:
        ended, status = os.waitpid(int(rest[0]), os.WNOHANG if word == "poll" else 0)
        print(os.waitstatus_to_exitcode(status) if ended else "", flush=True)
"""


class Jobs:
    """Starts jobs in processes forked from one, looks whether they ended, and waits for them."""

    def __init__(self, log):
        self.log = log
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([sys.executable, "-c", PROGRAM], **pipes)
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, *words):
        print(*words, sep="\t", file=self.process.stdin, flush=True)
        return self.process.stdout.readline().rstrip("\n")

    def start(self, job, *arguments, limit=0):
        return int(self.ask("start", job, self.log, limit, *arguments))

    def ended(self, child):
        return self.ask("poll", child) != ""

    def wait(self, child):
        return int(self.ask("wait", child))

    def run(self, *arguments, **options):
        return self.wait(self.start(*arguments, **options)), self.log.read_text()


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    jobs = Jobs(tmp_path_factory.mktemp("log") / "log.txt")
    yield jobs
    with jobs.process:  # closes its pipes, and waits
        pass


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for i, image in enumerate(draw_garments(30, seed=0)[0]):
        keras.utils.save_img(folder / f"{i}.png", image, scale=False)
    return folder


def parts_of(child, folder):
    """The files that a process is just writing."""
    with contextlib.suppress(FileNotFoundError):
        return {
            name for name in os.listdir(folder) if name.startswith(".part") and f"-{child}." in name
        }
    return set()


def kill_somewhere(jobs, child, folder, rng, longest):
    """Kill at some moment, or while one of the first files is written; return what that hit."""
    begun = time.monotonic()
    moment = begun + rng.uniform(0, longest) if rng.random() < 0.5 else None
    left, seen = rng.randint(1, 3), set()
    while not jobs.ended(child):
        now = parts_of(child, folder)
        left, seen = left - len(now - seen), now
        if time.monotonic() > moment if moment else left <= 0:
            time.sleep(rng.uniform(0, 0.02) if not moment else 0)
            hit = parts_of(child, folder)
            os.kill(child, signal.SIGKILL)
            if jobs.wait(child) != -signal.SIGKILL:
                return None  # it was over by then
            return "writing " + min(hit).split(".", 2)[2] if hit else "between writing"
    return None


def check_readable(folder):
    """All but the parts of files must be whole at any moment."""
    for path in folder.iterdir() if folder.exists() else ():
        if path.name.startswith((".part", ".lock", ".running")):
            continue
        if path.suffix == ".h5":
            with h5py.File(path) as file:
                assert json.loads(file.attrs["rotnet_keras"])["logs"]
        elif path.suffix == ".keras":
            assert zipfile.ZipFile(path).testzip() is None
            assert keras.models.load_model(path).get_weights()
        elif path.suffix == ".json":
            assert json.loads(path.read_text())
        else:
            assert path.suffix == ".csv" or path.name == "accuracy.png", path


def survive(jobs, job, tmp_path, pictures, *, kills, epochs):
    """Run a job unbroken, then with kills; return both folders."""
    whole, broken, rng = tmp_path / "whole", tmp_path / "broken", random.Random(job)
    begun = time.monotonic()
    status, said = jobs.run(job, whole, pictures, epochs)
    assert status == 0, said
    longest, hits = time.monotonic() - begun, collections.Counter()
    while hits.total() < kills:
        child = jobs.start(job, broken, pictures, epochs)
        hit = kill_somewhere(jobs, child, broken, rng, longest)
        if hit:
            hits[hit] += 1
        check_readable(broken)
    status, said = jobs.run(job, broken, pictures, epochs)
    assert status == 0, said
    print(f"\n{job}, {kills} kills: {dict(hits)}")
    names = [{path.name for path in folder.iterdir()} - {".lock"} for folder in (whole, broken)]
    assert names[0] == names[1]  # no parts are left
    return whole, broken


def check_same_models(whole, broken):
    for path in whole.glob("*.keras"):
        pairs = (keras.models.load_model(folder / path.name) for folder in (whole, broken))
        for a, b in zip(*(model.get_weights() for model in pairs), strict=True):
            np.testing.assert_array_equal(a, b)


def test_pretraining_survives_kills(jobs, tmp_path, pictures):
    kills = 50 if NIGHTLY else 3
    folders = survive(jobs, "pretrain", tmp_path, pictures, kills=kills, epochs=kills)
    check_same_models(*folders)
    numbers = [json.loads((folder / "pretraining.json").read_text()) for folder in folders]
    assert numbers[0]["history"] == numbers[1]["history"]
    assert len(numbers[1]["history"]["loss"]) == kills


def test_fine_tuning_survives_kills(jobs, tmp_path, pictures):
    kills = 50 if NIGHTLY else 2
    folders = survive(jobs, "tune", tmp_path, pictures, kills=kills, epochs=2 * kills)
    check_same_models(*folders)
    texts = [(folder / "history.json").read_text() for folder in folders]
    assert texts[0] == texts[1]


def test_the_study_survives_kills(jobs, tmp_path, pictures):
    kills = 50 if NIGHTLY else 2
    folders = survive(jobs, "compare", tmp_path, pictures, kills=kills, epochs=2)
    check_same_models(*folders)
    tables = [pd.read_csv(folder / "study.csv") for folder in folders]
    assert len(tables[0]) == 4
    times = ["seconds", "pretrain_seconds", "check"]  # the last is of the others, too
    pd.testing.assert_frame_equal(*(table.drop(columns=times) for table in tables))


def one_line(said):
    """The one line that says what is wrong."""
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    (line,) = [line for line in said.splitlines() if line.startswith("rotnet_keras: ")]
    return line


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_leaves_the_last_good_file(jobs, tmp_path, pictures):
    job = ("pretrain", tmp_path / "out", pictures, 4)
    path = tmp_path / "out" / "pretraining.weights.h5"
    child = jobs.start(*job)
    while not path.exists():
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    jobs.wait(child)
    before = path.read_bytes()
    for limit in (len(before) // 2, len(before) - 100):  # of a file's size
        status, said = jobs.run(*job, limit=limit)
        assert status == 2, said
        assert f"{path} cannot be written: [Errno 27] File too large" in one_line(said)
        assert path.read_bytes() == before
    assert jobs.run(*job)[0] == 0
    assert not list((tmp_path / "out").glob(".part*"))


def test_unfit_folders_and_torn_files_are_one_line(tmp_path, pictures, capfd):
    job = ["pretrain", "--images", str(pictures), "--size", "16", "--epochs", "1", "--output"]

    def say(folder):
        assert main([*job, str(folder)]) == 2
        return one_line(capfd.readouterr().err)

    (tmp_path / "file").write_text("mine")
    assert "output must be a folder that can be written, got" in say(tmp_path / "file")
    assert "output must be a folder that can be written, got" in say(tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text() == "mine"
    torn = tmp_path / "out" / "pretraining.weights.h5"
    torn.parent.mkdir()
    torn.write_bytes(b"\x89HDF\r\n\x1a\nand no more")
    assert f"checkpoint {torn} cannot be read" in say(torn.parent)
    assert torn.read_bytes() == b"\x89HDF\r\n\x1a\nand no more"


def test_a_read_only_folder_is_one_line(tmp_path, pictures, capfd):
    """A mount, since permissions do not stop root."""
    folder = tmp_path / "out"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "none", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        folder.chmod(0o500)
        if os.access(folder, os.W_OK):
            pytest.skip("can neither mount a read-only folder nor forbid writing in one")
    try:
        job = ["pretrain", "--images", str(pictures), "--size", "16", "--output"]
        assert main([*job, str(folder)]) == 2
        assert "it is read-only" in one_line(capfd.readouterr().err)
        assert main([*job, str(folder / "below")]) == 2
        assert "output must be a folder that can be" in one_line(capfd.readouterr().err)
    finally:
        subprocess.run(["umount", str(folder)], check=False, capture_output=True)
        folder.chmod(0o700)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_with_what_to_type(tmp_path, pictures, number):
    """Twice, as by someone impatient; while it imports, and in the middle of its epochs."""
    options = ["pretrain", "--images", str(pictures), "--size", "16", "--epochs", "5000"]
    options += ["--output", str(tmp_path / "an out")]
    for file in (None, tmp_path / "an out" / "pretraining.weights.h5"):
        command = [sys.executable, "-m", "rotnet_keras", *options]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        time.sleep(1.5)
        while file and not file.exists() and process.poll() is None:
            time.sleep(0.01)
        for _ in range(2):
            process.send_signal(number)
        said = process.communicate(timeout=30)[1]
        assert process.returncode == 128 + number
        typed = f"python -m rotnet_keras {' '.join(options[:-1])} '{tmp_path / 'an out'}'"
        assert one_line(said) == f"rotnet_keras: stopped; to go on, start it again: {typed}"
