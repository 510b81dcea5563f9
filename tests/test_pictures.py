"""Folders of pictures: forms, formats, sizes, broken files, archives."""

import os
import zipfile

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rotnet_keras import (
    DatasetError,
    list_classes,
    list_pictures,
    load_splits,
    read_pictures,
    stream_images,
    unpack_zip,
)
from rotnet_keras.data.pictures import square

RED, GREEN, WHITE = (200, 0, 0), (0, 200, 0), (255, 255, 255)


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(image, "uint8")).save(path, quality=95)
    return path


def in_one_colour(colour, size=(20, 30)):
    return np.full((*size, 3), colour, "uint8")


def break_files(files):
    """Damage files in as many ways as there are; return those that were."""
    ways = [
        lambda content: b"",
        lambda content: b"no picture at all",
        lambda content: content[: len(content) // 2],
        lambda content: content[:20],
        lambda content: content[:8] + b"\0" * (len(content) - 8),
    ]
    for number, file in enumerate(files):
        file.write_bytes(ways[number % len(ways)](file.read_bytes()))
    return files


@pytest.fixture
def folder(tmp_path):
    """Thirty pictures without labels, eighteen each of red and green, of many sizes."""
    rng = np.random.default_rng(0)
    for i in range(30):
        save(tmp_path / "unlabelled" / "deep" / f"{i}.png", rng.integers(0, 256, (9 + i, 20, 3)))
    for i in range(18):
        for name, colour in {"red": RED, "green": GREEN}.items():
            save(tmp_path / "labelled" / name / f"{i}.png", in_one_colour(colour, (10 + i, 25)))
    return tmp_path


def test_a_folder_with_and_without_labels(folder):
    splits = load_splits(folder, image_size=16)
    assert splits.class_names == ("green", "red")
    assert (splits.name, splits.image_shape, splits.skipped) == (folder.name, (16, 16, 3), ())
    sizes = [len(part.labels) for part in (splits.labelled, splits.validation, splits.test)]
    assert (len(splits.unlabelled), *sizes) == (30, 25, 5, 6)
    for part in (splits.labelled, splits.validation, splits.test):
        colours = np.array([GREEN, RED], "uint8")[part.labels]
        expected = np.broadcast_to(colours[:, None, None], part.images.shape)
        np.testing.assert_array_equal(part.images, expected)
    assert load_splits(str(folder)).image_shape == (64, 64, 3)


def test_fewer_labels_leave_the_others_without(folder):
    splits = load_splits(folder, image_size=16, num_labels=4, num_validation=6)
    assert np.bincount(splits.labelled.labels).tolist() == [2, 2]
    assert len(splits.unlabelled) == 30 + 36 - 6 - 6 - 4
    again = load_splits(folder, image_size=16, num_labels=4, num_validation=6, seed=1)
    np.testing.assert_array_equal(splits.test.images, again.test.images)


def test_a_folder_of_classes_and_a_number_of_labels(folder):
    splits = load_splits(folder / "labelled", image_size=16, num_labels=6)
    sizes = [len(part.labels) for part in (splits.labelled, splits.validation, splits.test)]
    assert (len(splits.unlabelled), *sizes) == (19, 6, 5, 6)
    with pytest.raises(ValueError, match=r"num_labels must be given .* may be up to 23"):
        load_splits(folder / "labelled", image_size=16)


def test_a_test_folder_is_kept_for_the_end(folder):
    save(folder / "test" / "red" / "a.png", in_one_colour(RED))
    save(folder / "test" / "green" / "a.png", in_one_colour(GREEN))
    splits = load_splits(folder, image_size=16)
    assert splits.test.labels.tolist() == [0, 1]
    assert len(splits.labelled.labels) + len(splits.validation.labels) == 36
    save(folder / "test" / "blue" / "a.png", in_one_colour(RED))
    with pytest.raises(DatasetError, match=r"test must hold classes of \['green', 'red'\]"):
        load_splits(folder, image_size=16)


def test_grey_pictures_have_one_channel(tmp_path):
    grey = [save(tmp_path / f"{i}.png", np.full((8, 8), 9 * i)) for i in range(3)]
    images, read = read_pictures(grey, image_size=8)
    assert read.all()
    assert images[:, 0, 0].tolist() == [[0], [9], [18]]
    assert read_pictures(grey, image_size=8, channels=3)[0].shape == (3, 8, 8, 3)
    coloured = save(tmp_path / "colour.png", in_one_colour((10, 20, 30)))
    assert read_pictures([*grey, coloured], image_size=8)[0].shape == (4, 8, 8, 3)
    luma = round(0.299 * 10 + 0.587 * 20 + 0.114 * 30)
    images, _ = read_pictures([coloured], image_size=8, channels=1)
    np.testing.assert_array_equal(images, np.full((1, 8, 8, 1), luma))
    (streamed,) = stream_images(tmp_path, image_size=8, channels=1).take(1).as_numpy_iterator()
    assert streamed.shape == (8, 8, 1)


@pytest.mark.parametrize("ending", [".png", ".jpg", ".JPEG", ".bmp", ".gif", ".webp", ".tif"])
def test_common_formats(tmp_path, ending):
    image = in_one_colour((200, 40, 90), (24, 24))
    (read,), _ = read_pictures([save(tmp_path / f"a{ending}", image)], image_size=24)
    np.testing.assert_allclose(read.astype(int), image, atol=4)


def test_other_modes(tmp_path):
    """Palettes, transparency, CMYK, black and white, 16 bits; a moving picture gives its first."""
    colour = Image.fromarray(in_one_colour(RED, (8, 8)))
    for name, picture in {
        "palette.png": colour.convert("P", palette=Image.Palette.ADAPTIVE),
        "alpha.png": colour.convert("RGBA"),
        "cmyk.tif": colour.convert("CMYK"),
    }.items():
        picture.save(tmp_path / name)
        (read,), _ = read_pictures([tmp_path / name], image_size=8)
        np.testing.assert_allclose(read.astype(int), np.asarray(colour), atol=5)
    Image.fromarray(np.full((8, 8), True)).save(tmp_path / "one_bit.png")
    Image.fromarray(np.full((8, 8), 257 * 100, "uint16")).save(tmp_path / "deep.png")
    first, second = (Image.fromarray(in_one_colour((v, v, v), (8, 8))) for v in (50, 250))
    first.save(tmp_path / "moving.gif", save_all=True, append_images=[second])
    for name, value in {"one_bit.png": 255, "deep.png": 100, "moving.gif": 50}.items():
        images, _ = read_pictures([tmp_path / name], image_size=8)
        np.testing.assert_array_equal(images, np.full((1, 8, 8, 1), value))


def test_a_photograph_is_turned_upright(tmp_path):
    """Tag 274 is where a camera notes how it was held; 6 asks for a quarter turn to the right."""
    upright = np.zeros((16, 16, 3), "uint8")
    upright[:8] = 255  # bright above
    tags = Image.Exif()
    tags[274] = 6
    Image.fromarray(np.rot90(upright)).save(tmp_path / "a.jpg", exif=tags, quality=95)
    deep = Image.fromarray(np.rot90(upright[..., 0]).astype("uint16") * 257)
    deep.save(tmp_path / "deep.png", exif=tags)
    for name in ("a.jpg", "deep.png"):
        images, _ = read_pictures([tmp_path / name], image_size=16)
        np.testing.assert_allclose(images[0].astype(int), upright[..., :1], atol=6)


def test_crop_pad_and_resize():
    """Black, white and grey thirds side by side, three times as wide as high."""
    image = np.zeros((10, 30, 1), "uint8")
    image[:, 10:20], image[:, 20:] = 255, 100
    cropped, padded, stretched = (
        square(image, 10, fit).numpy() for fit in ("crop", "pad", "resize")
    )
    np.testing.assert_array_equal(cropped, np.full((10, 10, 1), 255))
    assert padded[0].max() == padded[-1].max() == 0
    assert padded[5, :, 0].tolist() == square(image, 10, "resize").numpy()[5, :, 0].tolist()
    assert (stretched[:, 0] == 0).all()
    assert (stretched[:, -1] == 100).all()
    assert (stretched[:, 5] == 255).all()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 24), st.sampled_from(["crop", "pad"]))
@settings(max_examples=40, deadline=None)
def test_any_size_becomes_the_square_asked_for(height, width, size, fit):
    result = square(np.full((height, width, 3), 77, "uint8"), size, fit).numpy()
    assert result.shape == (size, size, 3)
    inside = result if fit == "crop" else result[result > 0]
    assert (inside == 77).all()
    assert inside.size >= size * 3  # at the least one line of pixels, from edge to edge


def test_broken_files_are_listed_in_one_error(folder):
    broken = break_files(sorted((folder / "unlabelled" / "deep").iterdir())[:5])
    broken += break_files(sorted((folder / "labelled" / "red").iterdir())[:1])
    for read in (lambda: load_splits(folder, image_size=16), lambda: stream(folder)):
        with pytest.raises(DatasetError, match='leave them out with broken="skip"') as error:
            read()
        lines = str(error.value).splitlines()
        assert lines[0].startswith("6 of 66 pictures cannot be read")
        assert [line.split(": ")[0].strip() for line in lines[1:]] == sorted(map(str, broken))
        assert "Traceback" not in str(error.value)


def test_many_pictures_are_read_again_in_each_pass(folder, monkeypatch):
    """Few are kept in memory; both ways give the same images in the same order."""
    few = list(stream(folder).as_numpy_iterator())
    monkeypatch.setattr("rotnet_keras.datasets.WINDOW_BYTES", 1000)
    streamed = stream(folder)
    for _ in range(2):
        np.testing.assert_array_equal(few, list(streamed.as_numpy_iterator()))
    grey = list(stream(folder, channels=1).as_numpy_iterator())
    monkeypatch.undo()
    np.testing.assert_array_equal(grey, list(stream(folder, channels=1).as_numpy_iterator()))


def stream(folder, **options):
    return stream_images(folder, image_size=16, **options)


def test_broken_files_are_skipped_and_listed_on_request(folder):
    (broken,) = break_files(sorted((folder / "labelled" / "red").iterdir())[:1])
    with pytest.warns(UserWarning, match=rf"1 of 66 pictures cannot be read .*\n  {broken}: "):
        splits = load_splits(folder, image_size=16, broken="skip")
    assert splits.skipped == (str(broken),)
    assert sum(len(part.labels) for part in (splits.labelled, splits.validation, splits.test)) == 35
    with pytest.warns(UserWarning, match="1 of 66"):
        dataset = stream(folder, broken="skip")
    assert int(dataset.cardinality()) == 65 == len(list(dataset))


def test_nothing_but_broken_files_cannot_be_skipped(tmp_path):
    save(tmp_path / "a.png", in_one_colour(RED))
    break_files([tmp_path / "a.png"])
    with pytest.raises(DatasetError, match="1 of 1 pictures cannot be read, and there are no"):
        stream(tmp_path, broken="skip")


def test_formats_that_cannot_be_read_are_not_passed_over(tmp_path):
    save(tmp_path / "a.png", in_one_colour(RED))
    (tmp_path / "b.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 50)
    with pytest.raises(DatasetError, match=r"b\.HEIC: no picture, or in a format"):
        stream(tmp_path)


def test_hidden_files_are_no_pictures(folder):
    for name in (".trash/a.png", "__MACOSX/labelled/red/._1.png", "labelled/red/._1.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"no picture")
    (folder / "labelled" / "notes.txt").write_text("not a class")
    assert len(list_pictures(folder)) == 66
    assert list(list_classes(folder / "labelled")) == ["green", "red"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        ("labelled/a.png", r"must hold a folder for each class, it holds 1 pictures .* a\.png"),
        ("labelled/blue/notes.txt", r"blue holds no pictures \(\.avif, "),
    ],
)
def test_folders_in_no_known_form(folder, make, message):
    save(folder / "a.png", in_one_colour(RED))
    (folder / make).parent.mkdir(exist_ok=True)
    (folder / "a.png").rename(folder / make)
    with pytest.raises(DatasetError, match=message):
        load_splits(folder, image_size=16)


def test_folders_that_lack_something(folder, tmp_path):
    with pytest.raises(DatasetError, match=r"two or more classes, got \['deep'\]"):
        load_splits(folder / "unlabelled", num_labels=5)
    with pytest.raises(DatasetError, match="nowhere is no folder"):
        load_splits(tmp_path / "nowhere")
    for file in list_pictures(folder / "unlabelled"):
        file.unlink()
    with pytest.raises(DatasetError, match="unlabelled holds no pictures"):
        load_splits(folder)


@pytest.mark.parametrize("names", [("labeled", "unlabeled"), ("train", "test"), ("Val", "cat")])
def test_parts_of_a_data_set_are_not_taken_for_classes(tmp_path, names):
    for name in names:
        save(tmp_path / name / "a.png", in_one_colour(RED))
    with pytest.raises(DatasetError, match="which are no names of classes"):
        load_splits(tmp_path, num_labels=2)


def test_what_a_picture_is_does_not_go_by_its_name(tmp_path):
    """Pillow would start another program to draw PostScript."""
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    os.symlink(tmp_path / "nowhere", tmp_path / "b.jpg")
    with pytest.raises(DatasetError, match=r"2 of 2.*\n.*a\.png: no picture.*\n.*b\.jpg: "):
        read_pictures(list_pictures(tmp_path), image_size=8)


def test_a_name_that_is_known_is_no_folder(tmp_path, monkeypatch):
    """A folder beside the notebook must not hide a data set of that name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "garments").mkdir()
    assert load_splits("garments").stand_in
    with pytest.raises(DatasetError, match="two or more classes"):
        load_splits("./garments", num_labels=5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fit": "squeeze"}, r"fit must be one of \('crop', 'pad', 'resize'\), got 'squeeze'"),
        ({"channels": 4}, "channels must be 1, 3 or None, got 4"),
        ({"broken": "mend"}, r"broken must be one of \('raise', 'skip'\), got 'mend'"),
        ({"image_size": 0}, "image_size must be a whole number of at least 1, got 0"),
    ],
)
def test_settings_that_there_are_not(folder, options, message):
    for load in (load_splits, stream_images):
        with pytest.raises(ValueError, match=message):
            load(folder, **{"image_size": 16, **options})


@pytest.mark.skipif(os.name == "nt", reason="file names are text there")
def test_names_that_are_no_text(tmp_path):
    name = os.path.join(os.fsencode(tmp_path), b"caf\xe9\n<b>.png")
    save(tmp_path / "a.png", in_one_colour(RED)).rename(os.fsdecode(name))
    images, _ = read_pictures(list_pictures(tmp_path), image_size=8)
    assert images.shape == (1, 8, 8, 3)
    with open(name, "wb"):
        pass
    with pytest.raises(DatasetError) as error:
        read_pictures(list_pictures(tmp_path), image_size=8)
    str(error.value).encode()  # can be printed
    assert "caf\\udce9\\n<b>.png" in str(error.value)


def pack(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_unpacking(tmp_path):
    archive = pack(tmp_path / "a.zip", {"pets/cat/1.png": b"1", "__MACOSX/pets/._1.png": b"2"})
    assert unpack_zip(archive, tmp_path / "out") == tmp_path / "out" / "pets"
    assert (tmp_path / "out" / "pets" / "cat" / "1.png").read_bytes() == b"1"
    with pytest.raises(DatasetError, match="out is there already"):
        unpack_zip(archive, tmp_path / "out")
    several = pack(tmp_path / "b.zip", {"cat/1.png": b"1", "dog/1.png": b"2"})
    assert unpack_zip(several, tmp_path / "b") == tmp_path / "b"


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/evil.png", "..\\evil.png"])
def test_no_archive_writes_outside_its_folder(tmp_path, name):
    inside = tmp_path / "inside"
    inside.mkdir()
    archive = pack(tmp_path / "a.zip", {"good.png": b"1", name: b"2"})
    with pytest.raises(DatasetError, match="would land elsewhere"):
        unpack_zip(archive, inside / "out")
    assert list(inside.iterdir()) == []
    assert not list(tmp_path.glob("evil*"))


def test_damaged_archives(tmp_path):
    whole = pack(tmp_path / "a.zip", {"a.png": b"1234567890" * 100}).read_bytes()
    flipped = bytearray(whole)
    flipped[60] ^= 0xFF
    for content in (b"", b"no archive", whole[:-30], bytes(flipped)):
        (tmp_path / "b.zip").write_bytes(content)
        with pytest.raises(DatasetError, match=r"b\.zip is no sound zip archive"):
            unpack_zip(tmp_path / "b.zip", tmp_path / "out")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "b.zip"]


def test_pictures_written_by_keras_come_back_as_they_were(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (12, 12, 3), "uint8")
    keras.utils.save_img(tmp_path / "a.png", image, scale=False)
    np.testing.assert_array_equal(read_pictures([tmp_path / "a.png"], image_size=12)[0], [image])
