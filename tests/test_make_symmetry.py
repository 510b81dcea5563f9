"""The script that makes notebook 05's tables, without its training."""

import make_symmetry
import numpy as np
import pandas as pd
import pytest

from rotnet_keras import load_splits


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """Both tables in a new folder, and rows that need no network."""
    for name in ("CLASSES", "ARMS"):
        monkeypatch.setattr(make_symmetry, name, tmp_path / f"{name}.csv")
    run = pd.DataFrame([{"data": "clothes", "seed": 3}])
    rows = run.merge(pd.DataFrame({"class": ["a", "b"], "accuracy": [0.5, 0.25]}), how="cross")
    monkeypatch.setattr(make_symmetry, "measure", lambda *_: (rows, run.assign(frozen=0.75)))
    return make_symmetry.CLASSES, make_symmetry.ARMS


def test_a_run_is_added_to_the_tables_that_lack_it(tables):
    assert not any(make_symmetry.holds(table, "clothes", 3) for table in tables)
    make_symmetry.add_run("clothes", 3)
    assert all(make_symmetry.holds(table, "clothes", 3) for table in tables)
    assert not make_symmetry.holds(tables[0], "digits", 3)
    tables[1].unlink()  # as if it had been stopped between the two
    make_symmetry.add_run("clothes", 3)
    assert [len(pd.read_csv(table)) for table in tables] == [2, 1]


def test_a_centred_digit_has_one_more_black_row_and_column(monkeypatch):
    splits = load_splits("garments", num_labels=10)
    monkeypatch.setattr(make_symmetry, "load", lambda source, seed: splits)
    unlabelled, labelled, test, _ = make_symmetry.draw("centred digits", 0)
    for images in (unlabelled, labelled.images, test.images):
        assert images.shape[1:] == (29, 29, 1)
        assert not images[:, 28].any()
        assert not images[:, :, 28].any()
    np.testing.assert_array_equal(test.images[:, :28, :28], splits.test.images)
    np.testing.assert_array_equal(test.labels, splits.test.labels)
    np.testing.assert_array_equal(make_symmetry.draw("clothes", 0)[0], splits.unlabelled)


def test_what_is_not_mnist_is_refused(monkeypatch):
    make_symmetry.load.cache_clear()
    splits = load_splits("garments", num_labels=10)
    monkeypatch.setattr(make_symmetry.rk, "load_splits", lambda *_, **__: splits)
    with pytest.raises(SystemExit, match="these are not the digits of MNIST"):
        make_symmetry.load("mnist", 0)
    make_symmetry.load.cache_clear()
