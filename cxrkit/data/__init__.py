"""Films from three sources behind one shape, their patient-grouped split, and an audit of what they give away.

Each name is imported when it is first used, so that `import cxrkit.data` stays light.
"""

from ..lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    "Dataset": "dataset",
    "load_dataset": "load",
    "check_path": "load",
    "patient_key": "splits",
    "naive_key": "splits",
    "grouped_split": "splits",
    "audit_dataset": "audit",
    "Audit": "audit",
    "fetch": "download",
})
