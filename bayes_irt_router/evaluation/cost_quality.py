"""One number for a whole curve of cost against quality, and for one point of it.

A router's parameter (alpha, or a threshold) traces points (cost, quality); mixing two of them at random
reaches everything on the line between them.
"""

import numpy as np
from jaxtyping import Float

from bayes_irt_router.errors import InputError


def convex_hull(
    cost: Float[np.ndarray, " point"], quality: Float[np.ndarray, " point"]
) -> tuple[Float[np.ndarray, " corner"], Float[np.ndarray, " corner"]]:
    """Corners of the non-decreasing convex hull (RouterBench, Hu et al. 2024): the best quality that a random
    mixture of points with this mean cost, or less, reaches.

    Costs and qualities of the corners both increase strictly, and the slopes between them fall. Points with
    NaN are left out.

    >>> convex_hull(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.2, 0.1, 0.6, 0.5]))
    (array([1., 3.]), array([0.2, 0.6]))
    """
    known = ~(np.isnan(cost) | np.isnan(quality))
    if not known.any():
        raise InputError("There is no point with a known cost and quality: choose other LLMs.")
    corners: list[tuple[float, float]] = []
    for c, q in sorted(
        zip(cost[known].tolist(), quality[known].tolist(), strict=True), key=lambda p: (p[0], -p[1])
    ):
        if corners and q <= corners[-1][1]:
            continue  # as good for less
        while len(corners) > 1 and _below(corners[-2], corners[-1], (c, q)):
            corners.pop()
        corners.append((c, q))
    x, y = np.array(corners).T
    return x, y


def _below(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Whether b lies on or below the line from a to c."""
    return (b[1] - a[1]) * (c[0] - a[0]) <= (c[1] - a[1]) * (b[0] - a[0])


def aiq(
    cost: Float[np.ndarray, " point"], quality: Float[np.ndarray, " point"], low: float, high: float
) -> float:
    """Average Improvement in Quality (RouterBench, Hu et al. 2024): the mean height of the curve's
    non-decreasing convex hull over the cost range, `1 / (high - low) * integral of hull(c) dc`.

    Beyond its largest cost a router keeps its best quality. NaN where the range starts below its least cost:
    there the router has no point, and none is made up for it. The range must be the same for all that are
    compared. In the unit of `quality`.

    >>> aiq(np.array([1.0, 3.0]), np.array([0.0, 1.0]), 1.0, 5.0)
    0.75
    """
    if not high > low:
        raise ValueError(f"The cost range from {low} to {high} is empty.")
    x, y = convex_hull(cost, quality)
    if low < x[0] * (1 - 1e-9):
        return float("nan")
    inside = x[(x > low) & (x < high)]
    at = np.concatenate([[low], inside, [high]])
    return float(np.trapezoid(np.interp(at, x, y), at) / (high - low))


def performance_gap_recovered(quality: float, weak: float, strong: float) -> float:
    """PGR (RouteLLM, Ong et al. 2024): `(quality - weak) / (strong - weak)`; NaN where strong <= weak."""
    return (quality - weak) / (strong - weak) if strong > weak else float("nan")


def strong_call_curve(
    gain: Float[np.ndarray, " query"], weak: Float[np.ndarray, " query"], strong: Float[np.ndarray, " query"]
) -> Float[np.ndarray, " calls"]:
    """Mean score when the k queries of highest predicted gain go to the strong LLM, for k = 0 ... queries.

    Args:
        gain: predicted score of the strong LLM minus that of the weak one. Equal gains are taken in random
            order, of which this is the expectation.
        weak, strong: what the two LLMs scored.
    """
    _, group, size = np.unique(-gain, return_inverse=True, return_counts=True)
    won = np.bincount(group, weights=strong - weak) / size
    return weak.mean() + np.concatenate([[0.0], np.cumsum(np.repeat(won, size))]) / gain.size


def apgr(curve: Float[np.ndarray, " calls"], weak: float, strong: float) -> float:
    """Average PGR (RouteLLM, Ong et al. 2024): `integral of PGR(r) dr` over the share r of queries sent to the
    strong LLM, 0 to 1.

    Departure: the trapezoid rule on every share k / queries instead of a few thresholds. Random choices have
    0.5; always answering as the weak LLM 0, as the strong one 1. NaN where strong <= weak.

    Args:
        curve: mean scores at equally spaced shares, as `strong_call_curve` returns them.
        weak, strong: mean scores of the two LLMs.
    """
    if curve.size < 2:
        raise ValueError("A curve has at least two points.")
    return performance_gap_recovered(float(np.trapezoid(curve) / (curve.size - 1)), weak, strong)


def cpt(curve: Float[np.ndarray, " calls"], weak: float, strong: float, recovered: float) -> float:
    """Call-performance threshold CPT(x) (RouteLLM, Ong et al. 2024): the least share of queries that must go
    to the strong LLM to recover the share x of the gap, in [0, 1]; NaN where strong <= weak.

    >>> cpt(np.array([0.5, 0.75, 1.0]), 0.5, 1.0, 0.5)
    0.5
    """
    if not strong > weak:
        return float("nan")
    enough = np.flatnonzero(curve >= weak + recovered * (strong - weak) - 1e-12)
    return float(enough[0] / (curve.size - 1)) if enough.size else float("nan")


def router_arena_score(accuracy: float, usd_per_1000: float) -> float:
    """RouterArena's score (Lu et al. 2025): a weighted harmonic mean of accuracy A and cheapness C,
    `(1 + b) A C / (b A + C)`, b = 0.1, `C = log(200 / c) / log(200 / 0.0044)`.

    Departure: a cost c outside 0.0044 to 200 USD counts as the nearer end.

    Args:
        accuracy: as a fraction.
        usd_per_1000: cost of 1,000 queries in USD.
    """
    beta, dearest, cheapest = 0.1, 200.0, 0.0044
    if np.isnan(usd_per_1000):
        return float("nan")
    cheapness = np.log(dearest / np.clip(usd_per_1000, cheapest, dearest)) / np.log(dearest / cheapest)
    whole = beta * accuracy + cheapness
    return float((1 + beta) * accuracy * cheapness / whole) if whole > 0 else 0.0


def static_mixture(
    quality: Float[np.ndarray, " llm"], cost: Float[np.ndarray, " llm"], target: float
) -> Float[np.ndarray, " llm"]:
    """Probabilities of a random mixture of two LLMs that is the best known at a mean cost, whatever the query.

    The two are neighbours on the hull of the LLMs' (cost, quality), as `convex_hull` defines it, and the
    expected cost is `target`; outside the hull's costs it is the nearer end alone. A router that is no better
    than this has learned nothing about queries.

    Args:
        quality, cost: of each LLM on train; an LLM with NaN is never chosen.
        target: mean cost to match, in the unit of `cost`.

    >>> static_mixture(np.array([0.5, 0.9, 0.6]), np.array([1.0, 3.0, 4.0]), 1.5)
    array([0.75, 0.25, 0.  ])
    """
    x, y = convex_hull(cost, quality)
    at = [int(np.flatnonzero((cost == c) & (quality == q))[0]) for c, q in zip(x, y, strict=True)]
    position = float(np.interp(target, x, np.arange(x.size, dtype=np.float64)))
    left = min(int(position), x.size - 1)
    weights = np.zeros(quality.size)
    weights[at[left]] = 1 - (position - left)
    if position > left:
        weights[at[left + 1]] = position - left
    return weights
