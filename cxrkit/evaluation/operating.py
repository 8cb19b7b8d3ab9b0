"""One split's films, sorted once, so that any threshold is read off in well under a millisecond."""

import functools

import numpy as np
from scipy.stats import norm

from ..errors import CxrkitError
from .inputs import check_predictions, check_prevalence
from .intervals import patient_weights, wilson
from .metrics import check_threshold, from_confusion, proportions
from .thresholds import threshold_sweep

_DRAWS = 5_000_000  # patients x replicates that are kept (20 MB); beyond it F1 gets its linearised interval


class OperatingPoints:
    """What any threshold does to one split's films; made once, asked often.

    Parameters
    ----------
    labels, probabilities, groups : see `check_predictions`.
    replicates, seed : of the patient-clustered bootstrap of F1, as in `evaluate`.

    Attributes
    ----------
    labels int64 [n], probabilities float64 [n] : in the order given.
    ill, well : float64, the probabilities of films with and without pneumonia, ascending.
    prevalence : share of pneumonia among the films, 0-1.

    Introduced in notebook 04.
    """

    def __init__(self, labels, probabilities, groups=None, replicates=1000, seed=0):
        self.labels, self.probabilities, self._groups = check_predictions(labels, probabilities, groups)
        self.ill = np.sort(self.probabilities[self.labels == 1])
        self.well = np.sort(self.probabilities[self.labels == 0])
        self.prevalence = len(self.ill) / len(self.labels)
        self._replicates, self._seed = replicates, seed

    def __len__(self):
        return len(self.labels)

    def confusion(self, threshold) -> dict:
        """Return {"tn", "fp", "fn", "tp"} when films with `probability >= threshold` are called pneumonia."""
        missed, spared = (int(np.searchsorted(side, threshold, side="left")) for side in (self.ill, self.well))
        return {"tn": spared, "fp": len(self.well) - spared, "fn": missed, "tp": len(self.ill) - missed}

    def at(self, threshold) -> dict:
        """Return the table of `at_threshold` with "intervals": {name: [low, high]} of its proportions and of f1.

        Wilson for the proportions; for F1 what `evaluate` gives (patients drawn with replacement), or, above 5,000
        patients at 1,000 replicates, the linearised (delta) interval with patients as clusters, which agrees there.
        """
        table = from_confusion(**self.confusion(check_threshold(threshold)), threshold=float(threshold))
        intervals = {name: wilson(*counts) for name, counts in proportions(table["confusion"]).items()}
        return table | {"intervals": intervals | {"f1": self._f1_interval(threshold)}}

    @functools.cached_property
    def sweep(self):
        """The DataFrame of `threshold_sweep`: every candidate threshold and its counts."""
        return threshold_sweep(self.labels, self.probabilities)

    def _f1_interval(self, threshold, level=0.95):
        flagged = (self.probabilities >= threshold).astype(np.float64)
        patients = int(self._groups.max()) + 1
        hits = np.bincount(self._groups, flagged * self.labels, patients)
        both = np.bincount(self._groups, flagged + self.labels, patients)  # F1 = 2 hits / both, of sums
        if patients < 2:
            return [0.0, 1.0]
        if patients * self._replicates <= _DRAWS:
            drawn = 2 * (self._draws @ hits) / (self._draws @ both)
            return [float(v) for v in np.percentile(drawn, [50 * (1 - level), 50 * (1 + level)])]
        total = both.sum()
        f1 = 2 * hits.sum() / total
        spread = np.sqrt(((2 * hits - f1 * both) ** 2).sum() * patients / (patients - 1)) / total
        half = norm.ppf(0.5 + level / 2) * spread
        return [float(max(f1 - half, 0.0)), float(min(f1 + half, 1.0))]

    @functools.cached_property
    def _draws(self):
        parts = [weights for weights, _ in patient_weights(self.labels, self._groups, self._replicates, self._seed)]
        return np.concatenate(parts).astype(np.float32)


def predictive_values(confusion, prevalence, level=0.95) -> dict:
    """Return PPV and NPV where a share `prevalence` is ill, from the sensitivity and specificity of four counts.

    Sensitivity and specificity belong to the ill and to the healthy alone and stay as they are; of the flagged, the
    share that is ill follows the mix. Intervals on the logit scale (Mercaldo, Lau and Zhou, Statistics in Medicine
    26 (2007) 2170-2183), with half a film added to each count, which keeps them defined at 0 and 100 %.

    Parameters
    ----------
    confusion : {"tn", "fp", "fn", "tp"}, both classes present.
    prevalence : share of the ill where the model is used, above 0 and below 1.

    Returns
    -------
    {"ppv": (value, low, high), "npv": (value, low, high)}; a value is None where nobody is called so.

    Introduced in notebook 04.
    """
    check_prevalence(prevalence)
    ill, well = confusion["tp"] + confusion["fn"], confusion["tn"] + confusion["fp"]
    if not ill or not well:
        raise CxrkitError("Predictive values need films of both classes.")
    z = norm.ppf(0.5 + level / 2)
    ends = {}
    for name, right, wrong, n_right, n_wrong, share in (
        ("ppv", confusion["tp"], confusion["fp"], ill, well, prevalence),
        ("npv", confusion["tn"], confusion["fn"], well, ill, 1 - prevalence),
    ):
        caught, let_in = share * right / n_right, (1 - share) * wrong / n_wrong
        value = caught / (caught + let_in) if caught + let_in else None
        # In 20,000 simulated splits this covered 93-95 %; the z²/2 of Mercaldo's adjusted form 82-95 %.
        p, q = (right + 0.5) / (n_right + 1), (wrong + 0.5) / (n_wrong + 1)
        logit = np.log(share * p / ((1 - share) * q))
        half = z * np.sqrt((1 - p) / p / (n_right + 1) + (1 - q) / q / (n_wrong + 1))
        low, high = (float(1 / (1 + np.exp(-end))) for end in (logit - half, logit + half))
        ends[name] = (value, low if value is None else min(low, value), high if value is None else max(high, value))
    return ends
