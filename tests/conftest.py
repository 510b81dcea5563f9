"""Settings and data that the tests share."""

import os
import warnings

# Before TensorFlow is imported; no test draws on a screen.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

_data_used = set()


@pytest.fixture(scope="session")
def splits(request):
    """Fashion-MNIST where it can be had, else the drawn stand-in; the summary says which."""
    from rotnet_keras import load_splits

    splits = load_splits("fashion_mnist", fall_back=True)
    stand_in = "the drawn STAND-IN, since Fashion-MNIST cannot be had here"
    _data_used.add(stand_in if splits.stand_in else "real Fashion-MNIST")
    if hasattr(request.config, "workeroutput"):  # one of several processes, of pytest-xdist
        request.config.workeroutput["data_used"] = list(_data_used)
    return splits


@pytest.fixture
def images():
    """Eight small random images `(8, 12, 12, 1)` uint8."""
    return np.random.default_rng(0).integers(0, 256, (8, 12, 12, 1), "uint8")


@pytest.fixture
def extractor():
    """The blog's extractor for 12×12 images."""
    from rotnet_keras import two_conv_extractor

    return two_conv_extractor((12, 12, 1), feature_dim=5, seed=3)


@pytest.fixture
def eagerly():
    """Run functions step by step: for a few updates, tracing them first takes longest."""
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*run_functions_eagerly.*")
        tf.config.run_functions_eagerly(True)
        yield
        tf.config.run_functions_eagerly(False)


@pytest.fixture(autouse=True)
def _keep_backend():
    """`prepare_runtime` tells child processes which backend it chose; notebooks choose anew."""
    before = os.environ.get("KERAS_BACKEND")
    yield
    os.environ.pop("KERAS_BACKEND", None)
    if before is not None:
        os.environ["KERAS_BACKEND"] = before


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    output = getattr(node, "workeroutput", {})  # a process that crashed has none
    _data_used.update(output.get("data_used", ()))


def pytest_terminal_summary(terminalreporter):
    for data in _data_used:
        terminalreporter.write_line(f"Tests on whole data sets ran on {data}.")
