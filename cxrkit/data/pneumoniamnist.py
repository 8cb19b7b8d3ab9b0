"""PneumoniaMNIST: the same films and test split, centre-cropped and shrunk to 28, 64, 128 or 224 pixels, in one npz file.

It brings its own validation split, cut by image: the file holds no patients, so nobody can say whether one person lies on
both sides of it.
"""

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from .. import locate
from ..errors import CxrkitError
from .dataset import SPLITS, TABLE_COLUMNS, Dataset
from .store import content_key, in_threads, open_store

SIZES = (28, 64, 128, 224)
MAX_BYTES = 4_000_000_000  # unpacked; the largest published file has 0.3
_AGAIN = "Get it with: cxrkit data get pneumoniamnist --size 224"


def file_name(size: int) -> str:
    """Return the published file name of a size: pneumoniamnist.npz for 28, pneumoniamnist_224.npz for 224."""
    return "pneumoniamnist.npz" if size == 28 else f"pneumoniamnist_{size}.npz"


def local_file(stored_size: int) -> Path | None:
    """Return the downloaded file that suits best: the smallest that is large enough, else the largest; None without any."""
    there = [size for size in SIZES if (locate.data_folder() / file_name(size)).is_file()]
    best = next((size for size in there if size >= stored_size), there[-1] if there else None)
    return locate.data_folder() / file_name(best) if best else None


def load(config, progress: bool = True) -> Dataset:
    """Return the Dataset of an npz file, resized to `config.stored_size` (enlarged films gain no detail). See `load_dataset`."""
    path = Path(config.data).expanduser() if config.data else local_file(config.stored_size)
    if path is None:
        raise CxrkitError(
            f"PneumoniaMNIST is not in {locate.data_folder()}. Get it (214 MB) with: cxrkit data get pneumoniamnist\n"
            "or name the npz file with --data PATH; the demo profile needs none.")
    try:
        with open(path, "rb") as file:
            key = content_key([hashlib.file_digest(file, "sha256").hexdigest()], config.stored_size)
    except OSError as error:
        raise CxrkitError(f"{path} cannot be read ({error.strerror or error}). Check --data. {_AGAIN}") from None

    def prepare():
        arrays, table = read_npz(path)
        films = [film for split in SPLITS for film in arrays[f"{split}_images"]]

        def fill(images):
            def one(row):
                film = films[row]
                if film.shape != images.shape[1:]:
                    film = np.asarray(Image.fromarray(film).resize(images.shape[1:], Image.Resampling.BILINEAR))
                images[row] = film
                return hashlib.sha256(films[row].tobytes()).hexdigest()

            hashes = in_threads(f"Resizing films to {config.stored_size} px", range(len(films)), one, progress)
            return table.assign(sha256=hashes, where=table["path"], problem="")

        return len(films), fill

    images, table, skipped = open_store(key, config.stored_size, prepare)
    table = table.assign(patient=table["path"], subtype="")[[*TABLE_COLUMNS, "mode"]]
    return Dataset("pneumoniamnist", images, table["label"].to_numpy(), table, skipped)


def read_npz(path) -> tuple[dict, pd.DataFrame]:
    """Return the arrays of an npz file, checked, and one table row a film.

    Returns
    -------
    ({"train_images": uint8 [n, s, s], "train_labels": int64 [n], … for val and test}, DataFrame with
    `path, split, label, width, height, bytes, mode`).

    Raises
    ------
    CxrkitError that names the file, what is wrong with it and the way out.
    """
    def bad(what):
        return CxrkitError(f"{path} {what}. {_AGAIN}")

    names = [f"{split}_{part}" for split in SPLITS for part in ("images", "labels")]
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            there = {member.filename.removesuffix(".npy"): member.file_size for member in archive.infolist()}
        for name in names:
            if name not in there:
                raise bad(f"has no array '{name}' (it holds {', '.join(sorted(there)) or 'nothing'})")
        if sum(there.values()) > MAX_BYTES:
            raise bad(f"unpacks to {sum(there.values()):,} bytes, far more than PneumoniaMNIST has")
        with np.load(path, allow_pickle=False) as file:  # a pickle could run any code: refused
            for name in names:
                arrays[name] = file[name]
    except CxrkitError:
        raise
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise CxrkitError(f"{path} cannot be read ({error.strerror}). Check --data. {_AGAIN}") from None
    except zipfile.BadZipFile as error:
        raise bad(f"is no whole npz file ({error}): perhaps a download that stopped half way") from None
    except Exception as error:  # what a damaged array can raise has no end: numpy, zlib and zipfile each bring theirs
        what = "holds pickled objects, which could run any code" if "allow_pickle" in str(error) else f"is damaged ({error})"
        raise bad(what) from None
    shape = arrays["train_images"].shape[1:]
    for split in SPLITS:
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != shape or shape[0] != shape[1] or not shape[0]:
            raise bad(f"has '{split}_images' of shape {images.shape} and type {images.dtype}; expected uint8 [n, s, s] "
                      "with one s for all splits")
        if labels.dtype.kind not in "iu" or labels.size != len(images) or labels.shape not in ((len(images),), (len(images), 1)):
            raise bad(f"has '{split}_labels' of shape {labels.shape} and type {labels.dtype} for {len(images):,} images; "
                      "expected whole numbers, one an image")
        arrays[f"{split}_labels"] = labels = labels.reshape(-1).astype(np.int64)
        if not np.isin(labels, (0, 1)).all():
            raise bad(f"has labels other than 0 and 1 in '{split}_labels'")
        if len(np.unique(labels)) < 2:
            found = f"only label {labels[0]}" if len(labels) else "nothing"
            raise bad(f"has {found} in '{split}_labels': two classes are needed")
    table = pd.DataFrame({
        "path": [f"{split}/{row:05d}" for split in SPLITS for row in range(len(arrays[f"{split}_labels"]))],
        "split": [split for split in SPLITS for _ in arrays[f"{split}_labels"]],
        "label": np.concatenate([arrays[f"{split}_labels"] for split in SPLITS]),
        "width": shape[1], "height": shape[0], "bytes": shape[0] * shape[1], "mode": "L",
    })
    return arrays, table
