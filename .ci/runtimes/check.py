"""Prove on the package versions of a Colab runtime that install cells and notebooks work there.

python .ci/runtimes/check.py gpu NOTEBOOK...   or cpu, or tpu, which here means JAX on the CPU

Makes a virtual environment with exactly the runtime's versions of what the package touches, runs
the install cells of all notebooks in it, compares the versions before and after, and executes the
notebooks that are named, in their short form.
"""

import configparser
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "notebooks"))
from short import short_values, with_values  # noqa: E402

# Colab's tensorflow-metadata does not fit its protobuf, but on a TPU's runtime, where the README's
# line, which is the same for all, replaces it in vain. That runtime has no TensorFlow, and the one
# that fits its protobuf wants h5py below 3.15.
MAY_CHANGE = {"cpu": {"tensorflow-metadata"}, "gpu": {"tensorflow-metadata"}}
MAY_CHANGE["tpu"] = {"tensorflow-metadata", "h5py"}
ALSO_SHIPPED = ["jax", "ipykernel", "ipywidgets", "nbclient"]
ADDRESS = re.compile(r"@ git\+https://github\.com/[\w./-]+")
IN_COLAB = 'import sys, types; sys.modules["google.colab"] = types.ModuleType("google.colab")'
OUT = 'del sys.modules["google.colab"]'
# What TFDS needs on a GPU's runtime is said in one line, and mended without a restart.
WITHOUT_MEND = """
import subprocess, sys
import rotnet_keras
assert rotnet_keras.two_conv_extractor((28, 28, 1)).count_params()  # which needs no TFDS
try:
    rotnet_keras.load_splits("no_such_data_set")
except ImportError as error:
    assert 'pip install "tensorflow-metadata<1.21"' in str(error), error
    subprocess.run([sys.executable, "-m", "pip", "-qq", "install", "tensorflow-metadata<1.21"])
except ValueError:
    print("TFDS is whole before it is mended")
try:
    rotnet_keras.load_splits("no_such_data_set")
except ValueError as error:
    assert "must be a data set of TensorFlow Datasets" in str(error), error
"""
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
path, only_install = sys.argv[1], sys.argv[2] == "install"
notebook = nbformat.read(path, as_version=4)
if only_install:
    notebook.cells = [cell for cell in notebook.cells if cell.id in ("fake-colab", "install")]
NotebookClient(notebook, timeout=900, kernel_name="python3").execute()
for cell in notebook.cells:
    for output in cell.get("outputs", []):
        print(output.get("text", ""), end="")
"""


def pinned(name):
    """`{package: version}` of a runtime's list."""
    lines = (HERE / f"{name}.txt").read_text(encoding="utf-8").split()
    return {canonical(package): version for package, version in (x.split("==") for x in lines)}


def canonical(name):
    """A package's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def required():
    """Names of what setup.cfg requires."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options"]["install_requires"].splitlines()
    return [
        canonical(re.match(r"[\w-]+", line)[0])
        for line in lines
        if line and not line.startswith("#")
    ]


def build(folder, versions):
    """Make the environment as Colab ships it; return its Python."""
    late = {"tensorflow-metadata"}  # pip would refuse to install it beside its protobuf
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    pip = [python, "-m", "pip", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--upgrade", "pip"], check=True)
    names = [name for name in [*required(), *ALSO_SHIPPED] if name in versions]
    limits = folder / "limits.txt"
    limits.write_text("\n".join(f"{n}=={v}" for n, v in versions.items() if n not in late))
    subprocess.run([*pip, "install", "-c", limits, *names], check=True)
    exact = [f"{name}=={versions[name]}" for name in late]
    subprocess.run([*pip, "install", "--no-deps", *exact], check=True)
    return python


def installed(python):
    """`{package: version}` in an environment."""
    command = [python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"]
    listed = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return {canonical(package["name"]): package["version"] for package in listed}


def copy_source(folder):
    """A copy of the working tree: two checks side by side must not build in one place."""
    left = shutil.ignore_patterns(".*", "build", "results", "*.egg-info", "__pycache__")
    return shutil.copytree(ROOT, folder / "source", ignore=left)


def as_in_colab(path, folder, source):
    """A copy of a notebook that believes to be in Colab and installs the package from a source."""
    notebook = with_values(json.loads(path.read_text(encoding="utf-8")), short_values(path))
    for cell in notebook["cells"]:
        if cell["id"] == "install":
            text = "".join(cell["source"])
            if not ADDRESS.search(text):
                sys.exit(f"{path.name}: the install cell does not install from GitHub")
            cell["source"] = ADDRESS.sub(f"@ file://{source}", text)
    cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    ids = [cell["id"] for cell in notebook["cells"]]
    # JAX would ask the module for more.
    notebook["cells"].insert(ids.index("install") + 1, cell | {"id": "no-colab", "source": OUT})
    notebook["cells"].insert(0, cell | {"id": "fake-colab", "source": IN_COLAB})
    copy = folder / path.name
    copy.write_text(json.dumps(notebook), encoding="utf-8")
    return copy


def readme_line(readme, source):
    """What the README has people install in Colab, the package from a source."""
    line = re.search(r"^pip install -q (.+)$", readme.read_text(encoding="utf-8"), re.M)[1]
    return shlex.split(ADDRESS.sub(f"@ file://{source}", line))


def main(runtime, *notebooks):
    """Check one runtime; return the exit status."""
    if sys.version_info < (3, 11):
        sys.exit("Colab's versions need Python 3.11 or later")
    versions = pinned(runtime)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        python = build(folder, versions)
        before = installed(python)
        different = {p: before[p] for p in before.keys() & versions if before[p] != versions[p]}
        environment = os.environ | {"PATH": f"{folder}/bin:{os.environ['PATH']}"}
        environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
        environment.pop("PYTHONPATH", None)
        if runtime == "tpu":
            environment |= {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
        for beside in ("results", "figures"):
            shutil.copytree(ROOT / "notebooks" / beside, folder / beside)
        every = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
        source = copy_source(folder)
        copies = [as_in_colab(path, folder, source) for path in every]
        execute = [python, "-c", EXECUTE]
        here = {"env": environment, "cwd": folder, "check": True}
        line = readme_line(ROOT / "README.md", source)
        for packages in ([line[0]], line):  # as one types it, and as the README says
            subprocess.run([python, "-m", "pip", "-qq", "install", *packages], **here)
            subprocess.run([python, "-c", WITHOUT_MEND], **here)
        for copy in copies:
            subprocess.run([*execute, copy, "install"], **here)
        after = installed(python)
        changed = {p: (v, after.get(p)) for p, v in before.items() if after.get(p) != v}
        print(f"{runtime}: replaced {changed or 'nothing'}")
        print(f"{runtime}: added {', '.join(sorted(after.keys() - before.keys()))}", flush=True)
        if different or set(changed) - MAY_CHANGE[runtime]:
            print(f"{runtime}: WRONG: not as shipped {different}; replaced {changed}")
            return 1
        for name in (pathlib.Path(path).name for path in notebooks):
            subprocess.run([*execute, folder / name, "all"], **here)
            print(f"{runtime}: {name} ran", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
