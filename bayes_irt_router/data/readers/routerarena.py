"""RouterArena: evaluated prediction files, a JSON list of one answer a record.

A record is `{"global index", "prompt", "prediction", "generated_result", "cost", "accuracy", "for_optimality"}`: the LLM is the
`prediction`, the score its `accuracy`, the task what stands before the last underscore of the `global index`. Records that have not been
answered and judged yet are left out with a warning. Each file is a run of its own: an LLM's answers to a query in several files are trials.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bayes_irt_router.data.readers.answers import TRIAL, canonical_tables
from bayes_irt_router.data.readers.protocol import Format, Tables
from bayes_irt_router.data.readers.sources import every, existing, files_below, head, objects, read_json
from bayes_irt_router.errors import InputError


def recognises(source: Path) -> bool:
    """Whether the first JSON file is a list with the documented keys."""
    files = files_below(source, "*.json")
    if not files or files[0].suffix != ".json":
        return False
    beginning = head(files[0])
    return beginning.startswith("[") and '"global index"' in beginning and '"prediction"' in beginning


def read(source: Path, metrics: Sequence[str]) -> Tables:
    """Read a file or everything in a folder."""
    rows: list[dict[str, object]] = []
    problems: list[str] = []
    for path in every(files_below(existing(source), "*.json"), source, "prediction files"):
        try:
            rows += _answers(path)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return canonical_tables(pd.DataFrame(rows, dtype=object), str(source))


def _answers(path: Path) -> list[dict[str, object]]:
    records = objects(read_json(path), str(path))
    if records and all(record.get("accuracy") is None for record in records):
        raise InputError(
            f"{path} holds choices that have not been judged yet; run RouterArena's evaluation on it first."
        )
    rows = [_row(record, path, number) for number, record in enumerate(records, start=1)]
    judged = [row for row in rows if row["score"] is not None]
    if len(judged) < len(rows):
        warnings.warn(
            f"{path}: left out {len(rows) - len(judged)} of {len(rows)} records, which have no accuracy.",
            UserWarning,
            stacklevel=4,
        )
    return judged


def _row(record: dict[str, Any], path: Path, number: int) -> dict[str, object]:
    name, result = record.get("global index"), record.get("generated_result")
    usage = result.get("token_usage") if isinstance(result, dict) else None
    usage = usage if isinstance(usage, dict) else {}
    return {
        "query_id": name,
        "llm": record.get("prediction"),
        "score": record.get("accuracy"),
        "text": record.get("prompt"),
        "task": name.rpartition("_")[0] if isinstance(name, str) else None,
        "input_tokens": usage.get("input_tokens"),
        "output_tokens": usage.get("output_tokens"),
        "cost_usd": record.get("cost"),
        TRIAL: str(path),
        "source": str(path),
        "row": number,
    }


FORMAT = Format(
    "routerarena",
    "RouterArena's evaluated prediction files: a JSON list of global index, prompt, prediction, accuracy, ...",
    recognises,
    read,
)
