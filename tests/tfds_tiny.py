"""Tiny data sets of TensorFlow Datasets, which the tests prepare."""

import pathlib

import numpy as np
import tensorflow_datasets as tfds

COLOURS = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200)}


class TinyColours(tfds.core.GeneratorBasedBuilder):
    """Sixty oblong images of three colours; the border is white, and there is no test split."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = pathlib.Path(__file__).parent  # TFDS looks for a package, and tests are none
    fail_after = None

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=list(COLOURS)),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i in range(60):
            if i == TinyColours.fail_after:
                raise OSError("the disk went away")
            name = list(COLOURS)[i % 3]
            image = np.full((20, 30 + i, 3), 255, "uint8")
            image[:, 5 + i // 2 : 25 + i // 2] = COLOURS[name]
            yield i, {"image": image, "label": name}


class TinyUnlabelled(TinyColours):
    """The same with a test split and 40 grey images without labels, numbered by their pixels."""

    name = "tiny_unlabelled"
    unlabelled = "unlabelled"  # or as others spell it

    def _split_generators(self, dl_manager):
        return {
            "train": self._generate_examples(),
            "test": self._generate_examples(),
            self.unlabelled: self._generate_unlabelled(),
        }

    def _generate_unlabelled(self):
        for i in range(40):
            yield i, {"image": np.full((20, 30, 3), i, "uint8"), "label": -1}


class TinyUnlabeled(TinyUnlabelled):
    name = "tiny_unlabeled"
    unlabelled = "unlabeled"


class TinySecret(TinyUnlabelled):
    """The same, but the test has no labels that anybody is told; the validation has."""

    name = "tiny_secret"
    parts = ("train", "validation")

    def _split_generators(self, dl_manager):
        known = {part: self._generate_examples() for part in self.parts}
        return known | {"test": self._generate_unlabelled()}


class TinySecrets(TinySecret):
    name = "tiny_secrets"
    parts = ("train",)


class TinyDeep(TinyColours):
    """Images of 16 bits."""

    name = "tiny_deep"

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(8, 8, 1), dtype=np.uint16),
            "label": tfds.features.ClassLabel(num_classes=2),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )

    def _generate_examples(self):
        for i in range(4):
            yield i, {"image": np.full((8, 8, 1), 9_999, "uint16"), "label": i % 2}


class TinyDownload(TinyColours):
    """The same, with a file to download first; others may do things meanwhile."""

    name = "tiny_download"
    url = ""

    def _split_generators(self, dl_manager):
        dl_manager.download(TinyDownload.url)
        return super()._split_generators(dl_manager)


class TinyNumbers(tfds.core.GeneratorBasedBuilder):
    """A data set without images."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = pathlib.Path(__file__).parent  # TFDS looks for a package, and tests are none

    def _info(self):
        features = tfds.features.FeaturesDict({"n": np.int64})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": iter([])}

    def _generate_examples(self):
        yield 0, {"n": 0}


def files_below(folder):
    return sorted(str(path) for path in pathlib.Path(folder).rglob("*") if path.is_file())
