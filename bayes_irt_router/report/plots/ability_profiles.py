"""What is each LLM better at than it is on the whole?"""

from typing import TYPE_CHECKING

import numpy as np

from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.report.ability_profile import profile_frame
from bayes_irt_router.report.plots.intervals import LEVEL, escaped, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def ability_profiles(posterior: Posterior, *, level: float = LEVEL) -> "Figure":
    """Heat map of a NIRT's named abilities less each LLM's own mean, LLMs by falling mean.

    + and − where the interval leaves 0 out: the sign can be read without the colour.

    Args:
        posterior: a fitted NIRT.
        level: of the intervals that decide on the signs.
    """
    frame = profile_frame(posterior, level)
    names = [str(name) for name in posterior.draws["trait"].values]
    shape = (len(posterior.llm), len(names))
    mean, lead, low, high = (
        frame[name].to_numpy().reshape(shape) for name in ("mean", "lead", "lead_lower", "lead_upper")
    )
    order = np.argsort(-mean.mean(axis=1), kind="stable")
    lead, low, high = lead[order], low[order], high[order]
    figure = new_figure(max(6.0, 3.2 + 0.28 * len(names)), 2.6 + 0.19 * len(order))
    axes = figure.subplots()
    largest = max(float(np.abs(lead).max()), 1e-6)
    image = axes.imshow(lead, cmap="RdBu", vmin=-largest, vmax=largest, aspect="auto")
    for marker, told in (("+", low > 0), ("_", high < 0)):
        rows, columns = np.nonzero(told)
        ink = ["white" if dark else "0.1" for dark in np.abs(lead[rows, columns]) > 0.6 * largest]
        axes.scatter(columns, rows, s=22, marker=marker, color=ink, linewidths=1.0)
    axes.set_xticks(
        range(len(names)), [escaped(name) for name in names], rotation=50, ha="right", rotation_mode="anchor"
    )
    axes.set_yticks(range(len(order)), [escaped(posterior.llm[j]) for j in order], fontsize=7)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, label="lead, SDs between LLMs")
    axes.set_title(
        f"Lead: an ability less the LLM's own mean;\n+ and −: the {100 * level:g} % equal-tailed interval leaves 0 out",
        fontsize=9,
        loc="left",
    )
    return figure
