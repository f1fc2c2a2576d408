"""Intervals by resampling: queries with all their answers, whole sets of queries, or folds and LLMs together."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

LEVEL = 0.95
RESAMPLES = 2000
_BLOCK = 100  # resamples whose weights are held in memory at once


@dataclass(frozen=True)
class PairedDifference:
    """One prediction's or choice's score minus another's on the same queries, with its interval."""

    difference: float
    lower: float
    upper: float


def paired_differences(
    difference: Float[np.ndarray, "query column"],
    weight: Float[np.ndarray, " query"],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    group: Int[np.ndarray, " query"] | None = None,
) -> list[PairedDifference]:
    """`sum_q w_q d_q / sum_q w_q n_q` for each column, w_q = 1, and its percentile interval of level 0.95.

    d_q is a query's summed difference and n_q its weight (answers, or 1). In the interval, w_q is how often
    query q was drawn among as many draws with replacement as there are queries (Efron 1979): queries are
    resampled with all their answers, because errors within a query are correlated. What was fitted stays as
    it is, so the interval is about other queries, not about other training data.

    With ``group``, a number for each query, the groups are drawn instead, each with all its queries: where they are tasks, the
    interval is about other tasks.
    """
    if group is not None:
        difference = np.stack([np.bincount(group, weights=column) for column in difference.T], axis=1)
        weight = np.bincount(group, weights=weight)
    queries, columns = difference.shape
    drawn = np.empty((resamples, columns))
    for start in range(0, resamples, _BLOCK):
        size = min(_BLOCK, resamples - start)
        times = rng.multinomial(queries, np.full(queries, 1 / queries), size=size).astype(np.float64)
        total = np.maximum(times @ weight, np.finfo(np.float64).tiny)
        drawn[start : start + size] = (times @ difference) / total[:, None]
    lower, upper = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    mean = difference.sum(axis=0) / weight.sum()
    return [
        PairedDifference(float(m), float(low), float(high))
        for m, low, high in zip(mean, lower, upper, strict=True)
    ]


def pigeonhole_interval(
    values: Float[np.ndarray, "fold llm"], rng: np.random.Generator, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """The 0.95 interval of the mean of `values`, folds and LLMs both resampled (Owen 2007); NaN is left out.

    LLMs of one fold answered the same queries, and an LLM recurs in every fold: `mean = sum_fj u_f v_j x_fj /
    sum_fj u_f v_j` with u_f and v_j the times that fold f and LLM j were drawn. It never understates the
    variance much; with one fold it knows of the LLMs alone.
    """
    folds, llms = values.shape
    seen, filled = ~np.isnan(values), np.nan_to_num(values)
    u = rng.multinomial(folds, np.full(folds, 1 / folds), size=resamples).astype(np.float64)
    v = rng.multinomial(llms, np.full(llms, 1 / llms), size=resamples).astype(np.float64)
    total = np.einsum("rf,fj,rj->r", u, filled, v)
    count = np.einsum("rf,fj,rj->r", u, seen.astype(np.float64), v)
    mean = (total / np.maximum(count, np.finfo(np.float64).tiny))[count > 0]
    lower, upper = np.quantile(mean, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(lower), float(upper)
