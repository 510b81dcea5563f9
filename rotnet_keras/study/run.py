"""The label-budget study: every arm, every number of labels, many seeds, one row for each run."""

from __future__ import annotations

import functools
import gc
import itertools
import time
from collections.abc import Sequence
from typing import Annotated, Any

import pandas as pd

from rotnet_keras._base.angles import ANGLES
from rotnet_keras._base.digests import digest
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.files import make_folder
from rotnet_keras._base.locks import only_run
from rotnet_keras._base.names import cell
from rotnet_keras._base.tasks import NONE, Pretext
from rotnet_keras._base.values import (
    Count,
    Counts,
    FilePath,
    Seeds,
    Source,
    check_choice,
    check_list,
    got,
)
from rotnet_keras.blocks import block_names
from rotnet_keras.data.decoding import Ground, White
from rotnet_keras.data.identity import identity_of
from rotnet_keras.data.load import READING, Parts, Repeats, load_splits
from rotnet_keras.data.pictures import Broken, Channels, Fit
from rotnet_keras.evaluation import accuracy, test_figures
from rotnet_keras.heads import Precision
from rotnet_keras.models import NETWORKS
from rotnet_keras.rotation import ROTATIONS, Rotations
from rotnet_keras.running.lines import Steps, say
from rotnet_keras.study.arms import ARMS
from rotnet_keras.study.pretexts import pretrained
from rotnet_keras.study.rows import DATA, SAME
from rotnet_keras.study.table import append_row, data_column, read_study, row_key, row_keys

TABLE = "study.csv"
BUDGETS = (10, 50, 100, 500, 1000, 5000)


def check_arms(name, arms):
    """Return a list of known arms, at least one, or raise."""
    arms = check_list(name, [arms] if isinstance(arms, str) else arms, "arm")
    for arm in arms:
        check_choice(name, arm, ARMS)
    return arms


Arms = Annotated[Sequence[str], check_arms]
Network = Annotated[str, functools.partial(check_choice, known=NETWORKS)]


def arms_fit_network(arms, network):  # a relation
    """The blocks that an arm looks at are there in the network."""
    fitting = fitting_arms(network)
    too_high = [name for name in arms or () if name not in fitting]
    if too_high:
        raise InputError(f"arms must find their blocks in network {network!r}, got {too_high}")


def fitting_arms(network):
    """All arms that find their blocks in the network."""
    num_blocks = len(block_names(NETWORKS[network]((32, 32, 1), 0)))
    highest = {
        name: max(arm.settings.get("blocks", (arm.settings.get("block", 0),)))
        for name, arm in ARMS.items()
    }
    return [name for name in ARMS if highest[name] <= num_blocks]


def rotations_are_told(pretext, rotations):  # a relation
    """Which turns there are is a setting of rotation alone."""
    if pretext != "rotation" and tuple(rotations) != ROTATIONS:
        raise InputError(
            f"rotations must be all four with pretext {pretext!r}, got {got(rotations)}"
        )


@public(arms_fit_network, rotations_are_told)
def run_study(
    arms: Arms | None = None,
    budgets: Counts = BUDGETS,
    seeds: Seeds = range(5),
    *,
    dataset: Source = "fashion_mnist",
    network: Network = "conv_blocks",
    pretext: Pretext = "rotation",
    pretrain_epochs: Count = 10,
    rotations: Rotations = ROTATIONS,
    num_validation: Count = 10_000,
    image_size: Count | None = None,
    fit: Fit = "crop",
    channels: Channels | None = None,
    ground: Ground = 255,
    white: White | None = None,
    broken: Broken = "raise",
    repeats: Repeats = "raise",
    parts: Parts = "any",
    follow_links: bool = False,
    precision: Precision = "float32",
    output: FilePath = "study",
    data_dir: FilePath | None = None,
    verbose: int = 1,
) -> pd.DataFrame:
    """Run arms under label budgets with several seeds; go on where an earlier call stopped.

    A seed draws validation images, labelled images, initial weights and everything else. For each
    seed, one network is pretrained on all training images that are not for validation, and kept
    under `output`; all arms start from it. The order of its images hangs on which ones the first
    budget draws, so a call with other budgets and another `output` ends in another network of its
    kind. The test set is looked at once a run, and no arm fits anything to test images.

    Args:
        arms: names from `ARMS`; None for all that the network has the blocks for.
        budgets: numbers of labelled images in all.
        seeds: whole numbers.
        dataset: name or folder for `load_splits`.
        network: a name from `NETWORKS`.
        pretext: what a network learns before: "rotation", "contrast" (`pretrain_contrast`) or
            both at once. Rows of arms that do without it are of all.
        pretrain_epochs: passes over the images; each is turned once at random in a pass, or shown
            in two views.
        rotations: the quarter turns that rotation alone tells apart; beside contrast, all four.
        num_validation: images whose accuracy goes into the table.
        image_size: height and width of images, as in `load_splits`, as are the next eight.
        fit: how oblong images become square.
        channels: of a folder's pictures.
        ground: what shows through their transparent parts.
        white: of their files of 16 bits.
        broken: what to do about files of a folder that cannot be read.
        repeats: what to do about the same picture in two classes, or in the test and in training.
        parts: whether folders of other names than `labelled` and so on may be parts.
        follow_links: whether links to folders outside are followed.
        precision: Keras's name for how layers compute while they learn.
        output: folder for `study.csv`, which grows by a row for each finished run, and for the
            pretrained networks, with a checkpoint of one that is in progress.
        data_dir: as in `load_splits`.
        verbose: 0 for no word on its progress.

    Returns:
        `pandas.DataFrame` of the runs that were asked for, in the columns of `study.csv`,
        accuracies 0..1.

    Raises:
        InputError: an unknown arm or network, fewer labels than classes, more than there are
            images, or a `study.csv` that belongs to another study, is of other data, or is damaged;
            files that cannot be read.
        FileError: the output folder cannot be written, or another run has it.

    Example:
        >>> table = run_study(["raw pixels"], [100], [0, 1])  # doctest: +SKIP
        >>> table["test_accuracy"].round(2).tolist()  # doctest: +SKIP
        [0.71, 0.7]
    """
    reading = {name: value for name, value in locals().items() if name in READING}
    settings: dict[str, Any] = {"network": network, "pretrain_epochs": pretrain_epochs}
    settings |= {"num_validation": num_validation, "precision": precision}
    settings["rotations"] = " ".join(str(ANGLES[rotation]) for rotation in rotations)
    settings["dataset"] = cell(dataset, guard="./")
    load = functools.partial(load_splits, dataset, data_dir=data_dir, **reading)
    arms, folder = arms or fitting_arms(network), make_folder(output)
    tasks = {arm: pretext if ARMS[arm].pretext else NONE for arm in arms}
    runs = [
        {"arm": arm, "num_labels": budget, "seed": seed, "pretext": tasks[arm]} | settings
        for seed, budget, arm in itertools.product(seeds, budgets, arms)
    ]
    once = {row_key(run): run for run in runs}  # whatever was named twice
    with only_run(folder):
        return _run_missing([*once.values()], load, (pretext, rotations), folder, verbose)


def _run_missing(runs, load, task, folder, verbose):
    """Do those of the runs that are not in the folder's table; return their part of it."""
    same = {name: runs[0][name] for name in ("dataset", *SAME)}
    read_study(folder / TABLE, **same)  # said before the work, not after it
    data = _data_of(load, [run["num_labels"] for run in runs], runs[0]["num_validation"])
    done = set(row_keys(read_study(folder / TABLE, data=data, **same)))
    todo = [run | {DATA: data} for run in runs if row_key(run) not in done]
    _run_all(todo, load, task, folder, verbose, done=len(runs) - len(todo))
    table = read_study(folder / TABLE, **same)
    wanted = {row_key(run) for run in runs}
    return table[[key in wanted for key in row_keys(table)]]


def _data_of(load, budgets, num_validation):
    """What the rows say of the data: of all images, and of a draw that no row's seed changes."""
    splits = load(num_labels=min(budgets), num_validation=num_validation, seed=0)
    most = len(splits.unlabelled) + len(splits.labelled.labels) - splits.num_classes
    if max(budgets) > most:
        raise InputError(
            f"budgets must be at most {most}, so that some images stay unlabelled, "
            f"got {max(budgets)}"
        )
    # The validation images do not depend on the number of labels.
    return data_column(identity_of(splits) | {"labels": digest(*splits.validation)})


def _run_all(todo, load, task, folder, verbose, *, done):
    """Do every run, and add its row when it is done."""
    drawn = None
    if verbose and done:
        say(f"study: {done} of {done + len(todo)} runs are there already")
    for run in (steps := Steps(todo, "study", "auto" if verbose else 0)):
        steps.note(f"seed {run['seed']}, {run['num_labels']} labels, {run['arm']}")
        draw = {name: run[name] for name in ("num_labels", "num_validation", "seed")}
        if draw != drawn:
            splits, drawn = load(**draw), draw
        extractor, facts = pretrained(splits, run, task, folder, verbose)
        append_row(folder / TABLE, run | facts | _result(run, extractor, splits))
        del extractor
        free_memory()


def free_memory():
    """Let go of the networks of a run, whose parts refer to each other.

    Keras's `clear_session` does that too, and throws away the user's devices and dtype policy.
    """
    gc.collect()


def _result(run, extractor, splits):
    """Fit and test one arm: its part of the row."""
    arm, start = ARMS[run["arm"]], time.perf_counter()
    given = arm.settings_for(splits.image_shape)
    classifier = arm.fit(
        extractor,
        *splits.labelled,
        unlabelled=splits.unlabelled,
        num_classes=splits.num_classes,
        seed=run["seed"],
        precision=run["precision"],
        **given,
    )
    seconds = round(time.perf_counter() - start, 1)
    settings = {
        name: " ".join(map(str, value)) if isinstance(value, tuple) else value
        for name, value in given.items()
    }
    return settings | {
        "seconds": seconds,
        "validation_accuracy": round(accuracy(classifier, *splits.validation), 5),
        **{name: round(x, 5) for name, x in test_figures(classifier, splits.test).items()},
    }
