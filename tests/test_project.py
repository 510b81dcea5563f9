"""The papers of the project: citation, release notes, the guide to contributing, commit hooks."""

import configparser
import pathlib
import re
import runpy

import pytest

import rotnet_keras

ROOT = pathlib.Path(__file__).parents[1]
GUIDE = ROOT / ".github" / "CONTRIBUTING.md"


def test_the_citation_is_of_this_version_and_place():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert f"\nversion: {rotnet_keras.__version__}\n" in citation
    assert f"\nrepository-code: {setup['metadata']['url']}\n" in citation
    assert f"\nlicense: {setup['metadata']['license']}\n" in citation


def test_the_release_notes_know_this_version():
    notes = (ROOT / ".github" / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {rotnet_keras.__version__}\n" in notes


def test_old_names_are_the_functions_that_the_release_notes_name():
    notes = (ROOT / ".github" / "CHANGELOG.md").read_text(encoding="utf-8")
    renamed = re.findall(r"^\| `(\w+)` \| `(\w+)` \|$", notes, re.MULTILINE)
    assert len(renamed) >= 7
    for old, new in renamed:
        assert getattr(rotnet_keras, old) is getattr(rotnet_keras, new)


def test_the_guide_names_files_that_are_there():
    text = GUIDE.read_text(encoding="utf-8")
    for name in set(re.findall(r"`([\w./]+\.(?:py|pyi|cfg|toml|txt))`", text)):
        places = (ROOT, ROOT / "rotnet_keras", ROOT / "rotnet_keras" / "viewing", ROOT / "tests")
        assert any((place / name).exists() for place in places), name


def test_the_table_of_reports_names_tests_that_are_there():
    tests = ROOT / "tests"
    lines = (tests / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if "`test_" in line]
    assert len(rows) > 20
    for row in rows:
        file = None
        for name in re.findall(r"`(test_[\w.]+)`", row.split("|")[2]):
            if name.endswith(".py"):
                file = (tests / name).read_text(encoding="utf-8")
            else:
                assert f"\ndef {name}(" in file, name


@pytest.mark.parametrize("name", ["CITATION.cff", ".github/CONTRIBUTING.md"])
def test_addresses_are_stamped(name):
    stamp = runpy.run_path(str(ROOT / "notebooks" / "stamp_address.py"))
    before = (ROOT / name).read_text(encoding="utf-8")
    after = stamp["stamped"](before, "someone/else")
    assert "https://github.com/someone/else\n" in after
    assert stamp["ADDRESS"].sub("", after) == stamp["ADDRESS"].sub("", before)


def test_hooks_run_the_ruff_that_the_tests_run():
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.findall(r"entry: (ruff \w+)", hooks) == ["ruff check", "ruff format"]
    assert "rev:" not in hooks  # a second version
