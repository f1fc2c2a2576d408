import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.metrics import (
    auc,
    brier,
    calibration_slope,
    coverage_replicated_accuracy,
    crps_replicated_accuracy,
    ece,
    log_loss,
    reliability_curve,
    replicated_accuracy,
    replicated_ece,
)
from bayes_irt_router.evaluation.replication import GradedScores, replicate

SHAPE = (7, 4)
probabilities = arrays(np.float64, SHAPE, elements=st.floats(0.001, 0.999))
binary_scores = arrays(np.float64, SHAPE, elements=st.sampled_from([0.0, 1.0]))
holes = arrays(np.bool_, SHAPE).filter(lambda hole: not hole.all())


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def logit(p):
    return np.log(p / (1 - p))


def with_residual(rng, draws, queries=60, llms=8, residual=1.0):
    """Joint draws (draw, query, llm) with one residual per draw and query, and their exact expectation."""
    eta = rng.normal(size=(queries, llms))
    conditional = sigmoid(eta + residual * rng.normal(size=(draws, queries, 1)))
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    expectation = sigmoid(eta[..., None] + residual * nodes) @ weights / weights.sum()
    return conditional, expectation


@given(probabilities, binary_scores, holes)
def test_agrees_with_scikit_learn(p, score, hole):
    score = np.where(hole, np.nan, score)
    y, q = score[~hole], p[~hole]
    assert log_loss(p, score) == pytest.approx(sklearn_log_loss(y, q, labels=[0, 1]))
    assert brier(p, score) == pytest.approx(brier_score_loss(y, q, labels=[0, 1]))
    if 0 < y.mean() < 1:
        assert auc(p, score) == pytest.approx(roc_auc_score(y, q))
    else:
        assert np.isnan(auc(p, score))


@given(
    probabilities, binary_scores, holes, st.permutations(range(SHAPE[0])), st.permutations(range(SHAPE[1]))
)
def test_order_of_queries_and_llms_does_not_matter(p, score, hole, queries, llms):
    score = np.where(hole, np.nan, score)
    shuffled = np.ix_(queries, llms)
    for metric in (log_loss, brier, auc, ece):
        assert metric(p[shuffled], score[shuffled]) == pytest.approx(metric(p, score), nan_ok=True)


@given(binary_scores)
def test_perfect_prediction(score):
    assert brier(score, score) == 0
    assert ece(score, score) == 0
    assert log_loss(score, score) == pytest.approx(0, abs=1.1e-6)  # not 0, for p is clipped at 1e-6
    if 0 < score.mean() < 1:
        assert auc(score, score) == 1
        assert auc(1 - score, score) == 0


def test_a_sure_mistake_costs_what_the_clip_says():
    assert log_loss(np.array([[0.0]]), np.array([[1.0]])) == pytest.approx(-np.log(1e-6))


@given(probabilities, arrays(np.float64, SHAPE, elements=st.floats(0, 1)))
def test_graded_log_loss_is_smallest_at_the_score_itself(p, score):
    assert log_loss(score, score) <= log_loss(p, score) + 2e-6


def test_log_loss_with_trials_is_the_mean_over_answers():
    p = np.array([[0.3, 0.8]])
    answers = np.array([[1.0], [0.0], [0.0], [1.0]])  # three of the first LLM, one of the second
    per_answer = log_loss(np.array([[0.3], [0.3], [0.3], [0.8]]), answers)
    assert log_loss(p, np.array([[1 / 3, 1.0]]), np.array([[3, 1]])) == pytest.approx(per_answer)


def test_auc_counts_ties_half_and_leaves_out_graded_cells():
    assert auc(np.full((2, 3), 0.4), np.array([[1.0, 0, 1], [0, 0, 1]])) == 0.5
    p = np.array([[0.9, 0.1, 0.0]])
    assert auc(p, np.array([[1.0, 0.0, 0.7]])) == 1.0


@given(probabilities, binary_scores)
def test_auc_sees_only_the_order(p, score):
    assert auc(p**3, score) == pytest.approx(auc(p, score), nan_ok=True)


@given(probabilities, binary_scores, st.integers(1, 30))
def test_ece_is_the_reliability_curve_and_at_least_the_bias(p, score, bins):
    curve = reliability_curve(p, score, bins)
    assert curve.count.sum() == p.size
    full = curve.count > 0
    gap = np.abs(curve.mean_p - curve.mean_score)[full]
    assert ece(p, score, bins) == pytest.approx((gap * curve.count[full]).sum() / p.size)
    assert ece(p, score, bins) >= abs((p - score).mean()) - 1e-12
    edges = np.arange(bins + 1) / bins
    assert (curve.mean_p[full] >= edges[:-1][full] - 1e-12).all()
    assert (curve.mean_p[full] <= edges[1:][full] + 1e-12).all()


def test_certainty_belongs_to_the_last_bin():
    assert reliability_curve(np.array([[0.0, 1.0]]), np.array([[0.0, 1.0]]), 15).count[[0, 14]].tolist() == [
        1,
        1,
    ]


def test_nothing_observed_and_impossible_predictions_are_errors():
    with pytest.raises(InputError, match="no observed score"):
        log_loss(np.full((1, 1), 0.5), np.full((1, 1), np.nan))
    with pytest.raises(ValueError, match="p must lie in"):
        brier(np.array([[1.5]]), np.array([[1.0]]))
    with pytest.raises(ValueError, match="p must lie in"):
        brier(np.array([[np.nan]]), np.array([[1.0]]))


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.5, 0.3), (2.0, -1.0)])
def test_calibration_slope_recovers_the_truth(slope, intercept):
    # Graded scores equal to the true probability leave no noise: recovery is exact.
    p = sigmoid(np.linspace(-4, 4, 60)).reshape(6, 10)
    line = calibration_slope(p, sigmoid(intercept + slope * logit(p)))
    assert (line.slope, line.intercept) == pytest.approx((slope, intercept), abs=1e-6)


def test_calibration_slope_of_binary_scores_is_within_its_standard_error():
    # The estimate has a standard error of 0.02; 4 of them fail by chance in 6 of 100,000 seeds.
    rng = np.random.default_rng(1)
    p = sigmoid(rng.normal(size=(500, 40)))
    score = (rng.random(p.shape) < sigmoid(0.7 * logit(p))).astype(float)
    assert calibration_slope(p, score).slope == pytest.approx(0.7, abs=4 * 0.02)


@given(probabilities, binary_scores, st.floats(0.3, 3.0))
def test_calibration_slope_undoes_sharpening(p, score, factor):
    # Sharper predictions (logits times a factor) have a slope smaller by the same factor.
    p = 0.1 + 0.8 * p
    line, sharper = calibration_slope(p, score), calibration_slope(sigmoid(factor * logit(p)), score)
    if not np.isnan(line.slope) and abs(line.slope) < 20:
        assert sharper.slope * factor == pytest.approx(line.slope, abs=1e-4)
        assert sharper.intercept == pytest.approx(line.intercept, abs=1e-4)


@pytest.mark.parametrize(
    ("p", "score"),
    [
        ([[0.5, 0.5]], [[0.0, 1.0]]),  # nothing to regress on
        ([[0.2, 0.8]], [[0.0, 1.0]]),  # separated
        ([[0.2, 0.8]], [[1.0, 0.0]]),  # separated the other way round
        ([[0.2, 0.8]], [[1.0, 1.0]]),  # right answers only
    ],
)
def test_calibration_slope_without_a_finite_maximum_is_nan(p, score):
    line = calibration_slope(np.array(p), np.array(score))
    assert np.isnan(line.slope)
    assert np.isnan(line.intercept)


def test_replicated_ece_has_the_right_level():
    # Data from the model itself exceed the 95th percentile of the reference in 5 % of the cases. 200 cases:
    # the count is Binomial(200, about 0.05); outside 1 ... 22 it falls with probability below 0.0003.
    rng = np.random.default_rng(2)
    exceeded = 0
    for _ in range(200):
        conditional, p = with_residual(rng, draws=100, queries=25, llms=30, residual=2.0)
        mask = rng.random(p.shape) < 0.8
        truth = conditional[0]  # one more draw of the same model, kept out of the reference
        score = np.where(mask, (rng.random(p.shape) < truth).astype(float), np.nan)
        reference = replicated_ece(conditional[1:], mask, rng, p=p)
        exceeded += ece(p, score) > np.quantile(reference, 0.95)
    assert 1 <= exceeded <= 22


def test_shared_residuals_widen_the_reference():
    # The ratio of the medians is about 1.42 with a standard error of 0.03: 1.2 is seven of them away.
    rng = np.random.default_rng(3)
    conditional, p = with_residual(rng, draws=400, llms=40, residual=2.0)
    mask = np.ones(p.shape, dtype=bool)
    shared = replicated_ece(conditional, mask, rng, p=p)
    independent = replicated_ece(p[None], mask, rng, replications=400)
    assert shared.shape == independent.shape == (400,)
    assert np.median(shared) > 1.2 * np.median(independent)


def test_more_trials_leave_less_noise_in_the_reference():
    rng = np.random.default_rng(4)
    p = np.full((1, 20, 10), 0.5)
    mask = np.ones((20, 10), dtype=bool)
    one = replicated_ece(p, mask, rng, replications=200)
    many = replicated_ece(p, mask, rng, replications=200, trials=np.full((20, 10), 25))
    # One bin only: ECE is the absolute error of a mean, smaller by the root of the number of trials, 5;
    # the ratio's standard error is about 10 %, so outside 3 ... 8 it falls about once in a million seeds.
    assert 3 < one.mean() / many.mean() < 8


def test_replicated_accuracy_ignores_what_was_not_asked():
    rng = np.random.default_rng(5)
    p = np.stack([np.array([[1.0, 0.0, 0.5], [0.0, 0.0, 0.5]])] * 3)
    mask = np.array([[True, True, False], [False, True, False]])
    accuracy = replicated_accuracy(p, mask, rng)
    assert accuracy[:, :2].tolist() == [[1.0, 0.0]] * 3
    assert np.isnan(accuracy[:, 2]).all()


def test_graded_scores_are_replicated_with_their_own_variance():
    rng = np.random.default_rng(7)
    p = np.full((1, 4000, 2), 0.3)
    graded = GradedScores(np.arange(4000) < 3000, np.array([9.0]))
    y = replicate(p, 0, None, rng, graded)
    assert set(np.unique(y[3000:])) == {0.0, 1.0}
    assert (np.abs(100 * y[:3000] - np.round(100 * y[:3000])) < 1e-9).all()
    # Var = p (1 - p) (1 / N + (1 - 1 / N) / (k + 1)) = 0.0229; standard errors of mean and variance over 6,000 scores are 0.002 and
    # about 2.5 %, so outside these limits they fall in fewer than one in 10,000 seeds.
    assert y[:3000].mean() == pytest.approx(0.3, abs=0.008)
    assert y[:3000].var() == pytest.approx(0.21 * (0.01 + 0.99 / 10), rel=0.1)
    # The mean of four graded answers has a quarter of the beta's variance.
    many = replicate(p, 0, np.full((4000, 2), 4), rng, graded)
    assert many[:3000].var() == pytest.approx(0.21 * (0.01 + 0.99 / 40), rel=0.1)


def test_coverage_of_replicated_accuracy_is_nominal():
    # 60 data sets of 8 LLMs from the model itself. Accuracies are discrete, which adds about 0.02 to the
    # nominal 0.8; the standard error over data sets is 0.017. Outside 0.75 ... 0.89 it falls by chance in
    # about 6 of 100,000 seeds.
    rng = np.random.default_rng(6)
    inside = []
    for _ in range(60):
        conditional, p = with_residual(rng, draws=200, queries=100)
        score = (rng.random(p.shape) < conditional[0]).astype(float)
        replicated = replicated_accuracy(conditional[1:], np.ones(p.shape, dtype=bool), rng)
        inside.append(coverage_replicated_accuracy(replicated, score, level=0.8).mean())
    assert 0.75 < np.mean(inside) < 0.89


def test_coverage_has_one_entry_per_llm_with_scores():
    replicated = np.array([[0.4, 0.5, np.nan], [0.6, 0.5, np.nan]])
    score = np.array([[0.5, 1.0, np.nan]])
    assert coverage_replicated_accuracy(replicated, score, 0.5).tolist() == [True, False]


@given(
    arrays(np.float64, (9, 3), elements=st.floats(0, 1)), arrays(np.float64, (5, 3), elements=st.floats(0, 1))
)
def test_crps_is_its_definition(replicated, score):
    accuracy = score.mean(axis=0)
    error = np.abs(replicated - accuracy).mean(axis=0)
    spread = np.abs(replicated[:, None] - replicated[None]).mean(axis=(0, 1))
    crps = crps_replicated_accuracy(replicated, score)
    assert crps == pytest.approx(error - spread / 2, abs=1e-12)
    assert (crps >= -1e-12).all()


def test_crps_of_a_sure_forecast_is_its_absolute_error_and_missing_llms_are_nan():
    replicated = np.full((50, 2), 0.7)
    score = np.array([[1.0, np.nan], [0.0, np.nan]])
    crps = crps_replicated_accuracy(replicated, score)
    assert crps[0] == pytest.approx(0.2)
    assert np.isnan(crps[1])
