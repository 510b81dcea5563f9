"""The pictures and pages of a run of the main job."""

from __future__ import annotations

import matplotlib.pyplot as plt

from rotnet_keras._base.files import printable
from rotnet_keras.evaluation import confusion_matrix, extract_features, predict_classes
from rotnet_keras.heads import remove_head
from rotnet_keras.jobs.blog import ARMS, BLOG, BLOG_ARMS, BUDGETS, arms_of
from rotnet_keras.jobs.results import is_blogs_data
from rotnet_keras.rotation import ROTATIONS
from rotnet_keras.symmetry import predict_rotations
from rotnet_keras.viewing.axes import draw_model, picture
from rotnet_keras.viewing.charts import plot_accuracies, plot_confusion, plot_history, plot_map
from rotnet_keras.viewing.rotations import plot_rotations
from rotnet_keras.viewing.tensorboard import FEATURES, clear_curves, clear_projector, write_features

MOST_EXPLORED = 5_000  # test images, which stay fluid in a browser


def clear_board(board):
    """No curves or features of an earlier run beside those of this one."""
    for run in ("pretraining", *(f"{arm}_{budget}" for arm in ARMS for budget in BUDGETS)):
        clear_curves(board / run)
    clear_projector(board / FEATURES)


def write_test_features(folder, run):
    """The test images by what pretraining learnt, with what the classifier takes them for."""
    images, splits = run.shown, run.splits
    features = extract_features(run.models["extractor"], images)
    labels = splits.test.labels[: len(images)]
    predictions = predict_classes(run.models["classifier"], images)
    write_features(folder, features, images, labels, splits.class_names, predictions=predictions)


def write_explorer(path, run):
    """The page on which the test images move from one network to another."""
    from rotnet_keras.viewing.explorer import (  # whose Bokeh takes a second
        features_by_depth,
        save_explorer,
    )

    images, models, splits = run.shown[:MOST_EXPLORED], run.models, run.splits
    networks = {"random weights": run.fresh, "pretrained on rotations": models["extractor"]}
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
        title=f"{_data_name(run)}: {len(images):,} test images",
        seed=run.settings.seed,
    )


def draw_pictures(output, run):
    """Write the pictures of a run; each title says what data it shows."""
    splits, arms, data = run.splits, run.arms, _data_name(run)
    few = f"{len(splits.labelled.labels):,} labels"
    with picture(output / "rotations.png", f"The pretext task: how was it turned?\n{data}"):
        plot_rotations(splits.unlabelled[:4])
    if run.points is not None:
        with picture(output / "umap.png", f"UMAP of rotation features, test images\n{data}"):
            plot_map(run.points, splits.test.labels[: len(run.points)], splits.class_names)
    with picture(output / "accuracies.png", f"Classifiers from {few}\n{data}"):
        plot_accuracies(_accuracies(run))
    with picture(output / "confusion.png", f"Fine-tuned on {few}, test images\n{data}"):
        plot_confusion(confusion_matrix(run.models["classifier"], *splits.test), splits.class_names)
    with picture(output / "training.png", f"Training curves\n{data}"):
        _, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
        plot_history({"rotation task": run.rotation_history}, ax=left)
        left.set_title("pretraining without labels")
        long = {arm.title: arms[arm.name, "long"]["history"] for arm in arms_of(arms)}
        plot_history({name.replace("\n", " "): history for name, history in long.items()}, ax=right)
        right.set_title(f"{few}, long training")
    draw_model(run.models["rotation_model"], output / "model.png", title=f"Rotation model\n{data}")


def _data_name(run):
    data = "STAND-IN: drawn garments, no real data"
    data = data if run.splits.stand_in else printable(run.splits.name)
    return data + (", quick run" if run.settings.quick else "")


def _accuracies(run):
    """Bars for each budget, and for the blog's where the arms and the data are like its own."""
    arms, series, settings = arms_of(run.arms), {}, run.settings
    beside_blog = is_blogs_data(settings.asked["dataset"], settings.in_memory, run.splits.name)
    if beside_blog and tuple(arm.name for arm in arms) == BLOG_ARMS:
        series["blog, Fashion-MNIST"] = {arm.title: BLOG[arm.name] for arm in arms}
    for budget in BUDGETS:
        accuracies = {arm.title: run.arms[arm.name, budget]["test_accuracy"] for arm in arms}
        series[f"this run, {budget} training"] = accuracies
    return series
