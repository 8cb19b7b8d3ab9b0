"""Derives solutions/*.ipynb and exercises/*.ipynb from solutions/source/*.py and runs the solutions: `make exercises`.

A source is in percent format. A cell that starts with `# %% task="02.3"` holds an answer, between the markers that nbgrader's users
know (`### BEGIN SOLUTION`, `### END SOLUTION`); `# %% check="02.3"` looks at it. Both get nbgrader's metadata. In the exercise the
answers are taken out, and outputs are kept of cells tagged `expected` only. Without --force, a set that equals its source is not run again.
"""

import argparse
import importlib.util
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient.exceptions import CellExecutionError
from nbconvert.preprocessors import CoalesceStreamsPreprocessor, Preprocessor

from cxrkit.checks.tasks import TASKS
from cxrkit.files import atomic_path

HERE = Path(__file__).resolve().parent
EXERCISES = HERE.parent / "exercises"
WIDGET = "application/vnd.jupyter.widget-view+json"
BEGIN, END, STUB = "### BEGIN SOLUTION", "### END SOLUTION", "# your code here"

_spec = importlib.util.spec_from_file_location("notebooks_build", HERE.parent / "notebooks" / "build.py")
lessons = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lessons)


class TakeAnswersOut(Preprocessor):
    """Replace what stands between the markers by a stub, and outputs by nothing, but for cells tagged `expected`."""

    def preprocess_cell(self, cell, resources, index):
        if cell.cell_type == "code":
            cell.source, cell.execution_count = without_answer(cell.source), None
            if "expected" not in cell.metadata.get("tags", []):
                cell.outputs = []
            # A widget without its kernel is a grey box; the text beside it stays.
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
            for output in cell.outputs:
                output.pop("execution_count", None)
                if output.output_type == "execute_result":
                    output.execution_count = None
        return cell, resources


def without_answer(text: str) -> str:
    """Return a cell's text with each block between the markers replaced by a stub of the same indentation."""
    kept, inside = [], False
    for line in text.split("\n"):
        if line.strip() == BEGIN:
            inside = True
            kept.append(line[: len(line) - len(line.lstrip())] + STUB)
        elif line.strip() == END:
            inside = False
        elif not inside:
            kept.append(line)
    if inside:
        raise ValueError(f"'{BEGIN}' without '{END}'")
    return "\n".join(kept)


def derive(source: Path):
    """Return the solution notebook of a source, not yet run: cell ids from task and place, nbgrader's metadata in place."""
    notebook = jupytext.read(source)
    notebook.metadata = nbformat.from_dict(lessons.METADATA)
    section, place = source.stem[:2], 0
    for cell in notebook.cells:
        task, check = cell.metadata.pop("task", None), cell.metadata.pop("check", None)
        cell.metadata.pop("lines_to_next_cell", None)  # jupytext's own
        if heading := re.match(r"## (\d\d\.\d+) ", cell.source):  # ids count from there: a cell more in one task moves none in the others
            section, place = heading[1], 0
        if not task and not check:
            place += 1
            cell.id = f"cell-{section.replace('.', '-')}-{place}"
        if task:
            cell.id = TASKS[task].name.replace("_", "-")
            cell.metadata["nbgrader"] = _nbgrader(TASKS[task].name, solution=True)
        if check:
            cell.id = "check-" + check.replace(".", "-")
            cell.metadata["nbgrader"] = _nbgrader(f"check_{check.replace('.', '_')}", points=TASKS[check].points)
    return notebook


def _nbgrader(grade_id, solution=False, points=None):
    metadata = {"cell_type": "code", "grade": not solution, "grade_id": grade_id, "locked": not solution, "schema_version": 3, "solution": solution, "task": False}
    return metadata if solution else metadata | {"points": points}


def exercise_of(solution):
    """Return the exercise of a solution notebook."""
    notebook, _ = TakeAnswersOut().preprocess(nbformat.from_dict(solution), {})
    notebook.metadata = nbformat.from_dict(lessons.METADATA)
    return notebook


def cells_of(notebook):
    """Return what a source decides of a notebook: each cell's id, kind, text and metadata."""
    return [(cell.id, cell.cell_type, cell.source, cell.metadata) for cell in notebook.cells]


def is_current(source: Path) -> bool:
    """Say whether solution and exercise are as the source says, and the solution has run once, in order, without an error."""
    solution, exercise = (folder / f"{source.stem}.ipynb" for folder in (HERE, EXERCISES))
    if not (solution.is_file() and exercise.is_file()):
        return False
    solved = nbformat.read(solution, as_version=4)
    code = [cell for cell in solved.cells if cell.cell_type == "code"]
    ran = [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    clean = not any(output.output_type == "error" for cell in code for output in cell.outputs)
    return ran and clean and cells_of(solved) == cells_of(derive(source)) and nbformat.read(exercise, as_version=4) == exercise_of(solved)


def write(path: Path, text: str) -> None:
    with atomic_path(path) as partial:
        partial.write_text(text.rstrip("\n") + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--force", action="store_true", help="run and rewrite all of them")
    parser.add_argument("sets", nargs="*", help="01, 02 ...; none: those that have changed")
    options = parser.parse_args()
    sources = [path for path in sorted((HERE / "source").glob("[0-9]*.py")) if not options.sets or path.stem[:2] in options.sets]
    changed = [path for path in sources if options.force or not is_current(path)]
    if not changed:
        print("Every exercise and solution is as its source says. (FORCE=1 runs them all the same.)")
    with tempfile.TemporaryDirectory() as folder:
        folder = os.path.realpath(folder)
        os.environ |= {"CXRKIT_PROFILE": "demo", "TF_CPP_MIN_LOG_LEVEL": "3"} | {
            f"CXRKIT_{name}": os.path.join(folder, name.lower()) for name in ("RUNS", "CACHE", "DATA")}
        places = {folder: "~/.cache", str(HERE.parent): "cxrkit-course", os.path.expanduser("~"): "~"}
        for source in changed:
            start = time.monotonic()
            try:
                text = lessons.execute(derive(source), places)
            except CellExecutionError as problem:
                print(f"{source.stem} failed; its notebooks stay as they were.\n{problem}", file=sys.stderr)
                return 1
            solution, _ = CoalesceStreamsPreprocessor().preprocess(nbformat.reads(text, as_version=4), {})  # how prints are cut up is chance
            write(HERE / f"{source.stem}.ipynb", nbformat.writes(solution))
            write(EXERCISES / f"{source.stem}.ipynb", nbformat.writes(exercise_of(solution)))
            print(f"{source.stem:<30} solved in {time.monotonic() - start:.0f} s, {len(text) / 1e6:.2f} MB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
