"""Under pytest, each notebook is run as a short copy: the same cells, with other settings."""

import os
import pathlib

import pytest
from nbval.plugin import IPyNbFile
from short import PREFIX, write_short

HERE = pathlib.Path(__file__).parent
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


class ShortCopy(IPyNbFile):
    """A notebook by its own name, of which nbval reads the copy that lies beside it."""

    @property
    def fspath(self):
        return super().fspath.new(basename=PREFIX + self.path.name)

    def collect(self):
        write_short(self.path)
        return super().collect()


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path, parent):
    """Put the short copy in a notebook's place."""
    found = yield
    if file_path.suffix != ".ipynb" or file_path.parent != HERE or not found:
        return found
    if file_path.name.startswith(PREFIX):
        return []
    return [ShortCopy.from_parent(parent, path=file_path)]
