"""Each notebook is a lesson: its first cells, settings, length of cells, titles, percent."""

import ast
import json
import pathlib
import re

import pytest
from short import SHORT, with_values, without_values

NOTEBOOKS = pathlib.Path(__file__).parents[1] / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))

MOST_LINES, FIRST_CELLS = 20, 3
FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}}
DRAWN = {"image/png", "image/jpeg", "image/svg+xml"}
MAGIC = re.compile(r"^(\s*)[%!].*$", re.MULTILINE)


@pytest.fixture(params=PATHS, ids=[path.name[:2] for path in PATHS])
def notebook(request):
    """A notebook's cells with their sources in one piece."""
    cells = json.loads(request.param.read_text(encoding="utf-8"))["cells"]
    return [cell | {"source": "".join(cell["source"])} for cell in cells]


def code_of(notebook):
    return [cell for cell in notebook if cell["cell_type"] == "code"]


def prose_of(notebook):
    return [cell["source"] for cell in notebook if cell["cell_type"] == "markdown"]


def parsed(cell):
    return ast.parse(MAGIC.sub(r"\1pass", cell["source"]))


def is_drawn(cell):
    return any(DRAWN & {*output.get("data", ())} for output in cell.get("outputs", ()))


def test_there_are_notebooks():
    assert [path.name[:2] for path in PATHS] == [*SHORT]


def test_title_and_badge_come_first(notebook):
    first, install = notebook[:2]
    assert first["cell_type"] == "markdown"
    assert first["source"].startswith("[![Open in Colab]")
    assert len(re.findall(r"^# ", first["source"], re.MULTILINE)) == 1
    assert install["id"] == "install"
    assert install["source"].startswith("# @title Install")
    assert install["metadata"] == FOLDED


def test_a_picture_is_among_the_first_cells(notebook):
    assert any(map(is_drawn, notebook[:FIRST_CELLS]))


def test_settings_are_one_folded_cell_of_constants(notebook):
    (settings,) = (c for c in notebook if "parameters" in c["metadata"].get("tags", ()))
    assert settings["metadata"] == FOLDED | {"tags": ["parameters"]}
    assert settings["source"].startswith("# @title Settings")
    for statement in parsed(settings).body:
        assert isinstance(statement, ast.Assign)
        ast.literal_eval(statement.value)
    lines = [line for line in settings["source"].splitlines() if not line.startswith("#")]
    assert all("# @param" in line for line in lines)


def test_no_environment_variable_is_in_sight(notebook):
    read = re.compile(r"environ(\.get|\[\"(?!KERAS_BACKEND))|getenv")
    assert not [cell["id"] for cell in code_of(notebook) if read.search(cell["source"])]
    assert not [text for text in prose_of(notebook) if "environment variable" in text]


def test_code_cells_are_short(notebook):
    long = {
        c["id"]: n for c in code_of(notebook) if (n := len(c["source"].splitlines())) > MOST_LINES
    }
    assert not long


def test_the_package_is_imported_in_one_form(notebook):
    imports = [node for cell in code_of(notebook) for node in ast.walk(parsed(cell))]
    names = {
        (alias.name, alias.asname)
        for node in imports
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name.startswith("rotnet_keras")
    }
    assert names == {("rotnet_keras", "rk")}
    froms = [node.module for node in imports if isinstance(node, ast.ImportFrom)]
    assert not [module for module in froms if module and module.startswith("rotnet_keras")]


def test_accuracies_are_in_percent(notebook):
    """No table that is printed has shares, and no axis an accuracy without its unit."""
    for cell in code_of(notebook):
        assert not re.search(r"accuracy[^\n]*:\.\df", cell["source"]), cell["id"]
        for label in re.findall(r'[xy]label="([^"]*accuracy[^"]*)"', cell["source"]):
            in_percent = "%" in label or "plot_history" in cell["source"]  # whose ticks have it
            assert in_percent, cell["id"]
        texts = [o["data"].get("text/plain", "") for o in cell.get("outputs", ()) if "data" in o]
        for line in "".join(map("".join, texts)).splitlines():
            if "accuracy" in line:
                assert not re.search(r"accuracy\s+0\.\d", line), cell["id"]


def test_pictures_have_titles(notebook):
    titled = re.compile(r"set_title|suptitle|title=|Image\(|show_|plot_label_curve")
    assert not [
        c["id"] for c in code_of(notebook) if is_drawn(c) and not titled.search(c["source"])
    ]


def test_what_we_saw_and_what_to_try_next_stand_at_the_end(notebook):
    last = notebook[-1]
    assert last["cell_type"] == "markdown"
    saw, following = last["source"].split("## Try next")
    assert len(re.findall(r"^- ", saw[saw.index("## What we saw") :], re.MULTILINE)) <= 4
    assert "](" in following or "`rk." in following


def test_tags_are_known(notebook):
    tags = {tag for cell in notebook for tag in cell["metadata"].get("tags", ())}
    assert tags <= {"parameters", "nbval-check-output"}


@pytest.mark.parametrize("path", PATHS, ids=[path.name[:2] for path in PATHS])
def test_a_short_copy_differs_by_one_cell(path):
    whole = json.loads(path.read_text(encoding="utf-8"))
    values = SHORT[path.name[:2]]
    short = with_values(whole, values)
    (place,) = (i for i, cell in enumerate(short["cells"]) if cell["id"] == "other-values")
    assert "parameters" in short["cells"][place - 1]["metadata"]["tags"]
    set_to = {}
    exec(short["cells"][place]["source"], set_to)
    assert {name: set_to[name] for name in values} == values
    del short["cells"][place]
    assert short == whole


def test_values_of_unknown_settings_are_refused():
    whole = json.loads(PATHS[0].read_text(encoding="utf-8"))
    with pytest.raises(ValueError, match=r"'parameters', got \['NO_SUCH'\]"):
        with_values(whole, {"NO_SUCH": 1})


def test_values_are_not_kept():
    nbformat = pytest.importorskip("nbformat")
    whole = nbformat.read(PATHS[0], as_version=4)
    short = with_values(whole, SHORT["01"])
    assert len(short.cells) == len(whole.cells) + 1
    for number, cell in enumerate([c for c in short.cells if c.cell_type == "code"], 1):
        cell.execution_count = number
    assert without_values(short) == whole
