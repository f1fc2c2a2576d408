"""Simulation-based calibration: averaged over data drawn from the prior, the posterior is the prior.

Error rate: see the fixture `uniformity`. The tests of power need no such rate: what they must find is far off.
"""

import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.nuts import NUTS
from bayes_irt_router.inference.random_bank import random_bank
from bayes_irt_router.inference.rank_uniformity import SPREAD
from bayes_irt_router.inference.simulation_calibration import simulation_based_calibration
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.irt.priors import LOG_SD

SAMPLER = NUTS(draws=500, tune=500, chains=1)
KEPT = 50


@pytest.fixture(scope="module")
def calibration():
    """128 data sets of 30 queries x 8 LLMs, right or wrong, two traits."""
    data = random_bank(np.random.default_rng(1))
    return simulation_based_calibration(
        MIRT(traits=2), data, 128, sampler=SAMPLER, keep_draws=KEPT, seed=2, progress=False
    )


@pytest.mark.slow
def test_ranks_are_uniform(calibration, uniformity, check_draws):
    check_draws(calibration)
    sorts = set(calibration["sort"].values)
    assert {"cell, fitted query", "cell, unseen query", "LLM mean", "A Cov(theta) A'", "difficulty"} <= sorts
    assert {"log likelihood", "discrimination_mean", "difficulty_residual_sd"} <= sorts
    result = uniformity(calibration["truth"], calibration["value"])
    assert result.passed, result.failures.to_string()


def reweighted(value, log_weight, seed=0):
    """Draws from the density times exp(log_weight), by resampling."""
    rng = np.random.default_rng(seed)
    weight = np.exp(log_weight - log_weight.max("draw"))
    weight = (weight / weight.sum("draw")).values
    chosen = np.stack([rng.choice(len(w), len(w), p=w) for w in weight])
    return value.copy(data=np.take_along_axis(value.values, chosen[:, :, None], axis=1))


@pytest.mark.slow
@pytest.mark.parametrize("sort", ["difficulty_residual_sd", "discrimination_residual_sd"])
def test_a_wrong_prior_is_found(calibration, uniformity, sort):
    """As if the code's log-normal prior had its median two SDs of the log lower: the density tilts by a power."""
    value = calibration["value"]
    log_scale = np.log(value.isel(quantity=np.flatnonzero(value["sort"] == sort)[0]))
    wrong = reweighted(value, -2.0 / LOG_SD * log_scale)
    assert not uniformity(calibration["truth"], wrong).passed


@pytest.mark.slow
@pytest.mark.parametrize("power", [0.5, 1.5])
def test_a_wrong_likelihood_is_found(calibration, uniformity, power):
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
def test_posteriors_of_a_wrong_spread_are_found(calibration, uniformity, spread):
    truth, value = roughly_normal(calibration["truth"]), roughly_normal(calibration["value"])
    centre = value.mean("draw")
    result = uniformity(truth, centre + spread * (value - centre))
    assert SPREAD in set(result.failures["quantity"])


@pytest.mark.slow
@pytest.mark.parametrize("shift", [-0.3, 0.3])
def test_posteriors_that_are_shifted_are_found(calibration, uniformity, shift):
    truth, value = roughly_normal(calibration["truth"]), roughly_normal(calibration["value"])
    result = uniformity(truth, value + shift * value.std("draw"))
    assert len(result.failures) > len(result.table) / 5


def test_settings_that_do_not_fit_are_refused_together():
    data = random_bank(np.random.default_rng(0))
    sampler = NUTS(draws=100, tune=10, chains=2, backend="nutpie")
    with pytest.raises(InputError) as refused:
        simulation_based_calibration(MIRT(traits=2), data, 1, sampler=sampler, keep_draws=37)
    assert len(refused.value.problems) == 3
