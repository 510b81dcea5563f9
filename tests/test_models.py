import subprocess
import sys
import textwrap
from functools import partial

import keras
import numpy as np
import pytest
from keras.ops import convert_to_numpy as to_numpy

from rotnet_keras import (
    attach_head,
    block_names,
    conv_blocks_extractor,
    copy_model,
    cut,
    cut_at_block,
    freeze,
    heads,
    join_blocks,
    make_extractor,
    nin_extractor,
    reinitialise,
    remove_head,
    swap_head,
    two_conv_extractor,
    unfreeze,
    with_random_weights,
)
from rotnet_keras.heads import cast_model
from rotnet_keras.models import NETWORKS


def batch_norm_extractor():
    return keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            keras.layers.Conv2D(3, 3, name="conv"),
            keras.layers.BatchNormalization(momentum=0.5, name="norm"),
            keras.layers.GlobalAveragePooling2D(name="pool"),
        ]
    )


def weights(model, part=""):
    return {weight.path: weight.numpy().copy() for weight in model.weights if part in weight.path}


def moved(model, before):
    after = weights(model)
    return {path for path, value in before.items() if not np.array_equal(value, after[path])}


def train_a_little(model, images):
    if not model.compiled:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.01), loss)
    model.fit(images, np.arange(len(images)) % 2, epochs=2, verbose=0)


def test_what_a_layer_was_adapted_to_stays():
    """`Normalization` holds data, not weights that are learnt: copies compute the same."""
    images = np.random.default_rng(0).normal(90, 30, (50, 6, 6, 1)).astype("float32")
    pixels = keras.Input((6, 6, 1))
    layer = keras.layers.Normalization()
    layer.adapt(images)
    model = keras.Model(pixels, layer(pixels))
    for other in (copy_model(model), reinitialise(model, seed=1), cast_model(model, "float32")):
        np.testing.assert_allclose(other(images), model(images), rtol=1e-5)


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


def test_seed_decides_the_weights():
    first, again, other = (two_conv_extractor((12, 12, 1), seed=seed) for seed in (1, 1, 2))
    for a, b, c in zip(*(model.get_weights() for model in (first, again, other)), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.ndim == 1 or not np.array_equal(a, c)  # biases start at zero
    kernel_1, kernel_2 = (first.get_layer(f"conv{i}").kernel.numpy() for i in (1, 2))
    assert not np.isin(kernel_1, kernel_2).any()  # no two layers share a seed


def test_reinitialise_draws_anew_and_leaves_the_original(extractor):
    before = weights(extractor)
    freeze(extractor)
    fresh = reinitialise(extractor, seed=9)
    assert moved(extractor, before) == set()
    assert [layer.name for layer in fresh.layers] == [layer.name for layer in extractor.layers]
    assert all(layer.trainable for layer in fresh.layers)
    assert {path for path in moved(fresh, before) if path.endswith("kernel")} == {
        path for path in before if path.endswith("kernel")
    }


def test_reinitialise_seeds_nested_models_and_dropout(images):
    inner = keras.Sequential([keras.Input((12, 12, 1)), keras.layers.Conv2D(2, 3)])
    outer = keras.Sequential(
        [keras.Input((12, 12, 1)), inner, keras.layers.Flatten(), keras.layers.Dropout(0.5)]
    )
    first, again, other = (reinitialise(outer, seed=seed) for seed in (1, 1, 2))
    for a, b in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.get_weights()[0], other.get_weights()[0])
    np.testing.assert_array_equal(*(model(images, training=True) for model in (first, again)))


@pytest.mark.parametrize("swap", [False, True])
def test_a_new_head_works_on_a_copy(extractor, images, swap):
    old = attach_head(extractor, 4) if swap else extractor
    before = weights(old)
    new = swap_head(old, 2) if swap else attach_head(old, 2)
    assert new.output_shape == (None, 2)
    for layer in extractor.layers[1:]:
        copied = new.get_layer(layer.name)
        assert copied is not layer
        for a, b in zip(layer.get_weights(), copied.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    train_a_little(new, images)
    freeze(new)
    assert moved(old, before) == set()
    assert all(layer.trainable for layer in old.layers)


def test_sharing_when_asked_for(extractor, images):
    model = attach_head(extractor, 4, share_weights=True)
    assert model.get_layer("conv1") is extractor.get_layer("conv1")
    swapped = swap_head(model, 2, share_weights=True)
    assert swapped.get_layer("conv1") is extractor.get_layer("conv1")
    before = weights(extractor)
    train_a_little(swapped, images)
    assert moved(extractor, before) == set(before)


def test_remove_head_gives_the_extractor_back(extractor, images):
    removed = remove_head(attach_head(extractor, 7))
    assert removed.name == extractor.name
    expected = extractor.predict(images, verbose=0)
    np.testing.assert_array_equal(removed.predict(images, verbose=0), expected)


def test_head_seed(extractor):
    first, again, other = (attach_head(extractor, 3, seed=seed).get_weights() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[-2], again[-2])
    assert not np.array_equal(first[-2], other[-2])


def test_frozen_layers_do_not_move(extractor, images):
    model = freeze(attach_head(extractor, 2))
    before = weights(model)
    train_a_little(model, images)
    assert moved(model, before) == {"head/kernel", "head/bias"}
    unfreeze(model)
    train_a_little(model, images)
    assert moved(model, before) == set(before)


def test_freezing_a_compiled_model_holds_at_once(extractor, images):
    model = attach_head(extractor, 2)
    train_a_little(model, images)
    freeze(model)
    before = weights(model)
    train_a_little(model, images)
    assert moved(model, before) == {"head/kernel", "head/bias"}


def test_batch_normalisation_frozen_and_unfrozen(images):
    model = freeze(attach_head(batch_norm_extractor(), 2))
    statistics = weights(model, "norm/moving")
    assert len(statistics) == 2
    train_a_little(model, images)
    assert moved(model, statistics) == set()
    # Frozen, a training step must normalise with the stored statistics, not with the batch's.
    training, inference = (to_numpy(model(images, training=mode)) for mode in (True, False))
    np.testing.assert_allclose(training, inference)
    unfreeze(model)
    train_a_little(model, images)
    assert moved(model, statistics) == set(statistics)
    training, inference = (to_numpy(model(images, training=mode)) for mode in (True, False))
    assert not np.allclose(training, inference)


def test_copy_keeps_weights_and_frozen_state(extractor):
    extractor.get_layer("conv1").trainable = False
    copy = copy_model(extractor)
    assert not copy.get_layer("conv1").trainable
    assert copy.get_layer("conv2").trainable
    assert moved(copy, weights(extractor)) == set()


def test_saved_files_load_without_this_package(extractor, images, tmp_path):
    model = freeze(attach_head(extractor, 3))
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "logits.npy", model.predict(images, verbose=0))
    program = """
        import sys
        sys.modules["rotnet_keras"] = None  # any import of it now fails
        import keras, numpy as np
        model = keras.models.load_model("model.keras")
        logits = model.predict(np.load("images.npy"), verbose=0)
        np.testing.assert_allclose(logits, np.load("logits.npy"), atol=1e-6)
        print(*[layer.name for layer in model.layers])
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-2:] == ["features", "head"]


@pytest.mark.parametrize("shape", [(28, 28), (9, 28, 1), (28, 28, 0), (28.0, 28, 1), 28, None])
def test_wrong_image_shape(shape):
    with pytest.raises(ValueError, match=r"image_shape must be .* at least 10, got"):
        two_conv_extractor(shape)


def test_wrong_counts(extractor):
    with pytest.raises(ValueError, match="feature_dim must be a whole number of at least 1, got 0"):
        two_conv_extractor((28, 28, 1), 0)
    with pytest.raises(ValueError, match=r"num_classes must be a whole number .* got -1"):
        attach_head(extractor, -1)


def test_wrong_models(extractor):
    maps = keras.Model(extractor.input, extractor.get_layer("pool2").output)
    with pytest.raises(ValueError, match=r"one output \(B, D\), .* \(None, 1, 1, 32\)"):
        attach_head(maps, 3)
    with pytest.raises(ValueError, match="extractor must be a functional"):
        attach_head("two_conv", 3)
    with pytest.raises(ValueError, match="use swap_head"):
        attach_head(attach_head(extractor, 3), 3)
    for take_off in (remove_head, lambda model: swap_head(model, 3)):
        with pytest.raises(ValueError, match=r'must have a layer named "head", .*features'):
            take_off(extractor)


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
    assert [layer.kernel_size[0] for layer in convolutions] == (
        [5, 1, 1, 5, 1, 1] + [3, 1, 1] * (num_blocks - 2)
    )
    assert [layer.filters for layer in convolutions[:3]] == [192, 160, 96]
    assert extractor.output_shape == (None, 192)


@pytest.mark.parametrize("build", [conv_blocks_extractor, nin_extractor])
def test_seed_decides_the_weights_of_blocks(build):
    first, again, other = (build((12, 12, 1), seed=seed).get_weights() for seed in (1, 1, 2))
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.ndim == 1 or not np.array_equal(a, c)  # normalisation starts at zero and one


def test_block_names_of_the_blogs_network(extractor):
    assert block_names(extractor) == ("pool1", "pool2")
    assert block_names(attach_head(extractor, 4)) == ("pool1", "pool2")
    assert block_names(batch_norm_extractor()) == ()


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


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_casting_there_and_back(images, precision):
    model = attach_head(conv_blocks_extractor((12, 12, 1), (4, 8)), 3)
    expected = to_numpy(model(images))
    cast = cast_model(model, precision)
    policies = {layer.name: layer.dtype_policy.name for layer in cast.layers if layer.weights}
    assert policies.pop("head") == "float32"
    assert set(policies.values()) == {precision}
    assert {weight.dtype for weight in cast.weights} == {"float32"}
    for a, b in zip(model.get_weights(), cast.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    scores = cast(images)
    assert scores.dtype == "float32"
    np.testing.assert_allclose(scores, expected, atol=0.05)
    assert not np.array_equal(scores, expected)
    back = cast_model(cast, "float32")
    assert [layer.name for layer in back.layers] == [layer.name for layer in model.layers]
    np.testing.assert_array_equal(back(images), expected)


@pytest.mark.parametrize(
    ("accelerator", "precision"),
    [("CPU", "mixed_bfloat16"), ("TPU", "mixed_bfloat16"), ("GPU", "mixed_float16")],
)
def test_mixed_is_what_the_accelerator_has(extractor, monkeypatch, accelerator, precision):
    monkeypatch.setattr(heads, "running_accelerator", lambda: accelerator)
    assert cast_model(extractor, "mixed").get_layer("conv1").dtype_policy.name == precision


def test_casting_works_on_a_copy_nested_models_included(images):
    inner = keras.Sequential([keras.Input((12, 12, 1)), keras.layers.Conv2D(2, 3)], name="inner")
    given = keras.Input((12, 12, 1))
    outer = keras.Model(given, keras.layers.GlobalAveragePooling2D()(inner(given)))
    cast = cast_model(outer, "mixed_bfloat16")
    assert cast.get_layer("inner").layers[-1].compute_dtype == "bfloat16"
    assert inner.layers[-1].compute_dtype == "float32"
    before = weights(outer)
    cast.set_weights([weight + 1 for weight in cast.get_weights()])
    assert moved(outer, before) == set()
    np.testing.assert_allclose(outer(images), cast_model(outer, "float32")(images), rtol=1e-6)


@pytest.mark.parametrize("precision", ["float8", "bfloat16", None, 32])
def test_wrong_precision(extractor, precision):
    with pytest.raises(
        ValueError, match=f"precision must be one of .*'float32'.* got {precision!r}"
    ):
        cast_model(extractor, precision)


@pytest.mark.parametrize("widths", [(), (4, 0), (4, -1), (4.0,), "4", None, 0])
def test_wrong_widths(widths):
    with pytest.raises(ValueError, match=r"widths must be .* at least 1, got"):
        conv_blocks_extractor((28, 28, 1), widths)


def test_images_too_small_for_the_blocks():
    assert conv_blocks_extractor((8, 8, 1), (2, 2, 2)).output_shape == (None, 2)
    with pytest.raises(ValueError, match=r"image_shape must be .* at least 8, got \(7, 8, 1\)"):
        conv_blocks_extractor((7, 8, 1), (2, 2, 2))
    with pytest.raises(ValueError, match=r"image_shape must be .* at least 4, got \(3, 4, 1\)"):
        nin_extractor((3, 4, 1))


@pytest.mark.parametrize("num_blocks", [2, 6, "3", None])
def test_wrong_number_of_blocks(num_blocks):
    with pytest.raises(ValueError, match=f"num_blocks must be 3, 4 or 5, got {num_blocks!r}"):
        nin_extractor((32, 32, 3), num_blocks)


def test_wrong_width():
    with pytest.raises(ValueError, match="width must be a whole number of at least 1, got 0"):
        nin_extractor((32, 32, 3), width=0)


@pytest.mark.parametrize(
    ("name", "build", "parameters"),
    [
        ("two_conv", two_conv_extractor, 17_616),
        ("conv_blocks", conv_blocks_extractor, 93_344),
        ("conv_blocks_wide", partial(conv_blocks_extractor, widths=(64, 128, 256)), 371_008),
        ("nin3", partial(nin_extractor, num_blocks=3), 64_432),
        ("nin4", nin_extractor, 90_352),
        ("nin5", partial(nin_extractor, num_blocks=5), 116_272),
    ],
)
def test_one_name_is_one_network(name, build, parameters):
    named, built = make_extractor(name, (28, 28, 1), seed=3), build((28, 28, 1), seed=3)
    assert named.count_params() == built.count_params() == parameters
    assert named.name == built.name == name.removesuffix("_wide")
    for one, other in zip(named.get_weights(), built.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_network_by_name_is_compared():
    (mark,) = test_one_name_is_one_network.pytestmark
    assert {name for name, *_ in mark.args[1]} == {*NETWORKS}


def test_names_of_version_0_1_are_the_same_functions():
    assert cut is cut_at_block
    assert reinitialise is with_random_weights


@pytest.mark.parametrize("name", NETWORKS)
def test_images_too_small_for_a_network_by_name(name):
    """The smallest are those of the function of that name, also where a job calls it."""
    smallest = {"two_conv": 10, "nin": 4, "conv_blocks": 8}[
        name.removesuffix("_wide").rstrip("345")
    ]
    NETWORKS[name]((smallest, smallest, 1), 0)
    for build in (NETWORKS[name], partial(make_extractor, name)):
        with pytest.raises(ValueError, match=f"image_shape must be .* at least {smallest}, got"):
            build((smallest, smallest - 1, 1), seed=0)


def test_the_papers_width_can_be_had():
    assert nin_extractor((32, 32, 3), width=192).output_shape == (None, 192)


def test_random_weights_where_an_initialiser_has_a_name():
    """Some layers keep the name that they were given, as those of older files do."""

    class ByName(keras.layers.Dense):
        def get_config(self):
            return super().get_config() | {"kernel_initializer": "he_normal"}

    images = keras.Input((4,))
    model = keras.Model(images, ByName(3)(images))
    one, same, other = (with_random_weights(model, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.get_weights()[0], same.get_weights()[0])
    assert (one.get_weights()[0] != other.get_weights()[0]).any()


def test_random_weights_of_many_random_layers_in_a_nested_model():
    images = keras.Input((4,))
    x = images
    for _ in range(40):
        x = keras.layers.Dropout(0.1, seed=0)(x)
    nested = keras.Model(images, x, name="nested")
    outer = keras.Input((4,))
    fresh = with_random_weights(keras.Model(outer, nested(outer)), seed=5)
    seeds = [layer.seed for layer in fresh.get_layer("nested").layers[1:]]
    # A prefix of the longest state, whatever their number: what was drawn before stays as it was.
    assert seeds == np.random.SeedSequence(5).generate_state(500)[: len(seeds)].tolist()


@pytest.mark.parametrize("count", [64, 65, 129, 300])
def test_seeds_do_not_end(count):
    images = keras.Input((4,))
    x = images
    for _ in range(count):
        x = keras.layers.Dropout(0.1)(x)
    fresh = with_random_weights(keras.Model(images, x), seed=5)
    seeds = [layer.seed for layer in fresh.layers[1:]]
    assert seeds == np.random.SeedSequence(5).generate_state(count).tolist()


def test_random_weights_where_an_initialiser_is_a_function():
    @keras.saving.register_keras_serializable("tests")
    def seeded(shape, dtype=None):
        return keras.ops.full(shape, 0.5, dtype)

    images = keras.Input((4,))
    model = keras.Model(images, keras.layers.Dense(3, kernel_initializer=seeded)(images))
    assert (with_random_weights(model, seed=1).get_weights()[0] == 0.5).all()


def test_a_head_goes_on_vectors_of_a_length_that_is_known():
    images = keras.Input((None, None, 1))
    model = keras.Model(images, keras.layers.Flatten()(images))
    with pytest.raises(ValueError, match=r"one output \(B, D\), .* \(None, None\)"):
        attach_head(model, 3)
