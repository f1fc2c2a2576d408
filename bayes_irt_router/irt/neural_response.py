"""From a trained NIRT to probabilities: its residuals integrated out, or drawn. For arrays of NumPy and of JAX alike."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float32
from scipy.special import expit

from bayes_irt_router.irt.nirt import (
    RESIDUALS,
    Array,
    ItemHeads,
    Weights,
    interaction,
    logit,
    shifted,
)
from bayes_irt_router.irt.response import expected_logistic


def logit_moments(
    weights: Weights, output: Array, heads: ItemHeads, ability: Array, level: Any = None
) -> tuple[Array, Array]:
    """Mean and SD of each logit over the query's residuals, by the symmetric cubature of degree 3.

    For ``D`` standard normal residuals the points are ``+-sqrt(D)`` along each axis, all with the same weight; linear and quadratic
    terms of the logit are integrated exactly.

    Args:
        weights: of one network.
        output: ``v``, shape (*draw, unit).
        heads: of the queries.
        ability: shape (*draw, llm, trait).
        level: what each draw adds to the difficulties, shape (*draw, query).

    Returns:
        Shape (*draw, query, llm) each.
    """
    xp = ability.__array_namespace__()
    count = len(RESIDUALS)
    total, squares = None, None
    for axis in range(count):
        for sign in (-1.0, 1.0):
            point = np.zeros(count, dtype=np.float32)
            point[axis] = sign * count**0.5
            residual = xp.broadcast_to(xp.asarray(point), (*heads.difficulty.shape, count))
            at = interaction(weights, heads, residual)
            found = logit(weights, output, at if level is None else shifted(at, level), ability)
            total = found if total is None else total + found
            squares = found**2 if squares is None else squares + found**2
    mean = total / (2 * count)
    return mean, xp.sqrt(xp.maximum(squares / (2 * count) - mean**2, xp.zeros_like(mean)))


def expected_p_correct(
    weights: Weights, output: Array, heads: ItemHeads, ability: Array, level: Array
) -> Float32[np.ndarray, "draw query llm"]:
    """E[sigmoid(logit)] over the query's residuals, for each draw of output weights and abilities.

    The logit counts as normal with its exact moments up to the second: the residual of difficulty, which is most of them, moves it
    nearly linearly.
    """
    mean, sd = logit_moments(weights, output, heads, ability, level)
    return expected_logistic(mean.astype(np.float32), sd.astype(np.float32))


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
        output: shape (*draw, unit).
        at: the :class:`Interaction` of the queries, (*draw, query, unit, trait) and (*draw, query, unit).
        ability: shape (*draw, llm, trait).
    """
    slope, offset = at
    s = np.einsum("...qmk,...jk->...qjm", slope, ability, optimize=True) - offset[..., None, :]
    share = output[..., None, None, :] * (1.0 - np.tanh(s[..., 1:] + weights["interaction_bias"]) ** 2)
    linear = np.broadcast_to(np.exp(weights["interaction_log_skip"]), (*share.shape[:-1], 1))
    return np.matmul(np.concatenate([linear, share], axis=-1), slope)
