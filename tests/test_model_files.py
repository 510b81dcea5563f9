"""Files of models: what is refused before Keras sees it, and what older versions of Keras load."""

import json
import os
import re
import subprocess
import sys
import zipfile

import bad_models
import h5py
import keras
import numpy as np
import pytest
from small_networks import assert_same_weights, chain

from rotnet_keras import (
    InputError,
    attach_head,
    backbone_extractor,
    extract_features,
    make_extractor,
    nearest_neighbours,
    save_classifier,
)
from rotnet_keras._base import model_files
from rotnet_keras._base.errors import cause
from rotnet_keras._base.model_files import check_weights, load_model, save_model
from rotnet_keras.models import NETWORKS

SHAPE = bad_models.SHAPE


@pytest.fixture
def unseen(monkeypatch):
    """Fail if Keras gets to see a file."""

    def load(*_, **__):
        raise AssertionError("Keras saw it")

    monkeypatch.setattr(keras.models, "load_model", load)
    monkeypatch.setattr(keras.Model, "load_weights", load)


def test_a_sound_file_is_loaded(tmp_path):
    path = bad_models.sound(tmp_path / "sound.keras")
    assert_same_weights(load_model(path), keras.models.load_model(path))


@pytest.mark.parametrize("change", bad_models.HDF5, ids=lambda change: change.__name__)
def test_weights_that_lie_elsewhere_are_refused_before_keras_sees_them(change, tmp_path, unseen):
    reason = bad_models.HDF5[change]
    path = tmp_path / "bad.keras"
    bad_models.changed(path, weights=lambda file: change(file, tmp_path))
    with pytest.raises(InputError, match=rf"^model .*bad\.keras cannot be loaded: .*{reason}"):
        load_model(path)
    with zipfile.ZipFile(path) as archive:
        (tmp_path / "bad.weights.h5").write_bytes(archive.read("model.weights.h5"))
    network = chain(SHAPE, keras.layers.Flatten(name="flat"), keras.layers.Dense(2, name="dense"))
    with pytest.raises(InputError, match=rf"weights .*bad\.weights\.h5 do not fit .*: .*{reason}"):
        backbone_extractor(network, SHAPE, weights=tmp_path / "bad.weights.h5")


@pytest.mark.parametrize("name", bad_models.KERAS)
def test_code_in_a_file_is_refused_before_keras_sees_it(name, tmp_path, unseen):
    make, reason = bad_models.KERAS[name]
    path = make(tmp_path / "bad.keras", tmp_path)
    with pytest.raises(InputError, match=rf"^model .*bad\.keras cannot be loaded: .*{reason}"):
        load_model(path)
    with pytest.raises(InputError, match=rf"backbone .*bad\.keras cannot be loaded: .*{reason}"):
        make_extractor(path, SHAPE)
    assert not (tmp_path / "mark").exists()


def test_groups_that_hold_each_other_are_walked_once(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("a")
        group.create_group("b")["again"] = group
    check_weights(tmp_path / "a.h5")


def test_an_own_layer_is_loaded_once_keras_knows_it(tmp_path):
    path = bad_models.own_layer(tmp_path / "own.keras", tmp_path)
    with pytest.raises(InputError, match="if you trust it, import it first, decorated with"):
        load_model(path)

    class Own(keras.layers.Layer):
        def call(self, images):
            return images + 1

    twice = keras.saving.register_keras_serializable("tests")(type("Twice", (Own,), {}))
    chain(SHAPE, twice()).save(tmp_path / "twice.keras")
    assert isinstance(load_model(tmp_path / "twice.keras").layers[1], twice)
    with keras.saving.custom_object_scope({"Own": Own}):
        assert (
            load_model(path)(np.zeros((1, *SHAPE))).numpy().tolist()
            == np.ones((1, *SHAPE)).tolist()
        )


def test_what_keras_says_at_the_end_is_kept(tmp_path):
    """It puts the cause behind what it tried, and lists the whole configuration."""

    class Named(keras.layers.Layer):
        def get_config(self):
            return super().get_config() | {"unheard_of": 1}

        def call(self, images):
            return images

    path = tmp_path / "own.keras"
    chain(SHAPE, Named(), *[keras.layers.ReLU() for _ in range(30)]).save(path)
    with keras.saving.custom_object_scope({"Named": Named}), pytest.raises(InputError) as refusal:
        load_model(path)
    assert "Unrecognized keyword arguments passed to Named: {'unheard_of': 1}" in str(refusal.value)
    assert len(str(refusal.value)) < 600
    located = TypeError("Could not locate class 'A'. Make sure. Full object config: {'a': 1}")
    assert cause(located) == "TypeError: Could not locate class 'A'. Make sure."
    assert cause(ValueError("\x1b[1mnot bold\x1b[0m")) == "ValueError: not bold"
    assert cause(ValueError()) == "ValueError"


def test_files_that_are_not_there_and_pipes(tmp_path):
    with pytest.raises(InputError, match=r"got '.*none\.keras', and there is no such file"):
        load_model(tmp_path / "none.keras")
    os.mkfifo(tmp_path / "pipe.keras")
    with pytest.raises(InputError, match=r"got '.*pipe\.keras', and that is no regular file"):
        load_model(tmp_path / "pipe.keras")


def test_what_is_newer_than_the_oldest_keras_is_left_out(tmp_path):
    norm = keras.layers.BatchNormalization(name="norm")
    model = chain(SHAPE, norm, keras.layers.Flatten(), keras.layers.Dense(2))
    save_model(model, tmp_path / "a.keras")
    assert os.listdir(tmp_path) == ["a.keras"]
    with zipfile.ZipFile(tmp_path / "a.keras") as archive:
        assert not [
            name
            for name in model_files.NEWER
            if f'"{name}"' in archive.read("config.json").decode()
        ]
    assert_same_weights(model, load_model(tmp_path / "a.keras"))


def test_what_cannot_be_left_out_is_kept_and_said(tmp_path):
    model = chain(SHAPE, keras.layers.BatchNormalization(renorm=True, renorm_momentum=0.5))
    with pytest.warns(UserWarning, match=r"only a newer Keras.* renorm=True, .*_momentum=0\.5"):
        save_model(model, tmp_path / "a.keras")
    assert load_model(tmp_path / "a.keras").layers[1].renorm


PROGRAM = """
import json, pathlib, re, sys
import keras, numpy as np
from rotnet_keras import InputError
from rotnet_keras._base.model_files import load_model

folder = pathlib.Path(sys.argv[1])
for path in sorted((folder / "good").glob("*.keras")):
    for load in (load_model, keras.models.load_model):
        model = load(path)
        images = np.random.default_rng(0).integers(0, 256, (4, *model.input_shape[1:]))
        wanted = np.load(path.with_suffix(".npy"))
        np.testing.assert_allclose(model.predict(images, verbose=0), wanted, rtol=1e-3, atol=1e-4)
for path, reason in json.loads((folder / "bad.json").read_text()):
    try:
        load_model(path)
        raise AssertionError(f"{path} was loaded")
    except InputError as error:
        assert re.search(reason, str(error)), error
print(keras.__version__)
"""


def save_each_kind(folder):
    """Every kind of network that the package saves, with what it says of images."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (20, 32, 32, 3), "uint8"), np.arange(20) % 2
    networks = {name: make_extractor(name, (32, 32, 3), seed=1) for name in NETWORKS}
    for name in ("MobileNetV2", "ConvNeXtTiny"):
        networks[name] = make_extractor(name, (32, 32, 3), seed=1)
    extractor = networks["two_conv"]
    networks["neighbours"] = nearest_neighbours(extractor, images, labels).to_keras()
    moves = [keras.layers.RandomFlip(), keras.layers.RandomRotation(0.1)]
    moves += [keras.layers.RandomErasing(), keras.layers.Dropout(0.5)]
    networks["augmented"] = chain((32, 32, 3), *moves, extractor, keras.layers.Dense(2))
    for name, model in networks.items():
        save_model(model, folder / f"{name}.keras")
    save_classifier(attach_head(extractor, 2), folder / "classifier.keras", ["cat", "dog"])
    for path in folder.glob("*.keras"):
        model = keras.models.load_model(path)
        images = np.random.default_rng(0).integers(0, 256, (4, *model.input_shape[1:]))
        np.save(path.with_suffix(".npy"), extract_features(model, images.astype("uint8")))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    (folder / "good").mkdir()
    save_each_kind(folder / "good")
    bad = [(str(path), reason) for path, reason in bad_models.bad_models(folder)]
    (folder / "bad.json").write_text(json.dumps(bad))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("wanted", ["keras==3.12.0", "keras==3.13.2", "keras"])
def test_every_version_loads_what_is_saved_and_refuses_what_is_bad(wanted, saved, tmp_path):
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target"]
    done = subprocess.run([*install, tmp_path, wanted], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{wanted} cannot be had here: {done.stderr[-200:]}")
    paths = os.pathsep.join(filter(None, (str(tmp_path), *sys.path)))
    environment = os.environ | {"PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, saved], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.fullmatch(
        wanted.partition("==")[2].replace(".", r"\.") or r"3\..*", done.stdout.strip()
    )
    assert not (saved / "mark").exists()
