"""How long the main job trains: for these images, on this machine, in so many minutes."""

import keras
import numpy as np
import pytest

from rotnet_keras.jobs import plan as jobs_plan
from rotnet_keras.jobs.plan import (
    BLOG_PLAN,
    FIXED,
    QUICK,
    Plan,
    Schedule,
    fitting,
    make_plan,
    seconds_of,
)


def test_few_images_are_shown_more_often():
    counts = (10, 300, 4_000, 30_000, 10**6)
    lengths = {count: make_plan((count, 28, 28, 1)).pretrain_epochs for count in counts}
    assert lengths == {10: 200, 300: 200, 4_000: 75, 30_000: 10, 10**6: 10}
    assert make_plan((300, 28, 28, 1), blog=True) == BLOG_PLAN
    assert make_plan((300, 28, 28, 1), quick=True) == QUICK


def test_photographs_get_the_updates_of_the_recipe():
    assert make_plan((30_000, 32, 32, 3)) == Plan(10, 300, 3000)
    assert make_plan((30_000, 32, 32, 1)) == Plan(10, 300, 1000)


@pytest.mark.parametrize(
    ("available", "wanted"),
    [
        (100, Plan(20, 300, 1500)),
        (189, Plan(20, 300, 1500)),
        (190, Plan(20, 300, 1500, pairs=1)),
        (430, Plan(20, 300, 1500, pairs=1)),
        (540, Plan(20, 300, 1500, pairs=2)),
        (99, Plan(20, 300, 1470)),
        (77, Plan(20, 300, 1000)),
        (50, Plan(13, 55, 650)),
        (0.1, Plan(1, 10, 50)),
    ],
)
def test_further_updates_go_first_then_every_part_or_recipes_are_compared(available, wanted):
    seconds = {"pretraining": 30.0, "recipe": 70.0}
    assert fitting(Plan(20, 300, 1500), seconds, available) == wanted


def test_seconds_of_each_stage_by_hand():
    """A thousandth of a second for the answers to an image."""
    seconds = seconds_of(Plan(5, 300, 100), 1e-3, 1000, 40, again=True)
    assert seconds == pytest.approx(
        {"pretraining": 16.0, "classifiers": 33.792, "recipe": 100.0, "all labels": 100.0}
        | {"verdict": 0.0}
    )
    for pairs, count in ((1, 1), (3, 6)):
        compared = seconds_of(Plan(5, 300, 100, pairs), 1e-3, 1000, 40, again=True)
        assert compared["verdict"] == pytest.approx(120 * count)
    assert seconds_of(Plan(5, 47, 100), 1e-3, 1000, 40, again=False) == pytest.approx(
        seconds | {"classifiers": 19.2, "all labels": 0.0}
    )


def test_what_is_left_is_shortened_where_stages_were_slow():
    """Each stage twice as slow: what is done stays, and the others have half of their time."""
    stages = ("pretraining", "classifiers", "recipe", "all labels", "files")
    fixed = {name: FIXED[name] for name in stages}
    schedule = Schedule(Plan(5, 47, 100), fixed, (1e-3, 1000, 40))
    trained = {"pretraining": 16.0, "classifiers": 19.2, "recipe": 100.0, "all labels": 100.0}
    assert schedule.seconds == pytest.approx(fixed | {n: fixed[n] + s for n, s in trained.items()})
    rest = sum(schedule.seconds[name] for name in stages[1:])
    schedule.fit(2 * rest, slowness=2, done=("pretraining",))
    assert schedule.plan == Plan(5, 47, 100)
    half = 2 * sum(fixed[name] for name in stages[1:]) + sum(trained[name] for name in stages[1:4])
    schedule.fit(half, slowness=2, done=("pretraining",))
    assert schedule.plan == Plan(5, 23, 50)
    schedule.fit(0, done=("pretraining", "classifiers"))  # at least 30 seconds for the other two
    assert schedule.plan == Plan(5, 23, 50)


def test_recipes_are_not_compared_where_images_are_too_small():
    schedule = Schedule(Plan(5, 47, 100), {"pretraining": 5.0, "files": 12.0}, (1e-3, 1000, 40))
    schedule.fit(10_000)
    assert schedule.plan == Plan(5, 47, 100)


def test_a_network_is_timed(monkeypatch):
    """The fastest of four times: 5, 4, 2 and 3 seconds for eight images."""
    clock = iter([0, 5, 5, 9, 9, 11, 11, 14])
    monkeypatch.setattr(jobs_plan.time, "perf_counter", lambda: next(clock))
    pixels = keras.Input((4, 4, 1))
    network = keras.Model(pixels, keras.layers.Flatten()(pixels))
    assert jobs_plan.seconds_an_image(network, np.zeros((8, 4, 4, 1), "uint8")) == 2 / 8


def test_the_verdicts_pairs_take_nothing_from_the_rest():
    """Planned anew after each stage, they are what is left, and never why others are shortened."""
    fixed = {name: FIXED[name] for name in ("pretraining", "classifiers", "recipe", "verdict")}
    schedule = Schedule(Plan(5, 47, 100), fixed, (1e-3, 1000, 40))
    alone = sum(schedule.seconds.values())
    available = alone + 4.5 * (100 + FIXED["recipe"])
    for _ in range(2):
        schedule.fit(available)
        assert schedule.plan == Plan(5, 47, 100, pairs=2)
    schedule.fit(available, slowness=1.5)
    assert schedule.plan == Plan(5, 47, 100, pairs=1)


def test_what_was_faster_than_foreseen_leaves_time_to_what_comes_after():
    fixed = {name: FIXED[name] for name in ("pretraining", "classifiers", "recipe")}
    schedule = Schedule(Plan(5, 47, 2000), fixed, (1e-3, 1000, 40))
    trained = {"pretraining": 16.0, "classifiers": 19.2, "recipe": 2000.0}
    whole = sum(schedule.seconds.values())
    assert whole == pytest.approx(sum(fixed.values()) + sum(trained.values()))
    schedule.fit(whole - 499.9)
    assert schedule.plan == Plan(5, 47, 1500)
    spent = trained["pretraining"] + fixed["pretraining"]
    schedule.fit(whole - spent - 199.9, done=("pretraining",))
    assert schedule.plan == Plan(5, 47, 1800)
