"""Mending probabilities: one temperature for overconfidence, one shift for another mix of patients."""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from ..errors import CxrkitError
from .inputs import check_predictions, check_prevalence

_EDGE = 1e-6  # run folders keep six decimals; a stated 0 or 1 is taken as this far from certain
_COLDEST, _HOTTEST = 0.05, 20.0


def fit_temperature(labels, probabilities) -> float:
    """Return the temperature T that makes `scale_temperature(probabilities, T)` most likely.

    T above 1: the model was overconfident, its probabilities move towards a half; below 1: it was too timid. Ranking, AUC
    and every decision (at the scaled threshold) stay as they were. Fit it on validation films, never on test films.
    Guo, Pleiss, Sun and Weinberger, ICML 2017.

    Parameters
    ----------
    labels, probabilities : see `check_predictions`. A probability of 0 or 1 counts as one in a million from certain.

    Returns
    -------
    float, 0.05-20.

    Introduced in notebook 04.
    """
    labels, probabilities, _ = check_predictions(labels, probabilities)
    signed = (2 * labels - 1) * _logits(probabilities)

    def loss(log_temperature):
        return np.logaddexp(0, -signed * np.exp(-log_temperature)).mean()

    found = minimize_scalar(loss, bounds=(np.log(_COLDEST), np.log(_HOTTEST)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def scale_temperature(probabilities, temperature) -> np.ndarray:
    """Return the probabilities with their log-odds divided by the temperature, float64 [n].

    Introduced in notebook 04.
    """
    if not 0 < temperature < np.inf:
        raise CxrkitError(f"The temperature must be a number above 0, not {temperature}.")
    return expit(_logits(probabilities) / temperature)


def shift_prior(probabilities, was, becomes) -> np.ndarray:
    """Return the probabilities for a place where another share is ill.

    The odds are multiplied by (new odds of being ill) / (old odds), which is Bayes' rule when the ill look like the ill
    and the healthy like the healthy in both places (Saerens, Latinne and Decaestecker, Neural Computation 14 (2002) 21-41).

    Parameters
    ----------
    probabilities : float [n], calibrated where a share `was` is ill.
    was, becomes : shares above 0 and below 1.

    Introduced in notebook 04.
    """
    return expit(_logits(probabilities) + logit(check_prevalence(becomes)) - logit(check_prevalence(was)))


def calibration_errors(labels, probabilities, bins=10, prevalence=None) -> dict:
    """Return Brier score and ECE, as if a share `prevalence` of the films were ill.

    Parameters
    ----------
    labels, probabilities : see `check_predictions`.
    bins : equal-width bins of the ECE, as in `ece`.
    prevalence : films of each class are weighted so that this share is ill; None: as among these films.

    Returns
    -------
    {"brier", "ece"}; without a prevalence they equal scikit-learn's Brier score and `ece`.

    Introduced in notebook 04.
    """
    labels, probabilities, _ = check_predictions(labels, probabilities)
    return _errors(labels, probabilities, bins, _weights(labels, prevalence))


def calibration_table(labels, probabilities, temperature, bins=10, prevalence=None) -> pd.DataFrame:
    """Return the calibration errors before and after each mending, one row each.

    Rows: "as given"; "temperature"; and, with a `prevalence`, the same two as they would do where that share is ill,
    with the prior corrected after them. Columns: place ("these films" or "prevalence"), brier, ece. See `calibration_errors`.

    Introduced in notebook 04.
    """
    labels, probabilities, _ = check_predictions(labels, probabilities)
    scaled = scale_temperature(probabilities, temperature)
    steps = [("as given", probabilities), ("temperature", scaled)]
    rows = [{"probabilities": name, "place": "these films", **_errors(labels, p, bins, _weights(labels, None))} for name, p in steps]
    if prevalence is not None:
        steps.append(("temperature and prior correction", shift_prior(scaled, labels.mean(), prevalence)))
        weights = _weights(labels, prevalence)
        rows += [{"probabilities": name, "place": "prevalence", **_errors(labels, p, bins, weights)} for name, p in steps]
    return pd.DataFrame(rows)


def _errors(labels, probabilities, bins, weights):
    if bins < 2:
        raise CxrkitError(f"An expected calibration error needs at least 2 bins, not {bins}.")
    number = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], probabilities)
    gaps = np.bincount(number, weights * (probabilities - labels), bins)  # a bin's gap times its weight
    return {"brier": float(weights @ (probabilities - labels) ** 2), "ece": float(np.abs(gaps).sum())}


def _weights(labels, prevalence):
    """Weights of the films, of sum 1, that make the ill this share of all."""
    if prevalence is None:
        return np.full(len(labels), 1 / len(labels))
    check_prevalence(prevalence)
    return np.where(labels == 1, prevalence / labels.sum(), (1 - prevalence) / (len(labels) - labels.sum()))


def _logits(probabilities):
    return logit(np.clip(np.asarray(probabilities, dtype=np.float64), _EDGE, 1 - _EDGE))
