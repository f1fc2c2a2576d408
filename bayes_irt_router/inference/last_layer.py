"""The posterior of the last layer that difficulty hangs on: Gaussian, given everything else that a network has learned."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float


def level_precision(
    blocks: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]],
    prior_sd: Float[np.ndarray, " input"],
) -> Float[np.ndarray, "input input"]:
    """Precision of the weights ``w`` in ``b_i = x_i . w + s_i zeta_i``, residuals integrated out.

    The answers to query i tell of ``zeta_i`` as one observation of variance ``1 / lambda_i`` would, ``1 + lambda_i`` being the posterior
    precision of ``zeta_i`` with the other residuals marginalised. Of ``x_i . w`` they tell with variance ``s_i^2 (1 + 1 / lambda_i)``::

        precision = diag(1 / prior_sd^2) + sum_i x_i x_i' / (s_i^2 (1 + 1 / lambda_i))

    Args:
        blocks: of queries: what enters the layer, ``x``, shape (query, input); ``s``, shape (query,); the precision of all residuals of
            each query given its answers, shape (query, residual, residual), the first of them difficulty's.
        prior_sd: of the weights.
    """
    found = np.diag(1.0 / prior_sd**2)
    for columns, residual_sd, residual_precision in blocks:
        gained = 1.0 / np.linalg.inv(residual_precision)[:, 0, 0] - 1.0
        lam = np.maximum(gained, 1e-6)
        told = 1.0 / (residual_sd**2 * (1.0 + 1.0 / lam))
        found += (columns * told[:, None]).T @ columns
    return found


def centred_draws(
    precision: Float[np.ndarray, "input input"], count: int, rng: np.random.Generator
) -> Float[np.ndarray, "draw input"]:
    """Draws of ``N(0, precision^-1)``."""
    factor = np.linalg.cholesky(precision)
    return np.linalg.solve(factor.T, rng.standard_normal((len(precision), count))).T
