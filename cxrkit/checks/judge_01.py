"""Judges of set 01: data and leakage."""

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from ..data.splits import naive_key, patient_key
from . import lesson, worlds
from .inputs import inputs
from .verdict import FORM, fields, first_wrong, miss, named, number, returned, same, text


def _rule(value, seed, right):
    world = worlds.films(seed)
    train_labels = world.labels[world.index("train")]
    return lesson.everything_pneumonia(number(value, "a share"), world.labels[world.index("test")], train_labels)


def _together(keys):
    """Which pairs of films get the same name, bool [n, n]."""
    codes = pd.factorize(pd.Series([repr(key) for key in keys]))[0]
    return codes[:, None] == codes[None, :]


def _key(value, seed, right):
    names = [case[0] for case in inputs("01.2", seed)]
    keys = returned(value, names)
    if not all(isinstance(key, (str, int, list)) for key in keys):
        miss(FORM, "Return a text for each file name: equal texts for films of one child.")
    ours, true = _together(keys), _together([patient_key(name)[0] for name in names])
    if np.array_equal(ours, true):
        return f"On {len(names)} names, irregular ones among them, films share a name exactly where they show one child."
    alternatives = {
        "the person number alone": ([naive_key(name) for name in names],
                                    "person12_bacteria and person12_virus are two children: numbering starts anew for each kind of pneumonia."),
        "NORMAL2- dropped": ([patient_key(name)[0].replace("NORMAL2-", "") for name in names],
                             "IM-0115 and NORMAL2-IM-0115 are two children: the second series of normal films is numbered anew."),
        "the number alone, whatever stands around it": ([naive_key(name, drop_prefix=True) for name in names],
                                                        "Two series of normals and two kinds of pneumonia are numbered apart; your key joins them."),
        "every film its own child": (names, "Your key differs from film to film. Which part of a name stays the same in all films of one child?"),
    }
    for name, (other, message) in alternatives.items():
        if np.array_equal(ours, _together(other)):
            miss(name, message)
    pairs = np.triu(np.ones_like(true), 1)
    joined, parted = int((ours & ~true & pairs).sum()), int((~ours & true & pairs).sum())
    if not joined:
        right.append("films of different children never share a name")
    if not parted:
        right.append("films of one child always share a name")
    i, j = np.argwhere((ours != true) & (pairs > 0))[0]
    said = "one child, and your keys differ" if true[i, j] else "two children, and your keys are the same"
    miss(None, f"Of {int(pairs.sum())} pairs of films {joined} of different children get one name, and {parted} of one child get two. "
               f"Try '{names[i]}' and '{names[j]}': {said}.")


def _leaked(value, seed, right):
    answer = text(value, "the child's name, such as 'person12_virus',").lower().rsplit("/", 1)[-1]  # without folders
    table = worlds.leaky_table(seed)
    names = table["path"].str.rsplit("/", n=1).str[-1]
    child = names.map(lambda name: patient_key(name)[0].lower())
    validation = set(child[table["split"] == "val"])
    (leaked,) = validation & set(child[table["split"] == "train"])
    if answer == leaked:
        count = (child == leaked).sum()
        return f"{leaked} has {count} films, on both sides. A network could know this child by its ribs."
    if patient_key(answer)[0].lower() == leaked:
        right.append("that is a film of the leaked child")
        miss("a film instead of a child", "Name the child, such as 'person12_virus', not one of its films.")
    if answer == leaked.split("_")[0]:
        right.append("the number is right")
        miss("the person number alone", "There may be two children of that number, one with bacterial and one with viral pneumonia. Say which.")
    known = {naive_key(name).lower() for name in names}
    where = set(table["split"][(child == answer) | (child.str.split("_").str[0] == answer)])
    if answer in known and len(where) > 1:
        miss("namesakes taken for one child", f"'{answer}' is on both sides, but as two children: one bacterial, one viral. Look for a child, not a number.")
    if answer in set(child):
        miss("a child on one side only", f"All films of {answer} are in {' and '.join(sorted(where))}. Which child has films in train and in val?")
    miss(None, f"No child of this table is called '{answer}'. Write the child's part of the file names, such as 'person12_virus'.")


def _grouped(value, seed, right):
    cases = inputs("01.4", seed)
    masks = [_mask(result, len(case[0])) for result, case in zip(returned(value, cases), cases)]
    if not any(mask.any() for mask in masks):
        miss("nobody is in validation", "Every value of your mask is False: no film would be validated on.")
    if all(mask.all() for mask in masks):
        miss("everybody is in validation", "Every value of your mask is True: no film would be trained on.")
    right.append("a mask with one True or False a film")
    torn = [len(set(case[0][mask]) & set(case[0][~mask])) for mask, case in zip(masks, cases)]
    if any(torn):
        worst = int(np.argmax(torn))
        miss("the same patient stands on both sides",
             f"In one trial {torn[worst]} of {len(set(cases[worst][0]))} patients have films in training and in validation. Draw patients, then take "
             "all their films.")
    right.append("no patient stands on both sides")
    shares = [float(mask.mean()) for mask in masks]
    slack = [np.unique(case[0], return_counts=True)[1].max() / len(case[0]) + 0.04 for case in cases]
    if any(abs(got - case[1]) > room for got, case, room in zip(shares, cases, slack)):
        if all(abs(1 - got - case[1]) <= room for got, case, room in zip(shares, cases, slack)):
            miss("True and False exchanged", "True must stand for validation, the small part. Yours marks the large one.")
        far = int(np.argmax([abs(got - case[1]) for got, case in zip(shares, cases)]))
        miss(None, f"Asked for {cases[far][1]:.0%} of the films in validation, your function took {shares[far]:.0%}.")
    right.append("validation has about its share of the films")
    if not np.array_equal(masks[0], masks[4]):
        miss("another split each time", "The same patients and the same seed gave two different splits. Nobody could repeat your result. "
                                        "Make a generator from the seed, np.random.default_rng(seed), and mind that a Python set has no fixed order.")
    right.append("the same seed gives the same split, within one session")
    if np.array_equal(masks[0], masks[5]):
        miss("the seed is not used", "Two seeds gave the same split. Nobody could see how much your result depends on the split.")
    return ("Whole patients, about the right share, the same twice in this session: this split can carry a result. After a restart too? Only if no Python set "
            "decided the order.")


def _mask(result, n):
    result = np.asarray(result) if not isinstance(result, dict) else np.zeros(0)
    if result.ndim == 1 and len(result) == n and result.dtype.kind in "iuf" and np.isin(result, (0, 1)).all():
        result = result.astype(bool)
    if result.dtype.kind in "iu" and result.ndim == 1 and len(result) < n:
        miss("row numbers instead of a mask", "Return one True or False a film; yours looks like a list of row numbers.")
    if result.ndim != 1 or result.dtype.kind != "b" or len(result) != n:
        miss(FORM, f"Return an array of True and False, one for each of the {n} films; yours has shape {result.shape} and type {result.dtype}.")
    return result


def _crossed(value, seed, right):
    cases = inputs("01.5", seed)
    counts = [number(result, "a whole number") for result in returned(value, cases)]

    def rows(rule):
        return [rule(pd.Series(hashes), pd.Series(split) == "test") for hashes, split in cases]

    true = rows(lambda h, test: h[test].isin(h[~test]).sum())
    if same(counts, true):
        return "Each test film that was trained on counts once, and copies inside one split do no harm to the test."
    named(counts, {
        "copies counted wherever they lie": (rows(lambda h, test: h.duplicated(keep=False).sum()),
                                             "You count every film that has a copy. A copy inside training leaks nothing into the test."),
        "second copies counted wherever they lie": (rows(lambda h, test: h.duplicated().sum()),
                                                    "duplicated() looks at the whole table. Ask of each *test* film whether its hash occurs in *train*."),
        "pictures counted instead of films": (rows(lambda h, test: len(set(h[test]) & set(h[~test]))),
                                              "Two test films of one picture are two wrong scores. Count test films, not different hashes."),
        "films of both sides counted": (rows(lambda h, test: (h.isin(h[test]) & h.isin(h[~test])).sum()),
                                        "You also count the training films. The question is how many *test* films are spoilt."),
        "training films counted": (rows(lambda h, test: h[~test].isin(h[test]).sum()),
                                   "You count the training films that have a copy in the test. Ask the other way round."),
    })
    k = first_wrong(counts, true)
    miss(None, f"In trial {k + 1} there are {int(true[k])} such test films; your function says {counts[k]:g}.")


def _giveaway(value, seed, right):
    answer = fields(value, ("column", "auc"))
    column, auc = text(answer["column"], "a column's name"), number(answer["auc"], "an AUC")
    table = worlds.files_table(seed)
    facts = table.drop(columns="label")
    if column == "label":
        miss("the label as its own predictor", f"'label' is the answer itself. Choose among {', '.join(facts)}.")
    if column not in facts:
        miss(None, f"The table has no column '{column}'. There are {', '.join(facts)}.")
    aucs = {name: float(roc_auc_score(table["label"], facts[name])) for name in facts}
    means = table.groupby("label").mean().T
    gaps = ((means[1] - means[0]).abs() / means[0]).to_dict()
    best = max(aucs, key=lambda name: abs(aucs[name] - 0.5))
    if same(auc, aucs[column], 0.006) or same(auc, 1 - aucs[column], 0.006):
        right.append(f"{column} has the AUC that you give")
    if column != best:
        if column == max(gaps, key=gaps.get):
            miss("a difference of means taken for separation",
                 f"The means of '{column}' lie far apart because of a few huge files. Ranked film by film it hardly separates: AUC {aucs[column]:.2f}.")
        if column == max(aucs, key=aucs.get):
            miss("an AUC far below a half is thought harmless",
                 f"'{column}' has the greatest AUC, {aucs[column]:.2f}. But an AUC near 0 gives the label away as well as one near 1: turn its sign.")
        miss(None, f"'{column}' has an AUC of {aucs[column]:.2f}, near a half. Which is farthest from a half, on either side?")
    right.append(f"'{column}' is the column")
    if not right[0].endswith("that you give"):
        miss(None, f"Its AUC is not {auc:g}. Write roc_auc_score(label, column): the labels first.")
    return ("Before one pixel is seen, the table tells the label. Where such a fact leaves a trace in the picture (another machine, another exposure), "
            "a network can find it.")


JUDGES = {"01.1": _rule, "01.2": _key, "01.3": _leaked, "01.4": _grouped, "01.5": _crossed, "01.6": _giveaway}
