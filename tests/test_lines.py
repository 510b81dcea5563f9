"""Bars where somebody watches, else a line a minute, and where training goes on."""

import io
import re
import sys
import types

import numpy as np
import pytest
from slow_fits import IMAGES, Clock, StopAfter, follow

import rotnet_keras as rk
from rotnet_keras.running import lines
from rotnet_keras.running.lines import GoingOn, Lines, Steps, in_words, lines_or_bars, say

LABELS = np.arange(8) % 2


@pytest.fixture
def clock():
    return Clock()


def terminal(is_one, **more):
    out = io.StringIO()
    out.isatty = lambda: is_one
    for name, value in more.items():
        setattr(out, name, value)
    return out


@pytest.mark.parametrize(
    ("out", "auto"),
    [
        (terminal(True), "bars"),
        (terminal(False), "lines"),
        (terminal(False, parent_header={}), "bars"),  # a notebook's
        (None, "lines"),
        (types.SimpleNamespace(), "lines"),
    ],
)
def test_bars_are_for_those_who_watch(out, auto, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    monkeypatch.setattr(sys, "stdout", out)
    assert [lines_or_bars(verbose) for verbose in ("auto", 0, 1, 2)] == [
        auto, "nothing", "bars", "bars"
    ]  # fmt: skip


def test_a_closed_output_is_nobodys(monkeypatch):
    out = io.StringIO()
    out.close()
    monkeypatch.setattr(sys, "stdout", out)
    assert lines_or_bars("auto") == "lines"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "5 s"), (7, "5 s"), (8, "10 s"), (89, "90 s"), (90, "2 min"), (5399, "90 min"),
     (5400, "1.5 h"), (36_000, "10.0 h")],
)  # fmt: skip
def test_time_in_words(seconds, said):
    assert in_words(seconds) == f"about {said}"


def test_a_line_is_said_at_once_or_to_nobody(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(written)))
    say("here")
    assert written.getvalue() == b"here\n"
    monkeypatch.setattr(sys, "stdout", None)
    say("nowhere")


def test_a_line_a_minute(clock, capsys):
    follow(Lines("pretraining", clock), clock, epochs=3, steps=10, seconds=10)
    assert capsys.readouterr().out.splitlines() == [
        "pretraining: epoch 1 of 3, loss 1.00, accuracy 0.25, about 4 min left",
        "pretraining: epoch 2 of 3, loss 0.50, accuracy 0.25, about 3 min left",
        "pretraining: epoch 2 of 3, loss 0.50, accuracy 0.25, about 2 min left",
        "pretraining: epoch 3 of 3, loss 0.33, accuracy 0.25, about 60 s left",
        "pretraining: epoch 3 of 3, loss 0.33, accuracy 0.25, about 5 s left",
        "pretraining: epoch 3 of 3, loss 0.33, val accuracy 0.50, about 5 min in all",
    ]


def test_one_long_epoch_counts_updates(clock, capsys):
    follow(Lines("self-training", clock), clock, epochs=1, steps=1500, seconds=0.125)
    assert capsys.readouterr().out.splitlines() == [
        "self-training: update 480 of 1,500, loss 1.00, accuracy 0.25, about 2 min left",
        "self-training: update 960 of 1,500, loss 1.00, accuracy 0.25, about 70 s left",
        "self-training: update 1,440 of 1,500, loss 1.00, accuracy 0.25, about 10 s left",
        "self-training: update 1,500 of 1,500, loss 1.00, val accuracy 0.50, about 3 min in all",
    ]


def test_what_an_earlier_run_has_done_takes_no_time(clock, capsys):
    follow(Lines("pretraining", clock), clock, epochs=20, steps=1, seconds=30, first=16)
    first, *_ = capsys.readouterr().out.splitlines()
    assert first == "pretraining: epoch 18 of 20, loss 0.06, accuracy 0.25, about 60 s left"


def test_nothing_is_said_of_a_fit_without_an_update(clock, capsys):
    follow(Lines("pretraining", clock), clock, epochs=3, steps=1, seconds=1, first=3)
    assert capsys.readouterr().out == ""


FITS = {
    "pretraining": lambda extractor, **how: rk.pretrain(extractor, IMAGES, epochs=2, **how),
    "training": lambda extractor, **how: rk.fine_tune(extractor, IMAGES, LABELS, epochs=2, **how),
    "joint training": lambda extractor, **how: rk.train_jointly(
        extractor, IMAGES, LABELS, unlabelled=IMAGES, updates=2, **how
    ),
    "self-training": lambda extractor, **how: rk.self_train(
        extractor, IMAGES, LABELS, unlabelled=IMAGES, updates=2, **how
    ),
}


@pytest.mark.backend
@pytest.mark.parametrize("name", FITS)
def test_a_fit_into_a_file_is_a_line(name, extractor, capfd, eagerly):
    FITS[name](extractor, verbose=0)
    assert capfd.readouterr().out == ""
    FITS[name](extractor, verbose="auto")
    (line,) = capfd.readouterr().out.splitlines()
    place = "update 2 of 2" if "-" in name or " " in name else "epoch 2 of 2"
    assert re.fullmatch(rf"{name}: {place}, loss \d+\.\d\d(, .*)?, about \d+ s in all", line)


def test_in_a_terminal_keras_has_its_bar(extractor, monkeypatch):
    monkeypatch.setattr(sys, "stdout", terminal(True))
    rk.pretrain(extractor, IMAGES, epochs=2)
    assert "Epoch 2/2" in sys.stdout.getvalue()
    assert "━" in sys.stdout.getvalue()


@pytest.mark.backend
@pytest.mark.parametrize("verbose", [0, "auto", 2])
def test_where_a_run_goes_on_is_said_once(verbose, extractor, tmp_path, capfd, eagerly):
    how = {"epochs": 3, "checkpoint": tmp_path / "a.weights.h5"}
    twice = {"callbacks": [GoingOn("mine")]} if verbose == 0 else {}
    with pytest.raises(KeyboardInterrupt):
        rk.pretrain(extractor, IMAGES, **how, callbacks=[StopAfter(1)], verbose=0)
    capfd.readouterr()
    rk.pretrain(extractor, IMAGES, **how, **twice, verbose=verbose)
    said = [line for line in capfd.readouterr().out.splitlines() if "earlier run" in line]
    name = "mine" if verbose == 0 else "pretraining"
    assert said == [f"{name}: going on after epoch 1 of an earlier run"]
    rk.pretrain(extractor, IMAGES, **how, **twice, verbose=verbose)
    taken = f"{name}: taken over from an earlier run, which had finished it"
    assert capfd.readouterr().out.splitlines() == [taken]


def test_threads_may_tell_late(clock):
    callback = Lines("training", clock)
    callback.set_params({"epochs": 1, "steps": 9})
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    for update in (1, 2, 0):
        callback.on_train_batch_end(update)
    assert callback.place() == "update 3 of 9"
    callback.on_epoch_end(0)
    assert callback.place() == "update 9 of 9"


def test_steps_are_a_line_at_most_every_minute(clock, capsys):
    for item in (steps := Steps([*"abcdef"], "study", "auto", clock)):
        steps.note(item)
        clock.now += 25
    assert capsys.readouterr().out.splitlines() == [
        "study: 3 of 6 done, now d, about 75 s left",
    ]
    for item in (steps := Steps([*"ab"], "study", "auto", clock)):
        clock.now += 7200
        steps.note(item)
    assert capsys.readouterr().out.splitlines() == [
        "study: 0 of 2 done, now a",
        "study: 1 of 2 done, now b, about 4.0 h left",
    ]


def test_steps_are_a_bar_for_those_who_watch(monkeypatch, capsys):
    monkeypatch.setattr(lines, "_in_terminal", lambda: True)
    for item in (steps := Steps([1, 2], "study", "auto")):
        steps.note(f"item {item}")
    shown = capsys.readouterr()
    assert "study: 100%|" in shown.out
    assert "item 2" in shown.out
    assert shown.err == ""


def test_steps_may_be_silent(clock, capfd):
    for item in (steps := Steps([1, 2], "study", 0, clock)):
        clock.now += 100
        steps.note(f"item {item}")
    assert capfd.readouterr() == ("", "")
