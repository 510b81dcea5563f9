"""Digests: alike for the same data, whatever its order where that shall not count."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rotnet_keras._base.digests import digest, digest_of_file, digest_of_set

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 4, 4, 1), "uint8")


@given(st.integers(0, IMAGES.size - 1), st.integers(1, 255))
def test_one_pixel_makes_another_digest(place, by):
    changed = IMAGES.copy()
    changed.flat[place] ^= np.uint8(by)
    assert digest(changed) != digest(IMAGES)
    assert digest_of_set(changed) != digest_of_set(IMAGES)


def test_shape_dtype_and_ends_of_parts_count():
    different = [digest(IMAGES), digest(IMAGES.reshape(9, 16)), digest(IMAGES.astype("int8"))]
    different += [digest("ab", "c"), digest("a", "bc"), digest(b"abc"), digest(IMAGES[:0])]
    assert len(set(different)) == len(different)
    assert digest(IMAGES) == digest(np.asfortranarray(IMAGES))


def test_a_set_has_no_order():
    parts = (IMAGES[[3, 1]], IMAGES[[8, 0, 2]], IMAGES[[4, 5, 6, 7]])
    assert digest_of_set(*parts) == digest_of_set(IMAGES)
    assert digest_of_set(*parts, IMAGES[:1]) != digest_of_set(IMAGES)


def test_files_are_told_apart_by_what_they_hold(tmp_path):
    for name, held in {"a": b"one", "b": b"one", "c": b"two"}.items():
        (tmp_path / name).write_bytes(held)
    one, same, other = (digest_of_file(tmp_path / name) for name in "abc")
    assert one == same != other
