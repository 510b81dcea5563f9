"""What several runs found out: a table of means and intervals, and one of all runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import pandas as pd

from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.values import check_list, check_mapping, check_number, got
from rotnet_keras.data.identity import OF_EVERY_SEED, what_changed
from rotnet_keras.evaluation import ci95
from rotnet_keras.jobs.blog import ARMS, BLOG, BLOG_ARMS, BUDGETS


def check_runs(name, runs):
    """Return dictionaries that `run_experiment` returned, one or more with the same arms."""
    runs = check_list(name, runs, "run")
    for run in runs:
        check_mapping(name, run, "what run_experiment returns")
        try:
            arms = {*BLOG_ARMS, *ARMS} & {*BLOG_ARMS, *run["arms"]}
            parts = [part for part in ("arms", "balanced") if part == "arms" or run.get(part)]
            pairs = [(arm, budget) for arm in arms for budget in BUDGETS]
            values = [run[part][arm][budget] for part in parts for arm, budget in pairs]
            values.append(run["rotation_accuracy"])
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{name} must hold what run_experiment returns, got {got(run)}"
            ) from error
        for value in values:
            check_number(name, value, "in 0..1, all their accuracies", lambda x: 0 <= x <= 1)
        if run["arms"].keys() != runs[0]["arms"].keys():
            raise InputError(
                f"{name} must hold runs with the same arms, got {list(runs[0]['arms'])} and "
                f"{list(run['arms'])}"
            )
    told = [run["data"] for run in runs if isinstance(run.get("data"), Mapping) and run["data"]]
    for other in told[1:]:
        if changed := what_changed(told[0], other, OF_EVERY_SEED):
            raise InputError(f"{name} must hold runs of the same data, got some of {changed}")
    return runs


Runs = Annotated[list[dict[str, Any]], check_runs]


@public()
def summarise(results: Runs) -> pd.DataFrame:
    """Put the accuracies of one or more runs beside the blog's.

    Args:
        results: list of dictionaries as `run_experiment` returns them.

    Returns:
        `pandas.DataFrame`, one row a figure, in percent: `blog`, `mean` over the runs, `ci95`
        (half the width of the 95% interval of Student's t; NaN for one run) and `runs`. "gain" is
        fine-tuned minus from scratch, paired by run; the blog has no arms with given weights.
        "recipe" is `fit_few_labels`, where images were large enough for it.
        Where classes are of uneven size, "balanced" figures are the mean accuracy on a class.

    Raises:
        InputError: `results` is empty, or holds what `run_experiment` does not return.

    Example:
        >>> accuracies = {"short": 0.5, "long": 0.75}
        >>> arms = {arm: accuracies for arm in ("scratch", "frozen", "fine_tuned")}
        >>> table = summarise([{"rotation_accuracy": 0.97, "arms": arms}])
        >>> float(table.loc["fine_tuned, long", "mean"])
        75.0
    """
    figures = {name: column for name, column in table_of_runs(results).items() if name != "seed"}
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


def table_of_runs(results):
    """All figures of each run, 0..1, one row a run; the names are those of `summarise`."""
    figures = {"seed": [run.get("seed") for run in results]}
    figures["rotation"] = [run["rotation_accuracy"] for run in results]
    arms = [arm for arm in ARMS if arm in results[0]["arms"]]
    for budget in BUDGETS:
        for arm in arms:
            figures[f"{arm}, {budget}"] = [run["arms"][arm][budget] for run in results]
        pairs = zip(figures[f"fine_tuned, {budget}"], figures[f"scratch, {budget}"], strict=True)
        figures[f"gain, {budget}"] = [tuned - scratch for tuned, scratch in pairs]
    if all(run.get("recipe") for run in results):
        figures["recipe"] = [run["recipe"]["test_accuracy"] for run in results]
    if all(run.get("balanced") for run in results):
        for budget in BUDGETS:
            for arm in arms:
                values = [run["balanced"][arm][budget] for run in results]
                figures[f"balanced {arm}, {budget}"] = values
    return pd.DataFrame(figures)
