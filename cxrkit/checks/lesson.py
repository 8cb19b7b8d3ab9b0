"""Task .1 of each set is the question with which its lesson ends, asked of other films; both are read here.

A lesson's cell passes the facts of its question; an exercise takes them from its own data.
"""

import numbers

from ..errors import CxrkitError
from .verdict import NotYet, miss, number


def ask(task: str, answer, facts: dict) -> float:
    """Read the answer to a lesson's question, print what can be said of it, and return 1.0 where it passed, else 0.0."""
    if task not in QUESTIONS:
        raise CxrkitError(f"{task} takes no facts; write check(\"{task}\", answer).")
    if answer is None:
        print(f"{task}: put your answer in place of None and run this cell again.")
        return 0.0
    if isinstance(answer, bool) or not isinstance(answer, numbers.Real):
        print(f"{task}: a number is asked for, not {answer!r}.")
        return 0.0
    try:
        text, passed = QUESTIONS[task](float(answer), **facts), True
    except NotYet as stop:
        text, passed = stop.message, False
    print(f"{task}: {'this check passed. ' if passed else 'not yet. '}{text}")
    return float(passed)


def _close(answer, value, tolerance):
    return abs(answer - value) <= tolerance


def _fraction(answer):
    """A share may be given in percent here: the question is about films, not about writing."""
    answer = number(answer)
    return answer / 100 if 1.5 < answer <= 100 else answer


def everything_pneumonia(answer, labels, train_labels) -> str:
    """01.1: the accuracy of calling every test film pneumonia."""
    answer = _fraction(answer)
    rate, train_rate = float(labels.mean()), float(train_labels.mean())
    if _close(answer, rate, 0.006):
        return "With no skill at all, that many films are right: accuracy alone says little."
    if _close(answer, train_rate, 0.006):
        miss("the training films' balance", "That is pneumonia's share of the training films; the test split has another balance.")
    if _close(answer, 1 - rate, 0.006):
        miss("the share that the rule gets wrong", "That is the share of normal films: those are the ones this rule gets wrong.")
    if _close(answer, 0.5, 0.006):
        miss("two classes mean one half", "A half is what guessing gives where both classes are equally common; here they are not.")
    miss(None, "Which films does the rule get right? Count them among all test films.")


def passes(answer, films, epochs) -> str:
    """02.1: how often the backbone looks at a film in the textbook loop."""
    answer = number(answer)
    if answer == films * epochs:
        return f"{films:,} films × {epochs} epochs; computed once it is {films:,}."
    if answer == films:
        miss("one epoch counted", "That is one epoch, or the whole cost when the features are kept. The textbook loop looks again in each epoch.")
    if answer == epochs:
        miss("one film counted", "That is how often it sees one film. How many films are there?")
    miss(None, "How often is each film looked at, and how many films are there?")


def kept_epoch(answer, history) -> str:
    """03.1: which fine-tuning epoch is kept."""
    answer = number(answer)
    rows = history[history["phase"] == "fine_tuned"]
    best = rows.sort_values(["val_auc", "val_loss"], ascending=[False, True])["epoch"].iloc[0]
    if answer == best:
        return "The best validation AUC decides, and the lower validation loss where AUCs are equal."
    if answer == rows["epoch"].iloc[-1]:
        miss("the last epoch is the best", "That is the last epoch. Training longer is not always better: compare the validation AUCs.")
    if answer == rows.loc[rows["loss"].idxmin(), "epoch"]:
        miss("training loss decides", "That epoch has the lowest training loss; films that were trained on cannot tell when to stop.")
    if answer in rows.loc[rows["val_auc"] == rows["val_auc"].max(), "epoch"].to_numpy():
        miss("a tie is not looked at", f"Epoch {answer:g} has the greatest validation AUC, but so has another. The lower val_loss decides between them.")
    if answer == rows.loc[rows["val_loss"].idxmin(), "epoch"]:
        miss("validation loss decides", "That epoch has the lowest validation loss. The greatest validation AUC decides; the loss only where AUCs are equal.")
    row = rows["val_auc"].idxmax()
    if answer == row:
        tie = " And its AUC occurs twice: which of the two is kept?" if rows["epoch"][row] != best else ""
        miss("epochs counted from 0", f"That is a row's number: row {row} is epoch {rows['epoch'][row]}.{tie}")
    if answer == best - 1:
        miss("epochs counted from 0", "Epochs are counted from 1: take the number in the column `epoch`, not the row's.")
    miss(None, "Look for the greatest val_auc; where two are equal, the lower val_loss decides.")


def rare_ppv(answer, sensitivity, specificity, prevalence, test_precision) -> str:
    """04.1: precision where pneumonia is rare."""
    answer = _fraction(answer)
    caught, alarms = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    ppv, of_all = caught / (caught + alarms), caught / (caught + (1 - specificity))
    if _close(answer, of_all, 0.003) and not _close(answer, ppv, 0.003):
        miss("the share of the healthy left out", f"{1 - specificity:.1%} of the *healthy* are flagged. Of 1000 children, how many are healthy?")
    if _close(answer, ppv, 0.006):
        return "Sensitivity and specificity stayed; the many healthy children supply the false alarms."
    if _close(answer, test_precision, 0.01):
        miss("the precision of another prevalence", "That is the precision (PPV) among films of which most show pneumonia. Count again among 1000 children of the village.")
    if _close(answer, sensitivity, 0.01):
        miss("PPV read as sensitivity", "That is the sensitivity: among the ill, the share flagged. Asked is: among the flagged, the share ill.")
    miss(None, f"Of 1000 children {1000 * prevalence:.0f} are ill. How many of those are flagged, and how many of the healthy ones?")


QUESTIONS = {"01.1": everything_pneumonia, "02.1": passes, "03.1": kept_epoch, "04.1": rare_ppv}
