"""Choices that need no model: the floor to beat (best single, best static, cheapest, random) and the ceiling
(oracle).

Each returns the column index of the chosen LLM per query. Columns are the candidates, in the same order in
train and test.
"""

import numpy as np
from jaxtyping import Float, Int

from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.routing_metrics import dearest_cost
from bayes_irt_router.routing.policies import expected_utility


def best_single(train_score: Float[np.ndarray, "train_query llm"], queries: int) -> Int[np.ndarray, " query"]:
    """The LLM with the highest mean score on train, for every one of `queries` queries; the first of equals.

    Missing scores (NaN) are left out of the mean; an LLM without any is never chosen.

    >>> best_single(np.array([[0.0, 1.0], [1.0, 1.0]]), 3).tolist()
    [1, 1, 1]
    """
    return np.full(queries, _extreme(train_score, largest=True), dtype=np.int64)


def cheapest(train_cost_usd: Float[np.ndarray, "train_query llm"], queries: int) -> Int[np.ndarray, " query"]:
    """The LLM with the lowest mean cost on train, for every query; the first of equals.

    >>> cheapest(np.array([[2.0, 1.0]]), 2).tolist()
    [1, 1]
    """
    return np.full(queries, _extreme(train_cost_usd, largest=False), dtype=np.int64)


def best_static(
    train_score: Float[np.ndarray, "train_query llm"],
    train_cost_usd: Float[np.ndarray, "train_query llm"],
    queries: int,
    *,
    alpha: float,
    scale: float,
) -> Int[np.ndarray, " query"]:
    """The LLM with the highest utility on train, for every query: what routing must beat to be worth it.

    Utility is `alpha * mean score - (1 - alpha) * mean cost / scale`, means as in `best_single`; the first of
    equals. An LLM without a score, or without a cost where cost counts, is never chosen.

    >>> score, cost = np.array([[1.0, 0.75]]), np.array([[4.0, 1.0]])
    >>> [best_static(score, cost, 1, alpha=a, scale=4.0).tolist() for a in (0.9, 0.5)]
    [[0], [1]]
    """
    utility = expected_utility(
        _column_means(train_score)[None, :], _column_means(train_cost_usd)[None, :], alpha=alpha, scale=scale
    )
    return np.full(queries, _extreme(utility, largest=True), dtype=np.int64)


def _column_means(cells: Float[np.ndarray, "query llm"]) -> Float[np.ndarray, " llm"]:
    """Mean of each column over what is not NaN; NaN for an empty column."""
    count = (~np.isnan(cells)).sum(axis=0)
    return np.where(count > 0, np.nansum(cells, axis=0) / np.maximum(count, 1), np.nan)


def _extreme(cells: Float[np.ndarray, "query llm"], *, largest: bool) -> int:
    """The column with the largest (smallest) mean over what is not NaN."""
    mean = _column_means(cells)
    if np.isnan(mean).all():
        raise InputError(
            "No candidate LLM has a value on the training queries: choose other LLMs or another split."
        )
    return int(np.nanargmax(mean) if largest else np.nanargmin(mean))


def random_choice(queries: int, llms: int, rng: np.random.Generator) -> Int[np.ndarray, " query"]:
    """Each query's LLM drawn uniformly from `llms` columns."""
    return rng.integers(llms, size=queries)


def oracle(
    score: Float[np.ndarray, "query llm"], cost_usd: Float[np.ndarray, "query llm"], *, alpha: float
) -> Int[np.ndarray, " query"]:
    """The choice of highest true utility per query, a ceiling and not a baseline.

    Utility is `alpha * score - (1 - alpha) * cost / scale`. Scores and costs are those of the evaluated
    queries, and `scale` is the dearest LLM's mean cost on them, so no choice has a higher reward. Equal
    utilities go to the lower cost, then to the first. An LLM without a score on a query (NaN) is not chosen
    there. At alpha = 1 costs only break ties and may be NaN.

    Raises:
        InputError: a cost is unknown and alpha < 1, or nobody answered a query.
    """
    dearest = float("nan") if alpha == 1 else dearest_cost(cost_usd) / len(cost_usd)
    # Where all are free there is no cost to scale.
    utility = expected_utility(score, cost_usd, alpha=alpha, scale=1.0 if dearest == 0 else dearest)
    utility = np.where(np.isnan(utility), -np.inf, utility)
    if not np.isfinite(utility).any(axis=1).all():
        raise InputError(
            "No candidate LLM has a score on some query: leave that query out or choose other LLMs."
        )
    tied = utility == utility.max(axis=1, keepdims=True)
    return np.argmin(np.where(tied, np.nan_to_num(cost_usd, nan=np.finfo(np.float64).max), np.inf), axis=1)
