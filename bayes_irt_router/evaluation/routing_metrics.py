"""How good choices are: accuracy, cost and IRT-Router's reward of one LLM chosen per query.

The columns are the candidates: LLMs observed on every query (`observed_on_every_query`), so that every
choice has a score. Costs are what the answers really cost, not what was predicted.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from bayes_irt_router.errors import InputError


@dataclass(frozen=True)
class RoutingScore:
    """Accuracy in percent, total cost in USD, and reward in percent, of one choice per query."""

    accuracy: float
    cost_usd: float
    reward: float


def observed_on_every_query(*cells: Float[np.ndarray, "query llm"]) -> Bool[np.ndarray, " llm"]:
    """The LLMs without a NaN in any of the arrays (scores; also costs where they are needed): the
    candidates for routing.

    >>> observed_on_every_query(np.array([[1.0, 0.0], [1.0, np.nan]])).tolist()
    [True, False]
    """
    return np.logical_and.reduce([~np.isnan(array).any(axis=0) for array in cells])


def _chosen(
    choice: Int[np.ndarray, " query"], cells: Float[np.ndarray, "query llm"]
) -> Float[np.ndarray, " query"]:
    if choice.shape != cells.shape[:1]:
        raise ValueError(f"There are {choice.size} choices for {len(cells)} queries.")
    if choice.size == 0:
        raise InputError("There is no query to route: choose another split or data set.")
    if choice.min() < 0 or choice.max() >= cells.shape[1]:
        raise ValueError(f"A choice is outside 0 ... {cells.shape[1] - 1}.")
    return np.take_along_axis(cells, choice[:, None], axis=1)[:, 0]


def accuracy(choice: Int[np.ndarray, " query"], score: Float[np.ndarray, "query llm"]) -> float:
    """Mean score of the chosen answers in percent, `100 / n * sum_q score[q, choice_q]`.

    Raises:
        InputError: a chosen LLM has no score on that query.
    """
    chosen = _chosen(choice, score)
    missing = int(np.isnan(chosen).sum())
    if missing:
        raise InputError(
            f"{missing} of {choice.size} chosen answers have no score: choose among LLMs observed on every "
            "query."
        )
    return float(100 * chosen.mean())


def total_cost(choice: Int[np.ndarray, " query"], cost_usd: Float[np.ndarray, "query llm"]) -> float:
    """Cost in USD of all chosen answers together, `sum_q cost[q, choice_q]`; NaN when one is unknown."""
    return float(_chosen(choice, cost_usd).sum())


def dearest_cost(cost_usd: Float[np.ndarray, "query llm"]) -> float:
    """Cost in USD of sending every query to the dearest single LLM, `max_j sum_q cost[q, j]`.

    Raises:
        InputError: a cost is unknown, so that the dearest LLM is, too.
    """
    unknown = int(np.isnan(cost_usd).any(axis=0).sum())
    if unknown:
        raise InputError(
            f"{unknown} of {cost_usd.shape[1]} candidate LLMs have an answer of unknown cost: give prices "
            "and output tokens (or an assumed number of them), or leave these LLMs out."
        )
    return float(cost_usd.sum(axis=0).max())


def reward(
    choice: Int[np.ndarray, " query"],
    score: Float[np.ndarray, "query llm"],
    cost_usd: Float[np.ndarray, "query llm"],
    alpha: float,
) -> float:
    """IRT-Router's Reward, `100 * (alpha * accuracy - (1 - alpha) * cost / cost of the dearest single LLM)`.

    Accuracy is a fraction here, and both costs are totals over the same queries. At alpha = 1 costs play no
    part and may be NaN. Where even the dearest LLM is free, cost counts as 0.
    """
    gain = alpha * accuracy(choice, score)
    if alpha == 1:
        return gain
    dearest = dearest_cost(cost_usd)
    return gain - (100 * (1 - alpha) * total_cost(choice, cost_usd) / dearest if dearest > 0 else 0.0)


def routing_score(
    choice: Int[np.ndarray, " query"],
    score: Float[np.ndarray, "query llm"],
    cost_usd: Float[np.ndarray, "query llm"],
    alpha: float,
) -> RoutingScore:
    """All three numbers of one choice array.

    Args:
        choice: column index of the chosen LLM per query.
        score: scores of the candidates, no NaN among the chosen.
        cost_usd: actual cost of each answer in USD.
        alpha: weight of accuracy in [0, 1]; 1 - alpha is the weight of cost.

    >>> score, cost = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 4.0], [1.0, 4.0]])
    >>> routing_score(np.array([0, 1]), score, cost, 0.5)
    RoutingScore(accuracy=100.0, cost_usd=5.0, reward=18.75)
    """
    return RoutingScore(
        accuracy(choice, score), total_cost(choice, cost_usd), reward(choice, score, cost_usd, alpha)
    )
