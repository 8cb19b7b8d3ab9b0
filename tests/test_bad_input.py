"""Bad input: each kind gets one clear line that names the file and the way out, and --skip-bad goes on without it."""

import io
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from films import config_of, encoded, film_files, npz_arrays, picture, write_folder, write_zip
from PIL import Image

from cxrkit.config import configure
from cxrkit.data import check_path, load_dataset
from cxrkit.errors import CxrkitError

VICTIM = "train/PNEUMONIA/person5_virus_12.jpeg"
PNG_VICTIM = "train/PNEUMONIA/person5_virus_12.png"


def refused(call, *words):
    """Return the error's message: one or two lines, with all of `words` in it."""
    with pytest.raises(CxrkitError) as caught:
        call()
    message = str(caught.value)
    assert len(message.splitlines()) <= 2
    for word in words:
        assert str(word) in message, message
    return message


def bomb():
    """A PNG of 30,000 × 30,000 pixels in a kilobyte."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def damaged_png():
    data = bytearray(encoded(picture(5), "PNG"))
    data[len(data) // 2] ^= 255
    return bytes(data)


WHOLE = encoded(picture(5, 200, 160), quality=90)
# kind: (file name, bytes, what the line must say)
BAD_FILES = {
    "truncated JPEG": (VICTIM, WHOLE[: len(WHOLE) // 2], "is truncated"),
    "truncated PNG": (PNG_VICTIM, encoded(picture(5, 200, 160), "PNG")[:3000], "truncated"),
    "JPEG cut in its header": (VICTIM, WHOLE[:40], ""),
    "empty file": (VICTIM, b"", "is empty (0 bytes)"),
    "text renamed .jpeg": (VICTIM, b"Patient: unknown\n" * 30, "it looks like text"),
    "web page renamed .jpeg": (VICTIM, b"<!doctype html><title>404</title>", "it looks like text"),
    "DICOM renamed .jpeg": (VICTIM, b"\0" * 128 + b"DICM" + b"\0" * 300, "DICOM"),
    "GIF renamed .jpeg": (VICTIM, encoded(picture(5), "GIF"), "GIF"),
    "1×1 pixel": (VICTIM, encoded(picture(5, 1, 1)), "is 1×1 pixels, too small"),
    "decompression bomb": (PNG_VICTIM, bomb(), "decompression bomb"),
    "large image": (PNG_VICTIM, encoded(np.zeros((100, 700_000), np.uint8), "PNG"), "700,000×100 pixels"),
    "damaged PNG": (PNG_VICTIM, damaged_png(), ""),
}


@pytest.mark.parametrize("kind", BAD_FILES)
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_a_bad_film_is_named_and_can_be_skipped(tmp_path, kind, packed):
    name, data, words = BAD_FILES[kind]
    files = film_files()
    del files[VICTIM]
    files[name] = data
    source = write_zip(tmp_path / "films.zip", files) if packed else write_folder(tmp_path / "films", files)
    where = f"{name} in {source}" if packed else str(source / name)
    message = refused(lambda: load_dataset(config_of(source)), where, words, "Replace or remove it", "--skip-bad")
    assert refused(lambda: check_path(source)) == message
    assert refused(lambda: load_dataset(config_of(source))) == message  # from the store as well
    dataset = load_dataset(config_of(source, skip_bad=True))
    assert len(dataset) == 23 and name not in set(dataset.table["path"])
    assert [path for path, _ in dataset.skipped] == [where] and words in dataset.skipped[0][1]
    assert (dataset.images.reshape(23, -1).std(axis=1) > 1).all()
    assert check_path(source, skip_bad=True).skipped == dataset.skipped


def test_several_bad_films_are_counted(tmp_path):
    files = film_files() | {VICTIM: b"", "train/NORMAL/IM-0117-0001.jpeg": b"", "test/NORMAL/IM-0003-0001.jpeg": b"x"}
    folder = write_folder(tmp_path / "films", files)
    refused(lambda: load_dataset(config_of(folder)), folder / "test/NORMAL/IM-0003-0001.jpeg", "2 more bad", "cxrkit data check")
    assert len(load_dataset(config_of(folder, skip_bad=True)).skipped) == 3
    assert str(check_path(folder, skip_bad=True)).count("left out:") == 3


def test_a_repaired_film_is_taken_up_again(tmp_path):
    folder = write_folder(tmp_path / "films", film_files() | {VICTIM: b""})
    refused(lambda: load_dataset(config_of(folder)))
    (folder / VICTIM).write_bytes(WHOLE)
    assert len(load_dataset(config_of(folder))) == 24


@pytest.mark.parametrize("kind, data", [
    ("16 bits", encoded(picture(5).astype(np.uint16) * 16, "PNG")),
    ("CMYK", encoded(picture(5), "JPEG", "CMYK")),
    ("palette", encoded(picture(5), "PNG", "P")),
])
def test_unusual_but_sound_modes_are_converted(tmp_path, kind, data):
    folder = write_folder(tmp_path / "films", film_files())
    (folder / VICTIM).unlink()
    (folder / PNG_VICTIM).write_bytes(data)
    dataset = load_dataset(config_of(folder))
    film = dataset.images[dataset.table.index[dataset.table["path"] == PNG_VICTIM][0]].astype(float)
    plain = np.asarray(Image.fromarray(picture(5)).resize((32, 32), Image.Resampling.BILINEAR)).astype(float)
    assert np.corrcoef(film.ravel(), plain.ravel())[0, 1] > 0.99


# ---- links and permissions ------------------------------------------------------------------------------------------

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX links, pipes and permissions")


@posix
@pytest.mark.parametrize("make, words", [
    (lambda path: path.symlink_to(path), "leads back to itself"),
    (lambda path: path.symlink_to(path.with_name("gone.jpeg")), "a file that is not there"),
    (lambda path: os.mkfifo(path), "is no ordinary file"),
], ids=["loop of a file", "broken link", "named pipe"])
def test_links_that_lead_nowhere(tmp_path, make, words):
    folder = write_folder(tmp_path / "films")
    (folder / VICTIM).unlink()
    make(folder / VICTIM)
    refused(lambda: load_dataset(config_of(folder)), folder / VICTIM, words, "--skip-bad")
    assert len(load_dataset(config_of(folder, skip_bad=True))) == 23


@posix
def test_a_loop_of_folders(tmp_path):
    folder = write_folder(tmp_path / "films")
    (folder / "train" / "again").symlink_to(folder)
    refused(lambda: load_dataset(config_of(folder)), folder / "train" / "again", "a loop", "remove it")
    dataset = load_dataset(config_of(folder, skip_bad=True))
    assert len(dataset) == 24 and "a loop" in dataset.skipped[0][1]
    (tmp_path / "self").symlink_to(tmp_path / "self")
    refused(lambda: load_dataset(config_of(tmp_path / "self")), tmp_path / "self", "a loop", "Check --data")


ON_A_SMALL_DISK = """
import os, sys
from cxrkit.config import configure
from cxrkit.data import load_dataset
from cxrkit.errors import CxrkitError
os.environ["CXRKIT_CACHE"] = sys.argv[1]
try:
    print("loaded", len(load_dataset(configure("laptop", data=sys.argv[2], skip_bad=True, val_fraction=0.25), progress=False)))
except CxrkitError as error:
    print(error)
print([path for _, _, files in os.walk(sys.argv[1]) for path in files if path.endswith(".npy")])
"""


@posix
def test_a_disk_that_fills_up_while_films_are_left_out(tmp_path):
    """Decoded films are mapped: where the disk has no room for a page, the system kills the process."""
    folder, cache = write_folder(tmp_path / "films"), tmp_path / "disk"
    (folder / VICTIM).write_bytes(b"")
    cache.mkdir()
    need = 24 * 224 * 224  # the decoded films, of which there are two copies for a moment

    def on_a_disk_of(size):
        mounted = ["unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"', "sh"]
        if os.geteuid() != 0 or not shutil.which("unshare") or subprocess.run([*mounted, "9999", cache, "true"], capture_output=True).returncode:
            pytest.skip("no small disk can be made here")
        done = subprocess.run([*mounted, str(size), cache, sys.executable, "-c", ON_A_SMALL_DISK, cache, folder], capture_output=True, text=True)
        assert done.returncode == 0, (done.returncode, done.stderr)
        return done.stdout

    said = on_a_disk_of(int(1.5 * need))
    assert "cannot be kept" in said and "No space left on device" in said and "CXRKIT_CACHE" in said and said.endswith("[]\n"), said
    assert on_a_disk_of(int(2.5 * need)) == "loaded 23\n['images.npy']\n"


# The reader must be an ordinary user, since root reads everything. What is imported late is imported before root is given up.
AS_NOBODY = """
import json, os, sys
from cxrkit.config import configure
from cxrkit.data import load_dataset
from cxrkit.errors import CxrkitError
os.environ["CXRKIT_CACHE"] = sys.argv[1] + "/warm"
load_dataset(configure("laptop", data=sys.argv[2], stored_size=32, image_size=32, val_fraction=0.25), progress=False)
os.environ["CXRKIT_CACHE"] = sys.argv[1] + "/cache"
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
answers = []
for data, skip in json.loads(sys.argv[3]):
    try:
        config = configure("laptop", data=data, skip_bad=skip, stored_size=32, image_size=32, val_fraction=0.25)
        answers.append(f"loaded {len(load_dataset(config, progress=False))}")
    except CxrkitError as error:
        answers.append(str(error))
print(json.dumps(answers))
"""


@pytest.fixture
def open_folder():
    """A folder that every user may enter (pytest's own are closed to others)."""
    folder = Path(tempfile.mkdtemp(prefix="cxrkit-test-"))
    folder.chmod(0o777)
    yield folder
    for path, folders, _ in os.walk(folder):
        for name in folders:
            os.chmod(os.path.join(path, name), 0o755)
    shutil.rmtree(folder)


def as_nobody(folder, sound, *loads):
    loads = json.dumps([(str(data), skip) for data, skip in loads])
    answer = subprocess.run([sys.executable, "-c", AS_NOBODY, str(folder), str(sound), loads], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


@posix
def test_files_that_this_user_may_not_read(open_folder):
    sound, closed_film = write_folder(open_folder / "sound"), write_folder(open_folder / "film")
    closed_folder = write_folder(open_folder / "folder")
    (closed_film / VICTIM).chmod(0)
    (closed_folder / "test" / "NORMAL").chmod(0)
    closed_zip = write_zip(open_folder / "closed.zip", film_files())
    closed_zip.chmod(0)
    film, skipped, folder, archive = as_nobody(
        open_folder, sound, (closed_film, False), (closed_film, True), (closed_folder, False), (closed_zip, False))
    assert f"{closed_film / VICTIM} may not be read by this user (permission denied" in film
    assert "chmod" in film and "--skip-bad" in film
    assert skipped == "loaded 23"
    assert f"{closed_folder / 'test' / 'NORMAL'} may not be read by this user" in folder and "--skip-bad" in folder
    assert f"{closed_zip} may not be read by this user" in archive


@posix
def test_a_cache_that_cannot_be_written(open_folder):
    sound = write_folder(open_folder / "sound")
    (open_folder / "cache").mkdir(mode=0o555)
    answer, = as_nobody(open_folder, sound, (sound, False))
    assert f"cannot be kept in {open_folder / 'cache' / 'decoded'}" in answer and "CXRKIT_CACHE" in answer


# ---- the set as a whole ---------------------------------------------------------------------------------------------

def without(*folders):
    return {path: data for path, data in film_files().items() if not path.startswith(folders)}


TWICE = {f"{root}/{path}": data for root in ("one", "two") for path, data in film_files().items()}


@pytest.mark.parametrize("files, words", [
    (without("test/"), ("has no test films", "the split is missing", "test/NORMAL")),
    (without("train/"), ("has no train films", "the split is missing")),
    (without("train/NORMAL"), ("train/NORMAL in", "the class is empty")),
    (without("test/PNEUMONIA"), ("test/PNEUMONIA in", "the class is empty")),
    (without("train/NORMAL", "test/NORMAL"), ("All films in", "are PNEUMONIA", "two classes are needed")),
    (without("train/PNEUMONIA", "test/PNEUMONIA"), ("All films in", "are NORMAL")),
    ({"readme.txt": b"hello"}, ("No films found in", "train/NORMAL")),
    ({"a.jpeg": WHOLE, "b/c.jpeg": WHOLE}, ("No films found in", "2 images lie elsewhere in it, for example a.jpeg")),
    (TWICE, ("holds two data sets, one and two",)),
    (film_files() | {"val/NORMAL/IM-0115-0001.jpeg": WHOLE}, ("Two different films have one name", "val/NORMAL", "Rename")),
], ids=["no test", "no train", "empty class", "empty test class", "one class", "the other class", "no images", "elsewhere",
        "two sets", "one name"])
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_sets_that_cannot_be_used(tmp_path, files, words, packed):
    source = write_zip(tmp_path / "films.zip", files) if packed else write_folder(tmp_path / "films", files)
    way_out = ("Point --data", "point --data", "cxrkit data get", "Rename")
    message = refused(lambda: load_dataset(config_of(source)), source, *words)
    assert any(words in message for words in way_out)
    refused(lambda: check_path(source), source, *words)


def test_a_class_that_is_empty_once_the_bad_films_are_left_out(tmp_path):
    files = film_files() | {path: b"" for path in film_files() if path.startswith("test/NORMAL")}
    folder = write_folder(tmp_path / "films", files)
    refused(lambda: load_dataset(config_of(folder, skip_bad=True)), "test/NORMAL", "the class is empty", "4 bad", "IM-0001-0001")
    refused(lambda: check_path(folder, skip_bad=True), "test/NORMAL", "the class is empty", "4 bad")


def test_paths_that_are_no_set(tmp_path):
    folder = write_folder(tmp_path / "films")
    refused(lambda: load_dataset(config_of(tmp_path / "gone")), tmp_path / "gone", "does not exist", "Check --data")
    refused(lambda: load_dataset(config_of(folder / "train")), folder / "train", "is a part of a data set", "train and test")
    refused(lambda: load_dataset(config_of(folder / VICTIM)), folder / VICTIM, "neither a folder nor a zip")
    refused(lambda: load_dataset(configure("laptop")), "cxrkit data get chestxray2017", "--data", "demo profile")
    refused(lambda: load_dataset(configure("laptop", source="pneumoniamnist")), "cxrkit data get pneumoniamnist", "--data")


# ---- zips -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["../../evil.jpeg", "train/../../evil.jpeg", "/etc/evil.jpeg", "C:\\evil.jpeg", "..\\evil.jpeg"])
def test_a_zip_that_climbs_out_is_refused(tmp_path, name):
    path = write_zip(tmp_path / "films.zip", film_files() | {name: WHOLE})
    refused(lambda: load_dataset(config_of(path, skip_bad=True)), path, "climbs out of its folder", "do not trust it", "data get")
    assert not list(tmp_path.rglob("evil*")) and not list(tmp_path.parent.glob("evil*"))


def encrypted(path):
    """Set the flag that says "encrypted" on every member of a zip."""
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = data.find(mark)
        while start >= 0:
            data[start + offset] |= 1
            start = data.find(mark, start + 4)
    path.write_bytes(data)


def flip(path):
    """Change one byte inside the first member."""
    data = bytearray(path.read_bytes())
    data[300] ^= 255
    path.write_bytes(data)


@pytest.mark.parametrize("damage, words", [
    (encrypted, ("is encrypted", "password")),
    (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), ("is no readable zip", "stopped half way")),
    (lambda path: path.write_bytes(b"PK\3\4 not really"), ("is no readable zip", "unpack it by hand")),
    (lambda path: path.write_bytes(b""), ("is no readable zip",)),
    (flip, ("is damaged inside the archive", "--skip-bad")),
], ids=["encrypted", "truncated", "no zip", "empty", "one byte changed"])
def test_zips_that_cannot_be_read(tmp_path, damage, words):
    path = write_zip(tmp_path / "films.zip", film_files())
    damage(path)
    refused(lambda: load_dataset(config_of(path)), path, *words)


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "films.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in film_files().items():
            archive.writestr(name, bytes(300_000_000) if name == VICTIM else data)
    refused(lambda: load_dataset(config_of(path)), VICTIM, "300,000,000 bytes", "zip bomb", "--skip-bad")


# ---- npz files ------------------------------------------------------------------------------------------------------

def changed(**arrays):
    """The bytes of an npz with some arrays replaced (None: left out)."""
    buffer = io.BytesIO()
    np.savez(buffer, **{name: array for name, array in (npz_arrays() | arrays).items() if array is not None})
    return buffer.getvalue()


SOUND_NPZ = changed()
BAD_NPZ = {
    "missing split": (changed(test_images=None, test_labels=None), "has no array 'test_images'"),
    "missing labels": (changed(val_labels=None), "has no array 'val_labels'"),
    "colour images": (changed(train_images=np.zeros((20, 28, 28, 3), np.uint8)), "expected uint8 [n, s, s]"),
    "floats": (changed(train_images=np.zeros((20, 28, 28))), "type float64"),
    "sizes differ": (changed(test_images=np.zeros((10, 64, 64), np.uint8)), "'test_images' of shape (10, 64, 64)"),
    "labels too few": (changed(train_labels=np.zeros(19, np.uint8)), "'train_labels' of shape (19,)"),
    "other labels": (changed(val_labels=np.full(8, 7, np.uint8)), "labels other than 0 and 1"),
    "one class": (changed(train_labels=np.ones(20, np.uint8)), "only label 1 in 'train_labels'"),
    "empty split": (changed(test_images=np.zeros((0, 28, 28), np.uint8), test_labels=np.zeros(0, np.uint8)), "nothing in 'test_"),
    "pickled objects": (changed(train_images=np.array([{"code": 1}], dtype=object)), "holds pickled objects"),
    "truncated": (SOUND_NPZ[: len(SOUND_NPZ) // 2], "is no whole npz file"),
    "text": (b"not an array at all", "is no whole npz file"),
    "empty": (b"", "is no whole npz file"),
    "one byte changed": (SOUND_NPZ[:2000] + bytes([SOUND_NPZ[2000] ^ 255]) + SOUND_NPZ[2001:], "is "),
}


@pytest.mark.parametrize("kind", BAD_NPZ)
def test_bad_npz_files(tmp_path, kind):
    data, words = BAD_NPZ[kind]
    path = tmp_path / "own.npz"
    path.write_bytes(data)
    config = configure("laptop", data=str(path), stored_size=32, image_size=32)
    refused(lambda: load_dataset(config), path, words, "cxrkit data get pneumoniamnist")
    refused(lambda: check_path(path), path, words)
    assert not list((tmp_path / "cache").rglob("*.npy"))  # nothing bad is kept


def test_an_npz_that_is_not_there(tmp_path):
    config = configure("laptop", data=str(tmp_path / "gone.npz"))
    refused(lambda: load_dataset(config), tmp_path / "gone.npz", "No such file", "Check --data")
    refused(lambda: check_path(tmp_path / "gone.npz"), tmp_path / "gone.npz", "No such file")


def test_a_source_that_may_not_be_read_is_not_taken_for_a_full_disk(open_folder):
    """`cxrkit data get --from FILE`: the fault lies with the file, not with where it goes."""
    (open_folder / "films.zip").write_bytes(b"PK")
    (open_folder / "films.zip").chmod(0)
    code = ("import os, sys; from cxrkit.data.download import fetch; from cxrkit.errors import CxrkitError\n"
            "if os.geteuid() == 0:\n    os.setgroups([]), os.setgid(65534), os.setuid(65534)\n"
            "for name in ('chestxray2017', 'pneumoniamnist'):\n"
            "    try:\n        fetch(name, from_path=sys.argv[1] + '/films.zip', folder=sys.argv[1] + '/data')\n    except CxrkitError as error:\n        print(error)")
    done = subprocess.run([sys.executable, "-c", code, str(open_folder)], capture_output=True, text=True)
    assert done.stdout.count("films.zip cannot be read by this user") == 2, done.stdout + done.stderr
