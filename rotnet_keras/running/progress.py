"""Time and progress of several stages as one whole."""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
import time

from tqdm.auto import tqdm

from rotnet_keras.running.lines import (
    Minutely,
    Watch,
    figures,
    in_words,
    lines_or_bars,
    say,
    say_going_on,
)

TAKEN_OVER = 1 / 20  # of a stage's time; in less, nothing was computed
REDRAWN = 1.0  # seconds between two drawings of the bar
SHARE = 1 / 20  # of a stage, after which its own speed counts as much as that of the others


class Whole:
    """Time and progress of several stages that follow each other.

    What is left is reckoned from planned seconds, times how slow the stages so far were against
    theirs. On a terminal a bar shows it while a stage runs, elsewhere a line a minute.

    Args:
        planned: as of `plan`, which gives them later.
        verbose: 0 says nothing.
        clock: function that tells seconds.

    Attributes:
        seconds: measured ones, by stage.
    """

    def __init__(self, planned=None, *, verbose=1, clock=time.perf_counter):
        self.seconds, self.clock = {}, clock
        self.plan(planned or {})
        self.how = lines_or_bars("auto" if verbose else 0)
        self.lines, self.running, self.computed = Minutely(clock), None, {}

    def plan(self, planned):
        """Say how long the stages to come will take, in their order; 0 for those left out."""
        self.planned = {name: seconds for name, seconds in planned.items() if seconds}

    @contextlib.contextmanager
    def stage(self, name, *, done=0.0):
        """Announce a stage, show what is left while it runs, and record how long it took.

        Args:
            name: of `planned`, or another, which is then no part of what is left.
            done: share of it that an earlier run has done.
        """
        self.running = _Stage(name, self.planned.get(name, 0.0), done, self.clock())
        if name in self.planned:  # those before it that were not run never will be
            for earlier in itertools.takewhile(name.__ne__, self.planned):
                self.computed.setdefault(earlier, (0.0, 0.0))
        if self.how != "nothing":
            say(self._headline())
        with self._shown():
            yield
        running, self.running = self.running, None
        took = self.clock() - running.began
        self.seconds[name] = round(self.seconds.get(name, 0.0) + took, 1)
        expected = running.planned * (1 - running.done)
        self.computed[name] = _computed(took, expected)

    def reach(self, share, note=""):
        """Say that the stage has got so far, 0..1, with a word on where that is."""
        if self.running is not None:
            self.running.reach(share, note, self.clock())

    def callback(self, stage, total_updates=None):
        """A Keras callback that tells how far a `fit` has got, for one with `verbose=0`.

        Args:
            stage: that the `fit` is.
            total_updates: of the stage, those of an earlier run included; None for those of the
                `fit`.
        """
        return _Reaching(self, stage, total_updates)

    @property
    def left(self):
        """Seconds until all stages are done, about."""
        slowness = self.slowness
        rest = 0.0
        if self.running is not None:
            rest = self.running.left(self.clock(), self._slowness(finished=True))
        now = self.running and self.running.name
        todo = [s for name, s in self.planned.items() if name not in self.computed and name != now]
        return rest + slowness * sum(todo)

    @property
    def slowness(self):
        """Seconds that a planned second takes here."""
        return self._slowness()

    def _slowness(self, *, finished=False):
        pairs = list(self.computed.values())
        if self.running is not None and not finished:
            pairs.append(self.running.measured())
        took, expected = (sum(column) for column in zip((0.0, 0.0), *pairs, strict=True))
        return took / expected if took and expected else 1.0

    def _headline(self):
        name = self.running.name
        if name not in self.planned:
            return f"== {name}"
        place = f"{list(self.planned).index(name) + 1} of {len(self.planned)}"
        return f"== {name} ({place}), {in_words(self.left)} left in all"

    @contextlib.contextmanager
    def _shown(self):
        """Within it, a thread shows what is left, also where nothing tells how far it has got."""
        if self.how == "nothing" or self.running.name not in self.planned:
            yield
            return
        form = "{percentage:3.0f}%|{bar:20}| {desc}"
        hidden = self.how != "bars"
        ended = threading.Event()
        thread = threading.Thread(target=self._show_until, args=(ended,), daemon=True)
        how = {"leave": False, "disable": hidden, "file": sys.stdout}
        done, said = self._state()
        with tqdm(None, said, 100, bar_format=form, initial=done, **how) as self.bar:
            thread.start()
            try:
                yield
            finally:
                ended.set()
                thread.join()

    def _show_until(self, ended):
        while not ended.wait(REDRAWN):
            try:
                self.show()
            except (OSError, ValueError):  # nobody reads any more
                return

    def show(self):
        """Draw the bar anew, or say a line if a minute is over."""
        done, said = self._state()
        if self.how == "bars":
            self.bar.n = done
            self.bar.set_description_str(said)
        elif self.lines.due():
            say(said)

    def _state(self):
        """`(percent, line)`: how far the whole is, and how long the rest takes."""
        stage, left = self.running, self.left
        spent = sum(self.seconds.values()) + self.clock() - stage.began
        said = [stage.name, stage.note, f"{in_words(left)} left in all"]
        return 100 * spent / max(spent + left, 1e-9), ", ".join(filter(None, said))


def _computed(took, expected):
    """Both, where they tell of the speed: what an earlier run has done takes next to no time."""
    return (took, expected) if expected and took >= TAKEN_OVER * expected else (0.0, 0.0)


class _Stage:
    """A stage that runs: how far it is, and how long the rest of it takes."""

    def __init__(self, name, planned, done, now):
        self.name, self.planned, self.done, self.began = name, planned, done, now
        self.note, self.share, self.first, self.last = "", done, None, None

    def reach(self, share, note, now):
        self.note = note
        if self.first is None:  # what came before, such as compiling, is not part of the speed
            self.last = self.first = share, now
        if share > self.last[0]:  # threads may tell late
            self.last = share, now
        self.share = self.last[0]

    def measured(self):
        """`(seconds, planned seconds)` between the first and the last that was told of it."""
        if self.first is None:
            return 0.0, 0.0
        share, seconds = (last - first for first, last in zip(self.first, self.last, strict=True))
        return _computed(seconds, self.planned * share)

    def left(self, now, slowness):
        """Seconds: by its own speed, as far as that is known, and by the plan."""
        expected = self.planned * slowness
        if self.first is None:
            rest, since = expected * (1 - self.done), now - self.began
        else:
            share, seconds = (b - a for a, b in zip(self.first, self.last, strict=True))
            each = (seconds + SHARE * expected) / (share + SHARE)
            rest, since = each * (1 - self.share), now - self.last[1]
        return max(rest - since, since / 10)  # it never is nothing before it is over


class _Reaching(Watch):
    """Tells a `Whole` how far the stage has got that a `fit` is, or is a part of."""

    def __init__(self, whole, stage, total):
        super().__init__()
        self.whole, self.stage, self.total, self.epoch = whole, stage, total, None

    def on_epoch_begin(self, epoch, logs=None):
        if self.epoch is None and epoch:  # not the first of all
            self._goes_on(epoch)
        super().on_epoch_begin(epoch, logs)

    def on_train_end(self, logs=None):
        if self.epoch is None:  # nothing was left to do
            self._goes_on(self.params["epochs"])

    def _goes_on(self, epoch):
        running = self.whole.running
        if running is not None and running.name == self.stage:
            running.done = running.share = self._share(epoch * self.params["steps"])
        if self.whole.how != "nothing":
            say_going_on(self.stage, epoch, self.params["epochs"])

    def tell(self, done, logs):
        running = self.whole.running
        if running is not None and running.name == self.stage:
            note = ", ".join([self.place(), *figures(logs)])
            self.whole.reach(min(self._share(done), 1.0), note)

    def _share(self, done):
        return done / (self.total or self.params["epochs"] * self.params["steps"])
