"""Answers, wrong and right: each wrong one is called by the name of its misconception, each way that works passes."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from cxrkit.checks import hospital, plain, worlds
from cxrkit.checks.inputs import inputs
from cxrkit.checks.judge import judge
from cxrkit.checks.judge_05 import _Facts
from cxrkit.checks.tasks import TASKS, world_seed
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
EDGE = CURVE[(CURVE["probability"] >= 0.8) & (CURVE["probability"] < 0.9)]
HERE = at_threshold(CURVE["label"], CURVE["probability"], 0.5)
HISTORY = worlds.history(0)
TOLD = worlds.told(0)
CHANGES = worlds.changes(0)
SAFE = [letter for letter, change in CHANGES.items() if not any(word in change for word in ("upside", "mirror", "stretch"))]
LETTER = {change.split(",")[0]: letter for letter, change in CHANGES.items()}
FACTS = worlds.frozen_facts(0)


_least = _cheapest(lambda fn, fp, missed, alarm, y: missed * fn + alarm * fp)


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
    ("02.4", lambda a, b: ((a - a.mean(0)) / (a.std(0) + 1e-8), (b - a.mean(0)) / (a.std(0) + 1e-8)), "division by a spread of zero"),
    ("02.4", lambda a, b: (a - a.mean(0), b - a.mean(0)), "centred, not scaled"),
    ("02.5", lambda y: np.ones(len(y)), "all films alike"),
    ("02.5", lambda y: np.bincount(y)[y] * 2 / len(y), "the common class made heavier"),
    ("02.5", lambda y: (len(y) / (2 * np.bincount(y)))[1 - y], "the classes exchanged"),
    ("02.5", lambda y: 1 / np.bincount(y)[y], "weights that do not average to 1"),
    ("02.5", lambda y: len(y) / (2 * np.bincount(y)), "a weight a class instead of a film"),
    ("02.6", _head("train", "val", lambda head, x: head.predict(x)), "the AUC of labels, not of scores"),
    ("02.6", _head("train", "train"), "scored on the films that were trained on"),
    ("02.6", _head("both", "val"), "fitted on validation films too"),
    ("02.6", _head("val", "val"), "fitted on validation films"),
    ("02.6", _head("train", "val", lambda head, x: head.predict_proba(x)[:, 0]), "the probability of normal"),
    ("03.1", HISTORY["epoch"].iloc[-1], "the last epoch is the best"),
    ("03.1", HISTORY["epoch"][HISTORY["loss"].idxmin()], "training loss decides"),
    ("03.1", HISTORY["epoch"][HISTORY["val_auc"].idxmax()], "a tie is not looked at"),
    ("03.1", HISTORY["epoch"][HISTORY["val_loss"].idxmin()], "validation loss decides"),
    ("03.1", int(HISTORY["val_auc"][::-1].idxmax()), "epochs counted from 0"),
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
    ("03.5", lambda s, w, n, peak: min(peak, peak * (s + 1) / w), "no cool-down"),
    ("03.5", lambda s, w, n, peak: peak * (s / w if s < w else (1 + np.cos(np.pi * (s - w) / (n - w))) / 2), "the warm-up counted from 0"),
    ("03.5", lambda s, w, n, peak: peak * ((s + 1) / w if s <= w else (1 + np.cos(np.pi * (s - w) / (n - w))) / 2), "the peak is not reached, or passed"),
    ("03.4", lambda x, m, v, g, b: g * (x - m) / np.sqrt(v) + b, "the 0.001 is left out"),
    ("03.4", lambda x, m, v, g, b: g * (x - m) / (np.sqrt(v) + 1e-3) + b, "the 0.001 added to the root"),
    ("04.3", lambda y, p: 2 * roc_auc_score(y, p) - 1, "2 · AUC - 1"),
    ("04.6", lambda p, then, now: 100 * p * now / then / (p * now / then + (1 - p) * (1 - now) / (1 - then)), "percent instead of a share"),
    ("03.5", lambda s, w, n, peak: peak, "no cool-down"),
    ("03.5", lambda s, w, n, peak: peak * ((s + 1) / w if s < w else (1 + np.cos((s - w) / (n - w))) / 2), "half a turn is pi"),
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
    ("04.3", lambda y, p: roc_auc_score(y, p > 0.5), "the AUC of labels, not of scores"),
    ("04.3", lambda y, p: np.mean((p > 0.5) == y), "accuracy taken for AUC"),
    ("04.3", lambda y, p: max(roc_auc_score(y, p), 1 - roc_auc_score(y, p)), "an AUC below a half turned over"),
    ("04.3", lambda y, p: round(roc_auc_score(y, p), 2), "rounded, or drawn at random"),
    ("04.2", lambda y, p, t: [float((p >= 0.5)[y == 1].mean()), float((p < 0.5)[y == 0].mean())], "the threshold is not used"),
    ("04.4", lambda y, p, missed, alarm: 7, "a position instead of a threshold"),
    ("04.4", lambda *case: 100 * _least(*case), "percent instead of a share"),
    ("04.4", lambda y, p, missed, alarm: missed * (p < _least(y, p, missed, alarm))[y == 1].sum() + alarm * (p >= _least(y, p, missed, alarm))[y == 0].sum(),
     "the cost instead of the threshold"),
    ("04.4", lambda y, p, missed, alarm: alarm / (missed + alarm), "a formula for calibrated probabilities"),
    ("04.4", _cheapest(lambda fn, fp, missed, alarm, y: missed * fn / (y == 1).sum() + alarm * fp / (y == 0).sum()), "shares weighed instead of children"),
    ("04.4", lambda y, p, missed, alarm: 0.5, "one threshold for every cost"),
    ("04.4", _cheapest(lambda fn, fp, missed, alarm, y: alarm * fn + missed * fp), "the two costs exchanged"),
    ("04.4", _cheapest(lambda fn, fp, missed, alarm, y: fn + fp), "the costs are not used"),
    ("04.4", _cheapest(lambda fn, fp, missed, alarm, y: missed * fn + alarm * fp, strict=True), "the wrong side of a tie"),
    ("04.5", {"stated": BIN["label"].mean(), "observed": BIN["probability"].mean(), "too_sure": True}, "stated and observed exchanged"),
    ("04.5", {"stated": BIN["probability"].mean(), "observed": int(BIN["label"].sum()), "too_sure": True}, "a count instead of a share"),
    ("04.5", {"stated": EDGE["probability"].mean(), "observed": EDGE["label"].mean(), "too_sure": True}, "the wrong side of the bin's edge"),
    ("04.5", {"stated": 0.85, "observed": BIN["label"].mean(), "too_sure": True}, "the middle of the bin"),
    ("04.5", {"stated": 100 * BIN["probability"].mean(), "observed": BIN["label"].mean(), "too_sure": True}, "percent instead of a share"),
    ("04.6", lambda p, then, now: p, "nothing changes"),
    ("04.6", lambda p, then, now: p * now / (p * now + (1 - p) * (1 - now)), "the old prevalence left out"),
    ("04.6", lambda p, then, now: p * now / then, "probabilities multiplied instead of odds"),
    ("04.6", lambda p, then, now: p * then / now / (p * then / now + (1 - p) * (1 - then) / (1 - now)), "the two prevalences exchanged"),
]


@pytest.mark.parametrize("task, answer, name", WRONG, ids=[f"{task} {name}" for task, _, name in WRONG])
def test_a_wrong_answer_is_called_by_its_name(task, answer, name):
    found = verdict(task, answer)
    assert not found.passed and found.misconception == name
    assert len(found.message) > 30 and "wrong" not in found.message.lower().split()[:2]


LEAK, MARKER, RARE = (next(seed for seed in range(100) if hospital.problem_of(seed) == problem) for problem in hospital.PROBLEMS)


def _same_letter_there():
    films = _Facts(MARKER).there
    return np.mean([roc_auc_score(part["label"], part["probability"]) for part in (films[films["marker"] == letter] for letter in "LR")])


def _capstone():
    """Wrong answers of the capstone, on hospitals with each problem."""
    here, there, marked = _Facts(LEAK), _Facts(RARE), _Facts(MARKER)
    tested = there.films[there.films["split"] == "test"]
    rows = [
        ("05.1", LEAK, {"here": here.auc["there"], "there": here.auc["here"]}, "here and there exchanged"),
        ("05.1", LEAK, {"here": roc_auc_score(here.test["label"], here.test["probability"] >= 0.5), "there": 0.5}, "the AUC of labels, not of scores"),
        ("05.3", LEAK, int(here.known.sum()), "a count instead of a share"),
        ("05.3", LEAK, 1 - here.known.mean(), "the clean films counted"),
        ("05.3", LEAK, 100 * here.known.mean(), "percent instead of a share"),
        ("05.5", LEAK, "marker", "a letter blamed that knows nothing"),
        ("05.5", LEAK, "prevalence", "prevalence blamed for a loss of ranking"),
        ("05.5", RARE, "leakage", "leakage seen where there is none"),
        ("05.1", RARE, {"here": roc_auc_score(tested["label"], tested["probability"]), "there": there.auc["there"]}, "the site is not used"),
        ("05.6", LEAK, here.auc["here"], "nothing was taken away"),
        ("05.6", MARKER, marked.auc["here"], "nothing was taken away"),
        ("05.6", LEAK, roc_auc_score(here.test["label"][here.known], here.test["probability"][here.known]), "the wrong films kept"),
        ("05.6", RARE, there.at["there"]["precision"], "measured instead of predicted"),
        ("05.6", MARKER, _same_letter_there(), "the letters compared there, not here"),
        ("05.7", MARKER, "bigger_network", "more of the same"),
        ("05.7", MARKER, "split_by_patient", "the remedy for another problem (leakage)"),
        ("05.7", RARE, "lower_threshold", "a threshold mends everything"),
    ]
    rates = {f"{name}_{site}": here.at[site][key] for site in ("here", "there") for name, key in
             (("sensitivity", "recall"), ("specificity", "specificity"), ("ppv", "precision"))}
    rows.append(("05.2", LEAK, rates | {"sensitivity_here": rates["specificity_here"], "specificity_here": rates["sensitivity_here"]}, "specificity for sensitivity"))
    rows.append(("05.2", LEAK, rates | {"sensitivity_there": rates["ppv_there"]}, "PPV read as sensitivity"))
    rows.append(("05.2", LEAK, rates | {"specificity_here": 1 - rates["specificity_here"]}, "the false-alarm rate for specificity"))
    rows.append(("05.2", LEAK, {f"{rate}_{site}": rates[f"{rate}_{other}"] for rate in ("sensitivity", "specificity", "ppv") for site, other in (("here", "there"), ("there", "here"))}, "here and there exchanged"))
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
    assert world_seed("05", "Jos\u00e9") == world_seed("05", "Jose\u0301") != world_seed("05", "Jose"), "a Mac's folder keeps the accent apart"
    assert world_seed("05", "Ada") != world_seed("05", "Grace") and world_seed("05") == world_seed("01", "Ada") == 0
    small, large = hospital.hospital(3, 16), hospital.hospital(3, 32)
    pd.testing.assert_frame_equal(small.films, large.films)
    assert large.images.shape == (len(large.films), 32, 32)


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


def _on_a_grid(labels, probabilities, missed, alarm):
    def cost(t):
        return missed * (probabilities < t)[labels == 1].sum() + alarm * (probabilities >= t)[labels == 0].sum()
    return min(np.linspace(0, 1, 101), key=cost)


@pytest.mark.parametrize("task, answer", [
    ("01.4", _with_sklearn), ("01.4", _with_pandas), ("01.4", lambda *case: _with_sklearn(*case).astype(int).tolist()), ("02.4", _with_scaler),
    ("02.4", lambda a, b: [(part - a.mean(0)) / np.where(a.std(0, ddof=1) > 0, a.std(0, ddof=1), 1) for part in (a, b)]),
    ("03.5", lambda s, w, n, peak: peak * ((s + 1) / w if s < w else np.cos(np.pi * (s - w) / (n - 1 - w)) / 2 + 0.5)), ("04.4", _with_roc_curve), ("04.6", _with_odds),
    ("04.2", lambda y, p, t: {"sensitivity": np.float32((p >= t)[y == 1].mean()), "specificity": (p < t)[y == 0].mean()}),
    ("04.2", lambda y, p, t: {"specificity": (p < t)[y == 0].mean(), "sensitivity": (p >= t)[y == 1].mean()}),
    ("04.2", lambda y, p, t: np.array([(p >= t)[y == 1].mean(), (p < t)[y == 0].mean()])),
    ("03.6", lambda a, p: np.array(_patience()(a, p))), ("03.6", lambda a, p: pd.Series(_patience()(a, p), ["run", "kept"])),
    ("03.6", lambda a, p: dict(zip(("kept", "run"), _patience()(a, p)[::-1]))),
    ("04.3", lambda y, p: round(roc_auc_score(y, p), 3)), ("02.5", lambda y: np.round((len(y) / (2 * np.bincount(y)))[y], 3)), ("04.4", _on_a_grid),
])
def test_another_way_that_works_passes(task, answer):
    for seed in range(8):
        assert verdict(task, answer, seed).passed, (seed, verdict(task, answer, seed))


def test_a_number_that_several_mistakes_give_gets_no_name():
    """Of 40 hospitals some have two such numbers within a hundredth of each other."""
    unnamed = 0
    for seed in range(40):
        facts = _Facts(seed)
        if facts.problem == "prevalence" and abs(facts.auc["here"] - facts.at["here"]["precision"]) < 0.009:
            unnamed += 1
            assert verdict("05.6", facts.at["here"]["precision"], seed).misconception is None
    assert unnamed, "no such hospital among these: take more"


def test_two_decimals_are_enough_in_the_capstone():
    for seed in range(20):
        facts = _Facts(seed)
        rates = {f"{name}_{site}": round(facts.at[site][key], 2) for site in ("here", "there") for name, key in
                 (("sensitivity", "recall"), ("specificity", "specificity"), ("ppv", "precision"))}
        letters = {f"{site}_{who}": round(facts.marker(site)[who], 2) for site in ("here", "there") for who in ("ill", "healthy")}
        aucs = {site: round(auc, 2) for site, auc in facts.auc.items()}
        for task, answer in (("05.1", aucs), ("05.2", rates), ("05.3", round(facts.known.mean(), 2)), ("05.4", letters),
                             ("05.6", round(facts.honest[facts.problem], 2))):
            assert verdict(task, answer, seed).passed, (task, seed, answer, verdict(task, answer, seed))
        percent = verdict("05.1", {site: round(100 * auc) for site, auc in aucs.items()}, seed)
        assert percent.misconception == "percent instead of a share", percent
        wrong = verdict("05.2", rates | {"specificity_here": facts.at["here"]["npv"]}, seed)
        assert not wrong.passed and wrong.misconception != "accuracy taken for PPV", wrong


@pytest.mark.parametrize("task, answer, words", [
    ("02.6", lambda *case: "x", "One AUC is asked for, not 'x'."),
    ("01.5", lambda h, s: min(3, int(np.isin(h[s == "test"], h[s == "train"]).sum())), "In trial 2 there are"),
    ("04.6", lambda p, then, now: p * now / 0.6 / (p * now / 0.6 + (1 - p) * (1 - now) / 0.4), "From 0.5 to 0.1"),
    ("01.2", lambda name: re.search(r"\d+", name).group(), "two children, and your keys are the same"),
    ("02.3", lambda x: x.squeeze()[..., None], "Films of shape (1, 6, 10) came out with shape (6, 10, 1)."),
    ("02.3", lambda x: object(), "Your function returned something of the type 'object'; an array is asked for"),
    ("01.2", "person12", "A function is asked for, its name without brackets, not str."),
    ("03.3", list("abcdefg"), None),
    ("01.3", "b58", "Write the child's part of the file names, such as 'person12_virus'."),
    ("05.1", {"Here": 0.9, "There": 0.8}, "Your dict has the keys 'Here', 'There'; asked for are 'here', 'there'."),
    ("05.1", {"here": None, "there": None}, "Put your values in place of None: here, there."),
    ("04.2", lambda y, p, t: {"a": 1, "b": 2}, "Return two shares: sensitivity, specificity."),
])
def test_what_is_said_helps_on(task, answer, words):
    found = verdict(task, answer)
    assert not found.passed
    if words is None:
        assert not found.right, "every right letter beside a wrong one tells the whole answer"
    else:
        assert words in found.message, found


@pytest.mark.parametrize("answer", [np.array(SAFE), pd.Series(SAFE), pd.Series(SAFE, dtype="string").unique(), set(SAFE), "".join(SAFE)], ids=lambda value: type(value).__name__)
def test_letters_pass_in_any_form(answer):
    assert verdict("03.3", answer).passed


def test_odd_forms_of_one_value_are_read():
    problem = hospital.problem_of(1)
    assert verdict("05.5", np.array(problem), 1).passed and verdict("05.5", np.array([problem]), 1).passed
    assert verdict("02.2", np.array(FACTS["features"] + 1)).passed and verdict("02.2", np.array([FACTS["features"] + 1])).passed
    assert plain.to_plain(np.array(None)) is None
    assert world_seed("05", 12345) == world_seed("05", "12345") and world_seed("05", None) == 0


def test_the_share_of_the_healthy_is_not_forgotten_unseen():
    """Sensitivity 0.9, specificity 0.8 where 5 in 100 are ill: 0.19 is right, and 0.184 has all children for the healthy ones."""
    films = worlds.predictions(0)
    here = at_threshold(films["label"], films["probability"], 0.5)
    caught, false = here["recall"] * 0.05, 1 - here["specificity"]
    assert verdict("04.1", caught / (caught + false)).misconception == "the share of the healthy left out"
    right = caught / (caught + 0.95 * false)
    assert verdict("04.1", right).passed and verdict("04.1", round(right, 2)).passed


def test_a_path_names_its_child_and_the_label_is_no_column():
    leaked = _leaked_answers()[0]
    assert verdict("01.3", f"train/PNEUMONIA/{leaked}").passed
    assert verdict("01.6", {"column": "label", "auc": 1.0}).misconception == "the label as its own predictor"
    assert "more common" in verdict("05.7", "more_epochs", RARE).message and "flaw" in verdict("05.7", "more_epochs", MARKER).message


def test_the_markers_number_is_not_explained_by_noise_where_it_is_lower():
    """Among few healthy films with an L the number may fall below the other hospital's by chance."""
    for seed in range(60):
        facts = _Facts(seed)
        if facts.problem == "marker":
            said = verdict("05.6", facts.honest["marker"], seed).message
            assert ("adds noise" in said) == (facts.auc["there"] < facts.honest["marker"])


def test_a_count_with_rounding_in_its_last_bit_is_right():
    def counted(hashes, split):
        test = split == "test"
        return (1 - (~np.isin(hashes[test], hashes[~test])).mean()) * test.sum()

    assert verdict("01.5", counted).passed
