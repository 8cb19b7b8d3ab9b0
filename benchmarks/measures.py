"""What one process measures. Each function returns plain numbers; `in_process` runs one in an interpreter of its own.

A fresh process has compiled nothing, has an empty store of decoded films, and its peak memory is its own. The clock of a whole phase
starts after the libraries are imported, which both sides do alike, unless it says otherwise.
"""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import peak_mb

import cxrkit


def in_process(name: str, **arguments) -> dict:
    """Run the measure `name` in a fresh interpreter and return what it measured; `whole_seconds` counts from its start to its end."""
    start = time.perf_counter()
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(Path(__file__).resolve()), name, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"The measure '{name}' failed:\n{done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1]) | {"whole_seconds": time.perf_counter() - start}


# --- the frozen phase -----------------------------------------------------------------------------------------------


def frozen_kit(folder, weights, size, batch, epochs) -> dict:
    """From files to a trained head, as notebook 02 does it: decode once, features once (one view), train the head."""
    from cxrkit import model, training

    with _cold_store():
        start = time.perf_counter()
        config = _config(folder, weights, size, batch, head_epochs=epochs, views=1)
        dataset = cxrkit.load_dataset(config, progress=False)
        network = model.build_model(config)
        features = {split: training.compute_features(network, dataset, config, split) for split in ("train", "val")}
        history = training.train_head(network, dataset, config, features)
        seconds = time.perf_counter() - start
    after = seconds - history["seconds"].sum() + history["seconds"].cumsum()
    return {"seconds": seconds, "after_epoch": after.tolist(), "peak_mb": peak_mb()}


def frozen_plain(folder, weights, size, batch, epochs) -> dict:
    """The same phase as Keras's guide writes it: the backbone runs over every film in every epoch."""
    import plain_keras

    marks = _Marks()
    start = time.perf_counter()
    train, val = plain_keras.datasets(Path(folder), size, batch, augmented=False)
    network, _ = plain_keras.classifier(size, weights)
    plain_keras.compile_frozen(network)
    network.fit(train, validation_data=val, epochs=epochs, verbose=0, callbacks=[marks.callback()])
    return {"seconds": time.perf_counter() - start, "after_epoch": [mark - start for mark in marks.epochs], "peak_mb": peak_mb()}


# --- the race to the paper's AUC ------------------------------------------------------------------------------------


def race_features(data, weights, size, batch, on) -> dict:
    """Decode, borrowed features, logistic regression, AUC on the split `on`; the recipe is the pixel baseline's on other inputs."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from cxrkit import model, training

    with _cold_store():
        config = _config(data, weights, size, batch, stored_size=size)
        dataset = cxrkit.load_dataset(config, progress=False)
        network = model.build_model(config)
        features = {split: training.compute_features(network, dataset, config, split)[0] for split in ("train", on)}
        labels = {split: dataset.labels[dataset.index(split)] for split in ("train", on)}
    fitted = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", C=1e-2, max_iter=2000))
    fitted.fit(features["train"], labels["train"])
    return _scored(fitted.predict_proba(features[on])[:, 1], labels[on], len(labels["train"]))


def race_pixels(data, size, on) -> dict:
    """The same without a network: notebook 01's baseline on 32 × 32 pixels."""
    from cxrkit.baseline import pixel_baseline

    with _cold_store():
        dataset = cxrkit.load_dataset(_config(data, "none", size, 32, stored_size=size), progress=False)
        rows = dataset.index(on)
        return _scored(pixel_baseline(dataset).probabilities[rows], dataset.labels[rows], len(dataset.index("train")))


def _scored(probabilities, labels, trained_on):
    from sklearn.metrics import roc_auc_score

    return {"auc": float(roc_auc_score(labels, probabilities)), "train": trained_on, "judged": len(labels), "peak_mb": peak_mb()}


# --- steps of fine-tuning -------------------------------------------------------------------------------------------


def duel(kit, plain, weights, size, batch, steps, rounds) -> dict:
    """Milliseconds a step of four ways to train, in turn, in one process, after compilation; and the kit's batches without a network.

    `kit` and `plain` train on films that are prepared meanwhile, the two `alone` on one batch that is handed over again and again: what
    a step takes when nothing has to be prepared. A round's figure is the mean over its steps, without the first, which fills queues.
    """
    import plain_keras

    from cxrkit.batches import FilmBatches

    with _cold_store():
        network, dataset, config = _fine_tuning(kit, weights, size, batch)
        rows = _spread(dataset.index("train"), steps * batch)
        films = FilmBatches(dataset.images, rows, config, dataset.labels[rows], augment=True)
        prepared = [_seconds(lambda: [films[number] for number in range(len(films))]) / len(films) for _ in range(rounds)]

        train, _ = plain_keras.datasets(Path(plain), size, batch, augmented=True)
        other, backbone = plain_keras.classifier(size, weights)
        plain_keras.compile_fine_tuning(other, backbone)
        one = next(iter(train))
        ways = {
            "kit": (network, films), "kit alone": (network, _same(films[0], steps)),
            "plain": (other, train.repeat().take(steps)), "plain alone": (other, _same(tuple(np.asarray(part) for part in one), steps)),
        }
        other.fit(train.take(2), verbose=0)  # compiles
        taken = {name: [] for name in ways}
        for _ in range(rounds):
            for name, (model, data) in ways.items():
                taken[name].append(1000 * _step_seconds(model, data))
    return {"ms": taken, "batches_ms": [1000 * seconds for seconds in prepared]}


def tuning_kit(folder, weights, size, batch, steps) -> dict:
    """A process that fine-tunes with cxrkit: ms a film in prediction and in training, after compilation, and peak memory."""
    from cxrkit import model
    from cxrkit.batches import FilmBatches

    with _cold_store():
        network, dataset, config = _fine_tuning(folder, weights, size, batch)
        rows = _spread(dataset.index("train"), steps * batch)
        trained = _step_seconds(network, FilmBatches(dataset.images, rows, config, dataset.labels[rows], augment=True))
        extractor, films = model.feature_extractor(network), FilmBatches(dataset.images, rows, config)
        marks = _Marks()
        extractor.predict(films, verbose=0)  # compiles
        extractor.predict(films, verbose=0, callbacks=[marks.callback()])
    return {"train_ms": 1000 * trained / batch, "predict_ms": 1000 * marks.step_seconds() / batch, "peak_mb": peak_mb()}


def tuning_plain(folder, weights, size, batch, steps) -> dict:
    """A process that fine-tunes as Keras's guide writes it: ms a film in training, after compilation, and peak memory."""
    import plain_keras

    train, val = plain_keras.datasets(Path(folder), size, batch, augmented=True)
    network, backbone = plain_keras.classifier(size, weights)
    plain_keras.compile_fine_tuning(network, backbone)
    network.fit(train.take(2), validation_data=val.take(1), verbose=0)  # compiles
    return {"train_ms": 1000 * _step_seconds(network, train.take(steps)) / batch, "peak_mb": peak_mb()}


def _fine_tuning(folder, weights, size, batch):
    """A model that cxrkit's own `fine_tune` has compiled and trained for two steps; its dataset and settings."""
    from cxrkit import model, training

    config = _config(folder, weights, size, batch, fine_tune_epochs=1)
    dataset = cxrkit.load_dataset(config, progress=False)
    network = model.build_model(config)
    training.fine_tune(network, _first_films(dataset, 2 * batch), config)
    return network, dataset, config


def _first_films(dataset, count):
    """`count` training films of both classes and a few to validate, as a dataset of its own."""
    keep = np.concatenate([_spread(dataset.index("train"), count), _spread(dataset.index("val"), 8)])
    return dataclasses.replace(dataset, images=dataset.images[keep], labels=dataset.labels[keep], table=dataset.table.iloc[keep].reset_index(drop=True))


def _spread(rows, count):
    """`count` of the rows, evenly: tables are sorted by class, and the first rows would all be of one."""
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)]


def _same(batch, steps):
    from cxrkit.backend import keras

    class Same(keras.utils.PyDataset):
        """One prepared batch, `steps` times."""

        def __len__(self):
            return steps

        def __getitem__(self, number):
            return batch

    return Same()


class _Marks:
    """Notes when each step and each epoch of a `fit` or `predict` ended, in seconds of `perf_counter`."""

    def __init__(self):
        self.steps, self.epochs = [], []

    def callback(self):
        from cxrkit.backend import keras

        class Noted(keras.callbacks.Callback):
            def on_train_batch_end(_, batch, logs=None):
                self.steps.append(time.perf_counter())

            on_predict_batch_end = on_train_batch_end

            def on_epoch_end(_, epoch, logs=None):
                self.epochs.append(time.perf_counter())

        return Noted()

    def step_seconds(self) -> float:
        """Mean over the steps, without the first."""
        return float(np.mean(np.diff(self.steps)))


def _step_seconds(network, data):
    marks = _Marks()
    network.fit(data, epochs=1, verbose=0, shuffle=False, callbacks=[marks.callback()])
    return marks.step_seconds()


def _seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _config(data, weights, size, batch, **changes):
    return cxrkit.configure("laptop", data=str(data), weights=str(weights), image_size=size, batch_size=batch, mixed_precision="off", **changes)


@contextlib.contextmanager
def _cold_store():
    """An empty folder for decoded films while a measure runs."""
    before = os.environ.get("CXRKIT_CACHE")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["CXRKIT_CACHE"] = folder
        try:
            yield
        finally:
            os.environ.pop("CXRKIT_CACHE")
            if before is not None:
                os.environ["CXRKIT_CACHE"] = before


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](**json.loads(sys.argv[2]))))
