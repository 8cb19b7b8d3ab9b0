"""Panels about worth and honesty: expected cost, net benefit, calibration, validation beside test, films to read."""

from html import escape

import numpy as np

from ..evaluation import calibration_table, reliability_curve, scale_temperature
from ..evaluation.decisions import decision_curve_of
from .lab import PEOPLE, Prepared, State, percent, worst_films
from .panels import ROWS, _UNIT, defined, figure, matrix
from .svg import Axes

_COST_TICKS = (0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)
_GRID = np.arange(201) / 200
_HEADINGS = {"missed": "Missed pneumonias", "false alarm": "False alarms", "right": "Called right, but only just"}
_STEPS = {"as given": "as given", "temperature": "after temperature scaling", "temperature and prior correction": "… and the prior correction"}


def costs(prepared: Prepared, state: State) -> str:
    """Expected cost against the threshold, with its least value and the flat region round it."""
    table, (best, low, high) = prepared.costs(state.settings.cost_ratio, state.settings.prevalence)
    threshold, cost = table["threshold"].to_numpy(), table["cost"].to_numpy()
    least = cost.min()
    seen = np.unique(np.r_[np.searchsorted(threshold, _GRID).clip(0, len(threshold) - 1), np.searchsorted(threshold, [best, low, high])])
    top = cost[seen].max()
    ticks = {np.log10(1 + v): f"{v:,}" for v in _COST_TICKS if v <= top * 1.05}
    axes = Axes((0, 1), (0, max(np.log10(1 + top), 0.3)), _UNIT, ticks, "threshold", "cost per 100 (log)")
    axes.band(low, high)
    axes.line(threshold[seen], np.log10(1 + cost[seen]), "cx-curve")
    axes.upright(best, "cx-best")
    axes.upright(state.settings.threshold)
    axes.cross(state.settings.threshold, np.log10(1 + state.cost))
    words = (f'Here: <span data-cx="cost">{state.cost:.1f}</span> false alarms\' worth per 100. Least: {least:.1f}, at <span data-cx="cheapest">{best:.3f}</span> (dotted). '
             f"Grey: {low:.3f} to {high:.3f}, at most 1 more than the least; in there the choice hardly matters.")
    spoken = f"Expected cost against threshold. Here {state.cost:.1f}, least {least:.1f} at {best:.3f}, flat from {low:.3f} to {high:.3f}."
    return figure(f"Expected cost: a miss counts as {state.settings.cost_ratio:g} false alarms", axes.svg(spoken), words)


def benefit(prepared: Prepared, state: State) -> str:
    """The decision curve: the model against flagging every child and flagging none."""
    curve = prepared.benefit(state.settings.prevalence)
    top = curve["model"].iloc[0]
    floor = -0.25 * top
    ticks = {v: f"{v:.3f}" if top < 0.1 else f"{v:.2f}" for v in (0, top / 2, top)}
    axes = Axes((0, 1), (floor, 1.08 * top), _UNIT, ticks, "threshold taken as a probability", "net benefit per child")
    x = curve["threshold"].to_numpy()
    axes.line([0, 1], [0, 0], "cx-chance")
    stop = int(np.searchsorted(-curve["treat_all"], -floor)) + 1
    axes.line(x[:stop], curve["treat_all"].to_numpy()[:stop], "cx-curve-2")
    axes.line(x, curve["model"], "cx-curve")
    axes.upright(state.settings.threshold)
    row = decision_curve_of(prepared.points.ill, prepared.points.well, state.settings.prevalence, [min(state.settings.threshold, 0.99)]).iloc[0]
    axes.cross(row["threshold"], row["model"])
    better = "the model" if row["model"] > max(row["treat_all"], 0) + 1e-9 else "flagging everybody" if row["treat_all"] > 0 else "flagging nobody"
    words = (f'At {row["threshold"]:.3f}: model <span data-cx="benefit">{row["model"]:.3f}</span> (solid), everybody {row["treat_all"]:.3f} (dashed), '
             f"nobody 0 (dotted). Best here: {better}.")
    return figure("Net benefit", axes.svg(f"Decision curve. {words}".replace('<span data-cx="benefit">', "").replace("</span>", "")), words)


def by_prevalence(prepared: Prepared, state: State) -> str:
    """PPV and NPV over every prevalence; sensitivity and specificity lie flat."""
    table, share = state.table, state.settings.prevalence or state.share
    axes = Axes((0, 1), (0, 1), _UNIT, _UNIT, "prevalence: share of the ill", "rate")
    x = np.arange(1, 200) / 200
    found, spared = table["recall"], table["specificity"]
    with np.errstate(invalid="ignore"):
        ppv, npv = x * found / (x * found + (1 - x) * (1 - spared)), (1 - x) * spared / ((1 - x) * spared + x * (1 - found))
    for values, kind, name in ((ppv, "cx-curve", "PPV"), (npv, "cx-curve-2", "NPV")):
        if np.isfinite(values).all():
            axes.line(x, values, kind)
    axes.line([0, 1], [found] * 2, "cx-guide")
    axes.line([0, 1], [spared] * 2, "cx-chance")
    axes.upright(share)
    words = ("Solid: PPV; dashed curve: NPV; upright: the prevalence now. Flat, because they ask only the ill or only the healthy: "
             f"sensitivity {percent(found)} (thin), specificity {percent(spared)} (dotted).")
    return figure("The same threshold at every prevalence", axes.svg(f"PPV and NPV against prevalence, now {percent(share)}. {words}"), words)


def calibration(prepared: Prepared, temperature: float, bins: int, prevalence, split: str, fitted_on: str) -> str:
    """Reliability before and after temperature scaling, with Brier and ECE, and the prior correction where a prevalence is set."""
    labels, probabilities = prepared.points.labels, prepared.points.probabilities
    axes = Axes((0, 1), (0, 1), _UNIT, _UNIT, "stated probability", "observed share ill")
    axes.line([0, 1], [0, 1], "cx-chance")
    for values, line, mark in ((probabilities, "cx-curve", "cx-dot"), (scale_temperature(probabilities, temperature), "cx-curve-2", "cx-square")):
        curve = reliability_curve(labels, values, bins)
        if mark == "cx-dot":
            for row in curve.itertuples():
                axes.line([row.stated] * 2, [row.observed_low, row.observed_high], "cx-whisker")
        axes.line(curve["stated"], curve["observed"], line)
        for row in curve.itertuples():
            axes.dot(row.stated, row.observed, mark)
    table = calibration_table(labels, probabilities, temperature, bins, prevalence)
    rows = []
    for place, shown in table.groupby("place", sort=False):
        where = f"on {split} films ({percent(state_share(prepared))} ill)" if place == "these films" else f"as if {percent(prevalence)} were ill"
        rows.append(f'<tr><th scope="rowgroup" colspan="3">{where}</th></tr>')
        for row in shown.itertuples():
            key = f"{'here' if place == 'these films' else 'there'}-{row.probabilities.replace(' ', '-')}"
            rows.append(f'<tr><th scope="row">{_STEPS[row.probabilities]}</th><td data-cx="brier-{key}">{row.brier:.4f}</td><td data-cx="ece-{key}">{row.ece:.4f}</td></tr>')
    character = "overconfident: its probabilities are pulled towards a half" if temperature > 1.02 else (
        "too timid: its probabilities are pushed apart" if temperature < 0.98 else "about right as it is")
    words = (f'Discs, solid: as given, with 95 % bars. Squares, dashed: temperature <span data-cx="temperature">{temperature:.3f}</span>, fitted on {fitted_on}; '
             f"the model is {character}. Decisions and AUC stay as they were.")
    spoken = f"Reliability curve with {bins} bins, before and after temperature scaling with {temperature:.3f}."
    side = (f'<table><caption>Calibration errors, {bins} equal bins</caption><thead><tr><th scope="col">probabilities</th><th scope="col">Brier</th>'
            f'<th scope="col">ECE</th></tr></thead><tbody>{"".join(rows)}</tbody></table>')
    return f'<div class="cx-panels">{figure("Reliability", axes.svg(spoken), words)}<div class="cx-scroll" tabindex="0" role="group" aria-label="Calibration errors">{side}</div></div>'


def state_share(prepared: Prepared) -> float:
    """Return the films' own share of pneumonia."""
    return prepared.points.prevalence


def beside(validation: tuple, test: tuple) -> str:
    """Validation beside test at the locked threshold: both matrices, and the fall of every rate in points.

    validation, test : (Prepared, State) of each split.
    """
    parts = [matrix(*validation, name="Validation"), matrix(*test, name="Test")]
    rows = []
    for key, name in (("auc", "AUC"), *ROWS):
        a, b = (pair[0].auc if key == "auc" else pair[1].table[key] if defined(pair[1].table, key) else None for pair in (validation, test))
        shown = [f"{v:.3f}" if key == "auc" else f'{percent(v)} <small>{_ends(pair[1].table["intervals"][key])}</small>' for v, pair in ((a, validation), (b, test))]
        change = "–" if None in (a, b) else f"{b - a:+.3f}" if key == "auc" else f"{100 * (b - a):+.1f} points"
        rows.append(f'<tr><th scope="row">{name}</th><td data-cx="val-{key}">{shown[0]}</td><td data-cx="test-{key}">{shown[1]}</td><td>{change}</td></tr>')
    head = "".join(f'<th scope="col">{name}<br><small>{len(pair[0].points)} films, {percent(state_share(pair[0]))} ill</small></th>'
                   for name, pair in (("validation", validation), ("test", test)))
    return (f'<div class="cx-panels">{"".join(parts)}</div><div class="cx-scroll" tabindex="0" role="group" aria-label="Validation beside test"><table>'
            f'<caption>Validation beside test, at {test[1].settings.threshold:.4f}</caption><thead><tr><th scope="col">rate</th>{head}<th scope="col">shift</th></tr></thead>'
            f'<tbody>{"".join(rows)}</tbody></table></div>')


def gallery(table, image_of, state: State, count=6) -> str:
    """Films to read at this threshold: missed pneumonias first, then false alarms, then the calls that were the closest run.

    Parameters
    ----------
    table : DataFrame of `lab.sorted_for_reading`. image_of : path -> data address of a small picture, or None.
    """
    _, _, missed, flagged = PEOPLE[state.settings.people]
    meaning = {"missed": f" ({missed})", "false alarm": f" ({flagged})"} if state.settings.people == "children" else {}
    headings = {kind: words + meaning.get(kind, "") for kind, words in _HEADINGS.items()}
    parts = []
    for kind, (rows, total) in worst_films(table, state.settings.threshold, count).items():
        order = {"missed": "lowest probability first", "false alarm": "highest first", "right": "nearest to the threshold first"}[kind]
        items = "".join(_film(row, image_of) for row in table.iloc[rows].to_dict("records"))
        shown = f'<ul class="cx-films" aria-label="{headings[kind]}">{items}</ul>' if items else "<p>none</p>"
        parts.append(f'<div class="cx-title">{headings[kind]}: <span data-cx="{kind.replace(" ", "-")}">{total}</span>{f", {order}" if total else ""}</div>{shown}')
    return "".join(parts)


def _film(row, image_of):
    truth = "normal" if row["label"] == 0 else str(row.get("subtype") or "") or "pneumonia"
    truth = "pneumonia" if truth == "nan" else truth
    name = str(row.get("path", ""))
    source = image_of(name) if image_of else None
    picture = f'<img src="{source}" alt="Film, in truth {escape(truth, quote=True)}">' if source else f'<span class="cx-blank">{escape(name[-40:])}</span>'
    return f'<li title="{escape(name, quote=True)}">{picture}<b>{row["probability"]:.3f}</b> {escape(truth)}</li>'


def _ends(ends):
    return f"{100 * ends[0]:.1f}–{100 * ends[1]:.1f}"
