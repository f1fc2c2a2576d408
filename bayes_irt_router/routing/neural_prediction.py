"""Predictions of a NIRT: network by network, with the draws that belong to each."""

import numpy as np
import xarray as xr
from jaxtyping import Float32

from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.irt.neural_items import NETWORK, RELEVANCE, Network, networks
from bayes_irt_router.irt.neural_response import conditional_p_correct, expected_p_correct
from bayes_irt_router.irt.nirt import NIRT, ItemHeads, QueryInputs, query_inputs
from bayes_irt_router.irt.relevance import RelevancePrior

BLOCK = 32  # queries at once


def predict_neural(
    posterior: Posterior, queries: xr.Dataset, rng: np.random.Generator
) -> tuple[Float32[np.ndarray, "draw query llm"], Float32[np.ndarray, "draw query llm"]]:
    """``p_correct`` and ``p_correct_conditional`` of :func:`predict`; draws of all networks, one network after the other.

    Args:
        posterior: a fitted NIRT.
        queries: with the feature map applied.
        rng: of the residuals.
    """
    model, inputs = model_and_inputs(posterior, queries)
    marginal, conditional = [], []
    for network in ensemble(posterior):
        heads, level = network.heads(model, inputs)
        parts = [
            _block(network, _rows(heads, block), level[:, block], rng)
            for block in np.array_split(np.arange(len(heads.difficulty)), _blocks(len(heads.difficulty)))
        ]
        marginal.append(np.concatenate([part[0] for part in parts], axis=1))
        conditional.append(np.concatenate([part[1] for part in parts], axis=1))
    return np.concatenate(marginal), np.concatenate(conditional)


def model_and_inputs(posterior: Posterior, queries: xr.Dataset) -> tuple[NIRT, QueryInputs]:
    """The model, and what its networks read of queries that the feature map was applied to."""
    prior = RelevancePrior.from_dataset(posterior.tree[RELEVANCE].to_dataset())
    model = NIRT.from_dict(posterior.record["model"])
    return model, query_inputs(queries, prior.log_relevance(queries["embedding"].values))


def ensemble(posterior: Posterior) -> list[Network]:
    """The networks of a fitted NIRT."""
    return networks(posterior.draws, posterior.tree[NETWORK].to_dataset())


def _block(
    network: Network,
    heads: ItemHeads,
    level: Float32[np.ndarray, "draw query"],
    rng: np.random.Generator,
) -> tuple[Float32[np.ndarray, "draw query llm"], Float32[np.ndarray, "draw query llm"]]:
    given = (network.weights, network.output, heads, network.ability, level)
    return expected_p_correct(*given), conditional_p_correct(*given, rng)


def _rows(heads: ItemHeads, block: np.ndarray) -> ItemHeads:
    return ItemHeads(*(values[block] for values in heads))


def _blocks(queries: int) -> int:
    return max(1, -(-queries // BLOCK))
