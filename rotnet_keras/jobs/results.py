"""What a run found out, as numbers: its figures, and a table of several runs."""

from __future__ import annotations

import importlib.metadata
import platform

import numpy as np
import pandas as pd

from rotnet_keras._base.errors import InputError
from rotnet_keras._base.values import check_list, check_mapping, check_number, got
from rotnet_keras.evaluation import ci95, rotation_accuracy
from rotnet_keras.jobs.blog import ARM_NAMES, ARMS, BLOG, BLOG_DATA, BUDGETS, arms_of


def figures_of_run(splits, models, runs):
    """The part of the results that says what was trained on what, and how well it did."""
    return {
        "dataset": splits.name,
        "image_shape": list(splits.image_shape),
        "stand_in": splits.stand_in,
        "num_labels": len(splits.labelled.labels),
        "num_validation": len(splits.validation.labels),
        "num_test": len(splits.test.labels),
        "feature_dim": models["extractor"].output_shape[-1],
        "parameters": models["extractor"].count_params(),
        "rotation_accuracy": rotation_accuracy(models["rotation_model"], splits.test.images),
        "arms": {
            arm: {budget: runs[arm, budget]["test_accuracy"] for budget in BUDGETS}
            for arm in arms_of(runs)
        },
        "epochs": {f"{arm}, {budget}": run["epochs"] for (arm, budget), run in runs.items()},
    }


def is_blogs_data(asked, in_memory, name):
    """Whether it is the blog's data or the stand-in; a folder or `Splits` may have the name."""
    by_name = asked in (None, *BLOG_DATA) and "dataset" not in in_memory
    return by_name and name in BLOG_DATA


def summarise(results):
    """Put the accuracies of one or more runs beside the blog's.

    Args:
        results: list of dictionaries as `run_experiment` returns them.

    Returns:
        `pandas.DataFrame`, one row a figure, in percent: `blog`, `mean` over the runs, `ci95`
        (half the width of the 95% interval of Student's t; NaN for one run) and `runs`. "gain" is
        fine-tuned minus from scratch, paired by run; the blog has no arms with given weights.

    Raises:
        ValueError: `results` is empty, or holds what `run_experiment` does not return.

    Example:
        >>> accuracies = {"short": 0.5, "long": 0.75}
        >>> arms = {arm: accuracies for arm in ("scratch", "frozen", "fine_tuned")}
        >>> table = summarise([{"rotation_accuracy": 0.97, "arms": arms}])
        >>> float(table.loc["fine_tuned, long", "mean"])
        75.0
    """
    results = check_list("results", results, "run")
    for run in results:
        _check_run(run)
        if run["arms"].keys() != results[0]["arms"].keys():
            raise InputError(
                f"results must be of runs with the same arms, got {list(results[0]['arms'])} and "
                f"{list(run['arms'])}"
            )
    figures = {"rotation": [run["rotation_accuracy"] for run in results]}
    arms = [arm for arm in ARM_NAMES if arm in results[0]["arms"]]
    for budget in BUDGETS:
        for arm in arms:
            figures[f"{arm}, {budget}"] = [run["arms"][arm][budget] for run in results]
        pairs = zip(figures[f"fine_tuned, {budget}"], figures[f"scratch, {budget}"], strict=True)
        figures[f"gain, {budget}"] = [tuned - scratch for tuned, scratch in pairs]
    blog = BLOG | {"gain": BLOG["fine_tuned"] - BLOG["scratch"]}
    table = pd.DataFrame(
        {
            "blog": [blog.get(name.split(",")[0], np.nan) for name in figures],
            "mean": [np.mean(values) for values in figures.values()],
            "ci95": [ci95(values) for values in figures.values()],
        },
        index=list(figures),
    )
    return (100 * table).assign(runs=len(results))


def _check_run(run):
    check_mapping("results", run, "what run_experiment returns")
    try:
        values = [run["rotation_accuracy"], *(run["arms"][arm][b] for arm in ARMS for b in BUDGETS)]
    except (KeyError, TypeError) as error:
        raise InputError(
            f"results must hold what run_experiment returns, got {got(run)}"
        ) from error
    for value in values:
        check_number("results", value, "in 0..1, all their accuracies", lambda x: 0 <= x <= 1)


def package_versions():
    packages = ("rotnet-keras", "tensorflow", "keras", "tensorflow-datasets", "umap-learn", "numpy")
    versions = {package: importlib.metadata.version(package) for package in packages}
    return {"python": platform.python_version()} | versions
