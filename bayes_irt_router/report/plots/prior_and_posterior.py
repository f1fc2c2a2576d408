"""What did the data teach beyond the prior?"""

from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_irt_router.inference.diagnostics import SLOPE_LENGTH, hyperparameters
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.irt.priors import LOG_SD, MIRTPriors
from bayes_irt_router.report.plots.intervals import COLOURS, ends, entry_labels, flat, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3
BINS = 25


def prior_and_posterior(posterior: Posterior) -> "Figure":
    """Each hyperparameter: the prior's density as a dashed line, the posterior draws as a histogram.

    The priors are known in closed form, so their densities are exact, other than in ArviZ's ``plot_prior_posterior``, which
    needs draws of them. The axis holds the posterior and the middle 80 % of the prior.

    Args:
        posterior: the fitted model.
    """
    draws = posterior.draws
    panels: list[tuple[str, Any, np.ndarray]] = []
    priors = MIRTPriors(**posterior.record["model"]["priors"])
    for name, drawn in hyperparameters(draws).items():
        values = flat(drawn).reshape(posterior.size, -1)
        labels = entry_labels(name, drawn)
        prior = prior_distribution(name, priors, specific=draws.sizes.get("specific", 0))
        panels += [(label, prior, values[:, k]) for k, label in enumerate(labels)]
    rows = -(-len(panels) // COLUMNS)
    figure = new_figure(3.0 * COLUMNS, 0.7 + 1.75 * rows)
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (label, prior, values) in zip(grid.flat, panels, strict=False):
        _panel(axes, label, prior, values)
    figure.supxlabel("value, logits where no unit is named", fontsize=9)
    figure.supylabel("density", fontsize=9)
    figure.suptitle(
        "Prior (dashed) and posterior (filled) of the hyperparameters",
        fontsize=9,
    )
    return figure


def _panel(axes: "Axes", label: str, prior: Any, values: np.ndarray) -> None:
    lower, upper = (float(end) for end in ends(values, 0.99))
    left, right = min(float(prior.ppf(0.1)), lower), max(float(prior.ppf(0.9)), upper)
    x = np.linspace(left, right, 300)
    axes.hist(values, bins=BINS, density=True, color=COLOURS[0], alpha=0.55, linewidth=0)
    axes.plot(x, prior.pdf(x), color="0.15", linestyle="--", linewidth=1.2)
    axes.set_xlim(left, right)
    axes.set_yticks([])
    axes.set_title(label, fontsize=8)
    axes.tick_params(labelsize=8)
    tidy(axes)


def prior_distribution(name: str, priors: MIRTPriors, specific: int) -> Any:
    """The prior that `MIRT.build` gives a quantity, as a frozen distribution of SciPy, where there are so many specific traits."""
    from scipy import stats

    if name == SLOPE_LENGTH:
        return stats.chi(specific, scale=priors.discrimination_slope)
    scale: float = getattr(priors, name.removesuffix("_sd").removesuffix("_weight"))
    if name in ("difficulty_mean", "covariate_weight"):
        return stats.norm(0.0, scale)
    if name == "discrimination_mean":
        return stats.halfnorm(scale=scale)
    return stats.lognorm(LOG_SD, scale=scale)
