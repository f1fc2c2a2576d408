"""How hard are the tasks, and how much do queries differ inside each?"""

from typing import TYPE_CHECKING

import numpy as np

from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.report.plots.intervals import LEVEL, flat, interval_rows, name_rows, new_figure, stated
from bayes_irt_router.report.task_accuracy import task_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def difficulty_by_task(posterior: Posterior, *, level: float = LEVEL) -> "Figure":
    """One row a task, hardest on top: each query's posterior mean difficulty as a dot, and the posterior of the task's mean.

    Args:
        posterior: the fitted model.
        level: of the thin intervals.
    """
    difficulty = flat(posterior.draws["difficulty"].transpose("chain", "draw", "query"))
    tasks, index = np.unique(task_names(posterior), return_inverse=True)
    counts = np.bincount(index)
    means = np.stack([difficulty[:, index == k].mean(axis=1) for k in range(len(tasks))], axis=1)
    order = np.argsort(-means.mean(axis=0), kind="stable")
    figure = new_figure(7.5, 1.6 + 0.42 * len(tasks))
    axes = figure.subplots()
    own = difficulty.mean(axis=0)
    for row, k in enumerate(order):
        inside = np.sort(own[index == k])
        # A fixed pattern of heights keeps dots apart without a random number.
        height = row + 0.28 * (np.modf(np.arange(len(inside)) * 0.618034)[0] - 0.5) + 0.22
        axes.scatter(inside, height, s=5, color="0.6", alpha=0.6, linewidths=0, rasterized=True)
    interval_rows(axes, means[:, order], level, at=[row - 0.18 for row in range(len(order))])
    name_rows(axes, [f"{tasks[k]} ({counts[k]:,})" for k in order])
    axes.set_xlabel("difficulty, logits (right: harder)")
    axes.set_title(f"Mean difficulty of each task: {stated(level)};\ngrey dots: single queries", fontsize=9)
    return figure
