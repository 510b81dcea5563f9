"""Data sets by name, from TensorFlow Datasets."""

from __future__ import annotations

import contextlib
import difflib
import pathlib
import shutil
import threading

import numpy as np
import tensorflow as tf

from rotnet_keras._base.errors import DatasetError, InputError
from rotnet_keras.data.pictures import square
from rotnet_keras.data.splits import Examples

SIZE = 64  # that images of many sizes are brought to, unless another is asked for


def stream_named(name, split, data_dir, image_size, fit, share):
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


def load_named(name, data_dir, manual_dir, image_size, fit):
    builder = _find_builder(name, data_dir)
    image_key, label_key = _supervised_keys(builder)
    _prepare(builder, manual_dir)
    parts = builder.info.splits
    if "train" not in parts:
        raise InputError(f"name must be a data set with a train split, {name!r} has {list(parts)}")
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
        raise InputError(
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
        raise InputError(
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
