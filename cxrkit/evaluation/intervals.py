"""How far a number could have fallen otherwise: Wilson intervals and the patient-clustered bootstrap."""

import dataclasses

import numpy as np
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from ..errors import CxrkitError
from .inputs import check_predictions

_CHUNK = 1_000_000  # weights held at once: keeps 100,000 films x 1,000 replicates within tens of megabytes


def wilson(successes, total, level=0.95):
    """Return the Wilson interval of a proportion as [low, high], by statsmodels.

    Films are taken as independent; where a patient has many, the true interval is somewhat wider.
    With `total` 0 nothing is known and the interval is [0, 1].

    Introduced in notebook 04.
    """
    if total == 0:
        return [0.0, 1.0]
    low, high = proportion_confint(int(successes), int(total), alpha=1 - level, method="wilson")
    share = successes / total  # at 0/n and n/n rounding can put an end a hair on its wrong side
    return [float(min(max(low, 0.0), share)), float(max(min(high, 1.0), share))]


@dataclasses.dataclass(frozen=True)
class Bootstrap:
    """What `patient_bootstrap` drew.

    Attributes
    ----------
    samples : {name: float64 [replicates]} for "auc", "pr_auc", "brier" and "NAME.f1" of each threshold.
    patients : how many patients were drawn with replacement in each replicate.
    skipped : draws that held one class only and were drawn anew.
    """

    samples: dict
    patients: int
    skipped: int

    def interval(self, name, level=0.95):
        """Return the percentile interval of a statistic as [low, high]."""
        tail = 100 * (1 - level) / 2
        return [float(v) for v in np.percentile(self.samples[name], [tail, 100 - tail])]


def patient_bootstrap(labels, probabilities, groups=None, *, thresholds=None, replicates=1000, seed=0) -> Bootstrap:
    """Draw whole patients with replacement and compute AUC, PR-AUC, Brier score and F1 each time.

    scipy.stats.bootstrap draws single films; films of one child resemble each other, so that interval comes out
    too narrow. Here a film weighs as often as its patient was drawn. A draw without both classes has no AUC: it is
    drawn anew and counted. Two systems evaluated on the same films with the same groups and seed get the same
    draws, so the difference of their samples is a paired bootstrap of the difference.

    Parameters
    ----------
    labels, probabilities, groups : see `check_predictions`.
    thresholds : {name: threshold} at which F1 is wanted, or None.
    replicates : draws with both classes, at least 1.
    seed : of numpy's default generator.

    Returns
    -------
    Bootstrap

    Raises
    ------
    CxrkitError for bad predictions or a single patient.

    Introduced in notebook 04.
    """
    labels, probabilities, groups = check_predictions(labels, probabilities, groups)
    if replicates < 1:
        raise CxrkitError(f"The bootstrap needs at least 1 replicate, not {replicates}.")
    patients = int(groups.max()) + 1
    if patients < 2:
        raise CxrkitError("All films belong to one patient; a bootstrap over patients needs at least two.")
    order = np.argsort(-probabilities, kind="stable")
    labels, probabilities, groups = labels[order], probabilities[order], groups[order]
    parts, tried = [], 0
    for weights, size in patient_weights(labels, groups, replicates, seed):
        tried += size
        parts.append(_weighted_metrics(labels, probabilities, weights[:, groups], thresholds or {}))
    return Bootstrap({name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, patients, tried - replicates)


def auc_difference(labels, first, second, groups=None, *, replicates=1000, seed=0, level=0.95):
    """Return (AUC of `first` minus AUC of `second`, its interval as [low, high]), both systems judged on the same draws of patients.

    Two intervals that overlap do not say that two systems are alike: what is hard in a draw is hard for both, and cancels here.

    Parameters
    ----------
    labels, groups : see `check_predictions`.
    first, second : probabilities of the same films in the same order, float [n].
    replicates, seed : as in `patient_bootstrap`. level : of the percentile interval.

    Raises
    ------
    CxrkitError as `patient_bootstrap` does.

    Introduced in notebook 02. Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap.
    """
    one, other = (patient_bootstrap(labels, system, groups, replicates=replicates, seed=seed).samples["auc"] for system in (first, second))
    tail = 100 * (1 - level) / 2
    seen = [roc_auc_score(*check_predictions(labels, system)[:2]) for system in (first, second)]
    return float(seen[0] - seen[1]), [float(v) for v in np.percentile(one - other, [tail, 100 - tail])]


def patient_weights(labels, groups, replicates, seed):
    """Yield (how often each patient is drawn, float64 [k, patients]; how many draws it took), `replicates` rows in all.

    Draws that hold one class only are left out. The same labels per patient, replicates and seed give the same rows.
    """
    rng = np.random.default_rng(seed)
    patients = int(groups.max()) + 1
    ill = np.bincount(groups, labels, patients)
    films = np.bincount(groups, minlength=patients)
    rows = max(1, _CHUNK // len(labels))
    drawn = 0
    while drawn < replicates:
        size = min(rows, replicates - drawn)
        weights = _patient_counts(rng, size, patients)
        positives = weights @ ill
        both = (positives > 0) & (positives < weights @ films)
        drawn += int(both.sum())
        yield weights[both], size


def _patient_counts(rng, size, patients):
    """How often each patient is drawn, float64 [size, patients]."""
    draws = rng.integers(0, patients, size=(size, patients)) + patients * np.arange(size)[:, None]
    return np.bincount(draws.ravel(), minlength=size * patients).reshape(size, patients).astype(np.float64)


def _weighted_metrics(labels, probabilities, weights, thresholds):
    """Statistics of each row of `weights` [replicates, n]; films come sorted, the highest probability first.

    Agrees with scikit-learn's roc_auc_score and average_precision_score under sample weights: films that share
    a probability count as one step of the curves.
    """
    starts = np.flatnonzero(np.r_[True, np.diff(probabilities) != 0])
    hits = np.add.reduceat(weights * labels, starts, axis=1)
    alarms = np.add.reduceat(weights, starts, axis=1) - hits
    true_so_far, false_so_far = np.cumsum(hits, axis=1), np.cumsum(alarms, axis=1)
    positives, negatives = true_so_far[:, -1], false_so_far[:, -1]
    # A normal film is outranked by every pneumonia above it and half by those level with it.
    auc = (alarms * (true_so_far - hits / 2)).sum(axis=1) / (positives * negatives)
    called = true_so_far + false_so_far
    precision = np.divide(true_so_far, called, out=np.zeros_like(called), where=called > 0)
    result = {
        "auc": auc,
        "pr_auc": (hits * precision).sum(axis=1) / positives,
        "brier": weights @ (probabilities - labels) ** 2 / (positives + negatives),
    }
    for name, threshold in thresholds.items():
        flagged = (probabilities >= threshold).astype(np.float64)
        result[f"{name}.f1"] = 2 * (weights @ (flagged * labels)) / (weights @ flagged + positives)
    return result
