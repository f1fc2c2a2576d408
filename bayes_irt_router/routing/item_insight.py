"""What a model thinks of a query before it is answered, as parts that add up: for explanations, of either sort of model."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.irt.response import item_distribution
from bayes_irt_router.routing.neural_insight import neural_insight


@dataclass(frozen=True, eq=False)
class ItemInsight:
    """Of some queries, over draws (MIRT) or networks (NIRT).

    Attributes:
        difficulty: logits, shape (draw, query).
        intercept: of it, shape (draw,).
        weight: of the features on the difficulty, shape (draw, feature).
        scale: logits of a unit of it, shape (draw, query).
        features: shape (query, feature).
        other: what is added beside the features and the intercept, shape (draw, query).
        discrimination: logits for each SD of ability, shape (draw, query, trait).
        fitted: posterior mean difficulty of the fitted queries.
        words: what each query asks for, in words; empty where traits have no meaning of their own.
    """

    difficulty: Float[np.ndarray, "draw query"]
    intercept: Float[np.ndarray, " draw"]
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
        return ItemInsight(**neural_insight(posterior, queries)._asdict())
    draws = posterior.draws
    features = queries["features"].values.astype(np.float64)
    items = item_distribution(draws, queries["features"].values, queries["novelty"].values)
    weight = draws["difficulty_weight"].values.reshape(-1, features.shape[1]).astype(np.float64)
    return ItemInsight(
        items.difficulty_mean.astype(np.float64),
        draws["difficulty_mean"].values.ravel().astype(np.float64),
        weight,
        np.ones(items.difficulty_mean.shape),
        features,
        np.zeros(items.difficulty_mean.shape),
        items.discrimination_mean[:, :, : draws.sizes["trait"]].astype(np.float64),
        draws["difficulty"].mean(("chain", "draw")).values.astype(np.float64),
        ("",) * len(features),
    )
