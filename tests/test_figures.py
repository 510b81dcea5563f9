"""Figures in README and in the notebooks' prose are those of the tables that are committed."""

import json
import pathlib
import re

import numpy as np
import pandas as pd
import pytest

from rotnet_keras import ci95, select_to_label, summarise_study

ROOT = pathlib.Path(__file__).parents[1]
TABLES = ROOT / "notebooks" / "results"
README = (ROOT / "README.md").read_text(encoding="utf-8")
FIGURE = re.compile(r"-?\d+\.\d ± \d+\.\d")


def in_words(mean, half):
    """As README writes a mean and half the width of its interval."""
    return f"{mean:.1f} ± {half:.1f}"


def of_values(values):
    """The mean of several and its interval, in percent."""
    return in_words(100 * np.mean(values), 100 * ci95(values))


def rows_of(text, first_line):
    """A table by its first column, from its line of names on."""
    lines = text[text.index(first_line) :].split("\n\n")[0]
    cells = [[cell.strip() for cell in line.split("|")] for line in lines.splitlines()]
    return {row[1] if not row[0] else row[0]: row[2:-1] for row in cells[2:]}


def prose_of(notebook):
    cells = json.loads((ROOT / "notebooks" / notebook).read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


@pytest.fixture(scope="module")
def both():
    """Rows of rotation and of no pretext task, of clothes and of photographs."""
    return pd.read_csv(TABLES / "label_budgets.csv").query("pretext in ['rotation', 'none']")


@pytest.fixture(scope="module")
def study(both):
    return both.query("dataset == 'fashion_mnist'")


@pytest.fixture(scope="module")
def photographs(both):
    """The accuracy of each arm on 600 labelled animals, and its gains over others."""
    return accuracies_and_gains(both.query("dataset == 'animals' and num_labels == 600"))


@pytest.fixture(scope="module")
def digits(both):
    """What pretraining is worth to two arms, of MNIST as it comes and centred."""
    table = both.query("dataset in ['mnist', 'digits_centred']")
    wide = table.pivot_table(
        index=["dataset", "num_labels", "seed"], columns="arm", values="test_accuracy"
    ).groupby(["dataset", "num_labels"])
    pairs = (("fine-tuned", "from scratch"), ("blocks 2 + 3 probe", "random probe"))
    return {of_values(rows[a] - rows[b]) for a, b in pairs for _, rows in wide}


@pytest.fixture(scope="module")
def main_job():
    return pd.read_csv(TABLES / "main_job.csv")


def test_table_of_the_main_job(main_job):
    text = prose_of("01_rotnet_fashion_mnist.ipynb")
    shown = rows_of(text, "| | the blog | `short` | `long` |")
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


ARMS = ("from scratch", "fine-tuned", "self-trained")


def test_table_at_the_top(study):
    shown = rows_of(README, "| labels | from scratch | fine-tuned | `fit_few_labels` |")
    usual = study.query("network == 'conv_blocks' and pretrain_epochs == 10")
    found = usual.groupby(["num_labels", "arm"])["test_accuracy"].agg(of_values)
    assert {*shown} == {"10", "100", "1,000"}
    for labels, cells in shown.items():
        assert cells == [found[int(labels.replace(",", "")), arm] for arm in ARMS]


def accuracies_and_gains(rows):
    known = set()
    for baseline in ("without pretext", "from scratch", "self-trained from scratch"):
        table = summarise_study(rows, baseline=baseline)
        known |= {in_words(*pair) for pair in zip(table["mean"], table["ci95"], strict=True)}
        known |= {in_words(*pair) for pair in zip(table["gain"], table["gain_ci95"], strict=True)}
    return known


def figures_of_the_study(study):
    """The accuracy of each arm, its gains over others, and that of longer pretraining."""
    network = study[study["network"] == "conv_blocks"]
    four = network[network["rotations"] == "0 90 180 270"]
    known = accuracies_and_gains(four)
    over_spread = summarise_study(four.query("pretrain_epochs == 10"), baseline="labels spread")
    known |= {
        in_words(*pair) for pair in zip(over_spread["gain"], over_spread["gain_ci95"], strict=True)
    }
    by_length = four.pivot_table(
        index=["arm", "num_labels", "seed"], columns="pretrain_epochs", values="test_accuracy"
    )
    for _, pairs in (by_length[40] - by_length[10]).dropna().groupby(level=["arm", "num_labels"]):
        known.add(of_values(pairs))
    five = network.query("pretrain_epochs == 5 and num_labels == 1000")
    by_turns = five.query("arm == 'blocks 2 + 3 probe'").pivot_table(
        index="seed", columns="rotations", values="test_accuracy"
    )
    others = by_turns.columns.drop("0 90 180 270")
    known |= {of_values(by_turns["0 90 180 270"] - by_turns[other]) for other in others}
    return known


def test_label_budgets_in_prose(study, photographs, digits):
    figures = FIGURE.findall(prose_of("02_label_budgets.ipynb"))
    assert len(figures) > 10
    assert {*figures} <= figures_of_the_study(study) | photographs | digits


def test_figures_at_the_top_in_prose(study, photographs, digits):
    """Before the first command; digits' loss is of notebook 05's table."""
    transfer = pd.read_csv(TABLES / "rotation_transfer.csv").query("data == 'digits'")
    lost = of_values(transfer["fine-tuned"] - transfer["from scratch"])
    figures = FIGURE.findall(README[: README.index("## Start")])
    assert lost in figures
    assert len(figures) >= 12
    assert {*figures} - {lost} <= figures_of_the_study(study) | photographs | digits


def test_what_digits_gain_in_prose():
    table = pd.read_csv(TABLES / "rotation_transfer.csv").set_index(["data", "seed"])
    gains = (table["fine-tuned"] - table["from scratch"]).unstack("data")
    tuned = table["fine-tuned"].unstack("data")
    known = {of_values(gains[data]) for data in gains}
    known.add(of_values(tuned["centred digits"] - tuned["digits"]))
    known.add(of_values(gains["centred digits"] - gains["clothes"]))
    said = re.findall(r"(-?\d+\.\d ± \d+\.\d)\s+points", prose_of("05_digits_and_symmetry.ipynb"))
    assert {*said} == known
    assert sorted(table.index.get_level_values("seed").unique()) == [*range(5)]


EPOCHS_AT_EQUAL_COST = {"rotation": 5, "contrast": 4, "rotation + contrast": 4}


def gains_over_rotation(probes):
    """Of each other task that all five seeds of a data set and a number of labels have."""
    keys = ["dataset", "num_labels", "seed"]
    # In percent before anything is subtracted, as in the notebook: a tie is then rounded alike.
    wide = 100 * probes.pivot_table(index=keys, columns="pretext", values="test_accuracy").dropna()
    known = set()
    for _, rows in wide.groupby(["dataset", "num_labels"]):
        assert len(rows) == 5  # seeds, as the text says
        gains = [rows[task] - rows["rotation"] for task in rows]
        known |= {in_words(gain.mean(), ci95(gain)) for gain in gains}
    return known


def gains_of_long_contrast(probes):
    """Of forty epochs over ten, and over ten of rotation."""
    keys, columns = ["dataset", "num_labels", "seed"], ["pretext", "pretrain_epochs"]
    wide = probes.pivot_table(index=keys, columns=columns, values="test_accuracy")
    gains = [wide["contrast", 40] - wide[task, 10] for task in ("contrast", "rotation")]
    by_budget = [rows for gain in gains for _, rows in gain.dropna().groupby(level=[0, 1])]
    assert {len(rows) for rows in by_budget} == {5}
    return {of_values(rows) for rows in by_budget}


def test_which_pretext_in_prose():
    table = pd.read_csv(TABLES / "label_budgets.csv").query("arm == 'blocks 2 + 3 probe'")
    table = table[table["rotations"] == "0 90 180 270"]
    known = gains_over_rotation(
        table[table["pretrain_epochs"] == table["pretext"].map(EPOCHS_AT_EQUAL_COST)]
    )
    for epochs in (10, 40):
        both = table.query(f"pretrain_epochs == {epochs} and pretext in ['rotation', 'contrast']")
        known |= gains_over_rotation(both)
    known |= gains_of_long_contrast(table)
    text = prose_of("07_which_pretext.ipynb")
    figures = [*FIGURE.findall(text), *re.findall(r"(?<=contrast is )\d\.\d ± \d\.\d", text)]
    assert len(figures) >= 9
    assert {*figures} <= known | {figure.removeprefix("-") for figure in known}
    seconds = pd.read_csv(TABLES / "pretext_seconds.csv").set_index(["dataset", "pretext"])
    for (_, task), one in seconds["seconds"].items():
        assert re.search(rf"\b{EPOCHS_AT_EQUAL_COST[task] * one:.0f}\b", text), task
        if task != "rotation + contrast":
            assert re.search(rf"\b{10 * one:.0f}\b", text), task


def test_tuned_alike_in_prose():
    """The best setting of each task, over both numbers of labels, and how far they lie apart."""
    table = pd.read_csv(TABLES / "pretext_tuning.csv").fillna({"temperature": 0.0})
    keys = ["dataset", "pretext", "learning_rate", "temperature"]
    best = table.groupby(keys)["validation_accuracy"].mean().groupby(level=[0, 1]).max().unstack()
    behind = (100 * (best["rotation"] - best["contrast"])).round(1)
    text = prose_of("07_which_pretext.ipynb")
    (sentence,) = re.findall(r"contrast stays.*?animals\.", text, re.DOTALL)
    figures = re.findall(r"\d\.\d", sentence)
    assert figures == [f"{behind[data]:.1f}" for data in ("fashion_mnist", "animals")]


def test_selection_in_prose():
    table = pd.read_csv(TABLES / "selection.csv").query("known == 0")
    keys = ["data", "number", "seed"]
    wide = table.pivot_table(index=keys, columns="method", values="accuracy")
    gains = (wide["typical"] - wide["random"]).groupby(level=keys[:2]).apply(of_values)
    garments, animals = (gains[data].to_dict() for data in ("fashion_mnist", "cifar10_animals"))
    (sentence,) = re.findall(r"twenty garments.*?selection\.csv", README, re.DOTALL)
    assert FIGURE.findall(sentence) == [garments[20], animals[20]]
    sentence = prose_of("04_your_own_images.ipynb")
    sentence = sentence[sentence.index("Ten labels chosen so") : sentence.index("selection.csv")]
    assert FIGURE.findall(sentence) == [garments[10], animals[10]]
    (docstring,) = re.findall(r"A linear probe of 10.*?seeds", select_to_label.__doc__, re.DOTALL)
    assert FIGURE.findall(docstring) == [*garments.values(), *animals.values()]


def test_notebook_04_says_in_prose_what_its_table_holds(photographs):
    path = ROOT / "notebooks" / "04_your_own_images.ipynb"
    cells = {c["id"]: c for c in json.loads(path.read_text(encoding="utf-8"))["cells"]}
    text = "".join(cells["classifier-reading"]["source"])
    said = re.findall(r"(\d+\.\d)%", text)
    (table,) = [o["data"] for o in cells["classifier"]["outputs"] if "data" in o]
    rows = "".join(table["text/plain"]).splitlines()
    of_test = {row.rsplit(None, 2)[0].strip(): row.split()[-1] for row in rows[1:]}
    assert said == [of_test["fit_few_labels"], of_test["from scratch"]]
    gains = FIGURE.findall(text)
    assert gains
    assert {*gains} <= photographs
