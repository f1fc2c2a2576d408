"""What a trained NIRT says of queries, network by network, from the arrays of its model folder. NumPy only."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float, Float32, Int

from bayes_irt_router.irt.nirt import (
    NIRT,
    RESIDUALS,
    Interaction,
    ItemHeads,
    QueryInputs,
    hidden_layer,
    interaction,
    item_heads,
    logit_and_slope,
    met,
    network_input,
    response,
)

BLOCK = 256  # queries at once, when all of them are gone through
# The groups of a NIRT's posterior file beside those of every model.
NETWORK, ITEMS, RELEVANCE, TRAINING = "network", "items", "relevance_prior", "training"
WEIGHT_DIMS: dict[str, tuple[str, ...]] = {
    "network_in": ("input", "hidden"),
    "network_bias": ("hidden",),
    "network_out": ("hidden", "head"),
    "skip": ("feature", "head"),
    "head_bias": ("head",),
    "difficulty_loading": ("trait", "factor"),
    "residual_log_sd": ("item_residual",),
    "relevance_residual": ("trait",),
    "interaction_log_weight": ("unit", "trait"),
    "interaction_bias": ("unit",),
    "interaction_log_skip": (),
}
HEAD_DIMS: dict[str, tuple[str, ...]] = {
    "difficulty": ("query",),
    "factor": ("query", "factor"),
    "discrimination": ("query",),
    "log_relevance": ("query", "trait"),
    "difficulty_sd": ("query",),
}


@dataclass(frozen=True, eq=False)
class Network:
    """One network of the ensemble, with the draws that belong to it.

    Attributes:
        weights: by name.
        ability: shape (draw, llm, trait).
        output: ``v``, shape (draw, unit).
        level_weight: draws of the difficulty head's last weights about their mode, over hidden units then features; shape (draw, input).
    """

    weights: dict[str, Float32[np.ndarray, "..."]]
    ability: Float32[np.ndarray, "draw llm trait"]
    output: Float32[np.ndarray, "draw unit"]
    level_weight: Float32[np.ndarray, "draw input"]

    def heads(self, model: NIRT, inputs: QueryInputs) -> tuple[ItemHeads, Float32[np.ndarray, "draw query"]]:
        """The network's heads for queries, and each draw's deviation from its difficulties."""
        hidden = hidden_layer(self.weights, network_input(inputs))
        level = self.level_weight @ np.concatenate([hidden, inputs.features], axis=1).T
        return item_heads(model, self.weights, inputs, hidden), level


def networks(draws: xr.Dataset, weights: xr.Dataset) -> list[Network]:
    """The ensemble: one network a chain.

    Args:
        draws: the group ``posterior``.
        weights: the group ``network``.
    """
    ability = draws["ability"].transpose("chain", "draw", "llm", "trait").values
    return [
        Network(
            {name: np.asarray(weights[name].values[k]) for name in WEIGHT_DIMS},
            ability[k],
            draws["output"].values[k],
            draws["level_weight"].values[k],
        )
        for k in range(draws.sizes["chain"])
    ]


def fitted_heads(items: xr.Dataset, chain: int) -> ItemHeads:
    """The heads of the fitted queries.

    Args:
        items: the group ``items``.
        chain: which network.
    """
    return ItemHeads(*(items[name].values[chain] for name in HEAD_DIMS))


def residual_draws(
    items: xr.Dataset, chain: int, count: int, rng: np.random.Generator
) -> Iterator[tuple[slice, Float32[np.ndarray, "draw query residual"]]]:
    """Draws of the fitted queries' residuals given their answers, :data:`BLOCK` queries at a time, with their positions.

    Normal, ``mean + L^-T noise``, ``L L'`` the precision. The same generator gives the same draws.
    """
    means, factors = items["residual_mean"].values[chain], items["residual_factor"].values[chain]
    for start in range(0, len(means), BLOCK):
        block = slice(start, start + BLOCK)
        mean, factor = means[block], factors[block]
        noise = rng.standard_normal((count, *mean.shape), dtype=np.float32)
        size = len(RESIDUALS)
        found = np.zeros_like(noise)
        for i in reversed(range(size)):
            rest = noise[..., i] - sum(factor[:, k, i] * found[..., k] for k in range(i + 1, size))
            found[..., i] = rest / factor[:, i, i]
        yield block, found + mean


def rows(heads: ItemHeads, block: slice | Int[np.ndarray, " query"]) -> ItemHeads:
    """The heads of some queries."""
    return ItemHeads(*(values[block] for values in heads))


def settled_items(network: Network, items: xr.Dataset, chain: int) -> Interaction:
    """The fitted queries with their residuals at the posterior mean."""
    return interaction(network.weights, fitted_heads(items, chain), items["residual_mean"].values[chain])


def own_logit_sd(
    network: Network,
    items: xr.Dataset,
    chain: int,
    queries: Int[np.ndarray, " query"],
    ability: Float[np.ndarray, " trait"],
) -> Float[np.ndarray, " query"]:
    """SD of each query's logit at one ability, for what its answers left unknown of its residuals; linearised at their mean.

    Args:
        network: whose interaction it is; its output weights are at their mean.
        items: the group ``items``.
        chain: which network it is.
        queries: positions of fitted queries.
        ability: of the LLM.
    """
    mean, factor = (items[name].values[chain][queries] for name in ("residual_mean", "residual_factor"))
    heads = rows(fitted_heads(items, chain), queries)
    _, slope = logit_and_slope(network.weights, network.output.mean(axis=0), heads, mean, ability[None])
    return np.linalg.norm(np.linalg.solve(factor, slope[:, 0, :, None])[:, :, 0], axis=1)


def linear_items(
    network: Network,
    at: Interaction,
    ability: Float[np.ndarray, "llm trait"],
    output: Float[np.ndarray, " unit"],
) -> tuple[Float[np.ndarray, "query trait"], Float[np.ndarray, " query"]]:
    """The linear item response function ``a . theta - b`` closest to the network's over some LLMs: a mean slope, a mean offset.

    Args:
        network: whose interaction it is.
        at: the queries.
        ability: of the LLMs.
        output: ``v``.

    Returns:
        Discriminations ``a`` (logits for each SD of ability, never negative) and difficulties ``b`` (logits).
    """
    s = met(at, ability)
    share = output[:, None] * (1.0 - np.tanh(s[:, 1:] + network.weights["interaction_bias"][:, None]) ** 2)
    skip = np.exp(network.weights["interaction_log_skip"])
    slope = skip * at.slope[:, 0] + np.einsum("qm,qmk->qk", share.mean(axis=2), at.slope[:, 1:])
    found = response(network.weights, output, s)
    return slope, (slope @ ability.T - found).mean(axis=1)


def linear_draws(
    network: Network, items: xr.Dataset, chain: int, rng: np.random.Generator
) -> tuple[Float32[np.ndarray, "draw query trait"], Float32[np.ndarray, "draw query"]]:
    """:func:`linear_items` of the fitted queries, with one draw of their residuals for each draw of the network.

    Beside what is returned, memory does not grow with the queries.

    Args:
        network: with its draws.
        items: the group ``items``.
        chain: which network it is.
        rng: of the residuals.
    """
    heads, count = fitted_heads(items, chain), len(network.ability)
    queries, traits = heads.log_relevance.shape
    slopes = np.empty((count, queries, traits), dtype=np.float32)
    offsets = np.empty((count, queries), dtype=np.float32)
    for block, residual in residual_draws(items, chain, count, rng):
        some = rows(heads, block)
        for k in range(count):
            at = interaction(network.weights, some, residual[k])
            slopes[k, block], offsets[k, block] = linear_items(
                network, at, network.ability[k], network.output[k]
            )
    return slopes, offsets
