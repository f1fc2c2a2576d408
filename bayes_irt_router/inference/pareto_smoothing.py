"""Pareto-smoothed importance weights, and how far they can be trusted (k-hat)."""

from typing import Any

import numpy as np
from jaxtyping import Float

LARGEST_K_HAT = 0.7  # beyond, the mean of the weights has no useful error (Vehtari et al., 2024)


def smoothed_weights(
    log_weight: Float[np.ndarray, "row point"],
) -> tuple[Float[np.ndarray, "row point"], Float[np.ndarray, " row"]]:
    """Pareto-smoothed log weights and k-hat of each row (Vehtari et al., 2024); equal weights have no tail, and a k-hat of 0."""
    smoothed, k_hat = log_weight.astype(np.float64), np.zeros(len(log_weight))
    uneven = np.ptp(log_weight, axis=1) >= 1e-9
    if uneven.any():
        from arviz_stats.base.array import array_stats  # a second to import

        psislw: Any = array_stats.psislw  # it has no annotations

        # It takes minus the log weight, as it is meant for leaving observations out.
        least = smoothed[uneven].max(axis=1, keepdims=True) - smoothed[uneven]
        smoothed[uneven], k_hat[uneven] = psislw(least, axis=1)
    return smoothed, k_hat
