"""Crude estimates from the margins of the data: where chains start."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float


@dataclass(frozen=True)
class CrudeEstimates:
    """Point estimates without a model.

    Attributes:
        difficulty: minus the logit of each query's share of right answers, shape (query,).
        ability: mean 0, SD 1, uncorrelated over the traits, shape (llm, trait). The general ability is the LLM's mean residual
            accuracy, the specific ones are the leading singular vectors of what that leaves of the residuals.
    """

    difficulty: Float[np.ndarray, " query"]
    ability: Float[np.ndarray, "llm trait"]


def crude_estimates(data: xr.Dataset, traits: int) -> CrudeEstimates:
    """Estimates of difficulty and ability from ``score`` and ``trials`` (query, llm).

    Args:
        data: missing scores are allowed.
        traits: dimensions of ability, less than the number of LLMs.
    """
    observed = data["trials"].values > 0
    score = np.nan_to_num(data["score"].values)
    answers = observed.sum(axis=1)
    share = (score.sum(axis=1) + 0.5) / (answers + 1.0)

    residual = np.where(observed, score - share[:, None], 0.0)
    general = residual.sum(axis=0) / np.maximum(observed.sum(axis=0), 1)
    specific = np.linalg.svd(residual - np.where(observed, general, 0.0), full_matrices=False)[2]
    directions = np.vstack([general, specific[: traits - 1]])
    directions = directions - directions.mean(axis=1, keepdims=True)
    frame, triangle = np.linalg.qr(directions.T)
    ability = frame * np.where(np.diag(triangle) < 0, -1.0, 1.0) * np.sqrt(score.shape[1])
    return CrudeEstimates(-np.log(share / (1.0 - share)), ability)
