"""One file that training goes on from: weights, optimiser and history up to a whole epoch."""

from __future__ import annotations

import io
import json
import math
import os
import pathlib
import time
import zipfile
from typing import Annotated

import h5py
import keras

from rotnet_keras._base.digests import digest
from rotnet_keras._base.errors import FileError, InputError
from rotnet_keras._base.files import replace_with
from rotnet_keras._base.model_files import check_weights
from rotnet_keras._base.values import check_path
from rotnet_keras.running.hosts import alone, from_every_host, host_share

FACTS = "rotnet_keras"
DIGEST = f"{FACTS}_digest"
EVERY = "ROTNET_KERAS_CHECKPOINT_SECONDS"
SHARED = "first images of hosts"  # a setting that only runs on as many hosts have in common


def check_checkpoint(name, value):
    """Return the path of a weights file, which need not be there yet, or raise."""
    if not str(check_path(name, value)).endswith(".weights.h5"):
        raise InputError(f"{name} must be a path ending in .weights.h5, got {str(value)!r}")
    return value


CheckpointPath = Annotated[str | os.PathLike[str], check_checkpoint]


class Checkpoint(keras.callbacks.Callback):
    """Writes the file after an epoch, beside the last, so that a kill leaves one that is whole.

    It does so after the last epoch, and before that where the file is ten seconds old or more.

    Keras's `BackupAndRestore` keeps weights and epoch in two files, and a kill may leave one of
    them an epoch behind; here the epoch is an attribute of Keras's own weights file. It also
    forgets what other callbacks count, so that early stopping would begin anew; here
    `EarlyStopping`, `ReduceLROnPlateau` and what draws curves are shown the earlier epochs again,
    and the best weights are in the file.
    Of several hosts, all read the file and the first one writes it.

    It must be the last callback of `fit`, with the value of `first_epoch` as its `initial_epoch`.

    Args:
        path: of the file, ending in `.weights.h5`.
        settings: dictionary that must be the same when training goes on.
        callbacks: the others of `fit`.
    """

    def __init__(self, path, settings, callbacks=()):
        super().__init__()
        self.path, self.every = pathlib.Path(path), _seconds_between()
        if not os.access(self.path.parent, os.W_OK):  # said before an epoch's work, not after it
            raise FileError(f"checkpoint must lie in a folder that can be written, got {path}")
        counting = (keras.callbacks.EarlyStopping, keras.callbacks.ReduceLROnPlateau)
        self.counting = [callback for callback in callbacks if isinstance(callback, counting)]
        self.drawing = [c for c in callbacks if getattr(c, "draws_earlier_epochs", False)]
        counted = [(type(c).__name__, c.monitor, c.patience) for c in self.counting]
        settings = settings | {"callbacks": counted}
        self.settings = {name: str(value) for name, value in settings.items()}
        self.logs, self.stopped = [], False

    def first_epoch(self, epochs):
        """Read what was written, if anything; return the epoch to go on from, the last for none."""
        facts = self._read() if self.path.exists() else None
        done = len(facts["logs"]) if facts else 0
        everywhere = from_every_host(done)
        if len(set(everywhere)) > 1:
            raise InputError(
                f"checkpoint {self.path} must be one file that all hosts read; they found "
                f"{everywhere} epochs in it"
            )
        if facts:
            self.logs, self.stopped = facts["logs"], facts["stopped"]
        return epochs if self.stopped else done

    def on_train_begin(self, logs=None):
        self.written = time.monotonic()
        if not self.logs:
            return
        # First what is counted, which also lowers the learning rate, then all that is in the file.
        for epoch, earlier in enumerate(self.logs):
            for callback in [*self.counting, *self.drawing]:
                callback.on_epoch_end(epoch, dict(earlier))
        if not self.model.optimizer.built:  # loss scaling would make its variables again
            self.model.optimizer.build(self.model.trainable_variables)
        try:
            self.model.load_weights(self.path)
            with h5py.File(self.path) as file:
                for number, state in enumerate(_random_states(self.model)):
                    state.assign(file[f"{FACTS}/state/{number}"][()])
                for place, callback in enumerate(self.counting):
                    best = file.get(f"{FACTS}/best/{place}", {})
                    if best:
                        callback.best_weights = [best[str(i)][()] for i in range(len(best))]
        except Exception as error:  # such as weights that do not fit
            raise self._unreadable(error) from error

    def on_epoch_end(self, epoch, logs=None):
        self.logs.append({name: float(value) for name, value in logs.items()})
        self.stopped = self.model.stop_training
        is_last = self.stopped or epoch + 1 == self.params["epochs"]
        if is_last or time.monotonic() - self.written >= self.every:
            self._write()
            self.written = time.monotonic()

    def _write(self):
        facts = {"settings": self.settings, "logs": self.logs, "stopped": self.stopped}
        if host_share()[0] == 0:
            with alone(), replace_with(self.path) as beside:
                content = _weights_file(self.model, beside)
                self._add(facts, content)
                beside.write_bytes(content.getvalue())

    def _add(self, facts, content):
        """Put what Keras's weights file has no place for beside the weights."""
        with h5py.File(content, "a") as file:
            file.attrs[FACTS] = json.dumps(facts)
            for number, state in enumerate(_random_states(self.model)):
                file[f"{FACTS}/state/{number}"] = keras.ops.convert_to_numpy(state)
            for place, callback in enumerate(self.counting):
                for number, weight in enumerate(_best_weights(callback)):
                    file[f"{FACTS}/best/{place}/{number}"] = weight
            file.attrs[DIGEST] = _digest_of_weights(file)

    def history(self):
        """Keras's `History` of all epochs, those of earlier calls included."""
        history = keras.callbacks.History()
        history.epoch = list(range(len(self.logs)))
        names = dict.fromkeys(name for log in self.logs for name in log)
        # A call that goes on may watch other validation images than the first, or none.
        history.history = {n: [log.get(n, math.nan) for log in self.logs] for n in names}
        return history

    def _read(self):
        try:
            check_weights(self.path)
            with h5py.File(self.path) as file:
                facts = json.loads(file.attrs[FACTS])
                if file.attrs[DIGEST] != _digest_of_weights(file):
                    raise ValueError("it was damaged after it had been written")
            theirs = facts["settings"]
        except Exception as error:  # a damaged file may raise anything from within HDF5
            raise self._unreadable(error) from error
        names = [name for name in theirs | self.settings if not name.startswith(SHARED)]
        names += theirs.keys() & self.settings.keys()
        other = {n: theirs.get(n) for n in names if theirs.get(n) != self.settings.get(n)}
        if other:
            if len(other) > 1:
                other.pop("initial_weights", None)  # the others are why they differ
            raise InputError(
                f"checkpoint {self.path} is of another run, with {other}: give another path, or "
                "delete it to start anew"
            )
        return facts

    def _unreadable(self, error):
        return InputError(
            f"checkpoint {self.path} cannot be read ({error}): delete it to start anew"
        )


def _seconds_between():
    """From one writing to the next; short epochs would spend their time on it."""
    text = os.environ.get(EVERY, "10")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise InputError(f"{EVERY} must be a number of seconds, 0 or more, got {text!r}")
    return seconds


def _weights_file(model, beside):
    """Keras's weights file in memory, out of the model file that Keras writes like any other.

    HDF5 itself, as in `save_weights`, crashes the process on a full disk, or says nothing of what
    it could not write.
    """
    archive = beside.with_name(f"{beside.name}.keras")
    try:
        model.save(archive)
        with zipfile.ZipFile(archive) as zipped:
            return io.BytesIO(zipped.read("model.weights.h5"))
    finally:
        archive.unlink(missing_ok=True)


def _digest_of_weights(file):
    """A digest of all that a weights file says, but for the digest itself."""
    held = [json.dumps(file.attrs[FACTS])]

    def hold(name, part):
        if isinstance(part, h5py.Dataset):
            held.extend([name, part[()]])

    file.visititems(hold)
    return digest(*held)


def _best_weights(callback):
    """What `EarlyStopping` would go back to; float32 for types that HDF5 does not know."""
    for weight in getattr(callback, "best_weights", None) or ():
        yield weight.astype("float32") if weight.dtype.kind == "V" else weight


def _random_states(model):
    """Where layers such as Dropout are in their random draws, which Keras does not save."""
    return [variable for variable in model.variables if variable.name == "seed_generator_state"]
