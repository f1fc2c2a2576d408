"""Item response functions: from ability and item parameters to the probability of a correct answer. NumPy only."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float, Float32
from scipy.special import expit

NODES = 21  # of the Gauss-Hermite rule: the error is below 2e-4 for SDs up to 3 logits, and about 1e-3 at 4


def p_correct(
    ability: Float[np.ndarray, "*draw llm trait"],
    discrimination: Float[np.ndarray, "*draw query trait"],
    difficulty: Float[np.ndarray, "*draw query"],
) -> Float[np.ndarray, "*draw query llm"]:
    """The probability of a correct answer, ``sigmoid(a . theta - b)``, draw by draw.

    >>> p_correct(np.zeros((1, 2)), np.ones((1, 2)), np.zeros(1))
    array([[0.5]])
    """
    logit = np.matmul(discrimination, np.swapaxes(ability, -1, -2))
    logit -= difficulty[..., None]
    return expit(logit, out=logit)


@dataclass(frozen=True)
class ItemDistribution:
    """What the features say of unseen queries' item parameters: independent normals, for every draw of the hyperparameters.

    Attributes:
        difficulty_mean: shape (draw, query).
        difficulty_sd: shape (draw, query).
        discrimination_mean: shape (draw, query, trait).
        discrimination_sd: shape (draw, query, trait).
    """

    difficulty_mean: Float32[np.ndarray, "draw query"]
    difficulty_sd: Float32[np.ndarray, "draw query"]
    discrimination_mean: Float32[np.ndarray, "draw query trait"]
    discrimination_sd: Float32[np.ndarray, "draw query trait"]


def item_distribution(
    draws: xr.Dataset, features: Float[np.ndarray, "query feature"], novelty: Float[np.ndarray, " query"]
) -> ItemDistribution:
    """The item parameters of unseen queries, given their features, for every posterior draw of the MIRT.

    Args:
        draws: the posterior, dims (chain, draw, ...); the result runs over chains and draws, flattened in this order.
        features: phi(x) of the queries, as the feature map gives it.
        novelty: of the queries, in [0, 1].
    """
    features = features.astype(np.float32)
    traits = draws.sizes["trait"]
    mean_a = np.einsum("std,qd->sqt", _flat(draws["discrimination_weight"]), features, optimize=True)
    mean_a[:, :, 0] += _flat(draws["discrimination_mean"])[:, None]
    mean_b = _flat(draws["difficulty_weight"]) @ features.T + _flat(draws["difficulty_mean"])[:, None]

    residual_b, kernel_b = _flat(draws["difficulty_residual_sd"]), _flat(draws["difficulty_kernel_sd"])
    kind = np.minimum(np.arange(traits), 1)  # the specific traits share their SDs
    residual_a = _flat(draws["discrimination_residual_sd"])[:, None, kind]
    kernel_a = _flat(draws["discrimination_kernel_sd"])[:, None, kind]
    novelty = novelty.astype(np.float32)
    return ItemDistribution(
        mean_b,
        np.sqrt(residual_b[:, None] ** 2 + kernel_b[:, None] ** 2 * novelty),
        mean_a,
        np.sqrt(residual_a**2 + kernel_a**2 * novelty[:, None]),
    )


def expected_p_correct(
    ability: Float32[np.ndarray, "draw llm trait"], items: ItemDistribution
) -> Float32[np.ndarray, "draw query llm"]:
    """E[sigmoid(a . theta - b)] over the residuals of a and b, for every draw of everything else.

    Given the draw, the logit of one LLM on one query is normal with mean ``E[a] . theta - E[b]`` and variance
    ``Var(b) + sum_d Var(a_d) theta_d^2``; the integral is a Gauss-Hermite sum.
    """
    swapped = np.swapaxes(ability, 1, 2)
    mean = items.discrimination_mean @ swapped - items.difficulty_mean[:, :, None]
    variance = items.discrimination_sd**2 @ swapped**2 + items.difficulty_sd[:, :, None] ** 2
    return expected_logistic(mean, np.sqrt(variance))


def expected_logistic(
    mean: Float32[np.ndarray, "*shape"], sd: Float32[np.ndarray, "*shape"]
) -> Float32[np.ndarray, "*shape"]:
    """E[sigmoid(x)] for normal x, by Gauss-Hermite quadrature.

    >>> expected_logistic(np.zeros(1, np.float32), np.full(1, 2.0, np.float32)).round(4)
    array([0.5], dtype=float32)
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = (weights / weights.sum()).astype(np.float32)
    total = np.zeros_like(mean)
    for node, weight in zip(nodes.astype(np.float32), weights, strict=True):
        logit = node * sd
        logit += mean
        total += weight * expit(logit, out=logit)
    return total


def drawn_items(
    items: ItemDistribution, rng: np.random.Generator
) -> tuple[Float32[np.ndarray, "draw query trait"], Float32[np.ndarray, "draw query"]]:
    """One discrimination and one difficulty for each draw and query: residuals drawn, to be shared by all LLMs."""
    eta = rng.standard_normal(items.discrimination_mean.shape, dtype=np.float32)
    eps = rng.standard_normal(items.difficulty_mean.shape, dtype=np.float32)
    return (
        items.discrimination_mean + items.discrimination_sd * eta,
        items.difficulty_mean + items.difficulty_sd * eps,
    )


def _flat(values: xr.DataArray) -> Float32[np.ndarray, "draw ..."]:
    """(chain, draw, ...) to (chain * draw, ...)."""
    return values.values.reshape(-1, *values.shape[2:]).astype(np.float32)
