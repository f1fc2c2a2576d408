"""The queries that a reader of the report may route: what each LLM is expected to do on them, and at what cost."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from bayes_irt_router.data.cost import CostModel
from bayes_irt_router.data.surface import features_named, surface_matrix
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.irt.response import p_correct
from bayes_irt_router.report.model_difference import NOMINAL_CHARACTERS
from bayes_irt_router.report.task_accuracy import NO_TASK, task_names
from bayes_irt_router.routing.cost_prediction import predict_cost
from bayes_irt_router.routing.policies import choose, expected_utility, probability_best
from bayes_irt_router.routing.router import BATCH, Request, Router

MOST_QUERIES = 400  # on the page, evenly over tasks: a page must load on a phone
DRAWS = 200  # behind the bands
ALPHAS = tuple(k / 100 for k in range(101))


@dataclass(frozen=True, eq=False)
class RoutedQueries:
    """Queries with everything that the choice of an LLM needs.

    Attributes:
        llm: the candidates.
        query, task: of each query.
        text: of each query, where it may be shown.
        p, lower, upper: posterior mean of P(correct) and its equal-tailed interval over the parameters, to four decimals.
        p_best: P(the LLM has the highest P(correct)), over parameters and residuals, cost aside.
        cost_usd: expected cost of an answer, to four significant digits; 0 where nothing is priced.
        allowed: whether the query fits into the LLM's context.
        score: observed, NaN where not; None where no data were given.
        joint: draws of P(correct) shared among LLMs, residuals included.
        scale_usd: what costs are divided by.
        priced: whether costs are known.
        level: of the intervals.
        available: how many queries there were to choose these from.
        notes: what a reader must know.
    """

    llm: tuple[str, ...]
    query: tuple[str, ...]
    task: tuple[str, ...]
    text: tuple[str, ...] | None
    p: Float[np.ndarray, "query llm"]
    lower: Float[np.ndarray, "query llm"]
    upper: Float[np.ndarray, "query llm"]
    p_best: Float[np.ndarray, "query llm"]
    cost_usd: Float[np.ndarray, "query llm"]
    allowed: Bool[np.ndarray, "query llm"]
    score: Float[np.ndarray, "query llm"] | None
    joint: Float[np.ndarray, "draw query llm"]
    scale_usd: float
    priced: bool
    level: float
    available: int
    notes: tuple[str, ...]

    def chosen(self, alpha: float) -> Int[np.ndarray, " query"]:
        """The candidate of highest expected utility for each query."""
        utility = expected_utility(self.p, self.cost_usd, alpha=alpha, scale=self.scale_usd)
        return choose(np.where(self.allowed, utility, -np.inf))

    @cached_property
    def curve(self) -> list[dict[str, float]]:
        """For every alpha the mean expected cost and accuracy of the choices, with the interval of the accuracy."""
        rows = np.arange(len(self.query))
        points = []
        for alpha in ALPHAS:
            at = self.chosen(alpha)
            accuracy = self.joint[:, rows, at].mean(axis=1, dtype=np.float64)
            lower, upper = np.quantile(accuracy, [(1 - self.level) / 2, (1 + self.level) / 2])
            points.append(
                {
                    "alpha": alpha,
                    "cost": float(self.cost_usd[rows, at].mean()),
                    "mean": float(self.p[rows, at].mean()),
                    "lower": float(lower),
                    "upper": float(upper),
                }
            )
        return points

    def to_dict(self) -> dict[str, Any]:
        """What the page's program reads: probabilities in ten-thousandths, unknown scores and forbidden cells as null."""

        def whole(values: np.ndarray, factor: int) -> list[list[int | None]]:
            return [[None if np.isnan(v) else round(factor * v) for v in row] for row in values.tolist()]

        return {
            "llm": list(self.llm),
            "query": list(self.query),
            "task": list(self.task),
            "text": None if self.text is None else list(self.text),
            "p": whole(np.where(self.allowed, self.p, np.nan), 10_000),
            "lower": whole(self.lower, 10_000),
            "upper": whole(self.upper, 10_000),
            "best": whole(self.p_best, 1_000),
            "cost": self.cost_usd.tolist(),
            "score": None if self.score is None else whole(self.score, 100),
            "scale": self.scale_usd,
            "priced": self.priced,
            "level": self.level,
            "curve": [{name: float(f"{value:.5g}") for name, value in point.items()} for point in self.curve],
        }


def unseen_queries(
    router: Router, queries: xr.Dataset, *, level: float, seed: int, show_texts: bool
) -> RoutedQueries:
    """Queries of data, predicted as unseen.

    Args:
        router: the fitted model.
        queries: featurized, with ``score``; columns may be fewer LLMs than the model knows.
        level: of the intervals.
        seed: of the choice of queries and of their residuals.
        show_texts: whether the page may show the texts.
    """
    posterior = router.posterior
    task = np.where(queries["task"].values.astype(str) == "", NO_TASK, queries["task"].values.astype(str))
    kept = spread_over_tasks(task, MOST_QUERIES, np.random.default_rng([seed, 3]))
    shown = queries.isel(query=kept)
    thin = np.linspace(0, posterior.size - 1, min(DRAWS, posterior.size)).round().astype(int)
    parts = []
    for start in range(0, len(kept), BATCH):
        batch = shown.isel(query=slice(start, start + BATCH))
        problem = router.pose(batch, Request(alpha=1.0, seed=seed + start)).problem
        parts.append(
            (
                problem.p_correct,
                probability_best(problem.p_correct_conditional, problem.allowed),
                problem.mean_cost,
                problem.allowed,
                problem.p_correct_conditional[thin],
            )
        )
    p = np.concatenate([part[0] for part in parts], axis=1)
    best, cost, allowed = (np.concatenate([part[k] for part in parts]) for k in (1, 2, 3))
    joint = np.concatenate([part[4] for part in parts], axis=1)
    score = np.full(p.shape[1:], np.nan)
    columns = [posterior.llm.index(str(name)) for name in queries["llm"].values]
    score[:, columns] = shown["score"].transpose("query", "llm").values
    return _assembled(
        posterior, shown, task[kept], p, joint, best, cost, allowed, score, level, len(task), show_texts, ()
    )


def fitted_queries(posterior: Posterior, *, level: float, seed: int) -> RoutedQueries:
    """The queries that were fitted, with their own parameters; texts are shown if the model has kept them.

    Args:
        posterior: the fitted model.
        level: of the intervals.
        seed: of the choice of queries and of answer lengths.
    """
    table = posterior.tree["queries"].to_dataset()
    task = task_names(posterior)
    kept = spread_over_tasks(task, MOST_QUERIES, np.random.default_rng([seed, 3]))
    draws = posterior.draws
    ability = draws["ability"].values.reshape(-1, *draws["ability"].shape[2:])
    a = draws["discrimination"].values[:, :, kept].reshape(posterior.size, len(kept), -1)
    b = draws["difficulty"].values[:, :, kept].reshape(posterior.size, len(kept))
    thin = np.linspace(0, posterior.size - 1, min(DRAWS, posterior.size)).round().astype(int)
    blocks = np.array_split(np.arange(len(kept)), max(1, -(-len(kept) // BATCH)))
    p = np.concatenate([p_correct(ability, a[:, block], b[:, block]) for block in blocks], axis=1)
    cost_model, notes = CostModel.from_dict(posterior.record["cost"]), ()
    shown = table.isel(query=kept)
    if posterior.texts is None:
        cost = cost_model.known_cost(["x" * NOMINAL_CHARACTERS] * len(kept))
        notes = (f"The texts are not kept, so costs are those of {NOMINAL_CHARACTERS:,} characters.",)
    else:
        texts = [posterior.texts[k] for k in kept]
        features = features_named(posterior.feature_map.surface_names)
        shown = shown.assign_coords(
            text=("query", np.array(texts, dtype=object)), surface_feature=[one.name for one in features]
        ).assign(surface=(("query", "surface_feature"), surface_matrix(texts, features)))
        usd = predict_cost(posterior, shown, np.random.default_rng([seed, 1]), DRAWS)
        cost = usd["cost_usd"].values.mean(axis=0, dtype=np.float64)
    allowed = np.ones(cost.shape, dtype=bool)
    best = probability_best(p, allowed)
    return _assembled(
        posterior,
        shown,
        task[kept],
        p,
        p[thin],
        best,
        cost,
        allowed,
        None,
        level,
        len(task),
        posterior.texts is not None,
        notes,
    )


def spread_over_tasks(task: np.ndarray, most: int, rng: np.random.Generator) -> Int[np.ndarray, " kept"]:
    """Positions of at most so many queries, in their order; where they are too many, every task gives equally many, or all it has.

    >>> spread_over_tasks(np.array(["a", "a", "a", "b"]), 2, np.random.default_rng(0)).size
    2
    """
    if len(task) <= most:
        return np.arange(len(task))
    place = np.empty(len(task), dtype=int)
    for name in np.unique(task):
        inside = np.flatnonzero(task == name)
        place[inside] = rng.permutation(len(inside))
    return np.sort(np.argsort(place, kind="stable")[:most])


def _assembled(
    posterior: Posterior,
    shown: xr.Dataset,
    task: np.ndarray,
    p: np.ndarray,
    joint: np.ndarray,
    best: np.ndarray,
    cost: np.ndarray,
    allowed: np.ndarray,
    score: np.ndarray | None,
    level: float,
    available: int,
    show_texts: bool,
    notes: tuple[str, ...],
) -> RoutedQueries:
    """Only candidates of known cost, if there are two; rounded as the page shows it, so that page and curve choose alike."""
    known = ~np.isnan(cost).any(axis=0)
    scale = CostModel.from_dict(posterior.record["cost"]).scale_usd
    priced = bool(known.sum() >= 2 and scale > 0)
    if not priced:
        known, cost, scale = np.ones_like(known), np.zeros_like(cost), 1.0
    elif not known.all():
        unknown = [name for name, one in zip(posterior.llm, known, strict=True) if not one]
        notes = (*notes, f"Costs of {', '.join(unknown)} are unknown; they are left out here.")
    columns = np.flatnonzero(known)
    some = allowed[:, columns].any(axis=1)
    if not some.all():
        notes = (*notes, f"{int((~some).sum())} queries fit into no LLM's context and are left out.")
    rows = np.flatnonzero(some)
    p, joint = p[:, rows][..., columns], joint[:, rows][..., columns]
    lower, upper = (
        np.concatenate([np.quantile(p[:, k], end, axis=0)[None] for k in range(len(rows))])
        for end in ((1 - level) / 2, (1 + level) / 2)
    )
    usd = cost[np.ix_(rows, columns)].astype(np.float64)
    return RoutedQueries(
        tuple(posterior.llm[j] for j in columns),
        tuple(str(name) for name in shown["query"].values[rows]),
        tuple(str(name) for name in task[rows]),
        tuple(str(text) for text in shown["text"].values[rows]) if show_texts else None,
        p.mean(axis=0, dtype=np.float64).round(4),
        lower.astype(np.float64),
        upper.astype(np.float64),
        best[np.ix_(rows, columns)],
        np.vectorize(lambda value: float(f"{value:.4g}"), otypes=[float])(usd),
        allowed[np.ix_(rows, columns)],
        None if score is None else score[np.ix_(rows, columns)],
        joint,
        float(scale),
        priced,
        level,
        available,
        notes,
    )
