"""The recipe after pretraining against the recipe from random weights."""

import numpy as np
import pytest

from rotnet_keras import Examples, attach_head, conv_blocks_extractor, make_splits
from rotnet_keras.jobs import pairs
from rotnet_keras.jobs.plan import Plan

HOW = {"plan": Plan(1, 1, 1), "seed": 0, "precision": "float32"}


def marked_splits():
    """Two classes that the first pixel tells."""
    images = np.zeros((120, 8, 8, 1), "uint8")
    images[:, 0, 0, 0] = 255 * (np.arange(120) % 2)
    return make_splits(images, np.arange(120) % 2, unlabelled=images[:5])


def classifier(knows):
    """Tells the two classes apart, or says the second one to everything."""
    model = attach_head(conv_blocks_extractor((8, 8, 1), widths=(2,)), 2)
    for layer in model.layers:
        layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    if not knows:
        model.layers[-1].bias.assign([0.0, 1.0])
    return model


@pytest.fixture
def fits(monkeypatch):
    """Record what the recipe is fitted to; the one that starts from "pretrained" is right."""
    seen = []

    def fit_to(extractor, splits, examples, **how):
        seen.append((extractor, len(examples.labels), how))
        return classifier(knows=extractor == "pretrained")

    monkeypatch.setattr(pairs, "fit_to", fit_to)
    predicted = pairs.predict_classes
    monkeypatch.setattr(
        pairs, "predict_classes", lambda model, x: x[:, 0, 0, 0] // 255 if knows(model) else
        predicted(model, x)
    )  # fmt: skip
    right = {True: 1.0, False: 0.5}
    monkeypatch.setattr(pairs, "accuracy", lambda model, *_: right[knows(model)])
    return seen


def knows(model):
    return not model.layers[-1].bias.numpy().any()


def test_without_time_there_is_none(tmp_path):
    known = marked_splits().labelled
    assert pairs.compare_recipes("a", "b", None, known, recipe=None, pairs=0, kept=tmp_path) is None


def test_one_pair_is_of_the_runs_own_draw(fits, tmp_path):
    splits = marked_splits()
    settings = {"recipe": classifier(knows=True), "pairs": 1, "kept": tmp_path / "pairs", **HOW}
    for _ in range(2):  # the second time, what was fitted is taken over
        gain = pairs.compare_recipes("pretrained", "fresh", splits, splits.labelled, **settings)
    assert [(start, count) for start, count, _ in fits] == [("fresh", len(splits.labelled.labels))]
    assert (gain.with_pretext, gain.without) == (100, 50)
    assert gain.baseline == "the same from random weights"
    assert gain.num_held_out == len(splits.test.labels)


def test_several_pairs_are_of_other_draws(fits, tmp_path):
    splits = marked_splits()
    known = Examples(*(np.concatenate(x) for x in zip(splits.labelled, splits.test, strict=True)))
    settings = {"recipe": None, "pairs": 3, "kept": tmp_path, **HOW}
    gain = pairs.compare_recipes("pretrained", "fresh", splits, known, **settings)
    held_out = -(-len(known.labels) // 5)
    starts = [(start, count) for start, count, _ in fits]
    assert starts == 3 * [
        (start, len(known.labels) - held_out) for start in ("pretrained", "fresh")
    ]
    assert (gain.gain, gain.repeats, gain.num_held_out) == (50, 3, held_out)
    assert gain.word == "a clear gain"
