"""Grading: hostile notebooks that really run, in each isolation that this machine has; what comes out of a class of 30."""

import csv
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import uuid
from pathlib import Path

import numpy as np
import psutil
import pytest

if os.name != "posix":
    pytest.skip("grading runs on Linux and macOS", allow_module_level=True)

import classroom
from classroom import ROOT, SET, hand_in, place_of, solved
from cxrkit.checks import plain
from cxrkit.grading import grade, items, marks, pages, sandbox, submission
from cxrkit.grading.sandbox import Limits, Outcome

MARK = f"mark-{uuid.uuid4().hex}"
LIMITS = Limits(seconds=120, cell_seconds=20, memory_mb=1000, files_mb=50)


def need_namespaces(tool):
    """Skip where a tool is missing or this machine lets it make no namespaces; asked of the tool alone, not of the grader."""
    trial = {"bwrap": ["bwrap", "--unshare-pid", "--unshare-net", "--ro-bind", "/", "/", "--proc", "/proc"],
             "unshare": ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--mount", "--pid", "--net", "--fork"]}[tool]
    if not shutil.which(tool) or subprocess.run([*trial, "true"], capture_output=True).returncode:
        pytest.skip(f"{tool} is missing or may make no namespaces here")


@pytest.fixture(scope="module", params=["bwrap", "unshare"])
def walls(request):
    """Each isolation with namespaces."""
    need_namespaces(request.param)
    return grade.choose_isolation(request.param, [ROOT / "solutions", ROOT / "tests"])


def run(walls, *cells, names=("answer",), inputs=None, limits=LIMITS) -> Outcome:
    """Run cells in a process of their own, as the grader does; an answer's id is its name."""
    asked = [{"id": name, "name": name, "inputs": plain.dumps(inputs).decode() if inputs else None} for name in names]
    return grade._in_process(_run, [textwrap.dedent(cell) for cell in cells], asked, walls, limits)


def _run(cells, asked, walls, limits):
    sandbox.adopt_orphans()
    return sandbox.run_notebook(cells, asked, walls, limits)


# --- What a notebook is, before anything runs -------------------------------------------------------------------------


def submit(tmp_path, content, student="someone"):
    hand_in(tmp_path, student, content)
    return submission.read_submission(tmp_path, student, SET)


@pytest.mark.parametrize("content, words", [
    (b'{"cells": [', "not valid JSON"),
    (b"[" * 1_000_000, "not valid JSON"),
    (b"\xff\xfe\x00PK\x03\x04", "not text"),
    (b"[1, 2]", "no cells"),
    (b'{"cells": {"a": 1}}', "no cells"),
    (b'{"worksheets": [], "nbformat": 3}', "older than 4"),
    (json.dumps({"cells": [{}] * 3000}).encode(), "3000 cells"),
    (b"", "not valid JSON"),
])
def test_a_broken_file_is_named_and_nothing_is_raised(tmp_path, content, words):
    found = submit(tmp_path, content)
    assert words in found.problem and found.cells == []


def test_odd_parts_of_a_notebook_are_passed_over(tmp_path):
    cells = [1, None, {"cell_type": ["code"]}, {"cell_type": "code", "source": {"a": 1}, "metadata": [1]}, {"cell_type": "code", "source": ["a = ", 2, "1"]},
             {"cell_type": "code", "source": "b = 2", "metadata": {"tags": "parameters", "nbgrader": [3]}}]
    found = submit(tmp_path, b"\xef\xbb\xbf" + json.dumps({"cells": cells}).encode())
    assert not found.problem and found.cells == ["", "a = 1", "b = 2"]


def test_links_pipes_huge_and_missing_files_are_not_read(tmp_path):
    right = hand_in(tmp_path, "right", solved())

    def problem(student):
        return submission.read_submission(tmp_path, student, SET).problem

    for student in ("link", "pipe", "huge", "missing", "renamed", "folder"):
        (tmp_path / student).mkdir()
    (tmp_path / "link" / right.name).symlink_to(right)
    os.mkfifo(tmp_path / "pipe" / right.name)
    with open(tmp_path / "huge" / right.name, "wb") as file:
        file.truncate(200_000_000)
    shutil.copy(right, tmp_path / "renamed" / "my solution.ipynb")
    (tmp_path / "folder" / right.name).mkdir()
    (tmp_path / "linked folder").symlink_to(tmp_path / "right")
    assert "link to another file" in problem("link") and "no regular file" in problem("pipe") and "200 MB" in problem("huge")
    assert problem("missing") == f"{SET}.ipynb is missing" and "my solution.ipynb" in problem("renamed")
    assert "no regular file" in problem("folder") and "link to somewhere else" in problem("linked folder")
    assert not problem("right")


def test_deleted_doubled_moved_and_retyped_cells_are_named(tmp_path):
    assert submit(tmp_path, solved(), "right").notes == []
    found = submit(tmp_path, classroom.tangled(solved()), "tangled")
    notes = "; ".join(found.notes)
    assert "answer_04_1 was deleted" in notes and "answer_04_2 was turned into a markdown cell" in notes
    assert "answer_04_3 stands there 2 times" in notes and "moved" in notes and "answer_04_6" in notes
    assert set(found.lost) == {"04.1", "04.2"}
    rows = {row["id"]: row for row in marks.mark("04", 1, found, Outcome())}
    assert "was deleted" in rows["04.1"]["reason"] and "markdown" in rows["04.2"]["reason"]


# --- What a notebook can do in there ----------------------------------------------------------------------------------


def test_it_sees_a_small_read_only_world_and_no_network(walls, monkeypatch):
    monkeypatch.setenv("A_TOKEN", "secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        spy = classroom.hostile(solved(), ROOT / "tests", port=server.getsockname()[1])["h06 spy"]["cells"][-1]["source"]
        look = """
        import pathlib
        status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
        look = {"user": os.getuid(), "capabilities": status["CapEff"].strip(), "no new": status["NoNewPrivs"].strip(), "root": os.listdir("/"),
                "checkout": sorted(os.listdir(%r)), "judges": [p.name for p in pathlib.Path(%r).glob("*") if "judge" in p.name or p.name == "inputs.py"],
                "environment": sorted(os.environ), "mounts": [line.split()[1:4] for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()]}
        """ % (str(ROOT), str(ROOT / "cxrkit" / "checks"))
        outcome = run(walls, spy, look, names=("answer_04_1", "look"))
        with pytest.raises(TimeoutError):
            server.accept()
    assert outcome.ended == "" and outcome.errors == {} and outcome.answers["answer_04_1"] == [], outcome
    look = outcome.answers["look"]
    assert int(look["capabilities"], 16) == 0 and look["no new"] == "1" and (look["user"] != 0 or os.geteuid() != 0)
    assert "home" not in look["root"] and look["judges"] == [] and not {"solutions", "tests", "exercises", ".git"} & set(look["checkout"])
    writable = [place for place, kind, options in look["mounts"] if kind not in ("tmpfs", "proc") and not place.startswith("/dev/") and options.split(",")[0] != "ro"]
    assert writable == [], "whoever owns the files could change them"
    assert not {"A_TOKEN", "CXRKIT_SHARED"} & set(look["environment"])
    assert not list(ROOT.glob("was_here"))


def test_the_limits_hold_and_cost_one_cell_or_what_follows(walls):
    outcome = run(walls, "before = 1", classroom.HOG, "del hoard", """
        try:
            with open('large', 'wb') as file:
                for _ in range(200): file.write(b'x' * 1_000_000)
            room = 'no end'
        except OSError as problem:
            room = 'an end'
        try: os.remove('large')
        except Exception: pass
    """, "import subprocess\nafter = 2\n!echo still here", names=("before", "room", "after"))
    assert outcome.answers == {"before": 1, "room": "an end", "after": 2}, outcome
    assert list(outcome.errors) == [2] and "MemoryError" in outcome.errors[2] and outcome.peak_mb < 1200
    bomb = run(walls, "before = 1", classroom.BOMB, "after = 2", names=("before", "after"))
    assert bomb.answers == {"before": 1} and "more than 48 processes" in bomb.ended


def test_cells_are_stopped_in_time_even_those_that_will_not(walls):
    limits = Limits(seconds=60, cell_seconds=2, memory_mb=1000, files_mb=50)
    polite = run(walls, "while True: pass", "answer = 5", limits=limits)
    assert polite.answers == {"answer": 5} and "longer than 2 s" in polite.errors[1] and polite.ended == ""
    deaf = run(walls, "answer = 4", classroom.LOOP, "answer = 5", limits=limits)
    assert deaf.answers == {"answer": 4} and "code cell 2 ran longer than 2 s and did not stop" in deaf.ended
    forger = """
    import os, signal, time
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    while True:
        time.sleep(0.1)
        for n in range(3, 9):
            try: os.write(n, b"cell 1\\n")
            except OSError: pass
    """
    slow = run(walls, forger, limits=Limits(seconds=8, cell_seconds=2, memory_mb=1000, files_mb=50))
    assert slow.ended == "the notebook ran longer than 8 s", "who says that new cells begin gains no time beyond the notebook's own"


def test_functions_are_tried_on_inputs_and_may_fail_alone(walls):
    cells = ("calls = []\ndef good(x):\n    return x * helper", "def bad(x): raise ValueError('no')\ndef endless(x):\n    while True: pass\nnothing = None",
             "class Odd: pass\nodd = Odd()\nlate = 3", "helper = 2")
    outcome = run(walls, *cells, names=("good", "bad", "endless", "nothing", "late"), inputs=[[3], [np.arange(2)]], limits=Limits(60, 2, 1000, 50))
    good = outcome.answers["good"]
    assert good[0] == {"returned": 6} and good[1]["returned"].tolist() == [0, 2], "asked again at the end, when the helper is there"
    assert outcome.answers["bad"][0] == {"raised": "ValueError: no"} and "longer than 2 s" in outcome.refused["endless"]
    assert "nothing" not in outcome.answers and "a function is asked for" in outcome.answers["late"][0]["raised"] and outcome.ended == ""


def test_what_a_notebook_says_on_the_pipe_is_only_a_value(walls):
    forge = classroom.FORGE.format(mark=MARK)
    outcome = run(walls, forge, "good = 1", names=("good",))
    assert outcome.answers["good"] == 1 and outcome.answers["04.1"] == {"passed": True, "points": 99} and {"04.2", "04.3"} <= set(outcome.refused)
    assert not survivors(), "what a notebook left behind is ended with it"
    flood = run(walls, "answer = 1", "import os\nfor fd in range(3, 30):\n  try:\n    while True: os.write(fd, b'answer x 1' * 100_000)\n  except OSError: pass")
    assert "more than 64 MB" in flood.ended and flood.answers == {"answer": 1}
    many = run(walls, "import os\nfor fd in range(3, 9):\n  try: os.write(fd, b'')\n  except OSError: continue\n  os.write(fd, b'answer x [')\n"
               "  for _ in range(100): os.write(fd, b'[],' * 100_000)\n  os.write(fd, b'[]]\\n'); break", names=())
    assert many.answers == {} and "more than 2,000,000 values" in many.refused["x"]
    gone = run(walls, "answer = 1", classroom.EXIT, "answer = 2")
    assert gone.answers == {"answer": 1} and "code cell 2 ended Python itself (exit code 0)" in gone.ended
    crash = run(walls, "answer = 1", "import ctypes\nctypes.string_at(0)")
    assert crash.answers == {"answer": 1} and "code cell 2 was ended by signal 11" in crash.ended


def test_notebooks_as_students_write_them_run(walls):
    outcome = run(walls, "%matplotlib inline\n%pip install --quiet nothing\n!echo hello > note.txt\nlines = !cat note.txt", """
        import matplotlib.pyplot as plt
        figure, axis = plt.subplots(); axis.plot([1, 2]); plt.show()
        from IPython.display import display
        display(figure)
    """, "%%time\nimport ipywidgets\nipywidgets.IntSlider()", "%%bash\ntouch from_bash", "exit()\nimport asyncio\nawait asyncio.sleep(0)\ninput('?')",
                  "from cxrkit.checks import check, hint, progress, quiz\ncheck('04.1', 1)\nhint('04.1')\nprogress()\nanswer = [list(lines), os.path.exists('from_bash')]",
                  "def broken(:", "import os\nanswer = [list(lines), os.path.exists('from_bash')]", limits=Limits(120, 40, 1000, 50))
    assert outcome.answers == {"answer": [["hello"], True]} and outcome.ended == "", outcome
    assert [number for number in outcome.errors if number not in (5, 6, 7)] == [], outcome.errors
    assert "EOFError" in outcome.errors[5] and "SyntaxError" in outcome.errors[7]


def survivors():
    return [process.pid for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"] and f"cxrkit_daemon_{MARK}" in process.info["cmdline"]]


# --- The class --------------------------------------------------------------------------------------------------------


def snapshot(*folders) -> dict:
    """Return sizes, times, modes and owners of everything in some folders; Python's own caches come and go."""
    found = {}
    for folder in folders:
        for path in folder.rglob("*"):
            if not {"__pycache__", ".git"} & set(path.parts):
                facts = path.lstat()
                times = () if stat.S_ISDIR(facts.st_mode) else (facts.st_size, facts.st_mtime_ns)
                found[str(path)] = facts.st_mode, facts.st_uid, *times
    return found


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The class of 30, graded once in the best isolation that this machine has; skipped without namespaces."""
    need_namespaces("bwrap" if shutil.which("bwrap") else "unshare")
    home = tmp_path_factory.mktemp("class")
    folder, out = classroom.make_class(home / "submissions", mark=MARK), home / "report"
    places = (folder, ROOT / "cxrkit", ROOT / "solutions", ROOT / "exercises", Path(sys.prefix, "bin"))
    before = snapshot(*places)
    result = grade.grade_class(folder, "04", out, seed=5, limits=LIMITS)
    table, page = pages.write_pages(result, "04", out, LIMITS)
    with open(table, newline="", encoding="utf-8") as file:
        rows = {(row["student"], row["task"]): row for row in csv.DictReader(file)}
    return {"folder": folder, "out": out, "result": result, "rows": rows, "page": page.read_text(encoding="utf-8"), "changed": before.items() ^ snapshot(*places).items()}


def points(graded, student):
    return sum(int(row["points"]) for (name, _), row in graded["rows"].items() if name == student)


def test_right_ones_get_all_points_and_wrong_ones_their_misconception(graded):
    assert len(graded["rows"]) == 30 * 6
    for student in classroom.RIGHT:
        assert points(graded, pages.cell(student)) == 13, student
    for number, (name, (task, _, misconception)) in enumerate(classroom.WRONG.items()):
        student = f"w{number:02d} {name}"
        if task is None:
            assert points(graded, student) == 0
            continue
        row = graded["rows"][student, task]
        assert row["points"] == "0" and points(graded, student) == 13 - {"04.1": 1, "04.4": 3, "04.6": 3}.get(task, 2)
        assert row["reason"].startswith(misconception), row


def test_hostile_ones_lose_only_their_own_points_and_the_reason_is_named(graded):
    def reason(student, task):
        return graded["rows"][student, task]["reason"]

    assert points(graded, "h01 always equal") == 0
    assert "ended Python itself" in reason("h02 leaves", "04.4") and points(graded, "h02 leaves") == 5
    assert "more than 48 processes" in reason("h03 fork bomb", "04.4") and points(graded, "h03 fork bomb") == 5
    assert "h04" and points(graded, "h04 ten gigabytes") >= 5
    assert "did not stop" in reason("h05 will not stop", "04.6") and points(graded, "h05 will not stop") == 5
    assert "a list of 0" in reason("h06 spy", "04.1"), "it has seen something"
    assert points(graded, "h07 forger with daemon") == 13 - 5 and not survivors()
    assert "deleted" in reason("h08 tangled cells", "04.1") and "markdown" in reason("h08 tangled cells", "04.2")
    assert "not valid JSON" in reason("h09 broken upload", "04.1") and "200 MB" in reason("h10 200 MB", "04.1")
    memory = next(result for result in graded["result"].results if result["student"].startswith("h04"))
    assert any("MemoryError" in note for note in memory["notes"])


def test_nothing_outside_changed(graded):
    assert not graded["changed"] and not survivors()
    assert sorted(path.name for path in graded["out"].iterdir()) == ["feedback", "grades.csv", "grading.json", "report.html", "results"]


def test_the_pages_show_names_as_text_and_the_table_runs_no_formula(graded):
    page = graded["page"]
    assert "<img" not in page and "&lt;img src=x onerror=alert(1)&gt;" in page
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page), "it needs no other server"
    assert {"'=cmd|'calc'!A0", "'@sum(A1)", "'-1+1", "李 雷", "name with  two spaces"} <= {student for student, _ in graded["rows"]}
    assert all(words in page for words in ("Distribution", "Discrimination", "Common misconceptions", "the AUC of labels, not of scores", "bubblewrap"))
    links = sorted(set(re.findall(r'href="(feedback/[^"]+)"', page)))
    assert len(links) == 30 and all((graded["out"] / link).is_file() for link in links)
    own = next((graded["out"] / link).read_text(encoding="utf-8") for link in links if "auc-of-labels" in link)
    assert "the AUC of labels, not of scores" in own and "11 of 13" in own and "Zoë" not in own and "seed" not in own


def test_a_second_run_runs_only_what_changed(graded):
    folder, out = graded["folder"], graded["out"]
    before = {path.name: path.read_bytes() for path in (out / "results").iterdir()}
    notebook = classroom.wrong(solved(), "strict")
    (folder / "Zoë" / f"{SET}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    again = grade.grade_class(folder, "04", out, limits=LIMITS)
    assert (again.ran, again.kept, again.failed) == (2, 28, []), "a file too large to be read has no hash to compare"
    changed = [name for name, content in before.items() if (out / "results" / name).read_bytes() != content]
    assert len(changed) == 1 and changed[0].startswith("Zo"), changed
    assert json.loads((out / "grading.json").read_text())["seed"] == 5, "the seed of the first run is kept"


def test_what_was_run_under_other_limits_does_not_stand(tmp_path):
    """A raised time limit has to help whom the lower one stopped, and the report states the limits of what it shows."""
    need_namespaces("unshare")
    hand_in(tmp_path / "class", "slow", classroom.with_cell(solved(), "import time\ntime.sleep(6)"))

    def graded_within(seconds):
        return grade.grade_class(tmp_path / "class", "04", tmp_path / "out", limits=Limits(60, seconds, 1000), isolation="unshare")

    first, second, third = graded_within(4), graded_within(20), graded_within(20)
    assert (first.ran, second.ran, third.ran, third.kept) == (1, 1, 0, 1)
    assert any("4 s" in note for note in first.results[0]["notes"]) and not second.results[0]["notes"], (first.results[0]["notes"], second.results[0]["notes"])


def test_a_class_with_other_notebooks_is_told_and_pages_of_who_left_are_gone(tmp_path, said):
    need_namespaces("unshare")
    folder, out = tmp_path / "class", tmp_path / "out"
    for student in ("ana", "ben"):
        hand_in(folder, student, solved())
        (folder / student / f"{SET}.ipynb").rename(folder / student / f"{SET} (1).ipynb")
    code, _, err = said("grade", folder, "--exercise", "04", "--out", out, "--isolation", "unshare")
    assert code == 0 and "2 of 2 notebooks got no points because they could not be graded; the first: ana:" in err and f"{SET}.ipynb is missing" in err
    assert len(list((out / "feedback").glob("*.html"))) == 2
    shutil.rmtree(folder / "ben")
    said("grade", folder, "--exercise", "04", "--out", out, "--isolation", "unshare")
    assert [page.name.split("-")[0] for page in (out / "feedback").glob("*.html")] == ["ana"]


def test_a_grader_that_fails_says_so_and_exits_with_1(tmp_path, said, monkeypatch):
    need_namespaces("unshare")
    hand_in(tmp_path / "class", "a", solved())
    monkeypatch.setattr(marks, "mark", lambda *_: 1 / 0)
    code, out, err = said("grade", tmp_path / "class", "--exercise", "04", "--out", tmp_path / "out", "--isolation", "unshare")
    assert code == 1 and "failed on 1 of the notebooks" in err and "1 run" in out
    monkeypatch.undo()
    code, out, err = said("grade", tmp_path / "class", "--exercise", "04", "--out", tmp_path / "out", "--isolation", "unshare")
    assert code == 0 and "1 run, 0 stood" in out and "failed" not in err


# --- Without namespaces -----------------------------------------------------------------------------------------------


def reachable_python() -> list[str] | None:
    """Return what has to stand before a command so that an unprivileged user can run this Python; None where nothing helps."""
    closed = [folder for folder in Path(sys.executable).resolve().parents if not folder.stat().st_mode & stat.S_IXOTH]
    if os.geteuid() != 0 or not closed:
        return []
    base, top = sys.base_prefix, closed[-1]
    script = ('stash=$(mktemp -d) && mount --bind "$1" "$stash" && mount -t tmpfs -o mode=755 tmpfs "$2" && mkdir -p "$1" && mount --bind "$stash" "$1" '
              '&& shift 2 && exec "$@"')
    prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", base, str(top)]
    return prefix if shutil.which("unshare") and subprocess.run([*prefix, sys.executable, "-c", ""], capture_output=True).returncode == 0 else None


def grade_in_a_shell(prefix, folder, out, method, python=sys.executable):
    """Run `cxrkit grade` in a process of its own; return what it said on stderr, its rows and the page."""
    command = [*prefix, python, "-m", "cxrkit", "grade", folder, "--exercise", "04", "--out", out, "--isolation", method,
               "--memory", "1000", "--cell-timeout", "12", "--timeout", "90"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    with open(out / "grades.csv", newline="", encoding="utf-8") as file:
        rows = {(row["student"], row["task"]): row for row in csv.DictReader(file)}
    return done.stderr, rows, (out / "report.html").read_text(encoding="utf-8")


def test_limits_alone_still_hold_and_say_what_they_do_not(tmp_path):
    prefix = reachable_python()
    if prefix is None:
        pytest.skip("this Python lies where no other user may look, and nothing can be mounted here")
    notebook, folder = solved(), tmp_path / "class"
    cells = {"leaves": classroom.EXIT, "bomb": classroom.BOMB, "hog": classroom.HOG, "deaf": classroom.LOOP, "forger": classroom.FORGE.format(mark=MARK)}
    for student, source in cells.items():
        hand_in(folder, student, classroom.with_cell(notebook, source))
    hand_in(folder, "right", notebook)
    said, rows, page = grade_in_a_shell(prefix, folder, tmp_path / "out", "limits")
    assert "Warning: Limits alone, no walls" in said and "apt install bubblewrap" in said and "Weak isolation" in page
    assert sum(int(row["points"]) for (student, _), row in rows.items() if student == "right") == 13, rows
    for student, words in {"leaves": "ended Python itself", "bomb": "more than 48 processes", "deaf": "did not stop"}.items():
        assert words in rows[student, "04.4"]["reason"] and rows[student, "04.3"]["points"] == "2", rows[student, "04.4"]
    assert not survivors()


@pytest.mark.parametrize("method", ["bwrap", "unshare", "limits"])
def test_an_ordinary_user_grades_as_well(tmp_path, method):
    need_namespaces(method if method != "limits" else "unshare")
    prefix = reachable_python()
    if os.geteuid() == 0:
        out = Path(tempfile.mkdtemp(prefix="cxrkit-test-"))  # pytest's own folders are closed to others
        become = ["setpriv", "--reuid=60123", "--regid=60123", "--clear-groups", "env", f"HOME={out}", "CXRKIT_CACHE=" + str(out)]
        os.chown(out, 60123, 60123)
        if prefix is None or subprocess.run([*prefix, *become, "unshare", "--user", "--map-root-user", "true"], capture_output=True).returncode:
            pytest.skip("an ordinary user may make no namespaces here, or cannot reach this Python")
        prefix = [*prefix, *become]
    else:
        out = tmp_path
    try:
        folder = out / "class"
        hand_in(folder, "forger", classroom.with_cell(solved(), classroom.FORGE.format(mark=MARK)))
        if method != "limits":
            hand_in(folder, "spy", classroom.hostile(solved(), folder)["h06 spy"])
            hand_in(folder, "bomb", classroom.with_cell(solved(), classroom.BOMB))
        said, rows, page = grade_in_a_shell(prefix, folder, out / "out", method)
        assert rows["forger", "04.4"]["points"] == "3" and not survivors()
        if method == "limits":
            return
        assert "a list of 0" in rows["spy", "04.1"]["reason"], "it has seen something"
        assert "more than 48 processes" in rows["bomb", "04.4"]["reason"] and "Weak isolation" not in page and "Warning" not in said
    finally:
        if out != tmp_path:
            shutil.rmtree(out)


@pytest.mark.parametrize("method", ["bwrap", "unshare"])
@pytest.mark.parametrize("place", ["/tmp", "/mnt"])
def test_the_checkout_and_its_python_may_lie_where_the_grader_builds_its_own_folders(tmp_path, method, place):
    need_namespaces(method)
    installed = [path for path in Path(sys.prefix).glob("lib/python*/site-packages/*.pth") if path.read_text().strip() == str(ROOT)]
    if os.geteuid() != 0 or not installed or not Path(sys.prefix).is_relative_to(ROOT) or not os.access(place, os.W_OK):
        pytest.skip("only root can mount this checkout at another place, and only one that holds its Python")
    checkout = Path(tempfile.mkdtemp(prefix="cxrkit-test-", dir=place))
    (tmp_path / "points.pth").write_text(str(checkout))
    moved = [str(checkout / path.relative_to(ROOT)) for path in (installed[0], Path(sys.executable))]
    script = 'mount --bind "$1" "$2" && mount --bind "$3" "$4" && cd "$2" && shift 4 && exec "$@"'
    prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", ROOT, checkout, tmp_path / "points.pth", moved[0]]
    try:
        folder = tmp_path / "class"
        hand_in(folder, "right", solved())
        hand_in(folder, "spy", classroom.hostile(solved(), checkout / "solutions")["h06 spy"])
        said, rows, _ = grade_in_a_shell(prefix, folder, tmp_path / "out", method, python=moved[1])
        assert sum(int(row["points"]) for (student, _), row in rows.items() if student == "right") == 13 and "Warning" not in said
        assert "a list of 0" in rows["spy", "04.1"]["reason"], "it has seen something"
    finally:
        checkout.rmdir()


def test_a_wanted_isolation_that_is_not_there_is_refused(tmp_path, said, monkeypatch):
    hand_in(tmp_path / "class", "a", solved())
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = said("grade", tmp_path / "class", "--exercise", "04", "--out", tmp_path / "out", "--isolation", "bwrap")
    assert code == 2 and "bwrap is not installed" in err and len(err.strip().splitlines()) == 2 and not (tmp_path / "out").exists()


# --- The command line and the figures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments, words", [
    (["{class}", "--exercise", "9", "--out", "{tmp}/out"], "There is no set '9'"),
    (["{tmp}/nowhere", "--exercise", "04", "--out", "{tmp}/out"], "No such file or directory"),
    (["{tmp}/empty", "--exercise", "04", "--out", "{tmp}/out"], "holds no folders"),
    (["{class}", "--exercise", "04", "--out", "{class}/out"], "taken for a student's"),
    (["{class}", "--exercise", "04", "--out", "{tmp}/file"], "is a file"),
    (["{class}", "--exercise", "04", "--out", "{tmp}/other"], "holds the results of set 02"),
    (["{class}", "--exercise", "04", "--out", "{tmp}/out", "--jobs", "0"], "greater than 0"),
    (["{class}", "--exercise", "04", "--out", "{tmp}/out", "--timeout", "-1"], "greater than 0"),
    (["{class}", "--exercise", "04", "--out", "{tmp}/out", "--seed", "-5"], "--seed must lie between 0 and"),
    (["{class}", "--exercise", "04", "--out", "{tmp}/out", "--isolation", "jail"], "none of auto"),
    (["{class}", "--out", "{tmp}/out"], "--exercise"),
])
def test_mistakes_end_in_a_line_and_exit_2_and_lose_nothing(tmp_path, said, arguments, words):
    hand_in(tmp_path / "class", "a", solved())
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "grading.json").write_text('{"exercise": "02", "seed": 3}')
    before = snapshot(tmp_path)
    code, out, err = said("grade", *(argument.replace("{class}", f"{tmp_path}/class").replace("{tmp}", str(tmp_path)) for argument in arguments))
    assert code == 2 and words in err and len(err.strip().splitlines()) <= 2 and out == "", err
    assert snapshot(tmp_path) == before


def test_figures_of_a_class():
    def student(*passed):
        return {"tasks": [{"id": f"x.{k}", "title": "t", "of": 2, "points": 2 * ok, "passed": bool(ok), "answered": ok is not None, "misconception": None if ok else "a",
                           "message": "m"} for k, ok in enumerate(passed)]}

    class_ = [student(1, 1, 1), student(1, 1, 0), student(1, 0, 0), student(1, 0, 0)]
    assert items.distribution(class_)["counts"] == [0, 0, 0, 2, 0, 0, 1, 0, 0, 1] and "mean 3.5, median 3; 1 with all points, 0 with none" in items.distribution(class_)["reading"]
    rows = items.difficulty(class_)
    assert [row["passed"] for row in rows] == [1, 0.5, 0.25] and rows[0]["discrimination"] is None
    assert rows[2]["discrimination"] == pytest.approx(np.corrcoef([1, 0, 0, 0], [4, 4, 2, 2])[0, 1])
    assert [(row["id"], row["count"]) for row in items.misconceptions(class_)] == [("x.2", 3), ("x.1", 2)]


def test_what_surprises_a_judge_costs_one_task(monkeypatch):
    monkeypatch.setattr(marks, "judge", lambda *_, **__: {}["gone"])
    found = submission.Submission("a", cells=["answer_04_1 = 1"])
    row = marks.mark("04", 1, found, Outcome(answers={"04.1": 1}))[0]
    assert row["points"] == 0 and "could not be judged (KeyError)" in row["reason"]


def test_names_of_students_become_harmless_files_and_cells():
    names = ["a b", "a-b", "../x", "x" * 300, "李", b"\xff\xfe".decode("utf-8", "surrogateescape")]
    slugs = [grade.slug(name) for name in names]
    assert len(set(slugs)) == len(names) and all(re.fullmatch(r"[A-Za-z0-9-]{1,60}", name) for name in slugs)
    assert pages.cell("a\nb\x1b[31m") == "a b\ufffd[31m" and pages.cell(" =1") == "' =1" and pages.cell("fine") == "fine"


def test_a_name_that_is_no_text_is_graded_all_the_same(tmp_path):
    try:
        (tmp_path / os.fsdecode(b"caf\xe9")).mkdir()
    except OSError:
        pytest.skip("this file system takes no such names")
    (student,) = submission.find_students(tmp_path)
    assert "missing" in submission.read_submission(tmp_path, student, SET).problem


def test_the_capstone_is_drawn_by_the_folders_name():
    found = submission.Submission("Ana", parameters=1)
    assert marks.parameters("05", found) == {"after": 1, "values": {"student": "Ana"}} and marks.parameters("04", found)["values"] == {}
    assert place_of(solved(), "04.1") > 0


def test_a_function_is_tried_on_a_clock_of_its_own(walls):
    """A cell that took most of its time, and a function that then hangs, cost the function's answer and no other."""
    limits = Limits(seconds=90, cell_seconds=4, memory_mb=1000, files_mb=50)
    outcome = run(walls, "import time; time.sleep(3.5)\ndef endless(x):\n    while True: pass", "late = 1", names=("endless",), inputs=[[3]], limits=limits)
    assert outcome.ended == "" and "longer than 4 s" in outcome.refused["endless"], outcome


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives each notebook a user of its own")
def test_two_graders_never_share_a_user():
    """A notebook is ended with all processes of its user: another grader's must not be among them."""
    from cxrkit.grading import isolation

    with isolation.free_user(0) as first:
        code = "from cxrkit.grading import isolation\nwith isolation.free_user(0) as user: print(user)"
        other = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout)
        assert other != first
    with isolation.free_user(0) as again:
        assert again == first, "a user id is given back"


def test_work_under_another_name_than_the_folders_is_said(tmp_path):
    """The folder draws the capstone's data; what was typed in for other data earns nothing, and nobody would know why."""
    exercise = json.loads((ROOT / "exercises" / "05_capstone.ipynb").read_text(encoding="utf-8"))
    tagged = next(cell for cell in exercise["cells"] if "parameters" in cell["metadata"].get("tags", []))
    tagged["source"] = "student: str = 'Ana Alvarez'  # me"

    def read(folder, tags=("parameters",)):
        tagged["metadata"]["tags"] = list(tags)
        path = tmp_path / folder / "05_capstone.ipynb"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(exercise))
        return submission.read_submission(tmp_path, folder, "05_capstone")

    found = read("alvarez_ana_4711")
    assert "student = 'Ana Alvarez', its folder is 'alvarez_ana_4711'" in marks.another_world("05", found)
    assert marks.another_world("04", found) == "" and marks.another_world("05", read("Ana Alvarez")) == ""
    place = found.parameters
    assert place > 0 and read("Ana Alvarez", tags=()).parameters == place, "without its tag the cell is known by the name that it gives"
    exercise["cells"].append({"cell_type": "code", "id": "later", "execution_count": None, "metadata": {}, "outputs": [], "source": "student = 'somebody'"})
    assert read("Ana Alvarez").parameters == place, "a name that is given again later comes too late to be the parameter"


def test_each_missing_answer_has_its_own_reason():
    cells = ["answer_04_1 = None", "answer_04_5 = undefined_name", "", "import os; os._exit(0)", "answer_04_2 = 1"]
    outcome = Outcome(errors={2: "NameError: no"}, cell=4, ended="code cell 4 ended Python itself (exit code 0)", refused={"04.3": "your answer is odd"})
    rows = {row["id"]: row for row in marks.mark("04", 1, submission.Submission("a", cells=cells), outcome)}
    assert rows["04.1"]["reason"] == "not answered" and "code cell 2 stopped (NameError" in rows["04.5"]["reason"]
    assert "code cell 4 ended Python" in rows["04.2"]["reason"] and rows["04.3"]["answered"]
