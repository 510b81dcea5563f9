"""Several hosts: which there are, by argument and by environment."""

import pytest

from rotnet_keras import prepare_runtime
from rotnet_keras.running.hosts import HOST_VARIABLES, find_cluster


def test_hosts_that_jax_finds_out():
    assert find_cluster("auto", None) == (None, None, None)
    assert find_cluster(["a:1"], 0) is None  # one process is no cluster


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
    assert find_cluster(None, None) == ("a:1", 2, 1)
    monkeypatch.setenv(names[2], "second")
    with pytest.raises(ValueError, match=r"so whole numbers must be in .* got \['2', 'second'\]"):
        prepare_runtime()
