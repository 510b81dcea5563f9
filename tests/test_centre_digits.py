"""The script that writes centred digits, on a few tiny ones."""

import sys
from unittest import mock

import centre_digits
import numpy as np
import pytest

from rotnet_keras import load_splits
from rotnet_keras._base.errors import InputError

IMAGES = np.random.default_rng(0).integers(1, 255, (12, 8, 8), "uint8")
LABELS = np.arange(12) % 2


def test_the_folder_is_read_as_centred_digits(tmp_path, monkeypatch):
    parts = {"train": IMAGES[..., None], "test": 255 - IMAGES[..., None]}
    load = mock.create_autospec(
        centre_digits.load_named, return_value={name: (x, LABELS) for name, x in parts.items()}
    )
    monkeypatch.setattr(centre_digits, "load_named", load)
    monkeypatch.setattr(sys, "argv", ["centre_digits.py", str(tmp_path / "centred")])
    centre_digits.main()
    splits = load_splits(tmp_path / "centred", num_labels=4, num_validation=2, image_size=9)
    assert (splits.class_names, splits.image_shape) == (("0", "1"), (9, 9, 1))
    assert len(splits.training_images) == 10
    for image, label in zip(*splits.test, strict=True):
        (number,) = np.flatnonzero((image[:8, :8, 0] == 255 - IMAGES).all(axis=(1, 2)))
        assert LABELS[number] == label
        assert not image[8].any()
        assert not image[:, 8].any()


def test_a_folder_that_is_there_is_left_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["centre_digits.py", str(tmp_path)])
    with pytest.raises(SystemExit):
        centre_digits.main()
    assert "FOLDER must be a new one" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_digits_that_cannot_be_had_are_said_in_a_line(tmp_path, monkeypatch, capsys):
    def unavailable(*_, **__):
        raise InputError("mnist cannot be downloaded")

    monkeypatch.setattr(centre_digits, "load_named", unavailable)
    monkeypatch.setattr(sys, "argv", ["centre_digits.py", str(tmp_path / "centred")])
    with pytest.raises(SystemExit):
        centre_digits.main()
    assert capsys.readouterr().err.endswith("error: mnist cannot be downloaded\n")
