"""Checks of arrays: what pixels are, and what is said of those of other ranges."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import rotnet_keras as rk
from rotnet_keras._base.arrays import check_array, check_images, check_pixels, check_upright
from rotnet_keras._base.errors import InputError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 12, 12, 1), "uint8")
SCALED = {  # what people give, and what the message says to give instead
    "0..1": (IMAGES / 255, "give images * 255"),
    "0..1, half precision": ((IMAGES / 255).astype("float16"), "give images * 255"),
    "flags": (IMAGES > 99, "give images * 255"),
    "-1..1": (IMAGES / 127.5 - 1, "give (images + 1) * 127.5"),
    "16 bits": (IMAGES.astype("uint16") * 257, "give images / white * 255"),
    "12 bits": (IMAGES.astype("int16") * 16, "give images / white * 255"),
    "standardised": ((IMAGES - 127.5) / 40, "bring them to this range"),
    "more than 16 bits": (IMAGES.astype("int64") * 10**6, "bring them to this range"),
}


@pytest.mark.parametrize("scaled", SCALED)
def test_pixels_of_another_range_are_refused_with_what_mends_them(scaled):
    images, mend = SCALED[scaled]
    with pytest.raises(
        InputError, match=r"images must be pixels 0\.\.255, got .* from .* to"
    ) as no:
        check_images(images)
    assert mend in str(no.value)
    with pytest.raises(InputError, match="images must be pixels"):
        check_upright(tf.data.Dataset.from_tensor_slices(images))


@pytest.mark.parametrize(("scaled", "mended"), [
    (IMAGES / 255, lambda images: images * 255),
    (IMAGES / 127.5 - 1, lambda images: (images + 1) * 127.5),
    (IMAGES.astype("uint16") * 257, lambda images: images / 65535 * 255),
])  # fmt: skip
def test_what_the_message_says_mends_the_pixels(scaled, mended):
    np.testing.assert_allclose(check_images(mended(scaled)), IMAGES, atol=1e-6)


@given(st.floats(0, 255), st.sampled_from(["uint8", "int64", "float16", "float32", "float64"]))
def test_pixels_of_any_dtype_are_taken(brightest, dtype):
    images = np.zeros((2, 3, 3, 1), dtype)
    images[0, 0, 0, 0] = brightest
    if dtype == "uint8" or images.max() > 1 or not images.any():
        check_pixels("images", images)
    else:
        with pytest.raises(InputError, match="if they were scaled"):
            check_pixels("images", images)


def test_rounding_is_not_taken_for_another_range():
    check_pixels("images", np.array([-0.4, 0, 255.4]))
    with pytest.raises(InputError, match=r"from -0\.6 to 255"):
        check_pixels("images", np.array([-0.6, 0, 255]))


def test_a_name_of_two_words_is_no_expression():
    with pytest.raises(InputError, match=r"^validation images must .* give images \* 255"):
        check_pixels("validation images", IMAGES / 255)


def test_dark_pictures_are_taken_as_whole_bytes():
    assert check_images(IMAGES // 200).max() == 1


def test_a_stream_is_looked_at_only_where_its_numbers_tell_nothing():
    def fails():
        raise AssertionError("read before training")
        yield

    signature = tf.TensorSpec((12, 12, 1), "uint8")
    check_upright(tf.data.Dataset.from_generator(fails, output_signature=signature))


def test_a_tensor_that_refuses_to_become_an_array():
    class Tensor:
        def __array__(self, *_):
            raise RuntimeError("call detach() first")

    with pytest.raises(InputError, match=r"images must be an array of numbers, .*detach\(\) first"):
        check_array("images", Tensor())
    with pytest.raises(InputError, match=r"labels must be whole numbers, .*detach\(\) first"):
        rk.split_indices(Tensor(), num_labels=2, num_validation=2)
