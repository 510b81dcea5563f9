"""Finished and unfinished runs are known by their data, and by the network that they were given."""

import dataclasses
import functools
import json
import time

import numpy as np
import pytest
import stubbed_jobs
import tiny_study

from rotnet_keras import Examples, run_experiment, save_report, summarise, two_conv_extractor
from rotnet_keras.cli.main import main
from rotnet_keras.data.identity import PARTS, identity_of, identity_of_network, what_changed

SPLITS = stubbed_jobs.tiny_splits()


def inverted(splits):
    """Other pictures in the place of those to learn from."""
    return dataclasses.replace(splits, unlabelled=255 - splits.unlabelled)


def relabelled(splits):
    """One test image of another class."""
    labels = splits.test.labels.copy()
    labels[0] = 1 - labels[0]
    return dataclasses.replace(splits, test=Examples(splits.test.images, labels))


def redrawn(splits):
    """One of the labelled images of another class."""
    labels = splits.labelled.labels.copy()
    labels[0] = 1 - labels[0]
    return dataclasses.replace(splits, labelled=Examples(splits.labelled.images, labels))


def renamed(splits):
    return dataclasses.replace(splits, class_names=("even", "odder"))


def exchanged(splits):
    """Other pictures everywhere, whatever the draw."""
    parts = {name: getattr(splits, name) for name in ("labelled", "validation", "test")}
    parts = {name: Examples(255 - part.images, part.labels) for name, part in parts.items()}
    return dataclasses.replace(inverted(splits), **parts)


CHANGES = {inverted: "images", relabelled: "test", redrawn: "labels", renamed: "classes"}


@pytest.mark.parametrize(("change", "part"), CHANGES.items())
def test_what_changed_is_named(change, part):
    assert what_changed(identity_of(change(SPLITS)), identity_of(SPLITS)) == f"other {PARTS[part]}"


def test_data_are_the_same_for_every_seed_but_for_the_draw():
    one, other = (identity_of(stubbed_jobs.tiny_splits(seed=seed)) for seed in (0, 1))
    assert what_changed(one, other) == "other labels, or which images have one"
    assert identity_of(stubbed_jobs.tiny_splits()) == one


def test_accents_are_compared_however_they_are_written():
    composed, decomposed = (
        dataclasses.replace(SPLITS, class_names=("a", name)) for name in ("caf\xe9", "cafe\u0301")
    )
    assert identity_of(composed) == identity_of(decomposed)


def test_a_given_network_is_known_by_what_it_holds(tmp_path):
    one, other = (two_conv_extractor((12, 12, 1), feature_dim=5, seed=seed) for seed in (0, 1))
    for number, model in enumerate((one, one, other)):
        model.save_weights(tmp_path / f"{number}.weights.h5")
        model.save(tmp_path / f"{number}.keras")
    held = [identity_of_network(model, None) for model in (one, one, other)]
    as_file = [identity_of_network(str(tmp_path / f"{n}.keras"), None) for n in range(3)]
    as_weights = [identity_of_network("VGG16", tmp_path / f"{n}.weights.h5") for n in (0, 2)]
    assert held[0] == held[1] != held[2]
    assert as_file[0] != as_file[2]
    assert as_weights[0] != as_weights[1]
    assert identity_of_network("two_conv", None) == identity_of_network("VGG16", "imagenet") == {}


def test_looking_at_the_data_takes_little_time():
    """Of as many images as Fashion-MNIST has: a part of a second, and a run takes minutes."""
    images, labels = np.zeros((60_000, 28, 28, 1), "uint8"), np.zeros(60_000, "int32")
    test = Examples(images[:10_000], labels[:10_000])
    splits = dataclasses.replace(SPLITS, unlabelled=images, test=test)
    start = time.perf_counter()
    identity_of(splits)
    assert time.perf_counter() - start < 5  # ten times what two slow cores need


@pytest.fixture
def trained(monkeypatch):
    return stubbed_jobs.stub_all(monkeypatch).all


def exchange(patch, change):
    """Other data under the same name."""

    def load(*arguments, **options):
        return change(stubbed_jobs.tiny_splits(*arguments, **options))

    patch.setattr(stubbed_jobs.stages, "load_splits", load)


@pytest.mark.parametrize(("change", "part"), CHANGES.items())
def test_a_finished_run_of_other_data_is_done_again(trained, monkeypatch, tmp_path, change, part):
    run = functools.partial(run_experiment, "garments", output=tmp_path, verbose=0)
    first = run(skip_finished=True)
    assert run(skip_finished=True) == first
    assert trained() == ["pretraining", "arms", "recipe"]
    exchange(monkeypatch, change)
    with pytest.warns(UserWarning, match=rf"results\.json is of other {PARTS[part]}; the run is d"):
        second = run(skip_finished=True)
    assert trained() == ["pretraining", "arms", "recipe"] * 2
    assert what_changed(first["data"], second["data"]) == f"other {PARTS[part]}"
    assert run(skip_finished=True) == json.loads((tmp_path / "results.json").read_text()) == second


def test_results_that_do_not_tell_their_data_are_done_again(trained, tmp_path):
    run = functools.partial(run_experiment, "garments", output=tmp_path, verbose=0)
    run()
    path = tmp_path / "results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data": {}}))
    with pytest.warns(UserWarning, match="does not tell which data it is of; the run is done"):
        run(skip_finished=True)
    assert trained() == ["pretraining", "arms", "recipe"] * 2


@pytest.mark.parametrize(("change", "part"), CHANGES.items())
def test_an_unfinished_run_of_other_data_is_refused(trained, monkeypatch, tmp_path, change, part):
    def stop(*_, **__):
        raise KeyboardInterrupt

    run = functools.partial(run_experiment, "garments", output=tmp_path, verbose=0)
    with monkeypatch.context() as patch:
        patch.setattr(stubbed_jobs.stages, "run_arms", stop)
        with pytest.raises(KeyboardInterrupt):
            run()
    with monkeypatch.context() as patch:
        exchange(patch, change)
        with pytest.raises(ValueError, match=f"unfinished of one with other {PARTS[part]}: give "):
            run()
    assert trained() == ["pretraining"]
    run()
    assert trained() == ["pretraining", "arms", "recipe"]


def test_an_unfinished_run_that_does_not_tell_its_data_is_refused(trained, tmp_path):
    settings = tmp_path / "unfinished" / "settings.json"
    settings.parent.mkdir()
    settings.write_text('{"dataset": "garments"}')
    with pytest.raises(ValueError, match="of one with data that it does not tell: give another"):
        run_experiment("garments", output=tmp_path)
    assert trained() == []


def test_seeds_of_other_data_are_not_averaged(trained, monkeypatch, tmp_path, capsys):
    """The pictures were exchanged between two commands, or while one was at work."""
    command = ["--dataset", "garments", "--output", str(tmp_path), "--num-seeds"]
    assert main([*command, "2"]) == 0
    assert len(trained()) == 6
    with monkeypatch.context() as patch:
        exchange(patch, exchanged)
        with pytest.warns(UserWarning, match="is of other images and other test images or their l"):
            assert main([*command, "3"]) == 0
        assert len(trained()) == 15  # all three, since two were of the earlier pictures
        assert "Means of 3 seeds" in (tmp_path / "report.html").read_text()
    changes = iter((exchanged, exchanged, renamed))
    exchange(monkeypatch, lambda splits: next(changes)(splits))
    with pytest.warns(UserWarning, match="other names of classes; the run is done again"):
        assert main([*command, "3"]) == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if "of the same data" in x]
    assert "results must hold runs of the same data, got some of other images and" in line
    assert line.endswith("and other names of classes")
    with pytest.raises(ValueError, match="folder must hold runs of the same data, got some of oth"):
        save_report(tmp_path, seeds=range(3))


def test_runs_that_do_not_tell_their_data_are_summarised(results):
    assert set(summarise([results, results | {"data": {}}])["runs"]) == {2}
    other = results | {"data": results["data"] | {"labels": "1"}}
    assert set(summarise([results, other])["runs"]) == {2}


@pytest.mark.parametrize("change", CHANGES)
def test_rows_of_a_study_of_other_data_are_refused(monkeypatch, tmp_path, change):
    fits = tiny_study.fits(monkeypatch)
    asked = tiny_study.pretrained(monkeypatch)
    options = {"arms": ["guessing"], "budgets": [6], "seeds": [1]}
    tiny_study.quick(tmp_path, **options)
    before = (tmp_path / "study.csv").read_bytes()

    def load(*arguments, **more):
        splits = tiny_study.tiny_splits(*arguments, **more)
        if change is redrawn:
            return dataclasses.replace(splits, validation=redrawn_validation(splits))
        return change(splits)

    monkeypatch.setattr(tiny_study.study_run, "load_splits", load)
    said = rf"table of other data, got .*study\.csv with rows of other {PARTS[CHANGES[change]]} und"
    with pytest.raises(ValueError, match=said):
        tiny_study.quick(tmp_path, **options)
    assert (tmp_path / "study.csv").read_bytes() == before
    assert len(fits) == len(asked) == 1
    (tmp_path / "study.csv").unlink()  # a network of the earlier images is there yet
    tiny_study.quick(tmp_path, **options)
    assert len(asked) == 2


def redrawn_validation(splits):
    return Examples(splits.validation.images, 1 - splits.validation.labels)


def test_rows_that_do_not_tell_their_data_are_kept_once_they_do(monkeypatch, tmp_path):
    fits = tiny_study.fits(monkeypatch)
    tiny_study.pretrained(monkeypatch)
    options = {"arms": ["guessing"], "budgets": [6], "seeds": [0]}
    path = tmp_path / "study.csv"
    table = tiny_study.quick(tmp_path, **options)
    table.drop(columns=["data", "check"]).to_csv(path, index=False)
    said = "rows of an earlier version, .* write ([-0-9a-f]{35}) into their column 'data'"
    with pytest.raises(ValueError, match=said) as refused:
        tiny_study.quick(tmp_path, **options)
    (data,) = {*table["data"]}
    assert data in str(refused.value)
    table.drop(columns="check").to_csv(path, index=False)
    assert len(tiny_study.quick(tmp_path, **options)) == len(fits) == 1
