"""Where a method's choices go and how they fare, from easy to difficult queries (IRT-Router's routing analysis)."""

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from bayes_irt_router.evaluation.choice_scores import rewards
from bayes_irt_router.evaluation.judged import Judged
from bayes_irt_router.evaluation.predictions import MODEL

DECILES = 10
MEASURES = ("queries", "difficulty", "accuracy", "cost_usd", "regret")
MOST_NAMED = 3  # LLMs of a decile in the table for the terminal


def deciles(difficulty: Float[np.ndarray, " query"], parts: int = DECILES) -> Int[np.ndarray, " query"]:
    """The part, 0 being the easiest, that each query is in; parts differ by one query at most.

    Equal difficulties are parted in their order.

    >>> deciles(np.array([0.9, 0.1, 0.5, 0.2]), parts=2).tolist()
    [1, 0, 1, 0]
    """
    part = np.empty(difficulty.size, dtype=np.int64)
    part[np.argsort(difficulty, kind="stable")] = np.arange(difficulty.size) * parts // difficulty.size
    return part


def by_difficulty(judged: Judged, method: str, alpha: float, *, rated_by: str = MODEL) -> pd.DataFrame:
    """Accuracy, cost, regret and shares of the LLMs among a method's choices, by decile of predicted difficulty.

    A query's difficulty is 1 - the mean of p over the candidates, predicted by ``rated_by``: a property of the
    prompt that is known before anybody answers, the same for all methods. Deciles are over all sets together.
    Source: IRT-Router (Song et al. 2025) groups by its difficulty b; departure: with several traits b alone
    does not order queries, the mean prediction does.

    Args:
        judged: sets with routing.
        method: whose choices.
        alpha: weight of correctness, one at which choices were made.
        rated_by: the predictor that rates difficulty.

    Returns:
        One row a decile: ``queries``, ``difficulty`` (mean), ``accuracy`` (percent), ``cost_usd`` (mean of a
        query), ``regret`` (mean of the oracle's reward minus the choice's, see `choice_scores.rewards`), and the
        share of each LLM that is chosen at all, as a column of its name.
    """
    parts = []
    for one in judged:
        names = one["candidate"].values.astype(str)
        at = one.sel(alpha=alpha)
        best, own = rewards(one.sel(choice=["oracle", method]), alpha)
        parts.append(
            pd.DataFrame(
                {
                    "difficulty": 1 - one["p"].sel(predictor=rated_by, llm=names).mean("llm").values,
                    "accuracy": 100 * at["chosen_score"].sel(choice=method).values,
                    "cost_usd": at["chosen_cost"].sel(choice=method).values,
                    "regret": best - own,
                    "llm": names[at["chosen"].sel(predictor=method).values],
                }
            )
        )
    table = pd.concat(parts, ignore_index=True)
    decile = pd.Series(deciles(table["difficulty"].to_numpy()), name="decile")
    means = table.drop(columns="llm").groupby(decile).mean()
    shares = pd.crosstab(decile, table["llm"], normalize="index")
    means.insert(0, "queries", decile.value_counts().sort_index())
    return means.join(shares)


def decile_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """What `by_difficulty` returns, ready for JSON: the shares of the LLMs that were chosen are an object of their own."""
    return [
        {
            "decile": decile,
            "queries": int(row["queries"]),
            **{name: float(row[name]) for name in MEASURES[1:]},
            "llms": {name: float(share) for name, share in row.items() if name not in MEASURES and share > 0},
        }
        for decile, row in enumerate(table.to_dict(orient="records"), start=1)
    ]


def decile_table(table: pd.DataFrame) -> pd.DataFrame:
    """The same for the terminal: the most chosen LLMs of each decile are named with their shares.

    >>> measured = {"queries": [9], "difficulty": [0.2], "accuracy": [90.0], "cost_usd": [0.1], "regret": [2.0]}
    >>> table = pd.DataFrame({**measured, "a": [0.75], "b": [0.25]})
    >>> decile_table(table)["LLMs"].tolist()
    ['a 75 %, b 25 %']
    """
    shares = table.drop(columns=list(MEASURES))
    named = []
    for _, row in shares.iterrows():
        chosen = row[row > 0].sort_values(ascending=False, kind="stable")
        told = [f"{name} {100 * share:.0f} %" for name, share in chosen.iloc[:MOST_NAMED].items()]
        rest = len(chosen) - len(told)
        named.append(", ".join([*told, *([f"{rest} more"] if rest else [])]))
    return pd.DataFrame(
        {
            "decile": table.index + 1,
            "queries": table["queries"],
            "difficulty": table["difficulty"],
            "accuracy %": table["accuracy"],
            "cost USD": table["cost_usd"],
            "regret": table["regret"],
            "LLMs": named,
        }
    )
