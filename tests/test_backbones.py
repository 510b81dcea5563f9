"""Any functional Keras network as an extractor: sizes, channels, ranges, cut points, weights."""

import keras
import numpy as np
import pytest
from valid_calls import EXTRACTOR, call, check_refusal

from rotnet_keras import (
    DatasetError,
    accuracy,
    attach_head,
    attention_maps,
    backbone_extractor,
    cast_model,
    conv_blocks_extractor,
    cut,
    extract_features,
    fine_tune,
    freeze,
    linear_probe,
    make_extractor,
    pretrain,
    reinitialise,
    remove_head,
    swap_head,
)

pytestmark = pytest.mark.backend


@pytest.fixture
def network():
    """A small network of colour images in -1..1, 16 by 16, with a nested model and classes."""
    layers = keras.layers
    inner = keras.Sequential([layers.Conv2D(6, 3, name="deep"), layers.ReLU()], name="inner")
    pixels = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, padding="same", name="first")(pixels)
    x = layers.BatchNormalization(momentum=0.999, name="norm")(x)
    x = layers.DepthwiseConv2D(3, name="second")(inner(x))
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return keras.Model(pixels, layers.Dense(7, name="classes")(layers.Dropout(0.5)(x)), name="own")


def to_range(pixels):
    return pixels / 127.5 - 1


@pytest.mark.parametrize("layer", ["first", "second", "mean", None])
def test_a_network_reads_images_as_they_are(network, layer):
    """The extractor's layers do what a user would do by hand before calling the network."""
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 1), "uint8")
    extractor = backbone_extractor(network, (32, 32, 1), layer=layer, preprocess=to_range)
    by_hand = keras.layers.Resizing(16, 16, antialias=True)(images.astype("float32"))
    end = network.output if layer is None else network.get_layer(layer).output
    maps = keras.Model(network.input, end)(to_range(np.repeat(by_hand, 3, axis=-1)))
    maps = keras.ops.convert_to_numpy(maps)
    expected = maps.mean((1, 2)) if maps.ndim == 4 else maps
    np.testing.assert_allclose(extract_features(extractor, images), expected, atol=1e-4)


def test_colour_becomes_grey_for_a_network_of_grey_images():
    blocks = conv_blocks_extractor((12, 12, 1), (4, 8))
    extractor = backbone_extractor(blocks, (12, 12, 3), layer="block1")
    colour = np.random.default_rng(0).integers(0, 256, (4, 12, 12, 3), "uint8")
    grey = (colour * np.array([0.2989, 0.587, 0.114])).sum(-1, keepdims=True)
    expected = keras.ops.convert_to_numpy(cut(blocks, 1)(grey)).mean((1, 2))
    np.testing.assert_allclose(extract_features(extractor, colour), expected, atol=1e-4)


def test_the_network_that_was_given_stays_as_it_is(network):
    before = network.get_weights()
    extractor = backbone_extractor(network, (16, 16, 3), layer="mean")
    labels, images = np.arange(8) % 2, np.zeros((8, 16, 16, 3), "uint8")
    fine_tune(extractor, images, labels, epochs=1, verbose=0)
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert network.get_layer("norm").momentum == 0.999
    assert extractor.get_layer("norm").momentum == 0.99


def test_everything_that_takes_an_extractor_takes_it(network, images, tmp_path):
    extractor = backbone_extractor(network, (12, 12, 1), layer="second")
    rotation_model, _ = pretrain(extractor, images, epochs=1, verbose=0)
    assert rotation_model.output_shape == (None, 4)
    classifier = swap_head(rotation_model, 3)
    assert [w.path for w in freeze(classifier).trainable_weights] == ["head/kernel", "head/bias"]
    assert remove_head(rotation_model).output_shape == (None, 6)
    labels = np.arange(8) % 2
    probe = linear_probe(remove_head(rotation_model), images, labels, blocks=["first", "inner"])
    assert 0 <= accuracy(probe, images, labels) <= 1
    maps = attention_maps(extractor, images, blocks=["first", "inner"])
    assert [values.shape[1:] for values in maps.values()] == [(16, 16), (14, 14)]
    other = reinitialise(extractor, seed=5)
    assert not np.allclose(*(extract_features(model, images) for model in (extractor, other)))
    assert cast_model(extractor, "mixed_bfloat16").output.dtype == "bfloat16"
    classifier.save(tmp_path / "a.keras")
    loaded = keras.models.load_model(tmp_path / "a.keras")
    np.testing.assert_array_equal(*(extract_features(m, images) for m in (classifier, loaded)))


def test_an_application_by_name_from_a_seed():
    options = {"layer": "block_1_expand_relu", "input_size": 32}
    first, again, other = (
        backbone_extractor("MobileNetV2", (28, 28, 1), seed=seed, **options) for seed in (1, 1, 2)
    )
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), "uint8")
    features = [extract_features(model, images) for model in (first, again, other)]
    assert features[0].shape == (3, 96)
    np.testing.assert_array_equal(features[0], features[1])
    assert not np.allclose(features[0], features[2])
    whole = backbone_extractor("MobileNetV2", (28, 28, 1))
    assert whole.get_layer("to_size").output.shape == (None, 75, 75, 1)
    assert attach_head(whole, 10).output_shape == (None, 10)


def test_an_application_preprocesses_as_it_says(monkeypatch):
    """VGG16 wants blue, green, red minus their means; its first layer tells."""
    options = {"layer": "block1_conv1", "input_size": 32}
    extractor = backbone_extractor("VGG16", (32, 32, 3), **options)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), "uint8")
    pixels = images[..., ::-1].astype("float32") - np.array([103.939, 116.779, 123.68], "float32")
    first = extractor.get_layer("block1_conv1")
    expected = keras.ops.convert_to_numpy(first(pixels)).mean((1, 2))
    np.testing.assert_allclose(extract_features(extractor, images), expected, rtol=1e-3, atol=1e-3)


def test_weights_and_models_from_files(network, tmp_path):
    network.save(tmp_path / "own.keras")
    network.save_weights(tmp_path / "own.weights.h5")
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), "uint8")
    expected = extract_features(backbone_extractor(network, (16, 16, 3)), images)
    from_file = backbone_extractor(str(tmp_path / "own.keras"), (16, 16, 3))
    np.testing.assert_array_equal(extract_features(from_file, images), expected)
    fresh = reinitialise(network, seed=1)
    loaded = backbone_extractor(fresh, (16, 16, 3), weights=tmp_path / "own.weights.h5")
    np.testing.assert_array_equal(extract_features(loaded, images), expected)


def test_weights_that_do_not_fit(network, tmp_path):
    network.save_weights(tmp_path / "own.weights.h5")
    other = conv_blocks_extractor((16, 16, 3), (4, 8))
    with pytest.raises(ValueError, match=r"weights .*own\.weights\.h5 do not fit conv_blocks"):
        backbone_extractor(other, (16, 16, 3), weights=tmp_path / "own.weights.h5")
    (tmp_path / "torn.weights.h5").write_bytes(b"torn")
    with pytest.raises(ValueError, match="do not fit own"):
        backbone_extractor(network, (16, 16, 3), weights=tmp_path / "torn.weights.h5")
    for wrong in ("imagenet", tmp_path / "none.weights.h5", 3):
        with pytest.raises(ValueError, match=r"weights must be None, 'imagenet' or an \.h5 file"):
            backbone_extractor(network, (16, 16, 3), weights=wrong)
    with pytest.raises(ValueError, match="weights must be None for the network 'two_conv'"):
        make_extractor("two_conv", (28, 28, 1), weights="imagenet")


def test_weights_that_cannot_be_downloaded(monkeypatch, tmp_path):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(DatasetError, match=r"'imagenet' of MobileNetV2 cannot be had: .* Connect"):
        backbone_extractor("MobileNetV2", (28, 28, 1), weights="imagenet")


def test_what_is_no_network(network, tmp_path):
    (tmp_path / "torn.keras").write_bytes(b"torn")
    subclassed = type("Own", (keras.Model,), {})()
    two_inputs = [keras.Input((4, 4, 1)), keras.Input((4, 4, 1))]
    two = keras.Model(two_inputs, keras.layers.Add()(two_inputs))
    for wrong in ("MobileNet9", None, subclassed, two, 3):
        with pytest.raises(ValueError, match=r"backbone must be a functional keras\.Model"):
            make_extractor(wrong, (28, 28, 1))
    with pytest.raises(ValueError, match=r"backbone .*torn\.keras cannot be loaded"):
        make_extractor(tmp_path / "torn.keras", (28, 28, 1))
    with pytest.raises(ValueError, match="layer must be the name of one of the layers"):
        backbone_extractor(network, (16, 16, 3), layer="nowhere")
    with pytest.raises(ValueError, match=r"image_shape must be .*got \(16, 16, 2\)"):
        backbone_extractor(network, (16, 16, 2))


def test_a_classifier_of_this_package_is_cut_below_its_head(images):
    classifier = attach_head(conv_blocks_extractor((12, 12, 1), (4, 8)), 3)
    extractor = backbone_extractor(classifier, (12, 12, 1))
    assert attach_head(extractor, 2).output_shape == (None, 2)
    np.testing.assert_allclose(
        extract_features(extractor, images), extract_features(remove_head(classifier), images)
    )


def test_random_layers_get_a_seed(images):
    pixels = keras.Input((12, 12, 1))
    x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(pixels))
    network = keras.Model(pixels, keras.layers.Dense(4)(x))
    runs = [
        fine_tune(
            backbone_extractor(network, (12, 12, 1), seed=3),
            *(images, np.arange(8) % 2),
            epochs=2,
            verbose=0,
        )[0]
        for _ in range(2)
    ]
    for one, other in zip(*(model.get_weights() for model in runs), strict=True):
        np.testing.assert_array_equal(one, other)


def test_networks_that_cannot_be_cut_or_copied():
    pixels = keras.Input((4, 4, 1))
    sequence = keras.Model(pixels, keras.layers.Reshape((16, 1))(pixels))
    with pytest.raises(ValueError, match=r"layer must give maps or vectors, got"):
        backbone_extractor(sequence, (4, 4, 1))
    two = keras.Model(pixels, [keras.layers.Flatten()(pixels), keras.layers.ReLU()(pixels)])
    with pytest.raises(ValueError, match="backbone must have one output, got 2"):
        backbone_extractor(two, (4, 4, 1))
    code = keras.Model(pixels, keras.layers.Lambda(lambda x: x * 2)(pixels))
    with pytest.raises(ValueError, match="backbone must be a model that Keras can copy"):
        backbone_extractor(code, (4, 4, 1))


def test_code_in_a_file_is_not_run(tmp_path):
    """Keras's safe mode refuses a Lambda layer, whose function is bytecode in the file."""
    pixels = keras.Input((4, 4, 1))
    keras.Model(pixels, keras.layers.Lambda(lambda x: x * 2)(pixels)).save(tmp_path / "code.keras")
    with pytest.raises(ValueError, match=r"cannot be loaded: .*Lambda"):
        make_extractor(tmp_path / "code.keras", (4, 4, 1))


def test_a_network_of_the_package_by_name():
    assert make_extractor("conv_blocks", (28, 28, 1)).output_shape == (None, 128)
    assert make_extractor("two_conv", (28, 28, 1), layer="conv1").output_shape == (None, 16)


@pytest.mark.parametrize(
    "preprocess", [np.linalg.inv, lambda images: None, lambda images: [images], lambda: 1]
)
def test_functions_that_are_no_preprocessing(preprocess, tmp_path):
    check_refusal("backbone_extractor", "preprocess", preprocess, tmp_path)


def test_a_network_that_cannot_work_at_another_size(tmp_path):
    images = keras.Input((12, 12, 1))
    flat = keras.Model(images, keras.layers.Dense(3)(keras.layers.Flatten()(images)))
    assert call("backbone_extractor", tmp_path, backbone=flat).output_shape == (None, 3)
    with pytest.raises(ValueError, match=r"input_size .* got \(9, 9, 1\)") as refusal:
        call("backbone_extractor", tmp_path, backbone=flat, input_size=9)
    assert len(str(refusal.value)) < 1000


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_messages_about_a_large_network_stay_short(tmp_path):
    EXTRACTOR.save_weights(tmp_path / "own.weights.h5")
    large = {"backbone": "DenseNet201", "image_shape": (32, 32, 3)}
    for argument, bad in (("layer", "conv5_block32_con"), ("weights", tmp_path / "own.weights.h5")):
        with pytest.raises(ValueError, match=rf"{argument} .*") as refusal:
            call("backbone_extractor", tmp_path, **large, **{argument: bad})
        assert len(str(refusal.value)) < 1000
    with pytest.raises(ValueError, match=r"such as MobileNetV2, .* got 'MobilNetV2'"):
        call("make_extractor", tmp_path, backbone="MobilNetV2")
