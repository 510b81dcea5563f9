"""The pretext tasks that the study compares, and the network of each that its arms start from."""

from __future__ import annotations

import json
import re
import time

from rotnet_keras._base.digests import digest
from rotnet_keras._base.errors import InputError
from rotnet_keras._base.files import replace_text
from rotnet_keras._base.model_files import load_model, save_model
from rotnet_keras.evaluation import rotation_accuracy
from rotnet_keras.heads import remove_head
from rotnet_keras.models import NETWORKS
from rotnet_keras.running.lines import GoingOn
from rotnet_keras.study.contrast import pretrain_contrast
from rotnet_keras.study.rows import DATA, SAME
from rotnet_keras.training import pretrain_for_transfer


def pretrained(splits, run, task, folder, verbose):
    """The extractor of a seed and what is known of it, from the folder if it is there."""
    parts = ["dataset", *SAME, DATA, "network", "pretrain_epochs", "rotations", "seed"]
    texts = [digest(run[DATA])[:8] if part == DATA else str(run[part]) for part in parts]
    if task[0] != "rotation":  # that of rotation is there already under the name without
        texts.append(task[0])
    # No hidden file, nor one elsewhere; the data's digest tells names apart that become one.
    name = "_".join(re.sub(r"[^\w.]+", "-", text) for text in texts).lstrip(".-")
    path, facts = folder / f"{name}.keras", folder / f"{name}.json"
    checkpoint = folder / f"{name}.weights.h5"
    if not facts.exists():
        model, known = _pretrain(splits, run, task, checkpoint, verbose)
        save_model(remove_head(model), path)
        # Written last: the network that it describes is complete.
        replace_text(facts, json.dumps(known) + "\n")
    checkpoint.unlink(missing_ok=True)
    try:
        return load_model(path), json.loads(facts.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} or {facts.name} cannot be read ({error}): delete both to pretrain again"
        ) from error


def pretrain_on(pretext, extractor, images, **how):
    """The pretrained model, its head on, and its history, by the task's name."""
    if pretext == "rotation":
        return pretrain_for_transfer(extractor, images, **how)
    weight = 0.0 if pretext == "contrast" else 1.0
    return pretrain_contrast(extractor, images, rotation_weight=weight, **how)


def _pretrain(splits, run, task, checkpoint, verbose):
    """The pretrained model, its head on, and its part of the rows."""
    (pretext, rotations), images = task, splits.training_images
    start, whole = time.perf_counter(), not checkpoint.exists()
    fresh = NETWORKS[run["network"]](splits.image_shape, run["seed"])
    how = {"epochs": run["pretrain_epochs"], "precision": run["precision"], "verbose": 0}
    how |= {"checkpoint": checkpoint, "seed": run["seed"]}
    if verbose:
        how["callbacks"] = [GoingOn(f"pretraining of seed {run['seed']}")]
    if pretext == "rotation":
        how["rotations"] = rotations
    model, _ = pretrain_on(pretext, fresh, images, **how)
    # Unknown where an earlier call did a part of it.
    known = {"pretrain_seconds": round(time.perf_counter() - start, 1) if whole else None}
    known["rotation_accuracy"] = None
    if pretext != "contrast":
        told = rotation_accuracy(model, splits.test.images, rotations=rotations)
        known["rotation_accuracy"] = round(told, 5)
    return model, known | {"num_unlabelled": len(images)}
