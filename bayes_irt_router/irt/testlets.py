"""Testlets: the tasks that a feature map tells apart, and what an LLM is better at on one of them than its traits say."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float, Float32

from bayes_irt_router.data.feature_map import TASK_PREFIX, TASK_SHARE
from bayes_irt_router.irt.population import DoubleCentring

UNSEEN_TASK = "unseen_task"  # the testlet of queries that are of no training task


def task_probability(columns: Float[np.ndarray, "query task"]) -> Float[np.ndarray, "query task"]:
    """P(t | x) from the feature map's columns of the group ``task``, which hold it times the root of their share of the variance."""
    return columns / np.sqrt(TASK_SHARE)


def testlet_loadings(data: xr.Dataset) -> Float[np.ndarray, "query task"]:
    """What the testlet effects are multiplied by in the queries that are fitted: 1 at the task that a query is stated to be of.

    Where that is none of the tasks that the feature map tells apart, ``P(t | x)``, as in new queries. Were it so in all of them, what
    an LLM does on one task would in part be taken for what it does on those that look alike, and it would seem to be known on tasks
    of which it has answered nothing.

    Args:
        data: with ``features`` (query, feature), the coords ``feature`` and ``feature_group`` of that dim, and ``task`` (query).
    """
    columns = data["feature_group"].values == "task"
    probability = task_probability(data["features"].values[:, columns])
    names = [str(name).removeprefix(TASK_PREFIX) for name in data["feature"].values[columns]]
    stated = data["task"].values.astype(str)[:, None] == np.array(names, dtype=str)
    return np.where(stated.any(axis=1, keepdims=True), stated.astype(probability.dtype), probability)


def with_testlets(
    discrimination: Float32[np.ndarray, "draw query trait"], loading: Float[np.ndarray, "query task"]
) -> Float32[np.ndarray, "draw query trait_or_testlet"]:
    """Fitted queries' discriminations as abilities with testlets need them: the loadings behind them, and 0 for the unseen task."""
    loadings = np.column_stack([loading, np.zeros(len(loading))]).astype(np.float32)
    shape = (len(discrimination), *loadings.shape)
    return np.concatenate([discrimination, np.broadcast_to(loadings, shape)], axis=2)


def testlet_centring(data: xr.Dataset, testlets: Sequence[str]) -> DoubleCentring:
    """What testlet effects are relative to, over tasks and LLMs whose answers there are.

    What all LLMs that answered a task share is its difficulty, and what an LLM has in common on all tasks that it answered is ability:
    without that, an LLM's level could as well be told by all of its effects, and chains may end in different places. Were LLMs that did
    not answer a task in its mean, it would be they who take up what the text does not tell of its difficulty. Of a task of which
    no query is stated to be all LLMs are in; the unseen task has no part in this, its effects are a new task's.
    """
    answered, task = data["trials"].values > 0, data["task"].values.astype(str)
    inside = np.stack([answered[task == name.removeprefix(TASK_PREFIX)].any(axis=0) for name in testlets])
    inside[~inside.any(axis=1)] = True
    inside[-1] = False
    return DoubleCentring.of(inside)
