"""What is said while something runs: bars where somebody watches, else a line a minute."""

from __future__ import annotations

import sys
import time

import keras
from tqdm.auto import tqdm

EVERY = 60  # seconds between lines


def lines_or_bars(verbose):
    """How to show progress: "bars", "lines" or "nothing".

    Args:
        verbose: 0 for nothing, "auto" for bars in a terminal or a notebook and lines elsewhere;
            another is Keras's own, which asks for bars.
    """
    if verbose != "auto":
        return "bars" if verbose else "nothing"
    return "bars" if _in_notebook() or _in_terminal() else "lines"


def _in_terminal():
    try:
        return sys.stdout.isatty()
    except (AttributeError, ValueError):  # none, or closed
        return False


def _in_notebook():
    return "ipykernel" in sys.modules and hasattr(sys.stdout, "parent_header")


def say(line):
    """Print a line at once, above the bars that are there."""
    if sys.stdout is not None:
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()


def say_going_on(name, done, epochs):
    """Say that training goes on after so many whole epochs, if it does."""
    if done:
        rest = f"going on after epoch {done} of an earlier run"
        rest = rest if done < epochs else "taken over from an earlier run, which had finished it"
        say(f"{name}: {rest}")


def in_words(seconds):
    """A length of time as people say it, such as "about 4 min"."""
    if seconds < 90:
        return f"about {max(5, 5 * round(seconds / 5))} s"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} min"
    return f"about {seconds / 3600:.1f} h"


def figures(logs):
    """Loss and accuracies, of validation images too."""
    logs = logs or {}
    names = [n for n in ("loss", "accuracy", "val_loss", "val_accuracy") if n in logs]
    return [f"{name.replace('_', ' ')} {float(logs[name]):.2f}" for name in names]


class Minutely:
    """Says no more than a line a minute.

    Args:
        clock: function that tells seconds.
    """

    def __init__(self, clock=time.monotonic):
        self.clock = clock
        self.last = clock()

    def due(self):
        """Whether a minute has passed since it last was; if so, it begins anew."""
        if self.clock() - self.last < EVERY:
            return False
        self.last = self.clock()
        return True


class Watch(keras.callbacks.Callback):
    """Tells after each update how many there were, and where in the run that is."""

    async_safe = True  # Keras need not wait for the device after each batch, nor do one at a time

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.update = epoch, 0

    def on_train_batch_end(self, batch, logs=None):
        self.update = max(self.update, batch + 1)  # threads may tell late
        self.tell(self.epoch * self.params["steps"] + self.update, logs)

    def on_epoch_end(self, epoch, logs=None):
        self.update, self.logs = self.params["steps"], logs

    def place(self):
        epochs, steps = self.params["epochs"], self.params["steps"]
        if epochs == 1:
            return f"update {self.update:,} of {steps:,}"
        return f"epoch {self.epoch + 1} of {epochs}"


class Lines(Watch):
    """In place of Keras's bar: a line a minute with the time that is left, and one at the end.

    Args:
        name: of what is trained.
        clock: function that tells seconds.
    """

    def __init__(self, name, clock=time.monotonic):
        super().__init__()
        self.name, self.clock, self.start = name, clock, None

    def on_train_begin(self, logs=None):
        self.minutely, self.began = Minutely(self.clock), self.clock()

    def tell(self, done, logs):
        if self.start is None:  # after the first update, which also compiles
            self.start = done, self.clock()
        elif self.minutely.due():
            first, since = self.start
            each = (self.clock() - since) / max(done - first, 1)
            left = (self.params["epochs"] * self.params["steps"] - done) * each
            self._say(logs, f"{in_words(left)} left")

    def on_train_end(self, logs=None):
        if self.start is not None:
            self._say(self.logs, f"{in_words(self.clock() - self.began)} in all")

    def _say(self, logs, time_said):
        say(", ".join([f"{self.name}: {self.place()}", *figures(logs), time_said]))


def progress_of_fit(name, verbose):
    """`(verbose, callbacks)` for Keras's `fit`: its own bar, or lines."""
    return (0, [Lines(name)]) if lines_or_bars(verbose) == "lines" else (verbose, [])


class GoingOn(keras.callbacks.Callback):
    """Says where training goes on, for a `fit` with `verbose=0` of a job that is not silent.

    Args:
        name: of what is trained.
    """

    def __init__(self, name):
        super().__init__()
        self.name, self.begun = name, False

    def on_train_begin(self, logs=None):
        self.begun = False

    def on_epoch_begin(self, epoch, logs=None):
        if not self.begun:
            say_going_on(self.name, epoch, self.params["epochs"])
        self.begun = True

    def on_train_end(self, logs=None):
        if not self.begun:
            say_going_on(self.name, self.params["epochs"], self.params["epochs"])


class Steps:
    """Goes through items with a bar, with a line at most every minute, or with nothing.

    Args:
        items: list.
        name: of the whole.
        verbose: as in `lines_or_bars`.
        clock: function that tells seconds.
    """

    def __init__(self, items, name, verbose, clock=time.monotonic):
        self.items, self.name, self.clock = items, name, clock
        self.lines = Minutely(clock) if lines_or_bars(verbose) == "lines" else None
        hidden = lines_or_bars(verbose) != "bars"
        self.bar = tqdm(items, name, disable=hidden, file=sys.stdout, smoothing=0.1)
        self.done, self.began = 0, clock()

    def __iter__(self):
        for item in self.bar:
            yield item
            self.done += 1

    def note(self, text):
        """Say what is at work now."""
        self.bar.set_postfix_str(text)
        if self.lines and self.lines.due():
            known = [f"{self.name}: {self.done} of {len(self.items)} done", f"now {text}"]
            if self.done:
                each = (self.clock() - self.began) / self.done
                known.append(f"{in_words(each * (len(self.items) - self.done))} left")
            say(", ".join(known))
