"""From stored films to the batches that a network sees: plain views, augmented views, order and weights.

Everything random here is a function of (seed, epoch, film), so a run that was interrupted sees the same films in the same order.
"""

import concurrent.futures
import os

import numpy as np
from PIL import Image

from .backend import keras
from .config import Config
from .model import check_pixel_range

_BILINEAR = Image.Resampling.BILINEAR
# A network is compiled anew for each shape of batch, in seconds by TensorFlow, in a minute for fine-tuning by JAX on a GPU. So the last
# batch is filled up in prediction; in training on JAX alone, since TensorFlow's `fit` takes any shape.
FILL = keras.backend.backend() == "jax"

_WHOLE = (0.0, 0.0, 1.0, 1.0)  # left, top, right, bottom as shares of the sides


def prediction_crops(config: Config) -> list:
    """Return the `config.test_views` crops that prediction averages: the whole film, then crops into its four corners.

    The corner crops have nine tenths of each side, or as much as the least crop that training showed, if that is more.
    """
    side = max(0.9, config.crop_area**0.5)
    corners = [(left, top, left + side, top + side) for top in (0.0, 1 - side) for left in (0.0, 1 - side)]
    return [_WHOLE, *corners][: config.test_views]


def plain_view(film: np.ndarray, size: int, crop: tuple = _WHOLE) -> np.ndarray:
    """Return a film uint8 [h, w] resized, antialiased, to float32 [size, size], 0-255: what validation and test see.

    crop : left, top, right, bottom as shares of the sides; the whole film unless told.
    """
    if film.shape == (size, size) and crop == _WHOLE:
        return film.astype("float32")
    h, w = film.shape
    box = (crop[0] * w, crop[1] * h, crop[2] * w, crop[3] * h)
    return np.asarray(Image.fromarray(film).resize((size, size), _BILINEAR, box=box), dtype="float32")


def augmented_view(film: np.ndarray, config: Config, rng: np.random.Generator) -> np.ndarray:
    """Return one random view of a film uint8 [h, w]: rotated a little, cropped, resized, brighter or darker, harder or softer.

    Never upside down: no chest film is read that way. Mirrored only if `config.horizontal_flip`, since a mirror puts the heart
    on the wrong side. Returns float32 [image_size, image_size], 0-255. Introduced in notebook 03.
    """
    image = Image.fromarray(film)
    if config.rotation:
        image = image.rotate(rng.uniform(-config.rotation, config.rotation), _BILINEAR, fillcolor=0)
    image = image.resize((config.image_size, config.image_size), _BILINEAR, box=_random_crop(film.shape, config.crop_area, rng))
    pixels = np.asarray(image, dtype="float32")
    middle = pixels.mean()
    pixels = (pixels - middle) * rng.uniform(1 - config.contrast, 1 + config.contrast) + middle
    pixels += 255 * rng.uniform(-config.brightness, config.brightness)
    if config.horizontal_flip and rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    return np.clip(pixels, 0, 255)


def _random_crop(shape, least_area, rng):
    """A box (left, top, right, bottom) of `least_area` to 1 of the film, sides between 3:4 and 4:3."""
    height, width = shape
    area = rng.uniform(least_area, 1.0)
    # Near the whole film only near-square boxes fit inside it.
    ratio = np.exp(rng.uniform(np.log(max(3 / 4, area)), np.log(min(4 / 3, 1 / area))))
    w, h = width * np.sqrt(area * ratio), height * np.sqrt(area / ratio)
    left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
    return (left, top, left + w, top + h)


def for_prediction(config: Config) -> Config:
    """Return the settings with batches four times as wide: predicting keeps nothing for gradients, and on a CPU wider batches take
    a tenth (EfficientNetV2B0, 160 px) to a third (EfficientNetV2S, 64 px) less time."""
    return config.replace(batch_size=4 * config.batch_size)


def sample_weights(labels: np.ndarray, balanced: bool = True) -> np.ndarray:
    """Return a weight a film, float32 [n], mean 1, so that both classes count alike; ones if not `balanced`."""
    if not balanced:
        return np.ones(len(labels), "float32")
    counts = np.bincount(labels, minlength=2)
    return (len(labels) / (2.0 * counts))[labels].astype("float32")


def order(n: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order in which an epoch visits n films, int64 [n]."""
    return np.random.default_rng([seed, epoch, 1]).permutation(n)


def _batch(order, number, size, fill):
    """Return the positions of a batch, int64 [b], and how many of them count; those that fill up a last batch do not."""
    chosen = order[number * size : (number + 1) * size]
    return (np.resize(chosen, size) if fill else chosen), len(chosen)  # resize repeats from the start


def _without_filling(weights, count):
    """Return weights [b] that leave what fills a batch without weight, so that the mean over the batch is that of its first `count`."""
    return np.where(np.arange(len(weights)) < count, weights * (len(weights) / count), 0).astype("float32")


class FilmBatches(keras.utils.PyDataset):
    """Batches (films [b, s, s, 1], labels [b, 1], weights [b]) of an epoch; without labels, films alone in table order.

    Without labels every batch is a whole one: the last is filled up with films that it holds already, and the predictions of those
    are to be cut off (`training` does it). On JAX that holds with labels too, at weight 0; there an epoch's mean loss and accuracy
    count that batch as a whole one.

    Parameters
    ----------
    images : uint8 [n, h, w], the whole store. rows : which of them, int64 [m]. labels : int [m], or None.
    augment : augmented views instead of plain ones. epoch : which order and which augmentation; set it before each epoch.
    crop : of plain views, one of `prediction_crops`.
    """

    def __init__(self, images, rows, config: Config, labels=None, augment=False, epoch=0, crop=_WHOLE):
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=4)  # prepares ahead of the network
        check_pixel_range(images)
        self.images, self.rows, self.config, self.labels, self.augment, self.crop = images, np.asarray(rows), config, labels, augment, crop
        self.weights = None if labels is None else sample_weights(labels, config.class_weights)
        self._threads = concurrent.futures.ThreadPoolExecutor(max(1, min(8, os.cpu_count() or 1)))
        self.set_epoch(epoch)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        self.order = np.arange(len(self.rows)) if self.labels is None else order(len(self.rows), self.config.seed, epoch)

    def __len__(self):
        return -(-len(self.rows) // self.config.batch_size)

    def __getitem__(self, number):
        chosen, count = _batch(self.order, number, self.config.batch_size, fill=FILL or self.labels is None)
        films = np.stack(list(self._threads.map(self._view, chosen)))[..., None]
        if self.labels is None:
            return (films,)
        return films, self.labels[chosen, None].astype("float32"), _without_filling(self.weights[chosen], count)

    def _view(self, position):
        film = np.asarray(self.images[self.rows[position]])
        if not self.augment:
            return plain_view(film, self.config.image_size, self.crop)
        return augmented_view(film, self.config, np.random.default_rng([self.config.seed, self.epoch, 2, position]))


class FeatureBatches(keras.utils.PyDataset):
    """Batches (features [b, d], labels [b, 1], weights [b]) in the very order of `FilmBatches`.

    features : float32 [k, n, d], one layer for each of k views; epoch e shows a film in view (e + film) modulo k.
    """

    def __init__(self, features, labels, config: Config, epoch=0):
        super().__init__(workers=1, use_multiprocessing=False)
        self.features, self.labels, self.config = features, labels, config
        self.weights = sample_weights(labels, config.class_weights)
        self.set_epoch(epoch)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        self.order = order(len(self.labels), self.config.seed, epoch)

    def __len__(self):
        return -(-len(self.labels) // self.config.batch_size)

    def __getitem__(self, number):
        chosen, count = _batch(self.order, number, self.config.batch_size, FILL)
        view = (self.epoch + chosen) % len(self.features)
        return self.features[view, chosen], self.labels[chosen, None].astype("float32"), _without_filling(self.weights[chosen], count)
