"""The store of decoded films: one memory-mapped array and one table an entry, keyed by content, built once.

An entry is a folder `<cache>/decoded/<key>` with images.npy (uint8 [n, size, size]), table.csv and skipped.json. It is
built under a temporary name and renamed when it is whole, behind a lock: two processes may ask for it at once.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock
import numpy as np
import pandas as pd

from .. import locate
from ..errors import CxrkitError
from ..progress import Progress
from .images import DECODER

NUMBERS = {"label": "int64", "width": "int64", "height": "int64", "bytes": "int64"}


def content_key(lines, size: int) -> str:
    """Return the key of films whose contents `lines` tell (path and hash), decoded at `size` pixels a side."""
    text = "\n".join([f"decoder {DECODER}, {size} px", *lines])
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def open_store(key: str, size: int, prepare):
    """Return (images, table, skipped) of an entry, building it where it is missing or damaged.

    Parameters
    ----------
    key : from `content_key`.
    size : pixels a side.
    prepare : called where the entry must be built; returns (n, fill). `fill` is then called with a zeroed uint8 array
        [n, size, size] to write into and returns a DataFrame of n rows, among them `where` and `problem`, which is "" for a
        good film. The rows of bad films are left out of the entry and come back as `skipped`, [(where, problem)].

    Raises
    ------
    CxrkitError where the cache folder cannot be written or the disk is too small.
    """
    folder = locate.cache_folder() / "decoded" / key
    entry = _read(folder, size)
    if entry is None:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with locked(folder.with_suffix(".lock"), "decodes these films"):
                entry = _read(folder, size)  # another process may have finished it meanwhile
                if entry is None:
                    _build(folder, size, prepare)
                    entry = _read(folder, size)
        except OSError as error:
            raise CxrkitError(
                f"The decoded films cannot be kept in {folder.parent} ({error.strerror or error}). Make room or let this user "
                "write there, or set CXRKIT_CACHE to another folder.") from None
    return entry


def remembered(state: str | None, compute):
    """Return `compute()`, a list of plain values, or what it gave when `state` was the same.

    So the second notebook opens no film to learn that all of them are as they were. `state` None: nothing is remembered;
    neither is an answer that holds a problem (a second value that is not ""), which may pass.
    """
    if state is None:
        return compute()
    key = hashlib.sha256(state.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    path = locate.cache_folder() / "decoded" / f"{key}.hashes.json"
    try:
        return [tuple(pair) for pair in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        answer = compute()
    if not any(problem for _, problem in answer):
        with contextlib.suppress(OSError):  # a convenience: a cache that cannot be written is told where it is needed
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f"{path.name}.{os.getpid()}")
            partial.write_text(json.dumps(answer), encoding="utf-8")
            os.replace(partial, path)
    return answer


def _build(folder, size, prepare):
    for leftover in [folder, *folder.parent.glob(f"{folder.name}.tmp-*")]:  # damaged, or of a process that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    n, fill = prepare()
    need, free = n * size * size, shutil.disk_usage(folder.parent).free
    if need > free:
        raise CxrkitError(
            f"The decoded films need {need:,} bytes in {folder.parent}, and {free:,} are free. Make room, or set CXRKIT_CACHE "
            "to a folder on another disk.")
    work = folder.with_name(f"{folder.name}.tmp-{os.getpid()}")
    work.mkdir()
    try:
        images = np.lib.format.open_memmap(work / "images.npy", mode="w+", dtype=np.uint8, shape=(n, size, size))
        if hasattr(os, "posix_fallocate"):  # a disk that fills up under a mapped file kills the process
            with open(work / "images.npy", "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
        table = fill(images)
        good = np.flatnonzero((table["problem"] == "").to_numpy())
        images.flush()
        if len(good) < n:
            with open(work / "good.npy", "wb") as file:  # written, not mapped: see above
                np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (len(good), size, size)})
                for row in good:
                    file.write(images[row].tobytes())
        del images  # Windows renames no file that is mapped
        if (work / "good.npy").exists():
            os.replace(work / "good.npy", work / "images.npy")
        bad = table[table["problem"] != ""]
        skipped = list(zip(bad["where"], bad["problem"]))
        (work / "skipped.json").write_text(json.dumps(skipped), encoding="utf-8")
        table.iloc[good].drop(columns=["problem", "where"]).to_csv(work / "table.csv", index=False)
        os.rename(work, folder)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def _read(folder, size):
    """Return the entry's parts, or None where one is missing or does not fit the others."""
    try:
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        table = pd.read_csv(folder / "table.csv", dtype=str, keep_default_na=False).astype(NUMBERS)
        skipped = [tuple(pair) for pair in json.loads((folder / "skipped.json").read_text(encoding="utf-8"))]
    except (OSError, ValueError, KeyError, EOFError):
        return None
    fits = images.dtype == np.uint8 and images.shape == (len(table), size, size)
    return (images, table, skipped) if fits else None


@contextlib.contextmanager
def locked(path: Path, doing: str):
    """Hold the lock file `path`; where another process holds it, say so once and wait."""
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0.2)
    except filelock.Timeout:
        print(f"Another process {doing}; waiting for it.", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def in_threads(title: str, items, work, progress: bool = True) -> list:
    """Return [work(item) for item in items], in threads; a line of progress appears when it takes over a second.

    Threads are enough: Pillow, zlib and hashlib let go of the interpreter while they work.
    """
    results, bar, start = [], None, time.perf_counter()
    pool = ThreadPoolExecutor(max_workers=min(8, 2 * (os.cpu_count() or 1)))
    try:
        for result in pool.map(work, items):
            results.append(result)
            if bar:
                bar.update(len(results))
            elif progress and time.perf_counter() - start > 1:
                bar = Progress(title, len(items), done=len(results))
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt does not wait for the rest
    if bar:
        bar.close(f"{len(items):,} films")
    return results
