"""benchmarks/gpu.py runs, at a size and on a device where its figures mean nothing: rows, columns, finite ratios. No timing is judged."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import gpu  # noqa: E402

keras = pytest.importorskip("keras")
from cxrkit.data.phantom import make_phantom  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture
def small_network(monkeypatch):
    """A few layers in the place of EfficientNetV2S, whose compilation alone takes longer than this file's tests."""
    def build(include_top, weights, input_shape):
        pixels = keras.Input(input_shape)
        maps = keras.layers.Conv2D(4, 3, strides=4, name="stem_conv")(keras.layers.Rescaling(1 / 128, -1)(pixels))
        return keras.Model(pixels, keras.layers.Activation("swish")(keras.layers.BatchNormalization()(maps)), name="efficientnetv2-s")

    monkeypatch.setattr(keras.applications, "EfficientNetV2S", build)


SMALL = gpu.Settings(size=32, batch=8, films=32, rounds=2, precision="off")


def test_throughput_leaves_rates_and_finite_ratios(small_network, tmp_path, capsys):
    out = tmp_path / "gpu.csv"
    gpu.run(SMALL, ["throughput"], out)
    gpu.run(SMALL, ["throughput"], out)  # takes the place of the first
    table = pd.read_csv(out, keep_default_na=False)
    assert table["measure"].tolist() == [f"{what}, {of}" for what in ("features", "fine-tuning") for of in
                                         ("cxrkit", "bare loop", "cxrkit / bare loop", "input alone", "input alone / bare loop")]
    assert set(table["unit"]) == {"films/s", "ratio"} and np.isfinite(table["median"]).all() and (table["low"] > 0).all()
    assert (table["low"] <= table["median"]).all() and (table["median"] <= table["high"]).all()
    for column in ("cpu", "cores", "memory_gb", "gpu", "python", "tensorflow", "jax", "torch", "keras", "load"):
        assert (table[column].astype(str) != "").all(), column
    assert set(table["backend"]) == {keras.backend.backend()} and set(table["precision"]) == {"float32"}
    if set(table["device"]) == {"cpu"}:
        assert "mean nothing" in capsys.readouterr().out


def test_the_whole_profile_reports_minutes_and_validation_for_each_weights(small_network, tmp_path):
    from PIL import Image

    phantom = make_phantom(64, 48, seed=3)
    for number, image in enumerate(phantom.images):
        split, ill, series = ("train" if number < 48 else "test"), number % 2, number // 4
        name = f"person{series}_bacteria_{number}.jpeg" if ill else f"IM-{series:04d}-{number:04d}.jpeg"
        path = tmp_path / "films" / split / ("PNEUMONIA" if ill else "NORMAL") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    weights = tmp_path / "mine.weights.h5"
    keras.applications.EfficientNetV2S(False, None, (32, 32, 3)).save_weights(weights)
    settings = gpu.Settings(size=32, batch=8, precision="off", data=str(tmp_path / "films"), weights=(str(weights), "none"), runs=str(tmp_path / "runs"),
                            changes={"stored_size": 48, "head_epochs": 2, "fine_tune_epochs": 2, "views": 1})
    table = gpu.run(settings, ["paper"], None)
    assert table["measure"].str.contains("weights none").sum() == table["measure"].str.contains("weights mine").sum() == 6
    assert (table.loc[table["unit"] == "min", "median"] > 0).all() and table.loc[table["unit"] == "AUC", "median"].between(0, 1).all()
    assert set(table["epochs"]) == {2} and (tmp_path / "runs" / "gpu-tensorflow-none" / "model.keras").is_file()
    with pytest.raises(gpu.CxrkitError, match="would not be timed"):
        gpu.run(settings, ["paper"], None)


@pytest.mark.parametrize("backend", ("jax", "torch"))
def test_bare_loops_of_the_other_backends(backend):
    """The same file's first test, in a process whose Keras computes on another framework."""
    pytest.importorskip(backend, reason=f'{backend} is not installed: make test-backends, or pip install "cxrkit[{backend}]"')
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{__file__}::test_throughput_leaves_rates_and_finite_ratios"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"KERAS_BACKEND": backend})
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize(("words", "said"), [
    (["--data", "missing"], "No films at missing"),
    (["--only", "papre"], "No job 'papre'; there are throughput, paper."),
    (["--only", "paper"], "needs films: --data PATH"),
])
def test_what_cannot_be_run_ends_in_one_line(tmp_path, words, said):
    done = subprocess.run([sys.executable, str(BENCHMARKS / "gpu.py"), *words], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
