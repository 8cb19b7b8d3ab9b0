"""The lab's panels, each a figure or table as HTML text from (prepared films, state): the numbers stand beside every drawing."""

import numpy as np

from .lab import Prepared, State, percent
from .svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axes, bar_path, fresh_id, picture

_UNIT = {0: "0", 0.25: "", 0.5: "0.5", 0.75: "", 1: "1"}
ROWS = (("recall", "sensitivity"), ("specificity", "specificity"), ("precision", "PPV"), ("npv", "NPV"), ("f1", "F1"), ("accuracy", "accuracy"))
_ELSEWHERE = {"precision": "ppv", "npv": "npv", "f1": "f1", "accuracy": "accuracy"}


def histogram(prepared: Prepared, state: State) -> str:
    """Films by probability, pneumonia above the line and normal below; the wrong side of the threshold is hatched."""
    counts, bars = state.table["confusion"], prepared.bars
    top = np.log10(1 + max(side.max() for side in bars.values()))
    half = (HEIGHT - BOTTOM - TOP) / 2 - 18  # room for the words above and below
    middle, at = (HEIGHT - BOTTOM + TOP) / 2, LEFT + state.settings.threshold * (WIDTH - LEFT - RIGHT)
    names = {label: (fresh_id(), fresh_id()) for label in (0, 1)}
    ids = fresh_id()
    parts = [f'<defs><pattern id="{ids}" class="cx-hatch" width="6" height="6" patternUnits="userSpaceOnUse"><path d="M-1 7L7 -1M-4 4L4 -4M2 10L10 2"/></pattern>']
    parts += [
        f'<clipPath id="{names[1][0]}"><rect x="0" y="0" width="{at:.1f}" height="{HEIGHT}"/></clipPath>',
        f'<clipPath id="{names[0][0]}"><rect x="{at:.1f}" y="0" width="{WIDTH}" height="{HEIGHT}"/></clipPath></defs>',
    ]
    for label, kind in ((1, "ill"), (0, "well")):
        data = bar_path(np.log10(1 + bars[label]) / top, label == 1, half)
        parts.append(f'<path class="cx-bar-{kind}" d="{data}"/><path d="{data}" fill="url(#{ids})" clip-path="url(#{names[label][0]})"/>'
                     f'<path class="cx-bar-edge" d="{data}" clip-path="url(#{names[label][0]})"/>')
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts.append(f'<path class="cx-axis" d="M{LEFT} {middle:.1f}H{right}M{LEFT} {bottom}H{right}"/>')
    parts += [f'<text class="cx-tick" x="{LEFT + v * (right - LEFT):.1f}" y="{bottom + 14}" text-anchor="middle">{t}</text>' for v, t in _UNIT.items()]
    parts.append(f'<text class="cx-label" x="{(LEFT + right) / 2}" y="{HEIGHT - 5}" text-anchor="middle">stated probability of pneumonia</text>')
    parts += [f'<text class="cx-label" transform="rotate(-90 14 {y:.0f})" x="14" y="{y:.0f}" text-anchor="middle">{t}</text>'
              f'<text class="cx-tick" transform="rotate(-90 30 {y:.0f})" x="30" y="{y:.0f}" text-anchor="middle">{n} films</text>'
              for y, t, n in ((TOP + (middle - TOP) / 2, "pneumonia", len(prepared.points.ill)), ((middle + bottom) / 2, "normal", len(prepared.points.well)))]
    parts.append(f'<path class="cx-threshold" d="M{at:.1f} {TOP}V{bottom}"/>')
    for x, y, anchor, words in ((LEFT + 3, TOP + 9, "start", f"missed {counts['fn']}"), (right, TOP + 9, "end", f"found {counts['tp']}"),
                                (LEFT + 3, bottom - 5, "start", f"left alone {counts['tn']}"), (right, bottom - 5, "end", f"false alarms {counts['fp']}")):
        parts.append(f'<text class="cx-note" x="{x}" y="{y}" text-anchor="{anchor}">{words}</text>')
    spoken = (f"Histograms of {len(prepared.points)} films by stated probability, threshold {state.settings.threshold:.3f}. Pneumonia: {counts['fn']} below it, "
              f"missed; {counts['tp']} found. Normal: {counts['tn']} left alone, {counts['fp']} false alarms.")
    return figure("Films", picture("".join(parts), spoken), "Hatched: the wrong side of the dashed line. Bar heights are logarithmic.")


def roc(prepared: Prepared, state: State) -> str:
    """The ROC curve with the operating point."""
    table = state.table
    axes = Axes((0, 1), (0, 1), _UNIT, _UNIT, "false-alarm rate (1 − specificity)", "sensitivity")
    axes.line([0, 1], [0, 1], "cx-chance")
    axes.line(*prepared.roc.T, "cx-curve")
    x, y = 1 - table["specificity"], table["recall"]
    axes.line([0, x, x], [y, y, 0], "cx-guide")
    axes.cross(x, y)
    words = f"At the cross: sensitivity {percent(y)}, false-alarm rate {percent(x)}. Area under the curve {prepared.auc:.3f}."
    return figure("ROC", axes.svg(f"ROC curve. {words}"), words)


def precision_recall(prepared: Prepared, state: State) -> str:
    """The precision-recall curve with the operating point."""
    table = state.table
    axes = Axes((0, 1), (0, 1), _UNIT, _UNIT, "sensitivity (recall)", "PPV (precision)")
    axes.line([0, 1], [state.share] * 2, "cx-chance")
    axes.line(*prepared.pr.T, "cx-curve")
    called = table["confusion"]["tp"] + table["confusion"]["fp"]
    words = f"Average precision {prepared.pr_auc:.3f}; dotted: calling every film pneumonia, {percent(state.share)}."
    if called:
        axes.line([0, table["recall"], table["recall"]], [table["precision"]] * 2 + [0], "cx-guide")
        axes.cross(table["recall"], table["precision"])
        words = f"At the cross: PPV {percent(table['precision'])}, sensitivity {percent(table['recall'])}. {words}"
    else:
        words = f"Nothing is called pneumonia here: no precision. {words}"
    return figure("Precision and recall", axes.svg(f"Precision-recall curve. {words}"), words)


def matrix(prepared: Prepared, state: State, name="These films") -> str:
    """The confusion matrix as a table; wrong calls have a dashed frame."""
    c = state.table["confusion"]

    def cell(key, meaning, kind):
        row = c["tn"] + c["fp"] if key in ("tn", "fp") else c["fn"] + c["tp"]
        return f'<td class="cx-{kind}"><b data-cx="{key}">{c[key]}</b>{meaning}<br><small>{percent(c[key] / row)} of row</small></td>'

    return (
        f'<table class="cx-matrix"><caption>Confusion matrix: {name.lower()}</caption>'
        '<thead><tr><th scope="col">in truth</th><th scope="col">called normal</th><th scope="col">called pneumonia</th></tr></thead><tbody>'
        f'<tr><th scope="row">normal</th>{cell("tn", "left alone", "right")}{cell("fp", "false alarm", "wrong")}</tr>'
        f'<tr><th scope="row">pneumonia</th>{cell("fn", "missed", "wrong")}{cell("tp", "found", "right")}</tr></tbody></table>')


def defined(table, key) -> bool:
    """Say whether a rate has anything to be counted among: PPV and NPV have nothing where nobody is called ill, or everybody."""
    counts = table["confusion"]
    return {"precision": counts["tp"] + counts["fp"], "npv": counts["tn"] + counts["fn"]}.get(key, 1) > 0


def numbers(prepared: Prepared, state: State) -> str:
    """The rates with 95 % intervals; with a prevalence set, what they become there, and which did not move."""
    table, there = state.table, state.there
    head = f'<th scope="col">these films<br><small>{percent(state.share)} ill</small></th>'
    if there:
        head += f'<th scope="col">where used<br><small>{percent(state.settings.prevalence)} ill</small></th><th scope="col">moves?</th>'
    body = []
    for key, name in ROWS:
        value = table[key] if defined(table, key) else None
        cells = f'<td><span data-cx="{key}">{percent(value)}</span> <small data-cx="{key}-interval">{_interval(table["intervals"][key])}</small></td>'
        if there:
            cells += _there_cells(key, value, there)
        body.append(f'<tr><th scope="row">{name}</th>{cells}</tr>')
    return (f'<div class="cx-scroll" tabindex="0" role="group" aria-label="Rates with intervals"><table class="cx-numbers"><caption>Rates, with 95 % intervals</caption>'
            f'<thead><tr><th scope="col">rate</th>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>')


def _there_cells(key, value, there):
    if key not in _ELSEWHERE:
        return f'<td><span data-cx="{key}-there">{percent(value)}</span></td><td>stays</td>'
    found = there[_ELSEWHERE[key]]
    interval = f' <small>{_interval(found[1:])}</small>' if isinstance(found, tuple) else ""
    found = found[0] if isinstance(found, tuple) else found
    direction = "–" if value is None or found is None else "falls" if found < value - 5e-4 else "rises" if found > value + 5e-4 else "stays"
    return f'<td><span data-cx="{key}-there">{percent(found)}</span>{interval}</td><td>{direction}</td>'


def frequencies(prepared: Prepared, state: State) -> str:
    """Two pairs of bars: of the ill and of the healthy (the model's doing), of the flagged and of the others (the mix's doing as well)."""
    table, share = state.table, state.settings.prevalence or state.share
    found, spared = table["recall"], table["specificity"]
    flagged = share * found + (1 - share) * (1 - spared)
    ppv = share * found / flagged if flagged else None
    npv = (1 - share) * spared / (1 - flagged) if flagged < 1 else None
    rows = (
        ("Of the ill: found", found, "ill", "sensitivity"), ("Of the healthy: left alone", spared, "well", "specificity"),
        ("Of the flagged: ill", ppv, "ill", "PPV"), ("Of the others: healthy", npv, "well", "NPV"),
    )
    parts = []
    for k, (words, value, kind, name) in enumerate(rows):
        y = 18 + 42 * k + (16 if k > 1 else 0)
        parts.append(f'<text x="2" y="{y}">{words}</text><text class="cx-note" x="{WIDTH - 2}" y="{y}" text-anchor="end">{name} {percent(value)}</text>'
                     f'<rect class="cx-band" x="2" y="{y + 5}" width="{WIDTH - 4}" height="14"/>'
                     f'<rect class="cx-bar-{kind}" x="2" y="{y + 5}" width="{(value or 0) * (WIDTH - 4):.1f}" height="14"/>')
    parts.append(f'<path class="cx-grid" d="M2 92H{WIDTH - 2}"/>')
    words = (f"Where {percent(share)} are ill, {percent(flagged)} of all are flagged. The upper two bars belong to the model and its threshold, "
             "whoever comes; the lower two move with the mix.")
    spoken = ", ".join(f"{name} {percent(value)}" for _, value, _, name in rows)
    return figure("Who moves with the prevalence", picture("".join(parts), f"Bars at a prevalence of {percent(share)}: {spoken}.", 206), words)


def figure(title, drawing, words) -> str:
    """Return a drawing under its title and above what it says in words."""
    return f'<figure><div class="cx-title">{title}</div>{drawing}<figcaption>{words}</figcaption></figure>'


def _interval(ends):
    return f"{100 * ends[0]:.1f}–{100 * ends[1]:.1f}"
