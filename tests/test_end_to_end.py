"""The whole course from one command, as `make course` runs it: offline, with the demo profile, into a folder of its own.

Fine-tuning is shortened by a parameter, as an instructor would; its full length runs where the notebooks themselves are validated.
"""

import json
import os
import re
import subprocess
import sys

import nbformat
import pandas as pd
import pytest

pytest.importorskip("papermill")
pytestmark = pytest.mark.slow

NOTEBOOKS = ["00_start_here", "01_data_exploration", "02_frozen_training", "03_fine_tuning", "04_evaluation"]
# Whatever would use the network meets a closed door.
OFFLINE = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """Run the course once; returns (its run folder, what the command printed)."""
    home = tmp_path_factory.mktemp("course")
    folder = home / "my first run"
    places = {"CXRKIT_CACHE": str(home / "cache"), "CXRKIT_DATA": str(home / "data"), "KERAS_HOME": str(home / "keras")}
    command = [sys.executable, "-m", "cxrkit", "run", "--profile", "demo", "-p", "fine_tune_epochs", "2", "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | places | OFFLINE, cwd=home, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def test_every_notebook_ran_and_says_so(course):
    folder, printed = course
    assert re.findall(r"^done +(\S+)", printed, re.MULTILINE) == NOTEBOOKS
    assert "phantom" in printed and "The paper (real films)" in printed and f"Report: {folder / 'report.html'}" in printed
    for name in NOTEBOOKS:
        notebook = nbformat.read(folder / "notebooks" / f"{name}.ipynb", as_version=4)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in code if cell.source.strip()), name
    assert not list(folder.rglob("*.failed.ipynb")) and not list(folder.rglob(".*partial*")) and not list(folder.rglob("*.running.ipynb"))


def test_the_run_folder_holds_what_the_contract_says(course):
    folder, _ = course
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert (metrics["profile"], metrics["dataset"], metrics["backbone"]) == ("demo", "phantom", "efficientnetv2-s")
    locked = metrics["phases"]["fine_tuned"]["test"]["at_locked"]
    assert metrics["test"]["accuracy"] == locked["accuracy"] and metrics["threshold"]["value"] == locked["threshold"]
    history = pd.read_csv(folder / "history.csv")
    assert list(history.columns) == ["phase", "epoch", "loss", "accuracy", "val_loss", "val_accuracy", "val_auc", "seconds"]
    assert list(history["phase"].unique()) == ["frozen", "fine_tuned"] and (history["phase"] == "fine_tuned").sum() == 2
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert list(manifest["stages"]) == ["baseline", "frozen", "fine_tuned"] and manifest["seed"] == 0
    for split in ("val", "test"):
        for tail in ("", "_baseline", "_frozen"):
            table = pd.read_csv(folder / f"predictions_{split}{tail}.csv")
            assert {"path", "label", "probability"} <= set(table.columns) and table["probability"].between(0, 1).all()
    assert (folder / "model.keras").stat().st_size > 1e6 and (folder / "lock.json").is_file() and (folder / "splits.csv").is_file()


def test_the_network_beats_the_baseline_on_the_phantom(course):
    """Frozen features beat the pixels clearly, and fine-tuning costs none of it; another processor moves the third digit."""
    metrics = json.loads((course[0] / "metrics.json").read_text(encoding="utf-8"))
    baseline, frozen, fine_tuned = (block["test"]["auc"] for block in (metrics["baseline"], metrics["phases"]["frozen"], metrics["phases"]["fine_tuned"]))
    assert 0.70 < baseline < 0.85
    assert frozen > baseline + 0.03 and fine_tuned > baseline + 0.05 and fine_tuned > frozen - 0.01


def test_report_opens_with_the_table_and_shows_the_figures(course):
    page = (course[0] / "report.html").read_text(encoding="utf-8")
    assert page.index("Results on the test split") < page.index("<img") and page.count("data:image/png;base64,") == 4
    assert "Phantom films." in page and all(f"notebooks/{name}.html" in page for name in NOTEBOOKS)
