"""cxrkit: honest transfer learning for chest radiographs, as a course.

The public verbs are listed in `__all__`; each is imported when it is first used, so that
`import cxrkit` takes milliseconds and Keras is loaded only when a model is first built.
"""

import importlib

__version__ = "0.1.0"

_HOME = {
    "configure": "config",
    "Config": "config",
    "CxrkitError": "errors",
    "load_dataset": "data",
    "Dataset": "data",
    "grouped_split": "data",
    "audit_dataset": "data",
    "pixel_baseline": "baseline",
    "build_model": "model",
    "compute_features": "training",
    "train_head": "training",
    "fine_tune": "training",
    "open_run": "runs",
    "evaluate": "evaluation",
    "choose_threshold": "evaluation",
    "ThresholdLab": "widgets",
    "model_card": "card",
}
__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module 'cxrkit' has no attribute '{name}'")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__():
    return sorted([*globals(), *_HOME])
