"""Simulation-based calibration: does the sampler return the posterior of the model that the code states?"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayes_irt_router.errors import InputError
from bayes_irt_router.inference.diagnostics import COVARIATES, SCALARS, SLOPE, invariant_quantities, own_items
from bayes_irt_router.inference.many_data_sets import Arrays, sample_many
from bayes_irt_router.inference.nuts import NUTS, precision
from bayes_irt_router.irt.mirt import MIRT
from bayes_irt_router.irt.response import abilities, drawn_items, item_distribution, p_correct
from bayes_irt_router.irt.score_distributions import graded_queries
from bayes_irt_router.irt.starting_points import starting_points

if TYPE_CHECKING:
    import pymc as pm

DIFFICULTIES = 6  # how many queries' difficulty is ranked
LIKELIHOOD = "log likelihood"
BESIDE = (COVARIATES, SLOPE, "testlet_effect", "unseen_difficulty", "unseen_discrimination")
NAMED = ("query", "llm", "trait", "raw_trait", "covariate", "feature", "testlet")  # dims whose names matter
COMPUTED = ("ability", "difficulty", "difficulty_weight", "discrimination", "discrimination_weight")


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
    """Draw parameters and scores from the prior, fit the scores, rank the parameters among their posterior
    draws; many times.

    If model code and sampler are right, the rank of the true value among L independent posterior draws is
    uniform on 0, ..., L, for every quantity: averaged over data drawn from the prior, the posterior is the
    prior. ``rank_uniformity`` tests it.

    The model is compiled once, with the scores as an input, and all replications run through NumPyro's NUTS
    in single precision, many at a time. As in a fit, chains begin at the package's starting points, not at
    the truth. The quantities are those
    of the convergence gate, the difficulty of a few queries, the log likelihood (without it, a posterior that
    ignores the data would pass) and, where there are queries without answers, their p_correct: its truth
    comes from the model, its draws from the code that predicts unseen queries.

    The method is that of Talts et al. (2018), with data-dependent quantities as in Modrák et al. (2023).

    Args:
        model: the model and its priors.
        data: what the replications look like: ``trials`` (query, llm), ``features`` (query, feature),
            ``novelty`` (query), ``task``, and what ``MIRT.build`` needs beside them. Of ``score`` it only
            matters which queries have graded scores. A small bank is best: 30 queries and 8 LLMs say as much
            about the code as a large one.
        replications: number of data sets drawn, at least 2.
        sampler: settings of NUTS in each replication.
        keep_draws: L, spread evenly over all draws of a replication; few enough to be nearly independent.
        cells: how many cells are looked at, half of them as if their query were unseen.
        pairs: how many entries of ``A Cov(theta) A'`` are looked at.
        seed: of everything random here.
        progress: whether to show a progress bar (standard error).

    Returns:
        ``rank`` (replication, quantity), 0 to L, from ``truth`` (replication, quantity) and ``value``
        (replication, draw, quantity); ``divergent`` and ``leapfrog_steps`` (replication), means over the
        draws after the warm-up. The coord ``sort`` (quantity) groups the quantities.

    Raises:
        InputError: the settings do not fit together, or the data have too few LLMs.
    """
    sampler = (sampler or NUTS(draws=500, tune=500, chains=2)).for_answers(int(data["trials"].sum()))
    _check(replications, sampler, keep_draws)
    model.check(data)
    rng = np.random.default_rng(seed)
    with precision("float32"), warnings.catch_warnings():
        # As in a fit: PyMC asks JAX for double precision, gets single, and JAX says so.
        warnings.filterwarnings("ignore", message="Explicitly requested dtype", category=UserWarning)
        program = _Program.of(model, data)
        prior = program.draw_prior(replications, rng)
        true_points = program.unconstrain({name: prior[name] for name in program.free})
        starts, inputs = program.starts_and_inputs(model, data, prior, sampler.chains, rng)
        points, stats = sample_many(program.log_density, starts, inputs, sampler, keep_draws, rng, progress)
        posterior = program.dataset(points, inputs)
        truth = program.dataset({name: value[:, None] for name, value in true_points.items()}, inputs)

    which = int(rng.integers(2**32))  # the truth and the draws are asked for the same quantities
    predict_rng = np.random.default_rng(rng.integers(2**32))
    value = _quantities(posterior, data, which, cells, pairs, predict_rng)
    true_value = _quantities(truth, data, which, cells, pairs, None).isel(draw=0, drop=True)
    statistics = {name: ("replication", mean) for name, mean in stats.items()}
    return xr.Dataset(
        {"rank": ranks(true_value, value, rng), "truth": true_value, "value": value, **statistics}
    )


def ranks(truth: xr.DataArray, value: xr.DataArray, rng: np.random.Generator) -> xr.DataArray:
    """How many posterior draws lie below the truth, ties broken at random.

    Args:
        truth: dims (replication, quantity).
        value: dims (replication, draw, quantity).
        rng: breaks the ties.

    Returns:
        Whole numbers from 0 to the number of draws, dims (replication, quantity).

    >>> truth = xr.DataArray([[0.5]], dims=("replication", "quantity"))
    >>> value = xr.DataArray([[[0.1], [0.2], [0.9]]], dims=("replication", "draw", "quantity"))
    >>> ranks(truth, value, np.random.default_rng(0)).item()
    2
    """
    below, equal = (value < truth).sum("draw"), (value == truth).sum("draw")
    return below + xr.DataArray(rng.integers(0, equal.values + 1), dims=below.dims)


def _check(replications: int, sampler: NUTS, keep_draws: int) -> None:
    problems = []
    if replications < 2:
        problems.append(f"replications is {replications}; it must be at least 2.")
    if sampler.backend != "numpyro":
        problems.append(f"The backend {sampler.backend} cannot run many data sets at once; choose numpyro.")
    if keep_draws < 1 or keep_draws % sampler.chains or (sampler.draws * sampler.chains) % keep_draws:
        problems.append(
            f"{sampler.chains} chains of {sampler.draws} draws cannot be thinned to {keep_draws} draws;"
            " choose a multiple of the chains that divides all the draws."
        )
    if problems:
        raise InputError(problems)


@dataclass(frozen=True)
class _Program:
    """The model in JAX, as functions of a point in the sampler's space and of what differs between data sets.

    Attributes:
        model: the PyMC model of the template data.
        free: names of the free variables.
        log_density: of the posterior, up to a constant: (point, inputs) to a number.
        compute: (point, inputs) to the variables that quantities come from, by name.
    """

    model: "pm.Model"
    free: list[str]
    log_density: Callable[[Arrays, Arrays], Any]
    compute: Callable[[Arrays, Arrays], Arrays]

    @classmethod
    def of(cls, model: MIRT, data: xr.Dataset) -> "_Program":
        from pymc.sampling.jax import get_jaxified_graph
        from pytensor.graph.replace import clone_replace

        built = model.build(data)
        names = [rv.name for rv in built.free_RVs]
        # What differs between data sets becomes an input of the graph.
        varying = {rv.name: built.rvs_to_values[rv] for rv in built.observed_RVs}
        replaced = {value: value.type() for value in varying.values()}
        kept = [name for name in (*COMPUTED, *BESIDE, *SCALARS) if name in built.named_vars]
        outputs = [
            built.logp(),
            built.logp(vars=built.observed_RVs),
            *built.replace_rvs_by_values([built[name] for name in kept]),
        ]
        points = [built.rvs_to_values[rv] for rv in built.free_RVs]

        def function(chosen: list[Any]) -> Callable[[Arrays, Arrays], Any]:
            graph = clone_replace(chosen, replaced)
            inputs = [*points, *replaced.values()]
            compiled = get_jaxified_graph(inputs=inputs, outputs=graph)
            return lambda point, given: compiled(*(point[n] for n in names), *(given[n] for n in varying))

        density, computed = function(outputs[:1]), function(outputs[1:])
        return cls(
            built,
            names,
            lambda point, given: density(point, given)[0],
            lambda point, given: dict(zip([LIKELIHOOD, *kept], computed(point, given), strict=True)),
        )

    def draw_prior(self, replications: int, rng: np.random.Generator) -> Arrays:
        """Free variables and scores, shape (replication, ...)."""
        import pymc as pm

        variables = [*self.model.free_RVs, *self.model.observed_RVs]
        # Python instead of machine code: compiling would take longer than all draws.
        drawn = pm.draw(variables, replications, random_seed=int(rng.integers(2**31)), mode="FAST_COMPILE")
        return {rv.name: values for rv, values in zip(variables, drawn, strict=True)}

    def unconstrain(self, values: Arrays) -> Arrays:
        """To the sampler's scale: positive variables become logarithms. Leading dims are kept."""
        transforms = self.model.rvs_to_transforms
        return {
            name: value if (t := transforms[self.model[name]]) is None else t.forward(value).eval()
            for name, value in values.items()
        }

    def starts_and_inputs(
        self, model: MIRT, data: xr.Dataset, prior: Arrays, chains: int, rng: np.random.Generator
    ) -> tuple[Arrays, Arrays]:
        """Starting points, shape (replication, chain, ...), and the data sets, shape (replication, ...)."""
        observed = [rv.name for rv in self.model.observed_RVs]
        points = []
        for r in range(len(prior[observed[0]])):
            replicated = _with_scores(data, {name: prior[name][r] for name in observed})
            points.append(starting_points(model, replicated, chains, rng))
        default = {
            rv.name: self.model.initial_point()[self.model.rvs_to_values[rv].name]
            for rv in self.model.free_RVs
        }
        stacked = {name: np.stack([[p[name] for p in one] for one in points]) for name in points[0][0]}
        shape = (len(points), chains)
        starts = {name: np.broadcast_to(value, (*shape, *value.shape)) for name, value in default.items()}
        starts |= self.unconstrain(stacked)
        inputs = {name: prior[name] for name in observed}
        return (
            {name: value.astype(np.float32) for name, value in starts.items()},
            {name: value.astype(np.float32) for name, value in inputs.items()},
        )

    def dataset(self, points: Arrays, inputs: Arrays) -> xr.Dataset:
        """What quantities come from, dims (chain, draw, ...), each replication being a chain."""
        import jax

        computed = jax.jit(jax.vmap(jax.vmap(self.compute, (0, None))))(points, inputs)
        dims = {**self.model.named_vars_to_dims, LIKELIHOOD: ()}
        return xr.Dataset(
            {n: (("chain", "draw", *dims.get(n, ())), np.asarray(v)) for n, v in computed.items()},
            coords={n: np.asarray(v) for n, v in self.model.coords.items() if n in NAMED},
        )


def _with_scores(data: xr.Dataset, drawn: Arrays) -> xr.Dataset:
    """The data with the scores (llm, query) that the model's observed variables took."""
    graded, missing = graded_queries(data), data["trials"].transpose("query", "llm").values == 0
    score = np.empty(missing.shape)
    score[~graded] = drawn["score"].T
    if graded.any():
        score[graded] = drawn["graded_score"].T
    return data.assign(score=(("query", "llm"), np.where(missing, np.nan, score)))


def _quantities(
    draws: xr.Dataset,
    data: xr.Dataset,
    which: int,
    cells: int,
    pairs: int,
    predict_rng: np.random.Generator | None,
) -> xr.DataArray:
    """Everything that is ranked, dims (replication, draw, quantity).

    Args:
        draws: dims (chain, draw, ...), each replication being a chain.
        data: the template.
        which: seed of the choice of quantities.
        cells: number of cells.
        pairs: number of entries of ``A Cov(theta) A'``.
        predict_rng: predicts the queries without answers as a user's unseen queries are; None: takes the
            model's own.
    """
    rng = np.random.default_rng(which)
    found = invariant_quantities(draws, data, rng, cells=cells, pairs=pairs)
    queries = np.sort(
        rng.choice(draws.sizes["query"], min(DIFFICULTIES, draws.sizes["query"]), replace=False)
    )
    found["difficulty"] = (list(draws["query"].values[queries]), draws["difficulty"].values[:, :, queries])
    found[LIKELIHOOD] = ([LIKELIHOOD], draws[LIKELIHOOD].values[:, :, None])
    if (unanswered := (data["trials"].sum("llm").values == 0)).any():
        found["predicted cell"] = _predicted(draws, data.isel(query=unanswered), predict_rng)

    sort = [sort for sort, (names, _) in found.items() for _ in names]
    label = [f"{sort}: {name}" for sort, (names, _) in found.items() for name in names]
    values = np.concatenate([values for _, values in found.values()], axis=2)
    return xr.DataArray(
        values,
        dims=("replication", "draw", "quantity"),
        coords={"quantity": label, "sort": ("quantity", sort)},
    )


def _predicted(
    draws: xr.Dataset, queries: xr.Dataset, rng: np.random.Generator | None
) -> tuple[list[str], np.ndarray]:
    """Each LLM's p_correct on queries: the model's own or, with ``rng``, from predicted item parameters."""
    if rng is None:
        own = draws.sel(query=queries["query"].values)
        discrimination, difficulty = own_items(own, queries, np.arange(queries.sizes["query"]))
    else:
        given = (queries[name].values for name in ("features", "novelty", "unseen"))
        items = item_distribution(draws, *given)
        discrimination, difficulty = drawn_items(items, rng)
    p = p_correct(abilities(draws), discrimination, difficulty)
    names = [f"{query} x {llm}" for query in queries["query"].values for llm in queries["llm"].values]
    return names, p.reshape(draws.sizes["chain"], draws.sizes["draw"], -1)
