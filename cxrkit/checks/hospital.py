"""The capstone's world: a phantom hospital, its model, a second hospital, and one problem, drawn with the seed."""

import dataclasses
import functools

import numpy as np
import pandas as pd

PROBLEMS = ("leakage", "marker", "prevalence")


@dataclasses.dataclass(frozen=True)
class Hospital:
    """What a student is handed.

    Attributes
    ----------
    films : DataFrame, one row a film: site ("here", "there"), split (train, test; all films of "there" are "test"), patient, label,
        marker (the side letter on the film, "L", "R" or ""), probability (by the hospital's model).
    images : uint8 [n, size, size], row by row those of `films`.
    """

    films: pd.DataFrame
    images: np.ndarray


def problem_of(seed: int) -> str:
    """Return which problem a seed plants."""
    return PROBLEMS[int(np.random.default_rng([seed, 50]).integers(len(PROBLEMS)))]


@functools.lru_cache(maxsize=4)
def hospital(seed: int = 0, size: int = 64) -> Hospital:
    """Make the hospital of a seed; the films' size changes the images only.

    Every hospital has children with several films, markers on most films, and a model that reads the lungs moderately well. The
    model is a logistic regression on two readings of the training films, the lungs (with noise) and the side marker; so it leans
    on the marker only where the marker follows the label. Of a child that it was trained on it also remembers the label.
    """
    from ..data.phantom import make_phantom

    problem = problem_of(seed)
    rng = np.random.default_rng([seed, 51])
    here = make_phantom(330, size, seed=10_000 + seed, shortcut=0.6 if problem == "marker" else 0.0, pneumonia=0.6)
    there = make_phantom(480, size, seed=20_000_000 + seed, pneumonia=0.12 if problem == "prevalence" else 0.6)
    frames = [_films(here, "here", rng), _films(there, "there", rng)]
    frames[0]["split"] = _split(frames[0], rng, by_film=problem == "leakage")
    frames[1]["split"] = "test"
    films = pd.concat(frames, ignore_index=True)
    films["probability"] = _scores(films, rng)
    images = np.concatenate([source.images[frame["film"]] for source, frame in zip((here, there), frames)])
    again = films["again"].to_numpy()  # a second film of the same child: minutes later, moved a little, exposed a little otherwise
    for row in np.flatnonzero(again):
        images[row] = np.clip(np.roll(images[row], again[row] * size // 64, axis=1) * (1 + 0.03 * again[row]), 0, 255).astype(np.uint8)
    columns = ["site", "split", "patient", "label", "marker", "probability"]
    return Hospital(films[columns].copy(), images)


def _films(made, site, rng):
    """One row a film: children with one to three films each."""
    letters = np.where(made.parameters["marker_letter"] > 0.5, "L", "R")
    letters = np.where(made.parameters["marker_level"] > 0, letters, "")
    count = rng.choice([1, 2, 3], len(made.labels), p=[0.45, 0.35, 0.20])
    film = np.repeat(np.arange(len(made.labels)), count)
    again = np.concatenate([np.arange(k) for k in count])
    number = rng.permutation(9000)[: len(made.labels)] + 1000
    return pd.DataFrame({"site": site, "patient": [f"{site[0].upper()}{number[k]}" for k in film], "label": made.labels[film],
                         "marker": letters[film], "film": film, "again": again})


def _split(films, rng, by_film):
    """Draw test films, by film or by child, until each letter stands on a few test films of either class: else task 05.6 has no answer."""
    patients = films["patient"].unique()
    for _ in range(100):  # two or three draws, as a rule
        if by_film:
            tested = rng.random(len(films)) < 0.4
        else:
            tested = films["patient"].isin(patients[rng.random(len(patients)) < 0.4]).to_numpy()
        counts = films[tested].groupby(["marker", "label"]).size()
        if all(counts.get((letter, label), 0) >= 6 for letter in "LR" for label in (0, 1)):
            break
    return np.where(tested, "test", "train")


def _scores(films, rng):
    from sklearn.linear_model import LogisticRegression

    label = films["label"].to_numpy()
    lungs = 1.5 * (label - 0.5) + rng.normal(0, 1, len(films))
    marker = films["marker"].map({"L": 1.0, "R": -1.0, "": 0.0}).to_numpy()
    readings = np.stack([lungs, marker], 1)
    train = (films["split"] == "train").to_numpy()
    logit = LogisticRegression().fit(readings[train], label[train]).decision_function(readings)
    known = films["patient"].isin(films["patient"][train]).to_numpy()
    return np.round(1 / (1 + np.exp(-(logit + 2.5 * known * (2 * label - 1)))), 4)
