"""Tables with a row for each query and a column for each LLM, made long."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from bayes_irt_router.data.readers.aliases import ALIASES, canonical_columns
from bayes_irt_router.data.readers.answers import placed

OF_A_QUERY = ("query_id", "text", "task", "split")


def melted(
    frame: pd.DataFrame,
    path: Path,
    llms: Sequence[str],
    costs: Mapping[str, str],
    ignored: Sequence[str] = (),
) -> pd.DataFrame:
    """A row for each LLM and query, without the cells in which no score stands.

    Args:
        frame: the wide table. path: where it comes from.
        llms: the columns of scores; their names are the LLMs'.
        costs: LLM to its column of costs in USD, of those that have one.
        ignored: further columns that are no description of the query.

    Raises:
        InputError: no column holds the query's text, or several could.
    """
    queries = canonical_columns(
        frame,
        str(path),
        required=["text"],
        ignored=[*llms, *costs.values(), *ignored],
        aliases={name: ALIASES[name] for name in OF_A_QUERY},
    )
    parts = []
    for llm in llms:
        part = placed(queries, str(path)).assign(llm=llm, score=frame[llm].astype(object).to_numpy())
        if llm in costs:
            part["cost_usd"] = frame[costs[llm]].astype(object).to_numpy()
        parts.append(part[part["score"].notna()])
    return pd.concat(parts, ignore_index=True)
