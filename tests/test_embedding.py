"""Features of a folder's pictures, and the files that they are written to."""

import importlib.util

import keras
import numpy as np
import pandas as pd
import pytest

from rotnet_keras import (
    InputError,
    MissingPackageError,
    attach_head,
    embed_pictures,
    extract_features,
    save_features,
    two_conv_extractor,
)
from rotnet_keras.cli.main import main


@pytest.fixture
def folder(tmp_path):
    """Three grey pictures of a size that needs no change, one with an odd name."""
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 1), "uint8")
    for name, image in zip(("a.png", "below/b.png", "=c.png"), images, strict=True):
        keras.utils.save_img(folder / name, image, scale=False)
    return folder, images[[2, 0, 1]]


def test_rows_are_the_files_and_their_features(folder, extractor):
    table = embed_pictures(extractor, folder[0], batch_size=2)
    assert table.columns.tolist() == ["file", "f0", "f1", "f2", "f3", "f4"]
    assert table["file"].tolist() == ["=c.png", "a.png", "below/b.png"]
    features = extract_features(extractor, folder[1])
    np.testing.assert_allclose(table.iloc[:, 1:], features, rtol=1e-5)
    assert table["f0"].dtype == "float32"
    of_classifier = embed_pictures(attach_head(extractor, 3), folder[0])
    np.testing.assert_allclose(of_classifier.iloc[:, 1:], features, rtol=1e-5)


def test_maps_are_no_features(folder, extractor):
    maps = keras.Model(extractor.input, extractor.get_layer("conv1").output)
    with pytest.raises(InputError, match=r"model must give features \(B, D\), got \(3, 10, 10, 16"):
        embed_pictures(maps, folder[0])


def test_features_that_are_not_finite_are_none(folder, extractor):
    diverged = keras.models.clone_model(extractor)
    diverged.set_weights([np.full_like(weight, np.nan) for weight in extractor.get_weights()])
    with pytest.raises(InputError, match=r"^embed_pictures: extractor must give finite features"):
        embed_pictures(diverged, folder[0])


@pytest.mark.parametrize("ending", ["npz", "csv", "parquet"])
def test_each_file_gives_back_what_was_written(tmp_path, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    table = pd.DataFrame({"file": ["=a.png", "b, c.png"], "f0": [0.5, 2], "f1": [0.1, 1e-9]})
    table = table.astype({"f0": "float32", "f1": "float32"})
    path = tmp_path / f"features.{ending}"
    save_features(table, path)
    if ending == "npz":
        with np.load(path, allow_pickle=False) as held:
            assert held["files"].tolist() == table["file"].tolist()
            assert held["features"].dtype == "float32"
            np.testing.assert_array_equal(held["features"], table[["f0", "f1"]])
        return
    read = pd.read_csv(path) if ending == "csv" else pd.read_parquet(path)
    guarded = "./=a.png" if ending == "csv" else "=a.png"  # no formula for a spreadsheet
    assert read["file"].tolist() == [guarded, "b, c.png"]
    np.testing.assert_allclose(read[["f0", "f1"]], table[["f0", "f1"]], rtol=1e-5)


def test_other_endings_and_tables(tmp_path, monkeypatch):
    table = pd.DataFrame({"file": ["a.png"], "f0": [0.5]})
    with pytest.raises(InputError, match=r"output must end in one of \.npz, \.csv, \.parquet, got"):
        save_features(table, tmp_path / "features.txt")
    with pytest.raises(InputError, match=r"table must be a pandas.DataFrame with the columns \['f"):
        save_features(pd.DataFrame({"f0": [1]}), tmp_path / "features.npz")
    with pytest.raises(
        InputError, match=r"table must hold numbers beside 'file', got others in \['c"
    ):
        save_features(table.assign(class_name="cat"), tmp_path / "features.npz")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="output needs the package pyarrow"):
        save_features(table, tmp_path / "features.parquet")
    assert not list(tmp_path.iterdir())


def test_command_line(folder, tmp_path, capsys):
    two_conv_extractor((12, 12, 3), 5).save(tmp_path / "extractor.keras")
    output = tmp_path / "new" / "features.npz"
    model = ["--model", str(tmp_path / "extractor.keras")]
    assert main(["embed", *model, str(folder[0]), "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith(f"3 pictures, 5 features of each, written to {output}\n")
    with np.load(output) as held:
        assert held["features"].shape == (3, 5)
    assert main(["embed", *model, str(folder[0]), "--output", "features.xls"]) == 2
    assert "--output must end in one of .npz" in capsys.readouterr().err


def test_before_any_run_it_is_said_what_makes_a_network(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["embed", str(folder[0])]) == 2
    said = capsys.readouterr().err
    assert "--model must be a file that is there, got results/extractor.keras, and there" in said
    assert "makes one" in said
    assert not (tmp_path / "features.npz").exists()
