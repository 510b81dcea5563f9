"""Run notebooks in full and store their outputs: python notebooks/run_notebook.py NOTEBOOK...

`NAME=VALUE` behind them gives a setting another value, which the notebook does not keep.

TensorFlow's start-up notes, which name the machine it runs on, are left out; any other line on the
error stream is kept, since readers should see it.
"""

import ast
import pathlib
import re
import sys

import nbformat
from nbclient import NotebookClient
from short import with_values, without_values

START_UP = re.compile(
    r"^(WARNING: All log messages before absl|To enable the following instr|[IWE]\d{4} \d\d:).*\n?",
    re.MULTILINE,
)
KEPT = {"kernelspec", "language_info", "accelerator", "colab"}


def clean(notebook):
    """Remove start-up notes, timings and whatever else differs between machines."""
    notebook.metadata = {key: value for key, value in notebook.metadata.items() if key in KEPT}
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                output.text = START_UP.sub("", output.text)
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr" or o.text.strip()]
    return notebook


def main(arguments):
    """Run each notebook in its own folder and write it back."""
    pairs = [argument.split("=", 1) for argument in arguments if "=" in argument]
    values = {name: ast.literal_eval(value) for name, value in pairs}
    for path in (pathlib.Path(argument) for argument in arguments if "=" not in argument):
        notebook = with_values(nbformat.read(path, as_version=4), values)
        client = NotebookClient(
            notebook, timeout=3600, resources={"metadata": {"path": str(path.parent)}}
        )
        nbformat.write(clean(without_values(client.execute())), path)


if __name__ == "__main__":
    main(sys.argv[1:])
