"""From probabilities to an honest report: metrics, intervals, thresholds, calibration, tables. No TensorFlow needed.

Everything takes `labels` (0/1, 1 = pneumonia) and `probabilities` (0-1, of pneumonia), one a film, as any
one-dimensional sequence. A film is called pneumonia when `probability >= threshold`, everywhere.
"""

from .calibration import ece, reliability_curve
from .intervals import Bootstrap, patient_bootstrap, wilson
from .inputs import check_predictions
from .metrics import at_threshold, evaluate, from_confusion
from .tables import PAPER, comparison_table, confusion_table, hanley_mcneil, reading
from .thresholds import choose_threshold, threshold_sweep

__all__ = [
    "Bootstrap", "PAPER", "at_threshold", "check_predictions", "choose_threshold", "comparison_table", "confusion_table", "ece",
    "evaluate", "from_confusion", "hanley_mcneil", "patient_bootstrap", "reading", "reliability_curve", "threshold_sweep",
    "wilson",
]
