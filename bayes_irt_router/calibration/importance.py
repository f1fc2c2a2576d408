"""Sampling an ability in every parameter draw: importance points around each draw's mode, Metropolis steps where they do not do."""

import numpy as np
from jaxtyping import Float, Int
from scipy.special import logsumexp

from bayes_irt_router.calibration.ability_prior import AbilityPrior
from bayes_irt_router.calibration.likelihood import Evidence, gaussian_proposal, log_likelihood

POINTS = 24  # a draw, at least
POINTS_OF_DIM = (
    8  # of those dims that the answers tell of; with few points in many dims weights of draws are noise
)
FROM_PRIOR = 0.2  # share of the points that come from the prior: the tails of few answers are the prior's
INFLATION = 1.15  # of the proposal's SDs: tails a little heavier than the target's
FROM_WIDE, WIDE = (
    0.25,
    4.0,
)  # where the prior has heavy tails: share of points with SDs so many times as large
METROPOLIS_STEPS = 60


def importance_points(
    evidence: Evidence, prior: AbilityPrior, rng: np.random.Generator, of_dim: float = 0.0
) -> tuple[Float[np.ndarray, "draw point trait"], Float[np.ndarray, "draw point"]]:
    """Points of ability in every draw, and their log importance weights.

    The points are antithetic pairs of a Gaussian at the mode and a fifth from the prior; the mixture is the proposal. The mean of a
    draw's weights is its marginal likelihood. The Gaussian's covariance ``S`` is ``(A + H)^-1``, ``A`` the prior's precision
    and ``H`` what the answers add to it. It is inflated to ``S + (g^2 - 1) S H S``: where the answers tell much its SDs are ``g`` times as
    large, where they tell nothing they are the prior's, and such dims (tasks that were not asked of) do not scatter the weights.

    A prior over frames has heavy tails, and so has the posterior of an unusual LLM: then a quarter of the points come from a
    Gaussian that is four times as wide. Otherwise the few points in the tail make the weights of draws noise (where all draws are alike,
    10 to 40 % of them were effective without, and 90 % are with it).

    Args:
        evidence: the answers.
        prior: of the ability.
        rng: of the points.
        of_dim: so many points in a draw for every dim that the answers tell of, ``tr(S H)`` in the mean over draws, but no fewer than
            :data:`POINTS`.

    Returns:
        Points in whitened coordinates ``z``, where ``theta = mean + factor z`` of the prior; log weights.
    """
    mode, covariance = gaussian_proposal(evidence, prior)
    draws, traits = mode.shape
    weighted = covariance * prior.precision(mode)[:, None, :]  # S A
    dims = traits - float(np.trace(weighted, axis1=1, axis2=2).mean())
    count = max(POINTS, round(of_dim * dims))
    inflated = covariance + (INFLATION**2 - 1.0) * (covariance - np.matmul(weighted, covariance))
    proposals = {1.0 - FROM_PRIOR: inflated}
    if prior.heavy:
        wide = inflated.copy()
        wide[:, : prior.free, : prior.free] += (WIDE**2 - 1.0) * covariance[:, : prior.free, : prior.free]
        proposals = {1.0 - FROM_PRIOR - FROM_WIDE: inflated, FROM_WIDE: wide}
    centre = mode[:, None, :]
    of_prior = prior.standard(draws, round(FROM_PRIOR * count), rng)
    drawn, normals = [of_prior], []
    for share, its_covariance in proposals.items():
        factor = np.linalg.cholesky(its_covariance)
        noise = rng.standard_normal((draws, round(share * count / 2), traits))
        spread = np.matmul(noise, np.swapaxes(factor, 1, 2))
        drawn += [centre + spread, centre - spread]
        normals.append((2 * noise.shape[1], factor))
    points = np.concatenate(drawn, axis=1)
    log_prior = prior.log_density(points)
    log_parts = [np.log(of_prior.shape[1]) + log_prior]
    for number, factor in normals:
        whitened = np.matmul(points - centre, np.swapaxes(np.linalg.inv(factor), 1, 2))
        log_volume = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
        log_parts.append(np.log(number) - 0.5 * (whitened**2).sum(axis=2) - log_volume[:, None])
    log_proposal = logsumexp(np.stack(log_parts), axis=0) - np.log(points.shape[1])
    return points, log_likelihood(evidence, unwhitened(prior, points)) + log_prior - log_proposal


def unwhitened(
    prior: AbilityPrior, z: Float[np.ndarray, "draw point trait"]
) -> Float[np.ndarray, "draw point trait"]:
    """``mean + factor z`` in every draw."""
    return prior.mean[:, None, :] + np.matmul(z, np.swapaxes(prior.factor, 1, 2))


def metropolis(
    evidence: Evidence,
    prior: AbilityPrior,
    index: Int[np.ndarray, " draw"],
    z: Float[np.ndarray, "draw trait"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "draw trait"]:
    """Random-walk Metropolis from given points, one chain for each element of `index`, steps shaped by the Gaussian proposal."""
    _, covariance = gaussian_proposal(evidence, prior)
    factor = 2.4 / np.sqrt(z.shape[1]) * np.linalg.cholesky(covariance)[index]
    chosen = evidence.of_draws(index)
    own = prior.of_draws(index)

    def log_target(at: Float[np.ndarray, "draw trait"]) -> Float[np.ndarray, " draw"]:
        return log_likelihood(chosen, unwhitened(own, at[:, None, :]))[:, 0] + own.log_density(at)

    current = log_target(z)
    for _ in range(METROPOLIS_STEPS):
        proposed = z + np.einsum("sde,se->sd", factor, rng.standard_normal(z.shape))
        value = log_target(proposed)
        accepted = np.log(rng.random(len(z))) < value - current
        z = np.where(accepted[:, None], proposed, z)
        current = np.where(accepted, value, current)
    return z


def effective_number(log_weight: Float[np.ndarray, "row point"]) -> Float[np.ndarray, " row"]:
    """``(sum w)^2 / sum w^2`` of each row (Kish).

    >>> effective_number(np.zeros((1, 8))).round(6)
    array([8.])
    """
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    return weight.sum(axis=1) ** 2 / (weight**2).sum(axis=1)


def log_mean(log_weight: Float[np.ndarray, "row point"]) -> Float[np.ndarray, " row"]:
    """Log of the mean weight of each row."""
    largest = log_weight.max(axis=1)
    return largest + np.log(np.exp(log_weight - largest[:, None]).mean(axis=1))


def systematic_resample(
    log_weights: Float[np.ndarray, " point"], count: int, rng: np.random.Generator
) -> Int[np.ndarray, " draw"]:
    """``count`` indices in proportion to the weights, ascending; how often each comes differs from its expectation by less than one."""
    weights = np.exp(log_weights - logsumexp(log_weights))
    positions = (np.arange(count) + rng.random()) / count
    return np.minimum(np.searchsorted(np.cumsum(weights), positions), len(weights) - 1)


def one_each(log_weight: Float[np.ndarray, "row point"], rng: np.random.Generator) -> Int[np.ndarray, " row"]:
    """One point of each row, drawn in proportion to the row's weights."""
    cumulative = np.cumsum(np.exp(log_weight - log_weight.max(axis=1, keepdims=True)), axis=1)
    return np.argmax(cumulative > rng.random((len(cumulative), 1)) * cumulative[:, -1:], axis=1)
