"""Films: a grid to look at, and a gallery of the worst mistakes."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

from ..errors import CxrkitError
from ..evaluation import check_predictions
from .style import styled, titled

_CELL = 1.5  # inches a film
_OUTLINE = "#ffd92f"  # yellow stands out on grey


@styled
def film_grid(images, titles=None, masks=None, columns=6, phantom=False, title="Chest films"):
    """Draw films in rows, with their opacities outlined where masks are given.

    Parameters
    ----------
    images : uint8 [n, h, w], 0-255, or a sequence of [h, w].
    titles : n short texts, or None.
    masks : bool [n, h, w] of opacities, or None.
    columns : films a row.
    phantom : whether the films are phantoms.
    title : of the figure.

    Returns
    -------
    Figure

    Introduced in notebook 01.
    """
    n = len(images)
    for name, values in (("titles", titles), ("masks", masks)):
        if values is not None and len(values) != n:
            raise CxrkitError(f"There are {n} films but {len(values)} {name}; give one of each a film.")
    columns = min(columns, n)
    rows = -(-n // columns)
    size = (_CELL * columns, (_CELL + 0.22) * rows + 0.4)
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for k, axis in enumerate(axes.flat):
        if k < n:
            _film(axis, images[k], "" if titles is None else titles[k], None if masks is None else masks[k])
        axis.axis("off")
    figure.suptitle(titled(title, phantom))
    return figure


def read_film_grid(titles, masks=None) -> str:
    """Say in one line which films the grid shows and how much of them the outlined opacities cover."""
    counts = pd.Series(list(titles)).value_counts(sort=False)
    text = f"{counts.sum()} films: " + ", ".join(f"{count} × {title}" for title, count in counts.items()) + "."
    covered = [100 * np.mean(mask) for mask in masks if np.any(mask)] if masks is not None else []
    if covered:
        text += f" The outlined opacities of {len(covered)} films cover {min(covered):.0f} to {max(covered):.0f} % of the film."
    return text


def worst_first(predictions, threshold) -> pd.DataFrame:
    """Return the predictions with a column `outcome`, the worst mistakes first.

    Parameters
    ----------
    predictions : DataFrame with path, label, probability.
    threshold : 0-1.

    Returns
    -------
    DataFrame: first the missed pneumonias, the lowest probability first; then the false alarms, the highest first;
    then the films called right, the nearest to the threshold first.

    Introduced in notebook 04.
    """
    check_predictions(predictions["label"], predictions["probability"])
    probability = predictions["probability"].to_numpy()
    pneumonia, called = predictions["label"].to_numpy() == 1, probability >= threshold
    outcome = np.where(pneumonia & ~called, "missed", np.where(~pneumonia & called, "false alarm", "right"))
    distance = np.abs(probability - threshold)
    rank = pd.Series(outcome).map({"missed": 0, "false alarm": 1, "right": 2}).to_numpy()
    order = np.lexsort((np.where(outcome == "right", distance, -distance), rank))
    return predictions.assign(outcome=outcome).iloc[order]


@styled
def prediction_gallery(dataset, predictions, threshold, columns=6, phantom=False, split="test"):
    """Draw the worst missed pneumonias, the worst false alarms, and the right calls that were the closest run.

    Parameters
    ----------
    dataset : Dataset that holds the films.
    predictions : DataFrame with path, label, probability and, where known, subtype.
    threshold : 0-1.
    columns : films a row, at most.
    phantom : whether the films are phantoms; then their true opacities are outlined.
    split : the split's name, for the title.

    Returns
    -------
    Figure

    Raises
    ------
    CxrkitError when a path of the predictions is not in the dataset.

    Introduced in notebook 04.
    """
    rows = _gallery_rows(predictions, threshold, columns)
    position = pd.Series(np.arange(len(dataset)), index=dataset.table["path"])
    unknown = ~predictions["path"].isin(position.index)
    if unknown.any():
        raise CxrkitError(f"{unknown.sum()} predictions are of films that the dataset '{dataset.name}' does not hold, "
                          f"'{predictions['path'][unknown].iloc[0]}' first; they belong to another run.")
    figure = plt.figure(figsize=(_CELL * columns, (_CELL + 0.55) * len(rows) + 0.4), layout="constrained")
    for part, (heading, shown) in zip(np.atleast_1d(figure.subfigures(len(rows), 1)), rows):
        part.suptitle(heading, fontsize=10, x=0.01, ha="left")
        axes = part.subplots(1, columns, squeeze=False)[0]
        for axis, film in zip(axes, shown.itertuples()):
            k = position[film.path]
            mask = dataset.masks[k] if dataset.masks is not None else None
            _film(axis, dataset.images[k], f"{film.probability:.3f}, {film.truth}", mask)
        for axis in axes:
            axis.axis("off")
    figure.suptitle(titled(f"Predictions on {split} films at threshold {threshold:.3f}", phantom))
    return figure


def read_prediction_gallery(predictions, threshold) -> str:
    """Say in one line how many mistakes there are and which are the worst."""
    ordered = worst_first(predictions, threshold)
    missed, alarms = (ordered[ordered["outcome"] == kind] for kind in ("missed", "false alarm"))
    worst = []
    if len(missed):
        worst.append(f"the worst miss has probability {missed['probability'].iloc[0]:.3f}")
    if len(alarms):
        worst.append(f"the worst false alarm {alarms['probability'].iloc[0]:.3f}")
    text = f"{len(predictions)} films at threshold {threshold:.3f}: {len(missed)} pneumonias missed, {len(alarms)} false alarms"
    text += f"; {', '.join(worst)}" if worst else ""
    if len(missed) and "subtype" in missed:
        counts = _truth(missed).value_counts()
        text += f"; missed by subtype: {', '.join(f'{name} {count}' for name, count in counts.items())}"
    return text + "."


def _truth(predictions):
    """Text per film: normal, or the subtype of pneumonia where it is known (a CSV file reads unknown ones as NaN)."""
    known = predictions["subtype"] if "subtype" in predictions else pd.Series("", index=predictions.index)
    return known.where(known.notna() & (known != ""), "pneumonia").where(predictions["label"] == 1, "normal")


def _gallery_rows(predictions, threshold, columns):
    """[(heading, films)] of the kinds of outcome that occur."""
    ordered = worst_first(predictions, threshold).assign(truth=_truth)
    headings = {"missed": "Missed pneumonias", "false alarm": "False alarms", "right": "Called right, but only just"}
    rows = []
    for kind, heading in headings.items():
        films = ordered[ordered["outcome"] == kind]
        if len(films):
            order = ", the worst first" if kind != "right" else ""
            heading += f": {min(columns, len(films))} of {len(films)}{order} (probability, truth)"
            rows.append((heading, films.head(columns)))
    return rows


def _film(axis, image, title, mask):
    axis.imshow(image, cmap="gray", vmin=0, vmax=255)
    axis.set_title(title, fontsize=8.5, pad=3)
    if mask is not None and np.any(mask):
        # One line round the region: drawn round each streak of a fine texture it would hide the lung.
        region = gaussian_filter(np.asarray(mask, float), mask.shape[0] / 40)
        axis.contour(region, [min(0.3, region.max() / 2)], colors=_OUTLINE, linewidths=1)
