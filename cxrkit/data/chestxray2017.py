"""Finds the films of ChestXray-2017 in a folder, or in a zip without unpacking it.

Known layouts, in any letter case, at any depth below the folder that is given:
    {train,test}/{NORMAL,PNEUMONIA}/*.jpeg                 as Mendeley Data publishes it
    {train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg             Kaggle's: 16 training films moved to `val`, folded back here
    chest_xray/{…} and chest_xray/chest_xray/{…}           Kaggle's archive: the second copy is left aside
"""

import collections
import dataclasses
import errno
import os
import stat
import time
import unicodedata
import zipfile
from pathlib import Path, PurePosixPath

from ..errors import CxrkitError
from .images import ENDINGS, MAX_BYTES, BadImage

_SPLITS = {"train": "train", "val": "train", "test": "test"}
_CLASSES = {"normal": ("NORMAL", 0), "pneumonia": ("PNEUMONIA", 1)}
LAYOUT = "train/NORMAL, train/PNEUMONIA, test/NORMAL and test/PNEUMONIA with .jpeg, .jpg or .png files"
GET = "or get the whole set with: cxrkit data get chestxray2017"


@dataclasses.dataclass(frozen=True)
class Film:
    """One file that lies where a film should: not opened yet."""

    path: str      # split/CLASS/name, the same for a folder and a zip
    split: str     # train or test
    label: int     # 1: pneumonia
    where: str     # as a message names it
    member: object  # pathlib.Path, or the zip's own record


class Films:
    """The films below a path, sorted by `path`. Use it as a context manager: it keeps a zip open.

    Attributes
    ----------
    films : list of Film. `refused` : list of (where, reason) of folders that could not be entered.
    """

    def __init__(self, location):
        self.location = Path(location).expanduser()
        self.zip = None
        self.refused = []
        if _is_folder(self.location):
            entries = self._walk(self.location)
        else:
            self.zip, entries = _open_zip(self.location)
        try:
            self.films = self._pick(list(entries))
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.zip is not None:
            self.zip.close()

    def read(self, film: Film) -> bytes:
        """Return the file's bytes; raises BadImage where it cannot be read. Threads may call it at the same time."""
        return self._read_member(film.member) if self.zip else _read_file(film.member)

    def state(self) -> str | None:
        """Return what the file system says of every film (size, times), or None where it cannot tell a change for certain.

        Times are too coarse for a file that was written in the last seconds: it might change again within the same tick.
        """
        files = [self.location] if self.zip else [film.member for film in self.films]
        lines = [str(self.location.resolve())]
        try:
            for film, status in zip(files, map(os.stat, files)):
                if not stat.S_ISREG(status.st_mode) or time.time_ns() - status.st_mtime_ns < 3e9:
                    return None
                lines.append(f"{film} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}")
        except OSError:
            return None
        return "\n".join(lines)

    def _read_member(self, member):
        if member.file_size > MAX_BYTES:
            raise BadImage(f"unpacks to {member.file_size:,} bytes, more than any film (a zip bomb?)")
        try:
            return self.zip.read(member)
        except NotImplementedError as error:
            raise BadImage(f"is packed in a way that Python's zip reader does not know ({error})") from None
        except Exception as error:  # zlib, CRC, a directory that lies: the archive is damaged at this member
            what = (str(error) or type(error).__name__).splitlines()[0][:80]
            raise BadImage(f"is damaged inside the archive ({what})") from None

    def _walk(self, folder, parts=(), above=()):
        """Yield (parts below the location, path) of every file; symbolic links are followed, loops are refused."""
        try:
            names = sorted(os.listdir(folder))
            status = os.stat(folder)
        except OSError as error:
            self.refused.append((_printable(str(folder)), _reason(error, folder)))
            return
        here = (status.st_dev, status.st_ino)
        if here in above:
            self.refused.append((_printable(str(folder)), "is a symbolic link to a folder above itself (a loop)"))
            return
        for name in names:
            if _hidden(name):
                continue
            if os.path.isdir(folder / name):
                yield from self._walk(folder / name, (*parts, name), (*above, here))
            else:
                yield (*parts, name), folder / name

    def _pick(self, entries):
        """Return the films of the one data set among the entries."""
        roots, strays = collections.defaultdict(list), []
        for parts, member in entries:
            if not parts[-1].lower().endswith(ENDINGS):
                continue
            if len(parts) >= 3 and parts[-3].lower() in _SPLITS and parts[-2].lower() in _CLASSES:
                roots[parts[:-3]].append((parts, member))
            else:
                strays.append(parts)
        if not roots:
            raise self._nothing(strays)
        complete = [root for root, found in roots.items() if {parts[-3].lower() for parts, _ in found} >= {"train", "test"}]
        root = min(complete or roots, key=lambda root: (len(root), root))
        rivals = [other for other in complete if other[: len(root)] != root]
        if rivals:
            raise CxrkitError(f"{self.location} holds two data sets, {_join(root) or '.'} and {_join(rivals[0])}. "
                              "Point --data at the one that you mean.")
        return sorted(self._unique(self._film(parts, member) for parts, member in roots[root]), key=lambda film: film.path)

    def _nothing(self, strays):
        if self.refused:
            return CxrkitError(f"{self.refused[0][0]} {self.refused[0][1]}. Mend that, {GET}")
        name = self.location.name.lower()
        if name in _SPLITS or name in _CLASSES:
            return CxrkitError(f"{self.location} is a part of a data set. Point --data at the folder that holds train and test.")
        found = f" ({len(strays):,} images lie elsewhere in it, for example {_join(strays[0])})" if strays else ""
        return CxrkitError(f"No films found in {self.location}{found}. It must hold {LAYOUT}; point --data there, {GET}")

    def _film(self, parts, member):
        (kind, label), split = _CLASSES[parts[-2].lower()], _SPLITS[parts[-3].lower()]
        where = f"{_join(parts)} in {self.location}" if self.zip else _printable(str(member))
        return Film(f"{split}/{kind}/{_printable(parts[-1])}", split, label, where, member)

    def _unique(self, films):
        """Leave aside a film that lies twice under one name (in `val` and in `train`, say); refuse two films of one name."""
        known = {}
        for film in films:
            first = known.setdefault(film.path, film)
            if first is film:
                continue
            try:
                same = self.read(first) == self.read(film)
            except BadImage:
                same = False
            if not same:
                raise CxrkitError(
                    f"Two different films have one name: {first.where} and {film.where}. Rename or remove one of them.")
        return known.values()


def _is_folder(path):
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise CxrkitError(f"{path} {_reason(error, path)}. Check --data, {GET}") from None
    return stat.S_ISDIR(mode)


def _open_zip(path):
    if not stat.S_ISREG(os.stat(path).st_mode) or path.suffix.lower() not in (".zip", ""):
        raise CxrkitError(f"{path} is neither a folder nor a zip. Point --data at the folder or zip that holds {LAYOUT}.")
    again = "Get it again, or unpack it by hand and point --data at the folder."
    try:
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise CxrkitError(f"{path} {_reason(error, path)}. Check --data, {GET}") from None
    except Exception as error:
        raise CxrkitError(f"{path} is no readable zip ({error}): perhaps a download that stopped half way. {again}") from None
    entries = []
    try:
        for member in archive.infolist():
            name = member.filename.replace("\\", "/")
            parts = PurePosixPath(name).parts
            if name.startswith("/") or ".." in parts or (parts and parts[0].endswith(":")):
                raise CxrkitError(
                    f"{path} holds a member that climbs out of its folder ({name!r}): do not trust it, and do not unpack it. "
                    "Get the set from its publisher with: cxrkit data get chestxray2017")
            if member.flag_bits & 1:
                raise CxrkitError(
                    f"{path} is encrypted (member {name!r}). Unpack it with its password and point --data at the folder.")
            if not name.endswith("/") and parts and not any(_hidden(part) for part in parts):
                entries.append((parts, member))
    except BaseException:
        archive.close()
        raise
    return archive, entries


def _read_file(path):
    try:
        # Without O_NONBLOCK a named pipe that is called .jpeg would hang here forever.
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise BadImage("is no ordinary file")
            if status.st_size > MAX_BYTES:
                raise BadImage(f"has {status.st_size:,} bytes, more than any film")
            return file.read()
    except OSError as error:
        raise BadImage(_reason(error, path)) from None


def _reason(error, path):
    if error.errno == errno.ELOOP:
        return "is a symbolic link that leads back to itself (a loop)"
    if isinstance(error, FileNotFoundError):
        return "is a symbolic link to a file that is not there" if os.path.islink(path) else "does not exist"
    if isinstance(error, PermissionError):
        return "may not be read by this user (permission denied; its owner can run chmod -R a+rX on it)"
    return f"cannot be read ({error.strerror or error})"


def _hidden(name):
    return name.startswith(".") or name == "__MACOSX"


def _join(parts):
    return "/".join(_printable(part) for part in parts)


def _printable(name):
    """Return a name that prints and that two systems spell alike: composed accents, escapes for bytes that are no UTF-8."""
    return unicodedata.normalize("NFC", os.fsencode(name).decode("utf-8", "backslashreplace"))
