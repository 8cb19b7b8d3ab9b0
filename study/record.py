"""Collect finished runs of one profile, one a seed, into the record that notebook 04 and the README show.

    cxrkit run --profile laptop                                    # seed 0
    cxrkit run --profile laptop -p seed 1 --out runs/laptop-seed1
    cxrkit run --profile laptop -p seed 2 --out runs/laptop-seed2
    python study/record.py runs/laptop runs/laptop-seed1 runs/laptop-seed2

Writes cxrkit/record/<profile>.csv and .json (probabilities and facts, no films), the figures in study/figures, a row a run in
study/looks.csv, and prints the table. Without folders it writes nothing and prints the table of the runs that are kept.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import pandas as pd  # noqa: E402

from recipes import profile_name  # noqa: E402

from cxrkit import Config, plots, record  # noqa: E402
from cxrkit.errors import CxrkitError  # noqa: E402
from cxrkit.evaluation import PAPER, at_threshold  # noqa: E402
from cxrkit.files import write_csv, write_json  # noqa: E402
from cxrkit.results import locked_thresholds  # noqa: E402
from cxrkit.runs import as_trained, reopen_run  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402

HERE = Path(__file__).resolve().parent
_FREE = ("data", "out", "seed", "skip_bad", "weights")  # settings that may differ, or say nothing of the recipe
FIGURES, LOOKS = HERE / "figures", HERE / "looks.csv"


def main(folders):
    films, facts = collect([reopen_run(folder) for folder in folders])
    profile = facts["settings"]["profile"]
    write_csv(record.FOLDER / f"{profile}.csv", films)
    write_json(record.FOLDER / f"{profile}.json", facts)
    draw(films, facts)
    log_looks(films, facts)
    show(films, facts)


def show(films, facts):
    with pd.option_context("display.width", 250, "display.max_columns", None, "display.max_colwidth", None):
        print(record.seed_table(films, facts).T)
        print(record.differences(films, facts))


def collect(runs):
    """Return (films, facts) of runs that differ in their seed alone; CxrkitError where they differ in more, or have no lock."""
    films, facts, settings = None, {"seeds": [], "thresholds": {}, "val_auc": {}, "minutes": {}}, None
    for run in sorted(runs, key=lambda run: run.config.seed):
        seed, lock = run.config.seed, run.read_lock()
        if lock is None:
            raise CxrkitError(f"{run.folder} has no locked threshold: run notebook 04 there first.")
        if seed in facts["seeds"]:
            raise CxrkitError(f"{run.folder} has seed {seed}, and so has another of these runs.")
        used = {name: value for name, value in (as_trained(run.manifest)["config"] | run.manifest["stages"]["frozen"]["settings"]).items() if name not in _FREE}
        if settings not in (None, used):
            raise CxrkitError(f"{run.folder} has other settings: {', '.join(name for name in used if used[name] != settings.get(name))}.")
        settings, thresholds = used, locked_thresholds(run, lock["rule"], lock["target_sensitivity"])
        facts["seeds"].append(seed)
        facts["minutes"][str(seed)] = {stage: round(entry["seconds"] / 60, 2) for stage, entry in run.manifest["stages"].items()}
        for stage in record.STAGES:
            val, test = run.read_predictions(stage, "val"), run.read_predictions(stage, "test")
            column = f"{stage}_{seed}"
            test = test.set_index("path").sort_index()
            if films is None:
                films = test[["label", "patient", "subtype"]].copy()
            films[column] = test["probability"].round(6)
            facts["val_auc"][column] = round(roc_auc_score(val["label"], val["probability"]), 4)
            facts["thresholds"][column] = thresholds[stage]
    facts["settings"] = settings
    facts["versions"], facts["date"] = as_trained(run.manifest)["versions"], run.manifest["stages"]["fine_tuned"]["finished"][:10]
    return films.reset_index(), facts


def log_looks(films, facts):
    """A finished run has opened the test split once: a row of looks.csv for each seed of this record, unless it stands there."""
    known = pd.read_csv(LOOKS)
    settings, rows = facts["settings"], []
    for seed in facts["seeds"]:
        column = f"fine_tuned_{seed}"
        table = at_threshold(films["label"], films[column], facts["thresholds"][column])
        rows.append({
            "date": facts["date"], "why": "the final recipe, opened after its threshold was locked", "recipe": profile_name(Config(**settings)),
            "size": settings["image_size"], "epochs": settings["fine_tune_epochs"], "seed": seed, "view": "test", "n": len(films),
            "auc": round(roc_auc_score(films["label"], films[column]), 6), "accuracy": round(table["accuracy"], 6),
            "sensitivity": round(table["recall"], 6), "specificity": round(table["specificity"], 6),
        })
    write_csv(LOOKS, pd.concat([known, pd.DataFrame(rows)]).drop_duplicates(["recipe", "size", "epochs", "seed", "auc"]))


def draw(films, facts):
    """ROC, confusion matrices and calibration as PNG: plots of numbers, never films."""
    FIGURES.mkdir(exist_ok=True)
    labels, first = films["label"], facts["seeds"][0]
    shown = {name: (labels, films[f"{stage}_{first}"]) for name, stage in
             (("32 × 32 pixels", "baseline"), ("frozen", "frozen"), ("fine-tuned", "fine_tuned"))}
    blocks = record.blocks(films, facts)
    figures = {
        "roc": plots.roc_curves(shown, PAPER["at_half"]),
        "confusion": plots.confusion_matrix({"fine-tuned, locked": blocks[f"seed {first}"]["at_locked"], "the paper": PAPER["at_half"]}),
        "calibration": plots.calibration_curve({"frozen": shown["frozen"], "fine-tuned": shown["fine-tuned"]}, split="test"),
    }
    for name, figure in figures.items():
        figure.savefig(FIGURES / f"{name}.png", dpi=110)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        show(*record.load_record())
    elif len(sys.argv) == 2:  # one run has no spread, or it asks for --help
        raise SystemExit(__doc__)
    else:
        try:
            main(sys.argv[1:])
        except CxrkitError as problem:
            raise SystemExit(str(problem)) from None
