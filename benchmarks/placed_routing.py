"""Routing with a placed LLM, for `calibrate.py`: the regret of knowing it from few answers only, beside the gain of having it at all.

Over queries that the model was not fitted to, among LLMs that answered all of them. What a further LLM brings depends on those that are
there: beside all of them as one pool there are :data:`POOLS` pools of :data:`POOL_SIZE`, drawn from a seed: what somebody deploys.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_irt_router.data.cost import observed_cost
from bayes_irt_router.evaluation.routing_metrics import observed_on_every_query, reward
from bayes_irt_router.irt.response import ItemDistribution
from bayes_irt_router.irt.response import expected_p_correct as expected_over_residuals
from bayes_irt_router.routing.policies import choose, expected_utility

ALPHAS = (0.8, 0.5, 0.2)
QUESTIONS = ("accuracy", "tasks", "regret")  # what the few questions were chosen to tell
POOLS, POOL_SIZE = 100, 5
BOOTSTRAPS = 4000


def rewards(
    unseen: xr.Dataset,
    known_p: np.ndarray,
    placed: Mapping[str, Sequence[tuple[np.ndarray, np.ndarray]]],
    scale_usd: float,
    assume_output_tokens: int | None,
    seed: int,
) -> list[dict[str, Any]] | None:
    """Mean reward without the LLM, with it placed from few answers, and from all; None where it cannot be told.

    Args:
        unseen: data of the queries; the placed LLM is the last one.
        known_p: of the other LLMs, shape (query, known).
        placed: under the names of :data:`QUESTIONS`, from a few answers to questions chosen for that target (several sequences, over which
            rewards are averaged), and under ``all``: the placed LLM's p on every query, and every LLM's predicted cost, shape (query, llm).
        scale_usd: of the costs in the utility.
        assume_output_tokens: where token counts are missing.
        seed: of the pools.

    Returns:
        For all LLMs as one pool and for the drawn pools, and every alpha, the rewards, averaged over pools.
    """
    actual, score = observed_cost(unseen, assume_output_tokens), unseen["score"].values
    observed = observed_on_every_query(score, actual)
    others = np.flatnonzero(observed[:-1])
    if not observed[-1] or len(others) == 0:
        return None
    rng = np.random.default_rng(seed)
    size = min(POOL_SIZE, len(others))
    pools = {"all": [others], "few": [rng.choice(others, size, replace=False) for _ in range(POOLS)]}
    told: list[dict[str, Any]] = []
    for kind, drawn in pools.items():
        for alpha in ALPHAS:
            found: dict[str, list[float]] = {name: [] for name in (*placed, "without")}
            for name, predictions in placed.items():
                for p, usd in predictions:
                    utility = expected_utility(
                        np.column_stack([known_p, p]), usd, alpha=alpha, scale=scale_usd
                    )
                    for pool in drawn:
                        allowed = np.zeros(len(observed), dtype=bool)
                        for label in ("without", name):
                            allowed[pool] = True
                            allowed[-1] = label != "without"
                            choice = choose(np.where(allowed, utility, -np.inf), allowed)
                            positions = np.cumsum(observed)[choice] - 1
                            found[label].append(
                                reward(positions, score[:, observed], actual[:, observed], alpha)
                            )
            mean = {label: float(np.mean(values)) for label, values in found.items()}
            told.append({"pool": kind, "llms": len(drawn[0]), "alpha": alpha, **mean})
    return told


def expected_p_correct(
    items: ItemDistribution, index: np.ndarray, ability: np.ndarray, block: int = 64
) -> np.ndarray:
    """Posterior mean of p_correct on unseen queries, shape (query, llm): parameter draws and, with each, abilities (draw, llm, trait)."""
    means = []
    for start in range(0, items.difficulty_mean.shape[1], block):
        part = slice(start, start + block)
        taken = ItemDistribution(
            items.difficulty_mean[index, part],
            items.difficulty_sd[index, part],
            items.discrimination_mean[index, part],
            items.discrimination_sd[index, part],
            items.discrimination_slope[index],
        )
        means.append(expected_over_residuals(ability.astype(np.float32), taken).mean(axis=0))
    return np.concatenate(means)


def table(routed: Sequence[Sequence[Mapping[str, Any]]], rng: np.random.Generator) -> pd.DataFrame:
    """Regret as a share of the gain, by pool and alpha: the ratio of the sums over the LLMs, with a 95 % interval by resampling them.

    Every LLM counts, one whose gain is nothing or less as well.
    """
    flat = pd.DataFrame([{**row, "of": i} for i, rows in enumerate(routed) for row in rows])
    told = []
    asked = [name for name in QUESTIONS if name in flat]
    for pool, alpha, name in product(flat["pool"].unique(), flat["alpha"].unique(), asked):
        part = flat[(flat["pool"] == pool) & (flat["alpha"] == alpha)]
        gain, regret = ((part["all"] - part[one]).to_numpy() for one in ("without", name))
        picks = rng.integers(len(part), size=(BOOTSTRAPS, len(part)))
        # Where the gain of resampled LLMs is next to nothing, there is no share of it.
        sums = pd.DataFrame({"gain": gain[picks].sum(axis=1), "regret": regret[picks].sum(axis=1)})
        share = (sums["regret"] / sums["gain"]).where(sums["gain"] > 0.01 * gain.sum())
        low, high = share.quantile(0.025), share.quantile(0.975)
        told.append(
            {
                "pool": "all LLMs" if pool == "all" else f"{POOLS} pools of {part['llms'].max()}",
                "alpha": alpha,
                "questions for": name,
                "LLMs placed": len(part),
                "LLMs that help": int((gain > 0).sum()),
                "mean gain": gain.mean(),
                "mean regret": regret.mean(),
                "regret / gain": regret.sum() / gain.sum() if gain.sum() > 0 else np.nan,
                "low": low,
                "high": high,
            }
        )
    return pd.DataFrame(told)
