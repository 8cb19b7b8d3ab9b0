"""Does a probability of 0.8 mean 80 in 100?"""

import numpy as np
import pandas as pd

from ..errors import CxrkitError
from .inputs import check_predictions
from .intervals import wilson


def reliability_curve(labels, probabilities, bins=10) -> pd.DataFrame:
    """Compare stated probability with observed frequency in equal-width bins.

    Parameters
    ----------
    labels, probabilities : see `check_predictions`.
    bins : number of bins over 0-1, each of width 1/bins; a probability on an edge falls in the lower bin, as in
        scikit-learn's calibration_curve.

    Returns
    -------
    DataFrame, one row a bin that holds films: low, high (edges), n, stated (mean probability), observed (share of
    pneumonia), observed_low, observed_high (Wilson 95 %).

    Introduced in notebook 04.
    """
    labels, probabilities, _ = check_predictions(labels, probabilities)
    if bins < 2:
        raise CxrkitError(f"A reliability curve needs at least 2 bins, not {bins}.")
    edges = np.linspace(0, 1, bins + 1)
    number = np.searchsorted(edges[1:-1], probabilities)
    rows = []
    for b in np.unique(number):
        inside = number == b
        count, hits = int(inside.sum()), int(labels[inside].sum())
        rows.append((edges[b], edges[b + 1], count, probabilities[inside].mean(), hits / count, *wilson(hits, count)))
    return pd.DataFrame(rows, columns=["low", "high", "n", "stated", "observed", "observed_low", "observed_high"])


def ece(labels, probabilities, bins=10) -> float:
    """Return the expected calibration error: the gaps of `reliability_curve`, averaged over films, 0-1.

    It depends on the number of bins and grows with few films; quote both beside it.

    Introduced in notebook 04.
    """
    curve = reliability_curve(labels, probabilities, bins)
    return float(((curve["stated"] - curve["observed"]).abs() * curve["n"]).sum() / curve["n"].sum())
