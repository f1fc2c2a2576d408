"""At which abilities does a task tell LLMs apart?"""

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.report.plots.intervals import COLOURS, LEVEL, ends, escaped, flat, new_figure, tidy
from bayes_irt_router.report.task_accuracy import task_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GRID = 61
DRAWS = 200  # of the posterior: bands change little beyond
COLUMNS = 4


def information_functions(posterior: Posterior, *, level: float = LEVEL) -> "Figure":
    """Fisher information about the general ability that a task's average query carries, ``mean_i a_i1^2 p_i (1 - p_i)``.

    One panel a task, the other tasks' means dotted. ``p_i`` is at the LLMs' mean of the specific abilities. n such queries measure
    the general ability of one LLM with a standard error of about ``1 / sqrt(n * information)`` (Birnbaum, 1968). Ticks at the bottom
    are the fitted LLMs.

    Args:
        posterior: the fitted model.
        level: of the bands, which hold that share of the draws at each ability.
    """
    draws = posterior.thin(max(DRAWS, posterior.draws.sizes["chain"])).draws
    general = flat(draws["discrimination"][..., 0])
    difficulty = flat(draws["difficulty"])
    ability = flat(posterior.draws["ability"])[:, :, 0].mean(axis=0)
    tasks, index = np.unique(task_names(posterior), return_inverse=True)
    span = max(3.0, 1.2 * float(np.abs(ability).max()))
    grid = np.linspace(-span, span, GRID)
    information = np.zeros((len(general), len(tasks), GRID))
    for at, theta in enumerate(grid):
        p = expit(general * theta - difficulty)
        one = general**2 * p * (1 - p)
        for task in range(len(tasks)):
            information[:, task, at] = one[:, index == task].mean(axis=1)

    columns = min(COLUMNS, len(tasks))
    rows = -(-len(tasks) // columns)
    figure = new_figure(1.2 + 2.3 * columns, 0.9 + 1.9 * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for panel in panels.flat[len(tasks) :]:
        panel.set_visible(False)
    mean = information.mean(axis=0)
    top = 1.05 * float(ends(information, level)[1].max())
    for task, axes in zip(range(len(tasks)), panels.flat, strict=False):
        lower, upper = ends(information[:, task], level)
        axes.fill_between(grid, lower, upper, color=COLOURS[0], alpha=0.25, linewidth=0)
        # Above the band, and darker: in grey, light lines would be lost in it.
        axes.plot(grid, np.delete(mean, task, axis=0).T, color="0.5", linewidth=0.6, linestyle=":")
        axes.plot(grid, mean[task], color=COLOURS[0], linewidth=1.8)
        axes.plot(ability, np.zeros_like(ability), "|", color="0.2", markersize=9, clip_on=False)
        axes.set_title(f"{escaped(str(tasks[task]))} ({(index == task).sum():,})", fontsize=8)
        axes.set_ylim(0, top)
        axes.set_xlim(-span, span)
        tidy(axes)
    figure.supxlabel("general ability, SDs of the fitted LLMs (ticks: the LLMs)", fontsize=9)
    figure.supylabel("information of an average query, 1 / SD²", fontsize=9)
    figure.suptitle(
        f"Information by task: posterior mean and {100 * level:g} % equal-tailed band; dotted: the other tasks",
        fontsize=9,
    )
    return figure
