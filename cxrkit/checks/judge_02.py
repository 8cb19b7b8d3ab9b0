"""Judges of set 02: the frozen backbone."""

import numpy as np

from . import lesson, worlds
from .inputs import inputs
from .verdict import FORM, first_wrong, miss, named, number, returned, same, vector


def _passes(value, seed, right):
    facts = worlds.frozen_facts(seed)
    return lesson.passes(number(value, "a whole number"), facts["films"], facts["epochs"])


def _learning(value, seed, right):
    answer, facts = number(value, "a whole number"), worlds.frozen_facts(seed)
    features, backbone = facts["features"], facts["backbone_weights"]
    if answer == features + 1:
        return f"{features:,} weights and one bias: {(features + 1) / (backbone + features + 1):.4%} of the network learns."
    if answer == features:
        miss("the bias forgotten", "One weight for each feature is right. A logit also has a number that is added at the end.")
    if answer in (2 * features, 2 * (features + 1)):
        miss("two outputs for two classes", "That is a head with two outputs. This one gives a single logit: above 0 it leans to pneumonia.")
    if answer in (backbone, backbone + features, backbone + features + 1):
        miss("frozen weights counted as learning", "Frozen weights take part in the sum and do not change. Count the head alone.")
    miss(None, "The head weighs each feature once and adds one number. How many numbers are that?")


def _range(value, seed, right):
    cases = inputs("02.3", seed)
    results = returned(value, cases)
    films = [case[0].astype(np.float64) for case in cases]
    if not all(isinstance(result, np.ndarray) and result.dtype.kind in "iuf" for result in results):
        miss(FORM, "Return an array of films, such as the one that came in with an axis more.")
    if all(result.shape == (*film.shape, 1) for result, film in zip(results, films)):
        right.append("the shape is [films, height, width, 1]")
        results = [result[..., 0] for result in results]
    elif all(result.shape == (*film.shape, 3) for result, film in zip(results, films)):
        miss("three channels given by hand", "The network gives the grey channel three times by itself. Hand it one: films[..., np.newaxis].")
    elif all(result.shape == (len(film), 1, *film.shape[1:]) for result, film in zip(results, films)):
        miss("the channel stands in front", "Keras expects the channel last: [films, height, width, 1].")
    elif all(result.shape == film.shape for result, film in zip(results, films)):
        _scaled(results, films)
        miss("the channel is missing", "The range is right. The network also expects one channel, as the last axis: films[..., np.newaxis].")
    for result, film in zip(results, films):
        if result.shape not in (film.shape, (*film.shape, 1)):
            miss(FORM, f"Films of shape {film.shape} came out with shape {result.shape}.")
    if any(result.shape != film.shape for result, film in zip(results, films)):
        miss(FORM, "Some films came out with a channel and some without.")
    _scaled(results, films)
    return "0 to 255, once: the network does its own rescaling."


def _scaled(results, films):
    if all(same(a, b, 0.51) for a, b in zip(results, films)):
        return
    named(results, {
        "image scaled twice": ([film / 255 for film in films],
                               "Your films run from 0 to 1. The network rescales inside and expects 0 to 255, so to it every film is almost black."),
        "image moved to -1 … 1 by hand": ([film / 127.5 - 1 for film in films], "Some networks want -1 to 1. This one takes 0 to 255 and rescales inside."),
        "image standardised by hand": ([(film - film.mean()) / film.std() for film in films],
                                       "Mean 0 and spread 1 is right for a logistic regression. This network takes 0 to 255 and rescales inside."),
    }, 0.02)
    if all(np.max(result) <= 1.5 for result in results):
        miss("image scaled twice", "Your films stay below 1.5, however bright they were. The network takes 0 to 255 and rescales inside.")
    miss(None, "The grey values changed. The network takes them as they are stored, 0 to 255.")


def _standardise(value, seed, right):
    cases = inputs("02.4", seed)
    results = returned(value, cases)
    if not all(isinstance(result, list) and len(result) == 2 for result in results):
        miss(FORM, "Return two arrays: train, val.")
    if any(np.shape(part) != case[k].shape for result, case in zip(results, cases) for k, part in enumerate(result)):
        miss(FORM, "Both arrays must keep their shapes: films down, features across.")
    results = [[np.asarray(part, dtype=np.float64) for part in result] for result in results]
    if any(not np.isfinite(part).all() for result in results for part in result):
        miss("division by a spread of zero", "One feature never moves, so its spread is 0 and your result holds NaN or infinity. Divide such a feature by 1.")
    train, val = [result[0] for result in results], [result[1] for result in results]

    def scaled(rule, ddof=0):
        out = []
        for case in cases:
            (centre, spread) = rule(case, ddof)
            out.append([(part - centre) / np.where(spread < 1e-9, 1, spread) for part in case])
        return out

    def by_train(case, ddof):
        return case[0].mean(0), case[0].std(0, ddof=ddof)

    def by_both(case, ddof):
        both = np.concatenate(case)
        return both.mean(0), both.std(0)

    def fits(ddof, part, ours):
        return all(same(a, b[part], 1e-5) for a, b in zip(ours, scaled(by_train, ddof)))

    for ddof in (0, 1):
        if fits(ddof, 0, train):
            right.append("training has mean 0 and spread 1 in every feature that moves")
            if fits(ddof, 1, val):
                return "Validation was moved by the training films' mean and spread: it stayed unseen."
    own = [(case[1] - case[1].mean(0)) / np.where(case[1].std(0) < 1e-9, 1, case[1].std(0)) for case in cases]
    named(val, {"validation standardised by itself": (own,
               "A new film comes alone and has no mean of its own. And a hospital whose films are brighter would look like all others. Use the "
               "training films' numbers.")}, 1e-5)
    named(results, {
        "validation helped to standardise": (scaled(by_both), "Mean and spread come from both parts together, so training has seen something of "
                                                              "validation. Use the training films alone."),
        "centred, not scaled": ([[part - case[0].mean(0) for part in case] for case in cases], "The means are right. Divide by the spread as well."),
    }, 1e-5, compare=lambda a, b, tolerance: all(same(x, y, tolerance) for x, y in zip(a, b)))
    whole = [(case[0] - case[0].mean()) / case[0].std() for case in cases]
    named(train, {"one mean for all features": (whole, "Each feature needs its own mean and spread: take them down the films, axis=0.")}, 1e-5)
    if "training has mean 0 and spread 1 in every feature that moves" in right:
        if any(np.abs(part).max() > 1e5 for part in val):
            miss("division by a spread of zero", "One feature never moves in training, so its spread is 0; divided by next to nothing it gets huge in "
                                                 "validation. Divide such a feature by 1.")
        miss(None, "Validation is what is left: move it by the same mean and spread, those of the training films.")
    miss(None, "Take mean and spread (the standard deviation) of each feature over the training films; subtract and divide in both parts.")


def _weights(value, seed, right):
    cases = inputs("02.5", seed)
    results = returned(value, cases)
    if all(np.ndim(result) == 1 and len(result) == 2 for result in results) or all(isinstance(result, dict) for result in results):
        miss("a weight a class instead of a film", "Return one weight for each film: pick each film's class weight by its label.")
    weights = [vector(result, len(case[0]), "The weights").astype(np.float64) for result, case in zip(results, cases)]
    labels = [case[0] for case in cases]
    counts = [np.bincount(y, minlength=2) for y in labels]
    true = [(len(y) / (2 * n))[y] for y, n in zip(labels, counts)]
    if all(same(a, b, 6e-4) for a, b in zip(weights, true)):  # three decimals, as in the task's text
        return "Both classes now pull with equal weight, and the loss keeps its size."
    named(weights, {
        "all films alike": ([np.ones(len(y)) for y in labels], "With equal weights the common class pulls harder. Make its films lighter."),
        "the classes exchanged": ([(len(y) / (2 * n))[1 - y] for y, n in zip(labels, counts)],
                                  "The common class got the heavy weight. Divide by the count of a film's own class."),
        "the common class made heavier": ([(2 * n / len(y))[y] for y, n in zip(labels, counts)],
                                          "You multiply by the class's share. Divide by it: the rarer a class, the heavier each of its films."),
    }, 1e-4)
    named(weights, {"the common class made heavier": ([(n / len(y))[y] for y, n in zip(labels, counts)],
                                                      "You weigh each film by its class's share. Divide by it: the rarer a class, the heavier each of "
                                                      "its films.")}, 1e-4)
    if all(abs(w[y == 0].sum() - w[y == 1].sum()) < 1e-4 * w.sum() for w, y in zip(weights, labels)):
        right.append("both classes count alike in sum")
        miss("weights that do not average to 1", f"The mean weight is {weights[0].mean():.3g}. Then the loss shrinks or grows, and the learning rate "
                                                 "no longer means the same. Scale them to mean 1.")
    if all(same(w.mean(), 1, 1e-4) for w in weights):
        right.append("the weights average to 1")
    miss(None, "Both classes should have the same sum of weights, and the mean weight should be 1.")


def _head(value, seed, right):
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, roc_auc_score

    cases = inputs("02.6", seed)
    answers = [number(result, "one AUC") for result in returned(value, cases)]
    true, hard, seen, both, accuracy, only = [], [], [], [], [], []
    for train_x, train_y, val_x, val_y in cases:
        head = LogisticRegression(max_iter=1000).fit(train_x, train_y)
        true.append(roc_auc_score(val_y, head.decision_function(val_x)))
        hard.append(roc_auc_score(val_y, head.predict(val_x)))
        seen.append(roc_auc_score(train_y, head.decision_function(train_x)))
        accuracy.append(accuracy_score(val_y, head.predict(val_x)))
        own = LogisticRegression(max_iter=1000).fit(val_x, val_y)
        only.append(roc_auc_score(val_y, own.decision_function(val_x)))
        joint = LogisticRegression(max_iter=1000).fit(np.concatenate([train_x, val_x]), np.concatenate([train_y, val_y]))
        both.append(roc_auc_score(val_y, joint.decision_function(val_x)))
    if all(same(a, b, 0.02) for a, b in zip(answers, true)):
        return "Fitted on training films, scored on validation films, ranked by probability."
    right.append("a number from each trial")
    named(answers, {
        "the AUC of labels, not of scores": (hard, "predict() gives 0 or 1, and the ranking is lost. Hand roc_auc_score the probabilities of pneumonia."),
        "scored on the films that were trained on": (seen, f"{answers[0]:.2f} is how well the head knows its own training films. On validation films it is lower."),
        "fitted on validation films too": (both, "The head has seen the validation films while it learned. Fit on training films alone."),
        "fitted on validation films": (only, "The head has learned from the very films that it is scored on. Fit on training films, score on validation films."),
        "accuracy taken for AUC": (accuracy, "That is the share of right calls at 0.5. The AUC looks at the ranking."),
        "the probability of normal": ([1 - v for v in true], "Below a half: you rank by the probability of class 0. Take column 1 of predict_proba."),
    }, 0.006)
    k = first_wrong(answers, true, 0.02)
    miss(None, f"In trial {k + 1} the AUC is {true[k]:.3f}; your function says {answers[k]:.3f}. Use LogisticRegression(max_iter=1000) on the "
               "features as they come.")


JUDGES = {"02.1": _passes, "02.2": _learning, "02.3": _range, "02.4": _standardise, "02.5": _weights, "02.6": _head}
