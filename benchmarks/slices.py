"""Part of a film set, laid out for both sides of a comparison: the same films train, the same films validate."""

import dataclasses
import os
from pathlib import Path

import numpy as np

import cxrkit
from cxrkit.data.chestxray2017 import Films


@dataclasses.dataclass(frozen=True)
class Slice:
    """`kit` holds {train,test}/{CLASS} as cxrkit reads it, `plain` {train,val}/{CLASS} as Keras does; `films` = `train` + `val`."""

    kit: Path
    plain: Path
    train: int
    val: int

    @property
    def films(self) -> int:
        return self.train + self.val


def make_slice(data, films: int | None, folder: Path) -> Slice:
    """Lay `films` training films of a folder out below `folder`, as links; None: all of them.

    They are taken evenly from each class's sorted list, in the set's own proportion, so every call takes the same. cxrkit cuts the
    validation films off by patient; Keras gets that very split as folders. A few test films make the set whole for cxrkit; no
    measurement opens them.
    """
    kit, plain = folder / "kit", folder / "plain"
    with Films(data) as source:
        found = {(split, label): [film for film in source.films if (film.split, film.label) == (split, label)]
                 for split in ("train", "test") for label in (0, 1)}
    total = sum(len(found["train", label]) for label in (0, 1))
    for (split, _), of_class in found.items():
        wanted = 2 if split == "test" else len(of_class) if films is None else max(2, round(films * len(of_class) / total))
        for place in np.unique(np.linspace(0, len(of_class) - 1, min(wanted, len(of_class))).round().astype(int)):
            _link(of_class[place].member, kit / of_class[place].path)
    # Small pixels: only the split is wanted here, and the films are decoded anew, and timed, where they are measured.
    table = cxrkit.load_dataset(cxrkit.configure("laptop", data=str(kit), stored_size=32, image_size=32), progress=False).table
    for row in table[table["split"] != "test"].itertuples():
        name = Path(row.path)
        _link(kit / name, plain / row.split / name.parent.name / name.name)
    return Slice(kit, plain, int((table["split"] == "train").sum()), int((table["split"] == "val").sum()))


def _link(film, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    os.symlink(Path(film).resolve(), place)
