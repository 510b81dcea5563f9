"""Real data, from TensorFlow Datasets, folders or arrays, divided for an experiment."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
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
    check_counts,
    check_counts_or_none,
    check_every_class,
    check_examples,
    check_images,
    check_labels,
    check_list,
    check_paths,
    check_seed,
    check_share,
    check_source,
    got,
)
from rotnet_keras.pictures import (
    DatasetError,
    check_pictures,
    check_reading,
    list_classes,
    list_pictures,
    read_pictures,
    square,
    stream_pictures,
)
from rotnet_keras.rotation import WINDOW_BYTES, check_upright

STAND_IN = "garments"
# Parts of a data set by other names than those that are asked for.
NO_CLASSES = {"labeled", "unlabeled", "unlabelled", "train", "test", "validation", "val"}
SIZE = 64  # that images of many sizes are brought to, unless another is asked for


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
        fit: how oblong pictures became squares, as in `read_pictures`.
        skipped: files of a folder that could not be read.
    """

    name: str
    class_names: tuple[str, ...]
    unlabelled: np.ndarray
    labelled: Examples
    validation: Examples
    test: Examples
    stand_in: bool = False
    fit: str = "crop"
    skipped: tuple[str, ...] = ()

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
    num_labels=None,
    num_validation=None,
    seed=0,
    data_dir=None,
    manual_dir=None,
    image_size=None,
    fit="crop",
    channels=None,
    broken="raise",
    fall_back=False,
):
    """Load an image classification data set and divide its training images for few labels.

    Labelled and validation images are drawn with the classes in their proportions (on
    Fashion-MNIST 100 and 1,000 of each); all other training images become the unlabelled ones.
    The three are disjoint. A data set without a `test` split lends its `validation` split, else a
    sixth of its training images that is the same for every seed. Everything is held in memory.

    A folder of your own pictures has one of two forms:

    - `unlabelled/` with pictures, in folders or not; `labelled/` with a folder for each class,
      named like it; and, if you like, `test/` with the same. All labels are used, unless
      `num_labels` says fewer.
    - a folder for each class, and nothing else: then `num_labels` must be given. All labels serve
      to draw in proportion, and those of test and validation pictures to measure; no others.

    Args:
        name: any image classification data set of TensorFlow Datasets; "garments" for the drawn
            stand-in; or a folder, a `pathlib.Path` or text. (Text that TFDS knows as a name is that
            data set: say "./mnist" for a folder of that name.)
        num_labels: labelled images in all; None for 1,000, of a folder as above.
        num_validation: validation images in all; None for a sixth of the training images, of a
            folder a sixth of those with labels.
        seed: of the draw; the same seed gives the same images.
        data_dir: where prepared data lies or is to be prepared, instead of TFDS's own place
            (`TFDS_DATA_DIR`, else `~/tensorflow_datasets`).
        manual_dir: folder with the data set's original files, downloaded by hand.
        image_size: height and width to bring all images to, with antialiasing. None leaves a named
            data set's square images of one size as they are and brings others to 64.
        fit: how oblong images become square, as in `read_pictures`.
        channels: of a folder's pictures, as in `read_pictures`.
        broken: what to do about files of a folder that cannot be read, as in `read_pictures`.
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
    division = {"num_labels": num_labels, "num_validation": num_validation}
    check_counts_or_none(**division)
    check_source("name", name)
    check_paths(data_dir=data_dir, manual_dir=manual_dir)
    check_seed(seed)
    check_reading(image_size, fit, channels, broken)
    division["seed"] = seed
    folder = _as_folder(name)
    if folder is not None:
        reading = {"fit": fit, "channels": channels, "broken": broken}
        return _load_folder(folder, division, image_size=image_size or SIZE, **reading)
    try:
        if name == STAND_IN:
            train, test, class_names = _draw_stand_in()
        else:
            train, test, class_names = _load_tfds(name, data_dir, manual_dir, image_size, fit)
    except DatasetError as error:
        if not fall_back:
            raise
        warnings.warn(f"USING DRAWN STAND-IN GARMENTS, NO REAL DATA: {error}", stacklevel=2)
        name = STAND_IN
        train, test, class_names = _draw_stand_in()
    division["num_labels"] = 1000 if num_labels is None else num_labels
    splits = make_splits(*train, test=test, class_names=class_names, name=name, **division)
    return dataclasses.replace(splits, stand_in=name == STAND_IN, fit=fit)


def make_splits(
    images,
    labels=None,
    *,
    unlabelled=None,
    test=None,
    class_names=None,
    name="images",
    num_labels=None,
    num_validation=None,
    seed=0,
):
    """Divide images of your own, arrays or datasets, as `load_splits` divides a named data set.

    Args:
        images: `(N, S, S, C)` array of pixels 0..255, or a `tf.data.Dataset` of single
            `(image, label)` pairs.
        labels: `(N,)` whole numbers from 0, each class several times; None for a dataset.
        unlabelled: more images without labels, an array or a dataset of single images.
        test: `(images, labels)`, or a dataset of pairs; None takes a sixth of the labelled images
            away, the same ones for every seed.
        class_names: one a class; None names them by their numbers.
        name: of the data, for titles.
        num_labels: labelled images in all; the others join the unlabelled ones. None for all there
            are, where there are unlabelled ones.
        num_validation: validation images in all; None for a sixth of the labelled ones.
        seed: of the draw.

    Returns:
        `Splits`, in memory.

    Raises:
        ValueError: arguments that do not fit together, or more images asked for than there are.

    Example:
        >>> images = np.zeros((60, 12, 12, 1), "uint8")
        >>> splits = make_splits(images, np.arange(60) % 2, unlabelled=images)
        >>> [len(part.labels) for part in (splits.labelled, splits.validation, splits.test)]
        [42, 8, 10]
    """
    check_counts_or_none(num_labels=num_labels, num_validation=num_validation)
    check_seed(seed)
    check_source("name", name)
    if class_names is not None:
        class_names = check_list("class_names", class_names, "name")
        if len(class_names) < 2:
            raise ValueError(f"class_names must be two or more, got {got(class_names)}")
    images, labels = _examples("images", images, labels)
    check_upright(images)
    images, labels, num_classes = check_every_class(
        images, labels, None if class_names is None else len(class_names)
    )
    train = Examples(images, labels.astype("int32"))
    unlabelled = None if unlabelled is None else _stacked("unlabelled", unlabelled)
    names = [str(name) for name in class_names or range(num_classes)]
    if test is None:
        train, test = _take(train, max(len(train.labels) // 6, num_classes), seed=0)
    else:
        pair = (test, None) if isinstance(test, tf.data.Dataset) else test
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ValueError(
                f"test must be (images, labels), or a dataset of such pairs, got {got(test)}"
            )
        test = _examples("test", *pair)
    _check_alike(train, unlabelled, test, num_classes)
    if num_validation is None:
        num_validation = max(len(train.labels) // 6, num_classes)
    parts = _divide(train, unlabelled, num_labels, num_validation, num_classes, seed)
    test = Examples(test.images, test.labels.astype("int32"))
    return Splits(str(name), tuple(names), *parts, test)


def _divide(train, unlabelled, num_labels, num_validation, num_classes, seed):
    """Unlabelled images, labelled and validation examples."""
    left = len(train.labels) - num_validation
    if unlabelled is not None and num_labels in (None, left):
        if not num_classes <= num_validation <= len(train.labels) - num_classes:
            raise ValueError(
                f"num_validation must lie in {num_classes}..{len(train.labels) - num_classes}, so "
                f"that each class can be learnt and watched, got {num_validation}"
            )
        labelled, validation = _take(train, num_validation, seed=seed)
        _check_classes_left(train.labels, labelled.labels, "num_validation", num_validation)
        return unlabelled, labelled, validation
    if num_labels is None:
        raise ValueError(
            "num_labels must be given where no images are without labels, got None; it may be up "
            f"to {left - num_classes}"
        )
    counts = {"num_labels": num_labels, "num_validation": num_validation}
    rest, *drawn = split_indices(train.labels, **counts, seed=seed)
    rest = train.images[rest]
    unlabelled = rest if unlabelled is None else np.concatenate([unlabelled, rest])
    return unlabelled, *(Examples(train.images[i], train.labels[i]) for i in drawn)


def _check_alike(train, unlabelled, test, num_classes):
    """Raise unless all images are of one shape and the test's labels are known classes."""
    wanted = train.images.shape[1:]
    for argument, images in (("unlabelled", unlabelled), ("test", test.images)):
        if images is not None and images.shape[1:] != wanted:
            raise ValueError(
                f"{argument} must have images like the others, {wanted}, got {images.shape[1:]}"
            )
    lowest, highest = test.labels.min(), test.labels.max()
    if lowest < 0 or highest >= num_classes:
        raise ValueError(f"test must have labels in 0..{num_classes - 1}, got {lowest}..{highest}")


def _examples(argument, images, labels):
    """Check labelled images of whatever form, and bring them into arrays."""
    whose = "test " if argument == "test" else ""
    if isinstance(images, tf.data.Dataset):
        if labels is not None:
            raise ValueError(
                f"{whose}labels must be None for a dataset, which holds them, got {got(labels)}"
            )
        if not isinstance(images.element_spec, tuple) or len(images.element_spec) != 2:
            raise ValueError(
                f"{argument} must be a dataset of pairs (image, label), got {images.element_spec}"
            )
        pairs = _listed(argument, images)
        if not pairs:
            raise ValueError(f"{argument} must hold at least one image, got none")
        images, labels = map(list, zip(*pairs, strict=True))
    return Examples(*check_examples(images, labels, whose=whose))


def _stacked(argument, images):
    if isinstance(images, tf.data.Dataset):
        if not isinstance(images.element_spec, tf.TensorSpec):
            raise ValueError(
                f"{argument} must be a dataset of single images, got {images.element_spec}"
            )
        images = _listed(argument, images)
    return check_images(images, argument)


def _listed(argument, dataset):
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(f"{argument} must be a dataset that ends, got one that goes on for ever")
    return list(dataset.as_numpy_iterator())


def _take(examples, count, *, seed):
    """Divide examples into the others and `count` drawn ones."""
    labels = examples.labels
    parts = _stratified(np.arange(len(labels)), labels, count, seed)
    return [Examples(examples.images[part], labels[part]) for part in parts]


def _as_folder(source):
    """The folder that is meant, or None where it is the name of a data set."""
    text = isinstance(source, str)
    if not source or not isinstance(source, (str, os.PathLike)):
        return None
    path = pathlib.Path(source)
    if path.is_dir():
        return None if text and _is_known(source.split("/")[0]) else path
    if text and not path.is_absolute() and len(path.parts) < 3:  # as "cifar10_1/v4" has
        return None
    raise DatasetError(f"{path} is no folder")


def _is_known(name):
    import tensorflow_datasets as tfds  # takes seconds, which a path need not wait for

    return name in {STAND_IN, *tfds.list_builders()}


def _load_folder(folder, division, **reading):
    """`Splits` of a folder of pictures, in one of its two forms."""
    if not (folder / "labelled").is_dir():
        classes, unlabelled, test = list_classes(folder), [], {}
        parts = [name for name in classes if name.lower() in NO_CLASSES]
        if parts:
            raise DatasetError(
                f"{folder} must hold folders named labelled, unlabelled and, if you like, test, or "
                f"a folder for each class, got {parts}, which are no names of classes"
            )
    else:
        classes, unlabelled = (
            list_classes(folder / "labelled"),
            list_pictures(folder / "unlabelled"),
        )
        test = list_classes(folder / "test") if (folder / "test").is_dir() else {}
    names = list(classes)
    if not test.keys() <= classes.keys():
        raise DatasetError(f"{folder / 'test'} must hold classes of {names}, got {list(test)}")
    parts = [_with_labels(classes, names), _with_labels(test, names)]
    parts.append((unlabelled, [-1] * len(unlabelled)))
    # All in one go, for one list of broken files and one answer to whether all are grey.
    files = [file for some, _ in parts for file in some]
    images, read = read_pictures(files, **reading)
    sound = np.split(read, np.cumsum([len(some) for some, _ in parts])[:-1])
    images = np.split(images, np.cumsum([part.sum() for part in sound])[:-1])
    labels = [
        np.array(labels, "int32")[part] for (_, labels), part in zip(parts, sound, strict=True)
    ]
    splits = make_splits(
        images[0],
        labels[0],
        unlabelled=images[2] if len(images[2]) else None,
        test=(images[1], labels[1]) if test else None,
        class_names=names,
        name=folder.resolve().name,
        **division,
    )
    skipped = tuple(str(file) for file, whole in zip(files, read, strict=True) if not whole)
    return dataclasses.replace(splits, fit=reading["fit"], skipped=skipped)


def _with_labels(classes, names):
    files = [file for some in classes.values() for file in some]
    return files, [names.index(name) for name, some in classes.items() for _ in some]


def stream_images(
    source,
    *,
    image_size=None,
    fit="crop",
    channels=None,
    broken="raise",
    split="train",
    share=(0, 1),
    seed=0,
    data_dir=None,
):
    """Read images without labels one by one, for more of them than memory holds.

    Args:
        source: a folder of pictures, those in folders below it, too, or the name of an image
            classification data set of TensorFlow Datasets; told apart as by `load_splits`.
        image_size: height and width to bring all images to, with antialiasing; for a folder it must
            be given.
        fit: how oblong images become square, as in `read_pictures`.
        channels: 3, or 1 for grey, of the pictures of a folder; None is 3.
        broken: what to do about files of a folder that cannot be read, as in `read_pictures`; to
            find them, all are read once beforehand. (Up to 64 MB of images are kept then.)
        split: of a named data set, as TFDS writes it, for example "train[:50%]".
        share: `(host, hosts)`: read this process's part alone, where several train together.
        seed: of the order of a folder's files.
        data_dir: as in `load_splits`.

    Returns:
        `tf.data.Dataset` of images `(S, S, C)`, 0..255, of known number, for `pretrain`; uint8, or
        what a named data set holds. Each iteration has the same order.

    Raises:
        DatasetError: there is no such folder or no picture in it, pictures that cannot be read, or
            the data set cannot be had.
        ValueError: an unknown name, a folder without `image_size`, or an argument out of its range.

    Example:
        >>> import keras, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> keras.utils.save_img(f"{folder}/one.png", np.zeros((20, 30, 3)), scale=False)
        >>> stream_images(folder, image_size=16).element_spec.shape
        TensorShape([16, 16, 3])
    """
    check_reading(image_size, fit, channels, broken)
    check_source("source", source)
    check_source("split", split)
    check_share(share)
    check_paths(data_dir=data_dir)
    check_seed(seed)
    folder = _as_folder(source)
    if folder is None:
        try:
            return _stream_tfds(str(source), split, data_dir, image_size, fit, share)
        except ValueError as error:
            raise ValueError(f"source: there is no folder {source}, and {error}") from error
    if image_size is None:
        raise ValueError("image_size must be given for a folder of pictures, got None")
    host, hosts = share
    files = np.random.default_rng(seed).permutation(list_pictures(folder))[host::hosts]
    channels = 3 if channels is None else channels
    form = {"image_size": image_size, "fit": fit, "channels": channels}
    if len(files) * image_size**2 * channels <= WINDOW_BYTES:  # held in any case, to be shuffled
        images, _ = read_pictures(list(files), broken=broken, **form)
        return tf.data.Dataset.from_tensor_slices(images)
    return stream_pictures(check_pictures(list(files), broken=broken), **form)


def _stream_tfds(name, split, data_dir, image_size, fit, share):
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
        lambda image: square(image, image_size, fit), num_parallel_calls=tf.data.AUTOTUNE
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
    check_seed(seed, largest=2**32 - 1)
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
    _check_classes_left(labels, labels[labelled], "num_labels", num_labels)
    return unlabelled, labelled, validation


def _check_classes_left(labels, labelled, argument, value):
    """Raise where a rare class has no labelled image to learn from."""
    missing = np.setdiff1d(labels, labelled)
    if len(missing):
        size = "small" if argument == "num_validation" else "large"
        raise ValueError(
            f"{argument} must be {size} enough to leave each class labelled images, got {value}, "
            f"which leaves out the rare classes {missing.tolist()}"
        )


def _stratified(indices, labels, count, seed):
    """Divide indices into the others and `count` drawn ones, classes in proportion."""
    try:
        return train_test_split(
            indices, test_size=count, stratify=labels[indices], random_state=seed
        )
    except ValueError as error:
        classes, counts = np.unique(labels, return_counts=True)
        raise ValueError(
            "labels must hold each class several times to be divided, class "
            f"{classes[counts.argmin()]} is too rare with {counts.min()} images: {error}"
        ) from error


def _draw_stand_in():
    """The stand-in is one fixed data set: only its division depends on the caller's seed."""
    train = Examples(*garments.draw_garments(60_000, seed=0))
    test = Examples(*garments.draw_garments(10_000, seed=1))
    return train, test, garments.CLASS_NAMES


def _load_tfds(name, data_dir, manual_dir, image_size, fit):
    builder = _find_builder(name, data_dir)
    image_key, label_key = _supervised_keys(builder)
    _prepare(builder, manual_dir)
    parts = builder.info.splits
    if "train" not in parts:
        raise ValueError(f"name must be a data set with a train split, {name!r} has {list(parts)}")
    class_names = builder.info.features[label_key].names
    keys = (image_key, label_key)
    train = _read(builder, "train", keys, image_size, fit)
    held_out = next((part for part in ("test", "validation") if part in parts), None)
    test = None if held_out is None else _read(builder, held_out, keys, image_size, fit)
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


def _read(builder, part, keys, image_size, fit):
    image_size = _size_to_bring_to(builder, keys[0], image_size)
    try:
        dataset = builder.as_dataset(split=part, shuffle_files=False)
        dataset = dataset.map(lambda row: (row[keys[0]], row[keys[1]]))
        if image_size is not None:
            dataset = dataset.map(
                lambda image, label: (square(image, image_size, fit), label),
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
    """The size asked for; else None where all images are square and of one size, else `SIZE`."""
    shape = builder.info.features[image_key].shape
    if image_size is None and (None in shape or shape[0] != shape[1]):
        return SIZE
    return image_size


def _first_line(error):
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
