"""The script that writes centred digits, on a few tiny ones."""

import sys

import centre_digits
import numpy as np
import pytest

from rotnet_keras import load_splits

IMAGES = np.random.default_rng(0).integers(1, 255, (12, 8, 8), "uint8")
LABELS = np.arange(12) % 2


def test_the_folder_is_read_as_centred_digits(tmp_path):
    for part in ("train", "test"):
        images = IMAGES if part == "train" else 255 - IMAGES
        centre_digits.write_centred(images, LABELS, tmp_path / part)
    splits = load_splits(tmp_path, num_labels=4, num_validation=2, image_size=9)
    assert (splits.class_names, splits.image_shape) == (("0", "1"), (9, 9, 1))
    assert len(splits.training_images) == 10
    for image, label in zip(*splits.test, strict=True):
        (number,) = np.flatnonzero((image[:8, :8, 0] == 255 - IMAGES).all(axis=(1, 2)))
        assert LABELS[number] == label
        assert not image[8].any()
        assert not image[:, 8].any()


def test_a_folder_that_is_there_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["centre_digits.py", str(tmp_path)])
    with pytest.raises(SystemExit, match="FOLDER must be a new one"):
        centre_digits.main()
    assert list(tmp_path.iterdir()) == []
