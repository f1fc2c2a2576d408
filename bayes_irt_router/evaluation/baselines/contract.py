"""What every baseline is: fitted on training queries, it predicts each LLM's score on others.

Baselines see what the model sees and nothing more: answers of training queries, and of the queries to predict
the embedding and the named features. A missing answer (NaN) counts nowhere. All randomness comes from the
generator given to `fit`, so the same state gives the same predictions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from bayes_irt_router.errors import InputError
from bayes_irt_router.routing.prediction import DIMS

PRIOR_ANSWERS = 2.0
"""A mean of few answers is drawn towards a wider mean as if that had given this many more."""


@runtime_checkable
class FittedBaseline(Protocol):
    """A baseline that has seen its training data."""

    @property
    def chosen(self) -> Mapping[str, float]:
        """What was chosen on the training data, such as the number of neighbours; may be empty."""

    def predict(self, queries: xr.Dataset) -> Float[np.ndarray, "query llm"]:
        """E[score] in [0, 1] of featurized queries, columns in the order of the training data."""


@runtime_checkable
class Baseline(Protocol):
    """A baseline's settings."""

    @property
    def name(self) -> str:
        """One word with the inputs at its end, such as `knn_embedding`."""

    @property
    def effort(self) -> float:
        """About how long fitting takes relative to other baselines; for the estimate of the time left."""

    def fit(self, train: xr.Dataset, rng: np.random.Generator) -> FittedBaseline:
        """Learn from featurized training data with `score` and `trials` (query, llm)."""


@dataclass(frozen=True, eq=False)
class Answers:
    """Scores and the number of answers behind each; both 0 where nobody answered."""

    score: Float[np.ndarray, "query llm"]
    count: Float[np.ndarray, "query llm"]

    def rows(self, which: Int[np.ndarray, " kept"]) -> "Answers":
        """The answers to some of the queries."""
        return Answers(self.score[which], self.count[which])

    def llm_mean(self) -> Float[np.ndarray, " llm"]:
        """Each LLM's mean score, drawn slightly towards the mean of all, `(sum y + s m) / (n + s)`.

        So an LLM that was always right is not certain to be, and one without answers has the mean of all.
        """
        total = (self.score * self.count).sum(axis=0)
        count = self.count.sum(axis=0)
        return (total + PRIOR_ANSWERS * total.sum() / count.sum()) / (count + PRIOR_ANSWERS)

    def log_loss(self, p: Float[np.ndarray, "query llm"]) -> float:
        """Summed cross-entropy in nats, over the answers."""
        q = np.clip(p, 1e-6, 1 - 1e-6)
        return float(-(self.count * (self.score * np.log(q) + (1 - self.score) * np.log1p(-q))).sum())


def answers_of(data: xr.Dataset) -> Answers:
    """The answers in canonical data.

    Raises:
        InputError: there is none.
    """
    score = data["score"].transpose("query", "llm").values.astype(np.float64)
    seen = ~np.isnan(score)
    if not seen.any():
        raise InputError("There is no answer to fit a baseline to: choose another split or data set.")
    count = data["trials"].transpose("query", "llm").values.astype(np.float64)
    return Answers(np.where(seen, score, 0.0), np.where(seen, count, 0.0))


def folds(queries: int, count: int, rng: np.random.Generator) -> Int[np.ndarray, " query"]:
    """A random fold for each query, all of nearly the same size."""
    return rng.permutation(np.arange(queries) % min(count, queries))


def as_prediction(p: Float[np.ndarray, "query llm"], data: xr.Dataset) -> xr.Dataset:
    """The container that `routing.prediction.predict` returns, of a point estimate: one chain, one draw.

    A point estimate knows neither uncertainty of parameters nor a residual that a query's LLMs share, so
    both arrays are p, and familiarity is 1 everywhere.

    Args:
        p: E[score] of each cell.
        data: has the coordinates `query` and `llm` of p's rows and columns.
    """
    cells = (DIMS, p[None, None].astype(np.float32))
    return xr.Dataset(
        {
            "p_correct": cells,
            "p_correct_conditional": cells,
            "familiarity": ("query", np.ones(len(p), dtype=np.float32)),
        },
        coords={"chain": [0], "draw": [0], "query": data["query"].values, "llm": data["llm"].values},
    )
