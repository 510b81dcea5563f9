import keras
import numpy as np
import pytest
from small_networks import batch_norm_extractor, block_of_pixels, moved, weights

from rotnet_keras import (
    InputError,
    attach_head,
    block_names,
    conv_blocks_extractor,
    cut,
    cut_at_block,
    join_blocks,
)


def test_block_names_of_the_blogs_network(extractor):
    assert block_names(extractor) == ("pool1", "pool2")
    assert block_names(attach_head(extractor, 4)) == ("pool1", "pool2")
    assert block_names(batch_norm_extractor()) == ()


def test_the_name_of_version_0_1_is_the_same_function():
    assert cut is cut_at_block


@pytest.mark.parametrize(
    ("block", "shape"), [(1, (5, 5, 16)), (2, (1, 1, 32)), (np.int64(2), (1, 1, 32))]
)
def test_cut_by_number(extractor, images, block, shape):
    lower = cut(extractor, block)
    assert lower.output_shape == (None, *shape)
    name = f"pool{block}"
    expected = keras.Model(extractor.input, extractor.get_layer(name).output)(images)
    np.testing.assert_array_equal(lower(images), expected)


def test_cut_by_name_copies_unless_told_to_share(extractor):
    copied, shared = (cut(extractor, "conv1", share_weights=share) for share in (False, True))
    assert copied.layers[-1].name == shared.layers[-1].name == "conv1"
    assert copied.get_layer("conv1") is not extractor.get_layer("conv1")
    assert shared.get_layer("conv1") is extractor.get_layer("conv1")
    before = weights(extractor)
    copied.set_weights([0 * weight for weight in copied.get_weights()])
    assert moved(extractor, before) == set()


@pytest.mark.parametrize("block", [0, 3, -1, True, None, "block1", 1.0])
def test_cut_where_there_is_no_block(extractor, block):
    message = r"block must be a number from 1 to 2 or the name of a layer, .*'pool1'.* got "
    with pytest.raises(ValueError, match=message + repr(block)):
        cut(extractor, block)


def test_joined_blocks_are_averages_over_a_grid(images):
    extractor = conv_blocks_extractor((12, 12, 1), (4, 8), seed=1)
    joined = join_blocks(extractor, [1, 2], grid=2)
    assert joined.output_shape == (None, 2 * 2 * (4 + 8))
    assert block_names(joined) == ("block1", "block2")
    maps = np.asarray(cut(extractor, 1)(images))  # (8, 6, 6, 4)
    cells = maps.reshape(8, 2, 3, 2, 3, 4).mean(axis=(2, 4)).reshape(8, -1)
    np.testing.assert_allclose(joined(images)[:, :16], cells, rtol=1e-5, atol=1e-6)
    joined.get_layer("block1_conv").kernel.assign(np.zeros((3, 3, 1, 4)))
    assert (extractor.get_layer("block1_conv").kernel.numpy() != 0).all()


def test_all_blocks_but_the_first_are_joined_by_default(images):
    extractor = conv_blocks_extractor((12, 12, 1), (4, 8, 8), seed=1)
    expected = join_blocks(extractor, ["block2", "block3"])(images)
    np.testing.assert_array_equal(join_blocks(extractor)(images), expected)
    one = conv_blocks_extractor((12, 12, 1), (4,), seed=1)
    np.testing.assert_array_equal(join_blocks(one)(images), join_blocks(one, [1])(images))


def test_a_network_without_blocks_is_refused():
    with pytest.raises(InputError, match="extractor must have blocks, layers named block1"):
        join_blocks(batch_norm_extractor())


def test_maps_of_images_of_any_size_cannot_be_joined():
    network = block_of_pixels((None, None, 1))
    with pytest.raises(InputError, match=r"extractor must be for images of one size, got maps"):
        join_blocks(network)
