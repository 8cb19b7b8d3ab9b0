"""Grades a class: one process a notebook, results kept one file a student, so that an interrupted run loses nothing."""

import dataclasses
import hashlib
import json
import multiprocessing
import os
import resource
import secrets
import sys
from multiprocessing import connection
from pathlib import Path

import psutil

from .. import __version__
from ..checks.tasks import find_set
from ..errors import CxrkitError
from ..files import write_json
from ..progress import Progress
from . import isolation as isolating
from . import marks, sandbox, submission

JUDGE_MB = 3000  # memory of the process that reads and judges one submission
_GRADERS_FAULT = "the grader itself failed on this notebook"


@dataclasses.dataclass
class ClassResult:
    """`results`: one dict a student, in the order of their names; `ran`, `kept`: how many were run and how many stood already;
    `failed`: students whose notebooks the grader itself could not grade."""

    results: list
    isolation: isolating.Isolation
    seed: int
    ran: int
    kept: int

    @property
    def failed(self) -> list:
        return [result["student"] for result in self.results if result["problem"].startswith(_GRADERS_FAULT)]


@dataclasses.dataclass(frozen=True)
class _Plan:
    folder: Path
    out: Path
    number: str
    stem: str
    seed: int
    kit: str
    limits: sandbox.Limits
    isolation: isolating.Isolation
    force: bool
    jobs: int


def grade_class(folder, exercise: str, out, *, seed=None, jobs=None, limits=sandbox.Limits(), isolation="auto", force=False) -> ClassResult:
    """Run and judge every submission of an exercise set.

    Parameters
    ----------
    folder : holds <student>/<set>.ipynb.
    exercise : the set's number, such as "02".
    out : folder for the results; made where missing. Results in it that are of the same notebook, kit, seed, limits and isolation stand.
    seed : of the inputs that functions are tried with; None: the one in `out`, else drawn at random.
    jobs : notebooks at a time; None: one a core, as far as the memory goes.
    limits : for each notebook.
    isolation : auto (the best that works here), bwrap, unshare or limits.
    force : run every notebook again.

    Returns
    -------
    ClassResult.

    Raises
    ------
    CxrkitError for arguments that cannot be meant, before anything is run or written.
    """
    row = find_set(exercise)
    folder, out = Path(folder).absolute(), Path(out).absolute()
    students = submission.find_students(folder)
    if out == folder or out.is_relative_to(folder):
        raise CxrkitError(f"--out {out} lies in the submissions' folder, where it would be taken for a student's. Choose a folder outside it.")
    if jobs is not None and jobs < 1 or min(dataclasses.astuple(limits)) <= 0:
        raise CxrkitError("Jobs and limits must be greater than 0.")
    if seed is not None and not 0 <= seed < 2**31:
        raise CxrkitError(f"--seed must lie between 0 and {2**31 - 1}, not {seed}.")
    state = _state(out, row.number)
    chosen = choose_isolation(isolation, (folder, out))
    seed = seed if seed is not None else state.get("seed", secrets.randbelow(2**31))
    try:
        (out / "results").mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise CxrkitError(f"{out} cannot be made ({problem.strerror}). Choose another folder with --out PATH.") from None
    write_json(out / "grading.json", {"exercise": row.number, "seed": seed})
    plan = _Plan(folder, out, row.number, row.stem, seed, kit_fingerprint(), limits, chosen, force, jobs or usual_jobs(limits))
    marks.warm_up(row.number, seed)
    results = _run(plan, students)
    ran = sum(result.pop("fresh") for result in results)
    return ClassResult(results, chosen, seed, ran, len(results) - ran)


def usual_jobs(limits) -> int:
    """Return how many notebooks run at a time: one a core, fewer where memory is short."""
    return max(1, min(len(_cores()), int(psutil.virtual_memory().available * 0.9 / (limits.memory_mb * sandbox.MB))))


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def kit_fingerprint() -> str:
    """Return the kit's version with a hash of what makes, runs and judges exercises, so that a changed check is a changed kit."""
    digest = hashlib.sha256()
    for part in ("checks", "data", "evaluation", "grading"):
        for path in sorted((isolating.KIT / part).rglob("*.py")):
            digest.update(path.read_bytes())
    return f"{__version__}-{digest.hexdigest()[:12]}"


def choose_isolation(wanted: str, hidden) -> isolating.Isolation:
    """Return the best isolation that a trial run has shown to work; CxrkitError where none does."""
    said = []
    for candidate in isolating.candidates(wanted, hidden):
        complaint = _in_process(_try_isolation, candidate)
        if not complaint:
            why = f" What was tried: {'; '.join(said)}." if said and candidate.warning else ""
            return dataclasses.replace(candidate, warning=candidate.warning + why)
        said.append(f"{candidate.method}: {complaint}")
    raise CxrkitError(f"No isolation works here ({'; '.join(said) or f'{wanted} is not installed'}).\n"
                      "Install bubblewrap (Debian, Ubuntu: sudo apt install bubblewrap), or grade as an ordinary user who can run this Python.")


_TRIAL = """
import os, socket
answer = dict(user=os.getuid(), places=[p for p in {places!r} if os.path.exists(p)], links=[name for _, name in socket.if_nameindex()])
"""


def _try_isolation(candidate):
    """Run a notebook that looks around; return "" or what is wrong."""
    sandbox.adopt_orphans()
    places = [path for path in (*candidate.hidden, str(isolating.KIT / "checks" / "judge.py"))]
    asked = [{"id": "trial", "name": "answer", "inputs": None}]
    outcome = sandbox.run_notebook([_TRIAL.format(places=places)], asked, candidate, sandbox.Limits(seconds=60, cell_seconds=20))
    seen = outcome.answers.get("trial")
    if not isinstance(seen, dict):
        return outcome.ended or " ".join(outcome.errors.values()) or "the trial notebook gave no answer"
    if seen["user"] == 0 and (os.geteuid() == 0 or not candidate.namespaces):
        return "the notebook ran as root"
    if candidate.namespaces and (seen["places"] or seen["links"] not in (["lo"], [])):
        return f"the notebook could see {', '.join(seen['places'] + seen['links'])}"
    return ""


def _in_process(function, *arguments):
    """Return what a function returns in a process of its own."""
    ours, theirs = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=lambda: theirs.send(function(*arguments)))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        return "the trial ended without a word"
    finally:
        process.join()


# A fork has everything loaded already; this process has no threads of its own when it forks.
_CONTEXT = multiprocessing.get_context("fork") if hasattr(os, "fork") else None


def _run(plan, students):
    """Run the class, a few at a time; return the results in order."""
    waiting, running, results, free = list(enumerate(students)), {}, {}, list(range(plan.jobs))
    progress = Progress(f"Grading {plan.stem}", len(students))
    try:
        while waiting or running:
            while waiting and free:
                index, student = waiting.pop(0)
                slot = free.pop(0)
                process = _CONTEXT.Process(target=_work, args=(plan, student, slot))
                process.start()
                running[process.sentinel] = process, index, student, slot
            for sentinel in connection.wait(list(running)):
                process, index, student, slot = running.pop(sentinel)
                process.join()
                free.append(slot)
                results[index] = _collect(plan, student, process.exitcode)
                progress.update(len(results), f"{printable(student)}: {sum(row['points'] for row in results[index]['tasks'])} points")
    finally:
        for process, *_ in running.values():
            process.terminate()
        for process, *_ in running.values():
            process.join()
    progress.close(f"{len(students)} submissions")
    return [results[index] for index in range(len(students))]


def _work(plan, student, slot):
    """Grade one submission, in a process of its own; leave the result as a file."""
    import signal

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the sandbox is ended as well
    sandbox.adopt_orphans()
    if sys.platform == "linux":  # what is read and judged here is a stranger's
        resource.setrlimit(resource.RLIMIT_DATA, (JUDGE_MB * sandbox.MB, resource.RLIM_INFINITY))
    path = _result_path(plan, student)
    found = submission.read_submission(plan.folder, student, plan.stem)
    key = {"student": student, "sha256": found.sha256, "exercise": plan.number, "seed": plan.seed, "kit": plan.kit,
           "limits": dataclasses.asdict(plan.limits), "isolation": plan.isolation.method}
    kept = _read(path)
    if not plan.force and found.sha256 and kept.get("key") == key:
        sys.exit(_KEPT)
    try:
        result = _grade(plan, found, slot)
    except Exception as problem:  # the grader's own fault, or the machine's: said, and tried again next time
        why = f"{_GRADERS_FAULT} ({type(problem).__name__}: {str(problem)[:200]})"
        result = _result(found, marks.unread(plan.number, why), why, plan) | {"key": None}
    write_json(path, {"key": key} | result)


_KEPT = 3  # exit code of a process whose result stood already


def _grade(plan, found, slot):
    if found.problem:
        return _result(found, marks.unread(plan.number, found.problem), found.problem, plan)
    outcome = sandbox.run_notebook(
        found.cells, marks.questions(plan.number, plan.seed), plan.isolation, plan.limits, slot,
        _cores()[slot::plan.jobs], marks.parameters(plan.number, found))
    rows = marks.mark(plan.number, plan.seed, found, outcome)
    if outcome.ended:
        found.notes.append(outcome.ended)
    renamed = marks.another_world(plan.number, found)
    found.notes[:0] = filter(None, [renamed])
    errors = [f"code cell {number} stopped: {text}" for number, text in sorted(outcome.errors.items())]
    result = _result(found, rows, "" if outcome.started else outcome.ended, plan, found.notes + errors[:20])
    if not outcome.started:
        result["key"] = None  # the machine's fault, not the notebook's: tried again next time
    return result | {"seconds": round(outcome.seconds, 1), "peak_mb": outcome.peak_mb, "renamed": renamed}


def _result(found, rows, problem, plan, notes=()):
    return {"student": found.student, "problem": problem, "notes": list(notes), "tasks": rows, "isolation": plan.isolation.method, "seconds": 0, "peak_mb": 0}


def _collect(plan, student, code):
    """Return a student's result from the file; where the process died over it, a result that says so."""
    result = _read(_result_path(plan, student)) if code in (0, _KEPT) else {}
    if not result:
        why = f"{_GRADERS_FAULT} (its process ended with exit code {code})"
        result = _result(submission.Submission(student), marks.unread(plan.number, why), why, plan)
    return result | {"fresh": code != _KEPT, "slug": slug(student)}


def _result_path(plan, student):
    return plan.out / "results" / f"{slug(student)}.json"


def slug(student: str) -> str:
    """Return a file name for a student: readable as far as it is plain ASCII, and unique."""
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in student)[:40].strip("-")
    return f"{plain or 'student'}-{hashlib.sha256(os.fsencode(student)).hexdigest()[:8]}"


def printable(text: str) -> str:
    """Return text without control characters and undecodable bytes, for a terminal, a table or a page."""
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else "\ufffd" for letter in text)


def _read(path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _state(out, number):
    """Return what an earlier run left in `out`, which must be of the same set."""
    if out.exists() and not out.is_dir():
        raise CxrkitError(f"--out {out} is a file. Name a folder.")
    state = _read(out / "grading.json")
    if state and state.get("exercise") != number:
        raise CxrkitError(f"{out} holds the results of set {state.get('exercise')}. Choose another folder with --out PATH.")
    return state
