"""The paper's figures, and ours beside them in the same layout."""

import numpy as np
import pandas as pd
from scipy.stats import norm

from ..errors import CxrkitError
from .intervals import wilson
from .metrics import from_confusion, proportions


def hanley_mcneil(auc, positives, negatives, level=0.95):
    """Return an approximate interval of an AUC from the AUC and the class counts alone, as [low, high].

    Hanley and McNeil, Radiology 143 (1982) 29-36. For published figures without predictions; where the predictions
    are at hand, `patient_bootstrap` is the better interval.

    Introduced in notebook 04.
    """
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    half = norm.ppf(0.5 + level / 2) * np.sqrt(variance / (positives * negatives))
    return [float(max(auc - half, 0.0)), float(min(auc + half, 1.0))]


def _paper():
    table = from_confusion(tn=184, fp=50, fn=39, tp=351)
    rates = {name: wilson(*counts) for name, counts in proportions(table["confusion"]).items()}
    within = {f"{at}.{name}": interval for at in ("at_half", "at_locked") for name, interval in rates.items()}
    return {
        "n": 624, "auc": 0.905, "pr_auc": None, "brier": None, "at_half": table, "at_locked": dict(table), "intervals": within,
        "auc_approximate": hanley_mcneil(0.905, 390, 234),
        "note": "Counts and AUC as published; one operating point, its threshold not stated. Wilson intervals computed here from "
                "the counts. The paper reports no interval for its AUC: auc_approximate is this course's Hanley-McNeil estimate.",
    }


PAPER = _paper()  # Lee, Pratheepan and Teixeira 2024, tables 1 and 2: official test split, 234 normal and 390 pneumonia

COLUMNS = {"accuracy": "Accuracy", "precision": "Precision", "recall": "Recall", "specificity": "Specificity", "f1": "F1-Score"}


def comparison_table(blocks, at="both") -> pd.DataFrame:
    """Return systems side by side in the layout of the paper's table 1.

    Parameters
    ----------
    blocks : {name: block of `evaluate`, or PAPER}, in the order of the rows.
    at : "both" (a row at 0.5 and a row at the locked threshold), "at_half" or "at_locked". The paper has one row.

    Returns
    -------
    DataFrame of text indexed by (System, Threshold): percentages with 95 % intervals, "95.1 (93.2–96.4)"; ROC-AUC as
    a fraction; "≈" marks an interval that this course approximated; "–" what cannot be known.

    Introduced in notebook 04.
    """
    if at not in ("both", "at_half", "at_locked"):
        raise CxrkitError(f"A table can be made at both, at_half or at_locked, not at '{at}'.")
    rows = {}
    for name, block in blocks.items():
        same = block["at_half"]["threshold"] == block["at_locked"]["threshold"]
        for key in ("at_half",) if at == "both" and same else ("at_half", "at_locked") if at == "both" else (at,):
            text = _threshold_text(block[key]["threshold"], key)
            rows[name, f"{text} (also locked)" if at == "both" and same and block[key]["threshold"] is not None else text] = _row(block, key)
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.MultiIndex.from_tuples(list(rows), names=["System", "Threshold"])
    return table


def _threshold_text(threshold, key):
    if threshold is None:
        return "not stated"
    return f"{threshold:.3f} (locked)" if key == "at_locked" else f"{threshold:g}"


def _row(block, key):
    table, intervals = block[key], block["intervals"]
    called = table["confusion"]["tp"] + table["confusion"]["fp"]
    row = {}
    for name, column in COLUMNS.items():
        text = f"{100 * table[name]:.1f}"
        if f"{key}.{name}" in intervals:
            low, high = intervals[f"{key}.{name}"]
            text += f" ({100 * low:.1f}–{100 * high:.1f})"
        row[column] = "–" if name == "precision" and not called else text
    row["ROC-AUC"] = f"{block['auc']:.3f}"
    if "auc" in intervals or "auc_approximate" in block:
        low, high = intervals.get("auc") or block["auc_approximate"]
        row["ROC-AUC"] += f" ({'' if 'auc' in intervals else '≈ '}{low:.3f}–{high:.3f})"
    return row


def confusion_table(table) -> pd.DataFrame:
    """Return the four counts of an `at_threshold` table in the layout of the paper's table 2.

    Introduced in notebook 04.
    """
    counts = table["confusion"]
    return pd.DataFrame(
        [[f"{counts['tn']} (TN)", f"{counts['fp']} (FP)"], [f"{counts['fn']} (FN)", f"{counts['tp']} (TP)"]],
        index=["Actual Normal", "Actual Pneumonia"],
        columns=["Predicted Normal", "Predicted Pneumonia"],
    )


def reading(block, at="at_locked", phantom=False) -> str:
    """Say in one sentence what a block's operating point means for people (or, on the phantom, for its films).

    Introduced in notebook 04.
    """
    counts = block[at]["confusion"]
    missed = _in_hundred(counts["fn"], counts["fn"] + counts["tp"])
    alarms = _in_hundred(counts["fp"], counts["fp"] + counts["tn"])
    if phantom:
        return (f"Of 100 phantom films with pneumonia, {missed} would be missed; "
                f"of 100 normal phantom films, {alarms} would be flagged.")
    return f"Of 100 children with pneumonia, {missed} would be sent home; of 100 healthy ones, {alarms} would be called in."


def _in_hundred(count, total):
    if count == 0:
        return "none"
    share = 100 * count / total
    return f"about {share:.0f}" if share >= 0.5 else "fewer than 1"
