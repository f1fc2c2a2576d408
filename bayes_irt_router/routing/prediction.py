"""Posterior predictive correctness of unseen queries: the one container that every backend returns."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import xarray as xr

from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.inference.stacking import members
from bayes_irt_router.irt.response import (
    abilities,
    drawn_items,
    expected_p_correct,
    item_distribution,
    p_correct,
)
from bayes_irt_router.routing.neural_prediction import predict_neural

BATCH = 128  # queries predicted at once when a long file is predicted piece by piece
DIMS = ("chain", "draw", "query", "llm")


def predict(posterior: Posterior, queries: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
    """Predict the LLMs' scores on queries that were not fitted.

    Both arrays have the dims (chain, draw, query, llm) and the same parameter draws; for graded scores both are E[score].

    * ``p_correct``: ``E[sigmoid(a . theta - b)]`` over the query's own residuals, for each draw of the parameters. Its spread over
      the draws is epistemic: what more data would shrink.
    * ``p_correct_conditional``: ``sigmoid(a . theta - b)`` with one draw of the query's residuals for each draw of the parameters,
      shared by all LLMs. It is the joint distribution over LLMs: for P(best), cascades and replicated accuracy.

    ``familiarity`` (query), in [0, 1], says how much of the kernel's effect the training queries can speak about: 1 where they lie
    close, 0 where there are none.

    Of a stack of M models every M-th draw is one of the same model, and familiarity is their mean.

    Args:
        posterior: the fitted model.
        queries: with ``embedding`` (query, embedding_dim) and ``surface`` (query, surface_feature), as featurize() makes them.
        rng: of the residuals.

    Raises:
        InputError: embedding or a surface feature that the model needs is missing.
    """
    if posterior.stacked:
        return _mixture(members(posterior), queries, rng)
    queries = posterior.feature_map.apply(queries)
    draws = posterior.draws
    shape = (draws.sizes["chain"], draws.sizes["draw"], queries.sizes["query"], draws.sizes["llm"])
    if posterior.record["kind"] == "nirt":
        marginal, conditional = predict_neural(posterior, queries, rng)
    else:
        ability = abilities(draws)
        given = (queries[name].values for name in ("features", "novelty", "unseen"))
        items = item_distribution(draws, *given)
        marginal = expected_p_correct(ability, items)
        conditional = p_correct(ability, *drawn_items(items, rng))
    return xr.Dataset(
        {
            "p_correct": (DIMS, marginal.reshape(shape)),
            "p_correct_conditional": (DIMS, conditional.reshape(shape)),
            "familiarity": ("query", 1.0 - queries["novelty"].values),
        },
        coords={
            "chain": draws["chain"].values,
            "draw": draws["draw"].values,
            "query": queries["query"].values,
            "llm": posterior.llm,
        },
    )


def _mixture(models: tuple[Posterior, ...], queries: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
    """Draws of all models in turn, in chains as long and as many as the first model's."""
    draws = models[0].tree["posterior"]
    size = models[0].size
    parts = []
    for number, model in enumerate(models):
        wanted = len(range(number, size, len(models)))
        parts.append(_of_draws(predict(_lean(model, wanted), queries, rng), wanted))
    mixed = {}
    for name in ("p_correct", "p_correct_conditional"):
        values = np.empty((size, queries.sizes["query"], len(models[0].llm)), dtype=np.float32)
        for number, part in enumerate(parts):
            values[number :: len(models)] = part[name].values
        mixed[name] = (DIMS, values.reshape(draws.sizes["chain"], -1, *values.shape[1:]))
    return xr.Dataset(
        mixed | {"familiarity": ("query", np.mean([part["familiarity"].values for part in parts], axis=0))},
        coords={
            "chain": draws["chain"].values,
            "draw": draws["draw"].values,
            "query": queries["query"].values,
            "llm": models[0].llm,
        },
    )


def _lean(posterior: Posterior, draws: int) -> Posterior:
    """At most so many draws, or one a chain, without the fitted queries' own parameters, which prediction does not read."""
    groups = {str(name): node.to_dataset() for name, node in posterior.tree.children.items()}
    groups["posterior"] = groups["posterior"].drop_dims("query", errors="ignore")
    chains = groups["posterior"].sizes["chain"]
    return replace(posterior, tree=xr.DataTree.from_dict(groups)).thin(max(draws, chains))


def _of_draws(predicted: xr.Dataset, draws: int) -> xr.Dataset:
    """Exactly so many draws, evenly spaced over all chains; some more than once where there are not as many."""
    flat = predicted.stack(sample=("chain", "draw")).transpose("sample", ...)
    return flat.isel(sample=np.arange(draws) * flat.sizes["sample"] // draws)


def predict_in_batches(
    posterior: Posterior, queries: xr.Dataset, rng: np.random.Generator, batch: int = BATCH
) -> Iterator[xr.Dataset]:
    """The same, a few queries at a time: the arrays of a large benchmark would not fit into memory at once."""
    for start in range(0, queries.sizes["query"], batch):
        yield predict(posterior, queries.isel(query=slice(start, start + batch)), rng)
