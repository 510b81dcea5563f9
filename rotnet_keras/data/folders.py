"""Folders of pictures: which files count, and which classes they tell."""

from __future__ import annotations

import collections
import difflib
import os
import pathlib
import re
import unicodedata

from rotnet_keras._base.door import public
from rotnet_keras._base.errors import DatasetError
from rotnet_keras._base.files import printable
from rotnet_keras._base.values import FilePath, warn_caller

# HEIC and HEIF cannot be read, but must not be passed over in silence either.
PICTURES = (
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png"),
    *(".tif", ".tiff", ".webp"),
)
# Files of these endings lie beside pictures by the thousand; none is opened to see what it is.
NO_PICTURES = (".csv", ".json", ".md", ".npy", ".txt", ".xml", ".yaml", ".yml")
# How pictures begin, whatever their names end in.
BEGINNING = re.compile(
    rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|II[*+]\0|MM\0[*+]|RIFF....WEBP"
    rb"|....ftyp(avi[fs]|hei[cfmsx]|hev[cmsx]|mif1|msf1)"
    rb"|BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0|P[1-6]\s(#|\s*\d+\s)",
    re.DOTALL,
)
LITTER = ("__MACOSX", "Thumbs.db", "desktop.ini", "Icon\r")  # what Macs and Windows leave
ONE_CLASS = "; if its pictures have no labels, give that folder itself, or call it unlabelled"
OUTSIDE = "links out of it (follow_links=True takes them)"


@public()
def list_pictures(folder: FilePath, *, follow_links: bool = False) -> list[pathlib.Path]:
    """List the picture files in a folder and in those below it.

    They are known by their endings or by how they begin. Hidden files and folders are left out, and
    so is `__MACOSX`, which Macs put into zip archives: its files are named like pictures but are
    not. Other files are counted by their endings in a warning of one line.

    Args:
        folder: path.
        follow_links: whether links to folders outside this one are followed. Those that lead within
            it are, in any case; no folder is listed twice.

    Returns:
        sorted list of `pathlib.Path`.

    Raises:
        DatasetError: there is no such folder, or no picture in it.
    """
    left: collections.Counter[str] = collections.Counter()
    files = gather(folder, left, follow_links=follow_links)
    say_left(folder, left)
    return files


@public()
def list_classes(folder: FilePath, *, follow_links: bool = False) -> dict[str, list[pathlib.Path]]:
    """List the pictures of a folder that has one folder for each class.

    Args:
        folder: path.
        follow_links: as in `list_pictures`. A class's own folder may be a link to anywhere.

    Returns:
        `{class name: list of files}`, in the order of the names.

    Raises:
        DatasetError: fewer than two classes, a class without pictures, pictures beside them, or
            names that differ by nothing but case or by how their accents are written.
    """
    left: collections.Counter[str] = collections.Counter()
    classes = gather_classes(folder, left, follow_links=follow_links)
    say_left(folder, left)
    return classes


def gather(folder, left, *, root=None, follow_links=False):
    """The pictures below a folder, sorted; `left` counts by ending what is passed over.

    A link to a folder is followed where it leads within `root`, by default `folder`.
    """
    top = existing_folder(folder)
    roots = {os.path.realpath(place) for place in (root or top, top)}
    passed: collections.Counter[str] = collections.Counter()
    found = _walk(top, passed, None if follow_links else roots)
    # By their parts, as paths are; paths themselves take five times as long to be compared.
    files = list(map(pathlib.Path, sorted(found, key=lambda file: file.split(os.sep))))
    if not files:
        seen = f"; passed over: {in_words(passed)}" if passed else ""
        raise DatasetError(f"{printable(folder)} holds no pictures ({', '.join(PICTURES)}){seen}")
    left.update(passed)
    return files


def has_pictures(folder, *, follow_links=False):
    """Whether `gather` would find a picture; most often the first file is one."""
    roots = None if follow_links else {os.path.realpath(folder)}
    return next(_walk(folder, collections.Counter(), roots), None) is not None


def gather_classes(folder, left, *, root=None, follow_links=False, least=2):
    """The pictures of each class, by its name; arguments as of `gather`, and the fewest classes."""
    top = existing_folder(folder)
    entries = sorted(entry for entry in top.iterdir() if is_shown(entry.name))
    folders = [entry for entry in entries if entry.is_dir()]
    loose = [e.name for e in sorted({*entries} - {*folders}) if sort_file(e, left)]
    if loose:
        raise DatasetError(
            f"{printable(folder)} must hold a folder for each class, it holds {len(loose)} pictures"
            f" beside them, such as {printable(loose[0])}; put them into the folders of their "
            "classes"
        )
    names = [entry.name for entry in folders]
    _check_names(folder, names)
    if len(names) < least:
        raise DatasetError(
            f"{printable(folder)} must hold a folder for each of two or more classes, got "
            f"{[printable(name) for name in names]}" + ONE_CLASS * (len(names) == 1)
        )
    linked = {"root": root or top, "follow_links": follow_links}
    return {entry.name: gather(entry, left, **linked) for entry in folders}


def _walk(top, left, roots):
    """Yield paths of pictures; links to folders come last: each is listed where it really is."""
    waiting, links, seen = [os.fspath(top)], [], set()
    while waiting or links:
        if waiting:
            place = waiting.pop()
        else:
            links.sort(reverse=True)
            place = links.pop()
            if roots is not None and not _is_within(place, roots):
                left[OUTSIDE] += 1
                continue
        for entry in _entries(place, seen, left):
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            elif entry.is_symlink() and entry.is_dir():
                links.append(entry.path)
            elif sort_file(entry, left):
                yield entry.path


def _entries(place, seen, left):
    """What a folder holds, the first time that it is come to."""
    try:
        found = os.stat(place)
        if (found.st_dev, found.st_ino) in seen:
            return []
        seen.add((found.st_dev, found.st_ino))
        with os.scandir(place) as entries:
            return [entry for entry in entries if is_shown(entry.name)]
    except OSError:
        left["folders that cannot be opened"] += 1
        return []


def sort_file(entry, left):
    """Whether this is a picture; else it is counted. `entry` is a path or one of `os.scandir`."""
    ending = os.path.splitext(entry.name)[1].lower()
    if not entry.is_file():
        to_nothing = entry.is_symlink() and not os.path.exists(entry)
        if to_nothing and ending in PICTURES:  # a picture that cannot be read, and is told of so
            return True
        left["links to nothing" if to_nothing else "that are no files"] += 1
        return False
    if ending in PICTURES or (ending not in NO_PICTURES and _begins_like_one(entry)):
        return True
    left[printable(ending) if ending else "without an ending"] += 1
    return False


def _begins_like_one(file):
    try:
        with open(file, "rb") as opened:
            return BEGINNING.match(opened.read(64)) is not None
    except OSError:
        return False


def _is_within(place, roots):
    real = pathlib.Path(os.path.realpath(place))
    return any(real.is_relative_to(root) for root in roots)


def _check_names(folder, names):
    """Raise where two classes would be one on another machine."""
    known: dict[str, str] = {}
    for name in names:
        other = known.setdefault(same_name(name).casefold(), name)
        if other is not name:
            differ = "case" if same_name(other) != same_name(name) else "how accents are written"
            both = f"{other!a} and {name!a}"
            raise DatasetError(
                f"{printable(folder)} must hold classes of different names, got {both}, which "
                f"differ by nothing but {differ}; rename one of them, or join them"
            )


def say_left(folder, left, notes=()):
    """Warn in one line of what is passed over in a folder, if anything is."""
    notes = [*notes, *([f"passed over: {in_words(left)}"] if left else [])]
    if notes:
        warn_caller(f"{printable(folder)}: {'; '.join(notes)}")


def in_words(left):
    """A count of what is passed over, as text, with the most frequent first."""
    ranked = sorted(left.items(), key=lambda item: (-item[1], item[0]))
    said = [f"{count:,} {what}" for what, count in ranked[:8]]
    rest = sum(count for _, count in ranked[8:])
    return ", ".join([*said, f"{rest:,} others"] if rest else said)


def same_name(name):
    """A name as it is compared: how its accents are written depends on the machine."""
    return unicodedata.normalize("NFC", name)


def is_shown(*names):
    """Whether none of these is hidden, or left by the system in each folder that it shows."""
    return not any(name.startswith(".") or name in LITTER for name in names)


def existing_folder(folder):
    """The path of a folder that is there, or raise; one of nearly the same name is named."""
    path = pathlib.Path(folder)
    if path.is_dir():
        return path
    said = f"folder must be an existing folder, got {printable(folder)}"
    try:
        beside = [entry.name for entry in os.scandir(path.parent) if entry.is_dir()]
    except OSError:
        beside = []
    near = difflib.get_close_matches(path.name, beside, 1)
    if near:
        said += f"; did you mean {printable(path.parent / near[0])}?"
    raise DatasetError(said)
