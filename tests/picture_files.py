"""Pictures that the tests write, whole and broken."""

import numpy as np
from PIL import Image

RED, GREEN = (200, 0, 0), (0, 200, 0)


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(image, "uint8")).save(path, quality=95)
    return path


def in_one_colour(colour, size=(20, 30)):
    return np.full((*size, 3), colour, "uint8")


def break_files(files):
    """Damage files in as many ways as there are; return those that were."""
    ways = [
        lambda content: b"",
        lambda content: b"no picture at all",
        lambda content: content[: len(content) // 2],
        lambda content: content[:20],
        lambda content: content[:8] + b"\0" * (len(content) - 8),
    ]
    for number, file in enumerate(files):
        file.write_bytes(ways[number % len(ways)](file.read_bytes()))
    return files


def make_folder(path):
    """Thirty pictures without labels, eighteen each of red and green, of many sizes."""
    rng = np.random.default_rng(0)
    for i in range(30):
        save(path / "unlabelled" / "deep" / f"{i}.png", rng.integers(0, 256, (9 + i, 20, 3)))
    for i in range(18):
        for name, colour in {"red": RED, "green": GREEN}.items():
            save(path / "labelled" / name / f"{i}.png", in_one_colour(colour, (10 + i, 25)))
    return path
