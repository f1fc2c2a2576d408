"""A made-up bank, features and all, on which a posterior can be checked against what made the scores."""

import numpy as np
import xarray as xr

from bayes_irt_router.data.feature_map import TASK_PREFIX, TASK_SHARE


def random_bank(rng: np.random.Generator, *, queries: int = 30, llms: int = 8, tasks: int = 0) -> xr.Dataset:
    """A made-up bank for :func:`simulation_based_calibration`: every cell answered once, right or wrong.

    It has 3 surface features and 4 kernel features, all random, with a novelty between 0 and 0.3 that fits
    the latter; and, if there are tasks, their probabilities.

    >>> dict(random_bank(np.random.default_rng(0)).sizes)
    {'query': 30, 'llm': 8, 'feature': 7}
    """
    novelty = rng.uniform(0.0, 0.3, queries)
    surface, process = rng.standard_normal((queries, 3)), rng.standard_normal((queries, 4))
    process *= np.sqrt((1.0 - novelty) / (process**2).sum(axis=1))[:, None]
    if tasks:
        probability = rng.dirichlet(np.full(tasks, 0.3), queries)
        scale = np.sqrt(TASK_SHARE)
        process = np.hstack([process * np.sqrt(1.0 - TASK_SHARE), probability * scale])
        novelty = 1.0 - (process**2).sum(axis=1)
    names = [*(f"kernel {k}" for k in range(4)), *(f"{TASK_PREFIX}{k}" for k in range(tasks))]
    return xr.Dataset(
        {
            "score": (("query", "llm"), np.zeros((queries, llms))),
            "trials": (("query", "llm"), np.ones((queries, llms), dtype=np.int64)),
            "features": (("query", "feature"), np.hstack([surface, process]).astype(np.float32)),
            "novelty": ("query", novelty.astype(np.float32)),
            "unseen": ("query", np.zeros(queries, dtype=np.float32)),
        },
        coords={
            "query": [f"query {i}" for i in range(queries)],
            "llm": [f"LLM {j}" for j in range(llms)],
            "task": ("query", [""] * queries),
            "feature": [*(f"surface {k}" for k in range(3)), *names],
            "feature_group": ("feature", ["surface"] * 3 + ["kernel"] * 4 + ["task"] * tasks),
        },
    )
