"""The measure: validation films made to differ from the training films as another room's films would.

Plain validation is cut from the training films and nearly blind to the step from train to test. Each view changes something that
the audit of the two splits finds changed, or might find elsewhere. Films uint8 [h, w] in and out.
"""

import io

import numpy as np
from PIL import Image, ImageFilter


def plain(film):
    return film


def recoded(film):
    """One JPEG quality, low."""
    return _jpeg(film, 20)


def blurred(film):
    """As a smaller or older detector draws it; 1.5 pixels of a 224-pixel film."""
    return np.asarray(Image.fromarray(film).filter(ImageFilter.GaussianBlur(1.5 * film.shape[0] / 224)))


def flat(film):
    """Less contrast."""
    middle = film.mean()
    return np.clip((film - middle) * 0.6 + middle, 0, 255).astype("uint8")


def dark(film):
    """Printed darker: gamma 1.5."""
    return (255 * (film / 255.0) ** 1.5).astype("uint8")


def close(film):
    """Collimated closer: the middle 80 % of each side."""
    h, w = film.shape
    box = (0.1 * w, 0.1 * h, 0.9 * w, 0.9 * h)
    return np.asarray(Image.fromarray(film).resize((w, h), Image.Resampling.BILINEAR, box=box))


PIXEL_VIEWS = {view.__name__: view for view in (plain, recoded, blurred, flat, dark, close)}
SUBSETS = ("few films", "first series", "second series")


def scores_by_view(labels, table, logits):
    """Turn logits {pixel view: [n]} of the validation films into {view: (labels, logits)}, the derived views included.

    "blurred normals" and its like show the change on normal films alone, pneumonia as it is: a film's making then speaks against its
    label, and a network that has learned the making falls. Subsets take the plain logits of some films.
    """
    views = {name: (labels, values) for name, values in logits.items()}
    for name in logits:
        if name != "plain":
            views[f"{name} normals"] = (labels, np.where(labels == 0, logits[name], logits["plain"]))
    for name, rows in _subsets(table).items():
        views[name] = (labels[rows], logits["plain"][rows])
    return views


def degraded(film, rng):
    """A training view blurred, re-encoded and made noisy, each with chance 1/2 (the recipe "degraded views")."""
    if rng.random() < 0.5:
        radius = rng.uniform(0, 2.0) * film.shape[0] / 224
        film = np.asarray(Image.fromarray(film).filter(ImageFilter.GaussianBlur(radius)))
    if rng.random() < 0.5:
        film = _jpeg(film, int(rng.integers(15, 90)))
    if rng.random() < 0.5:
        film = np.clip(film + rng.normal(0, rng.uniform(0, 10), film.shape), 0, 255).astype("uint8")
    return film


def harmonised(film):
    """Blurred and re-encoded so that films of all makings come out alike."""
    return _jpeg(blurred(film), 40)


def equalised(film):
    """Grey values spread evenly over 0-255 (histogram equalisation)."""
    counts = np.bincount(film.ravel(), minlength=256)
    return (255 * (np.cumsum(counts) - counts / 2) / film.size).astype("uint8")[film]


def stretched(film):
    """The grey range between the 1st and the 99th percentile stretched to 0-255."""
    low, high = np.percentile(film, (1, 99))
    return np.clip((film - low) * (255 / max(high - low, 1)), 0, 255).astype("uint8")


def _jpeg(film, quality):
    buffer = io.BytesIO()
    Image.fromarray(film).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def _subsets(table):
    """Rows of: patients with one or two films; normals of one naming series only, with every pneumonia film."""
    per_patient = table["patient"].map(table["patient"].value_counts())
    normal = table["label"] == 0
    second = table["path"].str.contains("NORMAL2")
    chosen = {"few films": per_patient <= 2, "first series": ~normal | ~second, "second series": ~normal | second}
    return {name: np.flatnonzero(rows) for name, rows in chosen.items()}
