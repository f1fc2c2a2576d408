"""lm-evaluation-harness: `<model>/samples_<task>_<time>.jsonl`, written with `--log_samples`.

The LLM is the `model_name` in the `results_<time>.json` beside the file, otherwise the folder's name with `__` for
the slash. The query's text is the document's question where the document has exactly one column of that meaning,
otherwise the context of the first request. Scores are the metrics between 0 and 1, one for each filter; where there
are several, the user names one.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bayes_irt_router.data.files import read_json_lines
from bayes_irt_router.data.readers.aliases import ALIASES
from bayes_irt_router.data.readers.answers import canonical_tables
from bayes_irt_router.data.readers.metric_choice import chosen_metric
from bayes_irt_router.data.readers.protocol import Format, Tables
from bayes_irt_router.data.readers.sources import (
    every,
    existing,
    files_below,
    has_columns,
    read_json,
    refuse_pickle,
)
from bayes_irt_router.errors import InputError

_NAME = re.compile(r"samples_(?P<task>.+?)(?:_(?P<time>\d{4}-\d{2}-\d{2}T.+))?\.jsonl")
_NOT_SCORES = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"}
_UNFILTERED = (None, "none")


def recognises(source: Path) -> bool:
    """Whether the first file called `samples_*.jsonl` has the documented keys."""
    files = files_below(source, "samples_*.jsonl")
    return bool(files) and has_columns(files[0], "doc_id", "doc", "arguments")


def read(source: Path, metrics: Sequence[str]) -> Tables:
    """Read a file or everything in a folder."""
    rows: list[dict[str, object]] = []
    problems: list[str] = []
    for path in every(files_below(existing(source), "samples_*.jsonl"), source, "files samples_*.jsonl"):
        try:
            rows += _answers(path, metrics)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return canonical_tables(pd.DataFrame(rows, dtype=object), str(source))


def _answers(path: Path, metrics: Sequence[str]) -> Iterator[dict[str, object]]:
    refuse_pickle(path)
    named = _NAME.fullmatch(path.name)
    task = named["task"] if named else path.stem
    llm = _llm(path, named["time"] if named else None)
    lines = read_json_lines(path)
    wrong = [
        f"{path}, data row {number}: it has no doc_id or no doc; write the samples again with --log_samples."
        for number, line in enumerate(lines, start=1)
        if not isinstance(line.get("doc_id"), int | str) or not isinstance(line.get("doc"), dict)
    ]
    if wrong:
        raise InputError(wrong[:20])
    if not lines:
        raise InputError(f"{path} holds no samples; remove it.")
    scores = [_scores(line) for line in lines]
    metric = chosen_metric({name for found in scores for name in found}, metrics, str(path))
    for number, (line, found) in enumerate(zip(lines, scores, strict=True), start=1):
        if metric in found or _filter_of(line) == _filter_of_name(metric):
            yield {
                "query_id": f"{task}/{line['doc_id']}",
                "llm": llm,
                "score": found.get(metric),
                "text": _text(line),
                "task": task,
                "source": str(path),
                "row": number,
            }


def _llm(path: Path, time: str | None) -> str:
    results = path.with_name(f"results_{time}.json")
    if time is not None and results.is_file():
        content = read_json(results)
        name = content.get("model_name") if isinstance(content, dict) else None
        if isinstance(name, str) and name.strip():
            return name
    return path.resolve().parent.name.replace("__", "/")


def _scores(line: dict[str, Any]) -> dict[str, float]:
    names = line.get("metrics")
    known = names if isinstance(names, list) else [name for name in line if name not in _NOT_SCORES]
    suffix = _filter_of(line)
    return {
        f"{name},{suffix}" if suffix else str(name): float(line[name])
        for name in known
        if isinstance(name, str) and isinstance(line.get(name), int | float) and 0 <= line[name] <= 1
    }


def _filter_of(line: dict[str, Any]) -> str:
    return "" if line.get("filter") in _UNFILTERED else str(line["filter"])


def _filter_of_name(metric: str) -> str:
    return metric.partition(",")[2]


def _text(line: dict[str, Any]) -> object:
    document = line["doc"]
    questions = [
        name for name in ALIASES["text"] if isinstance(document.get(name), str) and document[name].strip()
    ]
    if len(questions) == 1:
        return document[questions[0]]
    request: Any = line.get("arguments")
    # A list of requests, each a list of arguments; newer versions write {"gen_args_0": {"arg_0": ...}}.
    for _ in range(2):
        if isinstance(request, dict):
            request = next(iter(request.values()), None)
        elif isinstance(request, list):
            request = request[0] if request else None
    return request


FORMAT = Format(
    "lm-eval",
    "lm-evaluation-harness: samples_<task>_<time>.jsonl in folders named after LLMs",
    recognises,
    read,
    True,
)
