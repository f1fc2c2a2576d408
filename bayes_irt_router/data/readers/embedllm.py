"""EmbedLLM: a table `prompt_id, model_id, category_id, label, model_name, category, prompt`.

A folder's `train`, `val` and `test` tables are its splits; `model_id` and `category_id` are numbers of what
`model_name` and `category` name.
"""

from collections.abc import Sequence
from pathlib import Path

from bayes_irt_router.data.readers.long_table import long_tables
from bayes_irt_router.data.readers.protocol import Format, Tables
from bayes_irt_router.data.readers.sources import columns_of, existing, has_columns, split_named, table_files


def response_files(source: Path) -> list[Path]:
    """The file itself, or the splits in a folder; `model_order` and `question_order` hold no answers."""
    files = table_files(source)
    return [path for path in files if split_named(path)] if source.is_dir() else files


def recognises(source: Path) -> bool:
    """Whether the first table has the documented columns."""
    files = response_files(source)
    return bool(files) and has_columns(files[0], "prompt_id", "label", "model_name", "prompt")


def read(source: Path, metrics: Sequence[str]) -> Tables:
    """Read a table or a folder of splits."""
    files = response_files(existing(source))
    named = any("model_name" in columns_of(path) for path in files)
    return long_tables(source, files, ignored=["model_id"] if named else [])


FORMAT = Format(
    "embedllm",
    "a table, or a folder of train, val and test: prompt_id, model_id, label, model_name, category, prompt",
    recognises,
    read,
)
