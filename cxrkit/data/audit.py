"""What a data set gives away before any network looks at it: balance, patients, duplicates, sizes, and the files themselves."""

import dataclasses

import imagehash
import numpy as np
import pandas as pd
from PIL import Image

from ..evaluation import patient_bootstrap
from . import splits
from .dataset import CLASSES, SPLITS, Dataset
from .store import in_threads

HASH_SIDE = 16  # a perceptual hash of 16 × 16 = 256 bits; with the usual 64, thousands of different chests look alike
# Measured on ChestXray-2017 at 224 px: a film saved anew at quality 30, halved or brightened by a fifth moves by 16 bits at most
# (99 of 100 films), and no two films of the set that are not equal come closer than 38.
NEAR = 24
_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#777777"  # told apart with every colour vision


@dataclasses.dataclass(frozen=True)
class Audit:
    """The findings of `audit_dataset`.

    Attributes
    ----------
    table : DataFrame, one row a finding: `check, result, reading`.
    balance : DataFrame, films by split (rows) and class (columns normal, pneumonia).
    shared_patients : {"right key", "number alone", "prefix dropped"} -> patients on both sides of training (validation
        included) and test; empty where the names tell no patients.
    exact_duplicates : list of row-number arrays, one a group of films equal byte for byte.
    near_duplicates : DataFrame of pairs that look alike and are not equal: `first, second` (row numbers), `distance` (bits of
        256), `same_patient, across_test, across_labels`.
    nearest : int [n], bits to the most similar other film (256 where there is none).
    metadata_auc, metadata_interval : validation AUC of the metadata-only classifier, 0-1, and its 95 % interval [low, high]
        by patients.
    """

    name: str
    table: pd.DataFrame
    balance: pd.DataFrame
    shared_patients: dict
    exact_duplicates: list
    near_duplicates: pd.DataFrame
    nearest: np.ndarray
    metadata_auc: float
    metadata_interval: list
    files: pd.DataFrame = dataclasses.field(repr=False)

    def figure(self):
        """Return the audit as one matplotlib Figure of six panels; `reading` says the same in words."""
        import matplotlib.pyplot as plt

        figure, panels = plt.subplots(2, 3, figsize=(12, 6.6), layout="constrained")
        for draw, axes in zip((_balance, _patients, _nearest, _sizes, _bytes, _metadata), panels.flat):
            draw(self, axes)
            axes.spines[["top", "right"]].set_visible(False)
        figure.suptitle(f"What the data set gives away: {'phantom films' if self.name == 'phantom' else self.name}")
        return figure

    def reading(self) -> str:
        """Return the figure in words, one finding a sentence."""
        return " ".join(f"{check}: {result}." for check, result in zip(self.table["check"], self.table["result"]))


def audit_dataset(dataset: Dataset, progress: bool = True, seed: int = 0) -> Audit:
    """Look for what could make a result too good, without a network.

    Parameters
    ----------
    dataset : with its validation split. progress : show a line while films are hashed.
    seed : of the bootstrap.

    Returns
    -------
    Audit: `.table` (one row a finding), `.figure()` and the findings themselves.

    Exact duplicates share a SHA-256 of the file. Near duplicates share a perceptual hash (ImageHash's phash of 256 bits, of
    the decoded film) up to 24 bits: that finds films saved anew, resized, brightened or turned by a degree, and not films
    cropped by more than about 2 %. The metadata-only classifier sees width, height, bytes and colour mode of each file and no
    pixel; it is fitted on the training films and read on the validation films, whose patients are others. The test films
    are counted and compared, but no classifier is tried on them.

    Introduced in notebook 01.
    """
    table = dataset.table
    balance = table.groupby(["split", "label"]).size().unstack(fill_value=0)
    balance = balance.reindex(index=SPLITS, columns=[0, 1], fill_value=0)
    balance.columns = CLASSES
    shared = shared_patients(table) if (table["patient"] != table["path"]).any() else {}
    exact = [np.sort(rows) for rows in table.groupby("sha256").indices.values() if len(rows) > 1]
    near, nearest = near_duplicates(dataset, progress)
    auc, interval = metadata_auc(dataset, seed)
    rows = [
        _row_balance(balance), _row_patients(table, shared), _row_exact(table, exact), _row_near(near), _row_sizes(table),
        _row_metadata(dataset, auc, interval),
    ]
    findings = pd.DataFrame(rows, columns=["check", "result", "reading"])
    return Audit(dataset.name, findings, balance, shared, exact, near, nearest, auc, interval, table)


def shared_patients(table: pd.DataFrame) -> dict:
    """Return how many patients seem to lie in both training (with validation) and test: right key, two careless ones."""
    names = [path.rsplit("/", 1)[-1] for path in table["path"]]
    careless = {"number alone": [splits.naive_key(name) for name in names],
                "prefix dropped": [splits.naive_key(name, drop_prefix=True) for name in names]}
    test = (table["split"] == "test").to_numpy()
    counts = {}
    for key, found in {"right key": table["patient"], **careless}.items():
        found = np.array([key or patient for key, patient in zip(found, table["patient"])], dtype=object)
        counts[key] = len(set(found[test]) & set(found[~test]))
    return counts


def near_duplicates(dataset: Dataset, progress: bool = True, limit: int = NEAR) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the pairs of films whose perceptual hashes differ by at most `limit` of 256 bits, and each film's least distance.

    All pairs are compared: 5,840 films are 17 million pairs, a few seconds. Exact duplicates are no near duplicates.
    """
    def one(row):
        return np.packbits(imagehash.phash(Image.fromarray(np.asarray(dataset.images[row])), hash_size=HASH_SIDE).hash)

    hashes = np.stack(in_threads("Hashing films", range(len(dataset)), one, progress)).view(np.uint64)
    patient = pd.factorize(dataset.table["patient"])[0]
    content = pd.factorize(dataset.table["sha256"])[0]
    test = (dataset.table["split"] == "test").to_numpy()
    nearest = np.full(len(dataset), HASH_SIDE**2)
    pairs = []
    for start in range(0, len(dataset), 256):
        block = slice(start, min(start + 256, len(dataset)))
        distance = np.zeros((block.stop - start, len(dataset)), dtype=np.uint16)
        for word in range(hashes.shape[1]):
            distance += np.bitwise_count(hashes[block, None, word] ^ hashes[None, :, word])
        distance[content[block, None] == content[None, :]] = HASH_SIDE**2  # the film itself and its exact copies
        nearest[block] = distance.min(axis=1)
        first, second = np.nonzero(distance <= limit)
        pairs += [(a, b, int(distance[a - start, b])) for a, b in zip(first + start, second) if a < b]
    first, second, distance = (np.array(column, dtype=np.int64) for column in (zip(*pairs) if pairs else ([], [], [])))
    return pd.DataFrame({
        "first": first, "second": second, "distance": distance, "same_patient": patient[first] == patient[second],
        "across_test": test[first] != test[second], "across_labels": dataset.labels[first] != dataset.labels[second],
    }), nearest


def metadata_auc(dataset: Dataset, seed: int = 0) -> tuple[float, list]:
    """Return the validation AUC of a classifier that sees each file's width, height, bytes and mode, with its 95 % interval.

    0.5 means that the files tell nothing. Boosted trees are used because bytes and sizes need no scaling for them.
    """
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.metrics import roc_auc_score

    table = dataset.table
    pixels = table["width"] * table["height"]
    facts = pd.DataFrame({
        "width": table["width"], "height": table["height"], "aspect": table["width"] / table["height"], "bytes": table["bytes"],
        "bytes a pixel": table["bytes"] / pixels, "mode": pd.factorize(table["mode"], sort=True)[0] if "mode" in table else 0,
    }).to_numpy(dtype=np.float64)
    train, val = dataset.index("train"), dataset.index("val")
    model = GradientBoostingClassifier(n_estimators=60, max_depth=3, random_state=0)
    probabilities = model.fit(facts[train], dataset.labels[train]).predict_proba(facts[val])[:, 1]
    auc = float(roc_auc_score(dataset.labels[val], probabilities))
    drawn = patient_bootstrap(dataset.labels[val], probabilities, table["patient"].to_numpy()[val], replicates=500, seed=seed)
    return auc, drawn.interval("auc")


def _row_balance(balance):
    share = (100 * balance["pneumonia"] / balance.sum(axis=1)).to_dict()
    text = "; ".join(f"{split} {balance.loc[split].sum():,} films, {share[split]:.1f} % pneumonia" for split in balance.index)
    shift = abs(share["train"] - share["test"])
    return "Class balance", text, (f"Training and test differ by {shift:.1f} points: accuracy and precision move with the share, "
                                   "sensitivity, specificity and AUC do not.")


def _row_patients(table, shared):
    if not shared:
        return "Patients", "the data set tells none", "Nobody can say whether one person lies on both sides of a split."
    count = table["patient"].nunique()
    text = (f"{count:,} on {len(table):,} films; on both sides of training and test: {shared['right key']:,} "
            f"({shared['number alone']:,} if only the number is read, {shared['prefix dropped']:,} if NORMAL2- is dropped too)")
    leak = "No leak by patient." if not shared["right key"] else "Leak: the test score is too good."
    return "Patients", text, f"{leak} A careless reading of the names sees one where there is none."


def _row_exact(table, groups):
    columns = {name: table[name].to_numpy() for name in ("patient", "label")} | {"test": (table["split"] == "test").to_numpy()}
    across = {name: sum(len(set(values[rows])) > 1 for rows in groups) for name, values in columns.items()}
    text = (f"{len(groups):,} groups of equal files; {across['test']:,} across training and test, {across['patient']:,} across "
            f"patients, {across['label']:,} across classes")
    clean = "None reaches the test films; the validation split keeps equal files together."
    return "Exact duplicates", text, "Remove the copies from training." if across["test"] else clean


def _row_near(near):
    text = f"{len(near):,} pairs that look alike and are not equal; {int(near['across_test'].sum()):,} across training and test"
    reading = f"Alike: at most {NEAR} of {HASH_SIDE**2} hash bits differ. Look at each pair before you believe it."
    return "Near duplicates", text, reading


def _row_sizes(table):
    sizes = table[["width", "height"]].drop_duplicates()
    if len(sizes) == 1:
        return ("Image sizes", f"all {table['width'].iloc[0]} × {table['height'].iloc[0]} px",
                "One size for all: original sizes, if they differed, are gone.")
    medians = {name: table.loc[table["label"] == label, ["width", "height"]].median() for label, name in enumerate(CLASSES)}
    middle = ", ".join(f"{name} {m['width']:.0f} × {m['height']:.0f}" for name, m in medians.items())
    text = (f"{len(sizes):,} sizes, {table['width'].min()} to {table['width'].max()} px wide, {table['height'].min()} to "
            f"{table['height'].max()} px high; median {middle}")
    return "Image sizes", text, "A size that differs by class can be learnt in place of the disease."


def _row_metadata(dataset, auc, interval):
    low, high = interval
    text = f"validation AUC {auc:.2f} (95 % {low:.2f} to {high:.2f}) from width, height, bytes and mode alone"
    if dataset.name == "phantom":
        return "Metadata only", text, "Of phantom films, compressed as JPEG: it shows the method, not a hospital."
    if dataset.table[["width", "height", "bytes"]].drop_duplicates().shape[0] == 1:
        return "Metadata only", text, "The original files are gone, so there is nothing to read."
    if low <= 0.5:
        return "Metadata only", text, "The files tell nothing of the class."
    if dataset.table[["width", "height"]].drop_duplicates().shape[0] == 1:
        return "Metadata only", text, ("Files of one size, so saved anew: their bytes measure how busy the picture is, which "
                                       "says nothing of the original files.")
    return "Metadata only", text, "The files give away the class: a network may read that instead of the lungs."


def _balance(audit, axes):
    share = audit.balance.div(audit.balance.sum(axis=1), axis=0) * 100
    axes.bar(share.index, share["normal"], color=_BLUE, label="normal")
    axes.bar(share.index, share["pneumonia"], bottom=share["normal"], color=_ORANGE, hatch="//", edgecolor="white",
             label="pneumonia")
    for x, (split, row) in enumerate(audit.balance.iterrows()):
        axes.text(x, 102, f"n = {row.sum():,}", ha="center", fontsize=8)
    axes.set(title="Class balance", ylabel="share of films (%)", xlabel="split", ylim=(0, 125))
    axes.legend(ncols=2, fontsize=8, frameon=False, loc="upper center")


def _patients(audit, axes):
    if not audit.shared_patients:
        axes.set(title="Patients in training and test", xticks=[], yticks=[])
        axes.text(0.5, 0.5, "no patients known", ha="center", transform=axes.transAxes)
        return
    bars = axes.barh(list(audit.shared_patients), list(audit.shared_patients.values()), color=[_BLUE, _GREY, _GREY])
    axes.bar_label(bars, padding=3)
    axes.invert_yaxis()
    axes.set(title="Patients in training and test", xlabel="patients on both sides",
             xlim=(0, 1.2 * max([1, *audit.shared_patients.values()])))


def _nearest(audit, axes):
    axes.hist(audit.nearest, bins=np.arange(0, HASH_SIDE**2 // 2 + 1, 4), color=_GREY)
    axes.axvline(NEAR, color=_ORANGE, linestyle="--", label=f"called alike: ≤ {NEAR}")
    axes.set(title="Most similar other film", xlim=(0, 128), xlabel=f"hash bits that differ (of {HASH_SIDE**2})", ylabel="films")
    axes.legend(fontsize=8, frameon=False, loc="upper right")


def _sizes(audit, axes):
    for label, colour, marker in ((1, _ORANGE, "x"), (0, _BLUE, ".")):
        rows = audit.files[audit.files["label"] == label]
        axes.plot(rows["width"], rows["height"], marker, color=colour, alpha=0.4, markersize=5, label=CLASSES[label])
    axes.set(title="Image sizes", xlabel="width (pixels)", ylabel="height (pixels)")
    axes.legend(fontsize=8, frameon=False)


def _bytes(audit, axes):
    kilobytes = audit.files["bytes"] / 1000
    spread = kilobytes.min() if kilobytes.nunique() > 1 else kilobytes.min() - 0.5
    bins = np.linspace(spread, max(np.percentile(kilobytes, 99.5), spread + 1), 40)
    for label, colour, style in ((0, _BLUE, "-"), (1, _ORANGE, "--")):
        axes.hist(kilobytes[audit.files["label"] == label], bins=bins, density=True, histtype="step", color=colour,
                  linestyle=style, linewidth=1.8, label=CLASSES[label])
    axes.set(title="File sizes", xlabel="kilobytes", ylabel="density of films")
    axes.legend(fontsize=8, frameon=False)


def _metadata(audit, axes):
    low, high = audit.metadata_interval
    auc = audit.metadata_auc
    axes.errorbar([auc], [0], xerr=[[max(auc - low, 0)], [max(high - auc, 0)]], fmt="o", color=_BLUE, capsize=5)
    axes.axvline(0.5, color=_GREY, linestyle="--", label="0.5: the files tell nothing")
    axes.text(min(auc, 0.9), 0.1, f"{auc:.2f} ({low:.2f}–{high:.2f})", ha="center")
    axes.set(title="Metadata-only classifier", xlabel="validation AUC (95 % interval)", xlim=(0.3, 1.02), ylim=(-0.5, 0.5),
             yticks=[])
    axes.legend(fontsize=8, frameon=False, loc="upper left")
