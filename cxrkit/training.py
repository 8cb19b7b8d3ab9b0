"""The two phases: a head on frozen features, then fine-tuning (notebooks 02 and 03 introduce them).

An interrupted or killed phase goes on from its last whole epoch and ends with the history of an uninterrupted one.
"""

import dataclasses
import json
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.metrics import log_loss, roc_auc_score

from .backend import keras
from .batches import FeatureBatches, FilmBatches, for_prediction, prediction_crops
from .config import Config
from .data.dataset import Dataset
from .errors import CxrkitError
from .files import atomic_path
from .model import feature_extractor, freeze, unfreeze
from .progress import Progress
from .runs import Run

# --- frozen phase ---------------------------------------------------------------------------------------------------


def compute_features(model: keras.Model, dataset: Dataset, config: Config, split: str, views: int = 1) -> np.ndarray:
    """Run the frozen backbone once over a split.

    Returns float32 [views, m, width]: view 0 is the film itself, the others are augmented; rows in table order.
    Introduced in notebook 02. Source of the idea: the cached bottleneck features of Kermany et al. 2018.
    """
    extractor = feature_extractor(model)
    rows, config = dataset.index(split), for_prediction(config)
    progress = Progress(f"features of {split}", views * len(rows))
    features = []
    for view in range(views):
        batches = FilmBatches(dataset.images, rows, config, augment=view > 0, epoch=view)
        features.append(predict_batches(extractor, batches, callbacks=[_Counted(progress, view * len(rows), config.batch_size)]))
    progress.close(f"{len(rows)} films, {views} view{'s' if views > 1 else ''},")
    return np.stack(features)


def train_head(
    model: keras.Model, dataset: Dataset, config: Config, features: dict | None = None, run: Run | None = None
) -> pd.DataFrame:
    """Train the head of a frozen model and leave it at its best epoch on the validation patients.

    Parameters
    ----------
    features : {"train": [k, n, width], "val": [1, m, width]} of `compute_features`. None is the textbook way: the backbone runs
        over every film in every epoch. Both give the same head up to float noise: same order, weights and dropout.
    run : where to keep checkpoints and the history; None keeps nothing.

    Returns
    -------
    The history, one row an epoch: `epoch, loss, accuracy, val_loss, val_accuracy, val_auc, seconds`.
    Introduced in notebook 02.
    """
    freeze(model)
    labels = {split: dataset.labels[dataset.index(split)] for split in ("train", "val")}
    head = model.get_layer("head")
    steps = -(-len(labels["train"]) // config.batch_size)
    optimizer = keras.optimizers.Adam(config.head_learning_rate)
    if features is None:
        part, batches = model, FilmBatches(dataset.images, dataset.index("train"), config, labels["train"])
        plain_val = FilmBatches(dataset.images, dataset.index("val"), for_prediction(config))
        predict_val = lambda: predict_batches(model, plain_val)  # noqa: E731
    else:
        part, batches = head, FeatureBatches(features["train"], labels["train"], config)
        predict_val = lambda: _predict_head(head, features["val"][0])  # noqa: E731
    return _train(part, optimizer, batches, steps, config.head_epochs, predict_val, labels["val"], config, "frozen", run,
                  patience=config.head_epochs)


# --- fine-tuning ----------------------------------------------------------------------------------------------------


def fine_tune(model: keras.Model, dataset: Dataset, config: Config, run: Run | None = None) -> pd.DataFrame:
    """Train backbone and head together, gently, and leave the model at its best epoch on the validation patients.

    AdamW, linear warm-up then cosine decay to 0; batch normalisation stays in inference mode; training stops early after
    `config.patience` epochs without a better validation AUC. Returns the history as `train_head` does.
    Introduced in notebook 03. Sources: Loshchilov & Hutter 2017 (arXiv:1608.03983), 2019 (arXiv:1711.05101).
    """
    unfreeze(model, config.unfreeze)
    labels = {split: dataset.labels[dataset.index(split)] for split in ("train", "val")}
    batches = FilmBatches(dataset.images, dataset.index("train"), config, labels["train"], augment=True)
    val = FilmBatches(dataset.images, dataset.index("val"), for_prediction(config))
    steps = len(batches)
    schedule = learning_rate_schedule(config, steps)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay, global_clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return _train(model, optimizer, batches, steps, config.fine_tune_epochs, lambda: predict_batches(model, val),
                  labels["val"], config, "fine_tuned", run, patience=config.patience)


def learning_rate_schedule(config: Config, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return fine-tuning's learning rate by step: linear warm-up, then a cosine down to 0; `steps` an epoch.

    Introduced in notebook 03. Source: Loshchilov & Hutter 2017 (arXiv:1608.03983).
    """
    warmup = max(1, round(config.warmup_epochs * steps))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=config.fine_tune_learning_rate / warmup,
        warmup_target=config.fine_tune_learning_rate,
        warmup_steps=warmup,
        decay_steps=max(1, config.fine_tune_epochs * steps - warmup),
    )


def predict(model: keras.Model, dataset: Dataset, config: Config, split: str) -> np.ndarray:
    """Return the probability of pneumonia of every film of a split, float64 [m] in table order.

    With `config.test_views` above 1 the logits of that many `batches.prediction_crops` are averaged. Introduced in notebook 03.
    """
    rows = dataset.index(split)
    logits = [predict_batches(model, FilmBatches(dataset.images, rows, for_prediction(config), crop=crop)) for crop in prediction_crops(config)]
    return _probabilities(np.mean(logits, axis=0))


def predict_from_features(model: keras.Model, features: np.ndarray) -> np.ndarray:
    """Return the head's probability of pneumonia, float64 [m], from features float32 [1, m, width] of `compute_features`."""
    return _probabilities(_predict_head(model.get_layer("head"), features[0]))


# --- one loop for both phases ---------------------------------------------------------------------------------------


@dataclasses.dataclass
class _State:
    """Where a phase stands after a whole epoch; everything that is needed to go on as if nothing had happened."""

    rows: list = dataclasses.field(default_factory=list)
    best_auc: float = -1.0
    best_loss: float = float("inf")
    best_weights: list | None = None
    waited: int = 0


def _train(part, optimizer, batches, steps, epochs, predict_val, val_labels, config, phase, run, patience):
    part.compile(optimizer=optimizer, loss=keras.losses.BinaryCrossentropy(from_logits=True),
                 metrics=[keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")])
    optimizer = part.optimizer  # half precision wraps it in one that scales the loss and has a state of its own
    optimizer.build(part.trainable_variables)
    build_loss_and_metrics(part)
    checkpoint = None if run is None else run.checkpoint_path(phase)
    state = _load_checkpoint(checkpoint, part, optimizer)
    if state is None:
        state = _State()
        _save_checkpoint(checkpoint, part, optimizer, state)
    first = len(state.rows)
    progress = Progress(f"{phase.replace('_', '-')} phase", epochs * steps, done=first * steps)
    try:
        for epoch in range(first, epochs):
            if state.waited >= patience:
                break
            start = time.perf_counter()
            batches.set_epoch(epoch)
            _set_dropout(part, config.seed, epoch)
            seen = part.fit(batches, epochs=1, verbose=0, shuffle=False, callbacks=[_Live(progress, epoch * steps, state)]).history
            row = {"epoch": epoch + 1, "loss": seen["loss"][0], "accuracy": seen["accuracy"][0]}
            row |= _validate(predict_val(), val_labels)
            row["seconds"] = round(time.perf_counter() - start, 2)
            _note_epoch(state, row, part)
            _save_checkpoint(checkpoint, part, optimizer, state)
            if run is not None:
                run.save_history(phase, pd.DataFrame(state.rows))
    except KeyboardInterrupt:
        kept = f"run this cell again to go on from epoch {len(state.rows) + 1}" if run is not None else "nothing was kept: no run was given"
        progress.close(f"interrupted in epoch {len(state.rows) + 1}; {kept},")
        raise
    if run is not None:
        run.save_history(phase, pd.DataFrame(state.rows))  # once more: an earlier start may have ended between checkpoint and history
    part.set_weights(state.best_weights)
    best = max(state.rows, key=lambda row: (row["val_auc"], -row["val_loss"]))
    stopped = ", stopped early" if len(state.rows) < epochs else ""
    resumed = f", the first {first} from an earlier start" if first else ""
    progress.close(
        f"{len(state.rows)} epochs{stopped}{resumed}; best epoch {best['epoch']}, validation AUC {best['val_auc']:.4f}, loss {best['val_loss']:.4f},"
    )
    return pd.DataFrame(state.rows)


def build_loss_and_metrics(part):
    """Build what `fit` would build from the first batch: on JAX and PyTorch it takes that batch from the queue, so the first epoch
    would begin with the second batch and, when there are many, see the last ones not at all (Keras 3.15)."""
    zero = np.zeros((1, 1), "float32")
    part.compute_loss(y=zero, y_pred=zero, sample_weight=zero)
    part.compute_metrics(None, zero, zero)
    part.reset_metrics()


def _note_epoch(state, row, part):
    """Keep the best epoch by validation AUC; equal AUC goes to the lower validation loss."""
    state.rows.append(row)
    better = (row["val_auc"], -row["val_loss"]) > (state.best_auc, -state.best_loss)
    state.waited = 0 if better else state.waited + 1
    if better:
        state.best_auc, state.best_loss, state.best_weights = row["val_auc"], row["val_loss"], part.get_weights()


def _validate(logits, labels):
    if not np.isfinite(logits).all():
        raise CxrkitError("Training diverged: the validation predictions are not finite. Use a lower learning rate.")
    probabilities = _probabilities(logits)
    return {
        "val_loss": float(log_loss(labels, np.clip(probabilities, 1e-7, 1 - 1e-7))),
        "val_accuracy": float(((probabilities >= 0.5) == (labels == 1)).mean()),
        "val_auc": float(roc_auc_score(labels, probabilities)),
    }


class _Counted(keras.callbacks.Callback):
    """Draws the progress line while features are computed."""

    def __init__(self, progress, done, batch_size):
        super().__init__()
        self.progress, self.done, self.batch_size = progress, done, batch_size

    def on_predict_batch_end(self, batch, logs=None):
        self.progress.update(min(self.done + (batch + 1) * self.batch_size, self.progress.total))


class _Live(keras.callbacks.Callback):
    """Draws the progress line at each batch."""

    def __init__(self, progress, done, state):
        super().__init__()
        self.progress, self.done = progress, done
        self.auc = f"  val AUC {state.rows[-1]['val_auc']:.4f}" if state.rows else ""

    def on_train_batch_end(self, batch, logs=None):
        self.progress.update(self.done + batch + 1, f"loss {logs['loss']:.4f}{self.auc}" if logs else "")


def _set_dropout(part, seed, epoch):
    """Put the dropout's random stream where (seed, epoch) says, so that a resumed epoch drops what it would have dropped."""
    part = part if part.name == "head" else part.get_layer("head")  # the backbone drops nothing
    dropout = part.get_layer("dropout")
    if dropout.rate > 0:  # a dropout of nothing has no stream
        dropout.seed_generator.state.assign(np.array([seed, 1_000_003 * (epoch + 1) % 2**31], dtype="uint32"))


def _save_checkpoint(path: Path | None, part, optimizer, state: _State) -> None:
    if path is None:
        return
    arrays = {f"weight_{i}": w for i, w in enumerate(part.get_weights())}
    for name, variables in _optimizer_state(optimizer).items():
        arrays |= {f"{name}_{i}": keras.ops.convert_to_numpy(v) for i, v in enumerate(variables)}
    arrays |= {f"best_{i}": w for i, w in enumerate(state.best_weights or [])}
    facts = {"rows": state.rows, "best_auc": state.best_auc, "best_loss": state.best_loss, "waited": state.waited}
    with atomic_path(path) as partial:
        np.savez(partial, facts=json.dumps(facts), **arrays)


def _load_checkpoint(path: Path | None, part, optimizer) -> _State | None:
    """Take up a checkpoint, if there is one; its name says that it is of this very configuration."""
    if path is None or not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            facts = json.loads(str(stored["facts"]))
            part.set_weights(_numbered(stored, "weight"))
            for name, variables in _optimizer_state(optimizer).items():
                kept = _numbered(stored, name)
                if kept or name != "scale":  # of a session in full precision: the scale begins anew
                    for variable, value in zip(variables, kept, strict=True):
                        variable.assign(value)
            best = _numbered(stored, "best") or None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as problem:
        raise CxrkitError(f"{path} cannot be read ({problem}). Delete it to start this phase again.") from problem
    return _State(facts["rows"], facts["best_auc"], facts["best_loss"], best, facts["waited"])


def _optimizer_state(optimizer):
    """{name: variables}, what only half precision has apart: a phase that began on a GPU can go on without one."""
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is None:
        return {"optimizer": optimizer.variables}
    ours = {id(variable) for variable in inner.variables}
    return {"optimizer": inner.variables, "scale": [variable for variable in optimizer.variables if id(variable) not in ours]}


def _numbered(stored, prefix):
    count = sum(name.startswith(prefix + "_") for name in stored.files)
    return [stored[f"{prefix}_{i}"] for i in range(count)]


def predict_batches(part: keras.Model, films: FilmBatches, callbacks=()) -> np.ndarray:
    """Return what a network gives for the films of batches without labels, float32 [m, ...] in table order."""
    return np.asarray(part.predict(films, verbose=0, callbacks=list(callbacks)))[: len(films.rows)]  # without what filled the last batch


def _predict_head(head: keras.Model, features: np.ndarray) -> np.ndarray:
    return np.asarray(head.predict(features, batch_size=1024, verbose=0))


def _probabilities(logits: np.ndarray) -> np.ndarray:
    return expit(np.asarray(logits, dtype="float64").ravel())
