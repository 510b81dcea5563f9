"""What can be done with pictures none of which has a label: pretrain, and compute features."""

from __future__ import annotations

import itertools
import pathlib

from rotnet_keras._base.model_files import load_model
from rotnet_keras.data.folders import list_pictures
from rotnet_keras.data.pictures import read_with_levels
from rotnet_keras.deployment.embedding import save_features, table_of_features
from rotnet_keras.deployment.reading import names_within
from rotnet_keras.evaluation import extract_features
from rotnet_keras.jobs.plan import make_plan, size_for
from rotnet_keras.jobs.pretraining import run_pretraining
from rotnet_keras.running.runtime import suitable_precision

FEATURES = "features.npz"


def pretrain_and_embed(
    folder, *, output, image_size, fit, channels, ground, white, broken, follow_links, seed, quick
):
    """Pretrain the recipe's network on a folder's pictures, and write what it says of each.

    Arguments are those of `run_experiment`. Returns what `run_pretraining` returns.
    """
    files = list_pictures(folder, follow_links=follow_links)
    form = image_size or size_for(files), fit, channels
    images, read, _ = read_with_levels(files, form, white=white, broken=broken, ground=ground)
    results = run_pretraining(
        images=images,
        network="conv_blocks",
        epochs=make_plan(images.shape, quick=quick).pretrain_epochs,
        batch_size=128,
        all_rotations=False,
        precision=suitable_precision(),
        seed=seed,
        output=output,
    )
    network = load_model(pathlib.Path(output) / "extractor.keras")
    names = names_within(folder, itertools.compress(files, read))
    table = table_of_features(extract_features(network, images), names)
    save_features(table, pathlib.Path(output) / FEATURES)
    return results
