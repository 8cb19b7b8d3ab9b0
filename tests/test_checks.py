"""The checks around the judges: plain values only, three hints, a quiz, progress on this computer."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from cxrkit import checks
from cxrkit.checks import plain, quizzes, worlds
from cxrkit.checks.hints import HINTS
from cxrkit.checks.inputs import inputs
from cxrkit.checks.judge import judge
from cxrkit.checks.questions import QUIZZES
from cxrkit.checks.tasks import SETS, TASKS
from cxrkit.errors import CxrkitError

SEED = 7  # of function tasks' inputs; any will do
FACTS = worlds.frozen_facts(0)


def _film_by_film(patients, share, seed):
    return np.random.default_rng(seed).random(len(patients)) < share


def _whole_patients(patients, share, seed):
    names = np.unique(patients)
    return np.isin(patients, np.random.default_rng(seed).permutation(names)[: max(1, round(share * len(names)))])


# --- plain values ---------------------------------------------------------------------------------------------------


class Yes:
    """Equal to everything, and of any class that is asked for."""

    __class__ = float

    def __eq__(self, other):
        return True

    def __float__(self):
        raise AssertionError("nothing of the value may be called")

    __len__ = __iter__ = __index__ = __float__
    __hash__ = object.__hash__


class Liar(type):
    """A metaclass whose name is a trap."""

    @property
    def __name__(cls):
        raise AssertionError("the name must not be asked this way")


class Lied(metaclass=Liar):
    pass


class MyFloat(float):
    def __eq__(self, other):
        return True

    __hash__ = float.__hash__


class MyList(list):
    def __iter__(self):
        raise AssertionError("a subclass must not be walked")


class MyDict(dict):
    pass


class MyArray(np.ndarray):
    def __array_finalize__(self, source):
        pass


class MySeries(pd.Series):
    pass


def _endless():
    loop = []
    loop.append(loop)
    return loop


OBJECTS = np.empty(1, object)
OBJECTS[0] = Yes()
HOSTILE = [Yes(), Lied(), MyFloat(1), MyList([1]), MyDict(a=1), np.arange(3).view(MyArray), MySeries([1]), [[Yes()]], {"a": Yes()}, OBJECTS,
           pd.Series(OBJECTS), {Yes: 1}, {"__npy__": "x"}, _endless(), 2**70, "x" * 200_000, lambda: 1, b"bytes", object(), 1j, np.array([1j]),
           np.zeros(3, "datetime64[s]"), np.zeros(2, [("a", int)]), np.broadcast_to(np.int8(1), (3_000_000,)), [0] * 2_100_000, range(3), iter([1]), np.ma.array([1])]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: type.__dict__["__name__"].__get__(type(value)))
def test_what_is_not_plain_is_refused_by_type_alone(value):
    with pytest.raises(plain.NotPlain):
        plain.to_plain(value)


def test_a_hostile_answer_costs_only_the_task(capsys):
    for task in TASKS:
        assert checks.check(task, Yes()) == 0.0
        assert checks.check(task, lambda *arguments: Yes()) == 0.0
    assert "these checks passed" not in capsys.readouterr().out


def test_plain_values_come_back_as_they_went():
    value = {"a": [1, -2.5, None, True, "é\ud800"], "n": np.float32(0.5), "i": np.int8(3), "b": np.bool_(False), "t": (1, 2), "s": {"b", "a"},
             "m": np.arange(6.0).reshape(2, 3).T, "u": np.array(["x", "yz"]), "e": np.zeros((0, 2)), "o": np.array(["x", None], object), 3: "key",
             "p": pd.Series([1.5, 2]), "f": pd.DataFrame({"c": [1]}), "x": pd.Index(["q"]), "nan": float("nan"), "big": np.arange(3, dtype=">i4"), "z": np.array(5)}
    back = plain.loads(plain.dumps(value))
    assert back["a"] == [1, -2.5, None, True, "é?"] and back["t"] == [1, 2] and back["s"] == ["a", "b"] and back["o"] == ["x", None] and back["3"] == "key"
    assert (back["n"], back["i"], back["b"]) == (0.5, 3, False) and list(back["x"]) == ["q"] and back["z"] == 5
    np.testing.assert_array_equal(back["m"], value["m"])
    np.testing.assert_array_equal(back["u"], value["u"])
    assert back["e"].shape == (0, 2) and back["p"].tolist() == [1.5, 2] and back["f"]["c"].tolist() == [1] and back["big"].tolist() == [0, 1, 2]


def _npy(header, body=b""):
    import base64

    text = header.encode()
    return json.dumps({"__npy__": base64.b64encode(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body).decode()}).encode()


BYTES = {
    "no JSON": b"\xff\xfe", "deep": b"[" * 100_000, "deep but whole": b"[" * 50 + b"]" * 50, "long number": b"1" * 5000, "no base64": b'{"__npy__": "%%"}', "no text": b'{"__npy__": 3}',
    "claims a terabyte": _npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }\n"),
    "claims less": _npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }\n", b"0" * 80),
    "objects": _npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", b"cos\nsystem\n(S'true'\ntR."),
    "negative": _npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }\n"),
    "widthless, without end": _npy("{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000000,), }\n"),
    "no header": _npy("__import__('os')\n"),
    "a header that Python's tokenizer refuses": _npy("((("),
    "a header of odd lines": _npy("{'descr': '<f8'}\n  x\n y"),
}


@pytest.mark.parametrize("data", BYTES.values(), ids=BYTES)
def test_bytes_of_a_hostile_writer_are_refused(data):
    with pytest.raises(plain.NotPlain):
        plain.loads(data)


def _odd_values(rng):
    """Plain values of forms that nobody asked for."""
    atoms = [None, True, 0, -1, 1e308, float("nan"), float("inf"), "", "x", "0.5", [], {}, [None], np.zeros(0), np.zeros((2, 2)), np.array(["a"]), np.array(3.0)]
    yield from atoms
    for _ in range(20):
        picked = [atoms[k] for k in rng.integers(0, len(atoms), 3)]
        yield picked
        yield {"column": picked[0], "auc": picked[1], "here": picked[0], "there": picked[2], "A": picked[1], "stated": picked[0], "observed": picked[1], "too_sure": picked[2]}


def test_no_plain_value_upsets_a_judge():
    for number, task in enumerate(TASKS):
        rng = np.random.default_rng(number)
        for value in _odd_values(rng):
            forms = [value]
            if TASKS[task].kind == "function":
                cases = inputs(task, SEED)
                forms += [[{"returned": value}] * len(cases), [{}] * len(cases), [{"raised": "ValueError: " + "x" * 500}] * len(cases)]
            for shown in forms:
                found = judge(task, shown, seed=SEED if TASKS[task].kind == "function" else 0)
                assert not found.passed and found.message, (task, shown)


def test_inputs_are_plain_and_repeat_with_their_seed():
    for task in TASKS:
        first, again, other = inputs(task, 1), inputs(task, 1), inputs(task, 2)
        assert plain.dumps(first) == plain.dumps(again)
        assert (len(first) > 0) == (TASKS[task].kind == "function")
        assert not first or plain.dumps(first) != plain.dumps(other)


# --- the desk -------------------------------------------------------------------------------------------------------


def test_a_check_says_what_was_right_and_where_help_is(capsys):
    assert checks.check("01.4", _film_by_film) == 0.0
    text = capsys.readouterr().out
    assert "not yet. It looks like: the same patient stands on both sides." in text and "right: a mask" in text and 'hint("01.4")' in text
    assert checks.check("01.4", _whole_patients) == 3.0
    text = capsys.readouterr().out
    assert "01.4: these checks passed (3 of 3 points)" in text and "correct" not in text
    assert checks.check("01.4", lambda p: 1 / 0) == 0.0
    assert "your function raised TypeError" in capsys.readouterr().out


def test_a_students_function_cannot_change_what_it_is_judged_by():
    def vandal(patients, share, seed):
        patients[:] = np.arange(len(patients)).astype(str)  # every film its own patient
        return _film_by_film(patients, share, seed)

    outcomes = [plain.call(vandal, arguments) for arguments in inputs("01.4", SEED)]
    assert judge("01.4", outcomes, seed=SEED).misconception == "the same patient stands on both sides"
    arguments = inputs("01.4", SEED)[0]
    plain.call(vandal, arguments)
    assert plain.dumps(arguments) == plain.dumps(inputs("01.4", SEED)[0])


def test_progress_is_kept_and_survives_a_spoilt_file(capsys, tmp_path):
    checks.check("02.1", 1)
    checks.progress("02")
    assert "0 of 12 points   02.1 tried 02.2 -" in capsys.readouterr().out
    checks.check("02.1", FACTS["films"] * FACTS["epochs"])
    checks.check("02.1", 1)  # passed once is passed
    checks.progress()
    assert "1 of 12 points   02.1 passed" in capsys.readouterr().out
    file = tmp_path / "data" / "progress.json"
    assert json.loads(file.read_text())["02.1"]["tries"] == 3
    file.write_text('{"02.1": ')
    checks.progress("02")
    assert checks.check("02.2", 1281) == 1.0
    checks.progress("02")
    assert "1 of 12 points   02.1 - 02.2 passed" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_costs_the_memory_and_not_the_check(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CXRKIT_DATA", str(tmp_path / "file"))
    assert checks.check("02.2", 1281) == 1.0


def test_hints_come_one_at_a_time_and_none_is_the_answer(capsys):
    for tier in (1, 2, 3, 3):
        checks.hint("03.6")
        assert f"03.6, hint {tier} of 3: {HINTS['03.6'][tier - 1]}" in capsys.readouterr().out
    assert set(HINTS) == set(TASKS) and all(len(set(tiers)) == 3 for tiers in HINTS.values())
    for wrong in (0, 4, "1"):
        with pytest.raises(CxrkitError, match="tiers 1, 2 and 3"):
            checks.hint("03.6", wrong)
    values = {"01.1": worlds.films(0).labels[worlds.films(0).index("test")].mean(), "02.1": FACTS["films"] * FACTS["epochs"], "02.2": FACTS["features"] + 1}
    assert not [task for task, value in values.items() if any(f"{value:g}" in tier or f"{value:,}" in tier for tier in HINTS[task])]


def test_a_lesson_question_and_its_exercise_share_a_number_and_an_answer(capsys):
    facts = worlds.frozen_facts(0)
    answer = facts["films"] * facts["epochs"]
    assert checks.check("02.1", answer, films=facts["films"], epochs=facts["epochs"]) == checks.check("02.1", answer) == 1.0
    with pytest.raises(CxrkitError, match="takes no facts"):
        checks.check("02.2", 1281, films=3)


def test_graded_from_outside_no_judge_is_imported():
    code = ("import sys, cxrkit.checks as c; r = c.check('02.2', 1281); from cxrkit.checks import plain, worlds; "
            "print(r, [m for m in sys.modules if 'judge' in m or 'hints' in m or 'checks.lesson' in m])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"CXRKIT_GRADING": "1"})
    assert done.stdout.splitlines() == ["02.2: handed in.", "0.0 []"], done.stderr


# --- the quizzes ----------------------------------------------------------------------------------------------------


def test_every_choice_of_a_quiz_is_explained_and_one_is_right(capsys):
    assert set(QUIZZES) == set(SETS)
    for number, questions in QUIZZES.items():
        assert 3 <= len(questions) <= 5
        text = quizzes.as_text(number)
        for k, row in enumerate(questions, 1):
            assert row["right"] in row["choices"] and row["ask"] in text
            for letter, (choice, why) in row["choices"].items():
                assert len(why) > 15 and choice in text and why not in text
                checks.quiz(number, k, letter)
                assert ("Yes." in capsys.readouterr().out) == (letter == row["right"])
    rights = [row["right"] for questions in QUIZZES.values() for row in questions]
    assert max(rights.count(letter) for letter in "abc") <= len(rights) / 2, "no letter is the safe guess"


def test_the_buttons_say_what_the_text_says(monkeypatch):
    import IPython
    import ipywidgets

    shown = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: type("Shell", (), {"kernel": object()})())
    monkeypatch.setattr("IPython.display.display", shown.append)
    checks.quiz("02")
    assert len(shown) == len(QUIZZES["02"])
    *buttons, answer = [child for child in shown[1].children if not isinstance(child, ipywidgets.Label)]
    buttons[2].click()
    assert f"c: {quizzes.explain(QUIZZES['02'][1], 'c')}" in answer.value and 'role="status"' in answer.value
    assert buttons[2].tooltip == f"Question 2, c: {QUIZZES['02'][1]['choices']['c'][0]}", "a letter alone says nothing to who cannot see the question"


def test_what_does_not_exist_is_named_with_what_does():
    with pytest.raises(CxrkitError, match="Did you mean '05.7'"):
        checks.check("05.77", 1)
    with pytest.raises(CxrkitError, match="There is no quiz '1'"):
        checks.quiz("1")
    with pytest.raises(CxrkitError, match="questions 1 to 4"):
        checks.quiz("02", 9, "a")
    with pytest.raises(CxrkitError, match="The choices are a, b, c"):
        checks.quiz("02", 1, "d")
    with pytest.raises(CxrkitError, match="There is no set"):
        checks.progress("9")


def test_no_part_of_the_checks_needs_tensorflow():
    names = ["desk", "judge", "worlds", "hospital", "inputs", "hints", "questions", *(f"judge_{number}" for number in SETS)]
    code = f"import sys, importlib\nfor n in {names}: importlib.import_module('cxrkit.checks.' + n)\nprint([m for m in ('keras', 'tensorflow', 'matplotlib') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_what_a_function_raised_is_one_line():
    def raises(x):
        raise ValueError("Input X contains NaN.\nUse an imputer.")

    assert plain.call(raises, [1]) == {"raised": "ValueError: Input X contains NaN. Use an imputer."}
