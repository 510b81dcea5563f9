"""Folders of pictures: which files count, and which classes they tell."""

from __future__ import annotations

import lzma
import os
import pathlib
import shutil
import tempfile
import zipfile
import zlib

from rotnet_keras._base.door import public
from rotnet_keras._base.errors import DatasetError
from rotnet_keras._base.files import printable
from rotnet_keras._base.values import FilePath

# HEIC and HEIF cannot be read, but must not be passed over in silence either.
PICTURES = (
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png"),
    *(".tif", ".tiff", ".webp"),
)
UNSOUND = (zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error, lzma.LZMAError)


@public()
def list_pictures(folder: FilePath) -> list[pathlib.Path]:
    """List the picture files in a folder and in those below it.

    Hidden files and folders are left out, and so is `__MACOSX`, which Macs put into zip archives:
    its files are named like pictures but are not.

    Args:
        folder: path.

    Returns:
        sorted list of `pathlib.Path`.

    Raises:
        DatasetError: there is no such folder, or no picture in it.
    """
    root = _existing(folder)
    files = [file for file in root.rglob("*") if file.suffix.lower() in PICTURES]
    files = [
        file for file in files if _is_shown(*file.relative_to(root).parts) and not file.is_dir()
    ]
    if not files:
        raise DatasetError(f"{folder} holds no pictures ({', '.join(PICTURES)})")
    return sorted(files)


@public()
def list_classes(folder: FilePath) -> dict[str, list[pathlib.Path]]:
    """List the pictures of a folder that has one folder for each class.

    Returns:
        `{class name: list of files}`, in the order of the names.

    Raises:
        DatasetError: fewer than two classes, a class without pictures, or pictures beside them.
    """
    root = _existing(folder)
    below = [entry for entry in sorted(root.iterdir()) if _is_shown(entry.name)]
    loose = [file.name for file in below if file.suffix.lower() in PICTURES and file.is_file()]
    if loose:
        raise DatasetError(
            f"{folder} must hold a folder for each class, it holds {len(loose)} pictures beside "
            f"them, such as {printable(loose[0])}; put them into the folders of their classes"
        )
    classes = {entry.name: list_pictures(entry) for entry in below if entry.is_dir()}
    if len(classes) < 2:
        raise DatasetError(
            f"{folder} must hold a folder for each of two or more classes, got "
            f"{[printable(name) for name in classes]}"
        )
    return classes


@public()
def unpack_zip(path: FilePath, folder: FilePath) -> pathlib.Path:
    """Unpack a zip archive of pictures into a new folder.

    Args:
        path: of the archive.
        folder: a new one, which is made.

    Returns:
        `pathlib.Path` of the folder, or of the one folder in it if that is all there is.

    Raises:
        DatasetError: not a zip archive, a damaged one, one with a file that would land outside
            the folder, or a folder that exists already.

    Example:
        >>> unpack_zip("pictures.zip", "pictures")  # doctest: +SKIP
        PosixPath('pictures')
    """
    folder = pathlib.Path(os.path.abspath(folder))
    if folder.exists():
        raise DatasetError(f"folder must be a new one, {folder} is there already")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacked", dir=folder.parent) as beside:
        _unpack(path, pathlib.Path(beside) / "pictures")
        shutil.move(pathlib.Path(beside) / "pictures", folder)
    inside = [entry for entry in folder.iterdir() if _is_shown(entry.name)]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _unpack(path, folder):
    try:
        with zipfile.ZipFile(path) as archive:
            outside = [name for name in archive.namelist() if _leaves(name, folder)]
            if outside:
                raise DatasetError(f"path {path} holds files that would land elsewhere: {outside}")
            size = sum(info.file_size for info in archive.infolist())
            if size > shutil.disk_usage(folder.parent).free:
                raise DatasetError(f"{path} holds {size / 1e9:.1f} GB, more than the disk has left")
            archive.extractall(folder)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise DatasetError(
            f"path must be a zip archive, got {path}, which is not a file"
        ) from error
    except (*UNSOUND, RuntimeError, OSError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"path {path} is no sound zip archive: {error}") from error


def _leaves(name, folder):
    target = pathlib.Path(os.path.normpath(folder / name.replace("\\", "/")))
    return not target.is_relative_to(folder)


def _existing(folder):
    if not pathlib.Path(folder).is_dir():
        raise DatasetError(f"folder must be an existing one, {printable(folder)} is no folder")
    return pathlib.Path(folder)


def _is_shown(*names):
    return not any(name.startswith(".") or name == "__MACOSX" for name in names)
