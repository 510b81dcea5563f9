"""What a classifier says of a folder of new pictures, and the table of it."""

import collections
import io
import json
import os
import pathlib

import keras
import numpy as np
import pandas as pd
import pytest
from small_networks import classifier_of_three
from valid_calls import EXTRACTOR, GIVEN

from rotnet_keras import (
    DatasetError,
    InputError,
    attach_head,
    extract_features,
    familiar_from,
    load_classifier,
    predict_pictures,
    save_classifier,
    two_conv_extractor,
)
from rotnet_keras.data import pictures
from rotnet_keras.prediction import write_predictions

pytestmark = pytest.mark.backend

NAMES = ["a/b", "<img src=x>", "naïve"]


classifier = pytest.fixture(classifier_of_three, name="classifier")


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        for i in range(3):
            picture = np.tile(rng.integers(0, 256, (12, 12, 1), "uint8"), 3)
            keras.utils.save_img(tmp_path / name / f"{i}.png", picture, scale=False)
    return tmp_path


def test_pictures_are_classified_in_order(classifier, folder):
    table = predict_pictures(classifier, folder, NAMES, batch_size=4)
    assert table["file"].tolist() == [f"{name}/{i}.png" for name in "ab" for i in range(3)]
    images = [keras.utils.load_img(folder / file, color_mode="grayscale") for file in table["file"]]
    logits = extract_features(classifier, np.stack([np.asarray(i)[..., None] for i in images]))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert table["class"].tolist() == [NAMES[place] for place in chances.argmax(axis=1)]
    np.testing.assert_allclose(table["probability"], chances.max(axis=1), rtol=1e-4)


def test_probabilities_are_calibrated_and_the_runner_up_is_told(classifier, folder):
    usual = predict_pictures(classifier, folder, NAMES)
    table = predict_pictures(classifier, folder, NAMES, temperature=2)
    told = ["class", "probability", "runner_up", "runner_up_probability"]
    assert table.columns.tolist() == ["file", *told]
    images = [keras.utils.load_img(folder / file, color_mode="grayscale") for file in table["file"]]
    logits = extract_features(classifier, np.stack([np.asarray(i)[..., None] for i in images]))
    chances = np.exp(logits / 2) / np.exp(logits / 2).sum(axis=1, keepdims=True)
    order = np.argsort(-chances, axis=1)
    assert table["class"].tolist() == usual["class"].tolist()
    assert table["runner_up"].tolist() == [NAMES[place] for place in order[:, 1]]
    np.testing.assert_allclose(table["probability"], chances.max(axis=1), rtol=1e-4)
    second = np.sort(chances, axis=1)[:, 1]
    np.testing.assert_allclose(table["runner_up_probability"], second, rtol=1e-4)


def test_pictures_unlike_those_in_training_are_marked(classifier, folder, tmp_path):
    """Noise is what it was trained on, so that a white picture is strange."""
    noise = np.random.default_rng(1).integers(0, 256, (80, 12, 12, 1), "uint8")
    familiar = familiar_from(classifier, noise[:50], noise[50:])
    keras.utils.save_img(folder / "a" / "white.png", np.full((12, 12, 3), 255), scale=False)
    path = folder / "net.keras"
    save_classifier(classifier, path, NAMES, temperature=1.5, familiar=familiar)
    model, facts = load_classifier(path)
    assert facts["temperature"] == 1.5
    table = predict_pictures(model, folder / "a", batch_size=2, **facts)
    assert table.columns[-1] == "unlike"
    assert table.loc[table["unlike"], "file"].tolist() == ["white.png"]
    write_predictions(table, tmp_path / "said.csv")
    read = pd.read_csv(tmp_path / "said.csv")
    assert read["unlike"].dtype == bool
    assert read["unlike"].tolist() == table["unlike"].tolist()


def test_broken_pictures(classifier, folder):
    (folder / "a" / "1.png").write_bytes(b"broken")
    with pytest.raises(DatasetError, match=r"1 of 6 pictures cannot be read.*\n.*a/1\.png"):
        predict_pictures(classifier, folder, NAMES)
    with pytest.warns(UserWarning, match="1 of 6 pictures"):
        table = predict_pictures(classifier, folder, NAMES, broken="skip")
    assert "a/1.png" not in table["file"].tolist()
    assert len(table) == 5


@pytest.fixture
def decoded(monkeypatch):
    """Count how often each file is decoded."""
    counts, decode = collections.Counter(), pictures.decode_picture

    def counted(name, *look):
        counts[pathlib.Path(os.fsdecode(name)).name] += 1
        return decode(name, *look)

    monkeypatch.setattr(pictures, "decode_picture", counted)
    return counts


@pytest.mark.parametrize("broken", ["raise", "skip"])
def test_each_picture_is_decoded_once(classifier, folder, decoded, broken):
    predict_pictures(classifier, folder, NAMES, broken=broken, batch_size=4)
    assert decoded == {f"{i}.png": 2 for i in range(3)}  # of two folders


@pytest.mark.parametrize("place", range(6))
def test_what_is_left_of_a_folder_with_a_broken_picture(classifier, folder, place):
    """Batches before the broken picture are not computed again, and none after it is left out."""
    whole = predict_pictures(classifier, folder, NAMES, batch_size=2)
    (folder / whole["file"][place]).write_bytes(b"broken")
    with pytest.warns(UserWarning, match="1 of 6 pictures"):
        table = predict_pictures(classifier, folder, NAMES, broken="skip", batch_size=2)
    left = whole.drop(index=place).reset_index(drop=True)
    assert table[["file", "class"]].equals(left[["file", "class"]])
    np.testing.assert_allclose(table["probability"], left["probability"], rtol=1e-5)


def test_all_broken_pictures_are_listed_at_once(classifier, folder):
    for name in ("a/0.png", "b/2.png"):
        (folder / name).write_bytes(b"broken")
    with pytest.raises(DatasetError, match=r"2 of 6 .*\n.*a/0\.png.*\n.*b/2\.png"):
        predict_pictures(classifier, folder, NAMES, batch_size=1)
    for file in folder.glob("*/*.png"):
        file.write_bytes(b"broken")
    with pytest.raises(DatasetError, match="6 of 6 pictures cannot be read, and there are no othe"):
        predict_pictures(classifier, folder, NAMES, broken="skip")


def two_outputs(classifier):
    features = classifier.get_layer("features").output
    outputs = [keras.layers.Dense(3, name=name)(features) for name in ("one", "two")]
    return keras.Model(classifier.input, outputs)


def maps(classifier):
    return keras.Model(classifier.input, classifier.get_layer("pool1").output)


@pytest.mark.parametrize("build", [two_outputs, maps])
def test_networks_that_are_no_classifiers(classifier, folder, build):
    model, path = build(classifier), folder / "model.keras"
    with pytest.raises(InputError, match=r"^save_classifier: model must have one output .* got"):
        save_classifier(model, path, NAMES)
    assert not path.exists()
    with pytest.raises(InputError, match=r"^predict_pictures: model must have one output .* got"):
        predict_pictures(model, folder, NAMES)
    model.save(path)
    path.with_suffix(".json").write_text(json.dumps({"class_names": NAMES, "fit": "crop"}))
    with pytest.raises(InputError, match=r"model\.keras must hold a model of one output .* got"):
        load_classifier(path)


def test_a_model_that_does_not_say_what_it_puts_out(folder):
    class Own(keras.Model):
        def call(self, images):
            return images

    with pytest.raises(InputError, match=r"^predict_pictures: model must have an output_shape"):
        predict_pictures(Own(), folder, NAMES)


def test_models_that_do_not_take_square_pictures(folder):
    oblong = attach_head(two_conv_extractor((12, 16, 1)), 3)
    with pytest.raises(ValueError, match="model must take square images of a fixed size"):
        predict_pictures(oblong, folder, NAMES)


def test_a_classifier_of_one_class(tmp_path):
    save_classifier(attach_head(EXTRACTOR, 1), tmp_path / "one.keras", ["Bag"])
    model, facts = load_classifier(tmp_path / "one.keras")
    table = predict_pictures(model, GIVEN / "pictures", **facts)
    assert table["class"].tolist() == ["Bag", "Bag"]
    assert table["probability"].tolist() == [1, 1]


def test_names_must_differ_and_say_something(classifier, tmp_path):
    for names in (["a", "b", "a"], ["a", "", "b"], ["a", " ", "b"]):
        for call in (
            lambda names: save_classifier(classifier, tmp_path / "a.keras", names),
            lambda names: predict_pictures(classifier, GIVEN / "pictures", names),
        ):
            with pytest.raises(InputError, match="class_names must be different names, none empty"):
                call(names)
    assert os.listdir(tmp_path) == []


ODD = ["=cmd.png", "+1.png", "@SUM.png", "-1.png", "a\rb.png", "a\nb.png", "\x1b[31mred.png"]
ODD += ["exe\u202egnp.png", os.fsdecode(b"\xff.png"), 'a"b.png', "a;=1+1.png", "a,b.png"]


def test_odd_names_on_their_way_into_a_table(classifier, folder, tmp_path):
    """One line a file, each of which a spreadsheet and pandas read as it is, and none computes."""
    for name in ODD:
        os.link(folder / "a" / "0.png", folder / name)
    table = predict_pictures(classifier, folder, ["-1", "=2", "\udcff"])
    assert len(table) == len(ODD) + 6
    write_predictions(table, tmp_path / "said.csv")
    text = (tmp_path / "said.csv").read_text(encoding="utf-8")
    assert len(text.splitlines()) == len(table) + 1
    read = pd.read_csv(io.StringIO(text))
    assert {"./=cmd.png", "./-1.png", r"a\rb.png", r"\udcff.png", 'a"b.png'} < {*read["file"]}
    assert {*read["class"]} <= {"'-1", "'=2", r"\udcff"}
    assert not read["file"].str.contains(r"^[=+@-]|[\x00-\x1f\u202e]").any()
    np.testing.assert_allclose(read["probability"], table["probability"], atol=1e-6)
    assert '"a;=1+1.png",' in text  # else the next cell where semicolons divide them


def test_logits_that_are_not_finite_are_no_answer(classifier, folder):
    diverged = keras.models.clone_model(classifier)
    diverged.set_weights([np.full_like(weight, np.nan) for weight in classifier.get_weights()])
    with pytest.raises(InputError, match=r"^predict_pictures: model must give finite logits, got"):
        predict_pictures(diverged, folder, NAMES)
