import importlib.util
import json
import os
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from PIL import Image

from rotnet_keras import fine_tune, pretrain, run_experiment, run_pretraining, save_projector
from rotnet_keras.jobs import pretraining, stages
from rotnet_keras.viewing import tensorboard as viewing_tensorboard
from rotnet_keras.viewing.tensorboard import Curves

pytest.importorskip("tensorboard", reason="TensorBoard is not installed")

SETTINGS = {"epochs": 4, "batch_size": 3, "verbose": 0}
LABELS = np.arange(8) % 3
NAMES = ["Bag", "tab\tand\nline", b"caf\xe9".decode("utf-8", "surrogateescape")]
SHOWN = ["Bag", "tab\\tand\\nline", "caf\\udce9"]


class StopAfter(keras.callbacks.Callback):
    """Breaks a run off at the end of an epoch, before it is written."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epochs:
            raise KeyboardInterrupt


def read(folder):
    """`{part: {tag: [(step, value)]}}` of a run, as TensorBoard itself reads it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curves = {}
    for part in sorted(path.name for path in folder.iterdir()):
        events = EventAccumulator(str(folder / part), size_guidance={"tensors": 0})
        events.Reload()
        curves[part] = {
            tag: [(e.step, float(tf.make_ndarray(e.tensor_proto))) for e in events.Tensors(tag)]
            for tag in events.Tags()["tensors"]
        }
    return curves


def expected(history):
    """The same from Keras's `History`, whose values TensorBoard keeps as float32."""
    curves = {}
    for name, values in history.items():
        part = "validation" if name.startswith("val_") else "train"
        steps = [(step, float(np.float32(value))) for step, value in enumerate(values)]
        curves.setdefault(part, {})[f"epoch_{name.removeprefix('val_')}"] = steps
    return curves


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def run(images, extractor, folder):
    """Pretraining that writes curves and returns its history."""

    def run(*, validated=False, breaks=(), curves=None, **options):
        held_out = {"validation_images": images[:4]} if validated else {}
        options = SETTINGS | held_out | options
        callbacks = [curves or Curves(folder), *breaks]
        return pretrain(extractor, images, callbacks=callbacks, **options)[1].history

    return run


def test_curves_are_the_history(run, folder):
    history = run(validated=True)
    curves = read(folder)
    assert curves == expected(history)
    tags = {"epoch_loss", "epoch_accuracy"}
    assert {part: set(of) for part, of in curves.items()} == {"train": tags, "validation": tags}
    assert [step for step, _ in curves["train"]["epoch_loss"]] == [0, 1, 2, 3]


def test_without_validation_there_is_one_part_also_of_a_second_run(run, folder):
    curves = Curves(folder)
    for _ in range(2):
        history = run(curves=curves)
        assert read(folder) == expected(history)
        assert [path.name for path in folder.iterdir()] == ["train"]


@pytest.fixture
def tune(images, extractor, folder):
    """Fine-tuning that lowers its learning rate, which the curves show where they come later."""

    def tune(*, breaks=(), **options):
        settings = {"mode": "max", "factor": 0.3, "patience": 1}
        slower = keras.callbacks.ReduceLROnPlateau("val_accuracy", **settings)
        options |= {
            "validation_data": (images[::-1], LABELS),
            "optimizer": keras.optimizers.Adam(0.02),
        }
        options |= SETTINGS | {"epochs": 6, "callbacks": [slower, Curves(folder), *breaks]}
        return fine_tune(extractor, images, LABELS, **options)[1].history

    return tune


def test_curves_show_the_learning_rate(tune, folder):
    history = tune()
    curves = read(folder)
    assert curves == expected(history)
    rates = [rate for _, rate in curves["train"]["epoch_learning_rate"]]
    assert len(rates) == 6
    assert rates[-1] < rates[0]


@pytest.mark.parametrize("epochs", [0, 2])
def test_after_a_break_each_epoch_is_there_once(run, folder, tmp_path, epochs):
    options = {"validated": True, "checkpoint": tmp_path / "net.weights.h5"}
    with pytest.raises(KeyboardInterrupt):
        run(breaks=[StopAfter(epochs)], **options)
    assert len(read(folder)["train"]["epoch_loss"]) == epochs + 1  # one more than are kept
    history = run(**options)
    assert [step for step, _ in read(folder)["train"]["epoch_loss"]] == [0, 1, 2, 3]
    assert read(folder) == expected(history)
    assert run(**options) == history  # finished: nothing is trained any more
    assert read(folder) == expected(history)


def test_after_a_break_the_learning_rate_is_there_too(tune, folder, tmp_path):
    options = {"checkpoint": tmp_path / "net.weights.h5"}
    with pytest.raises(KeyboardInterrupt):
        tune(breaks=[StopAfter(3)], **options)
    history = tune(**options)
    assert read(folder) == expected(history)
    assert len(history["learning_rate"]) == 6


def test_a_new_run_leaves_nothing_of_an_old_one_but_other_files(run, folder):
    run(validated=True)
    (folder / "train" / "notes.txt").write_text("mine")
    history = run(epochs=2)
    assert read(folder) == expected(history) | {"validation": {}}
    assert (folder / "train" / "notes.txt").read_text() == "mine"


def test_a_place_that_cannot_be_written_is_said(run, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match=r"file/run cannot be written: "):
        run(curves=Curves(tmp_path / "file" / "run"))


def test_the_pretraining_job_writes_curves(images, tmp_path):
    odd, board = tmp_path / os.fsdecode(b"b\xf6ard"), tmp_path / "board"
    options = {"output": tmp_path / "out", "tensorboard": odd, **SETTINGS}
    results = run_pretraining(images=images, **options)
    again = run_pretraining(images=images, **options)
    assert again["history"] == results["history"]
    odd.rename(board)  # TensorBoard itself cannot read the odd one
    assert [path.name for path in board.iterdir()] == ["pretraining"]
    assert read(board / "pretraining") == expected(results["history"])
    assert "tensorboard" not in json.loads((tmp_path / "out" / "pretraining.json").read_text())


def greys(count, side=12, channels=1):
    """Images of one grey each, 9 brighter from one to the next."""
    values = 9.0 * np.arange(count)[:, None, None, None]
    return np.broadcast_to(values, (count, side, side, channels))


FEATURES = np.random.default_rng(0).normal(size=(8, 5)) * 1000


def project(folder, images=None, **options):
    images = greys(8) if images is None else images
    path = save_projector(folder, FEATURES[: len(images)], images, LABELS, NAMES, **options)
    from tensorboard.plugins.projector import ProjectorConfig

    return text_format.Parse(path.read_text(), ProjectorConfig()).embeddings[0]


def test_the_projector_finds_every_file(tmp_path):
    folder = tmp_path / "new" / "folder"
    found = project(folder)
    assert found.tensor_name == "features"
    names = [found.tensor_path, found.metadata_path, found.sprite.image_path]
    assert {*names, "projector_config.pbtxt"} == {path.name for path in folder.iterdir()}
    assert list(found.sprite.single_image_dim) == [12, 12]
    np.testing.assert_allclose(np.loadtxt(folder / found.tensor_path), FEATURES, rtol=1e-5)
    assert np.loadtxt(folder / found.tensor_path, delimiter="\t").shape == (8, 5)


def test_names_are_a_line_each(tmp_path):
    """Without a head where there is one column: the projector takes it for a point's name."""
    found = project(tmp_path)
    lines = (tmp_path / found.metadata_path).read_bytes().decode().split("\n")
    assert lines == [*(SHOWN[label] for label in LABELS), ""]


def test_predictions_are_a_column(tmp_path):
    found = project(tmp_path, predictions=LABELS[::-1])
    head, *lines = (tmp_path / found.metadata_path).read_text().splitlines()
    assert head == "class\tpredicted"
    pairs = zip(LABELS, LABELS[::-1], strict=True)
    assert lines == [f"{SHOWN[true]}\t{SHOWN[told]}" for true, told in pairs]


def test_a_blank_name_has_a_line_too(tmp_path):
    """Which the projector would leave out, and name all later points by their neighbours."""
    save_projector(tmp_path, FEATURES[:3], greys(3), [0, 1, 2], ["", " \t", " Bag "])
    lines = (tmp_path / "metadata.tsv").read_text().splitlines()
    assert lines == ["''", "\\t", "Bag"]


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
@pytest.mark.parametrize(("count", "rows"), [(1, 1), (4, 2), (5, 3), (8, 3)])
def test_the_sprite_holds_each_image_in_its_place(tmp_path, count, rows, channels, mode):
    images = greys(count, channels=channels) + 20.6  # rounded up
    labels = np.zeros(count, int)
    save_projector(tmp_path, FEATURES[:count], images, labels, NAMES)
    with Image.open(tmp_path / "sprite.png") as sprite:
        assert (sprite.mode, sprite.size) == (mode, (12 * rows, 12 * rows))
        pixels = np.asarray(sprite).reshape(rows, 12, rows, 12, channels)
    cells = pixels.transpose(0, 2, 1, 3, 4).reshape(rows * rows, 12, 12, channels)
    np.testing.assert_array_equal(cells[:count], np.rint(images))
    assert not cells[count:].any()


def test_images_stand_upright_and_pixels_stay_in_range(tmp_path):
    image = np.linspace(-0.5, 255.5, 144).reshape(1, 12, 12, 1)  # as resizing may leave them
    save_projector(tmp_path, FEATURES[:1], image, [0], NAMES)
    pixels = np.asarray(Image.open(tmp_path / "sprite.png"))
    np.testing.assert_array_equal(pixels, np.clip(np.rint(image[0, ..., 0]), 0, 255))


def test_larger_images_are_made_smaller(tmp_path, monkeypatch):
    monkeypatch.setattr(viewing_tensorboard, "LARGEST_SPRITE", 32)
    found = project(tmp_path)
    assert list(found.sprite.single_image_dim) == [10, 10]  # three of them in 32 pixels
    pixels = np.asarray(Image.open(tmp_path / "sprite.png"))
    assert pixels.shape == (30, 30)
    cells = pixels.reshape(3, 10, 3, 10).mean(axis=(1, 3)).ravel()
    np.testing.assert_array_equal(cells, [*greys(8)[:, 0, 0, 0], 0])


def test_new_files_stand_in_the_place_of_old_ones(tmp_path):
    project(tmp_path, predictions=LABELS)
    before = {path.name for path in tmp_path.iterdir()}
    project(tmp_path, images=greys(8, side=9))
    assert {path.name for path in tmp_path.iterdir()} == before
    assert "single_image_dim: 9" in (tmp_path / "projector_config.pbtxt").read_text()
    viewing_tensorboard.clear_projector(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": LABELS + 1}, r"labels must lie in 0\.\.2, .* from 1 to 3"),
        ({"predictions": LABELS - 1}, r"predictions must lie in 0\.\.2, .* from -1 to 1"),
        ({"features": FEATURES[:7]}, r"features must be \(8, D\), a row for each image, got"),
        ({"images": greys(8, channels=2)}, r"images must have 1 or 3 channels, got"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_written(tmp_path, change, message):
    arguments = {"features": FEATURES, "images": greys(8), "labels": LABELS, "class_names": NAMES}
    with pytest.raises(ValueError, match=message):
        save_projector(tmp_path / "board", **arguments | change)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def no_tensorboard(monkeypatch):
    """As where the package is not installed."""
    find = importlib.util.find_spec

    def find_others(name, *arguments):
        return None if name.split(".")[0] == "tensorboard" else find(name, *arguments)

    monkeypatch.setattr(importlib.util, "find_spec", find_others)
    monkeypatch.setitem(sys.modules, "tensorboard", None)


@pytest.mark.parametrize(
    ("run", "module"), [(run_pretraining, pretraining), (run_experiment, stages)]
)
def test_without_tensorboard_it_is_said_before_any_work(
    no_tensorboard, monkeypatch, tmp_path, run, module
):
    monkeypatch.setattr(module, "load_splits", lambda *_, **__: pytest.fail("has begun"))
    with pytest.raises(ImportError, match=r"tensorboard needs .* pip install tensorboard$"):
        run("garments", output=tmp_path / "out", tensorboard=tmp_path / "board")
    assert not list(tmp_path.iterdir())


def test_the_projectors_files_need_no_tensorboard(no_tensorboard, tmp_path):
    save_projector(tmp_path, FEATURES, greys(8), LABELS, NAMES)
    assert (tmp_path / "projector_config.pbtxt").exists()


@pytest.mark.parametrize("run", [run_pretraining, run_experiment])
def test_a_file_in_the_place_of_the_folder(tmp_path, run):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match=r"tensorboard must be a folder that can be written, got"):
        run("garments", output=tmp_path / "out", tensorboard=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    assert not (tmp_path / "out").exists()
