"""A classifier's files, and what it says of a folder of new pictures."""

import collections
import io
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest
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
from rotnet_keras.deployment.familiar import write_familiar
from rotnet_keras.prediction import write_predictions

pytestmark = pytest.mark.backend

NAMES = ["a/b", "<img src=x>", "naïve"]


@pytest.fixture
def classifier():
    return attach_head(two_conv_extractor((12, 12, 1), seed=3), 3, seed=1)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        for i in range(3):
            picture = np.tile(rng.integers(0, 256, (12, 12, 1), "uint8"), 3)
            keras.utils.save_img(tmp_path / name / f"{i}.png", picture, scale=False)
    return tmp_path


def test_names_travel_with_the_model(classifier, images, tmp_path):
    path = tmp_path / "classifier.keras"
    save_classifier(classifier, path, NAMES, fit="pad")
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "classifier.json",
        "classifier.keras",
    ]
    loaded, facts = load_classifier(path)
    assert facts == {"class_names": NAMES, "fit": "pad"}
    np.testing.assert_array_equal(*(extract_features(m, images) for m in (classifier, loaded)))
    assert keras.models.load_model(path).output_shape == (None, 3)  # without this package


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


def test_what_is_familiar_to_another_classifier_is_not_used(classifier, folder, images):
    path, familiar = folder / "net.keras", familiar_from(classifier, images, images)
    save_classifier(classifier, path, NAMES, familiar=familiar)
    another = familiar_from(classifier, images[:5], images)
    write_familiar(another, path.with_suffix(".npz"))
    for _ in range(2):  # of another one, then none
        with pytest.warns(UserWarning, match=r"net\.npz is missing, or of another classifier: p"):
            model, facts = load_classifier(path)
        assert "unlike" not in predict_pictures(model, folder / "a", **facts)
        path.with_suffix(".npz").unlink(missing_ok=True)
    with pytest.raises(InputError, match=r"save_classifier: familiar must be of this model, conv"):
        save_classifier(attach_head(EXTRACTOR, 3), path, NAMES, familiar=familiar)


@pytest.mark.parametrize("temperature", [0, -1, "1", None, float("nan")])
def test_a_temperature_that_is_none(classifier, tmp_path, temperature):
    path = tmp_path / "net.keras"
    save_classifier(classifier, path, NAMES, temperature=2.5)
    facts = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(facts | {"temperature": temperature}))
    with pytest.raises(InputError, match=r"temperature in .*net\.json must lie above 0, got"):
        load_classifier(path)


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


def test_files_that_do_not_belong_together(classifier, tmp_path):
    path = tmp_path / "classifier.keras"
    save_classifier(classifier, path, NAMES)
    for text, message in {
        "{torn": "needs the names of its classes in .*classifier.json",
        '["a", "b", "c"]': "needs the names of its classes",
        '{"fit": "crop"}': "needs the names of its classes",
        json.dumps({"class_names": ["a"], "fit": "crop"}): "must name each of the model's 3",
        json.dumps({"class_names": "abc", "fit": "crop"}): "must name each of the model's 3",
        json.dumps({"class_names": NAMES, "fit": "?"}): "fit must be one of",
    }.items():
        (tmp_path / "classifier.json").write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            load_classifier(path)
    (tmp_path / "classifier.json").unlink()
    with pytest.raises(ValueError, match=r"which cannot be read .*FileNotFoundError"):
        load_classifier(path)
    with pytest.raises(ValueError, match=r"model must be a \.keras file, got .*nothing"):
        load_classifier(tmp_path / "nothing")


def test_what_cannot_be_saved_leaves_the_files_that_are_there(classifier, tmp_path):
    path = tmp_path / "classifier.keras"
    save_classifier(classifier, path, NAMES)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    for options, message in (
        ((path, NAMES[:2]), "class_names must be 3, one an output, got 2"),
        ((tmp_path / "classifier.h5", NAMES), r"path must end in \.keras"),
    ):
        with pytest.raises(ValueError, match=message):
            save_classifier(classifier, *options)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_full_disk_leaves_the_earlier_classifier_and_its_names(classifier, tmp_path, monkeypatch):
    path = tmp_path / "classifier.keras"
    save_classifier(classifier, path, NAMES)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr("rotnet_keras.prediction.replace_text", full)
    with pytest.raises(OSError, match="the disk is full"):
        save_classifier(classifier, path, NAMES[::-1])
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    assert load_classifier(path)[1]["class_names"] == NAMES


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


def test_names_beside_another_model_are_refused(classifier, tmp_path):
    """A kill between the two new names of a second run."""
    path, facts = tmp_path / "classifier.keras", tmp_path / "classifier.json"
    save_classifier(classifier, path, ["cat", "dog", "hen"])
    old = path.read_bytes()
    save_classifier(attach_head(EXTRACTOR, 3, seed=2), path, ["sick", "healthy", "dead"])
    path.write_bytes(old)
    with pytest.raises(InputError, match=r"classifier\.json is of another model than .*\.keras"):
        load_classifier(path)
    known = json.loads(facts.read_text())
    del known["model"]  # as earlier versions wrote it
    facts.write_text(json.dumps(known))
    assert load_classifier(path)[1]["class_names"] == ["sick", "healthy", "dead"]


KILLED = """
import os, shutil, signal, sys
import numpy as np
from rotnet_keras import familiar_from, load_classifier, save_classifier

folder, rename, left = sys.argv[1], os.replace, 0
model = load_classifier(f"{folder}/first/classifier.keras")[0]
images = np.random.default_rng(0).integers(0, 256, (8, 12, 12, 1), "uint8")
familiar = familiar_from(model, images, images) if sys.argv[2] == "familiar" else None
model.set_weights([weight + 1 for weight in model.get_weights()])

def kill(source, target):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)

for moment in range(9):
    shutil.copytree(f"{folder}/first", f"{folder}/{moment}")
    child = os.fork()
    if not child:
        left, os.replace = moment, kill
        path = f"{folder}/{moment}/classifier.keras"
        save_classifier(model, path, ["sick", "healthy", "dead"], familiar=familiar)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("extra", ["nothing", "familiar"])
@pytest.mark.filterwarnings("ignore:.*is missing, or of another classifier")
def test_a_kill_at_any_new_name_leaves_no_wrong_pair(classifier, images, tmp_path, extra):
    (tmp_path / "first").mkdir()
    familiar = None if extra == "nothing" else familiar_from(classifier, images[:6], images)
    path = tmp_path / "first" / "classifier.keras"
    save_classifier(classifier, path, ["cat", "dog", "hen"], familiar=familiar)
    subprocess.run([sys.executable, "-c", KILLED, tmp_path, extra], check=True)
    said, known = [], []
    for moment in range(len(os.listdir(tmp_path)) - 1):
        try:
            model, facts = load_classifier(tmp_path / str(moment) / "classifier.keras")
            new = not np.array_equal(model.get_weights()[0], classifier.get_weights()[0])
            said.append((new, facts["class_names"][0]))
            known.append(facts.get("familiar") and len(facts["familiar"].points))
        except InputError as error:
            said.append(error.said.split(".json ")[1][:19])
    # Before the new names, between them, and after them.
    moments = [*2 * [(False, "cat")], "is of another model", (True, "sick")]
    if familiar is None:
        assert (said, known) == (moments, [None] * 3)
    else:  # whose file comes first: the old model then does without
        assert (said, known) == ([(False, "cat"), *moments], [6, None, None, 8])


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
