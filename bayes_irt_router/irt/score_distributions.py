"""What scores are drawn from: binomial where answers are right or wrong, beta-binomial where they are graded."""

from typing import Any

import numpy as np
import xarray as xr

GRADED_STEPS = (
    100  # graded scores count in hundredths: a beta density would not be finite at scores of 0 and 1
)


def graded_queries(data: xr.Dataset) -> np.ndarray:
    """Which queries have a score that no whole number of right answers gives; shape (query,), bool."""
    right = np.nan_to_num(data["score"].values) * data["trials"].values
    return (np.abs(right - np.round(right)) > 1e-6).any(axis=1)


def constant(values: np.ndarray) -> np.ndarray:
    """In the precision that ``pytensor.config.floatX`` says."""
    import pytensor

    return np.asarray(values, dtype=pytensor.config.floatX)


def binomial_mean_logp(score: Any, logit: Any, trials: Any) -> Any:
    """Log Binomial(trials * score; trials, sigmoid(logit)) up to the binomial coefficient, which no parameter enters."""
    import pytensor.tensor as pt

    return trials * (score * logit - pt.softplus(logit))


def binomial_mean_random(logit: Any, trials: Any, rng: np.random.Generator, size: Any = None) -> np.ndarray:
    """Draws of the mean score of that many right-or-wrong answers; 0 where there is none."""
    right = rng.binomial(trials.astype(int), 1.0 / (1.0 + np.exp(-logit)), size)
    return constant(right / np.maximum(trials, 1))


def _mean_precision(precision: Any, trials: Any) -> Any:
    # the mean of n graded answers with variance p (1 - p) / (k + 1) each has the precision n (k + 1) - 1
    return trials * (precision + 1.0) - 1.0


def graded_mean_logp(score: Any, logit: Any, trials: Any, precision: Any) -> Any:
    """Log BetaBinomial(N score; N, p k, (1 - p) k), with N steps from 0 to 1 and k the precision of the mean of ``trials`` answers.

    Up to the binomial coefficient, which no parameter enters; 0 where there is no answer. For inner scores it is close to
    Beta(p k, (1 - p) k), and scores of 0 and 1 have a probability of their own.
    Moving these scores inwards under a beta density instead makes posteriors far too narrow.
    """
    import pytensor.tensor as pt

    k = _mean_precision(precision, pt.maximum(trials, 1.0))
    p = pt.clip(pt.sigmoid(logit), 1e-4, 1.0 - 1e-4)
    right, wrong = p * k, (1.0 - p) * k
    logp = (
        pt.gammaln(GRADED_STEPS * score + right)
        - pt.gammaln(right)
        + pt.gammaln(GRADED_STEPS * (1.0 - score) + wrong)
        - pt.gammaln(wrong)
        + pt.gammaln(k)
        - pt.gammaln(GRADED_STEPS + k)
    )
    return pt.where(trials > 0, logp, 0.0)


def graded_mean_random(
    logit: Any, trials: Any, precision: Any, rng: np.random.Generator, size: Any = None
) -> np.ndarray:
    """Draws of the mean of that many graded scores, in hundredths."""
    return constant(drawn_graded_means(1.0 / (1.0 + np.exp(-logit)), trials, precision, rng, size))


def drawn_graded_means(
    p: np.ndarray, trials: Any, precision: Any, rng: np.random.Generator, size: Any = None
) -> np.ndarray:
    """The same for probabilities: NumPy alone, for prediction."""
    k = _mean_precision(precision, np.maximum(trials, 1.0))
    q = np.clip(p, 1e-4, 1.0 - 1e-4)
    return np.asarray(rng.binomial(GRADED_STEPS, rng.beta(q * k, (1.0 - q) * k, size)) / GRADED_STEPS)
