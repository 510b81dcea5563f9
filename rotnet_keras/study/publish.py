"""Make an extractor that comes with the package: pretrain, measure, write file, facts and card.

python -m rotnet_keras.study.publish conv_blocks_fashion_mnist --output extractors
"""

from __future__ import annotations

import argparse
import functools
import json
import pathlib
import shutil
import sys
from typing import Any, NamedTuple

import keras
import numpy as np
from tqdm.auto import tqdm

from rotnet_keras._base.errors import DatasetError, InputError
from rotnet_keras._base.files import make_folder, replace_text, replace_with
from rotnet_keras._base.model_files import NEWER, write_model
from rotnet_keras._base.templates import render
from rotnet_keras._base.values import installed_versions
from rotnet_keras.data.augmentation import gentle_augmentation
from rotnet_keras.data.load import load_splits
from rotnet_keras.data.splits import split_indices
from rotnet_keras.evaluation import accuracy, ci95, rotation_accuracy
from rotnet_keras.heads import remove_head
from rotnet_keras.models import NETWORKS
from rotnet_keras.study.arms import ARMS, Arm
from rotnet_keras.symmetry import rotation_confusion, rotation_report
from rotnet_keras.training import pretrain
from rotnet_keras.zoo.pretrained import EXTRACTORS, sha256

SEED = 0
DATASET, OTHER_DATASET = "fashion_mnist", "mnist"  # learnt from, and only tried
# Of all pixels of the published test images: a card must not speak of data under a wrong name.
PIXEL_SUMS = {"fashion_mnist": 573_469_082, "mnist": 264_923_200}
BUDGETS, OTHER_BUDGETS = (10, 100, 1000), (100,)
DRAWS = 5
# All but ten of the training images that are not for validation may be drawn with their labels.
PARTS = {"num_labels": 49_990, "num_validation": 10_000}
PACKAGES = ("rotnet-keras", "keras", "tensorflow", "numpy", "scikit-learn")


class Recipe(NamedTuple):
    """How an extractor is made and measured: network, pretraining, and arms as in the study."""

    network: str
    pretraining: dict[str, Any]
    augmented: bool
    arms: dict[str, Arm]


def arms_of(blocks):
    """The study's arms and settings, the linear probe on blocks that the network has."""
    probe = ARMS["blocks 2 + 3 probe"]
    probe = probe._replace(settings=probe.settings | {"blocks": blocks})
    return {"linear probe": probe} | {name: ARMS[name] for name in ("fine-tuned", "from scratch")}


RECIPES = {
    # That of `run_pretraining`.
    "two_conv_fashion_mnist": Recipe(
        "two_conv",
        {"epochs": 10, "batch_size": 64, "all_rotations": True, "precision": "float32"},
        augmented=False,
        arms=arms_of((1, 2)),
    ),
    # That of the label-budget study with 40 epochs.
    "conv_blocks_fashion_mnist": Recipe(
        "conv_blocks",
        {"epochs": 40, "batch_size": 128, "all_rotations": False, "precision": "mixed_bfloat16"},
        augmented=True,
        arms=arms_of((2, 3)),
    ),
}
LEARNING_RATE = 3e-3  # of both


def publish(name, recipe, splits, other, *, output, budgets=BUDGETS, other_budgets=OTHER_BUDGETS):
    """Make the files of an extractor in a folder; the same call goes on from what is unfinished.

    Args:
        name: of the files.
        recipe: `Recipe`.
        splits: `Splits` whose labelled and unlabelled images are pretrained on, all without labels;
            some of the labelled ones are then drawn with their labels.
        other: `Splits` of other images of the same shape, which only arms and questions see.
        output: folder for `NAME.keras`, `NAME.json` and `NAME.md`.
        budgets: numbers of labels that are drawn of `splits`.
        other_budgets: numbers of labels that are drawn of `other`.

    Returns:
        The facts that `NAME.json` holds.

    Raises:
        InputError: what lies unfinished in the folder is of another run.
        FileError: the folder cannot be written.
    """
    output = pathlib.Path(output)
    unfinished = make_folder(output / f"unfinished_{name}")
    model = _pretrained(recipe, splits, unfinished / "pretraining.weights.h5")
    measure = functools.partial(_measured, remove_head(model), recipe)
    facts = {"name": name} | _describe(recipe, model, splits)
    facts["few_labels"] = measure(splits, budgets, unfinished / "few_labels.json")
    few_other = measure(other, other_budgets, unfinished / "other_few_labels.json")
    told = round(rotation_accuracy(model, other.test.images), 5)
    facts["other"] = {"dataset": other.name, "rotation_accuracy": told, "few_labels": few_other}
    write_files(facts, model, output / f"{name}.keras")
    shutil.rmtree(unfinished)
    return facts


def write_files(facts, model, path):
    """Write a rotation model, its facts with the file's size and sum, and the card of the facts."""
    bare = keras.Model(model.inputs[0], model.outputs[0], name=model.name)  # without optimiser
    with replace_with(path) as beside:
        for name, value in write_model(bare, beside).items():
            raise InputError(f"{name} must be {NEWER[name]} in a file for all, got {value}")
    facts |= {"bytes": path.stat().st_size, "sha256": sha256(path)}
    replace_text(path.with_suffix(".json"), json.dumps(facts, indent=1) + "\n")
    replace_text(path.with_suffix(".md"), render_card(facts))


def render_card(facts):
    """The model card, Markdown, of an extractor's facts; every figure in it comes from them."""
    filters = {"percent": _percent, "count": "{:,}".format}
    return render("study", "extractor_card.md", filters=filters, **facts) + "\n"


def _percent(accuracies):
    """Mean and 95% interval of several accuracies, or one accuracy, in percent."""
    if isinstance(accuracies, float):
        return f"{100 * accuracies:.2f}"
    values = 100 * np.array(accuracies)
    return f"{values.mean():.1f} ± {ci95(values):.1f}"


def load_published(dataset, data_dir=None):
    """The `Splits` of a data set by name, or `DatasetError` where its images are others."""
    splits = load_splits(dataset, seed=SEED, data_dir=data_dir, **PARTS)
    found = int(splits.test.images.sum(dtype="int64"))
    if found != PIXEL_SUMS[dataset]:
        raise DatasetError(
            f"the test images of {dataset} must have pixels that sum to {PIXEL_SUMS[dataset]:,}, "
            f"got {found:,}: what lies in data_dir under that name is something else"
        )
    return splits


def _pretrained(recipe, splits, checkpoint):
    """The rotation model, which has seen all images but those of validation and test."""
    model, _ = pretrain(
        NETWORKS[recipe.network](splits.image_shape, SEED),
        _seen(splits),
        learning_rate=LEARNING_RATE,
        augment=gentle_augmentation(seed=SEED) if recipe.augmented else None,
        checkpoint=checkpoint,
        seed=SEED,
        verbose=2,
        **recipe.pretraining,
    )
    return model


def _seen(splits):
    return np.concatenate([splits.labelled.images, splits.unlabelled])


def _measured(extractor, recipe, splits, budgets, path):
    """Test accuracies of every arm under every budget; what the file has already is not redone."""
    rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    done = [(row["arm"], row["num_labels"], len(row["accuracies"])) for row in rows]
    todo = [(arm, n) for n in budgets for arm in recipe.arms if (arm, n, DRAWS) not in done]
    for arm, num_labels in (bar := tqdm(todo, desc=splits.name)):
        bar.set_postfix_str(f"{arm}, {num_labels} labels")
        accuracies = [
            _tested(extractor, recipe, arm, splits, num_labels, seed) for seed in range(DRAWS)
        ]
        rows.append({"arm": arm, "num_labels": num_labels, "accuracies": accuracies})
        replace_text(path, json.dumps(rows))
    return rows


def _tested(extractor, recipe, arm, splits, num_labels, seed):
    """The test accuracy of one arm with one draw of labels."""
    images, labels = splits.labelled
    counts = {"num_labels": num_labels, "num_validation": splits.num_classes}
    _, drawn, _ = split_indices(labels, **counts, seed=seed)
    classifier = recipe.arms[arm].fit(
        extractor,
        images[drawn],
        labels[drawn],
        unlabelled=_seen(splits),
        num_classes=splits.num_classes,
        seed=seed,
        precision=recipe.pretraining["precision"],
        **recipe.arms[arm].settings_for(splits.image_shape),
    )
    return round(accuracy(classifier, *splits.test), 5)


def _describe(recipe, model, splits):
    """What an extractor was made of and how, and how well it tells rotations."""
    extractor, num_images = remove_head(model), len(_seen(splits))
    counts = rotation_confusion(model, *splits.test, num_classes=splits.num_classes)
    errors = rotation_report(counts, splits.class_names)["half_turn_error"].round(5)
    told = {part: getattr(splits, part).images for part in ("validation", "test")}
    steps = -(-num_images // recipe.pretraining["batch_size"])
    return {
        "network": recipe.network,
        "image_shape": list(splits.image_shape),
        "feature_dim": extractor.output_shape[-1],
        "parameters": extractor.count_params(),
        "dataset": splits.name,
        "num_images": num_images,
        "num_validation": len(splits.validation.labels),
        "num_test": len(splits.test.labels),
        "pretraining": recipe.pretraining
        | {"learning_rate": LEARNING_RATE, "augmented": recipe.augmented, "seed": SEED}
        | {"updates": recipe.pretraining["epochs"] * steps},
        "arms": {name: arm.settings_for(splits.image_shape) for name, arm in recipe.arms.items()},
        "rotation_accuracy": {
            part: round(rotation_accuracy(model, images), 5) for part, images in told.items()
        },
        "half_turn_errors": errors.sort_values(ascending=False).to_dict(),
        "versions": installed_versions(PACKAGES),
        "backend": keras.config.backend(),
    }


def main(arguments=None):
    """Make the extractor that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m rotnet_keras.study.publish",
        description="Pretrain an extractor that comes with the package, measure it, and write its "
        "file, facts and card. The same command goes on from what is unfinished.",
    )
    parser.add_argument("name", choices=EXTRACTORS)
    parser.add_argument("--output", default="extractors", metavar="DIR", help="default: extractors")
    parser.add_argument("--data-dir", metavar="DIR", help="where TFDS has, or shall put, the data")
    options = parser.parse_args(arguments)
    try:
        data = [load_published(dataset, options.data_dir) for dataset in (DATASET, OTHER_DATASET)]
        publish(options.name, RECIPES[options.name], *data, output=options.output)
    except InputError as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()
