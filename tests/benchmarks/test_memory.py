"""Peak memory of pretraining from a folder, which must not grow with the number of pictures."""

import subprocess
import sys

import keras
import numpy as np
import pytest

SIZE = 96
FEW, MANY = 12_000, 24_000  # both more than are held to shuffle
PROGRAM = """
import resource, sys
import rotnet_keras as rk
rk.run_pretraining(
    images=sys.argv[1], image_size=96, epochs=1, all_rotations=False, output=sys.argv[2], verbose=0
)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # KiB
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders of pictures in one colour each, one with twice as many."""
    rng = np.random.default_rng(0)
    folders = {}
    for number in (FEW, MANY):
        folders[number] = tmp_path_factory.mktemp(f"pictures_{number}")
        for i in range(number):
            picture = np.full((SIZE, SIZE, 3), rng.integers(0, 256, 3), "uint8")
            keras.utils.save_img(folders[number] / f"{i}.png", picture, scale=False)
    return folders


def test_peak_memory_is_flat(put, folders, tmp_path):
    peaks = {}
    for number, folder in folders.items():
        command = [sys.executable, "-c", PROGRAM, folder, tmp_path / str(number)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[number] = int(done.stdout.split()[-1])
    held = (MANY - FEW) * SIZE * SIZE * 3 // 2**20  # what the others would take in memory
    for number, peak in peaks.items():
        put(f"peak memory, streaming {number:,} pictures", peak / 1024, "MiB")
    put(f"{held} MiB more of pictures", peaks[MANY] / peaks[FEW], "times", most=1.1)
