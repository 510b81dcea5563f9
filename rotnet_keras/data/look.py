"""What a folder of pictures holds, said at once: TensorFlow, which takes seconds, is not imported.

A run looks here first, so that a folder that will not do is told of before anything else is done.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import statistics
import warnings
from typing import Any

from rotnet_keras._base.errors import DatasetError, InputError
from rotnet_keras._base.files import printable
from rotnet_keras.data.folders import (
    PICTURES,
    existing_folder,
    gather,
    gather_classes,
    has_pictures,
    same_name,
)
from rotnet_keras.data.layout import find_parts, has_no_classes

SIZES = (32, 48, 64, 96, 128)
SAMPLE = 200  # files whose size is looked at
NAMED = 6  # classes in one line
EXPECTED = """
  {0}/cat/1.jpg, {0}/dog/1.jpg, ... (a folder for each class, called like it)
  or, with more pictures that have no labels and, if you like, a test set:
  {0}/labelled/cat/1.jpg, {0}/labelled/dog/1.jpg, ...
  {0}/unlabelled/2.jpg, ...
  {0}/test/cat/3.jpg, {0}/test/dog/3.jpg, ..."""


@dataclasses.dataclass(frozen=True)
class Found:
    """What a folder holds.

    Attributes:
        labelled: number of pictures by class, in the order of the labels; empty without classes.
        test: the same of the test set; empty where there is none.
        unlabelled: number of pictures without labels.
        files: all of them that are not for the test.
    """

    labelled: dict[str, int]
    test: dict[str, int]
    unlabelled: int
    files: tuple[pathlib.Path, ...] = dataclasses.field(default=(), repr=False, compare=False)

    @property
    def kind(self) -> str:
        """Whether pictures are "labelled", or all "unlabelled"."""
        return "labelled" if self.labelled else "unlabelled"

    @property
    def in_words(self) -> str:
        """One line: pictures, classes, and how they are used."""
        if not self.labelled:
            return (
                f"{_count(self.unlabelled)} without labels: they can be pretrained on, embedded, "
                "and the ones chosen that are worth a label. For a classifier, put some of them "
                "into a folder for each class."
            )
        said = f"{self._labelled_in_words} of {len(self.labelled)} classes ({self._classes})"
        if self.unlabelled:
            said += f" and {self.unlabelled:,} without labels"
        if self.test:
            number = len(self.test)
            said += f"; {sum(self.test.values()):,} of {number} class{'es' * (number > 1)} "
            said += "for the test."
        else:
            said += f"; {self._num_tested:,} of those with labels are for the test."
        return f"{said} All but those for validation and test are pretrained on."

    @property
    def _labelled_in_words(self):
        return _count(sum(self.labelled.values()), "labelled ")

    @property
    def _classes(self):
        """How many pictures the classes have, and their names."""
        fewest, most = min(self.labelled.values()), max(self.labelled.values())
        number = f"{most:,} each" if fewest == most else f"{fewest:,} to {most:,} each"
        names = [printable(name) for name in self.labelled]
        more = len(names) - NAMED
        some = names if more < 2 else [*names[:NAMED], f"{more:,} more"]
        return f"{number}: {', '.join(some)}"

    @property
    def _num_tested(self):
        """Labelled pictures that are lent to the test, by the rule of `make_splits`."""
        return 0 if self.test else sixth(sum(self.labelled.values()), len(self.labelled))

    def most_labels(self, num_validation: int | None = None) -> int:
        """How many labels there are to learn from, by the rule of `make_splits`."""
        left = sum(self.labelled.values()) - self._num_tested
        return left - self.num_validation if num_validation is None else left - num_validation

    @property
    def num_validation(self) -> int:
        """How many labelled pictures are for validation where no number is given."""
        left = sum(self.labelled.values()) - self._num_tested
        return sixth(left, len(self.labelled))

    def check_num_labels(self, num_labels: int | None, num_validation: int | None = None) -> None:
        """Raise where more labels are asked for than there are."""
        most = self.most_labels(num_validation)
        if num_labels is None or not self.labelled or num_labels <= most:
            return
        validation = self.num_validation if num_validation is None else num_validation
        tested = "" if self.test else f"{self._num_tested:,} for the test and "
        raise InputError(
            f"num_labels must be at most {most:,}, which are left of "
            f"{self._labelled_in_words} without {tested}{validation:,} for validation, "
            f"got {num_labels:,}"
        )


def look_at_folder(folder, *, parts="any", follow_links=False) -> Found:
    """Count what a folder of pictures holds, by the rules of `load_splits`; nothing is read.

    Args:
        folder: path.
        parts: as in `load_splits`, as is the next.
        follow_links: whether links to folders outside are followed.

    Raises:
        DatasetError: a folder that is not there, is empty, has one class, or a class too small to
            be divided; or one that can be understood in several ways.
    """
    folder = existing_folder(folder)
    if not has_pictures(folder, follow_links=follow_links):
        expected = EXPECTED.format(printable(folder))
        raise DatasetError(
            f"{printable(folder)} holds no pictures ({', '.join(PICTURES)}); a folder that will do "
            f"holds:{expected}"
        )
    if has_no_classes(folder):
        files = gather(folder, collections.Counter(), follow_links=follow_links)
        return Found({}, {}, len(files), tuple(files))
    listed, *_ = list_parts(folder, parts, follow_links)
    classes, test, unlabelled = listed
    files = [file for some in classes.values() for file in some]
    labelled, tested = (
        {name: len(some) for name, some in part.items()} for part in (classes, test)
    )
    return Found(labelled, tested, len(unlabelled), (*files, *unlabelled))


def list_parts(folder, parts, follow_links):
    """What a folder's parts hold.

    Returns:
        `((classes, test, unlabelled), left, notes)`: `{class: files}` to learn from, the same of
        the test, and files without labels; a count by ending of what is passed over; and what the
        user should be told.
    """
    layout = find_parts(folder, parts)
    left: collections.Counter[str] = collections.Counter()
    linked: dict[str, Any] = {"root": folder, "follow_links": follow_links}
    classes = gather_classes(layout.train, left, **linked)
    test, unlabelled = {}, []
    if layout.test is not None:
        test = gather_classes(layout.test, left, least=1, **linked)
        test = _of_known_classes(layout.test, test, classes)
        missing = [printable(name) for name in classes if name not in test]
        if missing:
            layout.notes.append(f"{layout.test.name}/ has no pictures of {', '.join(missing)}")
    if layout.unlabelled is not None:
        unlabelled = gather(layout.unlabelled, left, **linked)
    _check_numbers(layout.train, classes, bool(test))
    return (classes, test, unlabelled), left, layout.notes


def _of_known_classes(folder, test, classes):
    """The test's pictures, by the names that their classes have in training."""
    known = {same_name(name): name for name in classes}
    if not {same_name(name) for name in test} <= known.keys():
        raise DatasetError(f"{folder} must hold classes of {list(classes)}, got {list(test)}")
    return {known[same_name(name)]: files for name, files in test.items()}


def _check_numbers(folder, classes, tested):
    """Raise where a class is too small to be divided."""
    least = 2 if tested else 3
    rare = [(printable(name), len(files)) for name, files in classes.items() if len(files) < least]
    if rare:
        said = ", ".join(f"{number} of {name}" for name, number in rare[:5])
        more = f" and {len(rare) - 5:,} classes more" if len(rare) > 5 else ""
        uses = "to learn from and for validation" + ("" if tested else " and the test")
        raise DatasetError(
            f"{printable(folder)} must hold at least {least} pictures of each class, one each "
            f"{uses}, got {said}{more}: add some, or leave such classes out"
        )


def suitable_size(files, *, most=128) -> int:
    """The size to bring pictures to: the largest one that half of them have without being enlarged.

    Args:
        files: list of paths, of which up to 200 are looked at; those that cannot be read are not.
        most: the largest size to be had.

    Returns:
        one of 32, 48, 64, 96 and 128.
    """
    files = list(files)
    step = max(1, -(-len(files) // SAMPLE))
    sides = [side for side in map(_short_side, files[::step]) if side]
    if not sides:
        return SIZES[0]
    middle = min(statistics.median(sides), most)
    return max((size for size in SIZES if size <= middle), default=SIZES[0])


def _short_side(file):
    """Of a picture, by its first bytes; None where they are none of a picture."""
    from PIL import Image  # half of the time that a help would take

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(file) as picture:
                return min(picture.size)
        except Exception:  # a damaged file may raise anything from within Pillow
            return None


def _count(number, kind=""):
    return f"{number:,} {kind}picture{'s' * (number != 1)}"


def sixth(number, num_classes):
    """How many of so many labelled pictures the test, or validation, gets where nobody says."""
    return max(number // 6, num_classes)
