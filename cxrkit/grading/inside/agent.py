"""Runs one notebook where nothing can be harmed, and states what its answers are. Its only line out is a pipe.

Started as a script by `sandbox.py`, with a job (JSON: `cells`, `answers`, `limits`) on standard input. It stands in the same
process as the student's code, which may therefore say anything on the pipe: it can state plain values, as an honest
notebook does, and no more, for they are judged elsewhere.

Lines on the pipe: `ready`, `cell N` (begins), `error N TEXT`, `trying ID` (begins), `answer ID VALUE`, `refused ID TEXT`, `done`.
"""

import json
import os
import resource
import signal
import sys

NO_MEMORY = 77  # exit code
ASKED = 1.0  # seconds between requests to stop; the grader outside ends what does not


class OutOfTime(BaseException):
    """A cell has used its time. No `except Exception` stops it."""


def main():
    """Read the job, bind this process to its limits for good, run."""
    job = json.load(sys.stdin)
    pipe = os.dup(1)  # not inherited by programs that a cell starts
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.makedirs(os.environ["HOME"], exist_ok=True)
    os.chdir(os.environ["HOME"])
    bind(job["limits"], job["cores"])
    runner = Runner(job, os.fdopen(pipe, "wb", buffering=0))
    os.dup2(nowhere, 1)  # what cells print floods nothing
    os.dup2(nowhere, 2)  # until here it told why the agent cannot start
    sys.argv[1:] = []
    try:
        runner.run()
    except MemoryError:  # what a cell hoards leaves no room to say so
        os._exit(NO_MEMORY)


def bind(limits, cores):
    """Set hard limits, which only a process with more rights could raise again."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    for name, value in limits.items():
        if hasattr(resource, name):
            number, (_, hard) = getattr(resource, name), resource.getrlimit(getattr(resource, name))
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            try:
                resource.setrlimit(number, (value, value))
            except (ValueError, OSError):  # macOS refuses some of them; the grader outside watches memory and time anyway
                pass
    try:
        with open("/proc/self/oom_score_adj", "w") as file:  # should memory run out, this goes first
            file.write("1000")
    except OSError:
        pass


class Runner:
    """The cells, in order, in one IPython shell; after each the answers that are new go out."""

    def __init__(self, job, pipe):
        from IPython.core.interactiveshell import InteractiveShell

        from cxrkit.checks import plain

        self.pipe, self.plain, self.cells, self.seconds, self.sent = pipe, plain, job["cells"], job["cell_seconds"], {}
        self.parameters = job["parameters"]
        self.answers = [(row["id"], row["name"], row["inputs"] and plain.loads(row["inputs"].encode())) for row in job["answers"]]
        self.shell = InteractiveShell.instance()
        self.shell.history_manager.enabled = False
        self.shell.showtraceback = self.shell.showsyntaxerror = lambda *_, **__: None  # nobody reads them here
        self.shell.ask_exit = lambda: None
        self.shell.system = self.shell.system_raw  # the other way needs a terminal
        # `%pip install` has no network to use, and figures need no window.
        for name in ("pip", "conda", "uv", "matplotlib", "pylab"):
            self.shell.register_magic_function(lambda line: None, magic_name=name)

    def say(self, *words):
        line = " ".join(map(str, words)).encode("utf-8", "replace").replace(b"\n", b" ") + b"\n"
        while line:
            line = line[os.write(self.pipe.fileno(), line):]

    def run(self):
        self.say("ready")
        for number, source in enumerate(self.cells, 1):
            self.inject(number - 1)
            self.say("cell", number)
            failed = self.timed(lambda source=source: self.cell(source))
            if failed:
                self.say("error", number, failed)
            self.hand_in()
        self.inject(len(self.cells))
        self.hand_in(last=True)  # a helper defined late may have changed what a function returns
        self.say("done")
        os._exit(0)  # without waiting for threads or exit handlers

    def inject(self, after):
        """Set the notebook's parameters as a runner of notebooks does: after the cell that gives their defaults."""
        if after == self.parameters["after"]:
            self.shell.user_ns.update(self.parameters["values"])

    def cell(self, source):
        result = self.shell.run_cell(source, store_history=False, silent=True)
        problem = result.error_before_exec or result.error_in_exec
        return describe(problem) if problem else ""

    def timed(self, work):
        """Do some of the student's work within the time of a cell; return what stopped it, or ""."""
        signal.signal(signal.SIGALRM, out_of_time)
        signal.setitimer(signal.ITIMER_REAL, self.seconds, ASKED)
        try:
            text = work() or ""
            signal.setitimer(signal.ITIMER_REAL, 0)
            return text
        except MemoryError:
            raise
        except BaseException as problem:
            signal.setitimer(signal.ITIMER_REAL, 0)
            return describe(problem)

    def hand_in(self, last=False):
        """Say each answer that is new; a function's answer is what it returns for the inputs, asked again at the end."""
        for task, name, inputs in self.answers:
            value = self.shell.user_ns.get(name)
            known, told = self.sent.get(task, (None, None))
            if value is None or (inputs and known is value and not (last and told)):
                continue
            self.sent[task] = value, None  # what hangs once is not asked again
            words = []
            self.say("trying", task)  # it has a cell's time of its own
            stopped = self.timed(lambda value=value, inputs=inputs, words=words: words.extend(self.state(value, inputs)))
            words = words or ["refused", stopped]
            if words != told:
                self.say(words[0], task, words[1])
            self.sent[task] = value, None if stopped else words

    def state(self, value, inputs):
        try:
            plain = [self.plain.call(value, arguments) for arguments in inputs] if inputs else value
            return "answer", self.plain.dumps(plain).decode()
        except self.plain.NotPlain as problem:
            return "refused", f"your answer is {problem}"[:300]


def out_of_time(*_):
    raise OutOfTime


def describe(problem):
    """Return an exception in one short line, whatever its `__str__` does."""
    if isinstance(problem, OutOfTime):
        return "TIME"
    try:
        text = " ".join(str(problem).split())
    except BaseException:
        text = ""
    return f"{type(problem).__name__}: {text}"[:300]


if __name__ == "__main__":
    main()
