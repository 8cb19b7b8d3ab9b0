"""From probabilities to an honest report: metrics, intervals, thresholds, calibration, tables. No TensorFlow needed.

Everything takes `labels` (0/1, 1 = pneumonia) and `probabilities` (0-1, of pneumonia), one a film, as any
one-dimensional sequence. A film is called pneumonia when `probability >= threshold`, everywhere.
"""

from .calibration import ece, reliability_curve
from .decisions import decision_curve, expected_cost, flat_region
from .intervals import Bootstrap, auc_difference, patient_bootstrap, wilson
from .inputs import check_predictions
from .metrics import at_threshold, evaluate, from_confusion
from .operating import OperatingPoints, predictive_values
from .recalibration import calibration_errors, calibration_table, fit_temperature, scale_temperature, shift_prior
from .tables import PAPER, comparison_table, confusion_table, hanley_mcneil, reading
from .thresholds import choose_threshold, threshold_sweep

__all__ = [
    "Bootstrap", "OperatingPoints", "PAPER", "at_threshold", "auc_difference", "calibration_errors", "calibration_table", "check_predictions",
    "choose_threshold", "comparison_table", "confusion_table", "decision_curve", "ece", "evaluate", "expected_cost",
    "fit_temperature", "flat_region", "from_confusion", "hanley_mcneil", "patient_bootstrap", "predictive_values", "reading",
    "reliability_curve", "scale_temperature", "shift_prior", "threshold_sweep", "wilson",
]
