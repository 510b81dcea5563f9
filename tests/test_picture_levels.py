"""White and ground of pictures are the same from the folder to training and to prediction."""

import keras
import numpy as np
import pytest
from picture_files import png

import rotnet_keras as rk
from rotnet_keras import load_splits, read_pictures, stream_images
from rotnet_keras.cli.options import read_options
from rotnet_keras.data.pictures import check_pictures, stream_pictures

SIZE = 6
RNG = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path):
    """Two classes of 12 bits a value, dark and bright."""
    for name, most in {"dark": 1000, "bright": 4096}.items():
        (tmp_path / name).mkdir()
        for place in range(12):
            values = RNG.integers(0, most, (SIZE, SIZE))
            (tmp_path / name / f"{place}.png").write_bytes(png(values, 16))
    return tmp_path


def test_splits_keep_how_they_were_read(folder):
    with pytest.warns(UserWarning, match="4,095 for white") as said:
        splits = load_splits(folder, image_size=SIZE, num_labels=4, ground=3)
    assert len(said) == 1
    assert (splits.ground, splits.white) == (3, (0, 4095))
    assert splits.unlabelled.max() > 200
    again = load_splits(folder, image_size=SIZE, num_labels=4, ground=3, white=4095)
    assert again == splits


@pytest.mark.parametrize("held", [True, False])
def test_streams_and_shares_of_them_find_one_white(folder, monkeypatch, held):
    monkeypatch.setattr("rotnet_keras.data.load.WINDOW_BYTES", 10**6 if held else 0)
    how = {"image_size": SIZE, "channels": 1}
    whole = list(stream_images(folder, white=4095, **how).as_numpy_iterator())
    parts = []
    for host in range(3):  # one share might hold dark ones alone
        with pytest.warns(UserWarning, match="24 pictures of 16 bits .* 4,095 for white"):
            part = stream_images(folder, share=(host, 3), **how)
        parts.append(list(part.as_numpy_iterator()))
    for place, image in enumerate(whole):
        np.testing.assert_array_equal(image, parts[place % 3][place // 3])


def test_a_stream_refuses_to_guess_white(folder):
    files, levels = sorted(folder.rglob("*.png")), None
    with pytest.raises(Exception, match="lost a picture"):
        list(stream_pictures(files, image_size=SIZE, white=levels))
    with pytest.warns(UserWarning, match="4,095 for white"):
        sound, levels = check_pictures(files, SIZE)
    assert (sound, levels) == (files, (0, 4095))
    assert len(list(stream_pictures(files, image_size=SIZE, white=levels))) == 24


def test_prediction_scales_as_training_did(folder, tmp_path_factory):
    """One dark picture alone would be brightened."""
    place = tmp_path_factory.mktemp("model") / "classifier.keras"
    model = rk.attach_head(rk.two_conv_extractor((SIZE + 6, SIZE + 6, 1)), 2)
    rk.save_classifier(model, place, ["a", "b"], ground=(1, 2, 3), white=(0, 4095))
    loaded, facts = rk.load_classifier(place)
    assert facts == {"class_names": ["a", "b"], "fit": "crop", "ground": (1, 2, 3)} | {
        "white": (0, 4095)
    }
    pictures = folder / "dark"
    images, _ = read_pictures(rk.list_pictures(pictures), image_size=12, channels=1, white=4095)
    expected = keras.ops.softmax(rk.extract_features(model, images)).numpy().max(axis=1)
    said = rk.predict_pictures(loaded, pictures, **facts)
    np.testing.assert_allclose(said["probability"], expected, atol=1e-6)
    with pytest.warns(UserWarning, match="1,023 for white"):  # it was trained without 16 bits
        said = rk.predict_pictures(loaded, pictures, ["a", "b"], batch_size=5)
    images, _ = read_pictures(rk.list_pictures(pictures), image_size=12, channels=1, white=1023)
    expected = keras.ops.softmax(rk.extract_features(model, images)).numpy().max(axis=1)
    np.testing.assert_allclose(said["probability"], expected, atol=1e-6)


@pytest.mark.parametrize("job", ["run", "pretrain", "predict folder"])
def test_ground_and_white_are_options(job):
    options = read_options([*job.split(), "--ground", "1,2,3", "--white=-1024,3071"])
    assert (options.ground, options.white) == ((1, 2, 3), (-1024, 3071))
    options = read_options([*job.split(), "--ground", "7", "--white", "4095"])
    assert (options.ground, options.white) == (7, 4095)
