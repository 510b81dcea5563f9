"""The main job on a folder of pictures, with all that can be asked for."""

import json
import pathlib
import re

import keras
import numpy as np
import pytest

from rotnet_keras import plot_accuracies, run_experiment, save_report
from rotnet_keras.jobs import pictures as jobs_pictures

ARMS = ("scratch", "frozen", "fine_tuned")
NASTY = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def explored(tmp_path_factory):
    """A run on a folder that is called like the blog's data, with all that can be asked for."""
    folder = tmp_path_factory.mktemp("run")
    for number in range(72):
        place = folder / "fashion_mnist" / ["bag", NASTY][number % 2]
        place.mkdir(parents=True, exist_ok=True)
        picture = np.random.default_rng(number).integers(0, 60, (12, 12, 3)) + 150 * (number % 2)
        keras.utils.save_img(place / f"{number}.png", picture, scale=False)
    bars = {}

    def draw(accuracies):
        bars.update(accuracies)
        return plot_accuracies(accuracies)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(jobs_pictures, "plot_accuracies", draw)
        options = {"num_labels": 12, "image_size": 12, "channels": 1, "seed": 2, "quick": True}
        options |= {"output": "out", "explorer": True, "tensorboard": "board", "verbose": 0}
        results = run_experiment(pathlib.Path("fashion_mnist"), **options)
        again = run_experiment(pathlib.Path("fashion_mnist"), skip_finished=True, **options)
    assert again == results
    budgets = [f"this run, {budget} training" for budget in ("short", "long")]
    assert list(bars) == [*budgets, "this run, self-training"]  # none of the blog's
    assert bars["this run, self-training"].pop("self-trained") == results["recipe"]["test_accuracy"]
    assert {*bars["this run, self-training"].values()} == {None}
    return folder, results


def test_an_explorer_of_the_three_networks(explored, open_page):
    folder, results = explored
    page = folder / "out" / "explorer.html"
    text = page.read_text(encoding="utf-8")
    facts = json.loads(re.search(r'id="facts">(.*?)</script>', text, re.DOTALL)[1])
    networks = ["random weights", "pretrained on rotations", "fine-tuned on labels"]
    depths = ["block1", "block2", "block3", "features"]
    assert facts["maps"] == [{"network": n, "depth": d} for n in networks for d in depths]
    colourings = ["class", "predicted class", "error", "rotation accuracy", "part of the data"]
    assert [colouring["name"] for colouring in facts["colourings"]] == colourings
    assert results["num_test"] == 12
    assert "fashion_mnist, quick run: 72 images, 38 without a label" in text
    assert results["seconds"].keys() >= {"explorer"}
    opened = open_page(page)
    opened.wait_for_selector("body[data-ready]")
    assert opened.locator("#count").inner_text() == "72 of 72 images"


def test_the_explorer_is_asked_for_and_no_setting_of_the_training(explored):
    folder, results = explored
    assert results["asked"]["explorer"] is True
    assert "explorer" not in {*results} - {"asked"}
    assert "tensorboard" not in {*results, *results["asked"]}
    written = {path.name for path in (folder / "out").iterdir()}
    assert "explorer.html" in written
    assert "unfinished" not in written


def test_a_folder_named_like_the_blogs_data_has_other_figures(explored):
    folder, results = explored
    assert (results["asked"]["dataset"], results["dataset"]) == ("./fashion_mnist", "fashion_mnist")
    report = save_report(folder / "out").read_text()
    assert "blog" not in report
    call = "rk.run_experiment(&#39;./fashion_mnist&#39;, image_size=12, channels=1, num_labels=12"
    assert call in report
    assert "explorer=True)" in report
    assert '<a href="explorer.html">' in report


def test_a_run_for_tensorboard_has_every_curve_and_the_test_images(explored):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder, results = explored
    runs = {f"{arm}_{budget}" for arm in ARMS for budget in ("short", "long")}
    written = {path.name for path in (folder / "board").iterdir()}
    assert written == runs | {"pretraining", "features"}
    for run in (*runs, "pretraining"):
        steps = results["epochs"][", ".join(run.rsplit("_", 1)) if run in runs else run]
        for part in ("train", "validation"):
            events = accumulator.EventAccumulator(str(folder / "board" / run / part))
            events.Reload()
            tags = set(events.Tags()["tensors"])
            rate = {"epoch_learning_rate"} if run.endswith("long") and part == "train" else set()
            assert tags == {"epoch_loss", "epoch_accuracy"} | rate
            for tag in tags:
                assert [event.step for event in events.Tensors(tag)] == [*range(steps)]
    features = folder / "board" / "features"
    assert np.loadtxt(features / "tensors.tsv").shape == (12, 128)
    head, *lines = (features / "metadata.tsv").read_text().splitlines()
    assert head == "class\tpredicted"
    told, true = np.array([line.split("\t") for line in lines]).T[::-1]
    assert {*true} == {"bag", NASTY}
    assert np.mean(told == true) == results["chosen"]["test_accuracy"]
