"""Submissions as files: found, opened and read without trusting them. Nothing of a notebook is run here."""

import dataclasses
import hashlib
import json
import os
import re
import stat
from pathlib import Path

from .. import config
from ..checks.tasks import TASKS
from ..errors import CxrkitError

LARGEST = 20_000_000  # bytes; outputs with many figures stay well below
CELLS = 2000


@dataclasses.dataclass
class Submission:
    """One student's notebook.

    student : the folder's name; sha256 : of the file, "" where none could be read
    problem : why nothing of it can be run, or ""
    cells : sources of the code cells, in order; parameters : how many of them come up to and with the cell that gives the parameters
    typed : what the notebook gives as `student`, or None where it gives nothing
    notes : what differs from the exercise that was handed out, one sentence each; lost : {task: what became of its cell}
    """

    student: str
    sha256: str = ""
    problem: str = ""
    cells: list = dataclasses.field(default_factory=list)
    parameters: int = 0
    typed: str | None = None
    notes: list = dataclasses.field(default_factory=list)
    lost: dict = dataclasses.field(default_factory=dict)


def find_students(folder) -> list[str]:
    """Return the names of the student folders, sorted; CxrkitError where there is none."""
    folder = Path(folder)
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith((".", "__")) and (entry.is_symlink() or entry.is_dir()))
    except OSError as problem:
        raise CxrkitError(f"{folder}: {problem.strerror}. Give the folder that holds one folder for each student.") from None
    if not names:
        raise CxrkitError(f"{folder} holds no folders. It must hold one for each student: {folder}/STUDENT/SET.ipynb")
    return names


def read_submission(folder, student: str, stem: str) -> Submission:
    """Return what a student handed in for a set; what is wrong with it stands in `problem`, and nothing is raised."""
    found = Submission(os.fsencode(student).decode("utf-8", "replace"))  # a name may hold bytes that are no text
    try:
        data = _bytes(Path(folder) / student, f"{stem}.ipynb")
        found.sha256 = hashlib.sha256(data).hexdigest()
        cells = _cells(data)
    except _Unreadable as problem:
        found.problem = str(problem)
        return found
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    found.cells = [cell["source"] for cell in code]
    # The tag may be gone, or stand on another part of a cell that was split: the first cell that gives the name counts before it.
    tagged = next((number for number, cell in enumerate(code, 1) if "parameters" in cell["tags"]), 0)
    names = ((number, given[2]) for number, cell in enumerate(code, 1) if (given := _STUDENT.search(cell["source"])))
    found.parameters, found.typed = next(names, (tagged, None))
    _compare(found, cells, released_cells(stem))
    return found


_STUDENT = re.compile(r"""^student\s*(?::\s*str\s*)?=\s*(["'])(.*?)\1""", re.MULTILINE)


class _Unreadable(Exception):
    pass


def _bytes(home, name):
    """Return the file's bytes. Links are not followed, and neither devices nor huge files are read."""
    if home.is_symlink():
        raise _Unreadable("the student's folder is a link to somewhere else")
    path = home / name
    try:
        # A pipe would wait for a writer for ever; O_NONBLOCK does not.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        others = sorted(entry.name for entry in home.glob("*.ipynb"))[:3]
        raise _Unreadable(f"{name} is missing" + (f"; the folder holds {', '.join(others)}" if others else "")) from None
    except OSError as problem:
        raise _Unreadable("the notebook is a link to another file" if path.is_symlink() else f"{name} cannot be opened ({problem.strerror})") from None
    facts = os.fstat(descriptor)
    why = "" if stat.S_ISREG(facts.st_mode) else f"{name} is no regular file"
    if facts.st_size > LARGEST:
        why = f"{name} has {facts.st_size / 1e6:,.0f} MB; {LARGEST / 1e6:.0f} MB is the most that is read"
    if why:
        os.close(descriptor)
        raise _Unreadable(why)
    with open(descriptor, "rb") as file:
        return file.read(LARGEST)


def _cells(data) -> list[dict]:
    """Return the cells as {cell_type, source, tags, grade_id, solution}; every part is looked at before it is used."""
    try:
        notebook = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise _Unreadable("the file is not text, so no notebook") from None
    except (ValueError, RecursionError, MemoryError):
        raise _Unreadable("the file is not valid JSON, so no notebook (an upload that broke off?)") from None
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        old = isinstance(notebook, dict) and "worksheets" in notebook
        raise _Unreadable("the notebook has a format older than 4; open and save it in JupyterLab" if old else "the file is JSON, but no notebook: it has no cells")
    if len(notebook["cells"]) > CELLS:
        raise _Unreadable(f"the notebook has {len(notebook['cells'])} cells; {CELLS} is the most that is read")
    return [_cell(cell) for cell in notebook["cells"] if isinstance(cell, dict)]


def _cell(cell):
    source, metadata = cell.get("source", ""), cell.get("metadata")
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    metadata = metadata if isinstance(metadata, dict) else {}
    nbgrader, tags = metadata.get("nbgrader"), metadata.get("tags")
    nbgrader = nbgrader if isinstance(nbgrader, dict) else {}
    return {"cell_type": str(cell.get("cell_type")), "source": source if isinstance(source, str) else "", "tags": tags if isinstance(tags, list) else [],
            "grade_id": str(nbgrader.get("grade_id") or ""), "solution": nbgrader.get("solution") is True}


def released_cells(stem: str) -> list[dict]:
    """Return the cells of the exercise as it is handed out, or [] where the kit is installed without its exercises."""
    home = config.checkout()
    path = home / "exercises" / f"{stem}.ipynb" if home else None
    return _cells(path.read_bytes()) if path and path.is_file() else []


def _compare(found, cells, released):
    """Note cells that were deleted, doubled, moved or turned into another type, by nbgrader's names."""
    ours = [cell for cell in released if cell["grade_id"]]
    theirs = {}
    for cell in cells:
        theirs.setdefault(cell["grade_id"], []).append(cell)
    for cell in ours:
        same = theirs.get(cell["grade_id"], [])
        task, name = _task(cell), cell["grade_id"]
        if not same:
            what = "was deleted"
        elif all(other["cell_type"] != cell["cell_type"] for other in same):
            what = f"was turned into a {same[0]['cell_type']} cell, which does not run" if cell["cell_type"] == "code" else f"became {same[0]['cell_type']}"
        elif len(same) > 1:
            found.notes.append(f"the cell {name} stands there {len(same)} times; what the last one leaves counts")
            continue
        else:
            continue
        found.notes.append(f"the cell {name} {what}")
        if task:
            found.lost[task] = f"the cell {name} {what}"
    order = [cell["grade_id"] for cell in ours if cell["grade_id"] in theirs]
    present = list(dict.fromkeys(cell["grade_id"] for cell in cells if cell["grade_id"] in order))
    if present != order:
        moved = next(name for name, other in zip(present, order) if name != other)
        found.notes.append(f"cells were moved (the first that is out of order: {moved}); they ran as they stand")


def _task(cell):
    """Return the task whose answer a handed-out cell holds, or None."""
    names = re.findall(r"\banswer_\d\d_\d+\b", cell["source"]) if cell["solution"] else []
    return next((task.id for task in TASKS.values() if task.name in names), None)
