"""The report of several seeds; and either report in a browser."""

import json

import numpy as np
import pytest
import report_pages
from report_pages import ACCURACIES, ARMS, GAIN, NASTY, STRAY, Report, arms_of, with_given

from rotnet_keras import save_report, summarise

write = pytest.fixture(report_pages.write)


def write_seeds(write, short=(8, 10, 12), long=(1, -1, 3)):
    """Runs in `seed_0`, `seed_2` and `seed_10`; what `summarise` makes of them."""
    runs = []
    for seed, *gains in zip((0, 2, 10), short, long, strict=True):
        folder = write(f"seed_{seed}", seed=seed, asked={"seed": seed}, arms=arms_of(*gains))
        runs.append(json.loads((folder / "results.json").read_text()))
    return summarise(runs)


def test_tables_of_several_seeds_have_means_and_intervals(write, tmp_path):
    table = write_seeds(write)
    page = Report(save_report(tmp_path))
    assert page.path == tmp_path / "report.html"

    def cell(name):
        return f"{table.loc[name, 'mean']:.1f} ± {table.loc[name, 'ci95']:.1f}"

    assert cell("gain, long") == "1.0 ± 5.0"  # Student's t, 4.303, times 2 / sqrt(3)
    rows = page.tables[ACCURACIES][1:]
    for arm, name, row in zip(("frozen", "scratch", "fine_tuned"), ARMS, rows[:-1], strict=True):
        assert row[0] == name
        assert row[2:] == [cell(f"{arm}, {budget}") for budget in ("short", "long")]
    assert rows[-1] == [GAIN, "about 15", "+10.0 ± 5.0", "+1.0 ± 5.0"]
    assert page.key["rotations predicted right"] == "98.0 ± 0.0%"
    columns = [f"{arm}, {budget}" for arm in ARMS for budget in ("short", "long")]
    assert page.tables["Percent"] == [
        ["seed", "rotations", *columns],
        ["0", "98.0", "40.0", "60.0", "60.0", "80.0", "68.0", "81.0"],
        ["2", "98.0", "40.0", "60.0", "60.0", "80.0", "70.0", "79.0"],
        ["10", "98.0", "40.0", "60.0", "60.0", "80.0", "72.0", "83.0"],
    ]
    assert '<a href="seed_0/explorer.html">' in page.source


SENTENCES = (
    "After short training, fine-tuning reaches 70.0% of the test images and training from scratch "
    "60.0%; paired by seed, the difference is +10.0 ± 5.0 points, an interval that leaves out "
    "zero.",
    "the difference is +1.0 ± 5.0 points, an interval that holds zero: no clear difference.",
    "Means of 3 seeds and 95% intervals",
    "num-seeds 3 In Python, for seed 0:",
    "in a folder of its own: seed_0, seed_2, seed_10",
)


def test_sentences_of_several_seeds(write, tmp_path):
    write_seeds(write)
    text = Report(save_report(tmp_path, command="python -m rotnet_keras --num-seeds 3")).said
    assert [sentence for sentence in SENTENCES if sentence not in text] == []
    assert "One run, with seed" not in text


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
    assert f"the difference is {interval}" in Report(save_report(tmp_path)).said


def test_chosen_seeds(write, tmp_path):
    write_seeds(write)
    (tmp_path / "seed_notes").mkdir()
    page = Report(save_report(tmp_path, seeds=np.array([10, 2])))
    assert [row[0] for row in page.tables["Percent"]] == ["seed", "10", "2"]
    one = Report(save_report(tmp_path, seeds=[2]))
    assert "One run, with seed 2" in one.said
    assert "Each seed" not in one.said
    with pytest.raises(ValueError, match=r"folder must hold results\.json .* got .*seed_3, where"):
        save_report(tmp_path, seeds=[2, 3])


def test_a_run_in_the_folder_itself_comes_first(write, tmp_path):
    write_seeds(write)
    write(seed=7)
    assert "One run, with seed 7" in Report(save_report(tmp_path)).said


DIFFER = "by their seed alone, got seed_0 and seed_1 with other"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"asked": {"num_labels": 50}}, f"{DIFFER} num_labels$"),
        ({"asked": {"quick": True, "fit": "pad"}}, f"{DIFFER} fit, quick$"),
        ({"asked": {}, "arms": with_given()}, "folder must hold .*runs with the same arms, got"),
    ],
)
def test_runs_that_differ_in_more_than_their_seed_are_refused(write, tmp_path, changes, said):
    write("seed_0", seed=0, asked={"seed": 0})
    write("seed_1", seed=1, **changes | {"asked": {"seed": 1} | changes["asked"]})
    with pytest.raises(ValueError, match=said):
        save_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_an_explorer_of_one_seed_is_no_other_run(write, tmp_path):
    """As the seeds are that an earlier call, with one, has finished."""
    write("seed_0", seed=0, asked={"seed": 0, "explorer": True})
    write("seed_1", seed=1, asked={"seed": 1})
    assert save_report(tmp_path).exists()


@pytest.fixture(params=[False, True], ids=["one", "several"])
def page(request, write, tmp_path):
    """A report with long and nasty names, and the number of its pictures."""
    long = f"{NASTY}{STRAY}" + "a_long_name_without_a_space" * 5
    if request.param:
        write_seeds(write, long=(19, -50, 3))
        return save_report(tmp_path, command=f"python -m rotnet_keras --images {long}"), 6
    asked = {"dataset": f"/pictures/{long}"}
    folder = write(dataset=long, skipped=[long], arms=with_given(), stand_in=True, asked=asked)
    (folder / "model.png").unlink()
    (folder / "model.txt").write_text("│ " + "conv1 (Conv2D) " * 9 + "│\n", encoding="utf-8")
    return save_report(folder), 5


SIZES = [{"width": 1200}, {"width": 390, "height": 780, "is_mobile": True, "has_touch": True}]
WIDTHS = "[document.documentElement.clientWidth, document.documentElement.scrollWidth]"
KEY_ROOM = "[...document.querySelectorAll('.key dd')].map(d => d.clientWidth - d.scrollWidth)"
PICTURE_WIDTHS = "Promise.all([...document.images].map(i => i.decode().then(() => i.naturalWidth)))"
LIGHT = "getComputedStyle(document.body).backgroundColor === 'rgb(255, 255, 255)'"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: str(size["width"]))
def test_the_page_in_a_browser(page, open_page, size, scheme):
    path, num_pictures = page
    opened = open_page(path, color_scheme=scheme, **size)
    for details in opened.locator("details").all():
        details.locator("summary").click()
    shown, whole = opened.evaluate(WIDTHS)
    assert shown == size["width"]
    assert whole <= shown
    assert opened.evaluate(KEY_ROOM) == [0, 0, 0, 0, 0]  # no figure runs out of its box
    widths = opened.evaluate(PICTURE_WIDTHS)
    assert len(widths) == num_pictures
    assert min(widths) >= 60
    assert opened.evaluate("document.scripts.length") == 0
    assert NASTY in opened.locator("p", has_text="Classes:").inner_text()
    assert opened.locator("img[src=x]").count() == 0
    assert opened.evaluate(LIGHT) == (scheme == "light")


def test_of_several_seeds_it_is_said_which_one_the_sentences_are_of(write, tmp_path):
    write_seeds(write)
    said = Report(save_report(tmp_path)).said
    assert said.index("The run with seed 0:") < said.index("rotations predicted right")
    one = Report(save_report(tmp_path, seeds=[2])).said
    assert "The run with seed" not in one
