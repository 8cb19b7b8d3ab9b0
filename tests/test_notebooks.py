"""The committed notebooks: as their sources say, with outputs, small, with checked parameters. (nbval runs them, see the Makefile.)"""

import os
import re
from pathlib import Path

import nbformat
import pytest
from helpers import load_script
from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "notebooks" / "source").glob("[0-9]*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
LIMIT = 1_500_000  # bytes; larger ones are slow to open and not drawn on the repository's page

pytest.importorskip("jupytext")
pytest.importorskip("papermill")
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def build():
    return load_script(ROOT / "notebooks" / "build.py")


def read(path):
    return nbformat.read(path, as_version=4)


def test_each_source_has_its_notebook_and_the_other_way_round():
    assert [path.stem for path in SOURCES] == [path.stem for path in NOTEBOOKS] != []


@each
def test_notebook_has_not_drifted_from_its_source(path, build):
    source = ROOT / "notebooks" / "source" / f"{path.stem}.py"
    assert build.cells_of(read(path)) == build.cells_of(build.jupytext.read(source)), "edit the source, then: make notebooks"
    assert build.is_current(source, path), "a cell has not run, or ended in an error; run: make notebooks"


@each
def test_notebook_is_valid_small_and_without_traces_of_a_machine(path):
    nbformat.validate(read(path))
    assert path.stat().st_size < LIMIT
    text = path.read_text(encoding="utf-8")
    assert not re.findall(r"(?<![\w.])/(?:home|root|Users|tmp|var|work|mnt)/[^\s\"'\\]*", text)
    assert str(ROOT) not in text and os.path.expanduser("~") + "/" not in text
    assert not re.search(r"oneDNN|cudart|cuda drivers|cpu_feature_guard", text), "TensorFlow's start-up log does not belong in a lesson"


@each
def test_parameters_are_typed_and_explained_and_shared(path):
    from cxrkit.notebooks import read_parameters

    parameters = read_parameters(path)
    shared = {"profile": ("str", "auto"), "data": ("str", ""), "weights": ("str", ""), "out": ("str", ""), "seed": ("int", 0)}
    assert {name: (parameters[name].kind, parameters[name].default) for name in shared} == shared
    assert all(parameter.help for parameter in parameters.values()), "each parameter has a comment that says what it does"
    tagged = [cell for cell in read(path).cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1


def test_first_code_cell_is_the_same_everywhere_and_installs_only_on_colab():
    first = {next(cell.source for cell in read(path).cells if cell.cell_type == "code") for path in NOTEBOOKS}
    assert len(first) == 1
    (cell,) = first
    code = TransformerManager().transform_cell(cell)
    compile(code, "first cell", "exec")
    assert "COLAB_RELEASE_TAG" in code and "CXRKIT_SOURCE" in code and "run_line_magic('pip', 'install" in code


@each
def test_figures_have_a_reading_in_words(path):
    """Every cell that shows a figure prints a line about it too."""
    for cell in read(path).cells:
        if cell.cell_type == "code" and any("image/png" in output.get("data", {}) for output in cell.outputs):
            assert any(output.output_type == "stream" and output.text.strip() for output in cell.outputs), cell.source


@each
def test_something_is_held_fast(path):
    assert any("# NBVAL_CHECK_OUTPUT" in cell.source for cell in read(path).cells), "mark what must not change"


def test_built_package_brings_everything_that_a_notebook_needs():
    """Data files lie inside the package, so that a wheel holds them."""
    assert all((ROOT / "cxrkit" / "templates" / name).is_file() for name in ("report.html.j2", "thresholds.ipynb"))
