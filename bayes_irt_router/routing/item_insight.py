"""What a model thinks of a query before it is answered, as parts that add up: for explanations, of either sort of model."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.irt.neural_items import ITEMS, Network, linear_items, settled_items
from bayes_irt_router.irt.nirt import RESIDUALS, Interaction, interaction, relevance
from bayes_irt_router.irt.relevance import in_words
from bayes_irt_router.irt.response import item_distribution
from bayes_irt_router.routing.neural_prediction import ensemble, model_and_inputs


@dataclass(frozen=True, eq=False)
class ItemInsight:
    """Of some queries, over draws (MIRT) or networks (NIRT).

    Attributes:
        difficulty: logits, shape (draw, query).
        reference: difficulty of the mean fitted query, which contributions are counted from, shape (draw, query).
        weight: of the features on the difficulty, shape (draw, feature).
        scale: logits of a unit of it, shape (draw, query).
        departure: the features less their mean over the fitted queries, shape (query, feature).
        discrimination: logits for each SD of ability, shape (draw, query, trait).
        fitted: posterior mean difficulty of the fitted queries.
        words: what each query asks for, in words; empty where traits have no meaning of their own.
    """

    difficulty: Float[np.ndarray, "draw query"]
    reference: Float[np.ndarray, "draw query"]
    weight: Float[np.ndarray, "draw feature"]
    scale: Float[np.ndarray, "draw query"]
    departure: Float[np.ndarray, "query feature"]
    discrimination: Float[np.ndarray, "draw query trait"]
    fitted: Float[np.ndarray, " fitted_query"]
    words: tuple[str, ...]

    def added(self, query: int) -> Float[np.ndarray, "draw feature"]:
        """What each feature adds to a query's difficulty, in logits, beside what it adds to that of the mean fitted query."""
        return self.weight * self.departure[query] * self.scale[:, query, None]

    def other(self, query: int) -> Float[np.ndarray, " draw"]:
        """What parts the query's difficulty from the mean fitted query's beside its features."""
        return self.difficulty[:, query] - self.reference[:, query] - self.added(query).sum(axis=1)


def item_insight(posterior: Posterior, queries: xr.Dataset) -> ItemInsight:
    """The insight into queries that the feature map was applied to."""
    if posterior.record["kind"] == "nirt":
        return _of_nirt(posterior, queries)
    draws, mean = posterior.draws, posterior.feature_map.feature_mean
    features = queries["features"].values
    items = item_distribution(draws, features, queries["novelty"].values, queries["unseen"].values)
    weight = draws["difficulty_weight"].values.reshape(-1, features.shape[1]).astype(np.float64)
    reference = draws["difficulty_mean"].values.ravel() + weight @ mean
    return ItemInsight(
        items.difficulty_mean.astype(np.float64),
        np.repeat(reference[:, None], len(features), axis=1),
        weight,
        np.ones(items.difficulty_mean.shape),
        features - mean,
        items.discrimination_mean[:, :, : draws.sizes["trait"]].astype(np.float64),
        draws["difficulty"].mean(("chain", "draw")).values.astype(np.float64),
        ("",) * len(features),
    )


def _of_nirt(posterior: Posterior, queries: xr.Dataset) -> ItemInsight:
    """Network by network, residuals at 0: the linear response closest to the network's, and its difficulty head taken apart."""
    model, inputs = model_and_inputs(posterior, queries)
    items = posterior.tree[ITEMS].to_dataset()
    departure = inputs.features - posterior.feature_map.feature_mean
    parts: list[tuple[np.ndarray, ...]] = []
    for chain, network in enumerate(ensemble(posterior)):
        heads, _ = network.heads(model, inputs)
        residual = np.zeros((len(heads.difficulty), len(RESIDUALS)), dtype=np.float32)
        a, b = _mean_linear(network, interaction(network.weights, heads, residual))
        logits = a.sum(axis=1)  # for each SD of difficulty
        weight = network.weights["skip"][:, 0]
        _, fitted = _mean_linear(network, settled_items(network, items, chain))
        # A model without its queries does not know their mean: then the features are all that parts this one from it.
        reference = np.full(b.shape, fitted.mean()) if fitted.size else b - logits * (departure @ weight)
        shares = relevance(heads, network.weights, residual)
        parts.append((b, reference, weight, logits, a, fitted, shares))
    b, reference, weight, scale, a, fitted, shares = (
        np.stack(column).astype(np.float64) for column in zip(*parts, strict=True)
    )
    words = tuple(in_words(row, model.names) for row in shares.mean(axis=0))
    return ItemInsight(b, reference, weight, scale, departure, a, fitted.mean(axis=0), words)


def _mean_linear(network: Network, at: Interaction) -> tuple[np.ndarray, np.ndarray]:
    return linear_items(network, at, network.ability.mean(axis=0), network.output.mean(axis=0))
