"""The label-budget study: every arm, every number of labels, many seeds, one row for each run."""

from __future__ import annotations

import csv
import functools
import io
import json
import os
import pathlib
import time
import warnings

import keras
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from rotnet_keras._checks import (
    check_choice,
    check_count,
    check_list,
    check_path,
    check_paths,
    check_seed,
    check_source,
    check_table,
    got,
)
from rotnet_keras._files import load_model, make_folder, replace_text, save_model
from rotnet_keras.arms import ARMS
from rotnet_keras.datasets import load_splits
from rotnet_keras.evaluation import accuracy, ci95, rotation_accuracy
from rotnet_keras.few_labels import pretrain_for_transfer
from rotnet_keras.models import NETWORKS, PRECISIONS, block_names, remove_head
from rotnet_keras.rotation import ROTATIONS, check_rotations

BUDGETS = (10, 50, 100, 500, 1000, 5000)
WITHOUT_PRETEXT = "without pretext"
KEY = ["arm", "network", "num_labels", "seed", "pretrain_epochs", "rotations"]
SAME = ["dataset", "num_validation", "precision"]  # in every row of one table
SUMMARISED = [*KEY, "pretext", "validation_accuracy", "test_accuracy"]
ARM_SETTINGS = sorted({name for arm in ARMS.values() for name in arm.settings})
COLUMNS = [
    *KEY,
    "transductive",
    "pretext",
    "test_accuracy",
    "validation_accuracy",
    "rotation_accuracy",
    "seconds",
    "pretrain_seconds",
    "num_unlabelled",
    *SAME,
    *ARM_SETTINGS,
]


def run_study(
    arms=None,
    budgets=BUDGETS,
    seeds=range(5),
    *,
    dataset="fashion_mnist",
    network="conv_blocks",
    pretrain_epochs=10,
    rotations=ROTATIONS,
    num_validation=10_000,
    precision="float32",
    output="study",
    data_dir=None,
    verbose=1,
):
    """Run arms under label budgets with several seeds; go on where an earlier call stopped.

    A seed draws validation images, labelled images, initial weights and everything else. For each
    seed, one network is pretrained on all training images that are not for validation, and kept
    under `output`; all arms start from it. The test set is looked at once a run, and no arm fits
    anything to test images.

    Args:
        arms: names from `ARMS`; None for all that the network has the blocks for.
        budgets: numbers of labelled images in all.
        seeds: whole numbers.
        dataset: name for `load_splits`.
        network: a name from `NETWORKS`.
        pretrain_epochs: passes over the images, each turned once at random in a pass.
        rotations: the quarter turns that the pretext task tells apart.
        num_validation: images whose accuracy goes into the table.
        precision: Keras's name for how layers compute while they learn.
        output: folder for `study.csv`, which grows by a row for each finished run, and for the
            pretrained networks, with a checkpoint of one that is in progress.
        data_dir: as in `load_splits`.
        verbose: 0 for no progress bar.

    Returns:
        `pandas.DataFrame` of the runs that were asked for, in the columns `COLUMNS`, accuracies
        0..1.

    Raises:
        ValueError: an unknown arm or network, fewer labels than classes, more than there are
            images, or a `study.csv` that belongs to another study; files that cannot be read.
        OSError: the output folder cannot be written.

    Example:
        >>> table = run_study(["raw pixels"], [100], [0, 1])  # doctest: +SKIP
        >>> table["test_accuracy"].round(2).tolist()  # doctest: +SKIP
        [0.71, 0.7]
    """
    check_count("pretrain_epochs", pretrain_epochs)
    check_count("num_validation", num_validation)
    check_source("dataset", dataset)
    check_choice("precision", precision, PRECISIONS)
    check_path("output", output)
    check_paths(data_dir=data_dir)
    budgets, seeds = check_list("budgets", budgets), check_list("seeds", seeds)
    _check_names("network", [network], NETWORKS)
    arms = _fitting_arms(arms, network)
    settings = {
        "network": network,
        "pretrain_epochs": pretrain_epochs,
        "rotations": " ".join(str(90 * turns) for turns in check_rotations(rotations)),
        "dataset": str(dataset),
        "num_validation": num_validation,
        "precision": precision,
    }
    runs = _planned(arms, budgets, seeds, settings)
    folder = make_folder(output)
    path, same = folder / "study.csv", {name: settings[name] for name in SAME}
    done = set(_keys(read_study(path, **same)))
    todo = [run for run in runs if _key(run) not in done]
    load = functools.partial(load_splits, dataset, num_validation=num_validation, data_dir=data_dir)
    if todo:
        _check_budgets(budgets, load(num_labels=min(budgets), seed=todo[0]["seed"]))
    drawn = None
    for run in (bar := tqdm(todo, desc="study", disable=not verbose, smoothing=0.1)):
        bar.set_postfix_str(f"seed {run['seed']}, {run['num_labels']} labels, {run['arm']}")
        draw = {name: run[name] for name in ("num_labels", "seed")}
        if draw != drawn:
            splits, drawn = load(**draw), draw
        extractor, facts = _pretrained(splits, run, rotations, folder)
        _append(path, run | facts | _result(run, extractor, splits))
        keras.backend.clear_session()
    table = read_study(path, **same)
    wanted = {_key(run) for run in runs}
    return table[[key in wanted for key in _keys(table)]]


def summarise_study(table, *, baseline=WITHOUT_PRETEXT):
    """Mean, 95% interval and paired gain of each arm at each budget, in percent.

    Args:
        table: of `run_study`, of one network and pretraining, or of several.
        baseline: arm to compare with, of the same network and budget; "without pretext" takes the
            arm without the pretext task that is best on validation images, among those with at
            least half as many seeds as any.

    Returns:
        `pandas.DataFrame`, one row for each `num_labels`, `network`, `pretrain_epochs`,
        `rotations` and `arm`: `pretext`, `mean`, `ci95` (half the width of Student's 95% interval;
        NaN for one run), `runs`, `baseline`, and, over the seeds that both ran, the paired
        difference to the baseline, `gain` and `gain_ci95`; NaN where there is no baseline.

    Raises:
        ValueError: the table is empty, lacks a column that `run_study` fills, or has no such
            baseline.

    Example:
        >>> table = pd.DataFrame({"arm": ["a", "a", "b", "b"], "seed": [0, 1, 0, 1],
        ...     "num_labels": 10, "network": "n", "pretrain_epochs": 1, "rotations": "0 90",
        ...     "pretext": [False, False, True, True], "validation_accuracy": 0.5,
        ...     "test_accuracy": [0.5, 0.6, 0.7, 0.8]})
        >>> summarise_study(table).set_index("arm").loc["b", ["mean", "gain"]].round(1).tolist()
        [75.0, 20.0]
    """
    check_table("table", table, SUMMARISED)
    if not isinstance(baseline, str) or baseline not in {WITHOUT_PRETEXT, *table["arm"]}:
        raise ValueError(f"baseline must be an arm of the table, got {got(baseline)}")
    group = ["num_labels", "network", "pretrain_epochs", "rotations", "arm"]
    rows = []
    for _, runs in table.groupby(group[:2]):
        name = _best_without_pretext(runs) if baseline == WITHOUT_PRETEXT else baseline
        reference = runs[runs["arm"] == name].groupby("seed")["test_accuracy"].first()
        for key, some in runs.groupby(group):
            values = 100 * some.set_index("seed")["test_accuracy"]
            gains = (values - 100 * reference).dropna()
            rows.append(
                dict(zip(group, key, strict=True))
                | {"pretext": some["pretext"].all()}
                | {"mean": values.mean(), "ci95": ci95(values), "runs": len(values)}
                | {"baseline": name, "gain": gains.mean(), "gain_ci95": ci95(gains)}
            )
    return pd.DataFrame(rows)


def read_study(path, **same):
    """Read a table that `run_study` writes; a last line that a kill tore is cut off, and said.

    Args:
        path: of the CSV file.
        **same: columns and the one value that each must hold, for instance `dataset`.

    Returns:
        `pandas.DataFrame` in the columns `COLUMNS`, or None where there is no file.

    Raises:
        ValueError: the columns or those values are of another study; nothing is changed then.
    """
    path = pathlib.Path(path)
    if not path.exists():
        return None
    text = path.read_text(encoding="utf-8")
    header = _line(COLUMNS)
    if len(text) < len(header) and header.startswith(text):  # torn in its first line: no row yet
        path.unlink()
        return None
    if not text.startswith(header):
        first = text.split("\n", 1)[0]
        raise ValueError(f"output must hold no table of another study, got {path} with {first!r}")
    whole = text[: text.rindex("\n") + 1]
    table = pd.read_csv(io.StringIO(whole), dtype={"blocks": str})
    for name, value in same.items():
        others = set(table[name]) - {value}
        if others:
            raise ValueError(
                f"output must hold no table of another study, got {path} with {name} "
                f"{sorted(others)} instead of {value!r}"
            )
    if whole != text:
        warnings.warn(f"{path}: cut off its torn last line; that run is done again", stacklevel=2)
        replace_text(path, whole)
    return table


def _result(run, extractor, splits):
    """Fit and test one arm: its part of the row."""
    arm, start = ARMS[run["arm"]], time.perf_counter()
    classifier = arm.fit(
        extractor,
        *splits.labelled,
        unlabelled=splits.unlabelled,
        num_classes=splits.num_classes,
        seed=run["seed"],
        precision=run["precision"],
        **arm.settings,
    )
    seconds = round(time.perf_counter() - start, 1)
    settings = {
        name: " ".join(map(str, value)) if isinstance(value, tuple) else value
        for name, value in arm.settings.items()
    }
    return settings | {
        "pretext": arm.pretext,
        "transductive": False,
        "seconds": seconds,
        "validation_accuracy": round(accuracy(classifier, *splits.validation), 5),
        "test_accuracy": round(accuracy(classifier, *splits.test), 5),
    }


def _pretrained(splits, run, rotations, folder):
    """The extractor of a seed and what is known of it, from the folder if it is there."""
    parts = [run[name] for name in (*SAME, "network", "pretrain_epochs", "rotations", "seed")]
    name = "_".join(str(part).replace(" ", "-").replace("/", "-") for part in parts)
    path, facts = folder / f"{name}.keras", folder / f"{name}.json"
    checkpoint = folder / f"{name}.weights.h5"
    if not facts.exists():
        start, whole = time.perf_counter(), not checkpoint.exists()
        images = np.concatenate([splits.labelled.images, splits.unlabelled])
        model, _ = pretrain_for_transfer(
            NETWORKS[run["network"]](splits.image_shape, run["seed"]),
            images,
            epochs=run["pretrain_epochs"],
            rotations=rotations,
            precision=run["precision"],
            checkpoint=checkpoint,
            seed=run["seed"],
            verbose=0,
        )
        # Unknown where an earlier call did a part of it.
        seconds = round(time.perf_counter() - start, 1) if whole else None
        told = rotation_accuracy(model, splits.test.images, rotations=rotations)
        known = {"pretrain_seconds": seconds, "rotation_accuracy": round(told, 5)}
        save_model(remove_head(model), path)
        # Written last: the network that it describes is complete.
        replace_text(facts, json.dumps(known | {"num_unlabelled": len(images)}) + "\n")
    checkpoint.unlink(missing_ok=True)
    try:
        return load_model(path), json.loads(facts.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} or {facts.name} cannot be read ({error}): delete both to pretrain again"
        ) from error


def _planned(arms, budgets, seeds, settings):
    """Every run that is asked for, seed by seed: the part of its row that is known before."""
    for budget in budgets:
        check_count("budgets", budget)
    for seed in seeds:
        check_seed(seed, "seeds")
    return [
        {"arm": arm, "num_labels": int(budget), "seed": int(seed)} | settings
        for seed in seeds
        for budget in budgets
        for arm in arms
    ]


def _fitting_arms(arms, network):
    """The arms asked for, or all that find their blocks in the network."""
    num_blocks = len(block_names(NETWORKS[network]((32, 32, 1), 0)))
    highest = {
        name: max(arm.settings.get("blocks", (arm.settings.get("block", 0),)))
        for name, arm in ARMS.items()
    }
    if arms is None:
        return [name for name in ARMS if highest[name] <= num_blocks]
    _check_names("arms", arms, ARMS)
    too_high = [name for name in arms if highest[name] > num_blocks]
    if too_high:
        raise ValueError(f"arms must fit {network} with its {num_blocks} blocks, got {too_high}")
    return list(arms)


def _check_budgets(budgets, splits):
    most = len(splits.unlabelled) + len(splits.labelled.labels) - splits.num_classes
    if max(budgets) > most:
        raise ValueError(
            f"budgets must be at most {most}, so that some images stay unlabelled, "
            f"got {max(budgets)}"
        )


def _key(run):
    return tuple(run[name] for name in KEY)


def _keys(table):
    return [] if table is None else list(table[KEY].itertuples(index=False, name=None))


def _best_without_pretext(runs):
    without = runs[~runs["pretext"].astype(bool)].groupby("arm")["validation_accuracy"]
    if not len(without):
        return None
    scores = without.agg(["mean", "size"])
    return scores[2 * scores["size"] >= scores["size"].max()]["mean"].idxmax()


def _append(path, row):
    """Add one line in one write, so that a kill tears at most the last."""
    start = "" if path.exists() else _line(COLUMNS)
    with open(path, "a", encoding="utf-8", newline="") as file:
        file.write(start + _line([row.get(name, "") for name in COLUMNS]))
        file.flush()
        os.fsync(file.fileno())


def _line(values):
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()


def _check_names(argument, names, known):
    listed = list(names) if isinstance(names, (list, tuple)) else [names]
    unknown = [name for name in listed if not isinstance(name, str) or name not in known]
    if unknown or not listed:
        raise ValueError(f"{argument} must be of {', '.join(map(repr, known))}; got {unknown}")
