"""Are the accuracies that were observed among those that the model would produce?"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from bayes_irt_router.evaluation.metrics import replicated_accuracy
from bayes_irt_router.evaluation.predictions import Predicted
from bayes_irt_router.irt.score_distributions import graded_queries
from bayes_irt_router.report.plots.intervals import COLOURS, LEVEL, ends, escaped, name_rows, new_figure
from bayes_irt_router.report.task_accuracy import NO_TASK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_ROWS = 200  # tasks x LLMs up to which a panel for each task can be read
NAMED = 8  # the worst cells of the map
DEEPEST = 4.0  # the colours end at this many SDs


@dataclass(frozen=True)
class Check:
    """Observed accuracies beside replicated ones; NaN where an LLM has no answer to a task.

    Attributes:
        task: names.
        queries: of each task.
        llm: names, by falling observed accuracy.
        observed: mean scores.
        lower, upper: ends of the replications' equal-tailed interval.
        mean, sd: of the replications. The observation counts as one of them, so that the SD is 0 only where
            the observation is what all replications are.
    """

    task: list[str]
    queries: Int[np.ndarray, " task"]
    llm: list[str]
    observed: Float[np.ndarray, "task llm"]
    lower: Float[np.ndarray, "task llm"]
    upper: Float[np.ndarray, "task llm"]
    mean: Float[np.ndarray, "task llm"]
    sd: Float[np.ndarray, "task llm"]

    @property
    def known(self) -> Bool[np.ndarray, "task llm"]:
        """Where there is something to compare."""
        return ~np.isnan(self.observed)

    @property
    def missed(self) -> Bool[np.ndarray, "task llm"]:
        """Where the observation is outside the interval; its ends are inside."""
        return (self.observed < self.lower - 1e-9) | (self.observed > self.upper + 1e-9)

    @property
    def z(self) -> Float[np.ndarray, "task llm"]:
        """How many SDs of the replications the observation is above their mean."""
        gap = self.observed - self.mean
        return np.where(np.abs(gap) < 1e-9, 0.0 * gap, gap / np.maximum(self.sd, 1e-9))


def accuracy_check(
    predicted: Predicted, data: xr.Dataset, rng: np.random.Generator, *, level: float = LEVEL
) -> "Figure":
    """Posterior predictive check of each LLM's accuracy by task: what was observed against what the model would produce.

    Replications draw the parameters, each query's residuals (shared by all LLMs) and the coin of each answer, for the cells that were
    observed. Of n LLMs about ``(1 - level) n`` are expected outside their interval, and misses on a task go together, because its
    queries are shared.

    Up to 200 cells (tasks x LLMs) are shown as intervals, a panel a task, misses as crosses. More are shown as a map of z, the
    observed accuracy less the replications' mean in their SDs: triangles are misses, up where the LLM is better than predicted,
    and the misses of the largest z are numbered and named.

    Args:
        predicted: joint draws for the data's queries and LLMs, as `predict_model` makes them.
        data: with ``score``, ``trials`` (query, llm) and ``task`` (query).
        rng: of the answers' coins.
        level: of the intervals.
    """
    check = checked(predicted, data, rng, level)
    if check.observed.size <= PANEL_ROWS or len(check.task) == 1:
        return _panels(check, level)
    return _map(check, level)


def checked(predicted: Predicted, data: xr.Dataset, rng: np.random.Generator, level: float) -> Check:
    """The numbers of :func:`accuracy_check`; tasks in alphabetical order."""
    score, trials = data["score"].values, data["trials"].values
    task = data["task"].values.astype(str) if "task" in data.coords else np.full(len(score), "")
    tasks, index = np.unique(np.where(task == "", NO_TASK, task), return_inverse=True)
    order = np.argsort(-np.nan_to_num(_mean_score(score), nan=-1.0), kind="stable")
    graded, rows = graded_queries(data), []
    for number in range(len(tasks)):
        inside = index == number
        seen = ~np.isnan(score[inside])
        replicated = replicated_accuracy(
            predicted.conditional[:, inside],
            seen,
            rng,
            trials=trials[inside],
            graded=predicted.graded(graded[inside]),
        )
        observed = _mean_score(score[inside])
        among = np.vstack([replicated, observed])
        rows.append([observed, *ends(replicated, level), among.mean(axis=0), among.std(axis=0)])
    values = np.array(rows)[..., order]
    return Check(
        [str(name) for name in tasks],
        np.bincount(index),
        data["llm"].values.astype(str)[order].tolist(),
        *(values[:, k] for k in range(values.shape[1])),
    )


def _mean_score(score: Float[np.ndarray, "query llm"]) -> Float[np.ndarray, " llm"]:
    with np.errstate(invalid="ignore"):  # an LLM without answers is NaN
        return np.nansum(score, axis=0) / (~np.isnan(score)).sum(axis=0)


def _panels(check: Check, level: float) -> "Figure":
    columns = min(4, len(check.task))
    rows = -(-len(check.task) // columns)
    figure = new_figure(2.4 + 2.2 * columns, 0.9 + rows * (0.7 + 0.19 * len(check.llm)))
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for panel in panels.flat[len(check.task) :]:
        panel.set_visible(False)
    for k, (axes, name) in enumerate(zip(panels.flat, check.task, strict=False)):
        known, missed, observed = check.known[k], check.missed[k], 100 * check.observed[k]
        row = np.arange(len(check.llm))
        axes.hlines(
            row[known],
            100 * check.lower[k, known],
            100 * check.upper[k, known],
            color=COLOURS[0],
            linewidth=3,
            alpha=0.45,
        )
        inside = known & ~missed
        axes.plot(observed[inside], row[inside], "o", color="0.15", markersize=3.5)
        axes.plot(observed[missed], row[missed], "X", color=COLOURS[1], markersize=6)
        axes.set_title(
            f"{escaped(name)} ({check.queries[k]:,})\n{inside.sum()} of {known.sum()} inside", fontsize=8
        )
        axes.set_xlim(-3, 103)  # the same in all panels, so that they can be compared
        name_rows(axes, check.llm)
    figure.supxlabel("mean score, %", fontsize=9)
    figure.suptitle(
        f"Posterior predictive check: bars hold {100 * level:g} % of replicated accuracies (equal-tailed); dots are "
        "observed,\ncrosses observed outside",
        fontsize=9,
    )
    return figure


def _map(check: Check, level: float) -> "Figure":
    worst = worst_cells(check)
    tasks, llms = len(check.task), len(check.llm)
    below, height = 0.1 + 0.15 * max(1, len(worst)), 0.18 * llms
    names = 0.06 * max(len(f"{name} (1,000)") for name in check.task)
    figure = new_figure(max(7.5, 3.4 + 0.25 * tasks), height + below + names + 0.8)
    upper, lower = figure.subplots(2, 1, height_ratios=[height, below])
    image = upper.imshow(check.z.T, cmap="RdBu", vmin=-DEEPEST, vmax=DEEPEST, aspect="auto")
    upper.set_facecolor("0.8")
    _signs(upper, check, worst)
    upper.set_xticks(
        range(tasks),
        [f"{escaped(name)} ({n:,})" for name, n in zip(check.task, check.queries, strict=True)],
        rotation=90 if tasks > 20 else 50,
        ha="center" if tasks > 20 else "right",
        rotation_mode="default" if tasks > 20 else "anchor",
        fontsize=7,
    )
    upper.set_yticks(range(llms), [escaped(name) for name in check.llm], fontsize=7)
    upper.tick_params(length=0)
    upper.spines[:].set_visible(False)
    figure.colorbar(image, ax=upper, label="z, SDs of replications", extend="both")
    lower.axis("off")
    lower.text(0, 1, named(check, worst), va="top", fontsize=7.5, transform=lower.transAxes)
    figure.suptitle(
        f"Posterior predictive check: z is the observed accuracy less the mean of the replicated ones, in their SDs.\n"
        f"{(check.known & ~check.missed).sum():,} of {check.known.sum():,} are inside the {100 * level:g} % equal-tailed interval of "
        "replications; outside: triangles\n(up: better than predicted, down: worse), the worst by the numbers of the list",
        fontsize=9,
    )
    return figure


def _signs(axes: "Axes", check: Check, worst: list[tuple[int, int]]) -> None:
    """Triangles on missed cells, numbers on the worst of them; readable where the colours are not."""
    plain = check.missed.copy()
    for number, (task, llm) in enumerate(worst, start=1):
        plain[task, llm] = False
        dark = abs(check.z[task, llm]) > 0.6 * DEEPEST
        axes.text(
            task,
            llm,
            str(number),
            ha="center",
            va="center_baseline",
            fontsize=8,
            weight="bold",
            color="white" if dark else "0.1",
        )
    for marker, sign in (("^", 1.0), ("v", -1.0)):
        task, llm = np.nonzero(plain & (np.sign(check.z) == sign))
        axes.scatter(task, llm, s=12, marker=marker, color="0.1", linewidths=0)


def worst_cells(check: Check) -> list[tuple[int, int]]:
    """Positions (task, llm) of the missed cells with the largest z either way, the worst first; at most eight."""
    size = np.where(check.missed, np.abs(np.nan_to_num(check.z)), -1.0)
    order = np.argsort(-size, axis=None, kind="stable")[: min(NAMED, int(check.missed.sum()))]
    return [(int(k) // size.shape[1], int(k) % size.shape[1]) for k in order]


def named(check: Check, cells: list[tuple[int, int]]) -> str:
    """A line for each cell: who, where, what was observed, and what the model would produce."""
    if not cells:
        return "No cell is outside its interval."
    lines = [
        f"{number}  {check.llm[j]} on {check.task[k]}: {100 * check.observed[k, j]:.0f} % observed, "
        f"{100 * check.lower[k, j]:.0f} to {100 * check.upper[k, j]:.0f} % replicated (z {check.z[k, j]:+.1f})"
        for number, (k, j) in enumerate(cells, start=1)
    ]
    return escaped("\n".join(lines))
