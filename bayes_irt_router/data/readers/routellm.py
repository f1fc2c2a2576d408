"""RouteLLM: a wide table of `prompt` and one column of true and false for each LLM.

Where `<model>_response` columns exist, they say which columns are LLMs. Otherwise every column but the prompt's is
one, and a cell that is neither true nor false is an error rather than a reason to leave its column out.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bayes_irt_router.data.readers.aliases import ALIASES
from bayes_irt_router.data.readers.answers import canonical_tables
from bayes_irt_router.data.readers.protocol import Format, Tables
from bayes_irt_router.data.readers.sources import (
    columns_of,
    every,
    existing,
    read_frame,
    split_named,
    table_files,
)
from bayes_irt_router.data.readers.wide_table import INDEX_COLUMNS, OF_A_QUERY, QUERY_COLUMNS, melted
from bayes_irt_router.errors import InputError

RESPONSE = "_response"


def llm_columns(columns: Sequence[str]) -> list[str]:
    """Which columns are LLMs.

    >>> llm_columns(["prompt", "gpt-4", "mixtral"]), llm_columns(["prompt", "answer", "gpt-4", "gpt-4_response"])
    (['gpt-4', 'mixtral'], ['gpt-4'])
    """
    answered = [name for name in columns if name + RESPONSE in columns]
    if answered:
        return answered
    return [name for name in columns if name not in QUERY_COLUMNS and name not in INDEX_COLUMNS]


def recognises(source: Path) -> bool:
    """Whether the first table has a prompt and otherwise LLMs' columns only: nothing else may look like an answer."""
    files = table_files(source)
    columns = columns_of(files[0]) if files else set()
    others = {name for field, names in ALIASES.items() if field not in OF_A_QUERY for name in names}
    return (
        "prompt" in columns
        and len(llm_columns(sorted(columns))) >= 2
        and not columns & (others | {"eval_name"})
        and not any("|" in name for name in columns)
    )


def read(source: Path, metrics: Sequence[str]) -> Tables:
    """Read a table or a folder of tables."""
    files = table_files(existing(source))
    parts = []
    for path in every(files, source, "RouteLLM tables"):
        frame = read_frame(path)
        llms = llm_columns([str(name) for name in frame.columns])
        if not llms:
            raise InputError(f"{path} has no column of an LLM; add one of true and false for each.")
        part = melted(frame, path, llms, {}, [llm + RESPONSE for llm in llms])
        split = split_named(path) if len(files) > 1 else None
        parts.append(part.assign(split=split) if split is not None and "split" not in part else part)
    return canonical_tables(pd.concat(parts, ignore_index=True), str(source))


FORMAT = Format(
    "routellm",
    "a wide table: prompt, <model>, <model> of true and false, with or without <model>_response",
    recognises,
    read,
)
