"""How well each LLM does on each task of the fitted queries, draw by draw, and what the traits have to do with tasks."""

import numpy as np
import xarray as xr

from bayes_irt_router.inference.linear_view import linear_view
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.irt.response import p_correct

BLOCK = 100  # draws at once: all draws of a large benchmark would not fit into memory
NO_TASK = "all queries"


def task_names(posterior: Posterior) -> np.ndarray:
    """The task of each fitted query; one name for all where tasks are unknown. Shape (query,)."""
    queries = posterior.tree["queries"].to_dataset()
    task = (
        queries["task"].values.astype(str)
        if "task" in queries.coords
        else np.full(queries.sizes["query"], "")
    )
    return np.where(task == "", NO_TASK, task)


def task_accuracy(posterior: Posterior) -> xr.DataArray:
    """Draws of each LLM's mean P(correct) over the fitted queries of each task, with the queries' own parameters.

    What it is over: the parameters, the queries' own included. The coin of single answers is not in it.

    Returns:
        dims (chain, draw, task, llm); tasks in alphabetical order.
    """
    posterior = linear_view(posterior)
    draws = posterior.draws
    tasks, index = np.unique(task_names(posterior), return_inverse=True)
    share = np.zeros((len(tasks), len(index)), dtype=np.float32)
    share[index, np.arange(len(index))] = 1.0
    share /= share.sum(axis=1, keepdims=True)
    names = ("ability", "discrimination", "difficulty")
    ability, a, b = (draws[name].values.reshape(-1, *draws[name].shape[2:]) for name in names)
    means = [
        share @ p_correct(ability[block], a[block], b[block])
        for block in np.array_split(np.arange(len(b)), max(1, len(b) // BLOCK))
    ]
    shape = (draws.sizes["chain"], draws.sizes["draw"], len(tasks), len(posterior.llm))
    return xr.DataArray(
        np.concatenate(means).reshape(shape),
        dims=("chain", "draw", "task", "llm"),
        coords={"chain": draws["chain"], "draw": draws["draw"], "task": tasks, "llm": posterior.llm},
    )


def probability_best_by_task(accuracy: xr.DataArray) -> xr.DataArray:
    """P(the LLM has the highest mean P(correct) on the task): the share of joint draws in which it has.

    Args:
        accuracy: as :func:`task_accuracy` returns it.

    Returns:
        dims (task, llm); each task's values sum to one.
    """
    best = accuracy == accuracy.max("llm")
    return (best / best.sum("llm")).mean(("chain", "draw"))


def trait_tasks(posterior: Posterior) -> list[list[str]]:
    """For each trait what its sign means: the tasks with the highest and the lowest mean discrimination.

    Empty for the general trait, for abilities with names of their own, and where there is one task only.
    """
    if posterior.record["kind"] == "nirt":
        return [[] for _ in posterior.draws["trait"].values]
    tasks, index = np.unique(task_names(posterior), return_inverse=True)
    mean = posterior.draws["discrimination"].mean(("chain", "draw")).values
    found: list[list[str]] = []
    for d in range(mean.shape[1]):
        if d == 0 or len(tasks) < 2:
            found.append([])
            continue
        by_task = np.bincount(index, weights=mean[:, d]) / np.bincount(index)
        high, low = int(by_task.argmax()), int(by_task.argmin())
        found.append([f"+ {tasks[high]}", f"− {tasks[low]}"])
    return found
