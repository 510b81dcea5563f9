"""What TensorBoard shows: curves while training runs, and features in its embedding projector."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import pathlib

import keras
import numpy as np
import tensorflow as tf

from rotnet_keras._base.arrays import (
    Features,
    Labels,
    Pictures,
    check_labels,
    images_are_square,
    one_label_an_image,
)
from rotnet_keras._base.door import public
from rotnet_keras._base.errors import FileError, InputError, MissingPackageError
from rotnet_keras._base.files import make_folder, printable, replace_text, replace_with
from rotnet_keras._base.values import FilePath, Names, check_path, got
from rotnet_keras.viewing.pages import image_grid

PARTS = ("train", "validation")  # the folders, and so the names, of Keras's own callback
FEATURES = "features"
LARGEST_SPRITE = 8192  # pixels, what the projector takes
CONFIG = """embeddings {
  tensor_name: "features"
  tensor_path: "tensors.tsv"
  metadata_path: "metadata.tsv"
  sprite {
    image_path: "sprite.png"
    single_image_dim: %d
    single_image_dim: %d
  }
}
"""


class Curves(keras.callbacks.Callback):
    """Writes what `fit` logs after each epoch, under the tags of Keras's own `TensorBoard`.

    It starts with an empty folder, and `Checkpoint` hands it the epochs of earlier calls. Keras's
    callback would append to what a stopped process left, where the last epochs may be missing, not
    having reached the disk, or be there twice. It also logs a learning rate in every epoch, which
    for epochs of an earlier call would be the present one.

    Args:
        folder: for the event files, in `train` and `validation` within it.
    """

    draws_earlier_epochs = True

    def __init__(self, folder):
        super().__init__()
        self.folder, self.writers = pathlib.Path(folder), {}

    def on_train_begin(self, logs=None):
        clear_curves(self.folder)
        self.writers = {}

    def on_epoch_end(self, epoch, logs=None):
        with _writing(self.folder):
            for name, value in (logs or {}).items():
                with self._writer(PARTS[name.startswith("val_")]).as_default():
                    tf.summary.scalar(f"epoch_{name.removeprefix('val_')}", value, step=epoch)
            for writer in self.writers.values():
                writer.flush()

    def on_train_end(self, logs=None):
        for writer in self.writers.values():
            writer.close()

    def _writer(self, part):
        if part not in self.writers:
            self.writers[part] = tf.summary.create_file_writer(os.fsencode(self.folder / part))
        return self.writers[part]


def check_board(tensorboard):
    """Raise unless it is None, or a path and TensorBoard is installed."""
    if tensorboard is None:
        return
    check_path("tensorboard", tensorboard)
    # TensorFlow's own writer of event files imports it.
    if importlib.util.find_spec("tensorboard") is None:
        raise MissingPackageError(
            "tensorboard needs the package tensorboard, which is not installed: "
            "pip install tensorboard"
        )


def prepare_board(tensorboard):
    """Return the folder for TensorBoard, made if need be, or raise; None for None."""
    return None if tensorboard is None else make_folder(tensorboard, "tensorboard")


def clear_curves(folder):
    """Remove the event files of an earlier run from the folder of a run, and nothing else."""
    for part in ("", *PARTS):
        for file in (pathlib.Path(folder) / part).glob("events.out.tfevents.*"):
            file.unlink(missing_ok=True)


def clear_projector(folder):
    """Remove what `write_features` wrote earlier."""
    clear_curves(folder)
    for name in ("projector_config.pbtxt", "tensors.tsv", "metadata.tsv", "sprite.png"):
        (pathlib.Path(folder) / name).unlink(missing_ok=True)


def write_features(folder, *arguments, **options):
    """`save_projector`, and an empty event file, without which TensorBoard skips the folder."""
    save_projector(folder, *arguments, **options)
    with _writing(folder):
        tf.summary.create_file_writer(os.fsencode(folder)).close()


def _a_row_an_image(features, images):
    if len(features) != len(images):
        raise InputError(
            f"features must be ({len(images)}, D), a row for each image, got {features.shape}"
        )


def _classes_have_names(images, labels, class_names, predictions):
    if predictions is not None:
        check_labels(predictions, len(images), "predictions")
    for name, classes in (("labels", labels), ("predictions", predictions)):
        if classes is not None and not 0 <= classes.min() <= classes.max() < len(class_names):
            raise InputError(
                f"{name} must lie in 0..{len(class_names) - 1}, one of the class_names each, "
                f"got {got(classes)} from {classes.min()} to {classes.max()}"
            )


@public(images_are_square, one_label_an_image, _a_row_an_image, _classes_have_names)
def save_projector(
    folder: FilePath,
    features: Features,
    images: Pictures,
    labels: Labels,
    class_names: Names,
    *,
    predictions: Labels | None = None,
) -> pathlib.Path:
    """Write features and their images for TensorBoard's embedding projector.

    `tensorboard --logdir FOLDER` shows them under "Projector", where images can be coloured by
    class, searched, and laid out by PCA, t-SNE or UMAP.

    Args:
        folder: to write in; made if need be.
        features: `(N, D)` numbers, as `extract_features` returns them.
        images: `(N, S, S, C)` with 1 or 3 channels, pixels 0..255; made smaller where all of them
            together would exceed the size that the projector takes.
        labels: `(N,)` whole numbers: the class of each image.
        class_names: one a class.
        predictions: `(N,)` whole numbers, as `predict_classes` returns them; None leaves them out.

    Returns:
        `pathlib.Path` of `projector_config.pbtxt`, which names the other three files:
        `tensors.tsv`, `metadata.tsv` and `sprite.png`.

    Raises:
        InputError: features, images, labels and names do not belong together.
        FileError: the files cannot be written.

    Example:
        >>> import tempfile
        >>> images = np.zeros((5, 28, 28, 1), "uint8")
        >>> features = extract_features(two_conv_extractor((28, 28, 1)), images)
        >>> names = ["Bag", "Coat"]
        >>> save_projector(tempfile.mkdtemp(), features, images, [0, 1, 0, 1, 1], names).name
        'projector_config.pbtxt'
    """
    columns = {"class": _named(labels, class_names)}
    if predictions is not None:
        columns["predicted"] = _named(predictions, class_names)
    board = make_folder(folder, "folder")
    sprite, side = _sprite(images)
    with replace_with(board / "tensors.tsv") as beside:
        np.savetxt(beside, features, fmt="%.6g", delimiter="\t")
    replace_text(board / "metadata.tsv", _metadata(columns))
    with replace_with(board / "sprite.png") as beside:
        sprite.save(beside)
    replace_text(board / "projector_config.pbtxt", CONFIG % (side, side))
    return board / "projector_config.pbtxt"


def _named(labels, class_names):
    """The name of each label, as the projector can show it."""
    # Neither tabs nor ends of lines, nor a blank line, which the projector leaves out.
    names = [printable(name).strip() or repr(str(name)) for name in class_names]
    return [names[label] for label in labels]


def _metadata(columns):
    """Lines of names; the projector takes a first line of headings only for several columns."""
    lines = ["\t".join(columns)] if len(columns) > 1 else []
    lines += map("\t".join, zip(*columns.values(), strict=True))
    return "\n".join(lines) + "\n"


def _sprite(images):
    """All images in one square grid, and the side of each in pixels."""
    rows = math.ceil(math.sqrt(len(images)))
    side = min(images.shape[1], max(LARGEST_SPRITE // rows, 1))
    return image_grid(images, side), side


@contextlib.contextmanager
def _writing(folder):
    """Turn TensorFlow's errors about files that cannot be written into the package's own."""
    try:
        yield
    except tf.errors.OpError as error:
        raise FileError(f"{folder} cannot be written: {error.message}") from error
