"""How does the probability of a right answer rise with ability, query by query?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.linear_view import linear_view
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.report.plots.intervals import COLOURS, LEVEL, ends, escaped, flat, new_figure, tidy
from bayes_irt_router.report.task_accuracy import task_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 6
GRID = 61


def item_characteristic_curves(
    posterior: Posterior, queries: Sequence[str] | None = None, *, level: float = LEVEL
) -> "Figure":
    """``sigmoid(a_1 theta - b)`` over the general ability, the specific abilities at the LLMs' mean 0, with its credible band.

    Dots are the LLMs' own P(correct), all traits counted, above their general ability: what lies off the curve is the work of the
    specific traits.

    Args:
        posterior: the fitted model.
        queries: ids of fitted queries; by default six, from the easiest tenth to the hardest.
        level: of the bands, which hold that share of the draws at each ability.

    Raises:
        InputError: a query was not fitted.
    """
    draws = linear_view(posterior).draws
    known = [str(name) for name in draws["query"].values]
    difficulty = flat(draws["difficulty"])
    if queries is None:
        ranks = np.linspace(0.05, 0.95, min(SHOWN, len(known))) * (len(known) - 1)
        chosen = np.argsort(difficulty.mean(axis=0), kind="stable")[ranks.round().astype(int)].tolist()
    else:
        chosen = positions(known, queries)
    ability = flat(draws["ability"])
    span = max(2.5, 1.1 * float(np.abs(ability[:, :, 0].mean(axis=0)).max()))
    grid = np.linspace(-span, span, GRID)
    tasks = task_names(posterior)

    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    figure = new_figure(0.6 + 2.7 * columns, 0.9 + 2.3 * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for panel in panels.flat[len(chosen) :]:
        panel.set_visible(False)
    for axes, query in zip(panels.flat, chosen, strict=False):
        a = flat(draws["discrimination"][:, :, query])
        curve = expit(a[:, :1] * grid - difficulty[:, query, None])
        axes.fill_between(grid, *ends(curve, level), color=COLOURS[0], alpha=0.25, linewidth=0)
        axes.plot(grid, curve.mean(axis=0), color=COLOURS[0])
        own = expit(np.einsum("sjd,sd->sj", ability, a) - difficulty[:, query, None])
        axes.plot(ability[:, :, 0].mean(axis=0), own.mean(axis=0), "o", color="0.25", markersize=3, alpha=0.8)
        title = known[query] if tasks[query] in known[query] else f"{tasks[query]}: {known[query]}"
        axes.set_title(
            f"{escaped(title)}\nb = {difficulty[:, query].mean():.1f}, a = {a[:, 0].mean():.1f} logits",
            fontsize=8,
        )
        axes.set_ylim(0, 1)
        tidy(axes)
    figure.supxlabel("general ability, SDs of the fitted LLMs", fontsize=9)
    figure.supylabel("P(correct)", fontsize=9)
    figure.suptitle(
        f"Item characteristic curves: posterior mean and {100 * level:g} % equal-tailed band; dots: the LLMs",
        fontsize=9,
    )
    return figure


def positions(known: Sequence[str], queries: Sequence[str]) -> list[int]:
    """Positions of queries among the fitted ones.

    Raises:
        InputError: no query is named, or one was not fitted.

    >>> positions(["a", "b"], ["b"])
    [1]
    """
    where = {name: k for k, name in enumerate(known)}
    if not queries:
        raise InputError("No query is named; give at least one, or leave queries out.")
    if unknown := [name for name in queries if name not in where]:
        raise InputError(
            f"{', '.join(unknown)} were not fitted; give ids of fitted queries, such as {known[0]}."
        )
    return [where[name] for name in queries]
