import base64
import io
import json
import re

import numpy as np
import pytest
from explorer_data import GRID, LABELS, MAPS, NAMES, TOLD, greys
from PIL import Image

import rotnet_keras as rk
from rotnet_keras import features_by_depth, save_explorer
from rotnet_keras.viewing import explorer, legends


def picture_in(path, kind):
    stored = re.search(rf'src="data:image/{kind};base64,([^"]+)"', path.read_text())[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(stored))))


def facts_of(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="facts">(.*?)</script>', text, re.DOTALL)[1])


@pytest.mark.parametrize(("side", "channels", "kind"), [(9, 1, "png"), (128, 3, "jpeg")])
def test_the_picture_of_all_images(tmp_path, side, channels, kind):
    images = np.zeros((5, side, side, channels), "float32")
    images[3] = 200.4
    path = save_explorer(tmp_path / "a.html", {"a": GRID[:5]}, images, LABELS[:5], NAMES)
    picture, shown = picture_in(path, kind), min(side, 112)
    assert facts_of(path)["side"] == shown
    assert picture.shape[:2] == (3 * shown, 3 * shown)
    cells = picture.reshape(3, shown, 3, shown, -1).mean(axis=(1, 3, 4)).ravel()
    np.testing.assert_allclose(cells, np.where(np.arange(9) == 3, 200, 0), atol=2)


@pytest.mark.parametrize(("count", "side"), [(299, 60), (300, 48)])
def test_many_images_are_shown_smaller(tmp_path, count, side):
    images, labels = np.zeros((count, 60, 60, 1), "uint8"), np.arange(count) % 3
    points = np.random.default_rng(0).normal(size=(count, 2))
    path = save_explorer(tmp_path / "a.html", {"a": points}, images, labels, NAMES)
    assert facts_of(path)["side"] == side
    rows = int(np.ceil(np.sqrt(count)))
    assert picture_in(path, "png").shape == (rows * side, rows * side)


def test_the_colours_of_one_image_stay_out_of_the_next(tmp_path):
    images = np.zeros((4, 28, 28, 3), "uint8")
    images[[0, 3], ..., 0] = images[[1, 2], ..., 2] = 255  # red and blue
    path = save_explorer(tmp_path / "a.html", {"a": GRID[:4]}, images, LABELS[:4], NAMES)
    picture = picture_in(path, "jpeg").astype(int)
    rows = [np.concatenate(images[pair], axis=1) for pair in ([0, 1], [2, 3])]
    assert abs(picture - np.concatenate(rows)).max() < 20


def test_a_folder_that_is_not_there_is_said_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(explorer, "umap_points", None)
    with pytest.raises(OSError, match="path must lie in a folder that can be written, got"):
        save_explorer(tmp_path / "no" / "a.html", MAPS, greys(), LABELS, NAMES)


def test_features_are_laid_out_and_maps_taken_as_they_are(tmp_path, monkeypatch):
    asked = []

    def lay_out(features, *, seed, cache):
        asked.append((features.shape, seed, cache))
        return features[:, :2]

    monkeypatch.setattr(explorer, "umap_points", lay_out)
    wide = np.random.default_rng(0).normal(size=(12, 5))
    given = (tmp_path / "a.html", {"w": wide, "map": GRID}, greys(), LABELS, NAMES)
    path = save_explorer(*given, seed=3, cache=tmp_path)
    assert asked == [((12, 5), 3, tmp_path)]
    maps = [{"network": name, "depth": ""} for name in ("w", "map")]
    assert facts_of(path)["maps"] == maps


def test_features_of_each_depth_and_network():
    first, second = (rk.conv_blocks_extractor((16, 16, 1), (2, 3), seed=seed) for seed in (0, 1))
    images = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 1), "uint8")
    features = features_by_depth({"a": first, "b": second}, images)
    assert list(features) == ["a", "b"]
    assert list(features["a"]) == ["block1", "block2", "features"]
    for name, network in (("a", first), ("b", second)):
        whole = rk.extract_features(network, images)
        np.testing.assert_array_equal(features[name]["features"], whole)
        # (6, 4, 4, 3), of which the grid is all
        maps = rk.extract_features(rk.cut_at_block(network, 2), images)
        np.testing.assert_allclose(features[name]["block2"], maps.reshape(6, -1), atol=1e-6)
    other = rk.conv_blocks_extractor((16, 16, 1), (2,))
    with pytest.raises(ValueError, match="networks must have the same blocks, got"):
        features_by_depth({"a": first, "c": other}, images)


def test_many_shares_are_shown_in_tenths():
    places, entries = legends.levels(np.linspace(0, 1, 200))
    names = [entry["name"] for entry in entries[:2]]
    assert names == ["0% of its rotations", "10% of its rotations"]
    assert len(entries) == 11
    assert (places.min(), places.max()) == (0, 10)
    assert len(legends.levels(np.ones(3))[1]) == 1


def test_up_to_seventy_classes_look_different():
    _, entries = legends.classes(np.zeros(1, int), [str(i) for i in range(70)])
    assert len({(entry["colour"], entry["shape"]) for entry in entries}) == 70


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "a.txt"}, r"path must end in \.html, got"),
        ({"features_by_name": {"a": {"x": GRID}, "b": {"y": GRID}}}, "the same depths of every"),
        ({"features_by_name": {"a": GRID[:5]}}, r"must hold arrays \(12, D\)"),
        ({"labels": LABELS + 1}, r"labels must lie in 0\.\.2"),
        ({"labels": LABELS - 2}, r"or be -1 for no label, got -2\.\.0"),
        ({"names": ["a.png"]}, "names must be 12, one for each of the images"),
        ({"parts": ["test"] * 13}, "parts must be 12, one for each of the images"),
        ({"opens_on": "pretrained"}, r"opens_on must be one of .*'random', 'fine-tuned'.*, got"),
        ({"images": np.zeros((12, 8, 9, 1))}, "images must be square"),
        ({"logits": np.zeros((12, 2))}, r"logits must be \(12, 3\)"),
        ({"rotation_accuracies": TOLD + 1}, r"rotation_accuracies must lie in 0\.\.1"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_written(tmp_path, change, message):
    arguments = {"path": tmp_path / "a.html", "features_by_name": MAPS, "images": greys()}
    arguments |= {"labels": LABELS, "class_names": NAMES} | change
    with pytest.raises(ValueError, match=message):
        save_explorer(**arguments)
    assert not list(tmp_path.iterdir())
