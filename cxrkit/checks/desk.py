"""What a student calls: check, hint, progress."""

import datetime
import json
import os
import warnings
from pathlib import Path

from .. import locate
from ..errors import CxrkitError
from ..files import locked, write_json
from .plain import NotPlain, call, to_plain
from .tasks import SETS, TASKS, find_set, find_task, world_seed


def check(task: str, answer=None, *, student: str = "", **facts) -> float:
    """Look at an answer and print what is right in it, and which misconception it looks like.

    Parameters
    ----------
    task : such as "02.3".
    answer : the value, or the function, that the task asks for.
    student : set 05 only: the name with which the notebook was opened.
    facts : in a lesson's notebook, what its one question is about; an exercise needs none.

    Returns
    -------
    The points earned: the task's where its checks passed, else 0.0. A course that grades with nbgrader reads it from the cell.
    Nothing is sent anywhere. Introduced in notebook 01.
    """
    found = find_task(task)
    if os.environ.get("CXRKIT_GRADING"):
        print(f"{task}: handed in.")
        return 0.0
    from . import lesson, verdict

    if facts:
        return lesson.ask(task, answer, facts)
    seed = world_seed(task[:2], student)
    try:
        from .judge import judge

        passed = judge(task, _collect(found, answer, seed), seed=seed)
    except NotPlain as problem:
        passed = verdict.Verdict(False, [], verdict.FORM, f"The answer holds {problem}. Give plain numbers, texts, lists, dicts or arrays.")
    _show(found, passed)
    if passed.misconception != verdict.UNTOUCHED:
        _note(task, passed.passed)
    return float(found.points) if passed.passed else 0.0


def _collect(task, answer, seed):
    """Return what a judge reads: a plain value, or the outcomes of a function on the task's inputs."""
    if answer is None or task.kind == "value":
        return to_plain(answer)
    from .inputs import inputs

    with warnings.catch_warnings(action="ignore"):  # a warning of NumPy's is no part of the answer
        return [call(answer, arguments) for arguments in inputs(task.id, seed)]


def _show(task, verdict):
    from .verdict import PLAIN_REASONS

    if verdict.passed:
        print(f"{task.id}: these checks passed ({task.points} of {task.points} points). {verdict.message}".rstrip())
    else:
        known = verdict.misconception not in (None, *PLAIN_REASONS)
        print(f"{task.id}: not yet. {f'It looks like: {verdict.misconception}. ' if known else ''}{verdict.message}")
    if verdict.right:
        print(f"  right: {'; '.join(verdict.right)}")
    if not verdict.passed:
        print(f"  for a hint: hint(\"{task.id}\")")


def hint(task: str, tier: int | None = None) -> None:
    """Print a hint, the next of three each time it is asked for: where to look, what to do, how to do it. Never the answer.

    tier : 1, 2 or 3 prints that one.
    """
    from .hints import HINTS

    find_task(task)
    if tier not in (None, 1, 2, 3):
        raise CxrkitError(f"Hints come in tiers 1, 2 and 3, not {tier!r}.")
    if tier is None:
        tier = min(_asked.get(task, 0) + 1, 3)
    _asked[task] = tier
    more = f"  (the next: hint(\"{task}\") once more)" if tier < 3 else "  (that was the last one)"
    print(f"{task}, hint {tier} of 3: {HINTS[task][tier - 1]}\n{more}")


_asked = {}  # hints given in this session


def progress(number: str | None = None) -> None:
    """Print which tasks have passed their checks on this computer. `number` "02" shows one set. Kept in one local file, sent nowhere."""
    shown = [find_set(number)] if number else SETS.values()
    done = _read()
    for row in shown:
        earned = sum(TASKS[id].points for id in row.tasks if done.get(id, {}).get("passed"))
        total = sum(TASKS[id].points for id in row.tasks)
        marks = " ".join(f"{id} {'passed' if done[id].get('passed') else 'tried'}" if id in done else f"{id} -" for id in row.tasks)
        print(f"{row.number}  {row.title:<36} {earned:>2} of {total} points   {marks}")
    print(f"Kept on this computer only: {_file()}")


def _file() -> Path:
    return locate.data_folder() / "progress.json"


def _read() -> dict:
    try:
        content = json.loads(_file().read_text(encoding="utf-8"))
        return {id: row for id, row in content.items() if id in TASKS and isinstance(row, dict)}
    except (OSError, ValueError, AttributeError):  # none yet, or one that somebody edited: begin anew
        return {}


def _note(task, passed):
    """Remember a result; a task that has passed stays passed. A folder that cannot be written costs the memory, not the check."""
    try:
        _file().parent.mkdir(parents=True, exist_ok=True)
        with locked(_file().with_suffix(".lock")):
            done = _read()
            row = done.get(task, {"tries": 0, "passed": False})
            done[task] = {"tries": int(row.get("tries", 0)) + 1, "passed": bool(row.get("passed")) or passed,
                          "last": datetime.datetime.now().isoformat(timespec="seconds")}
            write_json(_file(), done)
    except (OSError, CxrkitError, ValueError, TypeError):
        pass
