"""Inspect: logs of one evaluation, `.json` or `.eval` (a zip archive of JSON files).

A sample's text is its `input`, of a conversation the user's messages. Scores are numbers from 0 to 1, true and false,
or Inspect's letters C (1), P (1/2), I and N (0), one for each scorer; where there are several scorers, the user names
one. A scorer that gives other numbers is an error where it is the only one, or the one named. Epochs are trials.
Samples without that score, because of an error say, are left out with a warning.
"""

import math
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bayes_irt_router.data.readers.answers import TRIAL, canonical_tables
from bayes_irt_router.data.readers.metric_choice import chosen_metric
from bayes_irt_router.data.readers.protocol import Format, Tables
from bayes_irt_router.data.readers.sources import (
    every,
    existing,
    files_below,
    head,
    objects,
    parsed_json,
    read_json,
)
from bayes_irt_router.errors import InputError

_LETTERS = {"c": 1.0, "p": 0.5, "i": 0.0, "n": 0.0, "true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}


def log_files(source: Path) -> list[Path]:
    """The file itself, or the logs anywhere in a folder."""
    if not source.is_dir():
        return [source]
    return sorted([*files_below(source, "*.json"), *files_below(source, "*.eval")])


def recognises(source: Path) -> bool:
    """Whether the first file is an archive of samples, or JSON with the documented keys."""
    files = log_files(source)
    if not files:
        return False
    if files[0].suffix == ".eval":
        return zipfile.is_zipfile(files[0])
    beginning = head(files[0])
    return (
        files[0].suffix == ".json"
        and beginning.startswith("{")
        and '"eval"' in beginning
        and '"task"' in beginning
    )


def read(source: Path, metrics: Sequence[str]) -> Tables:
    """Read a log or all logs of a folder."""
    rows: list[dict[str, object]] = []
    problems: list[str] = []
    for path in every(log_files(existing(source)), source, "Inspect logs"):
        try:
            rows += _answers(path, metrics)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return canonical_tables(pd.DataFrame(rows, dtype=object), str(source))


def _answers(path: Path, metrics: Sequence[str]) -> list[dict[str, object]]:
    header, samples = _archive(path) if path.suffix == ".eval" else _whole(path)
    told = header.get("eval") if isinstance(header, dict) else None
    if not isinstance(told, dict) or not all(isinstance(told.get(key), str) for key in ("model", "task")):
        raise InputError(
            f"{path} does not tell the task and the model of the evaluation; name an Inspect log."
        )
    # The same evaluation may lie there twice, as .json and as .eval say; its samples are not trials of each other.
    run = next((told[key] for key in ("eval_id", "run_id") if isinstance(told.get(key), str)), str(path))
    rows, scores = [], []
    for number, sample in enumerate(samples, start=1):
        if not isinstance(sample.get("id"), int | str):
            raise InputError(f"{path}, sample {number}: it has no id; copy the log again.")
        usage = sample.get("model_usage")
        usage = usage.get(told["model"]) if isinstance(usage, dict) else None
        usage = usage if isinstance(usage, dict) else {}
        scores.append(_scores(sample))
        rows.append(
            {
                "query_id": f"{told['task']}/{sample['id']}",
                "llm": told["model"],
                "text": _text(sample.get("input")),
                "task": told["task"],
                "input_tokens": usage.get("input_tokens"),
                "output_tokens": usage.get("output_tokens"),
                TRIAL: f"{run}, {sample.get('epoch')}",
                "source": str(path),
                "row": number,
            }
        )
    metric = _scorer(scores, metrics, path)
    answered = [
        row | {"score": found[metric]} for row, found in zip(rows, scores, strict=True) if metric in found
    ]
    if len(answered) < len(rows):
        warnings.warn(
            f"{path}: left out {len(rows) - len(answered)} of {len(rows)} samples, which have no score {metric}.",
            UserWarning,
            stacklevel=4,
        )
    return answered


def _whole(path: Path) -> tuple[Any, list[dict[str, Any]]]:
    content = read_json(path)
    samples = content.get("samples") if isinstance(content, dict) else None
    return content, objects(samples, f"{path}, samples")


def _archive(path: Path) -> tuple[Any, list[dict[str, Any]]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            # An evaluation that was stopped has no header yet, but began with the same record.
            first = next((name for name in ("header.json", "_journal/start.json") if name in names), None)
            if first is None:
                raise InputError(
                    f"{path} has neither header.json nor _journal/start.json; copy the log again."
                )
            header = parsed_json(archive.read(first), f"{path}, {first}")
            samples = [
                parsed_json(archive.read(name), f"{path}, {name}")
                for name in sorted(names)
                if name.startswith("samples/") and name.endswith(".json")
            ]
    except NotImplementedError:
        raise InputError(
            f"{path} is compressed in a way that Python cannot read here; write it as JSON with "
            "`inspect log convert --to json`, and name that file."
        ) from None
    except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is damaged ({error}); copy the log again.") from None
    return header, objects(samples, f"{path}, samples")


def _scorer(scores: Sequence[dict[str, float]], metrics: Sequence[str], path: Path) -> str:
    """The scorer that is meant; one that goes beyond 0 to 1 is none that can be meant."""
    outside = {
        name: (number, value)
        for number, found in reversed(list(enumerate(scores, start=1)))
        for name, value in found.items()
        if not 0 <= value <= 1
    }
    inside = {name for found in scores for name in found} - set(outside)
    if outside and (not inside or set(metrics) & set(outside)):
        raise InputError(
            [
                f"{path}, sample {number}: the scorer {name} gives {value:g}, but a score must be from 0 to 1; rescale it in the log, or "
                "name another scorer with --metric."
                for name, (number, value) in outside.items()
                if not metrics or name in metrics or not inside
            ]
        )
    return chosen_metric(inside, metrics, str(path))


def _scores(sample: dict[str, Any]) -> dict[str, float]:
    scores = sample.get("scores")
    if not isinstance(scores, dict):
        return {}
    values = {name: _value(score.get("value")) for name, score in scores.items() if isinstance(score, dict)}
    return {name: value for name, value in values.items() if value is not None}


def _value(value: object) -> float | None:
    if isinstance(value, str):
        return _LETTERS.get(value.strip().lower())
    if isinstance(value, int | float) and not math.isnan(value):
        return float(value)
    return None


def _text(given: object) -> object:
    """The input itself, or what the user says in a conversation; parts that are no text (images) are left out."""
    if not isinstance(given, list):
        return given
    contents = [one.get("content") for one in given if isinstance(one, dict) and one.get("role") == "user"]
    said: list[str] = []
    for content in contents:
        parts = content if isinstance(content, list) else [{"text": content}]
        said += [p["text"] for p in parts if isinstance(p, dict) and isinstance(p.get("text"), str)]
    return "\n\n".join(said)


FORMAT = Format("inspect", "Inspect logs, .json or .eval, one or a folder of them", recognises, read, True)
