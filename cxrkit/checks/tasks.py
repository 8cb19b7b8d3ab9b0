"""The table of tasks: what is asked, where the answer stands, what it is worth."""

import dataclasses
import hashlib
import unicodedata

from ..errors import CxrkitError, nearest


@dataclasses.dataclass(frozen=True)
class Task:
    """`id` "02.3"; `points`; `name` of the notebook's variable or function with the answer; `kind` value or function; `title`."""

    id: str
    points: int
    name: str
    kind: str
    title: str


@dataclasses.dataclass(frozen=True)
class ExerciseSet:
    """`number` "02", file `stem`, `title`, `minutes` of work for a student, `needs` (the notebook to have read), `tasks` (ids)."""

    number: str
    stem: str
    title: str
    minutes: int
    needs: str
    tasks: tuple


_SETS = {  # number: (stem, title, minutes, what to have read, ((points, kind, title), ...))
    "01": ("01_data_and_leakage", "Data and leakage", 45, "notebook 01", (
        (1, "value", "what a rule without skill scores"),
        (2, "function", "read the patient from a file name"),
        (2, "value", "find the leaked patient"),
        (3, "function", "write the grouped split"),
        (2, "function", "count the films that crossed over"),
        (2, "value", "find the column that gives the answer away"),
    )),
    "02": ("02_frozen", "A frozen backbone", 45, "notebook 02", (
        (1, "value", "how often the backbone looks"),
        (1, "value", "count what learns"),
        (2, "function", "mend the picture that was scaled twice"),
        (3, "function", "standardise without looking at validation"),
        (2, "function", "weights that make both classes count alike"),
        (3, "function", "fit on one side, score on the other"),
    )),
    "03": ("03_fine_tuning", "Fine-tuning", 50, "notebook 03", (
        (1, "value", "which epoch is kept"),
        (2, "value", "four learning curves, four stories"),
        (2, "value", "which changes leave the diagnosis alone"),
        (2, "function", "batch normalisation at rest"),
        (3, "function", "warm up, then cool down"),
        (3, "function", "stop when patience ends"),
    )),
    "04": ("04_thresholds_and_calibration", "Thresholds and calibration", 60, "notebook 04", (
        (1, "value", "PPV where pneumonia is rare"),
        (2, "function", "sensitivity and specificity from films"),
        (2, "function", "the AUC"),
        (3, "function", "a threshold for a stated cost"),
        (2, "value", "a calibration curve in numbers"),
        (3, "function", "the same model at another prevalence"),
    )),
    "05": ("05_capstone", "Capstone: a hospital with a problem", 75, "notebooks 01-04", (
        (2, "value", "the ranking, here and there"),
        (2, "value", "the decisions, here and there"),
        (2, "value", "test films of children who were trained on"),
        (2, "value", "what the side marker knows"),
        (3, "value", "name the problem"),
        (3, "value", "take the problem away and measure again"),
        (2, "value", "what you would do about it"),
    )),
}


def _table():
    sets, tasks = {}, {}
    for number, (stem, title, minutes, needs, rows) in _SETS.items():
        ids = [f"{number}.{k}" for k in range(1, len(rows) + 1)]
        for id, (points, kind, name) in zip(ids, rows):
            tasks[id] = Task(id, points, "answer_" + id.replace(".", "_"), kind, name)
        sets[number] = ExerciseSet(number, stem, title, minutes, needs, tuple(ids))
    return sets, tasks


SETS, TASKS = _table()


def find_task(id: str) -> Task:
    """Return a task, or name the nearest in a CxrkitError."""
    if id not in TASKS:
        raise CxrkitError(f"There is no task '{id}'.{nearest(id, TASKS)} There are {', '.join(TASKS)}.")
    return TASKS[id]


def find_set(number: str) -> ExerciseSet:
    """Return a set by its number, or name the nearest in a CxrkitError."""
    if number not in SETS:
        raise CxrkitError(f"There is no set '{number}'.{nearest(number, SETS)} There are {', '.join(SETS)}.")
    return SETS[number]


def world_seed(number: str, student: str | int | None = "") -> int:
    """Return the seed of the data that a student's notebook of this set shows.

    0 in sets 01-04, so that a class can talk about the same numbers. In 05 it is drawn from the student's name; spaces around it,
    letter case and the way in which an accent is stored (a Mac's folders keep it apart from its letter) make no difference, and no name gives 0.
    """
    name = unicodedata.normalize("NFC", unicodedata.normalize("NFC", "" if student is None else str(student)).strip().casefold())
    if find_set(number).number != "05" or not name:
        return 0
    return 1 + int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % 1_000_000
