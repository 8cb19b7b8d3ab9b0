"""The model card: what one run's model is, was measured on, and must not be used for, from the files of its run folder."""

from pathlib import Path

import pandas as pd

from .card_items import CHECKLIST, PAPER_LIMITS
from .errors import CxrkitError
from .evaluation import PAPER, calibration_errors, comparison_table, fit_temperature, reading, wilson
from .files import atomic_path
from .report import NAMES, PAPER_NAME, again, is_current, read_metrics
from .runs import Run, as_trained

_DATA = {
    "phantom": "Phantom films: chest radiographs computed from a few dozen anatomical parameters, with opacities drawn in. No patient was ever X-rayed for them.",
    "chestxray2017": "ChestXray-2017 (Kermany, Zhang and Goldbaum 2018, doi:10.17632/rscbjbr9sj.2, CC BY 4.0): chest films of children of one to five years "
                     "at one hospital, in Guangzhou; each labelled normal or pneumonia by readers.",
    "pneumoniamnist": "PneumoniaMNIST (the ChestXray-2017 films, centre-cropped; CC BY 4.0). It has no patient numbers: validation is by film, and intervals "
                      "treat every film as a patient of its own.",
}
_RULES = {
    "sensitivity": "the greatest specificity among thresholds that reach a sensitivity of {target_sensitivity:.0%} on validation; of equals the lowest",
    "half": "0.5, whatever the films", "youden": "the greatest sensitivity + specificity on validation",
    "cost": "the least expected cost on validation, a missed pneumonia counted as {cost_ratio:g} false alarms",
    "manual": "set by hand on validation",
}


def model_card(run: Run) -> str:
    """Return the model card of a finished run as Markdown.

    Parameters
    ----------
    run : Run with a lock and a metrics.json of its present stages (notebook 04 makes both).

    Returns
    -------
    str: intended use, model, data, results with 95 % intervals, calibration, limits, the paper's limits, and a reporting checklist
    after TRIPOD+AI and CLAIM. Everything in it is read from the run folder; nothing is promised.

    Raises
    ------
    CxrkitError when the run has no results yet, or only those of an older model.

    Introduced in notebook 04.
    """
    metrics = read_metrics(run.folder)
    if not is_current(run.folder):
        raise CxrkitError(f"The results in {run.folder} are of an older model. Run notebook 04 again: {again(run.folder)}")
    phantom = metrics["dataset"] == "phantom"
    parts = (_head(metrics, phantom), _use(phantom), _model(run, metrics), _data(run, metrics), _threshold(metrics), _results(run, metrics, phantom),
             _calibration(run, metrics, phantom), _limits(phantom), _paper(), _checklist(phantom))
    return "\n\n".join(parts) + "\n"


def write_model_card(run: Run) -> Path:
    """Write `model_card` to model_card.md in the run folder, whole or not at all, and return its path. Introduced in notebook 04."""
    text, path = model_card(run), run.folder / "model_card.md"
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def _head(metrics, phantom):
    title = f"# Model card: pneumonia on chest films, {metrics['backbone']}, profile {metrics['profile']}, seed {metrics['seed']}"
    if phantom:
        title += "\n\n**PHANTOM.** This model was trained and tested on computed films. None of its numbers says anything about patients."
    return f"{title}\n\n{reading(metrics['phases']['fine_tuned']['test'], phantom=phantom)} (Test split, locked threshold.)"


def _use(phantom):
    who = "learn on films that nobody had to be X-rayed for" if phantom else "see an honest evaluation of a published approach"
    return (f"## Intended use\n\nTeaching: to let students {who}.\n\n"
            "**Not for** diagnosis, triage, screening, second reading or any decision about a person. It is no medical device, has met no regulator, and was never "
            "tried in a clinic. Not for adults, other views or other diseases; not for films of other machines without a new evaluation.")


def _model(run, metrics):
    trained, history = as_trained(run.manifest), run.read_history()
    config, versions = trained["config"], trained["versions"]
    epochs = ", ".join(f"{phase.replace('_', '-')} {len(rows)} epochs" for phase, rows in history.groupby("phase", sort=False)) or "epochs not recorded"
    seconds = sum(metrics["seconds"].values())
    return ("## Model\n\n"
            f"{metrics['backbone']} at {metrics['image_size']} × {metrics['image_size']} pixels, starting weights: {Path(str(metrics['weights'])).name}; a frozen phase, then "
            f"fine-tuning of {'the last two stages' if config['unfreeze'] == 'top' else 'all layers'} ({epochs}). "
            f"Input: one greyscale film. Output: one number, 0–1, read as the probability of pneumonia{_views(config)}. The epoch with the best validation AUC is kept. "
            f"Trained in {seconds / 60:.1f} minutes; cxrkit {run.manifest['cxrkit']}, "
            f"{', '.join(f'{name} {version}' for name, version in versions.items() if name in ('python', 'tensorflow', 'jax', 'torch', 'keras'))}.")


def _views(config):
    views = config.get("test_views", 1)  # runs of an older kit do not name it
    return "" if views == 1 else f"; the fine-tuned network is asked about {views} views of a film (the whole, and crops) and their logits are averaged"


def _data(run, metrics):
    splits = pd.read_csv(run.folder / "splits.csv", dtype={"patient": str})
    rows = []
    for split in ("train", "val", "test"):
        part = splits[splits["split"] == split]
        rows.append((split, f"{len(part):,}", f"{part['patient'].nunique():,}", f"{part['label'].mean():.1%}"))
    by = "by film (no patient numbers)" if metrics["dataset"] == "pneumoniamnist" else "by whole patients, cut from the training films"
    return (f"## Data\n\n{_DATA[metrics['dataset']]}\n\n{_table(('split', 'films', 'patients', 'pneumonia'), rows)}\n\n"
            f"Validation was split {by}. Films left out because they could not be read: {len(run.manifest['data']['skipped'])}. "
            f"Fingerprint of films, splits and labels: `{run.manifest['data']['fingerprint']}`.")


def _threshold(metrics):
    lock = metrics["threshold"]
    rule = _RULES[lock["rule"]].format(**lock)
    if lock["rule"] == "cost" and lock.get("prevalence") is not None:
        rule += f", where {100 * lock['prevalence']:g} % are ill"
    return (f"## Threshold\n\n{lock['value']:.4f}, locked before the test split was opened. Rule: {rule}. "
            f"Fine-tuned models of this run folder that have met the test split, each with its baseline and frozen phase: {lock['looks']}.")


def _results(run, metrics, phantom):
    blocks = {"baseline": metrics["baseline"], **metrics["phases"]}
    mark = " (phantom)" if phantom else ""
    frame = comparison_table({NAMES[name] + mark: block["test"] for name, block in blocks.items()} | {PAPER_NAME: PAPER})
    table = _table(("system", "threshold", *frame.columns), [(*index, *cells) for index, cells in zip(frame.index, frame.to_numpy())])
    fall = _table(("system", "AUC, validation", "AUC, test", "specificity, validation", "specificity, test"), [
        (NAMES[name], *(f"{block[split]['auc']:.3f}" for split in ("val", "test")), *(f"{block[split]['at_locked']['specificity']:.1%}" for split in ("val", "test")))
        for name, block in blocks.items()])
    text = (f"## Results on the test split\n\n{metrics['test']['n']} films{mark}. Percent, with 95 % intervals: Wilson for shares, patients drawn with replacement for AUC and F1; "
            "the paper's intervals were worked out by this course, Wilson's from its counts, ≈ from its AUC (Hanley and McNeil)."
            f"\n\n{table}\n\n{_area(metrics, mark)}\n\nValidation beside test{mark}, each at its locked threshold:\n\n{fall}")
    test = run.read_predictions("fine_tuned", "test")
    if "subtype" in test:
        ill = test[(test["label"] == 1) & (test["subtype"] != "")]
        found = (ill["probability"] >= metrics["threshold"]["value"]).groupby(ill["subtype"]).agg(["sum", "count"])
        lines = [f"{name} {hits / n:.1%} ({low:.1%}–{high:.1%}) of {n}" for name, hits, n in found.itertuples() for low, high in [wilson(hits, n)]]
        text += f"\n\nSensitivity by subtype at the locked threshold{mark}: {'; '.join(lines)}."
    return text


def _area(metrics, mark):
    block = metrics["phases"]["fine_tuned"]["test"]
    low, high = block["intervals"]["pr_auc"]
    return f"Area under the precision-recall curve of the fine-tuned network{mark}: {block['pr_auc']:.3f} ({low:.3f}–{high:.3f})."


def _calibration(run, metrics, phantom):
    low, high = metrics["phases"]["fine_tuned"]["test"]["intervals"]["brier"]
    val, test = (run.read_predictions("fine_tuned", split) for split in ("val", "test"))
    errors = calibration_errors(test["label"], test["probability"])
    temperature = fit_temperature(val["label"], val["probability"])
    character = "overconfident" if temperature > 1.02 else "too timid" if temperature < 0.98 else "about right"
    return (f"## Calibration\n\nTest split{' (phantom)' if phantom else ''}: Brier score {errors['brier']:.3f} ({low:.3f}–{high:.3f}), expected calibration error {errors['ece']:.3f} (10 equal bins). "
            f"The temperature fitted on validation is {temperature:.2f} ({character}); the probabilities above are as the model gives them. "
            "They hold for this mix of ill and healthy and need a prior correction elsewhere.")


def _limits(phantom):
    items = [
        "One training run. Another seed gives another model; on the real films three runs differed by up to five points of accuracy at their locked thresholds (with rotation; without, by two) and by two at 0.5.",
        "One hospital, children of one to five years, one view. Nothing follows for anybody else.",
        "Normal or pneumonia only. A child with another disease gets one of these two answers.",
        "Labels are readers' opinions; where they err, the model is scored against the error.",
        "Validation films come from the training set and are kinder than the test split; a new hospital may be less kind than either.",
        "An interval says how the number would wander with other patients of the same kind. It does not cover other kinds.",
        "The strong crops of its training come from work that had looked at the official test split often; figures on that split are somewhat optimistic.",
        "Nobody looked at how it fares by sex, age or origin: the films do not say.",
    ]
    if phantom:
        items = ["Computed films. None of the numbers carries over to patients; they show how the course works."] + items[:1] + items[5:6]
    return "## Limits\n\n" + "\n".join(f"- {item}" for item in items)


def _paper():
    rows = [(limit, course) for limit, course in PAPER_LIMITS]
    return ("## The paper's own limits, and what the course does about them\n\nLee, Pratheepan and Teixeira 2024, section 5.1, in our words.\n\n"
            + _table(("the paper warns of", "the course"), rows))


def _checklist(phantom):
    counts = {state: sum(item[2] == state for item in CHECKLIST) for state in ("reported", "partly", "not reported")}
    note = " On phantom films every item is answered for the exercise alone." if phantom else ""
    return (f"## Reporting checklist\n\nItems after TRIPOD+AI (Collins et al. 2024, its numbers in brackets), which CLAIM 2024 (Tejani et al.) asks for as well under other numbers. "
            f"Reported {counts['reported']}, partly {counts['partly']}, not reported {counts['not reported']}.{note}\n\n"
            + _table(("item", "asks", "state", "where, or why not"), CHECKLIST))


def _table(columns, rows):
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
