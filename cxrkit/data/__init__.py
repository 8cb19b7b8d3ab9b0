"""Films from three sources behind one shape, their patient-grouped split, and an audit of what they give away.

Each name is imported when it is first used, so that `import cxrkit.data` stays light.
"""

import importlib

_HOME = {
    "Dataset": "dataset",
    "load_dataset": "load",
    "check_path": "load",
    "patient_key": "splits",
    "naive_key": "splits",
    "grouped_split": "splits",
    "audit_dataset": "audit",
    "Audit": "audit",
    "fetch": "download",
}
__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module 'cxrkit.data' has no attribute '{name}'")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__():
    return sorted([*globals(), *_HOME])
