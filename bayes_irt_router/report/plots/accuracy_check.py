"""Are the accuracies that were observed among those that the model would produce?"""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayes_irt_router.evaluation.metrics import replicated_accuracy
from bayes_irt_router.evaluation.predictions import Predicted
from bayes_irt_router.report.plots.intervals import COLOURS, LEVEL, ends, escaped, name_rows, new_figure
from bayes_irt_router.report.task_accuracy import NO_TASK

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def accuracy_check(
    predicted: Predicted, data: xr.Dataset, rng: np.random.Generator, *, level: float = LEVEL
) -> "Figure":
    """Posterior predictive check of each LLM's accuracy, a panel a task: replicated interval and observed mean score.

    Replications draw the parameters, each query's residuals (shared by all LLMs) and the coin of each answer, for the cells that were
    observed. Misses are drawn as crosses; of n LLMs about ``(1 - level) n`` are expected, and misses on a task go
    together, because its queries are shared.

    Args:
        predicted: joint draws for the data's queries and LLMs, as `predict_model` makes them.
        data: with ``score``, ``trials`` (query, llm) and ``task`` (query).
        rng: of the answers' coins.
        level: of the intervals.
    """
    score, trials = data["score"].values, data["trials"].values
    task = data["task"].values.astype(str) if "task" in data.coords else np.full(len(score), "")
    task = np.where(task == "", NO_TASK, task)
    tasks = sorted(set(task.tolist()))
    llms = data["llm"].values.astype(str)
    with np.errstate(invalid="ignore"):
        overall = np.nansum(score, axis=0) / (~np.isnan(score)).sum(axis=0)
    order = np.argsort(-np.nan_to_num(overall, nan=-1.0), kind="stable")

    columns = min(4, len(tasks))
    rows = -(-len(tasks) // columns)
    figure = new_figure(2.4 + 2.2 * columns, 0.9 + rows * (0.7 + 0.19 * len(llms)))
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for panel in panels.flat[len(tasks) :]:
        panel.set_visible(False)
    for axes, name in zip(panels.flat, tasks, strict=False):
        inside = task == name
        seen = ~np.isnan(score[inside])
        conditional = predicted.conditional[:, inside]
        replicated = replicated_accuracy(conditional, seen, rng, trials=trials[inside])[:, order]
        with np.errstate(invalid="ignore"):
            observed = (np.nansum(score[inside], axis=0) / seen.sum(axis=0))[order]
        known = np.flatnonzero(~np.isnan(observed))
        lower, upper = ends(replicated[:, known], level)
        missed = (observed[known] < lower - 1e-9) | (observed[known] > upper + 1e-9)
        axes.hlines(known, 100 * lower, 100 * upper, color=COLOURS[0], linewidth=3, alpha=0.45)
        axes.plot(100 * observed[known[~missed]], known[~missed], "o", color="0.15", markersize=3.5)
        axes.plot(100 * observed[known[missed]], known[missed], "X", color=COLOURS[1], markersize=6)
        axes.set_title(
            f"{escaped(name)} ({inside.sum():,})\n{len(known) - missed.sum()} of {len(known)} inside",
            fontsize=8,
        )
        name_rows(axes, llms[order].tolist())
    figure.supxlabel("mean score, %", fontsize=9)
    figure.suptitle(
        f"Posterior predictive check: bars hold {100 * level:g} % of replicated accuracies (equal-tailed); dots are "
        "observed,\ncrosses observed outside",
        fontsize=9,
    )
    return figure
