import base64
import copy
import html
import io
import json
import os
import re

import numpy as np
import pytest
from PIL import Image

from rotnet_keras import save_report, summarise

PICTURES = ("rotations", "umap", "model", "accuracies", "training", "confusion")
NASTY = "<img src=x onerror=alert(1)>"
STRAY = b"caf\xe9".decode("utf-8", "surrogateescape")
CLASSES = ["Bag", NASTY, STRAY]
ARMS = ["frozen extractor, new head", "from scratch", "fine-tuned"]
GAIN = "fine-tuned minus from scratch, points"


@pytest.fixture
def write(tmp_path, results):
    """Write the folder of a run as `run_experiment` leaves it, but for what is changed, or None."""

    def write(name=".", *, pictures=PICTURES, **changes):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        written = copy.deepcopy(results)
        for key, value in changes.items():
            deep = isinstance(value, dict) and key != "arms"
            written[key] = written[key] | value if deep else value
        written = {key: value for key, value in written.items() if value is not None}
        (folder / "results.json").write_text(json.dumps(written))
        (folder / "classifier.json").write_text(json.dumps({"class_names": CLASSES}))
        (folder / "classifier.keras").write_bytes(b"a model")
        (folder / "explorer.html").write_text("<!DOCTYPE html>")
        for number, picture in enumerate(pictures):
            shade = np.full((20, 60 + number, 3), 40 * number, "uint8")
            Image.fromarray(shade).save(folder / f"{picture}.png")
        return folder

    return write


def source(path):
    return path.read_text(encoding="utf-8")


def plain(piece):
    """Text of a piece of a page as a reader sees it."""
    piece = re.sub(r"</?(strong|em|code|a|cite|span)\b[^>]*>", "", piece)  # within a line
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", piece)).split())


def said(path):
    return plain(source(path).split("</style>")[1])


def tables(path):
    """The rows of each table, by the beginning of its caption."""
    found = {}
    for table in re.findall(r"<table.*?</table>", source(path), re.DOTALL):
        caption = plain(re.search(r"<caption>(.*?)</caption>", table, re.DOTALL)[1])
        rows = re.findall(r"<tr.*?</tr>", table, re.DOTALL)
        cells = [re.findall(r"<t[hd][ >].*?</t[hd]>|<td>.*?</td>", row, re.DOTALL) for row in rows]
        found[re.split("[,;:(]", caption)[0].strip()] = [[*map(plain, row)] for row in cells]
    return found


def key(path):
    """The four figures at the top, by their names."""
    parts = (re.findall(rf"(?s)<{tag}>(.*?)</{tag}>", source(path)) for tag in ("dt", "dd"))
    return dict(zip(*(map(plain, part) for part in parts), strict=True))


def test_figures_of_one_run(write):
    path = save_report(write(), command="python -m rotnet_keras --seed 7")
    assert path.name == "report.html"
    assert key(path) == {
        "rotations told apart": "98.0%",
        "from scratch, long training": "82.8%",
        "fine-tuned, long training": "83.2%",
        "difference, points": "+0.4",
    }
    found = tables(path)
    assert found["Accuracy on the test images"] == [
        ["arm", "the blog", "short training", "long training"],
        ["frozen extractor, new head", "about 40", "40.0", "60.1"],
        ["from scratch", "about 60", "62.1", "82.8"],
        ["fine-tuned", "about 75", "72.1", "83.2"],
        [GAIN, "about 15", "+10.0", "+0.4"],
    ]
    pretraining, random = "pretraining on rotations", "random weights"
    assert found["Start"] == [
        ["arm", "starts from", "trains", "short", "long"],
        [ARMS[0], pretraining, "a new head alone", "3", "93"],
        [ARMS[1], random, "all layers", "3", "205"],
        [ARMS[2], pretraining, "all layers and a new head", "3", "121"],
    ]
    assert found["Settings"] == [
        ["dataset", "fashion_mnist"],
        ["backbone", "two_conv"],
        ["num labels", "1000"],
        ["seed", "7"],
    ]
    stages = [["data", "1.5"], ["pretraining", "1200.0"], ["map", "30.0"], ["classifiers", "90.1"]]
    assert found["Seconds of the last start"] == [*stages, ["pictures and files", "4.0"]]
    assert found["Versions"] == [["python", "3.11.9"], ["keras", "3.15.0"]]
    assert set(found) == {"Accuracy on the test images", "Start", "Settings", "Versions"} | {
        "Seconds of the last start"
    }
    text = said(path)
    for sentence in (
        "fashion_mnist: 28 × 28 pixels, grey. 49,000 images served without their labels, 1,000 "
        "with them; 10,000 others told when to stop, and 10,000 others, the test images, were met "
        "once by each classifier.",
        "Classes: Bag, <img src=x onerror=alert(1)>, caf\\udce9.",
        "After 10 passes over the images it names the rotation of 98.0% of the test images",
        "The blog post that this run follows reports about 97%.",
        "The network: two_conv, 17,616 parameters, which ends in 16 features of an image.",
        "After short training, fine-tuning reaches 72.1% of the test images and training from "
        "scratch 62.1%: pretraining is 10.0 points ahead.",
        "After long training, fine-tuning reaches 83.2% of the test images and training from "
        "scratch 82.8%: pretraining is 0.4 points ahead.",
        "The blog post of 2020 had Fashion-MNIST and 1,000 labels, and does not say",
        "The command: python -m rotnet_keras --seed 7 In Python: import rotnet_keras as rk "
        "rk.run_experiment('fashion_mnist', num_labels=1000, seed=7)",
        "One run, with seed 7: another seed",
        "Seconds of the last start: 1,326",
    ):
        assert sentence in text


def test_pictures_are_within_the_page(write):
    folder = write()
    text = source(save_report(folder))
    stored = re.findall(r'<img src="data:image/png;base64,([^"]+)"', text)
    assert len(stored) == len(PICTURES)
    assert {base64.b64decode(one) for one in stored} == {
        (folder / f"{name}.png").read_bytes() for name in PICTURES
    }
    shades = [np.asarray(Image.open(io.BytesIO(base64.b64decode(one)))) for one in stored]
    assert {shade.shape for shade in shades} == {(20, 60 + i, 3) for i in range(6)}
    assert re.findall(r'(?:src|href)="(?!data:)([^"]*)"', text) == ["explorer.html"]
    assert "<script" not in text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, True),
        ({"asked": {"dataset": None}}, True),
        ({"asked": {"dataset": "garments"}, "dataset": "garments", "stand_in": True}, True),
        ({"asked": {"dataset": None}, "dataset": "garments", "stand_in": True}, True),
        ({"in_memory": ["dataset"]}, False),
        ({"in_memory": ["backbone"]}, True),
        ({"asked": {"dataset": "./fashion_mnist"}}, False),
        ({"asked": {"dataset": "/pictures/fashion_mnist"}}, False),
        ({"asked": {"dataset": "mnist"}, "dataset": "mnist"}, False),
    ],
)
def test_the_blogs_figures_stand_beside_its_data_alone(write, changes, told):
    path = save_report(write(**changes))
    assert ("blog" in said(path)) == told
    head = tables(path)["Accuracy on the test images"][0]
    assert head == ["arm", *["the blog"] * told, "short training", "long training"]


@pytest.mark.parametrize(
    ("changes", "unlike"),
    [
        ({}, False),
        ({"num_labels": 200}, True),
        ({"asked": {"dataset": "garments"}, "dataset": "garments"}, True),
    ],
)
def test_what_the_blog_had_is_said(write, changes, unlike):
    text = said(save_report(write(**changes)))
    assert ("had Fashion-MNIST and 1,000 labels, unlike this run" in text) == unlike


GIVEN = {"given_frozen": {"short": 0.5, "long": 0.7}}
WITH_GIVEN = {
    "frozen": {"short": 0.4, "long": 0.6},
    "scratch": {"short": 0.6, "long": 0.8},
    "fine_tuned": {"short": 0.7, "long": 0.8},
    "given_frozen": {"short": 0.5, "long": 0.7},
    "given_fine_tuned": {"short": 0.9, "long": 0.85},
}


@pytest.mark.parametrize(
    ("long", "how"),
    [(0.85, "5.0 points more than"), (0.8, "as many as"), (0.75, "5.0 points fewer than")],
)
def test_arms_with_given_weights(write, long, how):
    arms = WITH_GIVEN | {"given_fine_tuned": {"short": 0.9, "long": long}}
    asked = {"backbone": "VGG16", "weights": "imagenet"}
    path = save_report(write(arms=arms, backbone="VGG16", asked=asked))
    rows = tables(path)["Accuracy on the test images"]
    assert rows[4:6] == [
        ["given weights, frozen, new head", "50.0", "70.0"],
        ["given weights, fine-tuned", "90.0", f"{100 * long:.1f}"],
    ]
    text = said(path)
    assert f"with long training, it is {100 * long:.1f}%, {how} after pretraining" in text
    assert "The given weights: VGG16 with imagenet." in text
    assert "blog" not in text  # it has no such arms
    assert tables(path)["Start"][4][1] == "the given weights"


def test_a_network_of_the_users_is_named(write):
    path = save_report(write(arms=WITH_GIVEN, backbone="net", in_memory=["dataset", "backbone"]))
    text = said(path)
    assert "The given weights: those of net." in text
    assert "# dataset: " not in text
    assert "# splits: what was in memory then, by the name of 'fashion_mnist'" in text
    assert "# network: what was in memory then, by the name of 'two_conv'" in text
    assert "rk.run_experiment(splits, num_labels=1000, seed=7)" in text


def test_a_network_in_memory_is_in_the_call(write):
    path = save_report(write(asked={"backbone": "net"}, in_memory=["backbone"]))
    call = "rk.run_experiment('fashion_mnist', backbone=network, num_labels=1000, seed=7)"
    assert call in said(path)


def remove(*names):
    def change(folder):
        for name in names:
            (folder / name).unlink()

    return change


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        (remove("umap.png"), ["laid out by UMAP", "Map of the test images"]),
        (remove("explorer.html"), ["explorer.html"]),
        (remove("umap.png", "explorer.html"), ["What it learnt", "explorer.html", "UMAP"]),
        (remove("model.png"), ["The layers", "Diagram of the network"]),
        (remove("rotations.png"), ["in its four rotations"]),
        (remove("accuracies.png"), ["Bars of the accuracies"]),
        (remove("training.png"), ["Curves of accuracy"]),
        (remove("confusion.png"), ["Table of true classes"]),
        (remove("classifier.json"), ["Classes:", "Use the classifier", "rotnet_keras predict"]),
        (remove("classifier.keras"), ["Use the classifier", "rotnet_keras predict"]),
    ],
)
def test_what_the_run_did_not_write_is_not_in_the_page(write, change, gone):
    folder = write()
    before = source(save_report(folder))
    change(folder)
    after = source(save_report(folder))
    for piece in gone:
        assert piece in before
        assert piece not in after


@pytest.mark.parametrize(
    ("without", "with_it", "piece"),
    [
        ({}, {"skipped": ["a.png"]}, "1 file could not be read and was left out"),
        ({}, {"arms": WITH_GIVEN}, "given weights"),
        ({}, {"stand_in": True}, "Stand-in garments: these images were drawn by the program"),
        ({}, {"quick": True}, "A quick run: too little data"),
        ({}, {"quick": True}, "here at most 10 epochs"),
        ({}, {"num_test": 50}, "one of them is 2.0 points of accuracy"),
        ({"num_test": 1000}, {"num_test": 999}, "one of them is 0.1 points of accuracy"),
        ({"seconds": None}, {}, "Seconds of the last start"),
        ({"versions": None}, {}, "Versions python 3.11"),
    ],
)
def test_what_the_run_did_not_do_is_not_in_the_page(write, without, with_it, piece):
    absent, there = (write(name, **changes) for name, changes in (("a", without), ("b", with_it)))
    assert piece not in said(save_report(absent))
    assert piece in said(save_report(there))


def test_a_command_is_said_where_there_is_one(write):
    folder = write()
    assert "The command:" not in said(save_report(folder))
    typed = said(save_report(folder, command="python -m rotnet_keras --images 'a <b>'"))
    assert "The command: python -m rotnet_keras --images 'a <b>' In Python" in typed


def test_the_layers_as_text(write):
    folder = write(pictures=())
    (folder / "model.txt").write_text("│ conv1 <x> │\n│ conv2 │\n", encoding="utf-8")
    text = source(save_report(folder))
    assert "<pre>│ conv1 &lt;x&gt; │\n│ conv2 │\n</pre>" in text
    assert "<img" not in text.replace(html.escape(NASTY), "")


def test_files_that_were_left_out_are_listed_up_to_twenty(write):
    names = [f"{number}_{STRAY}.png" for number in range(23)]
    text = said(save_report(write(skipped=names)))
    assert "23 files could not be read and were left out" in text
    assert "0_caf\\udce9.png 1_caf\\udce9.png" in text
    assert "19_caf\\udce9.png and 3 more." in text
    assert "20_caf" not in text
    few = said(save_report(write("few", skipped=["b.png", "c.png"])))
    assert "2 files could not be read and were left out b.png c.png The task" in few


@pytest.mark.parametrize(
    ("tuned", "gain", "sentence"),
    [
        (0.75, "\N{MINUS SIGN}5.0", "pretraining is 5.0 points behind."),
        (0.79, "\N{MINUS SIGN}1.0", "pretraining is 1.0 point behind."),
        (0.8, "0.0", "no difference."),
        (0.8004, "0.0", "no difference."),
        (0.7996, "0.0", "no difference."),
        (0.81, "+1.0", "pretraining is 1.0 point ahead."),
        (0.95, "+15.0", "pretraining is 15.0 points ahead."),
    ],
)
def test_a_gain_is_told_as_it_is(write, tuned, gain, sentence):
    arms = WITH_GIVEN | {"fine_tuned": {"short": 0.7, "long": tuned}}
    path = save_report(write(arms={arm: arms[arm] for arm in ("frozen", "scratch", "fine_tuned")}))
    assert tables(path)["Accuracy on the test images"][-1][-1] == gain
    assert key(path)["difference, points"] == gain
    assert f"from scratch 80.0%: {sentence}" in said(path)


def arms_of(short, long):
    """The arms of a run in which pretraining is worth so many points."""
    return {
        "frozen": {"short": 0.4, "long": 0.6},
        "scratch": {"short": 0.6, "long": 0.8},
        "fine_tuned": {"short": 0.6 + short / 100, "long": 0.8 + long / 100},
    }


def write_seeds(write, short=(8, 10, 12), long=(1, -1, 3)):
    """Runs in `seed_0`, `seed_2` and `seed_10`; what `summarise` makes of them."""
    runs = []
    for seed, *gains in zip((0, 2, 10), short, long, strict=True):
        folder = write(f"seed_{seed}", seed=seed, asked={"seed": seed}, arms=arms_of(*gains))
        runs.append(json.loads((folder / "results.json").read_text()))
    return summarise(runs)


def test_several_seeds_have_means_and_intervals(write, tmp_path):
    table = write_seeds(write)
    path = save_report(tmp_path, command="python -m rotnet_keras --num-seeds 3")
    assert path == tmp_path / "report.html"

    def cell(name):
        return f"{table.loc[name, 'mean']:.1f} ± {table.loc[name, 'ci95']:.1f}"

    assert cell("gain, long") == "1.0 ± 5.0"  # Student's t, 4.303, times 2 / sqrt(3)
    names = dict(zip(("frozen", "scratch", "fine_tuned"), ARMS, strict=True))
    rows = tables(path)["Accuracy on the test images"]
    assert [row[0] for row in rows[1:-1]] == ARMS
    for (arm, name), row in zip(names.items(), rows[1:-1], strict=True):
        assert row[0] == name
        assert row[2:] == [cell(f"{arm}, {budget}") for budget in ("short", "long")]
    assert rows[-1] == [GAIN, "about 15", "+10.0 ± 5.0", "+1.0 ± 5.0"]
    assert key(path)["rotations told apart"] == "98.0 ± 0.0%"
    text = said(path)
    assert (
        "After short training, fine-tuning reaches 70.0% of the test images and training from "
        "scratch 60.0%; paired by seed, the difference is +10.0 ± 5.0 points, an interval that "
        "leaves out zero." in text
    )
    assert (
        "the difference is +1.0 ± 5.0 points, an interval that holds zero: no clear difference."
        in text
    )
    assert "Means of 3 seeds and 95% intervals" in text
    assert "One run, with seed" not in text
    assert "num-seeds 3 In Python, for seed 0:" in text
    assert "in a folder of its own: seed_0, seed_2, seed_10" in text
    columns = [f"{arm}, {budget}" for arm in ARMS for budget in ("short", "long")]
    assert tables(path)["Percent"] == [
        ["seed", "rotations", *columns],
        ["0", "98.0", "40.0", "60.0", "60.0", "80.0", "68.0", "81.0"],
        ["2", "98.0", "40.0", "60.0", "60.0", "80.0", "70.0", "79.0"],
        ["10", "98.0", "40.0", "60.0", "60.0", "80.0", "72.0", "83.0"],
    ]
    assert '<a href="seed_0/explorer.html">' in source(path)


@pytest.mark.parametrize(
    ("long", "interval"),
    [
        ((-9, -10, -11), "\N{MINUS SIGN}10.0 ± 2.5 points, an interval that leaves out zero"),
        ((0, 0, 0), "0.0 ± 0.0 points, an interval that holds zero: no clear difference"),
        ((-3, 1, -1), "\N{MINUS SIGN}1.0 ± 5.0 points, an interval that holds zero: no clear"),
    ],
)
def test_an_interval_is_told_as_it_is(write, tmp_path, long, interval):
    write_seeds(write, long=long)
    assert f"the difference is {interval}" in said(save_report(tmp_path))


def test_chosen_seeds(write, tmp_path):
    write_seeds(write)
    (tmp_path / "seed_notes").mkdir()
    path = save_report(tmp_path, seeds=np.array([10, 2]))
    assert [row[0] for row in tables(path)["Percent"]] == ["seed", "10", "2"]
    one = save_report(tmp_path, seeds=[2])
    assert "One run, with seed 2" in said(one)
    assert "Each seed" not in said(one)
    with pytest.raises(ValueError, match=r"folder must hold results\.json .* got .*seed_3, where"):
        save_report(tmp_path, seeds=[2, 3])


def test_a_run_in_the_folder_itself_comes_first(write, tmp_path):
    write_seeds(write)
    write(seed=7)
    assert "One run, with seed 7" in said(save_report(tmp_path))


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"asked": {"seed": 1, "num_labels": 50}}, "num_labels"),
        ({"asked": {"seed": 1, "quick": True, "fit": "pad"}}, "fit, quick"),
        ({"asked": {"seed": 1, "explorer": True}}, "explorer"),
    ],
)
def test_runs_that_differ_in_more_than_their_seed_are_refused(write, tmp_path, changes, names):
    write("seed_0", seed=0, asked={"seed": 0})
    write("seed_1", seed=1, **changes)
    with pytest.raises(
        ValueError, match=rf"by their seed alone, got seed_0 and seed_1 with other {names}$"
    ):
        save_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_runs_of_other_arms_are_refused(write, tmp_path):
    write("seed_0", seed=0, asked={"seed": 0})
    write("seed_1", seed=1, asked={"seed": 1}, arms=WITH_GIVEN)
    with pytest.raises(ValueError, match=r"folder must hold .*runs with the same arms, got"):
        save_report(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "3",
        lambda text: "{}",
        lambda text: "\udcff",
        lambda text: text.replace("0.9804", "NaN"),
        lambda text: text.replace("0.9804", "98.04"),
        lambda text: text.replace('"asked"', '"was asked"'),
        lambda text: text.replace('"image_shape": [28, 28, 1]', '"image_shape": [28, 28]'),
        lambda text: text.replace('"num_unlabelled": 49000', '"num_unlabelled": "many"'),
        lambda text: text.replace('"seconds": {', '"seconds": 3, "others": {'),
        lambda text: re.sub('"asked": {[^}]*}', '"asked": 3', text),
        lambda text: re.sub('"asked": {[^}]*}', '"asked": {"dataset": null, "x": 1}', text),
    ],
)
def test_damaged_results_are_refused_by_name_and_the_page_stays(write, damage):
    folder = write()
    (folder / "report.html").write_text("earlier")
    numbers = folder / "results.json"
    damaged = damage(numbers.read_text())
    numbers.write_bytes(damaged.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"folder must hold results\.json .*got ") as refusal:
        save_report(folder)
    assert str(folder) in str(refusal.value)
    assert (folder / "report.html").read_text() == "earlier"


def test_a_folder_without_results_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match=r"folder must hold results\.json of run_experiment, "):
            save_report(folder)
    assert not list(tmp_path.iterdir())


def test_an_earlier_page_stays_until_the_new_one_is_there(write, monkeypatch):
    folder = write()
    (folder / "report.html").write_text("earlier")
    files = {path.name for path in folder.iterdir()}

    def full(*_):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match=r"report\.html cannot be written: No space left"):
            save_report(folder)
    assert (folder / "report.html").read_text() == "earlier"
    save_report(folder)
    assert source(folder / "report.html").startswith("<!DOCTYPE html>")
    assert {path.name for path in folder.iterdir()} == files


def test_names_stay_text(write):
    names = {"dataset": NASTY, "backbone": NASTY, "asked": {"dataset": STRAY, "backbone": NASTY}}
    path = save_report(write(skipped=[NASTY], **names), command=NASTY + STRAY)
    text = source(path)
    assert NASTY not in text
    assert text.count(html.escape(NASTY)) >= 7  # title, heading, classes, network, file, command
    assert "caf\\udce9" in text


SIZES = [{"width": 1200}, {"width": 390, "height": 780, "is_mobile": True, "has_touch": True}]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: str(size["width"]))
@pytest.mark.parametrize("several", [False, True])
def test_the_page_in_a_browser(write, tmp_path, open_page, several, size, scheme):
    long = f"{NASTY}{STRAY}" + "a_long_name_without_a_space" * 5
    if several:
        write_seeds(write, long=(19, -50, 3))
        path = save_report(tmp_path, command=f"python -m rotnet_keras --images {long}")
    else:
        asked = {"dataset": f"/pictures/{long}"}
        folder = write(dataset=long, skipped=[long], arms=WITH_GIVEN, stand_in=True, asked=asked)
        (folder / "model.png").unlink()
        (folder / "model.txt").write_text("│ " + "conv1 (Conv2D) " * 9 + "│\n", encoding="utf-8")
        path = save_report(folder)
    opened = open_page(path, color_scheme=scheme, **size)
    for details in opened.locator("details").all():
        details.locator("summary").click()
    shown, whole = opened.evaluate(
        "[document.documentElement.clientWidth, document.documentElement.scrollWidth]"
    )
    assert shown == size["width"]
    assert whole <= shown
    program = "[...document.querySelectorAll('.key dd')].map(d => d.clientWidth - d.scrollWidth)"
    assert opened.evaluate(program) == [0, 0, 0, 0]  # no figure runs out of its box
    widths = opened.evaluate(
        "Promise.all([...document.images].map(i => i.decode().then(() => i.naturalWidth)))"
    )
    assert len(widths) == (6 if several else 5)
    assert min(widths) >= 60
    assert opened.evaluate("document.scripts.length") == 0
    assert NASTY in opened.locator("p", has_text="Classes:").inner_text()
    assert opened.locator("img[src=x]").count() == 0
    light = opened.evaluate(
        "getComputedStyle(document.body).backgroundColor === 'rgb(255, 255, 255)'"
    )
    assert light == (scheme == "light")
