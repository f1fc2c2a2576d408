"""Which LLM to take, given what is believed about correctness and cost: the policy `expected_utility`.

The other policies of a router (cascades, budgets) would stand beside it and take the same arrays.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from bayes_irt_router.errors import InputError


def check_alpha(alpha: float) -> None:
    """Raise InputError unless alpha is in [0, 1]."""
    if not 0 <= alpha <= 1:
        raise InputError(
            f"alpha is {alpha}, but it must be between 0 (only cost counts) and 1 (only correctness counts)."
        )


def expected_utility(
    p_correct: Float[np.ndarray, "query llm"],
    cost_usd: Float[np.ndarray, "query llm"],
    *,
    alpha: float,
    scale: float,
) -> Float[np.ndarray, "query llm"]:
    """IRT-Router's score `S = alpha * P - beta * C` with `beta = 1 - alpha`.

    P is the posterior mean of `p_correct`: utility is linear in P, so its expectation over everything
    uncertain needs no more than that mean. `C = cost_usd / scale`. The scale is fixed at fit, so an LLM's
    utility does not depend on which other candidates there are.

    Args:
        p_correct: posterior mean probability of a correct answer (or expected graded score).
        cost_usd: predicted cost of one answer in USD. NaN (unknown) makes that utility NaN.
        alpha: weight of correctness, 0 to 1. At 1 cost and scale play no part and may be NaN.
        scale: the dearest LLM's mean cost on train in USD, `CostModel.scale_usd`.

    Raises:
        InputError: alpha outside [0, 1]; cost needed but no positive scale known.

    >>> p_correct, cost_usd = np.array([[0.75, 0.5]]), np.array([[1.0, 0.0]])
    >>> expected_utility(p_correct, cost_usd, alpha=0.5, scale=2.0).tolist()
    [[0.125, 0.25]]
    """
    check_alpha(alpha)
    if alpha == 1:
        return p_correct.astype(np.float64)
    return alpha * p_correct.astype(np.float64) - _cost_term(cost_usd, alpha, scale)


def _cost_term(
    cost_usd: Float[np.ndarray, "query llm"], alpha: float, scale: float
) -> Float[np.ndarray, "query llm"]:
    """`(1 - alpha) * C / scale`."""
    if not 0 < scale < np.inf:
        raise InputError(
            f"Cost counts at alpha {alpha}, but its scale is unknown: fit with prices and output tokens, or "
            "use alpha 1."
        )
    return (1 - alpha) * cost_usd / scale


def choose(
    utility: Float[np.ndarray, "query llm"], allowed: Bool[np.ndarray, " llm"] | None = None
) -> Int[np.ndarray, " query"]:
    """Index of the allowed LLM with the highest utility, per query; the first of equals.

    Raises:
        InputError: no LLM is allowed, or the utility of an allowed one is unknown (NaN).
    """
    if allowed is None:
        allowed = np.ones(utility.shape[1], dtype=bool)
    if not allowed.any():
        raise InputError("No candidate LLM is left: allow at least one.")
    if np.isnan(utility[:, allowed]).any():
        raise InputError(
            "The utility of a candidate LLM is unknown: give its prices, leave it out, or use alpha 1."
        )
    return np.argmax(np.where(allowed, utility, -np.inf), axis=1)


def probability_best(
    p_correct_conditional: Float[np.ndarray, "draw query llm"],
    cost_usd: Float[np.ndarray, "query llm"],
    *,
    alpha: float,
    scale: float,
    allowed: Bool[np.ndarray, " llm"] | None = None,
) -> Float[np.ndarray, "query llm"]:
    """P(LLM j has the highest utility among the allowed): the share of joint draws in which it has.

    Draw s gives LLM j the utility `alpha * p_sj - (1 - alpha) * C_j`.

    The probability is over the parameters *and* over what is unknown about the query itself (its residual,
    drawn once per draw and shared across LLMs: hence `p_correct_conditional`, not `p_correct`). It is not
    over the coin of a single answer, and costs are taken as predicted. Equal utilities share a draw
    equally, so each row sums to one; LLMs that are not allowed have 0.
    """
    check_alpha(alpha)
    llms = p_correct_conditional.shape[2]
    which = np.arange(llms) if allowed is None else np.flatnonzero(allowed)
    if which.size == 0:
        raise InputError("No candidate LLM is left: allow at least one.")
    term = np.zeros_like(cost_usd) if alpha == 1 else _cost_term(cost_usd, alpha, scale)
    if np.isnan(term[:, which]).any():
        raise InputError(
            "The cost of a candidate LLM is unknown: give its prices, leave it out, or use alpha 1."
        )
    best = np.zeros(p_correct_conditional.shape[1:])
    for query in range(len(best)):  # one query at a time: the full array of utilities may not fit into memory
        utility = alpha * p_correct_conditional[:, query, which].astype(np.float64) - term[query, which]
        top = utility == utility.max(axis=1, keepdims=True)
        best[query, which] = (top / top.sum(axis=1, keepdims=True)).mean(axis=0)
    return best
