"""Scores of choices over one or several sets of judged test queries.

Queries are pooled, not scores. A query's cost counts in units of the dearest candidate's mean cost in its set,
so that sets with different candidates can be pooled.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayes_irt_router.evaluation.bootstrap import LEVEL, PairedDifference, paired_differences
from bayes_irt_router.evaluation.cost_quality import aiq, apgr, cpt, router_arena_score, strong_call_curve
from bayes_irt_router.evaluation.judged import Judged, common, set_numbers
from bayes_irt_router.evaluation.predictions import MODEL
from bayes_irt_router.evaluation.routing_metrics import RoutingScore

TOP = (1, 2, 3, 5)
AIQ_RESAMPLES = 1000


def rewards(one: xr.Dataset, alpha: float) -> Float[np.ndarray, "choice query"]:
    """IRT-Router's Reward of each query, `100 (alpha score - (1 - alpha) cost / dearest)`, dearest being the
    dearest candidate's mean cost in the set: the mean over its queries is the Reward.
    """
    at = one.sel(alpha=alpha)
    gain = alpha * at["chosen_score"].transpose("choice", "query").values
    dearest = float(one.attrs["dearest_usd"])
    if alpha == 1 or dearest == 0:
        return 100 * gain
    return 100 * (gain - (1 - alpha) * at["chosen_cost"].transpose("choice", "query").values / dearest)


def routing_scores(judged: Judged, alphas: Sequence[float]) -> dict[str, dict[str, RoutingScore]]:
    """By choice and alpha: accuracy over all queries, their total cost, and the mean of the queries' rewards."""
    return {
        name: {
            f"{alpha:g}": RoutingScore(
                float(100 * _joined(judged, "chosen_score", name, alpha).mean()),
                float(_joined(judged, "chosen_cost", name, alpha).sum()),
                float(np.concatenate([_reward(one, name, alpha) for one in judged]).mean()),
            )
            for alpha in alphas
        }
        for name in common(judged, "choice")
    }


def _joined(judged: Judged, variable: str, choice: str, alpha: float) -> Float[np.ndarray, " query"]:
    return np.concatenate([one[variable].sel(choice=choice, alpha=alpha).values for one in judged])


def _reward(one: xr.Dataset, choice: str, alpha: float) -> Float[np.ndarray, " query"]:
    return rewards(one.sel(choice=[choice]), alpha)[0]


def curve_scores(judged: Judged, alphas: Sequence[float]) -> dict[str, dict[str, float]]:
    """By choice: AIQ in percent, and RouterArena's score at each alpha. By method also APGR, CPT at 50 and 80 %,
    the mean regret in utility (percent), and how often the oracle's LLM is among the first k.

    Costs are in units of the dearest candidate's; AIQ's range goes from the largest of the methods' least
    costs to 1, the dearest. NaN where a choice has no point so cheap.
    """
    choices, methods = common(judged, "choice"), common(judged, "predictor")
    if not choices:
        return {}
    grid = [float(alpha) for alpha in judged[0]["alpha"].values]
    share = {name: np.array([_cost_share(judged, name, alpha) for alpha in grid]) for name in choices}
    accuracy = {
        name: np.array([100 * _joined(judged, "chosen_score", name, alpha).mean() for alpha in grid])
        for name in choices
    }
    low = max(share[name].min() for name in methods)
    found: dict[str, dict[str, float]] = {}
    for name in choices:
        found[name] = {"aiq": aiq(share[name], accuracy[name], low, 1.0) if low < 1 else float("nan")}
        for alpha in alphas:
            at = grid.index(alpha)
            found[name][f"router_arena_{alpha:g}"] = router_arena_score(
                accuracy[name][at] / 100, 1000 * float(_joined(judged, "chosen_cost", name, alpha).mean())
            )
            regret = [(_reward(one, "oracle", alpha) - _reward(one, name, alpha)) for one in judged]
            found[name][f"regret_{alpha:g}"] = float(np.concatenate(regret).mean())
        if name in methods:
            found[name] |= _weak_and_strong(judged, name)
            for alpha in alphas:
                rank = np.concatenate(
                    [one["oracle_rank"].sel(predictor=name, alpha=alpha).values for one in judged]
                )
                found[name] |= {f"oracle_in_top_{k}_at_{alpha:g}": float((rank < k).mean()) for k in TOP}
    return found


def aiq_differences(
    judged: Judged, rng: np.random.Generator, against: str = MODEL, *, sets: bool = False
) -> dict[str, PairedDifference]:
    """AIQ of each choice minus that of ``against``, with the interval of :func:`paired_differences`: in every resample of the queries (of
    whole sets, if so wanted) the curves, and the cost range that they have in common, are made anew. A choice without a point so cheap
    is left out.
    """
    choices, methods = common(judged, "choice"), common(judged, "predictor")
    if against not in choices:
        return {}
    grid = [float(alpha) for alpha in judged[0]["alpha"].values]
    score = np.stack([[_joined(judged, "chosen_score", name, alpha) for alpha in grid] for name in choices])
    share = np.stack(
        [[np.concatenate(_cost_shares(judged, name, alpha)) for alpha in grid] for name in choices]
    )
    queries, compared = score.shape[-1], np.isin(choices, methods)
    group = set_numbers(judged) if sets else np.arange(queries)
    groups = int(group.max()) + 1

    def areas(times: Float[np.ndarray, " query"]) -> Float[np.ndarray, " choice"]:
        cost, quality = share @ times / times.sum(), 100 * (score @ times) / times.sum()
        low = cost[compared].min(axis=1).max()
        if not low < 1:
            return np.full(len(choices), np.nan)
        return np.array([aiq(c, q, low, 1.0) for c, q in zip(cost, quality, strict=True)])

    whole, at = areas(np.ones(queries)), choices.index(against)
    drawn = np.stack(
        [
            areas(rng.multinomial(groups, np.full(groups, 1 / groups))[group].astype(np.float64))
            for _ in range(AIQ_RESAMPLES)
        ]
    )
    drawn -= drawn[:, [at]]
    found = {}
    for k, name in enumerate(choices):
        if k != at and np.isfinite(whole[k] - whole[at]) and np.isfinite(drawn[:, k]).any():
            lower, upper = np.nanquantile(drawn[:, k], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
            found[name] = PairedDifference(float(whole[k] - whole[at]), float(lower), float(upper))
    return found


def _cost_share(judged: Judged, choice: str, alpha: float) -> float:
    return float(np.concatenate(_cost_shares(judged, choice, alpha)).mean())


def _cost_shares(judged: Judged, choice: str, alpha: float) -> list[Float[np.ndarray, " query"]]:
    """Of each set, what its queries cost in units of its dearest candidate's mean cost."""
    return [
        one["chosen_cost"].sel(choice=choice, alpha=alpha).values
        / max(float(one.attrs["dearest_usd"]), 1e-300)
        for one in judged
    ]


def _weak_and_strong(judged: Judged, method: str) -> dict[str, float]:
    """APGR and CPT between the cheapest candidate and the best on train: means of the sets, weighted by queries, over those sets in which
    the strong one is better; NaN where there are none.

    Gains predicted by different fits are not ranked together, because who is weak and strong may differ.
    """
    found, size = [], []
    for one in judged:
        weak, strong = one.attrs["weak"], one.attrs["strong"]
        p, score = one["p"].sel(predictor=method), one["score"]
        curve = strong_call_curve(
            (p.sel(llm=strong) - p.sel(llm=weak)).values.astype(np.float64),
            score.sel(llm=weak).values,
            score.sel(llm=strong).values,
        )
        ends = float(curve[0]), float(curve[-1])
        found.append([apgr(curve, *ends), cpt(curve, *ends, 0.5), cpt(curve, *ends, 0.8)])
        size.append(one.sizes["query"])
    defined, weight = np.isfinite(found), np.array(size, dtype=np.float64)[:, None]
    with np.errstate(invalid="ignore"):
        mean = np.where(defined, found, 0.0).T @ weight / (defined * weight).sum(axis=0)[:, None]
    mean = mean[:, 0]
    return {"apgr": float(mean[0]), "cpt_50": float(mean[1]), "cpt_80": float(mean[2])}


def reward_differences(
    judged: Judged,
    alphas: Sequence[float],
    rng: np.random.Generator,
    against: str = MODEL,
    *,
    sets: bool = False,
) -> dict[str, dict[str, PairedDifference]]:
    """Reward of each choice minus that of ``against``, by choice and alpha; negative where ``against`` is better. ``sets``: see
    :func:`aiq_differences`.
    """
    choices = common(judged, "choice")
    others = [name for name in choices if name != against]
    if against not in choices or not others:
        return {}
    found: dict[str, dict[str, PairedDifference]] = {name: {} for name in others}
    for alpha in alphas:
        table = {name: np.concatenate([_reward(one, name, alpha) for one in judged]) for name in choices}
        columns = np.stack([table[name] - table[against] for name in others], axis=1)
        group = set_numbers(judged) if sets else None
        paired = paired_differences(columns, np.ones(len(columns)), rng, group=group)
        for name, one in zip(others, paired, strict=True):
            found[name][f"{alpha:g}"] = one
    return found
