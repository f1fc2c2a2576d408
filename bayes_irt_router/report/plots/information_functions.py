"""At which abilities does a task tell LLMs apart?"""

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.report.plots.intervals import (
    COLOURS,
    LEVEL,
    LINES,
    ends,
    escaped,
    flat,
    new_figure,
    tidy,
)
from bayes_irt_router.report.task_accuracy import task_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GRID = 61
DRAWS = 200  # of the posterior: bands change little beyond


def information_functions(posterior: Posterior, *, level: float = LEVEL) -> "Figure":
    """Fisher information about the general ability that a task's average query carries, ``mean_i a_i1^2 p_i (1 - p_i)``.

    ``p_i`` is at the LLMs' mean of the specific abilities. n such queries measure the general ability of one LLM with a
    standard error of about ``1 / sqrt(n * information)`` (Birnbaum, 1968). Ticks at the bottom are the fitted LLMs.

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

    figure = new_figure(7.5, 4.6)
    axes = figure.subplots()
    for task, name in enumerate(tasks):
        colour, line = COLOURS[task % len(COLOURS)], LINES[(task // len(COLOURS) + task) % len(LINES)]
        axes.fill_between(grid, *ends(information[:, task], level), color=colour, alpha=0.15, linewidth=0)
        axes.plot(grid, information[:, task].mean(axis=0), color=colour, linestyle=line, label=escaped(name))
    axes.plot(ability, np.zeros_like(ability), "|", color="0.2", markersize=12, clip_on=False)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("general ability, SDs of the fitted LLMs (ticks: the LLMs)")
    axes.set_ylabel("information of an average query, 1 / SD²")
    axes.set_title(f"Information by task: posterior mean and {100 * level:g} % band", fontsize=9)
    axes.legend(frameon=False, fontsize=8, ncols=1 + (len(tasks) > 7))
    tidy(axes)
    return figure
