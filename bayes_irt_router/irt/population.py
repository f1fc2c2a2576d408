"""The population that LLMs are drawn from: values of which a model uses only what is left when they are centred, or standardised.

Centre standard normal values of J LLMs, or standardise them by mean and Cholesky factor of their covariance, and what is left, ``U``, is
independent of the mean ``m`` and the covariance ``C`` that were taken away. A likelihood that reads only ``U`` therefore leaves these as
they were. But a sampler must walk through them: given ``m`` and ``C``, thousands of answers tell an LLM's raw value to hundredths, while
``m`` and ``C`` themselves vary by ``1 / sqrt(J)``. So steps are short where LLMs are few. The density of the raw values may be multiplied
by any function of ``m`` and ``C`` alone: ``U`` keeps its distribution, prior and posterior. Here that is ::

    exp(-|m|^2 / (2 g^2))                          (centred)
    exp(-(|m|^2 + |C - I|^2) / (2 g^2))            (standardised),    g = 0.05

after which the raw values vary about as much as the data leave open (`benchmarks/README.md` has the effective draws with and without).
Where a new LLM's prior needs the covariance of the population, it is drawn on its own, from the Wishart distribution that it has.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from bayes_irt_router.irt.score_distributions import constant

NARROW = 0.05  # g: about the SD of an ability that thousands of answers tell


def centred_logp(raw: Any, share: Any) -> Any:
    """Log density, up to a constant, of standard normal ``raw``, dims (row, llm), narrowed in its means over LLMs.

    ``share``, dims (row, llm), is each LLM's in the mean: 1 / J, or where the mean is over some of the LLMs, 0 for the others.
    """
    mean = (raw * share).sum(axis=-1)
    return -0.5 * (raw**2).sum() - (mean**2).sum() / (2 * NARROW**2)


def centred(raw: Any, share: Float[np.ndarray, "row llm"]) -> Any:
    """``U`` of ``raw``, dims (row, llm): relative to the mean of the LLMs with a share in it.

    An LLM outside the mean of m others is at ``sqrt(1 + 1 / m) raw``: as far from it as a new one would be, whatever the others are.
    """
    inside = share > 0
    mean = (raw * constant(share)).sum(axis=1, keepdims=True)
    scale = np.where(inside, 1.0, np.sqrt(1.0 + share.max(axis=1, keepdims=True)))
    return raw * constant(scale) - mean * constant(inside.astype(float))


def standardised_logp(raw: Any, share: Any) -> Any:
    """The same of ``raw``, dims (trait, llm), narrowed in its means and covariance over LLMs."""
    import pytensor.tensor as pt

    apart = raw - raw.mean(axis=1, keepdims=True)
    covariance = apart @ apart.T / raw.shape[1]
    away = ((covariance - pt.eye(raw.shape[0])) ** 2).sum()
    return centred_logp(raw, share) - away / (2 * NARROW**2)


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
