"""What can be said at once, before TensorFlow is imported, which takes seconds."""

from __future__ import annotations

import os

from rotnet_keras._base.errors import InputError
from rotnet_keras._base.names import printable
from rotnet_keras.cli.typed import program


def look_first(options):
    """Raise if the folder, or the model, that a job is given will not do.

    What is found in the folder of `--images` is left in `options.found`, a `Found`; None without.
    """
    options.found = None
    if hasattr(options, "model"):
        _check_there(options.model)
    if hasattr(options, "folder"):
        _check_has_pictures(options.folder, getattr(options, "follow_links", False))
    images = getattr(options, "images", None)
    if images is None:
        return
    if options.job == "pretrain":  # which may be given a data set's name there
        if os.path.isdir(images):
            _check_has_pictures(images, options.follow_links)
        return
    options.parser.spelt |= {"dataset": "--images", "folder": "--images"}  # for errors
    from rotnet_keras.data.look import look_at_folder

    how = {name: getattr(options, name) for name in ("parts", "follow_links") if name in options}
    options.found = look_at_folder(images, **how)
    if options.job == "study" and not options.found.labelled:
        raise InputError(
            f"dataset must hold a folder for each class, {printable(images)} has "
            "pictures without labels alone"
        )
    if options.job == "run":
        options.found.check_num_labels(options.num_labels, options.num_validation)


def _check_there(model):
    """Raise unless a model's file is there; that it is a whole one is seen when it is loaded."""
    if os.path.splitext(model)[1] != ".keras":
        raise InputError(f"model must be a .keras file, got {model!r}")
    if not os.path.exists(model):
        raise InputError(
            f"model must be a file that is there, got {model}, and there is no such file; "
            f"`{' '.join(program())} --images YOUR_PICTURES` makes one"
        )


def _check_has_pictures(folder, follow_links):
    from rotnet_keras.data.folders import existing_folder, gather, has_pictures

    if not has_pictures(existing_folder(folder), follow_links=follow_links):
        gather(folder, {})  # says what there is instead
