"""Real data through TensorFlow Datasets, split into unlabelled, labelled, validation and test."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import pathlib
import shutil
import threading
import warnings
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from sklearn.model_selection import train_test_split

from rotnet_keras import garments
from rotnet_keras._checks import (
    check_count,
    check_counts,
    check_labels,
    check_paths,
    check_seed,
    check_share,
    check_source,
)

STAND_IN = "garments"
PICTURES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")


class DatasetError(RuntimeError):
    """Data that cannot be had or read; the message says what to do about it."""


class Examples(NamedTuple):
    """Images `(N, H, W, C)` uint8, 0..255, and their labels `(N,)` int32."""

    images: np.ndarray
    labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Splits:
    """One data set, divided for an experiment with few labels.

    Attributes:
        name: of the data set.
        class_names: one a class, in the order of the labels.
        unlabelled: `(N, H, W, C)` uint8 images; their labels are not kept.
        labelled: the few `Examples` to learn the classes from, stratified.
        validation: `Examples` to choose with.
        test: `Examples` to report on, the official test set where there is one.
        stand_in: True for the drawn garments, which are no real data.
    """

    name: str
    class_names: tuple[str, ...]
    unlabelled: np.ndarray
    labelled: Examples
    validation: Examples
    test: Examples
    stand_in: bool = False

    @property
    def image_shape(self):
        """`(height, width, channels)` of every image."""
        return self.unlabelled.shape[1:]

    @property
    def num_classes(self):
        """Number of classes."""
        return len(self.class_names)


def load_splits(
    name="fashion_mnist",
    *,
    num_labels=1000,
    num_validation=10_000,
    seed=0,
    data_dir=None,
    manual_dir=None,
    image_size=None,
    fall_back=False,
):
    """Load an image classification data set and divide its training images for few labels.

    Labelled and validation images are drawn with the classes in their proportions (on
    Fashion-MNIST 100 and 1,000 of each); all other training images become the unlabelled ones.
    The three are disjoint. A data set without a `test` split lends its `validation` split, else a
    sixth of its training images that is the same for every seed. Everything is held in memory.

    Args:
        name: any image classification data set of TensorFlow Datasets, or "garments" for the
            drawn stand-in.
        num_labels: labelled images in all.
        num_validation: validation images in all.
        seed: of the draw; the same seed gives the same images.
        data_dir: where prepared data lies or is to be prepared, instead of TFDS's own place
            (`TFDS_DATA_DIR`, else `~/tensorflow_datasets`).
        manual_dir: folder with the data set's original files, downloaded by hand.
        image_size: height and width to bring all images to, by a centre crop to a square and
            antialiased resizing. None leaves square images of one size as they are and brings
            others to 64.
        fall_back: where the data cannot be had, warn and draw the stand-in instead of raising
            `DatasetError`.

    Returns:
        `Splits`.

    Raises:
        DatasetError: the data cannot be had (no network, missing or damaged files).
        ValueError: unknown name, no image classification data, more images asked for than there
            are, or a setting out of its range.

    Example:
        >>> splits = load_splits("garments", num_labels=100)
        >>> splits.labelled.images.shape, len(splits.unlabelled)
        ((100, 28, 28, 1), 49900)

    Reference: https://www.tensorflow.org/datasets/catalog/overview#image_classification
    """
    check_count("num_labels", num_labels)
    check_count("num_validation", num_validation)
    if image_size is not None:
        check_count("image_size", image_size)
    check_source("name", name)
    check_paths(data_dir=data_dir, manual_dir=manual_dir)
    check_seed(seed)
    try:
        if name == STAND_IN:
            train, test, class_names = _draw_stand_in()
        else:
            train, test, class_names = _load_tfds(name, data_dir, manual_dir, image_size)
    except DatasetError as error:
        if not fall_back:
            raise
        warnings.warn(f"USING DRAWN STAND-IN GARMENTS, NO REAL DATA: {error}", stacklevel=2)
        name = STAND_IN
        train, test, class_names = _draw_stand_in()
    unlabelled, labelled, validation = split_indices(
        train.labels, num_labels=num_labels, num_validation=num_validation, seed=seed
    )
    return Splits(
        name=name,
        class_names=tuple(class_names),
        unlabelled=train.images[unlabelled],
        labelled=Examples(train.images[labelled], train.labels[labelled]),
        validation=Examples(train.images[validation], train.labels[validation]),
        test=test,
        stand_in=name == STAND_IN,
    )


def stream_images(source, *, image_size=None, split="train", share=(0, 1), seed=0, data_dir=None):
    """Read images without labels one by one, for more of them than memory holds.

    Args:
        source: a folder of pictures (PNG, JPEG, GIF, BMP; those in folders below it, too), or the
            name of an image classification data set of TensorFlow Datasets.
        image_size: height and width to bring all images to, by a centre crop to a square and
            antialiased resizing; for a folder it must be given. Pictures of a folder come in
            colour, and of a moving one the first.
        split: of a named data set, as TFDS writes it, for example "train[:50%]".
        share: `(host, hosts)`: read this process's part alone, where several train together.
        seed: of the order of a folder's files.
        data_dir: as in `load_splits`.

    Returns:
        `tf.data.Dataset` of images `(S, S, C)`, 0..255, of known number, for `pretrain`; uint8, or
        what a named data set holds. Each iteration has the same order.

    Raises:
        DatasetError: there is no such folder or no picture in it, or the data set cannot be had.
        ValueError: an unknown name, a folder without `image_size`, or a setting out of its range.

    Example:
        >>> import keras, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> keras.utils.save_img(f"{folder}/one.png", np.zeros((20, 30, 3)), scale=False)
        >>> stream_images(folder, image_size=16).element_spec.shape
        TensorShape([16, 16, 3])
    """
    if image_size is not None:
        check_count("image_size", image_size)
    check_source("source", source)
    check_source("split", split)
    check_share(share)
    check_paths(data_dir=data_dir)
    check_seed(seed)
    folder = pathlib.Path(source)
    if folder.is_dir():
        if image_size is None:
            raise ValueError("image_size must be given for a folder of pictures, got None")
        return _stream_folder(folder, image_size, share, seed)
    if folder.is_absolute() or len(folder.parts) > 2:  # a TFDS name has one part, or a config, too
        raise DatasetError(f"{folder} is no folder")
    try:
        return _stream_tfds(str(source), split, data_dir, image_size, share)
    except ValueError as error:
        raise ValueError(f"source: there is no folder {folder}, and {error}") from error


def _stream_folder(folder, image_size, share, seed):
    host, hosts = share
    files = sorted(str(file) for file in folder.rglob("*") if file.suffix.lower() in PICTURES)
    if not files:
        raise DatasetError(f"{folder} holds no pictures ({', '.join(PICTURES)})")
    files = np.random.default_rng(seed).permutation(files)[host::hosts]

    def read(file):
        image = tf.io.decode_image(tf.io.read_file(file), channels=3, expand_animations=False)
        return tf.ensure_shape(_square(image, image_size), (image_size, image_size, 3))

    return tf.data.Dataset.from_tensor_slices(files).map(read, num_parallel_calls=tf.data.AUTOTUNE)


def _stream_tfds(name, split, data_dir, image_size, share):
    import tensorflow_datasets as tfds

    host, hosts = share
    builder = _find_builder(name, data_dir)
    key, _ = _supervised_keys(builder)
    _prepare(builder, None)
    image_size = _size_to_bring_to(builder, key, image_size)
    part = tfds.even_splits(split, hosts)[host]
    # Without TFDS's own cache, which would hold a small data set in memory.
    config = tfds.ReadConfig(try_autocache=False)
    dataset = builder.as_dataset(split=part, read_config=config).map(lambda row: row[key])
    if image_size is None:
        return dataset
    return dataset.map(
        lambda image: _square(image, image_size), num_parallel_calls=tf.data.AUTOTUNE
    )


def split_indices(labels, *, num_labels, num_validation, seed=0):
    """Draw disjoint unlabelled, labelled and validation indices, the last two stratified.

    Args:
        labels: `(N,)` whole numbers.
        num_labels: labelled indices wanted.
        num_validation: validation indices wanted.
        seed: of the draw.

    Returns:
        `(unlabelled, labelled, validation)`, integer arrays that together hold 0 to N - 1 once.

    Raises:
        ValueError: more asked for than there is, fewer than one for each class, or labels that are
            not whole numbers from 0.

    Example:
        >>> parts = split_indices(np.arange(100) % 2, num_labels=10, num_validation=20)
        >>> [len(part) for part in parts]
        [70, 10, 20]
    """
    labels = check_labels(labels)
    if labels.min() < 0:
        raise ValueError(f"labels must be whole numbers from 0, got {labels.min()}")
    check_counts(num_labels=num_labels, num_validation=num_validation)
    check_seed(seed)
    num_classes = len(np.unique(labels))
    for argument, value in (("num_labels", num_labels), ("num_validation", num_validation)):
        if value < num_classes:
            raise ValueError(
                f"{argument} must be at least {num_classes}, one for each class, got {value}"
            )
    most = len(labels) - num_classes
    if num_labels + num_validation > most:
        raise ValueError(
            f"num_labels + num_validation must be at most {most} of {len(labels)} training images, "
            f"so that some stay unlabelled; got {num_labels} + {num_validation}"
        )
    rest, validation = _stratified(np.arange(len(labels)), labels, num_validation, seed)
    unlabelled, labelled = _stratified(rest, labels, num_labels, seed)
    missing = np.setdiff1d(labels, labels[labelled])
    if len(missing):
        raise ValueError(
            f"num_labels must be large enough to hold each class in its proportion, got "
            f"{num_labels}, which leaves out the rare classes {missing.tolist()}"
        )
    return unlabelled, labelled, validation


def _stratified(indices, labels, count, seed):
    """Divide indices into the others and `count` drawn ones, classes in proportion."""
    try:
        return train_test_split(
            indices, test_size=count, stratify=labels[indices], random_state=seed
        )
    except ValueError as error:
        rarest = np.bincount(labels).argmin()
        raise ValueError(
            f"labels must hold each class several times to be divided, class {rarest} is too "
            f"rare with {np.sum(labels == rarest)} images: {error}"
        ) from error


def _draw_stand_in():
    """The stand-in is one fixed data set: only its division depends on the caller's seed."""
    train = Examples(*garments.draw_garments(60_000, seed=0))
    test = Examples(*garments.draw_garments(10_000, seed=1))
    return train, test, garments.CLASS_NAMES


def _load_tfds(name, data_dir, manual_dir, image_size):
    builder = _find_builder(name, data_dir)
    image_key, label_key = _supervised_keys(builder)
    _prepare(builder, manual_dir)
    parts = builder.info.splits
    if "train" not in parts:
        raise ValueError(f"name must be a data set with a train split, {name!r} has {list(parts)}")
    class_names = builder.info.features[label_key].names
    keys = (image_key, label_key)
    train = _read(builder, "train", keys, image_size)
    held_out = next((part for part in ("test", "validation") if part in parts), None)
    if held_out is not None:
        return train, _read(builder, held_out, keys, image_size), class_names
    count = len(train.labels)
    kept, taken = _stratified(np.arange(count), train.labels, count // 6, seed=0)
    train, test = (Examples(train.images[i], train.labels[i]) for i in (kept, taken))
    return train, test, class_names


def _find_builder(name, data_dir):
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=data_dir)
    except (tfds.core.DatasetNotFoundError, TypeError, ValueError) as error:
        near = difflib.get_close_matches(str(name), set(tfds.list_builders()) - {name}, n=3)
        hint = f"did you mean {', '.join(near)}? " if near else ""
        raise ValueError(
            f"name must be a data set of TensorFlow Datasets, got {name!r}; {hint}"
            f"The names: https://www.tensorflow.org/datasets/catalog/overview "
            f"({_first_line(error)})"
        ) from error
    except Exception as error:  # a torn dataset_info.json, a version there is not, ...
        raise DatasetError(
            f"{name!r} cannot be opened: {_first_line(error)}. If its prepared data is damaged, "
            "delete its folder below data_dir and prepare it again, or give another data_dir"
        ) from error


def _supervised_keys(builder):
    import tensorflow_datasets as tfds

    features, keys = builder.info.features, builder.info.supervised_keys
    wanted = [tfds.features.Image, tfds.features.ClassLabel]
    if keys is None or [type(features[key]) for key in keys] != wanted:
        raise ValueError(
            f"name must be an image classification data set, {builder.name!r} holds {features}"
        )
    return keys


def _prepare(builder, manual_dir):
    """Have TFDS download and prepare the data, unless it lies there prepared."""
    import tensorflow_datasets as tfds

    if builder.data_path.exists():
        if not builder.info.splits:
            raise DatasetError(
                f"{builder.data_path} holds no finished data: delete that folder and try again, or "
                "give another data_dir"
            )
        return
    manual_dir = None if manual_dir is None else pathlib.Path(manual_dir)
    if manual_dir is not None and not manual_dir.is_dir():
        raise DatasetError(f"manual_dir must be a folder, {str(manual_dir)!r} is none")
    _check_reachable(builder, manual_dir)
    config = tfds.download.DownloadConfig(manual_dir=manual_dir)
    try:
        with _clean_up_after_failure(builder):
            builder.download_and_prepare(download_config=config)
    except tfds.download.DownloadError as error:
        raise _unavailable(builder, f"the download failed: {_first_line(error)}") from error
    except Exception as error:  # whatever a data set's own preparation may raise
        raise _unavailable(builder, _first_line(error)) from error


def _check_reachable(builder, manual_dir, seconds=20):
    """Ask for the first bytes of what must be downloaded; TFDS alone would retry for minutes."""
    import requests

    urls = [
        url
        for url, info in (builder.url_infos or {}).items()
        if not (manual_dir and info.filename and (manual_dir / info.filename).exists())
    ]
    if not urls or not urls[0].startswith("http"):
        return

    failures = [f"no answer in {seconds} s"]

    def ask():
        try:
            with requests.get(urls[0], stream=True, timeout=seconds / 2) as response:
                response.raise_for_status()
            failures.clear()
        except requests.RequestException as error:
            failures[:] = [_first_line(error)]

    # In a thread, since a name server that does not answer heeds no timeout of requests.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout=seconds)
    if failures:
        raise _unavailable(builder, f"{urls[0]} cannot be reached ({failures[0]})")


def _unavailable(builder, reason):
    infos = (builder.url_infos or {}).values()
    files = ", ".join(sorted({info.filename for info in infos if info.filename})[:4])
    return DatasetError(
        f"{builder.name!r} is not in {builder.data_path.parent} and could not be prepared: "
        f"{reason}. Connect to the network and try again, give data_dir (or set TFDS_DATA_DIR) to "
        f"a folder where TFDS has prepared it, or put the original files ({files or 'see TFDS'}) "
        "in a folder and give that as manual_dir"
    )


@contextlib.contextmanager
def _clean_up_after_failure(builder):
    """Remove TFDS's unfinished downloads and folders if the preparation fails."""
    root = pathlib.Path(builder.data_path)
    root = root.parents[len(builder.info.full_name.split("/")) - 1]  # data_dir itself
    patterns = ("downloads/**/*.tmp.*", f"{builder.name}/**/*incomplete*")
    before = {path for pattern in patterns for path in root.glob(pattern)}
    try:
        yield
    except BaseException:
        for path in {path for pattern in patterns for path in root.glob(pattern)} - before:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
        raise


def _read(builder, part, keys, image_size):
    image_size = _size_to_bring_to(builder, keys[0], image_size)
    try:
        dataset = builder.as_dataset(split=part, shuffle_files=False)
        dataset = dataset.map(lambda row: (row[keys[0]], row[keys[1]]))
        if image_size is not None:
            dataset = dataset.map(
                lambda image, label: (_square(image, image_size), label),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
        rows = dataset.batch(1024).prefetch(tf.data.AUTOTUNE)
        images, labels = zip(*rows.as_numpy_iterator(), strict=True)
    except (tf.errors.OpError, OSError, ValueError) as error:
        raise DatasetError(
            f"the {part} images of {builder.name!r} in {builder.data_path} cannot be read: "
            f"{_first_line(error)}. A file is damaged or missing: delete that folder and prepare "
            "the data again (connected, or with manual_dir), or give another data_dir"
        ) from error
    return Examples(np.concatenate(images), np.concatenate(labels).astype("int32"))


def _size_to_bring_to(builder, image_key, image_size):
    """The size asked for; else None where all images are square and of one size, else 64."""
    shape = builder.info.features[image_key].shape
    if image_size is None and (None in shape or shape[0] != shape[1]):
        return 64
    return image_size


def _square(image, size):
    """Crop the centre to a square and resize it to `(size, size)`, uint8."""
    side = tf.reduce_min(tf.shape(image)[:2])
    image = tf.image.resize_with_crop_or_pad(image, side, side)
    image = tf.image.resize(image, (size, size), antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)


def _first_line(error):
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
