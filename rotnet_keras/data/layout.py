"""What the folders of a data set are: classes, or the parts that hold them.

Parts are known by their shape, which is that they hold folders of the same names; a name only says
which part it is. What is not clear is refused, with what was understood.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import difflib
import os
import pathlib
import re

from rotnet_keras._base.errors import DatasetError
from rotnet_keras._base.files import printable
from rotnet_keras.data.folders import is_shown, same_name, sort_file

PARTS = ("labelled", "unlabelled", "test")
# Names of parts of a data set; a folder of one of these names is hardly a class.
NO_CLASSES = {"labeled", "unlabeled", *PARTS, "train", "validation", "val"}
VALIDATION = {"val", "valset", "dev", "devset", "eval"}
NO_LABELS = re.compile("unlabel|no.?label")
EVEN_SO = 'if these are the classes, say parts="named" (--parts named)'


@dataclasses.dataclass
class Layout:
    """Where the parts of a folder are, and in `notes` what the user should be told of it."""

    train: pathlib.Path
    unlabelled: pathlib.Path | None = None
    test: pathlib.Path | None = None
    notes: list[str] = dataclasses.field(default_factory=list)


def find_parts(folder, parts="any"):
    """The `Layout` of a folder of pictures, whose parts may be "any" or "named" as in `PARTS`.

    Raises:
        DatasetError: a folder that can be understood in several ways, or in none.
    """
    folders = _folders(folder)
    named = _named_parts(folder, folders)
    if "labelled" in named:
        return _with_labelled(folder, folders, named, parts)
    unlabelled = named.get("unlabelled")
    candidates = [place for place in folders if place != unlabelled]
    roles = _find_roles(folder, candidates) if parts == "any" else None
    if roles is None:
        _check_classes(folder, folders, PARTS if parts == "named" else NO_CLASSES)
        return Layout(folder)
    if "test" in named and "test" not in roles:
        raise DatasetError(
            f"{printable(named['test'])} must hold the folders of classes that "
            f"{_name(roles['train'])}/ holds; if its pictures have no labels, call it unlabelled/"
        )
    missing = [part for part in ("unlabelled", "test") if part not in named and part not in roles]
    return _layout(folder, folders, roles, unlabelled, missing)


def has_no_classes(folder):
    """Whether there is nothing but pictures, or a folder of them that is called unlabelled."""
    folders = _folders(folder)
    if _has_pictures(folder):
        return not folders
    return [place.name.casefold() for place in folders] == ["unlabelled"]


def _with_labelled(folder, folders, named, parts):
    """The layout of a folder that has a part named `labelled`, which may be divided itself."""
    labelled = named["labelled"]
    inside = _folders(labelled)
    divided = _find_roles(labelled, inside) if parts == "any" else None
    roles = divided or {"train": labelled}
    if "test" in named and "test" in roles:
        raise DatasetError(
            f"{printable(folder)} must hold one test set, got {_name(named['test'])}/ and "
            f"{_name(labelled)}/{_name(roles['test'])}/; join them, or move one away"
        )
    roles |= {"test": named["test"]} if "test" in named else {}
    classes = _classes_in(roles["train"])[1]
    for place in folders:
        if _role(place.name) == "validation" and len(_classes_in(place)[1] & classes) > 1:
            roles.setdefault("validation", place)
    missing = [part for part in PARTS if part not in named and part not in roles]
    others = [place for place in folders if place != labelled] + (inside if divided else [])
    return _layout(folder, others, roles, named.get("unlabelled"), missing)


def _layout(folder, folders, roles, unlabelled, missing):
    """Put together what was found; ask about, or name, what was not used."""
    validation = roles.pop("validation", None)
    used = {unlabelled, validation, *roles.values()}
    others = [place for place in folders if not used & {place, *_only_inside(place)}]
    _ask_about(folder, others, missing)
    notes = []
    if validation is not None and "test" not in roles:
        roles["test"] = validation
        notes.append(f"{_name(validation)}/ is used as the test set, since there is none")
    elif validation is not None:
        notes.append(
            f"{_name(validation)}/ is not used, since validation pictures are drawn from "
            f"{_name(roles['train'])}/"
        )
    if others:
        names = [f"{printable(place.relative_to(folder))}/" for place in others]
        notes.append(f"not used: {', '.join(names)}")
    if _count_pictures(folder):
        notes.append(f"not used: {_count_pictures(folder):,} pictures beside the parts")
    return Layout(roles["train"], unlabelled, roles.get("test"), notes)


def _named_parts(folder, folders):
    """The folders that are named as a part, whatever their case, by the part."""
    named: dict[str, pathlib.Path] = {}
    for place in folders:
        part = place.name.casefold()
        if part in PARTS and named.setdefault(part, place) != place:
            raise DatasetError(
                f"{printable(folder)} must hold one folder {part}, got "
                f"{_listed([named[part], place])}; join them, or rename one"
            )
    return named


def _find_roles(folder, folders):
    """Which folders are the parts of a data set, `{role: folder}`, or None if they are classes."""
    inside = {place: _classes_in(place) for place in folders}
    most = max((names for _, names in inside.values()), key=len, default=set())
    group = [
        place
        for place, (_, names) in inside.items()
        if len(names) > 1 and len(names & most) >= max(2, len(names) / 2)
    ]
    if len(group) < 2:
        return None
    roles = {_role(place.name): inside[place][0] for place in group}
    if len(roles) == len(group) and "train" in roles and None not in roles:
        return roles
    others_are_classes = any(_has_pictures(place) for place in folders if place not in group)
    if set(roles) == {None} and others_are_classes:
        return None
    held = sorted(most)
    raise DatasetError(
        f"{printable(folder)} holds {_listed(group)}, which hold folders of the same names, such "
        f"as {', '.join(map(printable, held[:3]))}: they look like parts of a data set rather than "
        "classes. Name them train and test (and unlabelled, if you like), or give one of them; "
        f"{EVEN_SO}"
    )


def _check_classes(folder, folders, no_classes):
    """Raise where folders that hold pictures are named as parts are."""
    parts = [place for place in folders if place.name.casefold() in no_classes]
    roles = {_role(place.name) for place in folders if place.name.casefold() != "unlabelled"}
    if no_classes is NO_CLASSES and len(roles) > 1 and None not in roles:
        parts = folders  # such as train_images beside test_images
    if not parts:
        return
    asked = _near(folders, PARTS) + _way_out(folders, no_classes)
    raise DatasetError(
        f"{printable(folder)} must hold folders named labelled, unlabelled and, if you like, test, "
        f"or a folder for each class, got {[printable(place.name) for place in parts]}, which are "
        f"no names of classes; {asked}"
    )


def _way_out(folders, no_classes):
    """What to do about folders of classes that are named as parts are."""
    if len(folders) == 1:
        return f"give {_name(folders[0])}/ itself"
    if "unlabelled" in [place.name.casefold() for place in folders]:
        return "put the folders of the classes into a folder labelled/, beside unlabelled/"
    return EVEN_SO if no_classes is NO_CLASSES else "rename them"


def _ask_about(folder, others, missing):
    """Raise where a folder that is not used may be meant as a part that is missing."""
    asked = _near(others, missing)
    if asked:
        raise DatasetError(
            f"{printable(folder)} must hold folders named labelled, unlabelled and, if you like, "
            f"test, got {_listed(others)}; {asked}if not, move it away"
        )


def _near(folders, parts):
    """Questions, one for each folder whose name is near that of a part; "" if there is none."""
    meant = [(place, _meant(place.name, parts)) for place in folders]
    return "".join(f"did you mean {part}/ by {_name(place)}/? " for place, part in meant if part)


def _meant(name, parts):
    """The part that a name is near, or None."""
    plain, role = name.casefold(), _role(name)
    parts = () if plain in PARTS else parts
    for part in parts:
        alike = difflib.SequenceMatcher(None, plain, part).ratio() >= 0.8
        if alike or sorted(plain) == sorted(part) or role == part:
            return part
    beside = role == "train" and "labelled" not in parts  # which there is, then
    return "unlabelled" if "unlabelled" in parts and (beside or NO_LABELS.match(plain)) else None


def _role(name):
    """What part a name says, train, test or validation, or None."""
    name = re.sub("(?<=[a-z])(?=[A-Z])", " ", same_name(name))
    words = re.findall("[a-z]+", name.casefold())
    roles = {word for word in ("train", "test") if any(w.startswith(word) for w in words)}
    if any(word in VALIDATION or word.startswith("valid") for word in words):
        roles.add("validation")
    if roles == {"train", "validation"} or {"labelled", "labeled"} & {*words}:  # trainval
        return "train"
    return roles.pop() if len(roles) == 1 else None


def _classes_in(place):
    """Where a part has its classes, and their names, to be compared; none if it has pictures."""
    for inner in (place, *_only_inside(place)):
        place = inner
    folders = [] if _role(place.name) is None and _has_pictures(place) else _folders(place)
    return place, {same_name(folder.name).casefold() for folder in folders}


def _only_inside(place):
    """The one folder that a folder holds and nothing else, and so on, as some archives have it."""
    chain = []
    while len(chain) < 3 and not _has_pictures(place):
        folders = _folders(place)
        if len(folders) != 1:
            break
        place = folders[0]
        chain.append(place)
    return chain


def _has_pictures(place):
    """Whether there are pictures in a folder, beside folders or not; most often the first file."""
    with _entries(place) as entries:
        return any(map(_is_picture, entries))


def _count_pictures(place):
    with _entries(place) as entries:
        return sum(map(_is_picture, entries))


def _is_picture(entry):
    shown = is_shown(entry.name) and entry.is_file()
    return shown and sort_file(entry, collections.Counter())


def _folders(place):
    """The folders in a folder, those that links lead to, too."""
    with _entries(place) as entries:
        return sorted(pathlib.Path(e.path) for e in entries if is_shown(e.name) and e.is_dir())


def _entries(place):
    try:
        return os.scandir(place)
    except OSError:  # which is told of when its pictures are wanted
        return contextlib.nullcontext(())


def _listed(folders):
    return " and ".join(f"{_name(place)}/" for place in folders[:5]) + (
        f" and {len(folders) - 5:,} more" if len(folders) > 5 else ""
    )


def _name(place):
    return printable(place.name)
