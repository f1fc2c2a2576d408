"""The accuracy-cost frontier as a picture."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from bayes_irt_router.data.files import atomic_path
from bayes_irt_router.evaluation.frontier import SINGLE, Frontier, Point

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")


def frontier_figure(frontier: Frontier) -> "Figure":
    """Mean cost of an answer (logarithmic) against accuracy: a line and a band for each policy, circles for what was observed.

    The bands are over the posterior predictive draws, answers' noise included. Grey crosses are single LLMs, as observed. Settings
    that answer less than a tenth of the queries are left out.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    policies = list(dict.fromkeys(point.policy for point in frontier.points if point.policy != SINGLE))
    for number, name in enumerate(policies):
        points = _shown(frontier, name)
        if not points:
            continue
        cost = [point.cost_usd.mean for point in points]
        colour = f"C{number}"
        axes.plot(cost, [100 * p.accuracy.mean for p in points], color=colour, label=name.replace("_", " "))
        axes.fill_between(
            cost,
            [100 * p.accuracy.lower for p in points],
            [100 * p.accuracy.upper for p in points],
            color=colour,
            alpha=0.12,
            linewidth=0,
        )
        axes.scatter(
            [p.observed_cost_usd for p in points],
            [100 * p.observed_accuracy for p in points],
            color=colour,
            s=14,
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
        f"{frontier.queries:,} queries, {len(frontier.candidates)} LLMs; bands hold {100 * frontier.level:g}%, "
        "circles are observed"
    )
    axes.legend()
    return figure


def write_figure(figure: "Figure", path: Path) -> None:
    """Write a picture in the format of the suffix, atomically."""
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix.lower().removeprefix("."), dpi=150)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getvalue())


def _shown(frontier: Frontier, name: str) -> list[Point]:
    points = [
        point
        for point in frontier.points
        if point.policy == name and point.answered >= 0.1 and point.cost_usd.mean > 0
    ]
    return sorted(points, key=lambda point: point.cost_usd.mean)
