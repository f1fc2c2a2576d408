"""A decision with what is behind it: every candidate's correctness, cost, utility, P(best), and a reason."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from bayes_irt_router.errors import InputError
from bayes_irt_router.routing.decision_problem import DecisionProblem, Policy
from bayes_irt_router.routing.explanation import Explanation
from bayes_irt_router.routing.limits import Limits
from bayes_irt_router.routing.policies import probability_best


@dataclass(frozen=True)
class Interval:
    """Posterior mean and equal-tailed interval holding `level` of the parameter draws."""

    mean: float
    lower: float
    upper: float
    level: float


@dataclass(frozen=True)
class Candidate:
    """One LLM as seen for one query. `cost_usd` is its expected cost, None when unknown."""

    llm: str
    p_correct: Interval
    cost_usd: float | None
    utility: float | None
    p_best: float | None

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
    """The LLM for the query at position `index`, and why.

    Attributes:
        index: of the query.
        llm: None where nobody is chosen: the policy abstains, or the limits exclude every LLM.
        reason: one sentence.
        candidates: what the limits leave, the choice first, then by the policy's own order.
        familiarity: of the query, see `predict`.
        explanation: if asked for.
    """

    index: int
    llm: str | None
    reason: str
    candidates: tuple[Candidate, ...]
    familiarity: float | None = None
    explanation: Explanation | None = None

    def shifted(self, by: int) -> "Decision":
        """The same decision, its index counted from the start of a longer list."""
        return replace(self, index=self.index + by)

    def to_dict(self) -> dict[str, Any]:
        """One element of `decisions` in the JSON of `birt route`."""
        return {
            "index": self.index,
            "llm": self.llm,
            "reason": self.reason,
            "familiarity": self.familiarity,
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            **({} if self.explanation is None else {"explanation": self.explanation.to_dict()}),
        }

    def to_row(self) -> dict[str, Any]:
        """The choice alone, without nesting, for a table; what belongs to the chosen LLM is None where there is none."""
        chosen = self.candidates[0] if self.llm is not None else None
        p = None if chosen is None else chosen.p_correct
        return {
            "index": self.index,
            "llm": self.llm,
            "reason": self.reason,
            "p_correct": None if p is None else p.mean,
            "p_correct_lower": None if p is None else p.lower,
            "p_correct_upper": None if p is None else p.upper,
            "level": None if p is None else p.level,
            "cost_usd": None if chosen is None else chosen.cost_usd,
            "utility": None if chosen is None else chosen.utility,
            "p_best": None if chosen is None else chosen.p_best,
            "familiarity": self.familiarity,
            "explanation": None if self.explanation is None else " ".join(self.explanation.sentences),
        }


def decide(
    problem: DecisionProblem,
    policy: Policy,
    *,
    level: float = 0.89,
    limits: Limits | None = None,
    familiarity: Float[np.ndarray, " query"] | None = None,
) -> list[Decision]:
    """One decision per query by a policy.

    Each candidate's interval is over the parameter draws of `p_correct` (what more data would shrink); `p_best` is over the joint
    draws (that, and what is unknown about the query). Where utilities are unknown because costs are, both are None.

    Args:
        problem: beliefs, hard limits already applied as `allowed`.
        policy: see `policy_catalogue`.
        level: share of the draws inside the interval.
        limits: for the fallback and the least familiarity.
        familiarity: of the queries.

    Raises:
        InputError: level out of range, or a cost that the policy needs is unknown.
    """
    if not 0 < level < 1:
        raise InputError(f"level is {level}, but it must be between 0 and 1, for instance 0.89.")
    limits = limits or Limits()
    choice = policy.choose(problem)
    utility_known = not np.isnan(problem.utility[problem.allowed]).any() if problem.allowed.size else True
    best = (
        probability_best(problem.utility_draws_conditional, problem.allowed)
        if utility_known
        else np.full(problem.allowed.shape, np.nan)
    )
    decisions = []
    for query, (at, ranking) in enumerate(zip(choice.llm.tolist(), choice.ranking, strict=True)):
        columns = ranking[problem.allowed[query, ranking]]
        known = None if familiarity is None else float(familiarity[query])
        chosen, why = _chosen(problem, limits, query, at, choice.clause[query], known)
        columns = np.array(
            [j for j in columns if j == chosen] + [j for j in columns if j != chosen], dtype=int
        )
        candidates = _candidates(problem, query, columns, best[query], level)
        name = None if chosen is None else problem.llm[chosen]
        decisions.append(Decision(query, name, _reason(name, why, candidates), candidates, known))
    return decisions


def _chosen(
    problem: DecisionProblem, limits: Limits, query: int, at: int, clause: str, familiarity: float | None
) -> tuple[int | None, str]:
    """The LLM and the clause that says why: the policy's, or the fallback's where it is called for."""
    if not problem.allowed[query].any():
        return None, "the limits on cost and context length exclude every LLM"
    least = limits.min_familiarity
    if least is not None and familiarity is not None and familiarity < least:
        why = f"the query is unfamiliar ({familiarity:.2f}, less than {least:g})"
    elif at >= 0:
        return at, clause
    else:
        why = clause
    if limits.fallback is None:
        return None, why
    fallback = problem.llm.index(limits.fallback)
    if not problem.allowed[query, fallback]:
        return None, f"{why}, and the limits exclude the fallback {limits.fallback}"
    return fallback, f"is the fallback, because {why}"


def _candidates(
    problem: DecisionProblem,
    query: int,
    columns: np.ndarray,
    best: Float[np.ndarray, " llm"],
    level: float,
) -> tuple[Candidate, ...]:
    # Query by query, because quantiles copy their input.
    lower, upper = np.quantile(
        problem.p_correct[:, query, columns], [(1 - level) / 2, (1 + level) / 2], axis=0
    )
    return tuple(
        Candidate(
            llm=problem.llm[j],
            p_correct=Interval(float(problem.mean_p[query, j]), float(lower[k]), float(upper[k]), level),
            cost_usd=_known(problem.mean_cost[query, j]),
            utility=_known(problem.utility[query, j]),
            p_best=_known(best[j]),
        )
        for k, j in enumerate(columns.tolist())
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _reason(name: str | None, why: str, candidates: Sequence[Candidate]) -> str:
    """One sentence: the choice's expected correctness and cost against the runner-up's and the cheapest's."""
    if name is None:
        return f"No LLM is chosen: {why}."
    winner, p = candidates[0], candidates[0].p_correct
    what = (
        f"expected correctness {p.mean:.2f} ({100 * p.level:g}% interval {p.lower:.2f} to {p.upper:.2f})"
        f"{_at_cost(winner)}"
    )
    if len(candidates) == 1:
        if why.startswith("is the fallback"):
            return f"{name} {why}: {what}."
        return f"{name} is the only candidate: {what}."
    runner_up = candidates[1]
    sentence = f"{name} {why}: {what}, against {_brief(runner_up)} for the runner-up {runner_up.llm}"
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
