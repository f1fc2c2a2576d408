"""From a trained NIRT to probabilities: its residuals integrated out, or drawn. For arrays of NumPy and of JAX alike."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32
from scipy.special import expit

from bayes_irt_router.irt.nirt import (
    RESIDUALS,
    Array,
    Interaction,
    ItemHeads,
    Weights,
    interaction,
    logit,
    met,
    response,
    shifted,
)

NODES = 9  # of the difficulty's residual: the error is below 0.001 for SDs up to 1.5 logits, about 0.005 at 3
CUBATURE = np.array([[0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=np.float32) * np.float32(2**0.5)


def expected_p_correct(
    weights: Weights,
    output: Array,
    heads: ItemHeads,
    ability: Array,
    level: Array,
    count: int = NODES,
) -> Array:
    """E[sigmoid(logit)] over the query's residuals, for each draw of output weights and abilities; never falling in any ability.

    A sum over fixed residuals with positive weights: Gauss-Hermite nodes of the difficulty's, which is most of them, times the symmetric
    cubature of degree 3 (``+-sqrt(2)`` along each axis) of the other two.

    Args:
        weights: of one network.
        output: ``v``, shape (draw, unit).
        heads: of the queries.
        ability: shape (draw, llm, trait).
        level: what each draw adds to the difficulties, shape (draw, query).
        count: of Gauss-Hermite nodes.

    Returns:
        Shape (draw, query, llm).
    """
    xp = ability.__array_namespace__()
    nodes, shares = np.polynomial.hermite_e.hermegauss(count)
    total = None
    for point in CUBATURE:
        residual = xp.broadcast_to(xp.asarray(point), (len(heads.difficulty), len(RESIDUALS)))
        at = interaction(weights, heads, residual)
        s = met(shifted(at, level), ability)
        step = (heads.difficulty_sd[:, None] * at.slope.sum(axis=-1))[..., None]
        for node, share in zip(nodes, shares / shares.sum() / len(CUBATURE), strict=True):
            found = response(weights, output, s - float(node) * step)
            part = float(share) * (0.5 + 0.5 * xp.tanh(0.5 * found))
            total = part if total is None else total + part
    return total


def conditional_p_correct(
    weights: Weights,
    output: Array,
    heads: ItemHeads,
    ability: Array,
    level: Array,
    rng: np.random.Generator,
) -> Float32[np.ndarray, "draw query llm"]:
    """``sigmoid(logit)`` with one draw of the query's residuals for each draw, shared by all LLMs."""
    draws, queries = len(ability), len(heads.difficulty)
    residual = rng.standard_normal((draws, queries, len(RESIDUALS)), dtype=np.float32)
    at = shifted(interaction(weights, heads, residual), level)
    found = logit(weights, output, at, ability)
    return expit(found.astype(np.float32))


def logit_slope(
    weights: Weights, output: Array, at: Sequence[Array], ability: Array
) -> Float[np.ndarray, "*draw query llm trait"]:
    """The gradient of each logit in its LLM's abilities.

    Args:
        weights: of one network.
        output: shape ``(*draw, unit)``.
        at: the :class:`Interaction` of the queries, ``(*draw, query, unit, trait)`` and ``(*draw, query, unit)``.
        ability: shape ``(*draw, llm, trait)``.
    """
    slope, offset = at
    s = np.swapaxes(met(Interaction(slope, offset), ability), -1, -2)
    share = output[..., None, None, :] * (1.0 - np.tanh(s[..., 1:] + weights["interaction_bias"]) ** 2)
    linear = np.broadcast_to(np.exp(weights["interaction_log_skip"]), (*share.shape[:-1], 1))
    return np.matmul(np.concatenate([linear, share], axis=-1), slope)
