"""From the options of a job to the call of the library, and what is printed and written."""

import importlib.util
import io
import shutil
import sys

import keras
import main_job
import numpy as np
import pandas as pd
import pytest
from main_job import RESULTS

from rotnet_keras import attach_head, familiar_from, save_classifier, two_conv_extractor
from rotnet_keras._base.errors import FileError
from rotnet_keras.cli.main import main
from rotnet_keras.cli.picture_jobs import _counted
from rotnet_keras.jobs import experiment, pretraining

calls = pytest.fixture(main_job.calls)


def test_options_reach_the_experiment(calls, capsys, tmp_path):
    options = "--dataset mnist --num-labels 50 --num-validation 700 --seed 4 --quick --output"
    options = [*options.split(), str(tmp_path), "--data-dir", "d", "--manual-dir", "m"]
    assert main(options) == 0
    wanted = {"dataset": "mnist", "num_labels": 50, "num_validation": 700, "seed": 4, "quick": True}
    wanted |= {"image_size": None, "fit": "crop", "channels": None, "broken": "raise"}
    wanted |= {"ground": 255, "white": None}
    wanted |= {"repeats": "raise", "parts": "any", "follow_links": False}
    wanted |= {"backbone": None, "weights": None, "layer": None, "skip_finished": False}
    wanted |= {"minutes": None}
    wanted |= {"output": tmp_path, "data_dir": "d", "manual_dir": "m"}
    assert calls == [wanted | {"explorer": False, "tensorboard": None}]
    printed = capsys.readouterr().out
    figures = "from 1,000 labels: from scratch 80.0%, fine-tuned 80.0%, self-trained 85.7%."
    assert figures in " ".join(printed.split())
    assert "Use classifier.keras, which is self-trained (fit_few_labels)" in printed
    command = (
        f"    python -m rotnet_keras predict --model {tmp_path}/classifier.keras NEW_PICTURES\n"
    )
    assert command in printed
    assert "--quick run" in printed
    assert "STAND-IN" not in printed
    report = tmp_path / "report.html"
    assert f"Written to {tmp_path}; the report: {report}\n" in printed
    assert f"python -m rotnet_keras {' '.join(options)}</pre>" in report.read_text()


def test_defaults(calls):
    assert main([]) == 0
    wanted = {"dataset": None, "num_labels": 1000, "seed": 0, "quick": False}
    assert wanted.items() <= calls[0].items()
    assert str(calls[0]["output"]) == "results"


def test_own_pictures_and_a_backbone(calls, capsys, tmp_path):
    options = "--image-size 48 --fit pad --channels 1 --broken skip --backbone VGG16"
    options += " --weights imagenet --layer pool --repeats keep --parts named --follow-links"
    pictures = tmp_path / "pictures"
    for name in ("cat", "dog"):
        (pictures / name).mkdir(parents=True)
        for number in range(3):
            (pictures / name / f"{number}.png").touch()
    assert main(["--images", str(pictures), *options.split(), "--output", str(tmp_path)]) == 0
    # A path is no name of a data set in any case.
    wanted = {"dataset": pictures, "num_labels": None, "num_validation": None, "image_size": 48}
    wanted |= {"fit": "pad", "channels": 1, "broken": "skip", "backbone": "VGG16"}
    wanted |= {"weights": "imagenet", "layer": "pool"}
    wanted |= {"repeats": "keep", "parts": "named", "follow_links": True}
    assert wanted.items() <= calls[0].items()
    assert "blog" not in capsys.readouterr().out  # which had other images
    with pytest.raises(SystemExit):
        main(["--images", "a", "--dataset", "b"])


def test_an_explorer_and_a_board_are_asked_for(calls):
    assert main(["--explorer", "--tensorboard", "board"]) == 0
    assert (calls[0]["explorer"], str(calls[0]["tensorboard"])) == (True, "board")


def test_pretraining_takes_a_board(monkeypatch, tmp_path):
    seen = {}

    def record(dataset, **options):
        seen.update(options)
        return {"history": {"accuracy": [0.5]}, "images_per_second": None}

    monkeypatch.setattr(pretraining, "run_pretraining", record)
    for board, options in ((None, []), ("board", ["--tensorboard", "board"])):
        assert main(["pretrain", "--output", str(tmp_path), *options]) == 0
        assert seen["tensorboard"] == board


def test_without_tensorboard_it_is_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    find = importlib.util.find_spec

    def find_others(name, *arguments):
        return None if name == "tensorboard" else find(name, *arguments)

    monkeypatch.setattr(importlib.util, "find_spec", find_others)
    for job in ([], ["pretrain"]):
        assert main([*job, "--tensorboard", "board"]) == 2
        said = "rotnet_keras: --tensorboard needs the package tensorboard, which is not installed"
        assert capsys.readouterr().err == f"{said}: pip install tensorboard\n"
    assert not list(tmp_path.iterdir())


@pytest.fixture
def classifier(tmp_path):
    """A classifier of two classes and a folder of three pictures, one of them in a folder."""
    (tmp_path / "new" / "=a, b").mkdir(parents=True)
    for name in ("1.png", "2.png", "=a, b/3.png"):
        keras.utils.save_img(tmp_path / "new" / name, np.zeros((20, 30, 3)), scale=False)
    model = attach_head(two_conv_extractor((12, 12, 1)), 2)
    save_classifier(model, tmp_path / "classifier.keras", ["cat", 'dog, "big"'])
    return tmp_path


def predict(folder, *options):
    model = ["--model", str(folder / "classifier.keras"), str(folder / "new")]
    return main(["predict", *model, "--output", str(folder / "said.csv"), *options])


def test_predict_writes_a_table(classifier, capsys):
    assert predict(classifier) == 0
    assert "3 pictures, written to " in capsys.readouterr().out
    table = pd.read_csv(classifier / "said.csv")
    told = ["class", "probability", "runner_up", "runner_up_probability"]
    assert table.columns.tolist() == ["file", *told]
    assert (table["class"] != table["runner_up"]).all()
    assert np.allclose(table["probability"] + table["runner_up_probability"], 1)
    assert table["file"].tolist() == ["1.png", "2.png", "./=a, b/3.png"]
    assert set(table["class"]) <= {"cat", 'dog, "big"'}
    assert table["probability"].between(0.5, 1).all()


def test_predict_counts_classes_and_strange_pictures(classifier, capsys):
    images = np.random.default_rng(0).integers(0, 256, (8, 12, 12, 1), "uint8")
    path = classifier / "classifier.keras"
    model = keras.models.load_model(path)
    familiar = familiar_from(model, images[:4], images[4:])
    save_classifier(model, path, ["cat", "dog"], familiar=familiar)
    keras.utils.save_img(classifier / "new" / "2.png", np.tile(images[0], 3), scale=False)
    assert predict(classifier) == 0
    table = pd.read_csv(classifier / "said.csv")
    assert table["unlike"].tolist() == [True, False, True]
    counts, strange, written = capsys.readouterr().out.splitlines()[-3:]
    told = table["class"].value_counts()
    assert counts == ", ".join(f"{number} {name}" for name, number in told.items())
    assert strange.startswith("2 look like none of the pictures in training, so that their class")
    assert written == f"3 pictures, written to {classifier / 'said.csv'}"


def test_many_classes_are_no_long_line():
    counts = pd.Series({f"class {i}": 100 - i for i in range(23)})
    said = _counted(counts)
    assert said.startswith("100 class 0, 99 class 1, ")
    assert said.endswith("81 class 19, 237 of 3 other classes")
    assert _counted(counts.head(2)) == "100 class 0, 99 class 1"


def test_predict_lists_what_it_cannot_read_and_keeps_the_last_table(classifier, capsys):
    (classifier / "said.csv").write_text("earlier")
    for name in ("1.png", "2.png"):
        (classifier / "new" / name).write_bytes(b"broken")
    assert predict(classifier) == 2
    first, *files = capsys.readouterr().err.splitlines()
    assert first.startswith("rotnet_keras: 2 of 3 pictures cannot be read")
    assert [file.split(": ")[0].rsplit("/", 1)[1] for file in files] == ["1.png", "2.png"]
    assert (classifier / "said.csv").read_text() == "earlier"
    with pytest.warns(UserWarning, match="2 of 3 pictures"):
        assert predict(classifier, "--broken", "skip") == 0
    assert len(pd.read_csv(classifier / "said.csv")) == 1


def test_predict_before_any_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new").mkdir()
    assert main(["predict", "new"]) == 2
    said = capsys.readouterr().err
    assert "got results/classifier.keras, and there is no such file; `python -m rotnet" in said


def test_predict_looks_at_the_output_before_the_work(classifier, capsys, monkeypatch):
    monkeypatch.setattr("rotnet_keras.prediction.load_classifier", None)
    (classifier / "said.csv").mkdir()
    assert predict(classifier) == 2
    assert "said.csv cannot be written: it must be a file, got a folder" in capsys.readouterr().err


def test_odd_names_reach_no_terminal(classifier, monkeypatch, capsys):
    """Neither codes that colour it, nor letters that it does not have, which would be a fault."""
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    output = classifier / "na\u00efve\x1b[31m" / "\udcff.csv"
    assert predict(classifier, "--output", str(output)) == 0
    sys.stdout.flush()
    said = sys.stdout.buffer.getvalue().decode("ascii")
    assert said.endswith(r"na\xefve\x1b[31m/\udcff.csv" + "\n")
    assert len(output.read_text().splitlines()) == 4
    shutil.rmtree(classifier / "new")
    (classifier / "new\x1b[31m").mkdir()
    model = str(classifier / "classifier.keras")
    assert main(["predict", "--model", model, str(classifier / "new\x1b[31m")]) == 2
    said = capsys.readouterr().err
    assert r"new\x1b[31m holds no pictures" in said
    assert "\x1b" not in said


def test_predict_without_a_classifier_or_pictures(classifier, capsys):
    (classifier / "classifier.json").unlink()
    assert predict(classifier) == 2
    assert "needs the names of its classes" in capsys.readouterr().err
    (classifier / "classifier.keras").write_bytes(b"torn")
    assert predict(classifier) == 2
    assert "cannot be loaded" in capsys.readouterr().err


def test_several_seeds_get_folders_of_their_own(calls, tmp_path, capsys):
    options = ["--num-seeds", "3", "--seed", "5", "--tensorboard", "board"]
    assert main([*options, "--output", str(tmp_path)]) == 0
    assert [call["seed"] for call in calls] == [5, 6, 7]
    assert [call["output"].name for call in calls] == ["seed_5", "seed_6", "seed_7"]
    boards = [f"board/seed_{seed}" for seed in (5, 6, 7)]
    assert [call["tensorboard"].as_posix() for call in calls] == boards
    printed = capsys.readouterr().out
    assert f"the report: {tmp_path / 'report.html'}\n" in printed
    assert "fine_tuned, long   75.0  80.0" in printed
    assert "Means of 3 seeds" in (tmp_path / "report.html").read_text()
    rows = pd.read_csv(tmp_path / "seeds.csv")
    assert len(rows) == 3
    assert rows["rotation"].between(0, 1).all()
    for seed in (5, 6, 7):
        assert f"One run, with seed {seed}" in (tmp_path / f"seed_{seed}/report.html").read_text()


def test_the_report_of_all_seeds_is_of_the_seeds_asked_for(calls, tmp_path):
    options = ["--output", str(tmp_path), "--num-seeds"]
    assert main([*options, "3"]) == 0
    assert main([*options, "2"]) == 0
    assert "Means of 2 seeds" in (tmp_path / "report.html").read_text()


def test_a_report_of_all_seeds_goes_when_one_has_new_results(calls, tmp_path, monkeypatch):
    options = ["--output", str(tmp_path), "--num-seeds", "2"]
    assert main(options) == 0
    record = experiment.run_experiment

    def fail_second(dataset, **options):
        if options["seed"] == 1:
            raise FileError("disk full")
        return record(dataset, **options)

    monkeypatch.setattr(experiment, "run_experiment", fail_second)
    assert main(options) == 2
    assert not (tmp_path / "report.html").exists()
    assert main(options[:2]) == 0
    assert main(options) == 2
    assert "One run, with seed 0" in (tmp_path / "report.html").read_text()


def test_stand_in_is_said_loudly(calls, capsys, monkeypatch):
    monkeypatch.setitem(RESULTS, "stand_in", True)
    assert main([]) == 0
    assert "*** STAND-IN GARMENTS" in capsys.readouterr().out
