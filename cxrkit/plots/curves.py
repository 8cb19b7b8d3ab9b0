"""Curves: learning, ROC, calibration."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score, roc_curve

from ..errors import CxrkitError
from ..evaluation import check_predictions, ece, reliability_curve
from .style import POINT, REFERENCE, SERIES, fraction_axes, styled, titled

PHASE_NAMES = {"frozen": "Frozen", "fine_tuned": "Fine-tuned"}
_PANELS = (  # title, y label, training column, validation column
    ("Loss", "binary cross-entropy", "loss", "val_loss"),
    ("Accuracy", "share of films right", "accuracy", "val_accuracy"),
    ("Validation AUC", "area under the ROC curve", None, "val_auc"),
)


@styled
def learning_curves(history, phantom=False):
    """Draw loss, accuracy and validation AUC over the epochs of both phases.

    Parameters
    ----------
    history : DataFrame, one row an epoch in the order trained: phase (frozen, fine_tuned), epoch, loss, accuracy,
        val_loss, val_accuracy, val_auc. One phase alone will do.
    phantom : whether the films are phantoms.

    Returns
    -------
    Figure. Where both phases are drawn each takes half the width, however many epochs it has, and a vertical line
    stands where fine-tuning starts; epochs are numbered within their phase.

    Introduced in notebook 02.
    """
    history = _history(history)
    phases = [(name, rows) for name, rows in history.groupby("phase", sort=False)]
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.5), layout="constrained")
    (train_colour, *_), (val_colour, *_) = SERIES[0], SERIES[1]
    for axis, (title, label, train, val) in zip(axes, _PANELS):
        ticks = {}
        for k, (_, rows) in enumerate(phases):
            n = len(rows)
            x = k + (np.arange(n) + 0.5) / n
            every = max(1, n // 12)
            names = ("training", "validation") if k == 0 else (None, None)  # one legend entry for both phases
            if train:
                axis.plot(x, rows[train], "--", color=train_colour, marker="o", markevery=every, label=names[0])
            axis.plot(x, rows[val], "-", color=val_colour, marker="s", markevery=every, label=names[1])
            ticks |= {x[e - 1]: str(e) for e in np.unique(np.linspace(1, n, min(n, 4)).round().astype(int))}
        if len(phases) == 2:
            axis.axvline(1, color="black", linestyle=":", label="fine-tuning starts")
        axis.set(title=title, ylabel=label, xlim=(0, len(phases)))
        axis.set_xticks(list(ticks), list(ticks.values()))
        words = [f"\n{PHASE_NAMES[name].lower()} epochs" for name, _ in phases]
        axis.set_xticks([k + 0.5 for k in range(len(phases))], words, minor=True)
        axis.tick_params(axis="x", which="minor", length=0, labelsize=10)
        axis.xaxis.remove_overlapping_locs = False  # an epoch in the middle must not take the phase's name away
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    names = " and ".join(PHASE_NAMES[name].lower() for name, _ in phases)
    figure.suptitle(titled(f"Learning curves: {names} phase{'s' if len(phases) > 1 else ''}", phantom))
    return figure


def read_learning_curves(history) -> str:
    """Say in one line where each phase started, ended and was best, and how far training ran ahead of validation."""
    history = _history(history)
    sentences = []
    for phase, rows in history.groupby("phase", sort=False):
        best = int(np.lexsort((rows["val_loss"], -rows["val_auc"]))[0])  # as training chooses: of equal AUCs the lower loss
        first, last = rows.iloc[0], rows.iloc[-1]
        sentences.append(
            f"{PHASE_NAMES[phase]}, {len(rows)} epoch{'s' if len(rows) > 1 else ''}: "
            f"loss {first['loss']:.3f} to {last['loss']:.3f}, validation loss {first['val_loss']:.3f} to {last['val_loss']:.3f}, "
            f"validation AUC best at epoch {best + 1} ({rows['val_auc'].iloc[best]:.3f}), "
            f"training accuracy at the end {100 * (last['accuracy'] - last['val_accuracy']):+.1f} points from validation's."
        )
    return " ".join(sentences)


def _history(history):
    history = pd.DataFrame(history)
    missing = {"phase", "loss", "accuracy", "val_loss", "val_accuracy", "val_auc"} - set(history.columns)
    if missing or not len(history):
        raise CxrkitError(f"The history has {len(history)} rows and lacks {', '.join(sorted(missing)) or 'no column'}; "
                          "train at least one epoch, then draw its curves.")
    return history


@styled
def roc_curves(systems, paper_point=None, phantom=False, split="test"):
    """Draw the ROC curves of several systems and, if wanted, the paper's single operating point.

    Parameters
    ----------
    systems : {name: (labels, probabilities)}, at most five.
    paper_point : a table with recall and specificity, such as PAPER["at_half"]; None: not drawn.
    phantom : whether the films are phantoms.
    split : the split's name, for the title.

    Returns
    -------
    Figure

    Introduced in notebook 04.
    """
    figure, axis = plt.subplots(figsize=(5.4, 5.4), layout="constrained")
    axis.plot([0, 1], [0, 1], **REFERENCE, label="chance (AUC 0.500)")
    for (name, (labels, probabilities)), (colour, line, _) in zip(systems.items(), _series(systems)):
        labels, probabilities, _ = check_predictions(labels, probabilities)
        fpr, tpr, _ = roc_curve(labels, probabilities)
        axis.plot(fpr, tpr, color=colour, linestyle=line, label=f"{name} (AUC {roc_auc_score(labels, probabilities):.3f})")
    if paper_point is not None:
        axis.plot(1 - paper_point["specificity"], paper_point["recall"], **POINT,
                  label="the paper (real films)" if phantom else "the paper")
    fraction_axes(axis, "false-alarm rate (1 - specificity)", "sensitivity")
    axis.legend(loc="lower right")
    axis.set_title(titled(f"ROC curves, {split} split", phantom), fontsize=12)
    return figure


def read_roc_curves(systems, paper_point=None) -> str:
    """Say in one line each system's AUC and, with the paper's point, its sensitivity at the paper's false-alarm rate."""
    text = "AUC: " + ", ".join(f"{name} {roc_auc_score(*pair):.3f}" for name, pair in systems.items()) + "."
    if paper_point is None:
        return text
    rate = 1 - paper_point["specificity"]
    reached = []
    for name, pair in systems.items():
        fpr, tpr, _ = roc_curve(*pair, drop_intermediate=False)
        reached.append(f"{name} {100 * tpr[fpr <= rate].max():.1f} %")
    return (f"{text} At no more than the paper's false-alarm rate of {100 * rate:.1f} %, where it finds "
            f"{100 * paper_point['recall']:.1f} % of pneumonias, sensitivity is: {', '.join(reached)}.")


@styled
def calibration_curve(systems, bins=10, phantom=False, split="validation"):
    """Draw observed frequency against stated probability, with Wilson 95 % bars, above the number of films a bin.

    Parameters
    ----------
    systems : {name: (labels, probabilities)}, at most five.
    bins : equal-width bins over 0-1.
    phantom : whether the films are phantoms.
    split : the split's name, for the title.

    Returns
    -------
    Figure

    Introduced in notebook 04.
    """
    figure, (axis, below) = plt.subplots(2, 1, figsize=(5.4, 6.8), layout="constrained", height_ratios=(3, 1), sharex=True)
    axis.plot([0, 1], [0, 1], **REFERENCE, label="perfect calibration")
    edges = np.linspace(0, 1, bins + 1)
    for (name, pair), (colour, line, marker) in zip(systems.items(), _series(systems)):
        curve = reliability_curve(*pair, bins)
        bars = np.abs(curve[["observed_low", "observed_high"]].to_numpy().T - curve["observed"].to_numpy())
        axis.errorbar(curve["stated"], curve["observed"], bars, color=colour, linestyle=line, marker=marker,
                      elinewidth=1, capsize=2, label=f"{name} (ECE {ece(*pair, bins):.3f})")
        counts = np.histogram(curve["low"] + 0.5 / bins, edges, weights=curve["n"])[0]  # empty bins count 0
        below.stairs(counts, edges, color=colour, linestyle=line, linewidth=1.5)
    fraction_axes(axis, "", "observed share of pneumonia", square=False)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=1)
    below.set(yscale="log", ylim=(0.7, None), xlabel=f"stated probability of pneumonia ({bins} equal bins)", ylabel="films (log)")
    figure.suptitle(titled(f"Calibration, {split} split", phantom))
    return figure


def read_calibration_curve(systems, bins=10) -> str:
    """Say in one line each system's expected calibration error and its widest gap, among bins of ten films or more if there are any."""
    sentences = []
    for name, pair in systems.items():
        curve = reliability_curve(*pair, bins)
        full = curve[curve["n"] >= 10] if (curve["n"] >= 10).any() else curve  # a bin of two films has a wide gap by chance
        worst = full.loc[(full["observed"] - full["stated"]).abs().idxmax()]
        sentences.append(
            f"{name}: expected calibration error {ece(*pair, bins):.3f} ({bins} bins); "
            f"widest gap{' among bins of ten films or more' if len(full) < len(curve) else ''} where it states {100 * worst['stated']:.0f} % and {100 * worst['observed']:.0f} % have pneumonia "
            f"({worst['n']:.0f} film{'s' if worst['n'] > 1 else ''})."
        )
    return " ".join(sentences)


def _series(systems):
    if len(systems) > len(SERIES):
        raise CxrkitError(f"{len(systems)} curves in one figure cannot be told apart; draw at most {len(SERIES)}.")
    return SERIES
