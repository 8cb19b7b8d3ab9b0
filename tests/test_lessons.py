"""What the lessons lean on: self-checks that name the misconception, the metrics file, the short error."""

import json

import numpy as np
import pandas as pd
import pytest

from cxrkit import checks, evaluation, results, stages
from cxrkit.config import configure
from cxrkit.errors import CxrkitError
from cxrkit.runs import open_run
from helpers import small_dataset

LABELS, TRAIN = np.array([1] * 5 + [0] * 3), np.array([1, 1, 1, 0])
HISTORY = pd.DataFrame({"phase": "fine_tuned", "epoch": [1, 2, 3, 4], "val_auc": [0.90, 0.97, 0.97, 0.95], "val_loss": [0.5, 0.3, 0.2, 0.4],
                        "loss": [0.6, 0.4, 0.1, 0.2]})
VILLAGE = dict(sensitivity=0.95, specificity=0.8, prevalence=0.05, test_precision=0.9)


@pytest.mark.parametrize("task, answer, facts, says", [
    ("01.1", 0.625, dict(labels=LABELS, train_labels=TRAIN), "this check passed"),
    ("01.1", 62.5, dict(labels=LABELS, train_labels=TRAIN), "this check passed"),
    ("01.1", 0.75, dict(labels=LABELS, train_labels=TRAIN), "training films"),
    ("01.1", 0.375, dict(labels=LABELS, train_labels=TRAIN), "share of normal films"),
    ("01.1", 0.5, dict(labels=LABELS, train_labels=TRAIN), "guessing"),
    ("02.1", 40000, dict(films=4000, epochs=10), "this check passed"),
    ("02.1", 4000, dict(films=4000, epochs=10), "one epoch"),
    ("03.1", 3, dict(history=HISTORY), "this check passed"),
    ("03.1", 4, dict(history=HISTORY), "last epoch"),
    ("04.1", 0.2, VILLAGE, "this check passed"),
    ("04.1", 0.9, VILLAGE, "films of which most show pneumonia"),
    ("04.1", 0.95, VILLAGE, "among the flagged"),
    ("04.1", 0.5, VILLAGE, "Of 1000 children 50 are ill"),
    ("04.1", None, VILLAGE, "in place of None"),
    ("04.1", "many", VILLAGE, "a number is asked for"),
])
def test_a_check_says_what_the_answer_looks_like(capsys, task, answer, facts, says):
    passed = checks.check(task, answer, **facts)
    printed = capsys.readouterr().out
    assert says in printed and passed == ("this check passed" in printed)


def test_an_unknown_question_names_the_nearest():
    with pytest.raises(CxrkitError, match="Did you mean '01.1'"):
        checks.check("1.1", 1)


@pytest.fixture
def scored(tmp_path):
    """A run with predictions of all three systems and a lock."""
    dataset = small_dataset(120)
    run = open_run(configure("demo", image_size=32, stored_size=32, bootstrap=50, out=str(tmp_path / "run")), dataset)
    stages.make_baseline(run)
    rng = np.random.default_rng(0)
    for stage, noise in (("frozen", 0.7), ("fine_tuned", 0.5)):
        with run.stage(stage):
            for split in ("val", "test"):
                labels = dataset.labels[dataset.index(split)]
                run.save_predictions(stage, split, np.clip(labels * (1 - noise) + noise * rng.random(len(labels)), 0, 1))
    val = run.read_predictions("fine_tuned", "val")
    run.lock_threshold("sensitivity", evaluation.choose_threshold(val["label"], val["probability"]), 0.95)
    return run


def test_metrics_file_keeps_the_contract(scored):
    val, test = (results.score_systems(scored, "sensitivity", 0.95, split) for split in ("val", "test"))
    results.write_metrics(scored, val, test)
    metrics = json.loads((scored.folder / "metrics.json").read_text())
    assert {"profile", "dataset", "backbone", "weights", "image_size", "seed", "phases", "baseline", "threshold", "test", "paper", "seconds"} <= set(metrics)
    assert set(metrics["phases"]) == {"frozen", "fine_tuned"} and set(metrics["baseline"]) == {"val", "test"}
    final = metrics["phases"]["fine_tuned"]["test"]
    for name in ("accuracy", "precision", "recall", "specificity", "npv", "f1", "confusion", "threshold"):
        assert metrics["test"][name] == final["at_locked"][name]
    assert metrics["test"]["threshold"] == metrics["threshold"]["value"] == scored.read_lock()["value"]
    predictions = scored.read_predictions("fine_tuned", "test")
    called = predictions["probability"] >= metrics["threshold"]["value"]
    assert metrics["test"]["accuracy"] == pytest.approx((called == (predictions["label"] == 1)).mean())


def test_each_system_is_locked_on_its_own_validation_films(scored):
    test = results.score_systems(scored, "sensitivity", 0.95, "test")
    for stage in ("baseline", "frozen"):
        val = scored.read_predictions(stage, "val")
        assert test[stage]["at_locked"]["threshold"] == evaluation.choose_threshold(val["label"], val["probability"], target_sensitivity=0.95)


def test_a_notebook_shows_the_message_and_not_our_stack(tmp_path):
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    from cxrkit.notebooks import own_kernel_manager

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import cxrkit\ncxrkit.configure('demo', sed=1)")])
    with pytest.raises(CellExecutionError):
        NotebookClient(notebook, timeout=120, kernel_manager_class=own_kernel_manager()).execute()
    error = notebook.cells[0].outputs[-1]
    assert error.output_type == "error" and "Did you mean 'seed'?" in error.evalue
    assert len(error.traceback) == 1 and "File" not in error.traceback[0]
