"""Utility of an LLM for a query, and how probable it is that an LLM has the highest: what the decision rules are made of."""

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
    p_correct: Float[np.ndarray, "*draw query llm"],
    cost_usd: Float[np.ndarray, "*cost_draw query llm"],
    *,
    alpha: float,
    scale: float,
) -> Float[np.ndarray, "*draw query llm"]:
    """IRT-Router's score `S = alpha * P - beta * C` with `beta = 1 - alpha`.

    With P the posterior mean of `p_correct` and `C` the expected cost this is the expected utility: S is linear in both, so its
    expectation over everything uncertain needs no more than their means. `C = cost_usd / scale`. The scale is fixed at fit, so an
    LLM's utility does not depend on which other candidates there are.

    Args:
        p_correct: posterior mean probability of a correct answer (or expected graded score); or draws of it, for draws of S.
        cost_usd: expected cost of one answer in USD, or draws of it. NaN (unknown) makes that utility NaN.
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
    if not 0 < scale < np.inf:
        raise InputError(
            f"Cost counts at alpha {alpha}, but its scale is unknown: give the LLMs' prices (--prices), fit with prices and output "
            "tokens, or use alpha 1."
        )
    return alpha * p_correct.astype(np.float64) - (1 - alpha) * cost_usd / scale


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
    utility: Float[np.ndarray, "draw query llm"],
    allowed: Bool[np.ndarray, "query llm"] | None = None,
) -> Float[np.ndarray, "query llm"]:
    """P(LLM j has the highest utility among the allowed): the share of joint draws in which it has.

    From draws of `alpha * p - (1 - alpha) * C` with p from `p_correct_conditional` and C given the query's own length, the
    probability is over the parameters *and* over what is unknown about the query itself (its residuals, drawn once per draw and
    shared across LLMs). It is not over the coin of a single answer. Equal utilities share a draw equally, so each row with an
    allowed LLM sums to one; LLMs that are not allowed have 0.

    Raises:
        InputError: the utility of an allowed LLM is unknown (NaN).

    >>> probability_best(np.array([[[0.2, 0.2]], [[0.9, 0.8]]])).tolist()
    [[0.75, 0.25]]
    """
    queries, llms = utility.shape[1:]
    allowed = np.ones((queries, llms), dtype=bool) if allowed is None else allowed
    best = np.zeros((queries, llms))
    for query in range(queries):  # a copy of all queries' draws may not fit into memory
        which = np.flatnonzero(allowed[query])
        if not which.size:
            continue
        draws = utility[:, query, which]
        if np.isnan(draws).any():
            raise InputError(
                "The cost of a candidate LLM is unknown: give its prices, leave it out, or use alpha 1."
            )
        top = draws == draws.max(axis=1, keepdims=True)
        best[query, which] = (top / top.sum(axis=1, keepdims=True)).mean(axis=0)
    return best
