"""Simulation-based calibration: does the sampler return the posterior of the model that the code states?"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.diagnostics import SCALARS, invariant_quantities
from bayes_irt_router.inference.nuts import NUTS, precision
from bayes_irt_router.irt.crude_estimates import crude_estimates
from bayes_irt_router.irt.mirt import MIRT, graded_queries
from bayes_irt_router.irt.response import drawn_items, item_distribution, p_correct
from bayes_irt_router.irt.starting_points import starting_points

if TYPE_CHECKING:
    import pymc as pm

LANES = 32  # chains that run as one vectorised program: each step waits for the longest trajectory among them
COMPUTED = ("ability", "difficulty", "difficulty_weight", "discrimination", "discrimination_weight")

type Arrays = dict[str, Any]
"""Arrays (NumPy or JAX) by the name of a variable."""


def simulation_based_calibration(
    model: MIRT,
    data: xr.Dataset,
    replications: int = 128,
    *,
    sampler: NUTS | None = None,
    keep_draws: int = 100,
    cells: int = 24,
    pairs: int = 6,
    seed: int = 0,
    progress: bool = True,
) -> xr.Dataset:
    """Draw parameters and scores from the prior, fit the scores, rank the parameters among their posterior draws; many times.

    If model code and sampler are right, the rank of the true value among L independent posterior draws is uniform on 0, ..., L,
    for every quantity: averaged over data drawn from the prior, the posterior is the prior. ``rank_uniformity`` tests it.

    The model is compiled once, with the scores as an input, and all replications run through NumPyro's NUTS in single
    precision, many at a time. As in a fit, chains begin at the package's starting points, not at the truth, and every
    replication has the coordinates that its own scores suggest. The quantities are those of the convergence gate, the
    difficulty of each LLM's first query, the log likelihood (without it, a posterior that ignores the data would pass) and, where
    there are queries without answers, their p_correct: its truth comes from the model, its draws from the code that predicts
    unseen queries.

    The method is that of Talts et al. (2018), with data-dependent quantities as in Modrák et al. (2023).

    Args:
        model: the model and its priors.
        data: what the replications look like: ``trials`` (query, llm), ``features`` (query, feature), ``novelty`` (query),
            ``task``, and what ``MIRT.build`` needs beside them. Of ``score`` it only matters which queries have graded scores.
            A small bank is best: 30 queries and 8 LLMs say as much about the code as a large one.
        replications: number of data sets drawn, at least 2.
        sampler: settings of NUTS in each replication.
        keep_draws: L, spread evenly over all draws of a replication; few enough to be nearly independent.
        cells: how many cells are looked at, half of them as if their query were unseen.
        pairs: how many entries of ``A Cov(theta) A'`` are looked at.
        seed: of everything random here.
        progress: whether to show a progress bar (standard error).

    Returns:
        ``rank`` (replication, quantity), 0 to L, from ``truth`` (replication, quantity) and ``value`` (replication, draw, quantity);
        ``divergent`` and ``leapfrog_steps`` (replication), means over the draws after the warm-up. The coord ``sort`` (quantity)
        groups the quantities.

    Raises:
        InputError: the settings do not fit together, or the data have too few LLMs.
    """
    sampler = sampler or NUTS(draws=500, tune=500, chains=2)
    _check(replications, sampler, keep_draws)
    model.check(data)
    rng = np.random.default_rng(seed)
    with precision("float32"), warnings.catch_warnings():
        # As in a fit: PyMC asks JAX for double precision, gets single, and JAX says so.
        warnings.filterwarnings("ignore", message="Explicitly requested dtype", category=UserWarning)
        program = _Program.of(model, data)
        prior = program.draw_prior(replications, rng)
        replicated = [_replicated(program, data, prior, r) for r in range(replications)]
        inputs = [program.inputs(prior, one, r) for r, one in enumerate(replicated)]
        starts = [program.starts(model, one, sampler.chains, rng) for one in replicated]
        posterior, likelihood, stats = _sample(program, inputs, starts, sampler, keep_draws, rng, progress)
        true_likelihood = np.array(
            [
                program.log_likelihood(program.unconstrain({k: v[r] for k, v in prior.items()}), *inputs[r])
                for r in range(replications)
            ]
        )

    template = data.assign_coords(trait=posterior["trait"])
    which = int(rng.integers(2**32))  # truth and draws are asked for the same quantities
    quantities = partial(_quantities, data=template, which=which, cells=cells, pairs=pairs)
    truth = quantities(program.dataset(prior, model, data), true_likelihood[:, None], None)
    value = quantities(posterior, likelihood, rng)
    truth = truth.isel(draw=0, drop=True)
    return xr.Dataset({"rank": ranks(truth, value, rng), "truth": truth, "value": value, **stats})
