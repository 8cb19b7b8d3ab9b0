"""cxrkit: honest transfer learning for chest radiographs, as a course.

The public verbs are listed in `__all__`; each is imported when it is first used, so that
`import cxrkit` takes milliseconds and Keras is loaded only when a model is first built.
"""

from .lazy import lazy_names

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_names(__name__, {
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
})
