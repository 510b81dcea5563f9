"""The pictures and pages of a run of the main job."""

from __future__ import annotations

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
from sklearn import metrics

from rotnet_keras._base.files import printable
from rotnet_keras.data.names import names_of
from rotnet_keras.evaluation import extract_features, predict_classes
from rotnet_keras.heads import remove_head
from rotnet_keras.jobs.answers import draw_answers
from rotnet_keras.jobs.blog import ARMS, BLOG, BLOG_ARMS, BUDGETS, arms_of
from rotnet_keras.jobs.choice import TITLE
from rotnet_keras.jobs.results import is_blogs_data
from rotnet_keras.rotation import ROTATIONS
from rotnet_keras.symmetry import predict_rotations
from rotnet_keras.viewing.axes import picture
from rotnet_keras.viewing.charts import plot_accuracies, plot_confusion, plot_history, plot_map
from rotnet_keras.viewing.diagram import draw_model
from rotnet_keras.viewing.label_curve import plot_label_curve
from rotnet_keras.viewing.rotations import plot_rotations
from rotnet_keras.viewing.tensorboard import FEATURES, clear_curves, clear_projector, write_features

MOST_EXPLORED = 5_000  # images, which stay fluid in a browser
MOST_MAPPED, MOST_IN_QUICK = 10_000, 2_000
FEW_TEST = 1_000  # test images, fewer than which are not alone on the map
TEST = "test"
# What a page says of the other parts of the data: on those a model knows more than it may.
PARTS = {
    "labelled": "labelled, learnt from",
    "validation": "validation, chosen by",
    "unlabelled": "without a label",
}
PRETRAINED = "pretrained on rotations"


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """The images on a run's map, in an order drawn at random, those without a label first.

    Attributes:
        images: `(N, S, S, C)`.
        labels: `(N,)`, -1 for none.
        parts: `(N,)`, of the data: "test" and so on.
        places: `(N,)`, of each image in its part.
    """

    images: np.ndarray
    labels: np.ndarray
    parts: np.ndarray
    places: np.ndarray

    def __len__(self):
        return len(self.labels)

    def take(self, rows):
        """Some of them, by an array of places or flags, or by a slice."""
        return Shown(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))


def images_on_map(splits, *, quick=False):
    """`Shown`: the test images, and where they are few, all others as far as there is room."""
    parts, most = {TEST: splits.test}, MOST_IN_QUICK if quick else MOST_MAPPED
    if len(splits.test.labels) < FEW_TEST:
        parts |= {"validation": splits.validation, "labelled": splits.labelled}
        parts["unlabelled"] = splits.unlabelled, np.full(len(splits.unlabelled), -1)
        most = min(most, MOST_EXPLORED)
    rng, rows = np.random.default_rng(0), []
    for part, (images, labels) in parts.items():
        places = rng.permutation(len(labels))[:most]
        most -= len(places)
        rows.append((images[places], labels[places], np.full(len(places), part, object), places))
    shown = Shown(*map(np.concatenate, zip(*rows, strict=True)))
    mixed = rng.permutation(len(shown.labels))
    return shown.take(mixed[np.argsort(shown.labels[mixed] >= 0, kind="stable")])


def clear_board(board):
    """No curves or features of an earlier run beside those of this one."""
    for run in ("pretraining", *(f"{arm}_{budget}" for arm in ARMS for budget in BUDGETS)):
        clear_curves(board / run)
    clear_projector(board / FEATURES)


def write_test_features(folder, run):
    """The test images by what pretraining learnt, with what the classifier takes them for."""
    shown = run.shown
    shown, class_names = shown.take(shown.parts == TEST), run.splits.class_names
    features = extract_features(run.models["extractor"], shown.images)
    predictions = predict_classes(run.models["classifier"], shown.images)
    write_features(
        folder, features, shown.images, shown.labels, class_names, predictions=predictions
    )


def write_explorer(path, run):
    """The page on which the images of the map move from one network to another."""
    from rotnet_keras.viewing.explorer import (  # whose Bokeh takes a second
        features_by_depth,
        save_explorer,
    )

    shown, models = run.shown, run.models
    shown = shown.take(slice(-MOST_EXPLORED, None))
    networks = {"random weights": run.fresh, PRETRAINED: models["extractor"]}
    networks["fine-tuned on labels"] = remove_head(models["fine_tuned"])
    taken_for = predict_rotations(models["rotation_model"], shown.images).argmax(axis=-1)
    save_explorer(
        path,
        features_by_depth(networks, shown.images),
        shown.images,
        shown.labels,
        run.splits.class_names,
        logits=_logits(run, shown.images),
        rotation_accuracies=(taken_for == ROTATIONS).mean(axis=1),
        names=_names(run, shown),
        parts=[PARTS.get(part, part) for part in shown.parts],
        speaker=run.chosen.speaker,
        opens_on=PRETRAINED,
        title=f"{_data_name(run)}: {_what(shown)}",
        seed=run.settings.seed,
    )


def draw_pictures(output, run):
    """Write the pictures of a run; each title says what data it shows."""
    splits, arms, data = run.splits, run.arms, _data_name(run)
    few = f"{len(splits.labelled.labels):,} labels"
    with picture(output / "rotations.png", f"The pretext task: how was it turned?\n{data}"):
        plot_rotations(run.images[:4])
    if run.points is not None:
        with picture(output / "umap.png", f"UMAP of rotation features, {_kinds(run)}\n{data}"):
            plot_map(run.points, run.shown.labels, splits.class_names)
    with picture(output / "accuracies.png", f"Classifiers from {few}\n{data}"):
        plot_accuracies(_accuracies(run))
    _draw_tested(output, run, f"{run.chosen.speaker.capitalize()}, {few}, test images\n{data}")
    with picture(output / "training.png", f"Training curves\n{data}"):
        _, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
        plot_history({"rotation task": run.rotation_history}, ax=left)
        left.set_title("pretraining without labels")
        long = {arm.title: arms[arm.name, "long"]["history"] for arm in arms_of(arms)}
        plot_history({name.replace("\n", " "): history for name, history in long.items()}, ax=right)
        right.set_title(f"{few}, long training")
    if run.gain is not None:
        with picture(output / "labels.png", f"Accuracy by number of labels, linear probes\n{data}"):
            plot_label_curve(run.gain)
    draw_model(run.models["rotation_model"], output / "model.png", title=f"Rotation model\n{data}")


def _draw_tested(output, run, title):
    """What the chosen classifier takes the test images for: all in numbers, some as pictures."""
    test, class_names = run.splits.test, run.splits.class_names
    logits = _logits(run, test.images)
    with picture(output / "confusion.png", title):
        counts = metrics.confusion_matrix(
            test.labels, logits.argmax(axis=1), labels=np.arange(len(class_names))
        )
        plot_confusion(counts, class_names)
    names = _names(run, _all_of_test(run.splits))
    with picture(output / "mistakes.png", title):
        draw_answers(logits, *test, class_names, names)


def _all_of_test(splits):
    images, labels = splits.test
    return Shown(images, labels, np.full(len(labels), TEST, object), np.arange(len(labels)))


def _what(shown):
    """The images of a map in words, with their number."""
    if {*shown.parts} == {TEST}:
        return f"{len(shown):,} test images"
    unlabelled = np.sum(shown.labels < 0)
    return f"{len(shown):,} images" + (f", {unlabelled:,} without a label" if unlabelled else "")


def _kinds(run):
    shown = run.shown
    return "test images" if {*shown.parts} == {TEST} else _what(shown)


def _names(run, shown):
    """The file of each image where it is known, else its part of the data and its place there."""
    files = names_of(shown.images, run.splits.files)
    counted = [f"{part}, number {i}" for part, i in zip(shown.parts, shown.places, strict=True)]
    return [file or number for file, number in zip(files, counted, strict=True)]


def _logits(run, images):
    """What the chosen classifier says, as it was measured, so that its softmax may be believed."""
    return extract_features(run.models["classifier"], images) / run.temperature


def _data_name(run):
    data = "STAND-IN: drawn garments, no real data"
    data = data if run.splits.stand_in else printable(run.splits.name)
    return data + (", quick run" if run.settings.quick else "")


def _accuracies(run):
    """Bars for budgets, the recipe, and the blog where arms and data are like its own."""
    arms, series, settings = arms_of(run.arms), {}, run.settings
    beside_blog = is_blogs_data(settings.asked["dataset"], settings.in_memory, run.splits.name)
    if beside_blog and tuple(arm.name for arm in arms) == BLOG_ARMS:
        series["blog, Fashion-MNIST"] = {arm.title: BLOG[arm.name] for arm in arms}
    for budget in BUDGETS:
        accuracies = {arm.title: run.arms[arm.name, budget]["test_accuracy"] for arm in arms}
        series[f"this run, {budget} training"] = accuracies
    if run.recipe is not None:
        series["this run, self-training"] = {TITLE: run.recipe["test_accuracy"]}
    titles = dict.fromkeys(title for bars in series.values() for title in bars)
    return {name: {title: bars.get(title) for title in titles} for name, bars in series.items()}
