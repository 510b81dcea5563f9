"""The blog's experiment from beginning to end: pretrain, map, three arms, pictures and numbers."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from typing import Any

import keras
import numpy as np
from tqdm.auto import tqdm

from rotnet_keras._base.door import public
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.files import check_output, make_folder, put_in_place, replace_text
from rotnet_keras._base.locks import only_run
from rotnet_keras._base.model_files import save_model
from rotnet_keras._base.values import Count, FilePath, Seed
from rotnet_keras.data.decoding import Ground, White
from rotnet_keras.data.identity import identity_of, identity_of_network
from rotnet_keras.data.load import Parts, Repeats, load_splits
from rotnet_keras.data.pictures import Broken, Channels, Fit
from rotnet_keras.data.splits import Splits
from rotnet_keras.evaluation import extract_features
from rotnet_keras.heads import remove_head, with_random_weights
from rotnet_keras.jobs.blog import best_fine_tuned, curve_callbacks, run_arms
from rotnet_keras.jobs.pictures import (
    clear_board,
    draw_pictures,
    write_explorer,
    write_test_features,
)
from rotnet_keras.jobs.results import FILE, finished_results, is_of_same_data, results_of
from rotnet_keras.jobs.settings import (
    DIVISION,
    NETWORK,
    READING,
    Data,
    RunSettings,
    check_same_run,
    only_names_are_read,
    write_settings,
)
from rotnet_keras.prediction import save_classifier
from rotnet_keras.training import pretrain
from rotnet_keras.viewing.maps import umap_points
from rotnet_keras.viewing.tensorboard import FEATURES, check_board, prepare_board
from rotnet_keras.zoo.backbones import make_extractor

FEWEST_ON_A_MAP = 4  # test images
GONE = ".finished"  # what was `unfinished`, while it is removed


@public(only_names_are_read)
def run_experiment(
    dataset: Data | None = None,
    *,
    num_labels: Count | None = None,
    num_validation: Count | None = None,
    image_size: Count | None = None,
    fit: Fit = "crop",
    channels: Channels | None = None,
    ground: Ground = 255,
    white: White | None = None,
    broken: Broken = "raise",
    repeats: Repeats = "raise",
    parts: Parts = "any",
    follow_links: bool = False,
    backbone: str | os.PathLike[str] | keras.Model = "two_conv",
    weights: str | os.PathLike[str] | None = None,
    layer: str | None = None,
    seed: Seed = 0,
    output: FilePath = "results",
    skip_finished: bool = False,
    data_dir: FilePath | None = None,
    manual_dir: FilePath | None = None,
    quick: bool = False,
    explorer: bool = False,
    tensorboard: FilePath | None = None,
    verbose: int = 1,
) -> dict[str, Any]:
    """Run the whole experiment and write its numbers, models and pictures to a folder.

    Args:
        dataset: name or folder for `load_splits`, or `Splits`, as of `make_splits`. None takes
            Fashion-MNIST, or the drawn stand-in garments and a loud warning where Fashion-MNIST
            cannot be had.
        num_labels: as in `load_splits`, as are the next ten.
        num_validation: images in all that tell the long budget when to stop.
        image_size: height and width of images.
        fit: how oblong images become square.
        channels: of a folder's pictures.
        ground: what shows through their transparent parts.
        white: of their files of 16 bits.
        broken: what to do about files of a folder that cannot be read.
        repeats: what to do about the same picture in two classes, or in the test and in training.
        parts: whether folders of other names than `labelled` and so on may be parts.
        follow_links: whether links to folders outside are followed.
        backbone: as in `make_extractor`; it is pretrained from random weights.
        weights: as in `backbone_extractor`, such as "imagenet". With weights, or a backbone that is
            a model or a file and has its own, two more arms start from them: a new head on the
            frozen network, and fine-tuning.
        layer: name of the backbone's layer to cut at.
        seed: of the split, the initial weights, every order of images and the map.
        output: folder for the results; made if need be. Earlier results in it are replaced when the
            new ones are there. Until then what is finished lies in `unfinished` in it, from which
            the same call goes on.
        skip_finished: return what the folder holds if a run like this one, of the same data, is
            finished there.
        data_dir: as in `load_splits`.
        manual_dir: as in `load_splits`.
        quick: a short look, with too little data and training for its numbers to mean much.
        explorer: write `explorer.html`, too, by `save_explorer`: up to 5,000 test images in the
            random, the pretrained and the best fine-tuned network, at each depth. It takes one or
            two minutes more, and is not written for fewer than four test images.
        tensorboard: folder for what TensorBoard shows: curves while training runs, and at the end
            the test images by their features; None writes nothing. What an earlier run left there
            is removed.
        verbose: 0 for no progress bars.

    Returns:
        The dictionary that `results.json` holds; its `seconds` are those of this call alone.

    Raises:
        DatasetError: the data set that was asked for cannot be had, or weights that must be
            downloaded.
        InputError: an argument out of its range, or a folder that holds another unfinished run, or
            with `skip_finished` results of a newer version; or features that are not
            finite after pretraining.
        FileError: the output folder, or TensorBoard's, cannot be written, or another run has it.
        MissingPackageError: TensorBoard is asked for, and not installed.

    Example:
        >>> results = run_experiment("garments", quick=True)  # doctest: +SKIP
        >>> results["arms"]["fine_tuned"]["long"]  # doctest: +SKIP
        0.81
    """
    settings = RunSettings(**locals())  # whose fields are these arguments
    check_board(tensorboard)
    board, folder = prepare_board(tensorboard), make_folder(output)
    with only_run(folder):
        return _run_in(folder, board, settings)


def _run_in(folder, board, settings):
    """The results of a run that has the folder for itself."""
    unfinished = folder / "unfinished"
    finished = finished_results(folder / FILE, settings) if settings.skip_finished else None
    if finished is None:
        check_same_run(unfinished, settings)
    run = _Run(settings, board, unfinished)
    run.load()
    if finished and is_of_same_data(finished, run.data, folder / FILE):
        with contextlib.suppress(InputError):  # what lies there is of another run, or not ours
            check_same_run(unfinished, settings, run.data)
            _remove(unfinished)
        return finished
    check_same_run(unfinished, settings, run.data)
    run.begin()
    run.pretrain()
    run.draw_map()
    run.classify()
    results = run.write().as_dict()
    _put_in_place(unfinished / "files", folder)
    _remove(unfinished)
    return results


def _remove(unfinished):
    """Remove the folder, renamed first: what a kill leaves of it is no unfinished run."""
    gone = unfinished.with_name(GONE)
    shutil.rmtree(gone, ignore_errors=True)
    if unfinished.exists():
        os.replace(unfinished, gone)
    shutil.rmtree(gone, ignore_errors=True)


class _Run:
    """A run in progress; each stage leaves what the next ones need."""

    def __init__(self, settings, board, unfinished):
        self.settings, self.board, self.unfinished = settings, board, unfinished
        self.seconds = {}

    @contextlib.contextmanager
    def stage(self, name):
        """Announce a stage and record how long it took."""
        if self.settings.verbose:
            tqdm.write(f"== {name}")
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 1)

    def load(self):
        """Have the images, and the networks to start from."""
        settings = self.settings
        with self.stage("data"):
            self.splits = settings.dataset
            if not isinstance(settings.dataset, Splits):
                self.splits = load_splits(
                    settings.dataset or "fashion_mnist",
                    fall_back=settings.dataset is None,
                    **settings.some((*DIVISION, *READING, "seed", "data_dir", "manual_dir")),
                )
            self.images = self.splits.unlabelled[: 10_000 if settings.quick else None]
            self.shown = self.splits.test.images[: 2_000 if settings.quick else 10_000]
            self.data = identity_of(self.splits)
            self.data |= identity_of_network(settings.backbone, settings.weights)
            network = settings.some((*NETWORK, "seed"))
            self.fresh, self.given = _extractors(self.splits.image_shape, **network)

    def begin(self):
        """Leave what the same call goes on from, now that there is something to do."""
        if self.board is not None:
            clear_board(self.board)
        write_settings(make_folder(self.unfinished), self.settings, self.data)

    def pretrain(self):
        """Learn from the images without labels."""
        settings = self.settings
        with self.stage("pretraining"):
            rotation_model, self.rotation_history = pretrain(
                self.fresh,
                self.images,
                validation_images=self.splits.validation.images,
                epochs=2 if settings.quick else 10,
                checkpoint=self.unfinished / "pretraining.weights.h5",
                seed=settings.seed,
                callbacks=curve_callbacks(self.board, "pretraining"),
                verbose=settings.verbose,
            )
            extractor = remove_head(rotation_model)
        self.models = {"rotation_model": rotation_model, "extractor": extractor}

    def draw_map(self):
        """Lay out the test images by their features, if there are enough of them."""
        self.points = None
        with self.stage("map"):
            features = extract_features(self.models["extractor"], self.shown)
            if not np.isfinite(features).all():
                raise InputError(
                    "backbone must give finite features once it is pretrained, with the learning "
                    "rate 3e-3 in precision 'float32' here, got NaN or infinity: try another "
                    "backbone, layer or seed, or `pretrain` with a lower learning_rate"
                )
            if len(self.shown) >= FEWEST_ON_A_MAP:
                self.points = umap_points(features, seed=self.settings.seed)

    def classify(self):
        """Train and test every arm under every budget."""
        with self.stage("classifiers"):
            self.arms = run_arms(
                self.models["extractor"],
                self.splits,
                given=self.given,
                checkpoints=self.unfinished,
                tensorboard=self.board,
                **self.settings.some(("seed", "quick", "verbose")),
            )
        self.models["classifier"] = best_fine_tuned(self.arms)

    def write(self):
        """Write all files beside those of an earlier run; return the results."""
        files, settings = make_folder(self.unfinished / "files"), self.settings
        if settings.explorer and self.points is not None:
            with self.stage("explorer"):
                write_explorer(files / "explorer.html", self)
        with self.stage("files"):
            for name in ("rotation_model", "extractor"):
                save_model(self.models[name], files / f"{name}.keras")
            classifier, splits = files / "classifier.keras", self.splits
            look = {name: getattr(splits, name) for name in ("fit", "ground", "white")}
            save_classifier(self.models["classifier"], classifier, splits.class_names, **look)
            draw_pictures(files, self)
            if self.board is not None:
                write_test_features(self.board / FEATURES, self)
        results = results_of(self)
        replace_text(files / FILE, json.dumps(results.as_dict(), indent=2) + "\n")
        return results


def _extractors(image_shape, *, backbone, weights, layer, seed):
    """The network with random weights from the seed, and with those that are given or None."""
    if weights is None and isinstance(backbone, str) and not backbone.endswith(".keras"):
        return make_extractor(backbone, image_shape, layer=layer, seed=seed), None
    given = make_extractor(backbone, image_shape, weights=weights, layer=layer, seed=seed)
    return with_random_weights(given, seed=seed), given


def _put_in_place(files, output):
    """Put new files in the place of old ones; a full disk cannot break off renaming."""
    numbers, pages = (FILE, "classifier.json"), ("report.html", "explorer.html")
    old = (*numbers, *pages, "model.png", "model.txt", "umap.png")
    new = sorted((file.name for file in files.iterdir()), key=FILE.__eq__)  # the numbers last
    places = {name: check_output(output / name) for name in (*old, *new)}
    for name in old:  # none beside new files, nor a picture that is not drawn any more
        places[name][0].unlink(missing_ok=True)
    for name in new:
        put_in_place(files / name, *places[name])
