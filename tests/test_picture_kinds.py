"""Kinds of picture files: transparency, depths, byte orders, sizes; against NumPy, exactly."""

import io
import os
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from picture_files import png, save, tiff
from PIL import Image, features

from rotnet_keras import DatasetError, list_pictures, read_pictures
from rotnet_keras.data import decoding
from rotnet_keras.data.decoding import FULL, decode_picture

SIZE = 6
RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (SIZE, SIZE, 3), "uint8")
ALPHA = RNG.integers(0, 256, (SIZE, SIZE, 1), "uint8")
CLEAR = np.arange(SIZE * SIZE).reshape(SIZE, SIZE, 1) % 3 == 0  # wholly transparent or not at all
GROUNDS = (255, 0, 77, (10, 200, 30))
CASES = 2_000 if os.environ.get("ROTNET_KERAS_NIGHTLY") == "1" else 100
DEPTHS = (8, 10, 12, 14, 16)


def in_memory(picture, name, **how):
    file = io.BytesIO()
    picture.save(file, name, **how)
    return file.getvalue()


def read(folder, *contents, **how):
    """Images of files without an ending, which hold what is given."""
    folder.mkdir(exist_ok=True)
    files = [folder / f"{place:02}" for place in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    return read_pictures(files, image_size=SIZE, channels=3, **how)[0]


def decode(file, content, ground, levels):
    """The image of one file, without a data set around it."""
    file.write_bytes(content)
    image, reason, _ = decode_picture(os.fsencode(file), SIZE, ground, levels)
    assert not reason
    return image


def laid(colours, share, ground):
    """The reference: colours of which `share` is seen, over the ground, in whole levels."""
    return np.rint(colours * share + np.broadcast_to(ground, 3) * (1.0 - share)).astype("uint8")


def scaled(values, levels):
    black, white = levels
    return np.rint((np.clip(values, black, white) - float(black)) * 255 / (white - black))


def grey(values):
    return np.repeat(np.asarray(values, "uint8")[..., None], 3, axis=-1)


# Transparency.


def in_palette(name):
    """Colours, some transparent, in a palette: one entry of it is what is not seen."""
    entries = np.arange(SIZE * SIZE, dtype="uint8").reshape(SIZE, SIZE) + 1
    entries[CLEAR[..., 0]] = 0
    picture = Image.fromarray(entries, "L").convert("P")
    colours = np.concatenate([[[1, 2, 3]], COLOURS.reshape(-1, 3)]).astype("uint8")
    picture.putpalette(colours.tobytes())
    return in_memory(picture, name, transparency=0)


def in_palette_by_bytes():
    """PNG has a transparency for each entry of a palette."""
    entries = np.arange(SIZE * SIZE, dtype="uint8").reshape(SIZE, SIZE)
    picture = Image.fromarray(entries, "L").convert("P")
    picture.putpalette(COLOURS.tobytes())
    return in_memory(picture, "PNG", transparency=ALPHA.tobytes())


RGBA = Image.fromarray(np.concatenate([COLOURS, ALPHA], axis=-1))
GREYS = COLOURS[..., :1]
LA = Image.fromarray(np.concatenate([GREYS, ALPHA], axis=-1), "LA")
DEEP = [np.concatenate([some, ALPHA], axis=-1).astype(int) * 257 for some in (COLOURS, GREYS)]
KEYED = np.where(CLEAR, (7, 8, 9), np.maximum(COLOURS, 10))  # 7, 8, 9 is transparent
FORMS = {
    "PNG, RGBA": (in_memory(RGBA, "PNG"), COLOURS, ALPHA / 255),
    "PNG, LA": (in_memory(LA, "PNG"), GREYS, ALPHA / 255),
    "PNG, RGBA of 16 bits": (png(DEEP[0], 16), COLOURS, ALPHA / 255),
    "PNG, LA of 16 bits": (png(DEEP[1], 16), GREYS, ALPHA / 255),
    "PNG, palette": (in_palette("PNG"), COLOURS, 1.0 - CLEAR),
    "PNG, palette of many": (in_palette_by_bytes(), COLOURS, ALPHA / 255),
    "PNG, one colour": (png(KEYED, 8, (7, 8, 9)), KEYED, 1.0 - CLEAR),
    "PNG, one colour of 16 bits": (png(KEYED * 257, 16, (1799, 2056, 2313)), KEYED, 1.0 - CLEAR),
    "GIF": (in_palette("GIF"), COLOURS, 1.0 - CLEAR),
    "TIFF, RGBA": (in_memory(RGBA, "TIFF"), COLOURS, ALPHA / 255),
    "TIFF, LA": (in_memory(LA, "TIFF"), GREYS, ALPHA / 255),
    "WebP": (in_memory(RGBA, "WEBP", lossless=True, exact=True), COLOURS, ALPHA / 255),
}


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("form", FORMS)
def test_what_is_transparent_shows_the_ground(tmp_path, form, ground):
    content, colours, share = FORMS[form]
    image = decode(tmp_path / "a", content, ground, FULL)
    np.testing.assert_array_equal(image, laid(colours, share, ground))


def test_the_ground_is_white_unless_said(tmp_path):
    contents = [content for content, *_ in FORMS.values()]
    expected = [laid(colours, share, 255) for _, colours, share in FORMS.values()]
    np.testing.assert_array_equal(read(tmp_path, *contents), expected)


@pytest.mark.skipif(not features.check("avif"), reason="Pillow was built without AVIF")
def test_avif_shows_the_ground(tmp_path):
    icon = np.zeros((SIZE, SIZE, 4), "uint8")
    icon[:, 3:] = (200, 40, 90, 255)
    content = in_memory(Image.fromarray(icon), "AVIF", quality=100, subsampling="4:4:4")
    (image,) = read(tmp_path, content, ground=(10, 200, 30))
    np.testing.assert_array_equal(image[:, :3], np.broadcast_to((10, 200, 30), (SIZE, 3, 3)))
    np.testing.assert_allclose(image[:, 3:].astype(int), icon[:, 3:, :3].astype(int), atol=3)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_png_of_one_transparent_grey(tmp_path, bits):
    """Pillow compares levels of 0..255 to the one of fewer bits that the file names."""
    values = np.arange(SIZE * SIZE).reshape(SIZE, SIZE) * 2**bits // SIZE**2
    top = 2**bits - 1
    (image,) = read(tmp_path, png(values, bits, (top,)), ground=9, white=65535)
    expected = np.where(values == top, 9, scaled(values, (0, top)))
    np.testing.assert_array_equal(image, grey(expected))


rgba = arrays("uint8", (SIZE, SIZE, 4))
grounds = st.one_of(st.integers(0, 255), st.tuples(*[st.integers(0, 255)] * 3))


@given(rgba, grounds)
@settings(max_examples=CASES, deadline=None)
def test_any_transparency_on_any_ground(tmp_path_factory, values, ground):
    forms = [in_memory(Image.fromarray(values), "PNG"), png(values.astype(int) * 257, 16)]
    forms.append(in_memory(Image.fromarray(values), "WEBP", lossless=True, exact=True))
    expected = laid(values[..., :3], values[..., 3:] / 255, ground)
    for content in forms:
        image = decode(tmp_path_factory.getbasetemp() / "any", content, ground, FULL)
        np.testing.assert_array_equal(image, expected)


# Depths and byte orders.


def pgm(values):
    return b"P5 %d %d 65535\n" % values.shape[::-1] + values.astype(">u2").tobytes()


DEEP_FORMS = {
    "PNG": lambda values: png(values, 16),
    "PNG, colours": lambda values: png(np.repeat(values[..., None], 3, axis=-1), 16),
    "PGM": pgm,
    "TIFF, II": lambda values: tiff(values),
    "TIFF, MM": lambda values: tiff(values, ">"),
    "TIFF, II, deflated": lambda values: tiff(values, compressed=True),
    "TIFF, MM, deflated": lambda values: tiff(values, ">", compressed=True),
    "TIFF, by Pillow": lambda values: in_memory(Image.fromarray(values), "TIFF"),
    "TIFF, signed, II": lambda values: tiff(values.astype("int16")),
    "TIFF, signed, MM": lambda values: tiff(values.astype("int16"), ">"),
    "TIFF, signed, MM, deflated": lambda v: tiff(v.astype("int16"), ">", compressed=True),
}


KINDS = [(form, bits) for form in DEEP_FORMS for bits in DEPTHS]


@pytest.mark.parametrize(("form", "bits"), [k for k in KINDS if "signed" not in k[0] or k[1] < 16])
def test_white_is_what_the_folder_holds(tmp_path, form, bits):
    values = RNG.integers(0, 2**bits, (2, SIZE, SIZE)).astype("uint16")
    values[0] //= 4  # a dark picture beside a bright one stays dark
    values[1, 0, 0] = 2**bits - 1
    contents = [DEEP_FORMS[form](some) for some in values]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        images = read(tmp_path, *contents)
    expected = [grey(scaled(some, (0, 2**bits - 1))) for some in values]
    np.testing.assert_array_equal(images, expected)
    number = f"{2**bits - 1:,} for white"
    assert [number in str(warning.message) for warning in said] == [True] * (bits < 16)


@given(arrays("uint16", (SIZE, SIZE)), st.integers(1, 65535), st.sampled_from(sorted(DEEP_FORMS)))
@settings(max_examples=CASES, deadline=None)
def test_any_values_under_any_white(tmp_path_factory, values, white, form):
    values = values % 2**15 if "signed" in form else values
    file = tmp_path_factory.getbasetemp() / "white"
    image = decode(file, DEEP_FORMS[form](values), 255, (0, white))
    np.testing.assert_array_equal(image, grey(scaled(values, (0, white))))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compressed", [False, True])
def test_negative_values_have_a_black_of_their_own(tmp_path, order, compressed):
    """CT counts from -1,024, which is air."""
    values = np.linspace(-1024, 3071, SIZE * SIZE).astype("int16").reshape(SIZE, SIZE)
    content = tiff(values, order, compressed=compressed)
    with pytest.warns(UserWarning, match="-1,024 is taken for black and 4,095 for white"):
        (image,) = read(tmp_path, content)
    np.testing.assert_array_equal(image, grey(scaled(values, (-1024, 4095))))
    (image,) = read(tmp_path, content, white=(-200, 300))
    np.testing.assert_array_equal(image, grey(scaled(values, (-200, 300))))


def test_zero_may_be_white(tmp_path):
    values = RNG.integers(0, 4096, (SIZE, SIZE)).astype("uint16")
    (image,) = read(tmp_path, tiff(values, white_is_zero=True), white=4095)
    np.testing.assert_array_equal(image, grey(255 - scaled(values, (0, 4095))))


def test_a_file_may_say_its_own_white(tmp_path):
    values = RNG.integers(0, 1000, (SIZE, SIZE)).astype("uint16")
    said = b"P5 %d %d 1000\n" % values.shape[::-1] + values.astype(">u2").tobytes()
    (image,) = read(tmp_path, said, white=12)
    np.testing.assert_allclose(image, grey(scaled(values, (0, 1000))), atol=1)


def test_colours_of_which_pillow_reads_half(tmp_path):
    full, dark = (RNG.integers(0, 2**bits, (SIZE, SIZE, 3)).astype("uint16") for bits in (16, 12))
    ppm = b"P6 %d %d 65535\n" % (SIZE, SIZE)
    for write in (tiff, lambda values: ppm + values.astype(">u2").tobytes()):
        (image,) = read(tmp_path, write(full))
        np.testing.assert_allclose(image, full / 257, atol=1)
        with (
            pytest.warns(UserWarning, match="4,095 for white"),
            pytest.raises(DatasetError, match=r"00: colours of 16 bits.* white is 4095; save it"),
        ):
            read(tmp_path, write(dark))


def test_16_bits_without_any_light_say_nothing_of_white(tmp_path):
    black = np.zeros((SIZE, SIZE), "uint16")
    np.testing.assert_array_equal(read(tmp_path, png(black, 16)), np.zeros((1, SIZE, SIZE, 3)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_kind_is_turned_upright(tmp_path, orientation):
    """Tag 274; each kind as Pillow turns the one of 8 bits."""
    levels = RNG.integers(0, 256, (SIZE, SIZE), "uint8")
    tags = Image.Exif()
    tags[274] = orientation
    eight = in_memory(Image.fromarray(levels), "PNG", exif=tags)
    deep = levels.astype("uint16") * 257
    colours = Image.fromarray(np.repeat(levels[..., None], 4, axis=-1) | np.uint8([0, 0, 0, 255]))
    contents = [
        eight,
        in_memory(Image.fromarray(deep), "PNG", exif=tags),
        in_memory(colours, "PNG", exif=tags),
        *(tiff(deep, order, orientation=orientation) for order in "<>"),
    ]
    turns = {2: np.fliplr, 3: lambda x: np.rot90(x, 2), 4: np.flipud, 5: np.transpose}
    turns |= {6: lambda x: np.rot90(x, -1), 7: lambda x: np.rot90(x, 2).T, 8: np.rot90}
    upright = grey(turns.get(orientation, np.array)(levels))
    np.testing.assert_array_equal(read(tmp_path, *contents, white=65535), [upright] * 5)


# What is opened, and how much of it.


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes there")
def test_a_pipe_is_no_picture(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    (tmp_path / "y.png").mkdir()
    reasons = r"x\.png: no regular file\n.*y\.png: no regular file$"
    with pytest.raises(DatasetError, match=reasons):
        read_pictures([tmp_path / "x.png", tmp_path / "y.png"], image_size=8)


@pytest.mark.parametrize("name", ["a.ppm", "a.pgm", "a.pbm", "a.jfif", "a.jpe", "a", "a.dat"])
def test_what_is_listed_can_be_read(tmp_path, name):
    """Known by content: the ending says nothing."""
    kind = {"ppm": "PPM", "pgm": "PPM", "pbm": "PPM"}.get(name[2:], "JPEG")
    mode = {"pgm": "L", "pbm": "1"}.get(name[2:], "RGB")
    picture = Image.new(mode, (9, 9), 1 if mode == "1" else 255)
    (tmp_path / name).write_bytes(in_memory(picture.convert(mode), kind))
    assert list_pictures(tmp_path) == [tmp_path / name]
    assert read_pictures([tmp_path / name], image_size=8)[1].all()


def test_too_many_pixels_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "LARGE", 100)
    monkeypatch.setattr(decoding, "MOST_PIXELS", 3_000)
    large = in_memory(Image.new("RGB", (60, 80)), "PNG")
    with pytest.raises(DatasetError, match="00: 60 x 80 pixels, more than 3,000: make it smaller"):
        read(tmp_path, large)


@pytest.mark.parametrize("kind", ["RGB", "RGBA", "P", "16 bits", "JPEG"])
def test_large_pictures_are_made_smaller_at_once(tmp_path, monkeypatch, kind):
    """Of one colour on each side, they come out as they would have been."""
    levels = np.zeros((96, 96), "uint8")
    levels[:, 48:] = 200
    picture = Image.fromarray(levels)
    content = in_memory(picture.convert("RGB"), "JPEG", quality=100) if kind == "JPEG" else None
    if kind == "16 bits":
        content = png(levels.astype("uint16") * 257, 16)
    content = content or in_memory(picture.convert(kind), "PNG")
    whole = read(tmp_path, content, white=65535)
    monkeypatch.setattr(decoding, "LARGE", 600)  # a quarter of its height
    monkeypatch.setattr(decoding, "MOST_PIXELS", 96 * 96 - (kind == "JPEG"))
    np.testing.assert_allclose(
        read(tmp_path, content, white=65535).astype(int), whole.astype(int), atol=4
    )
    (file,) = tmp_path.iterdir()
    smaller, *_ = decode_picture(os.fsencode(file), SIZE, 255, FULL)
    assert smaller.shape == (24, 24, 3)


def test_an_ordinary_picture_needs_none_of_it(tmp_path):
    """To the bit as Pillow has it."""
    file = save(tmp_path / "a.jpg", RNG.integers(0, 256, (SIZE, SIZE, 3)))
    (image,), _ = read_pictures([file], image_size=SIZE, ground=0, white=7)
    np.testing.assert_array_equal(image, np.asarray(Image.open(file).convert("RGB")))
