"""The population that LLMs are drawn from: values of which a model uses only what is left when they are centred, or standardised.

Centre standard normal values of J LLMs, or standardise them by mean and Cholesky factor of their covariance, and what is left, ``U``, is
independent of the mean ``m`` and the covariance ``C`` that were taken away. A likelihood that reads only ``U`` therefore leaves these as
they were. But a sampler must walk through them: given ``m`` and ``C``, thousands of answers tell an LLM's raw value to hundredths, while
``m`` and ``C`` themselves vary by ``1 / sqrt(J)``. So steps are short where LLMs are few. The density of the raw values may be multiplied
by any function of ``m`` and ``C`` alone: ``U`` keeps its distribution, prior and posterior. Here that is ::

    exp(-(|m|^2 + |C - I|^2) / (2 g^2))            (standardised)
    exp(-(|r|^2 + |c|^2) / (2 g^2))                (centred over rows and LLMs, of which r and c are the main effects),    g = 0.05

after which the raw values vary about as much as the data leave open (`benchmarks/README.md` has the effective draws with and without).
Where a new LLM's prior needs the covariance of the population, it is drawn on its own, from the Wishart distribution that it has.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from bayes_irt_router.irt.score_distributions import constant

NARROW = 0.05  # g: about the SD of an ability that thousands of answers tell


def standardised_logp(raw: Any, shape: Any) -> Any:
    """Log density, up to a constant, of standard normal ``raw``, dims (trait, llm), narrowed in its means and covariance over LLMs."""
    import pytensor.tensor as pt

    mean = raw.mean(axis=1)
    apart = raw - raw.mean(axis=1, keepdims=True)
    covariance = apart @ apart.T / raw.shape[1]
    away = ((covariance - pt.eye(raw.shape[0])) ** 2).sum()
    return -0.5 * (raw**2).sum() - ((mean**2).sum() + away) / (2 * NARROW**2)


@dataclass(frozen=True)
class DoubleCentring:
    """Values of rows and LLMs without what a row or an LLM has in common: the residuals of an additive model of some of the cells.

    Where all cells are in, that is ``z_tj - z_t. - z_.j + z_..``. With gaps the main effects ``r_t + c_j`` are those of least squares,
    of least norm where they are not told apart.

    Attributes:
        inside: which cells are centred, dims (row, llm).
        inverse: of the normal equations, dims (row and llm, row and llm).
    """

    inside: Bool[np.ndarray, "row llm"]
    inverse: Float[np.ndarray, "row_and_llm row_and_llm"]

    @classmethod
    def of(cls, inside: Bool[np.ndarray, "row llm"]) -> "DoubleCentring":
        """Of all cells that are to be centred."""
        count = inside.astype(float)
        normal = np.block([[np.diag(count.sum(axis=1)), count], [count.T, np.diag(count.sum(axis=0))]])
        return cls(inside, np.linalg.pinv(normal, hermitian=True))

    def main_effects(self, raw: Any) -> tuple[Any, Any]:
        """``r``, dims (row), and ``c``, dims (llm)."""
        rows, inverse = len(self.inside), constant(self.inverse)
        cells = raw * constant(self.inside.astype(float))
        of_rows, of_llms = cells.sum(axis=1), cells.sum(axis=0)
        return (
            inverse[:rows, :rows] @ of_rows + inverse[:rows, rows:] @ of_llms,
            inverse[rows:, :rows] @ of_rows + inverse[rows:, rows:] @ of_llms,
        )

    def left(self, raw: Any) -> Any:
        """``U`` of ``raw``, dims (row, llm).

        Cells outside stay as they are but for a factor: they vary as new ones do, around main effects that the others leave uncertain.
        """
        rows = len(self.inside)
        of_row, of_llm = self.main_effects(raw)
        variance = np.diag(self.inverse)
        uncertain = variance[:rows, None] + variance[None, rows:] + 2 * self.inverse[:rows, rows:]
        inside = constant(self.inside.astype(float))
        factor = constant(np.where(self.inside, 1.0, np.sqrt(1.0 + uncertain)))
        return raw * factor - (of_row[:, None] + of_llm[None, :]) * inside

    def logp(self, raw: Any, shape: Any) -> Any:
        """Log density, up to a constant, of standard normal ``raw``, dims (row, llm), narrowed in its main effects."""
        of_row, of_llm = self.main_effects(raw)
        away = (of_row**2).sum() + (of_llm**2).sum()
        return -0.5 * (raw**2).sum() - away / (2 * NARROW**2)


def raw_random(shape: np.ndarray, rng: np.random.Generator, size: Any = None) -> np.ndarray:
    """Standard normal values in the shape of an array: ``U`` is as it should be, what is taken away is not narrowed."""
    return constant(rng.standard_normal(shape.shape if size is None else (*size, *shape.shape)))


def frame(traits: int, llms: int) -> Any:
    """The Cholesky factor of the covariance (divisor J) of standard normal values over J LLMs, dims (raw_trait, trait); adds its variables
    to the PyMC model at hand.

    Bartlett's decomposition: ``J C ~ Wishart(J - 1, I)`` has the factor ``A`` with ``A_dd^2 ~ chi^2(J - d)``, d = 1, 2, ..., and standard
    normal entries below.
    """
    import pymc as pm
    import pytensor.tensor as pt

    square = pm.ChiSquared(
        "frame_diagonal_square", constant(llms - 1.0 - np.arange(traits)), dims="raw_trait"
    )
    factor = pt.diag(pt.sqrt(square))
    if traits > 1:
        rows, columns = np.tril_indices(traits, -1)
        below = pm.Normal("frame_below", 0.0, 1.0, shape=len(rows))
        factor = pt.set_subtensor(factor[rows, columns], below)
    return factor * float(llms**-0.5)
