"""The queries that a reader of the report may route: what each LLM is expected to do on them, and at what cost."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from bayes_irt_router.data.cost import CostModel
from bayes_irt_router.data.surface import features_named, surface_matrix
from bayes_irt_router.inference.linear_view import linear_view
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.irt.response import p_correct
from bayes_irt_router.report.model_difference import NOMINAL_CHARACTERS
from bayes_irt_router.report.task_accuracy import NO_TASK, task_names
from bayes_irt_router.routing.cost_prediction import predict_cost
from bayes_irt_router.routing.policies import choose, expected_utility, probability_best
from bayes_irt_router.routing.router import BATCH, Request, Router

MOST_QUERIES = 400  # on the page, evenly over tasks: a page must load on a phone
DRAWS = 400  # behind the bands
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
        replicated: joint draws of answers, right or wrong: parameters, the queries' residuals, and the coin of each answer.
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
    replicated: Bool[np.ndarray, "draw query llm"]
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
        """For every alpha the mean expected cost and accuracy of the choices, and the interval of what would be observed."""
        rows = np.arange(len(self.query))
        points = []
        for alpha in ALPHAS:
            at = self.chosen(alpha)
            accuracy = self.replicated[:, rows, at].mean(axis=1, dtype=np.float64)
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
    p, best, cost, allowed, joint = zip(*parts, strict=True)
    believed = _Believed(
        np.concatenate(p, axis=1),
        np.concatenate(joint, axis=1),
        np.concatenate(best),
        np.concatenate(cost),
        np.concatenate(allowed),
    )
    score = np.full(believed.p_best.shape, np.nan)
    columns = [posterior.llm.index(str(name)) for name in queries["llm"].values]
    score[:, columns] = shown["score"].transpose("query", "llm").values
    shown = shown.assign_coords(task=("query", task[kept]))
    found = _candidates(posterior, shown, believed, level, seed, (), show_texts=show_texts)
    return replace(found, available=len(task), score=_of(found, posterior, shown, score))


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
    draws = linear_view(posterior).draws
    ability = draws["ability"].values.reshape(-1, *draws["ability"].shape[2:])
    a = draws["discrimination"].values[:, :, kept].reshape(posterior.size, len(kept), -1)
    b = draws["difficulty"].values[:, :, kept].reshape(posterior.size, len(kept))
    thin = np.linspace(0, posterior.size - 1, min(DRAWS, posterior.size)).round().astype(int)
    blocks = np.array_split(np.arange(len(kept)), max(1, -(-len(kept) // BATCH)))
    p = np.concatenate([p_correct(ability, a[:, block], b[:, block]) for block in blocks], axis=1)
    cost_model = CostModel.from_dict(posterior.record["cost"])
    notes: tuple[str, ...] = ()
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
    believed = _Believed(p, p[thin], probability_best(p, allowed), cost, allowed)
    shown = shown.assign_coords(task=("query", task[kept]))
    found = _candidates(
        posterior, shown, believed, level, seed, notes, show_texts=posterior.texts is not None
    )
    return replace(found, available=len(task))


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


@dataclass(frozen=True, eq=False)
class _Believed:
    """Draws of P(correct), joint draws of it with residuals, P(best), expected cost, and what limits leave; for all LLMs."""

    p: Float[np.ndarray, "draw query llm"]
    joint: Float[np.ndarray, "few_draws query llm"]
    p_best: Float[np.ndarray, "query llm"]
    cost_usd: Float[np.ndarray, "query llm"]
    allowed: Bool[np.ndarray, "query llm"]


def _candidates(
    posterior: Posterior,
    shown: xr.Dataset,
    believed: _Believed,
    level: float,
    seed: int,
    notes: tuple[str, ...],
    *,
    show_texts: bool,
) -> RoutedQueries:
    """Only candidates of known cost, if there are two; rounded as the page shows it, so that page and curve choose alike."""
    cost = believed.cost_usd.astype(np.float64)
    known = ~np.isnan(cost).any(axis=0)
    scale = CostModel.from_dict(posterior.record["cost"]).scale_usd
    priced = bool(known.sum() >= 2 and scale > 0)
    if not priced:
        known, cost, scale = np.ones_like(known), np.zeros_like(cost), 1.0
    elif not known.all():
        unknown = [name for name, one in zip(posterior.llm, known, strict=True) if not one]
        notes = (*notes, f"Costs of {', '.join(unknown)} are unknown; they cannot be routed to here.")
    columns = np.flatnonzero(known)
    fits = believed.allowed[:, columns].any(axis=1)
    if not fits.all():
        notes = (*notes, f"{int((~fits).sum())} queries fit into no LLM's context and are left out.")
    rows = np.flatnonzero(fits)
    cells = np.ix_(rows, columns)
    p, joint = believed.p[:, rows][..., columns], believed.joint[:, rows][..., columns]
    # Query by query, because quantiles copy their input.
    interval = [np.quantile(p[:, k], [(1 - level) / 2, (1 + level) / 2], axis=0) for k in range(len(rows))]
    lower, upper = np.stack(interval, axis=1).astype(np.float64)
    return RoutedQueries(
        tuple(posterior.llm[j] for j in columns),
        tuple(str(name) for name in shown["query"].values[rows]),
        tuple(str(name) for name in shown["task"].values[rows]),
        tuple(str(text) for text in shown["text"].values[rows]) if show_texts else None,
        p.mean(axis=0, dtype=np.float64).round(4),
        lower,
        upper,
        believed.p_best[cells],
        np.vectorize(lambda usd: float(f"{usd:.4g}"), otypes=[float])(cost[cells]),
        believed.allowed[cells],
        None,
        np.random.default_rng([seed, 5]).random(joint.shape, dtype=np.float32) < joint,
        float(scale),
        priced,
        level,
        len(rows),
        notes,
    )


def _of(
    found: RoutedQueries, posterior: Posterior, shown: xr.Dataset, cells: Float[np.ndarray, "query llm"]
) -> Float[np.ndarray, "query llm"]:
    """The cells of the queries and LLMs that were kept."""
    names = {str(name): k for k, name in enumerate(shown["query"].values)}
    return cells[
        np.ix_([names[name] for name in found.query], [posterior.llm.index(name) for name in found.llm])
    ]
