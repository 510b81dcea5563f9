"""Seconds from Keras to features: python -m pytest -n 0 tests/benchmarks/test_startup.py

A fresh process each time; what Keras itself imports, its backend above all, is not counted.
"""

import statistics
import subprocess
import sys

import pytest

from rotnet_keras.zoo.pretrained import EXTRACTORS

RUNS = 7
PROGRAM = """
import sys, time
import keras
import numpy as np
images = np.random.default_rng(0).integers(0, 256, (1000, 28, 28, 1), "uint8")
start = time.perf_counter()
import rotnet_keras as rk
features = rk.extract_features(rk.load_extractor(sys.argv[1]), images)
print(len(features), time.perf_counter() - start)
"""


@pytest.mark.parametrize("name", EXTRACTORS)
def test_features_of_1000_images_in_a_second(put, name):
    seconds = []
    for _ in range(RUNS):
        command = [sys.executable, "-c", PROGRAM, name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        number, passed = done.stdout.split()
        assert int(number) == 1000
        seconds.append(float(passed))
    put(f"from Keras to 1,000 features of {name}", statistics.median(seconds), "s", most=1)
