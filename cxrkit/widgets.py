"""A slider beside the numbers it moves. ipywidgets only (7.7 and 8), so that JupyterLab, Notebook, VS Code and Colab show it."""

import numpy as np

from .evaluation import at_threshold, check_predictions, choose_threshold


def threshold_slider(labels, probabilities, start: float | None = None, split: str = "validation"):
    """Return a slider for the threshold with a line below that counts what it does.

    Parameters
    ----------
    labels, probabilities : one split's, 0/1 and 0-1. start : where the slider begins; None: the rule of the course.
    split : the split's name, for the text.

    Returns
    -------
    ipywidgets.VBox; without a running kernel it shows its last state or nothing, so draw `plots.threshold_panel` beside it.
    Introduced in notebook 04.
    """
    import ipywidgets

    labels, probabilities, _ = check_predictions(labels, probabilities)
    start = choose_threshold(labels, probabilities) if start is None else start
    slider = ipywidgets.FloatSlider(value=start, min=0, max=1, step=0.005, description="threshold", readout_format=".3f", continuous_update=True)
    slider.layout.width = "32em"
    state = ipywidgets.HTML(value=describe(labels, probabilities, start, split))

    def moved(change):
        state.value = describe(labels, probabilities, change["new"], split)

    slider.observe(moved, names="value")
    box = ipywidgets.VBox([slider, state])
    box.add_class("cxrkit-threshold")
    return box


def describe(labels: np.ndarray, probabilities: np.ndarray, threshold: float, split: str = "validation") -> str:
    """Return in words what a threshold does to a split's films."""
    table = at_threshold(labels, probabilities, threshold)
    counts = table["confusion"]
    return (
        f"At {threshold:.3f}: of {counts['fn'] + counts['tp']} {split} films with pneumonia {counts['fn']} are missed "
        f"(sensitivity {100 * table['recall']:.1f} %); of {counts['fp'] + counts['tn']} normal ones {counts['fp']} are flagged "
        f"(specificity {100 * table['specificity']:.1f} %)."
    )
