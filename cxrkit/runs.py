"""What one notebook leaves for the next: the run folder (notebook 00 introduces it).

Every file is written under a temporary name and then renamed, so that a file under its own name is always whole.
"""

import contextlib
import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from . import __version__
from .config import Config
from .data.dataset import Dataset
from .errors import CxrkitError

STAGES = ("baseline", "frozen", "fine_tuned")
HISTORY_COLUMNS = ("phase", "epoch", "loss", "accuracy", "val_loss", "val_accuracy", "val_auc", "seconds")
_LAST_STAGE = "fine_tuned"  # its predictions carry the plain names
# What a run is about: another value of any of these is another run, in another folder.
_IDENTITY = ("source", "stored_size", "image_size", "val_fraction", "backbone", "seed")
_AUGMENTATION = ("crop_area", "rotation", "brightness", "contrast", "horizontal_flip")
_SETTINGS = {
    "baseline": (),
    "frozen": ("views", "head_epochs", "head_learning_rate", "dropout", "batch_size", "class_weights", *_AUGMENTATION),
    "fine_tuned": (
        "unfreeze", "fine_tune_epochs", "fine_tune_learning_rate", "weight_decay", "warmup_epochs", "patience",
        "dropout", "batch_size", "class_weights", *_AUGMENTATION,
    ),
}
_VERSIONS = ("tensorflow", "keras", "numpy", "pandas", "scikit-learn", "scipy", "pillow")


@contextlib.contextmanager
def atomic_path(path: Path):
    """Give a temporary path beside `path`; on success it takes that name, on failure nothing is left."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The ending stays, because Keras and pandas read it.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".partial-", suffix="".join(path.suffixes[-2:]))
    os.close(handle)
    try:
        yield Path(name)
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def write_json(path: Path, content) -> None:
    """Write plain values as indented JSON, atomically."""
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table without its index, atomically."""
    with atomic_path(path) as partial:
        table.to_csv(partial, index=False)


class Run:
    """One run's folder: reads and writes what the stages leave. Made by `open_run`.

    Attributes: `folder` (Path), `config` (Config), `dataset` (Dataset), `manifest` (dict, as in manifest.json).
    """

    def __init__(self, folder: Path, config: Config, dataset: Dataset, manifest: dict):
        self.folder, self.config, self.dataset, self.manifest = folder, config, dataset, manifest

    # --- stages -------------------------------------------------------------------------------------------------

    def key(self, stage: str) -> str:
        """Return the hash of everything that decides a stage's result: data, network, settings, and the stage before it."""
        parts = [self.manifest["identity"], {name: getattr(self.config, name) for name in _SETTINGS[stage]}]
        if stage == "fine_tuned":
            parts.append(self.manifest["stages"].get("frozen", {}).get("key"))
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def has(self, stage: str) -> bool:
        """Say whether a stage is there, with whatever settings it was made (its notebook chose them)."""
        return stage in self.manifest["stages"] and self._predictions_path(stage, "test").is_file()

    def is_current(self, stage: str) -> bool:
        """Say whether a stage is there and was made with this very configuration."""
        return self.has(stage) and self.manifest["stages"][stage]["key"] == self.key(stage)

    @contextlib.contextmanager
    def stage(self, name: str):
        """Measure a stage's seconds and peak memory, and enter it in the manifest when it ends well.

        An interrupted stage keeps the seconds that it spent, so that the sum is right when it is taken up again.
        """
        spent_file = self.folder / f".seconds_{name}_{self.key(name)}"
        before = float(spent_file.read_text()) if spent_file.is_file() else 0.0
        start = time.perf_counter()
        try:
            yield
        except BaseException:
            spent_file.write_text(str(before + time.perf_counter() - start))
            raise
        self.manifest["stages"][name] = {
            "key": self.key(name),
            "settings": {field: getattr(self.config, field) for field in _SETTINGS[name]},
            "seconds": round(before + time.perf_counter() - start, 1),
            "peak_memory_mb": _peak_memory_mb(),
            "finished": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        }
        self._write_manifest()
        spent_file.unlink(missing_ok=True)

    # --- predictions and history --------------------------------------------------------------------------------

    def save_predictions(self, stage: str, split: str, probabilities: np.ndarray) -> None:
        """Write a stage's probabilities of pneumonia, float [m] in table order, for a split."""
        rows = self.dataset.index(split)
        table = self.dataset.table.iloc[rows]
        columns = {"path": table["path"], "label": table["label"], "probability": np.round(probabilities, 6)}
        for known in ("patient", "subtype"):
            if (table[known] != "").any():
                columns[known] = table[known]
        write_csv(self._predictions_path(stage, split), pd.DataFrame(columns))

    def read_predictions(self, stage: str, split: str) -> pd.DataFrame:
        """Return `path, label, probability` and, where known, `patient, subtype` of a stage on a split."""
        path = self._predictions_path(stage, split)
        if not path.is_file():
            raise CxrkitError(f"{path} is missing: the stage '{stage}' has not been run here. Run its notebook first.")
        return pd.read_csv(path, keep_default_na=False)

    def save_history(self, phase: str, rows: pd.DataFrame) -> None:
        """Put a phase's epochs into history.csv, in place of older ones of that phase."""
        kept = self.read_history()
        kept = kept[kept["phase"] != phase]
        rows = rows.assign(phase=phase)[list(HISTORY_COLUMNS)]
        both = pd.concat([kept, rows] if len(kept) else [rows])
        ordered = both.sort_values(["phase", "epoch"], key=lambda c: c.map(STAGES.index) if c.name == "phase" else c)
        write_csv(self.folder / "history.csv", ordered)

    def read_history(self) -> pd.DataFrame:
        """Return history.csv: `phase, epoch, loss, accuracy, val_loss, val_accuracy, val_auc, seconds`."""
        path = self.folder / "history.csv"
        return pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=list(HISTORY_COLUMNS))

    # --- the lock -----------------------------------------------------------------------------------------------

    def lock_threshold(self, rule: str, value: float, target_sensitivity: float) -> dict:
        """Lock the threshold of this run's fine-tuned model, or return the lock that holds already.

        Returns {"rule", "value", "target_sensitivity", "model", "locked", "looks"}; `looks` counts the models of this folder
        whose test results were revealed. Raises CxrkitError when another rule was locked for the same model.
        """
        path = self.folder / "lock.json"
        model = self.manifest["stages"]["fine_tuned"]["key"]
        old = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        if old and old["model"] == model:
            if (old["rule"], old["target_sensitivity"]) != (rule, target_sensitivity):
                raise CxrkitError(
                    f"This model's threshold was locked at {old['value']:.4f} by the rule '{old['rule']}' (target {old['target_sensitivity']})"
                    f" and the test split was revealed; '{rule}' (target {target_sensitivity}) would be a second choice with the test in view.\n"
                    f"Keep that rule, or use another run folder (out=...) and report both looks. The lock is {path}."
                )
            return old
        lock = {
            "rule": rule, "value": float(value), "target_sensitivity": target_sensitivity, "model": model,
            "locked": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "looks": (old["looks"] if old else 0) + 1,
        }
        write_json(path, lock)
        return lock

    def read_lock(self) -> dict | None:
        """Return the lock of the present fine-tuned model, or None."""
        path = self.folder / "lock.json"
        lock = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        return lock if lock and lock["model"] == self.manifest["stages"].get("fine_tuned", {}).get("key") else None

    # --- inside -------------------------------------------------------------------------------------------------

    def _predictions_path(self, stage, split):
        tail = "" if stage == _LAST_STAGE else f"_{stage}"
        return self.folder / f"predictions_{split}{tail}.csv"

    def _write_manifest(self):
        write_json(self.folder / "manifest.json", self.manifest)


def open_run(config: Config, dataset: Dataset) -> Run:
    """Open the run folder of a configuration, or make it.

    Returns a `Run`. Raises CxrkitError when the folder holds a run on other data, another network or another seed:
    nothing of an older run is overwritten. Introduced in notebook 00.
    """
    folder = config.run_folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise CxrkitError(f"The run folder {folder} cannot be made ({problem.strerror}). Choose another with out=PATH (--out PATH).") from problem
    identity = {name: getattr(config, name) for name in _IDENTITY}
    identity |= {"data": dataset.fingerprint, "weights": _weights_identity(config.weights)}
    manifest = _read_manifest(folder)
    if manifest:
        changed = [name for name, value in identity.items() if manifest["identity"].get(name) != value]
        if changed:
            was = ", ".join(f"{n} {manifest['identity'].get(n)} → {identity[n]}" for n in changed)
            raise CxrkitError(
                f"{folder} holds a run with other settings ({was}).\nChoose another folder with out=PATH (--out PATH), or delete that one."
            )
    manifest = {
        "cxrkit": __version__,
        "config": dataclasses.asdict(config),
        "data": {
            "name": dataset.name, "fingerprint": dataset.fingerprint, "films": len(dataset),
            "skipped": [{"path": str(path), "reason": reason} for path, reason in dataset.skipped],
        },
        "seed": config.seed,
        "identity": identity,
        "versions": _versions(),
        "stages": manifest["stages"] if manifest else {},
    }
    run = Run(folder, config, dataset, manifest)
    run._write_manifest()
    write_csv(folder / "splits.csv", dataset.table[["path", "split", "label", "patient"]])
    return run


def _read_manifest(folder: Path) -> dict | None:
    path = folder / "manifest.json"
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as problem:
        raise CxrkitError(f"{path} cannot be read ({problem}). Choose another run folder with out=PATH, or delete this one.") from problem


def _weights_identity(weights: str) -> str:
    """A weights file counts by its content, so that moving it does not make another run."""
    path = Path(weights).expanduser()
    if weights in ("imagenet", "phantom", "none") or not path.is_file():
        return weights
    with open(path, "rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _versions() -> dict:
    found = {"python": platform.python_version()}
    for name in _VERSIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _peak_memory_mb() -> int:
    """The process's greatest resident memory so far, MB (the present one where the system does not keep it)."""
    try:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return round(peak / (1e6 if platform.system() == "Darwin" else 1e3))
    except ImportError:  # Windows
        return round(psutil.Process().memory_info().rss / 1e6)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
