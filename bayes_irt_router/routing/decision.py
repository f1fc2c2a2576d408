"""A decision with what is behind it: every candidate's correctness, cost, utility, P(best), and a reason."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayes_irt_router.data.candidates import allowed_llms
from bayes_irt_router.errors import InputError
from bayes_irt_router.routing.policies import choose, expected_utility, probability_best


@dataclass(frozen=True)
class Interval:
    """Posterior mean and equal-tailed interval holding `level` of the parameter draws."""

    mean: float
    lower: float
    upper: float
    level: float


@dataclass(frozen=True)
class Candidate:
    """One LLM as seen for one query. `cost_usd` is None when unknown."""

    llm: str
    p_correct: Interval
    cost_usd: float | None
    utility: float
    p_best: float

    def to_dict(self) -> dict[str, Any]:
        """The candidate's part of the JSON of `birt route`."""
        p = self.p_correct
        return {
            "llm": self.llm,
            "p_correct": {"mean": p.mean, "lower": p.lower, "upper": p.upper, "level": p.level},
            "cost_usd": self.cost_usd,
            "utility": self.utility,
            "p_best": self.p_best,
        }


@dataclass(frozen=True)
class Decision:
    """The LLM for the query at position `index`, why, and all candidates by falling utility, choice first."""

    index: int
    llm: str
    reason: str
    candidates: tuple[Candidate, ...]

    def shifted(self, by: int) -> "Decision":
        """The same decision, its index counted from the start of a longer list."""
        return replace(self, index=self.index + by)

    def to_dict(self) -> dict[str, Any]:
        """One element of `decisions` in the JSON of `birt route`."""
        return {
            "index": self.index,
            "llm": self.llm,
            "reason": self.reason,
            "candidates": [candidate.to_dict() for candidate in self.candidates],
        }


def decide(
    p_correct: xr.DataArray,
    p_correct_conditional: xr.DataArray,
    cost_usd: Float[np.ndarray, "query llm"],
    *,
    alpha: float,
    scale: float,
    level: float = 0.89,
    allow: Sequence[str] | None = None,
) -> list[Decision]:
    """One decision per query by the policy `expected_utility`.

    Utility uses the posterior mean of `p_correct`; the interval is over the parameter draws of `p_correct`
    (what more data would shrink); `p_best` is over the joint draws of `p_correct_conditional` (that, and
    what is unknown about the query).

    Args:
        p_correct: dims (chain, draw, query, llm), the query's residual integrated out.
        p_correct_conditional: the same dims and LLMs, one residual per draw and query, shared across LLMs.
        cost_usd: predicted cost of one answer in USD, columns as in `p_correct`. NaN is allowed for LLMs
            that are not candidates, and for all of them at alpha = 1.
        alpha: weight of correctness, 0 to 1.
        scale: `CostModel.scale_usd`.
        level: share of the draws inside the interval.
        allow: names of the candidates, all by default.

    Raises:
        InputError: alpha or level out of range, an unknown LLM name, no candidate, or a cost that is needed
            and unknown.
    """
    if not 0 < level < 1:
        raise InputError(f"level is {level}, but it must be between 0 and 1, for instance 0.89.")
    names = [str(name) for name in p_correct["llm"].values]
    if [str(name) for name in p_correct_conditional["llm"].values] != names:
        raise ValueError("p_correct and p_correct_conditional have different LLMs.")
    allowed = allowed_llms(names, allow)
    p, conditional = _flat(p_correct), _flat(p_correct_conditional)
    mean = p.mean(axis=0, dtype=np.float64)
    utility = expected_utility(mean, cost_usd, alpha=alpha, scale=scale)
    choice = choose(utility, allowed)
    best = probability_best(conditional, cost_usd, alpha=alpha, scale=scale, allowed=allowed)

    columns = np.flatnonzero(allowed)
    decisions = []
    for query in range(len(mean)):
        # Query by query, because quantiles copy their input.
        lower, upper = np.quantile(p[:, query, :], [(1 - level) / 2, (1 + level) / 2], axis=0)
        order = columns[
            np.argsort(-utility[query, columns], kind="stable")
        ]  # equals keep their order, as in `choose`
        candidates = tuple(
            Candidate(
                llm=names[j],
                p_correct=Interval(float(mean[query, j]), float(lower[j]), float(upper[j]), level),
                cost_usd=None if np.isnan(cost_usd[query, j]) else float(cost_usd[query, j]),
                utility=float(utility[query, j]),
                p_best=float(best[query, j]),
            )
            for j in order
        )
        decisions.append(Decision(query, names[choice[query]], _reason(candidates), candidates))
    return decisions


def _flat(array: xr.DataArray) -> Float[np.ndarray, "sample query llm"]:
    """Chains and draws in one axis; without a copy where the order of the dims is the usual one."""
    values = array.transpose("chain", "draw", "query", "llm").values
    return values.reshape(values.shape[0] * values.shape[1], *values.shape[2:])  # -1 fails without queries


def _reason(candidates: Sequence[Candidate]) -> str:
    """One sentence: the winner's expected correctness and cost against the runner-up's and the cheapest's."""
    winner, p = candidates[0], candidates[0].p_correct
    what = (
        f"expected correctness {p.mean:.2f} ({100 * p.level:g}% interval {p.lower:.2f} to {p.upper:.2f})"
        f"{_at_cost(winner)}"
    )
    if len(candidates) == 1:
        return f"{winner.llm} is the only candidate: {what}."
    runner_up = candidates[1]
    sentence = (
        f"{winner.llm} has the highest utility: {what}, "
        f"against {_brief(runner_up)} for the runner-up {runner_up.llm}"
    )
    cheapest = min((c for c in candidates if c.cost_usd is not None), key=_cost, default=None)
    if cheapest is None:
        return f"{sentence}."
    if cheapest is winner:
        return f"{sentence}; no candidate is cheaper."
    if cheapest is runner_up:
        return f"{sentence}, which is the cheapest."
    return f"{sentence} and {_brief(cheapest)} for the cheapest, {cheapest.llm}."


def _cost(candidate: Candidate) -> float:
    return float("inf") if candidate.cost_usd is None else candidate.cost_usd


def _brief(candidate: Candidate) -> str:
    return f"{candidate.p_correct.mean:.2f}{_at_cost(candidate)}"


def _at_cost(candidate: Candidate) -> str:
    """` at 0.00031 USD`: three significant digits, no exponent; nothing where the cost is unknown."""
    if candidate.cost_usd is None:
        return ""
    return (
        f" at {np.format_float_positional(candidate.cost_usd, precision=3, fractional=False, trim='-')} USD"
    )
