"""The numbers of a report: one block a system and split."""

from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from ..errors import CxrkitError
from .inputs import check_predictions
from .intervals import patient_bootstrap, wilson


def evaluate(labels, probabilities, *, groups=None, locked=0.5, bootstrap=1000, seed=0) -> dict:
    """Return the block of metrics of one system on one split.

    Parameters
    ----------
    labels : 0/1 [n], 1 = pneumonia.
    probabilities : float [n] of pneumonia, 0-1.
    groups : patient of each film [n]; None: each film is its own patient.
    locked : the threshold chosen on validation, 0-1.
    bootstrap : replicates of the patient-clustered bootstrap.
    seed : of the bootstrap.

    Returns
    -------
    dict of plain numbers, ready for JSON: n, auc (area under the ROC curve), pr_auc (average precision), brier
    (mean squared error of the probability), at_half and at_locked (see `at_threshold`), and intervals, 95 %,
    {name: [low, high]}: Wilson for the proportions ("at_half.recall" …), percentiles of the patient-clustered
    bootstrap for auc, pr_auc, brier, "at_half.f1", "at_locked.f1" and f1 (the same as "at_locked.f1").

    Raises
    ------
    CxrkitError: see `check_predictions`.

    Introduced in notebook 04.
    """
    labels, probabilities, groups = check_predictions(labels, probabilities, groups)
    thresholds = {"at_half": 0.5, "at_locked": check_threshold(locked)}
    tables = {name: _at(labels, probabilities, value) for name, value in thresholds.items()}
    drawn = patient_bootstrap(labels, probabilities, groups, thresholds=thresholds, replicates=bootstrap, seed=seed)
    intervals = {name: drawn.interval(name) for name in drawn.samples}
    intervals["f1"] = intervals["at_locked.f1"]
    for name, table in tables.items():
        intervals |= {f"{name}.{key}": wilson(*counts) for key, counts in proportions(table["confusion"]).items()}
    return {
        "n": len(labels),
        "auc": float(roc_auc_score(labels, probabilities)),
        "pr_auc": float(average_precision_score(labels, probabilities)),
        "brier": float(brier_score_loss(labels, probabilities)),
        **tables,
        "intervals": intervals,
    }


def at_threshold(labels, probabilities, threshold) -> dict:
    """Return the counts and rates when films with `probability >= threshold` are called pneumonia.

    Parameters
    ----------
    labels, probabilities : see `check_predictions`.
    threshold : 0-1.

    Returns
    -------
    dict: threshold, accuracy, precision (positive predictive value), recall (sensitivity), specificity, npv
    (negative predictive value), f1, confusion {"tn", "fp", "fn", "tp"}. As in scikit-learn, precision is 0 when
    no film is called pneumonia, and npv 0 when none is called normal.

    Introduced in notebook 04.
    """
    labels, probabilities, _ = check_predictions(labels, probabilities)
    return _at(labels, probabilities, check_threshold(threshold))


def from_confusion(tn, fp, fn, tp, threshold=None) -> dict:
    """Return what `at_threshold` returns, from the four counts (of a published table, say)."""
    confusion = {"tn": int(tn), "fp": int(fp), "fn": int(fn), "tp": int(tp)}
    rates = {name: (k / n if n else 0.0) for name, (k, n) in proportions(confusion).items()}
    f1 = 2 * confusion["tp"] / (2 * confusion["tp"] + confusion["fp"] + confusion["fn"])
    return {"threshold": threshold, **rates, "f1": f1, "confusion": confusion}


def proportions(confusion) -> dict:
    """Return {name: (successes, total)} of the five proportions that a confusion matrix holds."""
    tn, fp, fn, tp = (confusion[key] for key in ("tn", "fp", "fn", "tp"))
    return {
        "accuracy": (tn + tp, tn + fp + fn + tp),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "npv": (tn, tn + fn),
    }


def check_threshold(threshold) -> float:
    """Return the threshold as a float, or refuse one outside 0-1."""
    try:
        value = float(threshold)
    except (TypeError, ValueError):
        raise CxrkitError(f"The threshold must be a number between 0 and 1, not {threshold!r}.") from None
    if not 0 <= value <= 1:
        raise CxrkitError(f"The threshold must lie between 0 and 1, not {value:g}.")
    return value


def _at(labels, probabilities, threshold):
    called = probabilities >= threshold
    tp = int((called & (labels == 1)).sum())
    fp = int(called.sum()) - tp
    fn = int(labels.sum()) - tp
    return from_confusion(len(labels) - tp - fp - fn, fp, fn, tp, threshold)
