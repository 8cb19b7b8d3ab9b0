"""The numbers of the report, against scikit-learn, statsmodels and hand computation."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve
from statsmodels.stats.proportion import proportion_confint

from cxrkit.errors import CxrkitError
from cxrkit.evaluation import (
    PAPER, at_threshold, auc_difference, choose_threshold, comparison_table, confusion_table, ece, evaluate, hanley_mcneil,
    patient_bootstrap, reading, reliability_curve, threshold_sweep, wilson,
)
from cxrkit.evaluation.intervals import _weighted_metrics

T_KEYS = {"threshold", "accuracy", "precision", "recall", "specificity", "npv", "f1", "confusion"}


def random_case(seed, n=400):
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.6).astype(int)
    return labels, np.clip(rng.normal(0.35 + 0.3 * labels, 0.2), 0, 1)


def tied_case(seed, n=400):
    labels, probabilities = random_case(seed, n)
    return labels, np.round(probabilities, 1)


def separable_case(seed, n=400):
    """Like real validation films: nearly all within a hair of 0 and 1, a few lost."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.74).astype(int)
    probabilities = np.where(labels == 1, 1 - rng.random(n) ** 4 * 0.05, rng.random(n) ** 4 * 0.05)
    probabilities[np.flatnonzero(labels == 1)[:3]] = 0.01
    return labels, probabilities


CASES = pytest.mark.parametrize("case", [random_case, tied_case, separable_case])


@CASES
@pytest.mark.parametrize("locked", [0.5, 0.3, 0.9, 0.0, 1.0])
def test_every_metric_agrees_with_scikit_learn(case, locked):
    labels, probabilities = case(1)
    block = evaluate(labels, probabilities, locked=locked, bootstrap=20)
    assert block["n"] == 400
    assert block["auc"] == pytest.approx(sk.roc_auc_score(labels, probabilities), abs=1e-12)
    assert block["pr_auc"] == pytest.approx(sk.average_precision_score(labels, probabilities), abs=1e-12)
    assert block["brier"] == pytest.approx(sk.brier_score_loss(labels, probabilities), abs=1e-12)
    for key, threshold in (("at_half", 0.5), ("at_locked", locked)):
        table, called = block[key], (probabilities >= threshold).astype(int)
        assert table["threshold"] == threshold
        assert table["accuracy"] == pytest.approx(sk.accuracy_score(labels, called))
        assert table["precision"] == pytest.approx(sk.precision_score(labels, called, zero_division=0))
        assert table["recall"] == pytest.approx(sk.recall_score(labels, called))
        assert table["specificity"] == pytest.approx(sk.recall_score(labels, called, pos_label=0))
        assert table["npv"] == pytest.approx(sk.precision_score(labels, called, pos_label=0, zero_division=0))
        assert table["f1"] == pytest.approx(sk.f1_score(labels, called))
        tn, fp, fn, tp = sk.confusion_matrix(labels, called).ravel()
        assert table["confusion"] == {"tn": tn, "fp": fp, "fn": fn, "tp": tp}


def test_block_has_the_contract_keys_and_survives_json():
    labels, probabilities = random_case(2)
    patients = [f"p{i // 3}" for i in range(400)]
    block = evaluate(labels, probabilities.astype(np.float32), groups=patients, locked=0.4, bootstrap=50)
    assert list(block) == ["n", "auc", "pr_auc", "brier", "at_half", "at_locked", "intervals"]
    assert set(block["at_half"]) == set(block["at_locked"]) == T_KEYS
    rates = ["accuracy", "precision", "recall", "specificity", "npv", "f1"]
    at_both = {f"{at}.{rate}" for at in ("at_half", "at_locked") for rate in rates}
    assert set(block["intervals"]) == {"auc", "pr_auc", "brier", "f1"} | at_both
    assert json.loads(json.dumps(block, allow_nan=False)) == block
    for name, (low, high) in block["intervals"].items():
        at, _, rate = name.rpartition(".")
        value = block["at_locked"]["f1"] if name == "f1" else block[at][rate] if at else block[name]
        assert 0 <= low <= value <= high <= 1, name


def test_a_film_exactly_at_the_threshold_is_called_pneumonia():
    table = at_threshold([0, 0, 1, 1], [0.1, 0.7, 0.7, 0.69], 0.7)
    assert table["confusion"] == {"tn": 1, "fp": 1, "fn": 1, "tp": 1}


def test_nothing_called_pneumonia_gives_zero_precision_that_claims_nothing():
    block = evaluate([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4], locked=0.9, bootstrap=20)
    assert block["at_locked"]["precision"] == 0 and block["intervals"]["at_locked.precision"] == [0, 1]
    assert comparison_table({"ours": block}, at="at_locked")["Precision"].iloc[0] == "–"


# Intervals

@pytest.mark.parametrize("k, n", [(0, 10), (10, 10), (1, 3), (535, 624), (184, 234)])
def test_wilson_is_that_of_statsmodels(k, n):
    assert wilson(k, n) == pytest.approx(proportion_confint(k, n, method="wilson"), abs=1e-12)
    assert 0 <= wilson(k, n)[0] <= k / n <= wilson(k, n)[1] <= 1


@CASES
def test_weighted_replicates_agree_with_scikit_learn(case):
    labels, probabilities = case(3, n=120)
    order = np.argsort(-probabilities, kind="stable")
    labels, probabilities = labels[order], probabilities[order]
    weights = np.random.default_rng(0).integers(0, 4, size=(25, 120)).astype(float)
    ours = _weighted_metrics(labels, probabilities, weights, {"half": 0.5})
    for i, w in enumerate(weights):
        assert ours["auc"][i] == pytest.approx(sk.roc_auc_score(labels, probabilities, sample_weight=w), abs=1e-12)
        assert ours["pr_auc"][i] == pytest.approx(sk.average_precision_score(labels, probabilities, sample_weight=w), abs=1e-12)
        assert ours["brier"][i] == pytest.approx(sk.brier_score_loss(labels, probabilities, sample_weight=w), abs=1e-12)
        assert ours["half.f1"][i] == pytest.approx(sk.f1_score(labels, probabilities >= 0.5, sample_weight=w), abs=1e-12)


def clustered_films(seed, patients=40, films=8):
    """Films of one patient share most of their score: 320 films that know little more than 40."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(patients) % 2, films)
    score = 1.2 * labels + np.repeat(rng.normal(size=patients), films) + 0.1 * rng.normal(size=patients * films)
    return labels, 1 / (1 + np.exp(-score)), np.repeat(np.arange(patients), films)


def test_clustered_intervals_are_wider_and_cover_where_plain_ones_do_not():
    truth = 0.801  # P(N(1.2, 1.01) > N(0, 1.01)): the AUC of endless patients
    hits, widths = {"patients": 0, "films": 0}, {"patients": [], "films": []}
    for seed in range(60):
        labels, probabilities, patients = clustered_films(seed)
        for name, groups in (("patients", patients), ("films", None)):
            low, high = patient_bootstrap(labels, probabilities, groups, replicates=200).interval("auc")
            hits[name] += low <= truth <= high
            widths[name].append(high - low)
    assert np.mean(widths["patients"]) > 2 * np.mean(widths["films"])
    assert hits["patients"] >= 51  # 95 % nominal; small samples fall a little short
    assert hits["films"] <= 36


def test_bootstrap_is_repeatable_and_moves_with_the_seed():
    labels, probabilities = random_case(4)
    first, again, other = (evaluate(labels, probabilities, bootstrap=200, seed=s)["intervals"]["auc"] for s in (0, 0, 1))
    assert first == again != other


def test_chunking_does_not_change_the_draws(monkeypatch):
    labels, probabilities = random_case(4)
    whole = patient_bootstrap(labels, probabilities, replicates=300).samples
    monkeypatch.setattr("cxrkit.evaluation.intervals._CHUNK", 400 * 7)
    parts = patient_bootstrap(labels, probabilities, replicates=300).samples
    assert all(np.allclose(whole[name], parts[name], atol=1e-12) for name in whole)


def test_draws_without_both_classes_are_drawn_anew_and_counted():
    labels, probabilities, patients = [0, 0, 1, 1], [0.1, 0.6, 0.5, 0.9], ["a", "a", "b", "b"]
    drawn = patient_bootstrap(labels, probabilities, patients, replicates=400)
    assert len(drawn.samples["auc"]) == 400 and drawn.patients == 2
    assert 280 < drawn.skipped < 540  # half of all draws hold one of the two patients only
    assert np.allclose(drawn.samples["auc"], 0.75)


def test_same_seed_pairs_two_systems():
    labels, probabilities = random_case(5)
    a = patient_bootstrap(labels, probabilities, replicates=100).samples["auc"]
    b = patient_bootstrap(labels, probabilities ** 2, replicates=100).samples["auc"]
    assert np.allclose(a, b)  # the same ranks in the same draws: no difference at all


def test_the_difference_of_two_systems_is_drawn_together_and_narrower_than_their_intervals():
    labels, first = random_case(5)
    second = np.clip(first + np.random.default_rng(1).normal(0, 0.05, len(first)), 0, 1)
    groups = np.arange(len(labels)) // 2
    difference, (low, high) = auc_difference(labels, first, second, groups, replicates=400)
    assert np.isclose(difference, sk.roc_auc_score(labels, first) - sk.roc_auc_score(labels, second)) and low < difference < high
    alone = [patient_bootstrap(labels, system, groups, replicates=400).samples["auc"] for system in (first, second)]
    apart = np.subtract(alone[0], np.random.default_rng(0).permutation(alone[1]))
    assert high - low < 0.7 * np.subtract(*np.percentile(apart, [97.5, 2.5])), "what is hard for both has to cancel"
    assert auc_difference(labels, first, first ** 2, replicates=50) == (0.0, [0.0, 0.0])
    with pytest.raises(CxrkitError, match="2 probabilities"):
        auc_difference(labels, first, [0.1, 0.2])


def test_films_without_a_patient_are_their_own():
    labels, probabilities = random_case(6, n=60)
    plain = patient_bootstrap(labels, probabilities, replicates=50)
    unknown = patient_bootstrap(labels, probabilities, pd.Series([None, np.nan, ""] * 20), replicates=50)
    assert unknown.patients == plain.patients == 60
    half = patient_bootstrap(labels, probabilities, ["x"] * 30 + [None] * 30, replicates=50)
    assert half.patients == 31


# Thresholds

@CASES
@pytest.mark.parametrize("target", [0.8, 0.95, 1.0])
def test_sensitivity_rule_is_the_best_of_all_thresholds_and_the_lowest(case, target):
    labels, probabilities = case(7)
    chosen = choose_threshold(labels, probabilities, target_sensitivity=target)
    best = at_threshold(labels, probabilities, chosen)
    assert best["recall"] >= target
    fpr, tpr, _ = sk.roc_curve(labels, probabilities, drop_intermediate=False)
    assert best["specificity"] == pytest.approx(1 - fpr[tpr >= target].min())
    lower = np.unique(np.r_[probabilities, np.arange(1001) / 1000])
    for t in lower[lower < chosen][-5:]:
        worse = at_threshold(labels, probabilities, t)
        assert worse["specificity"] < best["specificity"]


def test_ties_go_to_the_lowest_threshold_even_across_a_wide_gap():
    labels, probabilities = [0, 0, 0, 1, 1, 1], [0.01, 0.02, 0.0304, 0.97, 0.98, 0.99]
    for rule in ("sensitivity", "youden", "cost"):
        assert choose_threshold(labels, probabilities, rule) == 0.031  # not 0.97: both call the same films here
    # Many positives far up may be missed at no gain in specificity: the rule must not climb.
    labels, probabilities = [0] * 20 + [1] * 100, [0.1] * 20 + list(np.linspace(0.6, 0.999, 100))
    assert choose_threshold(labels, probabilities, target_sensitivity=0.8) == 0.101


def test_scores_closer_than_the_round_candidates_are_told_apart():
    labels, probabilities = [0, 0, 0, 1, 1], [1e-6, 2e-6, 3e-6, 4e-6, 5e-6]
    assert choose_threshold(labels, probabilities) == 4e-6
    assert at_threshold(labels, probabilities, 4e-6)["accuracy"] == 1


def test_a_target_met_exactly_counts():
    labels, probabilities = [1] * 20 + [0] * 2, [0.2] + [0.8] * 19 + [0.1, 0.5]
    assert choose_threshold(labels, probabilities, target_sensitivity=0.95) == 0.501
    assert choose_threshold(labels, probabilities, target_sensitivity=0.951) == 0.101


def test_half_youden_and_cost():
    labels, probabilities = random_case(8)
    assert choose_threshold(labels, probabilities, "half") == 0.5
    fpr, tpr, _ = sk.roc_curve(labels, probabilities, drop_intermediate=False)
    youden = at_threshold(labels, probabilities, choose_threshold(labels, probabilities, "youden"))
    assert youden["recall"] + youden["specificity"] - 1 == pytest.approx((tpr - fpr).max())
    negatives, positives = (labels == 0).sum(), labels.sum()
    for ratio in (0.2, 1.0, 7.3):
        table = at_threshold(labels, probabilities, choose_threshold(labels, probabilities, "cost", cost_ratio=ratio))
        cost = ratio * table["confusion"]["fn"] + table["confusion"]["fp"]
        assert cost == pytest.approx((ratio * (1 - tpr) * positives + fpr * negatives).min())
    costly, cheap = (choose_threshold(labels, probabilities, "cost", cost_ratio=r) for r in (50, 0.02))
    assert costly < cheap


@CASES
def test_sweep_counts_are_those_of_at_threshold(case):
    labels, probabilities = case(9, n=60)
    sweep = threshold_sweep(labels, probabilities)
    assert sweep["threshold"].is_monotonic_increasing and set(probabilities) <= set(sweep["threshold"])
    for row in sweep.iloc[::37].itertuples():
        table = at_threshold(labels, probabilities, row.threshold)
        assert table["confusion"] == {"tn": row.tn, "fp": row.fp, "fn": row.fn, "tp": row.tp}
        assert (table["recall"], table["specificity"]) == (row.sensitivity, row.specificity)


# Calibration

@CASES
def test_reliability_agrees_with_scikit_learn(case):
    labels, probabilities = case(10)
    observed, stated = calibration_curve(labels, probabilities, n_bins=10)
    curve = reliability_curve(labels, probabilities)
    assert curve["observed"].to_numpy() == pytest.approx(observed)
    assert curve["stated"].to_numpy() == pytest.approx(stated)
    assert curve["n"].sum() == 400


def test_ece_by_hand():
    # Lower bin: stated 0.2, observed 0.5; upper bin: stated 0.9, observed 1.0.
    assert ece([0, 1, 1, 1], [0.2, 0.2, 0.9, 0.9], bins=2) == pytest.approx((2 * 0.3 + 2 * 0.1) / 4)


# The paper's tables

def test_paper_figures_from_its_confusion_matrix():
    table, intervals = PAPER["at_half"], PAPER["intervals"]
    percent = {name: round(100 * table[name], 1) for name in ("accuracy", "precision", "recall", "specificity", "npv", "f1")}
    assert percent == {"accuracy": 85.7, "precision": 87.5, "recall": 90.0, "specificity": 78.6, "npv": 82.5, "f1": 88.7}
    rounded = {name: [round(100 * v, 1) for v in intervals[f"at_half.{name}"]] for name in ("accuracy", "recall", "specificity")}
    assert rounded == {"accuracy": [82.8, 88.3], "recall": [86.6, 92.6], "specificity": [72.9, 83.4]}
    assert "auc" not in intervals and "no interval" in PAPER["note"]
    json.dumps(PAPER, allow_nan=False)


def test_hanley_mcneil_is_close_to_a_bootstrap():
    rng = np.random.default_rng(11)
    labels = np.r_[np.zeros(234, int), np.ones(390, int)]
    score = rng.normal(1.85 * labels, 1)
    probabilities = 1 / (1 + np.exp(-score))
    theirs = hanley_mcneil(sk.roc_auc_score(labels, probabilities), 390, 234)
    assert theirs == pytest.approx(patient_bootstrap(labels, probabilities).interval("auc"), abs=0.008)


def test_comparison_table_puts_ours_beside_the_paper():
    labels, probabilities = random_case(12)
    block = evaluate(labels, probabilities, locked=0.137, bootstrap=100)
    table = comparison_table({"The paper": PAPER, "Baseline": block})
    assert list(table.index) == [("The paper", "not stated"), ("Baseline", "0.5"), ("Baseline", "0.137 (locked)")]
    at_half = comparison_table({"Baseline": evaluate(labels, probabilities, locked=0.5, bootstrap=20)})
    assert list(at_half.index) == [("Baseline", "0.5 (also locked)")], "no row is missing, the two are one"
    assert list(table.columns) == ["Accuracy", "Precision", "Recall", "Specificity", "F1-Score", "ROC-AUC"]
    paper = table.loc[("The paper", "not stated")]
    assert paper["Accuracy"] == "85.7 (82.8–88.3)" and paper["F1-Score"] == "88.7"
    assert paper["ROC-AUC"].startswith("0.905 (≈ ")
    low, high = block["intervals"]["auc"]
    assert table.loc[("Baseline", "0.5"), "ROC-AUC"] == f"{block['auc']:.3f} ({low:.3f}–{high:.3f})"
    assert list(comparison_table({"Baseline": block}, at="at_locked").index) == [("Baseline", "0.137 (locked)")]


def test_confusion_table_is_the_papers_table_2():
    table = confusion_table(PAPER["at_half"])
    assert table.loc["Actual Normal"].tolist() == ["184 (TN)", "50 (FP)"]
    assert table.loc["Actual Pneumonia"].tolist() == ["39 (FN)", "351 (TP)"]
    assert list(table.columns) == ["Predicted Normal", "Predicted Pneumonia"]


def test_reading_speaks_of_children_and_on_the_phantom_of_films():
    assert reading(PAPER) == (
        "Of 100 children with pneumonia, about 10 would be sent home; of 100 healthy ones, about 21 would be called in.")
    block = evaluate([0] * 300 + [1] * 300, [0.1] * 299 + [0.9] + [0.9] * 300, bootstrap=20)
    assert reading(block, phantom=True) == (
        "Of 100 phantom films with pneumonia, none would be missed; of 100 normal phantom films, fewer than 1 would be flagged.")


# Bad input: one clear line

@pytest.mark.parametrize("labels, probabilities, groups, message", [
    ([0, 1, 1], [0.1, np.nan, 0.3], None, "1 of the probabilities are missing.*row 1"),
    ([0, 1, 1], [0.1, 0.4, 1.2], None, "between 0 and 1; row 2 holds 1.2.*sigmoid"),
    ([0, 1, 1], [-0.1, 0.4, 0.2], None, "between 0 and 1; row 0"),
    ([0, 1], [0.1, 0.2, 0.3], None, "2 labels but 3 probabilities"),
    ([1, 1, 1], [0.1, 0.2, 0.3], None, "All 3 films are pneumonia"),
    ([0, 0], [0.1, 0.2], None, "All 2 films are normal"),
    ([0, 1, 2], [0.1, 0.2, 0.3], None, "row 2 holds 2"),
    ([0, 1, np.nan], [0.1, 0.2, 0.3], None, "1 of the labels are missing"),
    ([], [], None, "0 rows"),
    (["NORMAL", "PNEUMONIA"], [0.1, 0.2], None, "labels are not numbers"),
    ([0, 1], [[0.1], [0.2]], None, "one-dimensional"),
    ([0, 1], [0.1, 0.2], ["a"], "2 films but 1 groups"),
    ([0, 1], [0.1, 0.2], ["a", "a"], "one patient"),
])
def test_bad_predictions_get_a_plain_line(labels, probabilities, groups, message):
    with pytest.raises(CxrkitError, match=message):
        evaluate(labels, probabilities, groups=groups, bootstrap=20)


@pytest.mark.parametrize("call, message", [
    (lambda y, p: choose_threshold(y, p, "yuden"), "Did you mean 'youden'"),
    (lambda y, p: choose_threshold(y, p, target_sensitivity=95), "0.95 is 95 %"),
    (lambda y, p: choose_threshold(y, p, "cost", cost_ratio=0), "cost ratio"),
    (lambda y, p: choose_threshold([1, 1], [0.2, 0.3], "half"), "both classes"),
    (lambda y, p: at_threshold(y, p, 1.5), "threshold must lie between 0 and 1"),
    (lambda y, p: evaluate(y, p, locked="high"), "threshold must be a number"),
    (lambda y, p: evaluate(y, p, locked=float("nan")), "threshold must lie"),
    (lambda y, p: evaluate(y, p, bootstrap=0), "at least 1 replicate"),
    (lambda y, p: reliability_curve(y, p, bins=1), "at least 2 bins"),
    (lambda y, p: comparison_table({}, at="half"), "not at 'half'"),
])
def test_bad_settings_get_a_plain_line(call, message):
    with pytest.raises(CxrkitError, match=message):
        call(*random_case(13))
