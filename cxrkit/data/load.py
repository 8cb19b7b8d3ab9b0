"""From what the disk holds to a Dataset: find, hash, decode once, check, split by patient."""

import dataclasses
import hashlib
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from .. import locate
from ..config import Config, guess_source
from ..errors import CxrkitError
from . import pneumoniamnist, splits
from .chestxray2017 import GET, Films
from .dataset import TABLE_COLUMNS, Dataset
from .images import BadImage, decode
from .store import content_key, in_threads, open_store, remembered


def load_dataset(config: Config, progress: bool = True) -> Dataset:
    """Return the films that `config` names, decoded and split.

    Parameters
    ----------
    config : `source` (phantom, chestxray2017, pneumoniamnist), `data` (folder, zip or npz; empty: where `cxrkit data get`
        puts it), `stored_size` (pixels a side), `skip_bad`, `val_fraction` and `seed`.
    progress : show a line of progress where decoding takes more than a second.

    Returns
    -------
    Dataset. `images` uint8 [n, stored_size, stored_size], squashed to a square, memory-mapped from a store keyed by content:
    the second call with the same films opens none of them (it trusts their sizes and times). Rows are sorted by path.
    Validation is cut from the training films by `grouped_split`, except for PneumoniaMNIST, which brings its own. Files left
    out by `skip_bad` are in `skipped`.

    Raises
    ------
    CxrkitError that names the file or folder, what is wrong with it and the way out.

    Introduced in notebook 01.
    """
    if config.source == "phantom":
        from .phantom import load_phantom

        dataset = load_phantom(config)
    elif config.source == "pneumoniamnist":
        dataset = pneumoniamnist.load(config, progress)
    else:
        dataset = _load_films(config, progress)
    if not (dataset.table["split"] == "val").any():
        dataset = dataclasses.replace(dataset, table=splits.grouped_split(dataset.table, config.val_fraction, config.seed))
    return dataset


def _load_films(config, progress):
    location = config.data or locate.real_images()
    if not location:
        raise CxrkitError(
            f"The ChestXray-2017 films are not in {locate.data_folder()}. Get them (1.2 GB) with: cxrkit data get chestxray2017\n"
            "or name a folder or zip that holds them with --data PATH; the demo profile needs none.")
    size = config.stored_size
    with Films(location) as source:
        films = source.films
        if source.refused and not config.skip_bad:
            raise bad_files(source.refused, location)
        table = pd.DataFrame({"split": [film.split for film in films], "label": [film.label for film in films]})
        _check_classes(table, location, source.refused)
        hashes = remembered(
            source.state(), lambda: in_threads("Reading films", films, lambda film: _hash(source, film), progress))
        key = content_key((f"{film.path} {sha256 or problem}" for film, (sha256, problem) in zip(films, hashes)), size)

        def fill(images):
            def one(row):
                film, (sha256, problem) = films[row], hashes[row]
                facts = {"path": film.path, "split": film.split, "label": film.label, "width": 0, "height": 0, "bytes": 0,
                         "sha256": sha256, "mode": "", "problem": problem, "where": film.where}
                try:
                    if not problem:
                        data = source.read(film)
                        images[row], found = decode(data, size)
                        facts |= found | {"bytes": len(data)}
                except BadImage as error:
                    facts["problem"] = str(error)
                return facts

            with _quiet():
                return pd.DataFrame(in_threads(f"Decoding films at {size} px", range(len(films)), one, progress))

        images, table, skipped = open_store(key, size, lambda: (len(films), fill))
        skipped = source.refused + skipped
    if skipped and not config.skip_bad:
        raise bad_files(skipped, location)
    _check_classes(table, location, skipped)
    table = splits.add_patients(table)[[*TABLE_COLUMNS, "mode"]]
    return Dataset("chestxray2017", images, table["label"].to_numpy(), table, skipped)


def _hash(source, film):
    try:
        return hashlib.sha256(source.read(film)).hexdigest(), ""
    except BadImage as error:
        return "", str(error)


def bad_files(skipped, location) -> CxrkitError:
    """Return the error for bad files: the first by name, how many more there are, and the way out."""
    (where, reason), more = skipped[0], len(skipped) - 1
    rest = f" {more:,} more bad: cxrkit data check {location} --skip-bad lists them." if more else ""
    return CxrkitError(
        f"{where} {reason}.{rest}\nReplace or remove it, or go on without the bad files: --skip-bad (skip_bad=True).")


def _check_classes(table, location, skipped=()):
    """Raise unless both splits hold both classes."""
    counts = table.groupby(["split", "label"]).size()
    after = f" (left out: {len(skipped):,} bad, first {skipped[0][0]}, which {skipped[0][1]})" if skipped else ""
    present = set(table["label"])
    if len(present) < 2:
        only = {0: "NORMAL", 1: "PNEUMONIA", None: "missing"}[next(iter(present), None)]
        raise CxrkitError(
            f"All films in {location} are {only}{after}: two classes are needed. Add the other class's folders, {GET}")
    for split in ("train", "test"):
        if split not in counts.index.get_level_values("split"):
            raise CxrkitError(f"{location} has no {split} films{after}: the split is missing. "
                              f"Add {split}/NORMAL and {split}/PNEUMONIA, {GET}")
        for label, name in enumerate(("NORMAL", "PNEUMONIA")):
            if (split, label) not in counts.index:
                raise CxrkitError(f"{split}/{name} in {location} holds no films{after}: the class is empty. Fill it, {GET}")


@dataclasses.dataclass(frozen=True)
class CheckReport:
    """What `check_path` found: `print` it.

    `counts`: DataFrame, films by split (rows) and class (columns). `patients`: how many the names tell, by split.
    `skipped`: list of (file, reason).
    """

    source: str
    location: str
    counts: pd.DataFrame
    patients: dict
    skipped: list

    def __str__(self):
        lines = [f"{self.location}: {self.source}, {int(self.counts.to_numpy().sum()):,} films"]
        for split, row in self.counts.iterrows():
            who = f", {self.patients[split]:,} patients" if self.patients.get(split) else ""
            lines.append(f"  {split:5} {row['normal']:6,} normal {row['pneumonia']:6,} pneumonia{who}")
        lines += [f"  left out: {where} {reason}" for where, reason in self.skipped]
        return "\n".join(lines)


def check_path(path, skip_bad: bool = False, progress: bool = True) -> CheckReport:
    """Open every film below `path` (a folder, a zip or an npz) and say what is there; nothing is kept.

    `skip_bad` lists the bad files in the report instead of raising at the first.

    Raises
    ------
    CxrkitError as `load_dataset` does.
    """
    location = Path(path).expanduser()
    if guess_source(location) == "pneumoniamnist":
        table = pneumoniamnist.read_npz(location)[1]
        return CheckReport("pneumoniamnist", str(location), _counts(table), {}, [])
    with Films(location) as source:
        rows = pd.DataFrame([dataclasses.asdict(dataclasses.replace(film, member=None)) for film in source.films])
        if source.refused and not skip_bad:
            raise bad_files(source.refused, location)
        _check_classes(rows, location, source.refused)

        def one(film):
            try:
                decode(source.read(film), 64)
            except BadImage as error:
                return str(error)
            return ""

        with _quiet():
            problems = in_threads("Checking films", source.films, one, progress)
        skipped = source.refused + [(film.where, problem) for film, problem in zip(source.films, problems) if problem]
    if skipped and not skip_bad:
        raise bad_files(skipped, location)
    rows = rows[np.array(problems) == ""]
    _check_classes(rows, location, skipped)
    rows = splits.add_patients(rows)
    patients = rows.groupby("split")["patient"].nunique().to_dict()
    return CheckReport("chestxray2017", str(location), _counts(rows), patients, skipped)


def _counts(table):
    counts = table.groupby(["split", "label"]).size().unstack(fill_value=0).reindex(columns=[0, 1], fill_value=0)
    counts.columns = ["normal", "pneumonia"]
    return counts.loc[[split for split in ("train", "val", "test") if split in counts.index]]


def _quiet():
    """Silence Pillow's own two-line warning about large images while threads decode: `decode` refuses them in one plain line."""
    return warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning)
