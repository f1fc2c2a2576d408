"""Why did this query go to this LLM?"""

from typing import TYPE_CHECKING

import numpy as np

from bayes_irt_router.errors import InputError
from bayes_irt_router.report.plots.intervals import COLOURS, escaped, name_rows, new_figure, tidy, words
from bayes_irt_router.routing.decision import Candidate, Decision
from bayes_irt_router.routing.explanation import Explanation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CANDIDATES = 8
FEATURES = 8


def decision_explanation(decision: Decision) -> "Figure":
    """One decision: the candidates' P(correct) with cost and P(best), and what makes the query as hard as it is expected to be.

    Args:
        decision: routed with ``explain=True``.

    Raises:
        InputError: the decision carries no explanation, or no LLM was a candidate.
    """
    explanation = decision.explanation
    if explanation is None or not decision.candidates:
        raise InputError("The decision carries no explanation: route with explain=True, and with candidates.")
    shown = decision.candidates[:CANDIDATES]
    features = explanation.contributions[:FEATURES]
    figure = new_figure(11.5, 1.9 + 0.3 * max(len(shown), len(features)))
    left, right = figure.subplots(1, 2, width_ratios=[1, 1])
    _candidates(left, decision, shown)
    _contributions(right, explanation)
    return figure


def _candidates(axes: "Axes", decision: Decision, shown: tuple[Candidate, ...]) -> None:
    for row, one in enumerate(shown):
        chosen = one.llm == decision.llm
        colour = COLOURS[1] if chosen else COLOURS[0]
        p = one.p_correct
        axes.hlines(row, p.lower, p.upper, color=colour, linewidth=2)
        axes.plot(p.mean, row, "D" if chosen else "o", color=colour, markersize=7 if chosen else 5)
        cost = "" if one.cost_usd is None else f"{_plain(one.cost_usd)} USD"
        best = "" if one.p_best is None else f"P(best) {one.p_best:.2f}"
        axes.text(
            1.02,
            row,
            "  ".join(part for part in (best, cost) if part),
            va="center",
            fontsize=8,
            transform=axes.get_yaxis_transform(),
        )
    name_rows(axes, [one.llm for one in shown])
    axes.set_xlim(0, 1)
    level = 100 * shown[0].p_correct.level
    axes.set_xlabel("P(correct)")
    rest = len(decision.candidates) - len(shown)
    title = "Nobody is chosen" if decision.llm is None else f"Chosen (diamond): {escaped(decision.llm)}"
    axes.set_title(
        f"{title}\nposterior mean, {level:g} % equal-tailed interval over the parameters"
        + (f"; {rest} more candidates" if rest else ""),
        fontsize=9,
    )


def _plain(usd: float) -> str:
    """Two significant digits, without an exponent."""
    return np.format_float_positional(usd, precision=2, fractional=False, trim="-")


def _contributions(axes: "Axes", explanation: Explanation) -> None:
    shown = explanation.contributions[:FEATURES]
    rows = np.arange(len(shown))
    means = np.array([one.mean for one in shown])
    axes.barh(rows, means, xerr=[one.sd for one in shown], color="0.72", ecolor="0.25", height=0.6)
    axes.axvline(0, color="0.4", linewidth=0.9)
    name_rows(axes, [words(one.feature) for one in shown])
    tidy(axes)
    axes.set_xlabel("added to the difficulty of the mean fitted query, logits\n(whiskers: 1 posterior SD)")
    percentile = explanation.difficulty_percentile
    compared = "" if percentile is None else f",\nharder than {percentile:.0f} % of the fitted queries"
    shift = explanation.difficulty - explanation.mean_difficulty
    axes.set_title(
        f"Expected difficulty {shift:+.1f} logits from the mean fitted query{compared}", fontsize=9
    )
