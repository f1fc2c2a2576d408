"""Where is each LLM the best, and how sure is that?"""

from typing import TYPE_CHECKING

import numpy as np

from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.report.plots.intervals import escaped, new_figure
from bayes_irt_router.report.task_accuracy import probability_best_by_task, task_accuracy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMALLEST = 0.01


def best_llm_map(posterior: Posterior) -> "Figure":
    """P(best) over tasks and LLMs: the share of joint draws in which the LLM's mean P(correct) on the task is the highest.

    Over the fitted queries, cost aside. LLMs that reach 1 % nowhere are left out and counted.

    Args:
        posterior: the fitted model.
    """
    accuracy = task_accuracy(posterior)
    best = probability_best_by_task(accuracy)
    mean = accuracy.mean(("chain", "draw"))
    kept = np.flatnonzero((best.values >= SMALLEST).any(axis=0))
    kept = kept[np.argsort(-best.values[:, kept].sum(axis=0), kind="stable")]
    values, tasks = best.values[:, kept], [str(name) for name in best["task"].values]
    figure = new_figure(max(6.6, 3.4 + 0.62 * len(kept)), 2.8 + 0.33 * len(tasks))
    axes = figure.subplots()
    image = axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for row, column in zip(*np.nonzero(values >= SMALLEST), strict=True):
        p = values[row, column]
        text = f"{p:.2f}" if p < 0.995 else ">.99"
        axes.text(
            column, row, text, ha="center", va="center", fontsize=8, color="white" if p > 0.62 else "0.1"
        )
    axes.set_xticks(
        range(len(kept)),
        [escaped(str(best["llm"].values[j])) for j in kept],
        rotation=40,
        ha="right",
        rotation_mode="anchor",
    )
    top = [float(mean.values[row].max()) for row in range(len(tasks))]
    axes.set_yticks(
        range(len(tasks)),
        [f"{escaped(name)} ({100 * p:.0f} %)" for name, p in zip(tasks, top, strict=True)],
    )
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    rest = best.sizes["llm"] - len(kept)
    left_out = f"\n{rest} LLMs below 1 % everywhere are left out" if rest else ""
    axes.set_title(
        f"P(best) on each task's fitted queries, cost aside\n(in brackets: highest posterior mean P(correct)){left_out}",
        fontsize=9,
        loc="left",
    )
    figure.colorbar(image, ax=axes, label="P(best)", shrink=0.8)
    return figure
