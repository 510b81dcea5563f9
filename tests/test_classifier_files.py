"""A classifier's files: what is written, what is refused, what a kill leaves."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from small_networks import classifier_of_three
from valid_calls import EXTRACTOR, GIVEN

from rotnet_keras import (
    InputError,
    attach_head,
    extract_features,
    familiar_from,
    load_classifier,
    predict_pictures,
    save_classifier,
)
from rotnet_keras.deployment.familiar import write_familiar

pytestmark = pytest.mark.backend

NAMES = ["a/b", "<img src=x>", "naïve"]


classifier = pytest.fixture(classifier_of_three, name="classifier")


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


def test_what_is_familiar_to_another_classifier_is_not_used(classifier, tmp_path, images):
    path, familiar = tmp_path / "net.keras", familiar_from(classifier, images, images)
    save_classifier(classifier, path, NAMES, familiar=familiar)
    another = familiar_from(classifier, images[:5], images)
    write_familiar(another, path.with_suffix(".npz"))
    for _ in range(2):  # of another one, then none
        with pytest.warns(UserWarning, match=r"net\.npz is missing, or of another classifier: p"):
            model, facts = load_classifier(path)
        assert "unlike" not in predict_pictures(model, GIVEN / "pictures", **facts)
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
