"""What every format has in common: a name, a way to recognise it, and a way to read it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class Tables:
    """The canonical tables of `data/schema.py`, in memory.

    Attributes:
        responses: `query_id`, `llm`, `score`, what is known of `input_tokens`, `output_tokens`, `cost_usd`, and
            `trial` where an LLM answered a query more than once.
        queries: `query_id`, what is known of `task` and `split`, and `text`, unless the format carries no texts.
        llms: `llm` and what is known of each; None where the source has no table of LLMs.
    """

    responses: pd.DataFrame
    queries: pd.DataFrame
    llms: pd.DataFrame | None = None


@dataclass(frozen=True)
class Format:
    """One format that people already have.

    Attributes:
        name: after `--format`.
        layout: what a source consists of, in a line.
        recognises: whether a path looks like this format. Looks at names and beginnings only, and never raises
            InputError.
        read: the source's tables, given the names of the metrics to take as the score. Raises InputError.
        has_metrics: whether a source may hold several scores, among which the metrics' names choose.
    """

    name: str
    layout: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, Sequence[str]], Tables]
    has_metrics: bool = False
