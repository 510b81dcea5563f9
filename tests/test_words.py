"""What a run says of itself in sentences."""

import pytest

from rotnet_keras.jobs import words
from rotnet_keras.jobs.results import check_results


def run_with(results, **changes):
    return check_results(results | changes)


def test_the_figures_that_count_in_one_sentence(results):
    said = words.figures_of(run_with(results))
    assert said == (
        "Accuracy on 10,000 test images, from 1,000 labels: from scratch 82.8%, fine-tuned 83.2%, "
        "self-trained 85.7%."
    )
    without = words.figures_of(run_with(results, recipe={}, num_test=None))
    assert without.endswith("from 1,000 labels: from scratch 82.8%, fine-tuned 83.2%.")


def test_what_may_be_chance_by_hand(results):
    """Half of fifty images each: the variance of a difference is 2 · 0.25 / 50."""
    arms = {arm: {"short": 0.5, "long": 0.5} for arm in results["arms"]}
    run = run_with(results, arms=arms, num_test=50)
    assert words.chance_between(run, "long") == pytest.approx(19.6)
    assert words.chance_of(run) == (
        "One test image is worth 2.0 points: between two arms, up to 20 points may be chance."
    )
    assert words.chance_of(run_with(results)) == ""
    assert words.chance_between(run_with(results, num_test=None), "short") == 0


def test_which_one_to_use(results):
    said = words.choice_of(run_with(results))
    assert said == (
        "Use classifier.keras, which is self-trained (fit_few_labels): it was best on the 10,000 "
        "validation images, or as good within chance, and right for 85.7% of the test images."
    )
    chosen = results["chosen"] | {"again": True, "num_labels": 1234}
    said = words.choice_of(run_with(results, chosen=chosen))
    assert said.endswith("then it was fitted again to all 1,234 labelled images, which should make "
                         "it a little better than that.")  # fmt: skip
    assert words.choice_of(run_with(results, chosen={})) == ""


def test_what_to_do_next(results):
    steps = words.next_of(run_with(results), "my results/")
    assert steps[0] == (
        "Classify new pictures:",
        "predict --model 'my results/classifier.keras' NEW_PICTURES",
    )
    assert [command.split()[0] for _, command in steps] == ["predict", "select"]
    *_, (why, command) = words.next_of(run_with(results, num_unlabelled=320), "results/")
    assert why == (
        "Only 320 images were there to pretrain on: more of them, without labels, may help most."
    )
    assert command == ""
