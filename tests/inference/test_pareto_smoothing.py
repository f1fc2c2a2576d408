import numpy as np

from bayes_irt_router.inference.pareto_smoothing import LARGEST_K_HAT, smoothed_weights


def test_heavy_tails_are_told_row_by_row_and_weights_keep_their_order():
    rng = np.random.default_rng(0)
    even, heavy = 0.3 * rng.standard_normal(1000), 3.0 * rng.standard_exponential(1000)
    smoothed, k_hat = smoothed_weights(np.stack([even, heavy, np.zeros(1000)]))
    assert k_hat[0] < 0.5 < LARGEST_K_HAT < k_hat[1]
    assert k_hat[2] == 0.0
    for before, after in zip((even, heavy), smoothed, strict=False):
        assert np.corrcoef(before, after)[0, 1] > 0.95
    np.testing.assert_array_equal(smoothed[2], 0.0)
