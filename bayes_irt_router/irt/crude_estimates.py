"""Crude estimates from the margins of the data: where chains start."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from scipy.special import logit


@dataclass(frozen=True)
class CrudeEstimates:
    """Point estimates without a model.

    Attributes:
        difficulty: minus the logit of each query's share of right answers, shape (query,).
        ability: mean 0, SD 1, uncorrelated over the traits, shape (llm, trait). The general ability is the LLM's mean residual
            accuracy, the specific ones are the leading singular vectors of what is left of the residuals within groups of queries.
        group_logit: how far each LLM is above what all do on a group's queries, in logits, shape (group, llm); 0 where it answered none.
    """

    difficulty: Float[np.ndarray, " query"]
    ability: Float[np.ndarray, "llm trait"]
    group_logit: Float[np.ndarray, "group llm"]


def crude_estimates(
    data: xr.Dataset, traits: int, group: Int[np.ndarray, " query"] | None = None
) -> CrudeEstimates:
    """Estimates of difficulty and ability from ``score`` and ``trials`` (query, llm).

    Args:
        data: missing scores are allowed.
        traits: dimensions of ability, less than the number of LLMs.
        group: on which LLMs have levels of their own, numbers from 0; None: all queries are one.
    """
    observed = data["trials"].values > 0
    score = np.nan_to_num(data["score"].values)
    answers = observed.sum(axis=1)
    share = (score.sum(axis=1) + 0.5) / (answers + 1.0)

    residual = np.where(observed, score - share[:, None], 0.0)
    general = residual.sum(axis=0) / np.maximum(observed.sum(axis=0), 1)
    member = np.eye(1 if group is None else group.max() + 1)[
        np.zeros(len(score), dtype=int) if group is None else group
    ].T
    count, right, expected = member @ observed, member @ score, member @ (observed * share[:, None])
    level = (member @ residual) / np.maximum(count, 1.0)
    specific = np.linalg.svd(residual - np.where(observed, member.T @ level, 0.0), full_matrices=False)[2]
    directions = np.vstack([general, specific[: traits - 1]])
    directions = directions - directions.mean(axis=1, keepdims=True)
    frame, triangle = np.linalg.qr(directions.T)
    ability = frame * np.where(np.diag(triangle) < 0, -1.0, 1.0) * np.sqrt(score.shape[1])
    above = logit((right + 0.5) / (count + 1.0)) - logit((expected + 0.5) / (count + 1.0))
    return CrudeEstimates(-logit(share), ability, above)
