"""What a model thinks of a query before it is answered, as parts that add up: for explanations, of either sort of model."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.irt.neural_items import ITEMS, Network, linear_items, settled_items
from bayes_irt_router.irt.nirt import Interaction, interaction, relevance
from bayes_irt_router.irt.relevance import in_words
from bayes_irt_router.irt.response import item_distribution
from bayes_irt_router.routing.neural_prediction import ensemble, model_and_inputs


@dataclass(frozen=True, eq=False)
class ItemInsight:
    """Of some queries, over draws (MIRT) or networks (NIRT).

    Attributes:
        difficulty: logits, shape (draw, query).
        weight: of the features on the difficulty, shape (draw, feature).
        scale: logits of a unit of it, shape (draw, query).
        features: shape (query, feature).
        other: what is added beside the features and the intercept, shape (draw, query).
        discrimination: logits for each SD of ability, shape (draw, query, trait).
        fitted: posterior mean difficulty of the fitted queries.
        words: what each query asks for, in words; empty where traits have no meaning of their own.
    """

    difficulty: Float[np.ndarray, "draw query"]
    weight: Float[np.ndarray, "draw feature"]
    scale: Float[np.ndarray, "draw query"]
    features: Float[np.ndarray, "query feature"]
    other: Float[np.ndarray, "draw query"]
    discrimination: Float[np.ndarray, "draw query trait"]
    fitted: Float[np.ndarray, " fitted_query"]
    words: tuple[str, ...]

    def added(self, query: int) -> Float[np.ndarray, "draw feature"]:
        """What each feature adds to a query's difficulty, in logits."""
        return self.weight * self.features[query] * self.scale[:, query, None]


def item_insight(posterior: Posterior, queries: xr.Dataset) -> ItemInsight:
    """The insight into queries that the feature map was applied to."""
    if posterior.record["kind"] == "nirt":
        return _of_nirt(posterior, queries)
    draws = posterior.draws
    features = queries["features"].values.astype(np.float64)
    items = item_distribution(draws, queries["features"].values, queries["novelty"].values)
    weight = draws["difficulty_weight"].values.reshape(-1, features.shape[1]).astype(np.float64)
    return ItemInsight(
        items.difficulty_mean.astype(np.float64),
        weight,
        np.ones(items.difficulty_mean.shape),
        features,
        np.zeros(items.difficulty_mean.shape),
        items.discrimination_mean[:, :, : draws.sizes["trait"]].astype(np.float64),
        draws["difficulty"].mean(("chain", "draw")).values.astype(np.float64),
        ("",) * len(features),
    )


def _of_nirt(posterior: Posterior, queries: xr.Dataset) -> ItemInsight:
    """Network by network, residuals at 0: the linear response closest to the network's, and its difficulty head taken apart."""
    model, inputs = model_and_inputs(posterior, queries)
    items = posterior.tree[ITEMS].to_dataset()
    parts: list[tuple[np.ndarray, ...]] = []
    for chain, network in enumerate(ensemble(posterior)):
        heads, _ = network.heads(model, inputs)
        residual = np.zeros((len(heads.difficulty), 3), dtype=np.float32)
        a, b = _mean_linear(network, interaction(network.weights, heads, residual))
        logits = a.sum(axis=1)  # for each SD of difficulty
        weight = network.weights["skip"][:, 0]
        hidden = heads.difficulty - network.weights["head_bias"][0] - inputs.features @ weight
        _, fitted = _mean_linear(network, settled_items(network, items, chain))
        parts.append(
            (
                b,
                weight,
                logits,
                hidden * logits,
                a,
                fitted,
                relevance(heads, network.weights, residual),
            )
        )
    b, weight, scale, other, a, fitted, shares = (
        np.stack(column).astype(np.float64) for column in zip(*parts, strict=True)
    )
    words = tuple(in_words(row, model.names) for row in shares.mean(axis=0))
    features = inputs.features.astype(np.float64)
    return ItemInsight(b, weight, scale, features, other, a, fitted.mean(axis=0), words)


def _mean_linear(network: Network, at: Interaction) -> tuple[np.ndarray, np.ndarray]:
    return linear_items(network, at, network.ability.mean(axis=0), network.output.mean(axis=0))
