"""The folder of a run, written by hand, and what a reader finds in its report."""

import copy
import html
import json
import re

import numpy as np
from PIL import Image

from rotnet_keras import save_report

PICTURES = ("rotations", "umap", "model", "accuracies", "training", "confusion")
NASTY = "<img src=x onerror=alert(1)>"
STRAY = b"caf\xe9".decode("utf-8", "surrogateescape")
ARMS = ["frozen extractor, new head", "from scratch", "fine-tuned"]
GAIN = "fine-tuned minus from scratch, points"
ACCURACIES = "Accuracy on the test images"


def write(tmp_path, results):
    """Write the folder of a run as `run_experiment` leaves it, but for what is changed, or None."""

    def write(name=".", *, pictures=PICTURES, **changes):
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        written = copy.deepcopy(results)
        for key, value in changes.items():
            deep = isinstance(value, dict) and key != "arms"
            written[key] = written[key] | value if deep else value
        written = {key: value for key, value in written.items() if value is not None}
        (folder / "results.json").write_text(json.dumps(written))
        (folder / "classifier.json").write_text(json.dumps({"class_names": ["Bag", NASTY, STRAY]}))
        (folder / "classifier.keras").write_bytes(b"a model")
        (folder / "explorer.html").write_text("<!DOCTYPE html>")
        for number, picture in enumerate(pictures):
            shade = np.full((20, 60 + number, 3), 40 * number, "uint8")
            Image.fromarray(shade).save(folder / f"{picture}.png")
        return folder

    return write


def arms_of(short=10, long=0):
    """The arms of a run in which pretraining is worth so many points."""
    tuned = {"short": 0.6 + short / 100, "long": 0.8 + long / 100}
    arms = {"frozen": {"short": 0.4, "long": 0.6}, "scratch": {"short": 0.6, "long": 0.8}}
    return arms | {"fine_tuned": tuned}


def with_given(long=0.85):
    """The arms of a run with given weights, which reach so much after long training."""
    given = {"given_frozen": {"short": 0.5, "long": 0.7}}
    return arms_of() | given | {"given_fine_tuned": {"short": 0.9, "long": long}}


class Report:
    """A report as its reader has it."""

    def __init__(self, path):
        self.path, self.source = path, path.read_text(encoding="utf-8")
        self.said = plain(self.source.split("</style>")[1])

    @property
    def tables(self):
        """The rows of each table, by the beginning of its caption."""
        found = {}
        for table in re.findall(r"(?s)<table.*?</table>", self.source):
            caption = plain(re.search(r"(?s)<caption>(.*?)</caption>", table)[1])
            rows = re.findall(r"(?s)<tr.*?</tr>", table)
            cells = [re.findall(r"(?s)<t[hd][ >].*?</t[hd]>|<td>.*?</td>", row) for row in rows]
            found[re.split("[,;:(]", caption)[0].strip()] = [[*map(plain, row)] for row in cells]
        return found

    @property
    def key(self):
        """The four figures at the top, by their names."""
        parts = (re.findall(rf"(?s)<{tag}>(.*?)</{tag}>", self.source) for tag in ("dt", "dd"))
        return dict(zip(*(map(plain, part) for part in parts), strict=True))


def plain(piece):
    """Text of a piece of a page as a reader sees it."""
    piece = re.sub(r"</?(strong|em|code|a|cite|span)\b[^>]*>", "", piece)  # within a line
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", piece)).split())


def report(write):
    """Write the folder of a run, changed so, and its report."""

    def report(name=".", *, command=None, **changes):
        return Report(save_report(write(name, **changes), command=command))

    return report
