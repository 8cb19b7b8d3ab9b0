"""A course that grades with nbgrader takes the sets as they are: `make test-nbgrader`.

nbgrader is no dependency of the kit. This makes an environment for it in a temporary folder, a course whose source notebooks are
solutions/*.ipynb, the release that nbgrader derives, three students (all solved, nothing done, one task wrong), grades them, and holds
the marks against the table of tasks. The notebooks run in the Python that this runs in.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import nbformat

from cxrkit.checks.tasks import SETS, TASKS

ROOT = Path(__file__).resolve().parent.parent
CONFIG = """
c = get_config()
c.CourseDirectory.course_id = "cxrkit"
c.ClearSolutions.code_stub = {"python": "# your code here"}  # so that an untouched cell runs and its check can speak
c.ExecutePreprocessor.timeout = 180
"""


def nbgrader(python, course, *arguments):
    # nbgrader calls alembic by its bare name
    env = os.environ | {"JUPYTER_PATH": str(course / "jupyter"), "CXRKIT_DATA": str(course / "data"), "CXRKIT_CACHE": str(course / "cache"),
                        "CXRKIT_PROFILE": "demo", "TF_CPP_MIN_LOG_LEVEL": "3", "PATH": f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([python, "-m", "nbgrader", *arguments], cwd=course, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"nbgrader {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def hand_in(course, student, stem, notebook):
    folder = course / "submitted" / student / stem
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / f"{stem}.ipynb")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", default=["01", "04"], help="which sets; 02 takes a minute more")
    parser.add_argument("--python", help="a Python that has nbgrader; none: a new environment")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        course, python = Path(folder) / "course", options.python
        if not python:
            venv.create(Path(folder) / "env", with_pip=True)
            python = str(Path(folder) / "env" / "bin" / "python")
            subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "nbgrader>=0.9.5"], check=True)
        kernel = course / "jupyter" / "kernels" / "python3"
        kernel.mkdir(parents=True)
        (kernel / "kernel.json").write_text(json.dumps({"argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], "language": "python", "display_name": "Python 3"}))
        (course / "nbgrader_config.py").write_text(CONFIG)
        wrong = 0
        for number in options.sets:
            row = SETS[number]
            solved = nbformat.read(ROOT / "solutions" / f"{row.stem}.ipynb", as_version=4)
            (course / "source" / row.stem).mkdir(parents=True)
            shutil.copy(ROOT / "solutions" / f"{row.stem}.ipynb", course / "source" / row.stem)
            nbgrader(python, course, "generate_assignment", row.stem, "--create")
            release = nbformat.read(course / "release" / row.stem / f"{row.stem}.ipynb", as_version=4)
            partly = nbformat.from_dict(solved)
            last = TASKS[row.tasks[-1]]
            next(cell for cell in partly.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == last.name).source = f"{last.name} = 'no idea'"
            for student, notebook in (("all_solved", solved), ("nothing_done", release), ("one_wrong", partly)):
                hand_in(course, student, row.stem, notebook)
            nbgrader(python, course, "autograde", row.stem, "--create")
            nbgrader(python, course, "generate_feedback", row.stem)
        nbgrader(python, course, "export")
        marks = {(line["student_id"], line["assignment"]): (float(line["score"]), float(line["max_score"])) for line in csv.DictReader((course / "grades.csv").open())}
        for number in options.sets:
            row = SETS[number]
            full, lost = sum(TASKS[id].points for id in row.tasks), TASKS[row.tasks[-1]].points
            for student, expected in (("all_solved", full), ("nothing_done", 0), ("one_wrong", full - lost)):
                got = marks[student, row.stem]
                fits = got == (expected, full)
                wrong += not fits
                feedback = (course / "feedback" / student / row.stem / f"{row.stem}.html").is_file()
                print(f"{row.stem:<30} {student:<13} {got[0]:g} of {got[1]:g} points{'' if fits else f', expected {expected} of {full}'}{', feedback page' if feedback else ''}")
    print(f"nbgrader imported {len(options.sets)} sets, " + ("with the marks expected." if not wrong else f"{wrong} marks differ."))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
