"""A model in one linear form, ``a . theta - b`` with all it has of traits, so that what is made for the one works on all."""

from dataclasses import replace

import numpy as np
import xarray as xr

from bayes_irt_router.inference.posterior import Posterior
from bayes_irt_router.irt.neural_items import ITEMS, NETWORK, linear_draws, networks
from bayes_irt_router.irt.response import abilities
from bayes_irt_router.irt.testlets import with_testlets


def linear_view(posterior: Posterior) -> Posterior:
    """The same model with all that its response is made of under ``ability``, ``discrimination`` and ``difficulty``.

    * A MIRT with testlets: the testlets stand behind the traits, in ``ability``, ``discrimination`` (there as probabilities of tasks),
      and in the frame of the abilities; their coordinate on the dim ``trait`` is the testlet's name.
    * A NIRT: in every draw a query's response ``logit p = f(theta)`` is replaced by ``a . theta - b``, its mean slope and mean offset over
      the fitted LLMs, with one draw of the query's residuals. Always the same: the generator of the residuals is seeded by the fit.
    * Any other model, and a view, as they are.

    Predictions and what is saved stay with the model itself, and so does where a new LLM stands in a NIRT; pictures, and the choice of
    the next question, use the view. Beside the view, memory does not grow with the queries.
    """
    if "testlet_effect" in posterior.draws:
        return _with_draws(posterior, _testlets_as_traits(posterior))
    if "discrimination" in posterior.draws:
        return posterior
    draws, items = posterior.draws, posterior.tree[ITEMS].to_dataset()
    rng = np.random.default_rng([posterior.record["seed"], 5])
    traits, queries = draws.sizes["trait"], items.sizes["query"]
    size = (draws.sizes["chain"], draws.sizes["draw"], queries)
    a, b = np.empty((*size, traits), dtype=np.float32), np.empty(size, dtype=np.float32)
    for chain, network in enumerate(networks(draws, posterior.tree[NETWORK].to_dataset())):
        a[chain], b[chain] = linear_draws(network, items, chain, rng)
    return _with_draws(
        posterior,
        draws.assign_coords(query=items["query"].values).assign(
            discrimination=(("chain", "draw", "query", "trait"), a),
            difficulty=(("chain", "draw", "query"), b),
        ),
    )


def _testlets_as_traits(posterior: Posterior) -> xr.Dataset:
    draws = posterior.draws
    loadings = posterior.tree["queries"].to_dataset()["testlet_loading"].values
    discrimination = draws["discrimination"].transpose("chain", "draw", "query", "trait").values
    shape = (draws.sizes["chain"], draws.sizes["draw"])
    a = with_testlets(discrimination.reshape(-1, *discrimination.shape[2:]), loadings)
    ability = abilities(draws)
    traits, all_traits = draws.sizes["trait"], ability.shape[2]
    # A new LLM's effect on a testlet is N(0, (1 + 1/J) s_v^2): raw abilities of variance 1, divided by the frame 1 / s_v.
    frame = np.zeros((*shape, all_traits, all_traits), dtype=np.float32)
    frame[:, :, :traits, :traits] = draws["ability_frame"].transpose(..., "raw_trait", "trait").values
    behind = np.arange(traits, all_traits)
    frame[:, :, behind, behind] = 1.0 / draws["testlet_sd"].values[:, :, None]
    names = [*draws["trait"].values, *draws["testlet"].values]
    # What else has the dim (weights of features, LLM covariates and families) says nothing of testlets.
    rest = draws.drop_vars(["testlet_effect", "testlet", "ability", "ability_frame", "discrimination"])
    rest = rest.reindex({dim: names for dim in ("trait", "raw_trait") if dim in rest.dims}, fill_value=0.0)
    dims = ("chain", "draw")
    return rest.assign(
        ability=((*dims, "llm", "trait"), ability.reshape(*shape, *ability.shape[1:])),
        ability_frame=((*dims, "raw_trait", "trait"), frame),
        discrimination=((*dims, "query", "trait"), a.reshape(*shape, *a.shape[1:])),
    ).assign_coords(raw_trait=names)


def _with_draws(posterior: Posterior, draws: xr.Dataset) -> Posterior:
    groups = {str(name): node.to_dataset() for name, node in posterior.tree.children.items()}
    return replace(posterior, tree=xr.DataTree.from_dict({**groups, "posterior": draws}))
