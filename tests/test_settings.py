"""What a run is asked for."""

import dataclasses
import inspect
import pathlib

import numpy as np
import pytest

from rotnet_keras import Examples, make_splits, run_experiment, two_conv_extractor
from rotnet_keras.jobs.settings import RunSettings, check_same_run

HALVES = Examples(np.zeros((2, 12, 12, 1)), [0.5, 1])


@pytest.fixture
def splits(images):
    return make_splits(np.tile(images, (6, 1, 1, 1)), np.arange(48) % 2, num_labels=8, name="own")


def test_settings_are_the_functions_arguments():
    parameters = inspect.signature(run_experiment).parameters.values()
    ours = {field.name: field.default for field in dataclasses.fields(RunSettings)}
    assert ours == {parameter.name: parameter.default for parameter in parameters}


def test_what_decides_the_figures_is_text(splits):
    settings = RunSettings(pathlib.Path("mnist"), num_labels=np.int64(5), output="elsewhere")
    assert settings.deciding["dataset"] == "./mnist"
    assert type(settings.deciding["num_labels"]) is int
    assert "output" not in settings.deciding
    assert settings.asked == settings.deciding
    assert RunSettings(explorer=True).asked == RunSettings().deciding | {"explorer": True}
    for minutes in (2.5, np.float32(2.5)):  # a number, to be called with again
        assert RunSettings(minutes=minutes).deciding["minutes"] == 2.5
    held = RunSettings(splits, backbone=two_conv_extractor((12, 12, 1)))
    assert held.in_memory == ["dataset", "backbone"]
    assert held.deciding["dataset"] == "own"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"unlabelled": np.zeros((3, 12, 10, 1))}, r"dataset\.unlabelled must .* batch of square"),
        ({"unlabelled": np.zeros((3, 9, 9, 1))}, "dataset must hold images of one shape, got"),
        ({"unlabelled": np.zeros((0, 9, 9, 1))}, "dataset must hold images of one shape, got"),
        ({"class_names": ("a",)}, r"labels must lie in 0\.\.0, one of the class_names each"),
        ({"test": HALVES}, r"dataset\.test labels must be whole numbers"),
    ],
)
def test_splits_that_do_not_hold_together_are_refused(splits, changed, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        run_experiment(dataclasses.replace(splits, **changed), output=tmp_path)
    assert not list(tmp_path.iterdir())


def test_ready_splits_are_not_divided_or_read_again(splits, tmp_path):
    with pytest.raises(ValueError, match=r"dataset must be a name .* {'num_labels': 4} to apply"):
        run_experiment(splits, num_labels=4, output=tmp_path)


def test_a_run_that_stopped_before_a_setting_was_known_goes_on(tmp_path):
    (tmp_path / "settings.json").write_text('{"dataset": "mnist"}')
    check_same_run(tmp_path, RunSettings("mnist"))
    with pytest.raises(ValueError, match=r"output must hold no other .* one with {'fit': 'crop'}"):
        check_same_run(tmp_path, RunSettings("mnist", fit="pad"))
