"""`cxrkit thresholds`: what it says of bad files, the notebook that it fills in, the server that it starts and ends."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxrkit import cli, lab_server
from cxrkit.errors import CxrkitError
from cxrkit.evaluation.table_file import read_predictions
from test_threshold_lab import make_run

ROOT = Path(__file__).resolve().parent.parent


def table(n=40, **changes):
    """A good predictions table with some columns changed."""
    rng = np.random.default_rng(0)
    return pd.DataFrame({"path": [f"film{i}.png" for i in range(n)], "label": np.arange(n) % 2, "probability": rng.random(n).round(4)} | changes)


@pytest.mark.parametrize("content, words", [
    (table().drop(columns="probability").rename(columns={"path": "path "}), "has no column 'path'. Did you mean 'path '?"),
    (table().rename(columns={"probability": "probabilty"}), "has no column 'probability'. Did you mean 'probabilty'?"),
    (table(probability=np.r_[np.full(39, 0.5), 1.2]), "between 0 and 1; row 39 holds 1.2"),
    (table(probability=np.r_[0.5, np.nan, np.full(38, 0.5)]), "1 of the probabilities are missing (NaN), the first in row 1"),
    (table(probability="high"), "The probabilities are not numbers (first: 'high')"),
    (table(label=np.ones(40, int)), "All 40 films are pneumonia"),
    (table(label=np.arange(40) % 3), "Labels must be 0 (normal) or 1 (pneumonia); row 2 holds 2"),
    (table(label=["NORMAL", "PNEUMONIA"] * 20), "The labels are not numbers (first: 'NORMAL')"),
    (table(0), "no predictions (0 rows)"),
    (table(split="holdout"), "row 0 names the split 'holdout'"),
    (table(split="test"), "no validation rows (split val)"),
    (table(label=np.r_[np.zeros(20, int), np.ones(20, int)], split=["val"] * 20 + ["test"] * 20), "split 'val': All 20 films are normal"),
    ("", "is empty; its first line must name the columns path, label, probability"),
    ('path,label,probability\n"a,1,0.5\n', "cannot be read as a CSV table"),
    (b"\x89PNG\r\n\x1a\n\xff\xfe", "cannot be read as a CSV table"),
])
def test_a_bad_file_gets_one_clear_line_and_exit_code_2(tmp_path, capsys, content, words):
    path = tmp_path / "mine.csv"
    if isinstance(content, pd.DataFrame):
        content.to_csv(path, index=False)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SystemExit) as end:
        cli.main(["thresholds", str(path), "--no-browser"])
    said = capsys.readouterr().err
    assert end.value.code == 2 and words in said and str(path) in said and len(said.strip().splitlines()) <= 2, said
    assert [p.name for p in tmp_path.iterdir()] == ["mine.csv"], "nothing is written for a file that cannot be used"


@pytest.mark.parametrize("name, words", [("gone.csv", "does not exist"), ("", "holds no run")])
def test_a_missing_file_or_an_empty_folder_is_named(tmp_path, name, words):
    with pytest.raises(CxrkitError, match=words):
        lab_server.lab_notebook(tmp_path / name)


def test_splits_are_read_in_any_spelling_and_training_rows_left_out(tmp_path):
    path = tmp_path / "p.csv"
    table(60, split=["Validation", "VAL", "test", " Test ", "train", "training"] * 10).to_csv(path, index=False)
    found = read_predictions(path)
    assert found["split"].value_counts().to_dict() == {"val": 20, "test": 20} and found["label"].dtype == "int64"


def test_a_million_rows_work(tmp_path):
    from cxrkit.widgets import ThresholdLab

    n = 1_000_000
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, n)
    path = tmp_path / "many.csv"
    pd.DataFrame({"path": "f.png", "label": labels, "probability": np.clip(0.5 + 0.3 * (labels - 0.5) + rng.normal(0, 0.2, n), 0, 1).round(4)}).to_csv(path, index=False)
    lab = ThresholdLab(path)
    lab.attach(lab.explorer())
    lab.threshold = 0.6
    assert sum(lab.state.table["confusion"].values()) == n and "At threshold 0.600" in lab.state.sentence
    assert len(lab.explorer().boxes[1].value) < 20_000, "a drawing stays small, however many films there are"


def test_the_notebook_is_filled_in_beside_the_file_and_kept(tmp_path):
    path = tmp_path / "my 'best' model.csv"
    table().to_csv(path, index=False)
    made = lab_server.lab_notebook(path)
    assert made == tmp_path / "my 'best' model.thresholds.ipynb"
    content = json.loads(made.read_text())
    (cell,) = [cell for cell in content["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    names = {}
    exec(cell["source"], names)
    assert names["source"] == str(path)
    content["cells"][0]["source"] = "my notes"
    made.write_text(json.dumps(content))
    assert "my notes" in lab_server.lab_notebook(path).read_text(), "what its reader wrote is not overwritten"


@pytest.mark.parametrize("ending", ["", ".csv"])
def test_the_lab_of_a_copy_opens_the_copy_and_keeps_what_was_written(tmp_path, ending):
    first, second = tmp_path / f"run{ending}", tmp_path / f"copy{ending}"
    if ending:
        table().to_csv(first, index=False)
    else:
        assert make_run(tmp_path).folder == first
    made = lab_server.lab_notebook(first)
    content = json.loads(made.read_text())
    content["cells"][0]["source"] = "my notes"
    content["cells"][-1] |= {"cell_type": "code", "outputs": [{"output_type": "stream", "name": "stdout", "text": "of the first"}], "execution_count": 3}
    made.write_text(json.dumps(content))
    if ending:
        shutil.copy(first, second)
        shutil.copy(made, second.with_name("copy.thresholds.ipynb"))
    else:
        shutil.copytree(first, second)
    text = lab_server.lab_notebook(second).read_text()
    assert repr(str(second)) in text and repr(str(first)) not in text, "its button would lock the other one"
    assert "my notes" in text and "of the first" not in text
    assert "of the first" in lab_server.lab_notebook(first).read_text(), "nothing changes where the path is right"
    lab_server.lab_notebook(second).write_text("{}")
    with pytest.raises(CxrkitError, match="Rename it"):
        lab_server.lab_notebook(second)


def test_the_packaged_notebook_is_its_source_and_has_not_run():
    jupytext, nbformat = pytest.importorskip("jupytext"), pytest.importorskip("nbformat")
    packaged, source = (nbformat.read(lab_server.TEMPLATE, as_version=4), jupytext.read(ROOT / "notebooks" / "source" / "thresholds.py"))
    assert [(c.cell_type, c.source) for c in packaged.cells] == [(c.cell_type, c.source) for c in source.cells], "edit the source, then: make notebooks"
    assert not any(cell.get("outputs") for cell in packaged.cells)


@pytest.mark.slow
def test_the_lab_runs_headless_on_any_predictions_file(tmp_path):
    """As papermill and a page without a kernel meet it: pictures, no error, and no lock that nobody asked for."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    from cxrkit.notebooks import own_kernel_manager, still_life

    path = tmp_path / "mine.csv"
    table(80, split=["val", "val", "test", "test"] * 20).to_csv(path, index=False)
    notebook = nbformat.read(lab_server.lab_notebook(path), as_version=4)
    nbclient.NotebookClient(notebook, timeout=120, kernel_manager_class=own_kernel_manager()).execute()
    shown = [o for cell in still_life(notebook).cells if cell.cell_type == "code" for o in cell.outputs if o.output_type == "display_data"]
    assert len(shown) == 6 and sum("image/png" in o.data for o in shown) == 5
    assert not (tmp_path / "mine.lock.json").exists()


def eventually(condition, seconds=30):
    """Return what a condition gives as soon as it gives something."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
    return found


@pytest.mark.slow
def test_the_server_prints_an_address_that_answers_and_ends_with_ctrl_c(tmp_path):
    pytest.importorskip("jupyterlab")
    path = tmp_path / "mine.csv"
    table().to_csv(path, index=False)
    places = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime", "IPYTHONDIR": "ipython"}
    browser = tmp_path / "browser"  # writes down its command line, which other users of a machine can read
    browser.write_text(f'#!/bin/sh\necho "$@" > "{tmp_path}/opened.part" && mv "{tmp_path}/opened.part" "{tmp_path}/opened"\n')
    browser.chmod(0o755)
    command = [sys.executable, "-m", "cxrkit", "thresholds", str(path)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
                              preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell has it ignored
                              env=os.environ | {name: str(tmp_path / folder) for name, folder in places.items()} | {"BROWSER": f"{browser} %s"})
    try:
        said = ""
        for line in server.stdout:
            said += line
            if "Ctrl-C" in line:
                break
        address = re.search(r"http://127\.0\.0\.1:\d+/lab/tree/mine\.thresholds\.ipynb\?token=\w+", said)
        assert address, said
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        assert opener.open(address[0], timeout=20).status == 200
        opened = eventually(lambda: (tmp_path / "opened").is_file() and (tmp_path / "opened").read_text().strip())
        token = address[0].split("token=")[1]
        page = Path(urllib.request.url2pathname(urllib.parse.urlsplit(opened).path))
        assert token not in opened and page.parent.stat().st_mode & 0o077 == 0 and f"mine.thresholds.ipynb?token={token}" in page.read_text()
        with pytest.raises(urllib.error.HTTPError, match="403"):
            opener.open(re.sub(r"/lab/.*", "/api/contents", address[0]), timeout=20)
        os.killpg(server.pid, signal.SIGINT)
        assert server.wait(timeout=30) == 0
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
