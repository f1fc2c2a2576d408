"""What policies choose on answered queries, what was promised of the choices, and what came of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from bayes_irt_router.data.canonical import select_llms
from bayes_irt_router.data.cost import observed_cost
from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.evaluate import comparable, refuse_seen
from bayes_irt_router.evaluation.routing_metrics import observed_on_every_query
from bayes_irt_router.routing.decision_problem import DecisionProblem, Policy
from bayes_irt_router.routing.router import BATCH, Request, Router

DRAWS = 400  # of the posterior: a decision changes little beyond, see benchmarks/policies.py


@dataclass(frozen=True)
class Setting:
    """A policy at one weight of correctness."""

    policy: Policy
    alpha: float


@dataclass(frozen=True, eq=False)
class Outcomes:
    """One setting's choices.

    Attributes:
        choice: column of the candidates, -1 where the policy abstained.
        promised: posterior mean P(correct) of the choice; NaN where it abstained.
        expected_cost: in USD; NaN where it abstained.
        expected_accuracy: draws, over the parameters alone, of the expected mean score of the answered queries: what more data would
            shrink, and what many more queries like these would score.
        replicated_accuracy: draws of the mean score of these very queries: parameters, the queries' residuals, the answers.
        mean_cost: draws, over the parameters alone, of the expected mean cost of the answered queries.
        replicated_cost: draws of the mean cost of these very answers.
    """

    choice: Int[np.ndarray, " query"]
    promised: Float[np.ndarray, " query"]
    expected_cost: Float[np.ndarray, " query"]
    expected_accuracy: Float[np.ndarray, " draw"]
    replicated_accuracy: Float[np.ndarray, " draw"]
    mean_cost: Float[np.ndarray, " cost_draw"]
    replicated_cost: Float[np.ndarray, " cost_draw"]

    @property
    def answered(self) -> Bool[np.ndarray, " query"]:
        """Where a LLM was chosen."""
        return self.choice >= 0


@dataclass(frozen=True, eq=False)
class Answered:
    """Queries that all candidates answered.

    Attributes:
        queries: featurized, all LLMs of the model's data.
        llm: the candidates.
        score: shape (query, llm).
        cost_usd: what the answers did cost, shape (query, llm).
        notes: what a reader must know.
    """

    queries: xr.Dataset
    llm: tuple[str, ...]
    score: Float[np.ndarray, "query llm"]
    cost_usd: Float[np.ndarray, "query llm"]
    notes: tuple[str, ...]


def answered_queries(
    router: Router, data: xr.Dataset, *, allow_seen: bool = False, progress: bool = True
) -> Answered:
    """The queries, and the LLMs that answered all of them at a known cost.

    Raises:
        InputError: queries were seen in fitting, costs are unknown, or fewer than two LLMs are left.
    """
    data, notes = comparable(router, data)
    refuse_seen(router, data, allow_seen)
    cost = observed_cost(data, router.cost.assumed_output_tokens)
    candidate = observed_on_every_query(data["score"].values, cost)
    if candidate.sum() < 2:
        raise InputError("Fewer than two LLMs answered every query at a known cost; choose other queries.")
    names = tuple(str(name) for name in data["llm"].values[candidate])
    if len(names) < data.sizes["llm"]:
        notes.append(
            f"{len(names)} of {data.sizes['llm']} LLMs answered every query; the others are left out."
        )
    data = select_llms(data, names)
    return Answered(
        router.featurize(data, progress), names, data["score"].values, cost[:, candidate], tuple(notes)
    )


def outcomes(
    router: Router,
    answered: Answered,
    settings: Sequence[Setting],
    *,
    draws: int = DRAWS,
    seed: int = 0,
    candidates: Sequence[str] | None = None,
    output_factor: Mapping[str, float] | None = None,
) -> list[Outcomes]:
    """Let each setting choose for each query.

    Args:
        router: the fitted model.
        answered: the queries and the candidates.
        settings: what to try; all share the same draws.
        draws: of the posterior that are used.
        seed: of residuals and replicated answers.
        candidates: fewer than those that answered.
        output_factor: by LLM, what the predicted cost of output is multiplied by (for hidden tokens); that of input stays. A cost that
            is predicted from recorded costs has no parts, and is multiplied as a whole.
    """
    router = replace(router, posterior=router.posterior.thin(draws))
    llm = router.posterior.llm
    columns = np.array([llm.index(name) for name in answered.llm])
    allowed = np.isin(answered.llm, answered.llm if candidates is None else list(candidates))
    factor = np.array([(output_factor or {}).get(name, 1.0) for name in answered.llm])
    rng = np.random.default_rng([seed, 2])
    size = len(answered.score)
    found: list[list[tuple[np.ndarray, ...]]] = [[] for _ in settings]
    for start in range(0, size, BATCH):
        queries = answered.queries.isel(query=slice(start, start + BATCH))
        posed = router.pose(queries, Request(seed=seed + start))
        full = posed.problem
        texts = [str(text) for text in queries["text"].values]
        # cost = input + factor * output
        beside = np.nan_to_num(router.cost.input_cost(texts)[:, columns] * (1.0 - factor))
        problem = DecisionProblem(
            answered.llm,
            full.p_correct[..., columns],
            full.p_correct_conditional[..., columns],
            full.cost_usd[..., columns] * factor + beside,
            full.cost_usd_conditional[..., columns] * factor + beside,
            np.broadcast_to(allowed, (queries.sizes["query"], len(columns))),
            full.alpha,
            full.scale,
        )
        replicated = posed.cost_usd_replicated[..., columns] * factor + beside
        right = (rng.random(problem.p_correct.shape) < problem.p_correct_conditional).astype(np.float32)
        by_alpha = {alpha: replace(problem, alpha=alpha) for alpha in {one.alpha for one in settings}}
        for one, parts in zip(settings, found, strict=True):
            choice = one.policy.choose(by_alpha[one.alpha]).llm
            at = np.maximum(choice, 0)
            some = choice >= 0
            row = np.arange(len(choice))
            parts.append(
                (
                    choice,
                    np.where(some, problem.mean_p[row, at], np.nan),
                    np.where(some, problem.mean_cost[row, at], np.nan),
                    (problem.p_correct[:, row, at] * some).sum(axis=1, dtype=np.float64),
                    (right[:, row, at] * some).sum(axis=1, dtype=np.float64),
                    (problem.cost_usd[:, row, at] * some).sum(axis=1, dtype=np.float64),
                    (replicated[:, row, at] * some).sum(axis=1, dtype=np.float64),
                )
            )
    return [_joined(parts) for parts in found]


def _joined(parts: Sequence[tuple[np.ndarray, ...]]) -> Outcomes:
    choice, promised, expected = (np.concatenate([part[k] for part in parts]) for k in range(3))
    count = max(int((choice >= 0).sum()), 1)
    means = (np.sum([part[k] for part in parts], axis=0) / count for k in range(3, 7))
    return Outcomes(choice, promised, expected, *means)


def observed(one: Outcomes, cells: Float[np.ndarray, "query llm"]) -> Float[np.ndarray, " answered"]:
    """The chosen answers' cells, for the queries that were answered."""
    row = np.flatnonzero(one.answered)
    return cells[row, one.choice[row]]
