"""Item response functions: from ability and item parameters to the probability of a correct answer. NumPy only."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float, Float32
from scipy.special import expit

from bayes_irt_router.data.feature_map import TASK_SHARE
from bayes_irt_router.irt.testlets import task_probability

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
    """What the features say of unseen queries' item parameters: normals, for every draw of the hyperparameters.

    Difficulty and the discriminations' residuals are independent, but that the specific traits' residuals are regressed on the
    general trait's: ``r_1 = sd_1 eta_1``, ``r_d = sd_d eta_d + slope_d r_1``.

    Attributes:
        difficulty_mean: shape (draw, query).
        difficulty_sd: shape (draw, query).
        discrimination_mean: shape (draw, query, trait); behind the model's traits stand the testlets, if it has them: see
            :func:`abilities`.
        discrimination_sd: shape (draw, query, trait), of what the general trait's residual leaves; 0 for testlets.
        discrimination_slope: shape (draw, trait); 0 for the general trait and for testlets.
    """

    difficulty_mean: Float32[np.ndarray, "draw query"]
    difficulty_sd: Float32[np.ndarray, "draw query"]
    discrimination_mean: Float32[np.ndarray, "draw query trait"]
    discrimination_sd: Float32[np.ndarray, "draw query trait"]
    discrimination_slope: Float32[np.ndarray, "draw trait"]

    def tilted(self, ability: Float32[np.ndarray, "draw llm trait"]) -> Float32[np.ndarray, "draw llm trait"]:
        """Abilities as the independent parts of the residuals meet them: ``theta_1 + slope . theta``, and the others as they are.

        With these, ``Var(a . theta - b) = Var(b) + sum_d sd_d^2 tilted_d^2``.
        """
        tilted = ability.copy()
        tilted[:, :, 0] += np.einsum("sjd,sd->sj", ability, self.discrimination_slope)
        return tilted

    def mean_covariance(
        self, rotations: Float[np.ndarray, "draw trait trait"]
    ) -> Float[np.ndarray, "query trait trait"]:
        """The discriminations' residual covariance in the coordinates ``a R``, its mean over draws."""
        # r = eta' diag(sd) B with the rows of B those of the identity, but the first (1, slope_2, ..., slope_D).
        basis = np.tile(np.eye(rotations.shape[1]), (len(rotations), 1, 1))
        basis[:, 0] += self.discrimination_slope
        basis = basis @ rotations
        outer = basis[:, :, :, None] * basis[:, :, None, :]  # (draw, residual, trait, trait)
        result: np.ndarray = np.tensordot(self.discrimination_sd**2, outer, axes=([0, 2], [0, 1]))
        return result / len(rotations)


def abilities(draws: xr.Dataset) -> Float32[np.ndarray, "draw llm trait_or_testlet"]:
    """Everything that a discrimination is multiplied by: the traits, and behind them the testlet effects, if the model has them.

    A testlet effect is an ability that only queries of its task ask for: ``a . theta + P(t | x) v`` is one product. So whatever is
    written for traits serves testlets, too.
    """
    ability = _flat(draws["ability"].transpose("chain", "draw", "llm", "trait"))
    if "testlet_effect" not in draws:
        return ability
    effect = draws["testlet_effect"].transpose("chain", "draw", "llm", "testlet")
    return np.concatenate([ability, _flat(effect)], axis=2)


def item_distribution(
    draws: xr.Dataset,
    features: Float[np.ndarray, "query feature"],
    novelty: Float[np.ndarray, " query"],
    unseen: Float[np.ndarray, " query"],
) -> ItemDistribution:
    """The item parameters of unseen queries, given their features, for every posterior draw of the MIRT.

    Args:
        draws: the posterior, dims (chain, draw, ...); the result runs over chains and draws, flattened in this order.
        features: phi(x) of the queries, as the feature map gives it.
        novelty: of the queries, in [0, 1].
        unseen: probability that a query is of no task seen, as the feature map gives it: what such a task's effects are multiplied by.
            Whether one query is of such a task tells nothing of another, so two queries share ``u_i u_j`` of the effects' variance, and
            what is left of a query's own ``u_i`` stays in its novelty.
    """
    features, unseen = features.astype(np.float32), unseen.astype(np.float32)
    traits = draws.sizes["trait"]
    mean_a = np.einsum("std,qd->sqt", _flat(draws["discrimination_weight"]), features, optimize=True)
    mean_a[:, :, 0] += _flat(draws["discrimination_mean"])[:, None]
    mean_b = _flat(draws["difficulty_weight"]) @ features.T + _flat(draws["difficulty_mean"])[:, None]

    residual_b, kernel_b = _flat(draws["difficulty_residual_sd"]), _flat(draws["difficulty_kernel_sd"])
    residual_a, kernel_a = (
        _each_trait(draws[f"discrimination_{name}_sd"], traits) for name in ("residual", "kernel")
    )
    novelty = novelty.astype(np.float32)
    loadings = np.zeros((len(features), 0), dtype=np.float32)
    if "testlet_effect" in draws:
        place = {str(name): k for k, name in enumerate(draws["feature"].values)}
        columns = [place[str(name)] for name in draws["testlet"].values[:-1]]
        probability = task_probability(features[:, columns])
        loadings = np.column_stack([probability, unseen]).astype(np.float32)
    if "unseen_difficulty" in draws:
        # What phi misses of a query for being of no task seen is an effect that such queries share, in every draw.
        share = np.float32(np.sqrt(TASK_SHARE)) * unseen
        mean_b += share * _flat(draws["unseen_difficulty"])[:, None]
        mean_a += share[:, None] * _flat(draws["unseen_discrimination"])[:, None, :]
        novelty = np.maximum(novelty - share**2, np.float32(0.0))
    sd_a = np.sqrt(residual_a**2 + kernel_a**2 * novelty[:, None])
    slope = np.zeros((len(mean_a), traits + loadings.shape[1]), dtype=np.float32)
    if "discrimination_residual_slope" in draws:
        slope[:, 1:traits] = _flat(draws["discrimination_residual_slope"])
    loadings = np.broadcast_to(loadings, (len(mean_a), *loadings.shape))
    return ItemDistribution(
        mean_b,
        np.sqrt(residual_b[:, None] ** 2 + kernel_b[:, None] ** 2 * novelty),
        np.concatenate([mean_a, loadings], axis=2),
        np.concatenate([sd_a, np.zeros_like(loadings)], axis=2),
        slope,
    )


def expected_p_correct(
    ability: Float32[np.ndarray, "draw llm trait"], items: ItemDistribution
) -> Float32[np.ndarray, "draw query llm"]:
    """E[sigmoid(a . theta - b)] over the residuals of a and b, for every draw of everything else.

    Given the draw, the logit of one LLM on one query is normal with mean ``E[a] . theta - E[b]`` and the variance that
    :meth:`ItemDistribution.tilted` tells of; the integral is a Gauss-Hermite sum.
    """
    mean = items.discrimination_mean @ np.swapaxes(ability, 1, 2) - items.difficulty_mean[:, :, None]
    along = np.swapaxes(items.tilted(ability) ** 2, 1, 2)
    variance = items.discrimination_sd**2 @ along + items.difficulty_sd[:, :, None] ** 2
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
    residual = items.discrimination_sd * eta
    residual += items.discrimination_slope[:, None, :] * residual[:, :, :1]
    return (
        items.discrimination_mean + residual,
        items.difficulty_mean + items.difficulty_sd * eps,
    )


def _each_trait(sd: xr.DataArray, traits: int) -> Float32[np.ndarray, "draw 1 trait"]:
    """An SD for each trait, from one for all of them, or one for the general and one for the specific traits."""
    flat = _flat(sd)
    if flat.ndim == 2:
        return flat[:, None, np.minimum(np.arange(traits), 1)]
    return np.repeat(flat[:, None, None], traits, axis=2)


def _flat(values: xr.DataArray) -> Float32[np.ndarray, "draw ..."]:
    """(chain, draw, ...) to (chain * draw, ...)."""
    return values.values.reshape(-1, *values.shape[2:]).astype(np.float32)
