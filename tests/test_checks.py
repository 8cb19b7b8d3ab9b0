"""The checks: plain values only, misconceptions by name, three hints, a quiz, progress on this computer."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from cxrkit import checks
from cxrkit.checks import hospital, plain, quizzes, worlds
from cxrkit.checks.hints import HINTS
from cxrkit.checks.inputs import inputs
from cxrkit.checks.judge import judge
from cxrkit.checks.judge_05 import _Facts
from cxrkit.checks.questions import QUIZZES
from cxrkit.checks.tasks import SETS, TASKS, world_seed
from cxrkit.errors import CxrkitError
from cxrkit.evaluation import at_threshold

SEED = 7  # of function tasks' inputs; any will do


def verdict(task, answer, seed=None):
    """Judge as `check` does, with another seed of inputs."""
    if TASKS[task].kind == "function":
        seed = SEED if seed is None else seed
        with np.errstate(all="ignore"):
            outcomes = [plain.loads(plain.dumps(plain.call(answer, arguments))) for arguments in inputs(task, seed)]
        return judge(task, outcomes, seed=seed)
    return judge(task, plain.loads(plain.dumps(answer)), seed=seed or 0)


# --- the table of wrong answers -------------------------------------------------------------------------------------


def _film_by_film(patients, share, seed):
    return np.random.default_rng(seed).random(len(patients)) < share


def _whole_patients(patients, share, seed):
    names = np.unique(patients)
    return np.isin(patients, np.random.default_rng(seed).permutation(names)[: max(1, round(share * len(names)))])


def _scaled(part, by):
    spread = by.std(axis=0)
    return (part - by.mean(axis=0)) / np.where(spread < 1e-9, 1, spread)


def _head(fit, score, decide=lambda head, x: head.predict_proba(x)[:, 1]):
    def answer(train_x, train_y, val_x, val_y):
        parts = {"train": (train_x, train_y), "val": (val_x, val_y), "both": (np.r_[train_x, val_x], np.r_[train_y, val_y])}
        head = LogisticRegression(max_iter=1000).fit(*parts[fit])
        x, y = parts[score]
        return roc_auc_score(y, decide(head, x))
    return answer


def _patience(better=lambda a, b: a > b, extra=0, start=1):
    def answer(aucs, patience):
        best, kept, waited, epoch = -1.0, 0, 0, 0
        for epoch, auc in enumerate(aucs, 1):
            kept, waited, best = (epoch, 0, auc) if better(auc, best) else (kept, waited + 1, best)
            if waited == patience + extra:
                break
        return epoch, kept - 1 + start
    return answer


def _cheapest(cost_of, strict=False):
    def answer(y, p, missed, alarm):
        def cost(t):
            called = p > t if strict else p >= t
            return cost_of(((y == 1) & ~called).sum(), ((y == 0) & called).sum(), missed, alarm, y)
        return float(min(np.r_[0.0 if strict else 1.01, np.unique(p)], key=cost))
    return answer


FILES = worlds.files_table(0)
CURVE = worlds.predictions(0)
BIN = CURVE[(CURVE["probability"] > 0.8) & (CURVE["probability"] <= 0.9)]
HERE = at_threshold(CURVE["label"], CURVE["probability"], 0.5)
HISTORY = worlds.history(0)
TOLD = worlds.told(0)
CHANGES = worlds.changes(0)
SAFE = [letter for letter, change in CHANGES.items() if not any(word in change for word in ("upside", "mirror", "stretch"))]
LETTER = {change.split(",")[0]: letter for letter, change in CHANGES.items()}
FACTS = worlds.frozen_facts(0)


def _exchanged(a, b):
    swap = {a: b, b: a}
    return {letter: swap.get(name, name) for letter, name in TOLD.items()}


WRONG = [  # task, answer, what the check must call it
    ("01.1", 0.5, "two classes mean one half"),
    ("01.1", 1 - worlds.films(0).labels[worlds.films(0).index("test")].mean(), "the share that the rule gets wrong"),
    ("01.2", lambda name: name.split("_")[0].rsplit("-", 1)[0], None),
    ("01.2", lambda name: name, "every film its own child"),
    ("01.2", lambda name: name.split("_")[0] if name[0] == "p" else name.split("IM-")[0] + name.split("IM-")[1][:4], "the person number alone"),
    ("01.2", lambda name: "_".join(name.split("_")[:2]) if name[0] == "p" else name.split("IM-")[1][:4], "NORMAL2- dropped"),
    ("01.4", _film_by_film, "the same patient stands on both sides"),
    ("01.4", lambda p, s, seed: _whole_patients(p, s, 0), "the seed is not used"),
    ("01.4", lambda p, s, seed: ~_whole_patients(p, s, seed), "True and False exchanged"),
    ("01.4", lambda p, s, seed: np.flatnonzero(_whole_patients(p, s, seed)), "row numbers instead of a mask"),
    ("01.4", lambda p, s, seed: np.zeros(len(p), bool), "nobody is in validation"),
    ("01.5", lambda h, s: pd.Series(h).duplicated(keep=False).sum(), "copies counted wherever they lie"),
    ("01.5", lambda h, s: len(set(h[s == "test"]) & set(h[s == "train"])), "pictures counted instead of films"),
    ("01.5", lambda h, s: np.isin(h[s == "train"], h[s == "test"]).sum(), "training films counted"),
    ("01.6", {"column": "width", "auc": roc_auc_score(FILES["label"], FILES["width"])}, "an AUC far below a half is thought harmless"),
    ("01.6", {"column": "bytes", "auc": roc_auc_score(FILES["label"], FILES["bytes"])}, "a difference of means taken for separation"),
    ("02.1", FACTS["films"], "one epoch counted"),
    ("02.1", FACTS["epochs"], "one film counted"),
    ("02.2", FACTS["features"], "the bias forgotten"),
    ("02.2", 2 * (FACTS["features"] + 1), "two outputs for two classes"),
    ("02.2", FACTS["backbone_weights"] + FACTS["features"] + 1, "frozen weights counted as learning"),
    ("02.3", lambda x: x[..., None] / 255, "image scaled twice"),
    ("02.3", lambda x: x[..., None] / 127.5 - 1, "image moved to -1 … 1 by hand"),
    ("02.3", lambda x: x, "the channel is missing"),
    ("02.3", lambda x: x[:, None], "the channel stands in front"),
    ("02.3", lambda x: np.repeat(x[..., None], 3, axis=-1), "three channels given by hand"),
    ("02.4", lambda a, b: (_scaled(a, a), _scaled(b, b)), "validation standardised by itself"),
    ("02.4", lambda a, b: (_scaled(a, np.r_[a, b]), _scaled(b, np.r_[a, b])), "validation helped to standardise"),
    ("02.4", lambda a, b: ((a - a.mean(0)) / a.std(0), (b - a.mean(0)) / a.std(0)), "division by a spread of zero"),
    ("02.4", lambda a, b: (a - a.mean(0), b - a.mean(0)), "centred, not scaled"),
    ("02.5", lambda y: np.ones(len(y)), "all films alike"),
    ("02.5", lambda y: np.bincount(y)[y] * 2 / len(y), "the common class made heavier"),
    ("02.5", lambda y: 1 / np.bincount(y)[y], "weights that do not average to 1"),
    ("02.5", lambda y: len(y) / (2 * np.bincount(y)), "a weight a class instead of a film"),
    ("02.6", _head("train", "val", lambda head, x: head.predict(x)), "the AUC of labels, not of scores"),
    ("02.6", _head("train", "train"), "scored on the films that were trained on"),
    ("02.6", _head("both", "val"), "fitted on validation films too"),
    ("02.6", _head("train", "val", lambda head, x: head.predict_proba(x)[:, 0]), "the probability of normal"),
    ("03.1", HISTORY["epoch"].iloc[-1], "the last epoch is the best"),
    ("03.1", HISTORY["epoch"][HISTORY["loss"].idxmin()], "training loss decides"),
    ("03.1", HISTORY["epoch"][HISTORY["val_auc"].idxmax()], None),  # the first of two that are level
    ("03.2", _exchanged("memorises", "still_learning"), "overfitting and underfitting exchanged"),
    ("03.2", _exchanged("few_films", "memorises"), "noise and trend exchanged"),
    ("03.3", [*SAFE, LETTER["mirror it"]], "a mirrored chest is still this child's chest"),
    ("03.3", [*SAFE, LETTER["turn it upside down"]], "more variety is always better"),
    ("03.3", SAFE[:2], "too careful"),
    ("03.4", lambda x, m, v, g, b: g * (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3) + b, "the batch's own mean and variance"),
    ("03.4", lambda x, m, v, g, b: g * (x - m) / v + b, "variance taken for spread"),
    ("03.4", lambda x, m, v, g, b: (x - m) / np.sqrt(v), "gamma and beta forgotten"),
    ("03.5", lambda s, w, n, peak: peak * (1 + np.cos(np.pi * s / n)) / 2, "no warm-up"),
    ("03.5", lambda s, w, n, peak: peak * ((s + 1) / w if s < w else 1 - (s - w) / (n - w)), "a straight line instead of a cosine"),
    ("03.5", lambda s, w, n, peak: peak * ((s + 1) / w if s < w else np.cos(np.pi * (s - w) / (n - w))), "a negative learning rate"),
    ("03.5", lambda s, w, n, peak: peak * ((s + 1) / w if s < w else (1 + np.cos(np.pi * s / n)) / 2), "the cosine starts before the warm-up ends"),
    ("03.6", lambda a, p: (len(a), int(np.argmax(a)) + 1), "never stops"),
    ("03.6", _patience(lambda a, b: a >= b), "an equal AUC counts as better"),
    ("03.6", _patience(extra=1), "one epoch too patient"),
    ("03.6", _patience(start=0), "best epoch counted from 0"),
    ("03.6", lambda a, p: _patience()(a, 1), "stops at the first dip"),
    ("04.1", HERE["recall"], "PPV read as sensitivity"),
    ("04.1", HERE["precision"], "the precision of another prevalence"),
    ("04.2", lambda y, p, t: ((p < t)[y == 0].mean(), (p >= t)[y == 1].mean()), "specificity for sensitivity"),
    ("04.2", lambda y, p, t: ((p > t)[y == 1].mean(), (p <= t)[y == 0].mean()), "the wrong side of a tie"),
    ("04.2", lambda y, p, t: (y[p >= t].mean(), 1 - y[p < t].mean()), "PPV read as sensitivity"),
    ("04.2", lambda y, p, t: (100 * (p >= t)[y == 1].mean(), 100 * (p < t)[y == 0].mean()), "percent instead of a share"),
    ("04.3", lambda y, p: roc_auc_score(y, p >= 0.5), "the AUC of labels, not of scores"),
    ("04.3", lambda y, p: np.mean(p[y == 1][:, None] > p[y == 0]), "a tie counts nothing"),
    ("04.3", lambda y, p: roc_auc_score(y, -p), "ranked the wrong way round"),
    ("04.4", lambda y, p, missed, alarm: 0.5, "one threshold for every cost"),
    ("04.4", _cheapest(lambda fn, fp, missed, alarm, y: alarm * fn + missed * fp), "the two costs exchanged"),
    ("04.4", _cheapest(lambda fn, fp, missed, alarm, y: fn + fp), "the costs are not used"),
    ("04.4", _cheapest(lambda fn, fp, missed, alarm, y: missed * fn + alarm * fp, strict=True), "the wrong side of a tie"),
    ("04.5", {"stated": BIN["label"].mean(), "observed": BIN["probability"].mean(), "too_sure": True}, "stated and observed exchanged"),
    ("04.5", {"stated": BIN["probability"].mean(), "observed": int(BIN["label"].sum()), "too_sure": True}, "a count instead of a share"),
    ("04.5", {"stated": 0.85, "observed": BIN["label"].mean(), "too_sure": True}, "the middle of the bin"),
    ("04.5", {"stated": 100 * BIN["probability"].mean(), "observed": BIN["label"].mean(), "too_sure": True}, "percent instead of a share"),
    ("04.6", lambda p, then, now: p, "nothing changes"),
    ("04.6", lambda p, then, now: p * now / then, "probabilities multiplied instead of odds"),
    ("04.6", lambda p, then, now: p * then / now / (p * then / now + (1 - p) * (1 - then) / (1 - now)), "the two prevalences exchanged"),
]


@pytest.mark.parametrize("task, answer, name", WRONG, ids=[f"{task} {name}" for task, _, name in WRONG])
def test_a_wrong_answer_is_called_by_its_name(task, answer, name):
    found = verdict(task, answer)
    assert not found.passed and found.misconception == name
    assert len(found.message) > 30 and "wrong" not in found.message.lower().split()[:2]


LEAK, MARKER, RARE = (next(seed for seed in range(100) if hospital.problem_of(seed) == problem) for problem in hospital.PROBLEMS)


def _capstone():
    """Wrong answers of the capstone, on hospitals with each problem."""
    here, there = _Facts(LEAK), _Facts(RARE)
    rows = [
        ("05.1", LEAK, {"here": here.auc["there"], "there": here.auc["here"]}, "here and there exchanged"),
        ("05.1", LEAK, {"here": roc_auc_score(here.test["label"], here.test["probability"] >= 0.5), "there": 0.5}, "the AUC of labels, not of scores"),
        ("05.3", LEAK, int(here.known.sum()), "a count instead of a share"),
        ("05.3", LEAK, 1 - here.known.mean(), "the clean films counted"),
        ("05.3", LEAK, 100 * here.known.mean(), "percent instead of a share"),
        ("05.5", LEAK, "marker", "a letter blamed that knows nothing"),
        ("05.5", LEAK, "prevalence", "prevalence blamed for a loss of ranking"),
        ("05.5", RARE, "leakage", "leakage seen where there is none"),
        ("05.6", LEAK, here.auc["here"], "nothing was taken away"),
        ("05.6", LEAK, roc_auc_score(here.test["label"][here.known], here.test["probability"][here.known]), "the wrong films kept"),
        ("05.6", RARE, there.at["there"]["precision"], "measured instead of predicted"),
        ("05.7", MARKER, "bigger_network", "more of the same"),
        ("05.7", MARKER, "split_by_patient", "the remedy for another problem (leakage)"),
        ("05.7", RARE, "lower_threshold", "a threshold mends everything"),
    ]
    rates = {f"{name}_{site}": here.at[site][key] for site in ("here", "there") for name, key in
             (("sensitivity", "recall"), ("specificity", "specificity"), ("ppv", "precision"))}
    rows.append(("05.2", LEAK, rates | {"sensitivity_here": rates["specificity_here"], "specificity_here": rates["sensitivity_here"]}, "specificity for sensitivity"))
    rows.append(("05.2", LEAK, rates | {"sensitivity_there": rates["ppv_there"]}, "PPV read as sensitivity"))
    letters = {f"{site}_{who}": here.marker(site)[who] for site in ("here", "there") for who in ("ill", "healthy")}
    ill = here.films[(here.films["site"] == "here") & (here.films["label"] == 1)]
    rows.append(("05.4", LEAK, letters | {"here_ill": (ill["marker"] == "L").mean()}, "films without a letter counted"))
    lettered = here.films[(here.films["site"] == "here") & (here.films["marker"] == "L")]
    rows.append(("05.4", LEAK, letters | {"here_ill": lettered["label"].mean()}, "the question turned round"))
    return rows


def test_the_capstones_wrong_answers_are_called_by_their_names():
    for task, seed, answer, name in _capstone():
        found = verdict(task, answer, seed)
        assert (found.passed, found.misconception) == (False, name), (task, found)


def _leaked_answers():
    table = worlds.leaky_table(0)
    names = table["path"].str.rsplit("/", n=1).str[-1]
    child = names.str.split("_").str[:2].str.join("_")
    (leaked,) = {name for name in set(child[table["split"] == "val"]) & set(child[table["split"] == "train"]) if name.startswith("person")}
    namesake = names.str.split("_").str[0]
    both = set(namesake[table["split"] == "test"]) & set(namesake[table["split"] == "train"])
    return leaked, names[child == leaked].iloc[0], sorted(name for name in both if name.startswith("person") and name != leaked.split("_")[0])[0]


def test_the_leaked_patient_and_those_who_only_look_like_it():
    leaked, film, namesake = _leaked_answers()
    assert verdict("01.3", leaked).passed
    assert verdict("01.3", film).misconception == "a film instead of a child"
    assert verdict("01.3", leaked.split("_")[0]).misconception == "the person number alone"
    assert verdict("01.3", namesake).misconception == "namesakes taken for one child"


def test_each_task_has_two_named_misconceptions_in_these_tables():
    named = [(task, name) for task, _, name in WRONG if name] + [(row[0], row[3]) for row in _capstone()] + [("01.3", k) for k in range(3)]
    few = {task for task in TASKS if len({name for t, name in named if t == task}) < 2}
    assert few == set()


# --- hospitals ------------------------------------------------------------------------------------------------------


def test_every_hospital_shows_its_problem_and_can_be_solved():
    seen = set()
    for seed in range(14):
        facts, problem = _Facts(seed), hospital.problem_of(seed)
        seen.add(problem)
        letters = facts.marker("here")
        assert (facts.known.mean() > 0.3) == (problem == "leakage")
        assert (letters["ill"] - letters["healthy"] > 0.5) == (problem == "marker")
        assert (facts.there["label"].mean() < 0.2) == (problem == "prevalence")
        assert np.isfinite(facts.honest[problem])
        assert verdict("05.5", problem, seed).passed and verdict("05.6", facts.honest[problem], seed).passed
        fall = facts.auc["here"] - facts.auc["there"]
        assert fall > 0.05 if problem != "prevalence" else facts.at["there"]["precision"] < 0.5 < facts.at["here"]["precision"]
    assert seen == set(hospital.PROBLEMS)


def test_a_students_hospital_is_drawn_from_the_name():
    assert world_seed("05", "Ada") == world_seed("05", " ada ") == 250382  # pinned: grader and student must draw the same
    assert world_seed("05", "Ada") != world_seed("05", "Grace") and world_seed("05") == world_seed("01", "Ada") == 0
    small, large = hospital.hospital(3, 16), hospital.hospital(3, 32)
    pd.testing.assert_frame_equal(small.films, large.films)
    assert large.images.shape == (len(large.films), 32, 32)


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
    assert (back["n"], back["i"], back["b"]) == (0.5, 3, False) and list(back["x"]) == ["q"] and back["z"].shape == ()
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

    assert verdict("01.4", vandal).misconception == "the same patient stands on both sides"
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
    assert answer.value == f"c: {quizzes.explain(QUIZZES['02'][1], 'c')}"


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


# --- right in another way -------------------------------------------------------------------------------------------


def _with_sklearn(patients, share, seed):
    from sklearn.model_selection import GroupShuffleSplit

    mask = np.zeros(len(patients), bool)
    mask[next(GroupShuffleSplit(1, test_size=share, random_state=seed).split(patients, groups=patients))[1]] = True
    return mask


def _with_pandas(patients, share, seed):
    counts = pd.Series(patients).value_counts().sample(frac=1, random_state=seed)
    return pd.Series(patients).isin(counts.index[counts.cumsum() <= share * len(patients)])


def _with_scaler(train, val):
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train)
    return scaler.transform(train), scaler.transform(val)


def _with_roc_curve(labels, probabilities, missed, alarm):
    from sklearn.metrics import roc_curve

    false, true, thresholds = roc_curve(labels, probabilities, drop_intermediate=False)  # its first threshold is infinite
    return thresholds[np.argmin(missed * (1 - true) * labels.sum() + alarm * false * (1 - labels).sum())]


def _with_odds(p, then, now):
    odds = p / (1 - p) * now / (1 - now) * (1 - then) / then
    return (odds / (1 + odds)).tolist()


@pytest.mark.parametrize("task, answer", [
    ("01.4", _with_sklearn), ("01.4", _with_pandas), ("01.4", lambda *case: _with_sklearn(*case).astype(int).tolist()), ("02.4", _with_scaler),
    ("02.4", lambda a, b: [(part - a.mean(0)) / np.where(a.std(0, ddof=1) > 0, a.std(0, ddof=1), 1) for part in (a, b)]),
    ("03.5", lambda s, w, n, peak: peak * (s / w if s < w else np.cos(np.pi * (s - w) / (n - 1 - w)) / 2 + 0.5)), ("04.4", _with_roc_curve), ("04.6", _with_odds),
    ("04.2", lambda y, p, t: {"sensitivity": np.float32((p >= t)[y == 1].mean()), "specificity": (p < t)[y == 0].mean()}),
])
def test_another_way_that_works_passes(task, answer):
    for seed in range(8):
        assert verdict(task, answer, seed).passed, (seed, verdict(task, answer, seed))
