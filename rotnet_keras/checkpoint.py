"""One file that training goes on from: weights, optimiser and history of the last whole epoch."""

from __future__ import annotations

import json
import pathlib

import h5py
import keras

from rotnet_keras._checks import check_path
from rotnet_keras._files import replace_with
from rotnet_keras.runtime import alone, from_every_host, host_share

FACTS = "rotnet_keras"


class Checkpoint(keras.callbacks.Callback):
    """Writes the file after each epoch, beside and renamed, so that a kill leaves the last one.

    Keras's `BackupAndRestore` keeps weights and epoch in two files, which a kill between them
    tears apart; here the epoch is an attribute of Keras's own weights file. Of several hosts, all
    read the file and the first one writes it.

    Args:
        path: of the file, ending in `.weights.h5`.
        settings: dictionary that must be the same when training goes on.
    """

    def __init__(self, path, settings):
        super().__init__()
        check_path("checkpoint", path)
        self.path = pathlib.Path(path)
        if not self.path.name.endswith(".weights.h5"):
            raise ValueError(f"checkpoint must be a path ending in .weights.h5, got {str(path)!r}")
        self.settings = {name: str(value) for name, value in settings.items()}
        self.logs = []

    def restore(self, model):
        """Load what was written into a compiled model; return how many epochs that were."""
        facts = self._read() if self.path.exists() else None
        done = len(facts["logs"]) if facts else 0
        everywhere = from_every_host(done)
        if len(set(everywhere)) > 1:
            raise ValueError(
                f"checkpoint {self.path} must be one file that all hosts read; they found "
                f"{everywhere} epochs in it"
            )
        if facts:
            model.optimizer.build(model.trainable_variables)
            model.load_weights(self.path)
            self.logs = facts["logs"]
        return done

    def on_epoch_end(self, epoch, logs=None):
        self.logs.append({name: float(value) for name, value in logs.items()})
        if host_share()[0] == 0:
            with alone(), replace_with(self.path) as beside:
                self.model.save_weights(beside)
                with h5py.File(beside, "a") as file:
                    file.attrs[FACTS] = json.dumps({"settings": self.settings, "logs": self.logs})

    def history(self):
        """Keras's `History` of all epochs, those of earlier calls included."""
        history = keras.callbacks.History()
        history.epoch = list(range(len(self.logs)))
        history.history = {name: [log[name] for log in self.logs] for name in self.logs[0]}
        return history

    def _read(self):
        try:
            with h5py.File(self.path) as file:
                facts = json.loads(file.attrs[FACTS])
        except (OSError, KeyError, ValueError) as error:
            raise ValueError(
                f"checkpoint {self.path} cannot be read ({error}): delete it to start anew"
            ) from error
        theirs = facts["settings"]
        if theirs != self.settings:
            names = theirs.keys() | self.settings.keys()
            other = {n: theirs.get(n) for n in names if theirs.get(n) != self.settings.get(n)}
            raise ValueError(
                f"checkpoint {self.path} is of another run, with {other}: give another path, or "
                "delete it to start anew"
            )
        return facts
