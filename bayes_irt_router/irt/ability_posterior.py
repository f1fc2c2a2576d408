"""Placing an LLM in a trained NIRT in one pass over its answers: a product of experts, importance-corrected. NumPy only."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayes_irt_router.irt.neural_response import logit_slope
from bayes_irt_router.irt.nirt import GENERAL_SHARE, Array, Interaction, Weights, logit

STEPS = 8  # the mean moves by less than 0.01 SDs after six on the answers of a fitted LLM
INFLATION = 1.1  # of the proposal's SDs, for tails a little heavier than the target's


@dataclass(frozen=True, eq=False)
class AbilityPosterior:
    """A normal approximation of p(ability | answers, queries).

    Attributes:
        mean: shape (trait,).
        factor: lower Cholesky factor of the covariance, shape (trait, trait).
    """

    mean: Float[np.ndarray, " trait"]
    factor: Float[np.ndarray, "trait trait"]

    def draw(self, count: int, rng: np.random.Generator) -> Float[np.ndarray, "draw trait"]:
        """Independent draws."""
        return self.mean + rng.standard_normal((count, len(self.mean))) @ self.factor.T


def prior_covariance(traits: int) -> Float[np.ndarray, "trait trait"]:
    """Of the abilities of one LLM: unit variances, correlations of ``GENERAL_SHARE``."""
    return GENERAL_SHARE * np.ones((traits, traits)) + (1.0 - GENERAL_SHARE) * np.eye(traits)


def ability_posterior(
    weights: Weights,
    output: Array,
    at: Interaction,
    score: Float[np.ndarray, " query"],
    trials: Float[np.ndarray, " query"],
    steps: int = STEPS,
    start: Float[np.ndarray, " trait"] | None = None,
) -> AbilityPosterior:
    """The encoder q(ability | answers, queries): any number of answers in any order, none needed.

    Every answer is an expert, the Jaakkola-Jordan bound (2000) of its likelihood: a Gaussian in the linearised logit
    ``l + g (theta' - theta)`` of precision ``w = tanh(l / 2) / (2 l)``. Their product with the prior ``N(0, C)`` is found anew at its
    own mean, ``steps`` times::

        P = C^-1 + sum_i n_i w_i g_i g_i',   mean = P^-1 sum_i n_i (y_i - 1/2 - w_i (l_i - g_i theta)) g_i

    and the covariance is the inverse of the curvature at the mean, ``w = p (1 - p)``. Nothing is learned, so simulated test-takers have
    nothing to train; they check it (the k-hat of :func:`importance_points`, simulation-based calibration).

    Args:
        weights: of one network.
        output: ``v``, shape (unit,).
        at: the queries answered, their residuals settled; shapes (query, unit, trait), (query, unit).
        score: mean scores; anything where there is none.
        trials: numbers of answers; 0 is no expert.
        steps: how often.
        start: where the mean starts; at 0 by default.
    """
    kept = trials > 0
    at = Interaction(np.asarray(at.slope, np.float64)[kept], np.asarray(at.offset, np.float64)[kept])
    score, trials = score[kept], trials[kept]
    traits = at.slope.shape[-1]
    prior = np.linalg.inv(prior_covariance(traits))
    mean, precision = np.zeros(traits) if start is None else start.astype(np.float64), prior
    for step in range(steps + 1):
        found = logit(weights, output, at, mean[None])[:, 0]
        slope = logit_slope(weights, output, at, mean[None])[:, 0]
        if step == steps:
            p = 1.0 / (1.0 + np.exp(-found))
            precision = prior + (slope * (trials * p * (1.0 - p))[:, None]).T @ slope
            break
        length = np.abs(found) + 1e-6
        weight = trials * np.tanh(length / 2.0) / (2.0 * length)
        pull = trials * (score - 0.5) - weight * (found - slope @ mean)
        mean = np.linalg.solve(prior + (slope * weight[:, None]).T @ slope, pull @ slope)
    upper = np.linalg.inv(
        np.linalg.cholesky(precision)
    )  # L^-1, so that the covariance is its transpose times it
    return AbilityPosterior(mean, np.linalg.cholesky(upper.T @ upper))


def importance_points(
    found: AbilityPosterior,
    weights: Weights,
    output: Array,
    at: Interaction,
    score: Float[np.ndarray, " query"],
    trials: Float[np.ndarray, " query"],
    count: int,
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, "point trait"], Float[np.ndarray, " point"]]:
    """Points of a slightly widened ``found``, and their log importance weights towards the exact posterior given the queries."""
    traits = len(found.mean)
    noise = rng.standard_normal((count, traits))
    points = found.mean + INFLATION * noise @ found.factor.T
    log_proposal = -0.5 * (noise**2).sum(axis=1)
    log_prior = -0.5 * np.einsum(
        "pk,kl,pl->p", points, np.linalg.inv(prior_covariance(traits)), points, optimize=True
    )
    kept = trials > 0
    some = Interaction(np.asarray(at.slope)[kept], np.asarray(at.offset)[kept])
    logits = logit(weights, output, some, points.astype(np.float32)).astype(np.float64)
    log_likelihood = trials[kept] @ (score[kept, None] * logits - np.logaddexp(0.0, logits))
    return points, log_likelihood + log_prior - log_proposal
