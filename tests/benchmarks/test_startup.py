"""Seconds to the package and to features: python -m pytest -n 0 tests/benchmarks/test_startup.py

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
assert len(features) == 1000
print(time.perf_counter() - start)
"""
IMPORT = """
import time
start = time.perf_counter()
import rotnet_keras
print(time.perf_counter() - start)
"""


def median_seconds(program, *arguments):
    """What a program prints last, the median of several runs."""
    command = [sys.executable, "-c", program, *arguments]
    done = [
        subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(RUNS)
    ]
    return statistics.median(float(run.stdout.split()[-1]) for run in done)


def test_the_import_alone(put):
    put("import rotnet_keras", median_seconds(IMPORT), "s", most=0.3)


@pytest.mark.parametrize("name", EXTRACTORS)
def test_features_of_1000_images_in_a_second(put, name):
    put(f"from Keras to 1,000 features of {name}", median_seconds(PROGRAM, name), "s", most=1)
