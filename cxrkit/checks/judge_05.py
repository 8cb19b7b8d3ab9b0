"""Judges of set 05: the capstone. The same questions whatever the problem; the evidence differs."""

import numpy as np
from sklearn.metrics import roc_auc_score

from ..evaluation import at_threshold, wilson
from .hospital import PROBLEMS, hospital, problem_of
from .verdict import FORM, fields, miss, near, same, share, text

SIZE = 16  # pixels: the judge needs the table, not the films
REMEDIES = {  # what can be done, and whether it mends which problem
    "split_by_patient": "leakage", "hide_marker": "marker", "move_prevalence": "prevalence",
    "more_epochs": None, "bigger_network": None, "lower_threshold": None,
}


class _Facts:
    """What a student can compute from the hospital's table."""

    def __init__(self, seed):
        films = hospital(seed, SIZE).films
        self.problem = problem_of(seed)
        self.films, self.train = films, films[films["split"] == "train"]
        self.test = films[(films["site"] == "here") & (films["split"] == "test")]
        self.there = films[films["site"] == "there"]
        self.known = self.test["patient"].isin(self.train["patient"])
        self.auc = {"here": _auc(self.test), "there": _auc(self.there)}
        self.at = {"here": _at(self.test), "there": _at(self.there)}
        self.ppv_expected = _bayes(self.at["here"]["recall"], self.at["here"]["specificity"], self.there["label"].mean())

    def marker(self, site):
        """Share of films with an L among the ill and among the healthy; films without a letter left out."""
        films = self.films[(self.films["site"] == site) & (self.films["marker"] != "")]
        return {name: float((films["marker"][films["label"] == label] == "L").mean()) for name, label in (("ill", 1), ("healthy", 0))}

    @property
    def honest(self):
        """What is left when each problem is taken away."""
        lettered = [self.test[self.test["marker"] == letter] for letter in "LR"]
        within = [_auc(part) for part in lettered]
        clean = self.test[~self.known]
        return {"leakage": _auc(clean) if len(clean) else np.nan, "marker": float(np.mean(within)), "prevalence": self.ppv_expected}


def _auc(films):
    return float(roc_auc_score(films["label"], films["probability"])) if films["label"].nunique() == 2 else float("nan")


def _at(films):
    return at_threshold(films["label"], films["probability"], 0.5)


def _specificity_interval(films):
    counts = _at(films)["confusion"]
    return wilson(counts["tn"], counts["tn"] + counts["fp"])


def _bayes(sensitivity, specificity, prevalence):
    caught = sensitivity * prevalence
    return float(caught / (caught + (1 - specificity) * (1 - prevalence)))


def _ranking(value, seed, right):
    facts, answer = _Facts(seed), fields(value, ("here", "there"))
    ours = {site: share(answer[site], facts.auc[site], 0.003) for site in ("here", "there")}
    right += [f"the AUC {site} is right" for site in ours if near(ours[site], facts.auc[site], 0.003)]
    if len(right) == 2:
        return f"{facts.auc['here']:.3f} here and {facts.auc['there']:.3f} there. Is that a fall? Keep the two numbers in mind."
    if same(ours["here"], facts.auc["there"], 0.003) and same(ours["there"], facts.auc["here"], 0.003):
        miss("here and there exchanged", "You have both numbers, in each other's place.")
    hard = {"here": _hard(facts.test), "there": _hard(facts.there)}
    tested = facts.films[facts.films["split"] == "test"]
    if same(ours["here"], _auc(tested), 5e-4):
        miss("the site is not used", "Films there are 'test' too. Take those of the site 'here' alone.")
    if any(same(ours[site], hard[site], 1e-3) for site in ours):
        miss("the AUC of labels, not of scores", "The scores were cut at 0.5 first. Hand roc_auc_score the probabilities.")
    whole = facts.films[facts.films["site"] == "here"]
    if same(ours["here"], _auc(whole), 0.003) or same(ours["here"], _auc(facts.train), 0.003):
        miss("training films scored as well", "The AUC here must come from the films with split 'test' alone.")
    miss(None, f"Take {len(facts.test)} test films here and {len(facts.there)} there, labels first: roc_auc_score(label, probability).")


def _hard(films):
    return float(roc_auc_score(films["label"], films["probability"] >= 0.5))


def _decisions(value, seed, right):
    facts = _Facts(seed)
    names = [f"{rate}_{site}" for site in ("here", "there") for rate in ("sensitivity", "specificity", "ppv")]
    keys = {"sensitivity": "recall", "specificity": "specificity", "ppv": "precision"}
    true = {name: facts.at[name.split("_")[1]][keys[name.split("_")[0]]] for name in names}
    answer = fields(value, names)
    ours = {name: share(answer[name], true[name], 0.003) for name in names}
    right += [f"{name} is right" for name in names if near(ours[name], true[name], 0.003)]
    if len(right) == len(names):
        spread = " and ".join("{:.0%} to {:.0%}".format(*_specificity_interval(films)) + f" {site}" for site, films in (("here", facts.test), ("there", facts.there)))
        return (f"PPV {true['ppv_here']:.0%} here and {true['ppv_there']:.0%} there. Which of the six moved, and which stayed? Mind chance: the 95 % interval of the "
                f"specificity is {spread}.")
    if all(near(ours[f"{rate}_{site}"], true[f"{rate}_{other}"], 0.003) for rate in keys for site, other in (("here", "there"), ("there", "here"))):
        miss("here and there exchanged", "You have all six, in each other's place.")
    if any(near(ours[f"{rate}_here"], _at(films)[key], 0.003) and f"{rate}_here is right" not in right
           for rate, key in keys.items() for films in (facts.train, facts.films[facts.films["site"] == "here"])):
        miss("training films scored as well", "The numbers here must come from the films with split 'test' alone.")
    for site in ("here", "there"):
        a, b, c = (f"{rate}_{site}" for rate in ("sensitivity", "specificity", "ppv"))
        a_right, c_right = near(ours[a], true[a], 0.003), near(ours[c], true[c], 0.003)
        if same(ours[a], true[b], 0.003) and same(ours[b], true[a], 0.003):
            miss("specificity for sensitivity", f"{site}: the two are exchanged. Sensitivity is counted among the ill.")
        if same(ours[a], true[c], 0.003) and not a_right:
            miss("PPV read as sensitivity", f"{site}: you divide by the films that were called ill. Divide by those that are.")
        if same(ours[b], 1 - true[b], 0.003) and not near(ours[b], true[b], 0.003):
            miss("the false-alarm rate for specificity", f"{site}: that is the share of healthy children who are flagged. Specificity is the rest.")
        if same(ours[c], true[a], 0.003) and not c_right:
            miss("sensitivity read as PPV", f"{site}: PPV is counted among the flagged: of them, the share that is ill.")
        if same(ours[c], facts.at[site]["accuracy"], 0.003) and not c_right:
            miss("accuracy taken for PPV", f"{site}: that is the share of right calls. PPV looks at the flagged films only.")
    wrong = [name for name in names if not near(ours[name], true[name], 0.003)]
    miss(None, f"Look again at {', '.join(wrong)}. A film is flagged where its probability is at least 0.5.")


def _leak(value, seed, right):
    facts = _Facts(seed)
    true = float(facts.known.mean())
    answer = share(value, true, 0.004)
    if near(answer, true, 0.004):
        return f"{true:.0%} of {len(facts.test)} test films show a child that was trained on."
    if same(answer, int(facts.known.sum()), 0.5) and true:
        miss("a count instead of a share", f"{answer:g} films. Of how many test films? Give the share.")
    children = facts.test["patient"].drop_duplicates().isin(facts.train["patient"]).mean()
    if same(answer, children, 0.004):
        miss("children counted instead of films", "That is the share of children. Asked is the share of test films.")
    if same(answer, facts.train["patient"].isin(facts.test["patient"]).mean(), 0.004):
        miss("training films counted", "That is the share of training films whose child is also in the test. Ask the other way round.")
    if same(answer, 1 - true, 0.004):
        miss("the clean films counted", "That is the share of test films that are clean.")
    if same(answer, facts.test["patient"].duplicated(keep=False).mean(), 0.004):
        miss("films with a sibling inside the test", "Two test films of one child harm nobody. Look for the child among the *training* films.")
    miss(None, "For each test film here: does its patient occur among the films with split 'train'? What share is that?")


def _marker(value, seed, right):
    facts = _Facts(seed)
    names = ("here_ill", "here_healthy", "there_ill", "there_healthy")
    answer = fields(value, names)
    true = {f"{site}_{who}": facts.marker(site)[who] for site in ("here", "there") for who in ("ill", "healthy")}
    ours = {name: share(answer[name], true[name], 0.004) for name in names}
    right += [f"{name} is right" for name in names if near(ours[name], true[name], 0.004)]
    if len(right) == 4:
        return f"Here {true['here_ill']:.0%} of the ill and {true['here_healthy']:.0%} of the healthy have an L. If the letter knows nothing, the two are about alike: up to twenty points apart can be chance."
    counted = [ours[name] for name in names if ours[name] > 1]
    if counted and all(value == round(value) for value in counted):
        miss("a count instead of a share", f"{counted[0]:g} films. Of how many ill (or healthy) films with a letter? Give the share.")
    blank = facts.films[facts.films["label"] == 1]
    blank = blank[blank["site"] == "here"]
    if same(ours["here_ill"], (blank["marker"] == "L").mean(), 0.004):
        miss("films without a letter counted", "Leave the films without a letter out first: films[films['marker'] != ''].")
    lettered = facts.films[(facts.films["site"] == "here") & (facts.films["marker"] == "L")]
    if same(ours["here_ill"], lettered["label"].mean(), 0.004):
        miss("the question turned round", "That is the share of ill among the films with L. Asked is the share of L among the ill.")
    if same(ours["here_ill"], true["here_healthy"], 0.004) and same(ours["here_healthy"], true["here_ill"], 0.004):
        miss("ill and healthy exchanged", "Label 1 is ill.")
    miss(None, f"Look again at {', '.join(n for n in names if not near(ours[n], true[n], 0.004))}: all films of the site that have a letter; among "
               "the ill (or healthy), the share with L.")


def _diagnosis(value, seed, right):
    answer, facts = text(value, "one word").lower(), _Facts(seed)
    if answer not in PROBLEMS:
        miss(FORM, f"The problem can be {', '.join(PROBLEMS)}.")
    if answer == facts.problem:
        return {"leakage": "The test films were not new to the model. Most of its fall there is none: it was never that good.",
                "marker": "The model reads a letter that follows the label here, and says nothing there.",
                "prevalence": "The model is the same in both places. The children are not: the ill are rare there."}[facts.problem]
    here, letters = facts.at["here"], facts.marker("here")
    if answer == "leakage":
        miss("leakage seen where there is none", f"{facts.known.mean():.0%} of the test films show a child that was trained on (task 05.3). What else could it be?")
    if answer == "marker":
        miss("a letter blamed that knows nothing", f"Here {letters['ill']:.0%} of the ill and {letters['healthy']:.0%} of the healthy have an L (task "
                                                   "05.4). Can a letter like that tell them apart?")
    rate = {site: films["label"].mean() for site, films in (("here", facts.test), ("there", facts.there))}
    miss("prevalence blamed for a loss of ranking",
         f"Pneumonia's share is {rate['here']:.0%} here and {rate['there']:.0%} there, sensitivity {here['recall']:.0%} and {facts.at['there']['recall']:.0%}, "
         f"AUC {facts.auc['here']:.2f} and {facts.auc['there']:.2f}. Prevalence alone would leave ranking and sensitivity about as they are.")


def _honest(value, seed, right):
    facts = _Facts(seed)
    true = facts.honest[facts.problem]
    answer = share(value, true, 0.004)
    if near(answer, true, 0.004):
        extra = {"leakage": f"On children it had never met the AUC is {true:.3f}; the other hospital found {facts.auc['there']:.3f}.",
                 "marker": f"Among films with the same letter the AUC is {true:.3f}: what is left when the letter cannot help, and rough, since few healthy films "
                           f"have an L. There it was {facts.auc['there']:.3f}" + (
                               ": the network reads the letter there too, where it tells nothing, and that adds noise." if facts.auc["there"] < true else "."),
                 "prevalence": f"A PPV of {true:.0%} was to be expected; {facts.at['there']['precision']:.0%} was found. Both come from few films and need not "
                               "agree closely. That the PPV is low there follows from the prevalence alone."}
        return extra[facts.problem]
    known = {"nothing was taken away": (facts.auc["here"], "That is the AUC that the hospital reported. Take the films out that make it too good, or do "
                                                           "what your diagnosis asks for.")}
    if facts.problem == "leakage":
        known["the wrong films kept"] = _auc(facts.test[facts.known]), "Those are the test films of children who *were* trained on. Keep the others."
    elif facts.problem == "marker":
        known["only the films without a letter"] = (_auc(facts.test[facts.test["marker"] == ""]), "Those are few. Measure within the films with L and "
                                                    "within those with R, and take the mean of the two.")
        there = [_auc(facts.there[facts.there["marker"] == letter]) for letter in "LR"]
        known["the letters compared there, not here"] = float(np.mean(there)), "Those are the films of the other hospital. Take the test films here."
    else:
        known["measured instead of predicted"] = (facts.at["there"]["precision"], "That is the PPV that was found there. Predict it from sensitivity and "
                                                  "specificity here and the share of ill children there.")
        known["the precision of another prevalence"] = facts.at["here"]["precision"], "That is the PPV here. There the ill are rarer."
    for problem, other in facts.honest.items():
        if problem != facts.problem and (problem != "leakage" or facts.known.any()):  # else it is the number that was reported
            known[f"the measure for another problem ({problem})"] = other, "The number is right for another problem. Look at task 05.5 again."
    close = [name for name, (number, _) in known.items() if same(answer, number, 0.003)]
    if len(close) == 1 and same(answer, known[close[0]][0], 0.0006):  # else a name would be a guess
        miss(close[0], known[close[0]][1])
    miss(None, "Read the line of your problem in the task's text once more; all numbers come from the test films here" +
         (", the share of ill children from there." if facts.problem == "prevalence" else "."))


def _remedy(value, seed, right):
    answer, problem = text(value, "one of the words").lower(), _Facts(seed).problem
    if answer not in REMEDIES:
        miss(FORM, f"It can be {', '.join(REMEDIES)}.")
    if REMEDIES[answer] == problem:
        return {"leakage": "And report the number of task 05.6, not the old one.", "marker": "And test on films whose letter says nothing.",
                "prevalence": "And say the PPV that the doctors there will see, before they see it."}[problem]
    if answer in ("more_epochs", "bigger_network"):
        miss("more of the same", "The network is as good there as here; learning more makes the ill no more common." if problem == "prevalence" else
             "A network that learns more from the same films learns their flaw better.")
    if answer == "lower_threshold":
        miss("a threshold mends everything", "Another threshold trades misses against alarms. It mends neither films nor a split, and where the ill "
                                             "are rare a lower one brings more false alarms.")
    miss(f"the remedy for another problem ({REMEDIES[answer]})", "That would be right for another problem. Look at task 05.5 again.")


JUDGES = {"05.1": _ranking, "05.2": _decisions, "05.3": _leak, "05.4": _marker, "05.5": _diagnosis, "05.6": _honest, "05.7": _remedy}
