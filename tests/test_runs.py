"""The run folder: nothing overwritten, nothing half-written, the lock holds."""

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from cxrkit import files, locks
from cxrkit.config import configure
from cxrkit.errors import CxrkitError
from cxrkit.files import atomic_path
from cxrkit.runs import open_run
from helpers import small_dataset


@pytest.fixture
def dataset():
    return small_dataset()


def config(tmp_path, **changes):
    return configure("demo", image_size=32, stored_size=32, out=str(tmp_path / "run"), **changes)


def finish(run, stage="fine_tuned"):
    with run.stage(stage):
        for split in ("val", "test"):
            run.save_predictions(stage, split, np.linspace(0, 1, len(run.dataset.index(split))))


def test_a_folder_with_another_run_is_refused_and_kept(tmp_path, dataset):
    run = open_run(config(tmp_path), dataset)
    finish(run)
    before = (run.folder / "manifest.json").read_bytes()
    with pytest.raises(CxrkitError, match=r"seed 0 → 1.*\n.*out=PATH"):
        open_run(config(tmp_path, seed=1), dataset)
    assert (run.folder / "manifest.json").read_bytes() == before


def test_a_stage_is_current_until_its_settings_change(tmp_path, dataset):
    finish(open_run(config(tmp_path), dataset), "frozen")
    assert open_run(config(tmp_path), dataset).is_current("frozen")
    changed = open_run(config(tmp_path, head_epochs=3), dataset)
    assert changed.has("frozen") and not changed.is_current("frozen")


def test_fine_tuning_is_stale_when_the_frozen_phase_was_made_anew(tmp_path, dataset):
    run = open_run(config(tmp_path), dataset)
    finish(run, "frozen")
    finish(run, "fine_tuned")
    assert run.is_current("fine_tuned")
    run = open_run(config(tmp_path, head_epochs=3), dataset)
    finish(run, "frozen")
    assert not run.is_current("fine_tuned")


def test_the_lock_outlives_the_process_and_refuses_a_second_rule(tmp_path, dataset):
    run = open_run(config(tmp_path), dataset)
    finish(run)
    assert run.read_lock() is None
    run.lock_threshold("sensitivity", 0.31, 0.95)
    again = open_run(config(tmp_path), dataset)
    assert again.lock_threshold("sensitivity", 0.77, 0.95)["value"] == 0.31
    with pytest.raises(CxrkitError, match="locked at 0.3100 by the rule 'sensitivity'"):
        again.lock_threshold("youden", 0.6, 0.95)


def test_who_locks_at_the_same_moment_waits_and_is_told(tmp_path):
    path, said = tmp_path / "lock.json", []
    second = threading.Thread(target=lambda: said.append(locks.write_lock(path, "model", "sensitivity", 0.7, 0.95)["value"]))
    with files.locked(tmp_path / ".lock.json.lock"):  # the first is about to write
        second.start()
        second.join(timeout=0.5)
        assert second.is_alive() and not path.exists()
        files.write_json(path, {"model": {"rule": "sensitivity", "value": 0.2, "target_sensitivity": 0.95}})
    second.join()
    assert said == [0.2]


def test_leftovers_are_cleared_while_another_process_writes(tmp_path):
    old = tmp_path / ".partial-old.json"
    old.write_text("")
    os.utime(old, (0, 0))
    end = threading.Event()

    def write():
        while not end.is_set():
            files.write_json(tmp_path / "manifest.json", {})

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(3000):
            files.clear_partials(tmp_path)
    finally:
        end.set()
        for writer in writers:
            writer.join()
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_a_value_set_by_hand_is_locked_as_it_is(tmp_path, dataset):
    run = open_run(config(tmp_path), dataset)
    finish(run)
    run.lock_threshold("manual", 0.4, 0.95)
    again = open_run(config(tmp_path), dataset)
    assert again.lock_threshold("manual", 0.4, 0.8)["value"] == 0.4, "the target is no term of a value set by hand"
    with pytest.raises(CxrkitError, match=r"locked at 0.4000 by the rule 'manual' \(0.4000\).*'manual' \(0.4100\)"):
        again.lock_threshold("manual", 0.41, 0.95)


def test_the_cost_rule_is_locked_with_its_terms(tmp_path, dataset):
    run = open_run(config(tmp_path), dataset)
    finish(run)
    run.lock_threshold("cost", 0.2, 0.95, cost_ratio=20.0, prevalence=0.1)
    assert run.lock_threshold("cost", 0.3, 0.9, cost_ratio=20.0, prevalence=0.1)["value"] == 0.2
    with pytest.raises(CxrkitError, match="ratio 20"):
        run.lock_threshold("cost", 0.2, 0.95, cost_ratio=5.0, prevalence=0.1)


def test_a_damaged_lock_does_not_open_the_test_split_again(tmp_path, dataset):
    run = open_run(config(tmp_path), dataset)
    finish(run)
    (run.folder / "lock.json").write_text('{"cut')
    with pytest.raises(CxrkitError, match="lock.json is damaged"):
        run.lock_threshold("youden", 0.6, 0.95)


def test_a_new_model_needs_a_new_lock_and_counts_as_another_look(tmp_path, dataset):
    run = open_run(config(tmp_path), dataset)
    finish(run)
    assert run.lock_threshold("sensitivity", 0.3, 0.95)["looks"] == 1
    run = open_run(config(tmp_path, fine_tune_epochs=2), dataset)
    finish(run)
    assert run.read_lock() is None
    assert run.lock_threshold("youden", 0.5, 0.95)["looks"] == 2


def test_a_model_that_was_locked_keeps_its_lock_when_another_came_between(tmp_path, dataset):
    for epochs, rule in ((4, "sensitivity"), (2, "youden")):
        run = open_run(config(tmp_path, fine_tune_epochs=epochs), dataset)
        finish(run)
        run.lock_threshold(rule, 0.3, 0.95)
    run = open_run(config(tmp_path, fine_tune_epochs=4), dataset)
    finish(run)
    with pytest.raises(CxrkitError, match="locked at 0.3000 by the rule 'sensitivity'"):
        run.lock_threshold("youden", 0.6, 0.95)


def test_two_open_notebooks_see_each_others_stages(tmp_path, dataset):
    first, second = open_run(config(tmp_path), dataset), open_run(config(tmp_path), dataset)
    finish(second, "frozen")
    assert first.has("frozen")
    finish(first, "baseline")
    assert set(open_run(config(tmp_path), dataset).manifest["stages"]) == {"frozen", "baseline"}


def test_an_interrupted_stage_of_other_settings_leaves_no_mixture(tmp_path, dataset):
    finish(open_run(config(tmp_path), dataset), "frozen")
    other = open_run(config(tmp_path, head_epochs=50), dataset)
    with pytest.raises(KeyboardInterrupt), other.stage("frozen"):
        raise KeyboardInterrupt
    assert not open_run(config(tmp_path), dataset).has("frozen")


def test_a_fine_tuned_model_of_an_older_frozen_phase_does_not_count(tmp_path, dataset):
    run = open_run(config(tmp_path), dataset)
    finish(run, "frozen")
    finish(run, "fine_tuned")
    assert run.has("fine_tuned")
    finish(open_run(config(tmp_path, head_epochs=3), dataset), "frozen")
    assert not run.has("fine_tuned")


def test_an_unwritable_folder_and_a_full_disk_are_named(tmp_path):
    full = Path("/dev/full")
    with pytest.raises(CxrkitError, match="metrics.json could not be written"), atomic_path(tmp_path / "metrics.json"):
        if not full.exists():
            raise OSError(28, "No space left on device")
        full.write_text("x" * 100_000)
    with pytest.raises(CxrkitError, match="could not be written"), atomic_path(tmp_path / "gone" / "metrics.json"):
        pass


def test_history_replaces_a_phase_and_keeps_the_other(tmp_path, dataset):
    import pandas as pd

    run = open_run(config(tmp_path), dataset)
    row = dict(loss=0.5, accuracy=0.8, val_loss=0.5, val_accuracy=0.8, val_auc=0.9, seconds=1.0)
    run.save_history("fine_tuned", pd.DataFrame([{"epoch": 1, **row}]))
    run.save_history("frozen", pd.DataFrame([{"epoch": e, **row} for e in (1, 2)]))
    run.save_history("frozen", pd.DataFrame([{"epoch": e, **row} for e in (1, 2, 3)]))
    history = run.read_history()
    assert list(history["phase"]) == ["frozen"] * 3 + ["fine_tuned"] and list(history["epoch"]) == [1, 2, 3, 1]


def test_an_interrupted_write_leaves_the_old_file_whole(tmp_path):
    target = tmp_path / "model.keras"
    target.write_text("whole")
    with pytest.raises(KeyboardInterrupt), atomic_path(target) as partial:
        partial.write_text("ha")
        raise KeyboardInterrupt
    assert target.read_text() == "whole" and [p.name for p in tmp_path.iterdir()] == ["model.keras"]


def test_a_broken_manifest_is_named(tmp_path, dataset):
    run = open_run(config(tmp_path), dataset)
    (run.folder / "manifest.json").write_text('{"cut')
    with pytest.raises(CxrkitError, match="manifest.json cannot be read"):
        open_run(config(tmp_path), dataset)


def test_missing_predictions_name_the_stage(tmp_path, dataset):
    with pytest.raises(CxrkitError, match="the stage 'frozen' has not been run here"):
        open_run(config(tmp_path), dataset).read_predictions("frozen", "val")


def test_manifest_records_what_was_left_out(tmp_path, dataset):
    dataset.skipped.append(("train/NORMAL/x.jpeg", "empty file"))
    run = open_run(config(tmp_path), dataset)
    assert json.loads((run.folder / "manifest.json").read_text())["data"]["skipped"] == [{"path": "train/NORMAL/x.jpeg", "reason": "empty file"}]


def test_a_model_trained_again_with_the_same_settings_is_another_model(tmp_path, dataset):
    """Training does not repeat to the last digit: an old lock and old results must not pass for the new model's."""
    from cxrkit.report import is_current
    from cxrkit.results import score_systems, write_metrics

    run = open_run(config(tmp_path), dataset)
    for stage in ("baseline", "frozen", "fine_tuned"):
        finish(run, stage)
    run.lock_threshold("half", 0.5, 0.95)
    write_metrics(run, *(score_systems(run, "half", 0.95, split) for split in ("val", "test")))
    assert is_current(run.folder) and run.read_lock()["looks"] == 1
    finish(run)
    assert is_current(run.folder), "the same predictions: the same model"
    with run.stage("fine_tuned"):
        for split in ("val", "test"):
            run.save_predictions("fine_tuned", split, np.linspace(0.1, 1, len(dataset.index(split))))
    assert run.read_lock() is None and not is_current(run.folder)
    assert run.lock_threshold("half", 0.5, 0.95)["looks"] == 2


def test_a_run_of_an_older_kit_keeps_its_lock(tmp_path, dataset):
    run = open_run(config(tmp_path), dataset)
    finish(run)
    manifest = json.loads((run.folder / "manifest.json").read_text())
    del manifest["stages"]["fine_tuned"]["model"]
    (run.folder / "manifest.json").write_text(json.dumps(manifest))
    locks.write_lock(run.folder / "lock.json", run.key("fine_tuned"), "half", 0.5, 0.95)
    assert run.read_lock()["value"] == 0.5


def test_a_short_training_leaves_the_checkpoint_of_a_long_one(tmp_path, dataset):
    long = open_run(config(tmp_path, fine_tune_epochs=50), dataset)
    long.checkpoint_path("fine_tuned").write_bytes(b"epoch 40")
    short = open_run(config(tmp_path), dataset)
    short.checkpoint_path("fine_tuned").write_bytes(b"epoch 1")
    finish(short)
    assert long.checkpoint_path("fine_tuned").is_file() and not short.checkpoint_path("fine_tuned").is_file()
    os.utime(long.checkpoint_path("fine_tuned"), (0, 0))
    finish(short)
    assert not long.checkpoint_path("fine_tuned").is_file(), "of a training that nobody goes on with"


def test_what_a_model_was_trained_with_outlives_another_opening(tmp_path, dataset):
    from cxrkit.runs import as_trained

    finish(open_run(config(tmp_path, unfreeze="top"), dataset))
    manifest = open_run(config(tmp_path), dataset).manifest
    manifest["versions"]["keras"] = "99"
    trained = as_trained(manifest)
    assert manifest["config"]["unfreeze"] == "all" and trained["config"]["unfreeze"] == "top" and trained["versions"]["keras"] != "99"


@pytest.mark.parametrize("content", ['{"name": "a web app"}', "[1, 2]"])
def test_a_manifest_of_something_else_is_named_and_kept(tmp_path, dataset, content):
    path = tmp_path / "run" / "manifest.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(CxrkitError, match="out=PATH"):
        open_run(config(tmp_path), dataset)
    assert path.read_text() == content
