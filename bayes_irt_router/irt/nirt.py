"""The neural item response model: named abilities, networks for the items, a monotone interaction. Pure functions, no sampler."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from bayes_irt_router.errors import InputError
from bayes_irt_router.irt.ability_table import ABILITIES, NamedAbility, check_abilities

# Arrays of NumPy or of JAX: the functions below ask an array for its own namespace, so that what is trained is what predicts.
Array = Any
Weights = Mapping[str, Array]

RESIDUALS = ("difficulty", "discrimination", "relevance")
GENERAL_SHARE = (
    0.5  # of the variance of an ability, that of the general ability; the rest is the ability's own
)
DISCRIMINATION = (
    2.0  # logits for each SD of ability at a head of log(e - 1): the usual size, so that heads start near 0
)


@dataclass(frozen=True)
class NIRT:
    """Neural item response model, ``K`` named abilities, one interaction network that never turns ability into harm::

        y_ij   ~ Bernoulli(p_ij)                               (graded scores count as fractions of an answer)
        p_ij   = sigmoid(c s_ij0 + sum_m v_m tanh(s_ijm + h_m))
        s_ijm  = sum_k W_mk r_ik a_i (theta_jk - b_ik),        W_0k = 1;  W, v, c > 0
        r_i    = softmax(log r0_i + R(x_i) + zeta_i3 q)         relevance: non-negative, sums to 1
        a_i    = 2 softplus(A(x_i) + sigma_a zeta_i2)           discrimination
        b_ik   = B(x_i) + U(x_i) . l_k + s_i zeta_i1            difficulty, one for each ability; s_i^2 = sigma_b^2 + tau^2 novelty_i
        theta_jk = sqrt(1/2) g_j + sqrt(1/2) t_jk               ability: standard normal a priori, free for each LLM
        zeta_i ~ N(0, I)                                        the query's own residuals

    ``B, U, A, R`` are the heads of one network: a hidden layer on embedding and features, and beside it a linear map of the features
    (surface and kernel), whose weights have the scales of the MIRT's priors. ``r0`` comes from a :class:`RelevancePrior`.

    Source: the NIRT of IRT-Router (Song et al., ACL 2025), after NeuralCD (Wang et al., AAAI 2020). Departures: relevance is learned,
    from a prior that is sharper than a softmax over 0/1 labels; every LLM has abilities of its own, not a function of a text about
    it; a query keeps residuals that are integrated out; the positive layers act on all abilities of a query at once, with a
    linear path beside them; dropout is on in training only; networks are an ensemble.

    Within a network only these have a posterior: abilities, residuals, the last layer's weights ``v``, and those of the difficulty head
    ``B``. All other weights (hidden layer, ``U``, ``A``, ``R``, ``l``, ``W``, ``c``, ``h``, scales) are a point, their posterior mode;
    of what is not known of them the spread between the networks tells something.

    Attributes:
        abilities: names and descriptions.
        units: of the positive hidden layer; 0 leaves the linear path alone.
        hidden: units of the item network.
        factors: dimensions of the abilities' own difficulties, ``l_k``.
        kernel_scale: prior SD of the difficulty's smooth effect of embedding and surface features, in SDs of ability.
        surface_scale: prior SD of a surface feature's linear effect on difficulty, in SDs of ability.
        network_scale: prior SD of the hidden layer's effect on difficulty, in SDs of ability.
        discrimination_scale: prior SD of the heads of discrimination relative to those of difficulty.
        relevance_scale: prior SD of the heads of relevance relative to those of difficulty.
    """

    abilities: tuple[NamedAbility, ...] = ABILITIES
    units: int = 8
    hidden: int = 64
    factors: int = 3
    kernel_scale: float = 0.75
    surface_scale: float = 0.1
    network_scale: float = 1.0
    discrimination_scale: float = 0.2
    relevance_scale: float = 3.0

    kind = "nirt"

    def __post_init__(self) -> None:
        problems: list[str] = []
        try:
            check_abilities(self.abilities)
        except InputError as error:
            problems += error.problems
        if self.units < 0:
            problems.append(f"units is {self.units}; give 0 or more.")
        problems += [
            f"{name} is {getattr(self, name)}; give at least 1."
            for name in ("hidden", "factors")
            if getattr(self, name) < 1
        ]
        problems += [
            f"{name} is {getattr(self, name)}; it must be positive."
            for name in asdict(self)
            if name.endswith("_scale") and not getattr(self, name) > 0
        ]
        if problems:
            raise InputError(problems)

    @property
    def traits(self) -> int:
        """Number of abilities."""
        return len(self.abilities)

    @property
    def names(self) -> list[str]:
        """Of the abilities: the coordinate of the dim ``trait``."""
        return [one.name for one in self.abilities]

    @property
    def heads(self) -> int:
        """Outputs of the item network: difficulty, its factors, discrimination, relevance."""
        return 2 + self.factors + self.traits

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, for the model folder's JSON."""
        return {**asdict(self), "abilities": [asdict(one) for one in self.abilities], "traits": self.traits}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "NIRT":
        """The inverse of :meth:`to_dict`."""
        settings = {name: value for name, value in saved.items() if name not in ("abilities", "traits")}
        return cls(abilities=tuple(NamedAbility(**one) for one in saved["abilities"]), **settings)


class QueryInputs(NamedTuple):
    """What is known of queries before they are answered.

    Attributes:
        embedding: of unit norm, shape (query, embedding_dim).
        features: phi(x), shape (query, feature).
        novelty: shape (query,).
        log_relevance: of the prior, shape (query, trait).
    """

    embedding: Array
    features: Array
    novelty: Array
    log_relevance: Array


class ItemHeads(NamedTuple):
    """What the network says of queries, their residuals left out; ``difficulty_sd`` is the SD of difficulty's residual.

    Shapes (query,), (query, factor), (query,), (query, trait), (query,).
    """

    difficulty: Array
    factor: Array
    discrimination: Array
    log_relevance: Array
    difficulty_sd: Array


class Interaction(NamedTuple):
    """Everything of a query that meets an ability: ``s_jm = slope_m . theta_j - offset_m``; slopes are never negative.

    Shapes (..., query, unit, trait), (..., query, unit); unit 0 is the linear path.
    """

    slope: Array
    offset: Array


def query_inputs(mapped: xr.Dataset, log_relevance: np.ndarray) -> QueryInputs:
    """Arrays of a dataset that the feature map was applied to, float32."""
    arrays = (mapped["embedding"].values, mapped["features"].values, mapped["novelty"].values, log_relevance)
    return QueryInputs(*(np.asarray(values, dtype=np.float32) for values in arrays))


def network_input(inputs: QueryInputs) -> Array:
    """Embedding (columns of mean square 1) and features, side by side; shape (query, input)."""
    xp = inputs.features.__array_namespace__()
    return xp.concatenate([inputs.embedding * inputs.embedding.shape[1] ** 0.5, inputs.features], axis=1)


def hidden_layer(weights: Weights, entering: Array) -> Array:
    """``gelu(x W + c)``; shape (query, hidden)."""
    xp = entering.__array_namespace__()
    x = entering @ weights["network_in"] + weights["network_bias"]
    return 0.5 * x * (1.0 + xp.tanh(0.7978845608 * (x + 0.044715 * x**3)))


def item_heads(model: NIRT, weights: Weights, inputs: QueryInputs, hidden: Array) -> ItemHeads:
    """The heads of the network, given its hidden layer."""
    xp = hidden.__array_namespace__()
    out = hidden @ weights["network_out"] + inputs.features @ weights["skip"] + weights["head_bias"]
    last = 1 + model.factors
    variance = xp.exp(2.0 * weights["residual_log_sd"][0]) + model.kernel_scale**2 * inputs.novelty
    return ItemHeads(
        out[:, 0], out[:, 1:last], out[:, last], inputs.log_relevance + out[:, last + 1 :], xp.sqrt(variance)
    )


def relevance(heads: ItemHeads, weights: Weights, residual: Array) -> Array:
    """``r``: non-negative, sums to 1; shape (..., query, trait). Residuals have the shape (..., query, residual)."""
    xp = residual.__array_namespace__()
    logit = heads.log_relevance + residual[..., 2:3] * weights["relevance_residual"]
    shares = xp.exp(logit - xp.max(logit, axis=-1, keepdims=True))
    return shares / xp.sum(shares, axis=-1, keepdims=True)


def interaction(weights: Weights, heads: ItemHeads, residual: Array) -> Interaction:
    """Slopes and offsets of queries with these residuals, shape (..., query, residual)."""
    xp = residual.__array_namespace__()
    discrimination, _ = _discrimination(weights, heads, residual)
    linear = relevance(heads, weights, residual) * discrimination[..., None]
    slope = linear[..., None, :] * _first_layer(weights)
    return Interaction(slope, xp.sum(slope * _difficulty(weights, heads, residual)[..., None, :], axis=-1))


def logit(weights: Weights, output: Array, at: Interaction, ability: Array) -> Array:
    """The logit of a correct answer, never falling in any ability; shape (..., query, llm).

    Args:
        weights: of one network.
        output: ``v``, positive, shape (..., unit); leading dims as in the other arguments.
        at: of the queries.
        ability: shape (..., llm, trait).
    """
    return response(weights, output, met(at, ability))


def response(weights: Weights, output: Array, s: Array) -> Array:
    """``c s_0 + sum_m v_m tanh(s_m + h_m)``, of ``s`` of shape (..., query, unit, llm)."""
    xp = s.__array_namespace__()
    linear = xp.exp(weights["interaction_log_skip"]) * s[..., 0, :]
    if s.shape[-2] == 1:
        return linear
    bent = xp.tanh(s[..., 1:, :] + weights["interaction_bias"][:, None])
    return linear + xp.sum(output[..., None, :, None] * bent, axis=-2)


def logit_and_slope(
    weights: Weights, output: Array, heads: ItemHeads, residual: Array, ability: Array
) -> tuple[Array, Array]:
    """The logit, and its derivatives in the query's residuals; shapes (query, llm) and (query, llm, residual).

    By hand, because the chain rule needs one product with the abilities where forward differentiation makes three.

    Args:
        weights: of one network.
        output: shape (unit,).
        heads: of the queries.
        residual: shape (query, residual).
        ability: shape (llm, trait).
    """
    xp = residual.__array_namespace__()
    discrimination, steeper = _discrimination(weights, heads, residual)
    shares = relevance(heads, weights, residual)
    direction = weights["relevance_residual"]
    turned = shares * (direction - xp.sum(shares * direction, axis=-1, keepdims=True))
    both = xp.stack([shares, turned], axis=1) * discrimination[:, None, None]  # relevance, and its derivative
    slope = both[:, :, None, :] * _first_layer(weights)
    offset = xp.sum(slope * _difficulty(weights, heads, residual)[:, None, None, :], axis=-1)
    queries, _, units, traits = slope.shape
    flat = Interaction(
        xp.reshape(slope, (queries, 2 * units, traits)), xp.reshape(offset, (queries, 2 * units))
    )
    both_met = met(flat, ability)
    s, moved = both_met[:, :units], both_met[:, units:]
    skip = xp.exp(weights["interaction_log_skip"])
    bent = xp.tanh(s[:, 1:] + weights["interaction_bias"][:, None])
    found = skip * s[:, 0] + xp.einsum("m,qmj->qj", output, bent)
    gain = xp.concatenate([xp.broadcast_to(skip, s[:, :1].shape), output[:, None] * (1.0 - bent**2)], axis=1)
    level = xp.sum(slope[:, 0], axis=-1) * heads.difficulty_sd[:, None]
    slopes = (
        -xp.einsum("qmj,qm->qj", gain, level),
        xp.einsum("qmj,qmj->qj", gain, s) * (steeper / discrimination)[:, None],
        xp.einsum("qmj,qmj->qj", gain, moved),
    )
    return found, xp.stack(slopes, axis=-1)


def shifted(at: Interaction, level: Array) -> Interaction:
    """The same queries, all their difficulties raised by ``level``, shape (..., query)."""
    return Interaction(at.slope, at.offset + level[..., None] * at.slope.sum(axis=-1))


def met(at: Interaction, ability: Array) -> Array:
    """``s``, what the queries ask held against the abilities; shape (..., query, unit, llm)."""
    xp = ability.__array_namespace__()
    *_, queries, units, traits = at.slope.shape
    flat = xp.reshape(at.slope, (*at.slope.shape[:-3], queries * units, traits))
    meets = xp.matmul(flat, xp.matrix_transpose(ability))
    return xp.reshape(meets, (*meets.shape[:-2], queries, units, meets.shape[-1])) - at.offset[..., None]


def _discrimination(weights: Weights, heads: ItemHeads, residual: Array) -> tuple[Array, Array]:
    """Discrimination, and its derivative in its residual."""
    xp = residual.__array_namespace__()
    scale = xp.exp(weights["residual_log_sd"][1])
    inside = heads.discrimination + scale * residual[..., 1]
    slope = 0.5 * DISCRIMINATION * scale * (1.0 + xp.tanh(0.5 * inside))
    return DISCRIMINATION * xp.logaddexp(inside, xp.zeros_like(inside)), slope


def _difficulty(weights: Weights, heads: ItemHeads, residual: Array) -> Array:
    """Of each ability."""
    xp = residual.__array_namespace__()
    level = heads.difficulty + heads.difficulty_sd * residual[..., 0]
    return level[..., None] + heads.factor @ xp.matrix_transpose(weights["difficulty_loading"])


def _first_layer(weights: Weights) -> Array:
    """The linear path, and the positive weights; shape (unit, trait)."""
    positive = weights["interaction_log_weight"]
    xp = positive.__array_namespace__()
    positive = xp.exp(positive)
    return xp.concatenate([xp.ones((1, positive.shape[1]), dtype=positive.dtype), positive], axis=0)


def abilities(general: Array, specific: Array) -> Array:
    """``theta`` of the general ability (..., llm) and the specific ones (..., llm, trait)."""
    return GENERAL_SHARE**0.5 * general[..., None] + (1.0 - GENERAL_SHARE) ** 0.5 * specific
