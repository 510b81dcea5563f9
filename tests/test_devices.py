"""Several devices; whatever needs devices of its own runs in a process of its own."""

import numpy as np
import pytest
import tensorflow as tf

from rotnet_keras import prepare_runtime
from rotnet_keras.running import devices as running_devices

pytestmark = pytest.mark.backend


@pytest.mark.parametrize("devices", [0, -1, 1.5, "two"])
def test_devices_out_of_range(devices):
    with pytest.raises(ValueError, match=f"devices must be .* at least 1, got {devices!r}"):
        prepare_runtime(devices=devices)


def test_hosts_share_out_evenly_or_not_at_all(monkeypatch):
    monkeypatch.setattr(running_devices, "host_share", lambda: (0, 2))
    monkeypatch.setattr(running_devices, "local_devices", lambda: 4)
    running_devices.check_share(2, 4)  # a host has an image in four rotations, a device one each
    running_devices.check_share(8, 1)
    for batch_size, copies in [(2, 2), (6, 1), (3, 4)]:
        with pytest.raises(ValueError, match=f"with 4 devices each, got {batch_size}"):
            running_devices.check_share(batch_size, copies)


def test_tensorflow_leaves_the_accelerator_to_jax(monkeypatch):
    hidden = []
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda *call: hidden.append(call))
    running_devices.leave_accelerator("jax")
    assert hidden == [([], "GPU"), ([], "TPU")]

    def refuse(devices, kind):
        raise RuntimeError("Visible devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config, "set_visible_devices", refuse)
    with pytest.raises(RuntimeError, match="TensorFlow already holds the GPU that jax is to drive"):
        running_devices.leave_accelerator("jax")


DEVICES = """
import json
import rotnet_keras as rk
rk.prepare_runtime(devices=4)
import keras, numpy as np
images = np.random.default_rng(0).integers(0, 256, (22, 12, 12, 1), "uint8")
labels = np.arange(22) % 3
ends = {}
for devices in (4, 2, 1):
    ends[f"{devices} line"] = str(rk.prepare_runtime(devices=devices))
    for batch_size in (8, 5):
        model, history = rk.pretrain(
            rk.conv_blocks_extractor((12, 12, 1), (4,)), images, validation_images=images[:9],
            epochs=2, batch_size=batch_size, all_rotations=False, verbose=0,
        )
        ends[f"{devices} {batch_size}"] = {
            "losses": history.history["loss"] + history.history["val_loss"],
            "weights": np.concatenate([w.ravel() for w in model.get_weights()]).tolist(),
            "accuracy": rk.rotation_accuracy(model, images),
        }
    tuned, history = rk.fine_tune(
        rk.remove_head(model), images, labels, epochs=1, batch_size=8,
        validation_data=(images[:7], labels[:7]), verbose=0,
    )
    ends[f"{devices} tuned"] = {
        "losses": history.history["loss"] + history.history["val_loss"],
        "weights": np.concatenate([w.ravel() for w in tuned.get_weights()]).tolist(),
        "accuracy": rk.accuracy(tuned, images, labels),
    }
print(json.dumps(ends))
"""


@pytest.mark.slow
def test_devices_share_batches_and_change_nothing(run_program):
    """Also where a batch of 5 cannot be shared out among 2 or 4, and where the last is smaller."""
    ends = run_program(DEVICES, KERAS_BACKEND="jax")
    for training in ("8", "5", "tuned"):
        one = ends[f"1 {training}"]
        for devices in (2, 4):
            several = ends[f"{devices} {training}"]
            np.testing.assert_allclose(several["losses"], one["losses"], atol=1e-5)
            np.testing.assert_allclose(several["weights"], one["weights"], atol=1e-5)
            assert several["accuracy"] == one["accuracy"]
    lines = [ends[f"{devices} line"] for devices in (4, 2, 1)]  # each call undoes the one before
    assert [line.split(", ")[2] for line in lines] == ["4 devices", "2 devices", "1 device"]


LATE = """
import json, os
os.environ["KERAS_BACKEND"] = "jax"
import jax
jax.devices()
import rotnet_keras as rk
try:
    rk.prepare_runtime(devices=3)
except RuntimeError as error:
    print(json.dumps(str(error)))
"""


def test_virtual_devices_asked_for_too_late(run_program):
    assert "at most the 1 that JAX has here, got 3; virtual ones of a CPU must" in run_program(LATE)
