"""Picture files: formats, sizes, broken ones."""

import os

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_files import RED, in_one_colour, save
from PIL import Image

from rotnet_keras import DatasetError, list_pictures, read_pictures, stream_images
from rotnet_keras.data.pictures import square


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


def test_what_a_picture_is_does_not_go_by_its_name(tmp_path):
    """Pillow would start another program to draw PostScript."""
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    os.symlink(tmp_path / "nowhere", tmp_path / "b.jpg")
    with pytest.raises(DatasetError, match=r"2 of 2.*\n.*a\.png: no picture.*\n.*b\.jpg: "):
        read_pictures(list_pictures(tmp_path), image_size=8)


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


def test_pictures_written_by_keras_come_back_as_they_were(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (12, 12, 3), "uint8")
    keras.utils.save_img(tmp_path / "a.png", image, scale=False)
    np.testing.assert_array_equal(read_pictures([tmp_path / "a.png"], image_size=12)[0], [image])


def test_32_bits_a_pixel_are_refused(tmp_path):
    Image.fromarray(np.full((8, 8), 7, "int32")).save(tmp_path / "a.tif")
    with pytest.raises(DatasetError, match=r"a\.tif: 32 bits a pixel \(mode I\), whose value for"):
        read_pictures([tmp_path / "a.tif"], image_size=8)


def test_a_warning_points_to_the_line_that_asked(tmp_path):
    save(tmp_path / "a.png", in_one_colour(RED))
    (tmp_path / "b.png").write_bytes(b"")
    for read in (read_pictures, lambda files, **more: stream_images(tmp_path, **more)):
        with pytest.warns(UserWarning, match="1 of 2 pictures") as warned:
            read([tmp_path / "a.png", tmp_path / "b.png"], image_size=8, broken="skip")
        assert [warning.filename for warning in warned] == [__file__]
