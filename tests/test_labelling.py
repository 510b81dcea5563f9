"""The command that chooses pictures to label: what it reads, writes, and moves."""

import os
import pathlib
import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from PIL import Image
from small_networks import brightest_quarter

from rotnet_keras import DatasetError, save_classifier
from rotnet_keras._base.errors import FileError
from rotnet_keras._base.moving import check_free, move_file
from rotnet_keras.cli.main import main
from rotnet_keras.jobs.labelling import choose_pictures, find_pictures, load_network
from rotnet_keras.viewing.sheet import draw_sheet

# How bright the upper left quarter is, and the upper right one: a group of three, and one of two.
POOL = {"a.png": (200, 0), "in/=b.png": (205, 0), "in/c.png": (210, 0)}
POOL |= {"in/d.png": (0, 200), "e.png": (0, 200)}
LABELLED = {"left/f.png": (205, 0), "left/g.png": (205, 0), "right/h.png": (0, 200)}
NAMES = ["left", "right, or so", "lower left", "lower right"]
LIST = pathlib.Path("to_label", "to_label.csv")


def write(folder, pictures):
    for name, (left, right) in pictures.items():
        image = np.zeros((12, 12), "uint8")
        image[:6, :6], image[:6, 6:] = left, right
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / name)
    return folder


@pytest.fixture
def pool(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    brightest_quarter().save("extractor.keras")
    save_classifier(brightest_quarter(), "classifier.keras", NAMES)
    return write(tmp_path / "pool", POOL)


def files_in(folder):
    return sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())


def select(pool, *options, model="extractor.keras"):
    return main(["select", "--model", model, str(pool), *options])


def test_a_list_and_a_sheet(pool, capsys):
    assert select(pool, "--number", "2") == 0
    assert capsys.readouterr().out.splitlines() == [
        "5 pictures without labels: typical ones are chosen, of groups that differ",
        f"2 pictures to label, written to {LIST}",
        f"To look at: {LIST.with_suffix('.png')}",
    ]
    assert LIST.read_text() == (
        '"file","rank","why"\n'
        '"in/=b.png",1,"typical of a group of 3"\n'
        '"e.png",2,"typical of a group of 2"\n'
    )
    assert files_in(LIST.parent) == ["to_label.csv", "to_label.png"]
    assert files_in(pool) == sorted(POOL)


def test_names_that_a_spreadsheet_would_compute(pool):
    assert select(pool / "in", "--number", "1") == 0
    assert '"./=b.png",1,"typical of a group of 3"\n' in LIST.read_text()


def test_pictures_with_labels_count_and_are_not_chosen(pool, capsys):
    write(pool / "labelled", LABELLED)
    options = ["--number", "2", "--labelled", str(pool / "labelled")]
    assert select(pool, *options) == 0
    assert "5 pictures without labels and 3 with, of 2 classes: typical" in capsys.readouterr().out
    assert not pd.read_csv(LIST)["file"].str.contains("labelled").any()
    assert select(pool, "--method", "unsure", *options) == 0
    why = pd.read_csv(LIST)["why"]
    assert why.str.fullmatch(r"unsure: (left|right) \d+%, (left|right) \d+%").all(), why


def test_a_folder_of_both_kinds(pool, tmp_path):
    """As the main job takes it."""
    write(tmp_path / "both" / "unlabelled", POOL)
    write(tmp_path / "both" / "labelled", LABELLED)
    write(tmp_path / "both" / "test", LABELLED)
    found = find_pictures(tmp_path / "both", None, [])
    names = [file.relative_to(tmp_path / "both").as_posix() for file in found.files]
    assert names == [f"unlabelled/{name}" for name in sorted(POOL)] + [
        f"labelled/{name}" for name in LABELLED
    ]
    assert found.labels.tolist() == [-1] * 5 + [0, 0, 1]
    assert found.class_names == ["left", "right"]


def test_a_classifier_says_what_it_is_unsure_of(pool, capsys):
    write(pool, {"between.png": (100, 100)})
    assert select(pool, "--number", "1", model="classifier.keras") == 0
    assert "a classifier is unsure of" in capsys.readouterr().out
    wanted = '"between.png",1,"unsure: left 50%, right, or so 50%"\n'
    assert LIST.read_text().splitlines(keepends=True)[1] == wanted


def test_moved_pictures_keep_their_folders(pool, tmp_path, capsys):
    kept = (pool / "in" / "=b.png").read_bytes()
    assert select(pool, "--number", "2", "--move", "chosen") == 0
    assert "Moved to chosen: sort them into a folder for each class" in capsys.readouterr().out
    assert files_in(tmp_path / "chosen") == ["e.png", "in/=b.png"]
    assert (tmp_path / "chosen" / "in" / "=b.png").read_bytes() == kept
    assert files_in(pool) == ["a.png", "in/c.png", "in/d.png"]


def test_nothing_is_moved_where_one_name_is_taken(pool, tmp_path, capsys):
    write(tmp_path / "chosen", {"e.png": (1, 1)})
    before = (tmp_path / "chosen" / "e.png").read_bytes()
    assert select(pool, "--number", "2", "--move", "chosen") == 2
    said = capsys.readouterr().err
    assert "--move must lead to names that are free, 1 of 2 are taken, and nothing was" in said
    assert said.endswith("e.png\n")
    assert files_in(pool) == sorted(POOL)
    assert (tmp_path / "chosen" / "e.png").read_bytes() == before
    assert not LIST.exists()


def test_what_the_command_wrote_is_not_chosen_again(pool):
    inside = ["--output", str(pool / "list"), "--move", str(pool / "chosen")]
    assert select(pool, "--number", "2", *inside) == 0
    with pytest.warns(UserWarning, match=r"passed over: 1 \.csv"):
        assert select(pool, "--number", "3", *inside) == 0
    assert files_in(pool / "chosen") == sorted(POOL)
    with pytest.raises(DatasetError, match="must hold pictures without labels, got none"):
        find_pictures(pool / "chosen", None, [pool / "chosen"])


def test_more_than_there_are(pool, capsys):
    assert select(pool, "--number", "6") == 2
    wanted = "rotnet_keras: --number must be at most 5, the pictures to choose from, got 6\n"
    assert capsys.readouterr().err == wanted
    assert not LIST.exists()


def test_broken_pictures(pool, capsys):
    (pool / "a.png").write_bytes(b"broken")
    assert select(pool, "--number", "1") == 2
    assert "1 of 5 pictures cannot be read" in capsys.readouterr().err
    with pytest.warns(UserWarning, match="1 of 5 pictures"):
        table, _ = choose_pictures("extractor.keras", pool, 4, broken="skip")
    assert sorted(table["file"]) == sorted({*POOL} - {"a.png"})


def test_how_a_classifier_was_shown_pictures(pool):
    save_classifier(brightest_quarter(), "padded.keras", NAMES, fit="pad", ground=0)
    form = {"image_size": 12, "channels": 1}
    assert load_network("padded.keras").reading == form | {"fit": "pad", "ground": 0}
    assert load_network("padded.keras", fit="crop", white=9).reading == form | {
        "fit": "crop",
        "ground": 0,
        "white": 9,
    }
    assert load_network("extractor.keras")[1:] == (None, form, 1.0)


def test_moving_replaces_nothing_on_any_disk(tmp_path, monkeypatch):
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    (tmp_path / "link").symlink_to("c")
    with pytest.raises(FileError, match=r"1 of 2 are taken.*\n  .*b$"):
        check_free([tmp_path / "new", tmp_path / "b"])
    with pytest.raises(FileError, match=r"a cannot be moved: .*File exists"):
        move_file(tmp_path / "a", tmp_path / "b")
    move_file(tmp_path / "link", tmp_path / "in" / "link")
    assert (tmp_path / "in" / "link").read_text() == "c"

    def other_disk(*_):
        raise OSError("Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_disk)
    with pytest.raises(FileError, match=r"a cannot be moved: .*File exists"):
        move_file(tmp_path / "a", tmp_path / "b")
    move_file(tmp_path / "a", tmp_path / "in" / "a")
    assert files_in(tmp_path) == ["b", "c", "in/a", "in/link"]
    assert [(tmp_path / name).read_text() for name in ("b", "in/a")] == ["b", "a"]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sheet_shows_each_picture_above_its_words(channels):
    images = np.random.default_rng(0).integers(0, 256, (11, 6, 6, channels), "uint8")
    captions = [(f"{number} IMG_$_{'x' * 60}.jpg", "why") for number in range(11)]
    ax = draw_sheet(images, captions, plt.subplots()[1])
    shown = [np.asarray(image.get_array()).reshape(6, 6, channels) for image in ax.images]
    assert np.array_equal(shown, images)
    first, *_, last = (text.get_text() for text in ax.texts)
    assert first.endswith("x.jpg\nwhy")
    assert "…" in first
    assert max(map(len, last.replace("\\$", "$").split("\n"))) <= 25
    left, right, bottom, top = np.transpose([image.get_extent() for image in ax.images])
    spots = np.array([text.get_position() for text in ax.texts])
    np.testing.assert_allclose(spots[:, 0], left)
    assert (spots[:, 1] > bottom).all()
    assert (spots[:8, 1] < top[8]).all()
    assert (right[:7] < left[1:8]).all()


@pytest.mark.parametrize("place", [".", "pool"])
def test_the_output_may_lie_around_the_pictures(pool, place):
    for number in (2, 5):  # the second time, the sheet of the first lies there
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # passed over: 1 .csv
            assert select(pool, "--number", str(number), "--output", place) == 0
    assert sorted(pd.read_csv(pool.parent / place / LIST.name)["file"]) == sorted(
        name.replace("=", "./=") if name.startswith("=") else name for name in POOL
    )


def test_a_folder_that_is_not_there(pool):
    with pytest.raises(DatasetError, match=r"folder must be an existing folder, got pol.*pool"):
        choose_pictures("extractor.keras", "pol", 1)
