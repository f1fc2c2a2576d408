"""ZeroEval: result folders `<task>/<model>.json`, each a list of answers.

The LLM is `generator` or the file's name, the task `dataset` or the folder's name, the query's name `id` or
`session_id`, its text `question` (or another name of that) or the first message of `chat_history`. The score is the
verdict in the file (`matched`, `solved`, or a name of the score). Raw results carry none; where they carry the correct
answer (`correct_answer` or `answer`), the answer in the output's JSON object is compared with it: as numbers where both
are, otherwise as texts without case and outer white space.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bayes_irt_router.data.readers.aliases import ALIASES
from bayes_irt_router.data.readers.answers import canonical_tables, placed
from bayes_irt_router.data.readers.protocol import Format, Tables
from bayes_irt_router.data.readers.sources import every, existing, files_below, head, objects, read_json
from bayes_irt_router.errors import InputError

VERDICTS = ("matched", "solved", "correct", *ALIASES["score"])
TRUTHS = ("correct_answer", "answer")


def recognises(source: Path) -> bool:
    """Whether the first JSON file is a list with the documented keys."""
    files = files_below(source, "*.json")
    if not files or files[0].suffix != ".json":
        return False
    beginning = head(files[0])
    return beginning.startswith("[") and ('"session_id"' in beginning or '"generator"' in beginning)


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
    rows, problems = [], []
    for number, record in enumerate(objects(read_json(path), str(path)), start=1):
        score = _score(record)
        name = next((record[key] for key in ("id", "session_id") if record.get(key) is not None), None)
        if score is None:
            problems.append(
                f"{path}, record {number}: it has neither a verdict ({', '.join(VERDICTS[:3])}) nor the correct answer; "
                "name the parsed results."
            )
        if not isinstance(name, int | str) or isinstance(name, bool):
            problems.append(f"{path}, record {number}: it has no id or session_id; add the query's name.")
        task = record.get("dataset") or path.resolve().parent.name
        rows.append(
            {
                "query_id": f"{task}/{name}",
                "llm": record.get("generator") or path.stem,
                "score": score,
                "text": _text(record),
                "task": task,
            }
        )
    if problems:
        raise InputError(problems[:20])
    return placed(pd.DataFrame(rows, dtype=object), str(path))


def _score(record: dict[str, Any]) -> object:
    verdict = next((record[key] for key in VERDICTS if record.get(key) is not None), None)
    if verdict is not None:
        return verdict
    truth = next((record[key] for key in TRUTHS if record.get(key) is not None), None)
    output = record.get("output")
    output = output[0] if isinstance(output, list) and output else output
    if not isinstance(truth, str | int | float) or not isinstance(output, str):
        return None
    return float(_same(answer_in(output), truth))


def answer_in(output: str) -> object:
    """The value of `answer` in the first JSON object of a text that has one; None if there is none.

    >>> answer_in('Sure: {"reasoning": "9 + 9", "answer": "18"}')
    '18'
    """
    decoder = json.JSONDecoder()
    start = output.find("{")
    while start >= 0:
        try:
            value, _ = decoder.raw_decode(output, start)
            if isinstance(value, dict) and "answer" in value:
                return value["answer"]
        except (ValueError, RecursionError):
            pass
        start = output.find("{", start + 1)
    return None


def _same(given: object, truth: object) -> bool:
    one, other = _number(given), _number(truth)
    if one is not None and other is not None:
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return str(given).strip().casefold() == str(truth).strip().casefold()


def _number(value: object) -> float | None:
    try:
        return float(str(value).replace(",", "").replace("$", "").strip().removesuffix("%"))
    except ValueError:
        return None


def _text(record: dict[str, Any]) -> object:
    text = next((record[key] for key in reversed(ALIASES["text"]) if record.get(key)), None)
    history = record.get("chat_history")
    return history[0] if text is None and isinstance(history, list) and history else text


FORMAT = Format("zeroeval", "ZeroEval result folders: <task>/<model>.json", recognises, read)
