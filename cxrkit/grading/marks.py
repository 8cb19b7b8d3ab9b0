"""From what a notebook stated to points and reasons. Runs outside, on plain values only."""

import contextlib
import re
import signal

from ..checks import plain
from ..checks.inputs import inputs
from ..checks.judge import judge
from ..checks.tasks import SETS, TASKS, world_seed
from ..checks.verdict import PLAIN_REASONS, UNTOUCHED

JUDGING = 60  # seconds for one answer


def questions(number: str, seed: int) -> list[dict]:
    """Return what the sandbox is asked: each task's name, and for a function its inputs. Expected values are not among it."""
    rows = []
    for id in SETS[number].tasks:
        asked = plain.dumps(inputs(id, seed)).decode() if TASKS[id].kind == "function" else None
        rows.append({"id": id, "name": TASKS[id].name, "inputs": asked})
    return rows


def warm_up(number: str, seed: int) -> None:
    """Judge a nonsense answer to each task, so that what the judges load and compute is there before the class's processes split off."""
    for id in SETS[number].tasks:
        judge(id, 0 if TASKS[id].kind == "value" else [], seed=world_seed(number) if TASKS[id].kind == "value" else seed)


def _drawn(number):
    return world_seed(number, "anybody") != world_seed(number)


def parameters(number: str, submission) -> dict:
    """Return the parameters that the notebook gets: in a set that is drawn by student, the name on the folder, whatever stands in the cell."""
    return {"after": submission.parameters, "values": {"student": submission.student} if _drawn(number) else {}}


def another_world(number: str, submission) -> str:
    """Return what to say where a notebook was worked on under another name than its folder's, which draws other data; else ""."""
    if submission.typed is None or not _drawn(number) or world_seed(number, submission.typed) == world_seed(number, submission.student):
        return ""
    return (f"the notebook says student = '{submission.typed[:60]}', its folder is '{submission.student}', and the folder counts: answers that were typed in belong to "
            "other data. Name the folder as the student typed it, and grade again")


def mark(number: str, seed: int, submission, outcome) -> list[dict]:
    """Return one row a task: id, title, points, of, answered, passed, misconception, right, message, reason."""
    return [_row(TASKS[id], number, seed, submission, outcome) for id in SETS[number].tasks]


def unread(number: str, why: str) -> list[dict]:
    """Return the rows of a submission of which nothing could be run."""
    return [_lost(TASKS[id], why) for id in SETS[number].tasks]


def _row(task, number, seed, submission, outcome):
    if task.id in outcome.refused:
        return _lost(task, outcome.refused[task.id]) | {"answered": True}
    if task.id not in outcome.answers:
        return _lost(task, _why_missing(task, submission, outcome))
    known = world_seed(number, submission.student) if task.kind == "value" else seed
    try:
        with _in_time():
            verdict = judge(task.id, outcome.answers[task.id], seed=known)
    except Exception as problem:  # a stranger's value has surprised a judge: that costs this task, and nothing else
        return _lost(task, f"the answer could not be judged ({type(problem).__name__})")
    misconception = verdict.misconception if verdict.misconception not in PLAIN_REASONS else None
    reason = "these checks passed" if verdict.passed else f"{misconception}: {verdict.message}" if misconception else verdict.message
    return {"id": task.id, "title": task.title, "points": task.points if verdict.passed else 0, "of": task.points, "answered": verdict.misconception != UNTOUCHED,
            "passed": verdict.passed, "misconception": misconception, "right": [str(line) for line in verdict.right], "message": verdict.message, "reason": reason}


def _lost(task, why):
    return {"id": task.id, "title": task.title, "points": 0, "of": task.points, "answered": False, "passed": False, "misconception": None,
            "right": [], "message": f"{why[:1].upper()}{why[1:]}.", "reason": why}


def _why_missing(task, submission, outcome):
    """Say why there is no answer: the nearest cause that is known."""
    if task.id in submission.lost:
        return f"no answer: {submission.lost[task.id]}"
    sets = re.compile(rf"^\s*(?:def\s+)?{task.name}\s*[(=:]", re.MULTILINE)
    setters = [number for number, source in enumerate(submission.cells, 1) if sets.search(source)]
    for number in setters:
        if number in outcome.errors:
            return f"no answer: code cell {number} stopped ({outcome.errors[number]})"
    if outcome.ended and (not setters or max(setters) >= outcome.cell):
        return f"no answer: {outcome.ended}"
    return "not answered" if setters else f"no answer: no code cell sets {task.name}"


@contextlib.contextmanager
def _in_time():
    """Raise TimeoutError in what takes too long: a judge is the kit's own code, but the value is a stranger's."""

    def late(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(JUDGING)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
