"""The study: its trials train as the kit trains, its views are what they say, it resumes, and it writes down each look."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from films import write_folder
from helpers import few_layers, small_dataset

STUDY = Path(__file__).resolve().parent.parent / "study"
sys.path.insert(0, str(STUDY))


def _trial(recipe, folder, **config):
    import cxrkit
    import trial

    small = dict(source="phantom", weights="none", image_size=32, stored_size=32, fine_tune_epochs=1, batch_size=16, head_epochs=2, dropout=0.0,
                 test_views=1)
    return trial.Trial("a name", recipe, cxrkit.configure("laptop", **recipe.config | small | config), folder)


@pytest.mark.slow
def test_the_base_recipe_trains_as_the_kit_does(tmp_path, monkeypatch):
    """What the study finds must hold for `cxrkit.fine_tune`: same films, order, steps and result. A second run trains nothing."""
    import trial
    from recipes import RECIPES

    import cxrkit
    from cxrkit import training

    monkeypatch.setattr("keras.applications.EfficientNetV2B0", few_layers)
    films = small_dataset(80)
    ours = _trial(RECIPES["base"], tmp_path)
    read, seconds = trial.run(ours, films)
    model = cxrkit.build_model(ours.config)
    features = {split: cxrkit.compute_features(model, films, ours.config, split) for split in ("train", "val")}
    training.train_head(model, films, ours.config, features)
    before = training.predict(model, films, ours.config, "val")
    training.fine_tune(model, films, ours.config)
    kit = training.predict(model, films, ours.config, "val")
    np.testing.assert_allclose(1 / (1 + np.exp(-read["plain"])), kit, atol=1e-4)
    assert seconds > 0 and np.abs(kit - before).max() > 1e-3  # it did learn something
    ours.weights.unlink()
    again, seconds = trial.run(ours, films)
    assert seconds == 0 and not ours.weights.exists(), "all logits are there: nothing is trained or loaded"
    np.testing.assert_array_equal(again["plain"], read["plain"])
    test = training.predict(model, films, ours.config, "test")
    np.testing.assert_allclose(1 / (1 + np.exp(-trial.sealed_test(ours))), test, atol=1e-4)


@pytest.mark.slow
def test_layer_wise_rates_move_the_stem_least():
    """Layers are told apart by the names that EfficientNetV2 gives its own; equal gradients, so steps differ by the rate alone."""
    import trial

    from cxrkit.backend import keras

    names = ("stem_conv", "block6a_expand_conv", "top_conv", "logit")
    network = keras.Sequential([keras.Input((1,)), *(keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", name=name) for name in names)])
    before = [np.array(w) for w in network.weights]
    network.compile(optimizer=trial.LayerwiseAdamW(0.01, weight_decay=0.0, decay=0.7), loss="mse")
    network.train_on_batch(np.ones((4, 1), "float32"), np.zeros((4, 1), "float32"))
    moved = {name: float(np.abs(np.array(w) - b).max()) for name, w, b in zip(names, network.weights, before)}
    for name, depth in zip(names, (8, 2, 1, 0)):
        assert moved[name] == pytest.approx(moved["logit"] * 0.7**depth, rel=1e-3), moved


def test_derived_views_change_normal_films_only():
    from views import scores_by_view

    labels = np.array([0, 0, 1, 1])
    table = pd.DataFrame({"patient": list("aabc"), "label": labels, "path": ["IM-1.jpeg", "NORMAL2-IM-1.jpeg", "p1.jpeg", "p2.jpeg"]})
    plain, blurred = np.array([-1.0, -2.0, 1.0, 2.0]), np.array([5.0, 6.0, 7.0, 8.0])
    views = scores_by_view(labels, table, {"plain": plain, "blurred": blurred})
    assert list(views["blurred normals"][1]) == [5.0, 6.0, 1.0, 2.0]
    assert list(views["first series"][0]) == [0, 1, 1]
    assert list(views["second series"][1]) == [-2.0, 1.0, 2.0]


def test_every_pixel_view_keeps_the_film_a_film():
    from views import PIXEL_VIEWS, equalised, harmonised, stretched

    film = np.linspace(40, 200, 48 * 48).reshape(48, 48).astype("uint8")
    for change in (*PIXEL_VIEWS.values(), equalised, harmonised, stretched):
        seen = change(film)
        assert seen.shape == film.shape and seen.dtype == np.uint8
        assert seen[-1].mean() > seen[0].mean() + 30, f"{change.__name__} lost the picture"
    assert stretched(film).min() == 0 and stretched(film).max() == 255


@pytest.mark.slow
def test_the_command_resumes_and_logs_a_look(tmp_path, monkeypatch):
    import run
    from typer.testing import CliRunner

    data = write_folder(tmp_path / "films")
    monkeypatch.setenv("CXRKIT_CACHE", str(tmp_path / "cache"))

    def study(*words):
        words = (*words, "--data", data, "--weights", "none", "--size", "32", "--epochs", "1")
        done = CliRunner().invoke(run.app, list(map(str, words)), catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    here = ("--folder", tmp_path)
    assert "frozen, seed 0" in study("screen", "frozen", "--seeds", "1", *here)
    first = pd.read_csv(tmp_path / "results.csv")
    assert set(first["recipe"]) == {"frozen"} and not (tmp_path / "looks.csv").exists()
    assert "seed 0" not in study("screen", "frozen", "--seeds", "1", *here)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "results.csv"), first)
    assert "test AUC" in study("look", "frozen", "--why", "to see a look logged", *here)
    looks = pd.read_csv(tmp_path / "looks.csv")
    assert list(looks["why"]) == ["to see a look logged"] and looks["n"][0] == 8


@pytest.mark.slow
def test_a_whole_profile_leaves_a_finished_run_and_its_rows(tmp_path, monkeypatch):
    """What study/record.py needs of a run, without notebooks: three stages, the threshold locked, the test split predicted and not scored."""
    import run
    from typer.testing import CliRunner

    from cxrkit.runs import reopen_run

    monkeypatch.setattr("keras.applications.EfficientNetV2B0", few_layers)
    words = ("whole", "--data", write_folder(tmp_path / "films"), "--weights", "none", "--size", "32", "--epochs", "1", "--seed", "1", "--recipe", "no rotation",
             "--out", tmp_path / "run", "--folder", tmp_path)
    done = CliRunner().invoke(run.app, list(map(str, words)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    finished = reopen_run(tmp_path / "run")
    assert all(finished.has(stage) for stage in ("baseline", "frozen", "fine_tuned")) and finished.read_lock()["rule"] == "sensitivity"
    rows = pd.read_csv(tmp_path / "results.csv")
    assert set(rows["recipe"]) == {"profile laptop, no rotation"} and set(rows["seed"]) == {1} and {"plain", "close normals"} <= set(rows["view"])
    assert "test" not in set(rows["view"]) and not (tmp_path / "looks.csv").exists()
    assert not (tmp_path / "run" / "metrics.json").exists(), "nothing was scored on the test split"
    again = CliRunner().invoke(run.app, list(map(str, words)))
    assert again.exit_code == 1 and len(pd.read_csv(tmp_path / "results.csv")) == len(rows), "not trained again, no row twice"
    said = CliRunner().invoke(run.app, ["opened", str(tmp_path / "run"), "--why", "to see both ends", "--folder", str(tmp_path)], catch_exceptions=False)
    looks, test, val = pd.read_csv(tmp_path / "looks.csv"), finished.read_predictions("fine_tuned", "test"), finished.read_predictions("fine_tuned", "val")
    locked = finished.read_lock()["value"]
    assert looks["why"].tolist() == ["to see both ends"] and set(looks["recipe"]) == set(rows["recipe"]) and looks["accuracy"][0] == pytest.approx(((test["probability"] >= locked) == test["label"]).mean(), abs=1e-6)
    ill = val["probability"][val["label"] == 1]
    highest = max(t for t in ill if (ill >= t).mean() >= 0.95)
    assert said.exit_code == 0 and f"| highest, {highest:.3f} |" in said.output and f"| locked, {locked:.3f} |" in said.output and highest >= locked
    kept = pd.read_csv(tmp_path / "opened.csv", dtype={"threshold": str}).set_index("threshold")
    assert kept.loc["highest", "accuracy"] == pytest.approx(((test["probability"] >= highest) == test["label"]).mean(), abs=1e-6) and len(kept) == 3
    refused = CliRunner().invoke(run.app, ["opened", str(tmp_path / "run"), "--folder", str(tmp_path)])
    assert refused.exit_code == 1, "a look without a reason"
    CliRunner().invoke(run.app, ["opened", str(tmp_path / "run"), "--why", "again", "--folder", str(tmp_path)], catch_exceptions=False)
    assert len(pd.read_csv(tmp_path / "opened.csv")) == 3 and len(pd.read_csv(tmp_path / "looks.csv")) == 1, "the same run read again is no other look"
    shown = CliRunner().invoke(run.app, ["table", "--size", "32", "--epochs", "1", "--folder", str(tmp_path)], catch_exceptions=False)
    assert "| profile laptop, no rotation | The whole profile. | 1 |" in shown.output


def test_an_unknown_recipe_is_named(tmp_path):
    done = subprocess.run([sys.executable, STUDY / "run.py", "screen", "bace"], capture_output=True, text=True)
    assert done.returncode == 1 and "No recipe 'bace'" in done.stderr


def test_readme_shows_the_results_file():
    import run

    text = (STUDY / "README.md").read_text(encoding="utf-8")
    for size, epochs in ((96, 3), (96, 6), (64, 3)):
        for line in run.markdown(run.summary(run._of(STUDY / "results.csv", size, epochs))):
            assert line in text, f"study/README.md lacks a line of: python study/run.py table --size {size} --epochs {epochs}"
    looks = pd.read_csv(STUDY / "looks.csv").query("size == 64")
    for recipe, seeds in looks.groupby("recipe"):
        assert f"| {recipe} | {', '.join(f'{auc:.4f}' for auc in seeds['auc'])} | {seeds['auc'].mean():.4f} ± {seeds['auc'].std(ddof=1):.4f} |" in text
    for line in run.opened_markdown(pd.read_csv(STUDY / "opened.csv", dtype={"threshold": str})):
        assert line in text, "study/README.md lacks a line of: python study/run.py opened"


def test_a_whole_profile_is_called_by_its_recipe():
    """Rows of another recipe must not pass for the profile's own in results.csv or looks.csv."""
    import run

    import cxrkit

    config = cxrkit.configure("laptop", data="films", weights="none")
    assert run.profile_name(config.replace(rotation=7.0)) == "profile laptop", "as it stood when the study began"
    assert run.profile_name(config) == "profile laptop, no rotation"
    assert run.profile_name(config.replace(rotation=3.0)) == "profile laptop, rotation changed"
    done = subprocess.run([sys.executable, STUDY / "run.py", "whole", "--out", "nowhere", "--recipe", "sampler"], capture_output=True, text=True)
    assert done.returncode == 1 and "'sampler' does more than settings" in done.stderr


def test_another_data_set_trains_another_network(tmp_path):
    """Two copies of the films under the same settings must not share weights, nor prepared films."""
    import trial
    from recipes import RECIPES

    ours = _trial(RECIPES["base"], tmp_path)
    import dataclasses

    assert dataclasses.replace(ours, films="one").key != dataclasses.replace(ours, films="other").key
    one, other = small_dataset(12), small_dataset(12, seed=1)
    other.table["sha256"] = "0"
    assert (trial._prepared(one, RECIPES["stretched"], tmp_path) != trial._prepared(other, RECIPES["stretched"], tmp_path)).any()


def test_runs_that_make_no_record_are_refused(tmp_path):
    import record as script

    from cxrkit.config import configure
    from cxrkit.errors import CxrkitError
    from cxrkit.runs import open_run

    def finished(name, lock=True, ratio=10.0, **changes):
        films = small_dataset()
        films.table["subtype"] = np.where(films.labels == 1, "bacteria", "")
        run = open_run(configure("demo", image_size=32, stored_size=32, out=str(tmp_path / name), **changes), films)
        for stage in ("baseline", "frozen", "fine_tuned"):
            with run.stage(stage):
                for split in ("val", "test"):
                    rows = films.index(split)
                    run.save_predictions(stage, split, (np.arange(len(rows)) * 0.37 + 0.3 * films.labels[rows]) % 1)
        if lock:
            from cxrkit.evaluation import choose_threshold

            val = run.read_predictions("fine_tuned", "val")
            run.lock_threshold("cost", choose_threshold(val["label"], val["probability"], "cost", cost_ratio=ratio), 0.95, ratio)
        return run

    first, second = finished("a", ratio=1.0), finished("b", ratio=1.0, seed=1)
    _, facts = script.collect([second, first])
    assert facts["seeds"] == [0, 1] and len({facts["thresholds"][f"{stage}_0"] for stage in ("baseline", "frozen", "fine_tuned")}) == 1, "the lock's own terms"
    for runs, said in (([first, finished("c")], "so has another"), ([first, finished("d", seed=2, head_epochs=3)], "other settings: head_epochs"),
                       ([finished("e", lock=False, seed=3)], "no locked threshold")):
        with pytest.raises(CxrkitError, match=said):
            script.collect(runs)
