"""Zip archives of pictures, as they come from any system."""

from __future__ import annotations

import codecs
import collections
import lzma
import os
import pathlib
import re
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from typing import Annotated

from rotnet_keras._base.door import public
from rotnet_keras._base.errors import DatasetError, InputError
from rotnet_keras._base.files import machine, make_folder, printable, runs
from rotnet_keras._base.values import FilePath, got, warn_caller
from rotnet_keras.data.folders import is_shown

UNSOUND = (zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error, lzma.LZMAError)
IS_UTF8 = 0x800  # of an entry's flags
UNICODE_PATH = 0x7075  # a field that Info-ZIP adds


def check_encoding(name, value):
    """Return the name of a text encoding that Python knows, or raise."""
    try:
        if b"a".decode(codecs.lookup(value).name) == "a":
            return value
    except (LookupError, TypeError, ValueError):
        pass
    raise InputError(f'{name} must be a text encoding, such as "cp932", got {got(value)}')


Encoding = Annotated[str, check_encoding]


@public()
def unpack_zip(
    path: FilePath, folder: FilePath, *, encoding: Encoding | None = None
) -> pathlib.Path:
    r"""Unpack a zip archive of pictures into a new folder.

    `\` in a name divides folders, as `/` does. Links and devices are not made; a warning counts
    them.

    Args:
        path: of the archive.
        folder: a new one, which is made.
        encoding: of the names that the archive does not mark as UTF-8, such as "cp932" (Japanese),
            "gbk" (Chinese) or "cp866" (Russian). None takes UTF-8 where they could be, else
            "cp437", which the format prescribes, and warns.

    Returns:
        `pathlib.Path` of the folder, or of the one folder in it if that is all there is.

    Raises:
        DatasetError: not a zip archive, an empty or damaged one, one with a file that would land
            outside the folder or on another one, names that are not in the encoding, or a folder
            that exists already.
        FileError: the folder cannot be made.

    Example:
        >>> unpack_zip("pictures.zip", "pictures")  # doctest: +SKIP
        PosixPath('pictures')
    """
    folder = pathlib.Path(os.path.abspath(folder))
    if folder.exists():
        raise DatasetError(f"folder must be a new one, {printable(folder)} is there already")
    if not pathlib.Path(path).is_file():  # from a pipe, reading would never come back
        raise DatasetError(f"path must be a zip archive, got {printable(path)}, which is no file")
    make_folder(folder.parent, "folder")
    own = f".unpacked-{machine()}-"
    _sweep(folder.parent, own)
    with tempfile.TemporaryDirectory(prefix=f"{own}{os.getpid()}.", dir=folder.parent) as beside:
        _unpack(path, pathlib.Path(beside) / "pictures", encoding)
        shutil.move(pathlib.Path(beside) / "pictures", folder)
    inside = [entry for entry in folder.iterdir() if is_shown(entry.name)]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _sweep(parent, own):
    """Remove what killed processes of this machine left; others may be unpacking."""
    for left in parent.glob(f"{own}*"):
        process = left.name.removeprefix(own).split(".")[0]
        if process.isdigit() and not runs(process):
            shutil.rmtree(left, ignore_errors=True)


def _unpack(path, folder, encoding):
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _named(path, archive.infolist(), encoding)
            size = sum(entry.file_size for entry in entries)
            if size > shutil.disk_usage(folder.parent).free:
                raise DatasetError(f"{path} holds {size / 1e9:.1f} GB, more than the disk has left")
            for entry in entries:
                archive.extract(entry, folder)
    except (*UNSOUND, RuntimeError, OSError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"path {path} is no sound zip archive: {error}") from error


def _named(path, entries, encoding):
    """The entries to unpack, each under the one name that is checked and written."""
    _set_names(path, entries, encoding)
    outside = [printable(entry.filename) for entry in entries if _leaves(entry.filename)]
    if outside:
        raise DatasetError(f"path {path} holds files that would land elsewhere: {outside}")
    for entry in entries:
        end = "/" if entry.filename.endswith("/") else ""
        entry.filename = "/".join(p for p in entry.filename.split("/") if p not in ("", ".")) + end
    kinds = collections.Counter(map(_kind, entries))
    odd = ", ".join(f"{kinds[kind]:,} {kind}" for kind in ("links", "devices") if kinds[kind])
    if odd:
        warn_caller(f"{path}: not unpacked: {odd}")
    entries = [entry for entry in entries if _kind(entry) in ("files", "folders")]
    if not kinds["files"]:
        raise DatasetError(f"path {path} must hold pictures, it is an empty zip archive")
    files = collections.Counter(e.filename for e in entries if _kind(e) == "files")
    twice = [printable(name) for name, count in files.items() if count > 1]
    if twice:
        raise DatasetError(f"path {path} holds several files of one name: {twice[:5]}")
    return entries


def _set_names(path, entries, encoding):
    guessed = {}
    for entry in entries:
        name, guess = _decoded(path, entry, encoding)
        name = name.replace("\\", "/")
        if guess:
            guessed.setdefault(guess, name)
        entry.filename = name
    for guess, example in guessed.items():
        warn_caller(
            f"{path}: names are not marked as UTF-8 and were read as {guess}, such as "
            f'{printable(example)}; if that is wrong, say which with encoding="cp932" or the like'
        )


def _decoded(path, entry, encoding):
    """An entry's name, and what encoding it was taken for where nobody says."""
    name = entry.orig_filename.partition("\0")[0]
    if entry.flag_bits & IS_UTF8 or name.isascii():
        return name, None
    raw = name.encode("cp437")  # as zipfile has decoded it, which loses nothing
    marked = _unicode_path(entry.extra, raw)
    if marked is not None:
        return marked, None
    for guess in ("utf-8", "cp437") if encoding is None else (encoding,):
        try:
            return raw.decode(guess), guess if encoding is None else None
        except UnicodeDecodeError:
            continue
    raise DatasetError(
        f"encoding must be that of the names in {path}, got {encoding!r}, which {raw!r} is not in"
    )


def _unicode_path(extra, raw):
    """The name that Info-ZIP gives besides, if it was made for this one; else None."""
    while len(extra) >= 4:
        field, size = struct.unpack_from("<HH", extra)
        content, extra = extra[4 : 4 + size], extra[4 + size :]
        sound = field == UNICODE_PATH and len(content) > 5 and content[0] == 1
        if sound and struct.unpack_from("<L", content, 1)[0] == zlib.crc32(raw):
            try:
                return content[5:].decode("utf-8")
            except UnicodeDecodeError:
                return None
    return None


def _leaves(name):
    parts = name.split("/")
    nowhere = {*parts} <= {"", "."} and not name.endswith("/")
    drive = re.match("[A-Za-z]:", name) is not None
    return nowhere or drive or name.startswith("/") or ".." in parts


def _kind(entry):
    """What an archive made on Unix says that an entry is."""
    mode = stat.S_IFMT(entry.external_attr >> 16)
    if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "links" if mode == stat.S_IFLNK else "devices"
    return "folders" if entry.filename.endswith("/") else "files"
