from functools import partial

import keras
import numpy as np
import pytest
from keras.ops import convert_to_numpy as to_numpy
from small_networks import assert_same_weights, assert_seed_decides

import rotnet_keras as rk
from rotnet_keras import (
    block_names,
    conv_blocks_extractor,
    make_extractor,
    nin_extractor,
    two_conv_extractor,
)
from rotnet_keras.models import NETWORKS


def test_blog_extractor():
    extractor = two_conv_extractor((28, 28, 1))
    assert extractor.output_shape == (None, 16)
    assert extractor.count_params() < 25_000
    names = [layer.name for layer in extractor.layers]
    assert names == ["images", "rescale", "conv1", "pool1", "conv2", "pool2", "flatten", "features"]
    for name in names[1:]:
        keras.Model(extractor.input, extractor.get_layer(name).output)


def test_raw_pixels_go_in(images, extractor):
    from_bytes = extractor.predict(images, verbose=0)
    np.testing.assert_allclose(from_bytes, extractor.predict(images.astype("float32"), verbose=0))
    assert extractor.get_layer("rescale").scale == pytest.approx(1 / 255)


@pytest.mark.parametrize("build", [two_conv_extractor, conv_blocks_extractor, nin_extractor])
def test_seed_decides_the_weights(build):
    first, _, other = assert_seed_decides(lambda seed: build((12, 12, 1), seed=seed))
    for a, b in zip(first.get_weights(), other.get_weights(), strict=True):
        assert a.ndim == 1 or not np.array_equal(a, b)  # biases, normalisation start at 0 and 1


def test_no_two_layers_share_a_seed():
    extractor = two_conv_extractor((12, 12, 1), seed=1)
    assert not np.isin(*(extractor.get_layer(f"conv{i}").kernel.numpy() for i in (1, 2))).any()


def output_shapes(model, names):
    return [tuple(model.get_layer(name).output.shape[1:]) for name in names]


def test_conv_blocks_extractor():
    extractor = conv_blocks_extractor((28, 28, 1), (32, 64, 128))
    assert block_names(extractor) == ("block1", "block2", "block3")
    shapes = output_shapes(extractor, block_names(extractor))
    assert shapes == [(14, 14, 32), (7, 7, 64), (3, 3, 128)]
    # Each convolution has nine weights a pair of channels, each normalisation four a channel.
    expected = 9 * (32 + 32 * 64 + 64 * 128) + 4 * (32 + 64 + 128)
    assert extractor.count_params() == expected
    assert extractor.output_shape == (None, 128)


def test_conv_blocks_end_in_averages_of_the_last_block(images):
    extractor = conv_blocks_extractor((12, 12, 1), (4, 8))
    maps = to_numpy(keras.Model(extractor.input, extractor.get_layer("block2").output)(images))
    assert (maps >= 0).all()
    np.testing.assert_allclose(extractor(images), maps.mean(axis=(1, 2)), rtol=1e-5)


def test_one_width_is_one_block():
    assert block_names(conv_blocks_extractor((2, 2, 1), [5])) == ("block1",)


@pytest.mark.parametrize("num_blocks", [3, 4, 5])
def test_network_in_network(num_blocks):
    extractor = nin_extractor((32, 32, 3), num_blocks, width=192)  # the paper's
    names = tuple(f"block{i}" for i in range(1, num_blocks + 1))
    assert block_names(extractor) == names
    expected = [(16, 16, 96), *[(8, 8, 192)] * (num_blocks - 1)]
    assert output_shapes(extractor, names) == expected
    convolutions = [layer for layer in extractor.layers if isinstance(layer, keras.layers.Conv2D)]
    sizes = [layer.kernel_size[0] for layer in convolutions]
    assert sizes == [5, 1, 1, 5, 1, 1] + [3, 1, 1] * (num_blocks - 2)
    assert [layer.filters for layer in convolutions[:3]] == [192, 160, 96]
    assert extractor.output_shape == (None, 192)


ODD_SHAPES = [(28, 28), (9, 28, 1), (28, 28, 0), (28.0, 28, 1), 28, None]
SMALLEST = "image_shape must be .* at least"
NO_COUNT = "must be a whole number of at least 1, got 0"
ODD_WIDTHS = [(), (4, 0), (4, -1), (4.0,), "4", None, 0]
WRONG = [
    *[(two_conv_extractor, [odd], f"{SMALLEST} 10, got") for odd in ODD_SHAPES],
    (two_conv_extractor, [(28, 28, 1), 0], f"feature_dim {NO_COUNT}"),
    *[
        (conv_blocks_extractor, [(28, 28, 1), odd], r"widths must be .* at least 1, got")
        for odd in ODD_WIDTHS
    ],
    (conv_blocks_extractor, [(7, 8, 1), (2, 2, 2)], rf"{SMALLEST} 8, got \(7, 8, 1\)"),
    (nin_extractor, [(3, 4, 1)], rf"{SMALLEST} 4, got \(3, 4, 1\)"),
    *[
        (nin_extractor, [(32, 32, 3), odd], f"num_blocks must be 3, 4 or 5, got {odd!r}")
        for odd in (2, 6, "3", None)
    ],
    (partial(nin_extractor, width=0), [(32, 32, 3)], f"^nin_extractor: width {NO_COUNT}"),
]


@pytest.mark.parametrize(("build", "arguments", "message"), WRONG)
def test_wrong_settings(build, arguments, message):
    with pytest.raises(ValueError, match=message):
        build(*arguments)


def test_images_just_large_enough_for_the_blocks():
    assert conv_blocks_extractor((8, 8, 1), (2, 2, 2)).output_shape == (None, 2)


BY_NAME = {
    "two_conv": (two_conv_extractor, 17_616, 10),
    "conv_blocks": (conv_blocks_extractor, 93_344, 8),
    "conv_blocks_wide": (partial(conv_blocks_extractor, widths=(64, 128, 256)), 371_008, 8),
    "nin3": (partial(nin_extractor, num_blocks=3), 64_432, 4),
    "nin4": (nin_extractor, 90_352, 4),
    "nin5": (partial(nin_extractor, num_blocks=5), 116_272, 4),
}


def test_every_network_by_name_is_compared():
    assert BY_NAME.keys() == NETWORKS.keys()


@pytest.mark.parametrize("name", BY_NAME)
def test_one_name_is_one_network(name):
    build, parameters, _ = BY_NAME[name]
    named, built = make_extractor(name, (28, 28, 1), seed=3), build((28, 28, 1), seed=3)
    assert named.count_params() == built.count_params() == parameters
    assert named.name == built.name == name.removesuffix("_wide")
    assert_same_weights(named, built)


@pytest.mark.parametrize("name", NETWORKS)
def test_images_too_small_for_a_network_by_name(name):
    """The smallest are those of the function of that name, also where a job calls it."""
    smallest = BY_NAME[name][2]
    NETWORKS[name]((smallest, smallest, 1), 0)
    for build in (NETWORKS[name], partial(make_extractor, name)):
        with pytest.raises(ValueError, match=f"{SMALLEST} {smallest}, got"):
            build((smallest, smallest - 1, 1), seed=0)


def test_the_papers_width_can_be_had():
    assert nin_extractor((32, 32, 3), width=192).output_shape == (None, 192)


@pytest.fixture
def channels_first():
    """What some have in their `keras.json`."""
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_images_are_height_width_channels_whatever_keras_json_says(channels_first, name):
    extractor = NETWORKS[name]((32, 32, 3), 0)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), "uint8")
    there = rk.extract_features(extractor, images)
    keras.config.set_image_data_format("channels_last")
    np.testing.assert_array_equal(there, rk.extract_features(extractor, images))
    usual = NETWORKS[name]((32, 32, 3), 0)
    np.testing.assert_allclose(there, rk.extract_features(usual, images), atol=1e-5)


def test_other_parts_keep_the_layout_too(channels_first):
    images = np.random.default_rng(0).integers(0, 256, (4, 12, 12, 1), "uint8")
    extractor = rk.conv_blocks_extractor((12, 12, 1), widths=(4, 8))
    assert rk.block_features(extractor, [1, 2], grid=2).output_shape == (None, 4 * (4 + 8))
    makers = (rk.gentle_augmentation, rk.strong_augmentation)
    there = [np.array(make(seed=1)(images)) for make in makers]
    keras.config.set_image_data_format("channels_last")
    usual = [np.array(make(seed=1)(images)) for make in makers]
    np.testing.assert_array_equal(there, usual)
    keras.config.set_image_data_format("channels_first")
    with pytest.raises(rk.InputError, match=r"keras\.json; call keras\.config\.set"):
        rk.make_extractor("MobileNetV2", (32, 32, 3))
