import itertools
import random
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from keras.ops import convert_to_numpy as to_numpy
from small_networks import (
    assert_same_weights,
    assert_seed_decides,
    batch_norm_extractor,
    chain,
    moved,
    subclassed,
    weights,
)

import rotnet_keras as rk
from rotnet_keras.heads import cast_model
from rotnet_keras.running import runtime


def train_a_little(model, images):
    if not model.compiled:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.01), loss)
    model.fit(images, np.arange(len(images)) % 2, epochs=2, verbose=0)


def test_what_a_layer_was_adapted_to_stays():
    """`Normalization` holds data, not weights that are learnt: copies compute the same."""
    images = np.random.default_rng(0).normal(90, 30, (50, 6, 6, 1)).astype("float32")
    layer = keras.layers.Normalization()
    layer.adapt(images)
    model = chain((6, 6, 1), layer)
    fresh = rk.reinitialise(model, seed=1)
    for other in (rk.copy_model(model), fresh, cast_model(model, "float32")):
        np.testing.assert_allclose(other(images), model(images), rtol=1e-5)


def test_reinitialise_draws_anew_and_leaves_the_original(extractor):
    before = weights(extractor)
    rk.freeze(extractor)
    fresh = rk.reinitialise(extractor, seed=9)
    assert moved(extractor, before) == set()
    assert [layer.name for layer in fresh.layers] == [layer.name for layer in extractor.layers]
    assert all(layer.trainable for layer in fresh.layers)
    kernels = {path for path in before if path.endswith("kernel")}
    assert {path for path in moved(fresh, before) if path.endswith("kernel")} == kernels


def test_reinitialise_seeds_nested_models_and_dropout(images):
    inner = keras.Sequential([keras.Input((12, 12, 1)), keras.layers.Conv2D(2, 3)])
    outer = keras.Sequential(
        [keras.Input((12, 12, 1)), inner, keras.layers.Flatten(), keras.layers.Dropout(0.5)]
    )
    first, again, other = assert_seed_decides(lambda seed: rk.reinitialise(outer, seed=seed))
    assert not np.array_equal(first.get_weights()[0], other.get_weights()[0])
    np.testing.assert_array_equal(*(model(images, training=True) for model in (first, again)))


@pytest.mark.parametrize("swap", [False, True])
def test_a_new_head_works_on_a_copy(extractor, images, swap):
    old = rk.attach_head(extractor, 4) if swap else extractor
    before = weights(old)
    new = rk.swap_head(old, 2) if swap else rk.attach_head(old, 2)
    assert new.output_shape == (None, 2)
    for layer in extractor.layers[1:]:
        copied = new.get_layer(layer.name)
        assert copied is not layer
        assert_same_weights(layer, copied)
    train_a_little(new, images)
    rk.freeze(new)
    assert moved(old, before) == set()
    assert all(layer.trainable for layer in old.layers)


def test_sharing_when_asked_for(extractor, images):
    model = rk.attach_head(extractor, 4, share_weights=True)
    swapped = rk.swap_head(model, 2, share_weights=True)
    assert all(m.get_layer("conv1") is extractor.get_layer("conv1") for m in (model, swapped))
    before = weights(extractor)
    train_a_little(swapped, images)
    assert moved(extractor, before) == set(before)


def test_remove_head_gives_the_extractor_back(extractor, images):
    removed = rk.remove_head(rk.attach_head(extractor, 7))
    assert removed.name == extractor.name
    expected = extractor.predict(images, verbose=0)
    np.testing.assert_array_equal(removed.predict(images, verbose=0), expected)


def test_head_seed(extractor):
    assert_seed_decides(lambda seed: [rk.attach_head(extractor, 3, seed=seed).get_weights()[-2]])


HEAD = {"head/kernel", "head/bias"}


def test_frozen_layers_do_not_move(extractor, images):
    model = rk.freeze(rk.attach_head(extractor, 2))
    before = weights(model)
    train_a_little(model, images)
    assert moved(model, before) == HEAD
    rk.unfreeze(model)
    train_a_little(model, images)
    assert moved(model, before) == set(before)


def test_freezing_a_compiled_model_holds_at_once(extractor, images):
    model = rk.attach_head(extractor, 2)
    train_a_little(model, images)
    rk.freeze(model)
    before = weights(model)
    train_a_little(model, images)
    assert moved(model, before) == HEAD


def test_batch_normalisation_frozen_and_unfrozen(images):
    def outputs():
        return [to_numpy(model(images, training=mode)) for mode in (True, False)]

    model = rk.freeze(rk.attach_head(batch_norm_extractor(), 2))
    statistics = weights(model, "norm/moving")
    assert len(statistics) == 2
    train_a_little(model, images)
    assert moved(model, statistics) == set()
    # Frozen, a training step must normalise with the stored statistics, not with the batch's.
    np.testing.assert_allclose(*outputs())
    rk.unfreeze(model)
    train_a_little(model, images)
    assert moved(model, statistics) == set(statistics)
    assert not np.allclose(*outputs())


def test_copy_keeps_weights_and_frozen_state(extractor):
    extractor.get_layer("conv1").trainable = False
    copy = rk.copy_model(extractor)
    assert not copy.get_layer("conv1").trainable
    assert copy.get_layer("conv2").trainable
    assert moved(copy, weights(extractor)) == set()


def test_saved_files_load_without_this_package(extractor, images, tmp_path):
    model = rk.freeze(rk.attach_head(extractor, 3))
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


def on_maps(extractor):
    return rk.attach_head(keras.Model(extractor.input, extractor.get_layer("pool2").output), 3)


def on_unknown_length(_):
    return rk.attach_head(chain((None, None, 1), keras.layers.Flatten()), 3)


def of_two(extractor):
    """A model with a head that takes two batches of images."""
    inputs = [keras.Input((12, 12, 1)) for _ in range(2)]
    both = keras.layers.Add()([extractor(x) for x in inputs])
    return keras.Model(inputs, keras.layers.Dense(2, name="head")(both))


NO_HEAD = r'must have a layer named "head", .*features'
REFUSED = [
    (lambda net: rk.attach_head(net, -1), r"num_classes must be a whole number .* got -1"),
    (on_maps, r"one output \(B, D\), .* \(None, 1, 1, 32\)"),
    (on_unknown_length, r"one output \(B, D\), .* \(None, None\)"),
    (lambda _: rk.attach_head("two_conv", 3), "extractor must be a functional"),
    (lambda net: rk.attach_head(rk.attach_head(net, 3), 3), "use swap_head"),
    (rk.remove_head, NO_HEAD),
    (lambda net: rk.swap_head(net, 3), NO_HEAD),
    (lambda net: rk.remove_head(subclassed(net)), "model must be a functional keras.Model"),
    (lambda net: rk.remove_head(of_two(net)), "functional keras.Model with one input"),
]


@pytest.mark.parametrize(("ask", "message"), REFUSED)
def test_what_is_refused(extractor, ask, message):
    with pytest.raises(ValueError, match=message):
        ask(extractor)


@pytest.mark.parametrize("precision", ["float8", "bfloat16", None, 32])
def test_wrong_precision(extractor, precision):
    message = f"precision must be one of .*'float32'.* got {precision!r}"
    with pytest.raises(ValueError, match=message):
        cast_model(extractor, precision)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_casting_there_and_back(images, precision):
    model = rk.attach_head(rk.conv_blocks_extractor((12, 12, 1), (4, 8)), 3)
    expected = to_numpy(model(images))
    cast = cast_model(model, precision)
    policies = {layer.name: layer.dtype_policy.name for layer in cast.layers if layer.weights}
    assert policies.pop("head") == "float32"
    assert set(policies.values()) == {precision}
    assert {weight.dtype for weight in cast.weights} == {"float32"}
    assert_same_weights(model, cast)
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
    monkeypatch.setattr(runtime, "running_accelerator", lambda: accelerator)
    assert cast_model(extractor, "mixed").get_layer("conv1").dtype_policy.name == precision


def test_casting_works_on_a_copy_nested_models_included(images):
    inner = keras.Sequential([keras.Input((12, 12, 1)), keras.layers.Conv2D(2, 3)], name="inner")
    outer = chain((12, 12, 1), inner, keras.layers.GlobalAveragePooling2D())
    cast = cast_model(outer, "mixed_bfloat16")
    assert cast.get_layer("inner").layers[-1].compute_dtype == "bfloat16"
    assert inner.layers[-1].compute_dtype == "float32"
    before = weights(outer)
    cast.set_weights([weight + 1 for weight in cast.get_weights()])
    assert moved(outer, before) == set()
    np.testing.assert_allclose(outer(images), cast_model(outer, "float32")(images), rtol=1e-6)


def test_the_name_of_version_0_1_is_the_same_function():
    assert rk.reinitialise is rk.with_random_weights


def test_random_weights_where_an_initialiser_has_a_name():
    """Some layers keep the name that they were given, as those of older files do."""

    class ByName(keras.layers.Dense):
        def get_config(self):
            return super().get_config() | {"kernel_initializer": "he_normal"}

    model = chain((4,), ByName(3))
    one, _, other = assert_seed_decides(lambda seed: rk.with_random_weights(model, seed=seed))
    assert (one.get_weights()[0] != other.get_weights()[0]).any()


def test_random_weights_where_an_initialiser_is_a_function():
    @keras.saving.register_keras_serializable("tests")
    def seeded(shape, dtype=None):
        return keras.ops.full(shape, 0.5, dtype)

    model = chain((4,), keras.layers.Dense(3, kernel_initializer=seeded))
    assert (rk.with_random_weights(model, seed=1).get_weights()[0] == 0.5).all()


def test_random_weights_of_a_network_with_arithmetic_in_it():
    model = chain((6, 6, 1), lambda pixels: pixels / 127.5 - 1, keras.layers.Conv2D(3, 3))
    assert_seed_decides(lambda seed: rk.with_random_weights(model, seed=seed))


def seeds_of(model):
    return [layer.seed for layer in model.layers[1:]]


def test_random_weights_of_many_random_layers_in_a_nested_model():
    nested = chain((4,), *(keras.layers.Dropout(0.1, seed=0) for _ in range(40)), name="nested")
    seeds = seeds_of(rk.with_random_weights(chain((4,), nested), seed=5).get_layer("nested"))
    # A prefix of the longest state, whatever their number: what was drawn before stays as it was.
    assert seeds == np.random.SeedSequence(5).generate_state(500)[: len(seeds)].tolist()


@pytest.mark.parametrize("count", [64, 65, 129, 300])
def test_seeds_do_not_end(count):
    model = chain((4,), *(keras.layers.Dropout(0.1) for _ in range(count)))
    expected = np.random.SeedSequence(5).generate_state(count).tolist()
    assert seeds_of(rk.with_random_weights(model, seed=5)) == expected


def attention():
    """A network of one attention layer, whose projections share one initialiser."""
    pixels = keras.Input((4, 3))
    layer = keras.layers.MultiHeadAttention(2, 4, dropout=0.1, name="attention")
    return keras.Model(pixels, layer(pixels, pixels))


def test_random_weights_of_attention_differ_between_its_projections():
    model = attention()
    one, _, other = assert_seed_decides(lambda seed: rk.with_random_weights(model, seed=seed))
    query, key, value = (one.get_weights()[place] for place in (0, 2, 4))
    assert not (query == key).any()
    assert not (query == value).any()
    kernels = zip(one.get_weights()[::2], other.get_weights()[::2], strict=True)
    assert not any((a == b).any() for a, b in kernels)


@pytest.mark.parametrize("initializer", ["he_normal", keras.initializers.HeNormal(seed=0)])
def test_random_weights_of_a_layer_within_a_layer(initializer):
    conv = keras.layers.Conv2D(4, 3, kernel_initializer=initializer)
    model = chain((6, 6, 1), keras.layers.SpectralNormalization(conv))
    state = random.getstate()
    one, _, other = assert_seed_decides(lambda seed: rk.with_random_weights(model, seed=seed))
    assert random.getstate() == state
    kernels = [network.get_weights()[0] for network in (model, one, other)]
    assert not any((a == b).any() for a, b in itertools.combinations(kernels, 2))


def test_a_model_that_may_not_train_as_a_whole(extractor):
    model = rk.attach_head(extractor, 2)
    model.trainable = False
    assert [weight.path for weight in rk.freeze(model).trainable_weights] == [
        "head/kernel",
        "head/bias",
    ]
    model.trainable = False
    assert len(rk.unfreeze(model).trainable_weights) == 8


def test_freezing_a_model_compiled_with_functions_of_ones_own(extractor, images):
    def loss(wanted, logits):
        return keras.losses.sparse_categorical_crossentropy(wanted, logits, from_logits=True)

    model = rk.attach_head(extractor, 2)
    model.compile(
        keras.optimizers.SGD(0.01), loss, metrics=[lambda wanted, logits: loss(wanted, logits)]
    )
    train_a_little(model, images)
    rk.freeze(model)
    before = weights(model)
    train_a_little(model, images)
    assert model.loss is loss
    assert moved(model, before) == HEAD
