"""Does the model know less, and say so, of queries that are unlike those it was fitted to?"""

import numpy as np
import pandas as pd
import xarray as xr

from bayes_irt_router.evaluation.judged import Judged
from bayes_irt_router.evaluation.metrics import SMALLEST_P
from bayes_irt_router.evaluation.predictions import MODEL

PARTS = 5


def by_familiarity(judged: Judged, parts: int = PARTS) -> pd.DataFrame:
    """The observed cells of all sets, in parts of equally many queries, from the least familiar queries to the most familiar ones.

    Args:
        judged: sets of judged queries, with the model's ``familiarity`` and ``sd``.
        parts: how many.

    Returns:
        For each part the range of familiarity, the numbers of queries and answers, the mean over cells of the posterior SD of p, the mean
        prediction and the mean score, and the log loss per answer. Empty where a set lacks what is needed.
    """
    if not all({"familiarity", "sd"} <= set(one.data_vars) for one in judged):
        return pd.DataFrame()
    cells = pd.concat([_cells(one, number) for number, one in enumerate(judged)], ignore_index=True)
    queries = cells.groupby(["set", "query"])["familiarity"].first().sort_values(kind="stable")
    queries = (pd.Series(np.arange(len(queries)), index=queries.index) * parts // len(queries)).rename("part")
    cells = cells.join(queries, on=["set", "query"])
    p = cells["p"].clip(SMALLEST_P, 1 - SMALLEST_P)
    cells["loss"] = -cells["trials"] * (cells["score"] * np.log(p) + (1 - cells["score"]) * np.log1p(-p))
    grouped = cells.groupby("part")
    found = pd.DataFrame(
        {
            "familiarity from": grouped["familiarity"].min(),
            "to": grouped["familiarity"].max(),
            "queries": queries.value_counts().sort_index(),
            "answers": grouped["trials"].sum().astype(int),
            "posterior SD of p": grouped["sd"].mean(),
            "mean p": grouped["p"].mean(),
            "mean score": grouped["score"].mean(),
            "log loss": grouped["loss"].sum() / grouped["trials"].sum(),
        }
    )
    return found.reset_index(drop=True)


def widening(judged: Judged, familiar: Judged) -> float:
    """Mean posterior SD of p in some cells, over that of the same cells where queries like theirs were fitted.

    Args:
        judged: sets of queries like which nothing was fitted, such as tasks left out.
        familiar: other fits' predictions of the same queries.

    Returns:
        The ratio; above 1 where the model says that it knows less. NaN without common cells.
    """
    unlike, like = (
        pd.concat(
            [_cells(one, 0) for one in sets if "sd" in one] or [pd.DataFrame(columns=["query", "llm", "sd"])]
        )
        for sets in (judged, familiar)
    )
    both = unlike.merge(like, on=["query", "llm"], suffixes=("", "_like"))
    return float(both["sd"].mean() / both["sd_like"].mean()) if len(both) else float("nan")


def _cells(one: xr.Dataset, number: int) -> pd.DataFrame:
    """One row for each observed cell of a set."""
    at = one.sel(predictor=MODEL, drop=True)
    score = at["score"].transpose("query", "llm").values
    query, llm = np.nonzero(~np.isnan(score))
    frame = {
        name: at[name].transpose("query", "llm").values[query, llm].astype(np.float64)
        for name in ("score", "trials", "p", "sd")
    }
    if "familiarity" in at:
        frame["familiarity"] = at["familiarity"].values[query]
    return pd.DataFrame(
        {"set": number, "query": at["query"].values[query], "llm": at["llm"].values[llm], **frame}
    )
