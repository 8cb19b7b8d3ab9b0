"""Small film sets that the tests make: real file names, tiny pictures."""

import io
import zipfile

import numpy as np
from PIL import Image

from cxrkit.config import configure

TRAIN = ("IM-0115-0001.jpeg", "IM-0115-0002.jpeg", "IM-0117-0001.jpeg", "NORMAL2-IM-0115-0001.jpeg", "IM-0119-0001-0001.jpeg",
         "IM-0119-0001-0002.jpeg", "IM-0122-0001.jpeg", "IM-0125-0001.jpeg")
TRAIN_PNEUMONIA = ("person1_bacteria_1.jpeg", "person1_bacteria_2.jpeg", "person1_virus_6.jpeg", "person2_bacteria_3.jpeg",
                   "person3_bacteria_10.jpeg", "person447_virus_921_1.jpeg", "person5_virus_12.jpeg", "person7_bacteria_24.jpeg")
TEST = ("IM-0001-0001.jpeg", "IM-0003-0001.jpeg", "NORMAL2-IM-0007-0001.jpeg", "NORMAL2-IM-0012-0001.jpeg")
TEST_PNEUMONIA = ("person2_virus_7.jpeg", "person80_bacteria_389.jpeg", "person81_bacteria_390.jpeg", "person3_virus_15.jpeg")
NAMES = {"train/NORMAL": TRAIN, "train/PNEUMONIA": TRAIN_PNEUMONIA, "test/NORMAL": TEST, "test/PNEUMONIA": TEST_PNEUMONIA}


def picture(seed, width=48, height=40):
    """A smooth random picture, uint8 [height, width]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def encoded(pixels, kind="JPEG", mode=None, **options):
    """The bytes of a file that holds `pixels`."""
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, kind, **options)
    return buffer.getvalue()


def film_files():
    """{path in the Mendeley layout: bytes} of 24 films, 8 + 8 for training and 4 + 4 for testing."""
    paths = [f"{folder}/{name}" for folder, names in NAMES.items() for name in names]
    return {path: encoded(picture(number), quality=90) for number, path in enumerate(paths)}


def write_folder(folder, files=None):
    """Write the files below `folder` and return it."""
    for path, data in (film_files() if files is None else files).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return folder


def write_zip(path, files):
    """Write the files into a zip and return its path."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def config_of(data, **changes):
    """The settings that load `data` at 32 pixels."""
    return configure("laptop", data=str(data), **({"stored_size": 32, "image_size": 32, "val_fraction": 0.25} | changes))


def npz_arrays(size=28, counts=(20, 8, 10)):
    """The six arrays of a PneumoniaMNIST file."""
    arrays = {}
    for number, (split, count) in enumerate(zip(("train", "val", "test"), counts)):
        arrays[f"{split}_images"] = np.stack([picture(1000 * number + i, size, size) for i in range(count)])
        arrays[f"{split}_labels"] = (np.arange(count) % 3 > 0).astype(np.uint8)[:, None]
    return arrays
