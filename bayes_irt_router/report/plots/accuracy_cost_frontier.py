"""What accuracy can be had for what cost?"""

from typing import TYPE_CHECKING

from bayes_irt_router.evaluation.frontier import SINGLE, Frontier, Point
from bayes_irt_router.report.plots.intervals import COLOURS, LINES, MARKERS, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST_ANSWERED = 0.1


def accuracy_cost_frontier(frontier: Frontier) -> "Figure":
    """Mean cost of an answer (logarithmic) against accuracy: a line and a band for each policy, markers for what was observed.

    The darker bands are of expected accuracy, over the parameters alone: what more data would shrink. The lighter ones are of replicated
    accuracy, over these queries' residuals and answers as well: the markers should lie inside. Grey crosses are single LLMs, as
    observed. Settings that answer less than a tenth of the queries are left out.
    """
    figure = new_figure(9, 6)
    axes = figure.subplots()
    policies = list(dict.fromkeys(point.policy for point in frontier.points if point.policy != SINGLE))
    for number, name in enumerate(policies):
        points = _shown(frontier, name)
        if not points:
            continue
        cost = [point.cost_usd.mean for point in points]
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        line = LINES[number % len(LINES)]
        axes.plot(
            cost,
            [100 * p.accuracy.mean for p in points],
            color=colour,
            linestyle=line,
        )
        axes.plot(
            [], [], color=colour, linestyle=line, marker=marker, markersize=4, label=name.replace("_", " ")
        )
        for bands, opacity in (
            ([p.accuracy for p in points], 0.22),
            ([p.accuracy_replicated for p in points], 0.08),
        ):
            axes.fill_between(
                cost,
                [100 * band.lower for band in bands],
                [100 * band.upper for band in bands],
                color=colour,
                alpha=opacity,
                linewidth=0,
            )
        axes.scatter(
            [p.observed_cost_usd for p in points],
            [100 * p.observed_accuracy for p in points],
            color=colour,
            marker=marker,
            s=16,
        )
    singles = [p for p in frontier.points if p.policy == SINGLE and p.observed_cost_usd > 0]
    axes.scatter(
        [p.observed_cost_usd for p in singles],
        [100 * p.observed_accuracy for p in singles],
        color="0.6",
        marker="x",
        label="single LLM",
    )
    axes.set_xscale("log")
    axes.set_xlabel("mean cost of an answer, USD")
    axes.set_ylabel("right answers among the answered queries, %")
    axes.set_title(
        f"{frontier.queries:,} queries, {len(frontier.candidates)} LLMs; markers are observed; bands hold "
        f"{100 * frontier.level:g} % of the draws (equal-tailed):\n"
        "dark over the parameters alone, light also over these queries' residuals and answers",
        fontsize=10,
    )
    axes.legend(frameon=False)
    tidy(axes)
    return figure


def _shown(frontier: Frontier, name: str) -> list[Point]:
    points = [
        point
        for point in frontier.points
        if point.policy == name and point.answered >= LEAST_ANSWERED and point.cost_usd.mean > 0
    ]
    return sorted(points, key=lambda point: point.cost_usd.mean)
