"""Choosing the threshold on validation, once, by a stated rule."""

import numpy as np
import pandas as pd

from ..config import THRESHOLD_RULES
from ..errors import CxrkitError, nearest
from .inputs import check_predictions, check_prevalence

STEP = 0.001  # of the round candidates


def threshold_sweep(labels, probabilities) -> pd.DataFrame:
    """Return what every candidate threshold would do, lowest first.

    All thresholds between two neighbouring probabilities call the same films, so a rule can only choose among
    those gaps; on well-separated films the gap that matters may reach from 0.02 to 0.97. The candidates are
    therefore the observed probabilities, which miss no gap, and the round numbers 0, 0.001 … 1, which let "the
    lowest threshold" of a wide gap be its lower end (within 0.001) and not the first film beyond it.

    Parameters
    ----------
    labels, probabilities : see `check_predictions`.

    Returns
    -------
    DataFrame: threshold, tn, fp, fn, tp, sensitivity, specificity.

    Introduced in notebook 04.
    """
    labels, probabilities, _ = check_predictions(labels, probabilities)
    steps = round(1 / STEP)
    candidates = np.unique(np.concatenate([np.arange(steps + 1) / steps, probabilities]))
    below = {
        label: np.searchsorted(np.sort(probabilities[labels == label]), candidates, side="left") for label in (0, 1)
    }  # films of each class that a candidate calls normal
    positives = int(labels.sum())
    negatives = len(labels) - positives
    return pd.DataFrame({
        "threshold": candidates,
        "tn": below[0], "fp": negatives - below[0], "fn": below[1], "tp": positives - below[1],
        "sensitivity": (positives - below[1]) / positives,
        "specificity": below[0] / negatives,
    })


def choose_threshold(labels, probabilities, rule="sensitivity", *, target_sensitivity=0.95, cost_ratio=10.0, prevalence=None) -> float:
    """Return the threshold that a rule picks from the candidates of `threshold_sweep`; ties go to the lowest.

    Give it validation films, never test films. The lowest of equals is the careful end: on new films, which score
    less extremely than validation did, it misses the fewest.

    Parameters
    ----------
    labels, probabilities : see `check_predictions`.
    rule : "sensitivity", the greatest specificity among candidates with at least `target_sensitivity`;
        "half", 0.5 whatever the films; "youden", the greatest sensitivity + specificity - 1;
        "cost", the least `cost_ratio` x missed pneumonias + false alarms.
    target_sensitivity : 0-1, for rule "sensitivity".
    cost_ratio : how many false alarms a missed pneumonia is worth, above 0, for rule "cost".
    prevalence : share of the ill where the model is used, above 0 and below 1, for rule "cost"; None: as among these films.

    Returns
    -------
    float, 0-1.

    Raises
    ------
    CxrkitError for bad predictions, an unknown rule, or a target, ratio or prevalence out of range.

    Introduced in notebook 04.
    """
    return choose_from_sweep(threshold_sweep(labels, probabilities), rule, target_sensitivity, cost_ratio, prevalence)


def choose_from_sweep(sweep, rule, target_sensitivity=0.95, cost_ratio=10.0, prevalence=None) -> float:
    """Return what `choose_threshold` returns, from a `threshold_sweep` that is there already."""
    if rule not in THRESHOLD_RULES:
        raise CxrkitError(
            f"Unknown threshold rule '{rule}'; there are {', '.join(THRESHOLD_RULES)}.{nearest(rule, THRESHOLD_RULES)}")
    if not 0 < target_sensitivity <= 1:
        raise CxrkitError(f"The target sensitivity must lie above 0 and be at most 1 (0.95 is 95 %), not {target_sensitivity}.")
    if not 0 < cost_ratio < np.inf:
        raise CxrkitError(f"The cost ratio must be a number above 0, not {cost_ratio}.")
    if rule == "half":
        return 0.5
    slack = 0
    if rule == "sensitivity":
        sweep = sweep[sweep["sensitivity"] >= target_sensitivity]  # never empty: threshold 0 calls every film
        score = sweep["tn"]
    elif rule == "youden":
        # Both rates over their common denominator, in whole numbers, so that ties are exact.
        score = sweep["tp"] * (sweep["tn"] + sweep["fp"]) + sweep["tn"] * (sweep["tp"] + sweep["fn"])
    else:
        if prevalence is not None:  # another mix weighs the same misses otherwise
            share = check_prevalence(prevalence)
            cost_ratio *= share / (1 - share) * (sweep["fp"] + sweep["tn"]).iloc[0] / (sweep["tp"] + sweep["fn"]).iloc[0]
        score = -(cost_ratio * sweep["fn"] + sweep["fp"])
        slack = 1e-12 * score.abs().max()  # equal costs may differ in their last bits
    best = score >= score.max() - slack
    return float(sweep["threshold"][best].iloc[0])
