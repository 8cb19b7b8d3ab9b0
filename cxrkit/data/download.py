"""Fetches the published data sets: a table of addresses with size and checksum, mirrors in turn, nothing unverified.

A school that keeps its own copy sets CXRKIT_MIRROR_CHESTXRAY2017 or CXRKIT_MIRROR_PNEUMONIAMNIST to one or more http(s)
addresses (separated by spaces); they are tried first. An address that ends in "/" gets the file's name appended. The
checksum is held against every mirror alike.
"""

import dataclasses
import hashlib
import logging
import os
import shutil
import warnings
from pathlib import Path
from urllib.parse import urlsplit

import pooch

from .. import locate
from ..errors import CxrkitError, nearest
from .load import check_path
from .pneumoniamnist import file_name
from .store import locked
from .transfer import MirrorFailed, ResumingDownloader, check_space


@dataclasses.dataclass(frozen=True)
class Published:
    """One published file. `checksum` is "algorithm:hex digits"; `bytes` is None where it is not published."""

    file: str
    addresses: tuple
    bytes: int | None
    checksum: str


_MENDELEY = "https://data.mendeley.com/public-files/datasets/rscbjbr9sj/files"
_ZENODO = (
    "https://zenodo.org/records/10519652/files/{}?download=1",
    "https://zenodo.org/api/records/10519652/files/{}/content",
)


def _pneumoniamnist(size, count, md5):
    return Published(file_name(size), tuple(address.format(file_name(size)) for address in _ZENODO), count, f"md5:{md5}")


# (name, size in pixels or None) -> the file. Licence of the films: CC BY 4.0.
REGISTRY = {
    ("chestxray2017", None): Published(
        "ChestXRay2017.zip",
        (f"{_MENDELEY}/f12eaf6d-6023-432f-acc9-80c9d7393433/file_downloaded",),
        1_235_512_464, "sha256:13efc055629733dbab07877f8b3c9f81097840dbcdaa326a8542322c2281ce36"),
    ("pneumoniamnist", 28): _pneumoniamnist(28, None, "28209eda62fecd6e6a2d98b1501bb15f"),
    ("pneumoniamnist", 64): _pneumoniamnist(64, None, "8f4eceb4ccffa70c672198ea285246c6"),
    ("pneumoniamnist", 128): _pneumoniamnist(128, None, "05b46931834c231683c68f40c47b2971"),
    ("pneumoniamnist", 224): _pneumoniamnist(224, 214_384_716, "d6a3c71de1b945ea11211b03746c1fe1"),
}
NAMES = tuple(dict.fromkeys(name for name, _ in REGISTRY))


def published(name: str, size: int | None = None) -> Published:
    """Return the registry's row (PneumoniaMNIST without a size: 224 pixels); CxrkitError for an unknown name or size."""
    if name not in NAMES:
        raise CxrkitError(f"Unknown data set '{name}'; there are {', '.join(NAMES)}, and imagenet for weights.{nearest(name, (*NAMES, 'imagenet'))}")
    sizes = [s for n, s in REGISTRY if n == name]
    if sizes == [None]:
        if size is not None:
            raise CxrkitError(f"{name} comes in its original sizes: leave --size out.")
        return REGISTRY[name, None]
    size = 224 if size is None else size
    if size not in sizes:
        raise CxrkitError(f"{name} comes in {', '.join(map(str, sizes))} pixels, not {size}. Give one of them with --size.")
    return REGISTRY[name, size]


def catalogue() -> list[dict]:
    """Return a row for each published file: `name, size, file, bytes, path, present` (`path`: where it lies or would lie)."""
    rows = []
    for (name, size), entry in REGISTRY.items():
        path = locate.data_folder() / entry.file
        if name == "chestxray2017":
            path = locate.real_images() or path
        rows.append({"name": name, "size": size, "file": entry.file, "bytes": entry.bytes, "path": path,
                     "present": path.exists()})
    return rows


def fetch(name: str, size: int | None = None, from_path=None, folder=None, mirrors=None, force: bool = False,
          progress: bool = True) -> Path:
    """Bring a data set to this disk, verified, and return where it lies.

    Parameters
    ----------
    name : "chestxray2017" (1.2 GB; kept as the zip that it is) or "pneumoniamnist".
    size : pixels a side of PneumoniaMNIST: 28, 64, 128 or 224 (default, 214 MB).
    from_path : a file or folder that is already on this disk, in place of a download. A file must have the published
        checksum and is copied. A folder of ChestXray-2017 films is opened film by film and linked (copied where the system
        has no links) as `chest_xray`.
    folder : where to put it; default $CXRKIT_DATA or the system's data folder.
    mirrors : addresses to use in place of the published ones.
    force : fetch again what is there already.
    progress : show a line of progress.

    A transfer that stops half way goes on from there the next time; what arrives is checked against the published checksum
    before it gets its name; the next mirror is tried where one fails. Two processes may fetch at once: one does, one waits.

    Raises
    ------
    CxrkitError where no mirror delivers (with the address, path and checksum for placing the file by hand), where the disk is
    full, or where `from_path` is something else.

    Introduced in notebook 00.
    """
    if from_path is not None and name == "pneumoniamnist" and size is None:
        size = _size_of(_readable(Path(from_path).expanduser()))
    entry = published(name, size)
    folder = Path(folder).expanduser() if folder else locate.data_folder()
    target = folder / entry.file
    work = folder / ".partial" / entry.file
    try:
        work.mkdir(parents=True, exist_ok=True)
        with locked(work.with_name(f"{entry.file}.lock"), f"fetches {entry.file}"):
            if from_path is not None:
                return _take(name, entry, _readable(Path(from_path).expanduser()), target, work, progress)
            if not force and _verified(target, entry):
                return target
            work.mkdir(exist_ok=True)  # the process that was waited for has cleared it away
            _download(name, entry, target, work, _addresses(name, entry, mirrors), progress)
            return target
    except OSError as error:
        raise CxrkitError(f"{folder} cannot be written ({error.strerror or error}). Make room, let this user write there, or set "
                          "CXRKIT_DATA to another folder.") from None


def _addresses(name, entry, mirrors):
    if mirrors:
        return list(mirrors)
    own = os.environ.get(f"CXRKIT_MIRROR_{name.upper()}", "").split()
    for address in own:
        if not address.lower().startswith(("http://", "https://")):
            raise CxrkitError(f"CXRKIT_MIRROR_{name.upper()} holds '{address}': no http(s) address. Correct or unset it.")
    return [address + entry.file if address.endswith("/") else address for address in own] + list(entry.addresses)


def _download(name, entry, target, work, addresses, progress):
    part = work / f"{entry.file}.part"
    for leftover in work.iterdir():  # of a process that was killed; the partial file is gone on with
        if leftover != part:
            leftover.unlink()
    check_space(work, (entry.bytes or 0) - (part.stat().st_size if part.exists() else 0), entry.file)
    failures = []
    for address in addresses:
        host = urlsplit(address).netloc
        for _ in range(2):  # a partial file of another day may spoil the sum once: then the whole file is fetched anew
            resumed = part.exists()
            title = f"Fetching {entry.file} from {host}" if progress else None
            try:
                with _quiet_pooch():
                    pooch.retrieve(address, entry.checksum, fname=entry.file, path=work,
                                   downloader=ResumingDownloader(part, entry.bytes, title))
                os.replace(work / entry.file, target)
                shutil.rmtree(work, ignore_errors=True)
                return
            except MirrorFailed as error:
                failures.append(f"{host} {error}")
                break
            except ValueError:  # pooch's word for another checksum; it has removed the file
                if not resumed:
                    failures.append(f"{host} sends a file with another checksum")
                    break
    why = "; ".join(dict.fromkeys(failures))
    size = f"{entry.bytes:,} bytes, " if entry.bytes else ""
    raise CxrkitError(
        f"{entry.file} could not be fetched: {why}. Try again later, or fetch {entry.addresses[0]}\n"
        f"with a browser ({size}{entry.checksum.replace(':', ' ')}), save it as {target} or run: "
        f"cxrkit data get {name} --from FILE")


def _readable(source):
    """Return `source`, or say that this user may not read it, before that looks like a fault of the place it goes to."""
    if source.exists() and not os.access(source, os.R_OK):
        raise CxrkitError(f"{source} cannot be read by this user. Let this user read it, or name another with --from PATH.")
    return source


def _take(name, entry, source, target, work, progress):
    """Bring in what lies at `source`: a file with the published checksum, or a folder of films."""
    if source.is_dir() and name == "chestxray2017":
        return _take_folder(source, target.with_name("chest_xray"), progress)
    if source.is_dir():
        source = source / entry.file
    if not source.is_file():
        raise CxrkitError(f"{source} does not exist or is no file. Name the downloaded {entry.file} with --from PATH.")
    if not _verified(source, entry):
        algorithm, digest = entry.checksum.split(":")
        kaggle = name == "chestxray2017"
        use = f" If it is another packing of the films (Kaggle's, say), use it as it is: --data {source}" if kaggle else ""
        raise CxrkitError(f"{source} is not the published {entry.file}: its {algorithm} is not {digest}. Fetch it again.{use}")
    if target.exists() and target.samefile(source):
        return target
    check_space(work, source.stat().st_size, entry.file)
    copy = work / f"{entry.file}.copy"
    try:
        shutil.copyfile(source, copy)
        os.replace(copy, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _take_folder(source, target, progress):
    source = source.resolve()
    report = check_path(source, skip_bad=True, progress=progress)
    if report.skipped:
        where, reason = report.skipped[0]
        warnings.warn(f"{len(report.skipped):,} of its films cannot be used ({where} {reason}): loading needs --skip-bad.",
                      stacklevel=3)
    if target.exists() and target.resolve() == source:
        return target
    if target.exists() and not target.is_symlink():
        raise CxrkitError(f"{target} is there already. Remove it first, or use the folder as it is: --data {source}")
    fresh = target.with_name(f".{target.name}-{os.getpid()}")
    try:
        os.symlink(source, fresh, target_is_directory=True)
    except OSError:  # Windows without the right to make links
        shutil.copytree(source, fresh)
    if target.is_symlink():
        target.unlink()
    os.rename(fresh, target)
    return target


def _size_of(path):
    """Return the pixel size of the PneumoniaMNIST file at `path` by its checksum, or None."""
    path = Path(path).expanduser()
    for (name, size), entry in reversed(REGISTRY.items()):  # of several in a folder the largest
        if name == "pneumoniamnist" and (_verified(path, entry) or (path / entry.file).is_file()):
            return size
    return None


def _verified(path, entry):
    """Say whether `path` holds the published bytes. The size is asked first: it costs nothing."""
    if not path.is_file() or (entry.bytes and path.stat().st_size != entry.bytes):
        return False
    algorithm, digest = entry.checksum.split(":")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest() == digest


class _quiet_pooch:
    """Keep pooch's own log lines back for a moment: the kit says what happens in its own line."""

    def __enter__(self):
        self.level = pooch.get_logger().level
        pooch.get_logger().setLevel(logging.WARNING)

    def __exit__(self, *_):
        pooch.get_logger().setLevel(self.level)
