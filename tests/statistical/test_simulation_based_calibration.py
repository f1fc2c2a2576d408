"""Simulation-based calibration: averaged over data drawn from the prior, the posterior is the prior.

Error rate: each test on ranks that ought to be uniform raises a false alarm with probability ERROR_RATE, over
all its quantities (Holm), if its seed were drawn anew. The tests of power need no such rate: what they must
find is far off.
"""

import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.nuts import NUTS
from bayes_irt_router.inference.random_bank import random_bank
from bayes_irt_router.inference.rank_uniformity import SPREAD, ecdf_envelope, rank_uniformity
from bayes_irt_router.inference.simulation_calibration import ranks, simulation_based_calibration
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.irt.priors import LOG_SD

ERROR_RATE = 0.004  # two tests of calibration: 0.8 % together
SAMPLER = NUTS(draws=500, tune=500, chains=1)
KEPT = 50


def uniformity(truth, value, seed=0):
    rng = np.random.default_rng(seed)
    return rank_uniformity(ranks(truth, value, rng), value.sizes["draw"], rng, error_rate=ERROR_RATE)


def autocorrelation(value):
    """Of neighbouring kept draws, by quantity; the mean over the replications of mean 0."""
    x = value.values - value.values.mean(axis=1, keepdims=True)
    return (x[:, 1:] * x[:, :-1]).sum(axis=(0, 1)) / (x**2).sum(axis=(0, 1))


def check_draws(result):
    """The sampler's own complaints, so that a failure of calibration can be told from a failure of sampling."""
    assert autocorrelation(result["value"]).max() < 0.3  # the kept draws are nearly independent
    assert result["divergent"].mean() < 0.02
    assert np.isfinite(result["value"]).all()


@pytest.fixture(scope="module")
def calibration():
    """128 data sets of 30 queries x 8 LLMs, right or wrong, two traits."""
    data = random_bank(np.random.default_rng(1))
    return simulation_based_calibration(
        MIRT(traits=2), data, 128, sampler=SAMPLER, keep_draws=KEPT, seed=2, progress=False
    )


@pytest.mark.slow
def test_ranks_are_uniform(calibration):
    check_draws(calibration)
    sorts = set(calibration["sort"].values)
    assert {"cell, fitted query", "cell, unseen query", "LLM mean", "A Cov(theta) A'", "difficulty"} <= sorts
    assert {"log likelihood", "discrimination_mean", "difficulty_residual_sd"} <= sorts
    result = uniformity(calibration["truth"], calibration["value"])
    assert result.passed, result.failures.to_string()


@pytest.mark.slow
def test_ranks_are_uniform_with_everything_the_model_offers():
    """Graded scores, repeated trials, missing cells, unanswered queries, three traits, tasks, families, a covariate."""
    rng = np.random.default_rng(3)
    data = random_bank(rng, queries=24, llms=8, tasks=4)
    trials = rng.integers(0, 4, data["score"].shape)
    trials[-2:] = 0
    score = np.zeros(trials.shape)
    score[::3] = 0.3  # no count of right answers among up to 3 gives it: these queries are graded
    data = data.assign(
        trials=(("query", "llm"), trials), score=(("query", "llm"), np.where(trials > 0, score, np.nan))
    ).assign_coords(
        family=("llm", np.array(list("aaabbccd"), dtype=object)),
        parameters_billion=("llm", np.array([1.0, 2.0, 4.0, 8.0, 16.0, 70.0, 7.0, np.nan])),
    )
    model = MIRT(traits=3, families=True, covariates=("log_parameters",))
    result = simulation_based_calibration(
        model, data, 64, sampler=SAMPLER, keep_draws=KEPT, seed=4, progress=False
    )
    check_draws(result)
    assert {"family_sd", "testlet_sd", "covariate_weight", "score_precision", "predicted cell"} <= set(
        result["sort"].values
    )
    judged = uniformity(result["truth"], result["value"])
    assert judged.passed, judged.failures.to_string()


def reweighted(value, log_weight, seed=0):
    """Draws from the density times exp(log_weight), by resampling."""
    rng = np.random.default_rng(seed)
    weight = np.exp(log_weight - log_weight.max("draw"))
    weight = (weight / weight.sum("draw")).values
    chosen = np.stack([rng.choice(len(w), len(w), p=w) for w in weight])
    return value.copy(data=np.take_along_axis(value.values, chosen[:, :, None], axis=1))


@pytest.mark.slow
@pytest.mark.parametrize("sort", ["difficulty_residual_sd", "discrimination_residual_sd"])
def test_a_wrong_prior_is_found(calibration, sort):
    """As if the code's log-normal prior had its median two SDs of the log lower: the density tilts by a power."""
    value = calibration["value"]
    log_scale = np.log(value.isel(quantity=np.flatnonzero(value["sort"] == sort)[0]))
    wrong = reweighted(value, -2.0 / LOG_SD * log_scale)
    assert not uniformity(calibration["truth"], wrong).passed


@pytest.mark.slow
@pytest.mark.parametrize("power", [0.5, 1.5])
def test_a_wrong_likelihood_is_found(calibration, power):
    """As if every answer counted for half, or for one and a half."""
    value = calibration["value"]
    wrong = reweighted(value, (power - 1.0) * value.sel(quantity="log likelihood: log likelihood"))
    failures = uniformity(calibration["truth"], wrong).failures
    assert "log likelihood" in set(failures["sort"])


def roughly_normal(array):
    """Quantities that have no bounds, or logarithms of what is positive."""
    unbounded = array["sort"].isin(["difficulty", "difficulty_mean", "A Cov(theta) A'"]).values
    positive = np.array([str(sort).endswith("_sd") for sort in array["sort"].values])
    return xr.concat([array[..., unbounded], np.log(array[..., positive])], "quantity")


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.8, 1.25])
def test_posteriors_of_a_wrong_spread_are_found(calibration, spread):
    truth, value = roughly_normal(calibration["truth"]), roughly_normal(calibration["value"])
    centre = value.mean("draw")
    result = uniformity(truth, centre + spread * (value - centre))
    assert SPREAD in set(result.failures["quantity"])


@pytest.mark.slow
@pytest.mark.parametrize("shift", [-0.3, 0.3])
def test_posteriors_that_are_shifted_are_found(calibration, shift):
    truth, value = roughly_normal(calibration["truth"]), roughly_normal(calibration["value"])
    result = uniformity(truth, value + shift * value.std("draw"))
    assert len(result.failures) > len(result.table) / 5


def uniform_ranks(rng, replications, quantities, draws):
    rank = rng.integers(0, draws + 1, (replications, quantities))
    return xr.DataArray(
        rank, dims=("replication", "quantity"), coords={"quantity": [f"q{k}" for k in range(quantities)]}
    )


def test_uniform_ranks_raise_no_more_false_alarms_than_stated():
    """40 tests at 5 %: 8 alarms or more have a probability below 0.1 % (binomial)."""
    rng = np.random.default_rng(0)
    alarms = [
        not rank_uniformity(uniform_ranks(rng, 60, 10, 19), 19, rng, error_rate=0.05).passed
        for _ in range(40)
    ]
    assert sum(alarms) < 8


def test_dependent_quantities_raise_no_false_alarm():
    rng = np.random.default_rng(1)
    rank = uniform_ranks(rng, 100, 1, 49).isel(quantity=np.zeros(30, int))
    assert rank_uniformity(rank, 49, rng, error_rate=0.001).passed


@pytest.mark.parametrize("power", [0.6, 1.6])
def test_ranks_off_to_one_side_are_found_and_named(power):
    rng = np.random.default_rng(2)
    rank = uniform_ranks(rng, 128, 20, 49)
    rank[:, 7] = np.floor(50 * rng.random(128) ** power)
    assert rank_uniformity(rank, 49, rng).failures["quantity"].iloc[0] == "q7"


@pytest.mark.parametrize("shape", [0.7, 1.5])
def test_ranks_that_are_all_a_little_too_wide_or_narrow_are_found(shape):
    rng = np.random.default_rng(3)
    rank = uniform_ranks(rng, 128, 20, 49).copy(
        data=np.floor(50 * rng.beta(shape, shape, (128, 20))).astype(int)
    )
    assert SPREAD in set(rank_uniformity(rank, 49, rng).failures["quantity"])


def test_uniform_ecdfs_leave_the_envelope_as_often_as_stated():
    """2000 ECDFs at 10 %: the share lies within 5 standard errors, and below 10 % as the binomial is discrete."""
    rng = np.random.default_rng(4)
    lower, upper = ecdf_envelope(100, 19, rng, error_rate=0.1)
    rank = rng.integers(0, 20, (2000, 100))
    ecdf = (rank[:, :, None] <= np.arange(19)).mean(axis=1) - np.arange(1, 20) / 20
    outside = ((ecdf < lower - 1e-9) | (ecdf > upper + 1e-9)).any(axis=1).mean()
    assert 0.03 < outside < 0.1 + 5 * np.sqrt(0.09 / 2000)


def test_ranks_break_ties_at_random():
    truth = xr.DataArray(np.zeros((4000, 1)), dims=("replication", "quantity"))
    value = xr.DataArray(np.zeros((4000, 3, 1)), dims=("replication", "draw", "quantity"))
    counts = np.bincount(ranks(truth, value, np.random.default_rng(0)).values.ravel(), minlength=4)
    assert counts.min() > 1000 - 5 * np.sqrt(750)  # five standard deviations


def test_settings_that_do_not_fit_are_refused_together():
    data = random_bank(np.random.default_rng(0))
    sampler = NUTS(draws=100, tune=10, chains=2, backend="nutpie")
    with pytest.raises(InputError) as refused:
        simulation_based_calibration(MIRT(traits=2), data, 1, sampler=sampler, keep_draws=37)
    assert len(refused.value.problems) == 3
