"""The options of the jobs: their names, their help, and what is made of what was typed."""

import contextlib

import main_job
import pytest
from main_job import OTHER_JOBS, shown, with_folder

import rotnet_keras
from rotnet_keras.cli.main import main
from rotnet_keras.cli.options import read_options
from rotnet_keras.cli.typed import in_options, suggesting

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
        ("there is no folder x, and size must be a", "there is no folder x, and size must be a"),
        ("no; size must be 1, not num_labels", "no; --size must be 1, not --num-labels"),
        ("no: size needs num_labels.", "no: --size needs --num-labels."),
        ("a/num_labels 'num_labels' num_labels/b num_labels.png num_labels(", None),
        ("give num_labels=3 for all", "give --num-labels 3 for all"),
        ('leave it out with size="skip" (--size skip): a', "leave it out with --size skip: a"),
        (
            "say size=65535 or size=(black, white) (--size)",
            "say --size 65535 or --size black,white",
        ),
        ("links (follow_links=True takes them)", "links (--follow-links takes them)"),
        ("labels=3 is no option, nor http://a/?size=3", None),
        ("size", "--size"),
        ("", ""),
    ],
)
def test_options_take_the_place_of_arguments(said, in_words_of_options):
    spelt = {"num_labels": "--num-labels", "size": "--size", "follow_links": "--follow-links"}
    expected = said if in_words_of_options is None else in_words_of_options
    assert in_options(said, spelt) == expected


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("--imagse pictures", "unrecognized arguments: --imagse pictures; did you mean --images?"),
        ("--num-lables=5 --seed 3", "arguments: --num-lables=5; did you mean --num-labels?"),
        ("run --imagse pictures --seed 3", "arguments: --imagse pictures; did you mean --images?"),
        ("--seeed 3 --qick", "unrecognized arguments: --seeed 3 --qick; did you mean --seed?"),
        ("study --netwrok nin4", "arguments: --netwrok nin4; did you mean --network?"),
        ("--no-such-option 5", "unrecognized arguments: --no-such-option 5"),
        ("-x", "unrecognized arguments: -x"),
        ("prdict folder", "there is no job 'prdict', only {jobs}; did you mean predict?"),
        ("elsewhere", "there is no job 'elsewhere', only {jobs}"),
        ("there", "there is no job 'there', only {jobs}; did you mean --images there?"),
        ("--fit corp", "invalid choice: 'corp' (choose from {fits}); did you mean crop?"),
        ("--fit well", "invalid choice: 'well' (choose from {fits})"),
    ],
)
def test_a_misspelt_word_is_asked_about(calls, capsys, tmp_path, typed, said):
    (tmp_path / "there").mkdir()
    with pytest.raises(SystemExit) as stop:
        main(typed.split())
    assert stop.value.code == 2
    jobs, fits = ", ".join(["run", *OTHER_JOBS]), "crop, pad, resize"
    told = capsys.readouterr().err.replace("'crop', 'pad', 'resize'", fits)  # as older ones say
    assert told.endswith(f"{said.format(jobs=jobs, fits=fits)}\n")
    assert calls == []


@pytest.mark.parametrize(
    "typed",
    ["--num-l 5", "--white=-5,7", "--white -5", "--hel", "--data-dir=--x", "--output results"],
)
def test_what_can_be_understood_is_no_mistake(calls, typed):
    with pytest.raises(SystemExit) if typed == "--hel" else contextlib.nullcontext():
        assert main(typed.split()) == 0
    assert len(calls) == (typed != "--hel")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("fit must be one of ('crop', 'pad'), got 'corp'", "crop"),
        ("arms must be one of ('blocks 2 + 3', 'conv head'), got 'Blocks 2+3'", "blocks 2 + 3"),
        ("network must be one of ('nin3', 'two_conv'), got 'resnet'", None),
        ("name must be one of ('a b',), got 'a c'; did you mean 'a d'?", None),
        ("size must be 1 or 2, got 'crop'", None),
    ],
)
def test_a_misspelt_name_is_asked_about(said, meant):
    assert suggesting(said) == (f"{said}; did you mean {meant!r}?" if meant else said)


def test_the_version_is_said(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"rotnet_keras {rotnet_keras.__version__}\n"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["pretrain", "--devices", "two"], "--devices: must be a whole number, got 'two'"),
        (["predict", "--ground", "a", "x"], "--ground: must be whole numbers with commas between"),
        (["select", "--number", "0", "x"], "--number: must be at least 1, got 0"),
    ],
)
def test_what_is_no_number_is_said_in_words(capsys, typed, said):
    with pytest.raises(SystemExit):
        main(typed)
    assert said in capsys.readouterr().err
