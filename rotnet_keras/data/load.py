"""Real data, from TensorFlow Datasets, folders or arrays, divided for an experiment."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Annotated, Any, Literal

import numpy as np
import tensorflow as tf

from rotnet_keras._base.door import public
from rotnet_keras._base.errors import DatasetError, InputError, MissingPackageError
from rotnet_keras._base.names import printable
from rotnet_keras._base.values import Count, FilePath, Seed, Source, check_share, warn_caller
from rotnet_keras.data import garments
from rotnet_keras.data.decoding import Ground, White
from rotnet_keras.data.folders import list_pictures, say_left
from rotnet_keras.data.look import list_parts
from rotnet_keras.data.named import SIZE, find_builder, load_named, stream_named
from rotnet_keras.data.names import files_by_pixels
from rotnet_keras.data.pictures import (
    Broken,
    Channels,
    Fit,
    check_pictures,
    read_with_levels,
    stream_pictures,
)
from rotnet_keras.data.preparation import import_tfds
from rotnet_keras.data.repeats import LABELLED, TEST, UNLABELLED, check_repeats
from rotnet_keras.data.splits import Examples, Splits, make_splits
from rotnet_keras.running.batches import WINDOW_BYTES

STAND_IN = "garments"
READING = (  # the arguments that say how a folder, and its pictures, are read
    *("image_size", "fit", "channels", "ground", "white", "broken"),
    *("repeats", "parts", "follow_links"),
)


def _share(_, value):
    check_share(value)
    return tuple(value)


Share = Annotated[tuple[int, int], _share]
Repeats = Literal["raise", "keep"]
Parts = Literal["any", "named"]


@public()
def load_splits(
    name: Source = "fashion_mnist",
    *,
    num_labels: Count | None = None,
    num_validation: Count | None = None,
    seed: Seed = 0,
    data_dir: FilePath | None = None,
    manual_dir: FilePath | None = None,
    image_size: Count | None = None,
    fit: Fit = "crop",
    channels: Channels | None = None,
    ground: Ground = 255,
    white: White | None = None,
    broken: Broken = "raise",
    repeats: Repeats = "raise",
    parts: Parts = "any",
    follow_links: bool = False,
    fall_back: bool = False,
) -> Splits:
    """Load an image classification data set and divide its training images for few labels.

    Labelled and validation images are drawn with the classes in their proportions (on
    Fashion-MNIST 100 and 1,000 of each); all other training images become the unlabelled ones.
    The three are disjoint. Images of a split named `unlabelled`, such as the 100,000 of STL-10, are
    among the unlabelled ones, too. A data set without a `test` split lends its `validation` split,
    else a sixth of its training images that is the same for every seed. Everything is held in
    memory.

    A folder of your own pictures has one of three forms:

    - a folder for each class, named like it, and nothing else.
    - `labelled/` with such folders; `unlabelled/` with pictures, in folders or not; and, if you
      like, `test/` like `labelled/`.
    - a folder for training and one for the test, under any names that say so, which hold folders of
      the same names; `unlabelled/`, if you like. One for validation is the test set where there is
      no other. `labelled/` may be divided like this, too.

    All labels are used, unless `num_labels` says fewer: the other ones then serve to draw the
    classes in proportion and to measure on validation and test pictures, and for nothing else.
    Where all pictures have labels, none are unlabelled.

    Case does not matter in names of parts. What is not used, or passed over, is named in a warning
    of one line; what can be understood in two ways is refused.

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
        channels: of a folder's pictures, as in `read_pictures`, as are the next two.
        ground: what shows through transparency.
        white: the level of white in grey pictures of 16 bits.
        broken: what to do about files of a folder that cannot be read, as in `read_pictures`.
        repeats: "raise" where the same file is in two classes of a folder, or in the test set and
            among the training pictures. What a class has twice, or is unlabelled, too, is warned of
            and taken once, so that no copy of a picture that is drawn for the test or validation
            is learnt from. "keep" warns of all these, and takes all.
        parts: "any" as above; "named" takes only `labelled`, `unlabelled` and `test` for parts, and
            each other folder for a class, whatever it is called and holds.
        follow_links: whether links to folders outside a folder are followed, as in `list_pictures`.
        fall_back: where the data cannot be had, warn and draw the stand-in instead of raising
            `DatasetError`.

    Returns:
        `Splits`.

    Raises:
        DatasetError: the data cannot be had (no network, missing or damaged files).
        InputError: unknown name, no image classification data, more images asked for than there
            are, or a setting out of its range.

    Example:
        >>> splits = load_splits("garments", num_labels=100)
        >>> splits.labelled.images.shape, len(splits.unlabelled)
        ((100, 28, 28, 1), 49900)

    Reference: https://www.tensorflow.org/datasets/catalog/overview#image_classification
    """
    division: dict[str, Any] = {"num_validation": num_validation, "seed": seed}
    folder = as_folder(name)
    if folder is not None:
        listed = _list_parts(folder, parts, follow_links)
        form = image_size or SIZE, fit, channels
        reading = {"broken": broken, "ground": ground, "white": white}
        division["num_labels"] = num_labels
        return _read_parts(folder, listed, repeats, division, form, reading)
    stand_in = name == STAND_IN
    try:
        loaded = {} if stand_in else load_named(name, data_dir, manual_dir, image_size, fit)
    except DatasetError as error:
        if not fall_back:
            raise
        warn_caller(f"USING DRAWN STAND-IN GARMENTS, NO REAL DATA: {error}")
        name, stand_in = STAND_IN, True
    loaded = _draw_stand_in() if stand_in else loaded
    division["num_labels"] = 1000 if num_labels is None else num_labels
    images, labels = loaded.pop("train")
    splits = make_splits(images, labels, **loaded, name=name, **division)
    return dataclasses.replace(splits, stand_in=stand_in, fit=fit)


def as_folder(source):
    """The folder that is meant, or None where it is the name of a data set."""
    text = isinstance(source, str)
    if source == "":
        return None
    path = pathlib.Path(source)
    if path.is_dir():
        return None if text and _is_known(source.split("/")[0]) else path
    if text and not path.is_absolute() and len(path.parts) < 3:  # as "cifar10_1/v4" has
        return None
    raise DatasetError(f"{path} is no folder")


def _is_known(name):
    try:
        return name in {STAND_IN, *import_tfds().list_builders()}
    except MissingPackageError:  # only what reads TFDS needs it
        return False


def _list_parts(folder, parts, follow_links):
    """`{class: files}` to learn from, the same of the test, and files without labels."""
    listed, left, notes = list_parts(folder, parts, follow_links)
    say_left(folder, left, notes)
    return listed


def _read_parts(folder, listed, repeats, division, form, reading):
    """`Splits` of the files that a folder holds."""
    classes, test, unlabelled = listed
    names = list(classes)
    parts = [_with_labels(classes, names), _with_labels(test, names)]
    parts.append((unlabelled, [-1] * len(unlabelled)))
    # All in one go, for one list of broken files and one answer to whether all are grey.
    files = [file for some, _ in parts for file in some]
    images, read, white = read_with_levels(files, form, **reading)
    labels = np.array([label for _, some in parts for label in some], "int32")[read]
    part = np.repeat([LABELLED, TEST, UNLABELLED], [len(some) for some, _ in parts])[read]
    sound = [file for file, whole in zip(files, read, strict=True) if whole]
    once = check_repeats(sound, images, part, labels, repeats)
    if not once.all():
        images, labels, part = images[once], labels[once], part[once]
        sound = [file for file, taken in zip(sound, once, strict=True) if taken]
    bounds = np.searchsorted(part, [TEST, UNLABELLED])
    train, tested, unlabelled = zip(np.split(images, bounds), np.split(labels, bounds), strict=True)
    splits = make_splits(
        *train,
        unlabelled=unlabelled[0] if len(unlabelled[0]) else None,
        test=tested if test else None,
        class_names=names,
        name=folder.resolve().name,
        **division,
    )
    skipped = tuple(str(file) for file, whole in zip(files, read, strict=True) if not whole)
    read_as = {"fit": form[1], "ground": reading["ground"], "white": white}
    named = files_by_pixels(images, sound, folder)
    return dataclasses.replace(splits, skipped=skipped, files=named, **read_as)


def _with_labels(classes, names):
    files = [file for some in classes.values() for file in some]
    return files, [names.index(name) for name, some in classes.items() for _ in some]


@public()
def stream_images(
    source: Source,
    *,
    image_size: Count | None = None,
    fit: Fit = "crop",
    channels: Channels | None = None,
    ground: Ground = 255,
    white: White | None = None,
    broken: Broken = "raise",
    follow_links: bool = False,
    split: Source = "train",
    share: Share = (0, 1),
    seed: Seed = 0,
    data_dir: FilePath | None = None,
) -> tf.data.Dataset:
    """Read images without labels one by one, for more of them than memory holds.

    Args:
        source: a folder of pictures, those in folders below it, too, or the name of an image
            classification data set of TensorFlow Datasets; told apart as by `load_splits`.
        image_size: height and width to bring all images to, with antialiasing; for a folder it must
            be given.
        fit: how oblong images become square, as in `read_pictures`.
        channels: 3, or 1 for grey, of the pictures of a folder; None is 3.
        ground: what shows through transparency, as in `read_pictures`.
        white: as in `read_pictures`; to find it, all are read once beforehand.
        broken: what to do about files of a folder that cannot be read, as in `read_pictures`; to
            find them, all are read once beforehand. (Up to 64 MB of images are kept then.)
        follow_links: whether links to folders outside a folder are followed, as in `list_pictures`.
        split: of a named data set, as TFDS writes it, for example "train[:50%]". "train" alone
            takes the images of a split named `unlabelled`, too; "train[:100%]" does not.
        share: `(host, hosts)`: read this process's part alone, where several train together.
        seed: of the order of a folder's files.
        data_dir: as in `load_splits`.

    Returns:
        `tf.data.Dataset` of images `(S, S, C)`, 0..255, of known number, for `pretrain`; uint8, or
        what a named data set holds. Each iteration has the same order.

    Raises:
        DatasetError: there is no such folder or no picture in it, pictures that cannot be read, or
            the data set cannot be had.
        InputError: an unknown name, a folder without `image_size`, or an argument out of its range.

    Example:
        >>> import keras, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> keras.utils.save_img(f"{folder}/one.png", np.zeros((20, 30, 3)), scale=False)
        >>> stream_images(folder, image_size=16).element_spec.shape
        TensorShape([16, 16, 3])
    """
    folder = as_folder(source)
    if folder is None:
        try:
            builder = find_builder(str(source), data_dir)
        except (DatasetError, MissingPackageError):
            raise
        except InputError as error:
            raise InputError(f"source: there is no folder {source}, and {error}") from error
        return stream_named(builder, str(split), image_size, fit, share)
    if image_size is None:
        raise InputError("image_size must be given for a folder of pictures, got None")
    host, hosts = share
    found = np.array(list_pictures(folder, follow_links=follow_links), dtype=object)
    if len(found) < hosts:
        raise DatasetError(
            f"{printable(folder)} must hold a picture for each of {hosts} hosts, got {len(found)}"
        )
    files = list(np.random.default_rng(seed).permutation(found)[host::hosts])
    channels = 3 if channels is None else channels
    reading: dict[str, Any] = {"broken": broken, "white": white, "folder": list(found)}
    if len(files) * image_size**2 * channels <= WINDOW_BYTES:  # held in any case, to be shuffled
        images, *_ = read_with_levels(files, (image_size, fit, channels), ground=ground, **reading)
        return tf.data.Dataset.from_tensor_slices(images)
    sound, white = check_pictures(files, image_size, **reading)
    form: dict[str, Any] = {"image_size": image_size, "fit": fit, "channels": channels}
    return stream_pictures(sound, ground=ground, white=white, **form)


def _draw_stand_in():
    """The stand-in is one fixed data set: only its division depends on the caller's seed."""
    train = Examples(*garments.draw_garments(60_000, seed=0))
    test = Examples(*garments.draw_garments(10_000, seed=1))
    return {"train": train, "test": test, "class_names": garments.CLASS_NAMES}
