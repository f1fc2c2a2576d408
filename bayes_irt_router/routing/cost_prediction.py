"""What an answer will cost: draws of the expected cost, from the posterior of answer lengths and the prices."""

from collections.abc import Callable

import numpy as np
import xarray as xr
from jaxtyping import Float, Float32

from bayes_irt_router.data.cost import CostModel
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.irt.answer_length import (
    NOTHING,
    UNMODELLED,
    USD,
    AnswerLengthDistribution,
    answer_length_distribution,
)

BATCH = 64  # queries whose draws are held at once
DIMS = ("cost_draw", "query", "llm")


def predict_cost(
    posterior: Posterior, queries: xr.Dataset, rng: np.random.Generator, draws: int
) -> xr.Dataset:
    """Draws of the cost of an answer in USD, for queries that were not fitted: input tokens times their price, which are known, plus
    output tokens times theirs, which follow the answer-length model; or the cost itself, where costs were recorded.

    * ``cost_usd``: its expectation given the parameters. The mean over draws is the expected cost.
    * ``cost_usd_conditional``: given the parameters and what is particular to the query, one draw shared by all LLMs.
    * ``cost_usd_replicated``: of one answer.

    LLMs without counts are drawn from the population of LLMs, or have the number of output tokens assumed at fit. Without an
    answer-length model (no counts at all, or a folder of an older version) there is one draw, the mean of `CostModel`, three times.
    LLMs that came after the fit are spread as the fitted LLMs are, around their own mean where answers told it; if they were recorded in
    dollars, they have that mean. LLMs whose cost is unknown have NaN.

    Args:
        posterior: the fitted model.
        queries: with ``text``, ``embedding`` and ``surface``.
        rng: of residuals and noise.
        draws: how many; the answer-length model's own draws are repeated, or every few of them taken.
    """
    lengths = posterior.answer_length
    coords = {"query": queries["query"].values, "llm": posterior.llm}
    names = ("cost_usd", "cost_usd_conditional", "cost_usd_replicated")
    if lengths is None:
        return xr.Dataset(dict.fromkeys(names, (DIMS, _mean_cost(posterior, queries)[None])), coords)
    size = lengths.sizes["draw"]
    which = np.arange(draws) % size if draws >= size else np.arange(draws) * size // draws
    distribution, priced = _answers(posterior, lengths.isel(draw=which), queries)
    residuals = distribution.residuals(rng)
    drawn = (
        distribution.expected(),
        distribution.conditional(residuals),
        distribution.replicated(residuals, rng),
    )
    return xr.Dataset(
        {name: (DIMS, priced(length)) for name, length in zip(names, drawn, strict=True)}, coords
    )


def expected_cost(posterior: Posterior, queries: xr.Dataset) -> xr.DataArray:
    """The expected cost of an answer in USD (query, llm): the mean of ``cost_usd`` of :func:`predict_cost` over all draws.

    Whoever chooses by expected cost, the model or a baseline beside it, takes it from here. NaN where the cost is unknown.

    Args:
        posterior: the fitted model.
        queries: with ``text``, ``embedding`` and ``surface``; any number, they are taken in batches.
    """
    lengths, size = posterior.answer_length, queries.sizes["query"]
    if lengths is None:
        mean = _mean_cost(posterior, queries)
    else:
        mean = np.empty((size, len(posterior.llm)))
        for start in range(0, size, BATCH):
            batch = slice(start, start + BATCH)
            distribution, priced = _answers(posterior, lengths, queries.isel(query=batch))
            mean[batch] = priced(distribution.expected()).mean(axis=0, dtype=np.float64)
    return xr.DataArray(
        mean, dims=("query", "llm"), coords={"query": queries["query"].values, "llm": posterior.llm}
    )


def _mean_cost(posterior: Posterior, queries: xr.Dataset) -> Float[np.ndarray, "query llm"]:
    """Of the cost model alone: mean tokens, whatever the text."""
    cost = CostModel.from_dict(posterior.record["cost"])
    return cost.known_cost([str(text) for text in queries["text"].values])


def _answers(
    posterior: Posterior, lengths: xr.Dataset, queries: xr.Dataset
) -> tuple[AnswerLengthDistribution, Callable[[np.ndarray], Float32[np.ndarray, "draw query llm"]]]:
    """How long the answers will be, and what answers of some length cost."""
    cost = CostModel.from_dict(posterior.record["cost"])
    mean = _mean_cost(posterior, queries)
    mapped = posterior.feature_map.apply(queries)
    distribution = answer_length_distribution(lengths, mapped["features"].values, mapped["novelty"].values)
    unit = lengths["unit"].values.astype(str)
    in_usd, uncounted = unit == USD, unit == NOTHING
    fixed = uncounted & ((cost.assumed_output_tokens is not None) | ~np.isnan(cost.mean_observed_cost_usd))
    # Priced by tokens since the fit, which saw dollars: what the cost model says now, whatever the text.
    repriced = in_usd & np.isnan(cost.mean_observed_cost_usd)
    fixed |= (unit == UNMODELLED) | repriced
    price = np.where(in_usd, 1.0, cost.output_price_per_million / 1e6)
    texts = [str(text) for text in queries["text"].values]
    known = np.where(in_usd, 0.0, cost.input_tokens(texts) * cost.input_price_per_million / 1e6)

    def priced(length: np.ndarray) -> Float32[np.ndarray, "draw query llm"]:
        return np.where(fixed, mean, known + price * length).astype(np.float32)

    return distribution, priced
