"""The canonical layout: the columns of the three tables, and one pass that finds everything wrong in them.

`responses`: one row for one answer of one LLM to one query. Several answers of an LLM to a query are trials.
Give them a column that tells them apart, such as `trial`: a row that equals another in every column is taken
for an accident. `queries`: one row for one query. `llms`: one row for one LLM.

Columns beyond those listed here are allowed and ignored, but they do tell rows apart.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

Kind = Literal["text", "number", "boolean", "month"]
TableName = Literal["responses", "queries", "llms"]


@dataclass(frozen=True)
class Column:
    """What one column holds.

    Attributes:
        name: as it stands in the file.
        kind: "text", "number", "boolean" (true or false) or "month" (YYYY-MM).
        meaning: one sentence, with the unit.
        required: the column must exist and every cell must be filled; otherwise both may be missing.
        least, most: smallest and largest allowed number, themselves included.
        positive: zero is not allowed either.
        whole: only whole numbers.
    """

    name: str
    kind: Kind
    meaning: str
    required: bool = False
    least: float = 0.0
    most: float = np.inf
    positive: bool = False
    whole: bool = False

    @property
    def expected(self) -> str:
        """What a cell should hold, as the end of a sentence: "write ..."."""
        if self.kind == "text":
            return "a text that is not empty"
        if self.kind == "boolean":
            return "true or false"
        if self.kind == "month":
            return "YYYY-MM, such as 2024-07"
        noun = "a whole number" if self.whole else "a number"
        if self.most < np.inf:
            return f"{noun} from {self.least:g} to {self.most:g}"
        if self.positive:
            return f"{noun} above 0"
        return f"{noun} of at least {self.least:g}"


_PRICE = "list price in USD per million {} tokens; an explicit 0 is valid"

TABLES: Mapping[TableName, tuple[Column, ...]] = {
    "responses": (
        Column("query_id", "text", "the query that was asked", required=True),
        Column("llm", "text", "the LLM that answered", required=True),
        Column("score", "number", "0 wrong, 1 right, between them partly right", required=True, most=1),
        Column("input_tokens", "number", "tokens the LLM read"),
        Column("output_tokens", "number", "tokens the LLM wrote"),
        Column("cost_usd", "number", "what the answer cost, in USD"),
        Column(
            "trials",
            "number",
            "how many answers this row is the mean of; 1 when empty",
            least=1,
            most=1e9,
            whole=True,
        ),
    ),
    "queries": (
        Column("query_id", "text", "unique name of the query", required=True),
        Column("text", "text", "the prompt", required=True),
        Column("task", "text", "what the query belongs to, such as a benchmark"),
        Column("split", "text", "the part of the data that the query is in, such as train or test"),
    ),
    "llms": (
        Column("llm", "text", "unique name of the LLM", required=True),
        Column("developer", "text", "who trained it"),
        Column("family", "text", "LLMs of one family resemble each other"),
        Column("release_date", "month", "month of the release"),
        Column("parameters_billion", "number", "billions; empty where undisclosed", positive=True),
        Column("context_tokens", "number", "longest input in tokens", positive=True),
        Column("open_weights", "boolean", "whether the weights can be downloaded"),
        Column("input_price_per_million", "number", _PRICE.format("input")),
        Column("output_price_per_million", "number", _PRICE.format("output")),
        Column("capabilities", "text", "what the LLM is said to be good at, in words"),
    ),
}

PRICES = ("input_price_per_million", "output_price_per_million")

_KEYS: Mapping[TableName, str] = {"queries": "query_id", "llms": "llm"}
_SHOWN = 20  # problems of one kind that are written out; the rest are counted


def typed_table(frame: pd.DataFrame, table: TableName) -> pd.DataFrame:
    """The known columns of a table, each in one type whatever the file format was.

    Args:
        frame: as `files.read_table` returns it.
        table: which table it is.

    Returns:
        The columns that `frame` has of `TABLES[table]`, in that order. Text and months are str, "" where
        missing; numbers are float64, NaN where missing or not a number; booleans are float64 1, 0 or NaN.
    """
    return pd.DataFrame(
        {
            column.name: _parsed(frame[column.name], column.kind)
            for column in TABLES[table]
            if column.name in frame.columns
        },
        index=frame.index,
    )


def validate(
    responses: pd.DataFrame,
    queries: pd.DataFrame,
    llms: pd.DataFrame | None,
    sources: Mapping[TableName, str],
) -> list[str]:
    """Every problem in the three tables, in one pass.

    A problem is one sentence with the file, the data row (the first row under a CSV header is data row 1),
    the column, and the mend. Of each kind of problem in a column the first 20 are written out and the rest
    counted.

    Args:
        responses, queries, llms: as `files.read_table` returns them. Without `llms` any LLM name is accepted.
        sources: what to call each table in a sentence, normally its path.

    Returns:
        The sentences; empty when the tables are sound.

    >>> responses = pd.DataFrame({"query_id": ["q1"], "llm": ["a"], "score": [1.5]})
    >>> queries = pd.DataFrame({"query_id": ["q1"], "text": ["What is 1 + 1?"]})
    >>> validate(responses, queries, None, {"responses": "responses.csv", "queries": "queries.csv"})
    ['responses.csv, data row 1, column score: 1.5 is outside [0, 1]; write a number from 0 to 1.']
    """
    frames: dict[TableName, pd.DataFrame] = {"responses": responses, "queries": queries}
    if llms is not None:
        frames["llms"] = llms
    typed = {name: typed_table(frame.reset_index(drop=True), name) for name, frame in frames.items()}
    problems = [
        problem for name, frame in frames.items() for problem in validate_table(frame, name, sources[name])
    ]
    for name, key in _KEYS.items():
        if name in typed and key in typed[name].columns and key in typed["responses"].columns:
            problems += _unknown(
                typed["responses"][key], typed[name][key], sources["responses"], sources[name]
            )
    return problems


def validate_table(frame: pd.DataFrame, table: TableName, source: str) -> list[str]:
    """Every problem that one table has by itself, told as `validate` tells it.

    >>> validate_table(pd.DataFrame({"llm": ["a", "a"]}), "llms", "llms.csv")
    ["llms.csv, data row 2, column llm: duplicate, 'a' is in data row 1; keep one row."]
    """
    raw = frame.reset_index(drop=True)
    typed = typed_table(raw, table)
    problems: list[str] = []
    if raw.empty:
        problems.append(f"{source} holds no rows; add at least one.")
    problems += _missing_columns(raw, table, source)
    for column in TABLES[table]:
        if column.name in raw.columns:
            problems += _bad_cells(raw[column.name], typed[column.name], column, source)
    if table == "responses":
        return problems + _repeated_responses(raw, typed, source)
    return problems + _repeated_keys(typed, _KEYS[table], source)


def _missing_columns(frame: pd.DataFrame, table: TableName, source: str) -> Iterator[str]:
    for column in TABLES[table]:
        if column.required and column.name not in frame.columns:
            found = ", ".join(map(str, frame.columns)) or "none"
            yield f"{source}, column {column.name}: missing (found: {found}); add it, {column.meaning}."


def _bad_cells(raw: pd.Series, typed: pd.Series, column: Column, source: str) -> list[str]:
    """Cells that are empty though required, not of the column's kind, or outside its range."""
    blank = _blank(raw)
    where = f"column {column.name}"
    mend = f"write {column.expected}"
    problems: list[str] = []
    if column.required:
        problems += _listed(source, where, blank, lambda row: f"the cell is empty; {mend}.")
    if column.kind == "text":
        return problems

    def listed(bad: pd.Series, what: str) -> list[str]:
        return _listed(source, where, bad & ~blank, lambda row: f"{_shown(raw[row])} {what}; {mend}.")

    if column.kind == "month":
        return problems + listed(~typed.str.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])"), "is not a month")
    if column.kind == "boolean":
        return problems + listed(typed.isna(), "is neither true nor false")
    problems += listed(typed.isna(), "is not a number")
    bounded = column.most < np.inf
    infinite = typed.abs() == np.inf
    if not bounded:
        problems += listed(infinite, "is infinite")
    low = typed <= 0 if column.positive else typed < column.least
    outside = (low | (typed > column.most)) & (bounded | ~infinite)
    if bounded:
        what = f"is outside [{column.least:g}, {column.most:g}]"
    else:
        what = "is not positive" if column.positive else "is negative"
    problems += listed(outside, what)
    if column.whole:
        problems += listed(~outside & ~infinite & (typed % 1 != 0) & typed.notna(), "is not a whole number")
    return problems


def _repeated_responses(raw: pd.DataFrame, typed: pd.DataFrame, source: str) -> list[str]:
    # Known columns compare by value ("1" and "1.0" are one score); unknown ones by their text.
    others = raw.drop(columns=typed.columns).astype("str")
    rows = pd.concat([typed, others], axis=1)
    repeated = rows.duplicated()
    if not repeated.any():
        return []
    first = _first_rows(rows.groupby(list(rows.columns), dropna=False, sort=False).ngroup())

    def sentence(row: int) -> str:
        return (
            f"exact duplicate of data row {first[row] + 1}; remove it, or, if the LLM answered again, "
            "add a column that tells its trials apart, such as trial."
        )

    return _listed(source, "all columns", repeated, sentence)


def _repeated_keys(typed: pd.DataFrame, key: str, source: str) -> list[str]:
    """Keys listed more than once: contradictory prices where prices differ, plain duplicates otherwise."""
    if key not in typed.columns:
        return []
    repeated = typed[key].duplicated() & (typed[key] != "")
    if not repeated.any():
        return []
    problems: list[str] = []
    contradictory = pd.Series(False, index=typed.index)
    for price in PRICES:
        if price in typed.columns:
            differs, sentences = _contradictory_prices(typed, key, price, source)
            contradictory |= differs
            problems += sentences
    first = _first_rows(typed[key])

    def sentence(row: int) -> str:
        return f"duplicate, {_shown(typed[key][row])} is in data row {first[row] + 1}; keep one row."

    return problems + _listed(source, f"column {key}", repeated & ~contradictory, sentence)


def _contradictory_prices(
    typed: pd.DataFrame, key: str, price: str, source: str
) -> tuple[pd.Series, list[str]]:
    """Rows that price an LLM otherwise than the first row that prices it, and the sentences that say so."""
    priced = typed[typed[price].notna() & (typed[key] != "")]
    leading = _first_rows(priced[key])
    expected = leading.map(priced[price])
    differs = (priced[price] != expected).reindex(typed.index, fill_value=False)

    def sentence(row: int) -> str:
        return (
            f"contradictory prices of {_shown(priced[key][row])}, {priced[price][row]:g} here and "
            f"{expected[row]:g} in data row {leading[row] + 1}; keep one row."
        )

    return differs, _listed(source, f"column {price}", differs, sentence)


def _unknown(used: pd.Series, known: pd.Series, source: str, listing: str) -> list[str]:
    """Names in the responses that their own table does not list: each name once, with its first row."""
    unknown = used[~used.isin(known) & (used != "")]
    counts = unknown.value_counts()
    first = ~unknown.duplicated()

    def sentence(row: int) -> str:
        more = counts[used[row]] - 1
        also = f" (and {more} more rows)" if more else ""
        return f"{_shown(used[row])}{also} is not in {listing}; add it there, or remove the responses."

    return _listed(source, f"column {used.name}", first, sentence, noun="unknown names")


def _listed(
    source: str,
    where: str,
    bad: pd.Series,
    sentence: Callable[[int], str],
    noun: str = "rows with the same problem",
) -> list[str]:
    """One line for each of the first bad rows, and one that counts the rest."""
    rows = bad.index[bad]
    lines = [f"{source}, data row {row + 1}, {where}: {sentence(row)}" for row in rows[:_SHOWN]]
    if len(rows) > _SHOWN:
        lines.append(f"{source}, {where}: {len(rows) - _SHOWN} more {noun}.")
    return lines


def _first_rows(keys: pd.Series) -> pd.Series:
    """For each row the index of the first row with the same key."""
    return pd.Series(keys.index, index=keys.index).groupby(keys, sort=False).transform("first")


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _parsed(column: pd.Series, kind: Kind) -> pd.Series:
    if kind in ("text", "month"):
        return column.astype("str").mask(_blank(column), "")
    if kind == "boolean":
        return column.astype("str").str.lower().map({"true": 1.0, "false": 0.0}).astype("float64")
    if pd.api.types.is_bool_dtype(column):  # true is not 1 here, in no format
        return pd.Series(np.nan, index=column.index)
    if column.dtype == object:  # mixed cells of JSON Lines, nested ones and integers of any length among them
        column = column.astype("str")
    numbers = pd.to_numeric(column, errors="coerce")
    return pd.Series(numbers.to_numpy(dtype="float64", na_value=np.nan), index=column.index)


def _blank(column: pd.Series) -> pd.Series:
    if column.dtype == object or pd.api.types.is_string_dtype(column):
        return column.isna() | (column.astype("str").str.strip() == "")
    return column.isna()
