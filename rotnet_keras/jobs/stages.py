"""The stages of the main job, in their order; each leaves what the next ones need."""

from __future__ import annotations

import dataclasses
import functools
import json

import numpy as np

from rotnet_keras._base.errors import InputError
from rotnet_keras._base.files import make_folder, replace_text
from rotnet_keras._base.model_files import save_model
from rotnet_keras.blocks import block_names
from rotnet_keras.data.identity import identity_of, identity_of_network
from rotnet_keras.data.load import READING, as_folder, load_splits
from rotnet_keras.data.look import look_at_folder
from rotnet_keras.data.splits import Splits
from rotnet_keras.deployment.familiar import familiar_from
from rotnet_keras.evaluation import calibrate, extract_features
from rotnet_keras.few_labels.verdict import measure_gain
from rotnet_keras.heads import remove_head, with_random_weights
from rotnet_keras.jobs.blog import best_fine_tuned, curve_callbacks, run_arms
from rotnet_keras.jobs.choice import (
    can_be_had,
    choose,
    everything_labelled,
    fit_recipe,
    fit_to_all,
)
from rotnet_keras.jobs.pairs import compare_recipes
from rotnet_keras.jobs.pictures import (
    clear_board,
    draw_pictures,
    images_on_map,
    write_explorer,
    write_test_features,
)
from rotnet_keras.jobs.plan import (
    BLOG_RATE,
    FIXED,
    RATE,
    Schedule,
    make_plan,
    seconds_an_image,
    size_for,
)
from rotnet_keras.jobs.pretext import against_rotation
from rotnet_keras.jobs.results import FILE, is_blogs_data, results_of
from rotnet_keras.jobs.settings import DIVISION, NETWORK, kept_plan, write_settings
from rotnet_keras.prediction import save_classifier
from rotnet_keras.running.lines import in_words, say
from rotnet_keras.running.progress import Whole
from rotnet_keras.running.runtime import suitable_precision
from rotnet_keras.training import pretrain, pretrain_for_transfer
from rotnet_keras.viewing.maps import begin_map, umap_points
from rotnet_keras.viewing.tensorboard import FEATURES
from rotnet_keras.zoo.backbones import make_extractor

FEWEST_ON_A_MAP, MANY_ON_A_MAP = 4, 4_000  # images
STAGES = ("pretraining", "classifiers", "recipe", "verdict", "all labels", "map", "files")


class Run:
    """A run in progress; each stage leaves what the next ones need."""

    def __init__(self, settings, board, unfinished):
        self.settings, self.board, self.unfinished = settings, board, unfinished
        self.whole = Whole(verbose=settings.verbose)

    def load(self):
        """Have the images, and the networks to start from."""
        settings = self.settings
        with self.whole.stage("data"):
            ready, source = isinstance(settings.dataset, Splits), settings.dataset
            folder = None if ready or source is None else as_folder(source)
            self.splits = source if ready else _read(settings, folder)
            self.data = identity_of(self.splits)
            self.data |= identity_of_network(settings.backbone, settings.weights)
            if settings.quick:
                few = self.splits.unlabelled[:10_000]
                self.splits = dataclasses.replace(self.splits, unlabelled=few)
            splits = self.splits
            asked = settings.asked["dataset"]
            self.blog = is_blogs_data(asked, settings.in_memory, splits.name)
            self.images = splits.unlabelled if self.blog else splits.training_images
            self.shown = images_on_map(splits, quick=settings.quick)
            own = ready or folder is not None
            self.again = own and settings.num_labels is None and _is_little_held_out(splits)
            network = settings.some((*NETWORK, "seed"))
            network["backbone"] = self.backbone
            self.fresh, self.given = _extractors(splits.image_shape, **network)

    @property
    def _is_blogs(self):
        """Whether data and network are the blog's."""
        return self.blog and self.backbone == "two_conv"

    @property
    def _rate(self):
        """The learning rate of `pretrain`."""
        return BLOG_RATE if self._is_blogs else RATE

    @property
    def backbone(self):
        """The one that was asked for, else the blog's for its data, and the recipe's for others."""
        return self.settings.backbone or ("two_conv" if self.blog else "conv_blocks")

    def begin(self):
        """Say what will be done; leave what the same call goes on from."""
        if self.board is not None:
            clear_board(self.board)
        make_folder(self.unfinished)
        self.schedule, self.fits = self._planned()
        self._fit_plan()
        if self.settings.verbose:
            say(f"{in_words(self.whole.left)} in all: {self.plan.in_words(len(self.images))}")

    @property
    def plan(self):
        """The lengths of training."""
        return self.schedule.plan

    def _planned(self):
        """A `Schedule`, and whether it is to be fitted to the time."""
        settings, kept = self.settings, kept_plan(self.unfinished)
        usual = make_plan(self.images.shape, quick=settings.quick, blog=self._is_blogs)
        runs = {"verdict": self._can_be_weighed, "all labels": self.again}
        runs["recipe"] = can_be_had(self.splits.image_shape)
        fixed = {name: FIXED[name] for name in STAGES if runs.get(name, True)}
        each = seconds_an_image(self.fresh, self.images)
        here = each, len(self.images), len(self.splits.labelled.labels)
        # What goes on does so by the plan it began with.
        return Schedule(kept or usual, fixed, here), settings.minutes is not None and kept is None

    def _fit_plan(self, *done):
        """Fit what is left to the time that is left, by how slow the stages were until now."""
        if self.fits:
            left = 60 * self.settings.minutes - sum(self.whole.seconds.values())
            self.schedule.fit(left, slowness=self.whole.slowness, done=done)
        write_settings(self.unfinished, self.settings, self.data, self.plan)
        self.whole.plan(self.schedule.seconds)

    def pretrain(self):
        """Learn from the images without labels."""
        settings, way = self.settings, {}
        if self.blog or not block_names(self.fresh):
            train, way = pretrain, {"learning_rate": self._rate}
        else:
            train, way = pretrain_for_transfer, {"precision": suitable_precision()}
        with self.whole.stage("pretraining"):
            rotation_model, self.rotation_history = train(
                self.fresh,
                self.images,
                validation_images=self.splits.validation.images,
                epochs=self.plan.pretrain_epochs,
                checkpoint=self.unfinished / "pretraining.weights.h5",
                seed=settings.seed,
                callbacks=[
                    self.whole.callback("pretraining"),
                    *curve_callbacks(self.board, "pretraining"),
                ],
                verbose=0,
                **way,
            )
            extractor = remove_head(rotation_model)
            self.models = {"rotation_model": rotation_model, "extractor": extractor}
            self._look()

    def _look(self):
        """Have the features of the images on the map, which another process may begin to draw."""
        seed = self.settings.seed
        self.features = extract_features(self.models["extractor"], self.shown.images)
        if not np.isfinite(self.features).all():
            raise InputError(
                "backbone must give finite features once it is pretrained, with the learning rate "
                f"{self._rate} in precision 'float32' here, got NaN or infinity: try another "
                "backbone, layer or seed, or `pretrain` with a lower learning_rate"
            )
        many = len(self.shown) >= MANY_ON_A_MAP
        self.drawing = begin_map(self.features, seed=seed) if many else None

    def classify(self):
        """Train and test every arm under every budget, and the recipe; choose one."""
        settings, extractor = self.settings, self.models["extractor"]
        self._fit_plan("pretraining")
        with self.whole.stage("classifiers"):
            self.arms = run_arms(
                extractor,
                self.splits,
                given=self.given,
                checkpoints=self.unfinished,
                most=self.plan.long_epochs,
                seed=settings.seed,
                tensorboard=self.board,
                reached=self.whole.reach,
                verbose=settings.verbose,
            )
        self.recipe = None
        self._fit_plan("pretraining", "classifiers")
        if can_be_had(self.splits.image_shape):
            with self.whole.stage("recipe"):
                kept = self.unfinished / "recipe.keras"
                self.recipe = fit_recipe(extractor, self.splits, kept=kept, **self._how)
        validation = self.splits.validation.labels
        self.chosen, run = choose(self.arms, self.recipe, len(validation))
        self.models |= {"classifier": run["model"], "fine_tuned": best_fine_tuned(self.arms)}
        self.chosen_run = run

    @property
    def _how(self):
        """How the recipe is trained."""
        how = {"plan": self.plan, "seed": self.settings.seed}
        return how | {"precision": "float32" if self.blog else suitable_precision()}

    def weigh(self):
        """What pretraining is worth, by repeated splits of all labelled images."""
        self.gain, self.dear_gain, self.pretext = None, None, ""
        if not self._can_be_weighed:
            return
        with self.whole.stage("verdict"):
            extractor, known = self.models["extractor"], self._known
            seed = self.settings.seed
            repeats = 10 if self.settings.quick else 20
            self.pretext = against_rotation(
                self.models["rotation_model"],
                self.splits,
                passes=self.plan.pretrain_epochs,
                usual=make_plan(self.images.shape).pretrain_epochs,
                seed=seed,
            )
            self.gain = measure_gain(
                extractor, *known, given=self.given, repeats=repeats, seed=seed
            )
            if self.recipe is not None:
                self.dear_gain = compare_recipes(
                    extractor,
                    with_random_weights(extractor, seed=seed),
                    self.splits,
                    known,
                    recipe=self.recipe["model"],
                    pairs=self.plan.pairs,
                    kept=self.unfinished / "pairs",
                    **self._how,
                )

    @property
    def _can_be_weighed(self):
        """Whether there is a verdict: not on the blog's data, nor from one label of a class."""
        return not self.blog and np.unique_counts(self._known.labels).counts.min() > 1

    @functools.cached_property
    def _known(self):
        """All images whose labels may be used in the end."""
        splits = self.splits
        return everything_labelled(splits) if self.again else splits.labelled

    @functools.cached_property
    def temperature(self):
        """Of the chosen classifier, as it was measured."""
        return calibrate(self.models["classifier"], *self.splits.validation)

    def fit_all(self):
        """Fit the chosen one to all labels."""
        self.models["saved"] = self.models["classifier"]
        num_labels = len(self.splits.labelled.labels)
        self.chosen = dataclasses.replace(self.chosen, num_labels=num_labels)
        if not self.again:
            return
        with self.whole.stage("all labels"):
            given = {"given": self.given, "examples": self._known}
            self.chosen, self.models["saved"] = fit_to_all(
                self.chosen,
                self.chosen_run,
                self.models["extractor"],
                self.splits,
                kept=self.unfinished / "all_labels.keras",
                **given,
                **self._how,
            )

    def draw_map(self):
        """Lay out the images of the map by their features, if there are enough of them."""
        self.points = None
        with self.whole.stage("map"):
            if self.drawing is not None:
                self.drawing.wait()
            if len(self.shown) >= FEWEST_ON_A_MAP:
                self.points = umap_points(self.features, seed=self.settings.seed)

    def write(self):
        """Write all files beside those of an earlier run; return the results."""
        files, settings = make_folder(self.unfinished / "files"), self.settings
        if settings.explorer and self.points is not None:
            with self.whole.stage("explorer"):
                write_explorer(files / "explorer.html", self)
        with self.whole.stage("files"):
            for name in ("rotation_model", "extractor"):
                save_model(self.models[name], files / f"{name}.keras")
            self._save_classifier(files / "classifier.keras")
            draw_pictures(files, self)
            if self.board is not None:
                write_test_features(self.board / FEATURES, self)
        results = results_of(self)
        replace_text(files / FILE, json.dumps(results.as_dict(), indent=2) + "\n")
        return results

    def _save_classifier(self, path):
        """What was fitted last, with what its answers were worth before on held-out images."""
        splits = self.splits
        look = {name: getattr(splits, name) for name in ("fit", "ground", "white")}
        save_classifier(
            self.models["saved"],
            path,
            splits.class_names,
            temperature=self.temperature,
            familiar=familiar_from(
                self.models["saved"], splits.labelled.images, splits.validation.images
            ),
            **look,
        )


def _extractors(image_shape, *, backbone, weights, layer, seed):
    """The network with random weights from the seed, and with those that are given or None."""
    if weights is None and isinstance(backbone, str) and not backbone.endswith(".keras"):
        return make_extractor(backbone, image_shape, layer=layer, seed=seed), None
    given = make_extractor(backbone, image_shape, weights=weights, layer=layer, seed=seed)
    return with_random_weights(given, seed=seed), given


def _read(settings, folder):
    """The data set that was asked for; a folder's pictures in a size that suits them."""
    asked = settings.some((*DIVISION, *READING, "seed", "data_dir", "manual_dir"))
    source = settings.dataset
    if source is None:
        return load_splits("fashion_mnist", fall_back=True, **asked)
    if asked["image_size"] is None and folder is not None:
        where = settings.some(("parts", "follow_links"))
        asked["image_size"] = size_for(look_at_folder(folder, **where).files)
    return load_splits(source, fall_back=False, **asked)


def _is_little_held_out(splits):
    """Whether the draw is no budget of few labels, which the classifier must keep to."""
    return len(splits.validation.labels) <= len(splits.labelled.labels)
