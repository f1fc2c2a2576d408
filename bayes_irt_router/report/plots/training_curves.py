"""Did the training come to rest?"""

from typing import TYPE_CHECKING

import numpy as np

from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.irt.neural_items import TRAINING
from bayes_irt_router.report.plots.intervals import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def training_curves(posterior: Posterior) -> "Figure":
    """A NIRT's loss (negative ELBO an answer) and validation log loss after each pass, a line a network.

    Args:
        posterior: a fitted NIRT.
    """
    table = posterior.tree[TRAINING].to_dataset()
    figure = new_figure(7.5, 3.0)
    panels = figure.subplots(1, 2, sharex=True)
    titles = {"loss": "negative ELBO an answer", "validation": "log loss of validation queries"}
    for axes, (name, title) in zip(panels, titles.items(), strict=True):
        values = table[name].transpose("pass", "chain").values
        axes.plot(np.arange(1, len(values) + 1), values, linewidth=1.2)
        axes.set_xlabel("pass over the queries")
        axes.set_ylabel("nats")
        axes.set_title(title, fontsize=9)
    return figure
