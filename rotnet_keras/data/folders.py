"""Folders of pictures: which files count, and which classes they tell."""

from __future__ import annotations

import lzma
import os
import pathlib
import shutil
import tempfile
import zipfile
import zlib

from rotnet_keras._base.errors import DatasetError
from rotnet_keras._base.files import printable
from rotnet_keras._base.values import check_path

# HEIC and HEIF cannot be read, but must not be passed over in silence either.
PICTURES = (".avif", ".bmp", ".gif", ".heic", ".heif", ".jpeg", ".jpg", ".png", ".tif", ".tiff")
PICTURES += (".jfif", ".jpe", ".webp")
UNSOUND = (zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error, lzma.LZMAError)


def list_pictures(folder):
    """List the picture files in a folder and in those below it.

    Hidden files and folders are left out, and `__MACOSX`, which Macs put into zip archives: what
    they hold is named like pictures and is none.

    Args:
        folder: path.

    Returns:
        sorted list of `pathlib.Path`.

    Raises:
        DatasetError: there is no such folder, or no picture in it.
    """
    folder = _check_folder(folder)
    files = [file for file in folder.rglob("*") if file.suffix.lower() in PICTURES]
    files = [
        file for file in files if _is_shown(*file.relative_to(folder).parts) and not file.is_dir()
    ]
    if not files:
        raise DatasetError(f"{folder} holds no pictures ({', '.join(PICTURES)})")
    return sorted(files)


def list_classes(folder):
    """List the pictures of a folder that has one folder for each class.

    Returns:
        `{class name: list of files}`, in the order of the names.

    Raises:
        DatasetError: fewer than two classes, a class without pictures, or pictures beside them.
    """
    folder = _check_folder(folder)
    below = [entry for entry in sorted(folder.iterdir()) if _is_shown(entry.name)]
    loose = [file.name for file in below if file.suffix.lower() in PICTURES and file.is_file()]
    if loose:
        raise DatasetError(
            f"{folder} must hold a folder for each class, it holds {len(loose)} pictures beside "
            f"them, {printable(loose[0])} for one; put them into the folders of their classes"
        )
    classes = {entry.name: list_pictures(entry) for entry in below if entry.is_dir()}
    if len(classes) < 2:
        raise DatasetError(
            f"{folder} must hold a folder for each of two or more classes, got "
            f"{[printable(name) for name in classes]}"
        )
    return classes


def unpack_zip(path, folder):
    """Unpack a zip archive of pictures into a new folder.

    Args:
        path: of the archive.
        folder: to make; what is there already is left alone.

    Returns:
        `pathlib.Path` of the folder, or of the one folder in it if that is all there is.

    Raises:
        DatasetError: no zip archive, a damaged one, one with a file that would land elsewhere, or
            a folder that is there already.

    Example:
        >>> unpack_zip("pictures.zip", "pictures")  # doctest: +SKIP
        PosixPath('pictures')
    """
    check_path("path", path)
    check_path("folder", folder)
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
                raise DatasetError(f"{path} holds {size / 1e9:.1f} GB, which the disk has not left")
            archive.extractall(folder)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise DatasetError(f"path must be a zip archive, got {path}, which is no file") from error
    except (*UNSOUND, RuntimeError, OSError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"path {path} is no sound zip archive: {error}") from error


def _leaves(name, folder):
    target = pathlib.Path(os.path.normpath(folder / name.replace("\\", "/")))
    return not target.is_relative_to(folder)


def _check_folder(folder):
    check_path("folder", folder)
    if not pathlib.Path(folder).is_dir():
        raise DatasetError(f"folder must be one, {printable(folder)} is no folder")
    return pathlib.Path(folder)


def _is_shown(*names):
    return not any(name.startswith(".") or name == "__MACOSX" for name in names)
