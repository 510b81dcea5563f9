import keras
import numpy as np
import pytest

from rotnet_keras import (
    attach_head,
    attention_maps,
    conv_blocks_extractor,
    cut_at_block,
    extract_features,
    first_filters,
    pretrain,
    rotate_batch,
    similar_images,
    two_conv_extractor,
)

pytestmark = pytest.mark.backend


@pytest.fixture
def by_hand():
    """A network whose first block gives x and 3 - x of each pixel x, and its second one twice x."""
    images = keras.Input((2, 2, 1))
    x = keras.layers.Conv2D(2, 1, name="block1")(images)
    x = keras.layers.Conv2D(1, 2, name="block2")(x)
    model = keras.Model(images, keras.layers.Flatten()(x))
    model.get_layer("block1").set_weights([np.array([[[[1.0, -1.0]]]]), np.array([0.0, 3.0])])
    kernel = np.zeros((2, 2, 2, 1))
    kernel[0, 0, 0, 0] = 2  # of the first channel, at the upper left
    model.get_layer("block2").set_weights([kernel, np.zeros(1)])
    return model


PIXELS = np.array([[[0, 1], [2, 5]], [[4, 3], [3, 3]]], "uint8")[..., None]


def test_attention_maps_by_hand(by_hand):
    maps = attention_maps(by_hand, PIXELS)
    assert [*maps] == ["block1", "block2"]
    # Channels 0, 3; 1, 2; 2, 1 and 5, -2 in the first image: sizes are summed.
    np.testing.assert_allclose(maps["block1"], [[[3, 3], [3, 7]], [[5, 3], [3, 3]]])
    np.testing.assert_allclose(maps["block2"], [[[0]], [[64]]])  # squares of 0 and 8
    assert {values.dtype for values in maps.values()} == {np.dtype("float32")}


def test_attention_maps_of_powers_and_chosen_blocks(by_hand):
    maps = attention_maps(by_hand, PIXELS, blocks=["block2", 1], powers=[0.5, 3])
    assert [*maps] == ["block2", "block1"]
    np.testing.assert_allclose(maps["block2"], [[[0]], [[8**0.5]]], rtol=1e-6)
    np.testing.assert_allclose(maps["block1"], [[[27, 9], [9, 133]], [[65, 27], [27, 27]]])
    (alone,) = attention_maps(by_hand, PIXELS, blocks=[1]).values()
    np.testing.assert_allclose(alone, [[[3, 3], [3, 7]], [[5, 3], [3, 3]]])
    (squared,) = attention_maps(by_hand, PIXELS, blocks=[1], powers=[2]).values()
    np.testing.assert_allclose(squared, [[[9, 5], [5, 29]], [[17, 9], [9, 9]]])


def test_powers_double_from_block_to_block(images):
    extractor = conv_blocks_extractor((12, 12, 1), (2, 4, 6), seed=1)
    maps = attention_maps(extractor, images, batch_size=3)
    for name, power in {"block1": 1, "block2": 2, "block3": 4}.items():
        block = keras.Model(extractor.input, extractor.get_layer(name).output)
        expected = (extract_features(block, images) ** power).sum(axis=-1)
        assert expected.any()
        np.testing.assert_allclose(maps[name], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"blocks": [1, "block1"]}, r"blocks must be different ones, got \['block1', 'block1'\]"),
        ({"blocks": [3]}, "blocks: each block must be a number from 1 to 2 .* got 3"),
        ({"powers": [1]}, r"powers must be 2, one for each of .* got \[1\]"),
        ({"powers": [1, 0]}, "powers must lie above 0, .* got 0"),
        ({"powers": [200, 1]}, "powers must keep sums within float32, got 200.0 for block1"),
    ],
)
def test_attention_maps_name_what_is_wrong(by_hand, settings, message):
    with pytest.raises(ValueError, match=message):
        attention_maps(by_hand, PIXELS, **settings)


def test_attention_maps_of_a_network_without_named_blocks():
    images = keras.Input((2, 2, 1))
    own = keras.Model(images, keras.layers.Conv2D(3, 1, name="own")(images))
    with pytest.raises(ValueError, match="blocks must name at least one block, got none"):
        attention_maps(own, PIXELS)
    assert attention_maps(own, PIXELS, blocks=["own"])["own"].shape == (2, 2, 2)


def test_attention_turns_with_images_where_filters_are_symmetric(by_hand):
    rotated, _ = rotate_batch(PIXELS)
    maps = attention_maps(by_hand, rotated, blocks=[1])["block1"].reshape(4, 2, 2, 2)
    for k in range(4):
        np.testing.assert_allclose(maps[k], np.rot90(maps[0], k, axes=(1, 2)))


def test_first_filters_are_those_of_the_first_convolution():
    extractor = two_conv_extractor((12, 12, 1))
    filters = first_filters(extractor)
    assert (filters.shape, filters.dtype) == ((3, 3, 1, 16), np.dtype("float32"))
    kernel = extractor.get_layer("conv1").kernel
    assert np.array_equal(filters, keras.ops.convert_to_numpy(kernel))
    filters[:] = 7  # the network keeps its own
    assert not (keras.ops.convert_to_numpy(kernel) == 7).any()


def test_first_filters_of_a_network_within_a_network():
    inner = two_conv_extractor((12, 12, 3), seed=4)
    images = keras.Input((12, 12, 3))
    x = keras.layers.DepthwiseConv2D(1)(keras.layers.Rescaling(1.0)(images))  # has no filters of F
    outer = keras.Model(images, keras.layers.Dense(2)(inner(x)))
    twice = keras.Model(images, attach_head(outer, 4)(images))
    expected = keras.ops.convert_to_numpy(inner.get_layer("conv1").kernel)
    for model in (outer, twice):
        assert np.array_equal(first_filters(model), expected)


def test_first_filters_where_there_are_none():
    images = keras.Input((4, 4, 1))
    flat = keras.Model(images, keras.layers.Flatten(name="flat")(images), name="own")
    with pytest.raises(ValueError, match=r"extractor must have a Conv2D layer, got own: .*'flat'"):
        first_filters(flat)


def test_similar_images_by_hand():
    features = np.array([[1, 0], [0, 2], [3, 3], [-5, 0], [4, 1]])
    neighbours, similarities = similar_images(features, [0, 1], count=4)
    assert neighbours[0].tolist() == [4, 2, 1, 3]
    assert neighbours[1, :2].tolist() == [2, 4]
    assert {*neighbours[1, 2:].tolist()} == {0, 3}  # both at a right angle
    half, quarter = 0.5**0.5, 17**-0.5
    expected = [[4 * quarter, half, 0, -1], [half, quarter, 0, 0]]
    np.testing.assert_allclose(similarities, expected, atol=1e-6)
    assert similarities.dtype == np.dtype("float32")


def test_an_image_is_never_its_own_neighbour_among_duplicates():
    features = np.repeat([[1.0, 2.0], [-2.0, 1.0]], [9, 3], axis=0)
    neighbours, similarities = similar_images(features, range(12), count=2)
    for query, row in enumerate(neighbours):
        assert query not in row
        assert len({*row.tolist()}) == 2
        assert {place < 9 for place in row.tolist()} == {query < 9}
    np.testing.assert_allclose(similarities, 1, atol=1e-6)


def test_features_of_zeros_are_like_no_others():
    neighbours, similarities = similar_images([[0, 0], [1, 0], [0, 0], [0, 3]], [0, 1], count=3)
    assert [sorted(row) for row in neighbours.tolist()] == [[1, 2, 3], [0, 2, 3]]
    np.testing.assert_allclose(similarities, 0, atol=1e-7)


def test_similar_images_can_be_as_many_as_there_are_others():
    with pytest.raises(ValueError, match="count must be at most 2, the other features, got 3"):
        similar_images(np.eye(3), [0], count=3)
    with pytest.raises(ValueError, match=r"queries must lie in 0\.\.2, .* 3 features, got 3\.\.3"):
        similar_images(np.eye(3), [3], count=1)
    assert similar_images(np.eye(3), [2], count=2)[0].shape == (1, 2)


def test_similar_images_of_a_rotation_network_mostly_share_a_class(splits):
    extractor = two_conv_extractor((28, 28, 1))
    model, _ = pretrain(extractor, splits.unlabelled[:1000], epochs=1, seed=0)
    features = extract_features(cut_at_block(model, "flatten"), splits.test.images[:400])
    labels = splits.test.labels[:400]
    neighbours, _ = similar_images(features, range(400), count=5)
    assert (labels[neighbours] == labels[:, None]).mean() > 0.5  # a tenth is chance


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_features_whose_squares_are_too_large_or_0(scale):
    _, similarities = similar_images(scale * np.array([[1.0, 0], [1, 1], [0, 2]]), [0], count=2)
    np.testing.assert_allclose(similarities, [[np.sqrt(0.5), 0]], atol=1e-6)
