"""Self-checks of the lessons: each looks at an answer and says what it looks like, never only "wrong".

A lesson's question is asked in its notebook; `check("01.1", answer, ...)` reads the answer.
"""

import numbers

from .errors import CxrkitError, nearest


def check(task: str, answer, **facts) -> bool:
    """Look at an answer to a lesson's question and print what can be said of it.

    Parameters
    ----------
    task : the question's number, such as "01.1".
    answer : the student's answer; None prints how to give one.
    facts : what the question is about, as the notebook's cell passes it.

    Returns
    -------
    Whether the answer passed. Introduced in notebook 01.
    """
    if task not in _TASKS:
        raise CxrkitError(f"There is no question '{task}'.{nearest(task, _TASKS)} There are {', '.join(_TASKS)}.")
    if answer is None:
        print(f"{task}: put your answer in place of None and run this cell again.")
        return False
    if isinstance(answer, bool) or not isinstance(answer, numbers.Real):
        print(f"{task}: a number is asked for, not {answer!r}.")
        return False
    passed, text = _TASKS[task](float(answer), **facts)
    print(f"{task}: {'this check passed. ' if passed else 'not yet. '}{text}")
    return passed


def _close(answer, value, tolerance):
    return abs(answer - value) <= tolerance


def _percent(answer, tolerance_hint=1.5):
    """Whether a share was most likely given in percent."""
    return tolerance_hint < answer <= 100


def _everything_pneumonia(answer, labels, train_labels):
    """01.1: the accuracy of calling every test film pneumonia."""
    share, train_share = float(labels.mean()), float(train_labels.mean())
    if _percent(answer):
        return _everything_pneumonia(answer / 100, labels, train_labels)
    if _close(answer, share, 0.006):
        return True, "With no skill at all, that many films are right: accuracy alone says little."
    if _close(answer, train_share, 0.006):
        return False, "That is pneumonia's share of the training films; the test split has another balance."
    if _close(answer, 1 - share, 0.006):
        return False, "That is the share of normal films: those are the ones this rule gets wrong."
    if _close(answer, 0.5, 0.006):
        return False, "A half is what guessing gives where both classes are equally common; here they are not."
    return False, "Which films does the rule get right? Count them among all test films."


def _passes(answer, films, epochs):
    """02.1: how often the backbone looks at a film in the textbook loop."""
    if answer == films * epochs:
        return True, f"{films} films × {epochs} epochs; computed once it is {films}."
    if answer == films:
        return False, "That is one epoch, or the whole cost when the features are kept. The textbook loop looks again in each epoch."
    if answer == epochs:
        return False, "That is how often it sees one film. How many films are there?"
    return False, "Multiply: films in an epoch, and epochs."


def _kept_epoch(answer, history):
    """03.1: which fine-tuning epoch is kept."""
    rows = history[history["phase"] == "fine_tuned"]
    best = rows.sort_values(["val_auc", "val_loss"], ascending=[False, True])["epoch"].iloc[0]
    if answer == best:
        return True, "The best validation AUC decides, and the lower validation loss where AUCs are equal."
    if answer == rows["epoch"].iloc[-1]:
        return False, "That is the last epoch. Training longer is not always better: compare the validation AUCs."
    if answer == rows.loc[rows["loss"].idxmin(), "epoch"]:
        return False, "That epoch has the lowest training loss; films that were trained on cannot tell when to stop."
    return False, "Look for the greatest val_auc in the fine-tuning rows; where two are equal, the lower val_loss decides."


def _rare_ppv(answer, sensitivity, specificity, prevalence, test_precision):
    """04.1: precision where pneumonia is rare."""
    caught, alarms = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    value = caught / (caught + alarms)
    if _percent(answer):
        return _rare_ppv(answer / 100, sensitivity, specificity, prevalence, test_precision)
    if _close(answer, value, 0.01):
        return True, "Sensitivity and specificity stayed; the many healthy children supply the false alarms."
    if _close(answer, test_precision, 0.01):
        return False, "That is the precision on the test split, where most films show pneumonia. Count again among 1000 children."
    if _close(answer, sensitivity, 0.01):
        return False, "That is the sensitivity: among the ill, the share flagged. Asked is: among the flagged, the share ill."
    return False, f"Of 1000 children {1000 * prevalence:.0f} are ill. How many of those are flagged, and how many of the healthy ones?"


_TASKS = {"01.1": _everything_pneumonia, "02.1": _passes, "03.1": _kept_epoch, "04.1": _rare_ppv}
