"""Model files that reach for other files, or bring code along, each with why it is refused."""

import io
import json
import zipfile

import h5py
import keras
import numpy as np
import tensorflow as tf
from small_networks import chain

from rotnet_keras._base.model_files import save_model

SHAPE = (4, 4, 1)
PART = "layers/dense/vars"


def sound(path):
    """A file that may be loaded, of four pixels wide images to two numbers."""
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense(2, name="dense")
    # Which the oldest Keras loads, so that it is not refused there for another reason.
    save_model(chain(SHAPE, keras.layers.Flatten(name="flat"), dense, name="sound"), path)
    return path


def changed(path, *, config=None, weights=None, more=()):
    """A sound file with another configuration or other weights, by functions, or more in it."""
    with zipfile.ZipFile(sound(path)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    if config is not None:
        known = json.loads(parts["config.json"])
        config(known)
        parts["config.json"] = json.dumps(known).encode()
    if weights is not None:
        held = io.BytesIO(parts["model.weights.h5"])
        with h5py.File(held, "r+") as file:
            weights(file)
        parts["model.weights.h5"] = held.getvalue()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (parts | dict(more)).items():
            archive.writestr(name, content)
    return path


def another_kernel(place):
    """A file elsewhere that holds weights, of which nothing may be read."""
    with h5py.File(place / "secret.h5", "w") as file:
        file["kernel"] = np.full((16, 2), 7, "float32")
    (place / "secret.raw").write_bytes(np.full((16, 2), 7, "float32").tobytes())
    return place


def external_link(file, place):
    del file[PART]["0"]
    file[PART]["0"] = h5py.ExternalLink(str(another_kernel(place) / "secret.h5"), "kernel")


def external_group(file, place):
    del file["layers/dense"]
    file["layers/dense"] = h5py.ExternalLink(str(another_kernel(place) / "secret.h5"), "/")


def soft_link(file, place):
    file["elsewhere"] = h5py.ExternalLink(str(another_kernel(place) / "secret.h5"), "/")
    del file[PART]["0"]
    file[PART]["0"] = h5py.SoftLink("/elsewhere/kernel")


def external_storage(file, place):
    del file[PART]["0"]
    raw = [(str(another_kernel(place) / "secret.raw"), 0, 128)]
    file[PART].create_dataset("0", (16, 2), "float32", external=raw)


def virtual(file, place):
    del file[PART]["0"]
    layout = h5py.VirtualLayout((16, 2), "float32")
    secret = str(another_kernel(place) / "secret.h5")
    layout[:] = h5py.VirtualSource(secret, "kernel", (16, 2))
    file[PART].create_virtual_dataset("0", layout)


def huge(file, place):
    """A petabyte, of which nothing is stored."""
    del file[PART]["0"]
    file[PART].create_dataset("0", (2**24, 2**24), "float32", chunks=(64, 64), compression="gzip")


# Of HDF5 files, in a `.keras` file or as weights: what is done to a sound one, and the reason.
HDF5 = {
    external_link: "/0 in it is a link to another file, .*secret.h5",
    external_group: "/dense in it is a link to another file, .*secret.h5",
    soft_link: "in it is a link",
    external_storage: "/0 in it lies in another file, .*secret.raw",
    virtual: "/0 in it is put together from other files",
    huge: "/0 in it says that it has 1,125,899,906,842,624 bytes, and has not",
}


def saved_model(path, place):
    """A layer that runs TensorFlow's own graph of another folder, here one that writes a file."""
    module, mark = tf.Module(), str(place / "mark")

    @tf.function(input_signature=[tf.TensorSpec((None, *SHAPE), tf.float32)])
    def serve(images):
        with tf.control_dependencies([tf.io.write_file(mark, "written")]):
            return tf.reshape(images, (-1, 16))

    module.serve = serve
    tf.saved_model.save(module, str(place / "saved"), signatures=serve)
    endpoint = {"call_endpoint": "serving_default"}
    layer = {"class_name": "TFSMLayer", "module": "keras.layers", "registered_name": None}
    layer["config"] = {"name": "flat", "filepath": str(place / "saved"), **endpoint}
    return changed(path, config=lambda known: known["config"]["layers"][1].update(layer))


def function_layer(path, place):
    chain(SHAPE, keras.layers.Lambda(lambda x: x * 2)).save(path)
    return path


def activation(function):
    """What makes a file whose layer has another function for its activation."""

    def make(path, place):
        def put(known):
            known["config"]["layers"][2]["config"]["activation"] = function

        return changed(path, config=put)

    return make


LAMBDA = {"class_name": "__lambda__", "config": {"value": ["4wE=", None, None]}}
FETCH = {"class_name": "function", "module": "keras.utils", "config": "get_file"}
FOREIGN = {"class_name": "function", "module": "os", "config": "system"}


def own_layer(path, place):
    class Own(keras.layers.Layer):
        def call(self, images):
            return images

    chain(SHAPE, Own()).save(path)
    return path


def beside(name, content=b""):
    return lambda path, place: changed(path, more={name: content})


# Of `.keras` files alone: what makes one, and the reason.
KERAS = {
    "TensorFlow's graph": (saved_model, "it holds a TFSMLayer, which runs code from files"),
    "a function as a layer": (function_layer, "it holds a Lambda, which runs code from files"),
    "a function's bytes": (activation(LAMBDA), "it holds a lambda, which runs code from files"),
    "a download": (activation(FETCH), "it holds get_file of keras.utils, which is no part of a"),
    "another module": (activation(FOREIGN), "it holds system of os, which Keras does not know"),
    "an own layer": (own_layer, r"it holds Own of bad_models, .*register_keras_serializable\(\)"),
    "a file outside": (beside("assets/../../mark"), "it must hold a network alone, got assets/"),
    "another file": (beside("mark.pkl"), "it must hold a network alone, got mark.pkl, too"),
    "a bomb": (beside("assets/x", bytes(2**29)), "assets/x is packed too tightly to be a netw"),
}


def bad_models(place):
    """Every bad `.keras` file, made in a folder: pairs of a path and the reason."""
    for number, (change, reason) in enumerate(HDF5.items()):
        path = place / f"h5_{number}.keras"
        yield changed(path, weights=lambda file, change=change: change(file, place)), reason
    for number, (make, reason) in enumerate(KERAS.values()):
        yield make(place / f"keras_{number}.keras", place), reason
