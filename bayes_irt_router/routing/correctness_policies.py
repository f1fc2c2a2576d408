"""Policies that ask for a probability of being right and then for the lowest cost. They abstain where no LLM has it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float

from bayes_irt_router.errors import InputError
from bayes_irt_router.routing.decision_problem import Choice, DecisionProblem, Policy, ranked


@dataclass(frozen=True)
class MinSuccess(Policy):
    """The cheapest LLM that is expected to be right often enough: `argmin_j E[C_j]` subject to `E[P_j] >= target`.

    The expectation is over everything uncertain, so `E[P_j]` is the probability that this one answer is right: of the queries routed,
    a share of at least `target` should be answered correctly. It abstains where no LLM reaches the target.

    Attributes:
        target: between 0 and 1.
    """

    target: float = 0.8

    name: ClassVar[str] = "min_success"
    always_needs_cost: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if problems := _outside(target=self.target):
            raise InputError(problems)

    def choose(self, problem: DecisionProblem) -> Choice:
        """Decide, for every query."""
        p = problem.mean_p
        clause = f"is the cheapest with an expected correctness of at least {self.target:g}"
        lacking = f"no candidate has an expected correctness of {self.target:g}"
        return _cheapest(problem, p >= self.target, p, clause, lacking)


@dataclass(frozen=True)
class ChanceConstrained(Policy):
    """The cheapest LLM that is good enough with high probability: `argmin_j E[C_j]` subject to `P(P_j >= target) >= 1 - delta`.

    The probability is over the parameters alone: `P_j` is `p_correct`, the rate of right answers to queries like this one, and its
    spread is what more data would shrink. Where the data say little it abstains, although the mean may be high: "tell me when you
    don't know".

    Attributes:
        target: the rate of right answers to ask for, between 0 and 1.
        delta: how improbable a lower rate must be, between 0 and 1.
    """

    target: float = 0.8
    delta: float = 0.1

    name: ClassVar[str] = "chance_constrained"
    always_needs_cost: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if problems := _outside(target=self.target, delta=self.delta):
            raise InputError(problems)

    def choose(self, problem: DecisionProblem) -> Choice:
        """Decide, for every query."""
        chance = (problem.p_correct >= self.target).mean(axis=0)
        # Shares of draws are exact, 1 - delta is not: 1 - 0.1 must not refuse 9 draws of 10.
        enough = chance >= 1 - self.delta - 1e-9
        clause = f"is the cheapest with P(correctness >= {self.target:g}) of at least {1 - self.delta:g}"
        lacking = f"no candidate has P(correctness >= {self.target:g}) of {1 - self.delta:g}"
        return _cheapest(problem, enough, chance, clause, lacking)


def _cheapest(
    problem: DecisionProblem,
    qualified: Bool[np.ndarray, "query llm"],
    reached: Float[np.ndarray, "query llm"],
    clause: str,
    lacking: str,
) -> Choice:
    """The lowest expected cost among the qualified; of equal costs the higher expected correctness."""
    problem.require_known(problem.mean_cost, "cost")
    # Those that do not qualify follow by how near they come.
    order = np.where(qualified, problem.mean_cost, -reached)
    first, ranking = ranked(problem, qualified, order, -problem.mean_p)
    clauses = []
    for query, j in enumerate(first.tolist()):
        if j >= 0 or not problem.allowed[query].any():
            clauses.append(clause)
        else:
            nearest = int(np.where(problem.allowed[query], reached[query], -1.0).argmax())
            clauses.append(
                f"{lacking}; the highest is {reached[query, nearest]:.2f}, of {problem.llm[nearest]}"
            )
    return Choice(first, ranking, tuple(clauses))


def _outside(**shares: float) -> list[str]:
    return [
        f"{name} is {value}; it must be between 0 and 1."
        for name, value in shares.items()
        if not 0 <= value <= 1
    ]
