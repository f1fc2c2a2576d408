"""What a policy may look at: beliefs about correctness and cost, what is allowed, and what counts how much."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from bayes_irt_router.errors import InputError
from bayes_irt_router.routing.policies import check_alpha, expected_utility


@dataclass(frozen=True, eq=False)
class DecisionProblem:
    """One LLM is to be chosen for each of some queries.

    Draws of correctness and of cost have the same number, or cost has a single one (known costs). Draw s of `p_correct` and draw s
    of `p_correct_conditional` have the same parameters; so have the two costs.

    Attributes:
        llm: names, in the order of the last axis.
        p_correct: P(correct) given the parameters alone, the query's residual integrated out. Its spread is epistemic.
        p_correct_conditional: P(correct) given the parameters and the query's residual, one residual a draw, shared by all LLMs.
        cost_usd: expected cost of an answer given the parameters alone.
        cost_usd_conditional: the same given the parameters and the query's own length effect, shared by all LLMs.
        allowed: what the hard limits leave.
        alpha: weight of correctness.
        scale: `CostModel.scale_usd`.
    """

    llm: tuple[str, ...]
    p_correct: Float[np.ndarray, "draw query llm"]
    p_correct_conditional: Float[np.ndarray, "draw query llm"]
    cost_usd: Float[np.ndarray, "cost_draw query llm"]
    cost_usd_conditional: Float[np.ndarray, "cost_draw query llm"]
    allowed: Bool[np.ndarray, "query llm"]
    alpha: float
    scale: float

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        draws = len(self.p_correct)
        if len(self.cost_usd) not in (1, draws) or self.cost_usd.shape != self.cost_usd_conditional.shape:
            raise ValueError(f"There are {draws} draws of correctness and {len(self.cost_usd)} of cost.")

    @cached_property
    def mean_p(self) -> Float[np.ndarray, "query llm"]:
        """Posterior mean of P(correct)."""
        return self.p_correct.mean(axis=0, dtype=np.float64)

    @cached_property
    def mean_cost(self) -> Float[np.ndarray, "query llm"]:
        """Expected cost of an answer in USD; NaN where unknown."""
        return self.cost_usd.mean(axis=0, dtype=np.float64)

    @cached_property
    def utility(self) -> Float[np.ndarray, "query llm"]:
        """Expected utility, over everything uncertain."""
        return expected_utility(self.mean_p, self.mean_cost, alpha=self.alpha, scale=self.scale)

    @cached_property
    def utility_draws(self) -> Float[np.ndarray, "draw query llm"]:
        """Utility given the parameters alone: its spread over the draws is epistemic."""
        return expected_utility(self.p_correct, self.cost_usd, alpha=self.alpha, scale=self.scale)

    @cached_property
    def utility_draws_conditional(self) -> Float[np.ndarray, "draw query llm"]:
        """Utility given the parameters and the query's residuals: the joint distribution over LLMs."""
        return expected_utility(
            self.p_correct_conditional, self.cost_usd_conditional, alpha=self.alpha, scale=self.scale
        )

    def require_known(self, values: Float[np.ndarray, "query llm"], what: str) -> None:
        """Raise InputError if a value of an allowed LLM is unknown (NaN)."""
        if np.isnan(values[self.allowed]).any():
            unknown = [
                self.llm[j] for j in np.flatnonzero((np.isnan(values) & self.allowed).any(axis=0)).tolist()
            ]
            raise InputError(
                f"The {what} of {', '.join(unknown)} is unknown: give prices (0 where free), leave these LLMs out, or use "
                "the policy expected_utility with alpha 1."
            )

    @classmethod
    def known_cost(
        cls,
        p_correct: xr.DataArray,
        p_correct_conditional: xr.DataArray,
        cost_usd: Float[np.ndarray, "query llm"],
        *,
        alpha: float,
        scale: float,
        allowed: Bool[np.ndarray, "query llm"] | None = None,
    ) -> "DecisionProblem":
        """The problem where costs are taken as known, with both prediction arrays as `predict` returns them."""
        return cls(
            tuple(str(name) for name in p_correct["llm"].values),
            flat_draws(p_correct),
            flat_draws(p_correct_conditional),
            cost_usd[None],
            cost_usd[None],
            np.ones(cost_usd.shape, dtype=bool) if allowed is None else allowed,
            alpha,
            scale,
        )


@dataclass(frozen=True, eq=False)
class Choice:
    """What a policy says.

    Attributes:
        llm: index of the chosen LLM for each query, -1 where the policy abstains.
        ranking: all LLMs of each query, best first by the policy's own order; those that are not allowed come last.
        clause: why, for each query: what follows the LLM's name ("is the cheapest ..."), or, where the policy abstains, a sentence
            without its full stop.
    """

    llm: Int[np.ndarray, " query"]
    ranking: Int[np.ndarray, "query llm"]
    clause: tuple[str, ...]


class Policy(ABC):
    """A rule that picks an LLM: a frozen dataclass of its options, with a pure function of the problem.

    Attributes:
        name: in the catalogue and on the command line.
        always_needs_cost: whether costs are needed even at alpha = 1.
    """

    name: ClassVar[str]
    always_needs_cost: ClassVar[bool]

    @abstractmethod
    def choose(self, problem: DecisionProblem) -> Choice:
        """Decide, for every query."""


def ranked(
    problem: DecisionProblem,
    qualified: Bool[np.ndarray, "query llm"],
    *keys: Float[np.ndarray, "query llm"],
) -> tuple[Int[np.ndarray, " query"], Int[np.ndarray, "query llm"]]:
    """The first LLM and the order of all: qualified ones, then other allowed ones, then the rest; within each by rising keys.

    The first key counts most, and equals keep the LLMs' order. The first LLM is -1 where none is qualified.
    """
    qualified = qualified & problem.allowed
    ranking = np.lexsort((*keys[::-1], ~qualified, ~problem.allowed), axis=-1)
    return np.where(qualified.any(axis=1), ranking[:, 0], -1), ranking


def flat_draws(array: xr.DataArray) -> Float[np.ndarray, "draw query llm"]:
    """Chains and draws in one axis; without a copy where the order of the dims is the usual one."""
    values = array.transpose("chain", "draw", "query", "llm").values
    return values.reshape(values.shape[0] * values.shape[1], *values.shape[2:])  # -1 fails without queries
