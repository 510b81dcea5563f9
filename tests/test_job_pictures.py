import types

import numpy as np
import pytest
from matplotlib.figure import Figure

from rotnet_keras import Splits, make_splits
from rotnet_keras.data.names import files_by_pixels, names_of
from rotnet_keras.data.splits import Examples
from rotnet_keras.jobs import answers, pictures


def numbered(first, count):
    """Images of which each has a number of its own."""
    numbers = np.arange(first, first + count)
    pixels = np.stack([numbers // 256, numbers % 256], axis=1)
    return np.repeat(pixels[:, :, None, None], 2, axis=2).astype("uint8")


def splits_of(test=6, labelled=4, validation=2, unlabelled=5):
    counts = {"test": test, "labelled": labelled, "validation": validation}
    parts, first = {}, 0
    for name, count in counts.items():
        parts[name] = Examples(numbered(first, count), np.arange(count) % 2)
        first += count
    unlabelled = numbered(first, unlabelled)
    return Splits("mine", ("Bag", "Coat"), unlabelled, **parts)


def number_of(images):
    return 256 * images[:, 0, 0, 0].astype(int) + images[:, 1, 0, 0]


def test_all_images_are_on_the_map_where_few_are_for_the_test():
    splits = splits_of()
    shown = pictures.images_on_map(splits)
    assert len(shown) == 17
    assert sorted(number_of(shown.images)) == [*range(17)]
    assert shown.parts.tolist()[:5] == ["unlabelled"] * 5
    assert shown.labels.tolist()[:5] == [-1] * 5
    for part in ("test", "labelled", "validation"):
        own, rows = getattr(splits, part), shown.parts == part
        np.testing.assert_array_equal(shown.images[rows], own.images[shown.places[rows]])
        np.testing.assert_array_equal(shown.labels[rows], own.labels[shown.places[rows]])
    known = shown.parts[5:].tolist()
    assert known != sorted(known)  # they are mixed
    again = pictures.images_on_map(splits)
    np.testing.assert_array_equal(shown.images, again.images)


@pytest.mark.parametrize(
    ("counts", "quick", "expected"),
    [
        ({"test": 999, "unlabelled": 6000}, False, {"test": 999, "unlabelled": 3995}),
        ({"test": 999, "unlabelled": 6000}, True, {"test": 999, "unlabelled": 995}),
        ({"test": 999, "unlabelled": 0}, False, {"test": 999}),
        ({"test": 1000, "unlabelled": 6000}, False, {"test": 1000}),
        ({"test": 12_000}, False, {"test": 10_000}),
        ({"test": 12_000}, True, {"test": 2_000}),
    ],
)
def test_how_many_images_are_on_the_map(counts, quick, expected):
    shown = pictures.images_on_map(splits_of(**counts), quick=quick)
    if counts["test"] < 1000:
        expected = expected | {"labelled": 4, "validation": 2}
    parts, numbers = np.unique(shown.parts, return_counts=True)
    assert dict(zip(parts, numbers, strict=True)) == expected
    if len(expected) == 1 and counts["test"] > 1000:  # not the first ones, which may be of a class
        assert shown.places.max() > counts["test"] - 20


def test_files_are_known_by_their_images():
    images = numbered(0, 4)
    images[3] = images[1]
    files = files_by_pixels(images, [f"/data/mine/Bag/{i}\n.png" for i in range(4)], "/data/mine")
    assert names_of(images[[2, 3]], files) == [r"Bag/2\n.png", r"Bag/1\n.png"]
    assert names_of(numbered(9, 1), files) == [None]
    assert names_of(images, {}) == [None] * 4


def test_names_are_of_files_or_counted():
    splits = splits_of()
    run = types.SimpleNamespace(splits=splits)
    shown = pictures.images_on_map(splits)
    names = dict(zip(number_of(shown.images), pictures._names(run, shown), strict=True))
    assert names[0] == "test, number 0"
    assert names[7] == "labelled, number 1"
    assert names[16] == "unlabelled, number 4"
    images = np.concatenate([splits.test.images, splits.labelled.images])
    files = files_by_pixels(images, [f"mine/{i}.png" for i in range(10)], "mine")
    run.splits = types.SimpleNamespace(files=files)
    names = dict(zip(number_of(shown.images), pictures._names(run, shown), strict=True))
    assert (names[0], names[7], names[16]) == ("0.png", "7.png", "unlabelled, number 4")


def drawn(said, labels, images=None, names=None):
    """The heads and what stands at each picture, by `draw_answers`."""
    count = len(labels)
    logits = np.log(np.where(np.eye(2)[said] > 0, 0.8, 0.2))
    images = numbered(0, count) if images is None else images
    names = [f"{i}.png" for i in range(count)] if names is None else names
    answers.draw_answers(logits, images, np.array(labels), ["Bag", "Coat"], names)
    figure = answers.plt.gcf()
    assert isinstance(figure, Figure)
    shown = {}
    for part in figure.subfigs:
        axes = [ax for ax in part.axes if ax.images]
        assert all(not ax.axison for ax in part.axes if not ax.images)
        shown[part.get_suptitle()] = {
            ax.get_title(): (ax.get_xlabel(), ax.xaxis.label.get_color()) for ax in axes
        }
    return shown


def test_right_and_wrong_answers_are_drawn_with_names_and_probabilities():
    shown = drawn([0, 1, 1], [0, 1, 0])
    assert shown == {
        "predicted wrong: 1 of 3": {"2.png": ("is Bag\nsaid Coat, 80%", "tab:red")},
        "predicted right: 2 of 3": {
            "0.png": ("is Bag\nsaid Bag, 80%", "black"),
            "1.png": ("is Coat\nsaid Coat, 80%", "black"),
        },
    }


def test_many_answers_are_a_draw_and_the_title_says_so():
    said = [0] * 30 + [1] * 1000
    shown = drawn(said, [1] * 1030)
    drawn_so = "; 8 of them, drawn at random"
    heads = [
        f"predicted wrong: 30 of 1,030{drawn_so}",
        f"predicted right: 1,000 of 1,030{drawn_so}",
    ]
    assert list(shown) == heads
    wrong, right = ({int(name.split(".")[0]) for name in one} for one in shown.values())
    assert len(wrong) == len(right) == 8
    assert max(wrong) < 30 <= min(right)
    assert [*drawn([0, 1], [0, 1])] == ["predicted right: 2 of 2"]


def test_long_names_are_shortened_and_a_probability_is_no_certainty():
    path = answers._shortened("a/folder/of/many/letters/picture 12.png", end=True)
    assert path == "…etters/picture 12.png"
    assert answers._shortened("a long name of a class without end", 3) == "a long name of a c…"
    assert answers._answer("Coat", 0.997) == "said Coat, > 99%"
    assert answers._answer("Coat", 0.994) == "said Coat, 99%"
    assert answers._answer("Coat", 1.0) == "said Coat, 100%"


def test_make_splits_has_what_a_map_needs():
    images = np.concatenate([numbered(0, 60), numbered(60, 9)])
    splits = make_splits(images[:60], np.arange(60) % 2, unlabelled=images[60:])
    shown = pictures.images_on_map(splits)
    assert sorted(number_of(shown.images)) == [*range(69)]
