import functools
import importlib.util
import json
import subprocess
import sys
import warnings

import keras
import numpy as np
import pandas as pd
import pytest

from rotnet_keras import (
    DatasetError,
    InputError,
    attach_head,
    save_classifier,
    two_conv_extractor,
)
from rotnet_keras._base.errors import FileError
from rotnet_keras.cli.main import main
from rotnet_keras.cli.options import read_options
from rotnet_keras.cli.typed import in_options
from rotnet_keras.jobs import experiment, pretraining

RESULTS = {
    "rotation_accuracy": 0.975,
    "stand_in": False,
    "num_labels": 1000,
    "arms": {arm: {"short": 0.6, "long": 0.8} for arm in ("scratch", "frozen", "fine_tuned")},
}


@pytest.fixture
def calls(monkeypatch, results, tmp_path):
    """Stand in for the experiment itself, and keep what the command line made of its options."""
    monkeypatch.chdir(tmp_path)  # where "results" is the default
    seen = []

    @functools.wraps(experiment.run_experiment)  # whose options the report knows
    def record(dataset, **options):
        seen.append({"dataset": dataset, **options})
        seed = {"seed": options["seed"]}
        written = results | RESULTS | seed | {"asked": results["asked"] | seed}
        options["output"].mkdir(parents=True, exist_ok=True)
        (options["output"] / "results.json").write_text(json.dumps(written))
        return RESULTS

    monkeypatch.setattr(experiment, "run_experiment", record)
    return seen


def shown(*arguments):
    """What the whole command prints."""
    command = [sys.executable, "-m", "rotnet_keras", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_help_explains_each_option_and_names_each_job():
    text = shown("--help")
    for option in ("--dataset", "--num-labels", "--seed", "--output", "--data-dir", "--quick"):
        assert option in text
    for word in ("stand-in", "default: 1000", "default: results", "95% interval"):
        assert word in text
    for old in OLD_SPELLINGS["run"]:
        assert f"{old} " not in text
    lines = [line.split() for line in text[text.index("other jobs:") :].splitlines()]
    named = [words[0] for words in lines if words[1:] and words[0] in ("run", *jobs_with_help())]
    assert named == jobs_with_help()  # the main job needs no name


def jobs_with_help():
    return ["pretrain", "study", "predict"]


def test_help_is_quick():
    """Nothing that takes seconds is imported before a job begins."""
    program = "import sys, rotnet_keras.cli.main; print({*sys.modules} & {'keras', 'tensorflow'})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("called", "name"),
    [
        ("/usr/lib/rotnet_keras/__main__.py", "python -m rotnet_keras"),
        ("/usr/bin/rotnet-keras", "rotnet-keras"),
        ("rotnet-keras.exe", "rotnet-keras"),
    ],
)
def test_it_is_called_what_was_typed(calls, monkeypatch, capsys, called, name):
    monkeypatch.setattr(sys, "argv", [called])
    for job in ([], *([job] for job in jobs_with_help())):
        with pytest.raises(SystemExit):
            main([*job, "--help"])
        assert capsys.readouterr().out.startswith(f"usage: {' '.join([name, *job])} [")
    assert main(["--seed", "3"]) == 0
    with open("results/report.html", encoding="utf-8") as report:
        assert f"<pre>{name} --seed 3</pre>" in report.read()


def test_the_main_job_has_a_name_and_needs_none(calls):
    assert main(["--seed", "3", "--num-labels", "50"]) == 0
    assert main(["run", "--seed", "3", "--num-labels", "50"]) == 0
    assert calls[0] == calls[1]
    assert main(["--images", "study"]) == 0  # a value, not a job
    assert calls[2]["dataset"].name == "study"


@pytest.mark.parametrize("job", ["run", "pretrain", "study", "predict"])
def test_a_job_comes_first(calls, capsys, job):
    """Options before it would be the main job's."""
    with pytest.raises(SystemExit) as stop:
        main(["--seed", "3", job, *(["folder"] if job == "predict" else [])])
    assert stop.value.code == 2
    assert f"{job} must come first, before its options" in capsys.readouterr().err
    assert calls == []


@pytest.mark.parametrize("job", ["run", "pretrain", "study", "predict"])
def test_an_unknown_option_is_answered_by_the_jobs_own(calls, capsys, job):
    with pytest.raises(SystemExit) as stop:
        main([job, *(["folder"] if job == "predict" else []), "--no-such-option", "5"])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"usage: python -m rotnet_keras {job} [-h]")
    assert said.endswith("error: unrecognized arguments: --no-such-option 5\n")
    assert calls == []


# Each with its value, and what it is called now. To be removed after the next release.
OLD_SPELLINGS = {
    "run": {
        "--size": ("48", "--image-size 48"),
        "--labels": ("50", "--num-labels 50"),
        "--validation": ("70", "--num-validation 70"),
        "--cut": ("pool", "--layer pool"),
        "--grey": (None, "--channels 1"),
        "--network": ("VGG16", "--backbone VGG16"),
    },
    "pretrain": {
        "--size": ("48", "--image-size 48"),
        "--backbone": ("nin4", "--network nin4"),
    },
    "study": {
        "--validation": ("70", "--num-validation 70"),
        "--backbone": ("nin4", "--network nin4"),
    },
}


@pytest.mark.parametrize(
    ("job", "old", "value", "new"),
    [(job, old, *new) for job, spelt in OLD_SPELLINGS.items() for old, new in spelt.items()],
)
def test_old_spellings_still_work_and_are_not_shown(capsys, job, old, value, new):
    def asked(*options):
        return vars(read_options([job, *options])) | {"parser": None}

    assert asked(old, *([value] if value else [])) == asked(*new.split()) != asked()
    with pytest.raises(SystemExit):
        main([job, "--help"])
    text = capsys.readouterr().out
    assert old not in text.replace("\n", " ").replace("]", " ").split()
    assert new.split()[0] in text


def test_an_option_is_its_arguments_name(calls):
    """But for the one in its place, and for what only the command line has."""
    assert main([]) == 0
    own = {*read_options([]).parser.spelt} - {"images", "num_seeds", "name"}
    assert {*calls[0]} == own | {"skip_finished"}
    for name, option in read_options([]).parser.spelt.items():
        assert name == "name" or option == f"--{name.replace('_', '-')}"


def test_options_reach_the_experiment(calls, capsys, tmp_path):
    options = [
        "--dataset",
        "mnist",
        "--num-labels",
        "50",
        "--num-validation",
        "700",
        "--seed",
        "4",
        "--quick",
    ]
    assert main([*options, "--output", str(tmp_path), "--data-dir", "d", "--manual-dir", "m"]) == 0
    assert calls == [
        {
            "dataset": "mnist",
            "num_labels": 50,
            "num_validation": 700,
            "image_size": None,
            "fit": "crop",
            "channels": None,
            "broken": "raise",
            "backbone": "two_conv",
            "weights": None,
            "layer": None,
            "seed": 4,
            "output": tmp_path,
            "skip_finished": False,
            "data_dir": "d",
            "manual_dir": "m",
            "quick": True,
            "explorer": False,
            "tensorboard": None,
        }
    ]
    printed = capsys.readouterr().out
    assert "fine_tuned, long   75.0  80.0" in printed
    assert "--quick run" in printed
    assert "STAND-IN" not in printed
    report = tmp_path / "report.html"
    assert f"Written to {tmp_path}; to read or to send: {report}\n" in printed
    command = f"python -m rotnet_keras {' '.join(options)} --output {tmp_path} --data-dir d"
    assert f"{command} --manual-dir m</pre>" in report.read_text()


def test_defaults(calls):
    assert main([]) == 0
    assert calls[0]["dataset"] is None
    assert (calls[0]["num_labels"], calls[0]["seed"], calls[0]["quick"]) == (1000, 0, False)
    assert str(calls[0]["output"]) == "results"


def test_own_pictures_and_a_backbone(calls, capsys, tmp_path):
    options = ["--images", str(tmp_path), "--image-size", "48", "--fit", "pad"]
    options += ["--channels", "1", "--broken", "skip", "--backbone", "VGG16"]
    options += ["--weights", "imagenet", "--layer", "pool"]
    assert main([*options, "--output", str(tmp_path)]) == 0
    wanted = {
        "dataset": tmp_path,  # a path, which is no name of a data set in any case
        "num_labels": None,
        "num_validation": None,
        "image_size": 48,
        "fit": "pad",
        "channels": 1,
        "broken": "skip",
        "backbone": "VGG16",
        "weights": "imagenet",
        "layer": "pool",
    }
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
    for board in (None, "board"):
        options = [] if board is None else ["--tensorboard", board]
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
    assert table.columns.tolist() == ["file", "class", "probability"]
    assert table["file"].tolist() == ["1.png", "2.png", "=a, b/3.png"]
    assert set(table["class"]) <= {"cat", 'dog, "big"'}
    assert table["probability"].between(0.5, 1).all()


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
    assert f"to read or to send: {tmp_path / 'report.html'}\n" in capsys.readouterr().out
    assert "Means of 3 seeds" in (tmp_path / "report.html").read_text()
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


def test_stand_in_is_said_loudly(calls, capsys, monkeypatch):
    monkeypatch.setitem(RESULTS, "stand_in", True)
    assert main([]) == 0
    assert "*** STAND-IN GARMENTS" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "status"), [(DatasetError("no network"), 2), (FileError("disk full"), 2)]
)
def test_errors_are_one_line(monkeypatch, capsys, error, status):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(experiment, "run_experiment", fail)
    assert main([]) == status
    assert capsys.readouterr().err == f"rotnet_keras: {error}\n"


def test_faults_of_the_program_are_not_hidden(monkeypatch):
    for fault in (ValueError, OSError, ImportError):

        def fail(*_, fault=fault, **__):
            raise fault("fault")

        monkeypatch.setattr(experiment, "run_experiment", fail)
        with pytest.raises(fault, match="fault"):
            main([])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--num-labels 0", "--num-labels must be a whole number of at least 1, got 0"),
        ("--labels 0", "--num-labels must be a whole number of at least 1, got 0"),
        ("--num-validation -1", "--num-validation must be a whole number of at least 1, got -1"),
        ("--seed -1", "--seed must be a whole number from 0 to 4,294,967,295, got -1"),
        ("--dataset no_such_data", "--dataset must be "),
        ("pretrain --network resnet", "--network must be one of "),
        ("pretrain --precision half", "--precision must be "),
        ("pretrain --process 3", "--process needs hosts, the addresses of all processes, got 3"),
        ("pretrain --images no_such_folder", "--images: there is no folder no_such_folder, and"),
        ("study --arms praying", "--arms must be one of "),
        ("study --network resnet", "--network must be one of "),
        ("study --network two_conv --arms conv\tblock\t3", "--arms must be one of "),
        ("study --budgets 0", "--budgets must be a whole number of at least 1, got 0"),
        ("study --pretrain-epochs 0", "--pretrain-epochs must be a whole number of at least 1"),
        ("study --rotations 90", "--rotations must be two or more different ones of (0, 90,"),
        ("study --rotations 90 0 90", "--rotations must be two or more different ones of (0, 90,"),
        ("study --baseline praying", "--baseline must be one of ('without pretext', 'raw pixels'"),
        ("study --budgets 1 --dataset garments", "--budgets must be at least 10, one for each"),
        ("predict nowhere --model here", "--model must be a .keras file, got 'here'"),
    ],
)
def test_an_error_names_the_option(monkeypatch, capsys, tmp_path, options, said):
    monkeypatch.chdir(tmp_path)
    assert main(options.split(" ")) == 2
    assert capsys.readouterr().err.startswith(f"rotnet_keras: {said}")


def test_an_error_about_the_pictures_names_them(monkeypatch, capsys):
    def fail(*_, **__):
        raise InputError("dataset must be another")

    monkeypatch.setattr(experiment, "run_experiment", fail)
    for option in ("--dataset", "--images"):
        assert main([option, "here"]) == 2
        assert capsys.readouterr().err == f"rotnet_keras: {option} must be another\n"


@pytest.mark.parametrize(
    ("said", "in_words_of_options"),
    [
        ("num_labels must be 1, got 0", "--num-labels must be 1, got 0"),
        ("num_labels + size must be 1", "--num-labels + --size must be 1"),
        ("size and num_labels must differ", "--size and --num-labels must differ"),
        ("size 5 does not fit", "--size 5 does not fit"),
        ("size: no", "--size: no"),
        ("image_shape must be 1, not size", "image_shape must be 1, not size"),
        ("sizes must be given", "sizes must be given"),
        ("2 of 3 size", "2 of 3 size"),
        ("/size must be a folder", "/size must be a folder"),
        ("size", "--size"),
        ("", ""),
    ],
)
def test_options_take_the_place_of_arguments(said, in_words_of_options):
    spelt = {"num_labels": "--num-labels", "size": "--size"}
    assert in_options(said, spelt) == in_words_of_options


def test_a_trace_is_shown_to_those_who_ask(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    said = "rotnet_keras: --seed must be a whole number from 0 to 4,294,967,295, got -1\n"
    for job in ([], ["run"], ["pretrain"], ["study"]):
        assert main([*job, "--seed", "-1"]) == 2
        assert capsys.readouterr().err == said
        assert main([*job, "--seed", "-1", "--traceback"]) == 2
        trace = capsys.readouterr().err
        assert trace.startswith("Traceback (most recent call last):\n")
        assert trace.endswith(f"\n{said}")
        assert "in check_seed\n" in trace
    assert main(["predict", "here", "--model", "none", "--traceback"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_warnings_are_one_line_and_only_while_a_job_runs(monkeypatch, capsys):
    before, lines = warnings.formatwarning, []

    def end(*_, **__):
        lines.append(warnings.formatwarning("mind this", UserWarning, "file.py", 3))
        raise InputError("no")

    monkeypatch.setattr(experiment, "run_experiment", end)
    assert main([]) == 2
    assert lines == ["rotnet_keras: mind this\n"]
    assert warnings.formatwarning is before
    monkeypatch.setattr(experiment, "run_experiment", lambda *_, **__: int("fault"))
    with pytest.raises(ValueError, match="invalid literal"):
        main([])
    assert warnings.formatwarning is before


def test_interrupt(monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "run_experiment", stop)
    assert main([]) == 130
    assert "start it again" in capsys.readouterr().err


def test_a_named_data_set_that_cannot_be_had_ends_the_job(tmp_path):
    """The whole command, offline: the clear error, no trace, no stand-in."""
    command = [sys.executable, "-m", "rotnet_keras", "--dataset", "fashion_mnist"]
    command += ["--data-dir", str(tmp_path), "--output", str(tmp_path / "out")]
    nowhere = "http://127.0.0.1:9"
    environment = {"http_proxy": nowhere, "https_proxy": nowhere, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cannot be reached (ProxyError" in done.stderr
    assert "Connect to the network" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").iterdir())
