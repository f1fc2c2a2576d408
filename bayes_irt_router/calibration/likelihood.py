"""The likelihood of one LLM's answers at many abilities in every draw, and a Gaussian close to the posterior it makes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import expit, gammaln, logsumexp

from bayes_irt_router.calibration.ability_prior import AbilityPrior
from bayes_irt_router.calibration.answers import Answer, graded_names, scores_and_trials
from bayes_irt_router.calibration.items import Items
from bayes_irt_router.irt.score_distributions import GRADED_STEPS

# Nodes of the Gauss-Hermite rule over an item's own part, up to an SD of so many logits: a probability errs by less than 2e-4.
NODES = ((0.0, 1), (0.6, 3), (1.1, 5), (np.inf, 11))
MARGINAL_NODES = 7  # of the two integrals of which only the ratio counts
NEWTON_STEPS = 25
LONGEST_STEP = 1.5  # prior SDs: far from the mode a full step may overshoot
CONVERGED = 1e-2  # prior SDs; the importance weights see to the rest
BLOCK = 1_000_000  # logits held at once


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was asked and what came back.

    Attributes:
        items: of the asked queries.
        score: mean score of each, in [0, 1].
        trials: number of answers behind each.
        weight: power of the likelihood, see :func:`~bayes_irt_router.calibration.coarsening.chosen_weight`.
    """

    items: Items
    score: Float[np.ndarray, " query"]
    trials: Float[np.ndarray, " query"]
    weight: float = 1.0

    @classmethod
    def of(cls, items: Items, answers: Sequence[Answer], weight: float = 1.0) -> "Evidence":
        """Answers to these items, in their order; a score that no whole number of right answers gives shows its query to be graded."""
        partly = np.isin([answer.query for answer in answers], graded_names(answers))
        return cls(replace(items, graded=items.graded | partly), *scores_and_trials(answers), weight)

    @property
    def size(self) -> int:
        """Number of queries."""
        return len(self.score)

    def of_draws(self, index: Int[np.ndarray, " draw"]) -> "Evidence":
        """The same answers, with the items of these parameter draws."""
        return replace(self, items=self.items.part(index, np.ones(self.size, dtype=bool)))

    def part(self, draws: slice, queries: Bool[np.ndarray, " query"]) -> "Evidence":
        """Some of the answers, with the items of some parameter draws."""
        return replace(
            self,
            items=self.items.part(draws, queries),
            score=self.score[queries],
            trials=self.trials[queries],
        )


def log_likelihood(
    evidence: Evidence, ability: Float[np.ndarray, "draw point trait"]
) -> Float[np.ndarray, "draw point"]:
    """Log likelihood of all answers, as the MIRT has it (binomial, beta-binomial if graded), up to constants, times the weight.

    Each item's own part is integrated out, given the draw and the ability: the logit is normal, and the integral ``G_i(theta, s)`` a
    Gauss-Hermite sum with as many nodes as its SD asks for. Over all draws the logit is skewed: an LLM unlike all others gets to
    know of items what only their tails say. So the answer to one item alone is set right, and what the draws' shared parts
    say of several stays::

        p(y_i | theta, s) = G_i(theta, s) F_i(theta) / N_i(theta)

    ``N_i`` is the mean of the likelihood over a normal logit with the mean and variance that all draws have, ``F_i`` over one with their
    skewness, too (the expansion of Cornish and Fisher, 1938). This is done for single answers that are right or wrong; where
    repeated answers or graded scores tell a logit closely, the expansion would not do.

    Args:
        evidence: the answers.
        ability: points at which the likelihood is wanted, in coordinates common to all draws.
    """
    items = evidence.items
    farthest = np.append(np.quantile(np.abs(ability), 0.9, axis=(0, 1)), 1.0)
    own_sd = np.sqrt(np.einsum("d,qd->q", farthest**2, np.diagonal(items.covariance, axis1=1, axis2=2)))
    nodes = np.array([next(count for limit, count in NODES if sd <= limit) for sd in own_sd], dtype=int)
    single = ~items.graded & (evidence.trials == 1) & np.isin(evidence.score, (0.0, 1.0))
    total = np.zeros(ability.shape[:2])
    step = max(1, BLOCK // max(1, ability.shape[1] * evidence.size))
    for start in range(0, len(ability), step):
        block = slice(start, start + step)
        for answers, precision, likelihood in (
            (single, np.float32, _single_answers),
            (~single, np.float64, _answers_of_any_kind),
        ):
            for _, count in NODES:
                if (group := answers & (nodes == count)).any():
                    part = evidence.part(block, group)
                    mean, variance = part.items.logit_moments(ability[block].astype(precision))
                    total[block] += likelihood(part, _nodes(count, mean, np.sqrt(variance)))
        if items.marginals is not None and single.any():
            part = evidence.part(block, single)
            moments = items.marginals.part(single).logit_moments(ability[block].astype(np.float32))
            total[block] += _single_answers(part, _nodes(MARGINAL_NODES, *moments))
            total[block] -= _single_answers(part, _nodes(MARGINAL_NODES, *moments[:2]))
    return total * evidence.weight


def gaussian_proposal(
    evidence: Evidence, prior: AbilityPrior
) -> tuple[Float[np.ndarray, "draw trait"], Float[np.ndarray, "draw trait trait"]]:
    """Mode and covariance of the ability in every draw, by Newton's method, all draws at once.

    Exact as a Laplace approximation for answers that are right or wrong to items without an own part. An own part shrinks the logit by
    ``1 / sqrt(1 + pi v / 8)``, and a graded score counts as as many right-or-wrong answers as have its variance: good enough for
    a proposal, which importance weights correct.

    Returns:
        In whitened coordinates ``z``, where ``theta = mean + factor z`` of the prior.
    """
    items = evidence.items
    draws, traits = prior.mean.shape
    a = np.matmul(items.mean[:, :, :-1], prior.factor)  # d logit / dz
    count = np.broadcast_to(evidence.trials, a.shape[:2])
    if items.graded.any():
        k = evidence.trials * (items.score_precision[:, None] + 1.0) - 1.0
        count = np.where(items.graded, GRADED_STEPS / (1.0 + (GRADED_STEPS - 1.0) / (k + 1.0)), count)
    count = evidence.weight * count
    z = np.zeros((draws, traits))
    precision = np.broadcast_to(np.eye(traits), (draws, traits, traits))
    for _ in range(NEWTON_STEPS):
        theta = prior.mean + np.einsum("sde,se->sd", prior.factor, z)
        mean, variance = items.logit_moments(theta[:, None, :])
        shrink = 1.0 / np.sqrt(1.0 + np.pi / 8.0 * variance[:, 0])
        p = expit(shrink * mean[:, 0])
        of_prior = prior.precision(z)
        gradient = np.einsum("sq,sqd->sd", count * shrink * (evidence.score - p), a)
        gradient -= of_prior * z
        curvature = count * shrink**2 * p * (1.0 - p)
        precision = np.matmul(np.swapaxes(a * curvature[:, :, None], 1, 2), a) + of_prior[
            :, :, None
        ] * np.eye(traits)
        step = np.linalg.solve(precision, gradient[:, :, None])[:, :, 0]
        length = np.linalg.norm(step, axis=1, keepdims=True)
        z = z + step * np.minimum(1.0, LONGEST_STEP / np.maximum(length, 1e-12))
        if length.max(initial=0.0) < CONVERGED:
            break
    return z, np.linalg.inv(precision)


Nodes = Iterator[tuple[Float[np.ndarray, "draw point query"], float]]


def _nodes(
    count: int,
    mean: Float[np.ndarray, "draw point query"],
    sd: Float[np.ndarray, "draw point query"],
    skewness: Float[np.ndarray, "draw point query"] | None = None,
) -> Nodes:
    """Logits and weights of a Gauss-Hermite rule: of a normal, or of ``x + g / 6 (x^2 - 1)``, standardised, which has the skewness g."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    if skewness is not None:
        sd, bend = sd / np.sqrt(1.0 + skewness**2 / 18.0), skewness / 6.0
    for node, weight in zip(nodes.astype(mean.dtype), weights / weights.sum(), strict=True):
        if count == 1:
            yield mean.copy(), 1.0
        elif skewness is None:
            yield mean + node * sd, float(weight)
        else:
            yield mean + sd * (node + bend * (node**2 - 1.0)), float(weight)


def _single_answers(evidence: Evidence, nodes: Nodes) -> Float[np.ndarray, "draw point"]:
    """Log likelihood of single answers that are right or wrong: the common case, in single precision."""
    sign = (1.0 - 2.0 * evidence.score).astype(np.float32)
    total: Any = 0.0
    for logit, weight in nodes:
        logit *= sign
        np.exp(np.minimum(logit, np.float32(60.0)), out=logit)
        logit += 1.0
        total = total + np.float32(weight) / logit
    result: np.ndarray = np.log(total, out=total).sum(axis=2, dtype=np.float64)
    return result


def _answers_of_any_kind(evidence: Evidence, nodes: Nodes) -> Float[np.ndarray, "draw point"]:
    """Log likelihood of repeated answers and graded scores as well."""
    items, score, trials = evidence.items, evidence.score, evidence.trials
    graded = items.graded
    k = trials[graded] * (items.score_precision[:, None, None] + 1.0) - 1.0
    terms = []
    for logit, weight in nodes:
        term = trials * (score * logit - np.logaddexp(0.0, logit))
        if graded.any():
            term[..., graded] = _graded(logit[..., graded], score[graded], k)
        terms.append(term + np.log(weight))
    return logsumexp(np.stack(terms), axis=0).sum(axis=2)


def _graded(
    logit: Float[np.ndarray, "draw point query"],
    score: Float[np.ndarray, " query"],
    k: Float[np.ndarray, "draw 1 query"],
) -> Float[np.ndarray, "draw point query"]:
    """Log BetaBinomial(100 score; 100, p k, (1 - p) k), as in the MIRT, up to the binomial coefficient."""
    steps = np.round(GRADED_STEPS * score)
    p = np.clip(expit(logit), 1e-4, 1.0 - 1e-4)
    right, wrong = p * k, (1.0 - p) * k
    return (
        gammaln(steps + right)
        - gammaln(right)
        + gammaln(GRADED_STEPS - steps + wrong)
        - gammaln(wrong)
        + gammaln(k)
        - gammaln(GRADED_STEPS + k)
    )
