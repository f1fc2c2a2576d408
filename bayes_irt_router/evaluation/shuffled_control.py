"""The control that must show nothing: answers permuted over queries, so that no query has anything to tell.

**What is permuted.** Each LLM's answers (score, number of trials, tokens and costs, together) are permuted over
the queries that it answered, each LLM on its own, once within the training queries and once within the test
queries. So every LLM keeps its mean score and cost in both parts, and which queries it answered; whatever ties
answers to a query or ties LLMs to one another is gone. Costs that stayed would still tell which LLM is cheap for
a query, and whoever used that would beat the best static choice without any skill at telling right from wrong.

**What is looked at.** AUC over all cells is above 0.5 for anything that knows the LLMs' means, so AUC is taken
within each LLM and averaged over LLMs. AUC sees ranks only, and so it magnifies the least difference between
queries: against the true test answers a method that is nearly constant would still rank the tasks in some
order, the same for all LLMs if it shares a difficulty, and be right or wrong about it by luck that more test
queries do not average out. Against test answers that are permuted as well, every order of the queries is as
good as any other: the mean is 0.5 exactly, and the variance is known. Answers that leak from test to training
would still show, because the permuted ones are those that would leak.

For routing, the reference is the best static choice. A method that learned nothing may fall below it, by
taking LLMs after their luck on training queries; it must not be above it by more than noise.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float


def permute_answers(data: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
    """The data with each LLM's answers, and what they cost, permuted over the queries it answered."""
    names = [str(name) for name, values in data.data_vars.items() if set(values.dims) == {"query", "llm"}]
    moved = {name: data[name].transpose("query", "llm").values.copy() for name in names}
    trials = data["trials"].transpose("query", "llm").values
    for j in range(trials.shape[1]):
        answered = np.flatnonzero(trials[:, j] > 0)
        other = rng.permutation(answered)
        for values in moved.values():
            values[answered, j] = values[other, j]
    return data.assign({name: (("query", "llm"), values) for name, values in moved.items()})


@dataclass(frozen=True)
class WithinLLM:
    """Mean of the LLMs' AUCs; its standard deviation if answers were permuted; the number of LLMs."""

    auc: float
    null_sd: float
    llms: int

    @property
    def z(self) -> float:
        """How many standard deviations from 0.5; 0 where every prediction is the same for all queries."""
        return (self.auc - 0.5) / self.null_sd if self.null_sd > 0 else 0.0


def auc_within_llm(p: Float[np.ndarray, "query llm"], score: Float[np.ndarray, "query llm"]) -> WithinLLM:
    """The mean over LLMs of the AUC among each LLM's own answers, and its distribution under permutation.

    For n1 right and n0 wrong answers, n together, AUC is a Mann-Whitney statistic with the variance `(n + 1 -
    sum_g (t_g^3 - t_g) / (n (n - 1))) / (12 n1 n0)` under permutation, t_g being the sizes of groups of equal
    p (Mann & Whitney 1947, Lehmann 1975). LLMs are permuted independently, so the mean over J of them has the
    variance `sum / J^2`. Graded scores, and LLMs with right or wrong answers alone, are left out; without any
    LLM all is NaN.
    """
    found, variance = [], []
    for j in range(score.shape[1]):
        binary = (score[:, j] == 0) | (score[:, j] == 1)
        q, right = p[binary, j], score[binary, j] == 1
        n, n1 = q.size, int(right.sum())
        n0 = n - n1
        if n1 == 0 or n0 == 0:
            continue
        _, group, size = np.unique(q, return_inverse=True, return_counts=True)
        mid_rank = (np.cumsum(size) - (size - 1) / 2)[group]
        found.append((mid_rank[right].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))
        ties = float((size.astype(np.float64) ** 3 - size).sum()) / max(n * (n - 1), 1)
        variance.append((n + 1 - ties) / (12 * n1 * n0))
    if not found:
        return WithinLLM(float("nan"), float("nan"), 0)
    return WithinLLM(
        float(np.mean(found)), float(np.sqrt(max(np.sum(variance), 0.0)) / len(found)), len(found)
    )


def pooled_within_llm(parts: list[WithinLLM]) -> WithinLLM:
    """Over test sets whose answers were permuted independently: the mean over all LLMs of all sets."""
    parts = [one for one in parts if one.llms]
    llms = sum(one.llms for one in parts)
    if not llms:
        return WithinLLM(float("nan"), float("nan"), 0)
    total = sum(one.auc * one.llms for one in parts)
    variance = sum((one.null_sd * one.llms) ** 2 for one in parts)
    return WithinLLM(float(total / llms), float(np.sqrt(variance) / llms), llms)
