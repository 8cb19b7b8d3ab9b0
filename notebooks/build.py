"""Derives notebooks/*.ipynb from notebooks/source/*.py and runs them with the demo profile: `make notebooks`.

The threshold lab's own notebook (source/thresholds.py) is derived into the package, where `cxrkit thresholds` finds it; it is
not run, because its films are the user's.

Edit the sources only. Without --force, a notebook whose cells still equal its source keeps the outputs it has, and so does
one whose prose alone changed; the ones before one whose code changed are run as well, because it needs what they leave, but
not rewritten.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import jupytext
import nbformat
from jupytext.combine import combine_inputs_with_outputs
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from cxrkit.notebooks import own_kernel_manager, still_life
from cxrkit.files import atomic_path

HERE = Path(__file__).resolve().parent
TEMPLATE = HERE / "source" / "thresholds.py", HERE.parent / "cxrkit" / "templates" / "thresholds.ipynb"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def derive(source: Path, existing: Path):
    """Return the notebook of a percent-format source; cells that stayed keep their ids and outputs from `existing`."""
    notebook = jupytext.read(source)
    if existing.is_file():
        notebook = combine_inputs_with_outputs(notebook, nbformat.read(existing, as_version=4))
    notebook.metadata = nbformat.from_dict(METADATA)
    return notebook


def cells_of(notebook):
    """Return what a source decides of a notebook: each cell's kind, text and tags."""
    return [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in notebook.cells]


def derive_template(source: Path, existing: Path) -> None:
    """Write the lab's notebook anew where its cells are not its source's; it holds no outputs."""
    if not existing.is_file() or cells_of(nbformat.read(existing, as_version=4)) != cells_of(jupytext.read(source)):
        with atomic_path(existing) as partial:
            partial.write_text(nbformat.writes(derive(source, existing)).rstrip("\n") + "\n", encoding="utf-8")
        print(f"{existing.stem:<24} written")


def is_current(source: Path, existing: Path, prose: bool = True) -> bool:
    """Say whether `existing` has its source's cells (without `prose`: its code cells), each run once, in order, without an error."""
    if not existing.is_file():
        return False
    notebook = nbformat.read(existing, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    ran = [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    clean = not any(output.output_type == "error" for cell in code for output in cell.outputs)
    here, there = ([cell for cell in cells_of(book) if prose or cell[0] == "code"] for book in (notebook, jupytext.read(source)))
    return here == there and ran and clean


def execute(notebook, places: dict):
    """Run a notebook in this Python and leave nothing of this machine in it."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook, timeout=1800, kernel_name="python3", kernel_manager_class=own_kernel_manager(), record_timing=False,
        resources={"metadata": {"path": str(HERE)}})
    client.execute()
    still_life(notebook)
    notebook.metadata = nbformat.from_dict(METADATA | {k: v for k, v in notebook.metadata.items() if k == "widgets"})
    text = nbformat.writes(notebook)
    for place, name in places.items():
        # As JSON writes it; a path also inside a longer one ("/x/runs/demo").
        text = text.replace(place.replace("\\", "\\\\"), name)
    # An address in memory changes from run to run and tells nobody anything.
    return re.sub(r"\bat 0x[0-9a-f]{6,}", "at 0x…", text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--force", action="store_true", help="run and rewrite all of them")
    force = parser.parse_args().force
    derive_template(*TEMPLATE)
    pairs = [(source, HERE / f"{source.stem}.ipynb") for source in sorted((HERE / "source").glob("[0-9]*.py"))]
    for source, existing in pairs:
        if not force and is_current(source, existing, prose=False) and not is_current(source, existing):
            with atomic_path(existing) as partial:
                partial.write_text(nbformat.writes(derive(source, existing)).rstrip("\n") + "\n", encoding="utf-8")
            print(f"{source.stem:<24} prose renewed, outputs kept")
    changed = [source.stem for source, existing in pairs if force or not is_current(source, existing)]
    if not changed:
        print("Every notebook is as its source says, with its outputs. (FORCE=1 runs them all the same.)")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        folder = os.path.realpath(folder)
        runs = os.path.join(folder, "runs")
        os.environ |= {
            "CXRKIT_PROFILE": "demo", "CXRKIT_RUNS": runs, "CXRKIT_CACHE": os.path.join(folder, "cache"),
            "CXRKIT_DATA": os.path.join(folder, "data"), "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        places = {runs: "runs", folder: "~/.cache", str(HERE.parent): "cxrkit-course", os.path.expanduser("~"): "~"}
        for source, existing in pairs:
            if source.stem > changed[-1]:
                break
            start = time.monotonic()
            notebook = derive(source, existing)
            try:
                text = execute(notebook, places)
            except CellExecutionError as problem:
                print(f"{source.stem} failed; the notebook stays as it was.\n{problem}", file=sys.stderr)
                return 1
            if source.stem in changed:
                with atomic_path(existing) as partial:
                    partial.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
            print(f"{source.stem:<24} {'written' if source.stem in changed else 'run for the next ones'}, "
                  f"{time.monotonic() - start:.0f} s, {len(text) / 1e6:.2f} MB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
