"""A table of predictions that somebody brings: checked as a whole, with the file's name in every complaint."""

from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import CxrkitError, nearest
from .inputs import check_predictions

NEEDED = ("path", "label", "probability")
SPLITS = {"val": "val", "valid": "val", "validation": "val", "test": "test", "train": "train", "training": "train"}


def read_predictions(path) -> pd.DataFrame:
    """Return the table of a predictions file.

    Parameters
    ----------
    path : CSV file with the columns path (text), label (0 or 1, 1 = pneumonia) and probability (0-1), one row a film; where
        known also patient, subtype and split (val or validation, and test; rows of train are left out).

    Returns
    -------
    DataFrame with these columns; label int64, probability float64; split is "val" or "test" and there only if the file has it.

    Raises
    ------
    CxrkitError, one or two lines: no such file, not a table, a missing column, 0 rows, labels other than 0 and 1, a
    probability that is missing or outside 0-1, one class only (in the file or in a split), an unknown split.

    Introduced in notebook 04.
    """
    path = Path(path)
    try:
        table = pd.read_csv(path, dtype={"path": str, "patient": str, "subtype": str, "split": str})
    except FileNotFoundError:
        raise CxrkitError(f"{path} does not exist.") from None
    except pd.errors.EmptyDataError:
        raise CxrkitError(f"{path} is empty; its first line must name the columns {', '.join(NEEDED)}.") from None
    except (ValueError, OSError) as problem:  # pandas' own parser errors are ValueErrors
        raise CxrkitError(f"{path} cannot be read as a CSV table ({str(problem).splitlines()[0]}).") from problem
    missing = [name for name in NEEDED if name not in table.columns]
    if missing:
        raise CxrkitError(f"{path} has no column '{missing[0]}'.{nearest(missing[0], table.columns)} It has: {', '.join(map(str, table.columns[:12]))}.\n"
                          f"Needed are {', '.join(NEEDED)}; where known patient, subtype, split.")
    if "split" in table:
        table = _splits(path, table)
    try:
        parts = table.groupby("split", sort=False) if "split" in table else [("", table)]
        if "split" not in table or not len(table):
            check_predictions(table["label"], table["probability"])
        for name, part in parts:
            _check(part, name)
    except CxrkitError as problem:
        raise CxrkitError(f"{path}: {problem}") from None
    table["label"] = table["label"].astype(np.int64)
    table["probability"] = table["probability"].astype(np.float64)
    for known in ("path", "patient", "subtype"):
        if known in table:
            table[known] = table[known].fillna("")
    return table


def _check(part, split):
    """Check one split; its row numbers in a complaint count within it."""
    try:
        check_predictions(part["label"], part["probability"])
    except CxrkitError as problem:
        raise CxrkitError(f"split '{split}': {problem}" if split else str(problem)) from None


def _splits(path, table):
    named = table["split"].str.strip().str.lower().map(SPLITS)
    unknown = named.isna()
    if unknown.any():
        raise CxrkitError(f"{path}: row {unknown.argmax()} names the split {table['split'].iloc[unknown.argmax()]!r}; it can be {', '.join(SPLITS)}.")
    table = table.assign(split=named)[named != "train"].reset_index(drop=True)
    if len(table) and "val" not in set(table["split"]):
        raise CxrkitError(f"{path} has no validation rows (split val), and a threshold is never chosen on test rows. Leave the column split out to look at all rows as one.")
    return table
