"""Loading, the store of decoded films, patients and the validation split."""

import hashlib
import os
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from films import config_of, encoded, film_files, npz_arrays, picture, write_folder, write_zip
from PIL import Image

from cxrkit.config import configure
from cxrkit.data import check_path, grouped_split, load_dataset, naive_key, patient_key
from cxrkit.data.chestxray2017 import Films
from cxrkit.data.dataset import TABLE_COLUMNS
from cxrkit.data.images import decode
from cxrkit.data.splits import add_patients, split_groups
from cxrkit.errors import CxrkitError


# ---- one film -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind, mode, options", [
    ("JPEG", "L", {"quality": 95}), ("JPEG", "RGB", {"quality": 95}), ("JPEG", "CMYK", {"quality": 95}),
    ("PNG", "L", {}), ("PNG", "RGB", {}), ("PNG", "RGBA", {}), ("PNG", "LA", {}), ("PNG", "P", {}),
])
def test_every_8_bit_mode_gives_the_same_greys(kind, mode, options):
    pixels = picture(3, 40, 40)
    found, facts = decode(encoded(pixels, kind, mode, **options), 40)
    assert facts == {"width": 40, "height": 40, "mode": mode}
    assert found.dtype == np.uint8 and found.shape == (40, 40)
    assert np.abs(found.astype(int) - pixels).mean() < 2


def test_16_bits_are_stretched_to_their_own_range():
    # 12 bits in a 16-bit file, as detectors write them: cut to 8 bits without a look it would be almost black.
    deep = (picture(1, 32, 32) // 2).astype(np.uint16) * 16 + 1000
    found, _ = decode(encoded(deep, "PNG"), 32)
    low, high = deep.min(), deep.max()
    assert (found.min(), found.max()) == (0, 255)
    assert np.abs(found - (deep - low) * 255.0 / (high - low)).max() <= 0.5


def test_shrinking_averages_and_large_jpegs_take_the_short_way_alike():
    stripes = np.tile(np.array([0, 255], np.uint8), (640, 320))
    assert np.abs(decode(encoded(stripes, "PNG"), 32)[0].astype(int) - 127).max() <= 2
    large = picture(5, 1600, 1200)
    found, facts = decode(encoded(large, quality=95), 96)  # decoded at a part of its size
    slow = np.asarray(Image.fromarray(large).resize((96, 96), Image.Resampling.BILINEAR))
    assert (facts["width"], facts["height"]) == (1600, 1200)
    assert np.abs(found.astype(int) - slow).max() <= 3


def test_exif_orientation_is_obeyed():
    pixels = picture(2, 64, 32)
    exif = Image.Exif()
    exif[0x0112] = 6  # a viewer turns it by 90 degrees clockwise
    found, facts = decode(encoded(pixels, quality=95, exif=exif), 32)
    upright, _ = decode(encoded(np.ascontiguousarray(np.rot90(pixels, -1)), quality=95), 32)
    assert np.abs(found.astype(int) - upright).max() <= 6
    assert (facts["width"], facts["height"]) == (64, 32)


# ---- folders and zips -----------------------------------------------------------------------------------------------

def test_a_folder_loads_as_the_dataset_promises(tmp_path):
    dataset = load_dataset(config_of(write_folder(tmp_path / "films")))
    assert dataset.images.shape == (24, 32, 32) and isinstance(dataset.images, np.memmap) and not dataset.images.flags.writeable
    assert [*dataset.table.columns] == [*TABLE_COLUMNS, "mode"]
    assert dataset.table["path"].is_monotonic_increasing
    assert (dataset.labels == dataset.table["path"].str.contains("PNEUMONIA")).all()
    for row in dataset.table.itertuples():
        data = (tmp_path / "films" / row.path).read_bytes()
        assert (row.width, row.height, row.bytes, row.sha256) == (48, 40, len(data), hashlib.sha256(data).hexdigest())
        assert (dataset.images[row.Index] == decode(data, 32)[0]).all()
    assert dataset.table["split"].value_counts().to_dict() == {"train": 12, "test": 8, "val": 4}
    sides = dataset.table.groupby("split")["patient"].agg(set)
    assert not sides["train"] & sides["val"] and not (sides["train"] | sides["val"]) & sides["test"]


def kaggle_archive(files):
    """Kaggle's packing of `files`: a `val` folder taken from training, a nested second copy, and a Mac's droppings."""
    inner = {}
    for number, (path, data) in enumerate(files.items()):
        inner[path.replace("train/", "val/") if path.startswith("train/") and number % 8 == 0 else path] = data
    outer = {f"chest_xray/{path}": data for path, data in inner.items()}
    outer |= {f"chest_xray/chest_xray/{path}": data for path, data in inner.items()}
    outer |= {f"chest_xray/__MACOSX/train/NORMAL/._{path.rsplit('/', 1)[-1]}": b"\0\5\x16\7" for path in inner}
    return outer | {f"chest_xray/train/{name}": b"x" for name in (".DS_Store", "NORMAL/.DS_Store", "NORMAL/._a.jpeg")}


def test_a_kaggle_zip_is_the_mendeley_folder(tmp_path):
    files = film_files()
    folder = load_dataset(config_of(write_folder(tmp_path / "films", files)))
    archive = load_dataset(config_of(write_zip(tmp_path / "archive.zip", kaggle_archive(files))))
    assert archive.fingerprint == folder.fingerprint
    pd.testing.assert_frame_equal(archive.table, folder.table)
    assert len(entries(tmp_path)) == 1  # one decoding serves both
    unpacked = load_dataset(config_of(write_folder(tmp_path / "unpacked", kaggle_archive(files))))
    assert unpacked.fingerprint == folder.fingerprint


def test_any_letter_case_of_folders_and_endings(tmp_path):
    cases = {"train": "Train", "test": "TEST", "NORMAL/": "Normal/", "PNEUMONIA/": "pneumonia/", ".jpeg": ".JPG"}
    renamed = film_files()
    for old, new in cases.items():
        renamed = {path.replace(old, new): data for path, data in renamed.items()}
    windows = write_zip(tmp_path / "windows.zip", {path.replace("/", "\\"): data for path, data in renamed.items()})
    for data in (write_folder(tmp_path / "films", renamed), windows):
        dataset = load_dataset(config_of(data))
        assert len(dataset) == 24 and dataset.table["path"][0] == "test/NORMAL/IM-0001-0001.JPG"
        assert dataset.table["subtype"].value_counts()["virus"] == 5


def test_names_of_any_language(tmp_path):
    files = film_files()
    files["train/NORMAL/Röntgen 胸部 🫁.jpeg"] = files.pop("train/NORMAL/IM-0117-0001.jpeg")
    files["train/NORMAL/Ro\u0308ntgen 2.jpeg"] = files.pop("train/NORMAL/IM-0122-0001.jpeg")  # spelt as a Mac spells it
    with pytest.warns(UserWarning, match="2 of 24 file names do not tell the patient"):
        dataset = load_dataset(config_of(write_folder(tmp_path / "früh", files)))
    assert {"train/NORMAL/Röntgen 胸部 🫁.jpeg", "train/NORMAL/Röntgen 2.jpeg"} <= set(dataset.table["path"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive = load_dataset(config_of(write_zip(tmp_path / "früh.zip", files)))
    assert archive.fingerprint == dataset.fingerprint


def test_a_film_in_val_and_in_train_counts_once(tmp_path):
    files = film_files()
    files["val/NORMAL/IM-0115-0001.jpeg"] = files["train/NORMAL/IM-0115-0001.jpeg"]
    assert len(load_dataset(config_of(write_folder(tmp_path / "films", files)))) == 24


def test_check_path_counts_what_is_there(tmp_path):
    report = check_path(write_folder(tmp_path / "films"))
    assert report.counts.to_dict("index") == {"train": {"normal": 8, "pneumonia": 8}, "test": {"normal": 4, "pneumonia": 4}}
    assert report.patients == {"train": 13, "test": 8} and not report.skipped
    assert "train" in str(report) and "24 films" in str(report)


# ---- the store ------------------------------------------------------------------------------------------------------

def entries(tmp_path):
    return sorted(path for path in (tmp_path / "cache" / "decoded").iterdir() if path.is_dir())


def test_films_are_decoded_once_and_again_when_one_changes(tmp_path):
    folder = write_folder(tmp_path / "films")
    first = load_dataset(config_of(folder))
    made = (entries(tmp_path)[0] / "images.npy").stat()
    assert load_dataset(config_of(folder)).fingerprint == first.fingerprint
    now = (entries(tmp_path)[0] / "images.npy").stat()
    assert (now.st_ino, now.st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    (folder / "train/NORMAL/IM-0117-0001.jpeg").write_bytes(encoded(picture(99)))
    changed = load_dataset(config_of(folder))
    assert changed.fingerprint != first.fingerprint and len(entries(tmp_path)) == 2
    assert load_dataset(config_of(folder, stored_size=40)).images.shape == (24, 40, 40)


def settle(folder):
    """Set the files' times back by a minute: a file of this very second is never trusted."""
    for path in folder.rglob("*.jpeg"):
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 60))


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_films_that_rest_are_not_opened_again(tmp_path, packed, monkeypatch):
    source = write_folder(tmp_path / "films")
    settle(source)
    if packed:
        source = write_zip(tmp_path / "films.zip", film_files())
        os.utime(source, (0, 1_700_000_000))
    opened = []
    read = Films.read
    monkeypatch.setattr(Films, "read", lambda self, film: opened.append(film.path) or read(self, film))
    first = load_dataset(config_of(source))
    assert len(opened) == 48  # to hash and to decode
    assert load_dataset(config_of(source)).fingerprint == first.fingerprint and len(opened) == 48
    if not packed:  # another film of the same length, with the old time put back
        film = source / "train/NORMAL/IM-0117-0001.jpeg"
        before = film.stat()
        film.write_bytes(film.read_bytes()[::-1])
        os.utime(film, ns=(before.st_atime_ns, before.st_mtime_ns))
        with pytest.raises(CxrkitError, match="IM-0117-0001.jpeg"):
            load_dataset(config_of(source))


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def drop_row(path):
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize("part, damage", [
    ("images.npy", cut), ("images.npy", lambda path: path.write_bytes(b"")), ("images.npy", lambda path: path.unlink()),
    ("table.csv", drop_row), ("table.csv", lambda path: path.write_text("path\n")), ("skipped.json", lambda path: path.unlink()),
], ids=["cut", "emptied", "removed", "row lost", "columns lost", "list lost"])
def test_a_damaged_entry_is_built_anew(tmp_path, part, damage):
    folder = write_folder(tmp_path / "films")
    whole = load_dataset(config_of(folder))
    images, fingerprint = np.array(whole.images), whole.fingerprint
    del whole
    damage(entries(tmp_path)[0] / part)
    leftover = entries(tmp_path)[0].with_name(entries(tmp_path)[0].name + ".tmp-1")
    leftover.mkdir()  # of a process that was killed
    again = load_dataset(config_of(folder))
    assert again.fingerprint == fingerprint and (again.images == images).all()
    assert not leftover.exists()


LOAD = """
import sys
from cxrkit.config import configure
from cxrkit.data import load_dataset
sys.stdin.readline()
dataset = load_dataset(configure("laptop", data=sys.argv[1], stored_size=32, image_size=32, val_fraction=0.25), progress=False)
import os
print(dataset.fingerprint, int(dataset.images.sum(dtype="int64")), os.stat(dataset.images.filename).st_ino)
"""


def test_two_processes_may_build_the_store_at_once(tmp_path):
    folder = write_folder(tmp_path / "films")
    both = [subprocess.Popen([sys.executable, "-c", LOAD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(2)]
    for process in both:  # both have imported what they need before either starts
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate()[0] for process in both]
    assert answers[0] and answers[0] == answers[1]
    assert [process.returncode for process in both] == [0, 0]
    assert len(entries(tmp_path)) == 1


# ---- patients and the split -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("name, patient, subtype, careless, more_careless", [
    ("person12_bacteria_31.jpeg", "person12_bacteria", "bacteria", "person12", "person12"),
    ("person12_virus_31.jpeg", "person12_virus", "virus", "person12", "person12"),
    ("person447_virus_921_1.jpeg", "person447_virus", "virus", "person447", "person447"),
    ("PERSON12_Virus_31.JPG", "person12_virus", "virus", "person12", "person12"),
    ("IM-0115-0001.jpeg", "IM-0115", "", "IM-0115", "IM-0115"),
    ("IM-0011-0001-0002.jpeg", "IM-0011", "", "IM-0011", "IM-0011"),
    ("NORMAL2-IM-0115-0001.jpeg", "NORMAL2-IM-0115", "", "NORMAL2-IM-0115", "IM-0115"),
    ("scan7.png", "", "", "", ""),
    ("person.jpeg", "", "", "", ""),
])
def test_patient_keys(name, patient, subtype, careless, more_careless):
    assert patient_key(name) == (patient, subtype)
    assert naive_key(name) == careless
    assert naive_key(name, drop_prefix=True) == more_careless


def name_table(count=60):
    """Training and test rows of the real scheme, with shared numbers and one film under two patients."""
    rows = []
    for n in range(count):
        rows += [(f"train/NORMAL/IM-{n:04}-{i:04}.jpeg", "train", 0) for i in range(1 + n % 2)]
        for kind in ("bacteria", "virus"):
            rows += [(f"train/PNEUMONIA/person{n}_{kind}_{n}{i}.jpeg", "train", 1) for i in range(1 + n % 3)]
        rows += [(f"test/NORMAL/NORMAL2-IM-{n:04}-0001.jpeg", "test", 0), (f"test/PNEUMONIA/scan{n}.jpeg", "test", 1)]
    table = pd.DataFrame(rows, columns=["path", "split", "label"])
    table["sha256"] = [hashlib.sha256(path.encode()).hexdigest() for path in table["path"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return add_patients(table)


def hash_of(split):
    return hashlib.sha256("\n".join(f"{row.path} {row.split}" for row in split.itertuples()).encode()).hexdigest()[:16]


def test_the_split_is_the_same_bytes_everywhere():
    assert hash_of(grouped_split(name_table(), 0.15, 0)) == "6928e1f2d2c314c6"
    assert hash_of(grouped_split(name_table(), 0.15, 1)) == "f66612d34efea1e4"


def test_the_split_keeps_groups_together_and_meets_its_share():
    table = name_table()
    split = grouped_split(table, 0.15, 0)
    train, val = split[split["split"] == "train"], split[split["split"] == "val"]
    assert not set(split_groups(train)) & set(split_groups(val))
    number = split["path"].str.extract(r"person(\d+)_", expand=False)
    assert not set(number[train.index].dropna()) & set(number[val.index].dropna())  # both subtypes of a number together
    for label in (0, 1):
        of_class = table[(table["split"] == "train") & (table["label"] == label)]
        assert 0 <= round(0.15 * len(of_class)) - (val["label"] == label).sum() <= 1
    assert (split["split"] == "test").equals(table["split"] == "test")
    assert table["split"].isin(["train", "test"]).all()  # the argument is left alone


def test_the_split_does_not_depend_on_the_order_of_rows():
    table = name_table()
    shuffled = table.sample(frac=1, random_state=3)
    assert grouped_split(shuffled, 0.2, 5).sort_index()["split"].equals(grouped_split(table, 0.2, 5)["split"])


def test_patients_who_share_a_film_stay_together():
    table = name_table()
    for seed in range(20):
        table = name_table()
        pair = table.index[table["path"].isin(["train/NORMAL/IM-0004-0000.jpeg", "train/NORMAL/IM-0006-0000.jpeg"])]
        table.loc[pair, "sha256"] = "one film under two names"
        assert grouped_split(table, 0.5, seed).loc[pair, "split"].nunique() == 1


def test_one_patient_cannot_be_split():
    table = name_table()
    table = table[(table["label"] == 1) | (table["patient"] == "IM-0001") | (table["split"] == "test")]
    with pytest.raises(CxrkitError, match="Only 1 patient.* of class normal .*Add films of other patients"):
        grouped_split(table, 0.15, 0)


def test_films_of_nobody_are_patients_of_their_own_with_one_warning(tmp_path):
    files = {path.rsplit("/", 1)[0] + f"/scan{number}.jpeg": data for number, (path, data) in enumerate(film_files().items())}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dataset = load_dataset(config_of(write_folder(tmp_path / "films", files)))
    assert [str(warning.message)[:60] for warning in caught] == ["24 of 24 file names do not tell the patient (for example tes"]
    assert dataset.table["patient"].nunique() == 24 and not dataset.has_patients


# ---- the other sources ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("size, stored", [(28, 32), (64, 64), (64, 48)])
def test_pneumoniamnist_keeps_its_own_validation_split(tmp_path, size, stored):
    arrays = npz_arrays(size)
    np.savez_compressed(tmp_path / "any.npz", **arrays)
    config = configure("laptop", data=str(tmp_path / "any.npz"), stored_size=stored, image_size=32)
    dataset = load_dataset(config)
    assert config.source == dataset.name == "pneumoniamnist"
    assert dataset.images.shape == (38, config.stored_size, config.stored_size) and isinstance(dataset.images, np.memmap)
    assert dataset.table["split"].value_counts().to_dict() == {"train": 20, "test": 10, "val": 8}
    assert dataset.labels.tolist() == [*arrays["train_labels"][:, 0], *arrays["val_labels"][:, 0], *arrays["test_labels"][:, 0]]
    assert not dataset.has_patients and set(dataset.table["width"]) == {size}
    assert dataset.table["sha256"][20] == hashlib.sha256(arrays["val_images"][0].tobytes()).hexdigest()
    if size == config.stored_size:
        assert (dataset.images[20] == arrays["val_images"][0]).all()
    assert load_dataset(config).fingerprint == dataset.fingerprint
    assert check_path(tmp_path / "any.npz").counts.loc["val"].sum() == 8


def test_downloaded_sets_are_found_without_a_path(tmp_path):
    (tmp_path / "data").mkdir()
    for size in (28, 64):
        np.savez(tmp_path / "data" / ("pneumoniamnist.npz" if size == 28 else "pneumoniamnist_64.npz"), **npz_arrays(size))
    config = configure("laptop", source="pneumoniamnist", stored_size=32, image_size=32)
    assert set(load_dataset(config).table["width"]) == {64}  # the smallest that is large enough
    write_zip(tmp_path / "data" / "ChestXRay2017.zip", {f"chest_xray/{path}": data for path, data in film_files().items()})
    assert len(load_dataset(configure("laptop", stored_size=32, image_size=32, val_fraction=0.25))) == 24


def test_the_phantom_gets_the_same_split():
    dataset = load_dataset(configure("demo", phantom_images=60, stored_size=32, image_size=32))
    assert set(dataset.table["split"]) == {"train", "val", "test"} and dataset.masks.shape == dataset.images.shape


# ---- the real films -------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def real_table(shared):
    root = shared / "data" / "chest_xray"
    paths = sorted(path for path in root.glob("*/*/*.jpeg"))
    rows = [(path.relative_to(root).as_posix(), path.parts[-3], int(path.parts[-2] == "PNEUMONIA"),
             hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths]
    return add_patients(pd.DataFrame(rows, columns=["path", "split", "label", "sha256"]))


@pytest.mark.realdata
def test_real_patients_by_the_right_key_and_two_careless_ones(real_table):
    from cxrkit.data.audit import shared_patients

    assert len(real_table) == 5840
    assert shared_patients(real_table) == {"right key": 0, "number alone": 170, "prefix dropped": 264}
    test = real_table[real_table["split"] == "test"]["subtype"].value_counts()
    assert (test["bacteria"], test["virus"]) == (242, 148)
    train = real_table[real_table["split"] == "train"]["subtype"].value_counts()
    assert (train["bacteria"], train["virus"]) == (2530, 1345)


@pytest.mark.realdata
def test_the_real_split_is_pinned(real_table):
    split = grouped_split(real_table, 0.15, 0)
    assert split[split["split"] == "val"]["label"].value_counts().to_dict() == {1: 581, 0: 201}
    assert hash_of(split) == "c71b4d32c2342e06"


@pytest.mark.realdata
def test_a_slice_of_real_films_loads(shared, tmp_path):
    root = shared / "data" / "chest_xray"
    for folder in ("train/NORMAL", "train/PNEUMONIA", "test/NORMAL", "test/PNEUMONIA"):
        (tmp_path / "slice" / folder).mkdir(parents=True)
        for path in sorted((root / folder).iterdir())[:40]:
            (tmp_path / "slice" / folder / path.name).symlink_to(path)
    dataset = load_dataset(config_of(tmp_path / "slice", stored_size=96, val_fraction=0.15))
    assert len(dataset) == 160 and dataset.images.std() > 40
    assert set(dataset.table["mode"]) == {"RGB"} and set(dataset.table["width"]) == {224}


@pytest.mark.realdata
def test_a_kaggle_zip_of_all_real_films_is_the_folder(shared, tmp_path):
    root = shared / "data" / "chest_xray"
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.glob("*/*/*.jpeg"))}
    packed, folder = (load_dataset(config_of(location, val_fraction=0.15), progress=False)
                      for location in (write_zip(tmp_path / "archive.zip", kaggle_archive(files)), root))
    assert len(packed) == 5840 and packed.fingerprint == folder.fingerprint
    assert packed.table[["path", "patient"]].equals(folder.table[["path", "patient"]])
