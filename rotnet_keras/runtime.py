"""The runtime: what machine this is, which backend Keras uses on it, over how many devices.

Nothing here imports Keras or TensorFlow before `prepare_runtime` has decided for which backend.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pathlib
import sys
from typing import NamedTuple

from rotnet_keras._checks import check_count, check_seed, got, is_whole

BACKENDS = ("tensorflow", "jax", "torch")
PCI_DEVICES, GOOGLE = pathlib.Path("/sys/bus/pci/devices"), "0x1ae0"
NVIDIA = pathlib.Path("/dev/nvidiactl")
# Where Keras, and people who use JAX without a cluster manager, write who trains together.
HOST_VARIABLES = (
    ("KERAS_DISTRIBUTION_JOB_ADDRESSES", "JAX_COORDINATOR_ADDRESS"),
    ("KERAS_DISTRIBUTION_NUM_PROCESSES", "JAX_NUM_PROCESSES"),
    ("KERAS_DISTRIBUTION_PROCESS_ID", "JAX_PROCESS_ID"),
)


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


def prepare_runtime(*, devices=1, hosts=None, host=None, seed=0):
    """Choose Keras's backend for this machine, spread training over devices, and set seeds.

    Call it before anything imports Keras: a process has one backend. TensorFlow drives a CPU or a
    GPU, JAX a TPU, several devices or several hosts; the environment variable `KERAS_BACKEND`
    wins over both, and so does another backend than TensorFlow in Keras's own `keras.json`. Images
    come through tf.data in any case, on the CPU. Called again, it changes devices and seeds.

    With several devices each computes an equal part of every batch. A batch that cannot be shared
    out evenly is computed whole on each of them: that gains no time and leaves no image out. So
    do this package's functions; Keras's own `fit` and `predict` go by the first batch, and want all
    others shared out like it.

    Args:
        devices: number that training is spread over, or "all". On a machine without an
            accelerator they are virtual ones, for trying out.
        hosts: addresses `"host:port"` of all processes that train together, in one order
            everywhere; each brings `devices` of its own. "auto" where a cluster that JAX knows
            (a TPU pod, Slurm) says all. None goes by the environment variables
            `JAX_COORDINATOR_ADDRESS`, `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID`, or Keras's
            `KERAS_DISTRIBUTION_...`, and without them this process trains alone.
        host: this process's place among `hosts`, from 0.
        seed: of Python, NumPy and Keras's own draws.

    Returns:
        `Runtime`, a named tuple; `print` shows it as one line.

    Raises:
        RuntimeError: Keras was imported with another backend, JAX started with fewer devices, or
            this process already trains with other hosts, or without.
        ImportError: the backend or TensorFlow, which feeds every backend, is not installed.
        ValueError: an unknown backend, or an argument out of its range.

    Example:
        >>> print(prepare_runtime())  # doctest: +SKIP
        GPU, Keras on tensorflow, 1 device, seed 0
    """
    if not isinstance(devices, str) or devices != "all":
        check_count("devices", devices)
    check_seed(seed)
    cluster = _find_cluster(hosts, host)
    several = devices != 1 or cluster is not None
    backend = _choose_backend(find_accelerator(), several=several)
    if several and backend != "jax":
        raise ValueError(
            f"devices and hosts beyond one need the backend jax, got {backend!r}: in a restarted "
            "runtime, set KERAS_BACKEND to jax or leave it unset"
        )
    _check_not_too_late(backend)
    _check_installed(backend)
    os.environ["KERAS_BACKEND"] = backend
    if backend != "tensorflow":
        _leave_accelerator(backend)
    if backend == "jax":
        _ask_for_devices(devices, cluster)
    import keras

    keras.utils.set_random_seed(seed)
    if backend == "jax":
        _join(keras, cluster)
    keras.distribution.set_distribution(None)
    used = _spread(keras, devices, cluster is not None) if several else 1
    host, hosts = host_share()
    return Runtime(running_accelerator(), backend, used, hosts, host, seed)


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


def host_share():
    """Return `(host, hosts)`: this process's place among those that train together."""
    import keras

    if keras.config.backend() != "jax" or keras.distribution.distribution() is None:
        return 0, 1
    import jax

    return jax.process_index(), jax.process_count()


def local_devices():
    """Number of devices that training is spread over on this host."""
    import keras

    current = keras.distribution.distribution()
    return 1 if current is None else current.device_mesh.devices.size // host_share()[1]


def check_share(batch_size, copies):
    """Raise unless every host gets as many rows of a batch, and can share its own out evenly.

    On one host a batch that does not divide is computed whole on each device. Hosts read different
    rows, so that none of them has the whole of it.
    """
    hosts, devices = host_share()[1], local_devices()
    if hosts > 1 and (batch_size % hosts or batch_size // hosts * copies % devices):
        raise ValueError(
            f"batch_size must be shared out evenly among {hosts} hosts with {devices} devices "
            f"each, got {batch_size}"
        )


def from_every_host(number):
    """Return a list of what each host gave as `number`."""
    if host_share()[1] == 1:
        return [number]
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(number).tolist()


@contextlib.contextmanager
def whole_batches():
    """Within it, each device computes every batch whole: for loops whose last batch is smaller.

    Keras takes the layout of all batches from the first one, so a last batch that cannot be
    shared out evenly would end in an error. Without several devices, nothing changes.
    """
    import keras

    current = keras.distribution.distribution()
    if current is None:
        yield
        return
    with _data_parallel(keras, current.device_mesh.devices.ravel().tolist(), whole=True).scope():
        yield


@contextlib.contextmanager
def alone():
    """Within it, Keras keeps to this process: for what one host does without the others, such as
    writing files. There, Keras makes variables, which would wait for all hosts to make them.
    """
    import keras

    current = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(current)


class _Cluster(NamedTuple):
    """Processes that train together; all None where JAX finds them out."""

    address: str | None
    number: int | None
    place: int | None


def _find_cluster(hosts, host):
    """The `_Cluster` that arguments or environment name; None for one process alone."""
    if isinstance(hosts, (str, list)) and hosts in ("auto", ["auto"]):
        return _Cluster(None, None, None)
    if hosts is None:
        hosts, number, host = _hosts_of_environment(host)
        if hosts is None:
            return None
    else:
        hosts = [hosts] if isinstance(hosts, str) else hosts
        number = len(hosts) if isinstance(hosts, (list, tuple)) else 0
    if not number or not all(map(_is_address, hosts)):
        raise ValueError(f'hosts must be addresses "host:port", got {got(hosts)}')
    if not is_whole(host) or not 0 <= host < number:
        raise ValueError(f"host must be a whole number from 0 to {number - 1}, got {got(host)}")
    return _Cluster(hosts[0], number, host) if number > 1 else None


def _is_address(host):
    return isinstance(host, str) and host.rpartition(":")[2].isdigit()


def _hosts_of_environment(host):
    """`(addresses, their number, host)` as far as `HOST_VARIABLES` say; else three times None."""
    found = [[os.environ[n] for n in names if n in os.environ] for names in HOST_VARIABLES]
    addresses, number, place = (values[0] if values else None for values in found)
    if addresses is None:
        if host is not None:
            raise ValueError(f"host needs hosts, the addresses of all processes, got {host!r}")
        return None, None, None
    place = place if host is None else str(host)
    if not all(value and value.isdigit() for value in (number, place)):
        raise ValueError(
            f"hosts are given by {' or '.join(HOST_VARIABLES[0])}, so whole numbers must be in "
            f"{' and '.join(' or '.join(n) for n in HOST_VARIABLES[1:])}, got {[number, place]}"
        )
    return addresses.split(","), int(number), int(place)


def _choose_backend(accelerator, *, several):
    """The user's own choice, else JAX where TensorFlow cannot do it."""
    chosen = os.environ.get("KERAS_BACKEND") or _configured_backend()
    backend = chosen or ("jax" if accelerator == "TPU" or several else "tensorflow")
    if backend not in BACKENDS:
        raise ValueError(f"KERAS_BACKEND must be one of {BACKENDS}, got {backend!r}")
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
        raise RuntimeError(
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
            raise ImportError(f"{package} {why} and is not installed: pip install {name}")


def _leave_accelerator(backend):
    """TensorFlow, which only feeds, would take the accelerator's memory at its first operation."""
    import tensorflow as tf

    for kind in ("GPU", "TPU"):
        try:
            tf.config.set_visible_devices([], kind)
        except RuntimeError as error:
            raise RuntimeError(
                f"TensorFlow already holds the {kind} that {backend} is to drive: restart the "
                "runtime and call prepare_runtime first"
            ) from error


def _ask_for_devices(devices, cluster):
    """Settings that JAX takes only before it starts."""
    import jax

    if devices not in (1, "all"):  # of the CPU; an accelerator has as many as it has
        with contextlib.suppress(RuntimeError):  # it has started: `_spread` counts what it has
            jax.config.update("jax_num_cpu_devices", devices)
    if cluster is not None:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")


def _join(keras, cluster):
    """Meet the other hosts, once in the life of a process."""
    import jax

    if not jax.distributed.is_initialized():
        if cluster is not None:
            try:
                keras.distribution.initialize(*cluster)
            except ValueError as error:
                raise ValueError(f"hosts {tuple(cluster)} do not find together: {error}") from error
    elif cluster is None or cluster.number not in (None, jax.process_count()):
        raise RuntimeError(
            f"this process trains with {jax.process_count()} hosts, and must go on so, got hosts "
            f"{cluster and cluster.number}: start another process"
        )


def _spread(keras, devices, several_hosts):
    """Tell Keras to train on so many devices a host; return how many those are."""
    import jax

    there = jax.local_device_count()
    wanted = there if devices == "all" else devices
    if several_hosts and wanted < there:
        raise RuntimeError(f'devices must be "all" or {there}, what each host has, got {devices}')
    if wanted > there:
        raise RuntimeError(
            f"devices must be at most the {there} that JAX has here, got {devices}; virtual ones "
            "of a CPU must be asked for before JAX starts"
        )
    names = keras.distribution.list_devices()
    chosen = names if several_hosts else names[:wanted]
    keras.distribution.set_distribution(_data_parallel(keras, chosen))
    return wanted


def _data_parallel(keras, devices, *, whole=False):
    """Keras's data-parallel training, with a rule for batches that do not divide evenly."""
    import jax

    hosts = jax.process_count()
    here = len(devices) // hosts

    class EvenlyOrWhole(keras.distribution.DataParallel):
        def get_data_layout(self, data_shape):
            if not whole and data_shape[0] % here == 0:
                return super().get_data_layout(data_shape)
            if not whole and hosts > 1:  # each host has other rows: none could compute all of them
                raise ValueError(
                    f"batches must be shared out evenly among {here} devices of a "
                    f"host, got one of {data_shape[0]} rows"
                )
            return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)

    return EvenlyOrWhole(devices=devices, auto_shard_dataset=False)
