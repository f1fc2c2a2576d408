"""Answers that a model would produce to the very queries that were asked."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from bayes_irt_router.irt.score_distributions import drawn_graded_means


@dataclass(frozen=True, eq=False)
class GradedScores:
    """Which queries have graded scores, and how much these vary around their expectation.

    Attributes:
        queries: shape (query,).
        precision: k of the beta-binomial in each joint draw, shape (draw,); `irt.score_distributions` has its density.
    """

    queries: Bool[np.ndarray, " query"]
    precision: Float[np.ndarray, " draw"]


def replicate(
    p_draws: Float[np.ndarray, "draw query llm"],
    i: int,
    trials: Int[np.ndarray, "query llm"] | None,
    rng: np.random.Generator,
    graded: GradedScores | None = None,
) -> Float[np.ndarray, "query llm"]:
    """New scores given joint draw `i`: the mean of `trials` answers per cell (default one), right or wrong, or graded (beta-binomial)."""
    p = p_draws[i]
    count = np.ones(p.shape, dtype=np.int64) if trials is None else trials
    y = np.asarray(rng.binomial(count, p) / np.maximum(count, 1))
    if graded is not None and graded.queries.any():
        of = graded.queries
        y[of] = drawn_graded_means(p[of], count[of], float(graded.precision[i]), rng)
    return y
