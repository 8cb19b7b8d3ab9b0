"""Model and training on small films: parity of the two ways, resume after a kill, guards."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest

from cxrkit.config import configure
from cxrkit.data.dataset import Dataset
from cxrkit.errors import CxrkitError

keras = pytest.importorskip("keras")
from cxrkit import batches, model as models, stages, training  # noqa: E402
from cxrkit.runs import open_run  # noqa: E402
from helpers import few_layers, small_dataset  # noqa: E402

pytestmark = pytest.mark.slow


def small_config(tmp_path, **changes):
    settings = dict(backbone="efficientnetv2-b0", weights="none", image_size=32, stored_size=32, batch_size=8, head_epochs=4,
                    fine_tune_epochs=3, dropout=0.3, out=str(tmp_path / "run"))
    return configure("demo", **(settings | changes))


@pytest.fixture
def setting(tmp_path):
    return small_dataset(), small_config(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Both phases run through, uninterrupted: (run, the backbone's weights as they were built)."""
    run = open_run(small_config(tmp_path_factory.mktemp("finished")), small_dataset())
    start = {w.path: keras.ops.convert_to_numpy(w) for w in models.backbone_of(models.build_model(run.config)).weights}
    stages.make_fine_tuned(run)  # makes the frozen stage on the way
    return run, start


COMPARED = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "val_auc"]


def fine_tuned_history(run):
    history = run.read_history()
    return history[history["phase"] == "fine_tuned"].reset_index(drop=True)[COMPARED]


def test_features_once_and_textbook_loop_learn_the_same_head(tmp_path):
    """With pretrained weights: random ones give features so small that Adam blows float noise up."""
    dataset, config = small_dataset(), small_config(tmp_path, backbone="efficientnetv2-s", weights="phantom")
    network = models.build_model(config)
    features = {s: training.compute_features(network, dataset, config, s) for s in ("train", "val")}
    quick = training.train_head(network, dataset, config, features)
    quick_head = network.get_layer("head").get_weights()

    network = models.build_model(config)
    start_head = network.get_layer("head").get_weights()
    textbook = training.train_head(network, dataset, config)
    textbook_head = network.get_layer("head").get_weights()

    for a, b in zip(quick_head, textbook_head):
        np.testing.assert_allclose(a, b, atol=2e-4)
    assert max(np.abs(a - b).max() for a, b in zip(start_head, textbook_head)) > 1e-3  # it did learn
    np.testing.assert_allclose(quick["loss"], textbook["loss"], atol=2e-4)
    np.testing.assert_allclose(quick["val_loss"], textbook["val_loss"], atol=2e-4)


def test_both_ways_see_every_film_once_and_in_the_same_order(tmp_path, monkeypatch):
    """More batches than wait ahead of the network: JAX and PyTorch would take one to build from, and the others would move up."""
    monkeypatch.setattr(keras.applications, "EfficientNetV2B0", few_layers)
    dataset, config = small_dataset(120), small_config(tmp_path, batch_size=4, head_epochs=2)
    heads, losses = [], []
    for once in (True, False):
        network = models.build_model(config)
        features = {s: training.compute_features(network, dataset, config, s) for s in ("train", "val")} if once else None
        losses.append(training.train_head(network, dataset, config, features)["loss"])
        heads.append(network.get_layer("head").get_weights()[0])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    np.testing.assert_allclose(heads[0], heads[1], atol=1e-4)


def test_a_last_batch_that_is_filled_up_changes_nothing(tmp_path, monkeypatch):
    """As on JAX, on every backend: the same steps, and a prediction for each film and no more."""
    monkeypatch.setattr(keras.applications, "EfficientNetV2B0", few_layers)
    dataset, config = small_dataset(60), small_config(tmp_path, dropout=0.0, fine_tune_epochs=2, batch_size=11)
    rows = dataset.index("train")
    assert 11 % (len(rows) % 11), "the last batch is a small one, and whole repetitions of it do not fill it"
    ends = []
    for filled in (False, True):
        monkeypatch.setattr(batches, "FILL", filled)
        for labels, whole in ((dataset.labels[rows], filled), (None, True)):
            last = batches.FilmBatches(dataset.images, rows, config, labels)[len(rows) // config.batch_size][0]
            assert len(last) == (11 if whole else len(rows) % 11)
        network = models.build_model(config)
        features = {s: training.compute_features(network, dataset, config, s) for s in ("train", "val")}
        assert [f.shape[1] for f in features.values()] == [len(rows), len(dataset.index("val"))]
        training.train_head(network, dataset, config, features)
        training.fine_tune(network, dataset, config)
        ends.append((training.predict(network, dataset, config, "test"), *network.get_weights()))
    for without, with_fill in zip(*ends):
        np.testing.assert_allclose(with_fill, without, atol=1e-5)


def test_frozen_phase_leaves_the_backbone_untouched(setting):
    dataset, config = setting
    network = models.build_model(config)
    before = models.backbone_of(network).get_weights()
    training.train_head(network, dataset, config)
    assert all((a == b).all() for a, b in zip(before, models.backbone_of(network).get_weights()))


def test_fine_tuning_moves_weights_but_no_batch_norm_statistic(finished):
    run, start = finished
    tuned = models.backbone_of(keras.models.load_model(run.folder / "model.keras"))
    moved = {w.path for w in tuned.weights if not np.array_equal(start[w.path], keras.ops.convert_to_numpy(w))}
    assert any(p.endswith("/kernel") for p in moved)
    assert not any("moving_" in p for p in moved)


def test_top_trains_fewer_weights_than_all(setting):
    _, config = setting
    network = models.build_model(config)
    top, everything = models.unfreeze(network, "top"), models.unfreeze(network, "all")
    assert 0 < top < everything
    names = [layer.name for layer in models.backbone_of(network).layers if layer.trainable and layer.weights]
    models.unfreeze(network, "top")
    top_names = [layer.name for layer in models.backbone_of(network).layers if layer.trainable and layer.weights]
    assert "stem_conv" in names and "stem_conv" not in top_names and "top_conv" in top_names


def test_an_interrupted_phase_ends_like_an_uninterrupted_one(tmp_path, finished):
    run = open_run(small_config(tmp_path), small_dataset())
    for name in ("head.weights.h5", "predictions_test_frozen.csv"):
        shutil.copy(finished[0].folder / name, run.folder)
    run._enter("frozen", finished[0].manifest["stages"]["frozen"])
    network = stages.make_frozen(run)
    interrupt_in_epoch(network, 2)
    with pytest.raises(KeyboardInterrupt), run.stage("fine_tuned"):
        training.fine_tune(network, run.dataset, run.config, run)
    assert not run.has("fine_tuned")
    stages.make_fine_tuned(run)
    pd.testing.assert_frame_equal(fine_tuned_history(run), fine_tuned_history(finished[0]), rtol=1e-3, atol=1e-4)
    assert run.manifest["stages"]["fine_tuned"]["seconds"] > 0 and not list(run.folder.glob("checkpoint*"))


def test_a_history_that_missed_its_last_epoch_gets_it_at_the_next_start(tmp_path, monkeypatch):
    """The last checkpoint is written, the history is not: another program has it open."""
    run = open_run(small_config(tmp_path, head_epochs=3), small_dataset())
    save, saved = run.save_history, []

    def busy(phase, history):
        if len(history) == 3:
            raise CxrkitError("history.csv could not be written")
        saved.append(len(history))
        save(phase, history)

    monkeypatch.setattr(run, "save_history", busy)
    with pytest.raises(CxrkitError, match="history.csv"):
        stages.make_frozen(run)
    assert saved == [1, 2] and len(run.read_history()) == 2
    monkeypatch.setattr(run, "save_history", save)
    stages.make_frozen(run)
    assert list(run.read_history()["epoch"]) == [1, 2, 3]


def interrupt_in_epoch(network, epoch):
    """Press Ctrl-C in the middle of an epoch: a real KeyboardInterrupt raised between two batches."""
    fit, calls = network.fit, []

    class Press(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if len(calls) == epoch and batch == 1:
                raise KeyboardInterrupt

    def pressed(*args, callbacks=(), **kwargs):
        calls.append(1)
        return fit(*args, callbacks=[*callbacks, Press()], **kwargs)

    network.fit = pressed


def test_training_that_ended_survives_a_failed_save(tmp_path, monkeypatch):
    """The disk fills when the model is saved: the next start takes the trained weights up and trains no further epoch."""
    run = open_run(small_config(tmp_path, head_epochs=3), small_dataset())
    save = stages.save_frozen
    monkeypatch.setattr(stages, "save_frozen", lambda *args: (_ for _ in ()).throw(CxrkitError("no room")))
    with pytest.raises(CxrkitError, match="no room"):
        stages.make_frozen(run)
    before = run.read_history()
    monkeypatch.setattr(stages, "save_frozen", save)
    stages.make_frozen(run)
    pd.testing.assert_frame_equal(run.read_history(), before)  # seconds too: nothing was trained again
    assert run.is_current("frozen") and not list(run.folder.glob("checkpoint*"))


def test_a_killed_process_goes_on_from_its_last_epoch(tmp_path, finished):
    """SIGKILL after the first fine-tuning epoch; a second process ends with the uninterrupted history."""
    script = textwrap.dedent("""
        import os, signal, sys
        sys.path.insert(0, sys.argv[1])
        from test_training import small_dataset, small_config, training, stages, models, open_run
        from pathlib import Path
        run = open_run(small_config(Path(sys.argv[2])), small_dataset())
        save, saved = training._save_checkpoint, []
        def then_die(path, *args):
            save(path, *args)
            if "fine_tuned" in path.name:
                saved.append(1)
                if len(saved) == int(sys.argv[3]):
                    os.kill(os.getpid(), signal.SIGKILL)
        training._save_checkpoint = then_die
        stages.make_fine_tuned(run)
    """)

    def process(kill_after):
        command = [sys.executable, "-c", script, os.path.dirname(__file__), str(tmp_path), str(kill_after)]
        return subprocess.run(command, capture_output=True, text=True)

    assert process(2).returncode == -signal.SIGKILL  # the start's checkpoint, then that of epoch 1
    second = process(0)
    assert second.returncode == 0, second.stderr[-2000:]
    assert "the first 1 from an earlier start" in second.stderr
    run = open_run(small_config(tmp_path), small_dataset())
    pd.testing.assert_frame_equal(fine_tuned_history(run), fine_tuned_history(finished[0]), rtol=1e-3, atol=1e-4)


def test_a_broken_checkpoint_is_named(tmp_path):
    dataset = small_dataset()
    run = open_run(small_config(tmp_path), dataset)
    run.checkpoint_path("fine_tuned").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(CxrkitError, match="checkpoint_fine_tuned_.*npz cannot be read.*Delete it"):
        training.fine_tune(models.build_model(run.config), dataset, run.config, run)


def test_stages_leave_what_the_next_notebook_reads(finished):
    config, dataset = finished[0].config, finished[0].dataset
    run = open_run(config, dataset)
    assert run.is_current("frozen") and run.is_current("fine_tuned")
    for stage in ("frozen", "fine_tuned"):
        for split in ("val", "test"):
            saved = run.read_predictions(stage, split)
            assert list(saved["path"]) == list(dataset.table["path"].iloc[dataset.index(split)])
    reloaded = keras.models.load_model(run.folder / "model.keras")
    saved = run.read_predictions("fine_tuned", "test")["probability"]
    np.testing.assert_allclose(training.predict(reloaded, dataset, config, "test"), saved, atol=1e-5)
    manifest = json.loads((run.folder / "manifest.json").read_text())
    assert manifest["stages"]["fine_tuned"]["seconds"] > 0 and manifest["data"]["fingerprint"] == dataset.fingerprint


def test_films_scaled_to_one_are_refused_in_plain_words(setting):
    dataset, config = setting
    scaled = Dataset("phantom", dataset.images / 255.0, dataset.labels, dataset.table)
    with pytest.raises(CxrkitError, match="divided by 255 already"):
        training.compute_features(models.build_model(config), scaled, config, "val")
    models.check_pixel_range(np.zeros((2, 8, 8), "uint8"))  # a black film alone is no proof of scaling


def test_missing_and_foreign_weights_name_the_way_out(tmp_path):
    with pytest.raises(CxrkitError, match="No weights at .*nowhere"):
        models.build_model(small_config(tmp_path, weights=str(tmp_path / "nowhere.weights.h5")))
    other = models.build_model(small_config(tmp_path, backbone="efficientnetv2-b1"))
    models.backbone_of(other).save_weights(tmp_path / "b1.weights.h5")
    with pytest.raises(CxrkitError, match="does not hold weights of efficientnetv2-b0"):
        models.build_model(small_config(tmp_path, weights=str(tmp_path / "b1.weights.h5")))


def test_imagenet_weights_without_network_name_the_file_and_the_demo_profile(tmp_path):
    code = "import cxrkit\ntry: cxrkit.build_model(cxrkit.configure('demo', backbone='efficientnetv2-b0', weights='imagenet'))\n" \
           "except cxrkit.CxrkitError as error: print(error)"
    closed = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "KERAS_HOME": str(tmp_path / "keras")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | closed)
    assert "efficientnetv2-b0_notop.h5" in done.stdout and "'demo'" in done.stdout and str(tmp_path / "keras") in done.stdout


def test_augmented_views_repeat_and_never_turn_a_film_over(setting):
    dataset, config = setting
    film = np.zeros((96, 96), "uint8")
    film[:30] = 200  # bright above
    views = [batches.augmented_view(film, config.replace(crop_area=0.5, stored_size=96), np.random.default_rng([0, i])) for i in range(40)]
    again = batches.augmented_view(film, config.replace(crop_area=0.5, stored_size=96), np.random.default_rng([0, 0]))
    np.testing.assert_array_equal(views[0], again)
    assert all(v[:8].mean() >= v[-8:].mean() for v in views)
    assert len({v.mean().round(1) for v in views}) > 30
    left = np.zeros((96, 96), "uint8")
    left[:, :40] = 200
    mirrored = [batches.augmented_view(left, config.replace(stored_size=96), np.random.default_rng([1, i])) for i in range(40)]
    assert all(v[:, :8].mean() >= v[:, -8:].mean() for v in mirrored)


def test_no_crop_means_no_crop():
    rng = np.random.default_rng(0)
    assert batches._random_crop((96, 96), 1.0, rng) == pytest.approx((0, 0, 96, 96))
    boxes = [batches._random_crop((96, 96), 0.3, rng) for _ in range(500)]
    areas = [(r - l) * (b - t) / 96**2 for l, t, r, b in boxes]
    assert min(areas) >= 0.3 - 1e-9 and all(0 <= l < r <= 96 + 1e-9 and 0 <= t < b <= 96 + 1e-9 for l, t, r, b in boxes)


def test_prediction_averages_the_logits_of_its_views(setting):
    """Five views are the film and four corners, as small as training's crops at least; one view is the film alone."""
    dataset, config = setting
    config = config.replace(crop_area=0.15, test_views=5)
    network, films = models.build_model(config), dataset.images[dataset.index("val")]
    crops = batches.prediction_crops(config)
    assert len(crops) == 5 and crops[0] == (0, 0, 1, 1) and crops[-1] == pytest.approx((0.1, 0.1, 1, 1))
    assert batches.prediction_crops(config.replace(crop_area=0.9025))[1] == pytest.approx((0, 0, 0.95, 0.95))
    logits = [network.predict(np.stack([batches.plain_view(film, 32, crop) for film in films])[..., None], verbose=0) for crop in crops]
    expected = 1 / (1 + np.exp(-np.mean(logits, axis=0).ravel()))
    np.testing.assert_allclose(training.predict(network, dataset, config, "val"), expected, atol=1e-5)
    assert np.ptp(logits, axis=0).max() > 1e-6  # the views do differ
    alone = training.predict(network, dataset, config.replace(test_views=1), "val")
    np.testing.assert_allclose(alone, 1 / (1 + np.exp(-logits[0].ravel())), atol=1e-5)


def test_a_dropout_of_nothing_trains(tmp_path):
    dataset, config = small_dataset(), small_config(tmp_path, dropout=0.0, head_epochs=1)
    network = models.build_model(config)
    features = {s: training.compute_features(network, dataset, config, s) for s in ("train", "val")}
    assert len(training.train_head(network, dataset, config, features)) == 1


def test_class_weights_make_both_classes_count_alike():
    labels = np.array([1] * 74 + [0] * 26)
    weights = batches.sample_weights(labels)
    assert weights[labels == 1].sum() == pytest.approx(weights[labels == 0].sum())
    assert weights.mean() == pytest.approx(1.0)


def test_half_precision_trains_both_phases(tmp_path):
    """The path that a GPU takes by itself, taken on purpose: films in, finite probabilities out, weights kept in single precision."""
    config = small_config(tmp_path, mixed_precision="on", fine_tune_epochs=2, head_epochs=2)
    run = open_run(config, small_dataset())
    try:
        model = stages.make_fine_tuned(run)
        assert models.backbone_of(model).get_layer("top_conv").compute_dtype == "float16"
        assert {str(weight.dtype) for weight in model.weights} == {"float32"} and model.output.dtype == "float32"
        assert run.read_predictions("fine_tuned", "test")["probability"].between(0, 1).all()
        history = run.read_history()
        assert history["phase"].value_counts().to_dict() == {"frozen": 2, "fine_tuned": 2} and np.isfinite(history["loss"]).all()
    finally:
        keras.config.set_dtype_policy("float32")


def test_a_phase_that_began_in_half_precision_goes_on_without_a_gpu(tmp_path):
    """Colab gives a GPU on one day and none on the next: the checkpoint of the first must serve the second."""
    from cxrkit.model import set_precision

    dataset = small_dataset()
    config = small_config(tmp_path, mixed_precision="on", fine_tune_epochs=3, patience=3)
    run = open_run(config, dataset)
    model = models.build_model(config)
    stopped = []

    def stop(phase, rows):
        stopped.append(rows)
        if len(rows) == 2:
            raise KeyboardInterrupt

    run.save_history = stop
    with pytest.raises(KeyboardInterrupt):
        training.fine_tune(model, dataset, config, run)
    assert run.checkpoint_path("fine_tuned").is_file()
    plain = config.replace(mixed_precision="off")
    try:
        history = training.fine_tune(models.build_model(plain), dataset, plain, open_run(plain, dataset))
    finally:
        set_precision(plain)
    assert len(history) == 3 and np.isfinite(history["loss"]).all() and history["loss"].tolist()[:2] == stopped[-1]["loss"].tolist()
