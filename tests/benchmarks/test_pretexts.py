"""Rotation against contrast at the same number of passes: python -m pytest -n 0 tests/benchmarks

Seconds of an update each, and what a probe on blocks 2 + 3 then makes of 1,000 labels.
"""

import time

import rotnet_keras as rk
from rotnet_keras._base.tasks import PRETEXTS
from rotnet_keras.study.pretexts import pretrain_on

EPOCHS = 2


def test_rotation_against_contrast(put):
    splits = rk.load_splits("fashion_mnist", num_labels=1000)
    fresh = rk.conv_blocks_extractor(splits.image_shape, (32, 64, 128))
    seconds = {}
    for name in PRETEXTS:
        pretrain_on(name, fresh, splits.unlabelled[:128], epochs=1, verbose=0)  # traced once
        start = time.perf_counter()
        model, _ = pretrain_on(name, fresh, splits.unlabelled[:20_000], epochs=EPOCHS, verbose=0)
        seconds[name] = time.perf_counter() - start
        probe = rk.linear_probe(rk.remove_head(model), *splits.labelled, blocks=(2, 3))
        put(f"probe after {EPOCHS} passes of {name}", 100 * rk.accuracy(probe, *splits.test), "%")
        put(f"seconds of {name} to those of rotation", seconds[name] / seconds["rotation"], "times")
