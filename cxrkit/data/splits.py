"""Who is on which film, and a validation split that keeps every patient on one side.

In ChestXray-2017 the file name is the only record of the patient. Read rightly, training and test films share
no patient; read carelessly, 170 or 264 patients seem to be on both sides. Notebook 01 shows all three counts.
"""

import hashlib
import re
import warnings

import numpy as np
import pandas as pd

from ..errors import CxrkitError
from .dataset import CLASSES

# person12_bacteria_31.jpeg, and the irregular person447_virus_921_1.jpeg
_PNEUMONIA = re.compile(r"(person\d+)_(bacteria|virus)_", re.IGNORECASE)
# IM-0115-0001.jpeg, NORMAL2-IM-0095-0001.jpeg, and the 143 normals with a fourth number, IM-0011-0001-0002.jpeg
_NORMAL = re.compile(r"(NORMAL2-)?(IM-\d+)-", re.IGNORECASE)


def patient_key(filename: str) -> tuple[str, str]:
    """Return (patient, subtype) as the file name tells them.

    `person12_bacteria_31.jpeg` gives ("person12_bacteria", "bacteria"): numbering starts anew for each subtype, so the
    number alone is not a patient. `NORMAL2-IM-0095-0001.jpeg` gives ("NORMAL2-IM-0095", ""): the two series of
    normals are numbered apart as well. A name of another form gives ("", ""): nobody known.

    Introduced in notebook 01.
    """
    if found := _PNEUMONIA.match(filename):
        subtype = found[2].lower()
        return f"{found[1].lower()}_{subtype}", subtype
    if found := _NORMAL.match(filename):
        return f"{found[1] or ''}{found[2]}".upper(), ""
    return "", ""


def naive_key(filename: str, drop_prefix: bool = False) -> str:
    """Return the patient as a careless reading has it: `person12` whatever the subtype, "" for a name of another form.

    `drop_prefix` also forgets `NORMAL2-`. With it 264 "patients" lie in both training and test, without it 170;
    with `patient_key` none. Introduced in notebook 01.
    """
    if found := _PNEUMONIA.match(filename):
        return found[1].lower()
    if found := _NORMAL.match(filename):
        return (found[2] if drop_prefix else f"{found[1] or ''}{found[2]}").upper()
    return ""


def add_patients(table: pd.DataFrame) -> pd.DataFrame:
    """Return `table` with `patient` and `subtype` read from `path`; a film of nobody known is its own patient (one warning)."""
    names = [path.rsplit("/", 1)[-1] for path in table["path"]]
    keys = [patient_key(name) for name in names]
    unknown = [path for path, (patient, _) in zip(table["path"], keys) if not patient]
    if unknown:
        warnings.warn(
            f"{len(unknown):,} of {len(table):,} file names do not tell the patient (for example {unknown[0]}): each counts as a "
            "patient of its own, so films of one person may lie on both sides of a split.", stacklevel=2)
    patients = [patient or path for path, (patient, _) in zip(table["path"], keys)]
    return table.assign(patient=patients, subtype=[subtype for _, subtype in keys])


def split_groups(table: pd.DataFrame) -> np.ndarray:
    """Return a group name for every row, such that rows which must stay together share it.

    Together stay: films of one `personN` (both subtypes, which is the safe choice inside training), films of one
    normal patient, and patients who share a film byte for byte (the set has such a pair).
    """
    names = [path.rsplit("/", 1)[-1] for path in table["path"]]
    first = [naive_key(name) or patient for name, patient in zip(names, table["patient"])]
    parent = {group: group for group in first}

    def root(group):
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    seen = {}
    for group, sha256 in zip(first, table["sha256"]):
        a, b = root(group), root(seen.setdefault(sha256, group))
        parent[max(a, b)] = min(a, b)  # the least name stands for the group, whatever the order of rows
    return np.array([root(group) for group in first], dtype=object)


def grouped_split(table: pd.DataFrame, val_fraction: float, seed: int) -> pd.DataFrame:
    """Return `table` with part of the training rows moved to validation, whole patients at a time.

    Parameters
    ----------
    table : DataFrame with `path, split, label, patient, sha256`; `split` holds "train" and "test".
    val_fraction : share of the training rows of each class that goes to validation, 0 to 1.
    seed : another seed gives another split.

    Returns
    -------
    A copy with `split` train, val or test. Only hashes of names are sorted, so the result is the same bytes on every
    platform and with every library version (scikit-learn's shuffled group folds changed between 1.6 and 1.9).

    Raises
    ------
    CxrkitError where a class has too few patients to leave one on each side.

    Introduced in notebook 01.
    """
    train = np.flatnonzero((table["split"] == "train").to_numpy())
    groups = split_groups(table.iloc[train])
    labels = table["label"].to_numpy()[train]
    order = sorted(set(groups), key=lambda group: hashlib.sha256(f"{seed}:{group}".encode()).hexdigest())
    sizes = {label: dict(zip(*np.unique(groups[labels == label], return_counts=True))) for label in (0, 1)}
    taken, decided = set(), set()
    for label, members in sizes.items():
        target = max(1, round(sum(members.values()) * val_fraction))
        count = sum(members.get(group, 0) for group in taken)
        open_groups = [group for group in order if group in members and group not in decided]
        for group in open_groups:
            if count + members[group] <= target:  # the nearest number that is not over the target
                taken.add(group)
                count += int(members[group])
        if count == 0 and len(open_groups) > 1:  # every patient has more films than the target: take the smallest
            taken.add(min(open_groups, key=lambda group: members[group]))
        elif count == 0 or not set(members) - taken:
            raise CxrkitError(
                f"Only {len(members)} patient(s) of class {CLASSES[label]} in the training films: too few for a validation split "
                "by patient. Add films of other patients.")
        decided |= set(members)
    split = table["split"].to_numpy(dtype=object).copy()
    split[train[np.isin(groups, list(taken))]] = "val"
    return table.assign(split=split)
