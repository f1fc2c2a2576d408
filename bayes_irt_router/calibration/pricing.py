"""The cost model of a changed list of LLMs: one more, one less, another name, another price. The unit of cost stays as fitted."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bayes_irt_router.calibration.answers import Answer
from bayes_irt_router.data.cost import CHARACTERS_PER_TOKEN, CostModel
from bayes_irt_router.data.schema import PRICES
from bayes_irt_router.errors import InputError

_ARRAYS = (*PRICES, "mean_output_tokens", "mean_observed_cost_usd", "characters_per_token")


def with_llm_cost(
    cost: CostModel,
    llm: str,
    info: Mapping[str, Any],
    answers: Sequence[Answer],
    characters: Mapping[str, int],
) -> CostModel:
    """The cost model with one more LLM, or with a known one's entry learned anew.

    Output tokens and characters per token come from the answers that report tokens, else from the known LLM's former entry, else they are
    the median of the other LLMs'; a note says so. Prices not given stay as they were, or unknown. A known LLM's mean observed cost holds
    until it gets another price: from then on the price counts, unless the answers report what they cost.

    Args:
        cost: of the model so far.
        llm: name of the LLM.
        info: columns of the table ``llms``.
        answers: of the LLM.
        characters: length of the asked queries' texts, by query id, where known.
    """
    former = cost.llm.index(llm) if llm in cost.llm else None
    counted = [a for a in answers if a.input_tokens and a.query in characters]
    tokens = sum(float(a.input_tokens or 0.0) for a in counted)
    found = {
        **{name: _number(info.get(name)) for name in PRICES},
        "mean_output_tokens": _mean(answers, "output_tokens"),
        "mean_observed_cost_usd": _mean(answers, "cost_usd"),
        "characters_per_token": sum(characters[a.query] for a in counted) / tokens if tokens else np.nan,
    }
    other_price = former is not None and any(
        not np.isnan(found[name]) and found[name] != getattr(cost, name)[former] for name in PRICES
    )
    notes = list(cost.notes)
    entries = {}
    for name in _ARRAYS:
        value, others = found[name], getattr(cost, name)
        if np.isnan(value) and former is not None and not (other_price and name == "mean_observed_cost_usd"):
            value = float(others[former])
        if np.isnan(value) and name in ("mean_output_tokens", "characters_per_token"):
            known = others[~np.isnan(others)]
            value = float(np.median(known)) if len(known) else np.nan
            if name == "characters_per_token" and np.isnan(value):
                value = CHARACTERS_PER_TOKEN
            elif name == "mean_output_tokens" and not np.isnan(value):
                notes.append(f"Output tokens of {llm} set to the other LLMs' median, {value:.0f}.")
        entries[name] = value
    at = len(cost.llm) if former is None else former
    columns = {name: np.append(getattr(cost, name), np.nan)[: max(len(cost.llm), at + 1)] for name in _ARRAYS}
    for name, values in columns.items():
        values[at] = entries[name]
    names = cost.llm if former is not None else (*cost.llm, llm)
    return _changed(cost, names, columns, tuple(notes))


def counted_tokens(cost: CostModel, llm: str, answers: Sequence[Answer]) -> float:
    """Mean output tokens of the answers that report them, else of the known LLM's former ones; NaN where nobody counted."""
    mean = _mean(answers, "output_tokens")
    if np.isnan(mean) and llm in cost.llm:
        return float(cost.mean_output_tokens[cost.llm.index(llm)])
    return mean


def without_llm_cost(cost: CostModel, llms: Sequence[str]) -> CostModel:
    """The cost model without some LLMs."""
    kept = [i for i, name in enumerate(cost.llm) if name not in llms]
    columns = {name: getattr(cost, name)[kept] for name in _ARRAYS}
    return _changed(cost, tuple(cost.llm[i] for i in kept), columns, cost.notes)


def renamed_cost(cost: CostModel, old: str, new: str) -> CostModel:
    """The cost model with another name for an LLM."""
    return replace(cost, llm=tuple(new if name == old else name for name in cost.llm))


def repriced(cost: CostModel, llm: str, input_price: float, output_price: float) -> CostModel:
    """The cost model with other list prices of an LLM, which from now on count in place of its mean observed cost.

    Raises:
        InputError: a price is negative or not a number, or the LLM's output tokens are unknown.
    """
    problems = [
        f"The {side} price of {llm} is {price}; give USD per million tokens, 0 or more."
        for side, price in (("input", input_price), ("output", output_price))
        if not 0.0 <= price < np.inf
    ]
    i = cost.llm.index(llm)
    if not problems and output_price > 0 and np.isnan(cost.mean_output_tokens[i]):
        problems.append(
            f"The output tokens of {llm} are unknown, so that its price says nothing of its cost; "
            "calibrate it with answers that report output_tokens."
        )
    if problems:
        raise InputError(problems)
    at = np.arange(len(cost.llm)) == i
    changed = replace(
        cost,
        input_price_per_million=np.where(at, input_price, cost.input_price_per_million),
        output_price_per_million=np.where(at, output_price, cost.output_price_per_million),
        mean_observed_cost_usd=np.where(at, np.nan, cost.mean_observed_cost_usd),
    )
    # A unit that is unknown waits for the last price: the first LLM to get one need not be the dearest.
    return changed if np.isnan(changed.known_cost([""])).any() else changed.with_settled_scale()


def _changed(
    cost: CostModel, llm: tuple[str, ...], columns: Mapping[str, Any], notes: tuple[str, ...]
) -> CostModel:
    return CostModel(
        llm=llm,
        scale_usd=cost.scale_usd,
        assumed_output_tokens=cost.assumed_output_tokens,
        notes=notes,
        mean_characters=cost.mean_characters,
        **columns,
    )


def _mean(answers: Sequence[Answer], name: str) -> float:
    found = [(float(getattr(a, name)), a.trials) for a in answers if getattr(a, name) is not None]
    return sum(value * n for value, n in found) / sum(n for _, n in found) if found else float("nan")


def _number(value: object) -> float:
    return float("nan") if value is None or value == "" else float(str(value))
