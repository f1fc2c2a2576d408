"""What an answer will cost: draws of the expected cost, from the posterior of answer lengths and the prices."""

import numpy as np
import xarray as xr

from bayes_irt_router.data.cost import CostModel
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.irt.answer_length import NOTHING, UNMODELLED, USD, answer_length_distribution

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
    LLMs that came after the fit have that mean, too. LLMs whose cost is unknown have NaN.

    Args:
        posterior: the fitted model.
        queries: with ``text``, ``embedding`` and ``surface``.
        rng: of residuals and noise.
        draws: how many; the answer-length model's own draws are repeated, or every few of them taken.
    """
    cost = CostModel.from_dict(posterior.record["cost"])
    texts = [str(text) for text in queries["text"].values]
    mean = cost.known_cost(texts)[None]
    coords = {"query": queries["query"].values, "llm": posterior.llm}
    names = ("cost_usd", "cost_usd_conditional", "cost_usd_replicated")
    lengths = posterior.answer_length
    if lengths is None:
        return xr.Dataset(dict.fromkeys(names, (DIMS, mean)), coords)

    size = lengths.sizes["draw"]
    which = np.arange(draws) % size if draws >= size else np.arange(draws) * size // draws
    mapped = posterior.feature_map.apply(queries)
    distribution = answer_length_distribution(
        lengths.isel(draw=which), mapped["features"].values, mapped["novelty"].values
    )
    residuals = distribution.residuals(rng)
    unit = lengths["unit"].values.astype(str)
    in_usd, uncounted = unit == USD, unit == NOTHING
    fixed = uncounted & ((cost.assumed_output_tokens is not None) | ~np.isnan(cost.mean_observed_cost_usd))
    fixed |= unit == UNMODELLED
    price = np.where(in_usd, 1.0, cost.output_price_per_million / 1e6)
    known = np.where(in_usd, 0.0, cost.input_tokens(texts) * cost.input_price_per_million / 1e6)

    def priced(length: np.ndarray) -> np.ndarray:
        return np.where(fixed, mean, known + price * length).astype(np.float32)

    return xr.Dataset(
        {
            name: (DIMS, priced(length))
            for name, length in zip(
                names,
                (
                    distribution.expected(),
                    distribution.conditional(residuals),
                    distribution.replicated(residuals, rng),
                ),
                strict=True,
            )
        },
        coords,
    )
