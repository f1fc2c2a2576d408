"""Columns by any of the names under which people keep them."""

from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from bayes_irt_router.errors import InputError

# Canonical name: the names that mean the same, the canonical one first.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "query_id": ("query_id", "prompt_id", "sample_id"),
    "llm": ("llm", "model", "model_name", "model_id"),
    "score": ("score", "performance", "label"),
    "text": ("text", "prompt", "query", "question"),
    "task": ("task", "task_name", "eval_name", "category"),
    "split": ("split",),
    "input_tokens": ("input_tokens", "prompt_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens"),
    "cost_usd": ("cost_usd", "cost"),
}
LLM_ALIASES: Mapping[str, tuple[str, ...]] = {
    "llm": ALIASES["llm"],
    "parameters_billion": ("parameters_billion", "size"),
    "input_price_per_million": ("input_price_per_million", "input_price"),
    "output_price_per_million": ("output_price_per_million", "output_price"),
    "capabilities": ("capabilities", "feature", "description", "profile"),
}
_MEANINGS = {"llm": "the LLM", "text": "the query's text", "query_id": "the query's name"}
_SHOWN = 3  # values of a column, as examples


def canonical_columns(
    frame: pd.DataFrame,
    source: str,
    *,
    required: Sequence[str] = ("llm", "score", "text"),
    ignored: Collection[str] = (),
    aliases: Mapping[str, tuple[str, ...]] = ALIASES,
) -> pd.DataFrame:
    """The columns that have a meaning here, under their canonical names.

    Args:
        frame: a table as it was read.
        source: what to call it in a sentence.
        required: canonical names that some column must have.
        ignored: columns that the format documents as something else, whatever they are called.
        aliases: canonical name to the names that mean it.

    Raises:
        InputError: several columns with different contents could mean the same (the readings are listed), or a
            required one is missing; every problem is listed.

    >>> canonical_columns(pd.DataFrame({"model": ["a"], "label": ["1"], "question": ["Why?"]}), "r.csv")
      llm score  text
    0   a     1  Why?
    """
    problems: list[str] = []
    found: dict[str, pd.Series] = {}
    for meaning, names in aliases.items():
        present = [name for name in names if name in frame.columns and name not in ignored]
        # Two columns that hold the same are two names for one reading.
        readings = [
            name for i, name in enumerate(present) if not any(_equal(frame, name, e) for e in present[:i])
        ]
        if len(readings) > 1:
            problems.append(_ambiguous(frame, readings, meaning, source))
        elif readings:
            found[meaning] = frame[readings[0]]
        elif meaning in required:
            columns = ", ".join(map(str, frame.columns)) or "none"
            problems.append(
                f"{source} has no column for {_words(meaning)} (found: {columns}); call it {' or '.join(names)}."
            )
    if problems:
        raise InputError(problems)
    return pd.DataFrame(found, index=frame.index)


def _equal(frame: pd.DataFrame, one: str, other: str) -> bool:
    return bool((frame[one].astype("str") == frame[other].astype("str")).all())


def _ambiguous(frame: pd.DataFrame, readings: Sequence[str], meaning: str, source: str) -> str:
    def example(name: str) -> str:
        values = [str(value) for value in frame[name].head(_SHOWN)]
        return f"{name} ({', '.join(v if len(v) <= 24 else v[:21] + '...' for v in values)}, ...)"

    listed = " or ".join(example(name) for name in readings)
    return f"{source}: {_words(meaning)} may be read from {listed}; remove or rename all but one of these columns."


def _words(meaning: str) -> str:
    return _MEANINGS.get(meaning, f"the {meaning.replace('_', ' ')}")
