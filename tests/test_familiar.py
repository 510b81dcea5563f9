"""Pictures that look like none of those in training: by hand, and on real ones."""

import dataclasses

import keras
import numpy as np
import pytest

from rotnet_keras import (
    InputError,
    attach_head,
    conv_blocks_extractor,
    fine_tune,
    linear_probe,
    two_conv_extractor,
)
from rotnet_keras.deployment.familiar import (
    Familiar,
    familiar_from,
    features_of,
    look_of,
    read_familiar,
    write_familiar,
)
from rotnet_keras.few_labels.recipe import _averaged


@pytest.fixture
def known():
    """Ten points on a line, three apart, in the first of two features."""
    points = 3.0 * np.arange(10, dtype="float32")[:, None]
    return Familiar(np.zeros(2, "float32"), np.eye(2, dtype="float32")[:1], points, 0.5, 7.0)


def test_distance_is_to_the_fifth_nearest(known):
    features = np.array([[0, 0], [12, 0], [30, 0], [-1, 0], [12, 4]], "float32")
    assert known.distances(features).tolist() == [12, 6, 15, 13, 10]  # 6, and 4 / 0.5 across
    assert known.unlike(features).tolist() == [True, False, True, True, True]
    few = dataclasses.replace(known, points=known.points[:2])
    assert few.distances(features[:1]).tolist() == [3]


def test_a_hundredth_of_held_out_pictures_is_unlike(images):
    """The threshold is of the distances as they are found again from a file."""
    pixels = keras.Input((12, 12, 1))
    flat = keras.Model(pixels, keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(pixels)))
    rng = np.random.default_rng(1)
    many = rng.integers(0, 256, (500, 12, 12, 1), "uint8")
    known = familiar_from(attach_head(flat, 2), many[:100], many[100:])
    assert known.axes.shape == (50, 144)
    held_out = many[100:].reshape(400, -1) / np.float32(255)
    assert known.unlike(held_out).sum() == 4
    assert known.unlike(np.zeros((1, 144))).tolist() == [True]
    assert (
        len(familiar_from(attach_head(flat, 2), np.tile(many, (3, 1, 1, 1)), images).points) == 1000
    )


@pytest.mark.parametrize("number", [1, 2, 5])
def test_few_pictures_are_enough(number, tmp_path):
    """Those that are remembered are familiar, and others are not, whatever varies among them."""
    pixels = keras.Input((1, 2, 1))
    model = attach_head(keras.Model(pixels, keras.layers.Flatten()(pixels)), 2)
    images = np.zeros((number, 1, 2, 1), "uint8")
    images[:, 0, 0, 0] = np.arange(number)
    known = familiar_from(model, images, images)
    assert not known.unlike(images.reshape(number, 2)).any()
    assert known.unlike(np.array([[0, 9], [100, 0]])).tolist() == [True, True]
    write_familiar(known, tmp_path / "a.npz")
    assert read_familiar(tmp_path / "a.npz").threshold == known.threshold


def test_rounding_makes_nothing_unlike():
    """All directions are components here, and what lies across them is only rounded away."""
    pixels = keras.Input((1, 3, 1))
    model = attach_head(keras.Model(pixels, keras.layers.Flatten()(pixels)), 2)
    images = np.random.default_rng(0).integers(100, 256, (300, 1, 3, 1), "uint8")
    known = familiar_from(model, images[:200], images[200:])
    assert known.axes.shape == (3, 3)
    features = images[200:].reshape(100, 3)
    whole = known.axes.astype("float64")
    points, along = known.points.astype("float64"), (features - known.mean.astype("float64"))
    along = along @ whole.T
    apart = np.sort(np.linalg.norm(along[:, None] - points[None], axis=-1), axis=1)[:, 4]
    np.testing.assert_allclose(known.distances(features), apart, rtol=1e-4)


def test_features_are_what_a_head_reads():
    extractor = conv_blocks_extractor((8, 8, 1), widths=(2, 3))
    plain = attach_head(extractor, 2)
    assert features_of(plain).output_shape == (None, 3)
    assert features_of(extractor) is extractor  # no head: all of it
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), "uint8")
    probe = linear_probe(extractor, images, np.arange(6) % 2)
    several = _averaged([keras.Model(plain.input, plain.output), extractor_of(plain), probe])
    found = features_of(several)
    assert found.output_shape == (None, 3)
    np.testing.assert_allclose(found(images), extractor(images), rtol=1e-5)


def extractor_of(plain):
    """A classifier without a head of that name."""
    return keras.Model(plain.input, keras.layers.Dense(2, name="other")(plain.layers[-2].output))


def test_a_file_gives_it_back(known, tmp_path):
    path = tmp_path / "a.npz"
    write_familiar(known, path)
    again = read_familiar(path)
    for field in dataclasses.fields(Familiar):
        a, b = (getattr(one, field.name) for one in (known, again))
        np.testing.assert_array_equal(a, b)


def test_damaged_files_are_said_to_be(known, tmp_path):
    path = tmp_path / "a.npz"
    write_familiar(known, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"a\.npz cannot be read: .*; save the classifier again"):
        read_familiar(path)
    np.savez(path, mean=1)
    with pytest.raises(InputError, match=r"a\.npz cannot be read"):
        read_familiar(path)
    write_familiar(dataclasses.replace(known, axes=np.eye(3)), path)
    with pytest.raises(InputError, match=r"a\.npz does not hold what familiar_from returns"):
        read_familiar(path)
    kept = {"mean": ["a"], "axes": [["a"]], "points": [["a"]], "rest": "a", "threshold": "a"}
    np.savez(path, **kept)
    with pytest.raises(InputError, match=r"a\.npz does not hold what familiar_from returns"):
        read_familiar(path)
    np.savez(path, mean=np.array([object()]), axes=1, points=1, rest=1, threshold=1)
    with pytest.raises(InputError, match=r"a\.npz cannot be read"):  # no code of a file is run
        read_familiar(path)


@pytest.mark.slow
def test_negatives_are_told_from_test_images(splits):
    """On real images: about one in a hundred of the test images is unlike, and all negatives."""
    images, labels = splits.labelled
    model, _ = fine_tune(
        two_conv_extractor(splits.image_shape), images, labels, epochs=10, verbose=0
    )
    known = familiar_from(model, images, splits.validation.images[:2000])
    network, test = look_of(model), splits.test.images[:2000]
    shares = [known.unlike(np.asarray(network(some))).mean() for some in (test, 255 - test)]
    assert 0.002 < shares[0] < 0.03
    assert shares[1] > 0.95


def test_features_that_are_not_finite_tell_nothing(images):
    pixels = keras.Input((12, 12, 1))
    spoilt = keras.Model(pixels, keras.layers.Flatten()(keras.ops.log(pixels - 300)))
    with pytest.raises(InputError, match="familiar_from: extractor must give finite features"):
        familiar_from(attach_head(spoilt, 2), images, images)
