"""What a trained NIRT says of queries, network by network, from the arrays of its model folder. NumPy only."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float, Float32

from bayes_irt_router.irt.nirt import (
    NIRT,
    RESIDUALS,
    Interaction,
    ItemHeads,
    QueryInputs,
    hidden_layer,
    interaction,
    item_heads,
    met,
    network_input,
    response,
)

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
) -> Float32[np.ndarray, "draw query residual"]:
    """Draws of the fitted queries' residuals given their answers: normal, ``mean + L^-T noise``, ``L L'`` the precision."""
    mean, factor = items["residual_mean"].values[chain], items["residual_factor"].values[chain]
    noise = rng.standard_normal((count, *mean.shape), dtype=np.float32)
    size = len(RESIDUALS)
    found = np.zeros_like(noise)
    for i in reversed(range(size)):
        rest = noise[..., i] - sum(factor[:, k, i] * found[..., k] for k in range(i + 1, size))
        found[..., i] = rest / factor[:, i, i]
    return found + mean


def settled_items(network: Network, items: xr.Dataset, chain: int) -> Interaction:
    """The fitted queries with their residuals at the posterior mean."""
    return interaction(network.weights, fitted_heads(items, chain), items["residual_mean"].values[chain])


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

    Args:
        network: with its draws.
        items: the group ``items``.
        chain: which network it is.
        rng: of the residuals.
    """
    heads, count = fitted_heads(items, chain), len(network.ability)
    found = []
    for k, residual in enumerate(residual_draws(items, chain, count, rng)):
        at = interaction(network.weights, heads, residual)
        found.append(linear_items(network, at, network.ability[k], network.output[k]))
    return tuple(np.stack(part).astype(np.float32) for part in zip(*found, strict=True))  # type: ignore[return-value]
