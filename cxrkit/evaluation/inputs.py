"""The checks that every evaluation function makes first."""

import numpy as np
import pandas as pd

from ..errors import CxrkitError


def check_predictions(labels, probabilities, groups=None):
    """Return labels, probabilities and group numbers as clean arrays, or say plainly what is wrong with them.

    Parameters
    ----------
    labels : 0/1 [n], 1 = pneumonia; both classes must occur.
    probabilities : float [n] of pneumonia, 0-1.
    groups : patient of each film [n], any hashable; a missing one (None, NaN, "") is a patient of its own.
        None: every film is its own patient.

    Returns
    -------
    labels int64 [n], probabilities float64 [n], group numbers int64 [n] counting from 0.

    Raises
    ------
    CxrkitError: zero rows, different lengths, labels other than 0 and 1, one class only, NaN, outside 0-1.

    Introduced in notebook 04.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    if labels.ndim != 1 or probabilities.ndim != 1:
        raise CxrkitError(f"Labels and probabilities must be one-dimensional, not {labels.shape} and {probabilities.shape}. "
                          "A column of shape (n, 1) becomes one with .ravel().")
    if len(labels) != len(probabilities):
        raise CxrkitError(f"There are {len(labels)} labels but {len(probabilities)} probabilities; give one of each a film.")
    if len(labels) == 0:
        raise CxrkitError("There are no predictions (0 rows) to evaluate.")
    labels = _numbers(labels, "labels")
    probabilities = _numbers(probabilities, "probabilities")
    wrong = ~np.isin(labels, (0, 1))
    if wrong.any():
        raise CxrkitError(f"Labels must be 0 (normal) or 1 (pneumonia); row {wrong.argmax()} holds {labels[wrong.argmax()]:g}.")
    wrong = ~((probabilities >= 0) & (probabilities <= 1))
    if wrong.any():
        row = wrong.argmax()
        raise CxrkitError(f"Probabilities must lie between 0 and 1; row {row} holds {probabilities[row]:g}. "
                          "If these are logits, put them through a sigmoid first.")
    if labels.min() == labels.max():
        raise CxrkitError(f"All {len(labels)} films are {'pneumonia' if labels[0] else 'normal'}; "
                          "sensitivity and specificity need films of both classes.")
    return labels.astype(np.int64), probabilities, _group_numbers(groups, len(labels))


def check_prevalence(share) -> float:
    """Return a prevalence as it is, or refuse one that is not a share above 0 and below 1."""
    if not 0 < share < 1:
        raise CxrkitError(f"The prevalence is a share above 0 and below 1 (0.05 is 5 %), not {share:g}.")
    return float(share)


def _numbers(values, what):
    try:
        values = values.astype(np.float64)
    except (TypeError, ValueError):
        raise CxrkitError(f"The {what} are not numbers (first: {values[0]!r}).") from None
    missing = np.isnan(values)
    if missing.any():
        raise CxrkitError(f"{missing.sum()} of the {what} are missing (NaN), the first in row {missing.argmax()}. "
                          "Leave those rows out.")
    return values


def _group_numbers(groups, n):
    if groups is None:
        return np.arange(n)
    if len(groups) != n:
        raise CxrkitError(f"There are {n} films but {len(groups)} groups; give the patient of each film.")
    codes = pd.factorize(pd.Series(list(groups), dtype=object).replace("", None))[0]
    missing = codes < 0
    codes[missing] = codes.max() + 1 + np.arange(missing.sum())
    return codes.astype(np.int64)
