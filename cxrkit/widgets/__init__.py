"""The threshold lab: sliders over predictions. ipywidgets alone (7.7 and 8), so that JupyterLab, Notebook, VS Code and Colab show it.

`lab` is the logic, (labels, probabilities, groups, settings) -> state, without a widget; `svg`, `panels` and `panels_more` draw a
state as text; `controls`, `view`, `door` and `threshold_lab` put it on the page; `stills` draws it where no kernel answers.
"""

from ..lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    "Settings": "lab",
    "State": "lab",
    "ThresholdLab": "threshold_lab",  # only now are widgets needed
    "lab_state": "lab",
})
