"""The script that tries settings of pretext tasks, on a few tiny images."""

import dataclasses

import pandas as pd
import pytest
import tune_pretexts

from rotnet_keras import load_splits


@pytest.fixture
def settings(monkeypatch):
    few = {"rotation": (1, [(1e-3, None)]), "contrast": (1, [(1e-3, 0.5), (2e-3, 0.5)])}
    monkeypatch.setattr(tune_pretexts, "SETTINGS", few)
    return few


def test_only_what_the_table_lacks_is_measured(settings, monkeypatch, tmp_path):
    measured, path = [], tmp_path / "table.csv"

    def measure(_, task, *setting):
        measured.append((task, *setting))
        return {100: 0.123456, 1000: 0.5}

    monkeypatch.setattr(tune_pretexts, "measure", measure)
    tune_pretexts.add_missing("clothes", {}, path)
    whole = path.read_text()
    table = pd.read_csv(path)
    assert table["validation_accuracy"].tolist() == [0.1235, 0.5] * 3
    assert table["temperature"].isna().tolist() == [True] * 2 + [False] * 4
    table[:4].to_csv(path, index=False)
    tune_pretexts.add_missing("clothes", {}, path)
    assert path.read_text() == whole
    assert measured == [
        *[("rotation", 1, 1e-3, None), ("contrast", 1, 1e-3, 0.5), ("contrast", 1, 2e-3, 0.5)],
        ("contrast", 1, 2e-3, 0.5),
    ]
    tune_pretexts.add_missing("pictures", {}, path)
    assert len(pd.read_csv(path)) == 12


@pytest.mark.parametrize("task", ["rotation", "contrast"])
def test_a_setting_is_measured_on_validation_images(monkeypatch, task):
    splits = load_splits("garments", num_labels=20, num_validation=30)
    some = dataclasses.replace(splits, unlabelled=splits.unlabelled[:40])
    monkeypatch.setattr(tune_pretexts, "BUDGETS", (20,))
    temperature = 0.5 if task == "contrast" else None
    found = tune_pretexts.measure({20: some}, task, 1, 1e-3, temperature)
    assert [*found] == [20]
    assert 30 * found[20] == pytest.approx(round(30 * found[20]))
