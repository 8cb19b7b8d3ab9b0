"""What one notebook leaves for the next: the run folder (notebook 00 introduces it)."""

import contextlib
import dataclasses
import datetime
import hashlib
import importlib.metadata
import json
import platform
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from . import __version__, locate
from .config import Config
from .data.dataset import Dataset
from .errors import CxrkitError
from .files import clear_old, clear_partials, locked, write_csv, write_json
from .locks import read_lock, write_lock

STAGES = ("baseline", "frozen", "fine_tuned")
HISTORY_COLUMNS = ("phase", "epoch", "loss", "accuracy", "val_loss", "val_accuracy", "val_auc", "seconds")
# What a run is about: another value of any of these is another run, in another folder.
_IDENTITY = ("source", "stored_size", "image_size", "val_fraction", "backbone", "seed")
_AUGMENTATION = ("crop_area", "rotation", "brightness", "contrast", "horizontal_flip")
_SETTINGS = {
    "baseline": (),
    "frozen": ("views", "head_epochs", "head_learning_rate", "dropout", "batch_size", "class_weights", *_AUGMENTATION),
    "fine_tuned": (
        "unfreeze", "fine_tune_epochs", "fine_tune_learning_rate", "weight_decay", "warmup_epochs", "patience", "test_views",
        "dropout", "batch_size", "class_weights", *_AUGMENTATION,
    ),
}
_VERSIONS = ("keras", "numpy", "pandas", "scikit-learn", "scipy", "pillow")


class Run:
    """One run's folder: reads and writes what the stages leave. Made by `open_run`.

    Attributes: `folder` (Path), `config` (Config), `dataset` (Dataset), `manifest` (dict, manifest.json as it is now: another
    notebook may have finished a stage since this one opened the run).
    """

    def __init__(self, folder: Path, config: Config, dataset: Dataset):
        self.folder, self.config, self.dataset = folder, config, dataset

    @property
    def manifest(self) -> dict:
        return read_manifest(self.folder)

    # --- stages -------------------------------------------------------------------------------------------------

    def key(self, stage: str) -> str:
        """Return the hash of everything that decides a stage's result: data, network, settings, and the stage before it."""
        manifest = self.manifest
        parts = [manifest["identity"], {name: getattr(self.config, name) for name in _SETTINGS[stage]}]
        if stage == "fine_tuned":
            parts.append(_key(manifest, "frozen"))
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def has(self, stage: str) -> bool:
        """Say whether a stage is there, with whatever settings it was made (its notebook chose them).

        A model that was fine-tuned from another frozen phase than the present one does not count.
        """
        manifest = self.manifest
        if stage not in manifest["stages"] or not predictions_path(self.folder, stage, "test").is_file():
            return False
        return stage != "fine_tuned" or manifest["stages"][stage]["frozen"] == _model(manifest, "frozen")

    def is_current(self, stage: str) -> bool:
        """Say whether a stage is there and was made with this very configuration."""
        return self.has(stage) and self.manifest["stages"][stage]["key"] == self.key(stage)

    @contextlib.contextmanager
    def stage(self, name: str):
        """Measure a stage's seconds and peak memory, and enter it in the manifest when it ends well.

        An interrupted stage (not a killed one) keeps the seconds that it spent, so that the sum is right when it is taken up
        again. A stage of other settings is struck from the manifest first: half of each would be neither.
        """
        if name in self.manifest["stages"] and not self.is_current(name):
            self._enter(name, None)
        key, spent_file = self.key(name), self.folder / f".seconds_{name}_{self.key(name)}.json"
        before = json.loads(spent_file.read_text(encoding="utf-8")) if spent_file.is_file() else 0.0
        start = time.perf_counter()
        try:
            yield
        except BaseException:
            write_json(spent_file, before + time.perf_counter() - start)
            raise
        entry = {
            "key": key,
            "settings": {field: getattr(self.config, field) for field in _SETTINGS[name]},
            "seconds": round(before + time.perf_counter() - start, 1),
            "peak_memory_mb": _peak_memory_mb(),
            "finished": _now(),
            "model": self._fingerprint(name, key),
            "versions": _versions(),
        }
        if name == "fine_tuned":
            entry["frozen"] = _model(self.manifest, "frozen")
        self._enter(name, entry)
        # Only now is everything in place that a checkpoint could bring back. One of other settings may be gone on with; not for ever.
        for leftover in (spent_file, self.checkpoint_path(name)):
            leftover.unlink(missing_ok=True)
        clear_old(self.folder, f"checkpoint_{name}_*.npz", days=30)

    def checkpoint_path(self, stage: str) -> Path:
        """Return where a stage of this very configuration keeps its checkpoint."""
        return self.folder / f"checkpoint_{stage}_{self.key(stage)}.npz"

    # --- predictions and history --------------------------------------------------------------------------------

    def save_predictions(self, stage: str, split: str, probabilities: np.ndarray) -> None:
        """Write a stage's probabilities of pneumonia, float [m] in table order, for a split."""
        rows = self.dataset.index(split)
        table = self.dataset.table.iloc[rows]
        columns = {"path": table["path"], "label": table["label"], "probability": np.round(probabilities, 6)}
        for known in ("patient", "subtype"):
            if (table[known] != "").any():
                columns[known] = table[known]
        write_csv(predictions_path(self.folder, stage, split), pd.DataFrame(columns))

    def read_predictions(self, stage: str, split: str) -> pd.DataFrame:
        """Return `path, label, probability` and, where known, `patient, subtype` of a stage on a split."""
        path = predictions_path(self.folder, stage, split)
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

    def lock_threshold(self, rule: str, value: float, target_sensitivity: float, cost_ratio: float = 10.0, prevalence: float | None = None) -> dict:
        """Lock the threshold of this run's fine-tuned model, or return the lock that holds already; see `locks.write_lock`.

        rule : a rule of `choose_threshold`, or "manual" for a value set by hand. Raises CxrkitError when another choice was locked
        for the same model.
        """
        return write_lock(self.folder / "lock.json", _model(self.manifest, "fine_tuned"), rule, value, target_sensitivity, cost_ratio, prevalence)

    def read_lock(self) -> dict | None:
        """Return the lock of the present fine-tuned model, as `lock_threshold` does, or None."""
        return read_lock(self.folder / "lock.json", _model(self.manifest, "fine_tuned"))

    # --- inside -------------------------------------------------------------------------------------------------

    def _fingerprint(self, stage, key):
        """Name a stage's model by its settings and predictions: trained again with the same settings it is another model."""
        digest = hashlib.sha256(key.encode())
        for split in ("val", "test"):
            path = predictions_path(self.folder, stage, split)
            digest.update(path.read_bytes() if path.is_file() else b"")
        return digest.hexdigest()[:16]

    def _enter(self, stage, entry):
        """Put one stage's entry into manifest.json, or strike it; the others stay as they are on disk."""
        with locked(self.folder / ".manifest.lock"):
            manifest = self.manifest
            manifest["stages"].pop(stage, None)
            if entry:
                manifest["stages"][stage] = entry
            write_json(self.folder / "manifest.json", manifest)


def predictions_path(folder: Path, stage: str, split: str) -> Path:
    """Return where a stage's predictions on a split lie; the fine-tuned ones carry the plain names."""
    return Path(folder) / f"predictions_{split}{'' if stage == 'fine_tuned' else f'_{stage}'}.csv"


def stage_models(manifest: dict) -> dict:
    """Return {stage: the name of its model} of the finished stages: what results belong to."""
    return {stage: _model(manifest, stage) for stage in manifest["stages"]}


def as_trained(manifest: dict) -> dict:
    """Return a run's settings and versions, {"config", "versions"}, with what its fine-tuned model was trained with in place of what the
    run was opened with last."""
    entry = manifest["stages"].get("fine_tuned", {})
    return {"config": manifest["config"] | entry.get("settings", {}), "versions": entry.get("versions", manifest["versions"])}


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
    clear_partials(folder)
    with locked(folder / ".manifest.lock"):
        _open_manifest(folder, config, dataset, identity)
    write_csv(folder / "splits.csv", dataset.table[["path", "split", "label", "patient"]])
    return Run(folder, config, dataset)


def reopen_run(folder) -> Run:
    """Open a run folder as it lies, without its films (`dataset` is None): its predictions and its lock.

    Raises CxrkitError for a folder that holds no run.
    """
    folder = Path(folder).expanduser().resolve()
    manifest = read_manifest(folder)
    if not manifest or "config" not in manifest:
        raise CxrkitError(f"{folder} holds no run: there is no manifest.json of a run in it. A run is made with: cxrkit run --out DIR")
    known = {field.name for field in dataclasses.fields(Config)}
    return Run(folder, Config(**{name: value for name, value in manifest["config"].items() if name in known}), None)


def _open_manifest(folder, config, dataset, identity):
    """Write what is known of the run now, keeping the stages that are there; refuse another run's folder."""
    manifest = read_manifest(folder)
    if manifest and not {"identity", "stages"} <= manifest.keys():
        raise CxrkitError(f"{folder} holds the manifest.json of something else. Choose another folder with out=PATH (--out PATH).")
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
    write_json(folder / "manifest.json", manifest)


def read_manifest(folder: Path) -> dict | None:
    """Return manifest.json of a run folder, None where there is none; CxrkitError where it is damaged."""
    path = folder / "manifest.json"
    if not path.is_file():
        return None
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(manifest, dict):
            raise ValueError("a list or a value, not the facts of a run")
        return manifest
    except (ValueError, OSError) as problem:
        raise CxrkitError(f"{path} cannot be read ({problem}). Choose another run folder with out=PATH, or delete this one.") from problem


def _weights_identity(weights: str) -> str:
    """A weights file counts by its content: moving it makes no other run, replacing it does."""
    path = locate.PHANTOM_WEIGHTS if weights == "phantom" else Path(weights).expanduser()
    if weights in ("imagenet", "none") or not path.is_file():
        return weights
    with open(path, "rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _versions() -> dict:
    """Return {package: version}; of the frameworks the one that Keras computes with, once it has been imported."""
    keras = sys.modules.get("keras")
    backend = getattr(getattr(keras, "backend", None), "backend", lambda: "tensorflow")()
    found = {"python": platform.python_version()}
    for name in (backend, *_VERSIONS):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _key(manifest, stage):
    return manifest["stages"].get(stage, {}).get("key")


def _model(manifest, stage):
    entry = manifest["stages"].get(stage, {})
    return entry.get("model", entry.get("key"))  # runs of an older kit have no name but the settings'


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _peak_memory_mb() -> int:
    """The process's greatest resident memory so far, MB (the present one where the system does not keep it)."""
    try:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return round(peak / (1e6 if platform.system() == "Darwin" else 1e3))
    except ImportError:  # Windows
        return round(psutil.Process().memory_info().rss / 1e6)
