"""Which LLM can do what, and how sure is that?"""

from typing import TYPE_CHECKING

import numpy as np

from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.report.plots.intervals import (
    COLOURS,
    LEVEL,
    MARKERS,
    escaped,
    flat,
    interval_rows,
    name_rows,
    new_figure,
    stated,
    words,
)
from bayes_irt_router.report.tables import source_groups
from bayes_irt_router.report.task_accuracy import trait_tasks

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def ability_forest(posterior: Posterior, *, level: float = LEVEL) -> "Figure":
    """Posterior of each LLM's ability, one panel a trait, LLMs by falling general ability, families by colour and marker.

    LLMs of a model that was fitted to several sources stand by source, those that link the sources first, and are not ranked across.

    The model identifies abilities by construction (mean 0, SD 1 over the LLMs, traits in a fixed rotation), so draws are shown as
    they are. Each specific trait is titled with the tasks that load highest and lowest on it.

    Args:
        posterior: the fitted model.
        level: of the thin intervals.
    """
    draws = posterior.draws
    ability = flat(posterior.standardised_ability)
    order = np.argsort(-ability[:, :, 0].mean(axis=0), kind="stable")
    groups = source_groups(posterior, [posterior.llm[j] for j in order])
    order = order[np.concatenate(list(groups.values()))]
    llms = posterior.tree["llms"].to_dataset()
    family = llms["family"].values.astype(str) if "family" in llms.coords else np.full(len(order), "")
    names = sorted({*family.tolist()} - {"", "nan", "None"})
    look = {name: (COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]) for k, name in enumerate(names)}
    looks = [look.get(family[j], ("0.35", "o")) for j in order]

    traits = [str(name) for name in draws["trait"].values]
    figure = new_figure(3.2 + 2.7 * len(traits), 1.5 + 0.21 * len(order) + 0.2 * np.ceil(len(names) / 5))
    panels = figure.subplots(1, len(traits), squeeze=False, sharey=True)[0]
    leans = trait_tasks(posterior)
    for d, axes in enumerate(panels):
        axes.axvline(0, color="0.75", linewidth=0.9)
        interval_rows(
            axes,
            ability[:, order, d],
            level,
            colours=[colour for colour, _ in looks],
            markers=[marker for _, marker in looks],
        )
        axes.set_title(escaped("\n".join([words(traits[d]), *leans[d]])), fontsize=9)
        axes.set_xlabel("ability, SDs of these LLMs")
        name_rows(axes, [posterior.llm[j] for j in order])
        top = 0
        for sources, rows in groups.items() if len(groups) > 1 else ():
            axes.axhline(top - 0.5, color="0.35", linewidth=0.9)
            axes.annotate(
                escaped(sources),
                (0.99, top - 0.42),
                xycoords=("axes fraction", "data"),
                ha="right",
                va="top",
                fontsize=7,
            )
            top += len(rows)
    figure.suptitle(f"Ability: {stated(level)}", fontsize=9)
    for name in names:
        colour, marker = look[name]
        panels[0].plot([], [], marker, color=colour, label=escaped(name))
    if names:
        figure.legend(loc="outside lower center", ncols=min(5, len(names)), fontsize=8, frameon=False)
    return figure
