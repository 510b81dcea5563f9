"""Files of Keras models: looked through before Keras sees them, and written for its oldest version.

Keras promises that a file's code is not run, and its versions from 3.12 on have broken that in ways
of their own. So what a file may hold is said here, and the rest is refused whatever the version.
"""

from __future__ import annotations

import io
import json
import os
import pathlib
import shutil
import zipfile
from typing import Any

from rotnet_keras._base.errors import InputError, blaming
from rotnet_keras._base.files import replace_with
from rotnet_keras._base.values import warn_caller

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
# What newer versions of Keras write down, as by default, and 3.12 does not know and refuses.
NEWER: dict[str, Any] = {"input_axes": None, "output_axes": None, "quantization_config": None}
NEWER |= {"renorm": False, "renorm_clipping": None, "renorm_momentum": 0.99}
NEWER |= {"use_gate": False, "sliding_window": None}
# Layers and values that run what a file brings along, or reach for others.
CODE = ("TFSMLayer", "Lambda", "__lambda__", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
PACKAGES = ("keras", "keras_hub", "keras_cv", "keras_nlp", "builtins")
# Parts of Keras whose functions a network is made of; others read and write files.
FUNCTIONS = {"activations", "constraints", "initializers", "losses", "metrics", "ops", "random"}
FUNCTIONS |= {"regularizers"}
LARGE, EXPANSION = 2**28, 1000  # bytes, and how much smaller than them no honest file is


def load_model(path, name="model"):
    """Load a `.keras` file; code that it brings along, and links to other files, are refused."""
    import keras

    path = pathlib.Path(path)
    if path.suffix != ".keras":
        raise InputError(f"{name} must be a .keras file, got {str(path)!r}")
    if not path.is_file():
        raise InputError(f"{name} must be a .keras file, got {str(path)!r}, and {_missing(path)}")
    with blaming(f"{name} {path} cannot be loaded: "):
        _check_archive(path)
        return keras.models.load_model(path, safe_mode=True, compile=False)


def _missing(path):
    return "that is no regular file" if path.exists() else "there is no such file"


def save_model(model, path):
    """Write a `.keras` file by way of `replace_with`, which Keras 3.12 loads.

    A warning says what needs a newer one. Nothing is promised below: 3.11 loads what this package
    makes, 3.9 all but nearest neighbours, 3.6 the package's own networks.
    """
    with replace_with(path) as beside:
        needed = write_model(model, beside)
    warn_of_newer(path, needed)


def warn_of_newer(path, needed):
    """Say what `write_model` could not leave out, if anything."""
    if needed:
        settings = ", ".join(f"{name}={value!r}" for name, value in needed.items())
        warn_caller(f"{path}: only a newer Keras than 3.12 can load it, which knows {settings}")


def write_model(model, path):
    """Write a `.keras` file without what is newer than Keras 3.12; return what cannot be left out.

    What a layer has otherwise than by default is kept, and returned as `{setting: value}`.

    Args:
        model: `keras.Model`.
        path: of a file that nobody reads yet.
    """
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        written = json.loads(archive.read(CONFIG))
        needed = _leave_out_newer(written)
        whole = path.with_name(f"{path.name}.zip")
        try:
            with zipfile.ZipFile(whole, "w") as into:
                _copy(archive, into, json.dumps(written).encode())
            os.replace(whole, path)
        finally:
            whole.unlink(missing_ok=True)
    return needed


def _copy(archive, into, config):
    for item in archive.infolist():
        copy = zipfile.ZipInfo(item.filename, item.date_time)
        with into.open(copy, "w", force_zip64=True) as target:
            if item.filename == CONFIG:
                target.write(config)
                continue
            with archive.open(item) as source:
                shutil.copyfileobj(source, target, 2**20)


def _leave_out_newer(config):
    """Take what is newer than Keras 3.12, and as by default, out of a model's configuration."""
    needed = {}
    for part in _parts(config):
        inner, module = part.get("config"), part.get("module")
        if isinstance(inner, dict) and str(module).partition(".")[0] == "keras":
            for name in NEWER.keys() & inner.keys():
                if inner[name] == NEWER[name]:
                    del inner[name]
                else:
                    needed[name] = inner[name]
    return dict(sorted(needed.items()))


def check_weights(path):
    """Raise unless an `.h5` file of weights holds all that it seems to hold."""
    with open(path, "rb") as file:
        _check_hdf5(file)


def _check_archive(path):
    """Raise unless a `.keras` file holds a network and its weights, and nothing else."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        for name in (CONFIG, WEIGHTS):
            if names.count(name) != 1:
                raise InputError(f"it must hold one {name}, got {names.count(name)}")
        for name in names:
            known = name in (CONFIG, WEIGHTS, "metadata.json") or name.startswith("assets/")
            if not known or ".." in name or "\\" in name:
                raise InputError(f"it must hold a network alone, got {name}, too")
        for item in archive.infolist():
            if item.file_size > max(LARGE, EXPANSION * item.compress_size):
                raise InputError(f"{item.filename} is packed too tightly to be a network's")
        _check_config(json.loads(archive.read(CONFIG)))
        _check_hdf5(io.BytesIO(archive.read(WEIGHTS)))


def _check_config(config):
    """Raise if the configuration of a model asks for code other than Keras's layers."""
    for part in _parts(config):
        kind, module = part.get("class_name"), part.get("module")
        if kind in CODE:
            raise InputError(f"it holds a {kind.strip('_')}, which runs code from files")
        if kind is None or not isinstance(module, str) or _is_registered(part):
            continue
        name = part.get("config") if kind == "function" else kind
        package, *inner = module.split(".")
        if package not in PACKAGES:
            raise InputError(
                f"it holds {name} of {module}, which Keras does not know; if you trust it, import "
                "it first, decorated with @keras.saving.register_keras_serializable()"
            )
        is_function = kind == "function" or str(name)[:1].islower()
        if package == "keras" and is_function and not {*inner[:1]} & FUNCTIONS:
            raise InputError(f"it holds {name} of {module}, which is no part of a network")


def _is_registered(part):
    """Whether somebody, who has the code, told Keras what stands behind a name."""
    import keras

    kind = part["class_name"]
    name = part.get("config") if kind == "function" else part.get("registered_name") or kind
    return isinstance(name, str) and keras.saving.get_registered_object(name) is not None


def _parts(config):
    """Every dictionary within a configuration."""
    todo = [config]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            yield part
            todo += part.values()
        elif isinstance(part, list):
            todo += part


def _check_hdf5(file):
    """Raise if an HDF5 file reaches for others, or says that it holds more than it does."""
    import h5py

    with h5py.File(file, "r") as whole:
        todo, seen = [whole], set()
        while todo:
            group = todo.pop()
            address = h5py.h5o.get_info(group.id).addr
            if address in seen:  # groups may hold each other
                continue
            seen.add(address)
            for name in group:
                _check_link(group, name)
                item = group[name]
                if isinstance(item, h5py.Group):
                    todo.append(item)
                elif isinstance(item, h5py.Dataset):
                    _check_dataset(item)


def _check_link(group, name):
    import h5py

    try:
        link = group.get(name, getlink=True)
    except TypeError:  # of a kind that h5py does not know
        link = None
    if isinstance(link, h5py.HardLink):
        return
    path = f"{group.name.rstrip('/')}/{name}"
    if isinstance(link, h5py.ExternalLink):
        raise InputError(f"{path} in it is a link to another file, {link.filename}")
    raise InputError(f"{path} in it is a link, which no file of weights has")


def _check_dataset(item):
    if item.external:
        raise InputError(f"{item.name} in it lies in another file, {item.external[0][0]}")
    if item.is_virtual:
        raise InputError(f"{item.name} in it is put together from other files")
    if item.nbytes > max(LARGE, EXPANSION * item.id.get_storage_size()):
        raise InputError(f"{item.name} in it says that it has {item.nbytes:,} bytes, and has not")
