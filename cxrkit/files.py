"""Whole files or none: everything is written under a temporary name and then renamed."""

import contextlib
import json
import os
import tempfile
import time
from pathlib import Path

import filelock
import pandas as pd

from .errors import CxrkitError

_PARTIAL = ".partial-"
_UMASK = os.umask(0)
os.umask(_UMASK)  # it can only be read by setting it; here no other thread runs yet


@contextlib.contextmanager
def atomic_path(path: Path):
    """Give a temporary path beside `path`; on success it takes that name, on failure nothing is left."""
    path = Path(path)
    # The ending stays, because Keras and pandas read it.
    name = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=_PARTIAL, suffix="".join(path.suffixes[-2:]))
        os.close(handle)
        yield Path(name)
        with contextlib.suppress(OSError):  # some file systems keep no modes
            os.chmod(name, 0o666 & ~_UMASK)
        os.replace(name, path)
    except OSError as problem:
        raise CxrkitError(
            f"{path} could not be written ({problem.strerror or problem}).\nMake room, close the program that has it open, or choose "
            "another run folder with out=PATH; then run the same again."
        ) from problem
    finally:
        if name:
            Path(name).unlink(missing_ok=True)


def write_json(path: Path, content) -> None:
    """Write plain values as indented JSON, atomically."""
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table without its index, atomically."""
    with atomic_path(path) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")


@contextlib.contextmanager
def locked(path: Path):
    """Hold a lock file while another process waits for it, a minute at most; some network drives cannot lock, then go on without."""
    lock = filelock.FileLock(path, timeout=60)
    try:
        lock.acquire()
    except (NotImplementedError, OSError):
        lock = None
    try:
        yield
    finally:
        if lock:
            lock.release()


def clear_partials(folder: Path) -> None:
    """Remove what processes that were killed while writing left in a folder, a day ago or more."""
    clear_old(folder, _PARTIAL + "*", days=1)


def clear_old(folder: Path, pattern: str, days: float) -> None:
    """Remove the files of a pattern that nobody has written to for so many days."""
    for leftover in folder.glob(pattern):
        with contextlib.suppress(FileNotFoundError):  # another process has just given it its name
            if time.time() - leftover.stat().st_mtime > 86_400 * days:
                leftover.unlink()
