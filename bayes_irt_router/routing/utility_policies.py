"""Policies that weigh correctness against cost: expected utility, improvement on an incumbent, risk aversion, equivalence."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bayes_irt_router.errors import InputError
from bayes_irt_router.routing.decision_problem import Choice, DecisionProblem, Policy, ranked


@dataclass(frozen=True)
class ExpectedUtility(Policy):
    """The highest expected utility, `argmax_j E[alpha P_j - (1 - alpha) C_j]`: IRT-Router's score.

    The expectation is over everything uncertain (parameters, the query's residuals, the answer). Utility is linear in correctness and
    cost, so only their means matter: uncertainty does not change this choice. Of equal utilities the more probable success wins.
    """

    name: ClassVar[str] = "expected_utility"
    always_needs_cost: ClassVar[bool] = False

    def choose(self, problem: DecisionProblem) -> Choice:
        """Decide, for every query."""
        problem.require_known(problem.utility, "utility")
        first, ranking = ranked(problem, problem.allowed, -problem.utility, -problem.mean_p)
        return Choice(first, ranking, ("has the highest utility",) * len(first))


@dataclass(frozen=True)
class ProbabilityOfImprovement(Policy):
    """Leave the incumbent only for a probable gain: the highest expected utility among the incumbent and the LLMs with
    `P(U_j - U_incumbent > 0) >= tau`.

    The probability is over the joint draws: the parameters and what is unknown about the query (its residuals, shared by both LLMs),
    not the coin of a single answer. A query for which the incumbent is not allowed goes to the highest expected utility.

    Attributes:
        incumbent: the LLM in use today.
        tau: how probable a gain must be, 0 to 1.
    """

    incumbent: str
    tau: float = 0.9

    name: ClassVar[str] = "probability_of_improvement"
    always_needs_cost: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_share("tau", self.tau)

    def choose(self, problem: DecisionProblem) -> Choice:
        """Decide, for every query."""
        problem.require_known(problem.utility, "utility")
        at = problem.llm.index(self.incumbent)
        draws = problem.utility_draws_conditional
        gain = (draws > draws[:, :, at : at + 1]).mean(axis=0)
        stays = problem.allowed[:, at]
        qualified = (gain >= self.tau) | ~stays[:, None]
        qualified[:, at] = True
        first, ranking = ranked(problem, qualified, -problem.utility)
        clause = []
        for query, j in enumerate(first.tolist()):
            if not stays[query]:
                clause.append(
                    f"has the highest utility, as the limits exclude the incumbent {self.incumbent}"
                )
            elif j == at:
                higher = problem.allowed[query] & (problem.utility[query] > problem.utility[query, at])
                clause.append(
                    f"stays: no candidate of higher utility improves on it with probability {self.tau:g} "
                    f"(at most {gain[query, higher].max():.2f})"
                    if higher.any()
                    else "stays: no candidate has a higher utility"
                )
            else:
                clause.append(
                    f"improves on the incumbent {self.incumbent} with probability {gain[query, j]:.2f}"
                )
        return Choice(first, ranking, tuple(clause))


@dataclass(frozen=True)
class LowerBound(Policy):
    """Averse to risk: the highest `quantile` of utility, `argmax_j Q_q[alpha P_j - (1 - alpha) C_j]`.

    The quantile is over the joint draws: the parameters and what is unknown about the query, not the coin of a single answer. Of two
    LLMs with equal expected utility, it takes the one whose draws spread less, be it that more is known of it or that it depends
    less on what is unknown about the query.

    Attributes:
        quantile: between 0 and 1; 0.1 asks what is exceeded nine times in ten.
    """

    quantile: float = 0.1

    name: ClassVar[str] = "lower_bound"
    always_needs_cost: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_share("quantile", self.quantile, ends=False)

    def choose(self, problem: DecisionProblem) -> Choice:
        """Decide, for every query."""
        problem.require_known(problem.utility, "utility")
        draws = problem.utility_draws_conditional
        bound = np.full(problem.allowed.shape, -np.inf)
        for query in range(len(bound)):  # query by query, because quantiles copy their input
            which = problem.allowed[query]
            bound[query, which] = np.quantile(draws[:, query, which], self.quantile, axis=0)
        first, ranking = ranked(problem, problem.allowed, -bound)
        clause = [
            f"has the highest {100 * self.quantile:g}% quantile of utility, {bound[query, j]:.3f}"
            for query, j in enumerate(first.tolist())
        ]
        return Choice(first, ranking, tuple(clause))


@dataclass(frozen=True)
class Equivalence(Policy):
    """The cheapest LLM that is practically as good as the best: among those with `P(U_best - U_j <= rope) >= certainty`, the lowest
    expected cost. The best has the highest expected utility.

    The probability is over the parameters alone (the query's residuals are integrated out of both utilities), as in a region of
    practical equivalence (Kruschke 2018): more data would settle it. Where many LLMs are nearly alike, which one is on top by a hair
    means nothing; this policy does not ask.

    Attributes:
        rope: the loss of utility that does not matter, at least 0. A utility of 0.01 is one right answer in a hundred at alpha = 1.
        certainty: how probable it must be that the loss is no larger, 0 to 1.
    """

    rope: float = 0.02
    certainty: float = 0.8

    name: ClassVar[str] = "equivalence"
    always_needs_cost: ClassVar[bool] = True

    def __post_init__(self) -> None:
        problems = []
        if not 0 <= self.rope < np.inf:
            problems.append(f"rope is {self.rope}; it is a loss of utility, 0 or more, for instance 0.02.")
        if not 0 <= self.certainty <= 1:
            problems.append(f"certainty is {self.certainty}; it must be between 0 and 1.")
        if problems:
            raise InputError(problems)

    def choose(self, problem: DecisionProblem) -> Choice:
        """Decide, for every query."""
        problem.require_known(problem.utility, "utility")
        problem.require_known(problem.mean_cost, "cost")
        utility = np.where(problem.allowed, problem.utility, -np.inf)
        best = utility.argmax(axis=1)
        draws = problem.utility_draws
        loss = np.take_along_axis(draws, best[None, :, None], axis=2) - draws
        alike = (loss <= self.rope).mean(axis=0) >= self.certainty
        np.put_along_axis(alike, best[:, None], True, axis=1)
        first, ranking = ranked(problem, alike, problem.mean_cost, -problem.utility)
        clause = []
        for query, j in enumerate(first.tolist()):
            count = int((alike & problem.allowed)[query].sum())
            if count < 2:
                clause.append(f"has the highest utility, and no other is within {self.rope:g} of it")
            else:
                name = problem.llm[best[query]]
                of = "the best" if j == best[query] else f"the best, {name}"
                clause.append(f"is the cheapest of {count} whose utility is within {self.rope:g} of {of}")
        return Choice(first, ranking, tuple(clause))


def _check_share(name: str, value: float, *, ends: bool = True) -> None:
    if not 0 <= value <= 1 or (not ends and value in (0, 1)):
        raise InputError(f"{name} is {value}; it must be between 0 and 1.")
