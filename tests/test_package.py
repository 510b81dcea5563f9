"""What holds the package together: lazy import, documentation, one address, clean notebooks."""

import configparser
import doctest
import importlib.metadata
import inspect
import json
import pathlib
import re
import subprocess
import sys

import jedi
import numpy as np
import pandas as pd
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import rotnet_keras

ROOT = pathlib.Path(__file__).parents[1]
WINGS = {"data", "deployment", "few_labels", "jobs", "running", "study", "viewing", "zoo"}
PUBLIC = sorted({*rotnet_keras.__all__} - WINGS - {"__version__"})
NOTEBOOKS = sorted(ROOT.glob("notebooks/[0-9]*.ipynb"))


def run(program, **options):
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_is_lazy():
    heavy = ["tensorflow", "keras", "umap", "matplotlib", "sklearn", "tensorflow_datasets", "numpy"]
    program = f"import rotnet_keras, sys; print(*[m for m in {heavy} if m in sys.modules])"
    assert run(program).split() == []


# What notebooks of version 0.1 may use; no name goes without an alias and a release between.
NAMES_OF_0_1 = """
    DatasetError Examples FeatureClassifier Splits accuracy align_maps attach_head attention_maps
    backbone_extractor block_features block_names cast_model confusion conv_blocks_extractor
    copy_model cut draw_garments draw_model extract_features features_by_depth fine_tune
    first_filters fit_classifier fit_few_labels freeze gentle_augmentation guess_labels
    join_blocks linear_probe list_classes list_pictures load_classifier load_extractor load_splits
    make_extractor make_splits nearest_neighbours nin_extractor pixel_probe plot_accuracies
    plot_attention_maps plot_budgets plot_confusion plot_filters plot_history plot_map
    plot_neighbours plot_rotation_confusion plot_rotation_mistakes plot_rotations predict_classes
    predict_pictures predict_rotations prepare_runtime pretrain read_pictures reinitialise
    remove_head rotate_batch rotate_each rotation_accuracy rotation_confusion rotation_dataset
    rotation_errors rotation_mistakes run_experiment run_pretraining run_study save_classifier
    save_explorer save_projector save_report self_train show_page similar_images soft_neighbours
    split_indices spread_labels stream_images strong_augmentation summarise summarise_study
    swap_head train_from_scratch train_head train_jointly two_conv_extractor umap_map unfreeze
    unpack_zip
"""


def test_public_names_exist():
    assert {*NAMES_OF_0_1.split()} <= {*PUBLIC}
    for name in PUBLIC:
        assert getattr(rotnet_keras, name).__doc__, name


def test_wings_show_what_is_in_them():
    for wing in WINGS:
        own = getattr(rotnet_keras, wing)
        assert own.__doc__
        assert {*own.__all__} <= {*PUBLIC}
        for name in own.__all__:
            assert getattr(own, name) is getattr(rotnet_keras, name)


def test_editors_complete_signature_and_docstring_of_every_public_name():
    """With Jedi, which Colab, Jupyter and most editors ask."""
    program = "import rotnet_keras as rk\n" + "".join(f"rk.{name}(\n)\n" for name in PUBLIC)
    script = jedi.Script(program)
    for number, name in enumerate(PUBLIC):
        (signature, *_) = script.get_signatures(2 + 2 * number, len(f"rk.{name}("))
        own = getattr(rotnet_keras, name)
        assert inspect.getdoc(own).splitlines()[0] in signature.docstring(), name
        if inspect.isfunction(own):
            assert [p.name for p in signature.params] == [*inspect.signature(own).parameters], name


def test_every_argument_of_a_public_function_is_annotated():
    for name in PUBLIC:
        own = getattr(rotnet_keras, name)
        if inspect.isfunction(own):
            signature = inspect.signature(own)
            assert signature.return_annotation is not signature.empty, name
            for parameter in signature.parameters.values():
                assert parameter.annotation is not parameter.empty, (name, parameter)


def test_layers_hold():
    command = [pathlib.Path(sys.executable).with_name("lint-imports"), "--no-logo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_mypy_finds_nothing():
    command = [sys.executable, "-m", "mypy", "--config-file", "setup.cfg"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_in_docstrings_run(name):
    names = {public: getattr(rotnet_keras, public) for public in PUBLIC} | {"np": np, "pd": pd}
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    module = sys.modules[getattr(rotnet_keras, name).__module__]
    for test in doctest.DocTestFinder().find(getattr(rotnet_keras, name), name, module=module):
        test.globs.update(names, __name__="example")  # a call from outside the package
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


def test_installed_version():
    assert importlib.metadata.version("rotnet-keras") == rotnet_keras.__version__


def test_ruff_finds_nothing():
    for arguments in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *arguments, str(ROOT)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_address_is_the_same_everywhere():
    command = [sys.executable, str(ROOT / "notebooks" / "stamp_address.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_stamping_changes_every_address(tmp_path):
    import shutil

    for name in ("setup.cfg", "README.md", "notebooks"):
        source, target = ROOT / name, tmp_path / name
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    setup = tmp_path / "setup.cfg"
    old = re.search(r"^url = https://github.com/(.+)$", setup.read_text(), re.MULTILINE)[1]
    setup.write_text(setup.read_text().replace(old, "someone/else"))
    command = [sys.executable, "notebooks/stamp_address.py"]
    check = subprocess.run([*command, "--check"], cwd=tmp_path, capture_output=True, check=False)
    assert check.returncode == 1
    subprocess.run(command, cwd=tmp_path, check=True)
    for path in (tmp_path / "README.md", *tmp_path.glob("notebooks/[0-9]*.ipynb")):
        assert old not in path.read_text(encoding="utf-8")
        assert "github/someone/else/blob" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_are_clean(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z][a-z0-9-]+", name) for name in ids), "ids are words, not hashes"
    assert set(notebook["metadata"]) <= {"kernelspec", "language_info", "accelerator", "colab"}
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in code for output in cell["outputs"]]
    assert outputs, "no outputs stored"
    assert not [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"/(home|root|Users|tmp|work)/", text), "a path of some machine"
    assert "STAND-IN" not in json.dumps(outputs), "not a run on real data"


@pytest.mark.parametrize("runtime", ["cpu", "gpu", "tpu"])
def test_pins_leave_a_colab_runtime_as_it_is(runtime):
    """Every version that Colab ships satisfies what setup.cfg asks for, so pip replaces none."""
    lines = (ROOT / ".ci" / "runtimes" / f"{runtime}.txt").read_text(encoding="utf-8").split()
    shipped = {canonicalize_name(name): version for name, version in (x.split("==") for x in lines)}
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    wanted = [setup["options"]["install_requires"], extras["graph"], extras["jax"]]
    requirements = [
        Requirement(line)
        for line in "\n".join(wanted).splitlines()
        if line and not line.startswith("#")
    ]
    assert {"keras", "numpy", "jax"} <= shipped.keys() & {r.name for r in requirements}
    for requirement in requirements:
        version = shipped.get(canonicalize_name(requirement.name))
        assert version is None or requirement.specifier.contains(version), (requirement, version)
