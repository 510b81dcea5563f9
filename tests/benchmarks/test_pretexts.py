"""Rotation against contrast at the same number of passes: python -m pytest -n 0 tests/benchmarks

Seconds of an update each, and what a probe on blocks 2 + 3 then makes of 1,000 labels.
"""

import time

import rotnet_keras as rk
from rotnet_keras.training import pretrain_for_transfer

EPOCHS = 2
PRETEXTS = {
    "rotation": pretrain_for_transfer,
    "contrast": rk.pretrain_contrast,
    "both": lambda *args, **how: rk.pretrain_contrast(*args, rotation_weight=1.0, **how),
}


def test_rotation_against_contrast(put):
    splits = rk.load_splits("fashion_mnist", num_labels=1000)
    fresh = rk.conv_blocks_extractor(splits.image_shape, (32, 64, 128))
    seconds = {}
    for name, pretext in PRETEXTS.items():
        pretext(fresh, splits.unlabelled[:128], epochs=1, verbose=0)  # traced once
        start = time.perf_counter()
        model, _ = pretext(fresh, splits.unlabelled[:20_000], epochs=EPOCHS, verbose=0)
        seconds[name] = time.perf_counter() - start
        probe = rk.linear_probe(rk.remove_head(model), *splits.labelled, blocks=(2, 3))
        put(f"probe after {EPOCHS} passes of {name}", 100 * rk.accuracy(probe, *splits.test), "%")
        put(f"seconds of {name} to those of rotation", seconds[name] / seconds["rotation"], "times")
