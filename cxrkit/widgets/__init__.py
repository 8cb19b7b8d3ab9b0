"""The threshold lab: sliders over predictions. ipywidgets alone (7.7 and 8), so that JupyterLab, Notebook, VS Code and Colab show it.

`lab` is the logic, (labels, probabilities, groups, settings) -> state, without a widget; `svg`, `panels` and `panels_more` draw a
state as text; `controls`, `view`, `door` and `threshold_lab` put it on the page; `stills` draws it where no kernel answers.
"""

from .lab import Settings, State, lab_state

__all__ = ["Settings", "State", "ThresholdLab", "lab_state"]


def __getattr__(name):
    if name != "ThresholdLab":
        raise AttributeError(f"module 'cxrkit.widgets' has no attribute '{name}'")
    from .threshold_lab import ThresholdLab  # only now are widgets needed

    return ThresholdLab
