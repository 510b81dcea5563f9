"""What pretraining is worth: by hand where it can be, by scikit-learn's own steps where not."""

import json

import keras
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from small_networks import chain

import rotnet_keras as rk
from rotnet_keras import InputError, measure_gain
from rotnet_keras.few_labels import verdict
from rotnet_keras.few_labels.verdict import Gain, compare_answers, compare_splits

pytestmark = pytest.mark.backend

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 12, 12, 1), "uint8")
LABELS = np.arange(40) % 2


def telling(labels):
    """Images whose only hint is in one faint pixel, and a network that looks at nothing else."""
    images = IMAGES[: len(labels)].copy()
    images[:, 0, 0, 0] = np.where(np.asarray(labels) % 2, 130, 126)
    network = chain((12, 12, 1), keras.layers.Flatten(), keras.layers.Dense(1))
    network.set_weights([np.eye(144, 1), np.zeros(1)])
    return images, network


def a_gain(gain=8.9, ci95=2.1, **changed):
    arms = pd.DataFrame({"arm": ["pretrained", "raw pixels", "a random network"]})
    facts = {"gain": gain, "ci95": ci95, "with_pretext": 50 + gain, "without": 50.0}
    facts |= {"baseline": "a random network"}
    arms = arms.assign(num_labels=10, mean=50.0, ci95=2.0)
    return Gain(**facts | {"arms": arms} | changed)


def test_a_network_that_knows_is_a_clear_gain():
    images, knows = telling(LABELS)
    gain = measure_gain(knows, images, LABELS, repeats=10)
    assert gain.word == "a clear gain"
    assert gain.with_pretext == 100
    assert gain.baseline in ("raw pixels", "a random network")
    assert (gain.num_labels, gain.num_held_out, gain.repeats) == (40, 8, 10)
    assert gain.gain == pytest.approx(100 - gain.without)
    assert sorted(gain.arms["num_labels"].unique()) == [8, 16, 32]
    assert len(gain.arms) == 9
    assert gain.twice == {"num_labels": 80, "mean": 100, "low": 100 - 100 / 40, "high": 100}


def test_a_network_that_is_blind_is_harmful_where_pixels_tell():
    images = IMAGES.copy()
    images[LABELS == 1, :6] //= 8
    blind = chain((12, 12, 1), keras.layers.Rescaling(0), keras.layers.Flatten())
    gain = measure_gain(blind, images, LABELS, repeats=10)
    assert (gain.word, gain.baseline) == ("harmful", "raw pixels")
    assert (gain.with_pretext, gain.without, gain.gain) == (50, 100, -50)


def test_given_weights_are_an_arm_and_may_be_the_best_without():
    images, knows = telling(LABELS)
    gain = measure_gain(knows, images, LABELS, given=knows, repeats=5)
    assert gain.baseline == "given weights"
    assert (gain.gain, gain.word) == (0, "no clear gain")
    assert gain.ci95 == 100 / 40  # no finer than one labelled picture


def test_a_probe_in_few_axes_is_the_linear_probe():
    """Of 12 images with 160 features: the same answers as with all the features."""
    extractor = rk.conv_blocks_extractor((12, 12, 1), (4, 8, 8), seed=1)
    labels, train = LABELS[:24], np.arange(12)
    images, others = IMAGES[:24], IMAGES[12:24]
    probe = rk.linear_probe(extractor, images[train], labels[train], unlabelled=images)
    expected = 100 * rk.accuracy(probe, others, labels[12:])
    points = verdict._points(verdict._features(extractor, images))
    assert points.shape == (24, 24)
    at = (points, verdict.STRENGTH), (train, np.arange(12, 24)), labels, [12], "accuracy"
    assert verdict._scores(*at) == [pytest.approx(expected)]
    spans = rk.extract_features(rk.block_features(extractor), images).shape[1]
    assert spans > 24


def test_the_interval_by_hand():
    """Nadeau and Bengio: splits that hold out a quarter as many as they learn from."""
    without, ahead = np.array([0.5, 0.6, 0.7]), np.array([0.1, 0.2, 0.3])
    gain = compare_splits(without + ahead, without, num_labels=50, num_held_out=10)
    error = 10 * np.sqrt(1 / 3 + 10 / 40)
    assert gain.gain == pytest.approx(20)
    assert gain.ci95 == pytest.approx(stats.t.ppf(0.975, 2) * error)
    assert (gain.word, gain.repeats) == ("no clear gain", 3)
    assert gain.arms["mean"].tolist() == pytest.approx([80, 60])
    assert gain.arms["num_labels"].tolist() == [40, 40]
    assert "to the recipe (80.0% against 60.0% for the same from random weights)" in gain.in_words


def test_one_run_is_judged_by_its_answers():
    """Of 98 pictures, one got 29 right that the other got wrong, and 9 the other way round."""
    ours, theirs = np.zeros(98, bool), np.zeros(98, bool)
    ours[:29], theirs[29:38] = True, True
    ours[50:60] = theirs[50:60] = True
    gain = compare_answers(ours, theirs, num_labels=600)
    assert gain.gain == pytest.approx(100 * 20 / 98)
    assert gain.ci95 == pytest.approx(196 * np.sqrt((0.3 + 0.1 - 0.2**2) / 100), rel=1e-4)
    assert (gain.word, gain.num_held_out, gain.num_labels) == ("a clear gain", 98, 600)
    assert gain.arms["mean"].tolist() == pytest.approx([100 * 39 / 98, 100 * 19 / 98])


def test_one_run_covers_what_other_pictures_would_show():
    """The difference of two classifiers of 30 and 20% errors, on 40 pictures, 1,000 times."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(1000):
        kinds = rng.choice(4, 40, p=[0.6, 0.2, 0.1, 0.1])
        gain = compare_answers(kinds < 2, (kinds == 0) | (kinds == 2), num_labels=10)
        covered += abs(gain.gain - 10) <= gain.ci95
    assert covered >= 940


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (
            a_gain(),
            "pretraining on your pictures is worth +8.9 ± 2.1 points to a linear probe "
            "(58.9% against 50.0% for the best without it, a random network): a clear gain",
        ),
        (
            a_gain(-1.0),
            "pretraining on your pictures is worth -1.0 ± 2.1 points to a linear probe "
            "(49.0% against 50.0% for the best without it, a random network): no clear gain",
        ),
        (
            a_gain(-4.0, classifier="the recipe", measure="balanced accuracy"),
            "pretraining on your pictures costs the recipe 4.0 ± 2.1 points "
            "(46.0% balanced against 50.0% balanced for the best without it, a random network): "
            "harmful",
        ),
        (
            a_gain(2.1, arms=a_gain().arms[:2], baseline="raw pixels"),
            "pretraining on your pictures is worth +2.1 ± 2.1 points to a linear probe "
            "(52.1% against 50.0% for raw pixels): no clear gain",
        ),
    ],
)
def test_the_sentence(gain, said):
    assert gain.in_words == said


def test_a_gain_comes_back_from_json():
    gain = measure_gain(telling(LABELS)[1], IMAGES, LABELS, repeats=2)
    for one in (gain, compare_answers([True, False], [True, True], num_labels=5)):
        facts = json.loads(json.dumps(one.as_dict(), allow_nan=False))
        again = Gain.from_dict(facts)
        assert (again.in_words, facts["word"]) == (one.in_words, one.word)
        assert again.as_dict() == one.as_dict()
        pd.testing.assert_frame_equal(again.arms, one.arms)


def test_one_seed_gives_one_answer():
    extractor = rk.conv_blocks_extractor((12, 12, 1), (4, 8), seed=1)
    one, again, other = (
        measure_gain(extractor, IMAGES, LABELS, repeats=3, seed=seed).as_dict()
        for seed in (1, 1, 2)
    )
    assert one == again
    assert one["arms"] != other["arms"]


def test_uneven_classes_count_alike():
    """A probe of a blind network calls everything by the common class: half of two, not 3/4."""
    labels = (np.arange(40) % 4 == 0).astype(int)
    blind = chain((12, 12, 1), keras.layers.Rescaling(0), keras.layers.Flatten())
    gain = measure_gain(blind, IMAGES, labels, repeats=3)
    assert (gain.measure, gain.with_pretext) == ("balanced accuracy", 50)


@pytest.mark.parametrize("counts", [(2, 2), (2, 30), (3, 2, 9), (2,) * 10])
def test_rare_classes_are_learnt_from_in_every_split(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    for train, test in verdict.repeated_splits(labels, 10, 0):
        assert {*labels[train]} == {*range(len(counts))}
        assert sorted([*train, *test]) == list(range(len(labels)))
        assert len(test) >= len(counts)
    gain = measure_gain(telling(labels)[1], IMAGES[: len(labels)], labels, repeats=3)
    assert np.isfinite(gain.gain)


def test_fewer_labels_are_among_more_and_keep_the_shares():
    labels = np.repeat([0, 1, 2], [12, 6, 2])
    order = verdict._spread_out(labels)
    assert sorted(order) == list(range(20))
    for number, expected in ((3, [1, 1, 1]), (10, [6, 3, 1]), (20, [12, 6, 2])):
        assert np.bincount(labels[order[:number]]).tolist() == expected


def test_the_guess_goes_on_in_a_straight_line():
    """Ten points more for each doubling, and in the other split a line that three points give."""
    scores = np.array([[10.0, 20, 30], [13, 20, 33]])
    guess = verdict._guess([20, 40, 80], scores, num_labels=80, num_held_out=16)
    assert guess["num_labels"] == 160
    ends = np.array([40, 22 + 10 * 2])
    assert guess["mean"] == pytest.approx(ends.mean())
    half = stats.t.ppf(0.975, 1) * np.sqrt(ends.var(ddof=1) * (1 / 2 + 1 / 4))
    assert guess["high"] - guess["mean"] == pytest.approx(half)
    steep = verdict._guess([20, 40], scores[:, :2] * 4, num_labels=80, num_held_out=16)
    assert (steep["mean"], steep["high"]) == (100, 100)
    assert verdict._guess([20], scores[:, :1], num_labels=80, num_held_out=16) is None


@pytest.mark.parametrize("labels", [LABELS * 0, np.arange(40) // 39, np.arange(40)])
def test_classes_that_cannot_be_split(labels):
    with pytest.raises(InputError, match="measure_gain: labels must be of at least two classes"):
        measure_gain(telling(LABELS)[1], IMAGES, labels)


def test_given_weights_of_other_images():
    _, knows = telling(LABELS)
    with pytest.raises(InputError, match=r"given must take the images, got .* \(8, 8, 1\)"):
        measure_gain(knows, IMAGES, LABELS, given=rk.conv_blocks_extractor((8, 8, 1), (4,)))
