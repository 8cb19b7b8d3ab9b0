"""What a threshold does: confusion matrices and the static four-part panel."""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from ..evaluation import at_threshold, check_predictions
from .style import NORMAL, PNEUMONIA, POINT, REFERENCE, THRESHOLD, fraction_axes, styled, titled

_CELLS = (("tn", "fp"), ("fn", "tp"))
_MEANING = {"tn": "left alone", "fp": "false alarm", "fn": "missed", "tp": "found"}


@styled
def confusion_matrix(tables, phantom=False):
    """Draw one confusion matrix or several side by side.

    Parameters
    ----------
    tables : {name: table}, tables as `at_threshold` returns them.
    phantom : whether the films are phantoms.

    Returns
    -------
    Figure. Each cell gives the count, what it means, and its share of the row; darker is more of the row.

    Introduced in notebook 04.
    """
    size = (0.6 + 3.3 * len(tables), 3.7)
    figure, axes = plt.subplots(1, len(tables), figsize=size, layout="constrained", squeeze=False, sharey=True)
    for axis, (name, table) in zip(axes[0], tables.items()):
        _matrix(axis, table["confusion"])
        axis.set_title(name)
    axes[0, 0].set_ylabel("in truth")
    figure.suptitle(titled("Confusion matrix" if len(tables) == 1 else "Confusion matrices", phantom))
    return figure


def read_confusion_matrix(tables) -> str:
    """Say in one line the four counts of each matrix."""
    return " ".join(
        "{}: of {} pneumonias {} found and {} missed; of {} normal films {} left alone and {} false alarms.".format(
            name, c["tp"] + c["fn"], c["tp"], c["fn"], c["tn"] + c["fp"], c["tn"], c["fp"]
        ) for name, c in ((name, table["confusion"]) for name, table in tables.items())
    )


def _matrix(axis, counts):
    values = np.array([[counts[key] for key in row] for row in _CELLS])
    shares = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1.6)  # never so dark that black text is hard to read
    for i, row in enumerate(_CELLS):
        for j, key in enumerate(row):
            axis.text(j, i, f"{values[i, j]}", ha="center", va="bottom", fontsize=15)
            detail = f"{key.upper()}: {_MEANING[key]}\n{100 * shares[i, j]:.1f} % of row"
            axis.text(j, i + 0.06, detail, ha="center", va="top", fontsize=8)
    axis.set_xticks((0, 1), ("normal", "pneumonia"))
    axis.set_yticks((0, 1), ("normal", "pneumonia"))
    axis.set_xlabel("called")
    axis.tick_params(axis="y", labelrotation=90, length=0)
    axis.tick_params(axis="x", length=0)
    plt.setp(axis.get_yticklabels(), va="center")
    axis.grid(False)
    axis.spines[:].set_visible(False)


@styled
def threshold_panel(labels, probabilities, threshold, phantom=False, split="validation"):
    """Draw what one threshold does: histograms, ROC and precision-recall with the operating point, counts.

    Parameters
    ----------
    labels, probabilities : one split's; see `evaluation.check_predictions`.
    threshold : 0-1; films with `probability >= threshold` are called pneumonia.
    phantom : whether the films are phantoms.
    split : the split's name, for the title.

    Returns
    -------
    Figure

    Introduced in notebook 04.
    """
    labels, probabilities, _ = check_predictions(labels, probabilities)
    table = at_threshold(labels, probabilities, threshold)
    figure, ((films, roc), (matrix, pr)) = plt.subplots(2, 2, figsize=(8.4, 7.4), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.1)

    edges = np.linspace(0, 1, 26)
    films.hist(probabilities[labels == 0], edges, color=NORMAL, alpha=0.55, label=f"normal ({(labels == 0).sum()})")
    films.hist(probabilities[labels == 1], edges, histtype="step", color=PNEUMONIA, linewidth=1.8, hatch="////",
               label=f"pneumonia ({labels.sum()})")
    films.axvline(threshold, **THRESHOLD, label=f"threshold {threshold:.3f}")
    films.set(yscale="log", ylim=(0.7, None), xlim=(0, 1), title="Films")
    films.set(xlabel="stated probability of pneumonia", ylabel="films (log scale)")
    films.set_ylim(top=films.get_ylim()[1] * 8)  # room for the legend above the bars
    films.legend(loc="upper center", ncols=2, fontsize=8)

    fpr, tpr, _ = roc_curve(labels, probabilities)
    roc.plot([0, 1], [0, 1], **REFERENCE)
    roc.plot(fpr, tpr, color=NORMAL)
    roc.plot(1 - table["specificity"], table["recall"], **POINT,
             label=f"sensitivity {100 * table['recall']:.1f} %\nspecificity {100 * table['specificity']:.1f} %")
    fraction_axes(roc, "false-alarm rate (1 - specificity)", "sensitivity")
    roc.set_title(f"ROC, AUC {roc_auc_score(labels, probabilities):.3f}")
    roc.legend(loc="lower right")

    precision, recall, _ = precision_recall_curve(labels, probabilities)
    pr.axhline(labels.mean(), **REFERENCE)
    pr.plot(recall, precision, color=NORMAL, drawstyle="steps-post")
    if table["confusion"]["tp"] + table["confusion"]["fp"]:
        pr.plot(table["recall"], table["precision"], **POINT,
                label=f"precision {100 * table['precision']:.1f} %")
    else:
        pr.plot([], [], " ", label="nothing called pneumonia:\nno precision")
    fraction_axes(pr, "sensitivity (recall)", "precision")
    pr.set_title(f"Precision-recall, PR-AUC {average_precision_score(labels, probabilities):.3f}")
    pr.legend(loc="lower left")

    _matrix(matrix, table["confusion"])
    matrix.set(ylabel="in truth", title=f"Counts, accuracy {100 * table['accuracy']:.1f} %")
    figure.suptitle(titled(f"Threshold {threshold:.3f} on {len(labels)} {split} films", phantom))
    return figure


def read_threshold_panel(labels, probabilities, threshold) -> str:
    """Say in one line what the threshold does to these films."""
    table = at_threshold(labels, probabilities, threshold)
    called = table["confusion"]["tp"] + table["confusion"]["fp"]
    precision = f"precision {100 * table['precision']:.1f} %" if called else "no precision (nothing is called pneumonia)"
    return (f"At threshold {threshold:.3f}: sensitivity {100 * table['recall']:.1f} %, "
            f"specificity {100 * table['specificity']:.1f} %, {precision}, "
            f"accuracy {100 * table['accuracy']:.1f} %; "
            f"{table['confusion']['fn']} pneumonias missed, {table['confusion']['fp']} false alarms among {len(labels)} films.")
