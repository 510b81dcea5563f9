"""The report of one run: its figures, its sentences, and what is not in it."""

import base64
import html
import io
import os
import re

import numpy as np
import pytest
import report_pages
from PIL import Image
from report_pages import ACCURACIES, ARMS, GAIN, NASTY, STRAY, Report, arms_of, with_given

from rotnet_keras import save_report

write, report = pytest.fixture(report_pages.write), pytest.fixture(report_pages.report)


WITH_IMAGES = "all layers, with unlabelled images"
CHANCE = "which may be chance: with 10,000 test images, up to"


def test_figures_of_one_run(report):
    page = report()
    assert page.path.name == "report.html"
    assert page.key == {
        "rotations predicted right": "98.0%",
        "from scratch, long training": "82.8%",
        "fine-tuned, long training": "83.2%",
        "self-trained on all images": "85.7%",
        "fine-tuned minus from scratch, points": "+0.4",
    }
    pretraining, random = "pretraining on rotations", "random weights"
    stages = [["data", "1.5"], ["pretraining", "1200.0"], ["map", "30.0"], ["classifiers", "90.1"]]
    stages.append(["recipe", "80.5"])
    settings = [["dataset", "fashion_mnist"], ["backbone", "two_conv"], ["num labels", "1000"]]
    assert page.tables == {
        ACCURACIES: [
            ["arm", "the blog", "short training", "long training"],
            [ARMS[0], "about 40", "40.0", "60.1"],
            [ARMS[1], "about 60", "62.1", "82.8"],
            [ARMS[2], "about 75", "72.1", "83.2"],
            [GAIN, "about 15", "+10.0", "+0.4"],
        ],
        "Start": [
            ["arm", "starts from", "trains", "short", "long"],
            [ARMS[0], pretraining, "a new head alone", "3", "93"],
            [ARMS[1], random, "all layers", "3", "205"],
            [ARMS[2], pretraining, "all layers and a new head", "3", "121"],
            ["self-trained", pretraining, WITH_IMAGES, "", "1,500 updates"],
        ],
        "Settings": [*settings, ["seed", "7"]],
        "Seconds of the last start": [*stages, ["pictures and files", "4.0"]],
        "Versions": [["python", "3.11.9"], ["keras", "3.15.0"]],
    }


def test_figures_of_uneven_classes(report, results):
    balanced = {arm: {"short": 0.25, "long": 0.5} for arm in results["arms"]}
    tables = report(balanced=balanced).tables
    (caption,) = [name for name in tables if name.startswith("The same where each class counts")]
    rows = [[arm, "25.0", "50.0"] for arm in ARMS]
    assert tables[caption] == [["arm", "short training", "long training"], *rows]


SENTENCES = (
    "fashion_mnist: 28 × 28 pixels, grey. 49,000 images were used without labels, 1,000 with "
    "them; 10,000 others, the validation images, said when to stop, and each classifier was "
    "measured once on 10,000 others, the test images.",
    "A network first learnt to predict how far 49,000 unlabelled images had been rotated; then "
    "classifiers were made from 1,000 labels.",
    "Classes: Bag, <img src=x onerror=alert(1)>, caf\\udce9.",
    "After 10 passes over the images it names the rotation of 98.0% of the test images",
    "The blog post that this run follows reports about 97%.",
    "The network: two_conv, 17,616 parameters, which ends in 16 features of an image.",
    "After short training, fine-tuning reaches 72.1% of the test images and training from scratch "
    "62.1%: pretraining is 10.0 points ahead.",
    "After long training, fine-tuning reaches 83.2% of the test images and training from scratch "
    f"82.8%: pretraining is 0.4 points ahead, {CHANCE} 1.0 points are.",
    "The recipe, fit_few_labels, which also trains itself on the unlabelled images, reaches 85.7%.",
    "Use classifier.keras, which is self-trained (fit_few_labels): it was best on the 10,000 "
    "validation images, or as good within chance, and right for 85.7% of the test images.",
    "It is self-trained (fit_few_labels): classifier.keras, in the folder of this run.",
    "The blog post of 2020 had Fashion-MNIST and 1,000 labels, and does not say",
    "The command: python -m rotnet_keras --seed 7 In Python: import rotnet_keras as rk "
    "rk.run_experiment('fashion_mnist', num_labels=1000, seed=7)",
    "One run, with seed 7: another seed",
    "Seconds of the last start: 1,406",
)


def test_sentences_of_one_run(report):
    text = report(command="python -m rotnet_keras --seed 7").said
    assert [sentence for sentence in SENTENCES if sentence not in text] == []


def test_pictures_are_within_the_page(report):
    page = report()
    folder, text = page.path.parent, page.source
    stored = re.findall(r'<img src="data:image/png;base64,([^"]+)"', text)
    assert len(stored) == len(report_pages.PICTURES)
    stored = {base64.b64decode(one) for one in stored}
    assert stored == {(folder / f"{name}.png").read_bytes() for name in report_pages.PICTURES}
    shades = {np.asarray(Image.open(io.BytesIO(one))).shape for one in stored}
    assert shades == {(20, 60 + i, 3) for i in range(6)}
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
def test_the_blogs_figures_stand_beside_its_data_alone(report, changes, told):
    page = report("results", **changes)
    said = page.said.replace(page.path.parent.as_posix(), "")  # which names this test
    assert ("blog" in said) == told
    head = page.tables[ACCURACIES][0]
    assert head == ["arm", *["the blog"] * told, "short training", "long training"]


@pytest.mark.parametrize(
    ("long", "how"),
    [(0.85, "5.0 points more than"), (0.8, "as many as"), (0.75, "5.0 points fewer than")],
)
def test_arms_with_given_weights(report, long, how):
    asked = {"backbone": "VGG16", "weights": "imagenet"}
    page = report(arms=with_given(long), backbone="VGG16", asked=asked)
    assert page.tables[ACCURACIES][4:6] == [
        ["given weights, frozen, new head", "50.0", "70.0"],
        ["given weights, fine-tuned", "90.0", f"{100 * long:.1f}"],
    ]
    assert f"with long training, it is {100 * long:.1f}%, {how} after pretraining" in page.said
    assert "The given weights: VGG16 with imagenet." in page.said
    assert "blog" not in page.said  # it has no such arms
    assert page.tables["Start"][4][1] == "the given weights"


def test_a_network_of_the_users_is_named(report):
    in_memory = ["dataset", "backbone"]
    text = report(
        arms=with_given(), backbone="net", in_memory=in_memory, asked={"backbone": "two_conv"}
    ).said
    assert "The given weights: those of net." in text
    assert "# dataset: " not in text
    assert "# splits: what was in memory then, by the name of 'fashion_mnist'" in text
    assert "# network: what was in memory then, by the name of 'two_conv'" in text
    assert "rk.run_experiment(splits, backbone=network, num_labels=1000, seed=7)" in text


def test_a_network_in_memory_is_in_the_call(report):
    call = "rk.run_experiment('fashion_mnist', backbone=network, num_labels=1000, seed=7)"
    assert call in report(asked={"backbone": "net"}, in_memory=["backbone"]).said


@pytest.mark.parametrize(
    ("removed", "gone"),
    [
        (["umap.png"], ["laid out by UMAP", "Map of images, coloured by class"]),
        (["explorer.html"], ["explorer.html"]),
        (["umap.png", "explorer.html"], ["What it learnt", "explorer.html", "UMAP"]),
        (["model.png"], ["The layers", "Diagram of the network"]),
        (["rotations.png"], ["in its four rotations"]),
        (["accuracies.png"], ["Bars of the accuracies"]),
        (["training.png"], ["Curves of accuracy"]),
        (["confusion.png"], ["Table of true classes"]),
        (["classifier.json"], ["Classes:", "Use the classifier", "rotnet_keras predict"]),
        (["classifier.keras"], ["Use the classifier", "rotnet_keras predict"]),
    ],
)
def test_what_the_run_did_not_write_is_not_in_the_page(report, removed, gone):
    page = report()
    for name in removed:
        (page.path.parent / name).unlink()
    before, after = page.source, save_report(page.path.parent).read_text(encoding="utf-8")
    for piece in gone:
        assert piece in before
        assert piece not in after


UNLIKE = "had Fashion-MNIST and 1,000 labels, unlike this run"
GARMENTS = {"asked": {"dataset": "garments"}, "dataset": "garments"}


@pytest.mark.parametrize(
    ("without", "with_it", "piece"),
    [
        ({}, {"num_labels": 200}, UNLIKE),
        ({}, GARMENTS, UNLIKE),
        ({}, {"skipped": ["a.png"]}, "1 file could not be read and was left out"),
        ({}, {"arms": with_given()}, "given weights"),
        ({}, {"stand_in": True}, "Stand-in garments: these images were drawn by the program"),
        ({}, {"quick": True}, "A quick run: too little data"),
        ({}, {"quick": True}, "here at most 10 epochs"),
        ({}, {"num_test": 50}, "One test image is worth 2.0 points: between two arms, up to 15"),
        ({"num_test": 1000}, {"num_test": 999}, "One test image is worth 0.1 points"),
        ({"seconds": None}, {}, "Seconds of the last start"),
        ({"versions": None}, {}, "Versions python 3.11"),
    ],
)
def test_what_the_run_did_not_do_is_not_in_the_page(report, without, with_it, piece):
    assert piece not in report(**without).said
    assert piece in report("with it", **with_it).said


def test_the_call_and_the_commands_can_be_typed_again(report):
    """The classifier's place is written as the folder's was, as the terminal writes it."""
    page = report("deep/my results", asked={"minutes": 2.5})
    model = (page.path.parent / "classifier.keras").as_posix()
    assert f"--model '{model}' new_pictures" in page.said
    assert f"load_model('{model}')" in page.said
    assert "rk.run_experiment('fashion_mnist', num_labels=1000, seed=7, minutes=2.5)" in page.said


def test_a_command_is_said_where_there_is_one(report):
    assert "The command:" not in report().said
    typed = report(command="python -m rotnet_keras --images 'a <b>'").said
    assert "The command: python -m rotnet_keras --images 'a <b>' In Python" in typed


def test_the_layers_as_text(write):
    folder = write(pictures=())
    (folder / "model.txt").write_text("│ conv1 <x> │\n│ conv2 │\n", encoding="utf-8")
    text = Report(save_report(folder)).source
    assert "<pre>│ conv1 &lt;x&gt; │\n│ conv2 │\n</pre>" in text
    assert "<img" not in text.replace(html.escape(NASTY), "")


def test_files_that_were_left_out_are_listed_up_to_twenty(report):
    text = report(skipped=[f"{number}_{STRAY}.png" for number in range(23)]).said
    assert "23 files could not be read and were left out" in text
    assert "0_caf\\udce9.png 1_caf\\udce9.png" in text
    assert "19_caf\\udce9.png and 3 more." in text
    assert "20_caf" not in text
    few = report("few", skipped=["b.png", "c.png"]).said
    assert "2 files could not be read and were left out b.png c.png The task" in few


@pytest.mark.parametrize(
    ("points", "gain", "sentence"),
    [
        (-5, "\N{MINUS SIGN}5.0", "pretraining is 5.0 points behind."),
        (
            -1,
            "\N{MINUS SIGN}1.0",
            f"pretraining is 1.0 point behind, {CHANCE} 1.1",
        ),
        (0, "0.0", "no difference."),
        (0.04, "0.0", "no difference."),
        (-0.04, "0.0", "no difference."),
        (1, "+1.0", f"pretraining is 1.0 point ahead, {CHANCE} 1.1"),
        (15, "+15.0", "pretraining is 15.0 points ahead."),
    ],
)
def test_a_gain_is_told_as_it_is(report, points, gain, sentence):
    page = report(arms=arms_of(long=points))
    assert page.tables[ACCURACIES][-1][-1] == page.key[GAIN] == gain
    assert f"from scratch 80.0%: {sentence}" in page.said


@pytest.mark.parametrize(
    ("found", "damaged"),
    [
        ("(?s).+", ""),
        ("(?s)^(.{500}).*", r"\1"),
        ("(?s).+", "[]"),
        ("(?s).+", "3"),
        ("(?s).+", "{}"),
        ("(?s).+", "\udcff"),
        ("0.9804", "NaN"),
        ("0.9804", "98.04"),
        ('"asked"', '"was asked"'),
        (r'"image_shape": \[28, 28, 1\]', '"image_shape": [28, 28]'),
        ('"num_unlabelled": 49000', '"num_unlabelled": "many"'),
        ('"seconds": {', '"seconds": 3, "others": {'),
        ('"asked": {[^}]*}', '"asked": 3'),
        ('"asked": {[^}]*}', '"asked": {"dataset": null, "x": 1}'),
    ],
)
def test_damaged_results_are_refused_by_name_and_the_page_stays(write, found, damaged):
    folder = write()
    (folder / "report.html").write_text("earlier")
    numbers = folder / "results.json"
    text, count = re.subn(found, damaged, numbers.read_text())
    assert count == 1
    numbers.write_bytes(text.encode("utf-8", "surrogateescape"))
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
    assert Report(save_report(folder)).source.startswith("<!DOCTYPE html>")
    assert {path.name for path in folder.iterdir()} == files


def test_names_stay_text(report):
    names = {"dataset": NASTY, "backbone": NASTY, "asked": {"dataset": STRAY, "backbone": NASTY}}
    text = report(skipped=[NASTY], command=NASTY + STRAY, **names).source
    assert NASTY not in text
    assert text.count(html.escape(NASTY)) >= 7  # title, heading, classes, network, file, command
    assert "caf\\udce9" in text
