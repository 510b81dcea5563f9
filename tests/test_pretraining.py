"""The pretraining job, in its folder and on its command line; from several hosts as processes."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from rotnet_keras import draw_garments, run_pretraining, stream_images
from rotnet_keras.cli.main import main
from rotnet_keras.cli.processes import LOST
from rotnet_keras.data.load import DatasetError
from rotnet_keras.jobs import pretraining

pytestmark = pytest.mark.backend

SETTINGS = {"epochs": 3, "batch_size": 8, "verbose": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Thirty drawn garments as files, some in a folder below."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "below").mkdir()
    for i, image in enumerate(draw_garments(30, seed=0)[0]):
        place = folder / "below" if i % 3 == 0 else folder
        keras.utils.save_img(place / f"{i}.png", image, scale=False)
    return folder


def weights(path):
    return keras.models.load_model(path).get_weights()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The images, the folder and the results of a finished run."""
    images = np.random.default_rng(0).integers(0, 256, (8, 12, 12, 1), "uint8")
    output = tmp_path_factory.mktemp("finished")
    return images, output, run_pretraining(images=images, output=output, **SETTINGS)


def test_a_run_leaves_models_numbers_and_a_checkpoint(finished):
    _, folder, results = finished
    assert json.loads((folder / "pretraining.json").read_text()) == results
    assert len(results["history"]["loss"]) == 3
    assert results["images_per_second"] > 0
    assert keras.models.load_model(folder / "rotation_model.keras").output_shape == (None, 4)
    assert keras.models.load_model(folder / "extractor.keras").output_shape == (None, 16)
    names = {"extractor.keras", "pretraining.json", "pretraining.weights.h5"}
    assert {path.name for path in folder.glob("[!.]*")} == {*names, "rotation_model.keras"}


def test_the_same_call_goes_on_where_it_is_and_another_is_refused(finished, tmp_path):
    images, folder, first = finished
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    before = weights(tmp_path / "extractor.keras")
    again = run_pretraining(images=images, output=tmp_path, **SETTINGS)
    assert again["history"] == first["history"]
    assert again["images_per_second"] is None  # nothing was left to do
    for old, new in zip(before, weights(tmp_path / "extractor.keras"), strict=True):
        np.testing.assert_array_equal(old, new)
    with pytest.raises(ValueError, match=r"is of another run, with {'seed': '0'}: give"):
        run_pretraining(images=images, output=tmp_path, seed=1, **SETTINGS)


def test_speed_counts_turned_images_and_no_more_than_there_are(tmp_path, images, monkeypatch):
    monkeypatch.setattr(pretraining._Clock, "images_per_second", lambda self, rows: rows)
    for rows, options in ((32, {}), (8, {"all_rotations": False})):
        settings = SETTINGS | {"batch_size": 5000, "output": tmp_path / str(rows)} | options
        assert run_pretraining(images=images, **settings)["images_per_second"] == rows


def test_the_main_jobs_images_are_the_default(tmp_path, monkeypatch):
    seen = {}
    real = pretraining.pretrain

    def few(extractor, images, *, validation_images, **options):
        seen.update(images=len(images), held_out=len(validation_images))
        return real(extractor, images[:64], validation_images=validation_images[:8], **options)

    monkeypatch.setattr(pretraining, "pretrain", few)
    results = run_pretraining("garments", epochs=1, output=tmp_path, verbose=0)
    assert seen == {"images": 49_000, "held_out": 10_000}
    assert set(results["history"]) == {"loss", "accuracy", "val_loss", "val_accuracy"}


def test_a_folder_as_the_data_set_is_read_as_its_options_say(folder, tmp_path, monkeypatch):
    """A picture in two classes is an error, unless it is said to be none."""
    for name in ("cat", "dog"):
        shutil.copytree(folder, tmp_path / "all" / "labelled" / name)
    shutil.copytree(folder, tmp_path / "all" / "unlabelled")
    monkeypatch.setattr(pretraining, "load_splits", lambda *_, **asked: seen.update(asked))
    seen, spelt = {}, ["--repeats", "keep", "--parts", "named", "--follow-links"]
    output = ["--output", str(tmp_path / "output")]
    with pytest.raises(AttributeError):  # of no splits
        main(["pretrain", "--dataset", f"{tmp_path}/all", *spelt, *output])
    given = {name: seen[name] for name in ("repeats", "parts", "follow_links")}
    assert given == {"repeats": "keep", "parts": "named", "follow_links": True}
    monkeypatch.undo()
    with pytest.raises(ValueError, match="in two classes"):
        run_pretraining(tmp_path / "all", image_size=12, output=tmp_path / "output")


def test_numbers_of_numpy_are_written_like_others(tmp_path, images):
    few = {"images": images, "network": "two_conv", "verbose": 0, "output": tmp_path}
    run_pretraining(epochs=np.int64(1), batch_size=np.int64(4), **few)
    written = json.loads((tmp_path / "pretraining.json").read_text())
    assert written["epochs"] == 1


def test_unknown_network_and_folder_without_size(tmp_path, folder):
    with pytest.raises(ValueError, match=r"network must be one of .*'two_conv'\), got 'resnet'"):
        run_pretraining(network="resnet", output=tmp_path)
    with pytest.raises(ValueError, match="image_size must be given for a folder"):
        run_pretraining(images=folder, output=tmp_path)


def test_a_folder_streams_every_picture(folder):
    dataset = stream_images(folder, image_size=28, seed=1)
    assert dataset.element_spec == tf.TensorSpec((28, 28, 3), tf.uint8)
    assert int(dataset.cardinality()) == 30
    drawn = sorted(image[..., 0].tobytes() for image in draw_garments(30, seed=0)[0])
    assert sorted(image[..., 0].tobytes() for image in dataset.as_numpy_iterator()) == drawn
    parts = [stream_images(folder, image_size=28, share=(host, 4)) for host in range(4)]
    assert [int(part.cardinality()) for part in parts] == [8, 8, 7, 7]
    read = [image[..., 0].tobytes() for part in parts for image in part.as_numpy_iterator()]
    assert sorted(read) == drawn  # each host its own, together all


def test_what_holds_no_pictures_is_refused(tmp_path):
    for source, error, said in (
        (tmp_path, DatasetError, "holds no pictures"),
        (tmp_path / "nowhere", DatasetError, "nowhere is no folder"),
        ("photos", ValueError, "source: there is no folder photos, and name must be a"),
    ):
        with pytest.raises(error, match=said):
            stream_images(source, image_size=28)


def test_a_named_data_set_streams_like_it_is_loaded(splits):
    if splits.stand_in:
        pytest.skip("needs Fashion-MNIST")
    dataset = stream_images("fashion_mnist", split="test")
    assert dataset.element_spec == tf.TensorSpec((28, 28, 1), tf.uint8)
    assert int(dataset.cardinality()) == 10_000
    streamed = np.stack(list(dataset.take(100).as_numpy_iterator()))
    same = {image.tobytes() for image in splits.test.images}
    assert all(image.tobytes() in same for image in streamed)
    parts = [stream_images("fashion_mnist", split="test", share=(host, 3)) for host in range(3)]
    assert sum(int(part.cardinality()) for part in parts) == 10_000
    assert stream_images("fashion_mnist", image_size=20).element_spec.shape == (20, 20, 1)


def test_command_line(folder, tmp_path, capfd):
    options = ["--images", str(folder), "--size", "16", "--epochs", "2", "--batch-size", "10"]
    assert main(["pretrain", *options, "--one-rotation", "--output", str(tmp_path)]) == 0
    printed = capfd.readouterr().out
    assert f", Keras on {keras.config.backend()}, 1 device, seed 0" in printed
    assert "images per second" in printed
    assert weights(tmp_path / "extractor.keras")[0].shape[2] == 3  # colour
    assert main(["pretrain", *options, "--process", "3", "--hosts", "here", "--output", "x"]) == 2
    assert 'hosts must be addresses "host:port"' in capfd.readouterr().err


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def hosts_options(port):
    return ["--hosts", f"localhost:{port}", f"localhost:{port + 1}", "--process"]


@pytest.fixture
def start():
    """Starts Python processes on the JAX backend; what is left of them at the end is killed."""
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            env=os.environ | {"KERAS_BACKEND": "jax"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # killed with the child that it watches
        )
        started.append(process)
        return process

    yield start
    for process in started:
        kill(process)
        process.stdout.close()


def kill(process):
    """Kill a process and those that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def finish(processes, seconds=240):
    """Wait for processes; return exit statuses and what they said."""
    said = [process.communicate(timeout=seconds)[0] for process in processes]
    return [process.returncode for process in processes], said


def losses_in(file):
    """Losses of a checkpoint's epochs; it is renamed into place, so it is whole at any time."""
    if not file.exists():
        return []
    with h5py.File(file) as checkpoint:
        return [log["loss"] for log in json.loads(checkpoint.attrs["rotnet_keras"])["logs"]]


PROGRAM = """
import sys
import rotnet_keras as rk
place, epochs, *hosts, output = sys.argv[1:]
devices = 2 if hosts else 1
print(rk.prepare_runtime(hosts=hosts or None, host=int(place) if hosts else None, devices=devices))
import keras
stop = keras.callbacks.LambdaCallback(on_epoch_begin=lambda e, _: e < int(epochs) or sys.exit())
images, _ = rk.draw_garments(100, seed=0)
settings = dict(epochs=3, seed=0, verbose=0)
if hosts:
    try:
        rk.pretrain(rk.two_conv_extractor((28, 28, 1)), images, batch_size=6, all_rotations=False)
    except ValueError as error:
        print(error)
    try:
        rk.prepare_runtime()  # would leave every process to itself
    except RuntimeError as error:
        print(error)
model, _ = rk.pretrain(
    rk.two_conv_extractor((28, 28, 1)), images, batch_size=20,
    checkpoint=output + "/net.weights.h5", callbacks=[stop], **settings,
)
if place == "0":
    from rotnet_keras.running.hosts import alone
    with alone():
        model.save(output + "/net.keras")
"""


@pytest.mark.slow
def test_two_processes_end_like_one(start, tmp_path):
    """Each with two devices; from the beginning, and from where one process was stopped."""
    ends = {name: tmp_path / name for name in ("one", "two", "one_then_two")}
    for folder in ends.values():
        folder.mkdir()

    def begin(place, epochs, name, port):
        hosts = [f"localhost:{port}", f"localhost:{port + 1}"] if port else []
        return start("-c", PROGRAM, place, epochs, *hosts, ends[name])

    alone = [begin(0, 9, "one", None), begin(0, 1, "one_then_two", None)]
    statuses, said = finish(alone)
    assert statuses == [0, 0], said
    assert len(losses_in(ends["one_then_two"] / "net.weights.h5")) == 1
    for name in ("two", "one_then_two"):
        port = free_port()
        statuses, said = finish([begin(place, 9, name, port) for place in (0, 1)])
        assert statuses == [0, 0], said
        assert "2 devices, host 1 of 2" in said[1]
        assert "hosts must stay the 2 that this process started with, got None" in said[1]
        uneven = "batch_size must be shared out evenly among 2 hosts with 2 devices each, got 6"
        assert uneven in said[1]
        pairs = (weights(ends[end] / "net.keras") for end in ("one", name))
        for one, several in zip(*pairs, strict=True):
            np.testing.assert_allclose(several, one, atol=1e-4)
        losses = [losses_in(ends[end] / "net.weights.h5") for end in ("one", name)]
        np.testing.assert_allclose(losses[1], losses[0], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_the_loss_of_a_process_is_said_and_survived(start, folder, tmp_path, victim):
    """One of two is killed during a long run; the other one stops, and the run goes on alone."""
    file = tmp_path / "pretraining.weights.h5"
    job = ["-m", "rotnet_keras", "pretrain", "--images", folder, "--size", "16"]
    job += ["--epochs", 500, "--batch-size", "10", "--output", tmp_path]
    hosts = hosts_options(free_port())
    pair = [start(*job, *hosts, place) for place in (0, 1)]
    wait_for_epochs(file, 1, pair)
    kill(pair[victim])
    statuses, said = finish([pair[1 - victim]], seconds=60)
    assert statuses == [LOST], said[0][-3000:]
    assert "another process of this run stopped or cannot be reached" in said[0]
    finished = len(losses_in(file))
    one = start(*job)
    wait_for_epochs(file, finished + 1, [one])
    kill(one)
    assert f"Epoch {finished + 1}/500" in finish([one])[1][0]


def wait_for_epochs(file, number, processes, seconds=200):
    deadline = time.monotonic() + seconds
    while len(losses_in(file)) < number:
        assert time.monotonic() < deadline
        assert not any(process.poll() for process in processes), finish(processes)
        time.sleep(0.1)
