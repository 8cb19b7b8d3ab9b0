"""The number to beat: logistic regression on 32 x 32 grey values."""

import dataclasses

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from .errors import CxrkitError

SIDE = 32  # pixels that a film is pooled to, a side
_CHUNK = 128  # films turned into float32 at once


@dataclasses.dataclass(frozen=True)
class Baseline:
    """A fitted pixel baseline.

    Attributes
    ----------
    probabilities : float64 [n], of pneumonia, for every film of the dataset in table order.
    model : the fitted scikit-learn pipeline (StandardScaler, LogisticRegression) on `pool` features.
    """

    probabilities: np.ndarray
    model: Pipeline


def pixel_baseline(dataset, seed=0) -> Baseline:
    """Fit standardised logistic regression on mean-pooled 32 x 32 pixels of the training films.

    Class-balanced, C = 0.01: fixed beforehand, nothing is tuned on validation or test.

    Parameters
    ----------
    dataset : Dataset with films of both classes in split "train".
    seed : handed to scikit-learn; its lbfgs solver draws nothing, so every seed gives the same fit.

    Returns
    -------
    Baseline

    Raises
    ------
    CxrkitError when the training split is empty or holds one class.

    Introduced in notebook 01.
    """
    train = dataset.index("train")
    if len(np.unique(dataset.labels[train])) < 2:
        raise CxrkitError(f"The training split of '{dataset.name}' has {len(train)} films and not both classes; "
                          "the pixel baseline needs normal and pneumonia films to learn from.")
    pixels = pool(dataset.images)
    model = make_pipeline(
        StandardScaler(),
        LogisticRegression(class_weight="balanced", C=1e-2, max_iter=2000, random_state=seed),
    )
    model.fit(pixels[train], dataset.labels[train])
    return Baseline(model.predict_proba(pixels)[:, 1], model)


def pool(images, side=SIDE) -> np.ndarray:
    """Return area means of films, whatever their size: uint8 [n, h, w] to float64 [n, side * side], 0-255.

    Each of side x side cells is the mean of what it covers, a pixel on a border counting by its share.

    Introduced in notebook 01.
    """
    images = np.asanyarray(images)  # a memory map stays one; each chunk is read once
    rows, columns = _cell_weights(images.shape[1], side), _cell_weights(images.shape[2], side)
    pooled = [rows @ images[i : i + _CHUNK].astype(np.float32) @ columns.T for i in range(0, len(images), _CHUNK)]
    return np.concatenate(pooled).reshape(len(images), side * side).astype(np.float64)


def _cell_weights(length, side):
    """Share of each of `length` pixels in each of `side` cells along one axis, float32 [side, length], rows sum to 1."""
    starts = np.arange(side)[:, None] * length / side
    overlap = np.minimum(starts + length / side, np.arange(length) + 1) - np.maximum(starts, np.arange(length))
    return (np.clip(overlap, 0, None) * side / length).astype(np.float32)
