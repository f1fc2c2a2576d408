"""The accuracy that asking the whole bank would measure, given what an LLM has answered: overall and by task."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from bayes_irt_router.calibration.answers import Answer, merged
from bayes_irt_router.calibration.items import ItemBank
from bayes_irt_router.calibration.placing import Placement
from bayes_irt_router.irt.score_distributions import drawn_graded_means


@dataclass(frozen=True)
class Estimate:
    """Posterior mean, SD, and equal-tailed interval holding `level` of the draws."""

    mean: float
    sd: float
    lower: float
    upper: float
    level: float

    @classmethod
    def of(cls, draws: Float[np.ndarray, " draw"], level: float) -> "Estimate":
        """From equal-weight draws."""
        lower, upper = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
        return cls(float(draws.mean()), float(draws.std()), float(lower), float(upper), level)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "mean": self.mean,
            "sd": self.sd,
            "lower": self.lower,
            "upper": self.upper,
            "level": self.level,
        }


def replicated_scores(
    bank: ItemBank, placement: Placement, answers: Sequence[Answer], rng: np.random.Generator
) -> Float[np.ndarray, "draw query"]:
    """Draws of the LLM's scores on all queries that count: those answered as they are, the others replicated.

    A replicated score takes ability, item parameters and the answer's own coin (for graded scores, beta-binomial) from one draw of the
    placement. The accuracy over any queries is the mean of these.
    """
    p = bank.p_correct(placement.index, placement.ability)
    scores = drawn_scores(p, bank.graded[: bank.counted], bank.score_precision[placement.index], rng)
    known = [answer for answer in merged(answers) if bank.positions([answer.query])[0] < bank.counted]
    if known:
        scores[:, bank.positions([answer.query for answer in known])] = [answer.score for answer in known]
    return scores


def drawn_scores(
    p: Float[np.ndarray, "draw query"],
    graded: Bool[np.ndarray, " query"],
    precision: Float[np.ndarray, " draw"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "draw query"]:
    """One score for each probability: right or wrong, or in hundredths, beta-binomial, where the query is graded."""
    scores = (rng.random(p.shape, dtype=np.float32) < p).astype(np.float64)
    if graded.any():
        scores[:, graded] = drawn_graded_means(p[:, graded], 1, precision[:, None], rng)
    return scores


def accuracies(bank: ItemBank, scores: Float[np.ndarray, "draw query"], level: float) -> dict[str, Estimate]:
    """The accuracy over all queries that count (under the name ``""``), and over each task if there are several."""
    found = {"": Estimate.of(scores.mean(axis=1), level)}
    task = np.array(bank.task[: bank.counted])
    names = sorted(set(bank.task[: bank.counted]))
    if len(names) > 1:
        found |= {name: Estimate.of(scores[:, task == name].mean(axis=1), level) for name in names}
    return found
