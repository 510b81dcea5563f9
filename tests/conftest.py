"""Settings and data that the tests share."""

import collections
import itertools
import json
import os
import shutil
import subprocess
import sys
import warnings

# Before TensorFlow is imported, which then computes as in programs that `prepare_runtime` starts;
# no test draws on a screen.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["ROTNET_KERAS_CHECKPOINT_SECONDS"] = "0"  # no epoch here takes as long as by default

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import settings

# The same cases in every ordinary run; new ones every night.
settings.register_profile("ordinary", deadline=None, derandomize=True)
settings.register_profile("nightly", deadline=None, print_blob=True)
settings.load_profile("nightly" if os.environ.get("ROTNET_KERAS_NIGHTLY") == "1" else "ordinary")

_data_used = set()
_bad_cases = collections.Counter()


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
def results():
    """What `run_experiment` returns, made by hand: all that it says of a run."""
    settings = {"dataset": "fashion_mnist", "image_size": None, "fit": "crop", "channels": None}
    settings |= {"ground": 255, "white": None, "broken": "raise"}
    settings |= {"repeats": "raise", "parts": "any", "follow_links": False}
    settings |= {"backbone": None, "weights": None, "layer": None}
    settings |= {"num_labels": 1000, "num_validation": None, "seed": 7, "quick": False}
    settings["minutes"] = None
    results = settings | {
        "format": 1,
        "backbone": "two_conv",
        "asked": settings,
        "skipped": [],
        "in_memory": [],
    }
    results |= {"num_unlabelled": 49_000, "num_validation": 10_000, "num_test": 10_000}
    results |= {"image_shape": [28, 28, 1], "feature_dim": 16, "parameters": 17_616}
    results |= {"stand_in": False, "rotation_accuracy": 0.9804, "balanced": {}}
    results["data"] = dict.fromkeys(("images", "test", "labels", "classes"), "0123456789abcdef")
    results["arms"] = {
        "frozen": {"short": 0.4, "long": 0.6012},
        "scratch": {"short": 0.621, "long": 0.828},
        "fine_tuned": {"short": 0.7214, "long": 0.832},
    }
    results["recipe"] = {"validation_accuracy": 0.861, "test_accuracy": 0.8574}
    results["chosen"] = {"arm": "recipe", "budget": "", "row": "self-trained (fit_few_labels)"}
    results["chosen"] |= {"validation_accuracy": 0.861, "test_accuracy": 0.8574}
    results["chosen"] |= {"num_labels": 1000, "again": False}
    results |= {"verdict": {}, "recipe_verdict": {}, "pretext": ""}
    results["plan"] = {"pretrain_epochs": 10, "long_epochs": 300, "updates": 1500, "pairs": 0}
    long = {"frozen, long": 93, "scratch, long": 205, "fine_tuned, long": 121}
    results["epochs"] = {f"{arm}, short": 3 for arm in results["arms"]} | long | {"pretraining": 10}
    seconds = {"data": 1.5, "pretraining": 1200.0, "map": 30.0, "classifiers": 90.1}
    seconds |= {"recipe": 80.5, "files": 4.0}
    return results | {"seconds": seconds, "versions": {"python": "3.11.9", "keras": "3.15.0"}}


@pytest.fixture
def eagerly():
    """Run functions step by step: for a few updates, tracing them first takes longest."""
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*run_functions_eagerly.*")
        tf.config.run_functions_eagerly(True)
        yield
        tf.config.run_functions_eagerly(False)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """No test reads what an earlier run kept, or writes to the user's folders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROTNET_KERAS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def no_choice(monkeypatch, tmp_path):
    """No backend chosen by anybody, no hosts; the folder for Keras's settings."""
    from rotnet_keras.running.hosts import HOST_VARIABLES

    for name in ("KERAS_BACKEND", "JAX_PLATFORMS", *itertools.chain(*HOST_VARIABLES)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def run_program():
    """Run a Python program in a process of its own; return its last line, read as JSON."""

    def run_program(program, *arguments, **environment):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run_program


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


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium that asks nothing of the network by itself."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    quiet = ("background-networking", "component-update", "sync", "quic", "gpu")
    options = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in quiet)]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=options)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Open a file as a person would; at the end nothing was complained of or asked of others."""
    faults, contexts = [], []

    def open_page(path, *, width=1200, height=900, **options):
        viewport = {"width": width, "height": height}
        contexts.append(browser.new_context(viewport=viewport, **options))
        page, own = contexts[-1].new_page(), path.resolve().as_uri()

        def mind_console(said):
            if said.type in ("error", "warning"):
                faults.append(said.text)

        def mind_request(request):
            if request.url != own and not request.url.startswith(
                ("data:", "blob:", "about:srcdoc")
            ):
                faults.append(request.url[:200])

        def mind_dialog(dialog):
            faults.append(dialog.message)
            dialog.dismiss()

        page.on("console", mind_console)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", mind_dialog)
        page.on("request", mind_request)
        page.goto(own)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture(scope="session")
def count_case(request):
    """Count a generated case of bad input; the summary says how many there were."""

    def count():
        _bad_cases["generated"] += 1
        if hasattr(request.config, "workeroutput"):
            request.config.workeroutput["bad_cases"] = _bad_cases["generated"]

    return count


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    output = getattr(node, "workeroutput", {})  # a process that crashed has none
    _data_used.update(output.get("data_used", ()))
    _bad_cases["generated"] += output.get("bad_cases", 0)


def pytest_terminal_summary(terminalreporter):
    for data in _data_used:
        terminalreporter.write_line(f"Tests on whole data sets ran on {data}.")
    if _bad_cases["generated"]:
        terminalreporter.write_line(f"Generated cases of bad input: {_bad_cases['generated']:,}.")


@pytest.fixture(scope="session")
def prepared_once(tmp_path_factory):
    import tensorflow_datasets as tfds
    import tfds_tiny  # noqa: F401  registers its data sets

    folder = tmp_path_factory.mktemp("prepared")
    tfds.builder("tiny_colours", data_dir=folder).download_and_prepare()
    return folder


@pytest.fixture
def prepared(prepared_once, tmp_path):
    """A copy of the prepared tiny data set, to damage at will."""
    shutil.copytree(prepared_once, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def offline(monkeypatch):
    """Send every request to a port of this machine where nobody listens."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
