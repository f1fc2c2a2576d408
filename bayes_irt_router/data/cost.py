"""What an answer will cost, predicted from the training data only, and what it did cost.

Predicted cost of LLM j on a text x, in USD, with prices per million tokens:

    C_j(x) = (len(x) / characters_per_token_j * input_price_j + mean_output_tokens_j * output_price_j) / 1e6

or, where the data record `cost_usd`, LLM j's mean observed cost, whatever the text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayes_irt_router.data.candidates import allowed_llms
from bayes_irt_router.data.prices import Price
from bayes_irt_router.errors import InputError

CHARACTERS_PER_TOKEN = 4.0
"""Where the data have no input tokens: about what English text has."""

_PER_LLM = (
    "input_price_per_million",
    "output_price_per_million",
    "mean_output_tokens",
    "mean_observed_cost_usd",
    "characters_per_token",
)


@dataclass(frozen=True, eq=False)
class CostModel:
    """Everything needed to predict cost; arrays have one entry per LLM of `llm`, NaN where unknown.

    `scale_usd` is the dearest LLM's mean predicted cost over the training texts (NaN when no cost is
    known, until there are prices): the unit of cost in the utility. It stays as it is when candidates are left out.
    `mean_characters` is the training texts' mean length, NaN in older folders.
    `assumed_output_tokens` is what was assumed for LLMs without output-token counts, `notes` say in words
    what was filled in.
    """

    llm: tuple[str, ...]
    input_price_per_million: Float[np.ndarray, " llm"]
    output_price_per_million: Float[np.ndarray, " llm"]
    mean_output_tokens: Float[np.ndarray, " llm"]
    mean_observed_cost_usd: Float[np.ndarray, " llm"]
    characters_per_token: Float[np.ndarray, " llm"]
    scale_usd: float
    assumed_output_tokens: int | None
    notes: tuple[str, ...]
    mean_characters: float = float("nan")

    def predict_cost(
        self, texts: Sequence[str], allow: Sequence[str] | None = None
    ) -> Float[np.ndarray, "query llm"]:
        """Predicted cost of one answer to each text by each LLM, in USD, columns in the order of `llm`.

        Args:
            texts: the prompts.
            allow: names of the LLMs whose cost is needed, all by default. Others may come out as NaN.

        Raises:
            InputError: the price of a needed LLM is unknown (each is named). A price of 0 is known.
        """
        unknown = allowed_llms(self.llm, allow) & np.isnan(self._cost(np.ones(1))[0])
        if unknown.any():
            raise InputError(
                f"The cost of {_named(self.llm, unknown)} is unknown: fit with both prices per million "
                "tokens in llms (0 where free) or with cost_usd in responses, allow only other "
                "LLMs, or use alpha 1."
            )
        return self._cost(_lengths(texts))

    def known_cost(self, texts: Sequence[str]) -> Float[np.ndarray, "query llm"]:
        """The same without complaint: NaN where unknown, for where costs are shown but decide nothing."""
        return self._cost(_lengths(texts))

    def input_tokens(self, texts: Sequence[str]) -> Float[np.ndarray, "query llm"]:
        """Expected tokens of each text, as each LLM counts them."""
        return _lengths(texts)[:, None] / self.characters_per_token

    def input_cost(self, texts: Sequence[str]) -> Float[np.ndarray, "query llm"]:
        """The part of the predicted cost that the texts themselves have; 0 where costs were recorded as a whole, NaN where unknown."""
        priced = self.input_tokens(texts) * self.input_price_per_million / 1e6
        return np.where(np.isnan(self.mean_observed_cost_usd), priced, 0.0)

    def _cost(self, characters: Float[np.ndarray, " query"]) -> Float[np.ndarray, "query llm"]:
        input_tokens = characters[:, None] / self.characters_per_token
        cost = _priced(
            input_tokens, self.mean_output_tokens, self.input_price_per_million, self.output_price_per_million
        )
        return np.where(np.isnan(self.mean_observed_cost_usd), cost, self.mean_observed_cost_usd)

    def with_prices(self, prices: Mapping[str, Price]) -> "CostModel":
        """The same model at other list prices; the scale stays, so that a given alpha weighs a dollar as before. Where none was
        known, it is the dearest LLM's mean cost at the new prices.

        An LLM with a new price is priced by tokens from now on, also where its cost had been observed. LLMs that
        `prices` does not name keep theirs; names that the model does not know are left out. Where an LLM's output
        tokens are unknown, they are the other LLMs' median.

        Raises:
            InputError: an LLM with a new price needs output tokens, and those of no LLM are known.
        """
        new = np.array([name in prices for name in self.llm], dtype=bool)
        known = [prices.get(name) for name in self.llm]
        nan = float("nan")
        output_price = np.where(
            new, [p.output_per_million if p else nan for p in known], self.output_price_per_million
        )
        tokens, notes = self.mean_output_tokens.copy(), list(self.notes)
        needs = new & np.isnan(tokens) & (output_price > 0)
        if needs.any():
            if np.isnan(tokens).all():
                raise InputError(
                    f"The new prices of {_named(self.llm, needs)} cannot be used, because no output tokens are "
                    "known: fit with output_tokens in responses, or with --assume-output-tokens."
                )
            median = float(np.nanmedian(tokens))
            tokens[needs] = median
            notes.append(
                f"Output tokens of {_named(self.llm, needs)} set to the other LLMs' median, {median:.0f}."
            )
        priced = replace(
            self,
            input_price_per_million=np.where(
                new, [p.input_per_million if p else nan for p in known], self.input_price_per_million
            ),
            output_price_per_million=output_price,
            mean_output_tokens=tokens,
            mean_observed_cost_usd=np.where(new, nan, self.mean_observed_cost_usd),
            notes=tuple(notes),
        )
        return priced.with_settled_scale()

    def with_settled_scale(self) -> "CostModel":
        """The same model; a scale that is unknown becomes the dearest LLM's mean cost over the training texts, if any cost is known.

        Cost is linear in a text's length: their mean is enough. Where an older folder has none, output alone counts, and a note says so.
        """
        if not np.isnan(self.scale_usd):
            return self
        scaled = _with_scale(self, np.array([np.nan_to_num(self.mean_characters)]))
        if not np.isnan(self.mean_characters) or np.isnan(scaled.scale_usd):
            return scaled
        note = "The unit of cost counts output tokens alone: the fit did not note how long its texts were."
        return replace(scaled, notes=(*scaled.notes, note))

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers for JSON; unknown values are None."""
        return {
            "llm": list(self.llm),
            **{name: [_none_if_nan(value) for value in getattr(self, name)] for name in _PER_LLM},
            "scale_usd": _none_if_nan(self.scale_usd),
            "mean_characters": _none_if_nan(self.mean_characters),
            "assumed_output_tokens": self.assumed_output_tokens,
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "CostModel":
        """The inverse of `to_dict`. Raises InputError when something is missing or of another length."""
        try:
            llm = tuple(str(name) for name in content["llm"])
            arrays = {name: np.array(content[name], dtype=np.float64) for name in _PER_LLM}  # None: NaN
            scale, assumed = content["scale_usd"], content["assumed_output_tokens"]
            length = content.get("mean_characters")
            model = cls(
                llm=llm,
                **arrays,
                scale_usd=float("nan") if scale is None else float(scale),
                assumed_output_tokens=None if assumed is None else int(assumed),
                notes=tuple(str(note) for note in content["notes"]),
                mean_characters=float("nan") if length is None else float(length),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"The saved cost model is damaged ({error!r}): fit again.") from error
        wrong = [name for name, array in arrays.items() if array.shape != (len(llm),)]
        if wrong:
            raise InputError(
                f"The saved cost model is damaged ({', '.join(wrong)} do not fit the LLMs): fit again."
            )
        return model


def fit_cost(dataset: xr.Dataset, *, assume_output_tokens: int | None = None) -> CostModel:
    """Learn the cost of an answer from training data.

    Means are over an LLM's answered queries. Characters per token are an LLM's total characters over its
    total input tokens (so that a prompt template's tokens are in the average). LLMs without counts get the
    median of the other LLMs' values. Without any prices the fit is valid, and an error comes only where a
    cost is needed.

    Args:
        dataset: canonical data, dims (query, llm), training queries only. `input_tokens`, `output_tokens`,
            `cost_usd` and the two prices are used where present.
        assume_output_tokens: output tokens per answer of the LLMs without counts; needed where no LLM with
            a price has any.

    Raises:
        InputError: priced LLMs need output tokens, and there are neither counts nor an assumption.
    """
    assumed = _checked(assume_output_tokens)
    llm = tuple(str(name) for name in dataset["llm"].values)
    characters = _lengths(dataset["text"].values.tolist())
    input_price, output_price = _prices(dataset)
    observed = _column_mean(_cells(dataset, "cost_usd"))
    output_tokens = _column_mean(_cells(dataset, "output_tokens"))
    notes = []

    without = np.isnan(output_tokens)
    needs = without & np.isnan(observed) & ~np.isnan(input_price) & (output_price > 0)
    if assumed is not None and without.any():
        output_tokens[without] = assumed
        notes.append(f"{assumed} output tokens per answer assumed for {_named(llm, without)}.")
    elif without.all() and needs.any():
        raise InputError(_no_output_tokens(llm, needs))
    elif needs.any():
        median = float(np.median(output_tokens[~without]))
        output_tokens[needs] = median
        notes.append(
            f"Output tokens of {_named(llm, needs)} are not counted: their mean is set to the other LLMs' median, "
            f"{median:.0f}, and routing draws them from the population of LLMs."
        )

    input_tokens = _cells(dataset, "input_tokens")
    known = ~np.isnan(input_tokens)
    tokens = np.where(known, input_tokens, 0).sum(axis=0)
    text = np.where(known, characters[:, None], 0).sum(axis=0)
    ratio = np.divide(text, tokens, out=np.full(len(llm), np.nan), where=(tokens > 0) & (text > 0))
    counted = ~np.isnan(ratio)
    ratio[~counted] = np.median(ratio[counted]) if counted.any() else CHARACTERS_PER_TOKEN
    if not counted.any():
        notes.append(f"Input tokens taken as characters / {CHARACTERS_PER_TOKEN:g}.")

    arrays = (input_price, output_price, output_tokens, observed, ratio)
    model = CostModel(llm, *arrays, float("nan"), assumed, tuple(notes), float(characters.mean()))
    return _with_scale(model, characters)


def _with_scale(model: CostModel, characters: Float[np.ndarray, " query"]) -> CostModel:
    """The same model with `scale_usd`; 1 USD when every known cost is 0, where the scale does not matter."""
    mean = _column_mean(model._cost(characters))
    if np.isnan(mean).all():
        return model
    dearest = float(np.nanmax(mean))
    return replace(model, scale_usd=dearest if dearest > 0 else 1.0)


def observed_cost(
    dataset: xr.Dataset, assume_output_tokens: int | None = None
) -> Float[np.ndarray, "query llm"]:
    """What each answer did cost in USD, for evaluation: `cost_usd` where recorded, else actual tokens times
    prices.

    Input tokens that were not counted are characters / 4. NaN where the LLM did not answer, or its price or
    the output tokens are unknown.

    Args:
        dataset: canonical data, dims (query, llm).
        assume_output_tokens: stands in for every missing count of output tokens.

    Raises:
        InputError: there are prices to use, but no output tokens at all, and no assumption.
    """
    assumed = _checked(assume_output_tokens)
    answered = ~np.isnan(dataset["score"].transpose("query", "llm").values)
    input_price, output_price = _prices(dataset)
    recorded, output_tokens = _cells(dataset, "cost_usd"), _cells(dataset, "output_tokens")
    if assumed is not None:
        output_tokens = np.where(np.isnan(output_tokens), float(assumed), output_tokens)
    elif np.isnan(output_tokens).all():
        needs = np.isnan(recorded).all(axis=0) & ~np.isnan(input_price) & (output_price > 0)
        if needs.any():
            raise InputError(_no_output_tokens(tuple(str(name) for name in dataset["llm"].values), needs))
    input_tokens = _cells(dataset, "input_tokens")
    characters = _lengths(dataset["text"].values.tolist())
    input_tokens = np.where(np.isnan(input_tokens), characters[:, None] / CHARACTERS_PER_TOKEN, input_tokens)
    cost = _priced(input_tokens, output_tokens, input_price, output_price)
    return np.where(answered, np.where(np.isnan(recorded), cost, recorded), np.nan)


def _priced(
    input_tokens: Float[np.ndarray, "query llm"],
    output_tokens: Float[np.ndarray, "*rows llm"],
    input_price: Float[np.ndarray, " llm"],
    output_price: Float[np.ndarray, " llm"],
) -> Float[np.ndarray, "query llm"]:
    """USD from tokens and prices per million; free output costs 0 even where its tokens are unknown."""
    output = np.where(output_price == 0, 0.0, output_tokens * output_price)
    return (input_tokens * input_price + output) / 1e6


def _cells(dataset: xr.Dataset, name: str) -> Float[np.ndarray, "query llm"]:
    """A data variable (query, llm) as float64; all NaN when the data have no such column."""
    if name not in dataset.data_vars:
        return np.full((dataset.sizes["query"], dataset.sizes["llm"]), np.nan)
    return dataset[name].transpose("query", "llm").values.astype(np.float64)


def _prices(dataset: xr.Dataset) -> tuple[Float[np.ndarray, " llm"], Float[np.ndarray, " llm"]]:
    """Input and output price of every LLM, NaN where missing."""
    unknown = np.full(dataset.sizes["llm"], np.nan)
    names = ("input_price_per_million", "output_price_per_million")
    first, second = (
        dataset[n].values.astype(np.float64) if n in dataset.coords else unknown.copy() for n in names
    )
    return first, second


def _column_mean(cells: Float[np.ndarray, "query llm"]) -> Float[np.ndarray, " llm"]:
    """Mean of each column over what is not NaN; NaN for an empty column."""
    count = (~np.isnan(cells)).sum(axis=0)
    return np.where(count > 0, np.nansum(cells, axis=0) / np.maximum(count, 1), np.nan)


def _lengths(texts: Sequence[str]) -> Float[np.ndarray, " query"]:
    return np.array([len(text) for text in texts], dtype=np.float64)


def _named(llm: tuple[str, ...], which: np.ndarray) -> str:
    return "all LLMs" if which.all() else ", ".join(np.asarray(llm)[which])


def _no_output_tokens(llm: tuple[str, ...], needs: np.ndarray) -> str:
    return (
        f"The responses have no output tokens to price the answers of {_named(llm, needs)}: add a column "
        "output_tokens or cost_usd, or say how many to assume (--assume-output-tokens, "
        "assume_output_tokens=)."
    )


def _checked(assume_output_tokens: int | None) -> int | None:
    if assume_output_tokens is not None and assume_output_tokens < 0:
        raise InputError(
            f"assume_output_tokens is {assume_output_tokens}: give a number of tokens, 0 or more."
        )
    return assume_output_tokens


def _none_if_nan(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
