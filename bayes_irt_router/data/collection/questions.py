"""What is asked: prompts with the answers that are right, from a table."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bayes_irt_router.data.files import read_table
from bayes_irt_router.data.readers.aliases import ALIASES, canonical_columns
from bayes_irt_router.data.text_hash import text_hash
from bayes_irt_router.errors import InputError

COLUMNS: Mapping[str, tuple[str, ...]] = {
    **{name: ALIASES[name] for name in ("query_id", "text", "task", "split")},
    "answer": ("answer", "ground_truth", "target", "expected"),
}


@dataclass(frozen=True)
class Question:
    """A prompt.

    Attributes:
        query: its id.
        text: the prompt.
        task: what it belongs to; "" where not told.
        split: such as train or test; "" where not told.
        answer: what is right; "" where not told.
    """

    query: str
    text: str
    task: str = ""
    split: str = ""
    answer: str = ""


def read_questions(path: Path) -> tuple[Question, ...]:
    """The questions of a table, columns under any of their usual names; without ids a question is called after its text's hash.

    Raises:
        InputError: the table is damaged or ambiguous, a text is missing, or an id is given twice; every problem is listed.
    """
    raw = read_table(path)
    table = canonical_columns(raw, str(path), required=["text"], aliases=COLUMNS)
    words = {name: column if name == "text" else _words(column) for name, column in table.items()}
    frame = pd.DataFrame(words)
    if frame.empty:
        raise InputError(f"{path} holds no prompts; add rows.")
    bad = [row + 1 for row, text in enumerate(frame["text"]) if not isinstance(text, str) or not text.strip()]
    if bad:
        raise InputError(
            f"{path}, data row {', '.join(map(str, bad[:20]))}: there is no text; give it words or drop the row."
        )
    if "query_id" not in frame:
        frame["query_id"] = [text_hash(str(text)) for text in frame["text"]]
    empty = [str(row + 1) for row, name in enumerate(frame["query_id"]) if not name]
    twice = sorted({str(name) for name in frame["query_id"][frame["query_id"].duplicated()] if name})
    problems = []
    if empty:
        problems.append(
            f"{path}, data row {', '.join(empty[:20])}: the query has no name; fill the column or drop it."
        )
    if twice:
        problems.append(f"{path} names {', '.join(twice[:20])} more than once; keep one row each.")
    if problems:
        raise InputError(problems)
    columns = {"query_id": "query", "text": "text", "task": "task", "split": "split", "answer": "answer"}
    return tuple(
        Question(**{field: str(row[name]) for name, field in columns.items() if name in frame})
        for row in frame.to_dict(orient="records")
    )


def _words(column: pd.Series) -> pd.Series:
    """Texts, "" where there is none; whole numbers beside missing ones are floats in memory and none here."""
    if (
        pd.api.types.is_float_dtype(column.dtype)
        and (column.dropna() % 1 == 0).all()
        and (column.dropna().abs() < 2**53).all()
    ):
        column = column.astype("Int64")
    return column.astype("str").mask(column.isna(), "").str.strip()
