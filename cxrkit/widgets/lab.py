"""The threshold lab's logic: (labels, probabilities, groups, settings) -> state. No widget, no drawing, no Keras."""

import dataclasses
import functools

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from ..evaluation import OperatingPoints, flat_region, predictive_values
from ..evaluation.decisions import cost_of, decision_curve_of
from ..evaluation.thresholds import choose_from_sweep

BINS = 25  # of the histograms
_POINTS = 300  # of a drawn curve; more cannot be told apart on a screen
PEOPLE = {  # who is talked about: (the ill, the others, missed, flagged)
    "children": ("children with pneumonia", "healthy ones", "sent home", "called in"),
    "phantom": ("phantom films with pneumonia", "normal phantom films", "missed", "flagged"),
    "films": ("films with pneumonia", "films without", "missed", "flagged"),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a student sets.

    Attributes
    ----------
    threshold : 0-1; films with `probability >= threshold` are called pneumonia.
    cost_ratio : how many false alarms a missed pneumonia is worth, above 0.
    prevalence : share of the ill where the model is used, above 0 and below 1; None: as among these films.
    target_sensitivity : 0-1, for the rule "sensitivity".
    people : "children", "phantom" or "films": whom the sentence talks about.
    """

    threshold: float = 0.5
    cost_ratio: float = 10.0
    prevalence: float | None = None
    target_sensitivity: float = 0.95
    people: str = "films"


@dataclasses.dataclass(frozen=True)
class State:
    """What follows from the settings; plain numbers.

    Attributes
    ----------
    settings : the `Settings`.
    table : `OperatingPoints.at` of the threshold: rates, "confusion", "intervals".
    share : the films' own share of pneumonia, 0-1.
    there : {"ppv", "npv": (value, low, high), "f1", "accuracy": value} at `settings.prevalence`, else None.
    cost : expected cost at the threshold, in false alarms per 100.
    cheapest : (threshold, low, high): where the cost is least and the flat region round it.
    sentence : the state in plain words.
    """

    settings: Settings
    table: dict
    share: float
    there: dict | None
    cost: float
    cheapest: tuple
    sentence: str


class Prepared:
    """One split's films with all that does not depend on the settings: sorted, and the curves that are drawn.

    Attributes: `points` (OperatingPoints), `auc`, `pr_auc`, `roc` and `pr` (float [k, 2], x and y, thinned to what a screen
    shows), `bars` ({0 | 1: counts int [BINS]} of the histograms).
    """

    def __init__(self, labels, probabilities, groups=None, seed=0):
        self.points = OperatingPoints(labels, probabilities, groups, seed=seed)
        labels, probabilities = self.points.labels, self.points.probabilities
        fpr, tpr, _ = roc_curve(labels, probabilities)
        precision, recall, _ = precision_recall_curve(labels, probabilities)
        self.roc, self.pr = _thin(fpr, tpr), _thin(recall[::-1], precision[::-1])
        self.auc, self.pr_auc = float(roc_auc_score(labels, probabilities)), float(average_precision_score(labels, probabilities))
        edges = np.linspace(0, 1, BINS + 1)
        self.bars = {label: np.histogram(probabilities[labels == label], edges)[0] for label in (0, 1)}
        self.costs = functools.lru_cache(maxsize=4)(self._costs)
        self.benefit = functools.lru_cache(maxsize=4)(self._benefit)

    def _costs(self, cost_ratio, prevalence):
        """(`expected_cost`'s DataFrame, its `flat_region`); remembered, because the threshold does not change it."""
        costs = cost_of(self.points.sweep, cost_ratio, prevalence)
        return costs, flat_region(costs)

    def _benefit(self, prevalence):
        """`decision_curve` of these films."""
        return decision_curve_of(self.points.ill, self.points.well, prevalence)


def lab_state(labels, probabilities, groups=None, settings=Settings()) -> State:
    """Return the lab's state; the same as `state_of(Prepared(labels, probabilities, groups), settings)`.

    Parameters
    ----------
    labels, probabilities, groups : see `evaluation.check_predictions`. settings : Settings.

    Introduced in notebook 04.
    """
    return state_of(Prepared(labels, probabilities, groups), settings)


def state_of(prepared: Prepared, settings: Settings) -> State:
    """Return the state of films that are prepared: a millisecond, whatever their number."""
    points = prepared.points
    table = points.at(settings.threshold)
    there = None
    if settings.prevalence is not None:
        there = _elsewhere(table, settings.prevalence)
    _, cheapest = prepared.costs(settings.cost_ratio, settings.prevalence)
    share = points.prevalence if settings.prevalence is None else settings.prevalence
    missed, alarms = 1 - table["recall"], 1 - table["specificity"]
    cost = 100 * (settings.cost_ratio * share * missed + (1 - share) * alarms)
    return State(settings, table, points.prevalence, there, cost, cheapest, _sentence(table, there, settings))


def rule_threshold(prepared: Prepared, rule: str, settings: Settings) -> float:
    """Return the threshold that a rule of `choose_threshold` picks on these films with these settings."""
    return choose_from_sweep(prepared.points.sweep, rule, settings.target_sensitivity, settings.cost_ratio, settings.prevalence)


def worst_films(table: pd.DataFrame, threshold: float, count=6) -> dict:
    """Return which films a reader should look at first, as row numbers, int [k].

    Parameters
    ----------
    table : DataFrame of `sorted_for_reading`.
    threshold : 0-1. count : films of each kind, at most.

    Returns
    -------
    {"missed": (rows, total), "false alarm": (rows, total), "right": (rows, total)}: missed pneumonias, the lowest probability
    first; false alarms, the highest first; films called right, the nearest to the threshold first.
    """
    probability = table["probability"].to_numpy()
    ill = np.flatnonzero(table["label"].to_numpy() == 1)
    well = np.flatnonzero(table["label"].to_numpy() == 0)
    first_ill, first_well = (int(np.searchsorted(probability[side], threshold, side="left")) for side in (ill, well))
    missed, alarms = ill[:first_ill], well[first_well:][::-1]
    near = np.concatenate([ill[first_ill:first_ill + count], well[max(0, first_well - count):first_well]])
    near = near[np.argsort(np.abs(probability[near] - threshold), kind="stable")]
    right = len(table) - len(missed) - len(alarms)
    return {"missed": (missed[:count], len(missed)), "false alarm": (alarms[:count], len(alarms)), "right": (near[:count], right)}


def sorted_for_reading(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions by ascending probability, as `worst_films` takes them."""
    return predictions.sort_values("probability", kind="stable").reset_index(drop=True)


def percent(value) -> str:
    """Return a share as text, "95.1 %"; "–" for what is not defined."""
    return "–" if value is None else f"{100 * value:.1f} %"


def _elsewhere(table, prevalence):
    values = predictive_values(table["confusion"], prevalence)
    ppv = values["ppv"][0] or 0.0
    recall, specificity = table["recall"], table["specificity"]
    return values | {
        "accuracy": prevalence * recall + (1 - prevalence) * specificity,
        "f1": 2 * ppv * recall / (ppv + recall) if ppv + recall else 0.0,
    }


def _sentence(table, there, settings):
    ill, well, missed, flagged = PEOPLE[settings.people]
    counts = table["confusion"]
    text = (f"At threshold {settings.threshold:.3f}: of 100 {ill}, {_of_100(counts['fn'], counts['fn'] + counts['tp'])} {missed}; "
            f"of 100 {well}, {_of_100(counts['fp'], counts['fp'] + counts['tn'])} {flagged}.")
    if there and there["ppv"][0] is not None:
        text += (f" Where {_number(100 * settings.prevalence)} in 100 are ill, of 100 that are {flagged} "
                 f"{_in_words(100 * there['ppv'][0])} really have pneumonia.")
    elif there:
        text += f" Nobody is {flagged}."
    return text


def _of_100(count, total):
    words = _in_words(100 * count / total) if count else "none"
    return f"{words} {'is' if words.endswith(' 1') else 'are'}"


def _in_words(value):
    return "fewer than 1" if 0 < value < 0.5 else f"about {value:.0f}"


def _number(value):
    return f"{value:.1f}".removesuffix(".0")


def _thin(x, y):
    """At most _POINTS of a curve's corners, ends kept, evenly along its length."""
    curve = np.column_stack([x, y])
    if len(curve) <= _POINTS:
        return curve
    length = np.r_[0, np.cumsum(np.abs(np.diff(curve, axis=0)).sum(axis=1))]
    keep = np.unique(np.searchsorted(length, np.linspace(0, length[-1], _POINTS)))
    return curve[np.unique(np.r_[0, keep.clip(0, len(curve) - 1), len(curve) - 1])]
