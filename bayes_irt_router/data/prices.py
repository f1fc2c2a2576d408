"""List prices with their dates, from a table of the user or from LiteLLM's.

Prices change; a fitted model remembers those of its data. A table given later replaces them.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from bayes_irt_router.data.files import read_table
from bayes_irt_router.data.schema import PRICES
from bayes_irt_router.errors import InputError

LITELLM = "litellm"
_ALIASES = {"model": "llm", "input_price": PRICES[0], "output_price": PRICES[1]}


@dataclass(frozen=True)
class Price:
    """What an LLM costs: USD per million input and output tokens, and since when ("" where not told)."""

    input_per_million: float
    output_per_million: float
    date: str


def read_prices(path: Path) -> dict[str, Price]:
    """The latest price of each LLM in a table.

    Columns: `llm` (or `model`), `input_price_per_million` (or `input_price`), `output_price_per_million` (or
    `output_price`), and, where an LLM has several rows, `date` (YYYY-MM-DD or YYYY-MM). The row with the latest date
    counts.

    Raises:
        InputError: a column is missing, a cell is no price or no date, or two rows of one LLM have the same date;
            every problem is listed.
    """
    frame = read_table(path)
    frame = frame.rename(columns={old: new for old, new in _ALIASES.items() if new not in frame.columns})
    missing = [name for name in ("llm", *PRICES) if name not in frame.columns]
    if missing:
        found = ", ".join(map(str, frame.columns)) or "none"
        raise InputError(f"{path} has no column {', '.join(missing)} (found: {found}); add it.")
    if frame.empty:
        raise InputError(f"{path} holds no prices; add a row for each LLM.")
    llm = frame["llm"].astype("str").mask(frame["llm"].isna(), "").str.strip()
    dates = frame["date"] if "date" in frame else pd.Series(None, index=frame.index, dtype=object)
    date = dates.astype("str").mask(dates.isna(), "").str.strip()
    numbers = {name: pd.to_numeric(frame[name].astype("str"), errors="coerce") for name in PRICES}
    problems = [
        f"{path}, data row {row + 1}: it names no LLM; add the name." for row in frame.index[llm == ""]
    ]
    for name, values in numbers.items():
        wrong = values.isna() | (values < 0) | (values == float("inf"))
        problems += [
            f"{path}, data row {row + 1}, column {name}: {str(frame[name][row])!r} is not a price; write USD per million tokens."
            for row in frame.index[wrong]
        ]
    not_dates = (date != "") & ~date.str.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?")
    problems += [
        f"{path}, data row {row + 1}, column date: {date[row]!r} is not a date; write YYYY-MM-DD."
        for row in frame.index[not_dates]
    ]
    repeated = pd.DataFrame({"llm": llm, "date": date}).duplicated() & (llm != "")
    problems += [
        f"{path}, data row {row + 1}: a second price of {llm[row]} with the same date; keep one, or tell their dates."
        for row in frame.index[repeated]
    ]
    if problems:
        raise InputError(problems)
    table: dict[str, Price] = {}
    for row in date.sort_values(kind="stable").index:  # the latest of an LLM comes last
        table[llm[row]] = Price(float(numbers[PRICES[0]][row]), float(numbers[PRICES[1]][row]), date[row])
    return table


def litellm_prices(costs: Mapping[str, Mapping[str, Any]], date: str) -> dict[str, Price]:
    """Prices from LiteLLM's table `model_cost`: per token there, per million tokens here.

    A name with a provider before a slash also counts without it, if all providers ask the same.

    Args:
        costs: name to `{input_cost_per_token, output_cost_per_token, ...}`; entries without both are left out.
        date: of the table.

    >>> litellm_prices({"a/m": {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}}, "")["m"]
    Price(input_per_million=1.0, output_per_million=2.0, date='')
    """
    table: dict[str, Price] = {}
    short: dict[str, set[Price]] = {}
    for name, entry in costs.items():
        given, taken = entry.get("input_cost_per_token"), entry.get("output_cost_per_token")
        if isinstance(given, int | float) and isinstance(taken, int | float) and given >= 0 and taken >= 0:
            # Without the rounding 1.5e-7 USD a token would be 0.15000000000000002 USD a million.
            price = Price(round(given * 1e6, 9), round(taken * 1e6, 9), date)
            table[name] = price
            short.setdefault(name.rpartition("/")[2], set()).add(price)
    unanimous = {
        name: prices.pop() for name, prices in short.items() if len(prices) == 1 and name not in table
    }
    return table | unanimous


def installed_litellm_prices() -> dict[str, Price]:
    """The prices that come with the installed LiteLLM; their date is its version.

    Raises:
        InputError: LiteLLM is not installed.
    """
    # Otherwise importing it asks the network for a newer table.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    try:
        import litellm
    except ImportError:
        raise InputError(
            "LiteLLM is not installed; install bayes_irt_router[collect], or name a table of prices."
        ) from None
    return litellm_prices(litellm.model_cost, f"LiteLLM {version('litellm')}")
