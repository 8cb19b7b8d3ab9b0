"""What a threshold costs, and whether the model is worth using at all."""

import numpy as np
import pandas as pd

from ..errors import CxrkitError
from .inputs import check_predictions, check_prevalence
from .thresholds import threshold_sweep


def expected_cost(labels, probabilities, cost_ratio=10.0, prevalence=None) -> pd.DataFrame:
    """Return what every candidate threshold costs per 100 children, counted in false alarms.

    Parameters
    ----------
    labels, probabilities : see `check_predictions`.
    cost_ratio : how many false alarms one missed pneumonia is worth, above 0.
    prevalence : share of the ill where the model is used; None: as among these films.

    Returns
    -------
    DataFrame, lowest threshold first: threshold, missed and alarms (children per 100), cost = cost_ratio x missed + alarms.

    Introduced in notebook 04.
    """
    return cost_of(threshold_sweep(labels, probabilities), cost_ratio, prevalence)


def cost_of(sweep, cost_ratio, prevalence=None) -> pd.DataFrame:
    """Return the same from a `threshold_sweep` that is there already."""
    if not 0 < cost_ratio < np.inf:
        raise CxrkitError(f"The cost ratio must be a number above 0, not {cost_ratio}.")
    ill, well = (sweep["tp"] + sweep["fn"]).iloc[0], (sweep["tn"] + sweep["fp"]).iloc[0]
    share = _share(prevalence, ill, well)
    missed = 100 * share * sweep["fn"] / ill
    alarms = 100 * (1 - share) * sweep["fp"] / well
    return pd.DataFrame({"threshold": sweep["threshold"], "missed": missed, "alarms": alarms, "cost": cost_ratio * missed + alarms})


def flat_region(costs, within=1.0):
    """Return (best, low, high): the cheapest threshold, the lowest of equals, and how far one may stray from it.

    Parameters
    ----------
    costs : DataFrame of `expected_cost`.
    within : false alarms per 100 children by which the cost may rise; the region is the unbroken stretch round the best.

    Introduced in notebook 04.
    """
    cost, threshold = costs["cost"].to_numpy(), costs["threshold"].to_numpy()
    best = int(np.argmax(cost <= cost.min() + 1e-9))
    dear = cost > cost.min() + within + 1e-9
    below, above = np.flatnonzero(dear[:best]), np.flatnonzero(dear[best:])
    low = below[-1] + 1 if len(below) else 0
    high = best + above[0] - 1 if len(above) else len(cost) - 1
    return float(threshold[best]), float(threshold[low]), float(threshold[high])


def decision_curve(labels, probabilities, prevalence=None, thresholds=None) -> pd.DataFrame:
    """Return the net benefit of using the model, of treating every child, and of treating none.

    A threshold of 0.2 means: one missed pneumonia weighs as much as four false alarms (0.8 / 0.2). At that exchange rate,
    net benefit = found ill - false alarms x 0.2 / 0.8, per child (Vickers and Elkin, Medical Decision Making 26
    (2006) 565-574). It takes the probabilities at their word: calibrate first.

    Parameters
    ----------
    labels, probabilities : see `check_predictions`.
    prevalence : share of the ill where the model is used; None: as among these films.
    thresholds : float, 0 <= t < 1; None: 0, 0.01 … 0.99.

    Returns
    -------
    DataFrame: threshold, model, treat_all, treat_none (0 everywhere); net benefit per child, at most the prevalence.

    Introduced in notebook 04.
    """
    labels, probabilities, _ = check_predictions(labels, probabilities)
    return decision_curve_of(np.sort(probabilities[labels == 1]), np.sort(probabilities[labels == 0]), prevalence, thresholds)


def decision_curve_of(ill, well, prevalence=None, thresholds=None) -> pd.DataFrame:
    """Return the same from the sorted probabilities of the ill and of the healthy."""
    thresholds = np.arange(100) / 100 if thresholds is None else np.asarray(thresholds, dtype=float)
    if not ((thresholds >= 0) & (thresholds < 1)).all():
        raise CxrkitError("Decision curves take thresholds of at least 0 and below 1.")
    share = _share(prevalence, len(ill), len(well))
    found = 1 - np.searchsorted(ill, thresholds, side="left") / len(ill)
    alarmed = 1 - np.searchsorted(well, thresholds, side="left") / len(well)
    odds = thresholds / (1 - thresholds)
    return pd.DataFrame({
        "threshold": thresholds,
        "model": share * found - (1 - share) * alarmed * odds,
        "treat_all": share - (1 - share) * odds,
        "treat_none": 0.0,
    })


def _share(prevalence, ill, well):
    return ill / (ill + well) if prevalence is None else check_prevalence(prevalence)
