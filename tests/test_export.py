"""A saved classifier on its way to other programs, by Keras's own export."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

from rotnet_keras import (
    attach_head,
    conv_blocks_extractor,
    extract_features,
    linear_probe,
    load_classifier,
    save_classifier,
)
from rotnet_keras.few_labels.recipe import _averaged, _with_mirror

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["one network", "several side by side"])
def saved(request, tmp_path_factory):
    """A classifier as it is loaded from its file, eight images, and what it says of them."""
    images = np.random.default_rng(0).integers(0, 256, (8, 12, 12, 1), "uint8")
    extractor = conv_blocks_extractor((12, 12, 1), widths=(4, 8))
    model = attach_head(extractor, 2)
    if request.param != "one network":  # as `fit_few_labels` has them
        probes = [linear_probe(extractor, images, np.arange(8) % 2) for _ in range(2)]
        model = _averaged([_with_mirror(model), *probes])
    path = tmp_path_factory.mktemp("saved") / "classifier.keras"
    save_classifier(model, path, ["cat", "dog"])
    model = load_classifier(path)[0]
    return model, images.astype("float32"), extract_features(model, images)


def test_saved_model(saved, tmp_path):
    model, images, logits = saved
    model.export(tmp_path / "classifier", format="tf_saved_model", verbose=False)
    exported = tf.saved_model.load(tmp_path / "classifier")
    np.testing.assert_allclose(exported.serve(images), logits, atol=1e-5)


def test_litert(saved, tmp_path):
    model, images, logits = saved
    path = str(tmp_path / "classifier.tflite")
    model.export(path, format="litert", verbose=False)
    interpreter = _interpreter(path)
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert taken["shape"].tolist() == [1, 12, 12, 1]
    for image, expected in zip(images, logits, strict=True):
        interpreter.set_tensor(taken["index"], image[None])
        interpreter.invoke()
        np.testing.assert_allclose(interpreter.get_tensor(given["index"])[0], expected, atol=1e-5)


def _interpreter(path):
    """What reads the file: the package of its own, else TensorFlow's, which is to go."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        Interpreter = tf.lite.Interpreter
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated")
        interpreter = Interpreter(model_path=path)
    interpreter.allocate_tensors()
    return interpreter


def test_onnx(saved, tmp_path):
    pytest.importorskip("tf2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    model, images, logits = saved
    path = str(tmp_path / "classifier.onnx")
    with warnings.catch_warnings():  # of names that NumPy 2 no longer has, which Keras puts back
        warnings.filterwarnings("ignore", ".*np.object", FutureWarning)
        model.export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path)
    (taken,) = session.get_inputs()
    (answers,) = session.run(None, {taken.name: images})
    np.testing.assert_allclose(answers, logits, atol=1e-5)
