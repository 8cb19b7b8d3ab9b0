"""Exercises and solutions: one source, nothing given away, everything runs, what nbgrader needs is there."""

import json
import os
import re
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from helpers import load_script

from cxrkit import evaluation
from cxrkit.checks import hospital, plain, worlds
from cxrkit.checks.inputs import inputs
from cxrkit.checks.judge import judge
from cxrkit.checks.tasks import SETS, TASKS

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "solutions" / "source").glob("[0-9]*.py"))
LIMIT = 1_500_000  # bytes

pytest.importorskip("jupytext")
each = pytest.mark.parametrize("row", SETS.values(), ids=lambda row: row.stem)


@pytest.fixture(scope="module")
def build():
    return load_script(ROOT / "solutions" / "build.py")


def read(kind, row):
    return nbformat.read(ROOT / kind / f"{row.stem}.ipynb", as_version=4)


def graded(notebook, kind):
    """{grade_id: cell} of nbgrader's solution cells, or of its grade cells."""
    cells = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get(kind)]
    return {cell.metadata["nbgrader"]["grade_id"]: cell for cell in cells}


def answer_lines(row):
    """The lines between the markers of a source."""
    inside, lines = False, []
    for line in (ROOT / "solutions" / "source" / f"{row.stem}.py").read_text(encoding="utf-8").splitlines():
        if line.strip().startswith("### "):
            inside = "BEGIN" in line
        elif inside and line.strip():
            lines.append(line.strip())
    return lines


def test_each_set_has_source_solution_and_exercise():
    for folder in ("exercises", "solutions"):
        assert sorted(path.stem for path in (ROOT / folder).glob("*.ipynb")) == [row.stem for row in SETS.values()]
    assert [path.stem for path in SOURCES] == [row.stem for row in SETS.values()]


@each
def test_derived_files_have_not_drifted_from_their_source(row, build):
    assert build.is_current(ROOT / "solutions" / "source" / f"{row.stem}.py"), "edit the source, then: make exercises"


@each
def test_no_line_of_a_solution_stands_in_the_exercise(row):
    text = json.dumps(read("exercises", row)).replace('\\"', '"')
    assert "SOLUTION" not in text
    stub = "\n".join(cell.source for cell in read("exercises", row).cells)
    lines = answer_lines(row)
    assert len(lines) >= len(row.tasks)
    given = [line for line in lines if len(line) > 6 and re.search(rf"^\s*{re.escape(line)}\s*$", stub, re.MULTILINE)]
    assert given == []  # shorter ones, such as "else:", stand everywhere


@each
def test_nbgrader_finds_an_answer_and_a_check_for_each_task(row):
    for kind in ("exercises", "solutions"):
        notebook = read(kind, row)
        nbformat.validate(notebook)
        ids = [cell.id for cell in notebook.cells]
        assert len(set(ids)) == len(ids) and not any(re.fullmatch(r"[0-9a-f]{8}", id) for id in ids), "ids from tasks and places, none random"
        answers, checks = graded(notebook, "solution"), graded(notebook, "grade")
        assert list(answers) == [TASKS[id].name for id in row.tasks]
        assert list(checks) == [f"check_{id.replace('.', '_')}" for id in row.tasks]
        for id, check in zip(row.tasks, checks.values()):
            assert check.metadata["nbgrader"] | {"grade": True, "locked": True, "solution": False, "points": TASKS[id].points, "schema_version": 3} == check.metadata["nbgrader"]
            assert check.source.startswith(f'check("{id}", {TASKS[id].name}')


@each
def test_sets_are_small_and_carry_no_trace_of_a_machine(row):
    for kind in ("exercises", "solutions"):
        path = ROOT / kind / f"{row.stem}.ipynb"
        text = path.read_text(encoding="utf-8")
        assert path.stat().st_size < LIMIT
        assert not re.findall(r"(?<![\w.])/(?:home|root|Users|tmp|var|work|mnt)/[^\s\"'\\]*", text) and str(ROOT) not in text
        for cell in read(kind, row).cells:
            if any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
                assert any(output.output_type == "stream" and output.text.strip() for output in cell.outputs), "a figure without a line that reads it"


@each
def test_opening_cells_are_those_of_the_lessons(row):
    notebook = read("exercises", row)
    lesson = nbformat.read(next((ROOT / "notebooks").glob("01*.ipynb")), as_version=4)
    first = [next(cell.source for cell in book.cells if cell.cell_type == "code") for book in (notebook, lesson)]
    assert first[0] == first[1]
    opening = notebook.cells[0].source
    assert opening.startswith(f"# Exercises {row.number}") and f"**Minutes:** {row.minutes} for you" in opening and "able to do" in opening
    for id in row.tasks:
        points = TASKS[id].points
        assert any(re.search(rf"^## {re.escape(id)} · .*\({points} points?\)", cell.source, re.MULTILINE) for cell in notebook.cells)


def test_an_answer_is_cut_out_with_its_indentation(build):
    text = 'def f():\n    """Doc."""\n    ### BEGIN SOLUTION\n    a = 1\n    return a\n    ### END SOLUTION\nrest'
    assert build.without_answer(text) == 'def f():\n    """Doc."""\n    # your code here\nrest'
    with pytest.raises(ValueError):
        build.without_answer("### BEGIN SOLUTION\nx = 1")


def test_a_cell_more_in_one_task_moves_no_id_in_the_next(build, tmp_path):
    source = SOURCES[0]
    longer = tmp_path / source.name
    text = source.read_text(encoding="utf-8")
    place = text.index('# %% check="01.2"')
    longer.write_text(text[:place] + "# %%\n1 + 1\n\n" + text[place:], encoding="utf-8")
    before, after = ([cell.id for cell in build.derive(path).cells] for path in (source, longer))
    new = set(after) - set(before)
    assert len(new) == 1 and new.pop().startswith("cell-01-2-")
    assert [id for id in after if id.startswith("cell-01-3")] == [id for id in before if id.startswith("cell-01-3")]


@pytest.mark.slow
@each
def test_untouched_every_check_helps_and_solved_every_check_passes(row):
    """Both notebooks in one kernel, the exercise first: it must not lean on a name that only the solution makes."""
    from nbclient import NotebookClient

    from cxrkit.notebooks import own_kernel_manager

    exercise, solution = read("exercises", row), read("solutions", row)
    both = nbformat.v4.new_notebook(cells=[nbformat.from_dict(dict(cell, id=f"{k}-{cell.id}")) for k, book in enumerate((exercise, solution)) for cell in book.cells])
    NotebookClient(both, timeout=180, kernel_manager_class=own_kernel_manager(), resources={"metadata": {"path": str(ROOT / "exercises")}}).execute()
    checks = [cell for cell in both.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    untouched, solved = checks[: len(row.tasks)], checks[len(row.tasks):]
    for id, before, after in zip(row.tasks, untouched, solved):
        said, points = _said(before)
        assert said.startswith(f"{id}: not yet. ") and re.search(r"in place of None|returns nothing yet|into your list", said) and points == "0.0", said
        said, points = _said(after)
        assert said.startswith(f"{id}: these checks passed") and float(points) == TASKS[id].points, said


# Answers that pass, or that a check speaks kindly of, and that the cells after them have to bear. Set 02 takes a network's minute.
OTHER_FORMS = {
    "01": {"answer_01_3": "answer_01_3 = {answer_01_3}", "answer_01_4": "_mask = answer_01_4\ndef answer_01_4(*case): return list(_mask(*case))"},
    "03": {"answer_03_5": "_rate = answer_03_5\ndef answer_03_5(step, warmup, total, peak):\n    if step < warmup:\n        return _rate(step, warmup, total, peak)"},
    "04": {"answer_04_4": "_best = answer_04_4\ndef answer_04_4(*case): return [_best(*case)]"},
}


@pytest.mark.slow
@pytest.mark.parametrize("number", OTHER_FORMS)
def test_an_answer_in_another_form_does_not_break_the_cells_after_it(number, tmp_path):
    from cxrkit.notebooks import own_kernel_manager

    nbclient = pytest.importorskip("nbclient")
    notebook = read("solutions", SETS[number])
    for name, more in OTHER_FORMS[number].items():
        graded(notebook, "solution")[name].source += "\n" + more
    nbclient.NotebookClient(notebook, timeout=120, kernel_manager_class=own_kernel_manager(), resources={"metadata": {"path": str(tmp_path)}}).execute()


def _said(cell):
    """What a check printed, and its value; nothing on stderr, which nbgrader reads as a failure."""
    assert not any(output.get("name") == "stderr" for output in cell.outputs)
    text = "".join(output.text for output in cell.outputs if output.output_type == "stream")
    return text, next(output.data["text/plain"] for output in cell.outputs if output.output_type == "execute_result")


def _names(row, **given):
    """Run a solution's answer cells alone, with what the notebook's other cells give them."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    space = {"np": np, "pd": pd, "evaluation": evaluation, "LogisticRegression": LogisticRegression, "roc_auc_score": roc_auc_score} | given
    for cell in graded(read("solutions", row), "solution").values():
        exec(compile(cell.source, cell.id, "exec"), space)
    return space


@pytest.mark.parametrize("number", ["01", "02", "03", "04"])
def test_solutions_pass_on_a_graders_inputs_too(number):
    row, films = SETS[number], worlds.predictions()
    space = _names(row, films=worlds.films() if number == "01" else films, handed_over=worlds.leaky_table(), facts=worlds.files_table() if number == "01" else worlds.frozen_facts(),
                   history=worlds.history(), stories=worlds.stories(), changes=worlds.changes(), here=evaluation.at_threshold(films["label"], films["probability"], 0.5))
    for id in row.tasks:
        if TASKS[id].kind == "function":
            for seed in (0, 1, 2**31, 987_654_321, *range(100, 104)):
                outcomes = [plain.call(space[TASKS[id].name], arguments) for arguments in inputs(id, seed)]
                found = judge(id, plain.loads(plain.dumps(outcomes)), seed=seed)
                assert found.passed, (id, seed, found)


@pytest.mark.parametrize("problem", hospital.PROBLEMS)
def test_the_capstone_is_solved_whatever_the_problem(problem):
    for seed in [seed for seed in range(40) if hospital.problem_of(seed) == problem][:3]:
        space = _names(SETS["05"], films=hospital.hospital(seed, 16).films)
        assert space["answer_05_5"] == problem
        for id in SETS["05"].tasks:
            found = judge(id, plain.loads(plain.dumps(space[TASKS[id].name])), seed=seed)
            assert found.passed, (id, seed, found)


def test_the_table_of_sets_in_the_readme_is_that_of_the_tasks():
    text = (ROOT / "exercises" / "README.md").read_text(encoding="utf-8")
    for row in SETS.values():
        line = next(line for line in text.splitlines() if line.startswith(f"| [{row.stem}]"))
        assert f"| {len(row.tasks)} | {sum(TASKS[id].points for id in row.tasks)} | {row.minutes} |" in line and row.needs in line


def test_no_exercise_reaches_for_the_network_or_the_environment():
    for row in SETS.values():
        code = "\n".join(cell.source for cell in read("exercises", row).cells if cell.cell_type == "code")
        assert not re.search(r"requests|urllib|http://|socket", code)
    assert "CXRKIT_GRADING" not in os.environ
