"""What the kit itself reached on the real test split, film by film, with several seeds (notebook 04 shows it after its own reveal).

`laptop.csv` and `laptop.json` hold probabilities and facts, no films. `python study/record.py RUN RUN RUN` writes them from finished runs.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from ..evaluation import at_threshold, auc_difference, evaluate, patient_bootstrap, wilson

FOLDER = Path(__file__).resolve().parent
STAGES = ("baseline", "frozen", "fine_tuned")


def load_record(profile: str = "laptop") -> tuple[pd.DataFrame, dict]:
    """Return (films, facts) of the kept runs of a profile.

    films : one row a test film, columns `path, label, patient, subtype` and a probability of pneumonia for each stage and seed,
        such as `fine_tuned_0`.
    facts : "seeds", "thresholds" (locked on each run's own validation patients, by column), "val_auc" (by column), "minutes"
        (by seed and stage), "settings", "versions", "date".
    """
    films = pd.read_csv(FOLDER / f"{profile}.csv", keep_default_na=False)
    facts = json.loads((FOLDER / f"{profile}.json").read_text(encoding="utf-8"))
    return films, facts


def ensemble(films: pd.DataFrame, facts: dict, stage: str = "fine_tuned") -> tuple[np.ndarray, float]:
    """Return (probabilities float64 [n], threshold) of the seeds together: logits averaged, and so are the locked thresholds' logits.

    The seeds' validation patients differ, so no film is unseen by all of them: a threshold of the ensemble's own cannot be chosen.
    """
    columns = [f"{stage}_{seed}" for seed in facts["seeds"]]
    probabilities = np.clip(films[columns].to_numpy(), 1e-6, 1 - 1e-6)
    thresholds = np.clip([facts["thresholds"][column] for column in columns], 1e-6, 1 - 1e-6)
    return expit(logit(probabilities).mean(axis=1)), float(expit(logit(thresholds).mean()))


def seed_table(films: pd.DataFrame, facts: dict) -> pd.DataFrame:
    """Return one row a system: the mean over seeds, its 95 % interval and the spread (standard deviation) of the seeds.

    The AUC's interval draws patients, the same draw for every seed, and averages the seeds within a draw: it says how far the mean
    would wander with other patients. Shares have Wilson's interval round the mean share. One row more for the ensemble.
    """
    labels, groups = films["label"].to_numpy(), films["patient"].to_numpy()
    rows = {}
    for stage in STAGES:
        columns = [f"{stage}_{seed}" for seed in facts["seeds"]]
        rows[stage.replace("_", "-"), f"mean of {len(columns)} seeds"] = _row(
            labels, groups, [films[c].to_numpy() for c in columns], [facts["thresholds"][c] for c in columns])
    together, threshold = ensemble(films, facts)
    rows["fine-tuned", f"{len(facts['seeds'])} seeds together"] = _row(labels, groups, [together], [threshold])
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.MultiIndex.from_tuples(list(rows), names=["system", ""])
    return table


def differences(films: pd.DataFrame, facts: dict) -> pd.DataFrame:
    """Return what each step adds to the test AUC, seed by seed, with its 95 % interval from the same draws of patients for both systems."""
    rows = {}
    for better, other in zip(STAGES[1:], STAGES):
        for seed in facts["seeds"]:
            added, (low, high) = auc_difference(films["label"], films[f"{better}_{seed}"], films[f"{other}_{seed}"], films["patient"])
            rows[f"{better.replace('_', '-')} minus {other}", f"seed {seed}"] = {"AUC": f"{added:+.3f}", "95 % interval": f"{low:+.3f} to {high:+.3f}"}
    return pd.DataFrame.from_dict(rows, orient="index")


def blocks(films: pd.DataFrame, facts: dict, stage: str = "fine_tuned") -> dict:
    """Return {"seed 0": block of `evaluate`, ...} of a stage, each at its own locked threshold, 1,000 bootstrap draws."""
    return {
        f"seed {seed}": evaluate(films["label"], films[f"{stage}_{seed}"], groups=films["patient"],
                                 locked=facts["thresholds"][f"{stage}_{seed}"], bootstrap=1000, seed=0)
        for seed in facts["seeds"]
    }


def _row(labels, groups, systems, thresholds):
    draws = [patient_bootstrap(labels, p, groups, replicates=1000, seed=0) for p in systems]
    aucs = [roc_auc_score(labels, p) for p in systems]
    low, high = np.percentile(np.mean([draw.samples["auc"] for draw in draws], axis=0), [2.5, 97.5])
    row = {"AUC": f"{np.mean(aucs):.4f} ({low:.3f}–{high:.3f}){_spread(aucs, '.4f')}"}
    for name, chosen in (("at 0.5", [0.5] * len(systems)), ("locked", thresholds)):
        tables = [at_threshold(labels, p, t) for p, t in zip(systems, chosen)]
        for rate, shown in (("accuracy", "accuracy"), ("recall", "sensitivity"), ("specificity", "specificity")):
            shares = [table[rate] for table in tables]
            n = {"accuracy": len(labels), "recall": int(labels.sum()), "specificity": int((labels == 0).sum())}[rate]
            low, high = wilson(round(np.mean(shares) * n), n)
            row[f"{shown}, {name}"] = f"{100 * np.mean(shares):.1f} ({100 * low:.1f}–{100 * high:.1f}){_spread(100 * np.array(shares), '.1f')}"
    return row


def _spread(values, form):
    return f" ± {np.std(values, ddof=1):{form}}" if len(values) > 1 else ""
