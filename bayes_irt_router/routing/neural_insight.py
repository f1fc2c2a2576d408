"""What the networks of a NIRT think of a query before it is answered, as parts that add up to its difficulty."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.irt.neural_items import ITEMS, Network, linear_items, settled_items
from bayes_irt_router.irt.nirt import RESIDUALS, Interaction, interaction, relevance
from bayes_irt_router.irt.relevance import in_words
from bayes_irt_router.routing.neural_prediction import ensemble, model_and_inputs


class NeuralInsight(NamedTuple):
    """Of some queries, network by network, residuals at 0: the linear response ``a . theta - b`` closest to the network's, and::

        b = intercept + sum_f weight_f feature_f scale + other

    Attributes:
        difficulty: ``b``, logits, shape (network, query).
        intercept: the fitted queries' mean difficulty, shape (network,).
        weight: of the features in the linear part of the difficulty head, in SDs of ability, shape (network, feature).
        scale: logits for each SD of difficulty, ``sum_k a_k``, shape (network, query).
        features: shape (query, feature).
        other: all else, in logits: the hidden layer, what the abilities' own difficulties add, the head's bias, and what the bent response
            shifts, as far as the intercept does not hold them; shape (network, query).
        discrimination: ``a``, logits for each SD of ability, shape (network, query, trait).
        fitted: mean difficulty of the fitted queries, over networks, shape (fitted_query,).
        words: what each query asks for.
    """

    difficulty: Float[np.ndarray, "network query"]
    intercept: Float[np.ndarray, " network"]
    weight: Float[np.ndarray, "network feature"]
    scale: Float[np.ndarray, "network query"]
    features: Float[np.ndarray, "query feature"]
    other: Float[np.ndarray, "network query"]
    discrimination: Float[np.ndarray, "network query trait"]
    fitted: Float[np.ndarray, " fitted_query"]
    words: tuple[str, ...]


def neural_insight(posterior: Posterior, queries: xr.Dataset) -> NeuralInsight:
    """The insight into queries that the feature map was applied to.

    Args:
        posterior: a fitted NIRT.
        queries: with ``features``, ``novelty`` and ``embedding``.
    """
    model, inputs = model_and_inputs(posterior, queries)
    items = posterior.tree[ITEMS].to_dataset()
    features = inputs.features.astype(np.float64)
    parts: list[tuple[np.ndarray, ...]] = []
    for chain, network in enumerate(ensemble(posterior)):
        heads, _ = network.heads(model, inputs)
        residual = np.zeros((len(features), len(RESIDUALS)), dtype=np.float32)
        a, b = _mean_linear(network, interaction(network.weights, heads, residual))
        _, fitted = _mean_linear(network, settled_items(network, items, chain))
        shares = relevance(heads, network.weights, residual)
        parts.append((b, network.weights["skip"][:, 0], a, fitted, shares))
    b, weight, a, fitted, shares = (
        np.stack(column).astype(np.float64) for column in zip(*parts, strict=True)
    )
    intercept, scale = fitted.mean(axis=1), a.sum(axis=2)
    other = b - intercept[:, None] - (weight @ features.T) * scale
    words = tuple(in_words(row, model.names) for row in shares.mean(axis=0))
    return NeuralInsight(b, intercept, weight, scale, features, other, a, fitted.mean(axis=0), words)


def _mean_linear(network: Network, at: Interaction) -> tuple[np.ndarray, np.ndarray]:
    return linear_items(network, at, network.ability.mean(axis=0), network.output.mean(axis=0))
