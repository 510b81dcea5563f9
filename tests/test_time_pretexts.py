"""The script that times pretext tasks, on a few tiny images."""

import numpy as np
import time_pretexts

from rotnet_keras import load_splits


def test_an_epoch_of_some_images_stands_for_one_of_all(monkeypatch):
    """The median of the epochs of all turns, times how many more images there are."""
    splits = load_splits("garments", num_labels=10)
    taken = {"rotation": [1.0, 2.0], "contrast": [4.0, 3.0], "rotation + contrast": [6.0, 6.0]}
    monkeypatch.setattr(time_pretexts, "IMAGES", 100)
    monkeypatch.setattr(time_pretexts, "timed_epochs", lambda images, task: taken[task])
    rows = time_pretexts.rows_of("garments", splits)
    times = len(splits.training_images) / 100
    assert [row["pretext"] for row in rows] == list(taken)
    seconds = [round(value * times, 2) for value in (1.5, 3.5, 6.0)]
    assert [row["seconds"] for row in rows] == seconds
    assert {row["dataset"] for row in rows} == {"garments"}


def test_all_epochs_are_timed_but_the_first(monkeypatch):
    monkeypatch.setattr(time_pretexts, "EPOCHS", 3)
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1), "uint8")
    taken = time_pretexts.timed_epochs(images, "rotation")
    assert taken.shape == (2,)
    assert (taken > 0).all()
