"""The options of the jobs: their names, their help, and what is made of what was typed."""

import main_job
import pytest
from main_job import OTHER_JOBS, shown, with_folder

from rotnet_keras.cli.main import main
from rotnet_keras.cli.options import read_options
from rotnet_keras.cli.typed import in_options

calls = pytest.fixture(main_job.calls)
# By job, what was typed before, and what is typed now. To be removed after the next release.
OLD_SPELLINGS = [
    ("run", "--size 48", "--image-size 48"),
    ("run", "--labels 50", "--num-labels 50"),
    ("run", "--validation 70", "--num-validation 70"),
    ("run", "--cut pool", "--layer pool"),
    ("run", "--grey", "--channels 1"),
    ("run", "--network VGG16", "--backbone VGG16"),
    ("pretrain", "--size 48", "--image-size 48"),
    ("pretrain", "--backbone nin4", "--network nin4"),
    ("study", "--validation 70", "--num-validation 70"),
    ("study", "--backbone nin4", "--network nin4"),
]


def test_help_explains_each_option_and_names_each_job():
    text = shown("--help")
    for option in ("--dataset", "--num-labels", "--seed", "--output", "--data-dir", "--quick"):
        assert option in text
    for word in ("stand-in", "default: 1000", "default: results", "95% interval"):
        assert word in text
    for job, old, _ in OLD_SPELLINGS:
        assert job != "run" or f"{old.split()[0]} " not in text
    lines = [line.split() for line in text[text.index("other jobs:") :].splitlines()]
    named = [words[0] for words in lines if words[1:] and words[0] in ("run", *OTHER_JOBS)]
    assert named == OTHER_JOBS  # the main job needs no name


@pytest.mark.parametrize("job", ["run", *OTHER_JOBS])
def test_a_job_comes_first(calls, capsys, job):
    """Options before it would be the main job's."""
    with pytest.raises(SystemExit) as stop:
        main(["--seed", "3", *with_folder(job)])
    assert stop.value.code == 2
    assert f"{job} must come first, before its options" in capsys.readouterr().err
    assert calls == []


@pytest.mark.parametrize("job", ["run", *OTHER_JOBS])
def test_an_unknown_option_is_answered_by_the_jobs_own(calls, capsys, job):
    with pytest.raises(SystemExit) as stop:
        main([*with_folder(job), "--no-such-option", "5"])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"usage: python -m rotnet_keras {job} [-h]")
    assert said.endswith("error: unrecognized arguments: --no-such-option 5\n")
    assert calls == []


@pytest.mark.parametrize(("job", "old", "new"), OLD_SPELLINGS)
def test_old_spellings_still_work_and_are_not_shown(capsys, job, old, new):
    def asked(options):
        return vars(read_options([job, *options.split()])) | {"parser": None}

    assert asked(old) == asked(new) != asked("")
    with pytest.raises(SystemExit):
        main([job, "--help"])
    text = capsys.readouterr().out
    assert old.split()[0] not in text.replace("\n", " ").replace("]", " ").split()
    assert new.split()[0] in text


def test_an_option_is_its_arguments_name(calls):
    """But for the one in its place, and for what only the command line has."""
    assert main([]) == 0
    own = {*read_options([]).parser.spelt} - {"images", "num_seeds", "name"}
    assert {*calls[0]} == own | {"skip_finished"}
    for name, option in read_options([]).parser.spelt.items():
        assert name == "name" or option == f"--{name.replace('_', '-')}"


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
