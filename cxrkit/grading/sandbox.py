"""Runs one notebook in its isolation, watches it from outside, and takes plain values from its pipe.

Nothing that the student's code does is believed but the values that it states; time, memory, processes and the size of what it
says are measured out here.
"""

import contextlib
import dataclasses
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import psutil

from ..checks import plain
from . import isolation as isolating
from .inside.agent import NO_MEMORY

MB = 1_000_000
SAID = 64 * MB  # bytes on the pipe, all lines together
PROCESSES = 48  # at once; the hard limit on threads lies above
THREADS = 200
SCARCE = 1500 * MB  # of the machine's memory left
GRACE = 3.0  # seconds that a cell has after its time to let itself be stopped
_TICK = 0.2  # seconds between two looks at memory and processes


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one notebook may use: seconds in all and a cell, MB of memory, MB of files together."""

    seconds: float = 900
    cell_seconds: float = 180
    memory_mb: int = 3000
    files_mb: int = 256


@dataclasses.dataclass
class Outcome:
    """What a notebook stated, and how it ended.

    answers : {task: plain value}; refused : {task: why the stated value is no answer}
    errors : {cell's number: one line}; cell : the last one that began; started : whether any could
    ended : "" after the last cell, else the sentence that says what ended it
    """

    answers: dict = dataclasses.field(default_factory=dict)
    refused: dict = dataclasses.field(default_factory=dict)
    errors: dict = dataclasses.field(default_factory=dict)
    cell: int = 0
    started: bool = False
    ended: str = ""
    seconds: float = 0.0
    peak_mb: int = 0


def run_notebook(cells, answers, isolation, limits=Limits(), slot=0, cores=None, parameters=None) -> Outcome:
    """Run code cells in order and return what they stated.

    Parameters
    ----------
    cells : sources of the code cells.
    answers : [{"id", "name", "inputs"}]; `inputs` is `plain.dumps` of argument lists for a function, or None for a value.
    isolation : from `isolation.candidates`.
    limits : Limits.
    slot : number of this run among those that go on at the same time.
    cores : numbers of the processor cores to run on, so that a notebook that spins slows down nobody else's; None: all.
    parameters : {"after": number of code cells, "values": {name: value}}, set there as papermill would.
    """
    with isolating.free_user(slot) as uid, _folder(isolation, uid) as (home, leave):
        job = {"cells": cells, "cores": cores, "parameters": parameters or {"after": 0, "values": {}}, "answers": answers,
               "cell_seconds": limits.cell_seconds, "limits": _hard_limits(limits, uid)}
        watch = _Watch(limits, uid if isolation.method == "limits" else None)
        try:
            watch.run(isolating.command(isolation, uid, limits.files_mb * MB), job, _environment(home), home, leave)
        finally:
            watch.kill()
    return watch.outcome


@contextlib.contextmanager
def _folder(isolation, uid):
    """Give the working folder as the notebook names it, and what drops the user where no namespace does it."""
    if isolation.namespaces:
        yield isolating.HOME, {}
        return
    home = tempfile.mkdtemp(prefix="cxrkit-submission-")
    leave = {}
    if uid is not None:
        os.chown(home, uid, uid)
        leave = {"user": uid, "group": uid, "extra_groups": []}
    try:
        yield home, leave
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _environment(home):
    """The few variables that a notebook gets; nothing of the grader's own environment."""
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")}
    return threads | {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": home, "TMPDIR": home, "LANG": "C.UTF-8", "USER": "student", "LOGNAME": "student",
        "MPLBACKEND": "agg", "IPYTHONDIR": f"{home}/.ipython", "PYTHONDONTWRITEBYTECODE": "1", "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1", "CXRKIT_GRADING": "1", "CXRKIT_PROFILE": "demo", "CXRKIT_CACHE": f"{home}/cache",
        "CXRKIT_RUNS": f"{home}/runs", "CXRKIT_DATA": f"{home}/data"}


def _hard_limits(limits, uid):
    """Limits that the kernel holds, each for one process; the watch outside holds them for all together."""
    return {
        "RLIMIT_DATA": limits.memory_mb * MB, "RLIMIT_FSIZE": limits.files_mb * MB, "RLIMIT_NOFILE": 512, "RLIMIT_CORE": 0,
        "RLIMIT_CPU": int(limits.seconds * (os.cpu_count() or 1)) + 10, "RLIMIT_NPROC": THREADS + _threads_of(uid), "RLIMIT_MSGQUEUE": 0}


def _threads_of(uid):
    """Count the threads that a user has already: some kernels count them against a notebook that runs as that user."""
    user = os.geteuid() if uid is None else uid
    running = psutil.process_iter(["uids", "num_threads"])
    return sum(process.info["num_threads"] or 0 for process in running if process.info["uids"] and process.info["uids"].real == user)


class _Watch:
    """One running agent: reads its lines, measures it, ends it."""

    def __init__(self, limits, uid):
        self.limits, self.uid, self.outcome, self.process = limits, uid, Outcome(), None
        self.heard, self.rest, self.complaint, self.done = 0, [], b"", False

    def run(self, command, job, environment, home, leave):
        self.begun = self.cell_begun = time.monotonic()
        self.others = {process.pid for process in psutil.Process().children(recursive=True)}
        folder = {"cwd": home} if leave or home != isolating.HOME else {}
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, start_new_session=True, **folder, **leave)
        except OSError as problem:
            self.outcome.ended = f"the sandbox did not start ({problem.filename}: {problem.strerror})"
            return
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(job).encode())
            self.process.stdin.close()
        self.looked = 0.0
        while not self.done and not self.outcome.ended:
            alive = self.listen()
            self.look()
            if not alive:
                break
        self.outcome.seconds = time.monotonic() - self.begun
        if not self.done and not self.outcome.ended:
            self.outcome.ended = self.post_mortem()

    def listen(self):
        """Take what is on the pipes; False when the agent has gone."""
        pipes = [self.process.stdout, self.process.stderr]
        gone = self.process.poll() is not None  # asked before reading: what was said until then is still read
        heard = False
        for pipe in select.select(pipes, [], [], 0 if gone else _TICK)[0]:
            chunk = os.read(pipe.fileno(), 1 << 20)
            heard = heard or bool(chunk)
            if pipe is self.process.stderr:
                self.complaint = (self.complaint + chunk)[-4000:]
            else:
                self.take(chunk)
            if not chunk and not gone:
                time.sleep(0.02)  # closed, though something still runs: the clock decides
        return heard or not gone

    def take(self, chunk):
        self.heard += len(chunk)
        if self.heard > SAID:
            self.outcome.ended = f"it stated more than {SAID // MB} MB of answers"
            return
        self.rest.append(chunk)
        if b"\n" not in chunk:
            return
        *lines, rest = b"".join(self.rest).split(b"\n")
        self.rest = [rest]
        for line in lines:
            with contextlib.suppress(ValueError):  # not a line of the agent's: believed as little as the rest, and of no use
                self.understand(line)

    def understand(self, line):
        verb, _, rest = line.partition(b" ")
        name, _, text = rest.partition(b" ")
        outcome = self.outcome
        if verb == b"ready":
            outcome.started = True
            self.cell_begun = time.monotonic()
        elif verb == b"cell":
            outcome.cell = int(name)
            self.cell_begun = time.monotonic()
        elif verb == b"trying":
            self.cell_begun = time.monotonic()
        elif verb == b"error":
            text = text.decode("utf-8", "replace")[:300]
            outcome.errors[int(name)] = f"it ran longer than {self.limits.cell_seconds:g} s and was stopped" if text == "TIME" else text
        elif verb in (b"answer", b"refused"):
            task = name.decode("utf-8", "replace")[:40]
            outcome.answers.pop(task, None), outcome.refused.pop(task, None)
            if verb == b"refused":
                why = text.decode("utf-8", "replace")[:300]
                outcome.refused[task] = f"calling your function took longer than {self.limits.cell_seconds:g} s" if why == "TIME" else why
                return
            try:
                if text.count(b",") + text.count(b"[") > plain.ITEMS:  # counted before any list is made of it
                    raise plain.NotPlain(f"more than {plain.ITEMS:,} values")
                outcome.answers[task] = plain.loads(text)
            except (plain.NotPlain, MemoryError) as problem:
                outcome.refused[task] = f"what was handed in is {problem}"[:300]
        elif verb == b"done":
            self.done = True

    def look(self):
        """Measure what runs; end it where it is too much."""
        now = time.monotonic()
        if now - self.looked < _TICK:
            return
        self.looked = now
        if now - self.begun > self.limits.seconds:
            self.outcome.ended = f"the notebook ran longer than {self.limits.seconds:g} s"
        elif now - self.cell_begun > self.limits.cell_seconds + GRACE:
            self.outcome.ended = f"{self.where()} ran longer than {self.limits.cell_seconds:g} s and did not stop when asked to"
        else:
            self.measure()

    def measure(self):
        family = self.family()
        if len(family) > PROCESSES:
            self.outcome.ended = f"{self.where()} started more than {PROCESSES} processes at once"
            return
        # A fork shares its parent's pages, so only what it has beyond them counts; where memory runs short, all of it does.
        # (The exact share of each page waits for a lock that a fork bomb holds.)
        resident, parents = {}, {}
        for process in family:
            with contextlib.suppress(psutil.Error):
                parents[process.pid], resident[process.pid] = process.ppid(), process.memory_info().rss
        scarce = psutil.virtual_memory().available < SCARCE
        memory = sum(resident.values() if scarce else (max(0, rss - resident.get(parents[pid], 0)) for pid, rss in resident.items()))
        self.outcome.peak_mb = max(self.outcome.peak_mb, memory // MB)
        if memory > self.limits.memory_mb * MB:
            self.outcome.ended = f"{self.where()} used more than {self.limits.memory_mb} MB of memory"

    def where(self):
        return f"code cell {self.outcome.cell}" if self.outcome.cell else "the start"

    def family(self):
        """All processes of this run. Those that left their parents come to this process, which adopts orphans (`adopt_orphans`)."""
        try:
            found = [process for process in psutil.Process().children(recursive=True) if process.pid not in self.others]
        except psutil.Error:
            return []
        if self.uid is not None:
            known = {process.pid for process in found}
            found += [process for process in psutil.process_iter(["uids"]) if process.pid not in known and process.info["uids"] and process.info["uids"].real == self.uid]
        return found

    def post_mortem(self):
        """Say how an agent went that did not say goodbye."""
        self.process.wait()
        code = self.process.returncode
        if not self.outcome.started:
            last = self.complaint.decode("utf-8", "replace").strip().splitlines()
            return f"the sandbox did not start ({last[-1][:200] if last else f'exit code {code}'})"
        if code == NO_MEMORY or code and self.outcome.peak_mb > 0.9 * self.limits.memory_mb:  # libraries end Python in ways of their own
            return f"{self.where()} found no memory left ({self.limits.memory_mb} MB are allowed)"
        number = -code if code < 0 else code - 128 if code > 128 else 0
        how = {9: "was killed (memory, or too much CPU time)", 24: "used too much CPU time", 25: "wrote too large a file"}.get(number, f"was ended by signal {number}")
        return f"{self.where()} {how}" if number else f"{self.where()} ended Python itself (exit code {code})"

    def kill(self):
        """End everything that this run started; again until nothing is left, for it may be multiplying."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        for attempt in range(100):
            family = [process for process in self.family() if _running(process)]
            if not family:
                break
            for act in ("suspend", "kill"):
                for process in family:
                    with contextlib.suppress(psutil.Error):
                        getattr(process, act)()
            time.sleep(0.02)
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            pipe.close()


def _running(process):
    try:
        if process.status() != psutil.STATUS_ZOMBIE:
            return True
        os.waitpid(process.pid, os.WNOHANG)  # an adopted orphan
    except (psutil.Error, ChildProcessError):
        pass
    return False


def adopt_orphans() -> None:
    """Make this process the parent of what its children leave behind, and end it with its own parent (Linux)."""
    if sys.platform == "linux":
        import ctypes

        libc = ctypes.CDLL(None)
        libc.prctl(_SUBREAPER, 1, 0, 0, 0)
        libc.prctl(_PARENT_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)


_PARENT_DEATH_SIGNAL, _SUBREAPER = 1, 36  # of <linux/prctl.h>
