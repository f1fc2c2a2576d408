"""How simulation-based calibration is judged."""

import numpy as np
import pytest

from bayes_irt_router.inference.rank_uniformity import rank_uniformity
from bayes_irt_router.inference.simulation_calibration import ranks

ERROR_RATE = 0.004  # two tests of calibration: 0.8 % together


@pytest.fixture(scope="session")
def uniformity():
    """Whether ranks of the truth among draws are uniform.

    Error rate: a test on ranks that ought to be uniform raises a false alarm with probability ERROR_RATE, over all its quantities
    (Holm), if its seed were drawn anew.
    """

    def judge(truth, value, seed=0):
        rng = np.random.default_rng(seed)
        return rank_uniformity(ranks(truth, value, rng), value.sizes["draw"], rng, error_rate=ERROR_RATE)

    return judge


@pytest.fixture(scope="session")
def check_draws():
    """The sampler's own complaints, so that a failure of calibration can be told from a failure of sampling."""

    def check(result):
        assert autocorrelation(result["value"]).max() < 0.3  # the kept draws are nearly independent
        assert result["divergent"].mean() < 0.02
        assert np.isfinite(result["value"]).all()

    return check


def autocorrelation(value):
    """Of neighbouring kept draws, by quantity; the mean over the replications of mean 0."""
    x = value.values - value.values.mean(axis=1, keepdims=True)
    return (x[:, 1:] * x[:, :-1]).sum(axis=(0, 1)) / (x**2).sum(axis=(0, 1))
