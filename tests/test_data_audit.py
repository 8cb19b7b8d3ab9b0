"""The audit: patients, duplicates, sizes and the metadata-only classifier, on originals that the tests make."""

import io

import numpy as np
import pytest
from films import config_of, encoded, npz_arrays, picture, write_folder
from PIL import Image, ImageEnhance

from cxrkit.config import configure
from cxrkit.data import audit_dataset, load_dataset
from cxrkit.data.audit import near_duplicates


def originals(telling, count=160):
    """Files of pure noise, so that only the file can tell the class.

    `telling` names what differs: "size", "quality", "mode" or "" for nothing.
    """
    rng = np.random.default_rng(7)
    files = {}
    for number in range(count):
        split = "test" if number % 8 == 0 else "train"
        for label, kind in enumerate(("NORMAL", "PNEUMONIA")):
            width = 64 + 8 * rng.integers(0, 4) + (24 * label if telling == "size" else 0)
            quality = 60 + 5 * rng.integers(0, 3) + (25 if telling == "quality" and not label else 0)
            mode = "RGB" if telling == "mode" and label and number % 2 else "L"
            name = f"person{number}_virus_{number}.jpeg" if label else f"IM-{number:04}-0001.jpeg"
            pixels = rng.integers(0, 256, (64, int(width)), dtype=np.uint8)
            files[f"{split}/{kind}/{name}"] = encoded(pixels, "JPEG", mode, quality=int(quality))
    return files


@pytest.mark.parametrize("telling, low, high", [("size", 0.85, 1.0), ("quality", 0.85, 1.0), ("mode", 0.65, 1.0), ("", 0.3, 0.7)])
def test_the_metadata_classifier_reads_files_that_tell_and_no_others(tmp_path, telling, low, high):
    dataset = load_dataset(config_of(write_folder(tmp_path / "films", originals(telling))))
    audit = audit_dataset(dataset, progress=False)
    assert low <= audit.metadata_auc <= high
    assert audit.metadata_interval[0] <= audit.metadata_auc <= audit.metadata_interval[1]
    reading = audit.table.set_index("check")["reading"]["Metadata only"]
    assert ("give away the class" in reading) == bool(telling)
    assert (audit.metadata_interval[0] > 0.5) == bool(telling)


def test_the_metadata_classifier_never_sees_the_test_films(tmp_path):
    # Test files that tell their class loudly: an AUC that moved with them would have looked at them.
    plain = originals("")
    loud = {path: data for path, data in originals("size").items() if path.startswith("test/")}
    first, second = (audit_dataset(load_dataset(config_of(write_folder(tmp_path / name, files))), progress=False)
                     for name, files in (("plain", plain), ("loud", plain | loud)))
    assert first.metadata_auc == second.metadata_auc


def saved_anew(pixels, brightness):
    buffer = io.BytesIO()
    ImageEnhance.Brightness(Image.fromarray(pixels)).enhance(brightness).resize((150, 120)).save(buffer, "JPEG", quality=40)
    return buffer.getvalue()


def film(seed, width=200, height=160):
    """A picture with detail of every size, as films have it (a hash of a smooth one would be made of rounding)."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    phases = np.fft.fft2(np.random.default_rng(seed).normal(size=(height, width)))
    grey = np.fft.ifft2(phases / np.maximum(frequency, 1 / width)).real
    return (40 + 160 * (grey - grey.min()) / np.ptp(grey)).astype(np.uint8)


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """Films with an exact copy under another patient and a near copy that leaks from training into test."""
    films = {}
    for number in range(40):
        split, kind = ("test" if number % 5 == 0 else "train"), ("PNEUMONIA" if number % 2 else "NORMAL")
        name = f"person{number}_bacteria_{number}.jpeg" if number % 2 else f"IM-{number:04}-0001.jpeg"
        films[f"{split}/{kind}/{name}"] = encoded(film(number), quality=90)
    films["train/NORMAL/IM-0900-0001.jpeg"] = films["train/NORMAL/IM-0002-0001.jpeg"]
    films["test/PNEUMONIA/person901_virus_1.jpeg"] = saved_anew(film(2), 1.1)
    folder = tmp_path_factory.mktemp("copied")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXRKIT_CACHE", str(folder / "cache"))
        return load_dataset(config_of(write_folder(folder / "films", films), stored_size=64))


def test_exact_and_near_duplicates_are_found(copied):
    audit = audit_dataset(copied, progress=False)
    paths = copied.table["path"]
    exact = [f"train/NORMAL/IM-{number}-0001.jpeg" for number in ("0002", "0900")]
    assert [sorted(paths[rows]) for rows in audit.exact_duplicates] == [exact]
    found = {frozenset((paths[row.first], paths[row.second])) for row in audit.near_duplicates.itertuples()}
    leak = "test/PNEUMONIA/person901_virus_1.jpeg"
    assert found == {frozenset((path, leak)) for path in exact}
    assert audit.near_duplicates["across_test"].all() and audit.near_duplicates["across_labels"].all()
    assert not audit.near_duplicates["same_patient"].any()
    results = audit.table.set_index("check")["result"]
    assert results["Exact duplicates"].startswith("1 groups") and "1 across patients" in results["Exact duplicates"]
    assert results["Near duplicates"].endswith("2 across training and test")
    # The exact pair is one group for the split.
    assert copied.table.loc[audit.exact_duplicates[0], "split"].nunique() == 1


def test_the_distance_limit_decides(copied):
    assert len(near_duplicates(copied, progress=False, limit=0)[0]) < 2
    every_pair_but_the_exact_one = len(copied) * (len(copied) - 1) // 2 - 1
    assert len(near_duplicates(copied, progress=False, limit=255)[0]) == every_pair_but_the_exact_one


def test_the_figure_says_what_it_shows(copied):
    audit = audit_dataset(copied, progress=False)
    figure = audit.figure()
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["Class balance", "Patients in training and test", "Most similar other film", "Image sizes", "File sizes",
                      "Metadata-only classifier"]
    assert all(axes.get_xlabel() for axes in figure.axes)
    assert "chestxray2017" in figure.get_suptitle()
    assert audit.reading().startswith("Class balance: train ")


def test_the_phantom_is_called_a_phantom():
    audit = audit_dataset(load_dataset(configure("demo", phantom_images=80, stored_size=32, image_size=32)), progress=False)
    assert "phantom" in audit.figure().get_suptitle()
    assert "phantom" in audit.table.set_index("check")["reading"]["Metadata only"]
    assert audit.shared_patients["right key"] == 0


def test_a_set_without_patients_or_files(tmp_path):
    np.savez(tmp_path / "own.npz", **npz_arrays(counts=(60, 20, 20)))
    dataset = load_dataset(configure("laptop", data=str(tmp_path / "own.npz"), stored_size=32, image_size=32))
    audit = audit_dataset(dataset, progress=False)
    assert audit.shared_patients == {} and audit.metadata_auc == 0.5
    assert audit.table.set_index("check")["result"]["Patients"] == "the data set tells none"
    audit.figure()


@pytest.mark.realdata
def test_real_films_hold_thirty_exact_groups(shared):
    config = configure("laptop", data=str(shared / "data" / "chest_xray"), stored_size=64, image_size=64)
    dataset = load_dataset(config, progress=False)
    groups = [rows for rows in dataset.table.groupby("sha256").indices.values() if len(rows) > 1]
    assert len(groups) == 30
    assert all(dataset.table["split"].iloc[rows].nunique() == 1 for rows in groups)
    one_film = dataset.table["path"].str.contains("NORMAL2-IM-009[56]-0001")
    assert dataset.table[one_film]["sha256"].nunique() == 1 and dataset.table[one_film]["patient"].nunique() == 2
