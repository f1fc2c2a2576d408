"""Tables for the terminal: data frames, decisions, the convergence gate and a fitted model's LLMs."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from bayes_irt_router.inference.diagnostics import ConvergenceGate
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.routing.decision import Candidate, Decision

MISSING = "-"
DIGITS = 4  # significant digits of the largest number of a column
MOST_CANDIDATES = 8  # of a decision; the others are counted in its caption
PROMPT_CHARACTERS = 24  # of a prompt, in a table of many


def column_texts(values: pd.Series) -> list[str]:
    """The cells of one column as they are shown; missing ones as a dash.

    The numbers of a column share their decimals: as many as show four significant digits of the largest one
    (three if all are below 1). Amounts of money, which span magnitudes, get three significant digits each: a
    column is one if its name has the word USD.

    >>> column_texts(pd.Series([0.5, 0.123456])), column_texts(pd.Series([12345, 7]))
    (['0.500', '0.123'], ['12,345', '7'])
    >>> column_texts(pd.Series([0.25, 0.0000037], name="cost USD")), column_texts(pd.Series([True, None]))
    (['0.250', '0.00000370'], ['yes', '-'])
    """
    cells = values.tolist()
    numbers = [abs(float(cell)) for cell in cells if _is_number(cell) and math.isfinite(cell) and cell != 0]
    if all(isinstance(cell, int | np.integer) for cell in cells if _is_number(cell)):
        return [_text(cell, 0) for cell in cells]
    largest = max(numbers, default=1.0)
    digits = DIGITS if largest >= 1 else DIGITS - 1
    decimals = max(0, digits - 1 - math.floor(math.log10(largest)))
    money = "USD" in str(values.name)
    return [_text(cell, None if money else decimals) for cell in cells]


def frame_table(title: str, frame: pd.DataFrame, caption: str | None = None) -> Group:
    """A data frame as a titled table, with a caption below it.

    The index is shown if it has text. A single row with more than five columns is shown upright: a row for
    each column.
    """
    texts = pd.DataFrame({str(name): column_texts(frame[name]) for name in frame.columns}, index=frame.index)
    numeric = {str(name): _numeric(frame[name]) for name in frame.columns}
    named = not pd.api.types.is_numeric_dtype(frame.index.dtype)
    if len(frame) == 1 and len(frame.columns) > 5:
        head = str(frame.index[0]) if named else "value"
        texts = pd.DataFrame({"": [_words(name) for name in texts.columns], head: texts.iloc[0].tolist()})
        numeric = {"": False, head: True}
    elif named:
        texts.insert(0, str(frame.index.name or ""), frame.index.astype(str), allow_duplicates=True)
    # Close columns: names are folded where a table is wider than the terminal.
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, collapse_padding=True)
    for name in texts.columns:
        right = numeric.get(name, False)
        table.add_column(
            Text(_words(name)), justify="right" if right else "left", no_wrap=right, overflow="fold"
        )
    for row in texts.itertuples(index=False):
        table.add_row(*(Text(cell) for cell in row))
    parts: list[Any] = [Text(title, style="bold"), table]
    if caption:
        parts.append(Text(caption, style="italic"))
    return Group(*parts)


def markdown_table(frame: pd.DataFrame) -> str:
    """A data frame as a Markdown table, cells as on the terminal; the index is the first column.

    >>> print(markdown_table(pd.DataFrame({"log loss": [0.5]}, index=["model"])))
    |  | log loss |
    |---|---|
    | model | 0.500 |
    """
    columns = [column_texts(frame.index.to_series()), *(column_texts(frame[name]) for name in frame.columns)]
    head = [str(frame.index.name or ""), *map(str, frame.columns)]
    rows = [[_words(name) for name in head], *zip(*columns, strict=True)]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def print_table(title: str, frame: pd.DataFrame, console: Console, caption: str | None = None) -> None:
    """Print a data frame as a titled table, and an empty line after it."""
    console.print(frame_table(title, frame, caption), "")


def decision_table(decision: Decision, title: str | None = None, most: int = MOST_CANDIDATES) -> Group:
    """One decision: its first candidates, the choice on top, and the reason below them."""
    shown = decision.candidates[:most]
    rest = len(decision.candidates) - len(shown)
    caption = decision.reason + (f" {rest} more candidates follow." if rest else "")
    frame = pd.DataFrame([_candidate_row(candidate) for candidate in shown])
    return frame_table(title or f"Prompt {decision.index + 1}: {decision.llm or 'nobody'}", frame, caption)


def decisions_frame(prompts: Sequence[str], decisions: Sequence[Decision]) -> pd.DataFrame:
    """One row for each decision: the prompt's beginning, the chosen LLM, and what is expected of it."""
    return pd.DataFrame(
        [
            {"prompt": shortened(prompt), **_chosen_row(decision)}
            for prompt, decision in zip(prompts, decisions, strict=True)
        ]
    )


def _chosen_row(decision: Decision) -> dict[str, Any]:
    if decision.llm is None:
        return {"LLM": None}
    return _candidate_row(decision.candidates[0], utility=False)


def shortened(text: str, characters: int = PROMPT_CHARACTERS) -> str:
    """The beginning of a text, in one line.

    >>> shortened("Why is\\nthe sky blue?", 12)
    'Why is th...'
    """
    line = " ".join(text.split())
    return line if len(line) <= characters else f"{line[: characters - 3]}..."


def gate_table(gate: ConvergenceGate, title: str = "Convergence") -> Group:
    """The worst r-hat and effective sample size of each sort of quantity, and the verdict below."""
    return frame_table(title, gate.summary(), gate.verdict)


def llm_frame(posterior: Posterior, level: float = 0.89) -> pd.DataFrame:
    """The fitted LLMs by falling general ability.

    Columns: ``llm``; ``answers`` and ``mean_score``, what was fitted; ``ability``, ``lower`` and ``upper``,
    posterior mean and equal-tailed interval of the general ability, in standard deviations of LLMs;
    the prices per million tokens where known; ``sources``, where the model was fitted to several: in which the LLM answered. LLMs
    of several sources are then listed by source and not ranked across: those that link the sources first.
    """
    table = posterior.tree["llms"].to_dataset()
    general = posterior.general_ability.values
    general = general.reshape(-1, general.shape[-1]).astype(np.float64)
    lower, upper = np.quantile(general, [(1 - level) / 2, (1 + level) / 2], axis=0)
    columns: dict[str, Any] = {
        "llm": posterior.llm,
        "answers": table["answers"].values.astype(int),
        "mean_score": table["mean_score"].values.astype(float),
        "ability": general.mean(axis=0),
        "lower": lower,
        "upper": upper,
    }
    for name in ("input_price_per_million", "output_price_per_million"):
        if name in table.coords:
            columns[name] = table[name].values.astype(float)
    frame = pd.DataFrame(columns).sort_values("ability", ascending=False, kind="stable", ignore_index=True)
    groups = source_groups(posterior, frame["llm"].tolist())
    if len(groups) == 1:
        return frame
    frame.insert(1, "sources", "")
    for sources, rows in groups.items():
        frame.loc[rows, "sources"] = sources
    return frame.loc[np.concatenate(list(groups.values()))].reset_index(drop=True)


def source_groups(posterior: Posterior, llms: Sequence[str]) -> dict[str, list[int]]:
    """The places of LLMs by the sources that they answered in, those that link sources first; one group, named "", of a single source.

    Abilities are ranked within a group, and not across: what ties the sources together are a few LLMs only.
    """
    answered = posterior.record.get("llm_sources", {})
    if len(posterior.record.get("sources", [])) < 2 or not answered:
        return {"": list(range(len(llms)))}
    groups: dict[str, list[int]] = {}
    for _, names in sorted({(-len(answered.get(llm, [])), ", ".join(answered.get(llm, []))) for llm in llms}):
        groups[names] = [j for j, llm in enumerate(llms) if ", ".join(answered.get(llm, [])) == names]
    return groups


def interval_text(lower: float, upper: float) -> str:
    """An interval of probabilities.

    >>> interval_text(0.123, 0.9)
    '0.12 to 0.90'
    """
    return f"{lower:.2f} to {upper:.2f}"


def _candidate_row(candidate: Candidate, *, utility: bool = True) -> dict[str, Any]:
    p = candidate.p_correct
    row = {
        "LLM": candidate.llm,
        "P(correct)": p.mean,
        f"{100 * p.level:g}% interval": interval_text(p.lower, p.upper),
        "cost USD": candidate.cost_usd,
        "utility": candidate.utility,
        "P(best)": candidate.p_best,
    }
    return row if utility else {name: value for name, value in row.items() if name != "utility"}


def _is_number(cell: object) -> bool:
    return isinstance(cell, int | float | np.number) and not isinstance(cell, bool | np.bool_)


def _numeric(values: pd.Series) -> bool:
    return any(_is_number(cell) for cell in values.tolist())


def _text(cell: Any, decimals: int | None) -> str:
    """One cell; with ``decimals`` None a number gets three significant digits."""
    if cell is None or cell is pd.NA or (_is_number(cell) and math.isnan(cell)):
        return MISSING
    if isinstance(cell, bool | np.bool_):
        return "yes" if cell else "no"
    if not _is_number(cell):
        return str(cell)
    if decimals is None:
        decimals = 2 if cell == 0 or math.isinf(cell) else max(0, 2 - math.floor(math.log10(abs(cell))))
    return f"{cell:,.{decimals}f}"


def _words(name: str) -> str:
    """A column's name in words: ``log_loss`` is log loss; names that are text already stay."""
    return name.replace("_", " ")
