"""Do the chains agree?"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from bayes_irt_router.inference.diagnostics import hyperparameters
from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.report.plots.intervals import LINES, entry_labels, escaped
from bayes_irt_router.report.task_accuracy import task_accuracy, task_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LLMS = 4


def rank_plots(posterior: Posterior) -> "Figure":
    """Rank plots of what the convergence gate judges: hyperparameters, log density, and the LLM means with the largest r-hat.

    Draws are ranked over all chains; for each chain the difference of the ranks' empirical distribution from the uniform one is
    shown (ArviZ's ``plot_rank``; Säilynoja, Bürkner and Vehtari, 2022). Chains that agree stay near 0; where ArviZ's multi-chain test
    finds a deviation, the points that carry it are marked. The test takes draws for independent, so they are thinned to what the
    slowest quantity's effective sample size leaves. The gate judged all draws; these are kept ones.

    Args:
        posterior: the fitted model.
    """
    import arviz as az
    from matplotlib import pyplot

    shown = xr.Dataset(rank_quantities(posterior))
    count = len(shown.data_vars)
    columns = min(4, count)
    collection = az.plot_rank(
        shown,
        group="posterior",
        backend="matplotlib",
        col_wrap=columns,
        thin=True,
        visuals={"title": {"size": 8}, "xlabel": {"size": 8, "text": "fractional rank"}},
        figure_kwargs={
            "figsize": (2.6 * columns, 0.8 + 1.9 * -(-count // columns)),
            "figsize_units": "inches",
        },
    )
    figure: Figure = collection.viz["figure"].item()
    pyplot.close(figure)  # ArviZ draws by pyplot, whose list of open figures would keep it for ever
    figure.set_layout_engine("constrained")
    for axes in [axes for axes in figure.axes if not axes.has_data()]:
        axes.remove()  # the grid's places that are left over
    chains = posterior.draws.sizes["chain"]
    for number, axes in enumerate(figure.axes):
        axes.tick_params(labelsize=8)
        if number % columns == 0:
            axes.set_ylabel("ECDF difference", fontsize=8)
        curves = [line for line in axes.lines if len(np.atleast_1d(line.get_xdata())) > 2]
        for chain, line in enumerate(curves[:chains]):
            line.set(linestyle=LINES[chain % len(LINES)])
        for text in axes.texts:
            text.set_fontsize(7)
    figure.suptitle(
        "Rank plots, a line a chain: difference of the ranks' distribution from the uniform one;\n"
        "draws thinned to be nearly independent; p: of the test that the chains agree; marked: where they do not (p < 0.01)",
        fontsize=9,
    )
    return figure


def rank_quantities(posterior: Posterior) -> dict[str, xr.DataArray]:
    """What :func:`rank_plots` shows, by name; dims (chain, draw)."""
    draws = posterior.draws
    shape = (draws.sizes["chain"], draws.sizes["draw"])
    found: dict[str, np.ndarray] = {}
    for name, drawn in hyperparameters(draws).items():
        values = drawn.values.reshape(*shape, -1)
        found |= {label: values[..., k] for k, label in enumerate(entry_labels(name, drawn))}
    stats = posterior.tree["sample_stats"].to_dataset()
    found["log density"] = np.asarray(stats["lp" if "lp" in stats else "logp"].values)
    table = posterior.gate.table
    means = table[table["quantity"] == "LLM mean"].sort_values("r_hat", ascending=False)
    if worst := [str(name) for name in means["name"] if str(name) in posterior.llm][:LLMS]:
        accuracy = task_accuracy(posterior)
        queries = pd.Series(task_names(posterior)).value_counts()[accuracy["task"].values.tolist()]
        mean = accuracy.weighted(xr.DataArray(queries.to_numpy(), dims="task")).mean("task")
        found |= {escaped(f"mean of {name}"): mean.sel(llm=name).values for name in worst}
    coords = {"chain": draws["chain"].values, "draw": draws["draw"].values}
    return {
        name: xr.DataArray(values.astype(np.float64), coords, ("chain", "draw"))
        for name, values in found.items()
    }
