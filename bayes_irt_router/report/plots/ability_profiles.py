"""What is each LLM better at than it is on the whole?"""

from typing import TYPE_CHECKING

import numpy as np

from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.report.ability_profile import profile_frame
from bayes_irt_router.report.plots.intervals import LEVEL, escaped, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def ability_profiles(posterior: Posterior, *, level: float = LEVEL) -> "Figure":
    """Heat map of a NIRT's named abilities less each LLM's own mean, LLMs by falling mean; a dot where the interval leaves 0 out.

    Args:
        posterior: a fitted NIRT.
        level: of the intervals that decide on the dots.
    """
    frame = profile_frame(posterior, level)
    names = [str(name) for name in posterior.draws["trait"].values]
    shape = (len(posterior.llm), len(names))
    mean, lead, low, high = (
        frame[name].to_numpy().reshape(shape) for name in ("mean", "lead", "lead_lower", "lead_upper")
    )
    order = np.argsort(-mean.mean(axis=1), kind="stable")
    lead, told = lead[order], ((low > 0) | (high < 0))[order]
    figure = new_figure(max(6.0, 3.2 + 0.28 * len(names)), 2.6 + 0.19 * len(order))
    axes = figure.subplots()
    largest = max(float(np.abs(lead).max()), 1e-6)
    image = axes.imshow(lead, cmap="RdBu", vmin=-largest, vmax=largest, aspect="auto")
    rows, columns = np.nonzero(told)
    axes.scatter(columns, rows, s=5, color="0.1", linewidths=0)
    axes.set_xticks(
        range(len(names)), [escaped(name) for name in names], rotation=50, ha="right", rotation_mode="anchor"
    )
    axes.set_yticks(range(len(order)), [escaped(posterior.llm[j]) for j in order], fontsize=7)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, label="ability less the LLM's mean, SDs between LLMs", shrink=0.7)
    axes.set_title(
        f"Abilities against each LLM's own mean; dots: the {100 * level:g} % interval leaves 0 out",
        fontsize=9,
        loc="left",
    )
    return figure
