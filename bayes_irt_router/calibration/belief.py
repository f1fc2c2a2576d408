"""What is believed of a new LLM while questions are being chosen: particles of its ability, and what they predict."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from bayes_irt_router.calibration.items import ItemBank
from bayes_irt_router.calibration.placing import Placement
from bayes_irt_router.irt.score_distributions import GRADED_STEPS

PARTICLES = 400


@dataclass(frozen=True, eq=False)
class Belief:
    """Equal-weight particles, each item's own part integrated out: what is left to vary is what answers can tell of the LLM.

    Attributes:
        ability: in the coordinates common to all draws, shape (particle, trait).
        p_correct: over the whole bank, new queries behind the fitted ones, shape (particle, query).
        noise: variance of one answer to each query given the ability, averaged over the particles, shape (query,).
    """

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
    p = bank.integrated().p_correct(index, ability)
    noise = (p * (1.0 - p)).mean(axis=0)
    if bank.graded.any():
        # Beta-binomial in hundredths: the variance of a score, against that of a right-or-wrong answer.
        k = float(bank.score_precision.mean())
        noise[bank.graded] *= (1.0 + (GRADED_STEPS - 1.0) / (k + 1.0)) / GRADED_STEPS
    return Belief(ability, p, noise)
