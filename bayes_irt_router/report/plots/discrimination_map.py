"""Which queries are hard, and which tell LLMs apart?"""

from typing import TYPE_CHECKING, Any

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

MARGIN = 0.04  # between the outermost points and the frame, as a share of the points' range
BESIDE = 1.03  # where the bars of the intervals are, as a share of the axes


def discrimination_map(posterior: Posterior, *, level: float = LEVEL) -> "Figure":
    """Every fitted query by its posterior means: difficulty and general discrimination; with three or more traits also the first
    two specific discriminations. Tasks by colour and marker.

    The bars above and to the right of the points are as long as the median interval of a query: queries nearer to each other than
    that are not told apart. The points alone set the axes; a bar that would be longer than its axis ends with it, and
    its length is written beside it.

    Args:
        posterior: the fitted model.
        level: of the intervals behind the bars.
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
    figure = new_figure(0.4 + 4.9 * len(pairs), 4.9 + 0.2 * (len(tasks) // 5))
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    for axes, (x, x_label, y, y_label) in zip(panels, pairs, strict=True):
        _points(axes, x.mean(axis=0), y.mean(axis=0), index)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        _median_intervals(axes, x, y, level)
        tidy(axes)
    for task, name in enumerate(tasks):
        panels[0].scatter([], [], s=22, label=escaped(name), **_look(task))
    figure.legend(loc="outside lower center", ncols=min(5, len(tasks)), fontsize=8, frameon=False)
    figure.suptitle(
        f"Fitted queries, posterior means; the bars are as long as the median {100 * level:g} % equal-tailed interval",
        fontsize=9,
    )
    return figure


def _look(task: int) -> dict[str, Any]:
    """Marker and colours of a task's points; once all markers are used they come again, open."""
    colour = COLOURS[task % len(COLOURS)]
    filled = task // len(MARKERS) % 2 == 0
    return {
        "marker": MARKERS[task % len(MARKERS)],
        "facecolors": colour if filled else "none",
        "edgecolors": colour,
    }


def _points(axes: "Axes", x: np.ndarray, y: np.ndarray, task: np.ndarray) -> None:
    """One point a query, and axes that they fill."""
    for number in np.unique(task):
        inside = task == number
        axes.scatter(
            x[inside], y[inside], s=16, alpha=0.7, linewidths=0.7, rasterized=True, **_look(int(number))
        )
    for values, limits in ((x, axes.set_xlim), (y, axes.set_ylim)):
        low, high = float(values.min()), float(values.max())
        margin = MARGIN * (high - low) or 1.0
        limits(low - margin, high + margin)
    low, high = axes.get_ylim()
    if low < 0 < high:
        axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)


def _median_intervals(axes: "Axes", x: np.ndarray, y: np.ndarray, level: float) -> None:
    """Bars outside the frame in units of the data, as long as the median intervals, with their lengths in words."""
    look: dict[str, Any] = {"color": "0.2", "linewidth": 1.4, "clip_on": False}
    for values, limits, transform, horizontal in (
        (x, axes.get_xlim(), axes.get_xaxis_transform(), True),
        (y, axes.get_ylim(), axes.get_yaxis_transform(), False),
    ):
        lower, upper = ends(values, level)
        length = float(np.median(upper - lower))
        middle, room = sum(limits) / 2, limits[1] - limits[0]
        half = min(length, room) / 2
        along, across = [middle - half, middle + half], [BESIDE, BESIDE]
        caps = "" if length > room else ("|" if horizontal else "_")
        axes.plot(
            *((along, across) if horizontal else (across, along)), transform=transform, marker=caps, **look
        )
        beyond = ", more than the axis" if length > room else ""
        axes.text(
            *((middle, BESIDE + 0.015) if horizontal else (BESIDE + 0.015, middle)),
            f"median interval {length:#.2g}{beyond}",
            transform=transform,
            fontsize=7,
            ha="center" if horizontal else "left",
            va="bottom" if horizontal else "center",
            rotation=0 if horizontal else 90,
        )
