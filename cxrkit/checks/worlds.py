"""The data that the exercise notebooks show, made from a seed. The judges make the same again.

Everything is computed: films and names by the phantom, numbers by a seeded generator. Answers are worked out by the judges.
"""

import dataclasses
import functools

import numpy as np
import pandas as pd

from ..config import configure
from ..data.splits import grouped_split
from .hospital import hospital  # noqa: F401  the capstone's world has its own module

STORIES = {  # of set 03's four learning curves
    "memorises": "the network learns its training films by heart",
    "still_learning": "both curves are still falling: it was stopped too early",
    "too_fast": "the learning rate is too high",
    "few_films": "there are too few validation films to tell epochs apart",
}
CHANGES = (  # of set 03: what somebody wants to do to training films
    "turn the film by up to 5 degrees", "make it up to a fifth brighter or darker", "cut out at least 80 % of its area and enlarge that",
    "soften or harden the contrast by up to a fifth", "turn it upside down", "mirror it, left for right", "stretch it to twice its width",
)


@functools.lru_cache(maxsize=4)
def films(seed: int = 0):
    """Set 01: a phantom Dataset of 240 films at 64 px, its training films split anew into train and val, whole patients only."""
    from ..data.phantom import load_phantom

    made = load_phantom(configure("demo", phantom_images=240, stored_size=64, image_size=64))
    return dataclasses.replace(made, table=grouped_split(made.table, 0.2, seed))


def leaky_table(seed: int = 0) -> pd.DataFrame:
    """Set 01: what a careless colleague handed over, one row a film: path, split, sha256. One child stands on both sides."""
    table = films(seed).table[["path", "split", "patient", "sha256"]].copy()
    rng = np.random.default_rng([seed, 13])
    train = table[(table["split"] == "train") & table["path"].str.contains("person")]
    counts = train["patient"].value_counts()
    child = rng.choice(sorted(counts[counts >= 3].index))
    rows = train.index[train["patient"] == child]
    table.loc[rng.choice(rows), "split"] = "val"
    return table.drop(columns="patient").sample(frac=1, random_state=seed).reset_index(drop=True)


def files_table(seed: int = 0) -> pd.DataFrame:
    """Set 01: facts about 400 image files and their label; one column gives the label away."""
    rng = np.random.default_rng([seed, 16])
    label = rng.permutation(np.repeat([0, 1], [160, 240]))
    n = len(label)
    size = rng.normal(20_000, 1_500, n)
    size[rng.choice(np.flatnonzero(label == 1), 12, replace=False)] *= 12  # a few huge files: another mean, the same ranking
    columns = {
        "width": np.round(rng.normal(1_300, 120, n) + 65 * label),
        "bytes": np.round(size),
        "hour": np.clip(np.round(rng.normal(15.0, 2.0, n) - 3.4 * label), 7, 20),
        "dose": np.round(rng.normal(3.0, 0.5, n) + 0.10 * label, 2),
    }
    return pd.DataFrame({"label": label} | {name: columns[name] for name in ("width", "bytes", "hour", "dose")})


def frozen_facts(seed: int = 0) -> dict:
    """Set 02: films, epochs, features (width of the backbone's output) and backbone_weights of a network that somebody trains."""
    rng = np.random.default_rng([seed, 21])
    return {"films": int(rng.integers(25, 60) * 100), "epochs": int(rng.integers(8, 25)), "features": 1280, "backbone_weights": 20_331_360}


def history(seed: int = 0) -> pd.DataFrame:
    """Set 03: a fine-tuning history of ten epochs: phase, epoch, loss, accuracy, val_loss, val_accuracy, val_auc."""
    rng = np.random.default_rng([seed, 31])
    epoch, best = np.arange(1, 11), int(rng.integers(6, 8))
    auc = 0.968 - 0.16 * np.exp(-epoch / 1.8) - 0.004 * np.clip(epoch - best, 0, None) + rng.normal(0, 0.002, 10)
    auc = np.round(np.minimum(auc, auc[best - 1]), 3)
    auc[best - 3] = auc[best - 1] = auc.max() + 0.004  # a tie: the lower validation loss must decide
    loss = np.round(0.62 * np.exp(-epoch / 4.5) + rng.normal(0, 0.002, 10), 3)
    loss[-1] = loss[-2] + 0.006  # the last epoch is not the lowest in training either
    val_loss = 0.25 + 0.30 * np.exp(-epoch / 1.6) + 0.012 * np.clip(epoch - best, 0, None) ** 1.5 + rng.normal(0, 0.003, 10)
    val_loss[best - 3] = val_loss[best - 1] + 0.030
    val_loss[best] = val_loss[best - 1] - 0.008  # the lowest of all, in an epoch with a lower AUC
    table = pd.DataFrame({"phase": "fine_tuned", "epoch": epoch, "loss": loss, "accuracy": np.round(1 - 0.33 * loss, 3),
                          "val_loss": np.round(val_loss, 3), "val_accuracy": np.round(1 - 0.42 * val_loss, 3), "val_auc": np.round(auc, 3)})
    return table


def stories(seed: int = 0) -> dict:
    """Set 03: {"A": table, ... "D": table} of epoch, loss, val_loss; each tells one of STORIES."""
    rng = np.random.default_rng([seed, 32])
    epoch = np.arange(1, 21)
    fall = 0.25 + 0.45 * np.exp(-epoch / 5.0)
    slow = 0.30 + 0.40 * np.exp(-epoch / 16.0)
    jumps = 0.50 + 0.12 * rng.standard_normal(20) + np.where(epoch % 6 == 0, 0.7, 0)
    curves = {
        "memorises": (0.70 * np.exp(-epoch / 4.0) + 0.01, 0.30 + 0.35 * np.exp(-epoch / 3.0) + 0.020 * np.clip(epoch - 6, 0, None)),
        "still_learning": (slow, slow + 0.03),
        "too_fast": (jumps, jumps + 0.05 + 0.10 * rng.standard_normal(20)),
        "few_films": (fall, fall + 0.05 + 0.11 * rng.standard_normal(20)),
    }
    return {letter: pd.DataFrame({"epoch": epoch, "loss": curves[name][0] + rng.normal(0, 0.004, 20), "val_loss": curves[name][1]})
            for letter, name in told(seed).items()}


def told(seed: int) -> dict:
    """Set 03: in which order `stories` tells them."""
    return {letter: str(name) for letter, name in zip("ABCD", np.random.default_rng([seed, 34]).permutation(list(STORIES)))}


def changes(seed: int = 0) -> dict:
    """Set 03: {"a": a change that may be made to a film, ...} in a drawn order."""
    rng = np.random.default_rng([seed, 33])
    return dict(zip("abcdefg", (str(text) for text in rng.permutation(CHANGES))))


def predictions(seed: int = 0, n: int = 600) -> pd.DataFrame:
    """Set 04: `label` and `probability` of validation films by a network that ranks well and is too sure of itself."""
    rng = np.random.default_rng([seed, 41])
    label = (rng.random(n) < 0.6).astype(np.int64)
    logit = 1.3 * (2 * label - 1) + rng.normal(0, 1.25, n)
    return pd.DataFrame({"label": label, "probability": np.round(1 / (1 + np.exp(-1.0 - 2.2 * logit)), 3)})


def real_films(data: str = "") -> pd.DataFrame | None:
    """Names and labels of the real films, where they are on this disk: path, label, split, patient. None where they are not.

    data : their folder or zip; empty: where `cxrkit data get` puts them. No film is opened.
    """
    from .. import locate
    from ..data.chestxray2017 import Films
    from ..data.splits import patient_key

    location = data or locate.real_images()
    if not location:
        return None
    with Films(location) as source:
        rows = [(film.path, film.label, film.split, patient_key(film.path.rsplit("/", 1)[-1])[0] or film.path) for film in source.films]
    return pd.DataFrame(rows, columns=["path", "label", "split", "patient"])
