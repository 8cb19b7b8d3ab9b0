"""Judges of set 04: thresholds and calibration."""

import numpy as np
from sklearn.metrics import accuracy_score, roc_auc_score

from ..evaluation import at_threshold, reliability_curve
from . import lesson, worlds
from .inputs import inputs
from .verdict import FORM, PERCENT, fields, first_wrong, miss, named, number, pair, returned, same, share

RARE = 0.05  # the village of task 04.1
BIN = (0.8, 0.9)  # the bin of task 04.5


def _village(value, seed, right):
    films = worlds.predictions(seed)
    here = at_threshold(films["label"], films["probability"], 0.5)
    return lesson.rare_ppv(number(value, "a share"), here["recall"], here["specificity"], RARE, here["precision"])


def _rates(value, seed, right):
    cases = inputs("04.2", seed)
    results = [pair(result, ("sensitivity", "specificity"), "shares") for result in returned(value, cases)]

    def rates(names, edge=0.0):
        tables = [at_threshold(y, np.clip(p - edge, 0, 1), t) for y, p, t in cases]
        return [[table[name] if name[0] != "-" else 1 - table[name[1:]] for name in names] for table in tables]

    true = rates(("recall", "specificity"))
    if all(same(a, b, 1e-3) for a, b in zip(results, true)):
        return "Sensitivity is counted among the ill, specificity among the healthy; films on the threshold are called pneumonia."
    for k, name in enumerate(("sensitivity", "specificity")):
        if all(same(a[k], b[k], 1e-3) for a, b in zip(results, true)):
            right.append(f"{name} is right")
    named(results, {
        "specificity for sensitivity": (rates(("specificity", "recall")), "The two are exchanged. Sensitivity is counted among the ill: of them, the "
                                                                          "share that is flagged."),
        "the wrong side of a tie": (rates(("recall", "specificity"), edge=1e-6),
                                    "Films exactly at the threshold are called pneumonia: >=, not >."),
        "PPV read as sensitivity": (rates(("precision", "npv")), "You divide by the films that were *called* ill (or normal). Divide by those that *are*."),
        "PPV read as sensitivity (one of two)": (rates(("precision", "specificity")), "Your first number is the PPV: among the flagged, the share "
                                                                                      "ill. Turn it round."),
        "the false-alarm rate for specificity": (rates(("recall", "-specificity")), "The second is the share of healthy children who are flagged. "
                                                                                    "Specificity is the rest."),
        PERCENT: ([[100 * v for v in pair] for pair in true], "Give shares from 0 to 1, not percent."),
    }, 1e-3)
    named(results, {"the threshold is not used": ([[table["recall"], table["specificity"]] for table in (at_threshold(y, p, 0.5) for y, p, _ in cases)],
                                                 "Your function cuts at 0.5 whatever it is given. Compare with `threshold`.")}, 1e-3)
    k = first_wrong(results, true, 1e-3)
    miss(None, f"In trial {k + 1} the sensitivity is {true[k][0]:.3f} and the specificity {true[k][1]:.3f}; yours are {results[k][0]:.3f} and "
               f"{results[k][1]:.3f}.")


def _auc(value, seed, right):
    cases = inputs("04.3", seed)
    results = [number(result, "one AUC") for result in returned(value, cases)]
    true = [roc_auc_score(y, p) for y, p in cases]
    if all(same(a, b, 6e-4) for a, b in zip(results, true)):
        return "The chance that an ill child gets a higher score than a healthy one; a tie counts a half."

    def pairs(tie):
        return [np.mean((p[y == 1][:, None] > p[y == 0]) + tie * (p[y == 1][:, None] == p[y == 0])) for y, p in cases]

    named(results, {
        "the AUC of labels, not of scores": ([roc_auc_score(y, p >= 0.5) for y, p in cases],
                                             "The scores were cut at 0.5 first, and the ranking is gone. Hand over the probabilities themselves."),
        "a tie counts nothing": (pairs(0), "Some ill and healthy children have the same score. Such a pair counts a half."),
        "a tie counts in full": (pairs(1), "A pair with equal scores counts a half: the model cannot tell the two."),
        "accuracy taken for AUC": ([accuracy_score(y, p >= 0.5) for y, p in cases], "That is the share of right calls at one threshold."),
        "ranked the wrong way round": ([1 - v for v in true], "The ill should get the higher scores. Are labels and scores exchanged, or a sign?"),
        "an AUC below a half turned over": ([max(v, 1 - v) for v in true], "In one trial the model ranks the wrong way round. Then the AUC is below a half, and that is what to report."),
    }, 6e-4)
    named(results, {
        "the AUC of labels, not of scores": ([roc_auc_score(y, p > 0.5) for y, p in cases], "The scores were cut at 0.5 first, and the ranking is gone. "
                                                                                            "Hand over the probabilities themselves."),
        "accuracy taken for AUC": ([accuracy_score(y, p > 0.5) for y, p in cases], "That is the share of right calls at one threshold."),
    }, 6e-4)
    if any(not 0 <= v <= 1 for v in results):
        named(results, {"2 · AUC - 1": ([2 * v - 1 for v in true], "That is the Gini coefficient, 2 · AUC - 1, which runs from -1 to 1. Return the AUC.")}, 1e-3)
        k = next(k for k, v in enumerate(results) if not 0 <= v <= 1)
        miss(FORM, f"An AUC lies between 0 and 1; in trial {k + 1} yours is {results[k]:g}.")
    if all(same(a, b, 0.006) for a, b in zip(results, true)):
        miss("rounded, or drawn at random", "Right to two decimals only. Count all pairs, and return the AUC as it is.")
    k = first_wrong(results, true, 6e-4)
    miss(None, f"In trial {k + 1} the AUC is {true[k]:.4f}; your function says {results[k]:.4f}. Mind ties.")


def _called(case, threshold, strict=False):
    """Missed pneumonias and false alarms at a threshold."""
    y, p = case[0], case[1]
    called = p > threshold if strict else p >= threshold
    return int(((y == 1) & ~called).sum()), int(((y == 0) & called).sum())


def _cheapest(case, missed, alarm, score=None):
    """The errors of the best candidate: the least cost, or the greatest `score` of (sensitivity, specificity)."""
    errors = [_called(case, t) for t in np.append(np.unique(case[1]), 1.01)]
    if score:
        return max(errors, key=lambda e: score(1 - e[0] / (case[0] == 1).sum(), 1 - e[1] / (case[0] == 0).sum()))
    return min(errors, key=lambda e: missed * e[0] + alarm * e[1])


def _cost(value, seed, right):
    cases = inputs("04.4", seed)
    # scikit-learn's roc_curve begins with a threshold of infinity: nobody is flagged
    thresholds = [1.01 if result == np.inf else number(result, "one threshold") for result in returned(value, cases)]

    def paid(errors):
        return [case[2] * missed + case[3] * alarms for case, (missed, alarms) in zip(cases, errors)]

    errors = [_called(case, t) for case, t in zip(cases, thresholds)]
    best = [_cheapest(case, case[2], case[3]) for case in cases]
    if max(thresholds) > 1.1 and same(paid([_called(case, round(t / 100, 6)) for case, t in zip(cases, thresholds)]), paid(best), 1e-9):
        miss(PERCENT, "Your thresholds are in percent. A threshold is a probability from 0 to 1.")
    if same(thresholds, paid(best), 1e-6):
        miss("the cost instead of the threshold", "That is the least cost. Return the threshold at which it is reached.")
    if all(t == round(t) for t in thresholds) and max(thresholds) > 1.1:
        miss("a position instead of a threshold", "A whole number: is it a place in a list (`np.argmin`)? Return the threshold that stands there.")
    if all(t > 1.1 for t in thresholds):
        miss(FORM, "A threshold is a probability from 0 to 1.")
    if same(paid(errors), paid(best), 1e-9):
        return f"No other threshold is cheaper. In the first trial: {best[0][0]} missed, {best[0][1]} false alarms, cost {paid(best)[0]:g}."
    if same(paid([_called(case, t, strict=True) for case, t in zip(cases, thresholds)]), paid(best), 1e-9):
        miss("the wrong side of a tie", "Your thresholds are best if films *above* them are called ill. Films exactly at the threshold are called ill too: >=.")
    named(errors, {
        "one threshold for every cost": ([_called(case, 0.5) for case in cases], "0.5 whatever the costs. Where a miss is dear the threshold must "
                                                                                 "fall; where an alarm is dear it must rise."),
        "the two costs exchanged": ([_cheapest(case, case[3], case[2]) for case in cases], "You charge a miss what a false alarm costs. A miss is an "
                                                                                           "ill child below the threshold."),
        "the costs are not used": ([_cheapest(case, 1, 1) for case in cases], "Your threshold makes the fewest errors, whatever they cost. Multiply "
                                                                              "each kind by its cost first."),
        "Youden's rule instead of the cost": ([_cheapest(case, 1, 1, score=lambda se, sp: se + sp) for case in cases],
                                              "You take the greatest sensitivity + specificity. The cost counts children, not shares."),
        "shares weighed instead of children": (
            [_cheapest(case, case[2] / (case[0] == 1).sum(), case[3] / (case[0] == 0).sum()) for case in cases],
            "You weigh shares of each class. The cost counts children: use sums, not means."),
        "a formula for calibrated probabilities": ([_called(case, case[3] / (case[2] + case[3])) for case in cases],
                                                   "alarm ÷ (missed + alarm) needs calibrated probabilities, and these are not. Count the cost at each threshold."),
        "no child is missed, whatever it costs": ([(0, _called(case, case[1][case[0] == 1].min())[1]) for case in cases],
                                                  "You avoid every miss. That too has a price: count the alarms."),
    }, 0)
    ours, least = paid(errors), paid(best)
    worst = int(np.argmax(np.array(ours) - least))
    right += [f"in trial {k + 1} no threshold is cheaper" for k in range(len(cases)) if ours[k] <= least[k] + 1e-9]
    miss(None, f"With {cases[worst][2]:g} a miss and {cases[worst][3]:g} an alarm your threshold {thresholds[worst]:.3g} costs {ours[worst]:g}; "
               f"{least[worst]:g} is possible. "
               "Try every observed probability as a threshold.")


def _curve(value, seed, right):
    answer = fields(value, ("stated", "observed", "too_sure"))
    films = worlds.predictions(seed)
    curve = reliability_curve(films["label"], films["probability"])
    row = curve[(curve["low"] - BIN[0]).abs() < 1e-9].iloc[0]
    inside = (films["probability"] > BIN[0]) & (films["probability"] <= BIN[1])
    above = films[films["probability"] > BIN[0]]
    stated, observed = (share(answer[name], row[name], 0.006) for name in ("stated", "observed"))
    if same(stated, row["observed"], 0.006) and same(observed, row["stated"], 0.006):
        miss("stated and observed exchanged", "`stated` is what the model says, the mean probability in the bin; `observed` is what happened, the "
                                              "share that is ill.")
    if same(stated, sum(BIN) / 2, 1e-9) and not same(row["stated"], sum(BIN) / 2, 5e-4):
        miss("the middle of the bin", "0.85 is the middle of the bin. Take the mean of the probabilities that are really in it.")
    p, y = films["probability"], films["label"]
    for edges in ((p >= BIN[0]) & (p < BIN[1]), (p > BIN[0]) & (p < BIN[1]), (p >= BIN[0]) & (p <= BIN[1])):
        theirs = p[edges].mean(), y[edges].mean()
        if not edges.equals(inside) and same((stated, observed), theirs, 1e-4) and not same((stated, observed), (row["stated"], row["observed"]), 0.006):
            miss("the wrong side of the bin's edge", "The bin begins above 0.8 and ends with 0.9: a film at exactly 0.9 belongs to it, one at exactly 0.8 does not.")
    if same(stated, row["stated"], 0.006):
        right.append(f"stated: on average the model says {row['stated']:.1%}")
    elif same(stated, above["probability"].mean(), 0.006) or same(observed, above["label"].mean(), 0.006):
        miss("everything above 0.8 taken for the bin", "The bin ends at 0.9: leave the films above it out.")
    else:
        miss(None, f"Take the films with a probability above {BIN[0]} up to {BIN[1]} ({int(inside.sum())} of them), and the mean of their probabilities.")
    if same(observed, row["observed"], 0.006):
        right.append(f"observed: {row['observed']:.1%} of these children are ill")
    elif same(observed, (films["label"][inside] == 1).sum(), 0.5):
        miss("a count instead of a share", f"{observed:g} children are ill. Of how many? Give the share.")
    elif same(observed, 1 - row["observed"], 0.006):
        miss("the share of healthy children", "That is the share of healthy children in the bin. Asked is the share that is ill.")
    elif same(observed, films["label"].mean(), 0.006):
        miss("the share among all films", "That is the share of ill children among all films. Look into the bin alone.")
    else:
        miss(None, "Of the children in this bin, what share has label 1?")
    if not isinstance(answer["too_sure"], bool):
        miss(FORM, "'too_sure' is True or False.")
    if answer["too_sure"] != bool(row["stated"] > row["observed"]):
        miss("over- and underconfidence exchanged", "Too sure means: it states more than happens. Compare your two numbers.")
    gap = 100 * (row["stated"] - row["observed"])
    return (f"It states {abs(gap):.0f} points {'more' if gap > 0 else 'less'} than happens "
            f"(95 % interval of what happens: {row['observed_low']:.0%} to {row['observed_high']:.0%}).")


def _moved(value, seed, right):
    cases = inputs("04.6", seed)
    results = returned(value, cases)
    if any(np.shape(result) != case[0].shape for result, case in zip(results, cases)):
        miss(FORM, "Return one new probability for each that came in.")
    results = [np.asarray(result, dtype=np.float64) for result in results]

    def rule(f):
        return [f(p, now / then, (1 - now) / (1 - then)) for p, then, now in cases]

    true = rule(lambda p, r, s: p * r / (p * r + (1 - p) * s))
    if all(same(a, b, 1e-3) for a, b in zip(results, true)):
        return "The odds move by one factor, the ranking stays: the AUC is the same, the decisions are not."
    named(results, {
        "nothing changes": (rule(lambda p, r, s: p), "A model that learned where 60 in 100 are ill says too much where 5 in 100 are."),
        "probabilities multiplied instead of odds": (rule(lambda p, r, s: p * r), "Scaled like this, probabilities can pass 1, and 0.99 is divided "
                                                                                  "by the same number as 0.5. Weigh the ill and the healthy part, then divide by their sum."),
        "probabilities multiplied and cut off at 1": (rule(lambda p, r, s: np.clip(p * r, 0, 1)), "Cutting off at 1 hides the trouble. Weigh the ill "
                                                                                                  "and the healthy part, then divide by their sum."),
        "the old prevalence left out": ([p * now / (p * now + (1 - p) * (1 - now)) for p, then, now in cases],
                                        "You weigh by the new prevalence alone. The probabilities already hold the old one: divide by it, now/then."),
        "the two prevalences exchanged": (rule(lambda p, r, s: p / r / (p / r + (1 - p) / s)), "Rarer disease must lower the probabilities. Yours "
                                                                                               "moves them the other way."),
        "only the ill are weighed anew": (rule(lambda p, r, s: p * r / (p * r + 1 - p)), "Where the ill grow rarer the healthy grow more common: weigh both parts."),
    }, 1e-3)
    if all(same(result / 100, expected, 1e-3) for result, expected in zip(results, true)):
        miss(PERCENT, "Your probabilities are in percent. Give shares from 0 to 1.")
    if any((result < 0).any() or (result > 1).any() for result in results):
        miss(FORM, "Some of your probabilities lie outside 0 to 1.")
    trial = first_wrong(results, true, 1e-3)
    p, then, now = cases[trial]
    k = int(np.argmax(np.abs(results[trial] - true[trial])))
    miss(None, f"From {then} to {now} a probability of {p[k]:.3f} becomes {true[trial][k]:.3f}; yours says {results[trial][k]:.3f}.")


JUDGES = {"04.1": _village, "04.2": _rates, "04.3": _auc, "04.4": _cost, "04.5": _curve, "04.6": _moved}
