"""Time and progress of the whole, from planned seconds and how fast the stages were."""

import threading
import time

import pytest
from slow_fits import IMAGES, Clock, StopAfter, follow

import rotnet_keras as rk
from rotnet_keras.running import lines, progress
from rotnet_keras.running.progress import Whole

PLANNED = {"pretraining": 100, "recipe": 300, "files": 20}


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make(clock):
    """A `Whole` with the clock."""

    def make(planned=None, **how):
        return Whole(PLANNED if planned is None else planned, clock=clock, **how)

    return make


def pass_stage(whole, name, seconds, **how):
    with whole.stage(name, **how):
        whole.clock.now += seconds


def test_a_line_at_the_start_of_each_stage(make, capsys):
    whole = make()
    pass_stage(whole, "pretraining", 150)  # half as long again as planned
    pass_stage(whole, "recipe", 450)
    pass_stage(whole, "files", 30)
    assert capsys.readouterr().out.splitlines() == [
        "== pretraining (1 of 3), about 7 min left in all",
        "== recipe (2 of 3), about 8 min left in all",
        "== files (3 of 3), about 30 s left in all",
    ]
    assert whole.seconds == {"pretraining": 150.0, "recipe": 450.0, "files": 30.0}
    assert whole.left == 0


def test_a_plan_may_come_later_and_leave_stages_out(make, capsys):
    whole = make({})
    pass_stage(whole, "data", 7)
    whole.plan(PLANNED | {"verdict": 0.0})
    pass_stage(whole, "pretraining", 100)
    pass_stage(whole, "verdict", 5)
    assert capsys.readouterr().out.splitlines() == [
        "== data",
        "== pretraining (1 of 3), about 7 min left in all",
        "== verdict",
    ]
    assert whole.seconds == {"data": 7.0, "pretraining": 100.0, "verdict": 5.0}
    assert whole.left == 320


def test_a_stage_that_was_passed_over_is_not_waited_for(make, capsys):
    whole = make()
    pass_stage(whole, "recipe", 300)
    assert whole.left == 20
    assert capsys.readouterr().out == "== recipe (2 of 3), about 5 min left in all\n"


def test_what_is_left_follows_how_fast_the_stages_were(make):
    whole = make()
    assert whole.left == 420
    pass_stage(whole, "pretraining", 50)
    assert whole.left == 160  # all twice as fast as planned
    pass_stage(whole, "recipe", 750)
    assert whole.left == 20 * 800 / 400


def test_within_a_stage_the_plan_counts_down(make, clock):
    whole = make()
    with whole.stage("pretraining"):
        clock.now += 40
        assert whole.left == 60 + 320
        clock.now += 160  # twice as long: what is left is a guess, and never nothing
        assert whole.left == 200 / 10 + 320


def test_within_a_stage_its_own_speed_counts(make, clock):
    whole = make()
    with whole.stage("pretraining"):
        clock.now += 30  # to compile
        whole.reach(0.1)
        clock.now += 80
        whole.reach(0.5)
        each = (80 + 0.05 * 100) / (0.4 + 0.05)
        assert whole.left == pytest.approx(0.5 * each + 320 * 80 / 40)
        clock.now += 10  # nothing is told of these yet
        whole.reach(0.3)  # told late by another thread
        assert whole.left == pytest.approx(0.5 * each - 10 + 320 * 80 / 40)


def test_long_steps_are_counted_down(make, clock):
    whole = make()
    pass_stage(whole, "pretraining", 100)
    with whole.stage("recipe"):
        whole.reach(0)
        clock.now += 200
        assert whole.left == 100 + 20
        whole.reach(0.5)
        each = (200 + 0.05 * 300) / 0.55
        assert whole.left == pytest.approx(0.5 * each + 20 * 300 / 250)


def test_a_stage_that_was_finished_before_says_nothing_of_the_speed(make):
    whole = make()
    pass_stage(whole, "pretraining", 4.9)
    assert whole.left == 320
    assert whole.seconds == {"pretraining": 4.9}


def test_a_stage_that_was_done_in_part(make, clock):
    whole = make()
    with whole.stage("pretraining", done=0.75):
        assert whole.left == 25 + 320
        clock.now += 50  # of which the plan has 25
    assert whole.left == 640


def test_seconds_of_a_stage_in_two_parts_are_added(make):
    whole = make()
    pass_stage(whole, "files", 1.26)
    pass_stage(whole, "files", 2)
    assert whole.seconds == {"files": 3.3}


def test_lines_a_minute(make, clock, capsys):
    whole = make()
    with whole.stage("pretraining"):
        capsys.readouterr()
        clock.now += 59
        whole.show()
        assert capsys.readouterr().out == ""
        clock.now += 1
        whole.show()
        assert capsys.readouterr().out == "pretraining, about 6 min left in all\n"
        whole.reach(0.2, "epoch 2 of 10, loss 0.61")
        whole.show()
        assert capsys.readouterr().out == ""
        clock.now += 60
        whole.show()
        (line,) = capsys.readouterr().out.splitlines()
        assert line.startswith("pretraining, epoch 2 of 10, loss 0.61, about ")


def test_silent_ones_measure_all_the_same(make, clock, capfd):
    whole, before = make(verbose=0), threading.active_count()
    with whole.stage("pretraining"):
        clock.now += 200
        assert threading.active_count() == before
    assert (whole.seconds, whole.left) == ({"pretraining": 200.0}, 640)
    assert capfd.readouterr() == ("", "")


def test_the_time_left_is_shown_while_nothing_tells_of_it(make, clock, monkeypatch, capsys):
    monkeypatch.setattr(progress, "REDRAWN", 0.01)
    whole = make()
    with whole.stage("recipe"):
        clock.now += 60
        said, end = "", time.monotonic() + 30
        while "\nrecipe, about 4 min left in all\n" not in said and time.monotonic() < end:
            time.sleep(0.01)
            said += capsys.readouterr().out
    assert said == "== recipe (2 of 3), about 5 min left in all\nrecipe, about 4 min left in all\n"


def test_a_bar_for_the_whole(make, clock, monkeypatch, capsys):
    monkeypatch.setattr(lines, "_in_terminal", lambda: True)
    whole = make()
    pass_stage(whole, "pretraining", 100)
    with whole.stage("recipe"):
        clock.now += 110
        whole.show()
    shown = capsys.readouterr()
    assert " 50%|██████████          | recipe, about 4 min left in all" in shown.out
    assert "== recipe (2 of 3), about 5 min left in all\n" in shown.out
    assert shown.err == ""


def test_no_thread_is_left_behind(make, clock):
    before = threading.active_count()
    whole = make()
    with whole.stage("pretraining"):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    with pytest.raises(KeyError), whole.stage("recipe"):
        PLANNED["fault"]
    assert threading.active_count() == before


def test_a_fit_tells_how_far_it_is(make, clock):
    whole = make()
    with whole.stage("pretraining"):
        follow(whole.callback("pretraining"), clock, epochs=4, steps=5, seconds=10)
        assert whole.running.share == 1
        assert whole.running.note == "epoch 4 of 4, loss 0.25, accuracy 0.25"
        assert whole.left == 320 * 190 / 95  # twice as slow as planned
    with whole.stage("recipe"):
        follow(whole.callback("recipe", 40), clock, epochs=1, steps=10, seconds=1)
        assert whole.running.share == 0.25
        follow(whole.callback("another"), clock, epochs=1, steps=10, seconds=1)
        assert whole.running.share == 0.25


def test_a_fit_goes_on(make, clock, capsys):
    whole = make()
    with whole.stage("pretraining"):
        follow(whole.callback("pretraining"), clock, epochs=4, steps=5, seconds=5, first=3)
    assert "pretraining: going on after epoch 3 of an earlier run" in capsys.readouterr().out
    assert whole.left == 320  # 25 seconds, as planned for the fourth epoch


def test_a_fit_that_was_finished_is_taken_over(make, clock, capsys):
    whole = make()
    with whole.stage("pretraining"):
        clock.now += 30  # to read it
        follow(whole.callback("pretraining"), clock, epochs=4, steps=5, seconds=5, first=4)
    said = capsys.readouterr().out.splitlines()
    assert said[1] == "pretraining: taken over from an earlier run, which had finished it"
    assert whole.left == 320  # nothing is known of the speed
    with whole.stage("recipe"):
        whole.reach(0)
        clock.now += 1
        whole.reach(0.5)  # of which much was there
        assert whole.left == pytest.approx(0.5 * 16 / 0.55 + 20)


@pytest.mark.backend
def test_pretraining_as_a_stage(extractor, tmp_path, capsys, eagerly):
    whole = Whole({"pretraining": 1.0})
    how = {"epochs": 2, "checkpoint": tmp_path / "a.weights.h5", "verbose": 0}
    for callbacks in [[StopAfter(1)], []]:
        try:
            with whole.stage("pretraining"):
                mine = whole.callback("pretraining")
                rk.pretrain(extractor, IMAGES, **how, callbacks=[mine, *callbacks])
                assert whole.running.share == 1
        except KeyboardInterrupt:
            assert whole.running.share == 0.5
    headline, *rest = capsys.readouterr().out.splitlines()
    assert headline == "== pretraining (1 of 1), about 5 s left in all"
    assert "pretraining: going on after epoch 1 of an earlier run" in rest
