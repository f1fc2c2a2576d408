"""The judge of simulation-based calibration: false alarms as often as stated, and what is wrong is found and named."""

import numpy as np
import pytest
import xarray as xr

from bayes_irt_router.inference.rank_uniformity import SPREAD, ecdf_envelope, rank_uniformity
from bayes_irt_router.inference.simulation_calibration import ranks


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
