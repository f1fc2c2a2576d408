"""Any table with a row for each answer: the names of its columns say what they mean.

A file, or a folder of such files; `train`, `test` or `val` in a file's name is the split of its rows.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from bayes_irt_router.data.readers.aliases import ALIASES, canonical_columns
from bayes_irt_router.data.readers.answers import TRIAL, canonical_tables, placed, refuse_repeated_rows
from bayes_irt_router.data.readers.protocol import Format, Tables
from bayes_irt_router.data.readers.sources import (
    columns_of,
    every,
    existing,
    read_frame,
    split_named,
    table_files,
)
from bayes_irt_router.errors import InputError


def long_tables(source: Path, files: Sequence[Path], ignored: Collection[str] = ()) -> Tables:
    """The canonical tables of some files with a row for each answer.

    Args:
        source: what the user named.
        files: the tables to read.
        ignored: columns that the format documents as something that is of no use here.

    Raises:
        InputError: as `canonical_columns` and `canonical_tables`; the problems of all files together.
    """
    parts: list[pd.DataFrame] = []
    problems: list[str] = []
    for path in every(files, source, "tables with a row for each answer"):
        try:
            frame = read_frame(path)
            refuse_repeated_rows(frame, str(path))
            part = canonical_columns(frame, str(path), ignored=ignored)
        except InputError as error:
            problems += error.problems
            continue
        split = split_named(path) if len(files) > 1 else None
        if split is not None and "split" not in part:
            part = part.assign(split=split)
        parts.append(placed(part, str(path)))
    if problems:
        raise InputError(problems)
    answers = pd.concat(parts, ignore_index=True)
    # Every row is an answer of its own: rows that equal another in all columns were refused above.
    return canonical_tables(answers.assign(**{TRIAL: range(len(answers))}), str(source))


def recognises(source: Path) -> bool:
    """Whether the first table has columns for the LLM, the score and the text, under any of their names."""
    files = table_files(source)
    columns = columns_of(files[0]) if files else set()
    return all(columns & set(ALIASES[name]) for name in ("llm", "score", "text"))


def read(source: Path, metrics: Sequence[str]) -> Tables:
    """Read a table or a folder of tables."""
    return long_tables(source, table_files(existing(source)))


FORMAT = Format(
    "long",
    "any Parquet, CSV or JSON Lines table with a row for each answer: LLM, score, text",
    recognises,
    read,
)
