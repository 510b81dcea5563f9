"""Several devices: spreading batches over them, whole or in parts."""

from __future__ import annotations

import contextlib

from rotnet_keras._base.errors import InputError, SetupError
from rotnet_keras.running.hosts import host_share


def local_devices():
    """Number of devices that training is spread over on this host."""
    import keras

    current = keras.distribution.distribution()
    return 1 if current is None else current.device_mesh.devices.size // host_share()[1]


def check_share(batch_size, copies):
    """Raise unless every host gets as many rows of a batch, and can share its own out evenly.

    On one host, a batch that does not divide is computed whole on each device. Several hosts read
    different rows, so that none of them has the whole batch.
    """
    hosts, devices = host_share()[1], local_devices()
    if hosts > 1 and (batch_size % hosts or batch_size // hosts * copies % devices):
        raise InputError(
            f"batch_size must be shared out evenly among {hosts} hosts with {devices} devices "
            f"each, got {batch_size}"
        )


@contextlib.contextmanager
def whole_batches():
    """Within it, each device computes every batch whole: for loops whose last batch is smaller.

    Keras divides all batches as it divides the first, so a last batch that cannot be divided
    evenly would end in an error. With a single device, nothing changes.
    """
    import keras

    current = keras.distribution.distribution()
    if current is None:
        yield
        return
    with _data_parallel(keras, current.device_mesh.devices.ravel().tolist(), whole=True).scope():
        yield


def leave_accelerator(backend):
    """Keep TensorFlow, which only prepares images, from taking the accelerator's memory."""
    import tensorflow as tf

    for kind in ("GPU", "TPU"):
        try:
            tf.config.set_visible_devices([], kind)
        except RuntimeError as error:
            raise SetupError(
                f"TensorFlow already holds the {kind} that {backend} is to drive: restart the "
                "runtime, and call prepare_runtime first"
            ) from error


def ask_for_devices(devices, cluster):
    """Settings that JAX takes only before it starts."""
    import jax

    if devices not in (1, "all"):  # of the CPU; an accelerator has as many as it has
        with contextlib.suppress(RuntimeError):  # it has started: `spread_over` counts what it has
            jax.config.update("jax_num_cpu_devices", devices)
    if cluster is not None:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")


def spread_over(keras, devices, several_hosts):
    """Tell Keras to train on so many devices a host; return how many those are."""
    import jax

    there = jax.local_device_count()
    wanted = there if devices == "all" else devices
    if several_hosts and wanted < there:
        raise SetupError(f'devices must be "all" or {there}, what each host has, got {devices}')
    if wanted > there:
        raise SetupError(
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
                raise InputError(
                    f"batches must be shared out evenly among {here} devices of a "
                    f"host, got one of {data_shape[0]} rows"
                )
            return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)

    return EvenlyOrWhole(devices=devices, auto_shard_dataset=False)
