"""Several hosts: which there are, and what only one of them does."""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

from rotnet_keras._base.errors import InputError, SetupError
from rotnet_keras._base.values import got, is_whole

# Where Keras, and people who use JAX without a cluster manager, write who trains together.
HOST_VARIABLES = (
    ("KERAS_DISTRIBUTION_JOB_ADDRESSES", "JAX_COORDINATOR_ADDRESS"),
    ("KERAS_DISTRIBUTION_NUM_PROCESSES", "JAX_NUM_PROCESSES"),
    ("KERAS_DISTRIBUTION_PROCESS_ID", "JAX_PROCESS_ID"),
)


def host_share():
    """Return `(host, hosts)`: this process's place among those that train together."""
    import keras

    if keras.config.backend() != "jax" or keras.distribution.distribution() is None:
        return 0, 1
    import jax

    return jax.process_index(), jax.process_count()


def from_every_host(number):
    """Return a list of what each host gave as `number`."""
    if host_share()[1] == 1:
        return [number]
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(number).tolist()


@contextlib.contextmanager
def alone():
    """Within it, Keras keeps to this process: for what one host does alone, such as writing files.

    Keras makes variables there, and would wait for all hosts to make them.
    """
    import keras

    current = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(current)


class _Cluster(NamedTuple):
    """Processes that train together; all None where JAX finds out which they are."""

    address: str | None
    number: int | None
    place: int | None


def find_cluster(hosts, host):
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
        raise InputError(f'hosts must be addresses "host:port", got {got(hosts)}')
    if not is_whole(host) or not 0 <= host < number:
        raise InputError(f"host must be a whole number from 0 to {number - 1}, got {got(host)}")
    return _Cluster(hosts[0], number, host) if number > 1 else None


def _is_address(host):
    return isinstance(host, str) and host.rpartition(":")[2].isdigit()


def _hosts_of_environment(host):
    """`(addresses, their number, host)` as far as `HOST_VARIABLES` say; else three times None."""
    found = [[os.environ[n] for n in names if n in os.environ] for names in HOST_VARIABLES]
    addresses, number, place = (values[0] if values else None for values in found)
    if addresses is None:
        if host is not None:
            raise InputError(f"host needs hosts, the addresses of all processes, got {host!r}")
        return None, None, None
    place = place if host is None else str(host)
    if not all(value and value.isdigit() for value in (number, place)):
        raise InputError(
            f"hosts are given by {' or '.join(HOST_VARIABLES[0])}, so whole numbers must be in "
            f"{' and '.join(' or '.join(n) for n in HOST_VARIABLES[1:])}, got {[number, place]}"
        )
    return addresses.split(","), int(number), int(place)


def join_hosts(keras, cluster):
    """Meet the other hosts, once in the life of a process."""
    import jax

    if not jax.distributed.is_initialized():
        if cluster is not None:
            try:
                keras.distribution.initialize(*cluster)
            except ValueError as error:
                raise InputError(f"hosts {tuple(cluster)} could not connect: {error}") from error
    elif cluster is None or cluster.number not in (None, jax.process_count()):
        raise SetupError(
            f"hosts must stay the {jax.process_count()} that this process started with, got "
            f"{cluster and cluster.number}: start another process"
        )
