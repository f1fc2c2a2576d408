"""What is believed of a new LLM while questions are being chosen: its particles, what they predict, answers drawn from it."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit

from bayes_irt_router.calibration.accuracy import drawn_scores
from bayes_irt_router.calibration.items import ItemBank, Items
from bayes_irt_router.calibration.placing import Placement
from bayes_irt_router.irt.score_distributions import GRADED_STEPS

PARTICLES = 400
NODES = 7  # of the Gauss-Hermite rule over an item's own part


@dataclass(frozen=True, eq=False)
class Belief:
    """Equal-weight particles, each item's own part integrated out: what is left to vary is what answers can tell of the LLM.

    Attributes:
        index: parameter draw of each particle, shape (particle,).
        ability: in the coordinates common to all draws, shape (particle, trait).
        p_correct: over the whole bank, new queries behind the fitted ones, shape (particle, query).
        noise: variance of one answer to each query given the ability, averaged over the particles, shape (query,).
    """

    index: Int[np.ndarray, " particle"]
    ability: Float[np.ndarray, "particle trait"]
    p_correct: Float[np.ndarray, "particle query"]
    noise: Float[np.ndarray, " query"]

    @property
    def answer_variance(self) -> Float[np.ndarray, " query"]:
        """Predictive variance of one answer to each query."""
        return self.p_correct.var(axis=0) + self.noise

    def conditioned(
        self, i: int, values: Float[np.ndarray, "particle target"]
    ) -> tuple["Belief", Float[np.ndarray, "particle target"]]:
        """Belief and target values with the spread that they will have once query ``i`` has been answered, whatever the answer.

        The linear-Gaussian update of the ensemble square-root filter (Whitaker and Hamill, 2002): every column loses the part that is
        correlated with ``p_i``, so that covariances become ``K - k k' / (K_ii + noise)``, and the means stay.
        """
        centred = self.p_correct[:, i] - self.p_correct[:, i].mean()
        spread, noise = float(centred @ centred) / len(centred), float(self.noise[i])
        total = max(spread + noise, 1e-12)
        reduce = 1.0 / (total * (1.0 + np.sqrt(noise / total)))

        def updated(columns: Float[np.ndarray, "particle column"]) -> Float[np.ndarray, "particle column"]:
            covariance = centred @ (columns - columns.mean(axis=0)) / len(centred)
            return columns - reduce * centred[:, None] * covariance

        p = np.clip(updated(self.p_correct), 1e-4, 1.0 - 1e-4)
        return replace(self, ability=updated(self.ability), p_correct=p), updated(values)


def belief(bank: ItemBank, placement: Placement, particles: int = PARTICLES) -> Belief:
    """Particles of a placement, evenly spaced over its draws."""
    kept = np.linspace(0, len(placement.index) - 1, min(particles, len(placement.index))).round().astype(int)
    index = placement.index[kept]
    ability = np.einsum("sd,sde->se", placement.ability[kept], bank.rotations[index])
    p = bank.expected_p_correct(index, ability)
    noise = (p * (1.0 - p)).mean(axis=0)
    if bank.graded.any():
        # Var(y) = E[Var(y | item)] + Var(E[y | item]). Given the item, a score in hundredths, which is beta-binomial, has this share of
        # the variance p (1 - p) of a right-or-wrong answer; how much the items differ in p is no smaller for graded scores.
        share = (1.0 + (GRADED_STEPS - 1.0) / (bank.score_precision[index, None] + 1.0)) / GRADED_STEPS
        mean = p[:, bank.graded]
        own = _own_variance(bank.integrated(np.flatnonzero(bank.graded)), index, ability)
        noise[bank.graded] = (share * mean * (1.0 - mean) + (1.0 - share) * own).mean(axis=0)
    return Belief(index, ability, p, noise)


def simulated_scores(
    bank: ItemBank,
    belief: Belief,
    particle: int,
    positions: Int[np.ndarray, " query"],
    rng: np.random.Generator,
) -> Float[np.ndarray, " query"]:
    """Scores of an LLM that is as one particle has it, on queries at these positions: their own parts and coins drawn anew."""
    every = np.ones(len(positions), dtype=bool)
    items = bank.integrated(positions).part(belief.index[[particle]], every)
    mean, variance = items.logit_moments(belief.ability[None, [particle]])
    p = expit(mean + np.sqrt(variance) * rng.standard_normal(mean.shape))[0]
    return drawn_scores(p, items.graded, items.score_precision, rng)[0]


def _own_variance(
    items: Items, index: Int[np.ndarray, " particle"], ability: Float[np.ndarray, "particle trait"]
) -> Float[np.ndarray, "particle query"]:
    """Variance of the probability of a right answer over each item's own part."""
    chosen = items.part(index, np.ones(len(items.graded), dtype=bool))
    mean, variance = chosen.logit_moments(ability[:, None, :].astype(np.float32))
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    first, second = np.zeros_like(mean), np.zeros_like(mean)
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        p = expit(mean + np.float32(node) * np.sqrt(variance))
        first += np.float32(weight) * p
        second += np.float32(weight) * p**2
    return np.maximum(second - first**2, 0.0)[:, 0]
