"""What a run found out: its file."""

import importlib.metadata
import json
import os
import platform

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rotnet_keras import run_experiment, save_report
from rotnet_keras._base.errors import InputError
from rotnet_keras.jobs import results as jobs_results
from rotnet_keras.jobs.settings import RunSettings


@pytest.mark.parametrize(
    ("asked", "in_memory", "name", "told"),
    [
        (None, [], "fashion_mnist", True),
        ("garments", ["backbone"], "garments", True),
        ("fashion_mnist", ["dataset"], "fashion_mnist", False),
        ("./fashion_mnist", [], "fashion_mnist", False),
        ("mnist", [], "mnist", False),
    ],
)
def test_whose_data_is_the_blogs(asked, in_memory, name, told):
    assert jobs_results.is_blogs_data(asked, in_memory, name) is told


def test_a_finished_run_with_an_explorer_more_is_not_repeated(results, tmp_path):
    path, asked = tmp_path / "results.json", {"seed": 0}
    plain, explored = (RunSettings(seed=0, explorer=flag) for flag in (False, True))
    path.write_text(json.dumps(results | {"asked": asked | {"explorer": True}}))
    assert jobs_results.finished_results(path, plain)
    assert jobs_results.finished_results(path, explored)
    path.write_text(json.dumps(results | {"asked": asked}))
    assert jobs_results.finished_results(path, plain)
    assert jobs_results.finished_results(path, explored) is None
    assert jobs_results.finished_results(path, RunSettings(seed=1)) is None


def test_results_of_earlier_versions_are_read_without_what_they_lack(results, tmp_path):
    newer = ("format", "skipped", "in_memory", "num_test", "epochs", "seconds", "versions", "data")
    earlier = {name: value for name, value in results.items() if name not in newer}
    (tmp_path / "results.json").write_text(json.dumps(earlier))
    read = jobs_results.read_results(tmp_path / "results.json")
    assert (read.num_test, read.epochs, read.rotation_accuracy) == (None, {}, 0.9804)
    assert read.as_dict().keys() == results.keys()
    page = save_report(tmp_path).read_text(encoding="utf-8")
    assert "It names the rotation of" in page
    assert "the test images, were met" not in page


def test_what_is_written_is_read_again(results, tmp_path):
    (tmp_path / "results.json").write_text(json.dumps(results))
    read = jobs_results.read_results(tmp_path / "results.json").as_dict()
    assert read == results
    assert read["format"] == jobs_results.FORMAT


def test_results_of_a_newer_version_are_refused_and_stay(results, tmp_path):
    newer = json.dumps(results | {"format": 2})
    (tmp_path / "results.json").write_text(newer)
    with pytest.raises(ValueError, match=r"folder must hold .* of format 2, which another version"):
        save_report(tmp_path)
    again = {"seed": 7, "num_labels": 1000, "skip_finished": True, "output": tmp_path}
    with pytest.raises(ValueError, match=r"output must hold no newer results, .* of format 2"):
        run_experiment("fashion_mnist", **again)
    assert (tmp_path / "results.json").read_text() == newer
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["results.json"]


def test_results_of_before_a_setting_was_known_are_finished_ones(results, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results | {"asked": {"dataset": "mnist"}}))
    assert jobs_results.finished_results(path, RunSettings("mnist"))
    assert jobs_results.finished_results(path, RunSettings("mnist", fit="pad")) is None
    path.write_text('{"asked": {"data')
    with pytest.warns(UserWarning, match=r"results\.json: it cannot be read: .*; the run is done"):
        assert jobs_results.finished_results(path, RunSettings("mnist")) is None


def test_versions_of_what_is_installed(monkeypatch):
    def version(name):
        if name in ("tensorflow", "tensorflow-datasets", "rotnet-keras"):
            raise importlib.metadata.PackageNotFoundError(name)
        return f"{name} 1"

    assert jobs_results.package_versions()["tensorflow"]
    monkeypatch.setattr(importlib.metadata, "version", version)
    names = ("tensorflow-cpu", "keras", "umap-learn", "numpy")
    wanted = {"python": platform.python_version()} | {name: f"{name} 1" for name in names}
    assert jobs_results.package_versions() == wanted


def damage(**changes):
    """A file of results with other parts."""
    return lambda results: json.dumps(results | changes).encode()


DAMAGE = {
    "it cannot be read: 'utf-8' codec can't decode byte 0xff": lambda _: b'{"seed": "\xff"}',
    "it cannot be read: Expecting value": lambda _: b"",
    "it cannot be read: maximum recursion depth": lambda _: b"[" * 100_000,
    "it must be a dictionary of what run_experiment returns": lambda _: b"[]",
    "it must hold what run_experiment returns": damage(arms={"frozen": "good"}),
    "it must lie in 0..1, all their accuracies, got nan": damage(rotation_accuracy=float("nan")),
    "it must lie in 0..1, all their accuracies, got 1.5": damage(rotation_accuracy=1.5),
    "its num_labels cannot be 'many'": damage(num_labels="many"),
    "its seed cannot be True": damage(seed=True),
    "its skipped cannot be [1]": damage(skipped=[1]),
    "its epochs cannot be {'frozen, short': '3'}": damage(epochs={"frozen, short": "3"}),
    "its seconds cannot be {'data': inf}": damage(seconds={"data": float("inf")}),
    "its data cannot be {'images': None}": damage(data={"images": None}),
    "its versions cannot be ['3.12']": damage(versions=["3.12"]),
    "its image_shape cannot be [28, 28, 'grey']": damage(image_shape=[28, 28, "grey"]),
    "its image_shape must be three whole numbers, got [28, 28]": damage(image_shape=[28, 28]),
    "run_experiment has no settings ['colour']": damage(asked={"colour": 1}),
}


@pytest.mark.parametrize("said", DAMAGE)
def test_damaged_results_are_one_line(results, tmp_path, said):
    path = tmp_path / "results.json"
    path.write_bytes(DAMAGE[said](results))
    with pytest.raises(InputError) as refused:
        save_report(tmp_path)
    assert str(refused.value).startswith(
        f"save_report: folder must hold results.json of run_experiment, got {tmp_path}, where "
    )
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    with pytest.warns(UserWarning, match=r"results\.json: .*; the run is done again$"):
        assert jobs_results.finished_results(path, RunSettings(seed=7)) is None
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_results_that_are_no_file_are_one_line(tmp_path):
    os.mkfifo(tmp_path / "results.json")
    with pytest.raises(InputError, match="where it cannot be read: it is no regular file"):
        save_report(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_flipped_bits_are_one_line_or_a_page(results, tmp_path, data):
    written = bytearray(json.dumps(results).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        written[data.draw(st.integers(0, len(written) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (tmp_path / "results.json").write_bytes(written)
    try:
        said = str(save_report(tmp_path))
    except InputError as error:
        said = str(error)
    assert "\n" not in said
