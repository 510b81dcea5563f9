"""What chosen labels are worth against labels drawn at random, measured with a linear probe.

python -m rotnet_keras.study.selection --output notebooks/results/selection.csv
python -m rotnet_keras.study.selection --images FOLDER --model extractor.keras --output ...
"""

from __future__ import annotations

import argparse
import pathlib
import sys

import numpy as np
import pandas as pd

from rotnet_keras._base.errors import InputError
from rotnet_keras._base.files import check_output, replace_with
from rotnet_keras._base.model_files import load_model
from rotnet_keras.data.load import load_splits
from rotnet_keras.evaluation import ci95, extract_features
from rotnet_keras.few_labels.probes import STRENGTH, block_features, mean_and_spread, regression
from rotnet_keras.few_labels.selection import image_points, typical_points, unsure_points
from rotnet_keras.zoo.pretrained import load_extractor

# Labels that there are before, all chosen as typical ones, and how many are added.
ROUNDS = ((0, 10), (0, 20), (0, 50), (0, 100), (20, 20), (50, 50), (100, 100), (200, 200))
SEEDS, POOL = range(5), 10_000  # each seed chooses from images of its own
CASE = ["data", "known", "number", "method"]


def measure_selection(extractor, images, labels, test, *, rounds=ROUNDS, seeds=SEEDS, pool=POOL):
    """The test accuracy of a linear probe on labels that were chosen, and drawn.

    Args:
        extractor: pretrained `keras.Model` with blocks.
        images: `(N, H, W, C)` to choose from.
        labels: `(N,)`, told of the chosen ones alone.
        test: `(images, labels)`.
        rounds: pairs of labels there before and labels added.
        seeds: of the draws.
        pool: images that each seed draws and then chooses from.

    Returns:
        `pandas.DataFrame` with columns known, number, seed, method, classes (how many of them have
        a label) and accuracy. Images of a class without a label count as wrong.
    """
    features, rows = block_features(extractor), []
    asked = extract_features(features, test[0])
    for seed in seeds:
        places = np.random.default_rng(seed).permutation(len(images))[:pool]
        points = image_points(extractor, images[places], seed)
        x, y = extract_features(features, images[places]), labels[places]
        mean, spread = mean_and_spread(x)
        x, z = (x - mean) / spread, (asked - mean) / spread
        for known, number in rounds:
            for method, chosen in _choices(points, x, y, known, number, seed):
                probe = regression(x[chosen], y[chosen], STRENGTH)
                right = probe.score(z, test[1])
                rows.append((known, number, seed, method, len(probe.classes_), right))
    return pd.DataFrame(rows, columns=[*CASE[1:3], "seed", "method", "classes", "accuracy"])


def _choices(points, x, y, known, number, seed):
    """Pairs of a method and the images that have labels after it has chosen."""
    labels = np.full(len(y), -1)
    before, _ = typical_points(points, labels, known, seed) if known else (np.arange(0), None)
    labels[before] = y[before]
    free = np.flatnonzero(labels < 0)
    drawn = np.random.default_rng(seed).choice(free, number, replace=False)
    more = {"random": drawn, "typical": typical_points(points, labels, number, seed)[0]}
    if known:
        chances = regression(x[before], y[before], STRENGTH).predict_proba(x)
        more["unsure"] = unsure_points(points, chances, labels, number, seed)
    return [(method, np.concatenate([before, places])) for method, places in more.items()]


def summarise_selection(table):
    """Mean accuracy in percent, the gain over random draws, paired by seed, and its interval."""
    drawn = table[table["method"] == "random"].set_index(["data", "known", "number", "seed"])
    rows = []
    for case, group in table.groupby(CASE, sort=False):
        place = group.set_index(["data", "known", "number", "seed"])
        gains = 100 * (place["accuracy"] - drawn["accuracy"].loc[place.index])
        means = (100 * group["accuracy"].mean(), group["classes"].mean())
        rows.append((*case, *means, gains.mean(), ci95(gains)))
    return pd.DataFrame(rows, columns=[*CASE, "accuracy", "classes", "gain", "ci95"])


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m rotnet_keras.study.selection")
    parser.add_argument("--images", metavar="FOLDER", help="class folders; default: Fashion-MNIST")
    parser.add_argument("--model", metavar="FILE", help="an extractor of these images")
    parser.add_argument("--image-size", type=int, metavar="N", help="of a folder's pictures")
    parser.add_argument("--data-dir", metavar="DIR", help="where TFDS has, or shall put, the data")
    parser.add_argument("--output", default="selection.csv", metavar="FILE")
    options = parser.parse_args(arguments)
    try:
        check_output(pathlib.Path(options.output))  # said before the work, not after it
        name, extractor, splits = _data(options)
        table = measure_selection(extractor, *splits.labelled, splits.test)
        table = with_others(table.assign(data=name), pathlib.Path(options.output))
    except InputError as error:
        sys.exit(f"{parser.prog}: {error}")
    with replace_with(options.output) as beside:
        table.to_csv(beside, index=False, float_format="%.4f")
    print(summarise_selection(table).to_string(index=False, float_format="{:.1f}".format))


def _data(options):
    if (options.images is None) != (options.model is None):
        raise InputError("--images and --model must be given together, the extractor of the images")
    if options.images is None:
        parts = {"num_labels": 50_000, "num_validation": 10_000, "data_dir": options.data_dir}
        extractor = load_extractor("conv_blocks_fashion_mnist")
        return "fashion_mnist", extractor, load_splits("fashion_mnist", **parts)
    folder, form = pathlib.Path(options.images), {"image_size": options.image_size}
    return folder.name, load_model(options.model), load_splits(folder, **form)


def with_others(table, path):
    """What a file has of other data, and the new rows."""
    table = table[["data", *table.columns.drop("data")]]
    if not path.exists():
        return table
    others = pd.read_csv(path, dtype={"data": str}, keep_default_na=False)  # a folder named NA
    return pd.concat([others[~others["data"].isin(table["data"])], table])


if __name__ == "__main__":
    main()
