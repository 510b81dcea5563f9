"""Pictures none of which has a label: what the main job does with them, and says."""

import keras
import numpy as np
import pytest

from rotnet_keras import extract_features
from rotnet_keras.cli.main import main
from rotnet_keras.jobs import unlabelled
from rotnet_keras.jobs.plan import Plan


@pytest.fixture
def folder(tmp_path):
    """Twelve pictures of 40 by 50 pixels."""
    folder, rng = tmp_path / "my pictures", np.random.default_rng(0)
    folder.mkdir()
    for number in range(12):
        image = rng.integers(0, 256, (40, 50, 3), "uint8")
        keras.utils.save_img(folder / f"{number}.png", image, scale=False)
    return folder


def test_a_network_its_features_and_what_to_do_next(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(unlabelled, "make_plan", lambda *_, **__: Plan(1, 1, 1))
    output = tmp_path / "out"
    assert main(["--images", str(folder), "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("12 pictures without labels: they can be pretrained on, embedded")
    assert f"select --model {output}/extractor.keras --number 50 '{folder}'\n" in printed
    network = keras.models.load_model(output / "extractor.keras")
    assert network.input_shape == (None, 32, 32, 3)  # the pictures are no larger than 40 pixels
    with np.load(output / "features.npz") as held:
        assert sorted(held["files"]) == sorted(f"{i}.png" for i in range(12))
        assert held["features"].shape == (12, 128)
        images = np.zeros((1, 32, 32, 3), "uint8")
        assert not np.allclose(held["features"], extract_features(network, images))


def test_what_needs_labels_is_said_not_to_be_used(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(unlabelled, "make_plan", lambda *_, **__: Plan(1, 1, 1))
    asked = ["--minutes", "1", "--backbone", "two_conv", "--explorer"]
    assert main(["--images", str(folder), "--output", str(tmp_path / "my out"), *asked]) == 0
    printed = capsys.readouterr().out
    assert "so this is not used: --backbone, --minutes, --explorer\n" in printed
    assert f"select --model '{tmp_path}/my out/extractor.keras' --number 50" in printed


def test_pictures_behind_links_get_features(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(unlabelled, "make_plan", lambda *_, **__: Plan(1, 1, 1))
    linked, output = tmp_path / "linked", tmp_path / "out"
    linked.mkdir()
    (linked / "unlabelled").symlink_to(folder)
    assert main(["--images", str(linked), "--follow-links", "--output", str(output)]) == 0
    with np.load(output / "features.npz") as held:
        assert sorted(held["files"]) == sorted(f"unlabelled/{i}.png" for i in range(12))
