"""Judges of set 03: fine-tuning."""

import numpy as np

from . import lesson, worlds
from .inputs import inputs
from .verdict import FORM, UNTOUCHED, fields, miss, named, number, pair, returned, same

_KEEP = {  # whether a change leaves the diagnosis alone, and what is to be said of it
    "turn the film by up to 5 degrees": (True, "children do not lie straight"),
    "make it up to a fifth brighter or darker": (True, "exposure differs from film to film"),
    "cut out at least 80 % of its area and enlarge that": (True, "films are collimated differently"),
    "soften or harden the contrast by up to a fifth": (True, "printing differs between hospitals"),
    "turn it upside down": (False, "no chest film is read that way, so nothing is learned from it"),
    "mirror it, left for right": (False, "a mirrored chest has its heart on the wrong side"),
    "stretch it to twice its width": (False, "the width of heart and chest is something that a reader reads"),
}
_CONFUSED = {  # told, named instead: the misconception
    ("memorises", "still_learning"): ("overfitting and underfitting exchanged", "training goes on falling while validation turns up: that is not a lack of epochs"),
    ("still_learning", "memorises"): ("overfitting and underfitting exchanged", "both curves fall side by side to the end: nothing has been learned by heart"),
    ("too_fast", "few_films"): ("few films and a high learning rate exchanged", "the *training* loss jumps as well, and it has plenty of films"),
    ("few_films", "too_fast"): ("few films and a high learning rate exchanged", "the training loss falls smoothly; only validation is ragged"),
    ("memorises", "few_films"): ("noise and trend exchanged", "validation turns up steadily, not here and there"),
    ("few_films", "memorises"): ("noise and trend exchanged", "validation goes up and down without a trend; one bad epoch is not overfitting"),
}


def _kept(value, seed, right):
    return lesson.kept_epoch(number(value, "an epoch's number"), worlds.history(seed))


def _stories(value, seed, right):
    told = worlds.told(seed)
    answer = {letter: str(name).strip() for letter, name in fields(value, tuple(told)).items()}
    for letter, name in answer.items():
        if letter in told and name not in worlds.STORIES:
            miss(FORM, f"{letter} is '{name[:30]}'; it can be {', '.join(worlds.STORIES)}.")
    right += [f"{letter}: {worlds.STORIES[told[letter]]}" for letter in told if answer[letter] == told[letter]]
    wrong = [letter for letter in told if answer[letter] != told[letter]]
    if not wrong:
        return "Training curve and validation curve together tell what one alone cannot."
    for letter in wrong:
        if known := _CONFUSED.get((told[letter], answer[letter])):
            miss(known[0], f"Look at {letter} again: {known[1]}.")
    miss(None, f"Look at {', '.join(wrong)} again, training and validation loss side by side. Which of the two is smooth? Which turns?")


def _changes(value, seed, right):
    offered = worlds.changes(seed)
    value = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(value, (list, str)) or not all(isinstance(letter, str) for letter in value):
        miss(FORM, "A list of letters is asked for, such as ['a', 'b'].")
    if len(value) == 0:
        miss(UNTOUCHED, "Put the letters of all changes that leave the diagnosis alone into your list.")
    chosen = {letter.strip().lower() for letter in value} - {"", ","}
    if chosen - set(offered):
        miss(FORM, f"There is no change {', '.join(sorted(chosen - set(offered)))[:40]}; there are {', '.join(offered)}.")
    kept = [f"{letter}, {offered[letter]}: yes" for letter in sorted(chosen) if _KEEP[offered[letter]][0]]
    for change, name in (("mirror it, left for right", "a mirrored chest is still this child's chest"), ("turn it upside down", "more variety is always better"),
                         ("stretch it to twice its width", "shape does not matter")):
        letter = next(key for key, text in offered.items() if text == change)
        if letter in chosen:
            miss(name, f"{letter}, {change}: {_KEEP[change][1]}.")
    right += kept  # not beside a wrong letter: all letters at once would be told the answer
    left = [letter for letter, change in offered.items() if _KEEP[change][0] and letter not in chosen]
    if left:
        miss("too careful", f"{len(left)} more can happen at any X-ray machine without the diagnosis changing. For each: could another technician have taken it so?")
    return "All that could have happened at the X-ray machine, and nothing else."


def _norm(value, seed, right):
    cases = inputs("03.4", seed)
    results = returned(value, cases)
    if any(np.shape(result) != case[0].shape for result, case in zip(results, cases)):
        miss(FORM, "The result has the shape of the batch: films down, channels across.")
    results = [np.asarray(result, dtype=np.float64) for result in results]

    def rule(f):
        return [f(*case) for case in cases]

    if all(same(a, b, 0.02) for a, b in zip(results, rule(lambda x, m, v, g, b: g * (x - m) / np.sqrt(v + 1e-3) + b))):
        return "The stored numbers decide. A film gets the same answer whoever shares its batch."
    right.append("the shape is that of the batch")
    lively = [case[2] > 0 for case in cases]  # one channel never varied where the layer learned: its fault is told last
    seen = [result[:, moves] for result, moves in zip(results, lively)]

    def like(f):
        return [expected[:, moves] for expected, moves in zip(rule(f), lively)]

    named(results, {
        "the 0.001 added to the root": (rule(lambda x, m, v, g, b: g * (x - m) / (np.sqrt(v) + 1e-3) + b), "The 0.001 belongs under the root: add it to the variance."),
    }, 0.02)
    named(seen, {
        "the batch's own mean and variance": (like(lambda x, m, v, g, b: g * (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3) + b),
                                              "That is what training does. Then a film's answer depends on which films stand beside it, and the "
                                              "borrowed statistics are lost."),
        "variance taken for spread": (like(lambda x, m, v, g, b: g * (x - m) / (v + 1e-3) + b), "Divide by the square root of the variance."),
        "gamma and beta forgotten": (like(lambda x, m, v, g, b: (x - m) / np.sqrt(v + 1e-3)), "Standardised is right so far. Then the layer stretches "
                                                                                              "by gamma and shifts by beta."),
        "beta forgotten": (like(lambda x, m, v, g, b: g * (x - m) / np.sqrt(v + 1e-3)), "The shift by beta is missing."),
    }, 0.02)
    if not all(np.isfinite(result).all() for result in results):
        miss("the 0.001 is left out", "One channel never varied where the layer learned: its stored variance is 0. Add 0.001 to the variance before you take the root.")
    miss(None, "Subtract the stored mean, divide by the root of the stored variance (plus 0.001), times gamma, plus beta.")


def _schedule(value, seed, right):
    cases = inputs("03.5", seed)
    rates = np.array([number(result, "one learning rate") for result in returned(value, cases)])
    steps, warmups, totals, peaks = (np.array(column, dtype=np.float64) for column in zip(*cases))
    rates, room = rates / peaks, 0.012  # less than one step of the warm-up
    warming = steps < warmups
    t = (steps - warmups) / (totals - warmups)
    cool = 0.5 * (1 + np.cos(np.pi * t))
    true = np.where(warming, (steps + 1) / warmups, cool)
    if not np.isfinite(rates).all():
        miss(FORM, "Some learning rates are not finite numbers.")
    if np.abs(rates - true)[warming].max() <= room:
        right.append("it warms up in a straight line")
    if np.abs(rates - true)[~warming].max() <= room:
        right.append("it cools down along half a cosine to 0")
    if len(right) == 2:
        return "Gentle at both ends: the borrowed weights are not thrown about, and training ends at rest."

    if np.abs(rates - steps / warmups)[warming].max() <= 1e-3:
        miss("the warm-up counted from 0", "Step 0 learns nothing that way. It counts already: (step + 1) / warmup.")

    def like(rule, where=slice(None)):
        return np.abs(rates - rule)[where].max() <= room

    if np.ptp(rates[~warming]) < 1e-9:
        miss("no cool-down", "After the warm-up it stays where it is. Let it fall along half a cosine, from `peak` to 0.")
    whole = 0.5 * (1 + np.cos(np.pi * steps / totals))
    if like(cool, ~warming) and like(np.ones_like(rates), warming) or like(whole):
        miss("no warm-up", "It starts at its peak. In the first steps the optimiser does not yet know how large the gradients are; begin near 0.")
    if like(whole, ~warming):
        miss("the cosine starts before the warm-up ends", "Measure the way down from the end of the warm-up: (step - warmup) / (total - warmup).")
    if like(1 - t, ~warming):
        miss("a straight line instead of a cosine", "It cools down evenly. A cosine stays high for longer and ends more gently.")
    if like(np.cos(np.pi * t / 2), ~warming):
        miss("a quarter of a wave", "cos(pi/2 · t) arrives at 0 at full speed. Half a wave, from 1 down to -1, raised and halved, ends at rest.")
    if like(np.cos(np.pi * t), ~warming) or rates.min() < -room:
        miss("a negative learning rate", "A bare cosine runs from 1 to -1. Raise it by 1 and halve it.")
    if like(0.5 * (1 + np.cos(t)), ~warming) or like(0.5 * (1 + np.cos(np.radians(t))), ~warming):
        miss("half a turn is pi", "np.cos takes radians: half a wave is np.pi long.")
    if same(rates.max(), 1 / peaks.min(), 1) or rates.max() > 1 + room:
        miss("the peak is not reached, or passed", "The largest rate must be `peak`.")
    miss(None, "Check three places: near 0 at step 0, `peak` where the warm-up ends, near 0 at the last step.")


def _stopped(aucs, patience, better=lambda new, best: new > best, extra=0):
    """(epochs run, kept epoch), both counted from 1."""
    best, kept, waited = -1.0, 0, 0
    for epoch, auc in enumerate(aucs, 1):
        waited += 1
        if better(auc, best):
            best, kept, waited = auc, epoch, 0
        if waited >= patience + extra:
            return epoch, kept
    return len(aucs), kept


def _patience(value, seed, right):
    cases = inputs("03.6", seed)
    results = [pair(result, ("run", "kept"), "whole numbers") for result in returned(value, cases)]

    def rule(f):
        return [list(f(*case)) for case in cases]

    true = rule(_stopped)
    if results == true:
        return f"Right in {len(cases)} trainings, ties and short ones among them."
    if [r[0] for r in results] == [r[0] for r in true]:
        right.append("training stops at the right epoch")
    if [r[1] for r in results] == [r[1] for r in true]:
        right.append("the right epoch is kept")
    last = [[run, run] for run, _ in true]
    named(results, {
        "the last epoch is kept": (last, "Training stopped because the last epochs were no better. Keep the best one."),
        "epochs counted from 0": ([[run - 1, kept - 1] for run, kept in true], "Epochs are counted from 1 here."),
        "best epoch counted from 0": ([[run, kept - 1] for run, kept in true], "Stopping is right. The kept epoch is counted from 1 as well; argmax counts from 0."),
        "stops at the first dip": (rule(lambda a, p: _stopped(a, 1)), "One worse epoch is not the end: wait until `patience` epochs in a row brought "
                                                                      "nothing better."),
        "never stops": (rule(lambda a, p: _stopped(a, 10**6)), "It runs to the end each time. After `patience` epochs without a new best, stop."),
        "one epoch too patient": (rule(lambda a, p: _stopped(a, p, extra=1)), "It waits one epoch longer than `patience` says."),
        "an equal AUC counts as better": (rule(lambda a, p: _stopped(a, p, lambda new, best: new >= best)), "Better means greater: an epoch that only "
                                                                                                            "equals the best one is waited through."),
    }, 0)
    first = next(k for k, (a, b) in enumerate(zip(results, true)) if a != b)
    miss(None, f"With AUCs {cases[first][0]} and patience {cases[first][1]}, {true[first][0]} epochs run and {true[first][1]} is kept; yours says "
               f"{results[first][0]:g} and {results[first][1]:g}.")


JUDGES = {"03.1": _kept, "03.2": _stories, "03.3": _changes, "03.4": _norm, "03.5": _schedule, "03.6": _patience}
