"""The benchmarks run, at sizes where their figures mean nothing: every job, its columns, finite positive ratios. No timing is judged."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxrkit.data.phantom import make_phantom

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import machine  # noqa: E402
import measures  # noqa: E402
import slices  # noqa: E402
import training  # noqa: E402

MACHINE = ["cpu", "cores", "memory_gb", "os", "python", "tensorflow", "keras", "load"]


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A folder of 64 phantom films as JPEG, 48 to train and 16 to test, half of them ill, two films a patient."""
    folder = tmp_path_factory.mktemp("films")
    phantom = make_phantom(64, 48, seed=3)
    for number, (image, ill) in enumerate(zip(phantom.images, np.arange(64) % 2)):
        split, series = ("train" if number < 48 else "test"), number // 4
        name = f"person{series}_bacteria_{number}.jpeg" if ill else f"IM-{series:04d}-{number:04d}.jpeg"
        path = folder / split / ("PNEUMONIA" if ill else "NORMAL") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).convert("RGB").save(path)
    return folder


@pytest.fixture(scope="module")
def small_network():
    """A few layers in the place of EfficientNetV2-B0, whose compilation alone takes longer than these tests."""
    keras = pytest.importorskip("keras")

    def build(include_top, weights, input_shape):
        pixels = keras.Input(input_shape)
        maps = keras.layers.Conv2D(4, 3, strides=4, name="stem_conv")(keras.layers.Rescaling(1 / 128, -1)(pixels))
        return keras.Model(pixels, keras.layers.Activation("swish")(keras.layers.BatchNormalization()(maps)), name="efficientnetv2-b0")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.applications, "EfficientNetV2B0", build)
        yield


@pytest.fixture(scope="module")
def results(films, small_network, tmp_path_factory):
    """The file after one run of every job."""
    out = tmp_path_factory.mktemp("results") / "training.csv"
    settings = training.Settings(str(films), weights="none", size=32, batch=4, epochs=2, counts=(24, 48), step_films=48, steps=3, turns=2,
                                 sizes=(32, 40), race_size=32, fresh=False)
    training.run(settings, training.JOBS, out)
    return out


def test_every_job_leaves_its_rows_with_the_machine(results):
    table = pd.read_csv(results, keep_default_na=False)
    assert set(table["job"]) == set(training.JOBS)
    wanted = ["job", "measure", "films", "size", "batch", "epochs", "median", "low", "high", "repeats", "unit", "goal", *MACHINE]
    assert [column for column in table.columns if column != "gpu"] == wanted
    assert (table[MACHINE] != "").all(axis=None)
    assert (table["low"] <= table["median"]).all() and (table["median"] <= table["high"]).all()


def test_ratios_seconds_and_memory_are_finite_and_positive(results):
    table = pd.read_csv(results, keep_default_na=False)
    extrapolated = table["measure"].str.contains("line")  # through two noisy points a line may start below 0
    positive = table[table["unit"].isin(["ratio", "s", "ms", "MiB", "batches/s"]) & ~extrapolated]
    assert np.isfinite(table["median"]).all()
    assert (positive["low"] > 0).all(), positive[positive["low"] <= 0]["measure"].tolist()
    for wanted in ("frozen phase, plain Keras / cxrkit", "fine-tuning step, plain Keras / cxrkit", "input, cxrkit: batches made / batches taken"):
        assert len(positive[positive["measure"] == wanted]) >= 1, wanted
    assert table.loc[table["unit"] == "AUC", "median"].between(0, 1).all()


def test_a_job_by_itself_replaces_its_rows_and_no_others(results, monkeypatch):
    before = pd.read_csv(results, keep_default_na=False)
    monkeypatch.setitem(training.JOBS, "race", lambda settings: [training._row("race, again", [1.0, 3.0], "s")])
    after = training.run(training.Settings("nowhere"), ["race"], results)
    assert after.loc[after["job"] == "race", "measure"].tolist() == ["race, again"]
    assert after.loc[after["job"] == "race", "median"].tolist() == [2.0]
    pd.testing.assert_frame_equal(after[after["job"] != "race"].reset_index(drop=True), before[before["job"] != "race"].reset_index(drop=True),
                                  check_dtype=False)


@pytest.mark.parametrize("wanted, found", [(24, 24), (None, 48)])
def test_both_sides_see_the_same_films(films, tmp_path, wanted, found):
    part = slices.make_slice(films, wanted, tmp_path)
    kit, plain = ({path.name for path in folder.rglob("*.jpeg")} for folder in (part.kit / "train", part.plain))
    assert kit == plain and len(kit) == part.films == found
    patients = {split: {path.name.split("_")[0].rsplit("-", 1)[0] for path in (part.plain / split).rglob("*.jpeg")} for split in ("train", "val")}
    assert patients["val"] and not patients["train"] & patients["val"]


def test_a_measure_runs_in_a_process_of_its_own(films):
    found = measures.in_process("race_pixels", data=str(films), size=32, on="val")
    assert 0 <= found["auc"] <= 1 and found["judged"] > 0
    assert found["whole_seconds"] > 0 and found["peak_mb"] < machine.peak_mb() + 4096


def test_a_failing_measure_is_told_with_its_reason(tmp_path):
    with pytest.raises(SystemExit, match="race_pixels.*\n(.*\n)*.*does not exist"):
        measures.in_process("race_pixels", data=str(tmp_path / "missing"), size=32, on="val")


def test_exponents_come_back():
    assert training._exponent([2, 4, 8], [12, 48, 192]) == pytest.approx(2)


@pytest.mark.parametrize("arguments, said", [(["--only", "frozzen"], "No job 'frozzen'; there are frozen"), ([], "No films: name their folder")])
def test_wrong_calls_end_in_one_line(arguments, said):
    done = subprocess.run([sys.executable, str(BENCHMARKS / "training.py"), *arguments], capture_output=True, text=True)
    assert done.returncode == 2 and said in done.stdout and "Traceback" not in done.stderr


def test_machine_is_plain_values():
    found = machine.describe(("keras", "no-such-package"))
    assert json.loads(json.dumps(found)) == found
    assert found["no-such-package"] == "absent" and found["cores"] >= 1 and found["memory_gb"] > 0
