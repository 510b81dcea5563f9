"""The dear part of the verdict: the recipe after pretraining against the recipe without it."""

from __future__ import annotations

from rotnet_keras._base.files import make_folder
from rotnet_keras._base.model_files import load_model, save_model
from rotnet_keras.data.splits import Examples
from rotnet_keras.evaluation import accuracy, predict_classes
from rotnet_keras.few_labels.verdict import (
    Gain,
    compare_answers,
    compare_splits,
    repeated_splits,
)
from rotnet_keras.jobs.choice import fit_to


def compare_recipes(pretrained, fresh, splits, known, *, recipe, pairs, kept, **how) -> Gain | None:
    """What pretraining is worth to the recipe, by as many pairs as there is time for.

    One pair is of the run's own draw, measured on its test images; several are of other draws of
    the labelled images, each measured on the fifth that it leaves out.

    Args:
        pretrained: extractor.
        fresh: the same with random weights.
        splits: `Splits`.
        known: `Examples` with all labels.
        recipe: the classifier of the run.
        pairs: how many.
        kept: folder for classifiers, which a run that goes on takes over.
        **how: as of `fit_recipe`.
    """
    if not pairs:
        return None
    make_folder(kept)
    starts = {"with": pretrained, "without": fresh}
    if pairs == 1:
        other = _kept(kept / "without.keras", fresh, splits, splits.labelled, how)
        images, labels = splits.test
        right = [predict_classes(model, images) == labels for model in (recipe, other)]
        return compare_answers(*right, num_labels=len(splits.labelled.labels))
    found: dict[str, list[float]] = {name: [] for name in starts}
    for number, (train, test) in enumerate(repeated_splits(known.labels, pairs, how["seed"])):
        learnt, asked = (Examples(*(part[rows] for part in known)) for rows in (train, test))
        for name, start in starts.items():
            model = _kept(kept / f"{name}_{number}.keras", start, splits, learnt, how)
            found[name].append(accuracy(model, *asked))
    counts = {"num_labels": len(known.labels), "num_held_out": len(test)}
    return compare_splits(found["with"], found["without"], **counts)


def _kept(path, extractor, splits, examples, how):
    if not path.exists():
        save_model(fit_to(extractor, splits, examples, **how), path)
    return load_model(path)
