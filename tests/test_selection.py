"""Which images are chosen to label next, where one sees at a glance which those must be."""

import numpy as np
import pandas as pd
import pytest
from small_networks import block_of_pixels, brightest_quarter, corners

from rotnet_keras import InputError, ci95, conv_blocks_extractor, select_to_label
from rotnet_keras.few_labels import selection as few_labels_selection
from rotnet_keras.few_labels.selection import (
    ENOUGH,
    FEW,
    best_method,
    image_points,
    selection,
    typical_points,
    unsure_points,
)
from rotnet_keras.study import selection as study_selection
from rotnet_keras.study.selection import measure_selection, summarise_selection, with_others

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 12, 12, 1), "uint8")
EXTRACTOR = conv_blocks_extractor((12, 12, 1), (2, 4))
# A group of five around 0, one of three around 100, and a point of its own.
LINE = np.array([-2.0, -1, 0.25, 1, 2, 99, 100, 101.5, 500])[:, None]


def labels_at(*places, count=9):
    labels = np.full(count, -1)
    labels[[*places]] = np.arange(len(places)) % 2
    return labels


@pytest.mark.parametrize("seed", range(5))
def test_the_middle_of_each_group_the_largest_group_first(seed):
    places, sizes = typical_points(LINE, labels_at(), 3, seed)
    assert (places.tolist(), sizes.tolist()) == ([2, 6, 8], [5, 3, 1])


@pytest.mark.parametrize("seed", range(5))
def test_a_group_without_labels_comes_before_a_larger_one_with(seed):
    places, sizes = typical_points(LINE, labels_at(0, 7), 1, seed)
    assert (places.tolist(), sizes.tolist()) == ([8], [1])


def test_each_group_again_where_there_are_no_more_groups(monkeypatch):
    monkeypatch.setattr("rotnet_keras.few_labels.selection.MOST_GROUPS", 3)
    places, sizes = typical_points(LINE, labels_at(2), 6)
    # The group of five has a label already, so that its next point is one of the second turn.
    assert places.tolist() == [6, 8, 3, 5, 1, 7]
    assert sizes.tolist() == [3, 1, 5, 3, 5, 3]


def test_points_of_one_place_are_chosen_in_their_order():
    points, labels = np.ones((6, 2)), labels_at(1, count=6)
    places, sizes = typical_points(points, labels, 4)
    assert (places.tolist(), sizes.tolist()) == ([0, 2, 3, 4], [6] * 4)
    assert unsure_points(points, np.full((6, 2), 0.5), labels, 4).tolist() == [0, 2, 3, 4]


def test_unsure_points_of_which_no_two_are_alike(monkeypatch):
    monkeypatch.setattr("rotnet_keras.few_labels.selection.UNSUREST", 2)
    points = np.array([0.0, 1, 2, 3, 100, 101, 200])[:, None]
    lead = np.array([0, 0.1, 0.2, 0.9, 0.3, 0.4, 1])  # of the likelier class
    chances = np.stack([1 + lead, 1 - lead], axis=1) / 2
    # Of the four unsurest, two groups of places 0 to 2 and place 4; the surest are not looked at.
    assert unsure_points(points, chances, labels_at(count=7), 2).tolist() == [1, 4]
    assert unsure_points(points, chances, labels_at(1, 4, count=7), 2).tolist() == [2, 5]


def bright(*brightness):
    """Images whose upper left and upper right quarters are so bright."""
    images = np.zeros((len(brightness), 12, 12, 1), "uint8")
    for image, (left, right) in zip(images, brightness, strict=True):
        image[:6, :6], image[:6, 6:] = left, right
    return images


def test_a_classifier_is_asked_what_it_is_unsure_of(monkeypatch):
    monkeypatch.setattr("rotnet_keras.few_labels.selection.UNSUREST", 1)
    images, model = bright((9, 0), (5, 5), (0, 9), (6, 5)), brightest_quarter()
    choose = {"number": 2, "classifier": model}
    assert select_to_label(model, images, **choose).tolist() == [1, 3]
    chosen = selection(model, images, labels=labels_at(1, count=4), **choose)
    assert chosen.method == "unsure"
    assert chosen.places[0] == 3
    expected = np.exp([6, 5, 0, 0]) / np.exp([6, 5, 0, 0]).sum()
    np.testing.assert_allclose(chosen.chances[0], expected, rtol=1e-5)


def test_many_labels_are_learnt_from_few_are_not():
    """From enough labels on, a probe of them says which images are between their classes."""
    model, half = brightest_quarter(), ENOUGH // 2
    images = bright(*[(200, 0)] * half, *[(0, 200)] * half, (210, 0), (100, 100), (0, 210))
    labels = np.repeat([5, 7, -1], [half, half, 3])
    chosen = selection(model, images, number=1, labels=labels)
    assert (chosen.method, chosen.places.tolist()) == ("unsure", [ENOUGH + 1])
    assert chosen.chances.shape == (1, 2)
    np.testing.assert_allclose(chosen.chances, 0.5, atol=0.05)


@pytest.mark.parametrize(
    ("order", "count", "best"),
    [
        ("halves", FEW - 1, "typical"),
        ("halves", FEW, "random"),
        ("halves", ENOUGH - 1, "random"),
        ("halves", ENOUGH, "unsure"),
        ("by turns", ENOUGH, "random"),  # no image's nearest one is of its class
        ("one class", ENOUGH, "random"),
    ],
)
def test_what_is_best_with_so_many_labels(order, count, best):
    """Points on a line, two classes side by side or each point between two of the other class."""
    places = np.arange(count + 5)
    kinds = {"halves": places >= count // 2, "by turns": places % 2, "one class": places * 0}
    labels = np.where(places < count, kinds[order], -1)
    assert best_method(places[:, None] * 1.0, labels) == best


def test_random_ones_are_drawn_of_those_without_labels():
    draws = []
    for seed in (0, 0, 1):
        how = {"number": 4, "labels": labels_at(0, 5, count=6), "method": "random", "seed": seed}
        draws.append(select_to_label(EXTRACTOR, IMAGES, **how).tolist())
    assert draws[0] == draws[1] != draws[2]
    assert sorted(draws[0]) == sorted(draws[2]) == [1, 2, 3, 4]


@pytest.mark.backend
def test_alike_images_are_near_each_other():
    images = np.concatenate([corners()[:4], corners()[:4] // 8 * 7])
    points = image_points(EXTRACTOR, images)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, rtol=1e-5)
    chosen = select_to_label(brightest_quarter(), images, number=4)
    assert sorted(chosen % 4) == [0, 1, 2, 3]
    again = select_to_label(brightest_quarter(), images, number=4)
    assert chosen.tolist() == again.tolist()


def test_what_cannot_be_chosen():
    for how, message in (
        ({"number": 7}, "number must be at most 6, the images that have no label, got 7"),
        ({"number": 5, "labels": labels_at(0, 1, count=6)}, "number must be at most 4, .* got 5"),
        ({"number": 1, "method": "unsure"}, "method must be typical or random where .* 'unsure'"),
        ({"number": 1, "labels": np.full(6, -2)}, "labels must be whole numbers, -1 where .* -2"),
        ({"number": 1, "labels": np.zeros(5, int)}, r"labels must be .* shape \(6,\)"),
    ):
        with pytest.raises(InputError, match=rf"^select_to_label: {message}"):
            select_to_label(EXTRACTOR, IMAGES, **how)


def test_what_chosen_labels_are_worth_is_measured_against_draws():
    """Of four classes, one of which is common, draws miss some; typical images do not."""
    kinds = np.repeat([0, 1, 2, 3], [40, 4, 4, 4])
    strips = np.repeat(np.eye(4), 3, axis=1)  # bright rows of an image of each class
    images = 200 * strips[kinds][:, :, None, None] + np.arange(52)[:, None, None, None] % 4
    images = np.tile(images, (1, 1, 12, 1))
    extractor = block_of_pixels((12, 12, 1))
    table = measure_selection(
        extractor, images, kinds, (images[::2], kinds[::2]), rounds=[(0, 4), (4, 2)], seeds=[0, 1]
    )
    assert table.columns.tolist() == ["known", "number", "seed", "method", "classes", "accuracy"]
    assert table["method"].str[0].tolist() == 2 * [*"rt", *"rtu"]
    first = table[table["known"] == 0].set_index(["method", "seed"])
    assert first.loc["typical", "classes"].tolist() == [4, 4]
    assert first.loc["typical", "accuracy"].tolist() == [1, 1]
    assert (first.loc["random", "classes"] < 4).all()
    assert (first.loc["random", "accuracy"] < 1).all()
    summary = summarise_selection(table.assign(data="corners")).set_index(["known", "method"])
    gain = first.loc["typical", "accuracy"] - first.loc["random", "accuracy"]
    np.testing.assert_allclose(summary.loc[(0, "typical"), "gain"], 100 * gain.mean())
    np.testing.assert_allclose(summary.loc[(0, "typical"), "ci95"], 100 * ci95(gain))
    assert summary.loc[(0, "random"), ["gain", "ci95"]].tolist() == [0, 0]


def test_rows_of_other_data_stay_in_the_file(tmp_path):
    rows = pd.DataFrame({"known": 0, "accuracy": [0.5, 0.25]})
    table = with_others(rows.assign(data="a"), tmp_path / "rows.csv")
    assert table.columns.tolist() == ["data", "known", "accuracy"]
    table.to_csv(tmp_path / "rows.csv", index=False)
    both = with_others(rows.assign(data="b"), tmp_path / "rows.csv")
    assert both["data"].tolist() == ["a", "a", "b", "b"]
    both.to_csv(tmp_path / "rows.csv", index=False)
    again = with_others(rows[:1].assign(data="a"), tmp_path / "rows.csv")
    assert again["data"].tolist() == ["b", "b", "a"]


def test_unsure_points_of_no_more_groups_than_are_searched_for(monkeypatch):
    asked = []
    search = few_labels_selection.KMeans

    def told(count, **how):
        asked.append(count)
        return search(count, **how)

    monkeypatch.setattr(few_labels_selection, "MOST_GROUPS", 3)
    monkeypatch.setattr(few_labels_selection, "KMeans", told)
    points = np.arange(20.0)[:, None]
    chosen = unsure_points(points, np.full((20, 2), 0.5), np.full(20, -1), 6, 0)
    assert asked == [3]
    assert len({*chosen.tolist()}) == 6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--images", "folder"], "--images and --model must be given together"),
        (["--model", "file.keras"], "--images and --model must be given together"),
        (["--output", "."], "cannot be written: it must be a file, got a folder"),
    ],
)
def test_what_the_measurement_cannot_do_is_said_before_it(options, said):
    with pytest.raises(SystemExit, match=said):
        study_selection.main(options)


def test_a_folder_of_any_name_is_found_again_in_the_file(tmp_path):
    for name in ("2024", "NA"):
        row = pd.DataFrame({"data": [name], "accuracy": [0.5]})
        row.to_csv(tmp_path / "t.csv", index=False)
        assert len(with_others(row, tmp_path / "t.csv")) == 1
