"""Static figures of cost, net benefit and prevalence, as the threshold lab draws them live."""

import matplotlib.pyplot as plt
import numpy as np

from ..evaluation import at_threshold, decision_curve, expected_cost, flat_region, predictive_values
from .style import GREY, NORMAL, PNEUMONIA, THRESHOLD, fraction_axes, styled, titled


@styled
def cost_panel(labels, probabilities, threshold, cost_ratio=10.0, prevalence=None, phantom=False, split="validation"):
    """Draw expected cost against the threshold, and net benefit against treating every child and none.

    Parameters
    ----------
    labels, probabilities : one split's; see `evaluation.check_predictions`.
    threshold : 0-1, where the present choice is marked.
    cost_ratio, prevalence : see `evaluation.expected_cost`.
    phantom : whether the films are phantoms.
    split : the split's name, for the title.

    Returns
    -------
    Figure

    Introduced in notebook 04.
    """
    costs = expected_cost(labels, probabilities, cost_ratio, prevalence)
    best, low, high = flat_region(costs)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    left.axvspan(low, high, color="0.85", label=f"at most 1 above the least: {low:.3f}–{high:.3f}")
    left.plot(costs["threshold"], costs["cost"], color=NORMAL, label="expected cost")
    left.axvline(best, color=GREY, linestyle=":", label=f"least, {costs['cost'].min():.1f}, at {best:.3f}")
    left.axvline(threshold, **THRESHOLD, label=f"threshold {threshold:.3f}")
    left.set(yscale="symlog", xlim=(0, 1), ylim=(0, None), xlabel="threshold", ylabel="false alarms' worth per 100 (log scale)",
             title=f"Cost: a miss counts as {cost_ratio:g} false alarms")
    left.legend(loc="lower right", fontsize=8)

    curve = decision_curve(labels, probabilities, prevalence)
    top = curve["model"].iloc[0]
    right.plot(curve["threshold"], curve["model"], color=NORMAL, label="the model")
    right.plot(curve["threshold"], curve["treat_all"], color=PNEUMONIA, linestyle="--", label="flag everybody")
    right.axhline(0, color=GREY, linestyle=":", label="flag nobody")
    right.axvline(threshold, **THRESHOLD, linewidth=1)
    right.set(xlim=(0, 1), ylim=(-0.25 * top, 1.1 * top), xlabel="threshold taken as a probability", ylabel="net benefit per child", title="Decision curve")
    right.legend(loc="lower left", fontsize=8)
    figure.suptitle(titled(f"Cost and benefit on {len(labels)} {split} films", phantom))
    return figure


def read_cost_panel(labels, probabilities, threshold, cost_ratio=10.0, prevalence=None) -> str:
    """Say in one line what the threshold costs, where the cost is least, and whether the model beats flagging all or none."""
    costs = expected_cost(labels, probabilities, cost_ratio, prevalence)
    best, low, high = flat_region(costs)
    here = costs["cost"].iloc[np.searchsorted(costs["threshold"], threshold).clip(0, len(costs) - 1)]
    row = decision_curve(labels, probabilities, prevalence, [min(threshold, 0.99)]).iloc[0]
    return (f"A miss counted as {cost_ratio:g} false alarms: threshold {threshold:.3f} costs {here:.1f} per 100, the least is {costs['cost'].min():.1f} at {best:.3f}, "
            f"and from {low:.3f} to {high:.3f} it is at most 1 more. Net benefit at threshold {min(threshold, 0.99):.3f}: model {row['model']:.3f}, everybody {row['treat_all']:.3f}, nobody 0.")


@styled
def prevalence_curves(labels, probabilities, threshold, prevalence=None, phantom=False, split="validation"):
    """Draw PPV and NPV over every prevalence at one threshold; sensitivity and specificity lie flat.

    Parameters
    ----------
    labels, probabilities, threshold, phantom, split : as in `cost_panel`.
    prevalence : share of the ill where the model is used, which is marked; None: as among these films.

    Returns
    -------
    Figure

    Introduced in notebook 04.
    """
    table = at_threshold(labels, probabilities, threshold)
    x = np.arange(1, 200) / 200
    there = [predictive_values(table["confusion"], share) for share in x]
    figure, axis = plt.subplots(figsize=(5.4, 4.6), layout="constrained")
    for name, colour, line in (("ppv", NORMAL, "-"), ("npv", PNEUMONIA, "--")):
        axis.plot(x, [np.nan if v[name][0] is None else v[name][0] for v in there], color=colour, linestyle=line, label=name.upper())
    axis.axhline(table["recall"], color="black", linewidth=1, label=f"sensitivity {table['recall']:.1%}")
    axis.axhline(table["specificity"], color=GREY, linestyle=":", label=f"specificity {table['specificity']:.1%}")
    share = float(np.mean(labels)) if prevalence is None else prevalence
    axis.axvline(share, color="black", linestyle="--", linewidth=1, label=f"prevalence {share:.1%}")
    fraction_axes(axis, "prevalence: share of the ill", "rate", square=False)
    axis.legend(loc="lower center", fontsize=8)
    axis.set_title(titled(f"Threshold {threshold:.3f} at every prevalence, {split} films", phantom), fontsize=11)
    return figure


def read_prevalence_curves(labels, probabilities, threshold, prevalence=None) -> str:
    """Say in one line what PPV and NPV are at the prevalence, and what does not move with it."""
    table = at_threshold(labels, probabilities, threshold)
    share = float(np.mean(labels)) if prevalence is None else prevalence
    values = predictive_values(table["confusion"], share)
    ppv, npv = ("undefined" if values[k][0] is None else f"{values[k][0]:.1%}" for k in ("ppv", "npv"))
    return (f"At threshold {threshold:.3f}: sensitivity {table['recall']:.1%} and specificity {table['specificity']:.1%} at every prevalence; "
            f"where {share:.1%} are ill, PPV {ppv} and NPV {npv}.")
