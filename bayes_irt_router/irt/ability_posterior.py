"""Placing LLMs in a trained NIRT in one pass over their answers: a product of experts, importance-corrected. NumPy only."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from bayes_irt_router.irt.neural_response import logit_slope
from bayes_irt_router.irt.nirt import GENERAL_SHARE, Array, Interaction, Weights, logit

STEPS = 8  # the mean moves by less than 0.01 SDs after six on the answers of a fitted LLM
INFLATION = 1.1  # of the proposal's SDs, for tails a little heavier than the target's
OWN_NODES = 5  # of the Gauss-Hermite rule over a query's own part of the logit: a probability errs by less than 0.001 up to an SD of 1.1


@dataclass(frozen=True, eq=False)
class NormalAbility:
    """A normal distribution of the abilities of one LLM.

    Attributes:
        mean: shape (trait,).
        factor: lower Cholesky factor of the covariance, shape (trait, trait).
    """

    mean: Float[np.ndarray, " trait"]
    factor: Float[np.ndarray, "trait trait"]

    def draw(self, count: int, rng: np.random.Generator) -> Float[np.ndarray, "draw trait"]:
        """Independent draws."""
        return self.mean + rng.standard_normal((count, len(self.mean))) @ self.factor.T


class Answered(NamedTuple):
    """Queries and the answers to them; 0 trials where there is none, and then the score may be anything.

    Attributes:
        at: the queries, their residuals settled; shapes (query, unit, trait), (query, unit).
        score: mean scores, shape (query, llm).
        trials: numbers of answers, shape (query, llm).
    """

    at: Interaction
    score: Float[np.ndarray, "query llm"]
    trials: Float[np.ndarray, "query llm"]


def prior_covariance(traits: int) -> Float[np.ndarray, "trait trait"]:
    """Of the abilities of one LLM: unit variances, correlations of ``GENERAL_SHARE``."""
    return GENERAL_SHARE * np.ones((traits, traits)) + (1.0 - GENERAL_SHARE) * np.eye(traits)


def standard_prior(traits: int) -> NormalAbility:
    """Of an LLM of which nothing is known."""
    return NormalAbility(np.zeros(traits), np.linalg.cholesky(prior_covariance(traits)))


def ability_posteriors(
    weights: Weights,
    output: Array,
    blocks: Callable[[], Iterable[Answered]],
    prior: NormalAbility,
    start: Float[np.ndarray, "llm trait"],
    steps: int = STEPS,
) -> list[NormalAbility]:
    """The set encoder q(ability | answers, queries) of some LLMs: any number of answers in any order, none needed.

    It is a product of experts in closed form, and nothing of it is learned. Every answer is an expert, the Jaakkola-Jordan bound (2000)
    of its likelihood: a Gaussian in the linearised logit ``l + g (theta' - theta)`` of precision ``w = tanh(l / 2) / (2 l)``. Their
    product with the prior ``N(m, C)`` is found anew at its own mean, ``steps`` times::

        P = C^-1 + sum_i n_i w_i g_i g_i',   mean = P^-1 (C^-1 m + sum_i n_i (y_i - 1/2 - w_i (l_i - g_i theta)) g_i)

    and the covariance is the inverse of the curvature at the mean, ``w = p (1 - p)``. So there is nothing to train on simulated
    test-takers; they check it, and the importance weights of :func:`importance_points`, with their k-hat, correct it.

    Args:
        weights: of one network.
        output: ``v``, shape (unit,).
        blocks: gives the queries with their answers, some at a time, so that memory does not grow with them; once for each step.
        prior: of each LLM.
        start: where the means start.
        steps: how often.
    """
    inverse = np.linalg.inv(prior.factor @ prior.factor.T)
    mean = np.array(start, dtype=np.float64)
    llms, traits = mean.shape
    for step in range(steps + 1):
        precision = np.broadcast_to(inverse, (llms, traits, traits)).copy()
        pull = np.broadcast_to(inverse @ prior.mean, (llms, traits)).copy()
        for at, score, trials in blocks():
            found = logit(weights, output, at, mean)
            slope = np.swapaxes(logit_slope(weights, output, at, mean), 0, 1)
            length = np.abs(found) + 1e-6
            bound = np.tanh(length / 2.0) / (2.0 * length)
            p = 1.0 / (1.0 + np.exp(-found))
            weight = trials * (bound if step < steps else p * (1.0 - p))
            precision += np.matmul(np.swapaxes(slope * weight.T[:, :, None], 1, 2), slope)
            known = np.where(trials > 0, score - 0.5, 0.0)
            told = trials * known - weight * (found - np.einsum("jqk,jk->qj", slope, mean))
            pull += np.einsum("qj,jqk->jk", told, slope)
        if step < steps:
            mean = np.linalg.solve(precision, pull[:, :, None])[:, :, 0]
    upper = np.linalg.inv(np.linalg.cholesky(precision))  # L^-1: the covariance is its transpose times it
    factor = np.linalg.cholesky(np.swapaxes(upper, 1, 2) @ upper)
    return [NormalAbility(mean[j], factor[j]) for j in range(llms)]


def ability_posterior(
    weights: Weights,
    output: Array,
    at: Interaction,
    score: Float[np.ndarray, " query"],
    trials: Float[np.ndarray, " query"],
    prior: NormalAbility | None = None,
) -> NormalAbility:
    """:func:`ability_posteriors` of one LLM, from the prior's mean.

    Args:
        weights: of one network.
        output: ``v``, shape (unit,).
        at: the queries answered, their residuals settled; shapes (query, unit, trait), (query, unit).
        score: mean scores; anything where there is none.
        trials: numbers of answers; 0 is no expert.
        prior: of the LLM; :func:`standard_prior` by default.
    """
    prior = prior or standard_prior(at.slope.shape[-1])
    kept = trials > 0
    one = Answered(
        Interaction(at.slope[kept], at.offset[kept]), score[kept, None].astype(np.float64), trials[kept, None]
    )
    return ability_posteriors(weights, output, lambda: [one], prior, prior.mean[None])[0]


def importance_points(
    found: NormalAbility,
    weights: Weights,
    output: Array,
    at: Interaction,
    score: Float[np.ndarray, " query"],
    trials: Float[np.ndarray, " query"],
    count: int,
    rng: np.random.Generator,
    prior: NormalAbility | None = None,
    own_sd: Float[np.ndarray, " query"] | None = None,
) -> tuple[Float[np.ndarray, "point trait"], Float[np.ndarray, " point"]]:
    """Points of a slightly widened ``found``, and their log importance weights towards the exact posterior given the network.

    Args:
        found: the proposal.
        weights: of one network.
        output: ``v``, shape (unit,).
        at: the queries, their residuals settled.
        score: mean scores; anything where there is none.
        trials: numbers of answers.
        count: of points.
        rng: of the points.
        prior: of the LLM; :func:`standard_prior` by default.
        own_sd: SD of each query's logit for what is left unknown of its residuals, which is integrated out; by default nothing is.
    """
    points, log_ratio = proposed_points(found, prior or standard_prior(len(found.mean)), count, rng)
    return points, log_ratio + log_likelihood(weights, output, at, score, trials, points, own_sd)


def proposed_points(
    found: NormalAbility, prior: NormalAbility, count: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "point trait"], Float[np.ndarray, " point"]]:
    """Points of a slightly widened ``found``, and log prior less log proposal, up to a constant."""
    noise = rng.standard_normal((count, len(found.mean)))
    points = found.mean + INFLATION * noise @ found.factor.T
    white = np.linalg.solve(prior.factor, (points - prior.mean).T)
    return points, 0.5 * (noise**2).sum(axis=1) - 0.5 * (white**2).sum(axis=0)


def log_likelihood(
    weights: Weights,
    output: Array,
    at: Interaction,
    score: Float[np.ndarray, " query"],
    trials: Float[np.ndarray, " query"],
    points: Float[np.ndarray, "point trait"],
    own_sd: Float[np.ndarray, " query"] | None = None,
) -> Float[np.ndarray, " point"]:
    """Of one LLM's answers at some abilities, by the network itself; arguments as in :func:`importance_points`."""
    kept = trials > 0
    some = Interaction(at.slope[kept], at.offset[kept])
    score, trials = (values[kept, None].astype(np.float32) for values in (score, trials))
    logits = logit(weights, output, some, points.astype(np.float32))

    def answers(moved: Float[np.ndarray, "query point"]) -> Float[np.ndarray, "query point"]:
        softplus = np.log1p(np.exp(-np.abs(moved))) + np.maximum(moved, 0.0)
        return trials * (score * moved - softplus)

    if own_sd is None:
        return answers(logits).sum(axis=0, dtype=np.float64)
    nodes, shares = np.polynomial.hermite_e.hermegauss(OWN_NODES)
    own = own_sd[kept, None].astype(np.float32)
    terms = [answers(logits + np.float32(node) * own) for node in nodes]
    largest = np.maximum.reduce(terms)  # so that many trials do not underflow
    share = (shares / shares.sum()).astype(np.float32)
    total = sum(part * np.exp(term - largest) for part, term in zip(share, terms, strict=True))
    return (largest + np.log(total)).sum(axis=0, dtype=np.float64)
