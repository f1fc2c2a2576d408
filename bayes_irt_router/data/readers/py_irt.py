"""py-irt: JSON Lines `{"subject_id": LLM, "responses": {query: 0 or 1, ...}}`.

The format has no texts; they come from a table of queries.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bayes_irt_router.data.files import read_json_lines
from bayes_irt_router.data.readers.answers import canonical_tables
from bayes_irt_router.data.readers.protocol import Format, Tables
from bayes_irt_router.data.readers.sources import existing, has_columns, refuse_pickle
from bayes_irt_router.errors import InputError


def recognises(source: Path) -> bool:
    """Whether the first line has the two keys."""
    return source.suffix == ".jsonl" and has_columns(source, "subject_id", "responses")


def read(source: Path, metrics: Sequence[str]) -> Tables:
    """Read a file."""
    refuse_pickle(source)
    if existing(source).is_dir():
        raise InputError(f"{source} is a folder; name the JSON Lines file in it.")
    problems: list[str] = []
    rows: list[dict[str, object]] = []
    for number, line in enumerate(read_json_lines(source), start=1):
        responses = line.get("responses")
        if "subject_id" not in line or not isinstance(responses, dict):
            problems.append(
                f'{source}, data row {number}: not of the form {{"subject_id": ..., "responses": {{...}}}}; mend it.'
            )
            continue
        rows += [
            {"query_id": query, "llm": line["subject_id"], "score": score, "row": number}
            for query, score in responses.items()
        ]
    if problems:
        raise InputError(problems[:20])
    answers = pd.DataFrame(rows, dtype=object).assign(source=str(source))
    return canonical_tables(answers, str(source), texts=False)


FORMAT = Format(
    "py-irt", "JSON Lines: subject_id, responses; needs --queries for the texts", recognises, read
)
