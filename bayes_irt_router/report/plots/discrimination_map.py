"""Which queries are hard, and which tell LLMs apart?"""

from typing import TYPE_CHECKING

import numpy as np

from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.report.plots.intervals import (
    COLOURS,
    LEVEL,
    MARKERS,
    ends,
    escaped,
    flat,
    new_figure,
    tidy,
    words,
)
from bayes_irt_router.report.task_accuracy import task_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def discrimination_map(posterior: Posterior, *, level: float = LEVEL) -> "Figure":
    """Every fitted query by its posterior means: difficulty and general discrimination; with three or more traits also the first
    two specific discriminations. Tasks by colour and marker.

    The cross in the corner is the median length of the queries' intervals on either axis: queries nearer to each other than
    that are not told apart.

    Args:
        posterior: the fitted model.
        level: of the intervals behind the cross.
    """
    draws = posterior.draws
    b, a = flat(draws["difficulty"]), flat(draws["discrimination"])
    traits = [str(name) for name in draws["trait"].values]
    pairs = [
        (
            b,
            "difficulty, logits (right: harder)",
            a[..., 0],
            f"{words(traits[0])} discrimination, logits / SD",
        )
    ]
    if len(traits) > 2:
        labels = [f"{words(name)} discrimination, logits / SD" for name in traits[1:3]]
        pairs.append((a[..., 1], labels[0], a[..., 2], labels[1]))
    tasks, index = np.unique(task_names(posterior), return_inverse=True)
    figure = new_figure(0.4 + 4.6 * len(pairs), 4.7 + 0.2 * (len(tasks) // 5))
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    for axes, (x, x_label, y, y_label) in zip(panels, pairs, strict=True):
        for task in range(len(tasks)):
            inside = index == task
            axes.scatter(
                x.mean(axis=0)[inside],
                y.mean(axis=0)[inside],
                s=9,
                marker=MARKERS[task % len(MARKERS)],
                color=COLOURS[task % len(COLOURS)],
                alpha=0.6,
                linewidths=0,
                rasterized=True,
            )
        axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        _cross(axes, x, y, level)
        tidy(axes)
    for task, name in enumerate(tasks):
        panels[0].plot(
            [],
            [],
            MARKERS[task % len(MARKERS)],
            color=COLOURS[task % len(COLOURS)],
            markersize=4,
            label=escaped(name),
        )
    figure.legend(loc="outside lower center", ncols=min(5, len(tasks)), fontsize=8, frameon=False)
    figure.suptitle(
        f"Fitted queries, posterior means; the cross is the median {100 * level:g} % equal-tailed interval",
        fontsize=9,
    )
    return figure


def _cross(axes: "Axes", x: np.ndarray, y: np.ndarray, level: float) -> None:
    """Median lengths of the intervals, drawn in the upper right corner in units of the data."""
    half = [float(np.median(upper - lower)) / 2 for lower, upper in (ends(x, level), ends(y, level))]
    right, top = axes.get_xlim()[1], axes.get_ylim()[1]
    axes.errorbar(
        right + half[0], top + half[1], xerr=half[0], yerr=half[1], color="0.2", linewidth=1.2, capsize=2
    )
