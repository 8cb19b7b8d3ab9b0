"""Thresholds read off sorted films, costs, net benefit, predictive values elsewhere, recalibration: held against scikit-learn and brute force."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, confusion_matrix

from cxrkit import evaluation
from cxrkit.errors import CxrkitError
from cxrkit.evaluation import OperatingPoints


def films(n=400, seed=0, sharp=1.0, ill=0.6):
    """Labels and honest probabilities, sharpened or dulled."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < ill).astype(int)
    score = rng.normal(0, 1.3, n) + 2.2 * labels - 1.1 + logit(ill)
    return labels, np.round(expit(sharp * score), 6)


@pytest.fixture(scope="module")
def some():
    return films()


@pytest.mark.parametrize("threshold", [0.0, 0.123456, 0.5, 0.999999, 1.0])
def test_operating_points_agree_with_scikit_learn_and_with_evaluate(some, threshold):
    labels, probabilities = some
    groups = np.arange(len(labels)) // 3
    table = OperatingPoints(labels, probabilities, groups, replicates=200, seed=4).at(threshold)
    tn, fp, fn, tp = confusion_matrix(labels, probabilities >= threshold).ravel()
    assert table["confusion"] == {"tn": tn, "fp": fp, "fn": fn, "tp": tp}
    block = evaluation.evaluate(labels, probabilities, groups=groups, locked=threshold, bootstrap=200, seed=4)
    assert {name: table[name] for name in block["at_locked"]} == block["at_locked"]
    for name in ("accuracy", "precision", "recall", "specificity", "npv", "f1"):
        assert table["intervals"][name] == pytest.approx(block["intervals"][f"at_locked.{name}"], abs=1e-6), name


def test_a_threshold_equal_to_a_probability_calls_that_film(some):
    labels, probabilities = some
    value = float(np.sort(probabilities)[100])
    counts = OperatingPoints(labels, probabilities).confusion(value)
    assert counts["tp"] + counts["fp"] == (probabilities >= value).sum()


def test_the_linearised_f1_interval_agrees_with_the_bootstrap():
    labels, probabilities = films(3000, seed=2)
    groups = np.arange(3000) // 2
    drawn = OperatingPoints(labels, probabilities, groups, replicates=3000).at(0.6)["intervals"]["f1"]
    linear = OperatingPoints(labels, probabilities, groups, replicates=10_000_000).at(0.6)["intervals"]["f1"]
    assert linear == pytest.approx(drawn, abs=0.002) and linear[1] - linear[0] > 0.01


def test_predictive_values_follow_bayes_and_the_films_own_mix_gives_their_own():
    counts = {"tn": 80, "fp": 20, "fn": 5, "tp": 95}
    village = evaluation.predictive_values(counts, 0.05)
    assert village["ppv"][0] == pytest.approx(0.95 * 0.05 / (0.95 * 0.05 + 0.2 * 0.95))
    assert village["npv"][0] == pytest.approx(0.8 * 0.95 / (0.8 * 0.95 + 0.05 * 0.05))
    own = evaluation.predictive_values(counts, 0.5)
    assert own["ppv"][0] == pytest.approx(95 / 115) and own["npv"][0] == pytest.approx(80 / 85)
    nobody = evaluation.predictive_values({"tn": 10, "fp": 0, "fn": 10, "tp": 0}, 0.3)
    assert nobody["ppv"][0] is None and 0 <= nobody["ppv"][1] < nobody["ppv"][2] <= 1
    perfect = evaluation.predictive_values({"tn": 10, "fp": 0, "fn": 0, "tp": 10}, 0.3)
    assert perfect["ppv"][0] == 1 == perfect["ppv"][2] and perfect["ppv"][1] < 0.9


def test_the_interval_of_predictive_values_covers():
    """Drawn anew 400 times, about 95 of 100 intervals hold the true value."""
    rng = np.random.default_rng(0)
    true = evaluation.predictive_values({"tn": 850, "fp": 150, "fn": 100, "tp": 900}, 0.1)
    hits = {"ppv": 0, "npv": 0}
    for tp, tn in zip(rng.binomial(120, 0.9, 400), rng.binomial(90, 0.85, 400)):
        found = evaluation.predictive_values({"tn": int(tn), "fp": 90 - int(tn), "fn": 120 - int(tp), "tp": int(tp)}, 0.1)
        for name in hits:
            hits[name] += found[name][1] <= true[name][0] <= found[name][2]
    assert all(0.92 <= count / 400 <= 0.99 for count in hits.values()), hits


def test_costs_are_counted_in_false_alarms_per_hundred(some):
    labels, probabilities = some
    costs = evaluation.expected_cost(labels, probabilities, 7)
    row = costs[costs["threshold"] == 0.4].iloc[0]
    tn, fp, fn, tp = confusion_matrix(labels, probabilities >= 0.4).ravel()
    assert (row["missed"], row["alarms"]) == pytest.approx((100 * fn / len(labels), 100 * fp / len(labels)))
    assert row["cost"] == pytest.approx(7 * row["missed"] + row["alarms"])
    rare = evaluation.expected_cost(labels, probabilities, 7, prevalence=0.01)
    assert rare["missed"].max() == pytest.approx(1) and rare["alarms"].max() == pytest.approx(99)


@pytest.mark.parametrize("prevalence", [None, 0.02, 0.9])
def test_the_cost_rule_finds_the_cheapest_threshold_there(some, prevalence):
    labels, probabilities = some
    costs = evaluation.expected_cost(labels, probabilities, 12, prevalence)
    chosen = evaluation.choose_threshold(labels, probabilities, "cost", cost_ratio=12, prevalence=prevalence)
    best, low, high = evaluation.flat_region(costs, within=1)
    assert chosen == best and low <= best <= high
    inside = costs[costs["threshold"].between(low, high)]
    assert (inside["cost"] <= costs["cost"].min() + 1 + 1e-9).all()
    neighbours = costs[(costs["threshold"] < low)].tail(1), costs[costs["threshold"] > high].head(1)
    assert all((rows["cost"] > costs["cost"].min() + 1).all() for rows in neighbours)


def test_net_benefit_is_what_its_definition_says(some):
    labels, probabilities = some
    curve = evaluation.decision_curve(labels, probabilities, thresholds=[0, 0.2, 0.75])
    for _, row in curve.iterrows():
        t = row["threshold"]
        tn, fp, fn, tp = confusion_matrix(labels, probabilities >= t).ravel()
        assert row["model"] == pytest.approx(tp / len(labels) - fp / len(labels) * t / (1 - t))
        assert row["treat_all"] == pytest.approx(labels.mean() - (1 - labels.mean()) * t / (1 - t)) and row["treat_none"] == 0
    whole = evaluation.decision_curve(labels, probabilities, prevalence=0.3)
    assert whole["model"].iloc[0] == pytest.approx(0.3) == pytest.approx(whole["treat_all"].iloc[0])
    with pytest.raises(CxrkitError, match="below 1"):
        evaluation.decision_curve(labels, probabilities, thresholds=[1.0])


@pytest.mark.parametrize("sharp", [0.5, 1.0, 3.0])
def test_temperature_is_the_slope_of_a_logistic_regression_and_undoes_sharpening(sharp):
    labels, probabilities = films(4000, seed=3, sharp=sharp)
    temperature = evaluation.fit_temperature(labels, probabilities)
    reference = LogisticRegression(C=1e12, fit_intercept=False, tol=1e-8).fit(logit(np.clip(probabilities, 1e-6, 1 - 1e-6))[:, None], labels)
    assert temperature == pytest.approx(1 / reference.coef_[0, 0], rel=1e-3)
    honest = films(4000, seed=3)[1]
    if sharp == 3:
        scaled = evaluation.scale_temperature(probabilities, temperature)
        assert temperature > 2 and evaluation.ece(labels, scaled) < evaluation.ece(labels, probabilities) / 2
        assert (np.diff(scaled[np.argsort(probabilities)]) >= 0).all(), "ranking stays"
    assert evaluation.scale_temperature(honest, 1) == pytest.approx(honest, abs=2e-6)


def test_the_prior_correction_is_bayes_rule():
    assert evaluation.shift_prior([0.5, 0.9], 0.5, 0.1) == pytest.approx([0.1, 0.5])
    assert evaluation.shift_prior([0.2, 0.7], 0.3, 0.3) == pytest.approx([0.2, 0.7])


def test_calibration_errors_agree_with_scikit_learn_also_under_weights(some):
    labels, probabilities = some
    plain = evaluation.calibration_errors(labels, probabilities, bins=15)
    assert plain["brier"] == pytest.approx(brier_score_loss(labels, probabilities))
    assert plain["ece"] == pytest.approx(evaluation.ece(labels, probabilities, 15))
    weights = np.where(labels == 1, 0.1 / labels.mean(), 0.9 / (1 - labels.mean()))
    rare = evaluation.calibration_errors(labels, probabilities, prevalence=0.1)
    assert rare["brier"] == pytest.approx(brier_score_loss(labels, probabilities, sample_weight=weights))


def test_the_prior_correction_mends_what_another_mix_broke():
    labels, probabilities = films(6000, seed=5)
    table = evaluation.calibration_table(labels, probabilities, evaluation.fit_temperature(labels, probabilities), prevalence=0.05)
    there = table[table["place"] == "prevalence"].set_index("probabilities")
    assert there.loc["temperature and prior correction", "ece"] < there.loc["as given", "ece"] / 3
    assert list(table["place"]) == ["these films"] * 2 + ["prevalence"] * 3


@pytest.mark.parametrize("call", [
    lambda y, p: evaluation.predictive_values({"tn": 1, "fp": 1, "fn": 1, "tp": 1}, 1.0),
    lambda y, p: evaluation.expected_cost(y, p, prevalence=0),
    lambda y, p: evaluation.decision_curve(y, p, prevalence=5),
    lambda y, p: evaluation.shift_prior(p, 0.5, 1),
    lambda y, p: evaluation.calibration_errors(y, p, prevalence=-1),
    lambda y, p: evaluation.choose_threshold(y, p, "cost", prevalence=5),
])
def test_an_impossible_prevalence_is_refused(some, call):
    with pytest.raises(CxrkitError, match="above 0 and below 1"):
        call(*some)


def test_other_impossible_values_are_refused(some):
    for call, words in ((lambda: evaluation.expected_cost(*some, cost_ratio=0), "cost ratio"),
                        (lambda: evaluation.scale_temperature([0.5], 0), "temperature"),
                        (lambda: evaluation.calibration_errors(*some, bins=1), "at least 2 bins")):
        with pytest.raises(CxrkitError, match=words):
            call()
