"""Write MNIST's digits, centred, as class folders: python notebooks/centre_digits.py digits_centred

As MNIST comes, where a digit lies in its frame gives its rotation away (notebook 05). One more
black row and column put it on the middle pixel. Then the study takes them like any pictures:
python -m rotnet_keras study --images digits_centred --image-size 29
"""

import argparse
import pathlib

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from rotnet_keras._base.errors import InputError
from rotnet_keras.data.named import load_named

EDGES = [(0, 0), (0, 1), (0, 1)]  # of images, rows and columns


def write_centred(images, labels, folder):
    """Write `(N, H, W)` digits of 0..255, each into the folder of its label."""
    for label in np.unique(labels):
        (folder / str(label)).mkdir(parents=True)
    pairs = zip(np.pad(images, EDGES), labels, strict=True)
    for number, (image, label) in enumerate(tqdm(pairs, folder.name, total=len(labels))):
        Image.fromarray(image).save(folder / str(label) / f"{number:05}.png")


def main():
    """Write both parts of MNIST, as the folders `train` and `test`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", metavar="FOLDER", type=pathlib.Path, help="a new folder")
    folder = parser.parse_args().folder
    if folder.exists():
        parser.error(f"FOLDER must be a new one, got {folder}, which is there already")
    try:
        digits = load_named("mnist", data_dir=None, manual_dir=None, image_size=None, fit="crop")
    except InputError as error:
        parser.error(str(error))
    for part in ("train", "test"):
        images, labels = digits[part]
        write_centred(images[..., 0], labels, folder / part)


if __name__ == "__main__":
    main()
