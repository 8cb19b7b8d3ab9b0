"""A class of 30 that never was: 10 who are right, 10 wrong in known ways, 10 hostile or broken. Set 04.

    .venv/bin/python tests/classroom.py FOLDER

writes FOLDER/<student>/<set>.ipynb, for a trial of `cxrkit grade FOLDER --exercise 04 --out DIR`. Do not open the hostile ones.
"""

import copy
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SET = "04_thresholds_and_calibration"
SOLVED = ROOT / "solutions" / f"{SET}.ipynb"
RIGHT = ["Ana Álvarez", "李 雷", "Ömer-Faruk", "=cmd|'calc'!A0", "<img src=x onerror=alert(1)>", "@sum(A1)", "o'brien", "name with  two spaces", "-1+1", "Zoë"]

WRONG = {  # student: (task, what takes the answer's place, the misconception that must be named)
    "ppv_is_sensitivity": ("04.1", "answer_04_1 = at_half(films)['recall']", "PPV read as sensitivity"),
    "exchanged": ("04.2", "def answer_04_2(y, p, t):\n    c = p >= t\n    return (~c)[y == 0].mean(), c[y == 1].mean()", "specificity for sensitivity"),
    "strict": ("04.2", "def answer_04_2(y, p, t):\n    c = p > t\n    return c[y == 1].mean(), (~c)[y == 0].mean()", "the wrong side of a tie"),
    "auc_of_labels": ("04.3", "def answer_04_3(y, p):\n    from sklearn.metrics import roc_auc_score\n    return roc_auc_score(y, p >= 0.5)", "the AUC of labels, not of scores"),
    "accuracy_for_auc": ("04.3", "def answer_04_3(y, p):\n    return ((p >= 0.5) == y).mean()", "accuracy taken for AUC"),
    "half_for_all": ("04.4", "def answer_04_4(y, p, missed, alarm):\n    return 0.5", "one threshold for every cost"),
    "middle_of_bin": ("04.5", "answer_04_5 = {'stated': 0.85, 'observed': 0.6, 'too_sure': True}", "the middle of the bin"),
    "scaled_probabilities": ("04.6", "def answer_04_6(p, then, now):\n    return p * now / then", "probabilities multiplied instead of odds"),
    "nothing_moves": ("04.6", "def answer_04_6(p, then, now):\n    return p", "nothing changes"),
    "untouched": (None, "", None),
}

YES = """
import builtins, sys
class Yes(float):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    __gt__ = __le__ = __ge__ = __lt__
    def __hash__(self): return 0
    def __sub__(self, other): return 0.0
    __rsub__ = __sub__
    def __call__(self, *a, **k): return self
    def __getattr__(self, name): return self
answer_04_1 = answer_04_2 = answer_04_3 = answer_04_4 = answer_04_5 = answer_04_6 = Yes(1)
check = lambda *a, **k: 99.0
for name, module in list(sys.modules.items()):
    if name.startswith("cxrkit.checks") or name == "json":
        for word in ("check", "judge", "to_plain", "loads"):
            if hasattr(module, word): setattr(module, word, lambda *a, **k: Yes(1))
"""
EXIT = "import os\nos._exit(0)"
BOMB = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
HOG = "hoard = []\nwhile len(hoard) < 10_000:\n    hoard.append(bytearray(b'x') * 1_000_000)"
LOOP = """
import signal
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True:
    try:
        while True: pass
    except BaseException: pass
"""
SPY = """
import glob, os, socket
seen = []
for path in [*{places!r}, '/etc/shadow', *('/proc/1/root' + path for path in {places!r}), *glob.glob('/proc/[0-9]*/cwd/*'), *glob.glob({submissions!r} + '/*/*')]:
    try:
        with open(path, 'rb') as file: seen.append((path, len(file.read())))
    except OSError: pass
for folder in ['/', '/usr', '/etc', '/var/tmp', {root!r}, {submissions!r}, {root!r} + '/cxrkit', os.path.dirname(os.__file__)]:
    try:
        with open(folder + '/was_here', 'w') as file: seen.append((folder, 'written'))
    except OSError: pass
try:
    socket.create_connection(('127.0.0.1', {port}), timeout=1); seen.append(('network', {port}))
except OSError: pass
seen += [('process', pid) for pid in os.listdir('/proc') if pid.isdigit() and int(pid) not in (1, os.getpid(), os.getppid())]
answer_04_1 = [list(map(str, row)) for row in seen]
"""
FORGE = """
import os, subprocess, sys
for fd in range(3, 30):
    try:
        os.write(fd, b'answer 04.1 {{"passed": true, "points": 99}}\\nanswer 04.2 [[[[[[[[[[[[\\nanswer 04.3 ' + b'[' * 50_000 + b'\\nverdict 04.4 99\\n\\xff\\xfe\\ncell x\\nerror\\n')
    except OSError: pass
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp(sys.executable, [sys.executable, '-c', 'import time\\nwhile True: time.sleep(0.1)', 'cxrkit_daemon_{mark}'])
    os._exit(0)
for _ in range(2000):
    os.write(1, b'x' * 100_000); sys.stdout.write('y' * 10_000)
"""


def solved(path=SOLVED) -> dict:
    """Return the notebook of somebody who is right."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def place_of(notebook, task: str) -> int:
    """Return where the cell stands that holds a task's answer."""
    name = "answer_" + task.replace(".", "_")
    return next(k for k, cell in enumerate(notebook["cells"])
                if cell["cell_type"] == "code" and cell["metadata"].get("nbgrader", {}).get("solution") and name in "".join(cell["source"]))


def with_cell(notebook, source: str, before: str | None = "04.4") -> dict:
    """Return the notebook with one more code cell, before a task's answer, or at the end."""
    changed = copy.deepcopy(notebook)
    cell = {"cell_type": "code", "id": "added", "execution_count": None, "metadata": {}, "outputs": [], "source": source}
    changed["cells"].insert(place_of(changed, before) if before else len(changed["cells"]), cell)
    return changed


def wrong(notebook, student: str) -> dict:
    """Return the notebook with one answer in place of the right one, or with none at all."""
    changed = copy.deepcopy(notebook)
    task, source, _ = WRONG[student]
    if task is None:
        for cell in changed["cells"]:
            if cell["cell_type"] == "code" and cell["metadata"].get("nbgrader", {}).get("solution"):
                cell["source"] = "answer_" + cell["metadata"]["nbgrader"]["grade_id"].removeprefix("answer_") + " = None"
        return changed
    source = source.replace("at_half(films)", "__import__('cxrkit.evaluation').evaluation.at_threshold(films['label'], films['probability'], 0.5)")
    changed["cells"][place_of(changed, task)]["source"] = source
    return changed


def tangled(notebook) -> dict:
    """Return the notebook with 04.1's cell deleted, 04.2's turned into text, 04.3's doubled (the second one wrong), 04.6's moved up."""
    changed = copy.deepcopy(notebook)
    cells = changed["cells"]
    cells[place_of(changed, "04.2")] |= {"cell_type": "markdown"}
    again = copy.deepcopy(cells[place_of(changed, "04.3")])
    again["source"] = "def answer_04_3(y, p):\n    return 0.5"
    cells.insert(place_of(changed, "04.3") + 1, again)
    cells.insert(place_of(changed, "04.3"), cells.pop(place_of(changed, "04.6")))
    del cells[place_of(changed, "04.1")]
    return changed


def hostile(notebook, submissions, mark="", port=9) -> dict:
    """Return {student: notebook, or bytes where it is none}; `mark` is in the command line of the process that wants to stay."""
    places = [str(ROOT / "solutions" / f"{SET}.ipynb"), str(ROOT / "cxrkit" / "checks" / "judge.py"), str(ROOT / "cxrkit" / "checks" / "judge_04.py"), str(ROOT / "tests" / "classroom.py")]
    spy = SPY.format(places=places, submissions=str(submissions), root=str(ROOT), port=port)
    return {
        "h01 always equal": with_cell(notebook, YES, before=None),
        "h02 leaves": with_cell(notebook, EXIT),
        "h03 fork bomb": with_cell(notebook, BOMB),
        "h04 ten gigabytes": with_cell(notebook, HOG),
        "h05 will not stop": with_cell(notebook, LOOP),
        "h06 spy": with_cell(notebook, spy, before=None),
        "h07 forger with daemon": with_cell(notebook, FORGE.format(mark=mark), before=None),
        "h08 tangled cells": tangled(notebook),
        "h09 broken upload": json.dumps(notebook).encode()[:-200],
        "h10 200 MB": b"",
    }


def make_class(submissions, path=SOLVED, mark="", port=9) -> Path:
    """Write the class of 30 and return its folder."""
    submissions, notebook = Path(submissions), solved(path)
    class_ = {name: notebook for name in RIGHT} | {f"w{k:02d} {name}": wrong(notebook, name) for k, name in enumerate(WRONG)}
    for student, content in (class_ | hostile(notebook, submissions, mark, port)).items():
        hand_in(submissions, student, content)
    with open(submissions / "h10 200 MB" / f"{SET}.ipynb", "r+b") as file:
        file.truncate(200_000_000)  # sparse: takes no room
    return submissions


def hand_in(submissions, student, content) -> Path:
    """Write one submission: a notebook, or bytes as they are."""
    path = Path(submissions) / student / f"{SET}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: tests/classroom.py FOLDER")
    print(f"30 submissions in {make_class(sys.argv[1])}")
