"""The runtime: what machine this is, which backend Keras uses on it, over how many devices.

Nothing here imports Keras or TensorFlow before `prepare_runtime` has decided for which backend.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Annotated, NamedTuple

from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError, MissingPackageError, SetupError
from rotnet_keras._base.values import Seed, check_count
from rotnet_keras.running.devices import ask_for_devices, leave_accelerator, spread_over
from rotnet_keras.running.hosts import find_cluster, host_share, join_hosts

BACKENDS = ("tensorflow", "jax", "torch")
# On processors without AVX-512's or AMX's instructions for networks, TensorFlow leaves oneDNN off,
# and an update of the blocks' convolutions takes longer.
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
PCI_DEVICES, GOOGLE = pathlib.Path("/sys/bus/pci/devices"), "0x1ae0"
NVIDIA = pathlib.Path("/dev/nvidiactl")
CPU = pathlib.Path("/proc/cpuinfo")


class Runtime(NamedTuple):
    """What `prepare_runtime` found and chose; as a string, one line that says so.

    Attributes:
        accelerator: "TPU", "GPU" or "CPU".
        backend: Keras's.
        devices: number that training is spread over on this host.
        hosts: processes that train together.
        host: this one's place among them, from 0.
        seed: of Python, NumPy and Keras's own draws.
    """

    accelerator: str
    backend: str
    devices: int
    hosts: int
    host: int
    seed: int

    def __str__(self):
        several = f", host {self.host} of {self.hosts}" if self.hosts > 1 else ""
        plural = "" if self.devices == 1 else "s"
        return (
            f"{self.accelerator}, Keras on {self.backend}, "
            f"{self.devices} device{plural}{several}, seed {self.seed}"
        )


def check_devices(name, value):
    """Return a number of devices or "all", or raise."""
    return value if isinstance(value, str) and value == "all" else int(check_count(name, value))


Devices = Annotated[int | str, check_devices]


@public()
def prepare_runtime(
    *,
    devices: Devices = 1,
    hosts: str | Sequence[str] | None = None,
    host: int | None = None,
    seed: Seed = 0,
) -> Runtime:
    """Choose Keras's backend for this machine, spread training over devices, and set seeds.

    Call it before anything imports Keras: a process has one backend. TensorFlow drives a CPU or a
    GPU; JAX drives a TPU, several devices or several hosts. The environment variable
    `KERAS_BACKEND` overrides this choice, and so does a backend other than TensorFlow in Keras's
    own `keras.json`. tf.data always prepares the images, on the CPU. On a CPU, TensorFlow computes
    with oneDNN unless `TF_ENABLE_ONEDNN_OPTS` says otherwise. Call it again to change devices or
    seed.

    Each of several devices computes an equal part of every batch. A batch that cannot be divided
    evenly is computed whole on each device, which saves no time and loses no image. That holds for
    this package's functions; Keras's own `fit` and `predict` divide every batch as they divide the
    first.

    Args:
        devices: number that training is spread over, or "all". A machine without an accelerator
            divides its CPU into virtual devices, to try things out.
        hosts: addresses `"host:port"` of all processes that train together, in the same order
            everywhere; each has `devices` of its own. "auto" lets JAX ask a cluster it knows
            (a TPU pod, Slurm). None reads the environment variables `JAX_COORDINATOR_ADDRESS`,
            `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID`, or Keras's `KERAS_DISTRIBUTION_...`; without
            them, this process trains alone.
        host: this process's place among `hosts`, from 0.
        seed: of Python, NumPy and Keras's own draws.

    Returns:
        `Runtime`, a named tuple; `print` shows it as one line.

    Raises:
        SetupError: Keras was imported with another backend, JAX was started with fewer devices, or
            this process already trains with other hosts, or alone.
        MissingPackageError: the backend is not installed, or TensorFlow, which prepares the images
            for every backend.
        InputError: an unknown backend, or an argument out of its range.

    Example:
        >>> print(prepare_runtime())  # doctest: +SKIP
        GPU, Keras on tensorflow, 1 device, seed 0
    """
    cluster = find_cluster(hosts, host)
    several = devices != 1 or cluster is not None
    backend = _choose_backend(find_accelerator(), several=several)
    if several and backend != "jax":
        raise InputError(
            f"devices and hosts beyond one need the backend jax, got {backend!r}: restart the "
            "runtime, and set KERAS_BACKEND to jax or leave it unset"
        )
    _check_not_too_late(backend)
    _check_installed(backend)
    os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault(ONEDNN, "1")  # heard by TensorFlow when it is imported
    if backend != "tensorflow":
        leave_accelerator(backend)
    if backend == "jax":
        ask_for_devices(devices, cluster)
    import keras

    keras.utils.set_random_seed(seed)
    if backend == "jax":
        join_hosts(keras, cluster)
    keras.distribution.set_distribution(None)
    used = spread_over(keras, devices, cluster is not None) if several else 1
    place, number = host_share()
    return Runtime(running_accelerator(), backend, used, number, place, seed)


def find_accelerator():
    """Say what is likely to compute here, without waking it: "TPU", "GPU" or "CPU"."""
    if os.environ.get("JAX_PLATFORMS", "").lower() == "cpu":
        return "CPU"
    vendors = PCI_DEVICES.glob("*/vendor")
    if _is_installed("libtpu") and any(vendor.read_text().strip() == GOOGLE for vendor in vendors):
        return "TPU"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return "GPU" if NVIDIA.exists() and not hidden else "CPU"


def running_accelerator():
    """Say what Keras's backend computes on, starting it if need be: "TPU", "GPU" or "CPU"."""
    import keras

    if keras.config.backend() == "jax":
        import jax

        return jax.default_backend().upper()
    import tensorflow as tf

    return "GPU" if tf.config.list_physical_devices("GPU") else "CPU"


def mixed_precision():
    """What is called mixed on what computes here."""
    return "mixed_float16" if running_accelerator() == "GPU" else "mixed_bfloat16"


def suitable_precision():
    """What this machine computes fastest in while it learns, of what learns as well."""
    if running_accelerator() != "CPU":
        return mixed_precision()
    try:
        flags = CPU.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "float32"
    return mixed_precision() if {"amx_bf16", "avx512_bf16"} & {*flags.split()} else "float32"


def _choose_backend(accelerator, *, several):
    """The user's own choice, else JAX where TensorFlow cannot do it."""
    chosen = os.environ.get("KERAS_BACKEND") or _configured_backend()
    backend = chosen or ("jax" if accelerator == "TPU" or several else "tensorflow")
    if backend not in BACKENDS:
        raise InputError(f"KERAS_BACKEND must be one of {BACKENDS}, got {backend!r}")
    return backend


def _configured_backend():
    """What Keras's own settings file says; Keras writes "tensorflow" into it at its first import,
    so only another choice counts as the user's.
    """
    home = pathlib.Path(os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras")
    try:
        backend = json.loads((home / "keras.json").read_text(encoding="utf-8")).get("backend")
    except (OSError, ValueError):
        return None
    return None if backend == "tensorflow" else backend


def _check_not_too_late(backend):
    if "keras" not in sys.modules:
        return
    import keras

    running = keras.config.backend()
    if running != backend:
        raise SetupError(
            f"Keras already runs on {running} and cannot change to {backend}: restart the runtime "
            "(in Colab: Runtime, Restart session) and call prepare_runtime before anything that "
            "imports keras"
        )


def _is_installed(package):
    return importlib.util.find_spec(package) is not None


def _check_installed(backend):
    for package in dict.fromkeys(("tensorflow", backend)):
        if not _is_installed(package):
            why = "feeds the images" if package == "tensorflow" else "is the backend"
            name = "tensorflow-cpu" if package != backend else package
            raise MissingPackageError(f"{package} {why} and is not installed: pip install {name}")
