"""From the sealed predictions of a run to metrics.json: the same rule for every system, the test split once (notebook 04)."""

from .evaluation import PAPER, choose_threshold, evaluate
from .files import write_json
from .runs import STAGES, Run, stage_models


def score_systems(run: Run, rule: str, target_sensitivity: float, split: str) -> dict:
    """Return {stage: block of `evaluate`} of baseline, frozen and fine-tuned on a split.

    Each system's locked threshold is the one that `rule` picks on its own validation predictions; a locked fine-tuned
    threshold is taken from the run's lock, and so are the terms of its rule. A value that was locked by hand ("manual") has
    no rule that could find the others' equal: all three get that value. Introduced in notebook 04.
    """
    blocks = {}
    for stage, locked in locked_thresholds(run, rule, target_sensitivity).items():
        shown = run.read_predictions(stage, split)
        blocks[stage] = evaluate(
            shown["label"], shown["probability"], groups=shown.get("patient"), locked=locked,
            bootstrap=run.config.bootstrap, seed=run.config.seed,
        )
    return blocks


def locked_thresholds(run: Run, rule: str, target_sensitivity: float) -> dict:
    """Return {stage: threshold} of baseline, frozen and fine-tuned, as `score_systems` applies them."""
    thresholds, lock = {}, run.read_lock()
    terms = {name: lock[name] for name in ("cost_ratio", "prevalence") if lock and name in lock}
    for stage in STAGES:
        if lock and (stage == "fine_tuned" or rule == "manual"):
            thresholds[stage] = lock["value"]
        else:
            val = run.read_predictions(stage, "val")
            thresholds[stage] = choose_threshold(val["label"], val["probability"], rule, target_sensitivity=target_sensitivity, **terms)
    return thresholds


def write_metrics(run: Run, val: dict, test: dict) -> dict:
    """Assemble metrics.json from the blocks of both splits, write it into the run folder and return it.

    Layout: profile, dataset, backbone, weights, image_size, seed, baseline, phases, threshold, test, paper, seconds.
    """
    lock = run.read_lock()
    both = {stage: {"val": val[stage], "test": test[stage]} for stage in STAGES}
    final = test["fine_tuned"]
    metrics = {
        "profile": run.config.profile,
        "dataset": run.dataset.name,
        "backbone": run.config.backbone,
        "weights": run.config.weights,
        "image_size": run.config.image_size,
        "seed": run.config.seed,
        "phases": {stage: both[stage] for stage in ("frozen", "fine_tuned")},
        "baseline": both["baseline"],
        "threshold": {
            "rule": lock["rule"], "value": lock["value"], "target_sensitivity": lock["target_sensitivity"],
            "cost_ratio": lock.get("cost_ratio", 10.0), "prevalence": lock.get("prevalence"), "looks": lock["looks"],
        },
        "test": {"n": final["n"], "auc": final["auc"], **final["at_locked"], "intervals": final["intervals"]},
        "paper": PAPER,
        "models": stage_models(run.manifest),
        "seconds": {stage: entry["seconds"] for stage, entry in run.manifest["stages"].items()},
    }
    write_json(run.folder / "metrics.json", metrics)
    return metrics
