"""From raw answers, one a row, to the canonical tables; every problem is told with its place."""

import hashlib
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from bayes_irt_router.data.readers.protocol import Tables
from bayes_irt_router.errors import InputError

FIELDS = ("query_id", "llm", "score", "text", "task", "split", "input_tokens", "output_tokens", "cost_usd")
PLACE = ("source", "row")
TRIAL = "trial"
COUNTS = ("input_tokens", "output_tokens", "cost_usd")
_SHOWN = 20  # problems of one kind that are written out; the rest are counted
_TRUTH = {"true": 1.0, "false": 0.0}


def placed(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """The same rows with their place: the columns `source` and `row`, counted from 1."""
    frame = frame.reset_index(drop=True)
    return frame.assign(source=pd.Categorical([source] * len(frame)), row=np.arange(1, len(frame) + 1))


def refuse_repeated_rows(frame: pd.DataFrame, source: str) -> None:
    """Raise InputError where a row of a source equals an earlier one in every column: an accident, not a trial."""
    repeated = frame.astype("str").duplicated().to_numpy()
    if repeated.any():
        mend = "exact duplicate of an earlier row; remove it, or add a column trial"
        raise InputError(_listed(placed(frame, source), pd.Series(repeated), mend))


def canonical_tables(answers: pd.DataFrame, source: str, *, texts: bool = True) -> Tables:
    """Check raw answers and split them into responses and queries.

    A score may be a number or true and false. Where the source has no names for its queries, a query is called
    after the first 16 hexadecimal digits of the SHA-256 of its task and text.

    The rule for an LLM that answers a query more than once is the same for all formats: answers that the column TRIAL tells apart are
    trials. A format that has no repetitions has no such column; there, as among rows of one trial, a second answer is the first one once
    more, and left out with a warning, or contradicts it, and is an error.

    Args:
        answers: columns of FIELDS as far as known, values as they stand in the source, the two of PLACE, and TRIAL where the
            format has repetitions.
        source: what to call the whole in a sentence.
        texts: whether the format carries the queries' texts.

    Raises:
        InputError: a required value is missing or of the wrong kind, or two rows contradict each other about
            their query or about one answer.

    Warns:
        UserWarning: how many rows were left out because they say what an earlier one says.
    """
    answers = answers.reset_index(drop=True)
    if answers.empty:
        raise InputError(f"{source} holds no answers; name a source with at least one.")
    problems: list[str] = []
    typed: dict[str, pd.Series] = {}
    required = {"llm", "score", *(["text"] if texts else ["query_id"])}
    if "query_id" in answers:
        required.add("query_id")
    for field in FIELDS:
        if field not in answers:
            continue
        raw = answers[field]
        blank = _blank(raw)
        if field == "score" or field in COUNTS:
            typed[field], found = _numbers(answers, field, blank)
        else:
            typed[field], found = _texts(answers, field, blank)
        problems += found
        if field in required:
            missing = f"the {_words(field)} is missing; add it"
            problems += _listed(answers, blank, missing)
    if problems:
        raise InputError(problems)
    table = pd.DataFrame(typed)
    if "query_id" not in table:
        table["query_id"] = _query_names(table)
    for field in ("text", "task", "split"):
        if field in table:
            problems += _contradictions(answers, table, field)
    repeated, contradictions = _repeated(answers, table)
    problems += contradictions
    if problems:
        raise InputError(problems)
    if repeated.any():
        warnings.warn(
            f"{source}: left out {int(repeated.sum())} of {len(table)} answers, which repeat earlier ones (the first is that of "
            f"{_place(answers, int(np.flatnonzero(repeated)[0]))}).",
            UserWarning,
            stacklevel=4,
        )
    return Tables(_responses(table[~repeated]), _queries(table))


def _repeated(answers: pd.DataFrame, table: pd.DataFrame) -> tuple[pd.Series, list[str]]:
    """Which rows say once more what an earlier row of the same query, LLM and trial says, and those that say something else."""
    keys = table[["query_id", "llm"]]
    if TRIAL in answers:
        keys = keys.assign(trial=answers[TRIAL].astype("str"))
    answer = keys.groupby(list(keys), sort=False).ngroup()
    again = answer.duplicated()
    first = pd.Series(answer.index[~again], index=answer[~again])[answer].to_numpy()
    problems: list[str] = []
    for field in ("score", *COUNTS):
        if field not in table:
            continue
        here, before = table[field], table[field].to_numpy()[first]
        differs = (here != before) & ~(here.isna() & np.isnan(before))

        def sentence(row: int, field: str = field) -> str:
            return (
                f"the {_words(field)} of the query {_shown(table['query_id'][row])} is {table[field][row]:g} here and "
                f"{table[field][first[row]]:g} in an earlier answer of the same LLM, and this format has no repeated answers here; keep one"
            )

        problems += _listed(answers, differs, sentence)
    return again, problems


def _responses(table: pd.DataFrame) -> pd.DataFrame:
    responses = table[[name for name in ("query_id", "llm", "score", *COUNTS) if name in table]].copy()
    trial = responses.groupby(["query_id", "llm"], sort=False).cumcount() + 1
    if (trial > 1).any():
        responses["trial"] = trial
    return responses


def _queries(table: pd.DataFrame) -> pd.DataFrame:
    columns = [name for name in ("query_id", "task", "split", "text") if name in table]
    return table[columns].drop_duplicates("query_id", ignore_index=True)


def _query_names(table: pd.DataFrame) -> pd.Series:
    task = table["task"] if "task" in table else pd.Series("", index=table.index)
    codes, keys = pd.factorize(task.astype(object) + "\n" + table["text"].astype(object))
    names = [hashlib.sha256(str(key).encode("utf-8")).hexdigest()[:16] for key in keys]
    return pd.Series(np.array(names, dtype=object)[codes], index=table.index)


def _texts(answers: pd.DataFrame, field: str, blank: pd.Series) -> tuple[pd.Series, list[str]]:
    raw = answers[field]
    if (
        pd.api.types.is_float_dtype(raw.dtype)
        and (raw.dropna() % 1 == 0).all()
        and (raw.dropna().abs() < 2**53).all()
    ):
        raw = raw.astype("Int64")  # whole numbers beside missing ones
    problems: list[str] = []
    if raw.dtype == object:
        kinds = (str,) if field == "text" else (str, int)
        wrong = ~raw.map(lambda value: isinstance(value, kinds) and not isinstance(value, bool)).astype(bool)
        problems = _listed(
            answers,
            wrong & ~blank,
            lambda row: f"the {_words(field)} is {_shown(raw[row])}, which is not a text; write one",
        )
    return raw.astype("str").astype(object).mask(blank, ""), problems


def _numbers(answers: pd.DataFrame, field: str, blank: pd.Series) -> tuple[pd.Series, list[str]]:
    raw = answers[field]
    words = raw.astype("str")
    numbers = pd.Series(
        pd.to_numeric(words, errors="coerce").to_numpy(dtype="float64", na_value=np.nan), index=raw.index
    ).mask(blank)
    most, mend = np.inf, "write a number of at least 0"
    if field == "score":
        numbers = numbers.fillna(words.str.strip().str.lower().map(_TRUTH).astype("float64"))
        most, mend = 1.0, "write a number from 0 to 1, or true or false"

    def told(what: str) -> Callable[[int], str]:
        return lambda row: f"the {_words(field)} is {_shown(raw[row])}, which is {what}; {mend}"

    problems = _listed(answers, numbers.isna() & ~blank, told("not a number"))
    outside = (numbers < 0) | (numbers > most) | (numbers == np.inf)
    return numbers, problems + _listed(answers, outside, told("out of range"))


def _contradictions(answers: pd.DataFrame, table: pd.DataFrame, field: str) -> list[str]:
    first = table.groupby("query_id", sort=False)[field].transform("first")
    differs = table[field] != first

    def sentence(row: int) -> str:
        name = _shown(table["query_id"][row])
        return (
            f"the {_words(field)} of the query {name} is {_shown(table[field][row])} here and {_shown(first[row])} before; "
            f"make them one"
        )

    return _listed(answers, differs, sentence)


def _listed(answers: pd.DataFrame, bad: pd.Series, sentence: str | Callable[[int], str]) -> list[str]:
    """One line for each of the first bad rows, and one that counts the rest."""
    rows: Sequence[int] = answers.index[bad.to_numpy(dtype=bool)].tolist()
    lines = [
        f"{_place(answers, row)}: {sentence if isinstance(sentence, str) else sentence(row)}."
        for row in rows[:_SHOWN]
    ]
    if len(rows) > _SHOWN:
        lines.append(f"{answers['source'][rows[_SHOWN]]}: {len(rows) - _SHOWN} more rows like these.")
    return lines


def _place(answers: pd.DataFrame, row: int) -> str:
    llm = answers["llm"][row] if "llm" in answers else None
    named = f" ({llm})" if isinstance(llm, str) and llm.strip() else ""
    return f"{answers['source'][row]}, data row {answers['row'][row]}{named}"


def _words(field: str) -> str:
    return {"llm": "LLM", "query_id": "query's name", "cost_usd": "cost"}.get(field, field.replace("_", " "))


def _shown(value: object) -> str:
    text = " ".join((repr(value) if isinstance(value, str) else str(value)).split())
    return text if len(text) <= 60 else text[:57] + "..."


def _blank(column: pd.Series) -> pd.Series:
    if column.dtype == object or pd.api.types.is_string_dtype(column):
        return column.isna() | (column.astype("str").str.strip() == "")
    return column.isna()
