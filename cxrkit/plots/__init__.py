"""The course's figures, each with a sentence that says the same in words.

Every drawing function makes a new pyplot figure and returns it; `name` has a companion `read_name`, which takes the
same numbers and returns one line of text to print below, for whoever cannot see the figure and as a check for whoever
can. In a notebook write

    figure = plots.roc_curves(...)
    plt.show()
    print(plots.read_roc_curves(...))

plt.show() displays the figure and, in a notebook, closes it; a script that saves many closes each with plt.close(figure).
`phantom=True` puts the word into the title: nothing measured on the phantom passes for clinical.
Colours are seaborn's colour-blind-safe ones, and line style, marker or hatching tells the same apart without colour.
"""

from .curves import (
    calibration_curve, learning_curves, read_calibration_curve, read_learning_curves, read_roc_curves, roc_curves,
)
from .decisions import cost_panel, prevalence_curves, read_cost_panel, read_prevalence_curves
from .films import film_grid, prediction_gallery, read_film_grid, read_prediction_gallery, worst_first
from .thresholds import confusion_matrix, read_confusion_matrix, read_threshold_panel, threshold_panel

__all__ = [
    "calibration_curve", "confusion_matrix", "cost_panel", "film_grid", "learning_curves", "prediction_gallery", "prevalence_curves",
    "read_calibration_curve", "read_confusion_matrix", "read_cost_panel", "read_film_grid", "read_learning_curves",
    "read_prediction_gallery", "read_prevalence_curves", "read_roc_curves", "read_threshold_panel", "roc_curves", "threshold_panel",
    "worst_first",
]
