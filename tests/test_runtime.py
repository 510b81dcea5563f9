"""The runtime; whatever needs a backend or devices of its own runs in a process of its own."""

import json
import os
import random
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from rotnet_keras import prepare_runtime
from rotnet_keras.models import NETWORKS
from rotnet_keras.running import devices as running_devices
from rotnet_keras.running import hosts as running_hosts
from rotnet_keras.running import runtime
from rotnet_keras.running.hosts import HOST_VARIABLES
from rotnet_keras.running.runtime import Runtime, find_accelerator

HERE = keras.config.backend()
OTHER = {"tensorflow": "jax", "jax": "tensorflow"}[HERE]


@pytest.fixture
def no_choice(monkeypatch, tmp_path):
    """No backend chosen by anybody, no hosts; the folder for Keras's settings."""
    for name in ("KERAS_BACKEND", "JAX_PLATFORMS", *(n for names in HOST_VARIABLES for n in names)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path


def run(program, *arguments, **environment):
    """Run a Python program; return its last line, read as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("accelerator", "several", "backend"),
    [
        ("CPU", False, "tensorflow"),
        ("GPU", False, "tensorflow"),
        ("TPU", False, "jax"),
        ("CPU", True, "jax"),
        ("GPU", True, "jax"),
    ],
)
def test_the_backend_for_a_machine(no_choice, monkeypatch, accelerator, several, backend):
    choose = runtime._choose_backend
    assert choose(accelerator, several=several) == backend
    settings = no_choice / "keras.json"
    settings.write_text('{"backend": "tensorflow"}')  # what Keras writes by itself: no choice
    assert choose(accelerator, several=several) == backend
    settings.write_text('{"backend": "torch"}')
    assert choose(accelerator, several=several) == "torch"
    settings.write_text('{"backend": ')
    assert choose(accelerator, several=several) == backend
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    assert choose(accelerator, several=several) == "tensorflow"


def test_a_backend_that_there_is_not(no_choice, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    with pytest.raises(ValueError, match=r"KERAS_BACKEND must be one of .* got 'theano'"):
        prepare_runtime()


def test_what_computes_here(monkeypatch, tmp_path):
    installed, nvidia, pci = set(), tmp_path / "nvidiactl", tmp_path / "pci"
    monkeypatch.setattr(runtime, "_is_installed", lambda name: name in installed)
    monkeypatch.setattr(runtime, "NVIDIA", nvidia)
    monkeypatch.setattr(runtime, "PCI_DEVICES", pci)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (pci / "0000:00:04.0").mkdir(parents=True)
    (pci / "0000:00:04.0" / "vendor").write_text("0x1ae0\n")
    assert find_accelerator() == "CPU"  # Google's machines have such devices without a TPU, too
    nvidia.touch()
    assert find_accelerator() == "GPU"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert find_accelerator() == "CPU"
    installed.add("libtpu")
    assert find_accelerator() == "TPU"
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert find_accelerator() == "CPU"


def test_the_line_that_says_what_was_found():
    assert str(Runtime("TPU", "jax", 8, 2, 1, 0)) == (
        "TPU, Keras on jax, 8 devices, host 1 of 2, seed 0"
    )
    assert str(Runtime("CPU", "tensorflow", 1, 1, 0, 7)) == (
        "CPU, Keras on tensorflow, 1 device, seed 7"
    )


def test_seeds_are_set(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", HERE)
    draws = []
    for _ in range(2):
        assert prepare_runtime(seed=5).seed == 5
        draws.append((random.random(), np.random.randint(9999), float(keras.random.uniform(()))))  # noqa: NPY002
    assert draws[0] == draws[1]


def test_too_late(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", OTHER)
    with pytest.raises(RuntimeError, match=f"already runs on {HERE} .* {OTHER}: restart"):
        prepare_runtime()


def test_hosts_that_jax_finds_out():
    assert running_hosts.find_cluster("auto", None) == (None, None, None)
    assert running_hosts.find_cluster(["a:1"], 0) is None  # one process is no cluster


def test_hosts_share_out_evenly_or_not_at_all(monkeypatch):
    monkeypatch.setattr(running_devices, "host_share", lambda: (0, 2))
    monkeypatch.setattr(running_hosts, "host_share", lambda: (0, 2))
    monkeypatch.setattr(runtime, "host_share", lambda: (0, 2))
    monkeypatch.setattr(running_devices, "local_devices", lambda: 4)
    running_devices.check_share(
        2, 4
    )  # a host has one image in four rotations, a device one of them
    running_devices.check_share(8, 1)
    for batch_size, copies in [(2, 2), (6, 1), (3, 4)]:
        with pytest.raises(ValueError, match=f"with 4 devices each, got {batch_size}"):
            running_devices.check_share(batch_size, copies)


def test_tensorflow_leaves_the_accelerator_to_jax(monkeypatch):
    hidden = []
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda *call: hidden.append(call))
    running_devices.leave_accelerator("jax")
    assert hidden == [([], "GPU"), ([], "TPU")]

    def refuse(devices, kind):
        raise RuntimeError("Visible devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config, "set_visible_devices", refuse)
    with pytest.raises(RuntimeError, match="TensorFlow already holds the GPU that jax is to drive"):
        running_devices.leave_accelerator("jax")


def test_a_package_that_is_not_there(monkeypatch):
    monkeypatch.setattr(runtime, "_is_installed", lambda name: False)
    with pytest.raises(ImportError, match=r"tensorflow feeds the images .* pip install"):
        runtime._check_installed("jax")


@pytest.mark.parametrize("devices", [0, -1, 1.5, "two"])
def test_devices_out_of_range(devices):
    with pytest.raises(ValueError, match=f"devices must be .* at least 1, got {devices!r}"):
        prepare_runtime(devices=devices)


@pytest.mark.parametrize(
    ("hosts", "host", "message"),
    [
        (["here"], 0, r"hosts must be addresses \"host:port\", got \['here'\]"),
        ([], 0, "hosts must be addresses"),
        (["a:1", "b:2"], 2, "host must be a whole number from 0 to 1, got 2"),
        (["a:1", "b:2"], None, "host must be a whole number from 0 to 1, got None"),
        (None, 1, "host needs hosts, the addresses of all processes, got 1"),
    ],
)
def test_hosts_out_of_range(hosts, host, message):
    with pytest.raises(ValueError, match=message):
        prepare_runtime(hosts=hosts, host=host)


@pytest.mark.parametrize("kind", [0, 1])
def test_hosts_from_the_environment(no_choice, monkeypatch, kind):
    names = [pair[kind] for pair in HOST_VARIABLES]
    for name, value in zip(names, ("a:1,b:2", "2", "1"), strict=True):
        monkeypatch.setenv(name, value)
    assert running_hosts.find_cluster(None, None) == ("a:1", 2, 1)
    monkeypatch.setenv(names[2], "second")
    with pytest.raises(ValueError, match=r"so whole numbers must be in .* got \['2', 'second'\]"):
        prepare_runtime()


def test_several_devices_need_jax():
    program = """
import rotnet_keras as rk
try:
    rk.prepare_runtime(devices=2)
except ValueError as error:
    print('"' + str(error).replace('"', "'") + '"')
"""
    said = run(program, KERAS_BACKEND="tensorflow")
    assert said.startswith("devices and hosts beyond one need the backend jax, got 'tensorflow':")


DEVICES = """
import json
import rotnet_keras as rk
rk.prepare_runtime(devices=4)
import keras, numpy as np
images = np.random.default_rng(0).integers(0, 256, (22, 12, 12, 1), "uint8")
labels = np.arange(22) % 3
ends = {}
for devices in (4, 2, 1):
    ends[f"{devices} line"] = str(rk.prepare_runtime(devices=devices))
    for batch_size in (8, 5):
        model, history = rk.pretrain(
            rk.conv_blocks_extractor((12, 12, 1), (4,)), images, validation_images=images[:9],
            epochs=2, batch_size=batch_size, all_rotations=False, verbose=0,
        )
        ends[f"{devices} {batch_size}"] = {
            "losses": history.history["loss"] + history.history["val_loss"],
            "weights": np.concatenate([w.ravel() for w in model.get_weights()]).tolist(),
            "accuracy": rk.rotation_accuracy(model, images),
        }
    tuned, history = rk.fine_tune(
        rk.remove_head(model), images, labels, epochs=1, batch_size=8,
        validation=(images[:7], labels[:7]), verbose=0,
    )
    ends[f"{devices} tuned"] = {
        "losses": history.history["loss"] + history.history["val_loss"],
        "weights": np.concatenate([w.ravel() for w in tuned.get_weights()]).tolist(),
        "accuracy": rk.accuracy(tuned, images, labels),
    }
print(json.dumps(ends))
"""


def test_devices_share_batches_and_change_nothing():
    """Also where a batch of 5 cannot be shared out among 2 or 4, and where the last is smaller."""
    ends = run(DEVICES, KERAS_BACKEND="jax")
    for training in ("8", "5", "tuned"):
        one = ends[f"1 {training}"]
        for devices in (2, 4):
            several = ends[f"{devices} {training}"]
            np.testing.assert_allclose(several["losses"], one["losses"], atol=1e-5)
            np.testing.assert_allclose(several["weights"], one["weights"], atol=1e-5)
            assert several["accuracy"] == one["accuracy"]
    lines = [ends[f"{devices} line"] for devices in (4, 2, 1)]  # each call undoes the one before
    assert [line.split(", ")[2] for line in lines] == ["4 devices", "2 devices", "1 device"]


OTHER_BACKEND = """
import json, sys
import keras, numpy as np
images = np.load(sys.argv[1] + "/images.npy")
outputs = {}
for name in ("two_conv", "conv_blocks", "nin3", "joined"):
    model = keras.models.load_model(f"{sys.argv[1]}/{name}.keras")
    outputs[name] = model.predict(images, verbose=0).tolist()
print(json.dumps([keras.config.backend(), outputs]))
"""


def test_a_model_of_one_backend_gives_the_same_under_the_other(tmp_path):
    import rotnet_keras as rk

    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28, 1), "uint8")
    np.save(tmp_path / "images.npy", images)
    bodies = {name: NETWORKS[name]((28, 28, 1), 0) for name in ("two_conv", "conv_blocks", "nin3")}
    models = bodies | {"joined": rk.join_blocks(bodies["conv_blocks"], (2, 3))}
    for name in ("two_conv", "joined"):  # with more than first weights
        settings = {"epochs": 1, "batch_size": 3, "verbose": 0}
        models[name], _ = rk.fine_tune(models[name], images, np.arange(6) % 3, **settings)
    for name, model in models.items():
        model.save(tmp_path / f"{name}.keras")
    backend, outputs = run(OTHER_BACKEND, str(tmp_path), KERAS_BACKEND=OTHER)
    assert backend == OTHER
    for name, model in models.items():
        ours = model.predict(images, verbose=0)
        np.testing.assert_allclose(outputs[name], ours, rtol=1e-5, atol=1e-5)


LATE = """
import json, os
os.environ["KERAS_BACKEND"] = "jax"
import jax
jax.devices()
import rotnet_keras as rk
try:
    rk.prepare_runtime(devices=3)
except RuntimeError as error:
    print(json.dumps(str(error)))
"""


def test_virtual_devices_asked_for_too_late():
    assert "at most the 1 that JAX has here, got 3; virtual ones of a CPU must" in run(LATE)
