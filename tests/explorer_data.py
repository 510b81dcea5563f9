"""What the tests of explorers show."""

import numpy as np

# Twelve images on a grid of 4 × 3, in every map elsewhere, so that each can be pointed at.
GRID = np.array([[i % 4, i // 4] for i in range(12)], "float64")
MAPS = {
    "random": {"block 1": GRID, "block 2": GRID[::-1]},
    "fine-tuned": {"block 1": GRID * [1, 2] + [3, 0], "block 2": GRID[np.r_[6:12, 0:6]]},
}
LABELS = np.arange(12) % 3
NASTY = "<img src=x onerror=alert(1)>"
NAMES = ["Bag", NASTY, "</script><b>$x_1$"]
LOGITS = np.zeros((12, 3))
LOGITS[np.arange(12), np.where(np.arange(12) < 8, LABELS, 0)] = 3  # of the last four, 9 is right
TOLD = np.array([0.25, 0.5, 1.0] * 4)
BY_MODEL = {"logits": LOGITS, "rotation_accuracies": TOLD}


def greys(count=12, channels=1):
    """Images of one grey each, 20 brighter from one to the next."""
    return np.full((count, 9, 9, channels), 20 * np.arange(count)[:, None, None, None], "uint8")
