"""Did the training come to rest?"""

from typing import TYPE_CHECKING

import numpy as np

from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.irt.neural_items import TRAINING
from bayes_irt_router.report.plots.intervals import COLOURS, LINES, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def training_curves(posterior: Posterior) -> "Figure":
    """A NIRT's loss (negative ELBO an answer) and validation log loss after each pass, a line a network.

    Args:
        posterior: a fitted NIRT.
    """
    from matplotlib.ticker import MaxNLocator

    table = posterior.tree[TRAINING].to_dataset()
    figure = new_figure(8.5, 3.0)
    panels = figure.subplots(1, 2, sharex=True)
    titles = {"loss": "negative ELBO an answer", "validation": "log loss of validation queries"}
    for axes, (name, title) in zip(panels, titles.items(), strict=True):
        values = table[name].transpose("pass", "chain").values
        for network, one in enumerate(values.T):
            axes.plot(
                np.arange(1, len(one) + 1),
                one,
                linewidth=1.2,
                color=COLOURS[network % len(COLOURS)],
                linestyle=LINES[network % len(LINES)],
                label=f"network {network + 1}",
            )
        axes.set_xlabel("pass over the queries")
        axes.set_ylabel("nats")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(title, fontsize=9)
        tidy(axes)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=8, frameon=False
    )
    return figure
