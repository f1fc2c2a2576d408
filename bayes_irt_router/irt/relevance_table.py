"""A user's table of which abilities queries ask for, as a source of the relevance prior: clusters in embedding space."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from bayes_irt_router.errors import InputError
from bayes_irt_router.irt.relevance import RelevancePrior, from_labels

MOST_CLUSTERS = 1000  # each is compared with each query
SHOWN = 20  # of one sort of problem


@dataclass(frozen=True, eq=False)
class RelevanceLabels:
    """Which abilities some queries ask for.

    Attributes:
        query: ids.
        cluster: which cluster each is of.
        weight: of the abilities, 0 or 1 or any, rows sum to 1 or are all 0; shape (query, trait).
    """

    query: tuple[str, ...]
    cluster: Int[np.ndarray, " query"]
    weight: Float[np.ndarray, "query trait"]


def read_relevance(path: Path, abilities: Sequence[str]) -> RelevanceLabels:
    """A CSV, Parquet or JSON Lines table of ``query_id`` and ``ability``, a row for each ability that a query asks for.

    Two more columns may be there: ``weight``, 0 or positive (1 without it), of which only proportions within a query count; and
    ``cluster``, the cluster that a query is of. Without it the queries with the same proportions are a cluster.

    Args:
        path: of the table.
        abilities: names of the model's.

    Raises:
        InputError: a column is missing, or rows have empty cells, unknown abilities, weights that are no weights, or come twice.
    """
    from bayes_irt_router.data.files import read_table

    table = read_table(path)
    if missing := [name for name in ("query_id", "ability") if name not in table]:
        raise InputError(f"{path} has no column {' and no column '.join(missing)}; add it.")
    if table.empty:
        raise InputError(f"{path} holds no rows; add a row for each ability that a query asks for.")
    columns = [name for name in ("query_id", "ability", "cluster") if name in table]
    texts = pd.DataFrame({name: _texts(table[name]) for name in columns})
    given = table["weight"] if "weight" in table else pd.Series(1.0, index=table.index)
    weight = pd.to_numeric(given, errors="coerce").astype(np.float64)
    problems: list[str] = []

    def told(bad: pd.Series, sentence: str) -> None:
        rows = np.flatnonzero(bad)
        problems.extend(
            f"{path}, data row {row + 1}: "
            + sentence.format(**texts.iloc[row].to_dict(), weight=given.iloc[row])
            for row in rows[:SHOWN]
        )
        if len(rows) > SHOWN:
            problems.append(f"{path}: {len(rows) - SHOWN} more rows like these.")

    for name in columns:
        told(texts[name] == "", f"{name} is empty; fill it in, or take the row out.")
    known = texts["ability"].isin(list(abilities)) | (texts["ability"] == "")
    told(~known, "there is no ability {ability!r}; its names are those of the table of abilities.")
    told(~weight.between(0.0, np.inf, inclusive="left"), "weight is {weight}; write 0 or a positive number.")
    twice = texts.duplicated(["query_id", "ability"]) & (texts["query_id"] != "") & (texts["ability"] != "")
    told(twice, "{query_id} has the ability {ability!r} more than once; keep one row.")
    if "cluster" in texts:
        first = texts.groupby("query_id")["cluster"].transform("first")
        told(
            texts["cluster"] != first,
            "{query_id} is of more than one cluster; write the same in all its rows.",
        )
    if problems:
        raise InputError(problems)
    place = {name: k for k, name in enumerate(abilities)}
    row, query = pd.factorize(texts["query_id"])
    each = np.zeros((len(query), len(abilities)))
    each[row, texts["ability"].map(place)] = weight
    total = each.sum(axis=1, keepdims=True)
    each = np.divide(each, total, out=np.zeros_like(each), where=total > 0)
    if "cluster" in texts:
        cluster = pd.factorize(texts.groupby(row)["cluster"].first())[0]
    else:
        cluster = np.unique(each.round(6), axis=0, return_inverse=True)[1].ravel()
    return RelevanceLabels(tuple(map(str, query)), cluster, each)


def from_labelled_queries(
    labels: RelevanceLabels, query: Sequence[str], embedding: Float[np.ndarray, "query embedding_dim"]
) -> tuple[RelevancePrior, int]:
    """:func:`from_labels` of the clusters' mean embeddings and mean labels; queries without a label lean on the clusters near them.

    Args:
        labels: of some of the queries, and of others, which are passed over: those of a split that is not fitted.
        query: ids of the queries that are fitted.
        embedding: of these.

    Returns:
        The prior, and how many of the queries have a label.

    Raises:
        InputError: none of the queries has a label, or there are more than 1,000 clusters.
    """
    place = {name: k for k, name in enumerate(query)}
    found = np.array([name in place for name in labels.query])
    if not found.any():
        raise InputError(
            f"None of the {len(labels.query)} queries with relevance is among the {len(query)} that are fitted; give the ids of the "
            "table of queries."
        )
    at = np.array([place[name] for name in labels.query if name in place])
    names, cluster = np.unique(labels.cluster[found], return_inverse=True)
    if len(names) > MOST_CLUSTERS:
        raise InputError(
            f"The labelled queries are of {len(names)} clusters; give at most {MOST_CLUSTERS}, such as by a column cluster."
        )
    member = (cluster.ravel() == np.arange(len(names))[:, None]).astype(np.float64)
    member /= member.sum(axis=1, keepdims=True)
    return from_labels(member @ embedding[at], member @ labels.weight[found]), len(at)


def _texts(values: pd.Series) -> pd.Series:
    """Cells as texts, empty where missing."""
    return values.map(lambda cell: "" if pd.isna(cell) else str(cell).strip()).astype(str)
