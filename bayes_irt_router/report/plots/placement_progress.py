"""How fast is a new LLM known?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayes_irt_router.calibration.session import State
from bayes_irt_router.errors import InputError
from bayes_irt_router.report.plots.intervals import COLOURS, LEVEL, escaped, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def placement_progress(
    states: Sequence[State], llm: str, *, level: float = LEVEL, truth: float | None = None
) -> "Figure":
    """A new LLM's accuracy over the fitted queries against the number of its answers: posterior mean and interval after each.

    Args:
        states: of one calibration whose target is an accuracy, as `state` returns them for growing numbers of answers.
        llm: its name.
        level: of the interval, that of a normal inside [0, 1].
        truth: the accuracy that asking everything would show, if known.

    Raises:
        InputError: there is no state.
    """
    from matplotlib.ticker import MaxNLocator

    if not states:
        raise InputError("There is no state to show; give those of at least one number of answers.")
    ordered = sorted(states, key=lambda one: len(one.answers))
    n = np.array([len(one.answers) for one in ordered])
    mean, lower, upper = 100 * np.array([one.interval(level) for one in ordered]).T
    figure = new_figure(7.5, 4.2)
    axes = figure.subplots()
    axes.fill_between(n, lower, upper, color=COLOURS[0], alpha=0.2, linewidth=0)
    axes.plot(n, mean, "o-", color=COLOURS[0], markersize=4, label="posterior mean")
    axes.plot(n, lower, color=COLOURS[0], linewidth=0.8)
    axes.plot(n, upper, color=COLOURS[0], linewidth=0.8)
    if truth is not None:
        axes.axhline(100 * truth, color=COLOURS[1], linestyle="--", label="all answers")
        axes.legend(frameon=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("answers of the new LLM")
    axes.set_ylabel("accuracy over the fitted queries, %")
    axes.set_title(
        f"{escaped(llm)}: posterior mean and {100 * level:g} % normal interval; its length falls from "
        f"{upper[0] - lower[0]:.0f} to {upper[-1] - lower[-1]:.0f} points",
        fontsize=9,
    )
    tidy(axes)
    return figure
