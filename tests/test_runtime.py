"""The runtime; whatever needs a backend of its own runs in a process of its own."""

import os
import random

import keras
import numpy as np
import pytest

from rotnet_keras import prepare_runtime
from rotnet_keras.models import NETWORKS
from rotnet_keras.running import runtime
from rotnet_keras.running.runtime import Runtime, find_accelerator

pytestmark = pytest.mark.backend

HERE = keras.config.backend()
OTHER = {"tensorflow": "jax", "jax": "tensorflow"}[HERE]


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


def test_onednn_computes_unless_the_user_says_no(monkeypatch):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    prepare_runtime()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1"
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    prepare_runtime()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "0"


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


def test_a_package_that_is_not_there(monkeypatch):
    monkeypatch.setattr(runtime, "_is_installed", lambda name: False)
    with pytest.raises(ImportError, match=r"tensorflow feeds the images .* pip install"):
        runtime._check_installed("jax")


def test_several_devices_need_jax(run_program):
    program = """
import rotnet_keras as rk
try:
    rk.prepare_runtime(devices=2)
except ValueError as error:
    print('"' + str(error).replace('"', "'") + '"')
"""
    said = run_program(program, KERAS_BACKEND="tensorflow")
    assert said.startswith(
        "prepare_runtime: devices and hosts beyond one need the backend jax, got 'tensorflow':"
    )


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


@pytest.mark.slow
def test_a_model_of_one_backend_gives_the_same_under_the_other(tmp_path, run_program):
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
    backend, outputs = run_program(OTHER_BACKEND, str(tmp_path), KERAS_BACKEND=OTHER)
    assert backend == OTHER
    for name, model in models.items():
        ours = model.predict(images, verbose=0)
        np.testing.assert_allclose(outputs[name], ours, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("accelerator", "flags", "wanted"),
    [
        ("GPU", "", "mixed_float16"),
        ("TPU", "", "mixed_bfloat16"),
        ("CPU", "flags: sse avx512_bf16", "mixed_bfloat16"),
        ("CPU", "flags: sse amx_bf16 amx_tile", "mixed_bfloat16"),
        ("CPU", "flags: sse avx2", "float32"),
        ("CPU", None, "float32"),
    ],
)
def test_precision_is_what_the_machine_has(monkeypatch, tmp_path, accelerator, flags, wanted):
    if flags is not None:
        (tmp_path / "cpuinfo").write_text(f"processor: 0\n{flags}\n")
    monkeypatch.setattr(runtime, "CPU", tmp_path / "cpuinfo")
    monkeypatch.setattr(runtime, "running_accelerator", lambda: accelerator)
    assert runtime.suitable_precision() == wanted
