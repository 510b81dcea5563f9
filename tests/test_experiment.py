"""The main job: what it writes and returns, and how it goes on where it was stopped."""

import dataclasses
import functools
import json
import re

import keras
import matplotlib.figure
import numpy as np
import pytest

from rotnet_keras import (
    DatasetError,
    Examples,
    accuracy,
    draw_model,
    load_classifier,
    make_splits,
    run_experiment,
    save_report,
    summarise,
)
from rotnet_keras.jobs import blog as jobs_blog
from rotnet_keras.jobs import pictures as jobs_pictures
from rotnet_keras.jobs import results as jobs_results
from rotnet_keras.jobs import stages

ARMS = ("scratch", "frozen", "fine_tuned")
STAGES = ("data", "pretraining", "map", "classifiers", "recipe", "files")
OPTIONS = {"num_labels": 200, "quick": True, "verbose": 0}


def first(examples, count):
    return Examples(examples.images[:count], examples.labels[:count])


def load_few(name, load=stages.load_splits, **options):
    """Only the beginning of each part."""
    splits = load(name, **options)
    few = {"validation": first(splits.validation, 300), "test": first(splits.test, 400)}
    return dataclasses.replace(splits, unlabelled=splits.unlabelled[:1500], **few)


def keep_titles(patch):
    """Return the titles of all figures that are saved from now on, by file name."""
    seen = {}
    save = matplotlib.figure.Figure.savefig

    def savefig(figure, path, **options):
        name = re.sub(r"^\.part[^.]+\.", "", path.name)  # until it is renamed
        seen[name] = figure.get_suptitle()
        save(figure, path, **options)

    def draw(model, path, *, title):
        seen["model.png"] = title
        return draw_model(model, path, title=title)

    patch.setattr(matplotlib.figure.Figure, "savefig", savefig)
    patch.setattr(jobs_pictures, "draw_model", draw)
    return seen


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    """A quick run on the stand-in: folder, results, what it asked for and got, figures' titles."""
    folder, asked = tmp_path_factory.mktemp("stand_in"), {}

    def load(name, **options):
        splits = load_few(name, **options)
        asked.update(options, test=splits.test)
        return splits

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "load_splits", load)
        titles = keep_titles(patch)
        returned = run_experiment("garments", seed=3, output=folder, **OPTIONS)
    return folder, returned, asked, titles


def test_stand_in_run_says_what_it_is(stand_in, results):
    folder, returned, asked, _ = stand_in
    made_by_hand, results = results, json.loads((folder / "results.json").read_text())
    assert results == returned
    wanted = {"dataset": "garments", "stand_in": True, "seed": 3, "num_labels": 200}
    wanted |= {"num_unlabelled": 1500, "feature_dim": 16, "parameters": 17616}
    assert wanted.items() <= results.items()
    assert asked["seed"] == 3
    assert 0.25 < results["rotation_accuracy"] <= 1
    assert set(results["arms"]) == set(ARMS)
    for arm in results["arms"].values():
        assert set(arm) == {"short", "long"}
        assert all(0 <= value <= 1 for value in arm.values())
    assert results["arms"]["scratch"]["long"] > 0.3  # chance is 0.1
    assert set(results["seconds"]) == {*STAGES}
    assert results["versions"]["keras"] == keras.__version__
    assert results.keys() == made_by_hand.keys()
    for name in ("asked", "epochs", "seconds"):
        assert results[name].keys() == made_by_hand[name].keys()


def test_stand_in_run_writes_everything(stand_in):
    folder, _, _, titles = stand_in
    names = ("rotations", "training", "umap", "accuracies", "confusion", "mistakes")
    pictures = {f"{name}.png" for name in names}
    assert set(titles) == pictures | {"model.png"}
    assert all("STAND-IN" in title for title in titles.values())
    models = {f"{name}.keras" for name in ("rotation_model", "extractor", "classifier")}
    written = {path.name for path in folder.glob("[!.]*")}
    assert written == pictures | models | {
        "model.png",
        "results.json",
        "classifier.json",
        "classifier.npz",
    }
    report = save_report(folder).read_text()
    assert "Stand-in garments: these images were drawn" in report
    assert "rk.run_experiment(&#39;garments&#39;, num_labels=200, seed=3, quick=True)" in report
    assert report.count('<img src="data:image/png;base64,') == len(list(folder.glob("*.png")))


def test_saved_models_are_those_of_the_results(stand_in):
    folder, results, asked, _ = stand_in
    test = asked["test"]
    classifier, rotation_model, extractor = (
        keras.models.load_model(folder / f"{name}.keras")
        for name in ("classifier", "rotation_model", "extractor")
    )
    chosen = results["chosen"]
    assert accuracy(classifier, *test) == chosen["test_accuracy"]
    assert not chosen["again"]  # 200 labels were asked for
    assert chosen["test_accuracy"] in {
        results["recipe"]["test_accuracy"], *results["arms"].get(chosen["arm"], {}).values()
    }  # fmt: skip
    told = jobs_results.rotation_accuracy(rotation_model, test.images)
    assert told == results["rotation_accuracy"]
    assert extractor.output_shape == (None, 16)
    np.testing.assert_array_equal(
        extractor.get_layer("conv1").kernel, rotation_model.get_layer("conv1").kernel
    )


def _runs_of(results):
    """The recipe and each arm under each budget, by what it was right for."""
    arms = [{"test_accuracy": x} for arm in results["arms"].values() for x in arm.values()]
    return [results["recipe"], *arms]


@pytest.mark.slow
def test_own_images_with_weights_from_elsewhere(tmp_path):
    """A network that knows bright from dark beforehand: its arms stand beside the others."""
    labels = np.arange(120) % 2
    images = np.random.default_rng(0).integers(0, 60, (120, 12, 12, 1), "uint8")
    images[labels == 1] += 150
    names = ["$dark", "_bright <b>"]  # no formula, no gap in a legend, no markup
    splits = make_splits(images, labels, unlabelled=images, class_names=names, name="$own^$")
    pixels = keras.Input((16, 16, 3))
    network = keras.Model(pixels, keras.layers.Conv2D(8, 3, name="maps")(pixels), name="net")
    options = {"layer": "maps", "output": tmp_path, "quick": True, "verbose": 0}
    results = run_experiment(splits, backbone=network, **options)
    given = {"given_frozen", "given_fine_tuned"}
    assert set(results["arms"]) == {*ARMS, *given}
    assert (results["backbone"], results["layer"], results["dataset"]) == ("net", "maps", "$own^$")
    assert results["feature_dim"] == 8
    extractor = keras.models.load_model(tmp_path / "extractor.keras")
    start = network.get_layer("maps").kernel
    assert not np.allclose(extractor.get_layer("maps").kernel, start)  # it began at random
    loaded, facts = load_classifier(tmp_path / "classifier.keras")
    assert facts["class_names"] == names
    chosen = results["chosen"]
    assert chosen["test_accuracy"] in {run["test_accuracy"] for run in _runs_of(results)}
    assert (chosen["again"], chosen["num_labels"]) == (True, 120)  # all but those without a label
    assert accuracy(loaded, *splits.test) >= chosen["test_accuracy"]  # which were learnt from then
    table = summarise([results])
    assert table.loc["given_frozen, long", "blog":"mean"].isna().tolist() == [True, False]


@pytest.mark.slow
def test_few_images_and_odd_names_end_well_and_are_not_repeated(monkeypatch, tmp_path):
    """All images are on the map, since few are tested; numbers of NumPy's and stray bytes, too.

    The map is drawn by another process meanwhile, as that of many images is.
    """
    begun = []
    begin_map = stages.begin_map

    def begin(*features, **options):
        begun.append(begin_map(*features, **options))
        return begun[-1]

    monkeypatch.setattr(stages, "begin_map", begin)
    monkeypatch.setattr(stages, "MANY_ON_A_MAP", 4)
    images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 1), "uint8")
    odd = b"caf\xe9".decode("utf-8", "surrogateescape")
    options = {"class_names": [odd, "b"], "name": odd, "unlabelled": images}
    splits = make_splits(images, np.arange(20) % 2, **options)
    settings = {"seed": np.int64(1), "quick": True, "verbose": 0, "skip_finished": True}
    results = run_experiment(splits, output=tmp_path, **settings)
    assert len(splits.test.labels) == 3
    assert [process.returncode for process in begun] == [0]
    assert (tmp_path / "umap.png").exists()
    report = save_report(tmp_path).read_text()
    assert "UMAP" in report
    assert "caf\\udce9" in report
    assert "splits: what was in memory then" in report
    written = (tmp_path / "classifier.keras").stat().st_mtime_ns
    assert run_experiment(splits, output=tmp_path, **settings) == results
    assert (tmp_path / "classifier.keras").stat().st_mtime_ns == written
    with pytest.raises(ValueError, match=r"dataset must be a name or a folder for .*image_size"):
        run_experiment(splits, image_size=9, output=tmp_path)


def test_a_folder_of_the_users_is_not_taken_for_ours(tmp_path):
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"output must not hold .*unfinished, a folder with"):
        run_experiment("garments", output=tmp_path)
    assert (tmp_path / "unfinished" / "thesis.txt").exists()


def test_only_the_default_data_set_may_fall_back(monkeypatch, tmp_path):
    asked = []

    def unavailable(name, **options):
        asked.append((name, options["fall_back"]))
        raise DatasetError("no network")

    monkeypatch.setattr(stages, "load_splits", unavailable)
    for dataset in (None, "fashion_mnist"):
        with pytest.raises(DatasetError):
            run_experiment(dataset, output=tmp_path)
    assert asked == [("fashion_mnist", True), ("fashion_mnist", False)]


@pytest.fixture
def quick_training(monkeypatch):
    """Two epochs of each long budget, and no map: what is looked at is which run goes on."""
    monkeypatch.setattr(stages, "load_splits", functools.cache(load_few))
    settings = jobs_blog.budget_settings

    def short(budget, **options):
        return settings(budget, **options) | {"epochs": 2}

    monkeypatch.setattr(jobs_blog, "budget_settings", short)
    monkeypatch.setattr(stages, "umap_points", lambda features, seed: np.asarray(features)[:, :2])


def weights(path):
    return keras.models.load_model(path).get_weights()


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_ends_like_an_unbroken_one(quick_training, monkeypatch, tmp_path):
    whole = run_experiment("garments", output=tmp_path / "whole", **OPTIONS)

    def stop(*_, **__):
        raise KeyboardInterrupt

    stopping = jobs_blog.ARMS["fine_tuned"]._replace(fit=stop)
    for owner, name, value in (
        (jobs_blog.ARMS, "fine_tuned", stopping),
        (vars(jobs_pictures), "plot_confusion", stop),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(owner, name, value)
            with pytest.raises(KeyboardInterrupt):
                run_experiment("garments", output=tmp_path / "broken", **OPTIONS)
        assert [path.name for path in (tmp_path / "broken").glob("[!.]*")] == ["unfinished"]
    broken = run_experiment("garments", output=tmp_path / "broken", **OPTIONS)
    assert (whole | {"seconds": 0}) == (broken | {"seconds": 0})
    names = {path.name for path in (tmp_path / "whole").iterdir()}
    assert {path.name for path in (tmp_path / "broken").iterdir()} == names
    for name in ("rotation_model.keras", "classifier.keras"):
        pairs = (weights(tmp_path / folder / name) for folder in ("whole", "broken"))
        for a, b in zip(*pairs, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_earlier_results_stay_until_new_ones_are_there(quick_training, monkeypatch, tmp_path):
    run_experiment("garments", output=tmp_path, **OPTIONS)
    before = {path: path.read_bytes() for path in tmp_path.glob("[!.]*")}

    def full(*_, **__):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(matplotlib.figure.Figure, "savefig", full)
        with pytest.raises(OSError, match=r"rotations.png cannot be written: No space left"):
            run_experiment("garments", seed=1, output=tmp_path, **OPTIONS)
    assert {path: path.read_bytes() for path in tmp_path.glob("[!.]*") if path.is_file()} == before
    with pytest.raises(ValueError, match=r"unfinished of one with {'seed': 1}: give another out"):
        run_experiment("garments", seed=2, output=tmp_path, **OPTIONS)
    (tmp_path / "unfinished" / "settings.json").write_text("{")
    with pytest.raises(ValueError, match=r"settings.json cannot be read .*: delete .*unfinished"):
        run_experiment("garments", seed=1, output=tmp_path, **OPTIONS)
    assert {path: path.read_bytes() for path in tmp_path.glob("[!.]*") if path.is_file()} == before


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match=r"output must be a folder that can be written, got .*file"):
        run_experiment("garments", output=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
