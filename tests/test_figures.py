"""Figures in README and in the notebooks' prose are those of the tables that are committed."""

import json
import pathlib
import re

import numpy as np
import pandas as pd
import pytest

from rotnet_keras import ci95, summarise_study

ROOT = pathlib.Path(__file__).parents[1]
TABLES = ROOT / "notebooks" / "results"
README = (ROOT / "README.md").read_text(encoding="utf-8")
BUDGETS = (10, 50, 100, 500, 1000, 5000)
FIGURE = re.compile(r"-?\d+\.\d ± \d+\.\d")


def in_words(mean, half):
    """As README writes a mean and half the width of its interval."""
    return f"{mean:.1f} ± {half:.1f}"


def of_values(values):
    """The mean of several and its interval, in percent."""
    return in_words(100 * np.mean(values), 100 * ci95(values))


def rows_of(section):
    """A table of README's by its first column, from the heading on that it stands below."""
    lines = README[README.index(f"\n{section}\n") :].split("\n\n| ", 1)[1].split("\n\n")[0]
    cells = [[cell.strip() for cell in line.split("|")] for line in lines.splitlines()]
    return {row[1] if not row[0] else row[0]: row[2:-1] for row in cells[2:]}


def prose_of(notebook):
    cells = json.loads((ROOT / "notebooks" / notebook).read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


@pytest.fixture(scope="module")
def study():
    return pd.read_csv(TABLES / "label_budgets.csv")


@pytest.fixture(scope="module")
def main_job():
    return pd.read_csv(TABLES / "main_job.csv")


def test_table_of_the_main_job(main_job):
    shown = rows_of("## Figures")
    wanted = {"telling four rotations apart": [of_values(main_job["rotation"]), ""]}
    for row, arm in {
        "1,000 labels: frozen extractor, new head": "frozen",
        "1,000 labels: from scratch": "scratch",
        "1,000 labels: fine-tuned": "fine_tuned",
        "fine-tuned minus from scratch, paired by seed": "gain",
    }.items():
        wanted[row] = [of_values(main_job[f"{arm}, {budget}"]) for budget in ("short", "long")]
    wanted["1,000 labels: `fit_few_labels`"] = ["", of_values(main_job["recipe"])]
    assert {row: cells[1:] for row, cells in shown.items()} == wanted
    assert sorted(main_job["seed"]) == [*range(5)]


def test_table_of_label_budgets(study):
    shown, ten = rows_of("### Label budgets"), study["pretrain_epochs"] == 10
    blocks = study["network"] == "conv_blocks"
    longer = shown.pop("self-trained, 40 epochs of pretraining")
    for runs, rows in ((study[ten & blocks], shown), (study[~ten & blocks], {"": longer})):
        for row, cells in rows.items():
            arm, epochs = row or "self-trained", 10 if row else 40
            some = runs[(runs["arm"] == arm) & (runs["pretrain_epochs"] == epochs)]
            by_budget = some.groupby("num_labels")["test_accuracy"]
            found = {number: of_values(values) for number, values in by_budget}
            assert cells == [found.get(number, "") for number in BUDGETS], (row, found)


@pytest.mark.parametrize("place", ["README.md", "02_label_budgets.ipynb"])
def test_label_budgets_in_prose(study, place):
    """Each is the accuracy of an arm, its gain over another, or that of longer pretraining."""
    if place == "README.md":
        text = README[README.index("\n### Label budgets\n") :].split("\n## ")[0]
    else:
        text = prose_of(place)
    known, network = set(), study[study["network"] == "conv_blocks"]
    four = network[network["rotations"] == "0 90 180 270"]
    for baseline in ("without pretext", "from scratch", "self-trained from scratch"):
        table = summarise_study(four, baseline=baseline)
        known |= {in_words(*pair) for pair in zip(table["mean"], table["ci95"], strict=True)}
        known |= {in_words(*pair) for pair in zip(table["gain"], table["gain_ci95"], strict=True)}
    by_length = four.pivot_table(
        index=["arm", "num_labels", "seed"], columns="pretrain_epochs", values="test_accuracy"
    )
    for _, pairs in (by_length[40] - by_length[10]).dropna().groupby(level=["arm", "num_labels"]):
        known.add(of_values(pairs))
    figures = FIGURE.findall(text)
    assert len(figures) > 10
    assert {*figures} <= known


def test_selection_in_prose():
    table = pd.read_csv(TABLES / "selection.csv")
    twenty = table[(table["known"] == 0) & (table["number"] == 20)]
    wide = twenty.pivot_table(index=["data", "seed"], columns="method", values="accuracy")
    gains = (wide["typical"] - wide["random"]).groupby(level="data").apply(of_values)
    (sentence,) = re.findall(r"Labels of twenty garments.*?selection\.csv", README, re.DOTALL)
    garments, animals = (gains[name] for name in sorted(gains.index, reverse=True))
    assert FIGURE.findall(sentence) == [gains["fashion_mnist"], animals]
    assert garments == gains["fashion_mnist"]
