"""One trial: a recipe trained with one seed, then read on every view of the validation films.

What the kit does is called from the kit; what only the study tries stands here. Weights and logits stay in a cache folder, so that a
later question (a look at the test split, an ensemble, another read-out) trains nothing again.
"""

import dataclasses
import hashlib
import json
import time
from pathlib import Path

import numpy as np
from PIL import Image
from recipes import Recipe
from views import PIXEL_VIEWS, degraded, equalised, harmonised, stretched

from cxrkit import Config, batches, training
from cxrkit import model as networks
from cxrkit.backend import keras
from cxrkit.files import atomic_path

_PREPARE = {"harmonise": harmonised, "equalise": equalised, "stretch": stretched}
_TRAINING = (
    "source", "stored_size", "image_size", "val_fraction", "backbone", "weights", "dropout", "head_epochs", "head_learning_rate", "unfreeze",
    "fine_tune_epochs", "fine_tune_learning_rate", "weight_decay", "warmup_epochs", "batch_size", "class_weights", "crop_area", "rotation",
    "brightness", "contrast", "horizontal_flip", "seed",
)
_CORNERS = [(0.0, 0.0), (0.1, 0.0), (0.0, 0.1), (0.1, 0.1)]  # left and top of the four crops of nine tenths a side


@dataclasses.dataclass(frozen=True)
class Trial:
    name: str
    recipe: Recipe
    config: Config  # size, epochs and seed are in it
    folder: Path    # the study's cache
    films: str = ""  # the data set's fingerprint

    @property
    def key(self) -> str:
        """Changes with everything that changes the trained weights; read-outs of one training share it."""
        recipe = dataclasses.asdict(dataclasses.replace(self.recipe, question="", config={}, trained_as="", read_size=1.0, read_views=1))
        settings = {name: getattr(self.config, name) for name in _TRAINING}
        return hashlib.sha256(json.dumps([recipe, settings, self.films], sort_keys=True).encode()).hexdigest()[:16]

    @property
    def weights(self) -> Path:
        return self.folder / f"{self.key}.weights.h5"

    def logits(self, split: str, view: str) -> Path:
        reading = f"{self.recipe.read_size:.3f}-{self.recipe.read_views}"
        return self.folder / f"{self.key}-{reading}-{split}-{view.replace(' ', '_')}.npy"


def run(trial: Trial, dataset) -> tuple[dict, float]:
    """Train if nobody has, read if nobody has; returns ({view: logits [m]} of the validation films, seconds of training or 0).

    The logits of the plain test films are kept too, and not returned: `sealed_test` hands them out to a look.
    """
    started = time.perf_counter()
    wanted = [("val", view) for view in PIXEL_VIEWS] + [("test", "plain")]
    missing = [reading for reading in wanted if not trial.logits(*reading).is_file()]
    seconds = 0.0
    if missing:
        keras.utils.clear_session()  # the networks of earlier trials
        dataset = dataclasses.replace(dataset, images=_prepared(dataset, trial.recipe, trial.folder))
        trained = trial.weights.is_file()
        model = _load(trial) if trained else _train(trial, dataset)
        if not trained:
            with atomic_path(trial.weights) as partial:
                keras.Model(model.inputs, model.outputs).save_weights(partial)  # the same layers, never compiled: no optimiser state
            seconds = time.perf_counter() - started
        for split, view in missing:
            films = np.stack([PIXEL_VIEWS[view](film) for film in dataset.images[dataset.index(split)]])
            with atomic_path(trial.logits(split, view)) as partial, open(partial, "wb") as file:
                np.save(file, _read(model, films, trial))
    return {view: np.load(trial.logits("val", view)) for view in PIXEL_VIEWS}, seconds


def sealed_test(trial: Trial) -> np.ndarray:
    """The logits of the test films, float32 [m], that `run` has kept: opening them is a look."""
    return np.load(trial.logits("test", "plain"))


# --- training -------------------------------------------------------------------------------------------------------


class RecipeBatches(batches.FilmBatches):
    """The kit's batches with what a recipe adds: degraded views, a balanced draw, the 0-1 bug."""

    def __init__(self, recipe, *args, **kwargs):
        self.recipe = recipe
        super().__init__(*args, **kwargs)

    def set_epoch(self, epoch):
        super().set_epoch(epoch)
        if self.recipe.sampler and self.labels is not None:
            rng = np.random.default_rng([self.config.seed, epoch, 3])
            half = [rng.choice(np.flatnonzero(self.labels == k), len(self.rows) // 2) for k in (0, 1)]
            self.order = rng.permutation(np.concatenate(half))

    def _view(self, position):
        film = np.asarray(self.images[self.rows[position]])
        if self.augment:
            rng = np.random.default_rng([self.config.seed, self.epoch, 2, position])
            if self.recipe.degrade and rng.random() < self.recipe.degrade:
                film = degraded(film, rng)
            view = batches.augmented_view(film, self.config, rng)
        else:
            view = batches.plain_view(film, self.config.image_size)
        return view / 255 if self.recipe.prepare == "scale_0_1" else view


class LayerwiseAdamW(keras.optimizers.AdamW):
    """AdamW whose rate shrinks by a factor for each stage further from the head (a multiplier on gradients would do nothing:
    Adam divides it out again)."""

    def __init__(self, *args, decay, **kwargs):
        super().__init__(*args, **kwargs)
        self.decay = decay

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate * self.decay ** _depth(getattr(variable, "path", variable.name)))


def _depth(path):
    """Stages between a variable and the head: 0 for the head, 1 for the top convolution, 2 for block 6, 8 for the stem."""
    for stage in range(1, 8):
        if f"block{stage}" in path:
            return 8 - stage
    return 8 if "stem" in path else 1 if "top_" in path else 0


def _train(trial, dataset):
    recipe, config = trial.recipe, trial.config
    model = _build(trial)
    keras.utils.set_random_seed(config.seed)
    features = _features(model, trial, dataset)
    by_split = {split: features[None, dataset.index(split)] for split in ("train", "val")}
    training.train_head(model, dataset, config, by_split)
    if not recipe.fine_tune:
        return model
    networks.unfreeze(model, config.unfreeze)
    if recipe.batch_norm == "training":
        for layer in networks.backbone_of(model).layers:
            layer.trainable = True
    rows = dataset.index("train")
    train = RecipeBatches(recipe, dataset.images, rows, config, dataset.labels[rows], augment=True)
    schedule = training.learning_rate_schedule(config, len(train))
    kind = keras.optimizers.AdamW if recipe.layer_decay == 1.0 else lambda *a, **k: LayerwiseAdamW(*a, decay=recipe.layer_decay, **k)
    optimizer = kind(schedule, weight_decay=config.weight_decay, global_clipnorm=1.0, use_ema=recipe.ema > 0, ema_momentum=recipe.ema or 0.99)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    model.compile(optimizer=optimizer, loss=keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=recipe.label_smoothing))
    training.build_loss_and_metrics(model)
    for epoch in range(config.fine_tune_epochs):
        train.set_epoch(epoch)
        loss = model.fit(train, epochs=1, verbose=0, shuffle=False).history["loss"][0]
        print(f"  epoch {epoch + 1} of {config.fine_tune_epochs}, loss {loss:.4f}", flush=True)
    if recipe.ema:
        optimizer.finalize_variable_values(model.trainable_variables)
    return model


def _build(trial):
    if trial.recipe.pooling == "top":
        return networks.build_model(trial.config)
    model = networks.build_model(trial.config)
    backbone = networks.backbone_of(model)
    fifth = [layer for layer in backbone.layers if layer.name.startswith("block5")][-1]
    both = keras.Model(backbone.input, [backbone.output, fifth.output], name=backbone.name)
    films = keras.Input(model.input_shape[1:], name="film")
    colour = keras.layers.Concatenate(name="three_channels")([films, films, films])
    pooled = [keras.layers.GlobalAveragePooling2D(dtype="float32")(maps) for maps in both(colour)]
    pooled = keras.layers.Concatenate(name="pool")(pooled)
    model = keras.Model(films, networks.build_head(trial.config, pooled.shape[-1])(pooled), name=model.name)
    networks.freeze(model)
    return model


def _features(model, trial, dataset):
    """The frozen features of every film [n, d]; a function of the network and the films alone, so trials share them."""
    facts = (trial.config.image_size, trial.config.backbone, trial.config.weights, trial.recipe.prepare, trial.recipe.pooling,
             trial.config.seed if trial.config.weights == "none" else 0, dataset.fingerprint)
    path = trial.folder / f"features-{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}.npy"
    if not path.is_file():
        every = RecipeBatches(trial.recipe, dataset.images, np.arange(len(dataset)), trial.config)
        with atomic_path(path) as partial, open(partial, "wb") as file:
            np.save(file, training.predict_batches(networks.feature_extractor(model), every))
    return np.load(path)


# --- reading --------------------------------------------------------------------------------------------------------


def _load(trial):
    model = _build(trial)
    model.load_weights(trial.weights)
    return model


def _read(model, films, trial):
    """The logits of films uint8 [m, h, w], float32 [m]: at the recipe's size, averaged over its views."""
    config = trial.config
    if trial.recipe.read_size != 1.0:
        config = config.replace(image_size=round(config.image_size * trial.recipe.read_size))
        larger = _build(dataclasses.replace(trial, config=config))
        larger.set_weights(model.get_weights())
        model = larger
    views = [films] + [_cropped(films, *corner) for corner in _CORNERS[: trial.recipe.read_views - 1]]
    read = [training.predict_batches(model, RecipeBatches(trial.recipe, view, np.arange(len(view)), config)).ravel() for view in views]
    return np.mean(read, axis=0)


def _cropped(films, left, top):
    h, w = films.shape[1:]
    box = (left * w, top * h, (left + 0.9) * w, (top + 0.9) * h)
    return np.stack([np.asarray(Image.fromarray(film).resize((w, h), Image.Resampling.BILINEAR, box=box)) for film in films])


def _prepared(dataset, recipe, folder):
    if recipe.prepare not in _PREPARE:
        return dataset.images
    path = folder / f"{recipe.prepare}-{dataset.fingerprint}.npy"
    if not path.is_file():
        with atomic_path(path) as partial, open(partial, "wb") as file:
            np.save(file, np.stack([_PREPARE[recipe.prepare](np.asarray(film)) for film in dataset.images]))
    return np.load(path, mmap_mode="r")
