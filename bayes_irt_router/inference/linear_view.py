"""A NIRT as the linear item response model closest to it, draw by draw, so that what is made for the MIRT works on both."""

from dataclasses import replace

import numpy as np
import xarray as xr

from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.irt.neural_items import ITEMS, NETWORK, linear_draws, networks


def linear_view(posterior: Posterior) -> Posterior:
    """The same model with ``discrimination`` and ``difficulty`` among the draws; a MIRT, and a view, as they are.

    In every draw a query's response ``logit p = f(theta)`` is replaced by ``a . theta - b``, its mean slope and mean offset over the fitted
    LLMs, with one draw of the query's residuals. Predictions and what is saved stay with the model itself; placing and pictures use
    the view. Always the same: the generator of the residuals is seeded by the fit.
    """
    if "discrimination" in posterior.draws:
        return posterior
    draws, items = posterior.draws, posterior.tree[ITEMS].to_dataset()
    rng = np.random.default_rng([posterior.record["seed"], 5])
    found = [
        linear_draws(network, items, chain, rng)
        for chain, network in enumerate(networks(draws, posterior.tree[NETWORK].to_dataset()))
    ]
    a, b = (np.stack(part) for part in zip(*found, strict=True))
    draws = draws.assign_coords(query=items["query"].values).assign(
        discrimination=(("chain", "draw", "query", "trait"), a),
        difficulty=(("chain", "draw", "query"), b),
    )
    groups = {str(name): node.to_dataset() for name, node in posterior.tree.children.items()}
    return replace(posterior, tree=xr.DataTree.from_dict({**groups, "posterior": draws}))
