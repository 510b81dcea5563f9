"""The blog's experiment from beginning to end: pretrain, map, three arms, pictures and numbers."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import pathlib
import platform
import shutil
import time

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from rotnet_keras._checks import (
    check_counts_or_none,
    check_list,
    check_mapping,
    check_number,
    check_path,
    check_paths,
    check_seed,
    check_source,
    got,
)
from rotnet_keras._files import make_folder, printable, replace_text, save_model
from rotnet_keras.augmentation import gentle_augmentation
from rotnet_keras.backbones import make_extractor
from rotnet_keras.board import (
    FEATURES,
    Curves,
    check_board,
    clear_curves,
    clear_projector,
    prepare_board,
    write_features,
)
from rotnet_keras.datasets import Splits, load_splits
from rotnet_keras.evaluation import (
    accuracy,
    ci95,
    confusion,
    extract_features,
    predict_classes,
    predict_rotations,
    rotation_accuracy,
)
from rotnet_keras.maps import umap_map
from rotnet_keras.models import reinitialise, remove_head
from rotnet_keras.pictures import check_reading
from rotnet_keras.plots import (
    draw_model,
    picture,
    plot_accuracies,
    plot_confusion,
    plot_history,
    plot_map,
    plot_rotations,
)
from rotnet_keras.prediction import save_classifier
from rotnet_keras.rotation import ROTATIONS
from rotnet_keras.training import fine_tune, pretrain, train_from_scratch, train_head

# What the blog post of 2020 reports, on Fashion-MNIST with about 50,000 unlabelled images and
# 1,000 labelled ones. It does not say how long each classifier was trained.
BLOG = {"rotation": 0.97, "frozen": 0.40, "scratch": 0.60, "fine_tuned": 0.75}
BLOG_DATA = ("fashion_mnist", "garments")  # the blog's, and the stand-in for it
ARMS = {"frozen": train_head, "scratch": train_from_scratch, "fine_tuned": fine_tune}
# From weights that somebody else trained, ImageNet's for instance: the usual alternative.
GIVEN_ARMS = {"given_frozen": train_head, "given_fine_tuned": fine_tune}
BUDGETS = ("short", "long")
FEWEST_ON_A_MAP = 4  # test images
MOST_EXPLORED = 5_000  # test images, which stay fluid in a browser
ARM_NAMES = {
    "frozen": "frozen extractor,\nnew head",
    "scratch": "from scratch",
    "fine_tuned": "fine-tuned\nextractor",
    "given_frozen": "given weights,\nfrozen",
    "given_fine_tuned": "given weights,\nfine-tuned",
}


def run_experiment(
    dataset=None,
    *,
    num_labels=None,
    num_validation=None,
    image_size=None,
    fit="crop",
    channels=None,
    broken="raise",
    backbone="two_conv",
    weights=None,
    layer=None,
    seed=0,
    output="results",
    skip_finished=False,
    data_dir=None,
    manual_dir=None,
    quick=False,
    explorer=False,
    tensorboard=None,
    verbose=1,
):
    """Run the whole experiment and write its numbers, models and pictures to a folder.

    Args:
        dataset: name or folder for `load_splits`, or `Splits`, as of `make_splits`. None takes
            Fashion-MNIST, or the drawn stand-in garments and a loud warning where Fashion-MNIST
            cannot be had.
        num_labels: as in `load_splits`, as are the next five.
        num_validation: images in all that tell the long budget when to stop.
        image_size: height and width of images.
        fit: how oblong images become square.
        channels: of a folder's pictures.
        broken: what to do about files of a folder that cannot be read.
        backbone: as in `make_extractor`; it is pretrained from random weights.
        weights: as in `backbone_extractor`, such as "imagenet". With weights, or a backbone that is
            a model or a file and has its own, two more arms start from them: a new head on the
            frozen network, and fine-tuning.
        layer: name of the backbone's layer to cut at.
        seed: of the split, the initial weights, every order of images and the map.
        output: folder for the results; made if need be. Earlier results in it are replaced when the
            new ones are there. Until then what is finished lies in `unfinished` in it, from which
            the same call goes on.
        skip_finished: return what the folder holds if a run like this one is finished there.
        data_dir: as in `load_splits`.
        manual_dir: as in `load_splits`.
        quick: a short look, with too little data and training for its numbers to mean much.
        explorer: write `explorer.html`, too, by `save_explorer`: up to 5,000 test images in the
            random, the pretrained and the best fine-tuned network, at each depth. It takes one or
            two minutes more, and is not written for fewer than four test images.
        tensorboard: folder for what TensorBoard shows: curves while training runs, and at the end
            the test images by their features; None for none. What an earlier run left there is
            removed.
        verbose: 0 for no progress bars.

    Returns:
        The dictionary that `results.json` holds; its `seconds` are those of this call alone.

    Raises:
        DatasetError: the data set that was asked for cannot be had, or weights that must be
            downloaded.
        ValueError: an argument out of its range, or another run unfinished in the folder.
        OSError: the output folder, or TensorBoard's, cannot be written.
        ImportError: TensorBoard is asked for, and not installed.

    Example:
        >>> results = run_experiment("garments", quick=True)  # doctest: +SKIP
        >>> results["arms"]["fine_tuned"]["long"]  # doctest: +SKIP
        0.81
    """
    if dataset is not None and not isinstance(dataset, Splits):
        check_source("dataset", dataset)
    division = {"num_labels": num_labels, "num_validation": num_validation}
    check_counts_or_none(**division)
    check_seed(seed)
    check_path("output", output)
    check_paths(data_dir=data_dir, manual_dir=manual_dir)
    check_board(tensorboard)
    check_reading(image_size, fit, channels, broken)
    reading = {"image_size": image_size, "fit": fit, "channels": channels, "broken": broken}
    if isinstance(dataset, Splits):
        _check_not_given(division | reading)
    network = {"backbone": backbone, "weights": weights, "layer": layer}
    settings = _as_text(dataset=dataset, **reading, **network, **division, seed=seed, quick=quick)
    asked = settings | ({"explorer": True} if explorer else {})
    held = {"dataset": dataset, "backbone": backbone}
    in_memory = [name for name, v in held.items() if isinstance(v, (Splits, keras.Model))]
    board = prepare_board(tensorboard)
    output = make_folder(output)
    if skip_finished and (finished := _finished(output / "results.json", asked)):
        return finished
    unfinished, seconds = output / "unfinished", {}
    _check_same_run(unfinished, settings)
    with _stage("data", seconds, verbose):
        splits = dataset
        if not isinstance(dataset, Splits):
            splits = load_splits(
                dataset or "fashion_mnist",
                seed=seed,
                data_dir=data_dir,
                manual_dir=manual_dir,
                fall_back=dataset is None,
                **division,
                **reading,
            )
        images = splits.unlabelled[:10_000] if quick else splits.unlabelled
        fresh, given = _extractors(splits.image_shape, seed=seed, **network)
    if board is not None:
        _clear_board(board)
    make_folder(unfinished)
    replace_text(unfinished / "settings.json", json.dumps(settings))
    with _stage("pretraining", seconds, verbose):
        rotation_model, rotation_history = pretrain(
            fresh,
            images,
            validation_images=splits.validation.images,
            epochs=2 if quick else 10,
            checkpoint=unfinished / "pretraining.weights.h5",
            seed=seed,
            callbacks=_curves(board, "pretraining"),
            verbose=verbose,
        )
        extractor = remove_head(rotation_model)
    points = None
    with _stage("map", seconds, verbose):
        shown = splits.test.images[: 2_000 if quick else 10_000]
        if len(shown) >= FEWEST_ON_A_MAP:
            points = umap_map(extract_features(extractor, shown), seed=seed)
    with _stage("classifiers", seconds, verbose):
        options = {"seed": seed, "quick": quick, "tensorboard": board, "verbose": verbose}
        runs = run_arms(extractor, splits, given=given, checkpoints=unfinished, **options)
    models = {
        "rotation_model": rotation_model,
        "extractor": extractor,
        "classifier": _best_fine_tuned(runs),
    }
    files = make_folder(unfinished / "files")
    if explorer and points is not None:
        with _stage("explorer", seconds, verbose):
            _write_explorer(files / "explorer.html", fresh, models, splits, shown, seed, quick)
    with _stage("files", seconds, verbose):
        for name in ("rotation_model", "extractor"):
            save_model(models[name], files / f"{name}.keras")
        classifier = files / "classifier.keras"
        save_classifier(models["classifier"], classifier, splits.class_names, fit=splits.fit)
        beside_blog = is_blogs_data(settings["dataset"], in_memory, splits.name)
        _draw_pictures(files, splits, models, rotation_history, runs, points, quick, beside_blog)
        if board is not None:
            _write_features(board / FEATURES, models, shown, splits)
    results = settings | {"asked": asked, "fit": splits.fit, "skipped": list(splits.skipped)}
    results["in_memory"] = in_memory
    results["num_unlabelled"] = len(images)
    results |= _figures(splits, models, runs) | {"seconds": seconds, "versions": _versions()}
    results["epochs"] |= {"pretraining": len(rotation_history.epoch)}
    replace_text(files / "results.json", json.dumps(results, indent=2) + "\n")
    _put_in_place(files, output)
    shutil.rmtree(unfinished)
    return results


def _extractors(image_shape, *, backbone, weights, layer, seed):
    """The network with random weights from the seed, and with those that are given or None."""
    if weights is None and isinstance(backbone, str) and not backbone.endswith(".keras"):
        return make_extractor(backbone, image_shape, layer=layer, seed=seed), None
    given = make_extractor(backbone, image_shape, weights=weights, layer=layer, seed=seed)
    return reinitialise(given, seed=seed), given


def _curves(board, run):
    """The callbacks that write a run's curves for TensorBoard: one, or none without a folder."""
    return [] if board is None else [Curves(pathlib.Path(board) / run)]


def _clear_board(board):
    """No curves or features of an earlier run beside those of this one."""
    for run in ("pretraining", *(f"{arm}_{budget}" for arm in ARM_NAMES for budget in BUDGETS)):
        clear_curves(board / run)
    clear_projector(board / FEATURES)


def _write_features(folder, models, images, splits):
    """The test images by what pretraining learnt, with what the classifier takes them for."""
    features = extract_features(models["extractor"], images)
    labels = splits.test.labels[: len(images)]
    predictions = predict_classes(models["classifier"], images)
    write_features(folder, features, images, labels, splits.class_names, predictions=predictions)


def _as_text(**settings):
    """Settings as JSON keeps them: models and splits by their names, paths as text."""

    def plain(value):
        if isinstance(value, os.PathLike) and not os.path.isabs(value):
            # Told from a data set of that name, as `load_splits` tells them.
            return os.path.join(os.curdir, os.fsdecode(value))
        if isinstance(value, np.integer):
            return int(value)
        if isinstance(value, (Splits, keras.Model)):
            return value.name
        return value if isinstance(value, (str, int, type(None))) else str(value)

    return {name: plain(value) for name, value in settings.items()}


def _check_not_given(options):
    """Raise where somebody asks for what ready `Splits` cannot follow any more."""
    given = {n: v for n, v in options.items() if v not in (None, "crop", "raise")}
    if given:
        raise ValueError(f"dataset must be a name or a folder for {given}, got Splits")


def _finished(path, settings):
    """The results of a finished run like this one, or None; an explorer more does no harm."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        theirs = results["asked"]
        same = theirs | {"explorer": True} == settings | {"explorer": True}
        enough = theirs.get("explorer") or not settings.get("explorer")
        return results if same and enough else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def budget_settings(budget, *, seed=0, quick=False):
    """Return the settings of a training budget for `fit_classifier`, the same for every arm.

    Args:
        budget: "short", 24 updates on 1,000 labels, chosen on validation images so that the
            blog's picture shows; or "long", until the validation accuracy stops rising, with
            images shifted at random by up to 2 of 28 pixels.
        seed: of the shifts.
        quick: at most 10 epochs.

    Returns:
        A new dictionary of keyword arguments.

    Example:
        >>> budget_settings("short")["epochs"]
        3
    """
    if budget == "short":
        sgd = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, clipnorm=1.0)
        return {"epochs": 3, "batch_size": 125, "optimizer": sgd}
    slower = keras.callbacks.ReduceLROnPlateau("val_accuracy", mode="max", factor=0.3, patience=10)
    return {
        "epochs": 10 if quick else 300,
        "batch_size": 32,
        "optimizer": keras.optimizers.Adam(2e-3),
        "patience": 30,
        "callbacks": [slower],
        "augment": gentle_augmentation(mirror=False, seed=seed),
    }


def run_arms(
    extractor,
    splits,
    *,
    given=None,
    checkpoints=None,
    seed=0,
    quick=False,
    tensorboard=None,
    verbose=1,
):
    """Train every arm under every budget on the labelled images, and test each one once.

    Args:
        extractor: the pretrained extractor.
        splits: `Splits`; the validation images serve to stop the long budget.
        given: the extractor with weights from elsewhere; None for none.
        checkpoints: folder for a `checkpoint` of each run, as in `fit_classifier`.
        seed: of new weights and the order of images.
        quick: at most 10 epochs of the long budget.
        tensorboard: folder for TensorBoard's curves, one below it for each run; None for none.
        verbose: 0 for no progress bar.

    Returns:
        `{(arm, budget): run}`; a run holds `model`, `history`, `epochs` that were trained,
        `validation_accuracy` and `test_accuracy`, both 0..1.
    """
    runs, arms = {}, ARMS if given is None else ARMS | GIVEN_ARMS
    pairs = [(arm, budget) for budget in BUDGETS for arm in arms]
    for arm, budget in (bar := tqdm(pairs, desc="classifiers", disable=not verbose)):
        bar.set_postfix_str(f"{arm}, {budget}")
        checkpoint = checkpoints and pathlib.Path(checkpoints) / f"{arm}_{budget}.weights.h5"
        settings = budget_settings(budget, seed=seed, quick=quick)
        # After the others, so that it sees what they add to the logs.
        curves = _curves(tensorboard, f"{arm}_{budget}")
        settings["callbacks"] = [*settings.get("callbacks", ()), *curves]
        model, history = arms[arm](
            given if arm in GIVEN_ARMS else extractor,
            *splits.labelled,
            num_classes=splits.num_classes,
            validation=splits.validation,
            checkpoint=checkpoint,
            seed=seed,
            verbose=0,
            **settings,
        )
        runs[arm, budget] = {
            "model": model,
            "history": history,
            "epochs": len(history.epoch),
            "validation_accuracy": accuracy(model, *splits.validation),
            "test_accuracy": accuracy(model, *splits.test),
        }
    return runs


def _check_same_run(unfinished, settings):
    """Raise unless what lies unfinished in the folder, if anything, is of a run like this one."""
    path = unfinished / "settings.json"
    if not path.exists():
        if unfinished.exists() and any(unfinished.iterdir()):
            raise ValueError(
                f"output must not hold {unfinished}, a folder with other things in it, since what "
                "is not finished is kept, and deleted, there"
            )
        return
    try:
        theirs = json.loads(path.read_text(encoding="utf-8"))
        other = {name: theirs[name] for name in settings if theirs[name] != settings[name]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}): delete {unfinished} to start anew"
        ) from error
    if other:
        raise ValueError(
            f"output must hold no other run unfinished, got {unfinished} of one with {other}: give "
            "another output, or delete that folder to start anew"
        )


def _put_in_place(files, output):
    """Put new files in the place of old ones; a full disk cannot break off renaming."""
    # No old numbers, names or pages beside new files, nor a picture that is not drawn any more.
    numbers, pages = ("results.json", "classifier.json"), ("report.html", "explorer.html")
    for name in (*numbers, *pages, "model.png", "model.txt", "umap.png"):
        (output / name).unlink(missing_ok=True)
    last = files / "results.json"
    for file in [*(file for file in files.iterdir() if file != last), last]:
        os.replace(file, output / file.name)


def _write_explorer(path, fresh, models, splits, images, seed, quick):
    """The page on which the test images move from one network to another."""
    from rotnet_keras.explorer import features_by_depth, save_explorer  # whose Bokeh takes a second

    images = images[:MOST_EXPLORED]
    networks = {"random weights": fresh, "pretrained on rotations": models["extractor"]}
    networks["fine-tuned on labels"] = remove_head(models["classifier"])
    taken_for = predict_rotations(models["rotation_model"], images).argmax(axis=-1)
    save_explorer(
        path,
        features_by_depth(networks, images),
        images,
        splits.test.labels[: len(images)],
        splits.class_names,
        logits=extract_features(models["classifier"], images),
        rotation_accuracies=(taken_for == ROTATIONS).mean(axis=1),
        title=f"{_data_name(splits, quick)}: {len(images):,} test images",
        seed=seed,
    )


def _figures(splits, models, runs):
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
            for arm in _arms_of(runs)
        },
        "epochs": {f"{arm}, {budget}": run["epochs"] for (arm, budget), run in runs.items()},
    }


def is_blogs_data(asked, in_memory, name):
    """Whether it is the blog's data or the stand-in; a folder or `Splits` may have the name."""
    by_name = asked in (None, *BLOG_DATA) and "dataset" not in in_memory
    return by_name and name in BLOG_DATA


def _draw_pictures(output, splits, models, rotation_history, runs, points, quick, beside_blog):
    """Write the pictures of a run; each title says what data it shows."""
    data = _data_name(splits, quick)
    few = f"{len(splits.labelled.labels):,} labels"
    with picture(output / "rotations.png", f"The pretext task: how was it turned?\n{data}"):
        plot_rotations(splits.unlabelled[:4])
    if points is not None:
        with picture(output / "umap.png", f"UMAP of rotation features, test images\n{data}"):
            plot_map(points, splits.test.labels[: len(points)], splits.class_names)
    with picture(output / "accuracies.png", f"Classifiers from {few}\n{data}"):
        plot_accuracies(_accuracies(runs, beside_blog))
    with picture(output / "confusion.png", f"Fine-tuned on {few}, test images\n{data}"):
        plot_confusion(confusion(models["classifier"], *splits.test), splits.class_names)
    with picture(output / "training.png", f"Training curves\n{data}"):
        _, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
        plot_history({"rotation task": rotation_history}, ax=left)
        left.set_title("pretraining without labels")
        long = {ARM_NAMES[arm]: runs[arm, "long"]["history"] for arm in _arms_of(runs)}
        plot_history({name.replace("\n", " "): history for name, history in long.items()}, ax=right)
        right.set_title(f"{few}, long training")
    draw_model(models["rotation_model"], output / "model.png", title=f"Rotation model\n{data}")


def _data_name(splits, quick):
    data = "STAND-IN: drawn garments, no real data"
    data = data if splits.stand_in else printable(splits.name)
    return data + (", quick run" if quick else "")


def _accuracies(runs, beside_blog):
    """Bars for each budget, and for the blog's where the arms and the data are like its own."""
    arms, series = _arms_of(runs), {}
    if beside_blog and arms == list(ARMS):
        series["blog, Fashion-MNIST"] = {ARM_NAMES[arm]: BLOG[arm] for arm in ARMS}
    for budget in BUDGETS:
        accuracies = {ARM_NAMES[arm]: runs[arm, budget]["test_accuracy"] for arm in arms}
        series[f"this run, {budget} training"] = accuracies
    return series


def _arms_of(runs):
    return [arm for arm, budget in runs if budget == BUDGETS[0]]


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
            raise ValueError(
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
        raise ValueError(
            f"results must hold what run_experiment returns, got {got(run)}"
        ) from error
    for value in values:
        check_number("results", value, "in 0..1, all their accuracies", lambda x: 0 <= x <= 1)


@contextlib.contextmanager
def _stage(name, seconds, verbose):
    """Announce a stage and record how long it took."""
    if verbose:
        tqdm.write(f"== {name}")
    start = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - start, 1)


def _best_fine_tuned(runs):
    fine_tuned = [runs["fine_tuned", budget] for budget in BUDGETS]
    return max(fine_tuned, key=lambda run: run["validation_accuracy"])["model"]


def _versions():
    packages = ("rotnet-keras", "tensorflow", "keras", "tensorflow-datasets", "umap-learn", "numpy")
    versions = {package: importlib.metadata.version(package) for package in packages}
    return {"python": platform.python_version()} | versions
