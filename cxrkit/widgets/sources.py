"""Where the lab's films come from: a run folder, or a table that somebody brings. The test split is behind a closed door in both."""

import base64
import functools
import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import CxrkitError
from ..evaluation.table_file import read_predictions
from ..locks import read_lock, write_lock
from ..runs import Run, reopen_run

THUMB = 104  # pixels of a film in the reader's view


class Source:
    """What the lab asks of its films.

    Attributes
    ----------
    name : what is looked at, for headings. people : "children", "phantom" or "films". split : the name of what `open` gives.
    seed : of the bootstrap. closed : why there is nothing to reveal, or "". dataset : the Dataset of the films, or None.
    """

    name, people, split, seed, closed, dataset = "", "films", "validation", 0, "", None

    def open(self) -> pd.DataFrame:
        """Return the films that the threshold is chosen on: path, label, probability and, where known, patient, subtype."""
        raise NotImplementedError

    def lock(self, rule, value, settings) -> dict:
        """Lock a threshold, or return the lock that holds; see `locks.write_lock`."""
        raise NotImplementedError

    def read_lock(self) -> dict | None:
        """Return the lock that holds, or None."""
        raise NotImplementedError

    def reveal(self) -> pd.DataFrame:
        """Return the test films; CxrkitError while no threshold is locked."""
        if self.closed:
            raise CxrkitError(self.closed)
        if self.read_lock() is None:
            raise CxrkitError("The test split stays closed until a threshold is locked.")
        return self._test()

    def image(self, path: str) -> np.ndarray | None:
        """Return a film, uint8 [h, w], or None where there is no picture of it."""
        return None

    @functools.cached_property
    def thumbnail(self):
        """path -> small PNG as a data address, or None; each film is encoded once."""
        return functools.lru_cache(maxsize=4096)(lambda path: _data_address(self.image(path)))


class RunSource(Source):
    """The fine-tuned model of a run folder."""

    def __init__(self, run: Run):
        self.run, self.seed = run, run.config.seed
        self.name = f"{run.config.backbone}, run folder {run.folder.name}"
        self.people = "phantom" if run.config.is_phantom else "children"

    def open(self):
        return self.run.read_predictions("fine_tuned", "val")

    def lock(self, rule, value, settings):
        return self.run.lock_threshold(rule, value, settings.target_sensitivity, settings.cost_ratio, settings.prevalence)

    def read_lock(self):
        return self.run.read_lock()

    def _test(self):
        return self.run.read_predictions("fine_tuned", "test")

    @functools.cached_property
    def dataset(self):
        """The run's films: those it was opened with, else loaded now; None where they are not on this disk, or no longer the same."""
        if self.run.dataset is not None:
            return self.run.dataset
        from ..data import load_dataset

        try:
            dataset = load_dataset(self.run.config)
        except CxrkitError:
            return None
        return dataset if dataset.fingerprint == self.run.manifest["data"]["fingerprint"] else None

    @functools.cached_property
    def _rows(self):
        return {} if self.dataset is None else {path: row for row, path in enumerate(self.dataset.table["path"])}

    def image(self, path):
        row = self._rows.get(path)
        return None if row is None else self.dataset.images[row]


class TableSource(Source):
    """A predictions file; with a split column its test rows are revealed under a lock that lies beside the file."""

    def __init__(self, path):
        self.path = Path(path).expanduser().resolve()
        table = read_predictions(self.path)  # the test rows are checked and let go
        self.name = self.path.name
        parts = set(table["split"]) if "split" in table else set()
        if not parts:
            self.split, self.closed = "all", "The file has no column 'split', so nothing is held back and there is nothing to reveal."
        elif "test" not in parts:
            self.closed = "The file has no test rows, so there is nothing to reveal."
        self._open = table[table["split"] == "val"].reset_index(drop=True) if parts else table
        self._key = _hash(self.path)

    @property
    def lock_path(self) -> Path:
        """Where the lock of this file lies."""
        return self.path.with_name(f"{self.path.stem}.lock.json")

    def open(self):
        return self._open

    def lock(self, rule, value, settings):
        if self.closed:
            raise CxrkitError(self.closed)
        return write_lock(self.lock_path, self._key, rule, value, settings.target_sensitivity, settings.cost_ratio, settings.prevalence)

    def read_lock(self):
        return read_lock(self.lock_path, self._key)

    def _test(self):
        if _hash(self.path) != self._key:
            raise CxrkitError(f"{self.path} has changed since it was opened. Run the notebook again from the top.")
        table = read_predictions(self.path)
        return table[table["split"] == "test"].reset_index(drop=True)

    def image(self, path):
        from ..data.images import BadImage, decode

        found = self.path.parent / path
        try:
            return decode(found.read_bytes(), THUMB)[0] if path and found.is_file() else None
        except (OSError, BadImage):  # no picture, or a broken one: its number is shown all the same
            return None


def source_of(given) -> Source:
    """Return the source of a Run, of a run folder's path, or of a predictions file's path; a Source is one already."""
    if isinstance(given, Source):
        return given
    if not isinstance(given, Run):
        path = Path(given).expanduser()
        if not path.is_dir():
            return TableSource(path)
        given = reopen_run(path)
    if not given.has("fine_tuned"):
        from ..report import again

        raise CxrkitError(f"{given.folder} holds no fine-tuned model yet. Run notebooks 02 and 03 first: {again(given.folder, '02', '03')}")
    return RunSource(given)


def _hash(path):
    with open(path, "rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _data_address(image):
    if image is None:
        return None
    from PIL import Image

    buffer = io.BytesIO()
    film = Image.fromarray(np.asarray(image))
    film.resize((THUMB, THUMB), Image.Resampling.BILINEAR).save(buffer, "PNG", compress_level=3)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
