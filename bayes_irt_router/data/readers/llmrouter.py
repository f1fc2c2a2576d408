"""LLMRouter: JSON Lines with `task_name, query, model_name, performance, input_tokens, output_tokens, ...`.

A folder's `.json` file of LLMs (`size, feature, input_price, output_price, model`) is read with it; the LLMs are
named by its keys.
"""

from collections.abc import Sequence
from pathlib import Path

from bayes_irt_router.data.readers.llm_table import read_llm_table
from bayes_irt_router.data.readers.long_table import long_tables
from bayes_irt_router.data.readers.protocol import Format, Tables
from bayes_irt_router.data.readers.sources import existing, has_columns, head
from bayes_irt_router.errors import InputError


def response_files(source: Path) -> list[Path]:
    """The response files of a source."""
    return sorted(source.glob("*.jsonl")) if source.is_dir() else [source]


def recognises(source: Path) -> bool:
    """Whether the first response file has the documented columns."""
    files = response_files(source)
    return (
        bool(files)
        and files[0].suffix == ".jsonl"
        and has_columns(files[0], "task_name", "query", "model_name", "performance")
    )


def read(source: Path, metrics: Sequence[str]) -> Tables:
    """Read a file or a folder."""
    tables = long_tables(source, response_files(existing(source)))
    if not source.is_dir():
        return tables
    found = [path for path in sorted(source.glob("*.json")) if '"input_price"' in head(path)]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise InputError(f"{source} holds several JSON files of LLMs, {names}; keep one.")
    return Tables(tables.responses, tables.queries, read_llm_table(found[0]) if found else None)


FORMAT = Format(
    "llmrouter",
    "JSON Lines: task_name, query, model_name, performance, ...; or a folder with the JSON of LLMs beside them",
    recognises,
    read,
)
