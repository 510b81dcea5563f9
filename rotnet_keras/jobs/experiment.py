"""The blog's experiment from beginning to end: pretrain, map, three arms, pictures and numbers."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time

import keras
from tqdm.auto import tqdm

from rotnet_keras._base.files import make_folder, replace_text, save_model
from rotnet_keras._base.values import (
    check_counts_or_none,
    check_path,
    check_paths,
    check_seed,
    check_source,
)
from rotnet_keras.data.load import load_splits
from rotnet_keras.data.pictures import check_reading
from rotnet_keras.data.splits import Splits
from rotnet_keras.evaluation import extract_features
from rotnet_keras.heads import reinitialise, remove_head
from rotnet_keras.jobs.blog import best_fine_tuned, curve_callbacks, run_arms
from rotnet_keras.jobs.pictures import (
    clear_board,
    draw_pictures,
    write_explorer,
    write_test_features,
)
from rotnet_keras.jobs.results import figures_of_run, is_blogs_data, package_versions
from rotnet_keras.jobs.settings import as_text, check_not_given, check_same_run, finished_results
from rotnet_keras.prediction import save_classifier
from rotnet_keras.training import pretrain
from rotnet_keras.viewing.maps import umap_map
from rotnet_keras.viewing.tensorboard import FEATURES, check_board, prepare_board
from rotnet_keras.zoo.backbones import make_extractor

FEWEST_ON_A_MAP = 4  # test images


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
        check_not_given(division | reading)
    network = {"backbone": backbone, "weights": weights, "layer": layer}
    settings = as_text(dataset=dataset, **reading, **network, **division, seed=seed, quick=quick)
    asked = settings | ({"explorer": True} if explorer else {})
    held = {"dataset": dataset, "backbone": backbone}
    in_memory = [name for name, v in held.items() if isinstance(v, (Splits, keras.Model))]
    board = prepare_board(tensorboard)
    output = make_folder(output)
    if skip_finished and (finished := finished_results(output / "results.json", asked)):
        return finished
    unfinished, seconds = output / "unfinished", {}
    check_same_run(unfinished, settings)
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
        clear_board(board)
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
            callbacks=curve_callbacks(board, "pretraining"),
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
        "classifier": best_fine_tuned(runs),
    }
    files = make_folder(unfinished / "files")
    if explorer and points is not None:
        with _stage("explorer", seconds, verbose):
            write_explorer(files / "explorer.html", fresh, models, splits, shown, seed, quick)
    with _stage("files", seconds, verbose):
        for name in ("rotation_model", "extractor"):
            save_model(models[name], files / f"{name}.keras")
        classifier = files / "classifier.keras"
        save_classifier(models["classifier"], classifier, splits.class_names, fit=splits.fit)
        beside_blog = is_blogs_data(settings["dataset"], in_memory, splits.name)
        draw_pictures(files, splits, models, rotation_history, runs, points, quick, beside_blog)
        if board is not None:
            write_test_features(board / FEATURES, models, shown, splits)
    results = settings | {"asked": asked, "fit": splits.fit, "skipped": list(splits.skipped)}
    results["in_memory"] = in_memory
    results["num_unlabelled"] = len(images)
    results |= figures_of_run(splits, models, runs) | {
        "seconds": seconds,
        "versions": package_versions(),
    }
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


def _put_in_place(files, output):
    """Put new files in the place of old ones; a full disk cannot break off renaming."""
    # No old numbers, names or pages beside new files, nor a picture that is not drawn any more.
    numbers, pages = ("results.json", "classifier.json"), ("report.html", "explorer.html")
    for name in (*numbers, *pages, "model.png", "model.txt", "umap.png"):
        (output / name).unlink(missing_ok=True)
    last = files / "results.json"
    for file in [*(file for file in files.iterdir() if file != last), last]:
        os.replace(file, output / file.name)


@contextlib.contextmanager
def _stage(name, seconds, verbose):
    """Announce a stage and record how long it took."""
    if verbose:
        tqdm.write(f"== {name}")
    start = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - start, 1)
