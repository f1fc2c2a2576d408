"""Tables with a row for each query and a column for each LLM, made long."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from bayes_irt_router.data.readers.aliases import ALIASES, canonical_columns
from bayes_irt_router.data.readers.answers import placed
from bayes_irt_router.errors import InputError

OF_A_QUERY = ("query_id", "text", "task", "split")
QUERY_COLUMNS = frozenset(name for field in OF_A_QUERY for name in ALIASES[field])
INDEX_COLUMNS = ("", "Unnamed: 0", "index", "__index_level_0__")  # a row number that pandas wrote


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
        ignored: further columns that the format documents, and that are no description of the query.

    Raises:
        InputError: no column holds the query's text, or several could; or a column that is not among `llms` looks like scores.

    Warns:
        UserWarning: which columns were left out.
    """
    _tell_unknown(frame, path, {*llms, *costs.values(), *ignored, *QUERY_COLUMNS, *INDEX_COLUMNS})
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


def looks_like_scores(column: pd.Series) -> bool:
    """Whether all that stands in a column are true, false or numbers from 0 to 1.

    >>> looks_like_scores(pd.Series(["True", "false", None])), looks_like_scores(pd.Series([0.5, 2.0]))
    (True, False)
    """
    words = column.dropna().astype("str").str.strip().str.lower().replace({"true": "1", "false": "0"})
    numbers = pd.to_numeric(words[words != ""], errors="coerce")
    return len(numbers) > 0 and bool(numbers.between(0, 1).all())


def _tell_unknown(frame: pd.DataFrame, path: Path, known: set[str]) -> None:
    unknown = [str(name) for name in frame.columns if str(name) not in known]
    if scores := [name for name in unknown if looks_like_scores(frame[name])]:
        raise InputError(
            f"{path}: {', '.join(scores)} may be scores of an LLM, but lack the columns that go with the others' scores; add those, or "
            "remove the columns."
        )
    if unknown:
        warnings.warn(f"{path}: columns left out: {', '.join(unknown)}.", UserWarning, stacklevel=4)
