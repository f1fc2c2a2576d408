"""All formats, which of them a source is in, and its data."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from bayes_irt_router.data.canonical import dataset_from_tables
from bayes_irt_router.data.readers import (
    embedllm,
    inspect_log,
    irt_router,
    llmrouter,
    llmrouterbench,
    lm_eval,
    long_table,
    py_irt,
    routellm,
    routerarena,
    routerbench,
    zeroeval,
)
from bayes_irt_router.data.readers.aliases import canonical_columns
from bayes_irt_router.data.readers.llm_table import read_llm_table
from bayes_irt_router.data.readers.protocol import Format, Tables
from bayes_irt_router.data.readers.sources import existing, read_frame, refuse_pickle
from bayes_irt_router.errors import InputError

FORMATS: tuple[Format, ...] = (
    irt_router.FORMAT,
    routerbench.FORMAT,
    routellm.FORMAT,
    llmrouter.FORMAT,
    llmrouterbench.FORMAT,
    embedllm.FORMAT,
    py_irt.FORMAT,
    lm_eval.FORMAT,
    inspect_log.FORMAT,
    zeroeval.FORMAT,
    routerarena.FORMAT,
    long_table.FORMAT,
)


def format_named(name: str) -> Format:
    """The format of this name.

    Raises:
        InputError: there is none; the names there are are listed.
    """
    for one in FORMATS:
        if one.name == name:
            return one
    raise InputError(f"There is no format {name!r}; choose from {', '.join(one.name for one in FORMATS)}.")


def detected_format(source: Path) -> Format:
    """The one format that a source looks like; `long`, which says least, only where no other fits.

    Raises:
        InputError: it looks like none, or like several; those are listed.
    """
    refuse_pickle(existing(source))
    found = [one for one in FORMATS if one.recognises(source)]
    if len(found) > 1:
        found = [one for one in found if one is not long_table.FORMAT]
    if len(found) == 1:
        return found[0]
    if found:
        readings = "; ".join(f"{one.name} ({one.layout})" for one in found)
        raise InputError(f"{source} may be read as {readings}: choose one with --format.")
    names = ", ".join(one.name for one in FORMATS)
    raise InputError(f"{source} looks like none of the formats known; name one with --format: {names}.")


def read_source(
    source: Path,
    one: Format,
    *,
    metrics: Sequence[str] = (),
    queries: Path | None = None,
    llms: Path | None = None,
) -> xr.Dataset:
    """The canonical dataset of a source.

    Args:
        source: a file or folder.
        one: its format.
        metrics: names of the metrics to take as the score, where the format has several.
        queries: a table of the queries' names and texts, for a format without texts.
        llms: what is known of the LLMs, as `read_llm_table` reads it; goes before what the source says.

    Raises:
        InputError: the source is damaged, ambiguous or not of this format; every problem is listed.
    """
    if metrics and not one.has_metrics:
        raise InputError(f"The format {one.name} has one score only; leave --metric out.")
    tables = one.read(source, metrics)
    query_table = _with_texts(tables, queries, one)
    llm_table = read_llm_table(llms) if llms is not None else tables.llms
    return dataset_from_tables(
        tables.responses,
        query_table,
        None if llm_table is None else _complete(llm_table, tables.responses),
        {"responses": str(source), "queries": str(queries or source), "llms": str(llms or source)},
    )


def _with_texts(tables: Tables, queries: Path | None, one: Format) -> pd.DataFrame:
    carries_texts = "text" in tables.queries
    if queries is None:
        if carries_texts:
            return tables.queries
        raise InputError(
            f"The format {one.name} has no texts; add --queries FILE, a table of query_id and text."
        )
    if carries_texts:
        raise InputError(f"The format {one.name} carries the queries' texts; leave --queries out.")
    return canonical_columns(read_frame(queries), str(queries), required=["query_id", "text"])


def _complete(llms: pd.DataFrame, responses: pd.DataFrame) -> pd.DataFrame:
    """The table of LLMs with a row, otherwise empty, for each LLM that only the responses know."""
    missing = pd.Index(responses["llm"].unique()).difference(pd.Index(llms["llm"].astype("str")), sort=False)
    rows = pd.DataFrame({name: np.full(len(missing), None) for name in llms}).assign(llm=missing.to_numpy())
    return pd.concat([llms.astype(object), rows.astype(object)], ignore_index=True) if len(missing) else llms
