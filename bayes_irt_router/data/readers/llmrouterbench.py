"""LLMRouterBench: `results/bench/<dataset>/<split>/<model>/*.json`, each with `performance` and `records`.

A record is `{index, origin_query, prompt, prediction, ground_truth, score, prompt_tokens, completion_tokens, cost}`.
The query's text is `origin_query`, or `prompt` where that is empty. Several files of one LLM are trials.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bayes_irt_router.data.readers.answers import TRIAL, canonical_tables, placed
from bayes_irt_router.data.readers.protocol import Format, Tables
from bayes_irt_router.data.readers.sources import every, existing, files_below, head, objects, read_json
from bayes_irt_router.errors import InputError


def recognises(source: Path) -> bool:
    """Whether the first JSON file has the documented keys."""
    files = files_below(source, "*.json")
    if not files or files[0].suffix != ".json":
        return False
    beginning = head(files[0])
    return beginning.startswith("{") and '"records"' in beginning and '"origin_query"' in beginning


def read(source: Path, metrics: Sequence[str]) -> Tables:
    """Read a file or everything in a folder."""
    parts: list[pd.DataFrame] = []
    problems: list[str] = []
    for path in every(files_below(existing(source), "*.json"), source, "JSON files"):
        try:
            parts.append(_answers(path))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return canonical_tables(pd.concat(parts, ignore_index=True), str(source))


def _answers(path: Path) -> pd.DataFrame:
    content = read_json(path)
    if not isinstance(content, dict) or "records" not in content:
        raise InputError(f"{path} has no records; name the result files of LLMRouterBench.")
    # The folders' names, unless the file tells itself.
    folders = path.resolve().parents
    dataset, split, llm = (
        (
            content.get(key) or folder.name
            for key, folder in zip(
                ("dataset_name", "split", "model_name"), (folders[2], folders[1], folders[0]), strict=True
            )
        )
        if len(folders) > 2
        else (content.get("dataset_name"), content.get("split"), content.get("model_name"))
    )
    rows = [
        {
            "query_id": f"{dataset}/{split}/{_index(record, path, number)}",
            "llm": llm,
            "score": record.get("score"),
            "text": record.get("origin_query") or record.get("prompt"),
            "task": dataset,
            "split": split,
            "input_tokens": record.get("prompt_tokens"),
            "output_tokens": record.get("completion_tokens"),
            "cost_usd": record.get("cost"),
            TRIAL: str(path),
        }
        for number, record in enumerate(objects(content["records"], str(path)), start=1)
    ]
    return placed(pd.DataFrame(rows, dtype=object), str(path))


def _index(record: dict[str, Any], path: Path, number: int) -> str:
    index = record.get("index")
    if not isinstance(index, int | str) or isinstance(index, bool):
        raise InputError(f"{path}, record {number}: it has no index; add the number of the query.")
    return str(index)


FORMAT = Format(
    "llmrouterbench",
    "result files <dataset>/<split>/<model>/*.json with performance and records",
    recognises,
    read,
)
