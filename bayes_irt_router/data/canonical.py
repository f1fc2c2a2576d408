"""The canonical response data in memory: one `xr.Dataset` with the dims `query` and `llm`.

- `query`, `llm`: str names, in the order of their files.
- on `query`: `task`, `split` (str, "" when unknown), `text` (str, the prompt).
- on `llm`, only those the source has: `developer`, `family`, `release_date`, `capabilities` (str, "" when unknown);
  `parameters_billion`, `context_tokens`, `open_weights` (1 or 0), `input_price_per_million`, `output_price_per_million`
  (float64, NaN when unknown).
- `score` (query, llm), float64: mean over the trials, in [0, 1]; NaN where there is no answer.
- `trials` (query, llm), int64: number of answers; 0 where there is none.
- `input_tokens`, `output_tokens`, `cost_usd` (query, llm), float64, only those the source has: means over the trials that report
  them; NaN where none does.

A column without a single value counts as one the source does not have. Strings are held as Python objects,
because fixed-width arrays would give every prompt the length of the longest. `query` is also the name of a
method of `xr.Dataset`: write `dataset["query"]`.
"""

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from bayes_irt_router.data.files import (
    TABLE_SUFFIXES,
    atomic_path,
    find_table,
    read_table,
    tables_named,
    write_table,
)
from bayes_irt_router.data.schema import TABLES, TableName, typed_table, validate
from bayes_irt_router.errors import InputError

ANSWER_MEANS = ("score", "input_tokens", "output_tokens", "cost_usd")
QUERY_COORDS = ("task", "split", "text")
LLM_COORDS = tuple(column.name for column in TABLES["llms"] if column.name != "llm")


def read_dataset(
    directory: Path | None = None,
    *,
    responses: Path | None = None,
    queries: Path | None = None,
    llms: Path | None = None,
) -> xr.Dataset:
    """Read the canonical layout.

    Several rows of one LLM and query are trials: their mean is taken, weighted by the column `trials` where a
    row is itself a mean. Queries and LLMs without an answer are dropped.

    Args:
        directory: a folder that holds `responses`, `queries` and, optionally, `llms`, each as `.parquet`, `.csv` or `.jsonl`.
        responses, queries, llms: single files; each goes before the one in `directory`. Without any `llms` the names come from the
            responses, in the order of their first appearance.

    Returns:
        The dataset described at the top of this module.

    Raises:
        InputError: files are missing or damaged, or their content is not sound; every problem is listed.

    Warns:
        UserWarning: how many queries or LLMs were dropped because nothing was answered.
    """
    tables, sources = _read_tables(directory, {"responses": responses, "queries": queries, "llms": llms})
    return dataset_from_tables(tables["responses"], tables["queries"], tables.get("llms"), sources)


def dataset_from_tables(
    responses: pd.DataFrame,
    queries: pd.DataFrame,
    llms: pd.DataFrame | None,
    sources: Mapping[TableName, str],
) -> xr.Dataset:
    """The same as `read_dataset`, from tables in memory.

    Args:
        responses, queries, llms: as `files.read_table` returns them. sources: what to call each table in a
            sentence.

    Raises:
        InputError: their content is not sound; every problem is listed.

    Warns:
        UserWarning: how many queries or LLMs were dropped because nothing was answered.
    """
    problems = validate(responses, queries, llms, sources)
    if problems:
        raise InputError(problems)
    answers = typed_table(responses, "responses")
    query_table = typed_table(queries, "queries").set_index("query_id")
    if llms is not None:
        llm_table = typed_table(llms, "llms").set_index("llm")
    else:
        llm_table = pd.DataFrame(index=pd.Index(answers["llm"].unique(), name="llm"))
    query_table = _answered(query_table, answers["query_id"], "queries", "has an answer")
    llm_table = _answered(llm_table, answers["llm"], "LLMs", "answered anything")
    return _dataset(answers, query_table, llm_table)


def write_dataset(dataset: xr.Dataset, directory: Path, suffix: str = "parquet") -> None:
    """Write the canonical layout; nothing appears until all three tables are complete.

    The inverse of `read_dataset`.

    Cells with an answer become rows; where a cell has more than one trial, its row is their mean and a column
    `trials` says of how many. Embeddings and features are not part of the layout and are left out.

    Args:
        dataset: as `read_dataset` returns it.
        directory: made when it does not exist; tables of the same names are replaced, other files are left alone.
        suffix: "parquet", "csv" or "jsonl".

    Raises:
        InputError: the suffix is unknown, the place cannot be written to, or it holds these tables in another
        format.
    """
    if f".{suffix}" not in TABLE_SUFFIXES:
        raise InputError(f"Unknown table format {suffix!r}; choose parquet, csv or jsonl.")
    # The order in which they are prepared; they are put in place the other way round, so that `responses`,
    # without which nothing can be read, comes last.
    tables: dict[TableName, pd.DataFrame] = {
        "responses": _responses_table(dataset),
        "llms": _llms_table(dataset),
        "queries": _queries_table(dataset),
    }
    others = [
        path for name in tables for path in tables_named(directory, name) if path.suffix != f".{suffix}"
    ]
    if others:
        names = ", ".join(path.name for path in others)
        raise InputError(f"{directory} already holds {names}; remove them, or write to another folder.")
    with ExitStack() as stack:
        for name, frame in tables.items():
            write_table(stack.enter_context(atomic_path(directory / f"{name}.{suffix}")), frame)


def select_split(dataset: xr.Dataset, split: str) -> xr.Dataset:
    """The queries of one split, in their order. All LLMs stay, also those without an answer there.

    Raises:
        InputError: no query is in that split; the message names the splits there are.
    """
    chosen = np.flatnonzero(dataset["split"].values == split) if split else np.array([], dtype=int)
    if not chosen.size:
        available = sorted(set(dataset["split"].values) - {""})
        known = f"choose one of: {', '.join(available)}" if available else "the queries have no splits"
        raise InputError(f"No query is in split {split!r}; {known}.")
    return dataset.isel(query=chosen)


def select_llms(dataset: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """Some LLMs, in the order of `names`, each once. All queries stay, also those they did not answer.

    Raises:
        InputError: `names` is empty or holds unknown ones; the message lists them and the LLMs there are.
    """
    known = [str(name) for name in dataset["llm"].values]
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise InputError(f"Unknown LLMs: {', '.join(unknown)}; choose from: {', '.join(known)}.")
    if not wanted:
        raise InputError(f"No LLM is named; choose from: {', '.join(known)}.")
    position = {name: index for index, name in enumerate(known)}
    return dataset.isel(llm=[position[name] for name in wanted])


def data_fingerprint(dataset: xr.Dataset) -> str:
    """SHA-256 of what was observed: names, scores and trials.

    The order of queries and LLMs, texts, tasks, tokens, prices and other columns do not change it.

    Returns:
        64 hexadecimal digits.
    """
    queries = [str(name) for name in dataset["query"].values]
    llms = [str(name) for name in dataset["llm"].values]
    rows = sorted(range(len(queries)), key=queries.__getitem__)
    columns = sorted(range(len(llms)), key=llms.__getitem__)
    grid = np.ix_(rows, columns)
    score = dataset["score"].transpose("query", "llm").values[grid].astype("<f8") + 0.0  # -0 becomes 0
    score[np.isnan(score)] = np.nan  # NaN has many bit patterns; keep one
    trials = dataset["trials"].transpose("query", "llm").values[grid].astype("<i8")
    names = json.dumps([[queries[row] for row in rows], [llms[column] for column in columns]])
    digest = hashlib.sha256(names.encode("ascii"))
    digest.update(np.ascontiguousarray(score).tobytes())
    digest.update(np.ascontiguousarray(trials).tobytes())
    return digest.hexdigest()


def _read_tables(
    directory: Path | None, files: dict[TableName, Path | None]
) -> tuple[dict[TableName, pd.DataFrame], dict[TableName, str]]:
    """The tables that exist and what to call them; the problems of all files are raised together."""
    if directory is not None and not directory.is_dir():
        raise InputError(f"{directory} is not a folder; check the path.")
    tables: dict[TableName, pd.DataFrame] = {}
    sources: dict[TableName, str] = {}
    problems: list[str] = []
    for name, file in files.items():
        try:
            if file is None and directory is not None and (name != "llms" or tables_named(directory, name)):
                file = find_table(directory, name)
            if file is not None:
                tables[name] = read_table(file)
                sources[name] = str(file)
            elif name != "llms":
                problems.append(f"No {name} are given; name their file, or the folder that holds it.")
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return tables, sources


def _answered(table: pd.DataFrame, names: pd.Series, noun: str, lacking: str) -> pd.DataFrame:
    """The rows of `table` that occur in the responses; a warning counts the others."""
    used = table.index.isin(names.unique())
    if not used.all():
        unused = table.index[~used]
        warnings.warn(
            f"Dropped {len(unused)} of {len(table)} {noun}: none of them {lacking} "
            f"(the first is {unused[0]!r}).",
            UserWarning,
            stacklevel=4,
        )
    return table[used]


def _dataset(answers: pd.DataFrame, query_table: pd.DataFrame, llm_table: pd.DataFrame) -> xr.Dataset:
    shape = (len(query_table), len(llm_table))
    row = query_table.index.get_indexer(pd.Index(answers["query_id"]))
    column = llm_table.index.get_indexer(pd.Index(answers["llm"]))
    cell = row * shape[1] + column
    weight = answers["trials"].fillna(1.0).to_numpy() if "trials" in answers else np.ones(len(answers))
    trials = np.bincount(cell, weights=weight, minlength=shape[0] * shape[1]).astype(np.int64)

    data: dict[str, tuple[tuple[str, str], np.ndarray]] = {}
    for name in ANSWER_MEANS:
        if name in answers and answers[name].notna().any():
            mean = _cell_means(cell, answers[name].to_numpy(), weight, trials.size)
            data[name] = (("query", "llm"), mean.reshape(shape))
    data["trials"] = (("query", "llm"), trials.reshape(shape))

    coords: dict[str, tuple[str, np.ndarray]] = {"query": ("query", query_table.index.to_numpy(dtype=object))}
    for name in QUERY_COORDS:
        values = query_table[name] if name in query_table else pd.Series("", index=query_table.index)
        coords[name] = ("query", values.to_numpy(dtype=object))
    coords["llm"] = ("llm", llm_table.index.to_numpy(dtype=object))
    for name in LLM_COORDS:
        if name in llm_table and (llm_table[name].notna() & (llm_table[name] != "")).any():
            numeric = pd.api.types.is_float_dtype(llm_table[name].dtype)
            coords[name] = ("llm", llm_table[name].to_numpy(dtype=np.float64 if numeric else object))
    return xr.Dataset(data, coords=coords)


def _cell_means(cell: np.ndarray, values: np.ndarray, weight: np.ndarray, cells: int) -> np.ndarray:
    """Weighted mean of the values in each cell, NaN where there is none, whatever the order of the rows."""
    filled = ~np.isnan(values)
    cell, values, weight = cell[filled], values[filled], weight[filled]
    # Floating-point sums depend on the order of their terms, and so would the fingerprint.
    order = np.lexsort((weight, values, cell))
    cell, values, weight = cell[order], values[order], weight[order]
    totals = np.bincount(cell, weights=values * weight, minlength=cells)
    weights = np.bincount(cell, weights=weight, minlength=cells)
    means = np.full(cells, np.nan)
    np.divide(totals, weights, out=means, where=weights > 0)
    # A single row is its own mean, exactly: w * x / w may differ from x in the last digit.
    single = (np.bincount(cell, minlength=cells) == 1)[cell]
    means[cell[single]] = values[single]
    return means


def _responses_table(dataset: xr.Dataset) -> pd.DataFrame:
    trials = dataset["trials"].transpose("query", "llm").values
    row, column = np.nonzero(trials > 0)
    table = {"query_id": dataset["query"].values[row], "llm": dataset["llm"].values[column]}
    for name in ANSWER_MEANS:
        if name in dataset:
            table[name] = dataset[name].transpose("query", "llm").values[row, column]
    if (trials > 1).any():
        table["trials"] = trials[row, column]
    return pd.DataFrame(table)


def _queries_table(dataset: xr.Dataset) -> pd.DataFrame:
    return pd.DataFrame(
        {"query_id": dataset["query"].values} | {name: dataset[name].values for name in QUERY_COORDS}
    )


def _llms_table(dataset: xr.Dataset) -> pd.DataFrame:
    table = pd.DataFrame(
        {"llm": dataset["llm"].values}
        | {name: dataset[name].values for name in LLM_COORDS if name in dataset.coords}
    )
    if "open_weights" in table:
        table["open_weights"] = table["open_weights"].astype("boolean")
    return table
