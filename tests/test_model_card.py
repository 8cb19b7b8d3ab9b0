"""The model card: its numbers are the run's, it marks phantoms, it refuses an older model's results."""

import json
import re

import numpy as np
import pytest

from cxrkit import card, card_items, evaluation, results, stages
from cxrkit.config import configure
from cxrkit.errors import CxrkitError
from cxrkit.runs import open_run
from helpers import small_dataset


@pytest.fixture
def run(tmp_path):
    """A run with predictions of all three systems, a lock and metrics."""
    run = open_run(configure("demo", image_size=32, stored_size=32, bootstrap=50, out=str(tmp_path / "run")), small_dataset(150))
    stages.make_baseline(run)
    rng = np.random.default_rng(0)
    for stage, noise in (("frozen", 0.7), ("fine_tuned", 0.55)):
        with run.stage(stage):
            for split in ("val", "test"):
                labels = run.dataset.labels[run.dataset.index(split)]
                run.save_predictions(stage, split, np.clip(labels * (1 - noise) + noise * rng.random(len(labels)), 0, 1))
    return run


def score(run, rule="sensitivity", value=None):
    """Lock and write metrics.json, as notebook 04 does."""
    val = run.read_predictions("fine_tuned", "val")
    lock = run.lock_threshold(rule, value if value is not None else evaluation.choose_threshold(val["label"], val["probability"]), 0.95)
    blocks = [results.score_systems(run, lock["rule"], lock["target_sensitivity"], split) for split in ("val", "test")]
    return results.write_metrics(run, *blocks)


def test_the_card_says_what_the_run_folder_holds(run):
    metrics = score(run)
    text = card.write_model_card(run).read_text(encoding="utf-8")
    locked = metrics["phases"]["fine_tuned"]["test"]["at_locked"]
    low, high = metrics["phases"]["fine_tuned"]["test"]["intervals"]["at_locked.recall"]
    assert f"{100 * locked['recall']:.1f} ({100 * low:.1f}–{100 * high:.1f})" in text and f"{metrics['threshold']['value']:.4f}, locked before" in text
    assert text.count("(phantom)") > 3 and "PHANTOM" in text and "Not for" in text
    for split in ("train", "val", "test"):
        rows = run.dataset.index(split)
        assert f"| {split} | {len(rows)} | {run.dataset.table['patient'].iloc[rows].nunique()} | {run.dataset.labels[rows].mean():.1%} |" in text
    test = run.read_predictions("fine_tuned", "test")
    assert f"Brier score {np.mean((test['probability'] - test['label']) ** 2):.3f}" in text


def test_the_checklist_names_what_is_not_reported(run):
    score(run)
    text = card.model_card(run)
    states = [state for _, _, state, _ in card_items.CHECKLIST]
    assert set(states) == {"reported", "partly", "not reported"} and f"not reported {states.count('not reported')}" in text
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    for rows in tables:
        assert len({row.count("|") for row in rows.strip().split("\n")}) == 1, "every row of a table has its columns"


def test_the_lock_by_hand_serves_all_three_systems_and_is_named(run):
    metrics = score(run, "manual", 0.42)
    assert {metrics["baseline"]["test"]["at_locked"]["threshold"], metrics["phases"]["frozen"]["test"]["at_locked"]["threshold"], metrics["test"]["threshold"]} == {0.42}
    assert "Rule: set by hand on validation" in card.model_card(run)


def test_the_cost_rule_keeps_its_terms_in_the_results(run):
    run.lock_threshold("cost", 0.33, 0.95, cost_ratio=25.0, prevalence=0.2)
    blocks = results.score_systems(run, "cost", 0.95, "val")
    val = run.read_predictions("frozen", "val")
    assert blocks["frozen"]["at_locked"]["threshold"] == evaluation.choose_threshold(val["label"], val["probability"], "cost", cost_ratio=25, prevalence=0.2)
    results.write_metrics(run, blocks, results.score_systems(run, "cost", 0.95, "test"))
    assert json.loads((run.folder / "metrics.json").read_text())["threshold"]["cost_ratio"] == 25
    assert "counted as 25 false alarms, where 20 % are ill" in card.model_card(run)


def test_areas_and_brier_score_have_their_intervals(run):
    metrics = score(run, "manual", 0.42)
    block, text = metrics["phases"]["fine_tuned"]["test"], card.model_card(run)
    for name in ("pr_auc", "brier"):
        low, high = block["intervals"][name]
        assert f"{block[name]:.3f} ({low:.3f}–{high:.3f})" in text


def test_no_card_without_results_or_of_an_older_model(run):
    with pytest.raises(CxrkitError, match="metrics.json is missing: notebook 04 writes it"):
        card.model_card(run)
    score(run)
    newer = open_run(configure("demo", image_size=32, stored_size=32, bootstrap=50, fine_tune_epochs=2, out=str(run.folder)), run.dataset)
    with newer.stage("fine_tuned"):
        for split in ("val", "test"):
            newer.save_predictions("fine_tuned", split, np.linspace(0, 1, len(newer.dataset.index(split))))
    with pytest.raises(CxrkitError, match="of an older model"):
        card.model_card(newer)
