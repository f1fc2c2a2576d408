"""What a router must beat: answering with a fixed lottery over LLMs, whatever the query."""

import numpy as np
from jaxtyping import Float


def cheapest_mixture_cost(
    accuracy: Float[np.ndarray, "*sample llm"],
    cost: Float[np.ndarray, "*sample llm"],
    target: Float[np.ndarray, "*sample"],
) -> Float[np.ndarray, "*sample"]:
    """The least expected cost of a lottery over LLMs with an expected accuracy of at least `target`.

    ``min_w w . cost`` subject to ``w . accuracy >= target``, w a probability vector: the lower convex hull of the LLMs' points. A
    linear program with two constraints is solved by at most two LLMs, so all pairs are tried. NaN where no LLM is accurate enough.

    Args:
        accuracy: mean score of each LLM.
        cost: mean cost of each LLM.
        target: accuracy to reach.

    >>> cheapest_mixture_cost(np.array([0.5, 0.9]), np.array([1.0, 3.0]), np.array(0.7))
    array(2.)
    """
    low, high = accuracy[..., :, None], accuracy[..., None, :]
    wanted = target[..., None, None]
    # The share of the second LLM that lifts the first one's accuracy to the target.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        share = np.where(low >= wanted, 0.0, (wanted - low) / (high - low))
    possible = (share >= 0) & (share <= 1) & ((low >= wanted) | (high >= wanted))
    total = cost[..., :, None] + np.where(possible, share, 0.0) * (cost[..., None, :] - cost[..., :, None])
    best = np.where(possible, total, np.inf).min(axis=(-2, -1))
    return np.asarray(np.where(np.isfinite(best), best, np.nan))
