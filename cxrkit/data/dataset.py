"""The one shape that all image sources share."""

import dataclasses
import hashlib

import numpy as np
import pandas as pd

TABLE_COLUMNS = ("path", "split", "label", "subtype", "patient", "width", "height", "bytes", "sha256")
SPLITS = ("train", "val", "test")
CLASSES = ("normal", "pneumonia")  # label 0, label 1


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Films, labels and one table row a film (notebook 01 introduces it).

    Attributes
    ----------
    name : "phantom", "chestxray2017" or "pneumoniamnist".
    images : uint8 [n, h, w], greyscale 0-255, memory-mapped read-only where the source is large.
    labels : int64 [n], 1 = pneumonia.
    table : DataFrame of n rows, columns `path, split, label, subtype, patient, width, height, bytes, sha256`
        (`mode` as well where files were read). `split` is train, val or test; `subtype` is "", "bacteria" or "virus";
        `width`, `height` in pixels and `bytes` are the original file's.
    skipped : list of (path, reason) of the files left out by skip_bad.
    masks : bool [n, h, w] of the ground-truth opacity (phantom only), else None.
    drawn_as : what names films that are drawn on the spot; "" for films that were read.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    table: pd.DataFrame
    skipped: list = dataclasses.field(default_factory=list)
    masks: np.ndarray | None = None
    drawn_as: str = ""

    def __len__(self):
        return len(self.labels)

    def index(self, split: str) -> np.ndarray:
        """Return the row numbers of a split, int64 [m], in table order."""
        return np.flatnonzero((self.table["split"] == split).to_numpy())

    @property
    def has_patients(self) -> bool:
        """Whether any two films share a patient, so that grouping means something."""
        return self.table["patient"].nunique() < len(self.table)

    @property
    def fingerprint(self) -> str:
        """A hash of every film's content, split and label, 16 hex digits: what a run was measured on.

        Films that are drawn on the spot count by what was drawn: their pixels may differ by a grey level from one processor to another.
        """
        rows = self.table[["path" if self.drawn_as else "sha256", "split", "label"]].astype(str).agg(" ".join, axis=1)
        return hashlib.sha256(("\n".join(rows) + self.drawn_as + str(self.images.shape)).encode()).hexdigest()[:16]
