"""The accuracy-cost frontier: what each policy is expected to reach, with credible bands, and what it did reach."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from bayes_irt_router.errors import InputError
from bayes_irt_router.evaluation.policy_outcomes import (
    Answered,
    Outcomes,
    Setting,
    answered_queries,
    observed,
    outcomes,
)
from bayes_irt_router.routing.correctness_policies import ChanceConstrained, MinSuccess
from bayes_irt_router.routing.policy_catalogue import policy_options
from bayes_irt_router.routing.router import Router
from bayes_irt_router.routing.utility_policies import (
    Equivalence,
    ExpectedUtility,
    LowerBound,
    ProbabilityOfImprovement,
)

SCHEMA_VERSION = 1
ALPHAS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
TARGETS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)


@dataclass(frozen=True)
class Band:
    """Mean and equal-tailed interval over draws."""

    mean: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Point:
    """One setting: a mean score and a mean cost in USD an answer.

    Attributes:
        policy: its name, or ``single`` for one LLM for all queries.
        options: of the policy.
        alpha: weight of correctness; None for a single LLM.
        answered: share of the queries that got an LLM.
        accuracy: expected, of the answered queries; the band is over the parameters alone.
        accuracy_replicated: the same with what is unknown about these queries and the noise of their answers, so that what is observed
            should lie inside.
        cost_usd: expected mean cost; the band is over the parameters alone.
        cost_usd_replicated: the same with these very answers' lengths.
        observed_accuracy: what the chosen answers scored; NaN if none was chosen.
        observed_cost_usd: what they cost.
    """

    policy: str
    options: dict[str, Any]
    alpha: float | None
    answered: float
    accuracy: Band
    accuracy_replicated: Band
    cost_usd: Band
    cost_usd_replicated: Band
    observed_accuracy: float
    observed_cost_usd: float


@dataclass(frozen=True)
class Frontier:
    """The points of all settings, and of the single LLMs.

    Attributes:
        points: in the order of the settings.
        level: of the bands.
        candidates: the LLMs that were chosen from.
        queries: how many.
        notes: what a reader must know.
    """

    points: tuple[Point, ...]
    level: float
    candidates: tuple[str, ...]
    queries: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """What ``birt frontier --json`` prints."""
        return {
            "schema_version": SCHEMA_VERSION,
            "level": self.level,
            "bands": BANDS,
            "queries": self.queries,
            "candidates": list(self.candidates),
            "points": [asdict(point) for point in self.points],
            "notes": list(self.notes),
        }

    def table(self) -> pd.DataFrame:
        """One row for each point of a policy."""
        return pd.DataFrame(
            [
                {
                    "policy": " ".join([point.policy, *(f"{k}={v}" for k, v in point.options.items())]),
                    "alpha": point.alpha,
                    "answered %": 100 * point.answered,
                    "predicted %": _shown(point.accuracy.mean, point.accuracy),
                    "replicated %": _shown(None, point.accuracy_replicated),
                    "observed %": 100 * point.observed_accuracy,
                    "predicted USD": point.cost_usd.mean,
                    "observed USD": point.observed_cost_usd,
                }
                for point in self.points
                if point.policy != SINGLE
            ]
        )


SINGLE = "single"
BANDS = {
    "accuracy": "over the parameters alone: what more data would shrink",
    "accuracy_replicated": "over the parameters, the queries' residuals and the answers: what is observed should lie inside",
    "cost_usd": "over the parameters alone",
    "cost_usd_replicated": "over the parameters, the queries' residuals and the answers' lengths",
}


def frontier(
    router: Router,
    data: xr.Dataset,
    *,
    settings: Sequence[Setting] | None = None,
    level: float = 0.89,
    allow_seen: bool = False,
    seed: int = 0,
    progress: bool = True,
) -> Frontier:
    """Accuracy against cost, over policies and alpha.

    Args:
        router: the fitted model and its encoder.
        data: queries with answers; the candidates are the LLMs that answered all of them at a known cost.
        settings: by default all policies over alpha or over their target; the incumbent is the LLM with the best mean score on the
            fitted queries.
        level: of the bands.
        allow_seen: whether queries that were fitted may be used.
        seed: of residuals and replicated answers.
        progress: whether to show a progress bar while texts are embedded.

    Raises:
        InputError: queries were seen in fitting, costs are unknown, or fewer than two LLMs are left.
    """
    if not 0 < level < 1:
        raise InputError(f"level is {level:g}, but it must be between 0 and 1, for instance 0.89.")
    answered = answered_queries(router, data, allow_seen=allow_seen, progress=progress)
    settings = default_settings(best_on_fitted(router, answered.llm)) if settings is None else settings
    found = outcomes(router, answered, settings, seed=seed)
    points = [
        _point(one.policy.name, policy_options(one.policy), one.alpha, result, answered, level)
        for one, result in zip(settings, found, strict=True)
    ]
    return Frontier((*points, *_singles(answered)), level, answered.llm, len(answered.score), answered.notes)


def _shown(mean: float | None, band: Band) -> str:
    """`71.2 (69.0 to 73.1)`, in percent; nothing where nothing was answered."""
    if np.isnan(band.lower):
        return ""
    interval = f"{100 * band.lower:.0f} to {100 * band.upper:.0f}"
    return interval if mean is None else f"{100 * mean:.1f} ({interval})"


def default_settings(incumbent: str) -> list[Setting]:
    """Policies that weigh cost over alpha; policies with a target over the target, at alpha 0.5."""
    weighing = (ExpectedUtility(), LowerBound(), ProbabilityOfImprovement(incumbent), Equivalence())
    return [
        *(Setting(policy, alpha) for policy in weighing for alpha in ALPHAS),
        *(Setting(MinSuccess(target), 0.5) for target in TARGETS),
        *(Setting(ChanceConstrained(target), 0.5) for target in TARGETS),
    ]


def best_on_fitted(router: Router, names: Sequence[str]) -> str:
    """Of some LLMs the one with the highest mean score on the fitted queries."""
    scores = router.posterior.tree["llms"].to_dataset()["mean_score"].sel(llm=list(names)).values
    return names[int(np.nanargmax(scores))]


def _point(
    name: str, options: dict[str, Any], alpha: float, one: Outcomes, answered: Answered, level: float
) -> Point:
    some = bool(one.answered.any())
    return Point(
        name,
        options,
        alpha,
        float(one.answered.mean()),
        _band(one.expected_accuracy, level, some),
        _band(one.replicated_accuracy, level, some),
        _band(one.mean_cost, level, some),
        _band(one.replicated_cost, level, some),
        float(observed(one, answered.score).mean()) if some else float("nan"),
        float(observed(one, answered.cost_usd).mean()) if some else float("nan"),
    )


def _band(draws: Float[np.ndarray, " draws"], level: float, some: bool) -> Band:
    if not some:
        return Band(float("nan"), float("nan"), float("nan"))
    lower, upper = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Band(float(draws.mean()), float(lower), float(upper))


def _singles(answered: Answered) -> list[Point]:
    """Each LLM alone, as observed: what a router is to be compared with."""
    unknown = Band(float("nan"), float("nan"), float("nan"))
    return [
        Point(
            SINGLE,
            {"llm": name},
            None,
            1.0,
            unknown,
            unknown,
            unknown,
            unknown,
            float(answered.score[:, j].mean()),
            float(answered.cost_usd[:, j].mean()),
        )
        for j, name in enumerate(answered.llm)
    ]
